"""The lab's own time: the wall clock, shifted at will, or a frozen one that only moves when told."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta


class LabClock:
    """Seconds since the epoch for everything the lab stamps, expires or throttles.

    start: frozen at this epoch second when given: it moves by `advance` and by `wait`, which then returns at once.
    """

    def __init__(self, start: float | None = None) -> None:
        self._frozen = start
        self._shift = 0.0

    @property
    def frozen(self) -> bool:
        return self._frozen is not None

    def now(self) -> float:
        return (self._frozen if self._frozen is not None else time.time()) + self._shift

    def utc(self) -> datetime:
        """Aware, UTC."""
        return moment(self.now())

    def advance(self, seconds: float) -> None:
        self._shift += seconds

    async def wait(self, seconds: float) -> None:
        if seconds <= 0:
            return
        if self._frozen is not None:
            self._shift += seconds
        else:
            await asyncio.sleep(seconds)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(seconds: float) -> datetime:
    """Epoch seconds as an aware datetime; works before 1970 on every system."""
    return _EPOCH + timedelta(seconds=seconds)
