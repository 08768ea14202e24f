"""Recurrence rules of iCalendar ⇄ recurrence patterns of Exchange.

Exchange's patterns (MS-OXOCAL 2.2.1.44.1) say less than RFC 5545 3.3.10, and some things otherwise:

- one instance a day, at one time of day; days, weeks, months and years only
- "day 31" of a month falls on the last day of shorter months, where RFC 5545 leaves those months out
- the n-th weekday is one weekday, any weekday, any day of the weekend, or any day; n is 1 to 4, or 5 for the last

So `plan` turns a rule into one pattern, or several whose instances together are the rule's, leaving instances out where a
pattern has more than the rule; every plan is proved against the rule's own expansion before it is handed out. Where none
holds, the rule's instances are listed one by one.

Wall times throughout: naive datetimes in the appointment's own zone.
"""

from __future__ import annotations

import calendar
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import field, replace
from datetime import date, datetime, timedelta
from typing import Final

from migrator.mapi import recurrence as R
from migrator.record import record

FREQUENCIES: Final = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY", "SECONDLY")
DAYS: Final = ("SU", "MO", "TU", "WE", "TH", "FR", "SA")
# Sets of weekdays for which "the n-th of them" exists in Exchange.
_ORDERED_MASKS: Final = {1 << bit for bit in range(7)} | {0b0111110, 0b1000001, 0b1111111}

MOST_SERIES: Final = 8
"""Series that one rule is split into at most."""
MOST_SINGLES: Final = 400
"""Instances listed one by one at most."""
MOST_LEFT_OUT: Final = 700
"""Instances that a series leaves out at most."""
PROOF: Final = 1200
"""Instances over which a plan is proved against the rule."""
_HORIZON: Final = 60  # years for which endless rules are proved, and instances left out
_MOST_COUNTED: Final = 20_000


class RuleError(ValueError):
    """A rule that is none."""


@record
class Rule:
    """RRULE, as RFC 5545 3.3.10 names its parts. until: wall time, the last that may be an instance. wkst: 0 Sunday."""

    freq: str
    interval: int = 1
    count: int | None = None
    until: datetime | None = None
    by_day: tuple[tuple[int, int], ...] = ()  # (n or 0, day: 0 Sunday)
    by_month: tuple[int, ...] = ()
    by_month_day: tuple[int, ...] = ()
    by_year_day: tuple[int, ...] = ()
    by_week: tuple[int, ...] = ()
    by_hour: tuple[int, ...] = ()
    by_minute: tuple[int, ...] = ()
    by_second: tuple[int, ...] = ()
    by_set_pos: tuple[int, ...] = ()
    wkst: int = 1


_PARTS: Final = {
    "BYMONTH": ("by_month", 1, 12),
    "BYMONTHDAY": ("by_month_day", 1, 31),
    "BYYEARDAY": ("by_year_day", 1, 366),
    "BYWEEKNO": ("by_week", 1, 53),
    "BYHOUR": ("by_hour", 0, 23),
    "BYMINUTE": ("by_minute", 0, 59),
    "BYSECOND": ("by_second", 0, 59),
    "BYSETPOS": ("by_set_pos", 1, 366),
}
_SIGNED: Final = {"BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYSETPOS"}


def parse_rule(text: str, until_of: dict[str, datetime] | None = None) -> Rule:
    """A rule from its text. until_of: wall times for UNTIL values, which only the caller's zone can tell.

    Raises RuleError for what is no rule, or has a part nobody knows: a part left out would change the rule's meaning.
    """
    if re.match(r"\s*(?:D|W|MP|MD|YM|YD)\d", text, re.IGNORECASE):
        text = _of_vcalendar(text)
    values: dict[str, object] = {}
    seen: set[str] = set()
    # Some writers escape the semicolons, as if a rule were a text.
    for part in text.replace("\\;", ";").replace("\\,", ",").strip().rstrip(";").split(";"):
        name, equals, value = part.partition("=")
        name, value = name.strip().upper(), value.strip().upper()
        if not equals or name in seen:
            raise RuleError(f"a part of a rule that is none: {name[:20]!r}")
        seen.add(name)
        if name == "FREQ":
            if value not in FREQUENCIES:
                raise RuleError("an unknown frequency")
            values["freq"] = value
        elif name in ("INTERVAL", "COUNT"):
            number = _number(value, 1, 2**31 - 1)
            values[name.lower()] = number
        elif name == "UNTIL":
            wall = (until_of or {}).get(value) or _wall(value)
            if wall is None:
                raise RuleError("an end that is no date")
            values["until"] = wall
        elif name == "BYDAY":
            values["by_day"] = tuple(_day(one) for one in _several(value))
        elif name == "WKST":
            if value not in DAYS:
                raise RuleError("an unknown weekday")
            values["wkst"] = DAYS.index(value)
        elif name in _PARTS:
            attribute, low, high = _PARTS[name]
            numbers = tuple(_number(one, low, high, signed=name in _SIGNED) for one in _several(value))
            values[attribute] = tuple(dict.fromkeys(numbers))
        elif not name.startswith("X-"):
            raise RuleError("a part of a rule that nobody knows")
    if "freq" not in values:
        raise RuleError("a rule without a frequency")
    return Rule(**values)  # type: ignore[arg-type]


def _of_vcalendar(text: str) -> str:
    """A rule of vCalendar 1.0 ("MP1 1+ TU #5", section 2.1.10) in today's words. Several within each other are refused."""
    words = text.strip().upper().split()
    match = re.fullmatch(r"(D|W|MP|MD|YM|YD)(\d{1,5})", words[0])
    if match is None or len(words) > 100:
        raise RuleError("a rule of vCalendar that nobody knows")
    kind, end, rest = match[1], "COUNT=2", words[1:]  # twice, where it says nothing of its end
    if rest and (found := re.fullmatch(r"#(\d{1,9})", rest[-1])):
        end, rest = f"COUNT={found[1]}" if int(found[1]) else "", rest[:-1]
    elif rest and re.fullmatch(r"\d{8}(T\d{6}Z?)?", rest[-1]):
        end, rest = f"UNTIL={rest[-1]}", rest[:-1]
    listed = ",".join(rest)
    parts = [
        f"FREQ={ {'D': 'DAILY', 'W': 'WEEKLY', 'M': 'MONTHLY', 'Y': 'YEARLY'}[kind[0]] }",
        f"INTERVAL={match[2]}",
        end,
    ]
    if kind == "D" and rest:
        raise RuleError("a rule of vCalendar with times of day")
    if kind == "MP":
        place, days = "", []
        for word in rest:
            if found := re.fullmatch(r"([1-5])([+-])", word):
                place = ("-" if found[2] == "-" else "") + found[1]
            elif word in DAYS and place:
                days.append(place + word)
            else:
                raise RuleError("a rule of vCalendar that nobody knows")
        listed = ",".join(days)
    elif kind == "MD":
        numbers = [
            "-1" if word == "LD" else f"-{word[:-1]}" if word.endswith("-") else word.rstrip("+")
            for word in rest
        ]
        listed = ",".join(numbers)
    name = {"W": "BYDAY", "MP": "BYDAY", "MD": "BYMONTHDAY", "YM": "BYMONTH", "YD": "BYYEARDAY"}.get(kind)
    if listed and name:
        parts.append(f"{name}={listed}")
    return ";".join(filter(None, parts))


def _several(value: str) -> list[str]:
    found = [one.strip() for one in value.split(",")]
    if len(found) > 400:
        raise RuleError("a part with too many values")
    return found


def _number(text: str, low: int, high: int, *, signed: bool = False) -> int:
    if not re.fullmatch(r"[+-]?\d{1,10}", text):
        raise RuleError("a number that is none")
    number = int(text)
    if not low <= (abs(number) if signed else number) <= high:
        raise RuleError("a number out of range")
    return number


def _day(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([+-]?\d{1,2})?(SU|MO|TU|WE|TH|FR|SA)", text)
    if match is None or (match[1] is not None and not 1 <= abs(int(match[1])) <= 53):
        raise RuleError("an unknown weekday")
    return int(match[1] or 0), DAYS.index(match[2])


def _wall(text: str) -> datetime | None:
    plain = text.rstrip("Z")
    try:
        return datetime.strptime(plain, "%Y%m%dT%H%M%S" if "T" in plain else "%Y%m%d")
    except ValueError:
        return None


def rule_text(rule: Rule, until: str = "") -> str:
    """The rule as RFC 5545 writes it. until: its UNTIL, which only the caller's zone can write."""
    parts = [f"FREQ={rule.freq}"]
    if until:
        parts.append(f"UNTIL={until}")
    if rule.count is not None:
        parts.append(f"COUNT={rule.count}")
    if rule.interval != 1:
        parts.append(f"INTERVAL={rule.interval}")
    for name, (attribute, _, _) in _PARTS.items():
        if numbers := getattr(rule, attribute):
            parts.append(f"{name}={','.join(map(str, numbers))}")
    if rule.by_day:
        parts.append("BYDAY=" + ",".join(f"{n or ''}{DAYS[day]}" for n, day in rule.by_day))
    if rule.wkst != 1:
        parts.append(f"WKST={DAYS[rule.wkst]}")
    return ";".join(parts)


# Expansion -----------------------------------------------------------------------------------------------------------

_SECONDS: Final = {"HOURLY": 3600, "MINUTELY": 60, "SECONDLY": 1}
_MOST_STEPS: Final = 25_000
"""Periods (days, weeks, hours …) that an expansion looks at: a rule may be made so that nothing ever matches."""


def expand(rule: Rule, start: datetime, *, last: datetime | None = None) -> Iterator[datetime]:
    """The rule's instances in order, to `last`; RFC 5545 3.3.10. A bounded amount of work: about 60 years of a rule
    without an end, 600 of one with COUNT, 25,000 periods of any.

    Written here because dateutil's, which tests hold it against, searches an unsatisfiable rule to the year 9999.
    """
    years = 600 if rule.count is not None else _HORIZON + 5
    limit = datetime(min(9990, start.year + years), 12, 31, 23, 59, 59)
    limit = min([limit, *(moment for moment in (rule.until, last) if moment is not None)])
    count = 0
    for instances in itertools.islice(_periods(_filled(rule, start), start, limit), _MOST_STEPS):
        if rule.by_set_pos:
            size = len(instances)
            spots = {pos - 1 if pos > 0 else size + pos for pos in rule.by_set_pos}
            instances = [instances[spot] for spot in sorted(spots) if 0 <= spot < size]
        for moment in instances:
            if moment < start:
                continue
            if moment > limit:
                return
            yield moment
            count += 1
            if count == rule.count:
                return


def _filled(rule: Rule, start: datetime) -> Rule:
    """What a rule leaves to DTSTART."""
    if rule.freq not in _SECONDS:
        rule = replace(
            rule,
            by_hour=rule.by_hour or (start.hour,),
            by_minute=rule.by_minute or (start.minute,),
            by_second=rule.by_second or (start.second,),
        )
    else:
        rule = replace(
            rule,
            by_minute=rule.by_minute or ((start.minute,) if rule.freq == "HOURLY" else ()),
            by_second=rule.by_second or ((start.second,) if rule.freq in ("HOURLY", "MINUTELY") else ()),
        )
    if rule.by_day or rule.by_month_day or rule.by_year_day:
        return rule
    weekday = ((0, start.isoweekday() % 7),)
    if rule.freq == "WEEKLY" or rule.by_week:
        return replace(rule, by_day=weekday)
    if rule.freq == "MONTHLY":
        return replace(rule, by_month_day=(start.day,))
    if rule.freq == "YEARLY":
        return replace(rule, by_month=rule.by_month or (start.month,), by_month_day=(start.day,))
    return rule


def _periods(rule: Rule, start: datetime, limit: datetime) -> Iterator[list[datetime]]:
    """The instances of one period after the other, each in order; periods without any are empty lists."""
    if rule.freq in _SECONDS:
        yield from _short_periods(rule, start, limit)
        return
    times = [
        (hour, minute, second)
        for hour in sorted(rule.by_hour)
        for minute in sorted(rule.by_minute)
        for second in sorted(rule.by_second)
    ][:5000]
    for days in _day_periods(rule, start.date(), limit.date()):
        yield [datetime(d.year, d.month, d.day, *time) for d in days for time in times]


def _day_periods(rule: Rule, start: date, limit: date) -> Iterator[list[date]]:
    matches = _matcher(rule)
    if rule.freq == "YEARLY":
        for year in range(start.year, limit.year + 1, rule.interval):
            months = sorted(rule.by_month) or range(1, 13)
            yield [day for month in months for day in _month_days(rule, year, month) if matches(day)]
    elif rule.freq == "MONTHLY":
        for month in range(start.year * 12 + start.month - 1, limit.year * 12 + limit.month, rule.interval):
            if rule.by_month and month % 12 + 1 not in rule.by_month:
                yield []
            else:
                yield [day for day in _month_days(rule, month // 12, month % 12 + 1) if matches(day)]
    elif rule.freq == "DAILY" and rule.interval == 1 and (rule.by_month or rule.by_month_day):
        # The same days one by one, without a look at those that cannot match.
        for month in range(start.year * 12 + start.month - 1, limit.year * 12 + limit.month):
            if not rule.by_month or month % 12 + 1 in rule.by_month:
                yield from ([day] for day in _month_days(rule, month // 12, month % 12 + 1) if matches(day))
    else:
        length = 7 if rule.freq == "WEEKLY" else 1
        behind = (start.isoweekday() - rule.wkst) % 7 if length == 7 else 0
        at = start.toordinal() - behind
        while at <= limit.toordinal():
            yield [day for n in range(at, at + length) if n > 0 and matches(day := date.fromordinal(n))]
            at += rule.interval * length


def _month_days(rule: Rule, year: int, month: int) -> Iterator[date]:
    """Days of a month that the rule's days of the month and weekdays leave."""
    size = calendar.monthrange(year, month)[1]
    numbers: Iterable[int] = range(1, size + 1)
    if rule.by_month_day:
        numbers = sorted({n if n > 0 else size + 1 + n for n in rule.by_month_day})
    first = date(year, month, 1).isoweekday() - 1
    weekdays = {day for _, day in rule.by_day}
    for number in numbers:
        if 1 <= number <= size and (not weekdays or (first + number) % 7 in weekdays):
            yield date(year, month, number)


def _short_periods(rule: Rule, start: datetime, limit: datetime) -> Iterator[list[datetime]]:
    unit = _SECONDS[rule.freq]
    step = unit * rule.interval
    base = start.replace(minute=0 if unit == 3600 else start.minute, second=0 if unit > 1 else start.second)
    matches = _matcher(rule)
    elapsed, most = 0, int((limit - base).total_seconds())
    while elapsed <= most:
        moment = base + timedelta(seconds=elapsed)
        ahead = 0  # seconds to the next moment that can match
        if not matches(moment.date()):
            ahead = 86_400 - (moment.hour * 3600 + moment.minute * 60 + moment.second)
        elif rule.by_hour and moment.hour not in rule.by_hour:
            ahead = 3600 - (moment.minute * 60 + moment.second)
        elif unit < 3600 and rule.by_minute and moment.minute not in rule.by_minute:
            ahead = 60 - moment.second
        if ahead:
            elapsed += -(-ahead // step) * step
            yield []
            continue
        minutes = sorted(rule.by_minute) if unit == 3600 else [moment.minute]
        seconds = sorted(rule.by_second) if unit > 1 else [moment.second]
        if unit == 1 and rule.by_second and moment.second not in rule.by_second:
            seconds = []
        yield [moment.replace(minute=minute, second=second) for minute in minutes for second in seconds]
        elapsed += step


def _matcher(rule: Rule) -> Callable[[date], bool]:
    """Whether a day meets all BY… parts that speak of days."""
    plain = {day for n, day in rule.by_day if n == 0}
    numbered = {(n, day) for n, day in rule.by_day if n}
    months, month_days = set(rule.by_month), set(rule.by_month_day)
    year_days, weeks = set(rule.by_year_day), set(rule.by_week)
    in_month = rule.freq == "MONTHLY" or (rule.freq == "YEARLY" and bool(months))

    def matches(day: date) -> bool:
        if months and day.month not in months:
            return False
        if month_days and day.day not in month_days:
            size = calendar.monthrange(day.year, day.month)[1]
            if day.day - size - 1 not in month_days:
                return False
        if rule.by_day:
            weekday = day.isoweekday() % 7
            if weekday not in plain:
                if not numbered:
                    return False
                if in_month:
                    at, size = day.day, calendar.monthrange(day.year, day.month)[1]
                else:
                    at, size = day.timetuple().tm_yday, 366 if calendar.isleap(day.year) else 365
                if ((at - 1) // 7 + 1, weekday) not in numbered and (
                    -((size - at) // 7 + 1),
                    weekday,
                ) not in numbered:
                    return False
        if year_days:
            at, size = day.timetuple().tm_yday, 366 if calendar.isleap(day.year) else 365
            if at not in year_days and at - size - 1 not in year_days:
                return False
        return not weeks or _week_matches(day, weeks, rule.wkst)

    return matches


def _week_matches(day: date, weeks: set[int], wkst: int) -> bool:
    """Week 1 is the first with at least four days in the year; days beside it in another year count too (RFC 5545 3.3.10)."""
    middle = day + timedelta(days=3 - (day.isoweekday() - wkst) % 7)  # whose year is the week's year
    number = (middle.timetuple().tm_yday - 1) // 7 + 1
    end = date(middle.year, 12, 31)
    end += timedelta(days=3 - (end.isoweekday() - wkst) % 7)
    if end.year != middle.year:
        end -= timedelta(days=7)
    size = (end.timetuple().tm_yday - 1) // 7 + 1
    return number in weeks or number - size - 1 in weeks


def days_of(pattern: R.RecurrencePattern) -> Iterator[date]:
    """The days on which a pattern has instances, those left out included, as Exchange counts them; at most 30,000.

    MS-OXOCAL 2.2.1.44.1. Nothing for Hijri patterns and for those that can have no instance.
    """
    start = R.local_time(pattern.start_date)
    end = R.local_time(pattern.end_date) if pattern.end_type == R.END_BY_DATE else None
    if start is None:
        return
    most = pattern.occurrences if pattern.end_type == R.END_AFTER else 30_000
    last = end.date() if end is not None else date.max
    for day in itertools.islice(_days(pattern, start.date()), min(most, 30_000)):
        if day > last:
            return
        yield day


def _days(p: R.RecurrencePattern, start: date) -> Iterator[date]:
    if p.pattern_type == R.DAY:
        step = p.period // 1440
        yield from _stepping(start, timedelta(days=step)) if step > 0 else ()
    elif p.pattern_type == R.WEEK:
        # "Every weekday" is written as daily; its period counts weeks all the same where it is one, else minutes.
        weeks = p.period if p.frequency == R.WEEKLY or p.period < 1440 else 1
        behind = (start.isoweekday() - p.first_day_of_week) % 7
        if p.day_mask & 0x7F == 0 or weeks <= 0 or start.toordinal() <= behind:
            return
        for week in _stepping(start - timedelta(days=behind), timedelta(weeks=weeks)):
            for offset in range(7):
                if week.toordinal() + offset > date.max.toordinal():
                    return
                day = week + timedelta(days=offset)
                if p.day_mask >> (day.isoweekday() % 7) & 1 and day >= start:
                    yield day
    elif p.pattern_type in (R.MONTH, R.MONTH_END, R.MONTH_NTH) and p.period > 0:
        month = start.year * 12 + start.month - 1
        while month < 9999 * 12:
            found = _day_in_month(p, month // 12, month % 12 + 1)
            if found is None:
                return
            if found >= start:
                yield found
            month += p.period


def _stepping(start: date, step: timedelta) -> Iterator[date]:
    day = start
    while True:
        yield day
        if (date.max - day) < step:
            return
        day += step


def _day_in_month(p: R.RecurrencePattern, year: int, month: int) -> date | None:
    size = calendar.monthrange(year, month)[1]
    if p.pattern_type == R.MONTH_END:
        return date(year, month, size)
    if p.pattern_type == R.MONTH:
        return date(year, month, min(p.day, size)) if p.day >= 1 else None
    first = date(year, month, 1).isoweekday()
    hits = [day for day in range(1, size + 1) if p.day_mask >> ((first + day - 1) % 7) & 1]
    if not hits or not 1 <= p.nth <= 5:
        return None
    return date(year, month, hits[-1] if p.nth == 5 or p.nth > len(hits) else hits[p.nth - 1])


# Rule → patterns -----------------------------------------------------------------------------------------------------


@record(frozen=False)
class Series:
    """One pattern with the wall time of its first instance. The pattern's `deleted` holds what the rule leaves out."""

    pattern: R.RecurrencePattern
    start: datetime


@record(frozen=False)
class Plan:
    """series and singles together are the rule's instances (`left_out` of the caller taken off). notes: see `plan`."""

    series: list[Series] = field(default_factory=list)
    singles: list[datetime] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def plan(
    rule: Rule, start: datetime, without: frozenset[datetime] = frozenset(), *, whole: bool = True
) -> Plan:
    """How Exchange can say a rule that begins at `start`, less the instances `without`.

    whole: DTSTART is an instance even where the rule does not have it, as RFC 5545 3.8.5.3 has it for VEVENT.

    Notes: recurrence_split (several series stand for the rule), recurrence_expanded (single instances do),
    recurrence_cut (and not all of them: the rule has more, or no end), recurrence_exact_until:YYYY (an endless rule leaves
    out instances that the series has; those after that year are not left out), recurrence_start_apart (the first instance
    is not one of the rule), recurrence_empty (the rule has no instance), recurrence_count_dropped (the end is too far off
    to be counted: none is kept).
    """
    made = Plan()
    # A few instances more than are proved: whether the list ended by itself shows whether the rule did.
    known = list(itertools.islice(expand(rule, start), _MOST_COUNTED if rule.count else PROOF))
    if whole and (not known or known[0] != start):
        if start not in without:
            made.singles.append(start)
        made.notes.append("recurrence_start_apart" if known else "recurrence_empty")
    if not known:
        return made
    rule = _ended(rule, known)
    if rule.count is not None and len(known) < rule.count:
        rule = replace(rule, count=None)
        made.notes.append("recurrence_count_dropped")
    endless = rule.until is None and rule.count is None
    for atoms in _candidates(rule, known[0]):
        found = [_series(atom, known[0]) for atom in atoms]
        # Parts whose first instance lies behind the rule's end have no share in it.
        series = [one for one in found if one is not None and (endless or one.start <= known[-1])]
        if None not in found and _proved(series, rule, known, without, made.notes):
            if len(series) > 1:
                made.notes.append("recurrence_split")
            made.series = series
            return made
    listed = [moment for moment in known if moment not in without]
    made.singles += listed[:MOST_SINGLES]
    made.notes.append("recurrence_expanded")
    if len(listed) > MOST_SINGLES or endless:
        made.notes.append("recurrence_cut")
    return made


def _ended(rule: Rule, known: list[datetime]) -> Rule:
    """The same rule without parts that say nothing."""
    start = known[0]
    if rule.by_hour == (start.hour,):
        rule = replace(rule, by_hour=())
    if rule.by_minute == (start.minute,):
        rule = replace(rule, by_minute=())
    if rule.by_second == (start.second,):
        rule = replace(rule, by_second=())
    return rule


def _candidates(rule: Rule, start: datetime) -> Iterator[list[Rule]]:
    """Ways to say the rule by rules that may each be one pattern; the first that proves right is taken."""
    if rule.freq in ("HOURLY", "MINUTELY", "SECONDLY") or rule.by_hour or rule.by_minute or rule.by_second:
        return
    if rule.by_year_day or rule.by_week:
        return
    if (rewritten := _rewritten(rule)) is not None:
        yield [rewritten]
    yield [rule]
    atoms = _atoms(rule, start)
    if atoms is not None and 1 <= len(atoms) <= MOST_SERIES:
        yield atoms


def _rewritten(rule: Rule) -> Rule | None:
    """Monthly or yearly on every Monday is weekly on Mondays."""
    plain_days = bool(rule.by_day) and all(n == 0 for n, _ in rule.by_day)
    others = rule.by_month or rule.by_month_day or rule.by_set_pos
    if plain_days and not others and rule.interval == 1 and rule.freq in ("MONTHLY", "YEARLY"):
        return replace(rule, freq="WEEKLY")
    return None


def _atoms(rule: Rule, start: datetime) -> list[Rule] | None:
    """The rule as a sum of rules with one month, one day and one weekday each; None where it is no such sum."""
    if rule.by_set_pos or (rule.by_day and rule.by_month_day):
        return None
    if rule.freq == "MONTHLY":
        if rule.by_month and rule.interval != 1:
            return None
        months: Sequence[int] = rule.by_month or (0,)
    elif rule.freq == "YEARLY":
        if not rule.by_month and any(n for n, _ in rule.by_day):
            return None  # the n-th weekday of a year
        months = rule.by_month or (range(1, 13) if rule.by_month_day or rule.by_day else (start.month,))
    else:
        return None
    bare = replace(rule, by_month=(), by_day=(), by_month_day=(), count=None)
    made: list[Rule] = []
    for month in months:
        base = replace(bare, freq="YEARLY", by_month=(month,)) if month else bare
        if rule.by_month_day:
            made += [replace(base, by_month_day=(day,)) for day in rule.by_month_day]
        elif rule.by_day:
            for n, day in rule.by_day:
                made += [replace(base, by_day=((nth, day),)) for nth in ([n] if n else range(1, 6))]
        else:
            made.append(replace(base, by_month_day=(start.day,)))
        if len(made) > MOST_SERIES:
            return None
    return made


def _series(rule: Rule, first: datetime) -> Series | None:
    """One pattern that has at least the rule's instances from the rule's first one on; its end is still open."""
    bare = replace(rule, count=None)
    start = next(expand(bare, first), None)
    if start is None:
        return None
    found = _pattern(rule, start)
    if found is None:
        return None
    frequency, kind, period, mask, day, nth = found
    if not 0 < period <= {R.DAILY: 999 * 1440, R.WEEKLY: 99}.get(frequency, 99 * 12):
        return None
    pattern = R.RecurrencePattern(
        frequency=frequency,
        pattern_type=kind,
        period=period,
        start_date=R.minutes_of(datetime(start.year, start.month, start.day)),
        day_mask=mask,
        day=day,
        nth=nth,
        first_day_of_week=rule.wkst if kind == R.WEEK else 0,
    )
    pattern.first_date_time = first_date_time(pattern)
    return Series(pattern, start)


def _pattern(rule: Rule, start: datetime) -> tuple[int, int, int, int, int, int] | None:
    """(frequency, pattern type, period, day mask, day, nth) of a pattern that includes the rule."""
    plain = sum({1 << day for n, day in rule.by_day if n == 0})
    numbered = [(n, day) for n, day in rule.by_day if n]
    here = 1 << start.isoweekday() % 7
    if rule.freq == "DAILY":
        if (
            plain
            and rule.interval == 1
            and not (numbered or rule.by_month or rule.by_month_day or rule.by_set_pos)
        ):
            return R.DAILY, R.WEEK, 1, plain, 0, 0  # "every weekday", as Outlook has it
        if rule.by_day or rule.by_month or rule.by_month_day or rule.by_set_pos:
            return None
        return R.DAILY, R.DAY, rule.interval * 1440, 0, 0, 0
    if rule.freq == "WEEKLY":
        if numbered or rule.by_month or rule.by_month_day or rule.by_set_pos:
            return None
        return R.WEEKLY, R.WEEK, rule.interval, plain or here, 0, 0
    yearly = rule.freq == "YEARLY"
    if yearly and len(rule.by_month) > 1:
        return None
    if yearly and not rule.by_month and (rule.by_day or rule.by_month_day):
        return None
    if not yearly and rule.by_month:
        return None
    frequency, period = (R.YEARLY, 12 * rule.interval) if yearly else (R.MONTHLY, rule.interval)
    if rule.by_day:
        if rule.by_month_day:
            return None
        if rule.by_set_pos:
            nth = rule.by_set_pos[0]
            if len(rule.by_set_pos) > 1 or numbered or plain not in _ORDERED_MASKS:
                return None
            mask = plain
        else:
            if plain or len(numbered) != 1:
                return None
            nth, mask = numbered[0][0], 1 << numbered[0][1]
        if nth == -1:
            nth = 5  # a fifth one is always the last: months without are left out
        return (frequency, R.MONTH_NTH, period, mask, 0, nth) if 1 <= nth <= 5 else None
    days = rule.by_month_day or (start.day,)
    if rule.by_set_pos:
        # "The last of 28, 29, 30": the way to say Exchange's own day 30, short months included.
        if rule.by_set_pos != (-1,) or sorted(days) != list(range(28, max(days) + 1)):
            return None
        return frequency, R.MONTH, period, 0, max(days), 0
    if len(days) != 1:
        return None
    day = 31 if days[0] == -1 else days[0]
    return (frequency, R.MONTH, period, 0, day, 0) if 1 <= day <= 31 else None


def first_date_time(p: R.RecurrencePattern) -> int:
    """FirstDateTime, a value derived from the others (MS-OXOCAL 2.2.1.44.1)."""
    start = R.local_time(p.start_date)
    if start is None:
        return 0
    if p.pattern_type == R.DAY:
        return p.start_date % p.period if p.period else 0
    if p.pattern_type == R.WEEK:
        behind = (start.isoweekday() - p.first_day_of_week) % 7
        weeks = p.period if p.frequency == R.WEEKLY else 1
        return (p.start_date - behind * 1440) % (weeks * 7 * 1440) if weeks else 0
    months = ((start.year - 1601) * 12 + start.month - 1) % p.period if p.period else 0
    return R.minutes_of(datetime(1601 + months // 12, months % 12 + 1, 1))


def _proved(
    series: list[Series], rule: Rule, known: list[datetime], without: frozenset[datetime], notes: list[str]
) -> bool:
    """Gives the series their ends and the instances to leave out; whether they then say what the rule says."""
    clock = known[0].time()
    endless = rule.until is None and rule.count is None
    complete = len(known) < (_MOST_COUNTED if rule.count else PROOF)
    # The last day for which the rule's instances are known.
    last = date(min(9990, known[0].year + _HORIZON), 12, 31) if endless and complete else known[-1].date()
    known = [moment for moment in known if moment.date() <= last]
    wanted = {moment.date() for moment in known}
    if len(wanted) != len(known) or any(moment.time() != clock for moment in known):
        return False  # several a day
    claimed: set[date] = set()
    extra: list[list[date]] = []
    for one in series:
        days = list(itertools.takewhile(lambda day: day <= last, days_of(one.pattern)))
        if claimed & set(days):
            return False
        claimed |= set(days)
        extra.append([day for day in days if day not in wanted])
    if not wanted <= claimed or sum(map(len, extra)) > MOST_LEFT_OUT:
        return False
    bounded = rule.until is not None and not complete
    if any(extra) and (endless or bounded):
        notes.append(f"recurrence_exact_until:{last.year}")
    gone = {moment.date() for moment in without if moment.time() == clock}
    for one, left_out in zip(series, extra, strict=True):
        _finish(one, rule, known, left_out, gone, bounded=bounded, alone=len(series) == 1)
    return True


def _finish(
    one: Series,
    rule: Rule,
    known: list[datetime],
    left_out: list[date],
    gone: set[date],
    *,
    bounded: bool,
    alone: bool,
) -> None:
    p = one.pattern
    if rule.until is not None:
        # The day of UNTIL counts only when the instance of that day is not after it.
        day = (
            rule.until.date()
            if one.start.time() <= rule.until.time()
            else rule.until.date() - timedelta(days=1)
        )
        p.end_type, p.end_date = R.END_BY_DATE, R.minutes_of(datetime(day.year, day.month, day.day))
        own = list(days_of(p))
        if own and not bounded:
            p.occurrences = len(own)
    elif rule.count is not None:
        last = known[-1].date()
        p.end_type, p.end_date = R.END_BY_DATE, R.minutes_of(datetime(last.year, last.month, last.day))
        own = list(days_of(p))
        p.occurrences = len(own)
        if own:
            p.end_date = R.minutes_of(datetime(own[-1].year, own[-1].month, own[-1].day))
        # An end by number is kept as one where the series counts as the rule does.
        if alone and not left_out and p.occurrences == rule.count:
            p.end_type = R.END_AFTER
    end = R.local_time(p.end_date) if p.end_type != R.END_NEVER else None
    latest: date = max(gone) if gone else date.min
    own_days: list[date] = list(itertools.takewhile(lambda day: day <= latest, days_of(p)))
    days = set(left_out) | (gone & set(own_days))
    p.deleted = sorted(
        R.minutes_of(datetime(day.year, day.month, day.day))
        for day in days
        if end is None or day <= end.date()
    )


# Pattern → rule ------------------------------------------------------------------------------------------------------


def rule_of(p: R.RecurrencePattern) -> Rule | None:
    """The rule with the pattern's instances, with COUNT but without UNTIL; None for what RFC 5545 cannot say (Hijri)."""
    start = R.local_time(p.start_date)
    if start is None or next(days_of(p), None) is None:
        return None
    count = p.occurrences if p.end_type == R.END_AFTER else None
    if p.pattern_type == R.DAY:
        return Rule("DAILY", p.period // 1440, count) if p.period >= 1440 else None
    weekdays = tuple((0, bit) for bit in range(7) if p.day_mask >> bit & 1)
    if p.pattern_type == R.WEEK:
        weeks = p.period if p.frequency == R.WEEKLY or p.period < 1440 else 1
        if p.frequency == R.DAILY and weeks == 1:
            return Rule("DAILY", 1, count, by_day=weekdays, wkst=p.first_day_of_week % 7)
        return Rule("WEEKLY", weeks, count, by_day=weekdays, wkst=p.first_day_of_week % 7)
    if p.pattern_type not in (R.MONTH, R.MONTH_END, R.MONTH_NTH):
        return None
    yearly = p.period % 12 == 0
    rule = Rule(
        "YEARLY" if yearly else "MONTHLY",
        p.period // 12 if yearly else p.period,
        count,
        by_month=(start.month,) if yearly else (),
    )
    if p.pattern_type == R.MONTH_NTH:
        n = -1 if p.nth == 5 else p.nth
        if len(weekdays) == 1:
            return replace(rule, by_day=((n, weekdays[0][1]),))
        return replace(rule, by_day=weekdays, by_set_pos=(n,))
    longest = max(calendar.monthrange(year, start.month)[1] for year in (2023, 2024)) if yearly else 31
    day = longest if p.pattern_type == R.MONTH_END else min(p.day, longest)
    shortest = calendar.monthrange(2023, start.month)[1] if yearly else 28
    if day <= shortest:
        return replace(rule, by_month_day=(day,))
    if day == longest:
        return replace(rule, by_month_day=(-1,))
    return replace(rule, by_month_day=tuple(range(28, day + 1)), by_set_pos=(-1,))
