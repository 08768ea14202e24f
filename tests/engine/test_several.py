"""Items of several folders in one call: each folder's end is its own."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from migrator.adapters.memory import open_box
from migrator.errors import InDoubt, JobError, Transient
from migrator.formats.content import MemoryContent
from migrator.model import Folder, Format, Item, Kind, Outcome, State
from migrator.settings import Limits
from migrator.wrappers.retry import Patience, RetryingTarget
from tests.contracts.samples import mails
from tests.engine.harness import World, contents, fill

FOLDERS = [(f"Folder {n}",) for n in range(6)]


class Together:
    """Holds back the first request until the reader has put all folders on their way, and counts what came in each."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.sizes: list[int] = []
        self.spoil: Any = lambda folder, items: None  # an exception, to be raised after the folder was stored
        world.dress_target = self._dress

    def _dress(self, target: Any) -> Any:
        return _Dressed(target, self)


class _Dressed:
    def __init__(self, inner: Any, together: Together) -> None:
        self._inner = inner
        self._together = together

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def store_all(self, batches: Sequence[tuple[Folder, Sequence[Item]]]) -> list[list[Outcome]]:
        self._together.sizes.append(len(batches))
        results: list[list[Outcome]] = []
        for folder, items in batches:
            outcomes = self._inner.store(folder, items)
            error = self._together.spoil(folder, items)
            if isinstance(error, KeyError):
                raise error
            if error is not None:
                outcomes = [Outcome(item.ref, State.FAILED, error=error) for item in items]
            results.append(outcomes)
        return results


def empty(world: World, folder: Folder) -> None:
    for item in world.target().items(folder.path):
        world.target().delete(item.ref.id)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.settings = replace(world.settings, mailboxes=1, uploaders=1, batch_items=2)
    for number, path in enumerate(FOLDERS):
        fill(world.source(), mails(3, path, 10 * number))
    traits = replace(world.target().traits, store_items=100, several_folders=True)
    world.target().traits = traits
    # The uploader waits until the reader has read all: then what waits is of several folders.
    read = threading.Event()

    def on_event(event: object) -> None:
        if type(event).__name__ == "FolderStarted" and event.path == FOLDERS[-1]:  # type: ignore[attr-defined]
            read.set()

    def before(verb: str, detail: object) -> None:
        if verb == "store":
            assert read.wait(20)

    world.on_event = on_event
    world.target().before = before
    return world


def test_folders_share_a_request(world: World) -> None:
    together = Together(world)
    assert world.run() == 0
    assert world.same()
    assert max(together.sizes) >= 3, together.sizes
    calls = Counter(world.target().calls)
    assert world.run() == 0
    assert world.target().calls["store"] == calls["store"]


def test_a_lost_answer_for_one_folder_is_looked_up_there(world: World) -> None:
    together = Together(world)
    lost: list[Folder] = []

    def spoil(folder: Folder, items: Sequence[Item]) -> Exception | None:
        if not lost:
            lost.append(folder)
            return InDoubt("the answer was lost")
        return None

    together.spoil = spoil
    assert world.run() == 0
    assert lost
    assert world.same()


def test_a_defect_in_the_midst_doubles_nothing(world: World) -> None:
    together = Together(world)
    seen: list[Folder] = []

    def spoil(folder: Folder, items: Sequence[Item]) -> Exception | None:
        seen.append(folder)
        return KeyError("a defect") if len(seen) == 2 else None

    together.spoil = spoil
    assert world.run() == 0
    assert world.same()


def test_what_stops_the_mailbox_in_one_folder_keeps_what_others_have(world: World) -> None:
    together = Together(world)
    full: list[Folder] = []

    def spoil(folder: Folder, items: Sequence[Item]) -> Exception | None:
        if len(together.sizes) and not full and folder.path == FOLDERS[2]:
            full.append(folder)
            empty(world, folder)
            return JobError("full", code="quota_full", remedy="make room")
        return None

    together.spoil = spoil
    assert world.run() != 0
    assert not contents(world.target()) - contents(world.source())
    world.on_event = None
    world.target().before = None
    assert world.run() == 0
    assert world.same()


def test_the_wrapper_that_repeats_takes_each_folder_for_itself(world: World) -> None:
    together = Together(world)
    once: list[int] = []

    def spoil(folder: Folder, items: Sequence[Item]) -> Exception | None:
        if folder.path == FOLDERS[1] and not once:
            once.append(1)
            empty(world, folder)
            return Transient("503", code="http_503")
        return None

    together.spoil = spoil
    world.target().before = None
    box: Any = _Dressed(open_box(world.target()), together)
    target = RetryingTarget(box, Patience(Limits(), world.clock))
    batches = []
    for path in FOLDERS[:3]:
        (item, *_) = world.source().items(path)
        folder = target.ensure_folder(path, Kind.MAIL)
        batches.append((folder, [Item(item.ref, Format.FTS, MemoryContent([item.data]))]))
    results = target.store_all(batches)
    assert [outcome.state for outcomes in results for outcome in outcomes] == [State.COPIED] * 3
    assert once
    assert [len(world.target().items(path)) for path in FOLDERS[:3]] == [1, 1, 1]
