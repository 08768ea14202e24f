"""Undo: exactly what this project wrote, and only what nobody changed since."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrator.adapters.memory import open_box
from migrator.engine.undo import Undone, under_lease, undo_mailbox
from migrator.errors import JobError
from migrator.ledger import Lease
from tests.contracts.samples import mails
from tests.engine.harness import World, fill


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def undo(world: World, *, really: bool) -> Undone:
    job = world.jobs[0]
    target = open_box(world.target())
    with world.open_ledger() as ledger:
        if not really:
            return undo_mailbox(job, target, ledger, None)

        def work(lease: Lease) -> Undone:
            return undo_mailbox(job, target, ledger, lease)

        return under_lease(job, ledger, ledger.start_run("undo", {}, "0"), work)


def test_only_ours_and_only_unchanged(world: World) -> None:
    fill(world.source(), [*mails(8), *mails(4, ("Own",), 50)])
    fill(world.target(), mails(2))  # two were there before
    theirs = {item.ref.id for item in world.target().items()}
    assert world.run() == 0
    ours = [item for item in world.target().items() if item.ref.id not in theirs]
    world.target().change(ours[0].ref.id, seen=None)
    world.target().delete(ours[1].ref.id)
    fill(world.target(), mails(1, start=90))  # somebody's own, after us
    counted = undo(world, really=False)
    assert (counted.removed, counted.kept_items, counted.absent, counted.present) == (8, 1, 1, 2)
    assert len(world.target().items()) == 12
    done = undo(world, really=True)
    assert (done.removed, done.kept_items, done.absent, done.present) == (8, 1, 1, 2)
    assert [(kept.why, kept.target_id) for kept in done.kept or ()] == [("changed", ours[0].ref.id)]
    left = {item.ref.id for item in world.target().items()}
    assert theirs < left
    assert ours[0].ref.id in left
    assert len(left) == 4
    again = undo(world, really=True)
    assert (again.removed, again.absent) == (0, 0)


def test_a_run_after_it_copies_again(world: World) -> None:
    fill(world.source(), mails(8))
    assert world.run() == 0
    undo(world, really=True)
    assert not world.target().items()
    assert world.run() == 0
    assert world.same()
    assert world.balance_closes()


def test_what_was_there_and_was_only_updated_stays(world: World) -> None:
    fill(world.source(), mails(3))
    fill(world.target(), mails(3))
    assert world.run() == 0
    first = world.source().items()[0].ref
    for _ in range(2):  # the second update meets an entry that is copied
        first = world.source().change(first.id, seen=not first.seen)
        assert world.run() == 0
    assert world.same()
    done = undo(world, really=True)
    assert done.removed == 0
    assert [kept.why for kept in done.kept or ()] == ["was_there"]
    assert len(world.target().items()) == 3


def test_not_while_a_run_has_the_mailbox(world: World) -> None:
    fill(world.source(), mails(3))
    assert world.run() == 0
    with world.open_ledger() as other:
        assert other.claim("job-ada", other.start_run("delta", {}, "0"))
        with pytest.raises(JobError) as raised:
            undo(world, really=True)
    assert raised.value.code == "owned_elsewhere"
    assert len(world.target().items()) == 3


def test_a_stop_keeps_what_was_done(world: World) -> None:
    fill(world.source(), mails(3))
    assert world.run() == 0
    with world.open_ledger() as ledger:
        lease = ledger.claim("job-ada", ledger.start_run("undo", {}, "0"))
        assert lease is not None
        done = undo_mailbox(world.jobs[0], open_box(world.target()), ledger, lease, lambda: True)
    assert done.removed == 0
    assert len(world.target().items()) == 3
