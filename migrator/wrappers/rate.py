"""A cap on the line: so many octets a second over all endpoints and mailboxes, one direction each.

Kept as a generic cell rate: one moment, until which the line is spoken for. It may run ahead of now by BURST_S, so short
gaps are made up for and nothing is saved for longer. A single large item goes out at the line's own speed and is waited
for afterwards: the cap holds over seconds, not within one request.
See: ITU-T I.371, generic cell rate algorithm (virtual scheduling).
"""

from __future__ import annotations

import threading

BURST_S = 1.0


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

    def charge(self, now: float, octets: int) -> None:
        """Octets that have come already: the next ones wait for them."""
        with self._lock:
            self._spoken_for = max(self._spoken_for, now) + octets / self.octets_s
