"""A dry run is the run itself: what it foretells is what the run then does, and nothing is written meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest

from migrator.adapters.memory import MemoryMailbox, open_box
from migrator.engine.stop import SystemClock
from migrator.errors import ItemError, RunError
from migrator.events import BatchSettled, JobFinished, RunFinished, RunStarted
from migrator.formats.content import MemoryContent
from migrator.ledger import Ledger
from migrator.model import Format, Item, Kind, Mailbox, Role, SkipReason, State
from migrator.wrappers.rehearse import MADE_UP, RehearsedSource, RehearsedTarget, StandInContent
from tests.contracts.samples import mails
from tests.test_assembly import Case, case, fill, no_writes

__all__ = ["case"]


def told(case: Case) -> Counter[tuple[str, str]]:
    """(mailbox, what became of an item) → how many."""
    return Counter(
        (event.job, (outcome.reason or outcome.state).value)
        for event in case.events
        if isinstance(event, BatchSettled)
        for outcome in event.outcomes
    )


def foretold(case: Case, **settings: object) -> Counter[tuple[str, str]]:
    """By a dry run, in which every verb that writes blows up and the ledger stays as it is."""
    before = case.project.ledger.read_bytes() if case.project.ledger.exists() else None
    no_writes(case)
    assert case.run(dry_run=True, **settings) in (0, 3)
    for number in range(2):
        case.target(number).before = None
    assert (case.project.ledger.read_bytes() if case.project.ledger.exists() else None) == before
    assert [one.name for one in case.project.folder.iterdir() if one.name.startswith(".dry")] == []
    assert isinstance(case.events[0], RunStarted)
    assert case.events[0].dry
    assert isinstance(case.events[-1], RunFinished)
    return told(case)


def first_pass(case: Case) -> None:
    fill(case.source(), mails(3, ("Projects", "a/b"), 40))


def with_items_there(case: Case) -> None:
    fill(case.target(), mails(5))


def later_pass(case: Case) -> None:
    assert case.run() == 0
    fill(case.source(), mails(4, start=70))
    box = case.source(1)
    for one in box.items(("Inbox",))[:3]:
        box.change(one.ref.id, seen=not one.ref.seen)


def changed_in_the_target(case: Case) -> None:
    assert case.run() == 0
    ours, theirs = case.source(), case.target()
    for one in ours.items(("Inbox",))[:2]:
        ours.change(one.ref.id, seen=not one.ref.seen)
    first = ours.items(("Inbox",))[0].ref.message_id  # both sides have changed this one
    (one,) = (there for there in theirs.items(("Inbox",)) if there.ref.message_id == first)
    theirs.change(one.ref.id, seen=not one.ref.seen)


def too_large(case: Case) -> None:
    sizes = sorted(one.ref.size or 0 for one in case.source().items(("Inbox",)))
    box = case.target()
    box.traits = replace(box.traits, store_octets=sizes[-3])


@pytest.mark.parametrize(
    "settings", [{}, {"since": mails(12)[6].received}, {"exclude_folders": ("@inbox",)}], ids=str
)
@pytest.mark.parametrize(
    "prepare",
    [first_pass, with_items_there, later_pass, changed_in_the_target, too_large],
    ids=lambda one: one.__name__,
)
def test_what_is_foretold_is_what_is_done(
    case: Case, prepare: Callable[[Case], None], settings: dict[str, object]
) -> None:
    prepare(case)
    expected = foretold(case, **settings)
    assert case.run(**settings) in (0, 3)
    assert told(case) == expected
    if prepare is changed_in_the_target and not settings:
        assert expected["job-ada", "failed"] == 1  # the conflict is foretold too
    if prepare is too_large and not settings:
        assert expected["job-ada", SkipReason.TOO_LARGE.value] == 2
    if prepare is with_items_there and not settings:
        assert expected["job-ada", "present"] == 5


def test_moves_and_deletions_are_rehearsed_and_stay_undone(case: Case) -> None:
    assert case.run() == 0
    box = case.source()
    for one in box.items(("Inbox",))[:3]:
        box.delete(one.ref.id)
    before = len(case.target().items(("Inbox",)))
    foretold(case, propagate_deletes=True)
    assert len(case.target().items(("Inbox",))) == before
    assert case.run(propagate_deletes=True) == 0
    assert len(case.target().items(("Inbox",))) == before - 3


def test_what_would_stop_a_mailbox_stops_the_dry_run_of_it(case: Case) -> None:
    case.jobs[1] = replace(case.jobs[1], target=Mailbox("new", "nobody@new.example"))
    assert case.run(dry_run=True) == 4
    ended = {event.job: event.code for event in case.events if isinstance(event, JobFinished)}
    assert ended == {"job-ada": "", "job-bob": "mailbox_not_found"}


def test_another_mailbox_behind_the_address_is_noticed(case: Case) -> None:
    assert case.run() == 0
    case.source().identity = "another"
    assert case.run(dry_run=True) == 4
    ended = {event.job: event.code for event in case.events if isinstance(event, JobFinished)}
    assert ended["job-ada"] == "identity_changed"


def test_a_run_that_is_under_way_elsewhere_does_not_hold_it_up(case: Case) -> None:
    assert case.run() == 0
    with Ledger.open(case.project.ledger, clock=SystemClock()) as other:
        other.register(case.jobs)
        number = other.start_run("delta", {}, "0")
        assert other.claim("job-ada", number) is not None
        assert case.run(dry_run=True) == 0


# --- the wrappers themselves


@pytest.fixture
def box() -> MemoryMailbox:
    made = MemoryMailbox("ada@new.example")
    fill(made, mails(4))
    return made


def items(count: int) -> list[Item]:
    refs = [
        (replace(one.ref(), id=f"id{number}"), one.mime())
        for number, one in enumerate(mails(count, start=50))
    ]
    return [Item(ref, Format.FTS, MemoryContent([mime])) for ref, mime in refs]


def test_a_folder_that_is_there_is_found_and_another_is_made_up(box: MemoryMailbox) -> None:
    target = RehearsedTarget(open_box(box))
    inbox = target.ensure_folder((), Kind.MAIL, role=Role.INBOX)
    assert inbox in box_folders(box)
    assert target.ensure_folder(("INBOX",), Kind.MAIL) == inbox
    new = target.ensure_folder(("Customers", "a/b"), Kind.MAIL)
    assert new.id.startswith(MADE_UP)
    assert new == target.ensure_folder(("Customers", "a/b"), Kind.MAIL)
    assert target.page(new, None).last
    assert target.versions(new, ["x"]) == {}
    assert len(box_folders(box)) == len(target.folders())
    below = target.ensure_folder(("Customers",), Kind.MAIL, role=Role.INBOX)
    assert below.id != new.id


def box_folders(box: MemoryMailbox) -> list[object]:
    return list(open_box(box).folders())


def test_nothing_is_stored_and_every_item_has_its_answer(box: MemoryMailbox) -> None:
    target = RehearsedTarget(open_box(box))
    folder = target.ensure_folder((), Kind.MAIL, role=Role.INBOX)
    mark = target.mark(folder)
    outcomes = target.store(folder, items(3))
    assert [one.state for one in outcomes] == [State.COPIED] * 3
    assert len({one.target_id for one in outcomes}) == 3
    assert target.remove(folder, ["a"]) == ["a"]
    assert box.calls["store"] == box.calls["remove"] == box.calls["mark"] == 0
    assert len(box.items()) == 4
    refs = target.page(folder, mark).refs  # a mark that was made up lists all that is there
    assert len(refs) == 4
    with pytest.raises(RunError):
        target.remove_folder(folder)


def test_an_update_of_what_was_changed_is_a_conflict(box: MemoryMailbox) -> None:
    target = RehearsedTarget(open_box(box))
    folder = target.ensure_folder((), Kind.MAIL, role=Role.INBOX)
    one, two = box.items(("Inbox",))[:2]
    pairs = [(one.ref.id, one.ref.version), (two.ref.id, "another"), None]
    outcomes = target.store(folder, items(3), pairs)
    assert [outcome.state for outcome in outcomes] == [State.COPIED, State.FAILED, State.COPIED]
    assert isinstance(outcomes[1].error, ItemError)
    assert outcomes[1].error.code == "conflict"


def test_contents_are_not_read(box: MemoryMailbox) -> None:
    lent = MemoryContent([b"abc"])
    source = RehearsedSource(open_box(box), lambda ref, fmt: StandInContent(lent, ref.size or 0))
    refs = [one.ref for one in box.items(("Inbox",))]
    made = source.export(refs, Format.FTS)
    assert box.calls["export"] == 0
    for item, ref in zip(made, refs, strict=True):
        assert isinstance(item, Item)
        assert (item.ref, item.content.size, item.origin) == (ref, ref.size, "memory")
        item.content.release()
        assert item.content.open().read() == b"".join(item.content.pieces()) == b"abc"
    assert StandInContent(lent, 0).size == 1  # an item of no octets would be held for one without content
