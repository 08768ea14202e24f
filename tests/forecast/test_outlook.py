"""The whole: p50 and p90, what binds, who misses the deadline, what would help."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from migrator.forecast import outlook as outlooks
from migrator.forecast.changes import Change, changes
from migrator.forecast.loads import AgeBin, FolderLoad, plain, unknown
from migrator.forecast.outlook import Terms, end_of, forecast, quantile
from migrator.forecast.solo import BYTES, REQUESTS, SOURCE, TRIPS
from migrator.forecast.speeds import Speeds
from migrator.model import Role
from migrator.settings import Limits
from tests.forecast.making import GB, NOW, job, load, terms

HOUR = 3600.0


def test_the_same_is_forecast_the_same() -> None:
    loads = [load(n, octets=n * GB) for n in range(1, 10)]
    assert forecast(loads, terms()) == forecast(loads, terms())
    other = forecast(loads, replace(terms(), seed=2))
    assert other.p50 != forecast(loads, terms()).p50


def test_p90_is_later_than_p50_and_all_later_than_each() -> None:
    found = forecast([load(n, octets=n * GB, spread=0.1) for n in range(1, 20)], terms(mailboxes=4))
    assert found.p50 is not None and found.p90 is not None and found.p50 < found.p90
    for one in found.mailboxes:
        assert one.starts is not None and one.p50 is not None and one.p90 is not None
        assert NOW <= one.starts < one.p50 <= one.p90 <= found.p90 + 1


def test_it_knows_more_when_more_is_known() -> None:
    """What was measured is narrower than what is assumed, what was counted narrower than what was told."""
    slow = replace(Speeds(), source_octets_s=2e5)  # bound by the source, not by a window
    sure = replace(slow, spread_source=0.05, spread_target=0.05, spread_size=0.01)

    def width(speeds: Speeds, spread: float) -> float:
        found = forecast([load(n, spread=spread) for n in range(8)], terms(speeds=speeds))
        assert found.p50 is not None and found.p90 is not None
        return (found.p90 - found.p50) / (found.p50 - NOW)

    assert width(sure, 0.0) < width(slow, 0.0)
    assert width(sure, 0.0) < width(sure, 0.3)


@pytest.mark.parametrize(
    ("binds", "given"),
    [
        (BYTES, {"loads": [load(octets=10 * GB, items=10_000)]}),
        (REQUESTS, {"loads": [load(octets=GB // 10, items=100_000)],
                    "speeds": replace(Speeds(), store_call_s=0.05, source_item_s=0.001)}),
        (SOURCE, {"loads": [load()], "speeds": replace(Speeds(), source_octets_s=1e5)}),
        (TRIPS, {"loads": [load(octets=GB // 50)], "speeds": replace(Speeds(), store_call_s=5.0)}),
        (outlooks.AT_ONCE, {"loads": [load(n, octets=2 * GB) for n in range(40)], "mailboxes": 2}),
        (outlooks.LINE, {"loads": [load(n, octets=2 * GB) for n in range(8)], "max_rate_octets_s": 5e5}),
        (outlooks.MACHINE, {"loads": [load(n, items=50_000) for n in range(40)], "mailboxes": 40,
                            "speeds": replace(Speeds(), machine_items_s=20.0)}),
        (outlooks.SCHEDULE, {"loads": [load(n) for n in range(3)], "quiet_hours": ("Mon-Sun 02:00-01:30",)}),
    ],
)  # fmt: skip
def test_what_binds_is_named(binds: str, given: dict[str, object]) -> None:
    loads = given.pop("loads")
    assert isinstance(loads, list)
    found = forecast(loads, terms(**given))  # type: ignore[arg-type]
    assert found.binds == binds, found.gains
    assert binds in outlooks.WORDS


def test_a_mailbox_that_waits_is_bound_by_the_number_at_once() -> None:
    found = forecast([load(n, octets=GB) for n in range(6)], terms(mailboxes=1))
    assert found.mailboxes[0].binds == BYTES
    assert found.mailboxes[-1].binds == outlooks.AT_ONCE


def test_the_largest_goes_first_where_not_all_go_at_once() -> None:
    loads = [load(n, octets=n * GB) for n in (1, 5, 3)]
    starts = [one.starts for one in forecast(loads, terms(mailboxes=1)).mailboxes]
    assert starts[1] == NOW
    assert starts[0] is not None and starts[2] is not None and starts[2] < starts[0]
    assert {one.starts for one in forecast(loads, terms(mailboxes=3)).mailboxes} == {NOW}


def test_twice_the_line_is_half_the_time() -> None:
    loads = [load(n, octets=2 * GB) for n in range(8)]
    one = end_of(loads, terms(max_rate_octets_s=5e5))
    two = end_of(loads, terms(max_rate_octets_s=1e6))
    assert one / two == pytest.approx(2, rel=0.05)
    assert one == pytest.approx(8 * 2 * GB * 4 / 3 / 5e5, rel=0.05)


def test_slots_of_an_endpoint_are_shared() -> None:
    loads = [load(n, octets=GB // 20) for n in range(8)]
    speeds = replace(Speeds(), source_call_s=2.0)
    free = end_of(loads, terms(speeds=speeds))
    limits = {"old": Limits(endpoint_concurrent=2), "new": Limits()}
    assert end_of(loads, replace(terms(speeds=speeds), limits=limits)) > 2 * free


def test_who_misses_the_deadline() -> None:
    loads = [load(1, octets=10 * GB), load(2, octets=GB // 10)]
    soon = forecast(loads, terms(deadline=NOW + HOUR))
    assert [one.job for one in soon.misses] == ["job-1"]
    assert soon.late == 1.0
    assert forecast(loads, terms(deadline=NOW + 48 * HOUR)).misses == []
    half = forecast(loads, terms(deadline=soon.p50))
    assert 0.3 < half.late < 0.7


def test_beyond_the_hours_is_never() -> None:
    found = forecast([load(octets=20 * GB)], terms(stop_at="2023-11-15 00:00", deadline=NOW + 1e6))
    assert found.p50 is None and found.p90 is None
    assert found.late == 1.0
    assert [one.job for one in found.misses] == ["job-1"], "what never ends meets no deadline"
    assert found.binds in (BYTES, outlooks.SCHEDULE)


def test_nobody_knows_is_the_mean_of_the_others() -> None:
    loads = [load(1, octets=2 * GB), load(2, octets=4 * GB), unknown(job(3), "no answer")]
    found = forecast(loads, terms())
    assert found.mailboxes[2].octets == 3 * GB
    assert found.mailboxes[2].unknown == "no answer"


def test_newest_first_ends_later_and_begins_all_sooner() -> None:
    ages = (AgeBin(0, 90, 1000, GB // 5), AgeBin(90, 900, 4000, GB - GB // 5))
    loads = [load(n, octets=GB, ages=ages) for n in range(12)]
    plain_, sliced = (
        forecast(loads, terms(mailboxes=2)),
        forecast(loads, terms(mailboxes=2, newest_first=True)),
    )

    def last_start(found: outlooks.Outlook) -> float:
        return max(one.starts or 0 for one in found.mailboxes)

    assert last_start(sliced) < last_start(plain_)
    assert plain_.p50 is not None and sliced.p50 is not None and sliced.p50 > plain_.p50 - 1800


def test_six_hundred_mailboxes_within_five_seconds() -> None:
    loads = [plain(job(n), octets=4 * GB) for n in range(600)]
    given = terms(mailboxes=32, deadline=NOW + 48 * HOUR)
    begun = time.perf_counter()
    found = forecast(loads, given)
    changes(loads, given, found)
    assert time.perf_counter() - begun < 5
    # Each is bound by 150 MiB in five minutes: some three hours, in 19 rounds of 32.
    assert found.p50 is not None
    assert 45 * HOUR < found.p50 - NOW < 75 * HOUR


def test_quantile() -> None:
    assert quantile([3, 1, 2], 0.5) == 2
    assert quantile([0, 10], 0.9) == pytest.approx(9)
    assert quantile([], 0.5) == 0


# ---------------------------------------------------------------- what would help


def helping(loads: list[outlooks.MailboxLoad], given: Terms) -> dict[str, list[Change]]:
    now = forecast(loads, given)
    found: dict[str, list[Change]] = {}
    for one in changes(loads, given, now):
        found.setdefault(one.name, []).append(one)
        assert now.p50 is None or (one.p50 is not None and one.p50 < now.p50)
    return found


def test_more_at_once_is_told_with_its_end() -> None:
    loads = [load(n, octets=2 * GB) for n in range(60)]
    (change,) = helping(loads, terms(mailboxes=4, deadline=NOW + 4 * HOUR))["at_once"]
    number = int(change.how.rpartition(" ")[2])
    assert number > 4
    again = forecast(loads, terms(mailboxes=number))
    assert change.p50 == pytest.approx(again.p50, abs=0.1 * (again.p50 or 0) - 0.1 * NOW)
    assert change.enough and change.misses == 0


def test_nothing_more_at_once_where_all_are() -> None:
    assert "at_once" not in helping([load(n, octets=2 * GB) for n in range(4)], terms(mailboxes=4))


def test_what_is_older_can_be_carried_before() -> None:
    ages = (AgeBin(0, 30, 500, GB // 10), AgeBin(30, 2000, 4500, 5 * GB))
    loads = [load(n, octets=5 * GB, ages=ages) for n in range(3)]
    found = helping(loads, terms())["prestage"]
    assert "30 days" in found[0].words and "--until 30d" in found[0].how
    assert found[0].before is not None and found[0].p50 is not None
    assert found[0].before > found[0].p50, "the many old ones take longer than the few new ones"


def test_a_folder_can_wait() -> None:
    parts = (
        FolderLoad(("Posteingang",), 1000, GB // 5, Role.INBOX),
        FolderLoad(("Gelöscht",), 5000, 3 * GB, Role.DELETED),
        FolderLoad(("Projekte", "Alt/neu"), 5000, 4 * GB),
    )
    loads = [replace(load(n), folders=parts) for n in range(3)]
    found = helping(loads, terms())["folder"]
    assert [one.how for one in found] == [
        "migrator run --exclude-folder @deleted",
        r"migrator run --exclude-folder 'Projekte/Alt\/neu'",
    ]


def test_a_cap_and_quiet_hours_are_named_where_they_cost() -> None:
    loads = [load(n, octets=2 * GB) for n in range(6)]
    found = helping(loads, terms(max_rate_octets_s=3e5, quiet_hours=("Mon-Sun 23:00-22:30",)))
    assert {"max_rate", "quiet_hours"} <= set(found)
    assert "max_rate" not in helping(loads, terms(max_rate_octets_s=1e9))
