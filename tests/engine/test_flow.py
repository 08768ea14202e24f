"""Reading and writing side by side: uploads never wait for a page or a folder, memory stays bounded."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from migrator.engine.run import run
from tests.contracts.samples import Sample, mails
from tests.engine.harness import World, fill, job_of


class Gate:
    """Store calls stop here until the test lets one go."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.inside = 0
        self.leave = 0
        self.open = False
        self.most = 0

    def __call__(self, verb: str, detail: object) -> None:
        if verb != "store":
            return
        with self.changed:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.changed.notify_all()
            assert self.changed.wait_for(lambda: self.leave > 0 or self.open, 30)
            self.leave -= 1
            self.inside -= 1

    def wait_for(self, inside: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.inside >= inside, 20), (
                f"only {self.inside} of {inside} store calls are in flight"
            )

    def let_one_go(self) -> None:
        with self.changed:
            self.leave += 1
            self.changed.notify_all()

    def let_all_go(self) -> None:
        with self.changed:
            self.open = True
            self.changed.notify_all()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, settings=replace(World(tmp_path).settings, uploaders=4))


def running(world: World) -> tuple[threading.Thread, list[int]]:
    codes: list[int] = []

    def work() -> None:
        with world.open_ledger() as ledger:
            codes.append(run(world.jobs, world.tools(ledger)))

    thread = threading.Thread(target=work)
    thread.start()
    return thread, codes


def test_four_uploads_are_in_flight_across_pages_and_folders(world: World) -> None:
    """Whenever one ends, another begins without any other ending: no page end and no folder end drains the pipe."""
    folders = [("Inbox",), ("Own",), ("Own", "Deeper"), ("Last",)]
    count = 0
    for number, path in enumerate(folders):
        fill(world.source(), mails(11, path, 100 * number))
        count += 11
    world.source().page_items = 3
    gate = Gate()
    world.target().before = gate
    thread, codes = running(world)
    for done in range(count - 3):
        gate.wait_for(4)
        if done == count - 4:
            break
        inside = world.target().calls["store"]
        gate.let_one_go()
        with gate.changed:
            # the next one is there although the other three have not moved
            assert gate.changed.wait_for(lambda seen=inside: world.target().calls["store"] > seen, 20)  # type: ignore[misc]
    gate.let_all_go()
    thread.join(20)
    assert codes == [0]
    assert gate.most == 4
    assert world.same()


def test_what_is_in_memory_stays_within_the_budget(tmp_path: Path) -> None:
    jobs = [job_of(name, line) for line, name in enumerate(("ada", "bob", "cleo"), 2)]
    world = World(tmp_path, jobs)
    budget = 600_000
    world.settings = replace(
        world.settings, mailboxes=3, inflight_octets=budget, batch_octets=60_000, batch_items=20
    )
    for number, job in enumerate(jobs):
        world.target(job)
        for item in range(120):
            sample = Sample(f"{number}-{item}", message_id=f"<{number}-{item}@x>")
            world.source(job).put(("Inbox",), sample.ref(), bytes([number]) * 10_000)
    gate = Gate()
    for job in jobs:
        world.target(job).before = gate
    with world.open_ledger() as ledger:
        tools = world.tools(ledger)
        codes: list[int] = []
        thread = threading.Thread(target=lambda: codes.append(run(jobs, tools)))
        thread.start()
        gate.wait_for(8)
        # Uploads stand still; readers go on until the budget is full and then wait, all three of them.
        while len(tools.budget._waiting) < 3:
            threading.Event().wait(0.005)
        assert tools.budget.held <= budget
        gate.let_all_go()
        thread.join(30)
        assert codes == [0]
        assert tools.budget.peak <= budget
        assert tools.budget.held == 0
    assert all(world.same(job) for job in jobs)


def test_an_item_larger_than_the_whole_budget_passes(world: World) -> None:
    world.settings = replace(world.settings, inflight_octets=50_000)
    fill(world.source(), mails(10))
    world.source().put(("Inbox",), Sample("large").ref(), b"x" * 300_000)
    fill(world.source(), mails(10, start=20))
    assert world.run() == 0
    assert world.same()


def test_sizes_that_listing_does_not_tell_or_gets_wrong_do_no_harm(world: World) -> None:
    class Unsized:
        def __init__(self, inner: object) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def page(self, folder: object, after: object) -> object:
            page = self.inner.page(folder, after)  # type: ignore[attr-defined]
            sizes = (None, 1, 10_000_000)
            refs = tuple(replace(ref, size=sizes[n % 3]) for n, ref in enumerate(page.refs))
            return replace(page, refs=refs)

    fill(world.source(), mails(30))
    world.settings = replace(world.settings, inflight_octets=100_000)
    world.dress_source = lambda source: Unsized(source)  # type: ignore[assignment,return-value]
    assert world.run() == 0
    assert world.same()


def test_a_run_with_nothing_to_do_starts_no_uploader(world: World) -> None:
    fill(world.source(), mails(5))
    assert world.run() == 0
    opened: list[object] = []

    def watch(target: object) -> object:
        opened.append(target)
        return target

    world.dress_target = watch  # type: ignore[assignment]
    assert world.run() == 0
    assert len(opened) == 1
