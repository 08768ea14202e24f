"""Stopping in two steps, and a clock whose sleepers wake when somebody wants to stop."""

from __future__ import annotations

import threading
import time

from migrator.interfaces import Clock


class Stop:
    """First request: no new batch, settle what is in flight. Second: now.

    Made to be called from a signal handler: it takes no lock that anybody holds for long and never blocks.
    """

    def __init__(self) -> None:
        self._requested = threading.Event()
        self._now = threading.Event()

    def request(self) -> None:
        if self._requested.is_set():
            self._now.set()
        self._requested.set()

    @property
    def requested(self) -> bool:
        return self._requested.is_set()

    @property
    def now(self) -> bool:
        return self._now.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until a stop is requested; returns whether one was."""
        return self._requested.wait(seconds)


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))


class StoppableClock:
    """A clock whose sleepers are let go when a stop is requested. A clock of a test is asked to sleep as it is."""

    def __init__(self, clock: Clock, stop: Stop) -> None:
        self._clock = clock
        self._stop = stop

    def now(self) -> float:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        if isinstance(self._clock, SystemClock):
            self._stop.wait(max(0.0, seconds))
        elif not self._stop.requested:
            self._clock.sleep(seconds)
