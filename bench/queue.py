"""A whole batch of mailboxes on one simulated clock: as `bench.simulation`, with a reader, folders and a queue of mailboxes.

The product's `Governor` gives leave for every call towards the target, the lab's `GraphThrottle` judges it; the reader
exports in batches and runs ahead of the uploaders as the engine's does. Nothing of `migrator.forecast` is used here: this
is the truth that a forecast is held against.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.simulation import START, EventClock, Mailbox, Simulation, Uploader
from migrator.errors import Throttled
from migrator.lab.knobs import GraphLimits
from migrator.lab.throttle import GraphThrottle
from migrator.meter import Sent
from migrator.settings import Limits
from migrator.wrappers.governor import Ask, Governor
from migrator.wrappers.rate import Rate

QUEUE_MOST, QUEUE_AGAIN = 400, 300
BATCH_ITEMS, BATCH_OCTETS = 20, 16 << 20
BETWEEN_S = 0.002
"""Between two imports an uploader settles the outcome of the first: whoever waits for its slot gets it meanwhile."""


@dataclass(slots=True)
class World:
    """How this batch's servers truly are. Times in seconds, rates in octets of content a second."""

    source_call_s: float
    source_item_s: float
    source_octets_s: float
    target_call_s: float
    store_call_s: float
    target_octets_s: float
    jitter: float = 0.3
    ensure_calls: int = 1
    mark_calls: int = 1
    stalls_per_hour: float = 0.0  # of one mailbox's source: it answers late
    stall_s: float = 60.0
    lost_share: float = 0.0  # of imports whose connection breaks and that are sent again


@dataclass
class Box(Mailbox):
    """folders: octets of content of every item, in the order that they are read."""

    folders: Sequence[Sequence[int]] = ()
    waiting: deque[int] = field(default_factory=deque)
    idle: list[Uploader] = field(default_factory=list)
    read: bool = False
    readers: list[Callable[[], None]] = field(default_factory=list)  # that wait for a slot
    reader_waits: Callable[[], None] | None = None
    left: int = 0  # items that are read and not stored
    hands: int = 0  # uploaders that were started
    began: float = 0.0
    ended: float = 0.0


class Batch(Simulation):
    """`run_all(boxes, at_once)`: until the last mailbox has ended. closed: as `Governor` asks it."""

    def __init__(
        self,
        world: World,
        limits: Limits,
        server: GraphLimits,
        *,
        max_rate: float = 0.0,
        closed: Callable[[float], float] | None = None,
        uploaders: int = 4,
        seed: int = 1,
    ) -> None:
        super().__init__(
            limits,
            server,
            latency_s=world.store_call_s,
            line_octets_s=world.target_octets_s,
            uploaders=uploaders,
            jitter=world.jitter,
            seed=seed,
        )
        self.world = world
        self.clock = EventClock()
        self._shut = closed
        self.governor = Governor(
            "new",
            limits,
            self.clock,
            chance=random.Random(seed).random,
            closed=None if closed is None else lambda: (closed(self.clock.time), "closed"),
        )
        self.throttle = GraphThrottle()
        self._rate = Rate(max_rate) if max_rate else None
        self._waiting: deque[Box] = deque()

    def run_all(self, boxes: Sequence[Box], at_once: int) -> float:
        """Seconds from the start to the end of the last."""
        self._waiting = deque(boxes)
        for _ in range(min(at_once, len(boxes))):
            self._begin()
        while self._events:
            self.clock.time, _, act = heapq.heappop(self._events)
            act()
        assert all(box.ended for box in boxes), "a mailbox never ended"
        return max(box.ended for box in boxes) - START

    # --- one mailbox

    def _begin(self) -> None:
        if not self._waiting:
            return
        box = self._waiting.popleft()
        box.began = self.clock.time
        self._steps(self._reading(box))

    def _reading(self, box: Box) -> list[Callable[[Callable[[], None]], None]]:
        steps: list[Callable[[Callable[[], None]], None]] = []
        source, target = self._source_call, self._target_call
        # As the journal of the lab has it for a first pass (`bench.forecast --wire` runs the real thing).
        steps += [lambda then: source(box, 0, 0, then)] * 2
        steps += [lambda then: target(box, then)] * 6
        for sizes in box.folders:
            steps += [lambda then: target(box, then)] * (self.world.ensure_calls + self.world.mark_calls)
            for start in range(0, len(sizes), 500):
                steps.append(lambda then: source(box, 0, 0, then))
                for part in _batches(sizes[start : start + 500]):
                    steps.append(lambda then, part=part: self._export(box, part, then))
        steps.append(lambda then: self._all_read(box))
        return steps

    def _steps(self, steps: list[Callable[[Callable[[], None]], None]], at: int = 0) -> None:
        if at < len(steps):
            steps[at](lambda: self._at(self.clock.time, lambda: self._steps(steps, at + 1)))

    def _source_call(self, box: Box, items: int, octets: int, then: Callable[[], None]) -> None:
        world = self.world
        shut = self._shut(self.clock.time) if self._shut is not None else 0.0
        if shut > 0:
            self._at(self.clock.time + shut, lambda: self._source_call(box, items, octets, then))
            return
        took = self._vary(world.source_call_s) + self._vary(world.source_item_s) * items
        took += octets / world.source_octets_s
        if self._dice.random() < 1 - (1 - world.stalls_per_hour / 3600) ** took:
            took += self._dice.expovariate(1 / world.stall_s)
        self._at(self.clock.time + took, then)

    def _vary(self, seconds: float) -> float:
        return seconds * (1 + self._jitter * (2 * self._dice.random() - 1))

    def _target_call(self, box: Box, then: Callable[[], None]) -> None:
        """A small request of the reader, through governor and throttle."""
        ask = Ask()
        lane = self.governor.queue(box.name, ask)

        def attempt() -> None:
            wait, _ = self.governor.attempt(lane, ask)
            if wait is None:
                box.readers.append(attempt)
            elif wait > 0:
                self._at(self.clock.time + wait, attempt)
            else:
                self.governor.dequeue(lane, ask)
                refusal = self.throttle.admit(self._server, "app", box.name, 0, self.clock.time, write=False)
                self._at(
                    self.clock.time + self._vary(self.world.target_call_s), lambda: answer(refusal is None)
                )

        def answer(taken: bool) -> None:
            box.tally.requests += 1
            if taken:
                self.throttle.release(self._server, "app", box.name)
            else:
                box.tally.refused += 1
                self.governor.throttled(box.name, Throttled("over", retry_after_s=10.0))
            self.governor.leave(lane, ask, Sent(1, 0, 1))
            self._wake(box)
            if taken:
                then()
            else:
                self._target_call(box, then)

        attempt()

    def _export(self, box: Box, sizes: Sequence[int], then: Callable[[], None]) -> None:
        def done() -> None:
            box.waiting.extend(sizes)
            box.left += len(sizes)
            self._feed(box)
            if len(box.waiting) >= QUEUE_MOST:
                box.reader_waits = then
            else:
                then()

        self._source_call(box, len(sizes), sum(sizes), done)

    def _feed(self, box: Box) -> None:
        """As many uploaders as there are items for, up to all of them."""
        while box.waiting and (box.idle or box.hands < self._uploaders):
            if box.idle:
                uploader = box.idle.pop()
            else:
                uploader = Uploader(box)
                box.hands += 1
            self._next(uploader)

    def _next(self, uploader: Uploader) -> None:
        box = uploader.box
        assert isinstance(box, Box)
        if not box.waiting:
            box.idle.append(uploader)
            return
        uploader.content = box.waiting.popleft()
        if box.reader_waits is not None and len(box.waiting) < QUEUE_AGAIN:
            then, box.reader_waits = box.reader_waits, None
            then()
        self._at(self.clock.time + BETWEEN_S, lambda: self._ask(uploader))

    def _send(self, uploader: Uploader) -> None:
        """With a cap on the line: who has leave to call holds its slot and waits for the line."""
        wait = self._rate.take(self.clock.time, uploader.content) if self._rate is not None else 0.0
        if wait > 0:
            self._at(self.clock.time + wait, lambda: self._send(uploader))
        else:
            super()._send(uploader)

    def _wake(self, box: Mailbox) -> None:
        assert isinstance(box, Box)
        readers, box.readers = box.readers, []
        for attempt in readers:
            self._at(self.clock.time, attempt)
        super()._wake(box)

    def _answer(self, uploader: Uploader, octets: int, retry_after: str | None) -> None:
        box = uploader.box
        assert isinstance(box, Box)
        if retry_after is None:
            if self._dice.random() < self.world.lost_share:
                box.waiting.append(uploader.content)  # the connection broke: once more, later
            else:
                box.left -= 1
        super()._answer(uploader, octets, retry_after)
        if box.read and box.left == 0 and not box.ended:
            self._end(box)

    def _all_read(self, box: Box) -> None:
        box.read = True
        if box.left == 0 and not box.ended:
            self._end(box)

    def _end(self, box: Box) -> None:
        box.ended = self.clock.time
        self._begin()


def _batches(sizes: Sequence[int]) -> list[list[int]]:
    found: list[list[int]] = []
    part: list[int] = []
    octets = 0
    for size in sizes:
        if part and (len(part) >= BATCH_ITEMS or octets + size > BATCH_OCTETS):
            found.append(part)
            part, octets = [], 0
        part.append(size)
        octets += size
    if part:
        found.append(part)
    return found
