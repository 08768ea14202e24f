"""Many mailboxes: so many at once, in their order, and what they share among them.

Shared things (the line, this process, the slots of an endpoint) have a capacity; a mailbox that moves takes a constant part
of each. While the sum of the parts is no more than the capacity, everybody goes at the pace it has alone. When it is more,
all are slowed by one factor f, so that the thing is used exactly up. In the time that f stretches (dv = f·dt) every
mailbox has the length it has alone, so the queue is a heap of ends, and 600 mailboxes are some 1,200 steps.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import field
from math import inf

from migrator.record import record


@record(frozen=False)
class Entrant:
    """uses: of each shared thing while it moves, in the order of the capacities."""

    fixed_s: float
    moving_s: float
    uses: tuple[float, ...] = ()


@record(frozen=False)
class Passage:
    """In seconds of working time from the start. slowed_s: by which sharing stretched each. tight_s: by shared thing,
    how long it was used up."""

    starts: list[float]
    ends: list[float]
    tight_s: list[float] = field(default_factory=list)

    @property
    def end(self) -> float:
        return max(self.ends, default=0.0)


def pass_through(entrants: Sequence[Entrant], at_once: int, capacities: Sequence[float] = ()) -> Passage:
    """In the order given. capacities: what there is of each shared thing."""
    if not capacities:
        return _unshared(entrants, at_once)
    return _shared(entrants, at_once, capacities)


def _unshared(entrants: Sequence[Entrant], at_once: int) -> Passage:
    starts: list[float] = []
    ends: list[float] = []
    slots = [0.0] * max(1, at_once)
    for one in entrants:
        start = slots[0]
        end = start + one.fixed_s + one.moving_s
        heapq.heapreplace(slots, end)
        starts.append(start)
        ends.append(end)
    return Passage(starts, ends)


def _shared(entrants: Sequence[Entrant], at_once: int, capacities: Sequence[float]) -> Passage:
    count = len(entrants)
    starts, ends = [0.0] * count, [0.0] * count
    things = range(len(capacities))
    used = [0.0] * len(capacities)
    tight = [0.0] * len(capacities)
    opening: list[tuple[float, int]] = []  # ends in real time: sign-in and folder lists share nothing
    moving: list[tuple[float, int]] = []  # ends in stretched time
    now = stretched = 0.0
    factor, tightest = 1.0, -1
    following = 0
    while True:
        while following < count and len(opening) + len(moving) < max(1, at_once):
            starts[following] = now
            heapq.heappush(opening, (now + entrants[following].fixed_s, following))
            following += 1
        if not opening and not moving:
            return Passage(starts, ends, tight)
        opens = opening[0][0] if opening else inf
        arrives = now + (moving[0][0] - stretched) / factor if moving else inf
        at = min(opens, arrives)
        if tightest >= 0:
            tight[tightest] += at - now
        stretched += (at - now) * factor
        now = at
        if opens <= arrives:
            _, who = heapq.heappop(opening)
            heapq.heappush(moving, (stretched + entrants[who].moving_s, who))
            sign = 1.0
        else:
            stretched, who = heapq.heappop(moving)
            ends[who] = now
            sign = -1.0
        for thing in things:
            used[thing] += sign * entrants[who].uses[thing]
        factor, tightest = 1.0, -1
        for thing in things:
            if used[thing] > capacities[thing] * (1 + 1e-9):
                share = capacities[thing] / used[thing]
                if share < factor:
                    factor, tightest = share, thing
