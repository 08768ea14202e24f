"""What goes wrong and what becomes of it: lost answers, poison, outages, limits, Ctrl-C."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from migrator.adapters.memory import MemoryMailbox
from migrator.errors import InDoubt, ItemError, JobError, RunError, SourceDown, Transient, UserError
from migrator.events import JobFinished, Settled
from migrator.interfaces import Finding, Probe
from migrator.ledger import Ledger
from migrator.model import Format, Item, Kind, SkipReason, State
from tests.contracts.samples import Sample, mails
from tests.engine.harness import World, contents, fill, job_of


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def fails(box: MemoryMailbox, verb: str, error: Exception, *, after: int = 0, times: int = 10_000) -> None:
    """Calls of a verb fail, before anything has happened; the first `after` of them work."""
    seen = {"calls": 0}
    lock = threading.Lock()

    def before(called: str, detail: object) -> None:
        if called != verb:
            return
        with lock:
            seen["calls"] += 1
            failing = after < seen["calls"] <= after + times
        if failing:
            raise error

    box.before = before


# --- in doubt

PRESERVED = [
    frozenset(),
    frozenset({"search_key"}),
    frozenset({"message_id"}),
    frozenset({"message_id", "search_key", "received", "sent", "subject", "fingerprint"}),
]


def bare(samples: Sequence[Sample]) -> list[Sample]:
    return [replace(one, message_id="") for one in samples]


@pytest.mark.parametrize(
    "drops", PRESERVED, ids=lambda drops: "drops " + (",".join(sorted(drops)) or "nothing")
)
@pytest.mark.parametrize("kind", ["mails", "twins", "without ids"])
@pytest.mark.parametrize("every", [1, 3])
def test_lost_answers_lose_and_double_nothing(
    world: World, drops: frozenset[str], kind: str, every: int
) -> None:
    samples = {"mails": mails(12), "twins": [*mails(5), *mails(5)], "without ids": bare(mails(12))}[kind]
    fill(world.source(), samples)
    seen: set[bytes] = set()
    turns = {"n": 0}

    def lose(item: Item) -> bool:
        """The first answer about an item is lost, for every so-many items."""
        data = b"".join(item.content.pieces())
        turns["n"] += 1
        if data in seen or turns["n"] % every:
            return False
        seen.add(data)
        return True

    world.target().lose_answer = lose
    world.target().drops = drops
    world.same_content = lambda one, two: one == two
    assert world.run() == 0
    assert world.same() or drops
    assert {k[1]: n for k, n in contents(world.target()).items()} == {
        k[1]: n for k, n in contents(world.source()).items()
    }
    assert set(world.states()) == {State.COPIED}
    assert any(isinstance(event, Settled) and event.found for event in world.events)


def test_a_request_that_was_never_stored_is_sent_again(world: World) -> None:
    fill(world.source(), mails(8))
    fails(world.target(), "store", InDoubt("reset"), after=2, times=2)
    assert world.run() == 0
    assert world.same()
    assert sum(event.resent for event in world.events if isinstance(event, Settled)) == 2


def test_a_request_that_the_server_finishes_after_the_connection_broke_is_waited_for(world: World) -> None:
    fill(world.source(), mails(4))
    late: list[Sequence[Item]] = []
    fired: list[bool] = []

    def before(verb: str, detail: object) -> None:
        if verb == "store" and not fired:
            fired.append(True)
            assert isinstance(detail, Sequence)
            late.append(detail)
            raise InDoubt("the connection broke")

    sleep = world.clock.sleep

    def sleep_while_the_server_works(seconds: float) -> None:
        sleep(seconds)
        while late:
            for item in late.pop():
                flags = item.flags
                world.target().put(("Inbox",), item.ref, b"".join(item.content.pieces()), flags=flags)

    world.clock.sleep = sleep_while_the_server_works  # type: ignore[method-assign]
    world.target().before = before
    assert world.run() == 0
    assert world.same()
    assert [(e.found, e.resent) for e in world.events if isinstance(e, Settled)] == [(1, 0)]


def test_an_item_that_is_in_doubt_for_ever_fails_in_the_end(world: World) -> None:
    fill(world.source(), mails(3))
    poison = world.source().items(("Inbox",))[1].data

    def before(verb: str, detail: object) -> None:
        if verb != "store":
            return
        assert isinstance(detail, Sequence)
        if b"".join(detail[0].content.pieces()) == poison:
            raise InDoubt("reset by peer")

    world.target().before = before
    assert world.run() == 3
    assert world.codes() == {"in_doubt": 1}
    assert len(world.target().items()) == 2


def test_a_defect_in_store_doubles_nothing(world: World) -> None:
    """An exception nobody expected says nothing about whether the item arrived."""
    fill(world.source(), mails(6))
    done = {"n": 0}

    def after(verb: str, detail: object) -> None:
        if verb == "store":
            done["n"] += 1
            if done["n"] == 2:
                raise KeyError("a defect")

    world.target().after = after
    assert world.run() == 0
    assert world.same()


def test_somebody_elses_arrival_is_not_taken_for_ours(world: World) -> None:
    fill(world.source(), mails(3))
    stranger = Sample("from outside", message_id="<stranger@elsewhere.example>")
    fired: list[bool] = []

    def before(verb: str, detail: object) -> None:
        if verb == "store" and not fired:
            fired.append(True)
            fill(world.target(), [stranger])
            raise InDoubt("reset before the server saw it")

    world.target().before = before
    assert world.run() == 0
    assert len(world.target().items()) == 4
    assert not contents(world.source()) - contents(world.target())


# --- single items


def test_poisonous_items_stop_no_neighbour(world: World) -> None:
    fill(world.source(), mails(20))
    ids = [item.ref.id for item in world.source().items(("Inbox",))]
    world.source().unreadable = {
        ids[2]: SkipReason.CORRUPT_AT_SOURCE,
        ids[3]: ItemError("no", code="ErrorContentConversionFailed"),
        ids[4]: SkipReason.VANISHED,
    }
    world.target().refuse = lambda item: (
        ItemError("broken", code="ErrorInvalidRequest") if item.ref.id == ids[7] else None
    )
    assert world.run() == 3
    assert world.ended().state == "partial"
    assert world.states() == {State.COPIED: 16, State.SKIPPED: 2, State.FAILED: 2}
    assert world.codes() == {"ErrorContentConversionFailed": 1, "ErrorInvalidRequest": 1}
    assert world.balance_closes()


def test_a_batch_that_fails_as_a_whole_is_halved(world: World) -> None:
    fill(world.source(), mails(10))
    poison = world.source().items(("Inbox",))[6].ref.id

    def before(verb: str, detail: object) -> None:
        if verb == "export" and isinstance(detail, Sequence) and poison in [ref.id for ref in detail]:
            raise Transient("the server gave up on this batch", code="http_500")

    world.source().before = before
    assert world.run() == 3
    assert world.codes() == {"http_500": 1}
    assert len(world.target().items()) == 9


def test_no_content_is_an_error(world: World) -> None:
    world.source().put(("Inbox",), mails(1)[0].ref(), b"")
    fill(world.source(), mails(2, start=5))
    assert world.run() == 3
    assert world.codes() == {"empty_content": 1}


def test_failed_items_are_tried_again_by_the_next_runs_and_then_by_request_only(world: World) -> None:
    fill(world.source(), mails(4))
    poison = world.source().items(("Inbox",))[1].ref.id
    world.target().refuse = lambda item: ItemError("no", code="bad") if item.ref.id == poison else None
    sent = []
    for _ in range(5):
        world.target().calls.clear()
        assert world.run() == 3
        sent.append(world.target().calls["store"])
    assert sent == [4, 1, 1, 0, 0]
    world.target().refuse = None
    assert world.run(retry_failed=True) == 0
    assert world.same()


def test_a_too_large_item_is_skipped_by_the_target(world: World) -> None:
    fill(world.source(), mails(4))
    world.source().put(("Inbox",), Sample("large").ref(), b"x" * 5000)
    world.target().traits = replace(world.target().traits, store_octets=4000)
    assert world.run() == 0
    assert world.states() == {State.COPIED: 4, State.SKIPPED: 1}


def test_kinds_that_the_target_does_not_take_are_skipped(world: World) -> None:
    fill(world.source(), [*mails(2), replace(mails(1)[0], kind=Kind.TASK, path=("Tasks",))])
    world.target().traits = replace(world.target().traits, kinds=frozenset({Kind.MAIL}))
    assert world.run() == 0
    with world.open_ledger() as ledger:
        assert ledger.skipped_by_reason() == [("job-ada", "unsupported_kind", 1)]
    world.target().traits = replace(world.target().traits, kinds=frozenset(Kind))
    assert world.run() == 0
    assert world.states() == {State.COPIED: 3}


def test_a_folder_that_the_target_refuses_fails_its_items_and_no_others(world: World) -> None:
    fill(world.source(), [*mails(3), *mails(4, ("Odd",), 10)])

    def before(verb: str, detail: object) -> None:
        if verb == "ensure_folder" and detail == ("Odd",):
            raise ItemError("will not have it", code="folder_refused")

    world.target().before = before
    assert world.run() == 3
    assert world.codes() == {"folder_refused": 4}
    world.target().before = None
    assert world.run() == 0
    assert world.same()


def test_an_item_that_vanishes_between_listing_and_reading_is_no_failure(world: World) -> None:
    fill(world.source(), mails(6))
    victim = world.source().items(("Inbox",))[3].ref.id

    def before(verb: str, detail: object) -> None:
        if verb == "export" and any(item.ref.id == victim for item in world.source().items()):
            world.source().delete(victim)

    world.source().before = before
    assert world.run() == 0
    assert world.states() == {State.COPIED: 5, State.SKIPPED: 1}


def test_an_item_listed_again_while_it_is_on_its_way_arrives_once_in_its_last_state(world: World) -> None:
    fill(world.source(), mails(8))
    world.source().page_items = 4
    first = world.source().items(("Inbox",))[0].ref
    fired: list[bool] = []

    def after(verb: str, detail: object) -> None:
        if verb == "export" and not fired:
            fired.append(True)
            world.source().change(first.id, seen=not first.seen)

    world.source().after = after
    assert world.run() == 0
    assert world.run() == 0
    assert len(world.target().items()) == 8


def test_a_change_in_the_target_meanwhile_is_a_conflict(world: World) -> None:
    fill(world.source(), mails(3))
    assert world.run() == 0
    there = world.target().items(("Inbox",))[0].ref
    world.target().change(there.id, seen=not there.seen)
    ours = next(i.ref for i in world.source().items() if i.ref.message_id == there.message_id)
    world.source().change(ours.id, subject="other")
    assert world.run() == 3
    assert world.codes() == {"conflict": 1}
    assert len(world.target().items()) == 3


# --- one mailbox


ROWS: list[tuple[str, str, Exception, str]] = [
    ("target", "store", JobError("full", code="quota_full", remedy="make room"), "quota_full"),
    ("source", "page", SourceDown("no route", code="no_route", remedy="start it"), "no_route"),
    ("source", "export", SourceDown("gone", code="refused", remedy="start it"), "refused"),
    (
        "source",
        "probe",
        UserError("wrong password", code="wrong_password", remedy="mend it"),
        "wrong_password",
    ),
    ("target", "ensure_folder", JobError("no right", code="denied", remedy="grant it"), "denied"),
    ("source", "folders", KeyError("a defect"), "unexpected"),
]


@pytest.mark.parametrize(("side", "verb", "error", "code"), ROWS, ids=[f"{r[0]} {r[1]} {r[3]}" for r in ROWS])
def test_a_mailbox_that_stops_stops_no_other(
    tmp_path: Path, side: str, verb: str, error: Exception, code: str
) -> None:
    jobs = [job_of("ada", 2), job_of("bob", 3), job_of("cleo", 4)]
    world = World(tmp_path, jobs)
    for number, job in enumerate(jobs):
        world.target(job)
        fill(world.source(job), [*mails(9, start=number * 100), *mails(2, ("Own",), number * 100 + 50)])
    bad = world.source(jobs[1]) if side == "source" else world.target(jobs[1])
    fails(bad, verb, error, after=2 if verb in ("store", "page", "export") else 0)
    assert world.run() == 4
    ended = world.ended(jobs[1])
    assert (ended.state, ended.code) == ("error", code)
    assert ended.remedy
    assert world.same(jobs[0])
    assert world.same(jobs[2])
    bad.before = None
    assert world.run() == 0
    assert world.same(jobs[1])
    assert State.SENDING not in world.states()


def test_when_every_row_fails_by_the_operators_hand_the_exit_code_says_so(world: World) -> None:
    fails(world.source(), "probe", UserError("wrong password", code="wrong_password"))
    fill(world.source(), mails(1))
    assert world.run() == 2


def test_an_outage_stops_the_mailbox_after_a_few_items(world: World) -> None:
    fill(world.source(), mails(60))
    fails(world.target(), "store", Transient("503", code="http_503"), after=20)
    assert world.run() == 4
    assert world.ended().code == "http_503"
    assert world.codes()["http_503"] <= 10
    world.target().before = None
    assert world.run() == 0
    assert world.same()


def test_a_mailbox_that_lists_nothing_any_more_is_a_fault(world: World) -> None:
    fill(world.source(), mails(3))
    assert world.run() == 0
    for item in world.source().items():
        world.source().delete(item.ref.id)
    assert world.run() == 4
    assert world.ended().code == "empty_source"
    assert "--force empty_source" in world.ended().remedy
    assert world.run(force=frozenset({"empty_source"})) == 0


def test_another_mailbox_behind_the_address_is_a_fault(world: World) -> None:
    fill(world.source(), mails(3))
    assert world.run() == 0
    world.target().identity = "another"
    assert world.run() == 4
    assert world.ended().code == "identity_changed"
    assert world.run(force=frozenset({"identity_changed"})) == 0


def test_a_blocker_found_by_the_probe_stops_the_mailbox(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from migrator.adapters import memory

    finding = Finding("blocker", "no licence", "assign one", "no_licence")
    monkeypatch.setattr(memory._MemoryBox, "probe", lambda self: Probe("x", "memory", (finding,)))
    fill(world.source(), mails(1))
    assert world.run() == 4
    assert (world.ended().code, world.ended().remedy) == ("no_licence", "assign one")


def test_no_common_format_is_told_before_anything_is_sent(world: World) -> None:
    fill(world.source(), mails(1))
    world.target().traits = replace(world.target().traits, accepts=(Format.MIME,))
    world.source().traits = replace(world.source().traits, formats=(Format.FTS,))
    assert world.run() == 4
    assert world.ended().code == "no_common_format"


def test_a_target_that_was_never_asked_is_not_pretended_to(world: World) -> None:
    fill(world.source(), mails(2))
    world.target().traits = replace(world.target().traits, canary=True)
    assert world.run() == 4
    assert world.ended().code == "no_canary"
    with world.open_ledger() as ledger:
        ledger.put_verdict("new", "", "synthetic", Kind.MAIL, False, "ErrorInvalidData")
        ledger.put_verdict("new", "", "synthetic", Kind.TASK, True, "")
    assert world.run() == 4  # a mailbox without its mail would be no migration: it stops, and says so
    assert world.ended().code == "import_refused"
    assert world.states() == {}
    with world.open_ledger() as ledger:
        ledger.put_verdict("new", "", "synthetic", Kind.MAIL, True, "")
    assert world.run() == 0
    assert world.same()


def test_a_target_folder_that_was_deleted_is_made_anew_by_the_next_run(world: World) -> None:
    fill(world.source(), mails(4, ("Own",)))
    assert world.run() == 0
    folder = world.target().folder_at(("Own",))
    assert folder is not None
    from migrator.adapters.memory import open_box

    open_box(world.target()).remove_folder(folder)
    fill(world.source(), mails(2, ("Own",), 50))
    assert world.run() == 4
    assert world.ended().code == "folder_gone"
    assert world.run() == 0
    assert len(world.target().items(("Own",))) == 2


# --- the whole run


def test_a_ledger_that_cannot_be_written_stops_everything(tmp_path: Path) -> None:
    jobs = [job_of("ada", 2), job_of("bob", 3)]
    world = World(tmp_path, jobs)
    for job in jobs:
        world.target(job)
        fill(world.source(job), mails(40))
    from migrator.engine.run import run

    class Full:
        """The disk is full from the n-th settle on."""

        def __init__(self, inner: Ledger) -> None:
            self.inner = inner
            self.settles = 0

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def settle(self, *args: object, **more: object) -> object:
            self.settles += 1
            if self.settles > 10:
                raise RunError("the disk is full", code="disk_full", remedy="make room")
            return self.inner.settle(*args, **more)  # type: ignore[arg-type]

    with world.open_ledger() as ledger:
        assert run(jobs, world.tools(Full(ledger))) == 5  # type: ignore[arg-type]
    assert len(world.target(jobs[0]).items()) + len(world.target(jobs[1]).items()) < 40
    assert world.run() == 0
    assert all(world.same(job) for job in jobs)


def test_a_mailbox_of_another_process_is_left_to_it(tmp_path: Path) -> None:
    jobs = [job_of("ada", 2), job_of("bob", 3)]
    world = World(tmp_path, jobs)
    for job in jobs:
        world.target(job)
        fill(world.source(job), mails(3))
    from migrator.engine.run import run

    with world.open_ledger() as other:
        other.register(jobs)
        lease = other.claim(jobs[0].id, other.start_run("delta", {}, "0"))
        assert lease is not None

        class Beating(type(world.clock)):  # type: ignore[misc]
            def sleep(self, seconds: float) -> None:
                super().sleep(seconds)
                if lease is not None:
                    other.heartbeat(lease)

        world.clock.__class__ = Beating
        with world.open_ledger() as ledger:
            assert run(jobs, world.tools(ledger)) == 4
        assert world.ended(jobs[0]).code == "owned_elsewhere"
        assert world.same(jobs[1])
        assert not world.target(jobs[0]).items()


def test_a_dead_owners_mailbox_is_taken_over(world: World) -> None:
    fill(world.source(), mails(3))
    with world.open_ledger() as dead:
        dead.register(world.jobs)
        assert dead.claim("job-ada", dead.start_run("delta", {}, "0"))
    start = world.clock.now()
    assert world.run() == 0
    assert world.same()
    assert world.clock.now() - start < 15


# --- stopping


def stopping_at(world: World, box: MemoryMailbox, store: int) -> None:
    """A stop is asked for while this store call is under way."""

    def before(verb: str, detail: object) -> None:
        if verb == "store" and box.calls["store"] == store:
            world.stop.request()

    box.before = before


def test_a_stop_settles_what_is_in_flight_and_the_next_run_goes_on(world: World) -> None:
    fill(world.source(), mails(300))
    world.source().page_items = 50
    stopping_at(world, world.target(), 10)
    assert world.run() == 130
    assert world.ended().state == "stopped"
    done = len(world.target().items())
    assert 10 <= done < 300
    states = world.states()
    assert State.SENDING not in states
    assert states[State.COPIED] == done
    world.target().before = None
    assert world.run() == 0
    assert world.same()
    with world.open_ledger() as ledger:
        assert [row.exit_code for row in ledger.runs()] == [130, 0]


def test_jobs_that_were_not_started_stay_as_they_are(tmp_path: Path) -> None:
    jobs = [job_of(name, line) for line, name in enumerate(("ada", "bob", "cleo"), 2)]
    world = World(tmp_path, jobs)
    world.settings = replace(world.settings, mailboxes=1)
    for job in jobs:
        world.target(job)
        fill(world.source(job), mails(50))
    stopping_at(world, world.target(jobs[0]), 5)
    assert world.run() == 130
    assert [e.job for e in world.events if isinstance(e, JobFinished)] == ["job-ada"]
    with world.open_ledger() as ledger:
        assert [row.state for row in ledger.jobs()] == ["stopped", "waiting", "waiting"]


def test_a_second_stop_does_not_wait_for_an_answer(world: World) -> None:
    fill(world.source(), mails(30))
    hanging = threading.Event()
    released = threading.Event()

    def before(verb: str, detail: object) -> None:
        if verb == "store":
            hanging.set()
            assert released.wait(20)

    world.target().before = before
    ledger = world.open_ledger()
    from migrator.engine.run import run

    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(run(world.jobs, world.tools(ledger))))
    thread.start()
    assert hanging.wait(10)
    world.stop.request()
    world.stop.request()
    thread.join(10)
    assert codes == [130]
    released.set()
    world.target().before = None
    ledger.close()
    world.clock.sleep(60)
    assert world.run() == 0
    assert world.same()


def test_a_wait_for_the_server_ends_when_a_stop_is_asked_for(world: World) -> None:
    """A Transient that comes up while stopping is an item that was not sent, not one that failed."""
    fill(world.source(), mails(20))

    def before(verb: str, detail: object) -> None:
        if verb == "store" and world.target().calls["store"] > 5:
            world.stop.request()
            raise Transient("asked to stop while waiting", code="stopped")

    world.target().before = before
    assert world.run() == 130
    assert set(world.codes()) <= {"not_sent"}
    world.target().before = None
    assert world.run() == 0
    assert world.same()


# --- many small items


MANY = 10_000 if os.environ.get("MIGRATOR_SLOW") else 1_500


def test_poison_among_thousands_harms_no_neighbour_and_a_lost_mailbox_no_other(tmp_path: Path) -> None:
    """Every 97th item cannot be read, every 101st is refused, some always break the call; another mailbox fails as a whole."""
    jobs = [job_of("ada", 2), job_of("bob", 3), job_of("cleo", 4)]
    world = World(tmp_path, jobs)
    for job in jobs:
        world.target(job)
    fill(world.source(jobs[0]), mails(MANY))
    fill(world.source(jobs[1]), mails(200))
    fill(world.source(jobs[2]), mails(200))
    ids = [item.ref.id for item in world.source(jobs[0]).items()]
    corrupt, broken, refused = set(ids[::97]), set(ids[50::499]), set(ids[30::101])
    world.source(jobs[0]).unreadable = {
        **dict.fromkeys(corrupt, SkipReason.CORRUPT_AT_SOURCE),
        **{one: ItemError("cannot be read", code="unreadable") for one in broken - corrupt},
    }
    world.target(jobs[0]).refuse = lambda item: (
        ItemError("refused", code="ErrorInvalidRequest") if item.ref.id in refused else None
    )
    fails(world.target(jobs[1]), "store", JobError("the mailbox is full", code="quota_full"), after=20)
    assert world.run() == 4
    assert world.ended(jobs[0]).state == "partial"
    assert (world.ended(jobs[1]).state, world.ended(jobs[1]).code) == ("error", "quota_full")
    assert world.ended(jobs[2]).state == "done"
    assert world.same(jobs[2])
    left = corrupt | broken | refused
    with world.open_ledger() as ledger:
        rows = [row for row in ledger.balance() if row.job_id == jobs[0].id]
    assert sum(row.seen for row in rows) == MANY
    assert sum(row.copied for row in rows) == MANY - len(left)
    assert sum(row.skipped for row in rows) == len(corrupt)
    assert sum(row.failed for row in rows) == len(left - corrupt)
    assert len(world.target(jobs[0]).items()) == MANY - len(left)
    assert not contents(world.target(jobs[0])) - contents(world.source(jobs[0])), "nothing twice"
