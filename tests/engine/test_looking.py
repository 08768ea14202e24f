"""Survey, verification, canary: what is found out by looking, and that looking changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from migrator.adapters.memory import MemoryMailbox, open_box
from migrator.engine.canary import FOLDER, sing
from migrator.engine.planned import planned
from migrator.engine.survey import MailboxSurvey, survey_mailbox, totals
from migrator.engine.tools import map_by_rules
from migrator.engine.verify import MailboxVerdict, PropertyDifference, verify_mailbox
from migrator.errors import InDoubt, ItemError, JobError, Transient
from migrator.events import Event, Notice
from migrator.formats.content import MemoryContent
from migrator.interfaces import Standing, Target
from migrator.ledger import Ledger
from migrator.model import Flag, Format, Item, Kind, Role, SkipReason
from migrator.settings import RunSettings
from migrator.wrappers.dryrun import DryRunTarget
from tests.contracts.samples import MOMENT, Sample, mails
from tests.engine.harness import World, fill


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# --- survey


def survey(world: World, ledger: Ledger | None = None, **settings: object) -> MailboxSurvey:
    return survey_mailbox(
        world.jobs[0],
        open_box(world.source()),
        DryRunTarget(open_box(world.target())),  # every verb that writes raises
        ledger,
        replace(RunSettings(), **settings),  # type: ignore[arg-type]
        map_by_rules(),
    )


def test_a_survey_counts_what_a_run_would_do_and_writes_nothing(world: World) -> None:
    samples = mails(10)
    fill(world.source(), samples)
    fill(world.source(), [replace(mails(1)[0], kind=Kind.TASK, path=("Tasks",))])
    fill(world.source(), mails(2, ("Junk",), 50))
    world.source().add_folder(("Search",), search=True)
    found = survey(world, since=samples[4].received, exclude_folders=("Junk",))
    assert not found.error
    by_path = {folder.path: folder for folder in found.folders}
    inbox = by_path[("Inbox",)]
    sizes = [len(sample.mime()) for sample in samples]
    assert (inbox.items, inbox.octets, inbox.largest) == (10, sum(sizes), max(sizes))
    assert (inbox.oldest, inbox.newest) == (samples[0].received, samples[-1].received)
    assert inbox.kinds == {Kind.MAIL: 10}
    assert inbox.skipped == {SkipReason.FILTERED_DATE: 4}
    assert (inbox.to_copy, inbox.octets_to_copy) == (6, sum(sizes[4:]))
    assert (inbox.target_path, inbox.target_role) == ((), Role.INBOX)
    assert by_path[("Tasks",)].kinds == {Kind.TASK: 1}
    assert by_path[("Junk",)].folder_skipped is SkipReason.FILTERED_FOLDER
    assert by_path[("Search",)].folder_skipped is SkipReason.SEARCH_FOLDER
    assert (found.items, found.to_copy) == (11, 7)
    assert totals([found]) == {SkipReason.FILTERED_DATE: 4}
    assert not world.target().items()


def test_a_survey_after_a_run_says_what_is_left(world: World) -> None:
    fill(world.source(), mails(5))
    assert world.run() == 0
    fill(world.source(), mails(2, start=50))
    changed = world.source().items(("Inbox",))[0].ref
    world.source().change(changed.id, seen=not changed.seen)
    with world.open_ledger() as ledger:
        found = survey(world, ledger)
    inbox = next(folder for folder in found.folders if folder.path == ("Inbox",))
    assert (inbox.items, inbox.known, inbox.to_copy, inbox.to_update) == (7, 5, 2, 1)


def test_a_survey_that_meets_trouble_tells_it_and_what_it_saw(world: World) -> None:
    fill(world.source(), mails(3))

    def before(verb: str, detail: object) -> None:
        if verb == "page" and getattr(detail, "path", ()) == ("Sent Items",):
            raise JobError("no right", code="denied", remedy="grant it")

    world.source().before = before
    found = survey(world)
    assert (found.code, found.remedy) == ("denied", "grant it")
    assert [folder.path for folder in found.folders] == [("Inbox",)]


def test_a_survey_becomes_a_plan(world: World) -> None:
    samples = mails(6)
    fill(world.source(), samples)
    fill(world.source(), [replace(mails(1)[0], kind=Kind.TASK, path=("Tasks",))])
    world.source().add_folder(("inbox ",))  # the target has one of this name
    limit = sorted(len(sample.mime()) for sample in samples)[-2]
    world.target().standing = Standing(
        quota_octets=1000, used_octets=10, quota_why="", licence="none", licence_why="no plan",
        receive_octets=limit, receive_by="service",
    )  # fmt: skip
    fill(world.target(), mails(2, start=70))
    moment = samples[-1].received + timedelta(days=10)
    found = survey_mailbox(
        world.jobs[0], open_box(world.source()), DryRunTarget(open_box(world.target())), None, RunSettings(),
        map_by_rules(), now=moment,
    )  # fmt: skip
    box = planned(found)
    assert (box.items, box.to_copy, sum(box.sizes.items), sum(box.ages_to_copy.items)) == (7, 7, 7, 7)
    assert (box.target_items, box.oversize.items, box.oversize.told_by) == (2, 1, "service")
    assert box.quota.enough is False
    assert {one.code for one in box.findings if one.level == "warning"} == {
        "oversize",
        "quota_short",
        "no_licence",
    }
    assert all(one.remedy for one in box.findings)
    assert [(clash.path, clash.other) for clash in box.collisions] == [(("inbox ",), None)]
    assert (box.kinds, box.unsupported) == ({Kind.MAIL: 6, Kind.TASK: 1}, {})
    # The state is of the items, not of the order in which a server lists them.
    again = planned(survey(world))
    assert again.source_state == box.source_state
    changed = world.source().items(("Inbox",))[0].ref
    world.source().change(changed.id, seen=not changed.seen)
    assert planned(survey(world)).source_state != box.source_state


def test_what_the_target_cannot_tell_does_not_spoil_a_plan(world: World) -> None:
    fill(world.source(), mails(2))

    def before(verb: str, detail: object) -> None:
        if verb == "standing":
            raise Transient("busy", code="busy")

    world.target().before = before
    box = planned(survey(world))
    assert not box.error
    assert (box.to_copy, box.quota.enough, box.oversize.limit) == (2, None, None)
    assert "busy" in box.quota.why


# --- verify


def compare(one: bytes, two: bytes, /, path: str = "") -> Sequence[PropertyDifference]:
    """For the tests: a stream is lines, a line is a property."""
    lines = zip(one.splitlines(), two.splitlines(), strict=False)
    return [
        PropertyDifference(f"line {n}", a.decode(), b.decode(), volatile=a.startswith(b"Date"))
        for n, (a, b) in enumerate(lines)
        if a != b
    ]


def verify(world: World, **more: object) -> MailboxVerdict:
    with world.open_ledger() as ledger:
        return verify_mailbox(
            world.jobs[0],
            open_box(world.source()),
            DryRunTarget(open_box(world.target())),
            ledger,
            **({"compare": compare} | more),  # type: ignore[arg-type]
        )


def test_a_finished_mailbox_verifies(world: World) -> None:
    fill(world.source(), [*mails(20), *mails(5, ("Own",), 50), *mails(2)])
    fill(world.target(), mails(3))
    assert world.run() == 0
    verdict = verify(world)
    assert verdict.ok
    assert verdict.closes
    assert verdict.sampled == 27
    inbox = next(folder for folder in verdict.folders if folder.path == ("Inbox",))
    assert (inbox.source_items, inbox.copied, inbox.present, inbox.target_items) == (22, 19, 3, 22)
    assert inbox.source_octets == inbox.target_octets
    assert inbox.compared == 22
    assert inbox.extra == 0


def spoil_missing(target: MemoryMailbox, item_id: str) -> None:
    target.delete(item_id)


def spoil_received(target: MemoryMailbox, item_id: str) -> None:
    target.change(item_id, received=MOMENT.replace(year=1999))


def spoil_read(target: MemoryMailbox, item_id: str) -> None:
    target.change(item_id, seen=None if False else not target._locate(item_id)[1].ref.seen)


def spoil_draft(target: MemoryMailbox, item_id: str) -> None:
    target.change(item_id, draft=True)


def spoil_id(target: MemoryMailbox, item_id: str) -> None:
    target.change(item_id, message_id="<other@x>")


def spoil_class(target: MemoryMailbox, item_id: str) -> None:
    target.change(item_id, item_class="IPM.Document")


def spoil_content(target: MemoryMailbox, item_id: str) -> None:
    _, stored = target._locate(item_id)
    stored.data = stored.data.replace(b"Subject: ", b"Subject: RE: ")


def spoil_size(target: MemoryMailbox, item_id: str) -> None:
    state, stored = target._locate(item_id)
    target._put(state, stored.ref, stored.data + b"x" * 100_000, stored.format, stored.flags, (), item_id)


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (spoil_missing, "item"),
        (spoil_received, "received"),
        (spoil_read, "read"),
        (spoil_draft, "draft"),
        (spoil_id, "Message-ID"),
        (spoil_class, "class"),
        (spoil_size, "size"),
        (spoil_content, "line 2"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_every_difference_is_told_with_item_and_property(world: World, spoil: object, name: str) -> None:
    fill(world.source(), mails(6))
    assert world.run() == 0
    victim = world.target().items(("Inbox",))[3].ref
    spoil(world.target(), victim.id)  # type: ignore[operator]
    verdict = verify(world)
    assert not verdict.ok
    assert verdict.different == 1
    assert {d.property for d in verdict.differences} == {name}
    (difference,) = {d.message_id for d in verdict.differences}
    assert difference == victim.message_id
    assert verdict.closes == (name != "item")


def test_expected_differences_are_counted_not_held_against_the_copy(world: World) -> None:
    fill(world.source(), mails(4))
    assert world.run() == 0
    for item in world.target().items():
        item.data = item.data.replace(b"Date: ", b"Date: on ")
    verdict = verify(world)
    assert verdict.ok
    assert verdict.volatile == {"line 3": 4}


def test_a_sample_is_the_same_every_time(world: World) -> None:
    fill(world.source(), mails(40))
    assert world.run() == 0
    seen: list[list[str]] = []
    for _ in range(2):
        exported: list[str] = []

        def watch(verb: str, detail: object, into: list[str] = exported) -> None:
            if verb == "export" and isinstance(detail, Sequence):
                into.extend(ref.id for ref in detail)

        world.source().before = watch
        assert verify(world, sample=7).sampled == 7
        seen.append(sorted(exported))
    assert seen[0] == seen[1]
    assert verify(world, sample=0).sampled == 0
    assert verify(world, compare=None).content == "streams are not compared"


def test_the_balance_does_not_close_over_items_in_doubt_or_missing(world: World) -> None:
    fill(world.source(), mails(4))
    assert world.run() == 0
    with world.open_ledger() as ledger:
        lease = ledger.claim("job-ada", 1)
        assert lease is not None
        inbox = world.source().folder_at(("Inbox",))
        assert inbox is not None
        ledger.begin(lease, inbox.id, [world.source().items()[0].ref]).wait()
        ledger.release(lease, "stopped")
    verdict = verify(world)
    assert not verdict.closes
    assert sum(folder.in_doubt for folder in verdict.folders) == 1


def test_what_happened_since_the_run_is_no_fault(world: World) -> None:
    fill(world.source(), [*mails(4), *mails(1, ("Later",), 20)])
    assert world.run() == 0
    fill(world.source(), mails(2, start=50))
    fill(world.source(), mails(2, ("Brand new",), 60))
    items = world.source().items(("Inbox",))
    world.source().change(items[0].ref.id, seen=not items[0].ref.seen)
    world.source().delete(items[1].ref.id)
    fill(world.target(), mails(1, start=90))
    verdict = verify(world)
    assert verdict.ok
    inbox = next(folder for folder in verdict.folders if folder.path == ("Inbox",))
    assert (inbox.new, inbox.changed, inbox.gone, inbox.extra) == (2, 1, 1, 1)
    assert next(f for f in verdict.folders if f.path == ("Brand new",)).new == 2


def test_a_mailbox_that_never_ran_cannot_be_verified(world: World) -> None:
    fill(world.source(), mails(1))
    world.target()
    with world.open_ledger() as ledger:
        ledger.register(world.jobs)
    assert verify(world).code == "not_run"


# --- canary


def canaries() -> dict[Kind, Item]:
    def item(kind: Kind, item_class: str) -> Item:
        sample = Sample(f"canary {kind}", kind=kind, message_id="<canary@x>", seen=True)
        ref = replace(sample.ref(), id=f"c-{kind}", item_class=item_class)
        return Item(
            ref, Format.FTS, MemoryContent([sample.mime()]), frozenset({Flag.SEEN}), origin="synthetic"
        )

    return {
        Kind.MAIL: item(Kind.MAIL, "IPM.Note"),
        Kind.TASK: item(Kind.TASK, "IPM.Task"),
        Kind.NOTE: item(Kind.NOTE, "IPM.StickyNote"),
    }


def sung(target: Target) -> tuple[dict[Kind, tuple[bool, str]], list[Event]]:
    events: list[Event] = []
    verdicts = sing(target, "ada@new.example", canaries(), events.append)
    return {one.kind: (one.accepted, one.detail) for one in verdicts}, events


def test_a_canary_announces_itself_and_leaves_nothing_behind(world: World) -> None:
    box = world.target()
    told: list[Event] = []

    def before(verb: str, detail: object) -> None:
        assert told, "something was asked before it was announced"

    box.before = before
    verdicts = sing(open_box(box), "ada@new.example", canaries(), told.append)
    assert [(one.kind, one.accepted, one.detail, one.origin) for one in verdicts] == [
        (kind, True, "", "synthetic") for kind in canaries()
    ]
    assert box.folder_at((FOLDER,)) is None
    assert not box.items()
    (notice,) = told
    assert isinstance(notice, Notice)
    assert "ada@new.example" in notice.text
    assert "3 small items" in notice.text


def test_kinds_are_judged_one_by_one(world: World) -> None:
    world.target().refuse = lambda item: (
        ItemError("what is this", code="ErrorInvalidData") if item.ref.kind is Kind.TASK else None
    )
    verdicts, _ = sung(open_box(world.target()))
    assert verdicts == {
        Kind.MAIL: (True, ""),
        Kind.TASK: (False, "ErrorInvalidData: what is this"),
        Kind.NOTE: (True, ""),
    }


def test_what_does_not_survive_is_named(world: World) -> None:
    world.target().drops = frozenset({"message_id", "received"})
    verdicts, _ = sung(open_box(world.target()))
    assert verdicts[Kind.MAIL] == (True, "not kept: Message-ID, date received")


def test_accepted_is_not_enough_it_must_be_there(world: World) -> None:
    class Forgetful:
        def __init__(self, inner: Target) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def store(self, folder: object, items: object, replaces: object = None) -> object:
            outcomes = self.inner.store(folder, items)  # type: ignore[arg-type]
            self.inner.remove(folder, [one.target_id for one in outcomes])  # type: ignore[arg-type]
            return outcomes

    verdicts, _ = sung(Forgetful(open_box(world.target())))  # type: ignore[arg-type]
    assert set(verdicts.values()) == {(False, "accepted, but not found afterwards")}


def test_a_canary_without_an_answer_is_not_accepted(world: World) -> None:
    def before(verb: str, detail: object) -> None:
        if verb == "store":
            raise InDoubt("reset")

    world.target().before = before
    verdicts, _ = sung(open_box(world.target()))
    assert set(verdicts.values()) == {(False, "in_doubt: reset")}
    assert world.target().folder_at((FOLDER,)) is None


def test_the_folder_goes_even_when_the_mailbox_fails_midway(world: World) -> None:
    def before(verb: str, detail: object) -> None:
        if verb == "store":
            raise JobError("full", code="quota_full")

    world.target().before = before
    with pytest.raises(JobError):
        sung(open_box(world.target()))
    assert world.target().folder_at((FOLDER,)) is None


def test_a_folder_that_stays_is_named(world: World) -> None:
    def before(verb: str, detail: object) -> None:
        if verb == "remove_folder":
            raise ItemError("no", code="denied")

    world.target().before = before
    _, events = sung(open_box(world.target()))
    notice = events[-1]
    assert isinstance(notice, Notice)
    assert notice.level == "warning"
    assert FOLDER in notice.text
