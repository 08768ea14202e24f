"""Retry, throttle, trace, dry run: each keeps the contract and does its own matter."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from migrator.adapters.memory import MemoryMailbox, open_box
from migrator.errors import JobError, RunError, SourceDown, Throttled, Transient
from migrator.events import Event, Waiting
from migrator.interfaces import Target
from migrator.model import Format, Kind, Outcome, State
from migrator.settings import Limits
from migrator.wrappers.dryrun import DryRunTarget
from migrator.wrappers.governor import Governor, safe_words
from migrator.wrappers.retry import Patience, RetryingTarget
from migrator.wrappers.throttle import ThrottledTarget
from migrator.wrappers.trace import Trace, TracedTarget
from tests.contracts.wrapper import Wrap, WrapperContract
from tests.engine.harness import FakeClock

LIMITS = Limits()


class TestRetrying(WrapperContract):
    @pytest.fixture
    def wrap(self) -> Wrap:
        return lambda target: RetryingTarget(target, Patience(LIMITS, FakeClock()))


class TestThrottled(WrapperContract):
    @pytest.fixture
    def wrap(self) -> Wrap:
        return lambda target: ThrottledTarget(target, Governor("new", LIMITS, FakeClock()), "ada")


class TestTraced(WrapperContract):
    @pytest.fixture
    def wrap(self) -> Wrap:
        return lambda target: TracedTarget(target, Trace("new"))


class TestDryRun(WrapperContract):
    writes = False

    @pytest.fixture
    def wrap(self) -> Wrap:
        return DryRunTarget


class TestDressed(WrapperContract):
    """All of them, as the assembly room stacks them."""

    @pytest.fixture
    def wrap(self) -> Wrap:
        def dressed(target: Target) -> Target:
            clock = FakeClock()
            traced = TracedTarget(target, Trace("new"))
            throttled = ThrottledTarget(traced, Governor("new", LIMITS, clock), "ada")
            return RetryingTarget(throttled, Patience(LIMITS, clock))

        return dressed


@pytest.fixture
def box() -> MemoryMailbox:
    box = MemoryMailbox("ada@new.example")
    box.traits = type(box.traits)(formats=(Format.FTS,), accepts=(Format.FTS,), store_items=5)
    return box


def failing(box: MemoryMailbox, verb: str, errors: list[Exception]) -> None:
    """The next calls of a verb fail with these, before anything happened."""

    def before(called: str, detail: object) -> None:
        if called == verb and errors:
            raise errors.pop(0)

    box.before = before


def retrying(box: MemoryMailbox, clock: FakeClock, **more: object) -> Target:
    limits = more.pop("limits", LIMITS)
    patience = Patience(limits, clock, chance=lambda: 1.0, **more)  # type: ignore[arg-type]
    return RetryingTarget(open_box(box), patience)


# --- retry


def test_transient_is_repeated_with_growing_waits(box: MemoryMailbox) -> None:
    clock = FakeClock()
    failing(box, "folders", [Transient("503")] * 4)
    assert retrying(box, clock).folders()
    assert clock.slept == [2.0, 4.0, 8.0, 16.0]


def test_the_servers_wish_is_kept(box: MemoryMailbox) -> None:
    clock = FakeClock()
    failing(box, "folders", [Transient("busy", retry_after_s=7.5)])
    assert retrying(box, clock).folders()
    assert 7.5 <= clock.slept[0] <= 7.5 * 1.1


def test_it_gives_up_after_so_many_tries(box: MemoryMailbox) -> None:
    failing(box, "folders", [Transient("503", code="http_503")] * 99)
    with pytest.raises(Transient) as caught:
        retrying(box, FakeClock(), limits=Limits(tries=4)).folders()
    assert caught.value.code == "http_503"
    assert box.calls["folders"] == 4


def test_it_gives_up_after_so_long(box: MemoryMailbox) -> None:
    clock = FakeClock()
    failing(box, "folders", [Transient("busy", retry_after_s=100)] * 99)
    start = clock.now()
    with pytest.raises(Transient):
        retrying(box, clock, limits=Limits(tries=99, give_up_s=450)).folders()
    assert clock.now() - start <= 450


def test_throttling_counts_for_neither_bound(box: MemoryMailbox) -> None:
    clock = FakeClock()
    failing(box, "folders", [Throttled("slow down", retry_after_s=300)] * 20)
    assert retrying(box, clock, limits=Limits(tries=3, give_up_s=60)).folders()
    assert box.calls["folders"] == 21


def test_waiting_is_told_in_words_that_are_safe_to_show(box: MemoryMailbox) -> None:
    events: list[Event] = []
    clock = FakeClock()
    failing(box, "folders", [Transient("\x1b[31mbusy\nnow")])
    retrying(box, clock, emit=events.append, endpoint="new", job="job-1").folders()
    (event,) = events
    assert isinstance(event, Waiting)
    assert (event.job, event.endpoint, event.reason) == ("job-1", "new", "retry")
    assert event.words == "[31mbusy now"
    assert event.until - event.at == pytest.approx(2.0)


def test_a_stop_ends_the_waiting(box: MemoryMailbox) -> None:
    clock = FakeClock()
    failing(box, "folders", [Transient("503")] * 99)
    with pytest.raises(Transient):
        retrying(box, clock, stopped=lambda: len(clock.slept) >= 2).folders()
    assert box.calls["folders"] == 2


def test_an_unreachable_endpoint_is_told_at_first_contact_and_repeated_later(box: MemoryMailbox) -> None:
    clock = FakeClock()
    failing(box, "folders", [SourceDown("refused")])
    target = retrying(box, clock)
    with pytest.raises(SourceDown):
        target.folders()
    assert target.folders()
    failing(box, "folders", [SourceDown("refused")] * 3)
    assert target.folders()
    assert len(clock.slept) == 3


class Flaky:
    """A target whose store answers by a script: per call, per item, an error or None."""

    def __init__(self, inner: Target, script: list[list[Exception | None]]) -> None:
        self.inner = inner
        self.script = script
        self.asked: list[list[str]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    def store(self, folder: object, items: object, replaces: object = None) -> list[Outcome]:
        self.asked.append([item.ref.subject for item in items])  # type: ignore[attr-defined]
        errors = self.script.pop(0) if self.script else [None] * len(items)  # type: ignore[arg-type]
        results = []
        for item, error in zip(items, errors, strict=True):  # type: ignore[call-overload]
            if error is not None:
                results.append(Outcome(item.ref, State.FAILED, error=error))
            else:
                results += self.inner.store(folder, [item])  # type: ignore[arg-type]
        return results


def test_of_a_batch_only_those_it_befell_are_sent_again(box: MemoryMailbox) -> None:
    busy = Transient("busy")
    flaky = Flaky(open_box(box), [[None, busy, busy], [busy, None]])
    target = RetryingTarget(flaky, Patience(LIMITS, FakeClock()))  # type: ignore[arg-type]
    folder = target.ensure_folder(("Inbox",), Kind.MAIL)
    items = WrapperContract.items(3)
    outcomes = target.store(folder, items)
    names = [item.ref.subject for item in items]
    assert flaky.asked == [names, names[1:], names[1:2]]
    assert [outcome.ref.subject for outcome in outcomes] == names
    assert {outcome.state for outcome in outcomes} == {State.COPIED}
    assert len(box.items(("Inbox",))) == 3


def test_when_patience_ends_the_others_keep_what_they_have(box: MemoryMailbox) -> None:
    busy = Transient("busy", code="http_503")
    script: list[list[Exception | None]] = [[None, busy]]
    script += [[busy] for _ in range(9)]
    flaky = Flaky(open_box(box), script)
    target = RetryingTarget(flaky, Patience(Limits(tries=3), FakeClock()))  # type: ignore[arg-type]
    outcomes = target.store(target.ensure_folder(("Inbox",), Kind.MAIL), WrapperContract.items(2))
    assert [outcome.state for outcome in outcomes] == [State.COPIED, State.FAILED]
    assert outcomes[1].error is busy


def test_a_mailbox_that_fails_midway_is_told_in_the_outcomes_of_the_rest(box: MemoryMailbox) -> None:
    full = JobError("quota", code="quota_full")
    flaky = Flaky(open_box(box), [[None, Transient("busy")]])
    target = RetryingTarget(flaky, Patience(LIMITS, FakeClock()))  # type: ignore[arg-type]
    folder = target.ensure_folder(("Inbox",), Kind.MAIL)

    def then_full(verb: str, detail: object) -> None:
        if verb == "store" and box.calls["store"] > 1:
            raise full

    box.before = then_full
    outcomes = target.store(folder, WrapperContract.items(2))
    assert outcomes[0].state is State.COPIED
    assert outcomes[1].error is full


# --- throttle


def throttled(box: MemoryMailbox, governor: Governor, mailbox: str = "ada") -> Target:
    return ThrottledTarget(open_box(box), governor, mailbox, "job-1")


def test_a_throttled_lane_waits_and_the_others_do_not(box: MemoryMailbox) -> None:
    events: list[Event] = []
    clock = FakeClock()
    governor = Governor("new", LIMITS, clock, emit=events.append)
    failing(box, "folders", [Throttled("over its limit", retry_after_s=42.5)])
    with pytest.raises(Throttled):
        throttled(box, governor).folders()
    throttled(box, governor, "bob").folders()
    assert clock.slept == []
    throttled(box, governor).folders()
    assert clock.slept == [pytest.approx(42.5)]
    assert [(e.job, e.words, e.until - e.at) for e in events if isinstance(e, Waiting)] == [
        ("job-1", "over its limit", 42.5)
    ]


def test_a_throttled_endpoint_holds_all_lanes(box: MemoryMailbox) -> None:
    events: list[Event] = []
    clock = FakeClock()
    governor = Governor("new", LIMITS, clock, emit=events.append, chance=lambda: 0.5)
    failing(box, "folders", [Throttled("tenant busy", retry_after_s=40, scope="endpoint")])
    with pytest.raises(Throttled):
        throttled(box, governor).folders()
    throttled(box, governor, "bob").folders()
    assert clock.slept == [pytest.approx(42)]
    assert isinstance(events[0], Waiting)
    assert events[0].job == ""


def test_without_a_wish_the_back_off_doubles(box: MemoryMailbox) -> None:
    clock = FakeClock()
    governor = Governor("new", LIMITS, clock)
    failing(box, "page", [Throttled("busy")] * 3)
    target = throttled(box, governor)
    folder = target.ensure_folder(("Inbox",), Kind.MAIL)
    for _ in range(3):
        with pytest.raises(Throttled):
            target.page(folder, None)
    target.page(folder, None)
    assert clock.slept == [pytest.approx(10), pytest.approx(20), pytest.approx(40)]
    clock.slept.clear()
    failing(box, "page", [Throttled("busy")])
    with pytest.raises(Throttled):
        target.page(folder, None)
    target.page(folder, None)
    assert clock.slept == [pytest.approx(10)]


def test_a_throttled_member_of_a_batch_is_heard(box: MemoryMailbox) -> None:
    clock = FakeClock()
    flaky = Flaky(open_box(box), [[None, Throttled("busy", retry_after_s=9)]])
    target = ThrottledTarget(flaky, Governor("new", LIMITS, clock), "ada")  # type: ignore[arg-type]
    target.store(target.ensure_folder(("Inbox",), Kind.MAIL), WrapperContract.items(2))
    target.folders()
    assert clock.slept == [pytest.approx(9)]


class Sliding:
    """A server that counts as written: so many units in any window. The referee."""

    def __init__(self, most: int, window_s: float) -> None:
        self.most = most
        self.window_s = window_s
        self.seen: list[tuple[float, int]] = []
        self.refused = 0
        self.peak = 0

    def take(self, now: float, units: int) -> None:
        inside = sum(u for at, u in self.seen if at > now - self.window_s)
        self.seen.append((now, units))
        self.peak = max(self.peak, inside + units)
        if inside + units > self.most:
            self.refused += 1


@pytest.mark.parametrize(("units", "call_s"), [(1, 0.05), (7, 0.2), (40, 1.0)])
def test_the_window_is_used_to_the_last_percent_and_never_overrun(units: int, call_s: float) -> None:
    clock = FakeClock()
    limits = Limits(requests=0, upload_octets=1000, upload_window_s=300)
    governor = Governor("new", limits, clock)
    server = Sliding(1000, 300)
    start = clock.now()
    while clock.now() - start < 1800:
        with governor.call("ada", units):
            server.take(clock.now(), units)
            clock.sleep(call_s)
    assert server.refused == 0
    granted = 1000 * (clock.now() - start) / 300 + 1000  # the first window's worth is there at once
    assert sum(u for _, u in server.seen) >= 0.97 * (granted - 1000)


def test_an_item_larger_than_the_window_passes_alone() -> None:
    clock = FakeClock()
    governor = Governor("new", Limits(requests=0, upload_octets=1000, upload_window_s=300), clock)
    for octets in (10, 5000, 10):
        with governor.call("ada", octets):
            clock.sleep(1)
    assert clock.slept == [1, pytest.approx(300), 1, pytest.approx(300), 1]


def test_pacing_is_told_once_with_the_limit_that_binds() -> None:
    events: list[Event] = []
    clock = FakeClock()
    governor = Governor("new", Limits(requests=2, requests_window_s=60), clock, emit=events.append)
    for _ in range(3):
        with governor.call("ada", 0, "job-1"):
            clock.sleep(0.1)
    (event,) = events
    assert isinstance(event, Waiting)
    assert (event.reason, event.words) == ("paced", "the limit of 2 requests in 60 s is used up")


def test_no_more_calls_at_once_than_slots() -> None:
    governor = Governor("new", Limits(concurrent=3), FakeClock())
    busy: dict[str, int] = {"now": 0, "peak": 0}
    lock = threading.Lock()
    together = threading.Barrier(3, timeout=10)

    def work(number: int) -> None:
        with governor.call("ada"):
            with lock:
                busy["now"] += 1
                busy["peak"] = max(busy["peak"], busy["now"])
            if number < 3:
                together.wait()  # three are let in together
            with lock:
                busy["now"] -= 1

    first = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for thread in first:
        thread.start()
    for thread in first:
        thread.join(10)
    rest = [threading.Thread(target=work, args=(n,)) for n in range(3, 12)]
    for thread in rest:
        thread.start()
    for thread in rest:
        thread.join(10)
    assert busy == {"now": 0, "peak": 3}


def test_a_sleeper_holds_no_slot() -> None:
    clock = FakeClock()
    governor = Governor("new", Limits(concurrent=1, requests=1, requests_window_s=50), clock)
    inside: list[int] = []

    class Watching(FakeClock):
        def sleep(self, seconds: float) -> None:
            inside.append(governor._busy)
            super().sleep(seconds)

    governor._clock = Watching(clock.now())
    for _ in range(3):
        with governor.call("ada"):
            pass
    assert inside == [0, 0]


def test_a_stop_ends_waiting_for_a_turn() -> None:
    clock = FakeClock()
    governor = Governor("new", LIMITS, clock, stopped=lambda: True)
    with governor.call("ada"):
        pass  # what needs no waiting is not held up
    governor.throttled("ada", Throttled("busy", retry_after_s=300))
    with pytest.raises(Transient) as caught, governor.call("ada"):
        raise AssertionError("let in")
    assert caught.value.code == "stopped"
    assert clock.slept == []


# --- trace and dry run


def test_trace_counts_and_tells_nothing_of_the_mail(
    box: MemoryMailbox, caplog: pytest.LogCaptureFixture
) -> None:
    trace = Trace("new")
    target = TracedTarget(open_box(box), trace)
    folder = target.ensure_folder(("Inbox",), Kind.MAIL)
    with caplog.at_level(logging.DEBUG, "migrator.trace"):
        items = WrapperContract.items(2)
        target.store(folder, items)
        failing(box, "folders", [Throttled("busy")])
        with pytest.raises(Throttled):
            target.folders()
    assert trace.calls == {"ensure_folder": 1, "store": 1, "folders": 1}
    assert trace.errors == {"throttled": 1}
    assert len(caplog.messages) == 2
    for secret in (items[0].ref.subject, items[0].ref.message_id, folder.id, "ada"):
        assert secret not in caplog.text


@pytest.mark.parametrize(
    "write",
    [
        lambda t, f: t.ensure_folder(("x",), Kind.MAIL),
        lambda t, f: t.mark(f),
        lambda t, f: t.store(f, []),
        lambda t, f: t.remove(f, []),
        lambda t, f: t.remove_folder(f),
    ],
    ids=["ensure_folder", "mark", "store", "remove", "remove_folder"],
)
def test_a_dry_run_refuses_every_verb_that_writes(
    box: MemoryMailbox, write: Callable[[Target, object], object]
) -> None:
    target = DryRunTarget(open_box(box))
    folder = target.folders()[0]
    with pytest.raises(RunError) as caught:
        write(target, folder)
    assert caught.value.code == "dry_run"


def test_words_for_a_terminal_are_one_short_line() -> None:
    assert safe_words("a\r\n\x00b\u202e\x9b31mc") == "a b 31mc"
    assert len(safe_words("x" * 5000)) == 200
