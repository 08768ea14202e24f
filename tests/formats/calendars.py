"""Ways to look at calendar items for tests, written apart from the code that they judge."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from migrator.formats.calendar.writing import zone_of
from migrator.mapi import properties as P
from migrator.mapi import recurrence as R
from migrator.mapi.item import Message


def ics(*lines: str, method: str = "", zones: str = "") -> bytes:
    """A calendar around lines of components."""
    head = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//tests//EN",
        *([f"METHOD:{method}"] if method else []),
    ]
    return "\r\n".join([*head, *([zones] if zones else []), *lines, "END:VCALENDAR", ""]).encode()


def event(*lines: str, uid: str = "uid-1@example.com") -> str:
    return "\r\n".join(["BEGIN:VEVENT", f"UID:{uid}", "DTSTAMP:20240101T000000Z", *lines, "END:VEVENT"])


def days_by_search(p: R.RecurrencePattern, last: date) -> Iterator[date]:
    """The days of a pattern, found by asking of every single day whether it is one (MS-OXOCAL 2.2.1.44.1)."""
    start = R.local_time(p.start_date).date()  # type: ignore[union-attr]
    end = R.local_time(p.end_date).date() if p.end_type == R.END_BY_DATE else last  # type: ignore[union-attr]
    count = 0
    day = start
    while day <= min(last, end):
        if _is_one(p, start, day):
            yield day
            count += 1
            if p.end_type == R.END_AFTER and count == p.occurrences:
                return
        day += timedelta(days=1)


def _is_one(p: R.RecurrencePattern, start: date, day: date) -> bool:
    if p.pattern_type == R.DAY:
        return (day - start).days * 1440 % p.period == 0
    if p.pattern_type == R.WEEK:
        sunday = [d - timedelta(days=(d.isoweekday() % 7 - p.first_day_of_week) % 7) for d in (start, day)]
        return (
            bool(p.day_mask >> day.isoweekday() % 7 & 1) and (sunday[1] - sunday[0]).days // 7 % p.period == 0
        )
    if ((day.year - start.year) * 12 + day.month - start.month) % p.period:
        return False
    size = calendar.monthrange(day.year, day.month)[1]
    if p.pattern_type == R.MONTH_END:
        return day.day == size
    if p.pattern_type == R.MONTH:
        return day.day == min(p.day, size)
    hits = [d for d in range(1, size + 1) if p.day_mask >> date(day.year, day.month, d).isoweekday() % 7 & 1]
    return day.day == (hits[-1] if p.nth == 5 else hits[p.nth - 1])


def instants(message: Message, until: datetime) -> dict[datetime, str]:
    """UTC start → subject of each instance of an appointment, read from its binary values alone; up to `until`."""
    p = message.properties
    octets = p.binary(P.PidLidAppointmentRecur)
    if not octets:
        start = p.time(P.PidLidAppointmentStartWhole)
        assert start is not None
        return {start: p.text(P.PidTagSubject)} if start <= until else {}
    blob = R.parse_recurrence(octets)
    zone = zone_of(p, P.PidLidAppointmentTimeZoneDefinitionRecur) or UTC
    deleted = {R.local_time(m) for m in blob.pattern.deleted}
    found = {}
    for day in days_by_search(blob.pattern, until.date() + timedelta(days=2)):
        midnight = datetime.combine(day, datetime.min.time())
        if midnight not in deleted:
            wall = midnight + timedelta(minutes=blob.start_offset)
            found[wall.replace(tzinfo=zone).astimezone(UTC)] = p.text(P.PidTagSubject)
    for entry in blob.exceptions:
        start_wall = R.local_time(entry.start)
        assert start_wall is not None
        subject = entry.subject if entry.subject is not None else p.text(P.PidTagSubject)
        found[start_wall.replace(tzinfo=zone).astimezone(UTC)] = subject
    return {moment: subject for moment, subject in sorted(found.items()) if moment <= until}
