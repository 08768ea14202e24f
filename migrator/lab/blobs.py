"""Binary values inside items, as the specifications lay them out: entry ids, recurrence, time zones, meeting ids."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from migrator.mapi.item import filetime

_ONE_OFF = UUID("a41f2b81-a3be-1910-9d6e-00dd010f5402").bytes_le
_EX = bytes.fromhex("DCA740C8C042101AB4B908002B2FE182")
_GLOBAL_ID = bytes.fromhex("040000008200E00074C5B7101A82E008")
NEVER = 0x5AE980DF


def one_off(name: str, address: str, kind: str = "SMTP") -> bytes:
    """One-off EntryID, MS-OXCDATA 2.2.5.1; Unicode, no rich text."""
    text = f"{name}\0{kind}\0{address}\0".encode("utf-16-le", "surrogatepass")
    return bytes(4) + _ONE_OFF + struct.pack("<HH", 0, 0x9001) + text


def ex_entry_id(legacy_dn: str) -> bytes:
    """Address book EntryID of a mail user, MS-OXCDATA 2.2.5.2."""
    return bytes(4) + _EX + struct.pack("<II", 1, 0) + legacy_dn.encode("ascii", "replace") + b"\0"


def search_key(kind: str, address: str) -> bytes:
    return f"{kind}:{address}".upper().encode("latin-1", "replace") + b"\0"


def global_object_id(created: datetime, data: bytes, occurrence: datetime | None = None) -> bytes:
    """PidLidGlobalObjectId, MS-OXOCAL 2.2.1.27. occurrence: the day of an exception."""
    day = (
        struct.pack(">HBB", occurrence.year, occurrence.month, occurrence.day)
        if occurrence is not None
        else bytes(4)
    )
    return (
        _GLOBAL_ID
        + day
        + struct.pack("<Q", filetime(created))
        + bytes(8)
        + struct.pack("<I", len(data))
        + data
    )


def conversation_index(when: datetime, topic: UUID, replies: int = 0) -> bytes:
    """PidTagConversationIndex, MS-OXOMSG 2.2.1.3: the upper 48 bits of the time, a GUID, five octets per reply."""
    head = filetime(when).to_bytes(8, "big")[:6]
    return head + topic.bytes + b"".join(struct.pack(">IB", 0x00100000 + n, n & 0xFF) for n in range(replies))


@dataclass(frozen=True, slots=True)
class Zone:
    """A Windows time zone with one rule. Biases in minutes, west is positive; transitions (month, weekday, nth, hour)."""

    key: str
    bias: int
    daylight: int
    to_standard: tuple[int, int, int, int]
    to_daylight: tuple[int, int, int, int]


BERLIN = Zone("W. Europe Standard Time", -60, -60, (10, 0, 5, 3), (3, 0, 5, 2))
TOKYO = Zone("Tokyo Standard Time", -540, 0, (0, 0, 0, 0), (0, 0, 0, 0))


def _system_time(rule: tuple[int, int, int, int]) -> bytes:
    month, weekday, nth, hour = rule
    return struct.pack("<8H", 0, month, weekday, nth, hour, 0, 0, 0)


def time_zone_struct(zone: Zone) -> bytes:
    """PidLidTimeZoneStruct, MS-OXOCAL 2.2.1.39: 48 octets."""
    return (
        struct.pack("<3i", zone.bias, 0, zone.daylight)
        + struct.pack("<H", 0)
        + _system_time(zone.to_standard)
        + struct.pack("<H", 0)
        + _system_time(zone.to_daylight)
    )


def time_zone_definition(zone: Zone, *, recurring: bool) -> bytes:
    """PidLidAppointmentTimeZoneDefinition…, MS-OXOCAL 2.2.1.41."""
    name = zone.key.encode("utf-16-le")
    head = struct.pack("<BBHHH", 2, 1, 6 + len(name), 2, len(zone.key)) + name + struct.pack("<H", 1)
    rule = (
        struct.pack("<BBHHH", 2, 1, 0x3E, 3 if recurring else 2, 1601)
        + bytes(14)
        + struct.pack("<3i", zone.bias, 0, zone.daylight)
        + _system_time(zone.to_standard)
        + _system_time(zone.to_daylight)
    )
    return head + rule


def minutes(local: datetime) -> int:
    """Minutes since 1601-01-01 of a naive local time: how recurrences count."""
    return int((local - datetime(1601, 1, 1)).total_seconds() // 60)


@dataclass(frozen=True, slots=True)
class ChangedDay:
    """A changed occurrence. Times are naive, in the appointment's zone."""

    original: datetime
    start: datetime
    end: datetime
    subject: str = ""
    location: str = ""


def weekly(
    first: datetime,
    length_min: int,
    *,
    weeks: int = 1,
    days: int,
    count: int = 0,
    until: datetime | None = None,
    deleted: Sequence[datetime] = (),
    changed: Sequence[ChangedDay] = (),
) -> bytes:
    """PidLidAppointmentRecur of a weekly series, MS-OXOCAL 2.2.1.44.

    first: naive start of the first occurrence. days: mask, 1 is Sunday, 64 Saturday. count or until; neither is without end.
    until: the day of the last occurrence. deleted: days of removed occurrences; changed ones are added to them.
    """
    day0 = first.replace(hour=0, minute=0, second=0, microsecond=0)
    sunday = minutes(day0) - 1440 * ((first.weekday() + 1) % 7)
    end_type = 0x2022 if count else 0x2021 if until is not None else 0x2023
    if count or until is not None:
        days_of = _occurrences(day0, days, weeks, count, until)
        count, until = len(days_of), days_of[-1]
    parts = [
        struct.pack("<5H", 0x3004, 0x3004, 0x200B, 1, 0),
        struct.pack("<3I", sunday % (weeks * 10080), weeks, 0),
        struct.pack("<I", days),
        struct.pack("<3I", end_type, count or 10, 0),
    ]
    changed = sorted(changed, key=lambda one: one.original)
    removed = sorted(
        [minutes(_day(day)) for day in deleted] + [minutes(_day(one.original)) for one in changed]
    )
    parts.append(struct.pack(f"<I{len(removed)}I", len(removed), *removed))
    moved = sorted(minutes(_day(one.start)) for one in changed)
    parts.append(struct.pack(f"<I{len(moved)}I", len(moved), *moved))
    end = minutes(_day(until)) if until is not None else NEVER
    begin = first.hour * 60 + first.minute
    parts.append(struct.pack("<2I", minutes(day0), end))
    parts.append(struct.pack("<4IH", 0x3006, 0x3009, begin, begin + length_min, len(changed)))
    for one in changed:
        flags = (1 if one.subject else 0) | (0x10 if one.location else 0)
        parts.append(struct.pack("<3IH", minutes(one.start), minutes(one.end), minutes(one.original), flags))
        for text in (one.subject, one.location):
            if text:
                ansi = text.encode("cp1252", "replace")
                parts.append(struct.pack("<2H", len(ansi) + 1, len(ansi)) + ansi)
    parts.append(struct.pack("<I", 0))
    for one in changed:
        parts.append(struct.pack("<2I", 4, 0))  # change highlight
        parts.append(struct.pack("<I", 0))
        if one.subject or one.location:
            parts.append(struct.pack("<3I", minutes(one.start), minutes(one.end), minutes(one.original)))
            for text in (one.subject, one.location):
                if text:
                    wide = text.encode("utf-16-le")
                    parts.append(struct.pack("<H", len(wide) // 2) + wide)
            parts.append(struct.pack("<I", 0))
    parts.append(struct.pack("<I", 0))
    return b"".join(parts)


def _occurrences(
    first: datetime, days: int, weeks: int, count: int, until: datetime | None
) -> list[datetime]:
    """Days of a weekly series that ends."""
    found: list[datetime] = []
    sunday = first - timedelta(days=(first.weekday() + 1) % 7)
    while True:
        for number in range(7):
            day = sunday + timedelta(days=number)
            if not days >> number & 1 or day < first:
                continue
            if until is not None and not count and day > until:
                return found or [first]
            found.append(day)
            if count and len(found) == count:
                return found
        sunday += timedelta(weeks=weeks)


def _day(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def rtf_uncompressed(rtf: bytes) -> bytes:
    """PidTagRtfCompressed that holds RTF as it is, MS-OXRTFCP 2.1.3.1 ("MELA")."""
    return struct.pack("<IIII", len(rtf) + 12, len(rtf), 0x414C454D, 0) + rtf
