"""A cap on the line: so many octets a second over all endpoints and mailboxes of this process, one direction each.

Kept as a generic cell rate: one moment, until which the line is spoken for. It may run ahead of now by BURST_S, so short
gaps are made up for and nothing is saved for longer. Whoever writes to a socket or reads from one asks for every piece, so
the cap holds within a single large item too.
See: ITU-T I.371, generic cell rate algorithm (virtual scheduling).
"""

from __future__ import annotations

import threading

from migrator.interfaces import Clock

BURST_S = 1.0
PIECE_S = 0.05
PIECE_LEAST, PIECE_MOST = 1 << 10, 256 << 10


class Rate:
    """Thread-safe. octets_s: the cap."""

    def __init__(self, octets_s: float) -> None:
        if octets_s <= 0:
            raise ValueError("a rate is more than nothing")
        self.octets_s = octets_s
        self._spoken_for = 0.0
        self._lock = threading.Lock()

    def take(self, now: float, octets: int) -> float:
        """Take leave to send so many octets; 0 when it is given, else the seconds to wait before asking again."""
        with self._lock:
            wait = self._spoken_for - BURST_S - now
            if wait > 0:
                return wait
            self._spoken_for = max(self._spoken_for, now) + octets / self.octets_s
            return 0.0


class Pace:
    """`interfaces.Pace` of one process, both directions. Thread-safe.

    clock: one whose sleepers are not let go by a stop: what is in flight is settled at this pace too.
    """

    def __init__(self, octets_s: float, clock: Clock) -> None:
        self._up = Rate(octets_s)
        self._down = Rate(octets_s)
        self._clock = clock
        self.piece = int(min(PIECE_MOST, max(PIECE_LEAST, octets_s * PIECE_S)))

    def up(self, octets: int) -> float:
        return self._wait(self._up, octets)

    def down(self, octets: int) -> float:
        return self._wait(self._down, octets)

    def _wait(self, rate: Rate, octets: int) -> float:
        waited = 0.0
        while (wait := rate.take(self._clock.monotonic(), octets)) > 0:
            self._clock.sleep(wait)
            waited += wait
        return waited
