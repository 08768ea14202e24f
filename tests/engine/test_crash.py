"""Death at every call, then the same command again: the end state is that of an undisturbed run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from migrator.adapters.memory import MemoryMailbox
from migrator.model import Role, State
from tests.contracts.samples import mails
from tests.engine.crashing import run_until
from tests.engine.harness import World, fill


def small_world(folder: Path, *, several: bool = False) -> World:
    """Two folders, a true duplicate among the items, pages and batches smaller than the folders.

    several: the target takes several items, of several folders, in one call.
    """
    folder.mkdir(parents=True, exist_ok=True)
    world = World(folder)
    for store, address in ((world.old, "ada@old.example"), (world.new, "ada@new.example")):
        box = store.mailboxes[address] = MemoryMailbox(address, roles=False)
        box.add_folder(("Inbox",), role=Role.INBOX)
        box.page_items = 3
        if several:
            box.traits = replace(box.traits, store_items=6, several_folders=True)
    fill(world.source(), [*mails(4), *mails(1), *mails(2, ("Own",), 20)])
    world.settings = type(world.settings)(mailboxes=1, uploaders=2, batch_items=2)
    return world


def check(world: World, where: str, *, again: bool = True) -> None:
    assert world.run() == 0, where
    assert world.same(), where
    with world.open_ledger() as ledger:
        assert {entry.state for entry in ledger.iter_entries("job-ada")} == {State.COPIED}, where
        for row in ledger.balance():
            assert row.source_total == row.seen == row.copied, where
    if again:
        before = world.target().calls["store"]
        assert world.run() == 0, where
        assert world.target().calls["store"] == before, where


@pytest.mark.parametrize("lane", range(4))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("several", [False, True], ids=["single", "several"])
def test_death_at_every_call(tmp_path: Path, several: bool, after: bool, lane: int) -> None:
    """Lanes share the work. Dying after a call shows its effect without its answer, so every call is tried that way; dying
    before one differs from dying after the one before it only where threads meet, so every second is."""
    at = lane + 1 if after else 2 * lane + 1
    while True:
        world = small_world(tmp_path / f"{at}", several=several)
        # Without the look at what is there already, nothing but the ledger stands between a crash and a double.
        world.settings = replace(world.settings, find_present=lane % 2 == 0)
        death = run_until(world, at, after=after)
        if not death.dead:
            assert at > (30 if several else 40), "the run made fewer calls than this test means to cover"
            break
        check(world, f"died {'after' if after else 'before'} call {at}, {death.verb}", again=lane == 0)
        at += 4 if after else 8


def test_death_again_and_again(tmp_path: Path) -> None:
    """A process that dies early every time still gets there: what it settled stays settled."""
    world = small_world(tmp_path)
    world.settings = type(world.settings)(mailboxes=1, uploaders=1, batch_items=1)
    for life in range(60):
        if not run_until(world, 24 + life % 7, after=life % 2 == 0).dead:
            break
        world.clock.sleep(60)
    check(world, "many lives")
