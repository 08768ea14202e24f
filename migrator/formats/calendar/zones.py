"""Time zones: names and VTIMEZONE of iCalendar, zoneinfo, and the rules that Exchange keeps with an appointment.

Exchange keeps a zone as rules (MS-OXOCAL 2.2.1.39, .41): per year a bias and two moments, "the last Sunday in March at two".
`definition_of` and `struct_of` derive those from any tzinfo, `RuleZone` turns them into one again. Windows' names come from
tzlocal's table (Unicode CLDR windowsZones). A year with more than two changes (Ramadan in Morocco) does not fit: see `fits`.
"""

from __future__ import annotations

import calendar
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tzlocal.windows_tz import tz_win, win_tz

from migrator.formats.calendar.rules import Rule, RuleError, expand, parse_rule
from migrator.formats.contentlines import Component
from migrator.mapi.blobs import SystemTime, TimeZoneDefinition, TimeZoneRule, TimeZoneStruct
from migrator.record import record

LAST_YEAR: Final = 2040
"""Rules are written for years up to this one; the last of them holds for those after it."""
_ZERO: Final = timedelta(0)
_SUNDAY_FIRST: Final = (1, 2, 3, 4, 5, 6, 0)  # of Monday … Sunday
_OFFSET: Final = re.compile(r"\s*([+-])(\d\d):?(\d\d)(?::?(\d\d))?\s*$")
_GMT: Final = re.compile(r"\(?(?:UTC|GMT)\s*([+-])(\d{1,2}):?(\d\d)?\)?$", re.IGNORECASE)
# Shown names that programs write in place of a key, as far as they were seen.
_SPOKEN: Final = {
    "eastern": "America/New_York",
    "central": "America/Chicago",
    "mountain": "America/Denver",
    "pacific": "America/Los_Angeles",
    "w. europe": "Europe/Berlin",
    "greenwich mean time : dublin, edinburgh, lisbon, london": "Europe/London",
    "z": "UTC",
    "utc": "UTC",
    "gmt": "UTC",
    "coordinated universal time": "UTC",
}


class FixedOffset(tzinfo):
    """A zone that never changes, with a name."""

    def __init__(self, offset: timedelta, name: str) -> None:
        self.offset, self.key = offset, name

    def utcoffset(self, moment: datetime | None) -> timedelta:
        return self.offset

    def dst(self, moment: datetime | None) -> timedelta:
        return _ZERO

    def tzname(self, moment: datetime | None) -> str:
        return self.key


class TurningZone(tzinfo):
    """A zone given by its turning points: UTC moments (naive) with the offset that holds from each on."""

    def __init__(self, name: str, before: timedelta, turns: Iterable[tuple[datetime, timedelta]]) -> None:
        self.key = name
        ordered = sorted(turns)
        self._utc = [moment for moment, _ in ordered]
        self._offsets = [before, *(offset for _, offset in ordered)]
        # Wall times from which the new offset holds. A time in a gap is read with the offset before it (RFC 5545 3.3.5),
        # one that comes twice as its first; fold 1 is the other reading (PEP 495).
        pairs = list(zip(self._utc, self._offsets[:-1], self._offsets[1:], strict=True))
        self._wall = [moment + max(old, new) for moment, old, new in pairs]
        self._wall_folded = [moment + min(old, new) for moment, old, new in pairs]

    def utcoffset(self, moment: datetime | None) -> timedelta:
        if moment is None:
            return self._offsets[-1]
        walls = self._wall_folded if moment.fold else self._wall
        return self._offsets[bisect_right(walls, moment.replace(tzinfo=None))]

    def dst(self, moment: datetime | None) -> timedelta:
        return _ZERO

    def tzname(self, moment: datetime | None) -> str:
        return self.key

    def fromutc(self, moment: datetime) -> datetime:
        plain = moment.replace(tzinfo=None)
        at = bisect_right(self._utc, plain)
        wall = plain + self._offsets[at]
        second = at > 0 and wall < self._wall[at - 1]
        return wall.replace(tzinfo=self, fold=int(second))


# Names ---------------------------------------------------------------------------------------------------------------


def zone_of_name(name: str) -> tzinfo | None:
    """IANA or Windows name, also behind a path (/mozilla.org/20050126_1/Europe/Berlin) or as "(GMT+01:00) …"."""
    plain = name.strip().strip('"').strip()
    if not plain or len(plain) > 200:
        return None
    spoken = _SPOKEN.get(plain.lower())
    for candidate in (spoken, win_tz.get(plain), win_tz.get(plain.title()), plain):
        if candidate and (found := _zoneinfo(candidate)):
            return found
    parts = plain.split("/")
    for start in range(1, len(parts)):  # longest ending first
        if found := _zoneinfo("/".join(parts[start:])):
            return found
    if match := _GMT.match(plain):
        return _fixed(match[1], match[2], match[3] or "0")
    return None


def _fixed(sign: str, hours: str, minutes: str) -> tzinfo | None:
    offset = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
    if abs(offset) >= timedelta(hours=24):
        return None
    return FixedOffset(offset, f"UTC{sign}{int(hours):02}:{int(minutes):02}")


@lru_cache(maxsize=512)
def _zoneinfo(name: str) -> ZoneInfo | None:
    # Keys are checked before zoneinfo takes them for a path.
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}", name) or name == "localtime":
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def windows_name(zone: tzinfo) -> str:
    """The key by which Windows knows the zone; its own name where Windows knows none."""
    key = getattr(zone, "key", "") or "UTC"
    if zone is UTC or key in ("UTC", "Etc/UTC", "Etc/GMT"):
        return "UTC"
    return tz_win.get(key, key)


# VTIMEZONE -----------------------------------------------------------------------------------------------------------


def zone_of_component(component: Component) -> tzinfo | None:
    """The zone that a VTIMEZONE describes (RFC 5545 3.6.5); None when it says nothing usable."""
    turns: dict[datetime, timedelta] = {}
    first: tuple[datetime, timedelta] | None = None
    for part in component.children[:1000]:
        start = _wall(part.text("DTSTART"))
        old, new = _offset(part.text("TZOFFSETFROM")), _offset(part.text("TZOFFSETTO"))
        if part.name not in ("STANDARD", "DAYLIGHT") or start is None or new is None:
            continue
        if old is None:
            old = new
        onsets = {start}
        for line in part.all("RDATE"):
            onsets |= {
                w for text in line.value.split(",")[:500] if (w := _wall(text.split("/")[0])) is not None
            }
        for line in part.all("RRULE")[:5]:
            rule = _yearly(line.value, old)
            if rule is not None:
                # Outlook's zones begin in 1601: what counts is that they go on to years that appointments are in.
                begin = start if start.year >= 1900 else start.replace(year=1900, day=min(start.day, 28))
                onsets |= set(expand(rule, begin, last=datetime(1960, 1, 1)))
                begin = max(begin, datetime(1960, 1, 1, begin.hour, begin.minute, begin.second))
                onsets |= set(expand(rule, begin)) | set(
                    expand(rule, begin.replace(year=begin.year + 60), last=datetime(LAST_YEAR + 60, 1, 1))
                    if rule.count is None
                    else ()
                )
        for onset in onsets:
            try:
                turns[onset - old] = new
            except OverflowError:
                continue
        if first is None or start < first[0]:
            first = (start, old)
    if first is None:
        return None
    name = component.text("TZID") or "Customized Time Zone"
    return TurningZone(name, first[1], turns.items())


def _yearly(text: str, offset: timedelta) -> Rule | None:
    """A yearly rule (others make no zone), UNTIL as a wall time."""
    try:
        rule = parse_rule(text)
    except RuleError:
        return None
    if rule.freq != "YEARLY" or rule.by_set_pos or rule.by_year_day or rule.by_week:
        return None
    if rule.until is not None and re.search(r"UNTIL=[0-9T]+Z", text, re.IGNORECASE):
        rule = replace(rule, until=rule.until + offset)
    # Times of day come from DTSTART; BYHOUR and BYMINUTE of old files say it again.
    return replace(rule, by_hour=(), by_minute=(), by_second=())


def _wall(text: str) -> datetime | None:
    plain = text.strip().upper().rstrip("Z")
    try:
        return datetime.strptime(plain, "%Y%m%dT%H%M%S" if "T" in plain else "%Y%m%d")
    except ValueError:
        return None


def _offset(text: str) -> timedelta | None:
    match = _OFFSET.match(text)
    if match is None:
        return None
    size = timedelta(hours=int(match[2]), minutes=int(match[3]), seconds=int(match[4] or 0))
    if size >= timedelta(hours=24):
        return None
    return -size if match[1] == "-" else size


# Rules ---------------------------------------------------------------------------------------------------------------


@record
class YearRule:
    """What holds in one year. standard, daylight: month 0 where nothing changes."""

    bias: int
    daylight_bias: int
    standard: SystemTime
    daylight: SystemTime


@lru_cache(maxsize=8192)
def turns_of(zone: tzinfo, year: int) -> list[tuple[datetime, timedelta, timedelta]]:
    """Changes of the offset in a year of UTC: (naive UTC moment, offset before, offset after)."""
    at, end = datetime(year, 1, 1), datetime(year + 1, 1, 1)
    found = []
    before = _offset_at(zone, at)
    while at < end:
        following = min(at + timedelta(days=7), end)
        after = _offset_at(zone, following)
        if after != before:
            low, high = at, following
            while high - low > timedelta(minutes=1):
                middle = low + timedelta(minutes=(high - low) // timedelta(minutes=2))
                low, high = (middle, high) if _offset_at(zone, middle) == before else (low, middle)
            found.append((high, before, _offset_at(zone, high)))
            following, after = high, _offset_at(zone, high)
        at, before = following, after
    return found


def _offset_at(zone: tzinfo, utc: datetime) -> timedelta:
    offset = utc.replace(tzinfo=UTC).astimezone(zone).utcoffset()
    return offset if offset is not None else _ZERO


def _places(wall: datetime) -> set[tuple[int, int, int, int, int, int, int]]:
    """Ways to say a wall time as "n-th weekday of a month", also as the last moment of the day before midnight."""
    said = set()
    options = [(wall, (wall.hour, wall.minute, wall.second, 0))]
    if wall.hour == wall.minute == 0:
        options.append((wall - timedelta(days=1), (23, 59, 59, 999)))
    for day, (hour, minute, second, thousandth) in options:
        weekday = _SUNDAY_FIRST[day.weekday()]
        nths = {(day.day - 1) // 7 + 1}
        if day.day + 7 > calendar.monthrange(day.year, day.month)[1]:
            nths.add(5)
        said |= {(day.month, weekday, nth, hour, minute, second, thousandth) for nth in nths}
    return said


def _cached(zone: tzinfo, year: int) -> YearRule:
    return _year_rule(zone, min(max(year, 1602), 9990))


@lru_cache(maxsize=4096)
def _year_rule(zone: tzinfo, year: int) -> YearRule:
    turns = turns_of(zone, year)
    if not turns:
        offset = _offset_at(zone, datetime(year, 7, 1))
        return YearRule(-_minutes(offset), 0, SystemTime(), SystemTime())
    if len(turns) == 1:
        # The other change stands at the beginning of the year, which is how Windows says it too.
        _, before, after = turns[0]
        turns = [(datetime(year, 1, 1) - after, after, before), turns[0]]
    ups = [turn for turn in turns if turn[2] > turn[1]]
    downs = [turn for turn in turns if turn[2] < turn[1]]
    if not ups or not downs:
        last = turns[-1]
        ups, downs = ([last], [turns[0]]) if last[2] > last[1] else ([turns[0]], [last])
    # More than two changes: the outermost pair of summer time; `fits` tells who asks.
    up, down = ups[0], downs[-1] if downs[-1][0] > ups[0][0] else downs[0]
    standard = min(up[1], down[2])
    daylight = max(up[2], down[1])
    return YearRule(
        -_minutes(standard),
        -_minutes(daylight - standard),
        _moment(zone, year, down, up=False),
        _moment(zone, year, up, up=True),
    )


def _moment(zone: tzinfo, year: int, turn: tuple[datetime, timedelta, timedelta], *, up: bool) -> SystemTime:
    """The change as a rule that also holds in the years beside, where one does."""
    wall = turn[0] + turn[1]
    if wall.year != year:
        wall = datetime(year, 1, 1)
    said = _places(wall)
    for beside in (year + 1, year - 1, year + 2, year - 2, year + 3, year + 5):
        if not 1602 <= beside <= 9990:
            continue
        other: set[tuple[int, int, int, int, int, int, int]] = set()
        for moment, before, after in turns_of(zone, beside):
            if (after > before) == up:
                other |= _places(moment + before)
        if said & other:
            said &= other
    month, weekday, nth, hour, minute, second, thousandth = max(said, key=lambda place: (-place[6], place[2]))
    return SystemTime(0, month, weekday, nth, hour, minute, second, thousandth)


def _minutes(offset: timedelta) -> int:
    return round(offset.total_seconds() / 60)


def struct_of(zone: tzinfo, year: int) -> TimeZoneStruct:
    """PidLidTimeZoneStruct: the rule of one year for all years."""
    rule = _cached(zone, year)
    return TimeZoneStruct(rule.bias, 0, rule.daylight_bias, rule.standard, rule.daylight)


def definition_of(zone: tzinfo, first: int, last: int, *, recurring: bool = False) -> TimeZoneDefinition:
    """The zone's rules from year `first` to `last`, equal ones of neighbouring years told once.

    The rule of `first` is the effective one (flag 2); in the definition of a series it also has flag 1.
    """
    rules: list[TimeZoneRule] = []
    for year in range(first, max(first, min(last, LAST_YEAR)) + 1):
        found = _cached(zone, year)
        made = TimeZoneRule(0, year, found.bias, 0, found.daylight_bias, found.standard, found.daylight)
        if not rules or replace(made, year=rules[-1].year, flags=rules[-1].flags) != rules[-1]:
            rules.append(made if rules else replace(made, flags=3 if recurring else 2))
    return TimeZoneDefinition(windows_name(zone)[:250], tuple(rules))


class RuleZone(TurningZone):
    """The tzinfo that rules of an appointment describe, from `first` (a year) for `span` years."""

    def __init__(self, name: str, rule_of: Callable[[int], YearRule], first: int, last: int) -> None:
        turns: list[tuple[datetime, timedelta]] = []
        beginning = rule_of(first)
        before = current = timedelta(minutes=-beginning.bias)
        if beginning.standard.month and beginning.daylight.month:
            up, down = moment_in(first, beginning.daylight), moment_in(first, beginning.standard)
            if down < up:
                before = current = timedelta(minutes=-beginning.bias - beginning.daylight_bias)
        for year in range(first, last + 1):
            rule = rule_of(year)
            plain = timedelta(minutes=-rule.bias)
            summer = plain - timedelta(minutes=rule.daylight_bias)
            if not (rule.standard.month and rule.daylight.month):
                if current != plain:
                    turns.append((datetime(year, 1, 1) - current, plain))
                    current = plain
                continue
            moments = sorted(
                [(moment_in(year, rule.daylight), summer), (moment_in(year, rule.standard), plain)]
            )
            opening = plain if moments[0][1] == summer else summer
            # A change that stands at the very beginning is the opening itself.
            if current != opening and moments[0][0] != datetime(year, 1, 1):
                turns.append((datetime(year, 1, 1) - current, opening))
                current = opening
            for wall, offset in moments:
                turns.append((wall - current, offset))
                current = offset
        super().__init__(name, before, turns)


def moment_in(year: int, moment: SystemTime) -> datetime:
    """The wall time in a year that a SYSTEMTIME names."""
    days = calendar.monthrange(year, moment.month)[1]
    if moment.year:
        day = min(max(moment.day, 1), days)
    else:
        first = _SUNDAY_FIRST[datetime(year, moment.month, 1).weekday()]
        day = 1 + (moment.day_of_week - first) % 7 + 7 * (max(moment.day, 1) - 1)
        while day > days:
            day -= 7
    base = datetime(year, moment.month, day)
    if (moment.hour, moment.minute, moment.second) == (23, 59, 59):
        return base + timedelta(days=1)
    return base + timedelta(hours=moment.hour, minutes=moment.minute, seconds=moment.second)


@lru_cache(maxsize=512)
def zone_of_definition(definition: TimeZoneDefinition) -> RuleZone | None:
    """None when there is no rule, or one names a month or an offset that cannot be."""
    rules = sorted(definition.rules, key=lambda rule: rule.year)
    if not rules:
        return None
    made = {
        rule.year: YearRule(
            rule.bias + rule.standard_bias,
            rule.daylight_bias - rule.standard_bias,
            rule.standard,
            rule.daylight,
        )
        for rule in rules
    }
    years = [rule.year for rule in rules]
    return _checked(
        definition.name, lambda year: made[years[max(0, bisect_right(years, year) - 1)]], made.values()
    )


@lru_cache(maxsize=256)
def zone_of_struct(struct: TimeZoneStruct, name: str) -> RuleZone | None:
    rule = YearRule(
        struct.bias + struct.standard_bias,
        struct.daylight_bias - struct.standard_bias,
        struct.standard,
        struct.daylight,
    )
    return _checked(name, lambda year: rule, [rule])


def _checked(name: str, rule_of: Callable[[int], YearRule], rules: Iterable[YearRule]) -> RuleZone | None:
    for rule in rules:
        if (
            abs(rule.bias) > 24 * 60
            or abs(rule.daylight_bias) > 24 * 60
            or abs(rule.bias + rule.daylight_bias) >= 1440
        ):
            return None
        for moment in (rule.standard, rule.daylight):
            if (
                moment.month > 12
                or moment.hour > 23
                or moment.minute > 59
                or moment.second > 59
                or moment.day > 31
            ):
                return None
    return RuleZone(name, rule_of, 1900, LAST_YEAR + 60)


def fits(zone: tzinfo, rules: tzinfo, moments: Iterable[datetime]) -> bool:
    """Whether wall times (naive) are the same instants by the rules as by the zone."""
    return all(
        wall.replace(tzinfo=zone).utcoffset() == wall.replace(tzinfo=rules).utcoffset() for wall in moments
    )


def offset_of(minutes: int) -> str:
    """UTC+minutes as iCalendar writes an offset."""
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"
