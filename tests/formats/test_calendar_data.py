"""Every calendar of the shared data: none crashes, none loses what it says; other libraries judge."""

from __future__ import annotations

import itertools
import random
import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from migrator.formats.calendar import read_ics, write_ics
from migrator.formats.converted import Converted
from migrator.formats.errors import FormatError
from migrator.mapi import fasttransfer
from migrator.mapi import properties as P
from tests.formats.calendars import instants
from tests.shared_data import SHARED, shared

FILES = sorted(str(f.relative_to(SHARED)) for f in SHARED.glob("**/*") if f.suffix in (".ics", ".vcs"))
RECURSON = sorted(str(f.relative_to(SHARED)) for f in SHARED.glob("ics/recurrence-libical/*.ref"))
# What has nothing to convert or no date at all; everything else must become items.
ERRORS = {
    "ics/biweekly/rfc5545-example6.ics": "format_unsupported",  # free/busy
    "ics/ical4j/Casablanca.ics": "format_unsupported",  # a time zone
    "ics/ical4j/categories.ics": "format_malformed",  # an event without a date
    "ics/ical4j/custom_component.ics": "format_unsupported",
    "ics/ical4j/rfc5545-sec3.6.4.ics": "format_unsupported",  # free/busy
    "ics/ical4j/rfc5545-sec3.6.5.ics": "format_unsupported",  # time zones
    "ics/ical4j/rfc5545-sec3.6.6.ics": "format_unsupported",  # an alarm
    "ics/icalendar/big_bad_calendar.ics": "format_malformed",
    "ics/icalendar/calendar_with_unicode.ics": "format_unsupported",
    "ics/icalendar/empty.ics": "format_unsupported",
    "ics/icalendar/fuzz_testcase_invalid_month.ics": "format_unsupported",
    "ics/icalendar/fuzz_testcase_vtimezone_lone_cr.ics": "format_unsupported",
    "ics/icalendar/issue_1050_multiple_calendars.ics": "format_malformed",
    "ics/icalendar/issue_1050_uid_in_description.ics": "format_malformed",
    "ics/icalendar/issue_1081_invalid_start_and_end.ics": "format_malformed",
    "ics/icalendar/issue_1081_with_summary.ics": "format_malformed",
    "ics/icalendar/issue_27_multiple_periods_in_freebusy_multiple_freebusies.ics": "format_unsupported",
    "ics/icalendar/issue_27_multiple_periods_in_freebusy_one_freebusy.ics": "format_unsupported",
    "ics/icalendar/issue_322_expected_calendar.ics": "format_malformed",
    "ics/icalendar/issue_798_related_to.ics": "format_malformed",
    "ics/icalendar/rfc_7265_example_1.ics": "format_unsupported",
    "ics/icalendar/rfc_7986_conferences.ics": "format_malformed",
    "ics/icalendar/rfc_7986_properties.ics": "format_unsupported",
    "ics/icalendar/rfc_9253_gap.ics": "format_malformed",
    "ics/vobject/simple_test.ics": "format_malformed",
    "ics/vobject/timezones.ics": "format_unsupported",
    "ics/vobject/tz_us_eastern.ics": "format_unsupported",
}
pytestmark = pytest.mark.skipif(not FILES, reason="no shared data here")


def items(name: str) -> list[Converted]:
    raw = shared(name).read_bytes()
    if name in ERRORS:
        with pytest.raises(FormatError) as caught:
            read_ics(raw)
        assert caught.value.code == ERRORS[name]
        pytest.skip(f"nothing to convert: {ERRORS[name]}")
    return read_ics(raw)


@pytest.mark.parametrize("name", FILES)
def test_becomes_items_that_a_stream_holds(name: str) -> None:
    for made in items(name):
        assert made.message.properties.text(P.PidTagMessageClass).startswith(
            ("IPM.Appointment", "IPM.Schedule", "IPM.Task", "IPM.Activity")
        )
        fasttransfer.read(fasttransfer.write(made.message))


def squeezed(text: str) -> str:
    return "".join(text.replace("\\", "").split())


@pytest.mark.parametrize("name", FILES)
def test_nothing_said_is_lost(name: str) -> None:
    """Texts, people and places as the icalendar library reads them are in the items."""
    icalendar = pytest.importorskip("icalendar", reason="icalendar is not installed")
    made = items(name)
    told = squeezed(
        "\n".join(
            "\n".join(str(value.value) for value in message.properties.values())
            + "\n".join(
                row.text(P.PidTagDisplayName) + " " + row.text(P.PidTagEmailAddress)
                for row in message.recipients
            )
            for one in made
            for message in one.message.walk()
        )
    ).lower()
    try:
        calendars = icalendar.Calendar.from_ical(shared(name).read_bytes(), multiple=True)
    except ValueError:
        pytest.skip("icalendar cannot read this file")
    malformed = any("component_malformed" in one.notes for one in made)
    for component in itertools.chain.from_iterable(c.walk() for c in calendars):
        if component.name not in ("VEVENT", "VTODO", "VJOURNAL"):
            continue
        if malformed and component.name == "VEVENT" and component.get("DTSTART") is None:
            continue
        for key in ("SUMMARY", "LOCATION", "DESCRIPTION", "CATEGORIES"):
            for value in component.get(key) if isinstance(component.get(key), list) else [component.get(key)]:
                for text in getattr(value, "cats", [value]) if value is not None else []:
                    assert squeezed(str(text)).lower() in told, key
        for key in ("ATTENDEE", "ORGANIZER"):
            people = component.get(key) or []
            for person in people if isinstance(people, list) else [people]:
                address = re.sub(r"(?i)^mailto:", "", str(person)).strip()
                assert squeezed(address).lower() in told, key


def expected_instants(component: Any, default: tzinfo, horizon: timedelta) -> set[datetime]:
    """What dateutil makes of one component: DTSTART, RRULE, RDATE, less EXDATE; UTC."""
    rrule = pytest.importorskip("dateutil.rrule", reason="dateutil is not installed")
    start = component["DTSTART"].dt
    zone = start.tzinfo if isinstance(start, datetime) and start.tzinfo else default
    first = (start if isinstance(start, datetime) else datetime.combine(start, datetime.min.time())).replace(
        tzinfo=None
    )
    last = first + horizon

    def wall(value: Any) -> datetime:
        value = value[0] if isinstance(value, tuple) else value
        if not isinstance(value, datetime):
            return datetime.combine(value, first.time())
        return value.astimezone(zone).replace(tzinfo=None) if value.tzinfo else value

    def listed(name: str) -> list[datetime]:
        values = component.get(name) or []
        return [wall(d.dt) for v in (values if isinstance(values, list) else [values]) for d in v.dts]

    made = {first}
    rules_of = component.get("RRULE") or []
    for rule in rules_of if isinstance(rules_of, list) else [rules_of]:
        parts = {k: v for k, v in rule.items() if k != "UNTIL"}
        text = type(rule)(parts).to_ical().decode()
        limit = last
        if "UNTIL" in rule:
            until = rule["UNTIL"][0]
            limit = min(
                last,
                wall(until) if isinstance(until, datetime) else datetime.combine(until, datetime.max.time()),
            )
        made |= set(itertools.takewhile(lambda m, end=limit: m <= end, rrule.rrulestr(text, dtstart=first)))
    made |= set(listed("RDATE"))
    made -= set(listed("EXDATE"))
    return {moment.replace(tzinfo=zone).astimezone(UTC) for moment in made if moment <= last}


@pytest.mark.parametrize("name", [f for f in FILES if f.startswith("ics/")])
def test_instants_over_three_years(name: str) -> None:
    """Our binary values, searched day by day, against dateutil on what icalendar parsed; exceptions included."""
    icalendar = pytest.importorskip("icalendar", reason="icalendar is not installed")
    raw = shared(name).read_bytes()
    if b"RRULE" not in raw or name in ERRORS or b"EXRULE" in raw:
        pytest.skip("no series here")
    try:
        icalendar.use_zoneinfo()  # it keeps zones by name from file to file; this forgets those of other tests
        calendars = icalendar.Calendar.from_ical(raw, multiple=True)
    except ValueError:
        pytest.skip("icalendar cannot read this file")
    made = read_ics(raw)
    events = [c for cal in calendars for c in cal.walk("VEVENT") if c.get("DTSTART") is not None]
    if not events or any(c.errors for c in events) or "recurrence_malformed" in made[0].notes:
        pytest.skip("icalendar leaves parts of this file out")
    if any(not hasattr(c["DTSTART"], "dt") for c in events) or b"VALUE=TIME" in raw:
        pytest.skip("icalendar reads no start here")
    horizon = timedelta(days=3 * 365)
    default = ZoneInfo(str(calendars[0].get("X-WR-TIMEZONE", "UTC")))
    theirs: set[datetime] = set()
    for component in events:
        if component.get("RECURRENCE-ID") is None:
            theirs |= expected_instants(component, default, horizon)
    for component in events:
        if component.get("RECURRENCE-ID") is not None:
            theirs.discard(as_utc(component["RECURRENCE-ID"].dt, default))
            theirs.add(as_utc(component["DTSTART"].dt, default))
    window = min(as_utc(c["DTSTART"].dt, default) for c in events) + horizon
    ours = {
        moment
        for one in made
        if one.message.properties.get(P.PidLidAppointmentStartWhole)
        for moment in instants(one.message, window)
    }
    assert ours == {moment for moment in theirs if moment <= window}


def as_utc(value: date | datetime, default: tzinfo) -> datetime:
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    return (value if value.tzinfo else value.replace(tzinfo=default)).astimezone(UTC)


@pytest.mark.parametrize("name", RECURSON)
def test_days_that_kde_expects(name: str) -> None:
    """The reference dates that came with the files: days of UTC."""
    expected = {line.strip() for line in shared(name).read_text().splitlines() if line.strip()}
    limit = datetime.fromisoformat(max(expected, default="2005-01-01")).replace(tzinfo=UTC) + timedelta(
        days=1
    )
    made = read_ics(shared(name.removesuffix(".recurson.ref")).read_bytes())
    days = {f"{moment:%Y-%m-%d}" for one in made for moment in instants(one.message, limit)}
    assert {day for day in days if day <= max(expected, default="9999")} == expected


@pytest.mark.parametrize("name", FILES)
def test_round_trip(name: str) -> None:
    """Written and read again, an item is the same: instants, texts, people, attachments."""
    for made in items(name):
        written = write_ics([made.message])
        again = read_ics(written.octets)
        assert len(again) == 1
        first, second = made.message, again[0].message
        for key in (
            P.PidTagMessageClass,
            P.PidTagSubject,
            P.PidLidLocation,
            P.PidNameKeywords,
            P.PidLidBusyStatus,
            P.PidLidAppointmentRecur,
            P.PidLidAppointmentStartWhole,
            P.PidLidAppointmentEndWhole,
            P.PidLidAppointmentSubType,
            P.PidLidReminderDelta,
            P.PidLidTaskDueDate,
            P.PidTagSensitivity,
            P.PidTagImportance,
            P.PidTagHtml,
        ):
            assert second.properties.get(key) == first.properties.get(key), key
        assert second.recipients == first.recipients
        assert len(second.attachments) == len(first.attachments)
        if first.properties.get(P.PidLidAppointmentStartWhole):
            limit = datetime(2030, 1, 1, tzinfo=UTC)
            assert instants(second, limit) == instants(first, limit)
        for octets in re.split(rb"\r\n", written.octets):
            assert len(octets) <= 75
            assert octets.decode("utf-8") is not None


@pytest.mark.timeout(60)
def test_damage_is_an_item_or_a_typed_error() -> None:
    dice = random.Random(5545)
    names = [f for f in FILES if (SHARED / f).stat().st_size < 4000]
    for _ in range(250):
        raw = bytearray(shared(dice.choice(names)).read_bytes())
        for _ in range(dice.randrange(1, 12)):
            spot = dice.randrange(max(len(raw), 1))
            action = dice.randrange(4)
            if action == 0:
                raw[spot : spot + 1] = bytes([dice.randrange(256)])
            elif action == 1:
                del raw[spot : spot + dice.randrange(40)]
            elif action == 2:
                raw[spot:spot] = raw[dice.randrange(max(len(raw), 1)) :][: dice.randrange(200)]
            else:
                raw[spot:spot] = dice.choice(
                    [b"\r\n", b":", b";", b'"', b"=", b"\\", b"99999999", b"-", b"T", b"Z", b","]
                )
        try:
            made = read_ics(bytes(raw))
        except FormatError:
            continue
        for one in made[:5]:
            fasttransfer.write(one.message)
            write_ics([one.message])
