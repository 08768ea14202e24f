"""What the calling thread has sent, told by whoever has the wire to whoever keeps a budget.

A server counts requests and octets of request bodies; one verb of an adapter may be one request, or a listing of fifty
pages, or a batch of twenty. Only the wire knows, and only the governor must know: this is the word between them. It is
kept per thread, because an adapter does a verb's work on the thread that called it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from migrator.record import record


@record
class Sent:
    """requests: as the server counts them (members of a batch each). octets: of request bodies. at_once: most that the
    server works on at the same time for one of our calls (of a batch it takes several members side by side)."""

    requests: int = 0
    octets: int = 0
    at_once: int = 0


class _Tally(threading.local):
    requests = 0
    octets = 0
    at_once = 0


_tally = _Tally()


def sent(octets: int, requests: int = 1, at_once: int = 1) -> None:
    """A request has left, or is about to: it counts at the server even when it is refused or its answer is lost."""
    _tally.requests += requests
    _tally.octets += octets
    if at_once > _tally.at_once:
        _tally.at_once = at_once


def take() -> Sent:
    """What this thread has sent since it was last asked."""
    found = Sent(_tally.requests, _tally.octets, _tally.at_once)
    _tally.requests = _tally.octets = _tally.at_once = 0
    return found


# ---- what is on its way just now, for whoever looks: a view draws it, nothing is decided by it

_flights: dict[str, list[int]] = {}
_flying = threading.Lock()


@contextmanager
def flight(job: str, *, items: int = 0, octets: int = 0, reading: int = 0) -> Iterator[None]:
    """For as long as this lasts, so much of a mailbox is on its way to the target, or being read from the source."""
    _board(job, items, octets, reading)
    try:
        yield
    finally:
        _board(job, -items, -octets, -reading)


def _board(job: str, items: int, octets: int, reading: int) -> None:
    with _flying:
        now = _flights.setdefault(job, [0, 0, 0])
        now[0] += items
        now[1] += octets
        now[2] += reading
        if not any(now):
            del _flights[job]


def flights() -> dict[str, tuple[int, int, int]]:
    """Job → (items being sent, their octets, items being read), of this process."""
    with _flying:
        return {job: (one[0], one[1], one[2]) for job, one in _flights.items()}
