"""Book-keeping that waits for a lull: done before anybody blocks, never lost, never twice."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from migrator import lull
from migrator.interfaces import Clock
from migrator.settings import Limits
from migrator.wrappers.governor import Ask, Governor
from tests.contracts.samples import mails
from tests.engine.harness import World, fill


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_one_thing_is_held_and_done_once() -> None:
    done: list[int] = []
    lull.later(lambda: done.append(1))
    lull.later(lambda: done.append(2))
    assert done == [1]
    lull.now()
    lull.now()
    assert done == [1, 2]


def test_each_thread_has_its_own() -> None:
    done: list[str] = []
    lull.later(lambda: done.append("mine"))
    other = threading.Thread(target=lull.now)
    other.start()
    other.join()
    assert done == []
    lull.now()
    assert done == ["mine"]


class StillClock(Clock):
    def __init__(self) -> None:
        self.at = 0.0
        self.slept: list[tuple[float, int]] = []
        self.done: list[int] = []

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append((seconds, len(self.done)))
        self.at += seconds


def test_who_waits_for_a_budget_has_done_it_before() -> None:
    clock = StillClock()
    governor = Governor("new", Limits(requests=1, requests_window_s=10), clock)
    governor.leave(governor.enter("a@x", Ask()), Ask())
    lull.later(lambda: clock.done.append(1))
    governor.leave(governor.enter("a@x", Ask()), Ask())
    assert [known for _, known in clock.slept] == [1]


def test_a_defect_in_the_book_keeping_is_the_mailboxs_and_nothing_is_doubled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from migrator.ledger import Ledger

    fill(world.source(), mails(12))
    settle = Ledger.settle
    calls: list[int] = []

    def fails_once(self, *arguments, **options):
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError("struck")
        return settle(self, *arguments, **options)

    monkeypatch.setattr(Ledger, "settle", fails_once)
    assert world.run() == 4
    assert world.run() == 0
    assert world.same()


def test_held_tells_whether_there_is_work() -> None:
    assert not lull.held()
    lull.later(lambda: None)
    assert lull.held()
    lull.now()
    assert not lull.held()
