"""Rules: our expansion against dateutil's, patterns against a search of every day, and both against each other."""

from __future__ import annotations

import itertools
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.formats.calendar import rules
from migrator.formats.calendar.rules import (
    DAYS,
    Rule,
    RuleError,
    expand,
    parse_rule,
    plan,
    rule_of,
    rule_text,
)
from migrator.mapi import recurrence as R
from tests.formats.calendars import days_by_search
from tests.mapi import recurrences

rrule = pytest.importorskip("dateutil.rrule", reason="dateutil is not installed")

STARTS = st.datetimes(datetime(1990, 1, 1), datetime(2030, 12, 31)).map(
    lambda d: d.replace(second=0, microsecond=0)
)


@st.composite
def rule_texts(draw: st.DrawFn) -> str:
    """Any rule that RFC 5545 allows and dateutil reads the same way."""
    freq = draw(st.sampled_from(["YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY", "MINUTELY"]))
    parts = [f"FREQ={freq}"]
    if draw(st.integers(0, 2)) or freq in ("HOURLY", "MINUTELY"):
        parts.append(f"COUNT={draw(st.integers(1, 40))}")
    else:
        parts.append(f"UNTIL={draw(st.integers(1995, 2034))}0{draw(st.integers(1, 9))}15T120000")
    if draw(st.booleans()):
        parts.append(f"INTERVAL={draw(st.integers(1, 5))}")
    if draw(st.booleans()):
        nth = freq in ("YEARLY", "MONTHLY") and draw(st.booleans())
        numbers = st.sampled_from(["1", "2", "3", "4", "5", "-1", "-2"]) if nth else st.just("")
        days = draw(st.lists(st.tuples(numbers, st.sampled_from(DAYS)), min_size=1, max_size=3, unique=True))
        parts.append("BYDAY=" + ",".join(n + day for n, day in days))
    if draw(st.integers(0, 3)) == 0:
        parts.append(
            "BYMONTH=" + ",".join(map(str, draw(st.sets(st.integers(1, 12), min_size=1, max_size=3))))
        )
    if freq != "WEEKLY" and draw(st.integers(0, 3)) == 0:
        days_of_month = st.sampled_from([1, 2, 13, 15, 28, 29, 30, 31, -1, -2])
        parts.append("BYMONTHDAY=" + ",".join(map(str, draw(st.sets(days_of_month, min_size=1, max_size=3)))))
    if freq in ("YEARLY", "MONTHLY") and draw(st.integers(0, 4)) == 0:
        parts.append("BYSETPOS=" + draw(st.sampled_from(["1", "-1", "2,-2", "3"])))
    if draw(st.integers(0, 4)) == 0:
        parts.append("WKST=" + draw(st.sampled_from(DAYS)))
    if draw(st.integers(0, 5)) == 0:
        parts.append("BYHOUR=9,15")
    return ";".join(parts)


@settings(max_examples=100, deadline=None)
@given(rule_texts(), STARTS)
def test_expansion_is_dateutil_s(text: str, start: datetime) -> None:
    ours = list(expand(parse_rule(text), start))
    if not ours:
        return  # dateutil would search to the year 9999
    ours = ours[:200]
    try:
        theirs = list(itertools.islice(rrule.rrulestr(text, dtstart=start), len(ours)))
    except ValueError:
        return
    assert ours == theirs


@settings(max_examples=100, deadline=None)
@given(rule_texts(), STARTS, st.sets(st.integers(0, 39), max_size=4))
def test_plan_says_what_the_rule_says(text: str, start: datetime, dropped: set[int]) -> None:
    """Series and single instances together are DTSTART and the rule's instances, less those left out."""
    rule = parse_rule(text)
    known = list(itertools.islice(expand(rule, start), 3000))
    without = frozenset(moment for n, moment in enumerate(known) if n in dropped)
    made = plan(rule, start, without)
    found = list(made.singles)
    last = known[-1].date() if known else start.date()
    for one in made.series:
        gone = {R.local_time(minutes) for minutes in one.pattern.deleted}
        blob = R.parse_pattern(R.build_pattern(one.pattern))[0]
        for day in days_by_search(blob, last):
            midnight = datetime.combine(day, datetime.min.time())
            if midnight not in gone:
                found.append(datetime.combine(day, one.start.time()))
    assert len(found) == len(set(found))
    if "recurrence_cut" in made.notes:
        # Too many to list, or so rare that the count is not reached within 600 years.
        assert len(made.singles) >= rules.MOST_SINGLES or "recurrence_count_dropped" in made.notes
        assert set(found) <= {start, *known}
        return
    assert set(found) == ({start, *known} - without)
    if set(known) != set(found) | without:
        assert "recurrence_start_apart" in made.notes or "recurrence_empty" in made.notes


@st.composite
def patterns(draw: st.DrawFn) -> R.RecurrencePattern:
    """Any Gregorian pattern that Exchange can hold, beginning on one of its own days."""
    kind = draw(st.sampled_from([R.DAY, R.WEEK, R.MONTH, R.MONTH_NTH, R.MONTH_END]))
    start = draw(st.dates(date(1990, 1, 1), date(2030, 12, 31)))
    yearly = kind >= R.MONTH and draw(st.booleans())
    interval = draw(st.integers(1, 6))
    p = R.RecurrencePattern(
        frequency={R.DAY: R.DAILY, R.WEEK: R.WEEKLY}.get(kind, R.YEARLY if yearly else R.MONTHLY),
        pattern_type=kind,
        period=interval * (1440 if kind == R.DAY else 12 if yearly else 1),
        start_date=R.minutes_of(datetime.combine(start, datetime.min.time())),
        first_day_of_week=draw(st.integers(0, 6)) if kind == R.WEEK else 0,
        day_mask=draw(
            st.integers(1, 127) if kind == R.WEEK else st.sampled_from([1, 2, 4, 8, 16, 32, 64, 62, 65, 127])
        )
        if kind in (R.WEEK, R.MONTH_NTH)
        else 0,
        day=draw(st.integers(1, 31)) if kind == R.MONTH else 31 if kind == R.MONTH_END else 0,
        nth=draw(st.integers(1, 5)) if kind == R.MONTH_NTH else 0,
    )
    first = next(rules.days_of(p))
    if yearly and kind != R.DAY and first.month != start.month:
        first = start.replace(day=1)  # the month of the pattern is that of its start
    p.start_date = R.minutes_of(datetime.combine(first, datetime.min.time()))
    first = next(rules.days_of(p))
    p.start_date = R.minutes_of(datetime.combine(first, datetime.min.time()))
    end = draw(st.sampled_from([R.END_NEVER, R.END_AFTER, R.END_BY_DATE]))
    p.end_type = end
    p.occurrences = draw(st.integers(1, 60)) if end == R.END_AFTER else 10
    if end == R.END_BY_DATE:
        p.end_date = p.start_date + 1440 * draw(st.integers(0, 3000))
    return p


@settings(max_examples=100, deadline=None)
@given(patterns())
def test_days_of_a_pattern_are_those_found_by_search(p: R.RecurrencePattern) -> None:
    last = (R.local_time(p.start_date) or datetime.min).date() + timedelta(days=3 * 366)
    assert list(itertools.takewhile(lambda day: day <= last, rules.days_of(p))) == list(
        days_by_search(p, last)
    )


@settings(max_examples=100, deadline=None)
@given(patterns())
def test_pattern_to_rule_and_back(p: R.RecurrencePattern) -> None:
    """The rule of a pattern has the pattern's days, by dateutil too, and becomes one pattern with those days again."""
    rule = rule_of(p)
    assert rule is not None
    start = datetime.combine(next(rules.days_of(p)), datetime.min.time())
    end = R.local_time(p.end_date) if p.end_type == R.END_BY_DATE else None
    until = f"{end:%Y%m%d}T000000" if end else ""
    text = rule_text(rule, until)
    last = start + timedelta(days=6 * 366)
    days = list(days_by_search(p, last.date()))
    theirs = itertools.takewhile(lambda m: m <= last, rrule.rrulestr(text, dtstart=start))
    assert [moment.date() for moment in theirs] == days
    made = plan(parse_rule(text), start)
    assert len(made.series) == 1
    assert not made.singles
    again = made.series[0].pattern
    assert [
        d
        for d in days_by_search(again, last.date())
        if R.minutes_of(datetime(d.year, d.month, d.day)) not in again.deleted
    ] == days
    assert again.end_type == p.end_type or p.occurrences == 1


@pytest.mark.parametrize(
    ("text", "start", "expected"),
    [
        ("FREQ=DAILY", "20240101", "every day"),
        ("FREQ=DAILY;INTERVAL=3;COUNT=4", "20240101", "every 3 days, 4 times"),
        ("FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR", "20240101", "every week on Monday … Friday"),
        ("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE;WKST=SU", "20240101", "every 2 weeks on Monday and Wednesday"),
        ("FREQ=MONTHLY;BYMONTHDAY=15", "20240115", "every month on day 15"),
        ("FREQ=MONTHLY;BYMONTHDAY=-1", "20240131", "every month on day 31"),
        ("FREQ=MONTHLY;BYDAY=-1FR", "20240126", "every month on the last Friday"),
        (
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1",
            "20240101",
            "every month on the first Monday … Friday",
        ),
        ("FREQ=YEARLY", "20240315", "every year on day 15"),
        ("FREQ=YEARLY;BYMONTH=11;BYDAY=4TH", "20241128", "every year on the fourth Thursday"),
        ("FREQ=MONTHLY;BYDAY=FR", "20240105", "every week on Friday"),
    ],
)
def test_one_series(text: str, start: str, expected: str) -> None:
    made = plan(parse_rule(text), datetime.strptime(start + "09", "%Y%m%d%H"))
    assert (len(made.series), made.singles, made.notes) == (1, [], [])
    said = R.describe(made.series[0].pattern).replace(
        "Monday and Tuesday and Wednesday and Thursday and Friday", "Monday … Friday"
    )
    assert said.replace(f", from {start[:4]}-{start[4:6]}-{start[6:]}", "") == expected


@pytest.mark.parametrize(
    ("text", "series", "singles", "notes"),
    [
        ("FREQ=MONTHLY;BYMONTHDAY=1,15", 2, 0, ["recurrence_split"]),
        ("FREQ=YEARLY;BYMONTH=1,6", 2, 0, ["recurrence_split"]),
        ("FREQ=MONTHLY;BYMONTHDAY=1,31", 2, 0, ["recurrence_exact_until:2087", "recurrence_split"]),
        ("FREQ=HOURLY;COUNT=5", 0, 5, ["recurrence_expanded"]),
        ("FREQ=DAILY;BYHOUR=9,17;COUNT=6", 0, 6, ["recurrence_expanded"]),
        ("FREQ=HOURLY", 0, 400, ["recurrence_expanded", "recurrence_cut"]),
        ("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=1,-1;COUNT=8", 0, 8, ["recurrence_expanded"]),
        ("FREQ=DAILY;COUNT=3000000", 1, 0, ["recurrence_count_dropped"]),
        ("FREQ=WEEKLY;BYDAY=FR;COUNT=3", 1, 1, ["recurrence_start_apart"]),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", 0, 1, ["recurrence_empty"]),
    ],
)
def test_what_one_series_cannot_say(text: str, series: int, singles: int, notes: list[str]) -> None:
    made = plan(parse_rule(text), datetime(2024, 1, 1, 9))
    assert (len(made.series), len(made.singles), made.notes) == (series, singles, notes)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("D1 #10", "FREQ=DAILY;COUNT=10"),
        ("W2 MO WE #0", "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE"),
        ("MP1 1+ SU 1- FR #5", "FREQ=MONTHLY;COUNT=5;BYDAY=1SU,-1FR"),
        ("MD1 15 LD 3- #4", "FREQ=MONTHLY;COUNT=4;BYMONTHDAY=15,-1,-3"),
        ("YM1 6 7", "FREQ=YEARLY;COUNT=2;BYMONTH=6,7"),
        ("YD1 100 #3", "FREQ=YEARLY;COUNT=3;BYYEARDAY=100"),
    ],
)
def test_rules_of_vcalendar(text: str, expected: str) -> None:
    assert rule_text(parse_rule(text)) == expected


@pytest.mark.parametrize("text", ["D1 0600 #5", "MP1 MO", "W1 XX", "M5", "D1 W1", "D999999"])
def test_rules_of_vcalendar_that_are_refused(text: str) -> None:
    with pytest.raises(RuleError):
        parse_rule(text)


def test_the_thirty_first_leaves_short_months_out() -> None:
    made = plan(parse_rule("FREQ=MONTHLY;BYMONTHDAY=31;COUNT=7"), datetime(2024, 1, 31, 9))
    p = made.series[0].pattern
    # Exchange would put "day 31" on the last day of February, April, June, September and November.
    assert [f"{R.local_time(m):%m%d}" for m in p.deleted] == ["0229", "0430", "0630", "0930", "1130"]
    assert R.local_time(p.end_date) == datetime(2024, 12, 31)


def test_exchange_s_own_day_thirty_is_said_exactly() -> None:
    p = R.RecurrencePattern(R.MONTHLY, R.MONTH, 1, R.minutes_of(datetime(2024, 1, 30)), day=30)
    rule = rule_of(p)
    assert rule is not None
    assert rule_text(rule) == "FREQ=MONTHLY;BYMONTHDAY=28,29,30;BYSETPOS=-1"


def test_the_recorded_series() -> None:
    blob = R.parse_recurrence(recurrences.WEEKLY)
    rule = rule_of(blob.pattern)
    assert rule is not None
    assert rule_text(rule) == "FREQ=WEEKLY;BYDAY=TU;WKST=SU"
    start = datetime.combine(next(rules.days_of(blob.pattern)), datetime.min.time()) + timedelta(
        minutes=blob.start_offset
    )
    again = plan(rule, start).series[0].pattern
    again.deleted, again.modified = list(blob.pattern.deleted), list(blob.pattern.modified)
    assert R.build_pattern(again) == R.build_pattern(blob.pattern)


@pytest.mark.parametrize(
    "text",
    ["", "FREQ=", "COUNT=3", "FREQ=DAILY;COUNT=0", "FREQ=DAILY;INTERVAL=0", "FREQ=DAILY;BYDAY=XX", "FREQ=DAILY;FREQ=DAILY",
     "FREQ=DAILY;BYMONTH=13", "FREQ=DAILY;UNTIL=tomorrow", "FREQ=DAILY;RSCALE=HEBREW", "%n;BYMONTH=", "FREQ=DAILY;BYHOUR=-1"],
)  # fmt: skip
def test_what_is_no_rule(text: str) -> None:
    with pytest.raises(RuleError):
        parse_rule(text)


@settings(max_examples=100, deadline=None)
@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from(["FREQ=DAILY", "COUNT=2", "BYDAY=1MO", "UNTIL=2024", ";", "=", ","])).map(
        ";".join
    )
)
def test_any_text_is_a_rule_or_a_typed_error(text: str) -> None:
    try:
        made = parse_rule(text)
    except RuleError:
        return
    assert isinstance(made, Rule)
    list(itertools.islice(expand(made, datetime(2024, 1, 1)), 10))


@settings(max_examples=100, deadline=None)
@given(rule_texts())
def test_text_of_a_rule_is_the_rule(text: str) -> None:
    rule = parse_rule(text)
    assert parse_rule(rule_text(rule, f"{rule.until:%Y%m%dT%H%M%S}" if rule.until else "")) == rule
