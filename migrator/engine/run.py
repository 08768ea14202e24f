"""A plan on its way: so many mailboxes at once, one exit code at the end."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from migrator import __version__
from migrator.engine import pool
from migrator.engine.circuit import PARKS_MOST, Circuit, Circuits, endpoint_down
from migrator.engine.copy import MailboxCopy
from migrator.engine.job import Ended, migrate
from migrator.engine.order import largest_first, slices, today
from migrator.engine.tools import Tools, error_of
from migrator.errors import JobError, MigratorError, RunError, UserError
from migrator.events import (
    BatchSettled,
    EndpointBack,
    EndpointDown,
    Event,
    JobFinished,
    JobStarted,
    Notice,
    RunFinished,
    RunStarted,
    Waiting,
)
from migrator.interfaces import Emit
from migrator.ledger import HEARTBEAT_S, LEASE_S, Lease, Ledger
from migrator.model import Job, Outcome, SkipReason, State
from migrator.record import record
from migrator.settings import RunSettings

log = logging.getLogger(__name__)

DONE, USER, ITEMS_FAILED, UNFINISHED, STOPPED, WINDOW_OVER, INTERRUPTED = 0, 2, 3, 4, 5, 6, 130
CLAIM_AGAIN_S = 1.0
KNOCK_TICK_S = 1.0
PATIENCE_S = LEASE_S + HEARTBEAT_S
"""How long jobs that somebody else holds are asked for again: a dead owner's lease has run out by then."""


def run(jobs: Sequence[Job], tools: Tools) -> int:
    """Copy the mailboxes of a plan. Returns the exit code: 0, 2, 3, 4, 5, 6 or 130 (see `cli/exits.py`).

    Raises RunError or UserError only before anything was started.
    """
    ledger = tools.ledger
    number = ledger.start_run(tools.settings.passname, described(tools.settings), __version__)
    ledger.register(jobs)
    return _Run(jobs, tools, number).go()


def described(settings: RunSettings) -> dict[str, str]:
    """Settings as text, for the ledger; those that are at their default are left out."""
    default = RunSettings()
    return {
        f.name: str(sorted(value) if isinstance(value, frozenset) else value)
        for f in dataclasses.fields(settings)
        if (value := getattr(settings, f.name)) != getattr(default, f.name)
    }


@record(frozen=False)
class Parked:
    """A job that waits for its endpoint. Its lease is kept, so nobody else takes it."""

    job: Job
    lease: Lease
    endpoint: str
    ended: Ended


class Chooser:
    """Answers "which mailbox next?", in one place. In the order given; jobs that another process holds come last.

    Jobs whose endpoint is down are left out: parked ones until it answers, others until somebody has found out.
    """

    def __init__(self, jobs: Sequence[Job], tools: Tools, run_number: int, circuits: Circuits) -> None:
        self._tools = tools
        self._run = run_number
        self._circuits = circuits
        self._waiting = deque(jobs)
        self._parked: list[Parked] = []
        self._parks: dict[str, int] = {}
        self._hopeless: list[tuple[Job, Circuit]] = []
        self._out = 0  # given out and not back
        self._lock = threading.Lock()
        self._foreign_since: float | None = None

    def next(self) -> tuple[Job, Lease] | None:
        """A job that is ours now, or None when there is none left for us. Waits for what may still come."""
        clock = self._tools.clock
        while not self._tools.stop.requested:
            with self._lock:
                found = self._take()
                if found is not None:
                    self._out += 1
                    return found
                if not self._waiting and not self._parked and not (self._out and self._circuits.wait_s):
                    return None
                if self._waiting and not self._parked and not self._circuits.all_down():
                    if self._foreign_since is None:
                        self._foreign_since = clock.now()
                    elif clock.now() - self._foreign_since > PATIENCE_S:
                        return None
            clock.sleep(CLAIM_AGAIN_S)
        return None

    def _take(self) -> tuple[Job, Lease] | None:
        for parked in self._parked:
            if self._circuits.down(parked.endpoint) is None:
                self._parked.remove(parked)
                return parked.job, parked.lease
        for _ in range(len(self._waiting)):
            job = self._waiting.popleft()
            down = self._down(job)
            if down is not None and not self._circuits.wait_s:
                self._hopeless.append((job, down))
                continue
            lease = self._tools.ledger.claim(job.id, self._run) if down is None else None
            if lease is not None:
                return job, lease
            self._waiting.append(job)
        return None

    def _down(self, job: Job) -> Circuit | None:
        for endpoint in (job.source.endpoint, job.target.endpoint):
            circuit = self._circuits.down(endpoint)
            if circuit is not None and not (not self._circuits.wait_s and self._circuits.knock(endpoint)):
                return circuit
        return None

    def back(self) -> None:
        """A job that was given out has ended."""
        with self._lock:
            self._out -= 1

    def park(self, job: Job, lease: Lease, ended: Ended) -> bool:
        """Keep a job until its endpoint answers. False: it was parked too often."""
        with self._lock:
            self._parks[job.id] = self._parks.get(job.id, 0) + 1
            if self._parks[job.id] > PARKS_MOST:
                return False
            self._parked.append(Parked(job, lease, ended.down, ended))
            return True

    def parked(self, endpoint: str | None = None) -> list[Parked]:
        with self._lock:
            return [one for one in self._parked if endpoint is None or one.endpoint == endpoint]

    def give_up(self, endpoint: str | None = None) -> list[Parked]:
        """Those that wait for an endpoint, or for any, wait no longer."""
        with self._lock:
            gone = [one for one in self._parked if endpoint is None or one.endpoint == endpoint]
            self._parked = [one for one in self._parked if one not in gone]
            return gone

    def left(self) -> list[Job]:
        with self._lock:
            return list(self._waiting)

    def hopeless(self) -> list[tuple[Job, Circuit]]:
        """Jobs that were not tried because their endpoint is down."""
        with self._lock:
            found, self._hopeless = self._hopeless, []
            return found


class _Run:
    def __init__(self, jobs: Sequence[Job], tools: Tools, number: int) -> None:
        self._jobs = jobs
        self._number = number
        self._circuits = Circuits(tools.clock, tools.settings.wait_for_source_s)
        self._teller = Teller(tools.emit, tools.ledger, jobs, self._circuits)
        tools.emit = self._teller.emit
        self._tools = tools
        self._chooser = Chooser((), tools, number, self._circuits)
        self._lock = threading.Lock()
        self._active: dict[str, Lease] = {}
        self._copies: dict[str, MailboxCopy] = {}
        self._ended: dict[str, Ended] = {}
        self._refused: dict[str, UserError] = {}
        self._begun: set[str] = set()
        self._last_slice = True
        self._window_over = False
        self._fatal: RunError | None = None
        self._over = threading.Event()

    def go(self) -> int:
        tools = self._tools
        clock = tools.clock
        tools.emit(
            RunStarted(
                self._number,
                tuple(job.id for job in self._jobs),
                tools.settings.passname,
                tools.settings.dry_run,
                clock.now(),
            )
        )
        tools.announcer.start(tools.emit)
        heart = pool.start("heartbeat", self._beat)
        knocker = pool.start("knocker", self._knock) if self._circuits.wait_s else None
        self._slices()
        self._over.set()
        if tools.stop.now:
            return INTERRUPTED  # what is under way is in doubt; the next start looks
        heart.join()
        if knocker is not None:
            knocker.join()
        tools.announcer.drain()
        code = self._exit_code()
        try:
            tools.ledger.finish_run(self._number, code)
        except RunError as error:
            self._fatal = self._fatal or error
            code = self._exit_code()
        if self._fatal is not None:
            tools.emit(Notice("error", _with_remedy(self._fatal)))
        tools.announcer.close()
        tools.emit(RunFinished(self._number, code, clock.now()))
        return code

    def _slices(self) -> None:
        """All jobs, once for every slice of dates; what a slice leaves out the next one takes."""
        tools = self._tools
        parts = slices(tools.settings, today(tools.clock.now()))
        order: list[Job] | None = None
        for number, settings in enumerate(parts):
            jobs = [job for job in self._jobs if job.id not in self._ended]
            if number and (self._fatal is not None or tools.stop.requested):
                return
            tools.settings = settings
            self._last_slice = self._teller.last_slice = number == len(parts) - 1 and not settings.first_slice
            if not self._last_slice:
                tools.emit(
                    Notice("info", f"first what is newer than {settings.since:%Y-%m-%d}, of all mailboxes")
                )
            if order is None:
                order = self._in_order(jobs)
            left = {job.id for job in jobs}
            self._through([job for job in order if job.id in left])
            if tools.stop.now:
                return

    def _in_order(self, jobs: Sequence[Job]) -> list[Job]:
        def refused(job: Job, error: UserError) -> None:
            self._refused[job.id] = error

        try:
            return largest_first(jobs, self._tools, refused)
        except RunError as error:
            self._stop_all(error)
            return list(jobs)

    def _through(self, jobs: Sequence[Job]) -> None:
        tools = self._tools
        self._chooser = Chooser(jobs, tools, self._number, self._circuits)
        workers = [
            pool.start(f"mailbox-{n + 1}", self._work)
            for n in range(max(1, min(tools.settings.mailboxes, len(jobs))))
        ]
        self._watch(workers)
        if tools.stop.now:
            return
        for worker in workers:
            if worker.error is not None and self._fatal is None:
                self._fatal = RunError(f"unexpected {type(worker.error).__name__}", code="unexpected")
        for parked in self._chooser.give_up():
            self._end_parked(parked, interrupted=True)
        self._tell_leftover_jobs()

    def _watch(self, workers: Sequence[pool.Worker]) -> None:
        """Wait for the end. Wakes often, so that a signal is seen; a stop is handed on from here, not from the handler."""
        told = False
        for worker in workers:
            while not worker.join(0.1):
                if self._tools.stop.now:
                    return
                self._keep_hours()
                if self._tools.stop.requested and not told:
                    told = True
                    self._tools.emit(
                        Notice(
                            "info", "stopping: what is in flight is settled first; once more stops at once"
                        )
                    )
                if told or self._fatal is not None:
                    self._wake()

    def _keep_hours(self) -> None:
        tools = self._tools
        stop_at = tools.hours.stop_at
        if stop_at is None or tools.stop.requested or not tools.hours.over(tools.clock.now()):
            return
        self._window_over = True
        tools.emit(Notice("info", f"it is {tools.hours.words(stop_at)}: the time of this run is over"))
        tools.stop.request()

    def _wake(self) -> None:
        with self._lock:
            copies = list(self._copies.values())
        for copy in copies:
            copy.wake()

    def _work(self) -> None:
        while self._fatal is None:
            try:
                chosen = self._chooser.next()
            except RunError as error:
                self._stop_all(error)
                return
            if chosen is None:
                return
            self._one(*chosen)

    def _one(self, job: Job, lease: Lease) -> None:
        tools = self._tools
        with self._lock:
            self._active[job.id] = lease
        try:
            ended = self._attempt(job, lease)
            if ended.down:
                if self._circuits.failed(ended.down, ended.error):
                    tools.emit(EndpointDown(ended.down, ended.error, tools.clock.now()))
                waits = self._circuits.wait_s and not tools.stop.requested and self._fatal is None
                if waits and self._chooser.park(job, lease, ended):
                    self._tell_waiting(job, ended.down)
                    with self._lock:
                        self._copies.pop(job.id, None)
                    return
            elif ended.state in ("done", "partial"):
                self._answered(job)
        finally:
            self._chooser.back()
        self._finish(job, lease, ended)

    def _attempt(self, job: Job, lease: Lease) -> Ended:
        tools = self._tools
        refused = self._refused.get(job.id)
        try:
            if job.id not in self._begun:
                self._begun.add(job.id)
                resumed = bool(tools.ledger.folders(job.id))
                tools.emit(
                    JobStarted(job.id, job.source.address, job.target.address, tools.clock.now(), resumed)
                )
            else:
                tools.ledger.waiting(job.id, reason="", words="", until=0.0)
            if refused is not None:
                return Ended("error", refused.code, refused.message, refused.remedy, user=True)
            return migrate(job, lease, tools, self._watch_copy)
        except RunError as error:
            self._stop_all(error)
            return Ended("error", error.code, error.message, error.remedy)

    def _finish(self, job: Job, lease: Lease, ended: Ended) -> None:
        """The job is over, or over for this slice: give it back and tell it."""
        tools = self._tools
        with self._lock:
            self._active.pop(job.id, None)
            self._copies.pop(job.id, None)
        more = not self._last_slice and ended.state in ("done", "partial")
        if not more:
            self._ended[job.id] = ended
        if more:
            released = Ended(
                "stopped", "next_slice", "older items come when all mailboxes have their newer ones"
            )
        else:
            released = ended
        try:
            tools.ledger.release(
                lease, released.state, code=released.code, error=released.error, remedy=released.remedy
            )
        except RunError as error:
            self._stop_all(error)
        except JobError as error:
            # Another process owns the job now; its word counts in the ledger.
            log.warning("job %s: %s", job.id, error.message)
        if more:
            return
        tools.emit(
            JobFinished(
                job.id,
                ended.state,
                tools.clock.now(),
                error="" if ended.state == "done" else ended.error,
                code=ended.code,
                remedy=ended.remedy,
                user=ended.user,
            )
        )

    # ------------------------------------------------------ endpoints that are down

    def _answered(self, job: Job) -> None:
        for endpoint in (job.source.endpoint, job.target.endpoint):
            if self._circuits.worked(endpoint):
                self._tell_back(endpoint)

    def _tell_waiting(self, job: Job, endpoint: str) -> None:
        circuit = self._circuits.down(endpoint)
        if circuit is None:
            return
        since = datetime.fromtimestamp(circuit.since, UTC)
        words = f"{endpoint} does not answer since {since:%Y-%m-%d %H:%M} UTC: {circuit.words}"
        self._tools.emit(
            Waiting(job.id, endpoint, "source_down", words, circuit.next_knock, self._tools.clock.now())
        )

    def _knock(self) -> None:
        """Find out, with growing pauses, whether endpoints that are waited for answer again."""
        turn = 0
        while not self._over.is_set():
            down = self._circuits.all_down()
            if not down:
                self._over.wait(0.2)
                continue
            for endpoint, circuit in down.items():
                if self._tools.stop.requested:
                    return
                parked = self._chooser.parked(endpoint)
                if self._circuits.overdue(circuit):
                    for one in self._chooser.give_up(endpoint):
                        self._end_parked(one)
                    self._circuits.worked(endpoint)
                elif parked and self._circuits.knock(endpoint):
                    turn += 1
                    self._knock_at(endpoint, parked, parked[turn % len(parked)].job)
            self._tools.clock.sleep(KNOCK_TICK_S)

    def _knock_at(self, endpoint: str, parked: Sequence[Parked], job: Job) -> None:
        try:
            if self._tools.knock is not None:
                self._tools.knock(job, endpoint)
            else:
                at_source = endpoint == job.source.endpoint
                box = self._tools.open_source(job) if at_source else self._tools.open_target(job)
                try:
                    box.probe()
                finally:
                    box.close()
        except Exception as raised:  # noqa: BLE001 - whatever it is, it is an answer or none
            error = raised if isinstance(raised, MigratorError) else error_of(raised)
            if endpoint_down(error, job):
                self._circuits.failed(endpoint, error.message)
                for one in parked:
                    self._tell_waiting(one.job, endpoint)
                return
            # It answers, be it with a refusal: that is the job's to tell.
        if self._circuits.worked(endpoint):
            self._tell_back(endpoint)

    def _tell_back(self, endpoint: str) -> None:
        self._tools.emit(Notice("info", f"{endpoint} answers again"))
        self._tools.emit(EndpointBack(endpoint, self._tools.clock.now()))

    def _end_parked(self, parked: Parked, *, interrupted: bool = False) -> None:
        ended = parked.ended
        if interrupted and self._tools.stop.requested:
            ended = replace(ended, state="stopped")
        self._finish(parked.job, parked.lease, ended)

    def _watch_copy(self, copy: MailboxCopy) -> None:
        with self._lock:
            self._copies[copy.job.id] = copy
        if self._fatal is not None:
            copy.fail(self._fatal)

    def _stop_all(self, error: RunError) -> None:
        with self._lock:
            self._fatal = self._fatal or error
            copies = list(self._copies.values())
        for copy in copies:
            copy.fail(self._fatal)

    def _beat(self) -> None:
        """Renew the leases. By the wall clock, whatever clock the rest is given: other processes live by it."""
        while not self._over.wait(HEARTBEAT_S):
            with self._lock:
                active = list(self._active.items())
            for job_id, lease in active:
                try:
                    self._tools.ledger.heartbeat(lease)
                except RunError as error:
                    self._stop_all(error)
                except MigratorError as error:
                    copy = self._copies.get(job_id)
                    if copy is not None:
                        copy.fail(error)

    def _tell_leftover_jobs(self) -> None:
        """Jobs that were never ours in this run."""
        if self._fatal is not None or self._tools.stop.requested:
            return
        for job, circuit in self._chooser.hopeless():
            since = datetime.fromtimestamp(circuit.since, UTC)
            ended = Ended(
                "error",
                "source_down",
                f"not tried: its server does not answer since {since:%H:%M} UTC ({circuit.words})",
                "run the same command again when it does, or with --wait-for-source 4h",
            )
            self._tell_untried(job, ended)
        for job in self._chooser.left():
            ended = Ended(
                "error",
                "owned_elsewhere",
                "another process is copying this mailbox",
                "let it finish, or stop it and run the same command again",
            )
            self._tell_untried(job, ended)

    def _tell_untried(self, job: Job, ended: Ended) -> None:
        self._ended[job.id] = ended
        self._tools.emit(
            JobFinished(job.id, ended.state, self._tools.clock.now(), ended.error, ended.code, ended.remedy)
        )

    def _exit_code(self) -> int:
        if self._fatal is not None:
            return STOPPED
        states = [ended.state for ended in self._ended.values()]
        if self._tools.stop.requested and (len(states) < len(self._jobs) or "stopped" in states):
            return WINDOW_OVER if self._window_over else INTERRUPTED
        if self._jobs and all(ended.user for ended in self._ended.values()):
            return USER  # every single one: nothing was sent
        if "error" in states or "stopped" in states or len(states) < len(self._jobs):
            return UNFINISHED
        return ITEMS_FAILED if "partial" in states else DONE


class Teller:
    """Hands events on, never raises, and notes in the ledger who waits for what."""

    def __init__(self, emit: Emit, ledger: Ledger, jobs: Sequence[Job], circuits: Circuits) -> None:
        self.last_slice = True
        self._circuits = circuits
        self._endpoints = {job.id: (job.source.endpoint, job.target.endpoint) for job in jobs}
        self._emit = emit
        self._ledger = ledger
        self._by_endpoint: Mapping[str, list[str]] = _by_endpoint(jobs)
        self._lock = threading.Lock()
        self._waiting: dict[str, float] = {}

    def emit(self, event: Event) -> None:
        try:
            if isinstance(event, Waiting):
                self._note(event)
            elif isinstance(event, BatchSettled):
                for endpoint in self._endpoints.get(event.job, ()):
                    if self._circuits.worked(endpoint):
                        self._emit(EndpointBack(endpoint, event.at))
                if event.job in self._waiting:
                    self._clear(event)
                if not self.last_slice:
                    event = replace(event, outcomes=tuple(o for o in event.outcomes if not _for_later(o)))
                    if not event.outcomes:
                        return
            self._emit(event)
        except Exception:
            log.exception("an event was not shown")

    def _note(self, event: Waiting) -> None:
        jobs = [event.job] if event.job else self._by_endpoint.get(event.endpoint, [])
        with self._lock:
            fresh = [job for job in jobs if self._waiting.get(job, 0.0) < event.at]
            for job in jobs:
                self._waiting[job] = max(event.until, self._waiting.get(job, 0.0))
        for job in jobs:
            self._ledger.waiting(job, reason=event.reason, words=event.words, until=event.until)
        if fresh or not jobs:  # one incident for a wait that is told again and again
            self._ledger.add_incident(event.job, event.reason, event.words, event.until)

    def _clear(self, event: BatchSettled) -> None:
        with self._lock:
            if self._waiting.get(event.job, 0.0) > event.at:
                return
            self._waiting.pop(event.job, None)
        self._ledger.waiting(event.job, reason="", words="", until=0.0)


def _for_later(outcome: Outcome) -> bool:
    """Left out by a slice's date: a later slice takes it, and tells it then."""
    return outcome.state is State.SKIPPED and outcome.reason is SkipReason.FILTERED_DATE


def _by_endpoint(jobs: Sequence[Job]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for job in jobs:
        for endpoint in {job.source.endpoint, job.target.endpoint}:
            found.setdefault(endpoint, []).append(job.id)
    return found


def _with_remedy(error: MigratorError) -> str:
    return f"{error.message}. {error.remedy}" if error.remedy else error.message
