"""A process that dies at its n-th call: from then on nothing that it does has any effect, and what was not durable is lost."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from migrator.engine.run import run
from migrator.engine.stop import Stop
from migrator.ledger import Ledger
from tests.engine.harness import World


class Crash(Exception):
    """The process is dead."""


class Death:
    """Counts calls over ledger, source and target; at the n-th one life ends, before or after its effect."""

    def __init__(self, at: int, *, after: bool, on_death: Callable[[], None]) -> None:
        self.at = at
        self.after = after
        self.calls = 0
        self.dead = False
        self.verb = ""
        self._on_death = on_death
        self._lock = threading.Lock()

    def call(self, verb: str, act: Callable[[], Any]) -> Any:
        with self._lock:
            if self.dead:
                raise Crash
            self.calls += 1
            mine = self.calls == self.at
            if mine:
                self.verb = verb
                self.dead = not self.after
                if not self.after:
                    self._on_death()
        if mine and not self.after:
            raise Crash
        result = act()
        if mine:
            with self._lock:
                self.dead = True
                self._on_death()
            raise Crash
        if self.dead:
            raise Crash  # the answer comes to a dead process
        return result


class Mortal:
    """Anything whose methods count as calls of a process."""

    def __init__(self, inner: Any, death: Death, verbs: frozenset[str]) -> None:
        self._inner = inner
        self._death = death
        self._verbs = verbs

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name not in self._verbs:
            return found
        return lambda *args, **more: self._death.call(name, lambda: found(*args, **more))


LEDGER = frozenset(
    {
        "claim", "bind", "put_folder", "set_mark", "begin", "settle", "advance", "revive", "release",
        "flush", "sending", "entries", "failed", "claimed_targets", "forget_checkpoint", "set_target",
        "departed", "mark_gone", "mark_moved", "mark_back", "drop",
    }
)  # fmt: skip
TARGET = frozenset(
    {"probe", "folders", "ensure_folder", "mark", "store", "store_all", "page", "versions", "remove"}
)
SOURCE = frozenset({"probe", "folders", "page", "export"})


def run_until(world: World, at: int, *, after: bool) -> Death:
    """Run, dying at the n-th call. The project folder is then what was durable at that instant."""
    rescued = world.folder / "durable"

    def copy() -> None:
        # What a power cut leaves: the files as they are now, whatever the dead process still does to its own.
        rescued.mkdir(exist_ok=True)
        for name in ("ledger.sqlite", "ledger.sqlite-wal"):
            if (world.folder / name).exists():
                shutil.copyfile(world.folder / name, rescued / name)

    death = Death(at, after=after, on_death=copy)
    world.dress_target = lambda target: Mortal(target, death, TARGET)
    world.dress_source = lambda source: Mortal(source, death, SOURCE)
    world.stop = Stop()
    world.events.clear()
    try:
        with world.open_ledger() as ledger:
            mortal: Ledger = Mortal(ledger, death, LEDGER)  # type: ignore[assignment]
            run(world.jobs, world.tools(mortal))
    except Crash:
        assert death.dead
    finally:
        world.dress_target = lambda target: target
        world.dress_source = lambda source: source
    if death.dead:
        for leftover in world.folder.glob("ledger.sqlite*"):
            leftover.unlink()
        for saved in rescued.iterdir():
            shutil.move(saved, world.folder / saved.name)
    return death


def ledger_file(folder: Path) -> Path:
    return folder / "ledger.sqlite"
