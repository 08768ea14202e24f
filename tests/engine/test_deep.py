"""Deep verification and paths on memory mailboxes: who is drawn, how items are counted, what the ledger notes."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath

import pybase64
import pytest

from migrator import assembly
from migrator.adapters.memory import MemoryMailbox, open_box, store_named
from migrator.engine.canary import own_items
from migrator.engine.sampling import Confidence
from migrator.engine.stop import Stop
from migrator.engine.verify import MailboxVerdict, PropertyDifference, verify_mailbox
from migrator.errors import ItemError
from migrator.events import Event
from migrator.formats.content import MemoryContent
from migrator.formats.convert import tree_of
from migrator.ledger import Ledger
from migrator.mapi import fasttransfer
from migrator.mapi import properties as p
from migrator.mapi.item import STRING, TIME, Message, Properties
from migrator.model import Flag, Format, Item, Job, Kind, Mailbox, SkipReason
from migrator.plan.folders import FolderRules
from migrator.settings import Endpoint, RunSettings
from migrator.wrappers.dryrun import DryRunTarget
from tests.contracts.samples import MOMENT, Sample, mails
from tests.engine.harness import FakeClock, World, fill

CLASSES = {"l": "lost", "c": "changed", "v": "volatile", "n": "normalised"}


def by_word(one: bytes, two: bytes, /, path: str = "") -> Sequence[PropertyDifference]:
    """For the tests: the first letters of the copy say how it differs; "!" makes it unreadable."""
    word = two.partition(b"|")[0].decode() if b"|" in two else ""
    if word == "!":
        raise ItemError("no stream", code="stream_malformed")
    return [
        PropertyDifference(
            f"recipient 3: Tag{letter}",
            "a",
            "b",
            volatile=letter in "vn",
            class_=CLASSES[letter],
            group=f"recipient: Tag{letter}",
        )
        for letter in word
    ]


@pytest.fixture
def world(tmp_path: FilePath) -> World:
    return World(tmp_path)


def verify(world: World, **more: object) -> MailboxVerdict:
    with world.open_ledger() as ledger:
        return verify_mailbox(
            world.jobs[0],
            open_box(world.source()),
            DryRunTarget(open_box(world.target())),
            ledger,
            **({"compare": by_word, "sample": None} | more),  # type: ignore[arg-type]
        )


def test_an_item_counts_for_the_worst_that_it_has(world: World) -> None:
    fill(world.source(), mails(7))
    assert world.run() == 0
    words = ["", "v", "nv", "lnv", "cc", "!", "gone"]
    for item, word in zip(world.target().items(("Inbox",)), words, strict=True):
        if word == "gone":
            world.target().unreadable[item.ref.id] = SkipReason.CORRUPT_AT_SOURCE
        elif word:
            item.data = word.encode() + b"|" + item.data
    (line,) = verify(world).fidelity
    assert (line.kind, line.path, line.population, line.compared) == (Kind.MAIL, "stream", 7, 7)
    assert (line.identical, line.volatile, line.normalised, line.differing, line.unreadable) == (
        1,
        1,
        1,
        2,
        2,
    )
    # Of each item every property counts once, whichever recipient it belongs to.
    assert line.properties == {
        "lost": {"recipient: Tagl": 1},
        "changed": {"recipient: Tagc": 1},
        "normalised": {"recipient: Tagn": 2},
        "volatile": {"recipient: Tagv": 3},
    }
    assert (
        line.compared == line.identical + line.volatile + line.normalised + line.differing + line.unreadable
    )


def test_every_folder_and_kind_gets_a_sample_of_its_own(world: World) -> None:
    sizes = {("Inbox",): 60, ("Sent Items",): 9, ("Own",): 30}
    for number, (path, size) in enumerate(sizes.items()):
        fill(world.source(), mails(size, path, 1000 * number))
    fill(world.source(), [Sample(f"t{n}", ("Own",), Kind.TASK) for n in range(20)])
    assert world.run() == 0
    chosen = Confidence(0.9, 0.1)
    drawn: Counter[tuple[tuple[str, ...], Kind]] = Counter()

    def before(verb: str, detail: object) -> None:
        if verb == "export":
            drawn.update((ref.folder, ref.kind) for ref in detail)  # type: ignore[attr-defined]

    world.source().before = before
    verdict = verify(world, sample=chosen)
    wanted = {(path, Kind.MAIL): chosen.needed(size) for path, size in sizes.items()}
    assert drawn == wanted | {(("Own",), Kind.TASK): chosen.needed(20)}
    assert verdict.sampled == drawn.total() < 119
    lines = {line.kind: (line.population, line.compared, line.confidence) for line in verdict.fidelity}
    mails_drawn = sum(wanted.values())
    assert lines == {Kind.MAIL: (99, mails_drawn, 0.9), Kind.TASK: (20, chosen.needed(20), 0.9)}
    first, again = drawn.copy(), drawn
    again.clear()
    verify(world, sample=chosen)
    assert again == first


def test_what_was_there_before_is_told_apart(world: World) -> None:
    fill(world.source(), mails(5))
    fill(world.target(), mails(2))
    assert world.run() == 0
    lines = {line.path: line.population for line in verify(world).fidelity}
    assert lines == {"stream": 3, "present": 2}


def test_many_items_are_read_out_together(world: World) -> None:
    fill(world.source(), mails(45))
    assert world.run() == 0
    before = world.source().calls["export"]
    assert verify(world).sampled == 45
    assert world.source().calls["export"] - before == 3


# --- mail into a target that takes streams


@dataclass
class Project:
    folder: FilePath
    ledger: FilePath
    endpoints: dict[str, Endpoint]
    folders: FolderRules = field(default_factory=FolderRules)
    row_secrets: dict[str, str] = field(default_factory=dict)


def test_mail_goes_as_streams_made_here_and_is_compared_as_such(tmp_path: FilePath) -> None:
    mark = uuid.uuid4().hex
    endpoints = {name: Endpoint(name, "memory", url=f"{name}-{mark}") for name in ("old", "new")}
    project = Project(tmp_path, tmp_path / "ledger.sqlite", endpoints)
    job = Job("job-a", 2, Mailbox("old", "a@x"), Mailbox("new", "a@y"))
    source = store_named(endpoints["old"].url).mailbox("a@x")
    target = store_named(endpoints["new"].url).mailbox("a@y")
    source.traits = replace(source.traits, formats=(Format.MIME,), origin="files")
    target.traits = replace(target.traits, formats=(Format.FTS,), accepts=(Format.FTS,))
    for sample in mails(4):
        flags = frozenset({Flag.SEEN} if sample.seen else set())
        source.put(sample.path, sample.ref(), sample.mime(), format=Format.MIME, flags=flags)
    broken = Sample("broken", message_id="<broken@x>")
    source.put(broken.path, broken.ref(), b"\0" * 100, format=Format.MIME)
    events: list[Event] = []
    clock = FakeClock()
    assembly.run(project, [job], RunSettings(), events.append, Stop(), clock=clock)
    trees = [
        tree_of(Item(one.ref, Format.FTS, MemoryContent([one.data]))) for one in target.items(("Inbox",))
    ]
    assert {tree.properties.text(p.PidTagSubject) for tree in trees} >= {
        sample.subject for sample in mails(4)
    }
    with Ledger.open(project.ledger, clock=clock, read_only=True) as ledger:
        assert {one.path for one in ledger.paths_taken()} == {"synthetic"}
        failed = ledger.failures()
    verdicts = assembly.verify(
        project, [job], RunSettings(), events.append, sample=None, keep=True, clock=clock
    )
    (line,) = verdicts[0].fidelity
    assert (line.path, line.differing, line.unreadable) == ("synthetic", 0, 0)
    assert line.compared + len(failed) == 5
    with Ledger.open(project.ledger, clock=clock, read_only=True) as ledger:
        (kept,) = ledger.fidelity("job-a")
    assert kept.compared == line.compared


# --- the source's own items, for the canary


def put(box: MemoryMailbox, sample: Sample, *, people: bool = False, **changes: object) -> None:
    message = Message()
    item_class = {Kind.EVENT: "IPM.Appointment"}.get(sample.kind, "IPM.Note")
    message.properties.set(p.PidTagMessageClass, STRING, item_class)
    message.properties.set(p.PidTagSubject, STRING, sample.subject)
    message.properties.set(p.PidTagMessageDeliveryTime, TIME, MOMENT)
    if people:
        recipient = Properties()
        recipient.set(0x3001, STRING, "Bob")
        message.recipients.append(recipient)
    data = pybase64.b64encode(fasttransfer.write(message))
    box.put(sample.path, replace(sample.ref(), **changes), data, format=Format.FTS)  # type: ignore[arg-type]


def test_the_source_is_asked_for_its_smallest_harmless_items() -> None:
    box = MemoryMailbox("a@x")
    put(box, Sample("x" * 500))
    put(box, Sample("small"))
    put(box, Sample("draft", draft=True))
    put(box, Sample("m", ("Calendar",), Kind.EVENT), people=True)
    put(box, Sample("a longer one alone", ("Calendar",), Kind.EVENT))
    found = own_items(open_box(box))
    subjects = {kind: tree_of(item).properties.text(p.PidTagSubject) for kind, item in found.items()}
    assert subjects == {Kind.MAIL: "small", Kind.EVENT: "a longer one alone"}
    assert {item.origin for item in found.values()} == {"memory"}
    assert box.calls["page"] <= len(box.list_folders())
