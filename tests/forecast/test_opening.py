"""Working time and the wall clock."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from migrator.forecast.opening import Opening, at_run
from migrator.settings import RunSettings

HOUR = 3600.0


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOW = at("2026-11-19T18:00:00")  # a Thursday


def opening(**settings: object) -> Opening:
    return Opening(RunSettings(time_zone="UTC", **settings), NOW)  # type: ignore[arg-type]


def test_always_open() -> None:
    found = opening()
    assert found.wall(5 * HOUR) == NOW + 5 * HOUR
    assert found.worked(NOW + 5 * HOUR) == 5 * HOUR
    assert not found.closes


def test_quiet_hours_are_not_worked() -> None:
    found = opening(quiet_hours=("Mon-Fri 08:00-18:00",))
    assert found.wall(13 * HOUR) == at("2026-11-20T07:00:00")
    assert found.wall(15 * HOUR) == at("2026-11-20T19:00:00")
    # From Friday evening to Monday 8 o'clock nothing is quiet.
    assert found.wall((14 + 62) * HOUR) == at("2026-11-23T08:00:00")
    assert found.wall((14 + 63) * HOUR) == at("2026-11-23T19:00:00")
    assert found.worked(at("2026-11-20T12:00:00")) == 14 * HOUR


def test_not_before_is_waited_for() -> None:
    assert opening(not_before="Fri 20:00").wall(2 * HOUR) == at("2026-11-20T22:00:00")
    assert opening(not_before="Fri 20:00").worked(NOW + HOUR) == 0


def test_an_end_is_an_end() -> None:
    found = opening(stop_at="2026-11-20 06:00")
    assert found.wall(12 * HOUR) == at("2026-11-20T06:00:00")
    assert found.wall(12.1 * HOUR) is None


def test_a_weekly_window_comes_again() -> None:
    found = opening(not_before="Fri 20:00", stop_at="Mon 06:00")
    assert found.wall(58 * HOUR) == at("2026-11-23T06:00:00")
    assert found.wall(59 * HOUR) == at("2026-11-27T21:00:00")
    within = Opening(
        RunSettings(not_before="Fri 20:00", stop_at="Mon 06:00", time_zone="UTC"), at("2026-11-21T06:00:00")
    )
    assert within.wall(1.0) == at("2026-11-21T06:00:01"), "who starts within it works at once"


def test_clocks_that_change_keep_the_wall_time() -> None:
    settings = RunSettings(quiet_hours=("Mon-Sun 08:00-20:00",), time_zone="Europe/Berlin")
    found = Opening(settings, datetime(2026, 10, 24, 18, 0, tzinfo=UTC).timestamp())  # 20:00 there, CEST
    assert (
        found.wall(13 * HOUR) == datetime(2026, 10, 25, 7, 0, tzinfo=UTC).timestamp()
    )  # 08:00 CET, 13 h later


@pytest.mark.parametrize("worked", [0.5, 7, 13.9, 14.1, 40, 80, 200])
def test_there_and_back(worked: float) -> None:
    found = opening(quiet_hours=("Mon-Fri 08:00-18:00", "Sat 12:00-13:00"))
    wall = found.wall(worked * HOUR)
    assert wall is not None
    assert found.worked(wall) == pytest.approx(worked * HOUR)


def test_a_moment_that_has_passed_is_past_for_a_run() -> None:
    settings = RunSettings(not_before="Fri 20:00", time_zone="UTC")
    assert at_run(settings, NOW, at("2026-11-21T06:00:00")).not_before == ""
    assert at_run(settings, NOW, at("2026-11-20T06:00:00")).not_before == "Fri 20:00"
    ending = at_run(RunSettings(stop_at="Mon 06:00", time_zone="UTC"), NOW, at("2026-11-22T00:00:00"))
    assert Opening(ending, at("2026-11-22T00:00:00")).wall(40 * HOUR) is None
