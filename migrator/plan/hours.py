"""When a run may work: not before a moment, until a moment, not in quiet hours; and what people write for them.

    not_before = "Fri 20:00"                 the next such moment
    stop_at = "Mon 06:00"                    likewise; also "06:00", "2026-11-23 06:00", "2026-11-23T06:00+01:00"
    quiet_hours = ["Mon-Fri 08:00-18:00"]    every week; also "12:00-13:00", "Sat,Sun 00:00-24:00", "22:00-05:00"
    time_zone = "Europe/Berlin"              in which these are meant; without it the machine's own

A weekly not_before and stop_at together are a window: who starts within it works at once, and does not wait for the next.
Times are those of the wall in that zone, so a window keeps its hours when the clocks change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta, tzinfo

from migrator.record import record

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY = r"(mon|tue|wed|thu|fri|sat|sun)[a-z]*"
_CLOCK = r"(\d{1,2}):(\d{2})"


@record
class Quiet:
    """One span of a week. days: 0 is Monday, on which it begins; minutes after midnight, end before begin is the day after."""

    days: frozenset[int]
    begins: int
    ends: int


@record
class Hours:
    """Moments are aware. zone None is the machine's own."""

    not_before: datetime | None = None
    stop_at: datetime | None = None
    quiet: tuple[Quiet, ...] = ()
    zone: tzinfo | None = None
    zone_name: str = ""

    def closed(self, now: float) -> tuple[float, str]:
        """Seconds from now (epoch) for which no call may begin, and why; (0, "") when it may."""
        if self.not_before is not None and self.not_before.timestamp() > now:
            return self.not_before.timestamp() - now, f"not before {self.words(self.not_before)}"
        until = self._quiet_until(now)
        if until is None:
            return 0.0, ""
        return until.timestamp() - now, f"quiet hours until {self.words(until)}"

    def over(self, now: float) -> bool:
        return self.stop_at is not None and now >= self.stop_at.timestamp()

    def next_quiet(self, now: float) -> float | None:
        """When (epoch) quiet hours begin next, of a moment that is not in them; None without any."""
        today = datetime.fromtimestamp(now, self.zone).astimezone(self.zone).date()
        begins = [
            begin
            for span in self.quiet
            for ahead in range(9)
            if (day := today + timedelta(days=ahead)).weekday() in span.days
            and (begin := _wall(day, span.begins, self.zone).timestamp()) > now
        ]
        return min(begins, default=None)

    def words(self, moment: datetime) -> str:
        """A moment with its zone: "Mon 2026-11-23 06:00 CET (Europe/Berlin)"."""
        local = moment.astimezone(self.zone)
        name = f" ({self.zone_name})" if self.zone_name and self.zone_name != local.tzname() else ""
        return f"{local:%a %Y-%m-%d %H:%M} {local.tzname() or f'{local:%z}'}{name}"

    def _quiet_until(self, now: float) -> datetime | None:
        if not self.quiet:
            return None
        found: datetime | None = None
        at = datetime.fromtimestamp(now, self.zone).astimezone(self.zone)
        for _ in range(8):  # spans that touch are one
            ends = [end for span in self.quiet if (end := _end_of(span, at, self.zone)) is not None]
            if not ends:
                return found
            found = at = max(ends)
        return found


def _end_of(span: Quiet, at: datetime, zone: tzinfo | None) -> datetime | None:
    """When the span that covers this moment ends; None when it does not cover it."""
    for back in (0, 1):
        day = (at - timedelta(days=back)).date()
        if day.weekday() not in span.days:
            continue
        begins = _wall(day, span.begins, zone)
        ends = _wall(day, span.ends if span.ends > span.begins else span.ends + 24 * 60, zone)
        if begins.timestamp() <= at.timestamp() < ends.timestamp():
            return ends
    return None


def _wall(day: date, minutes: int, zone: tzinfo | None) -> datetime:
    on = day + timedelta(days=minutes // (24 * 60))
    clock = time(minutes % (24 * 60) // 60, minutes % 60)
    naive = datetime.combine(on, clock)
    return naive.replace(tzinfo=zone) if zone is not None else naive.astimezone()


def hours_of(
    *, not_before: str, stop_at: str, quiet_hours: Sequence[str], time_zone: str, now: datetime
) -> Hours:
    """Raises ValueError with words for a person, one fault."""
    zone = zone_of(time_zone)
    begin = parse_moment(not_before, zone, now) if not_before else None
    end = parse_moment(stop_at, zone, now) if stop_at else None
    if end is not None and end <= now:
        raise ValueError(f"stop_at {stop_at!r} has passed")
    if begin is not None and end is not None and end <= begin:
        if is_weekly(not_before) and is_weekly(stop_at):
            begin = None  # within the window: it began before now
        else:
            raise ValueError("stop_at is not after not_before, so nothing would be copied")
    quiet = tuple(parse_quiet(text) for text in quiet_hours)
    return Hours(begin, end, quiet, zone, time_zone)


def deadline_of(text: str, time_zone: str, now: datetime) -> float | None:
    """Epoch seconds of a deadline, None for "". It may have passed: late is not wrong. Raises ValueError."""
    return parse_moment(text, zone_of(time_zone), now).timestamp() if text else None


def zone_of(name: str) -> tzinfo | None:
    """None for "", the machine's own. Raises ValueError."""
    if not name:
        return None
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is no time zone: write its name, such as Europe/Berlin or UTC") from None


def is_weekly(text: str) -> bool:
    """Whether a moment comes again: "Mon 06:00" or "06:00", and not a date."""
    return re.fullmatch(rf"\s*(?:{_DAY}\s+)?{_CLOCK}\s*", text, re.IGNORECASE) is not None


def parse_moment(text: str, zone: tzinfo | None, now: datetime) -> datetime:
    """A moment as `not_before` and `stop_at` have it; a weekly one is its next occurrence. Raises ValueError."""
    found = re.fullmatch(rf"\s*(?:{_DAY}\s+)?{_CLOCK}\s*", text, re.IGNORECASE)
    if found is None:
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError:
            raise ValueError(
                f'{text!r} is no moment: write "Mon 06:00", "06:00" or "2026-11-23 06:00"'
            ) from None
        if moment.tzinfo is not None:
            return moment
        return moment.replace(tzinfo=zone) if zone is not None else moment.astimezone()
    minutes = _minutes(found[2], found[3], text)
    today = now.astimezone(zone).date()
    for ahead in range(9):
        day = today + timedelta(days=ahead)
        moment = _wall(day, minutes, zone)
        if moment > now and (not found[1] or day.weekday() == DAYS.index(found[1].lower())):
            return moment
    raise ValueError(f"{text!r} is no moment")


def parse_quiet(text: str) -> Quiet:
    """Raises ValueError."""
    found = re.fullmatch(rf"\s*(?:([a-z][a-z,\s-]*?)\s+)?{_CLOCK}\s*-\s*{_CLOCK}\s*", text, re.IGNORECASE)
    if found is None:
        raise ValueError(f'{text!r}: quiet hours are written "Mon-Fri 08:00-18:00" or "12:00-13:00"')
    begins = _minutes(found[2], found[3], text)
    ends = _minutes(found[4], found[5], text)
    if begins == ends:
        raise ValueError(f"{text!r}: begins and ends at the same time; a whole day is 00:00-24:00")
    return Quiet(_days(found[1] or "mon-sun", text), begins, ends)


def _days(text: str, whole: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.lower().replace(" ", "").split(","):
        first, _, last = part.partition("-")
        try:
            begin, end = DAYS.index(first[:3]), DAYS.index((last or first)[:3])
        except ValueError:
            raise ValueError(f"{whole!r}: days are Mon, Tue, Wed, Thu, Fri, Sat, Sun") from None
        days |= {day % 7 for day in range(begin, end + 1 if end >= begin else end + 8)}
    return frozenset(days)


def _minutes(hour: str, minute: str, whole: str) -> int:
    total = int(hour) * 60 + int(minute)
    if int(minute) > 59 or total > 24 * 60:
        raise ValueError(f"{whole!r}: a time of day is 00:00 to 24:00")
    return total


def parse_duration_s(text: str) -> float:
    """ "90s", "30m", "4h", "2d" → seconds. Raises ValueError."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", text, re.IGNORECASE)
    if found is None:
        raise ValueError(f"{text!r} is no duration: write 90s, 30m, 4h or 2d")
    return float(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[found[2].lower()]


def parse_rate(text: str) -> float:
    """ "200Mbit", "25MB", "25 MiB/s" → octets a second. Raises ValueError."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]?)(i?)(bit|b)(?:ps|/s)?\s*", text, re.IGNORECASE)
    if found is None or float(found[1]) <= 0:
        raise ValueError(f"{text!r} is no rate: write 200Mbit or 25MB (a second)")
    step = 1024 if found[3] else 1000
    amount = float(found[1]) * step ** " kmg".index(found[2].lower() or " ")
    return float(amount / 8 if found[4].lower() == "bit" else amount)


def checked(read: Callable[[str], object]) -> Callable[[str], str]:
    """A reader as a check that keeps the text."""

    def check(text: str) -> str:
        read(text)
        return text

    return check
