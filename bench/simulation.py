"""Budgets over half an hour, in seconds: governor and lab throttle on one simulated clock.

A discrete-event simulation: the product's own `Governor` decides when a call may begin, the lab's own `GraphThrottle`
judges it, and between them time jumps from event to event. No threads, no sockets, so the outcome is exact and the same
every time. What it leaves out (the engine that fills the queue, the adapter that makes the requests) is measured with real
threads by `bench.budget --wire`.

An uploader of the simulation does what one of the product does: take the next item, ask the governor, send, be answered
after `latency_s` and the time its octets take on the line, tell the governor what was sent, and go on; a refused item is
sent again when the governor says so.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from migrator.errors import Throttled
from migrator.lab.knobs import GraphLimits
from migrator.lab.throttle import GraphThrottle
from migrator.meter import Sent
from migrator.settings import Limits
from migrator.wrappers.governor import Ask, Governor, Lane
from migrator.wrappers.throttle import ENVELOPE_OCTETS

START = 1_700_000_000.0


class EventClock:
    """The simulation's time. Nobody sleeps on it."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps in a simulation")


@dataclass(slots=True)
class Tally:
    """What one mailbox got."""

    requests: int = 0
    refused: int = 0
    octets: int = 0  # of request bodies that were taken
    wasted: int = 0  # of request bodies that were refused: sent in vain
    most_at_once: int = 0


@dataclass
class Mailbox:
    name: str
    sizes: Iterator[int]  # octets of content of the next item
    tally: Tally = field(default_factory=Tally)
    busy: int = 0
    blocked: deque[Uploader] = field(default_factory=deque)


@dataclass(eq=False)
class Uploader:
    box: Mailbox
    content: int = 0
    ask: Ask = field(default_factory=Ask)
    lane: Lane | None = None


class Simulation:
    """limits: what the governor keeps to, and what the server grants. jitter: share by which calls vary in length."""

    def __init__(
        self,
        limits: Limits,
        server: GraphLimits,
        *,
        latency_s: float = 0.15,
        line_octets_s: float = 8e6,
        uploaders: int = 4,
        jitter: float = 0.3,
        seed: int = 1,
    ) -> None:
        self.clock = EventClock()
        self.governor = Governor("new", limits, self.clock, chance=random.Random(seed).random)
        self.throttle = GraphThrottle()
        self._server = server
        self._latency_s = latency_s
        self._line = line_octets_s
        self._uploaders = uploaders
        self._jitter = jitter
        self._dice = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = 0

    def run(self, boxes: list[Mailbox], seconds: float) -> None:
        for box in boxes:
            for _ in range(self._uploaders):
                uploader = Uploader(box)
                self._at(START + self._dice.random(), lambda one=uploader: self._next(one))
        end = START + seconds
        while self._events and self._events[0][0] < end:
            self.clock.time, _, act = heapq.heappop(self._events)
            act()
        self.clock.time = end

    def _at(self, time: float, act: Callable[[], None]) -> None:
        self._number += 1  # of two events at one moment the earlier made goes first
        heapq.heappush(self._events, (time, self._number, act))

    def _next(self, uploader: Uploader) -> None:
        uploader.content = next(uploader.box.sizes)
        self._ask(uploader)

    def _ask(self, uploader: Uploader) -> None:
        uploader.ask = Ask(uploader.content + ENVELOPE_OCTETS)
        uploader.lane = self.governor.queue(uploader.box.name, uploader.ask)
        self._attempt(uploader)

    def _attempt(self, uploader: Uploader) -> None:
        assert uploader.lane is not None
        wait, _ = self.governor.attempt(uploader.lane, uploader.ask)
        if wait is None:
            uploader.box.blocked.append(uploader)
        elif wait > 0:
            self._at(self.clock.time + wait, lambda: self._attempt(uploader))
        else:
            self.governor.dequeue(uploader.lane, uploader.ask)
            self._wake(uploader.box)
            self._send(uploader)

    def _wake(self, box: Mailbox) -> None:
        waiting, box.blocked = box.blocked, deque()
        for uploader in waiting:
            self._at(self.clock.time, lambda one=uploader: self._attempt(one))

    def _send(self, uploader: Uploader) -> None:
        """The request leaves now, reaches the server within its half of the latency, and is answered after its octets."""
        box = uploader.box
        octets = uploader.content + 180 + self._dice.randrange(40)  # the envelope, as the adapter makes it
        way = self._latency_s * (1 + self._jitter * (2 * self._dice.random() - 1))
        self._at(self.clock.time + way / 2, lambda: self._arrive(uploader, octets, way))
        box.tally.requests += 1

    def _arrive(self, uploader: Uploader, octets: int, way: float) -> None:
        box = uploader.box
        refusal = self.throttle.admit(self._server, "app", box.name, octets, self.clock.time, write=True)
        if refusal is None:
            box.busy += 1
            box.tally.most_at_once = max(box.tally.most_at_once, box.busy)
        took = octets / self._line + way / 2
        told = refusal.retry_after if refusal is not None else None
        self._at(self.clock.time + took, lambda: self._answer(uploader, octets, told))

    def _answer(self, uploader: Uploader, octets: int, retry_after: str | None) -> None:
        box, lane = uploader.box, uploader.lane
        assert lane is not None
        refused = retry_after is not None
        if refused:
            box.tally.refused += 1
            box.tally.wasted += octets
            error = Throttled("over its limit", retry_after_s=_wish(retry_after or "", self.clock.time))
            self.governor.throttled(box.name, error)
        else:
            self.throttle.release(self._server, "app", box.name)
            box.busy -= 1
            box.tally.octets += octets
            self.governor.succeeded(box.name)
        self.governor.leave(lane, uploader.ask, Sent(1, octets, 1))
        self._wake(box)
        if refused:
            self._ask(uploader)
        else:
            self._next(uploader)


def _wish(text: str, now: float) -> float | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)


def mail_sizes(seed: int, *, median: int = 60_000, largest: int = 20 << 20) -> Iterator[int]:
    """Sizes of base64 content as mail has them: many small, few large (log-normal)."""
    import math

    dice = random.Random(seed)
    while True:
        yield min(largest, max(2_000, int(dice.lognormvariate(math.log(median), 1.4))))


def same_size(octets: int) -> Iterator[int]:
    while True:
        yield octets
