"""Recurrence of appointments (PidLidAppointmentRecur) and tasks (PidLidTaskRecurrence), both ways.

See MS-OXOCAL 2.2.1.44. Dates are minutes since 1601-01-01 in the appointment's own time zone. Reading and writing a blob
gives the same octets, reserved blocks and whatever stands behind the end included.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import field
from datetime import datetime, timedelta
from typing import Any, Final

from migrator.mapi.blobs import BlobError
from migrator.record import record

DAILY, WEEKLY, MONTHLY, YEARLY = 0x200A, 0x200B, 0x200C, 0x200D
DAY, WEEK, MONTH, MONTH_NTH, MONTH_END = 0, 1, 2, 3, 4
HIJRI_MONTH, HIJRI_MONTH_NTH, HIJRI_MONTH_END = 0xA, 0xB, 0xC
END_BY_DATE, END_AFTER, END_NEVER = 0x2021, 0x2022, 0x2023
END_NEVER_OLD: Final = 0xFFFFFFFF
NO_END_DATE: Final = 0x5AE980DF

SUBJECT, MEETING_TYPE, REMINDER_DELTA, REMINDER, LOCATION = 0x1, 0x2, 0x4, 0x8, 0x10
BUSY_STATUS, ATTACHMENT, SUB_TYPE, COLOR, BODY = 0x20, 0x40, 0x80, 0x100, 0x200

_MOST: Final = 50_000
"""Deleted or modified instances at most; Outlook stops at 999 occurrences, servers write some thousands."""


@record(frozen=False)
class RecurrencePattern:
    """The first part, all that a task has. day_mask: 1 Sunday … 64 Saturday. nth: 1 to 4, 5 last."""

    frequency: int
    pattern_type: int
    period: int  # minutes for days, weeks, months
    start_date: int
    end_date: int = NO_END_DATE
    end_type: int = END_NEVER
    occurrences: int = 10
    first_day_of_week: int = 0  # 0 Sunday
    day_mask: int = 0
    day: int = 0
    nth: int = 0
    deleted: list[int] = field(default_factory=list)  # midnights, those of modified instances included
    modified: list[int] = field(default_factory=list)
    first_date_time: int = 0
    sliding: int = 0  # tasks: 1 the next one counts from completion
    calendar_type: int = 0
    reader_version: int = 0x3004
    writer_version: int = 0x3004


@record(frozen=False)
class RecurrenceException:
    """One modified instance. Values are None where the instance has the series' own."""

    start: int
    end: int
    original_start: int
    subject: str | None = None
    meeting_type: int | None = None
    reminder_delta: int | None = None
    reminder: int | None = None
    location: str | None = None
    busy_status: int | None = None
    attachment: int | None = None
    sub_type: int | None = None  # 1 all day
    color: int | None = None
    body: bool = False  # the body is its own, in the exception's attachment
    change_highlight: bytes = bytes(4)  # with writer version 3009 and later
    subject_octets: bytes | None = None  # as read, in an unknown code page
    location_octets: bytes | None = None
    other_flags: int = 0
    reserved_1: bytes = b""
    reserved_2: bytes = b""
    wide_times: tuple[int, int, int] | None = None  # as read; normally start, end and original_start again

    @property
    def flags(self) -> int:
        pairs = (
            (SUBJECT, self.subject),
            (MEETING_TYPE, self.meeting_type),
            (REMINDER_DELTA, self.reminder_delta),
            (REMINDER, self.reminder),
            (LOCATION, self.location),
            (BUSY_STATUS, self.busy_status),
            (ATTACHMENT, self.attachment),
            (SUB_TYPE, self.sub_type),
            (COLOR, self.color),
        )
        own = sum(bit for bit, value in pairs if value is not None)
        return own | (BODY if self.body else 0) | self.other_flags


@record(frozen=False)
class AppointmentRecurrence:
    """start_offset, end_offset: minutes from midnight of an occurrence's day."""

    pattern: RecurrencePattern
    start_offset: int
    end_offset: int
    exceptions: list[RecurrenceException] = field(default_factory=list)
    reader_version: int = 0x3006
    writer_version: int = 0x3009
    reserved_1: bytes = b""
    reserved_2: bytes = b""
    tail: bytes = b""


class _Cursor:
    def __init__(self, octets: bytes) -> None:
        self._raw = octets
        self.at = 0

    def take(self, size: int) -> bytes:
        if size > len(self._raw) - self.at:
            raise BlobError(f"a recurrence that is cut at octet {self.at}")
        part = self._raw[self.at : self.at + size]
        self.at += size
        return part

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "little")

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def block(self) -> bytes:
        return self.take(self.u32())

    def list(self) -> list[int]:
        count = self.u32()
        if count > _MOST:
            raise BlobError(f"a recurrence with {count} instances", code="blob_limit")
        return list(struct.unpack(f"<{count}I", self.take(4 * count)))

    def rest(self) -> bytes:
        return self._raw[self.at :]


def parse_pattern(octets: bytes | memoryview) -> tuple[RecurrencePattern, bytes]:
    """The first part (all of a task's blob) and what stands behind it."""
    cursor = _Cursor(bytes(octets))
    return _pattern(cursor), cursor.rest()


def _pattern(cursor: _Cursor) -> RecurrencePattern:
    reader, writer, frequency, kind, calendar = (cursor.u16() for _ in range(5))
    if reader != 0x3004 or writer < 0x3004:
        raise BlobError(f"a recurrence of version {reader:04X}/{writer:04X}")
    first, period, sliding = cursor.u32(), cursor.u32(), cursor.u32()
    mask = day = nth = 0
    if kind == WEEK:
        mask = cursor.u32()
    elif kind in (MONTH, MONTH_END, HIJRI_MONTH, HIJRI_MONTH_END):
        day = cursor.u32()
    elif kind in (MONTH_NTH, HIJRI_MONTH_NTH):
        mask, nth = cursor.u32(), cursor.u32()
    elif kind != DAY:
        raise BlobError(f"a recurrence of unknown pattern {kind:#x}")
    end_type, occurrences, first_day = cursor.u32(), cursor.u32(), cursor.u32()
    deleted, modified = cursor.list(), cursor.list()
    start, end = cursor.u32(), cursor.u32()
    return RecurrencePattern(
        frequency=frequency,
        pattern_type=kind,
        period=period,
        start_date=start,
        end_date=end,
        end_type=end_type,
        occurrences=occurrences,
        first_day_of_week=first_day,
        day_mask=mask,
        day=day,
        nth=nth,
        deleted=deleted,
        modified=modified,
        first_date_time=first,
        sliding=sliding,
        calendar_type=calendar,
        reader_version=reader,
        writer_version=writer,
    )


def parse_recurrence(octets: bytes | memoryview) -> AppointmentRecurrence:
    """An appointment's blob. Raises BlobError on what is cut or unknown; nothing is guessed."""
    cursor = _Cursor(bytes(octets))
    pattern = _pattern(cursor)
    reader, writer = cursor.u32(), cursor.u32()
    start, end, count = cursor.u32(), cursor.u32(), cursor.u16()
    exceptions = [_exception(cursor) for _ in range(count)]
    reserved_1 = cursor.block()
    for exception in exceptions:
        _extension(cursor, exception, writer)
    reserved_2 = cursor.block()
    return AppointmentRecurrence(
        pattern, start, end, exceptions, reader, writer, reserved_1, reserved_2, cursor.rest()
    )


def _exception(cursor: _Cursor) -> RecurrenceException:
    made = RecurrenceException(cursor.u32(), cursor.u32(), cursor.u32())
    flags = cursor.u16()
    if flags & SUBJECT:
        made.subject_octets = _narrow(cursor)
        made.subject = made.subject_octets.decode("cp1252", "surrogateescape")
    if flags & MEETING_TYPE:
        made.meeting_type = cursor.u32()
    if flags & REMINDER_DELTA:
        made.reminder_delta = cursor.u32()
    if flags & REMINDER:
        made.reminder = cursor.u32()
    if flags & LOCATION:
        made.location_octets = _narrow(cursor)
        made.location = made.location_octets.decode("cp1252", "surrogateescape")
    if flags & BUSY_STATUS:
        made.busy_status = cursor.u32()
    if flags & ATTACHMENT:
        made.attachment = cursor.u32()
    if flags & SUB_TYPE:
        made.sub_type = cursor.u32()
    if flags & COLOR:
        made.color = cursor.u32()
    made.body = bool(flags & BODY)
    made.other_flags = flags & ~0x3FF
    return made


def _narrow(cursor: _Cursor) -> bytes:
    outer, inner = cursor.u16(), cursor.u16()
    if outer != inner + 1:
        raise BlobError(f"a text of a recurrence with lengths {outer} and {inner}")
    return cursor.take(inner)


def _extension(cursor: _Cursor, made: RecurrenceException, writer: int) -> None:
    made.change_highlight = cursor.block() if writer >= 0x3009 else b""
    made.reserved_1 = cursor.block()
    if made.subject is None and made.location is None:
        return
    made.wide_times = (cursor.u32(), cursor.u32(), cursor.u32())
    if made.subject is not None:
        made.subject = cursor.take(2 * cursor.u16()).decode("utf-16-le", "surrogatepass")
    if made.location is not None:
        made.location = cursor.take(2 * cursor.u16()).decode("utf-16-le", "surrogatepass")
    made.reserved_2 = cursor.block()


def build_pattern(pattern: RecurrencePattern) -> bytes:
    """The first part; all that a task has."""
    p = pattern
    wire = struct.pack(
        "<5H", p.reader_version, p.writer_version, p.frequency, p.pattern_type, p.calendar_type
    )
    wire += struct.pack("<3I", p.first_date_time, p.period, p.sliding)
    if p.pattern_type == WEEK:
        wire += struct.pack("<I", p.day_mask)
    elif p.pattern_type in (MONTH, MONTH_END, HIJRI_MONTH, HIJRI_MONTH_END):
        wire += struct.pack("<I", p.day)
    elif p.pattern_type in (MONTH_NTH, HIJRI_MONTH_NTH):
        wire += struct.pack("<2I", p.day_mask, p.nth)
    elif p.pattern_type != DAY:
        raise BlobError(f"a recurrence of unknown pattern {p.pattern_type:#x}")
    wire += struct.pack("<3I", p.end_type, p.occurrences, p.first_day_of_week)
    for instances in (p.deleted, p.modified):
        wire += struct.pack(f"<{len(instances) + 1}I", len(instances), *instances)
    return wire + struct.pack("<2I", p.start_date, p.end_date)


def build_recurrence(value: AppointmentRecurrence) -> bytes:
    wire = build_pattern(value.pattern)
    wire += struct.pack(
        "<4I", value.reader_version, value.writer_version, value.start_offset, value.end_offset
    )
    wire += struct.pack("<H", len(value.exceptions))
    for made in value.exceptions:
        wire += struct.pack("<3IH", made.start, made.end, made.original_start, made.flags)
        if made.subject is not None:
            wire += _narrow_wire(made.subject, made.subject_octets)
        for number in (made.meeting_type, made.reminder_delta, made.reminder):
            wire += b"" if number is None else struct.pack("<I", number)
        if made.location is not None:
            wire += _narrow_wire(made.location, made.location_octets)
        for number in (made.busy_status, made.attachment, made.sub_type, made.color):
            wire += b"" if number is None else struct.pack("<I", number)
    wire += _block(value.reserved_1)
    for made in value.exceptions:
        if value.writer_version >= 0x3009:
            wire += _block(made.change_highlight)
        wire += _block(made.reserved_1)
        if made.subject is None and made.location is None:
            continue
        wire += struct.pack("<3I", *(made.wide_times or (made.start, made.end, made.original_start)))
        for text in (made.subject, made.location):
            if text is not None:
                octets = text.encode("utf-16-le", "surrogatepass")
                wire += struct.pack("<H", len(octets) // 2) + octets
        wire += _block(made.reserved_2)
    return wire + _block(value.reserved_2) + value.tail


def _narrow_wire(text: str, octets: bytes | None) -> bytes:
    raw = octets if octets is not None else text.encode("cp1252", "replace")
    return struct.pack("<HH", len(raw) + 1, len(raw)) + raw


def _block(octets: bytes) -> bytes:
    return struct.pack("<I", len(octets)) + octets


def minutes_of(moment: datetime) -> int:
    """Minutes since 1601-01-01 of a naive local time."""
    return int((moment - datetime(1601, 1, 1)).total_seconds()) // 60


def local_time(minutes: int) -> datetime | None:
    """The naive local time; None when it has no year below 10000."""
    try:
        return datetime(1601, 1, 1) + timedelta(minutes=minutes)
    except OverflowError:
        return None


def meaning(value: RecurrencePattern | AppointmentRecurrence) -> dict[str, Any]:
    """What a recurrence says, without how it was written down: equal for two blobs that mean the same.

    Left out: versions and reserved blocks, the calendar type of Gregorian patterns, the first date-time (derived), the
    occurrence count where the end is told otherwise, the order of lists, texts in the server's own code page.
    """
    pattern = value.pattern if isinstance(value, AppointmentRecurrence) else value
    never = pattern.end_type in (END_NEVER, END_NEVER_OLD)
    said: dict[str, Any] = {
        "frequency": pattern.frequency,
        "pattern": pattern.pattern_type,
        "calendar": pattern.calendar_type if pattern.pattern_type >= HIJRI_MONTH else 0,
        "period": pattern.period,
        "days": pattern.day_mask,
        "day": pattern.day,
        "nth": pattern.nth,
        "regenerates": pattern.sliding,
        "start": pattern.start_date,
        "end": None if never else pattern.end_date,
        "occurrences": pattern.occurrences if pattern.end_type == END_AFTER else None,
        # The first day of the week matters where weeks are skipped.
        "week starts": pattern.first_day_of_week
        if pattern.pattern_type == WEEK and pattern.period > 1
        else None,
        "deleted": sorted(pattern.deleted),
        "modified": sorted(pattern.modified),
    }
    if isinstance(value, AppointmentRecurrence):
        said["from"], said["to"] = value.start_offset, value.end_offset
        said["exceptions"] = sorted(
            (
                {
                    "original": e.original_start,
                    "start": e.start,
                    "end": e.end,
                    "subject": e.subject,
                    "location": e.location,
                    "meeting type": e.meeting_type,
                    "reminder": e.reminder,
                    "reminder delta": e.reminder_delta,
                    "busy": e.busy_status,
                    "all day": e.sub_type,
                    "color": e.color,
                    "attachment": e.attachment,
                    "own body": e.body,
                }
                for e in value.exceptions
            ),
            key=lambda e: (e["original"], e["start"]),
        )
    return said


_DAYS: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_NTH: Final = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "last"}


def describe(value: RecurrencePattern | AppointmentRecurrence) -> str:
    """One line for a person: "weekly on Tuesday, 08:00-08:30, from 2010-04-20, 3 left out, 2 changed"."""
    p = value.pattern if isinstance(value, AppointmentRecurrence) else value
    days = " and ".join(name for bit, name in enumerate(_DAYS) if p.day_mask >> bit & 1) or "no day"
    every: dict[int, Callable[[], str]] = {
        DAILY: lambda: _every(p.period // 1440, "day"),
        WEEKLY: lambda: _every(p.period, "week"),
        MONTHLY: lambda: _every(p.period, "month"),
        YEARLY: lambda: _every(p.period // 12, "year"),
    }
    # "Every weekday" is written as daily, but counted in weeks.
    frequency = WEEKLY if p.pattern_type == WEEK else p.frequency
    words = [every.get(frequency, lambda: f"frequency {frequency:04X}")()]
    if p.pattern_type == WEEK:
        words[0] += f" on {days}"
    elif p.pattern_type in (MONTH, HIJRI_MONTH):
        words[0] += f" on day {p.day}"
    elif p.pattern_type in (MONTH_END, HIJRI_MONTH_END):
        words[0] += " on the last day"
    elif p.pattern_type in (MONTH_NTH, HIJRI_MONTH_NTH):
        words[0] += f" on the {_NTH.get(p.nth, str(p.nth))} {days}"
    if isinstance(value, AppointmentRecurrence):
        words.append(f"{_clock(value.start_offset)}-{_clock(value.end_offset)}")
    words.append(f"from {_date(p.start_date)}")
    if p.end_type == END_AFTER:
        words.append(f"{p.occurrences} times")
    elif p.end_type == END_BY_DATE:
        words.append(f"until {_date(p.end_date)}")
    if len(p.deleted) > len(p.modified):
        words.append(f"{len(p.deleted) - len(p.modified)} left out")
    if p.modified:
        words.append(f"{len(p.modified)} changed")
    return ", ".join(words)


def _every(count: int, unit: str) -> str:
    return f"every {unit}" if count == 1 else f"every {count} {unit}s"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _date(minutes: int) -> str:
    moment = local_time(minutes)
    return f"{moment:%Y-%m-%d}" if moment else "a day beyond the calendar"
