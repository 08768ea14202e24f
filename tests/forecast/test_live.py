"""The forecast that goes along with a run: pace, alarm, recovery."""

from __future__ import annotations

from dataclasses import replace

from migrator.events import (
    BatchSettled,
    Event,
    FoldersListed,
    ForecastSlipping,
    ForecastUpdated,
    JobFinished,
    JobStarted,
    Notice,
)
from migrator.forecast.live import LOOK_BACK_S, Tracker
from migrator.forecast.loads import unknown
from migrator.forecast.outlook import forecast
from migrator.forecast.speeds import Speeds
from migrator.model import ItemRef, Kind, Outcome, State
from tests.forecast.making import NOW, job, load, terms

SLOW = replace(Speeds(), source_octets_s=3e5, spread_source=0.1, spread_target=0.1)
"""1 GB is some 75 minutes of reading: bound by the source, not by a window."""
OCTETS = 10**9
ITEMS = 5000


def settled(number: int, share: float, at: float) -> BatchSettled:
    items = round(ITEMS * share)
    refs = [ItemRef(str(n), ("a",), Kind.MAIL, "1", size=OCTETS // ITEMS) for n in range(items)]
    return BatchSettled(f"job-{number}", ("a",), tuple(Outcome(ref, State.COPIED) for ref in refs), at)


class Run:
    """A run whose mailboxes move at a pace of their own, seen by a tracker every minute."""

    def __init__(self, mailboxes: int = 4, at_once: int = 2, deadline_s: float | None = None) -> None:
        self.loads = [load(n, octets=OCTETS, items=ITEMS) for n in range(mailboxes)]
        deadline = None if deadline_s is None else NOW + deadline_s
        self.terms = terms(mailboxes=at_once, speeds=SLOW, deadline=deadline)
        self.tracker = Tracker(self.loads, self.terms)
        self.now = NOW
        self.at_once = at_once
        self.left = dict.fromkeys(range(mailboxes), 1.0)
        self.running: list[int] = []
        self.told: list[Event] = []

    def minutes(self, count: int, share_a_minute: float) -> None:
        for _ in range(count):
            while len(self.running) < self.at_once and (
                waiting := [n for n in self.left if n not in self.running]
            ):
                self.running.append(waiting[0])
                self.tracker.take(JobStarted(f"job-{waiting[0]}", "a", "b", self.now))
            self.now += 60
            for number in list(self.running):
                share = min(self.left[number], share_a_minute)
                self.tracker.take(settled(number, share, self.now))
                self.left[number] -= share
                if self.left[number] < 1e-9:
                    self.tracker.take(JobFinished(f"job-{number}", "done", self.now))
                    self.running.remove(number)
                    del self.left[number]
            self.told += self.tracker.tell(self.now)

    @property
    def p50(self) -> float:
        assert self.tracker.outlook is not None and self.tracker.outlook.p50 is not None
        return self.tracker.outlook.p50

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.told if isinstance(event, kind)]


def expected_s(run: Run) -> float:
    found = forecast(run.loads, run.terms).p50
    assert found is not None
    return found - NOW


def test_as_expected_stays_as_expected() -> None:
    run = Run()
    whole = expected_s(run)
    run.minutes(10, 2 * 60 / whole)  # two mailboxes at once, four in all
    assert abs(run.p50 - (NOW + whole)) < 0.1 * whole


def test_half_the_pace_takes_twice_the_time() -> None:
    run = Run()
    whole = expected_s(run)
    run.minutes(20, 60 / whole)
    assert abs(run.p50 - (NOW + 2 * whole)) < 0.25 * whole


def test_a_quicker_source_ends_sooner() -> None:
    run = Run()
    whole = expected_s(run)
    run.minutes(8, 4 * 60 / whole)
    assert run.p50 < NOW + 0.75 * whole


def test_a_burst_into_an_empty_window_is_no_pace() -> None:
    """Above the pace of the published windows nothing is believed: the first 150 MiB go as quickly as the line."""
    quick = replace(Speeds(), source_octets_s=1e9, target_octets_s=1e9, source_item_s=0.0, store_call_s=0.05)
    loads = [load(1, octets=OCTETS, items=1000)]
    tracker = Tracker(loads, terms(speeds=quick))
    tracker.take(JobStarted("job-1", "a", "b", NOW))
    tracker.tell(NOW + 5)
    refs = [ItemRef(str(n), ("a",), Kind.MAIL, "1", size=10**6) for n in range(110)]
    outcomes = tuple(Outcome(ref, State.COPIED) for ref in refs)
    tracker.take(BatchSettled("job-1", ("a",), outcomes, NOW + 25))
    tracker.tell(NOW + 25)
    assert tracker.outlook is not None and tracker.outlook.p50 is not None
    # 890 MB are left: seven windows of 150 MiB of base64 and a rest, five minutes each.
    assert 1500 < tracker.outlook.p50 - NOW < 3000


def test_standing_still_slips() -> None:
    run = Run(deadline_s=4 * 3600)
    whole = expected_s(run)
    run.minutes(5, 2 * 60 / whole)
    assert not run.of(ForecastSlipping)
    run.minutes(40, 0.0)
    (alarm,) = run.of(ForecastSlipping)
    assert isinstance(alarm, ForecastSlipping)
    assert alarm.late >= 1 and "deadline" in alarm.words


def test_the_alarm_sounds_once_and_again_only_after_recovery() -> None:
    run = Run(deadline_s=0.0)
    whole = expected_s(run)
    run = Run(deadline_s=1.3 * whole)
    run.minutes(15, 0.8 * 60 / whole)
    assert len(run.of(ForecastSlipping)) == 1
    run.minutes(3, 0.8 * 60 / whole)
    assert len(run.of(ForecastSlipping)) == 1, "once"
    run.minutes(int(LOOK_BACK_S / 60) // 2, 3.4 * 60 / whole)
    assert [event.text for event in run.of(Notice) if isinstance(event, Notice)] == [
        "the deadline is in reach again, by what is measured now"
    ]
    run.minutes(60, 0.0)
    assert len(run.of(ForecastSlipping)) == 2, "and again after it was in reach in between"


def test_no_alarm_without_a_deadline_nor_after_the_end() -> None:
    run = Run()
    run.minutes(40, 0.0)
    assert run.of(ForecastUpdated) and not run.of(ForecastSlipping)
    done = Run(mailboxes=1, deadline_s=60.0)
    done.tracker.take(JobStarted("job-0", "a", "b", NOW))
    done.tracker.take(JobFinished("job-0", "done", NOW + 90))
    done.told += done.tracker.tell(NOW + 90)
    assert not done.of(ForecastSlipping), "what has ended late is told by its end"


def test_what_nobody_knows_is_not_forecast_and_wakes_nobody() -> None:
    tracker = Tracker([unknown(job(n), "not looked at yet") for n in range(5)], terms(deadline=NOW + 60))
    assert tracker.tell(NOW + 20) == []
    tracker.take(JobStarted("job-1", "a", "b", NOW))
    tracker.take(FoldersListed("job-1", 10, ITEMS, 10 * OCTETS))
    told = tracker.tell(NOW + 30)
    assert [type(event) for event in told] == [ForecastUpdated], (
        "one of five is known: too little for an alarm"
    )
    assert any(isinstance(event, ForecastSlipping) for event in tracker.tell(NOW + 700))


def test_a_resumed_mailbox_has_less_to_do_than_its_folders_hold() -> None:
    tracker = Tracker([load(1, items=10, octets=10**6, begun=True)], terms())
    tracker.take(JobStarted("job-1", "a", "b", NOW, resumed=True))
    tracker.take(FoldersListed("job-1", 10, 500_000, 50 * OCTETS))
    tracker.tell(NOW + 1)
    assert tracker.outlook is not None and tracker.outlook.mailboxes[0].items == 10
