"""The machine dies: what stands on the disk at the instant of every call to the target is enough to lose and double nothing."""

from __future__ import annotations

import itertools
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from migrator.ledger.database import open_database
from tests.contracts.samples import mails
from tests.engine.harness import FakeClock, World, fill


def photograph(world: World, to: Path) -> Path:
    """The ledger's files as they are: what a power cut would leave. The index of the log (-shm) is memory and is not kept."""
    to.mkdir(parents=True)
    for name in ("ledger.sqlite", "ledger.sqlite-wal"):
        if (world.folder / name).exists():
            shutil.copyfile(world.folder / name, to / name)
    return to


def states(folder: Path) -> dict[str, str]:
    with closing(sqlite3.connect(folder / "ledger.sqlite")) as ledger:
        return dict(ledger.execute("select source_id, state from entry"))


def test_commits_reach_the_disk(tmp_path: Path) -> None:
    database = open_database(tmp_path / "ledger.sqlite", read_only=False)
    with closing(database.writer()) as connection:
        (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
        assert synchronous == 2  # FULL: an fsync with every commit
        assert tuple(connection.execute("PRAGMA journal_mode").fetchone()) == ("wal",)
    database.close()


@pytest.mark.parametrize(("uploaders", "several"), [(1, False), (3, False), (2, True)])
def test_the_power_fails_at_every_store(tmp_path: Path, uploaders: int, several: bool) -> None:
    world = World(tmp_path / "home")
    world.folder.mkdir()
    world.settings = type(world.settings)(mailboxes=1, uploaders=uploaders, batch_items=3)
    fill(world.source(), [*mails(9), *mails(3, ("Own",), 50)])
    if several:
        world.target().traits = replace(world.target().traits, store_items=5, several_folders=True)
    pictures: list[Path] = []
    numbers = itertools.count()  # several uploaders come here at once

    def before(verb: str, detail: object) -> None:
        """Before the first octet leaves, the intent is on the disk, and so is every outcome that was told."""
        if verb == "store":
            assert isinstance(detail, Sequence)
            picture = photograph(world, tmp_path / f"before-{next(numbers)}")
            pictures.append(picture)
            known = states(picture)
            for item in detail:
                assert known.get(item.ref.id) == "sending"

    world.target().before = before
    assert world.run() == 0
    assert len(pictures) == 12 or (several and 3 <= len(pictures) < 12)
    world.target().before = None
    # From every picture, on another machine and with all that the target holds by then: nothing is sent twice.
    for number, picture in enumerate(pictures):
        later = World(picture, clock=FakeClock(world.clock.now() + 60), old=world.old, new=world.new)
        later.settings = world.settings
        calls = world.target().calls["store"]
        assert later.run() == 0, number
        assert later.same(), number
        assert world.target().calls["store"] == calls, f"sent again from picture {number}"
        assert later.balance_closes()
