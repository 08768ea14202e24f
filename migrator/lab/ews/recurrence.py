"""RRULE and EXDATE out of PidLidAppointmentRecur (MS-OXOCAL 2.2.1.44.1), for the iCalendar that GetItem gives."""

from __future__ import annotations

import struct
from datetime import datetime, timedelta

_DAYS = ("SU", "MO", "TU", "WE", "TH", "FR", "SA")
_DAILY, _WEEKLY, _MONTHLY, _YEARLY = 0x200A, 0x200B, 0x200C, 0x200D


def _moment(minutes: int) -> datetime:
    return datetime(1601, 1, 1) + timedelta(minutes=minutes)


def lines(packed: bytes, all_day: bool) -> list[str]:
    """iCalendar lines; empty for a pattern that is damaged or of a kind that iCalendar has no words for."""
    try:
        return _lines(packed, all_day)
    except (struct.error, OverflowError):
        return []


def _lines(packed: bytes, all_day: bool) -> list[str]:
    frequency, pattern, _calendar, _first, period, _sliding = struct.unpack_from("<HHHIII", packed, 4)
    at = 22
    rule = []
    if pattern == 0:  # day
        rule = ["FREQ=DAILY", f"INTERVAL={max(1, period // 1440)}"]
    elif pattern == 1:  # week
        (mask,) = struct.unpack_from("<I", packed, at)
        at += 4
        rule = [
            "FREQ=WEEKLY",
            f"INTERVAL={period}",
            "BYDAY=" + ",".join(d for n, d in enumerate(_DAYS) if mask >> n & 1),
        ]
    elif pattern in (2, 4):  # day of month, month end
        (day,) = struct.unpack_from("<I", packed, at)
        at += 4
        rule = _monthly(frequency, period, [f"BYMONTHDAY={-1 if day >= 31 or pattern == 4 else day}"])
    elif pattern == 3:  # n-th weekday of month
        mask, nth = struct.unpack_from("<II", packed, at)
        at += 8
        days = ",".join(d for n, d in enumerate(_DAYS) if mask >> n & 1)
        rule = _monthly(frequency, period, [f"BYDAY={days}", f"BYSETPOS={-1 if nth == 5 else nth}"])
    else:
        return []
    end, count, _first_day, deleted = struct.unpack_from("<IIII", packed, at)
    at += 16
    gone = struct.unpack_from(f"<{deleted}I", packed, at)
    at += 4 * deleted
    (modified,) = struct.unpack_from("<I", packed, at)
    at += 4 + 4 * modified
    start_date, end_date = struct.unpack_from("<II", packed, at)
    if end == 0x2021:
        rule.append(f"UNTIL={_moment(end_date):%Y%m%d}" + ("" if all_day else "T235959Z"))
    elif end == 0x2022:
        rule.append(f"COUNT={count}")
    if frequency == _YEARLY:
        rule.append(f"BYMONTH={_moment(start_date).month}")
    found = ["RRULE:" + ";".join(rule)]
    found.extend(f"EXDATE;VALUE=DATE:{_moment(day):%Y%m%d}" for day in gone)
    return found


def _monthly(frequency: int, period: int, by: list[str]) -> list[str]:
    if frequency == _YEARLY:
        return ["FREQ=YEARLY", f"INTERVAL={max(1, period // 12)}", *by]
    return ["FREQ=MONTHLY", f"INTERVAL={max(1, period)}", *by]
