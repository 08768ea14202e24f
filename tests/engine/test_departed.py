"""Later passes: what moved at the source moves, what was deleted goes on request, what a user changed stays."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from migrator.adapters.memory import open_box
from migrator.engine.stop import Stop
from migrator.errors import InDoubt, ItemError
from migrator.events import Notice
from migrator.model import Item, State
from migrator.report.summary import summarise
from tests.contracts.samples import Sample, mails
from tests.engine.crashing import run_until
from tests.engine.harness import World, fill


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    fill(world.source(), [*mails(10), *mails(3, ("Own",), 50), *mails(2, ("Zoo",), 70)])
    assert world.run() == 0
    assert world.same()
    return world


def move(world: World, number: int, to: tuple[str, ...], path: tuple[str, ...] = ("Inbox",)) -> str:
    """As Exchange does it: gone here, there under another id. Returns the subject."""
    box = world.source()
    item = box.items(path)[number]
    box.delete(item.ref.id)
    box.put(to, item.ref, item.data, format=item.format, flags=item.flags)
    return item.ref.subject


def copy_of(world: World, subject: str) -> str:
    return next(item.ref.id for item in world.target().items() if item.ref.subject == subject)


def closes(world: World) -> bool:
    with world.open_ledger() as ledger:
        return summarise(ledger, now=0.0).closes


@pytest.mark.parametrize("to", [("Own",), ("Zoo",), ("Drawer",), ("Archive", "2024")])
def test_what_moves_at_the_source_moves(world: World, to: tuple[str, ...]) -> None:
    """Also into a folder that stands before the old one in the list, and into a new one."""
    move(world, 2, to)
    move(world, 0, ("Inbox",), ("Zoo",))
    assert world.run() == 0
    assert world.same()
    assert closes(world)
    assert world.states() == {State.COPIED: 15}
    before = world.target().calls["store"]
    assert world.run() == 0
    assert world.target().calls["store"] == before
    assert world.same()


def test_a_copy_is_no_move(world: World) -> None:
    item = world.source().items(("Inbox",))[0]
    world.source().put(("Own",), item.ref, item.data, format=item.format, flags=item.flags)
    assert world.run() == 0
    assert world.same()
    assert len(world.target().items()) == 16


def test_a_move_seen_in_two_passes_is_one_all_the_same(world: World) -> None:
    """The deletion is listed by one pass, the new place by the next."""
    item = world.source().items(("Inbox",))[4]
    world.source().delete(item.ref.id)
    assert world.run() == 0
    assert len(world.target().items()) == 15  # deletions do not follow by themselves
    world.source().put(("Zoo",), item.ref, item.data, format=item.format, flags=item.flags)
    assert world.run() == 0
    assert world.same()


def test_one_of_two_true_duplicates_moves(world: World) -> None:
    fill(world.source(), [mails(1)[0]])
    assert world.run() == 0
    move(world, 0, ("Own",))
    assert world.run() == 0
    assert world.same()


def test_items_of_a_deleted_folder_that_were_moved_before(world: World) -> None:
    for _ in range(3):
        move(world, 0, ("Inbox",), ("Own",))
    own = world.source().folder_at(("Own",))
    assert own is not None
    open_box(world.source()).remove_folder(own)
    assert world.run() == 0
    assert world.same()
    assert closes(world)


def test_a_moved_item_that_was_changed_in_the_target_stays_as_a_conflict(world: World) -> None:
    subject = move(world, 1, ("Own",))
    world.target().change(copy_of(world, subject), seen=None)
    assert world.run() == 3
    assert world.codes() == {"conflict": 1}
    assert Counter(i.ref.folder for i in world.target().items() if i.ref.subject == subject) == {
        ("Inbox",): 1,
        ("Own",): 1,
    }
    assert world.run() == 3  # told until somebody decides
    assert world.codes() == {"conflict": 1}


def test_deletions_follow_on_request_only(world: World) -> None:
    gone = [world.source().items(("Inbox",))[n].ref for n in (0, 3, 5)]
    for ref in gone:
        world.source().delete(ref.id)
    assert world.run() == 0
    assert len(world.target().items()) == 15
    touched = copy_of(world, gone[0].subject)
    world.target().change(touched, seen=None)
    assert world.run(propagate_deletes=True) == 3
    assert {item.ref.id for item in world.target().items()} >= {touched}
    assert len(world.target().items()) == 13
    assert world.codes() == {"conflict": 1}
    assert any("2 items that were deleted" in e.text for e in world.events if isinstance(e, Notice))


def test_what_was_there_before_us_is_never_deleted(tmp_path: Path) -> None:
    world = World(tmp_path)
    fill(world.source(), mails(4))
    fill(world.target(), mails(4))
    assert world.run() == 0
    assert world.states() == {State.PRESENT: 4}
    first = world.source().items(("Inbox",))[0]
    world.source().delete(first.ref.id)
    move(world, 0, ("Own",))
    assert world.run(propagate_deletes=True) == 0
    assert len(world.target().items(("Inbox",))) == 4
    assert len(world.target().items(("Own",))) == 1


def test_a_mailbox_half_of_which_is_gone_stops_before_anything_is_deleted(tmp_path: Path) -> None:
    world = World(tmp_path)
    fill(world.source(), mails(300))
    assert world.run() == 0
    for item in world.source().items()[:150]:
        world.source().delete(item.ref.id)
    assert world.run(propagate_deletes=True) == 4
    assert world.ended().code == "mass_delete"
    assert "--force mass_delete" in world.ended().remedy
    assert len(world.target().items()) == 300
    assert world.run(propagate_deletes=True, force=frozenset({"mass_delete"})) == 0
    assert world.same()


def test_a_lost_checkpoint_still_finds_what_moved_and_what_went(world: World) -> None:
    move(world, 2, ("Own",))
    move(world, 0, ("Inbox",), ("Zoo",))
    world.source().delete(world.source().items(("Inbox",))[0].ref.id)
    world.source().forget_checkpoints()
    assert world.run(propagate_deletes=True) == 0
    assert world.same()
    assert closes(world)


def test_changes_follow_and_conflicts_are_told_not_overwritten(world: World) -> None:
    one, two = (world.source().items(("Inbox",))[n].ref for n in (0, 1))
    world.source().change(one.id, seen=not one.seen)
    world.source().change(two.id, seen=not two.seen)
    mine = copy_of(world, two.subject)
    world.target().change(mine, seen=None)
    assert world.run() == 3
    assert world.codes() == {"conflict": 1}
    there = {item.ref.subject: item.ref for item in world.target().items()}
    assert there[one.subject].seen is (not one.seen)
    assert there[two.subject].id == mine
    assert there[two.subject].seen is None
    calls = world.target().calls["store"]
    assert world.run() == 3
    assert world.target().calls["store"] == calls  # it would be a conflict again


def test_what_the_target_owner_deleted_is_not_made_again(world: World) -> None:
    first = world.source().items(("Inbox",))[0].ref
    world.target().delete(copy_of(world, first.subject))
    assert world.run() == 0
    assert len(world.target().items()) == 14
    world.source().change(first.id, seen=not first.seen)
    assert world.run() == 3
    assert world.codes() == {"conflict": 1}
    assert len(world.target().items()) == 14
    assert world.run(retry_failed=True) == 0  # asked for by name: there is nothing left to overwrite
    assert world.same()


def test_a_moved_item_is_stored_before_the_old_copy_goes(world: World) -> None:
    subject = move(world, 2, ("Own",))
    world.target().refuse = lambda item: ItemError("no", code="bad")
    assert world.run() == 3
    assert any(i.ref.subject == subject for i in world.target().items(("Inbox",)))
    world.target().refuse = None
    assert world.run() == 0
    assert world.same()


def test_a_lost_answer_in_a_move(world: World) -> None:
    for _ in range(4):
        move(world, 2, ("Own",))
    seen: set[str] = set()

    def lose(item: Item) -> bool:
        first = item.ref.id not in seen
        seen.add(item.ref.id)
        return first

    world.target().lose_answer = lose
    assert world.run() == 0
    assert world.same()


def test_death_at_every_call_of_a_pass_with_moves(tmp_path: Path) -> None:
    """Nothing is lost, and after one undisturbed run nothing is doubled or out of place."""
    at = 0
    survived = False
    while not survived:
        at += 1
        folder = tmp_path / str(at)
        folder.mkdir()
        world = World(folder)
        world.settings = type(world.settings)(mailboxes=1, uploaders=1, batch_items=5)
        fill(world.source(), [*mails(4), *mails(2, ("Own",), 50)])
        assert world.run() == 0
        move(world, 1, ("Own",))
        move(world, 0, ("Inbox",), ("Own",))
        world.source().delete(world.source().items(("Inbox",))[0].ref.id)
        kept = Counter(item.data for item in world.source().items())
        survived = not run_until(world, at, after=bool(at % 2)).dead
        assert not kept - Counter(item.data for item in world.target().items()), f"lost at call {at}"
        world.clock.sleep(60)
        world.stop = Stop()
        assert world.run(propagate_deletes=True) == 0, at
        assert world.same(), f"death at call {at}"
    assert at > 15


def test_an_item_in_doubt_and_a_sample_without_ids(world: World) -> None:
    """No Message-ID: subject and dates tell the moved item."""
    bare = Sample("no id", message_id="")
    fill(world.source(), [bare])
    assert world.run() == 0
    number = next(n for n, i in enumerate(world.source().items(("Inbox",))) if i.ref.subject == "no id")
    move(world, number, ("Zoo",))
    fired: list[bool] = []

    def before(verb: str, detail: object) -> None:
        if verb == "store" and not fired:
            fired.append(True)
            raise InDoubt("reset")

    world.target().before = before
    assert world.run() == 0
    assert world.same()


# --- duplicates


def twins(world: World, count: int = 3) -> None:
    fill(world.source(), [*mails(4), *([mails(1)[0]] * (count - 1)), *[mails(1, ("Own",))[0]] * 2])


def test_true_duplicates_are_left_out_on_request_only(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.settings = replace(world.settings, dedupe=True)
    twins(world)
    world.source().page_items = 2
    assert world.run() == 0
    assert len(world.target().items(("Inbox",))) == 4
    assert len(world.target().items(("Own",))) == 1  # another folder is no duplicate
    with world.open_ledger() as ledger:
        assert ledger.skipped_by_reason() == [("job-ada", "duplicate", 3)]
    assert world.run() == 0
    assert len(world.target().items()) == 5
    fill(world.source(), [mails(1)[0]])  # one more, on a later pass
    assert world.run() == 0
    assert len(world.target().items()) == 5
    assert world.balance_closes()
    assert world.run(dedupe=False) == 0  # and all of them when they are wanted after all
    assert world.same()


def test_a_copy_that_stands_for_a_twin_is_not_deleted(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.settings = replace(world.settings, dedupe=True, propagate_deletes=True)
    twins(world)
    assert world.run() == 0
    first = min((i for i in world.source().items(("Own",))), key=lambda i: i.ref.id)
    world.source().delete(first.ref.id)
    assert world.run() == 0
    assert len(world.target().items(("Own",))) == 1


def test_items_that_tell_too_little_are_no_duplicates(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.settings = replace(world.settings, dedupe=True)
    bare = replace(Sample("x"), message_id="", subject="")
    fill(world.source(), [bare, bare])
    assert world.run() == 0
    assert len(world.target().items()) == 2


@pytest.mark.parametrize("stores", [1, 4, 7])
@pytest.mark.parametrize("page_items", [2, 100])
def test_a_move_after_a_first_pass_that_was_cut_off(tmp_path: Path, stores: int, page_items: int) -> None:
    world = World(tmp_path)
    world.settings = replace(world.settings, uploaders=1, batch_items=1)
    fill(world.source(), [*mails(5), *mails(5, ("Own",), 50), *mails(2, ("Zoo",), 70)])
    world.source().page_items = page_items

    def before(verb: str, detail: object) -> None:
        if verb == "store" and world.target().calls["store"] == stores:
            world.stop.request()

    world.target().before = before
    assert world.run() == 130
    world.target().before = None
    copied = {item.ref.subject for item in world.target().items()}
    first = next(n for n, i in enumerate(world.source().items(("Inbox",))) if i.ref.subject in copied)
    move(world, first, ("Zoo",))
    move(world, 0, ("Inbox",), ("Own",))
    assert world.run() == 0
    assert world.same()
    assert closes(world)
