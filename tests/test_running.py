"""When, in which order and how fast a run works, and what it does while a server is down."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from migrator import assembly
from migrator.adapters.memory import MemoryMailbox, store_named
from migrator.engine.circuit import FIRST_PAUSE_S, IN_A_ROW, MOST_PAUSE_S, Circuits
from migrator.engine.stop import Stop
from migrator.errors import SourceDown, Transient
from migrator.events import (
    BatchSettled,
    EndpointBack,
    EndpointDown,
    Event,
    JobFinished,
    JobStarted,
    Notice,
    Waiting,
)
from migrator.ledger import LEASE_S, Ledger
from migrator.meter import Sent, sent, take
from migrator.model import Job, Mailbox, State
from migrator.settings import Endpoint, Limits, RunSettings
from migrator.wrappers.governor import Ask, Governor
from migrator.wrappers.rate import Pace, Rate
from tests.contracts.samples import Sample, mails
from tests.engine.harness import FakeClock, contents
from tests.test_assembly import Case, Project, fill

NOW = datetime.fromtimestamp(FakeClock().now(), UTC)  # Tue 2023-11-14 22:13:20 UTC


def case_of(folder: Path, sizes: dict[str, list[Sample]], *, endpoints: int = 1) -> Case:
    """Mailboxes by name; source endpoints old0, old1 … in turn, all targets at new."""
    mark = uuid.uuid4().hex
    names = [f"old{n}" for n in range(endpoints)] + ["new"]
    made = {name: Endpoint(name, "memory", url=f"{name}-{mark}") for name in names}
    jobs = [
        Job(
            f"job-{name}",
            line,
            Mailbox(f"old{line % endpoints}", f"{name}@old.example"),
            Mailbox("new", f"{name}@new.example"),
        )
        for line, name in enumerate(sizes)
    ]
    case = Case(Project(folder, folder / "ledger.sqlite", made), jobs)
    for number, samples in enumerate(sizes.values()):
        fill(source(case, number), samples)
        case.target(number)
    return case


def source(case: Case, number: int) -> MemoryMailbox:
    job = case.jobs[number]
    return store_named(case.project.endpoints[job.source.endpoint].url).mailbox(job.source.address)


def same(case: Case) -> bool:
    return all(contents(source(case, n)) == contents(case.target(n)) for n in range(len(case.jobs)))


def ended(case: Case) -> dict[str, tuple[str, str]]:
    return {e.job: (e.state, e.code) for e in case.events if isinstance(e, JobFinished)}


def dated(count: int, days: int, start: int) -> list[Sample]:
    return [replace(one, received=NOW - timedelta(days=days)) for one in mails(count, start=start)]


class Listening(list[Event]):
    """A list of events that somebody watches."""

    def __init__(self, watch: Callable[[Event], None]) -> None:
        super().__init__()
        self._watch = watch

    def append(self, event: Event) -> None:
        super().append(event)
        self._watch(event)


# --- order


def test_the_largest_mailbox_is_begun_first(tmp_path: Path) -> None:
    sizes = {"tiny": mails(1), "huge": mails(30, start=100), "none": [], "middle": mails(8, start=200)}
    case = case_of(tmp_path, sizes)
    assert case.run(mailboxes=1) == 0
    begun = [e.job for e in case.events if isinstance(e, JobStarted)]
    assert begun == ["job-huge", "job-middle", "job-tiny", "job-none"]
    assert same(case)


def test_where_all_go_at_once_nobody_is_asked_for_sizes(tmp_path: Path) -> None:
    case = case_of(tmp_path, {"one": mails(3), "two": mails(5, start=50)})
    assert case.run(mailboxes=8) == 0
    assert [source(case, n).calls["folders"] for n in range(2)] == [1, 1]


def test_a_sign_in_that_sizing_found_refused_is_not_tried_again(tmp_path: Path) -> None:
    from migrator.errors import UserError

    case = case_of(tmp_path, {"one": mails(3), "two": mails(5, start=50)})
    box = source(case, 1)

    def before(verb: str, detail: object) -> None:
        raise UserError("wrong password", code="wrong_password")

    box.before = before
    case.run(mailboxes=1)
    assert ended(case)["job-two"] == ("error", "wrong_password")
    assert sum(box.calls.values()) == 1


def test_newest_first_gives_everybody_the_last_90_days_before_anybody_the_rest(tmp_path: Path) -> None:
    sizes = {
        name: dated(6, 400, start) + dated(6, 20, start + 10)
        for name, start in (("ada", 0), ("bob", 100), ("eve", 200))
    }
    case = case_of(tmp_path, sizes)
    assert case.run(mailboxes=1, newest_first=True) == 0
    assert same(case)
    old = NOW - timedelta(days=90)
    told = [
        outcome.ref.received is not None and outcome.ref.received < old
        for event in case.events
        if isinstance(event, BatchSettled)
        for outcome in event.outcomes
    ]
    assert told == [False] * 18 + [True] * 18  # all newer ones first, and every item is told once
    assert list(ended(case).values()) == [("done", "")] * 3
    assert len([e for e in case.events if isinstance(e, JobStarted)]) == 3
    stored = [case.target(n).calls["store"] for n in range(3)]
    assert case.run(newest_first=True) == 0
    assert [case.target(n).calls["store"] for n in range(3)] == stored


def test_newest_first_that_is_stopped_between_the_slices_goes_on(tmp_path: Path) -> None:
    case = case_of(tmp_path, {"ada": dated(4, 400, 0) + dated(4, 20, 10)})
    calls = {"n": 0}

    def before(verb: str, detail: object) -> None:
        calls["n"] += verb == "store"
        if calls["n"] > 5:
            raise SourceDown("gone")

    case.target().before = before
    assert case.run(newest_first=True, uploaders=1) == 4
    case.target().before = None
    assert case.run(newest_first=True) == 0
    assert same(case)


# --- hours


def test_at_the_end_of_its_hours_a_run_settles_and_says_so_by_its_exit_code(tmp_path: Path) -> None:
    case = case_of(tmp_path, {"ada": mails(20)})
    box = case.target()

    def before(verb: str, detail: object) -> None:
        if verb != "store":
            return
        case.clock.sleep(300)
        if case.clock.now() > datetime(2023, 11, 14, 22, 40, tzinfo=UTC).timestamp():
            assert over.wait(10), "the end of the hours was not seen"

    over = threading.Event()

    def watching(event: Event) -> None:
        if isinstance(event, Notice) and "22:40" in event.text:
            over.set()

    case.events = Listening(watching)
    box.before = before
    assert case.run(stop_at="22:40", time_zone="UTC", uploaders=1) == 6
    assert ended(case) == {"job-ada": ("stopped", "interrupted")}
    assert any("2023-11-14 22:40 UTC" in e.text for e in case.events if isinstance(e, Notice))
    assert 0 < len(box.items()) < 20
    with Ledger.open(case.project.ledger, clock=case.clock, read_only=True) as ledger:
        fates = {(e.state, e.code) for e in ledger.iter_entries("job-ada")}
    assert fates <= {(State.COPIED, ""), (State.FAILED, "not_sent")}, "nothing is left in doubt"
    box.before = None
    assert case.run() == 0
    assert same(case)


def test_quiet_hours_are_waited_out_and_told_with_their_end(tmp_path: Path) -> None:
    case = case_of(tmp_path, {"ada": mails(3)})
    assert case.run(quiet_hours=("22:00-23:30",), time_zone="UTC") == 0
    assert case.clock.now() >= datetime(2023, 11, 14, 23, 30, tzinfo=UTC).timestamp()
    waits = [e for e in case.events if isinstance(e, Waiting) and e.reason == "hours"]
    assert waits and waits[0].words == "quiet hours until Tue 2023-11-14 23:30 UTC"
    assert datetime.fromtimestamp(waits[0].until, UTC) == datetime(2023, 11, 14, 23, 30, tzinfo=UTC)
    assert same(case)


def test_a_run_begins_not_before_its_time(tmp_path: Path) -> None:
    case = case_of(tmp_path, {"ada": mails(3)})
    assert case.run(not_before="Wed 01:00", time_zone="UTC") == 0
    assert case.clock.now() >= datetime(2023, 11, 15, 1, 0, tzinfo=UTC).timestamp()


# --- pace


def test_a_rate_holds_over_seconds() -> None:
    rate = Rate(1000.0)
    now, gone = 0.0, 0
    while now < 60:
        wait = rate.take(now, 400)
        if wait:
            now += wait
        else:
            gone += 400
    assert 60_000 <= gone <= 60_000 + 2 * 1000


def test_both_directions_are_paced_each_on_its_own() -> None:
    clock = FakeClock()
    pace = Pace(1_000_000.0, clock)
    assert pace.piece == 50_000
    for _ in range(600):
        pace.down(pace.piece)
    assert sum(clock.slept) == pytest.approx(29, abs=0.1)
    for _ in range(600):
        pace.up(pace.piece)
    assert sum(clock.slept) == pytest.approx(58, abs=0.2)


def test_a_cap_slows_a_run_down(tmp_path: Path) -> None:
    case = case_of(tmp_path, {"ada": mails(20)})
    octets = sum(len(item.data) for item in source(case, 0).items())
    assert case.run(max_rate_octets_s=octets / 60) == 0
    assert sum(case.clock.slept) >= 50


def test_a_call_that_came_to_many_requests_counts_as_many() -> None:
    clock = FakeClock()
    governor = Governor("new", Limits(requests=100, requests_window_s=60), clock)
    take()
    ask = Ask()
    lane = governor.enter("ada", ask)
    for _ in range(5):
        sent(1_000, requests=20, at_once=4)
    told = take()
    assert told == Sent(100, 5_000, 4)
    governor.leave(lane, ask, told)
    with governor.call("ada"):
        pass
    assert sum(clock.slept) == pytest.approx(60, abs=0.1)


def test_a_batch_takes_all_its_slots_and_is_not_starved() -> None:
    governor = Governor("new", Limits(concurrent=4), FakeClock())
    one, two, batch = Ask(), Ask(), Ask(slots=4)
    lane = governor.queue("ada", one)
    assert governor.attempt(lane, one)[0] == 0.0
    governor.queue("ada", batch)
    assert governor.attempt(lane, batch)[0] is None
    assert governor.attempt(lane, two)[0] is None, "nobody overtakes a batch that waits"
    governor.leave(lane, one)
    assert governor.attempt(lane, batch)[0] == 0.0
    governor.dequeue(lane, batch)
    assert governor.attempt(lane, two)[0] is None
    governor.leave(lane, batch)
    assert governor.attempt(lane, two)[0] == 0.0


def test_too_many_at_once_means_one_less_from_then_on() -> None:
    from migrator.errors import Throttled

    clock = FakeClock()
    governor = Governor("old", Limits(concurrent=3), clock)
    governor.throttled("ada", Throttled("too many", retry_after_s=5, code="ErrorExceededConnectionCount"))
    clock.sleep(10)
    asks = [Ask() for _ in range(3)]
    lane = governor.lane("ada")
    assert [governor.attempt(governor.queue("ada", ask), ask)[0] for ask in asks] == [0.0, 0.0, None]
    assert lane.most == 2


# --- a server that is down


def down_until(case: Case, number: int, until: float) -> None:
    """From now on nothing of a mailbox answers before this moment."""

    def before(verb: str, detail: object) -> None:
        if case.clock.now() < until:
            raise SourceDown("old1: connection refused", code="source_refused")

    source(case, number).before = before


def outage(tmp_path: Path, seconds: float, *, mailboxes: int = 6) -> Case:
    names = {f"box{n}": mails(6, start=100 * n) for n in range(mailboxes)}
    case = case_of(tmp_path, names, endpoints=2)
    for number in range(1, mailboxes, 2):
        down_until(case, number, case.clock.now() + seconds)
    return case


def test_a_source_that_is_down_is_waited_for_and_the_others_go_on(tmp_path: Path) -> None:
    case = outage(tmp_path, 1e9)

    def before(verb: str, detail: object) -> None:
        reachable = {"job-box0", "job-box2", "job-box4"}
        if case.clock.now() < FakeClock().now() + 600 or not reachable <= ended(case).keys():
            raise SourceDown("old1: connection refused", code="source_refused")

    for number in (1, 3, 5):
        source(case, number).before = before
    shown: list[str] = []

    def watching(event: Event) -> None:
        if isinstance(event, Waiting) and event.reason == "source_down":
            shown.append(event.words)

    case.events = Listening(watching)
    assert case.run(wait_for_source_s=1e8, mailboxes=1) == 0
    assert same(case)
    assert set(ended(case).values()) == {("done", "")}
    order = [e.job for e in case.events if isinstance(e, JobFinished)]
    assert {"job-box0", "job-box2", "job-box4"} == set(order[:3]), "those that could be reached came first"
    assert shown[0].startswith("old1 does not answer since 2023-11-14 22:")
    assert "connection refused" in shown[0]
    assert any(e.text == "old1 answers again" for e in case.events if isinstance(e, Notice))
    told = [(type(e).__name__, e.endpoint) for e in case.events if isinstance(e, EndpointDown | EndpointBack)]
    assert told == [("EndpointDown", "old1"), ("EndpointBack", "old1")], "once each"


def test_without_waiting_they_end_as_not_finished(tmp_path: Path) -> None:
    case = outage(tmp_path, 1e9, mailboxes=12)
    assert case.run(mailboxes=1) == 4
    states = ended(case)
    assert [states[f"job-box{n}"] for n in range(0, 12, 2)] == [("done", "")] * 6
    broken = [states[f"job-box{n}"] for n in range(1, 12, 2)]
    assert {state for state, _ in broken} == {"error"}
    asked = sum(bool(source(case, n).calls["probe"]) for n in range(1, 12, 2))
    assert asked == IN_A_ROW, "a dead server is not asked for every mailbox"
    assert [code for _, code in broken].count("source_down") == 6 - IN_A_ROW
    assert [e.endpoint for e in case.events if isinstance(e, EndpointDown)] == ["old1"]
    assert not any(isinstance(e, EndpointBack) for e in case.events)
    for number in range(1, 12, 2):
        source(case, number).before = None
    assert case.run() == 0
    assert same(case)


def test_a_source_that_stays_away_is_given_up_after_the_time(tmp_path: Path) -> None:
    case = outage(tmp_path, 1e9)
    assert case.run(wait_for_source_s=3600) == 4
    assert case.clock.now() - FakeClock().now() >= 3600
    assert [code for state, code in ended(case).values() if state == "error"] == ["source_refused"] * 3


def test_a_stop_while_waiting_is_an_interruption(tmp_path: Path) -> None:
    case = outage(tmp_path, 1e9)
    assert case.run(wait_for_source_s=1e8, stop_at="23:59", time_zone="UTC") == 6
    assert {state for state, _ in ended(case).values()} <= {"done", "stopped"}
    assert ended(case)["job-box1"][0] == "stopped"


def test_one_mailbox_that_cannot_be_reached_is_no_outage(tmp_path: Path) -> None:
    names = {f"box{n}": mails(4, start=100 * n) for n in range(4)}
    case = case_of(tmp_path, names)

    def before(verb: str, detail: object) -> None:
        raise SourceDown("no such host", code="source_dns")

    source(case, 2).before = before
    assert case.run(wait_for_source_s=2 * 3600) == 4
    states = ended(case)
    assert [states[f"job-box{n}"][0] for n in (0, 1, 3)] == ["done"] * 3
    assert states["job-box2"] == ("error", "source_dns")


def test_pauses_between_knocks_grow() -> None:
    clock = FakeClock()
    circuits = Circuits(clock, wait_s=3600)
    circuits.failed("old", "refused")
    pauses = []
    for _ in range(10):
        circuit = circuits.down("old")
        assert circuit is not None
        pauses.append(circuit.next_knock - clock.now())
        assert not circuits.knock("old")
        clock.sleep(pauses[-1])
        assert circuits.knock("old")
        circuits.failed("old", "refused")
    assert pauses[:4] == [FIRST_PAUSE_S, 10, 20, 40]
    assert pauses[-1] == MOST_PAUSE_S
    assert circuits.worked("old")
    assert circuits.down("old") is None


# --- two processes


def test_a_process_that_only_slept_writes_nothing_into_the_target(tmp_path: Path) -> None:
    """It is suspended while items wait for their turn to be sent; another takes the mailbox over and finishes it."""
    case = case_of(tmp_path, {"ada": mails(40)})
    new = case.project.endpoints["new"]
    case.project.endpoints["new"] = replace(new, limits=replace(new.limits, concurrent=1, tries=2))
    box = case.target(0)
    other: list[int] = []

    def before(verb: str, detail: object) -> None:
        if verb == "store" and not other:
            other.append(-1)
            case.clock.time += LEASE_S + 5  # suspended: no heartbeat
            other[0] = assembly.run(
                case.project,
                case.jobs,
                RunSettings(force=frozenset({"no_canary"})),
                lambda event: None,
                Stop(),
                clock=case.clock,
            )
            raise Transient("nothing of this call had left")

    box.before = before
    assert case.run(force=frozenset({"no_canary"})) == 4
    assert other == [0]
    assert ended(case) == {"job-ada": ("error", "lease_lost")}
    assert same(case)
