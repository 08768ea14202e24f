"""Working time → wall clock: a run works from `not_before` until `stop_at`, and not in quiet hours.

Weekly windows ("Fri 20:00" to "Mon 06:00") come again: what is not finished in one goes on in the next, as the scheduler
that starts such runs would have it. A run with an end that does not come again has an end, and what lies behind it is None.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from datetime import UTC, datetime

from migrator.plan.hours import Hours, hours_of, is_weekly
from migrator.settings import RunSettings

FAR_S = 400 * 86_400.0
"""Further than this no schedule is followed: what is not done by then counts as never."""


class Opening:
    """now: epoch seconds at which the command is started. Raises ValueError with words for hours that cannot be."""

    def __init__(self, settings: RunSettings, now: float) -> None:
        self.now = now
        self._begins: list[float] = []  # of spans of work, epoch
        self._lengths: list[float] = []
        self._done: list[float] = []  # working time before the span's end
        self._endless = False
        self.closes = False  # whether the hours ever close before the far end
        self._fill(settings)

    def _fill(self, settings: RunSettings) -> None:
        at = self.now
        again = is_weekly(settings.not_before) and is_weekly(settings.stop_at)
        while at < self.now + FAR_S:
            hours = _hours(settings, at)
            end = hours.stop_at.timestamp() if hours.stop_at is not None else None
            if end is None and not hours.quiet:
                if hours.not_before is not None and hours.not_before.timestamp() > at:
                    at = hours.not_before.timestamp()
                    self.closes = True
                self._add(at, None)
                return
            self.closes = True
            self._window(hours, at, end if end is not None else self.now + FAR_S)
            if end is None or not again:
                return
            at = end

    def _window(self, hours: Hours, at: float, end: float) -> None:
        while at < end:
            shut, _ = hours.closed(at)
            if shut > 0:
                at += shut
                continue
            until = hours.next_quiet(at)
            stop = min(end, until if until is not None else end)
            if stop <= at:
                return
            self._add(at, stop)
            at = stop

    def _add(self, begin: float, end: float | None) -> None:
        self._begins.append(begin)
        self._endless = end is None
        self._lengths.append(0.0 if end is None else end - begin)
        before = self._done[-1] if self._done else 0.0
        self._done.append(float("inf") if end is None else before + end - begin)

    def wall(self, worked_s: float) -> float | None:
        """When so much working time has passed; None: never within these hours."""
        place = bisect_left(self._done, worked_s)
        if place >= len(self._begins):
            return None
        before = self._done[place - 1] if place else 0.0
        return self._begins[place] + worked_s - before

    def worked(self, moment: float) -> float:
        """Working time between now and a moment."""
        total = 0.0
        for begin, length, done in zip(self._begins, self._lengths, self._done, strict=True):
            if moment <= begin:
                break
            endless = done == float("inf")
            total += moment - begin if endless else min(length, moment - begin)
        return total


def at_run(settings: RunSettings, begun: float, now: float) -> RunSettings:
    """The settings of a run that was started at `begun`, as they are to be read now: a moment that has passed is past,
    and does not mean the next one of its name."""
    hours = _hours(settings, begun)
    weekly = is_weekly(settings.not_before) and is_weekly(settings.stop_at)
    if not weekly and hours.not_before is not None and hours.not_before.timestamp() <= now:
        settings = replace(settings, not_before="")
    if not weekly and hours.stop_at is not None:
        end = hours.stop_at.isoformat() if hours.stop_at.timestamp() > now else ""
        settings = replace(settings, stop_at=end)
    return settings


def _hours(settings: RunSettings, at: float) -> Hours:
    return hours_of(
        not_before=settings.not_before,
        stop_at=settings.stop_at,
        quiet_hours=settings.quiet_hours,
        time_zone=settings.time_zone,
        now=datetime.fromtimestamp(at, UTC),
    )
