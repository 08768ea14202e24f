"""Windows, quiet hours, durations and rates, as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from migrator.plan.hours import hours_of, parse_duration_s, parse_moment, parse_quiet, parse_rate, zone_of

WEDNESDAY = datetime(2026, 11, 18, 12, 0, tzinfo=UTC)
SATURDAY = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def hours(now: datetime, **given: object) -> object:
    settings: dict[str, object] = {"not_before": "", "stop_at": "", "quiet_hours": (), "time_zone": "UTC"}
    return hours_of(**{**settings, **given}, now=now)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "zone", "utc"),
    [
        ("Mon 06:00", "UTC", "2026-11-23T06:00"),
        ("monday 6:00", "Europe/Berlin", "2026-11-23T05:00"),
        ("Wed 12:00", "UTC", "2026-11-25T12:00"),  # now itself is not the next one
        ("Wed 12:01", "UTC", "2026-11-18T12:01"),
        ("06:00", "Asia/Tokyo", "2026-11-18T21:00"),
        ("2026-11-23 06:00", "Europe/Berlin", "2026-11-23T05:00"),
        ("2026-11-23T06:00+05:00", "Europe/Berlin", "2026-11-23T01:00"),
    ],
)
def test_moments(text: str, zone: str, utc: str) -> None:
    assert parse_moment(text, zone_of(zone), WEDNESDAY).astimezone(UTC).isoformat()[:16] == utc


@pytest.mark.parametrize("text", ["", "Mon", "25:00", "06:60", "Mun 06:00", "tomorrow", "2026-13-01 00:00"])
def test_what_is_no_moment_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_moment(text, None, WEDNESDAY)


def test_a_window_that_is_open_is_worked_in_at_once() -> None:
    window = {"not_before": "Fri 20:00", "stop_at": "Mon 06:00"}
    found = hours(SATURDAY, **window)
    assert found.closed(SATURDAY.timestamp()) == (0.0, "")  # type: ignore[attr-defined]
    assert found.over(datetime(2026, 11, 23, 6, tzinfo=UTC).timestamp())  # type: ignore[attr-defined]
    before = hours(WEDNESDAY, **window)
    wait, words = before.closed(WEDNESDAY.timestamp())  # type: ignore[attr-defined]
    assert wait == 2 * 86_400 + 8 * 3600
    assert words == "not before Fri 2026-11-20 20:00 UTC"
    assert not before.over(SATURDAY.timestamp())  # type: ignore[attr-defined]


def test_a_window_that_ends_before_it_begins_is_a_fault() -> None:
    with pytest.raises(ValueError, match="not after"):
        hours(WEDNESDAY, not_before="2026-11-23 06:00", stop_at="2026-11-22 06:00")
    with pytest.raises(ValueError, match="has passed"):
        hours(WEDNESDAY, stop_at="2026-11-01 06:00")


@pytest.mark.parametrize(
    ("spans", "at", "until"),
    [
        (["Mon-Fri 08:00-18:00"], "2026-11-18T12:00", "2026-11-18T18:00"),
        (["Mon-Fri 08:00-18:00"], "2026-11-18T18:00", ""),
        (["Mon-Fri 08:00-18:00"], "2026-11-21T12:00", ""),
        (["22:00-05:00"], "2026-11-18T23:00", "2026-11-19T05:00"),
        (["22:00-05:00"], "2026-11-18T04:59", "2026-11-18T05:00"),
        (["Fri-Mon 00:00-24:00"], "2026-11-21T12:00", "2026-11-24T00:00"),
        (["08:00-12:00", "12:00-13:00"], "2026-11-18T09:00", "2026-11-18T13:00"),
        (["Sat,Sun 00:00-24:00", "Mon 00:00-06:00"], "2026-11-21T12:00", "2026-11-23T06:00"),
    ],
)
def test_quiet_hours(spans: list[str], at: str, until: str) -> None:
    now = datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()
    wait, words = hours(WEDNESDAY, quiet_hours=spans).closed(now)  # type: ignore[attr-defined]
    if not until:
        assert (wait, words) == (0.0, "")
    else:
        assert datetime.fromtimestamp(now + wait, UTC).isoformat()[:16] == until
        assert words.startswith("quiet hours until ") and words.endswith("UTC")


def test_quiet_hours_keep_the_wall_clock_when_the_clocks_change() -> None:
    """In Berlin the night of 25 October 2026 has an hour more."""
    night = hours(WEDNESDAY, quiet_hours=["Sat 22:00-06:00"], time_zone="Europe/Berlin")
    begin = datetime(2026, 10, 24, 20, 0, tzinfo=UTC).timestamp()
    wait, words = night.closed(begin)  # type: ignore[attr-defined]
    assert wait == 9 * 3600
    assert words == "quiet hours until Sun 2026-10-25 06:00 CET (Europe/Berlin)"


@pytest.mark.parametrize(
    "text", ["", "08:00", "Mon-Fri", "Mon-Fri 08:00-08:00", "Xyz 08:00-09:00", "08:00-25:00"]
)
def test_what_are_no_quiet_hours_is_said(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_quiet(text)


def test_an_unknown_zone_is_said() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        hours(WEDNESDAY, time_zone="Europe/Atlantis")


@pytest.mark.parametrize(
    ("text", "octets_s"),
    [
        ("200Mbit", 25e6),
        ("200 mbit/s", 25e6),
        ("25MB", 25e6),
        ("1 MiB/s", 1 << 20),
        ("512 baud", None),
        ("0MB", None),
    ],
)
def test_rates(text: str, octets_s: float | None) -> None:
    if octets_s is None:
        with pytest.raises(ValueError, match="rate"):
            parse_rate(text)
    else:
        assert parse_rate(text) == octets_s


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("4h", 14_400), ("1.5d", 129_600)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds
    with pytest.raises(ValueError, match="duration"):
        parse_duration_s(text[:-1])
