"""A plan on its way: so many mailboxes at once, one exit code at the end."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections import deque
from collections.abc import Mapping, Sequence

from migrator import __version__
from migrator.engine import pool
from migrator.engine.copy import MailboxCopy
from migrator.engine.job import Ended, migrate
from migrator.engine.tools import Tools
from migrator.errors import JobError, MigratorError, RunError
from migrator.events import (
    BatchSettled,
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
from migrator.model import Job
from migrator.settings import RunSettings

log = logging.getLogger(__name__)

DONE, USER, ITEMS_FAILED, UNFINISHED, STOPPED, INTERRUPTED = 0, 2, 3, 4, 5, 130
CLAIM_AGAIN_S = 1.0
PATIENCE_S = LEASE_S + HEARTBEAT_S
"""How long jobs that somebody else holds are asked for again: a dead owner's lease has run out by then."""


def run(jobs: Sequence[Job], tools: Tools) -> int:
    """Copy the mailboxes of a plan. Returns the exit code: 0, 2, 3, 4, 5 or 130 (see `cli/exits.py`).

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


class Chooser:
    """Answers "which mailbox next?", in one place. In manifest order; jobs that another process holds come last."""

    def __init__(self, jobs: Sequence[Job], tools: Tools, run_number: int) -> None:
        self._tools = tools
        self._run = run_number
        self._waiting = deque(jobs)
        self._lock = threading.Lock()
        self._foreign_since: float | None = None

    def next(self) -> tuple[Job, Lease] | None:
        """A job that is ours now, or None when there is none left for us. Waits for leases that may run out."""
        clock = self._tools.clock
        while not self._tools.stop.requested:
            with self._lock:
                for _ in range(len(self._waiting)):
                    job = self._waiting.popleft()
                    lease = self._tools.ledger.claim(job.id, self._run)
                    if lease is not None:
                        return job, lease
                    self._waiting.append(job)
                if not self._waiting:
                    return None
                if self._foreign_since is None:
                    self._foreign_since = clock.now()
                elif clock.now() - self._foreign_since > PATIENCE_S:
                    return None
            clock.sleep(CLAIM_AGAIN_S)
        return None

    def left(self) -> list[Job]:
        with self._lock:
            return list(self._waiting)


class _Run:
    def __init__(self, jobs: Sequence[Job], tools: Tools, number: int) -> None:
        self._jobs = jobs
        self._number = number
        self._teller = Teller(tools.emit, tools.ledger, jobs)
        tools.emit = self._teller.emit
        self._tools = tools
        self._chooser = Chooser(jobs, tools, number)
        self._lock = threading.Lock()
        self._active: dict[str, Lease] = {}
        self._copies: dict[str, MailboxCopy] = {}
        self._ended: dict[str, Ended] = {}
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
        workers = [
            pool.start(f"mailbox-{n + 1}", self._work)
            for n in range(max(1, min(tools.settings.mailboxes, len(self._jobs))))
        ]
        self._watch(workers)
        self._over.set()
        if tools.stop.now:
            return INTERRUPTED  # what is under way is in doubt; the next start looks
        heart.join()
        for worker in workers:
            if worker.error is not None and self._fatal is None:
                self._fatal = RunError(f"unexpected {type(worker.error).__name__}", code="unexpected")
        tools.announcer.drain()
        self._tell_leftover_jobs()
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

    def _watch(self, workers: Sequence[pool.Worker]) -> None:
        """Wait for the end. Wakes often, so that a signal is seen; a stop is handed on from here, not from the handler."""
        told = False
        for worker in workers:
            while not worker.join(0.1):
                if self._tools.stop.now:
                    return
                if self._tools.stop.requested and not told:
                    told = True
                    self._tools.emit(
                        Notice(
                            "info", "stopping: what is in flight is settled first; once more stops at once"
                        )
                    )
                if told or self._fatal is not None:
                    self._wake()

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
            resumed = bool(tools.ledger.folders(job.id))
            tools.emit(JobStarted(job.id, job.source.address, job.target.address, tools.clock.now(), resumed))
            ended = migrate(job, lease, tools, self._watch_copy)
        except RunError as error:
            self._stop_all(error)
            ended = Ended("error", error.code, error.message, error.remedy)
        finally:
            with self._lock:
                self._active.pop(job.id, None)
                self._copies.pop(job.id, None)
        self._ended[job.id] = ended
        try:
            tools.ledger.release(lease, ended.state, code=ended.code, error=ended.error, remedy=ended.remedy)
        except RunError as error:
            self._stop_all(error)
        except JobError as error:
            # Another process owns the job now; its word counts in the ledger.
            log.warning("job %s: %s", job.id, error.message)
        tools.emit(
            JobFinished(
                job.id,
                ended.state,
                tools.clock.now(),
                error="" if ended.state == "done" else ended.error,
                code=ended.code,
                remedy=ended.remedy,
            )
        )

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
        for job in self._chooser.left():
            ended = Ended(
                "error",
                "owned_elsewhere",
                "another process is copying this mailbox",
                "let it finish, or stop it and run the same command again",
            )
            self._ended[job.id] = ended
            self._tools.emit(
                JobFinished(
                    job.id, ended.state, self._tools.clock.now(), ended.error, ended.code, ended.remedy
                )
            )

    def _exit_code(self) -> int:
        if self._fatal is not None:
            return STOPPED
        states = [ended.state for ended in self._ended.values()]
        if self._tools.stop.requested and (len(states) < len(self._jobs) or "stopped" in states):
            return INTERRUPTED
        if self._jobs and all(ended.user for ended in self._ended.values()):
            return USER  # every single one: nothing was sent
        if "error" in states or "stopped" in states or len(states) < len(self._jobs):
            return UNFINISHED
        return ITEMS_FAILED if "partial" in states else DONE


class Teller:
    """Hands events on, never raises, and notes in the ledger who waits for what."""

    def __init__(self, emit: Emit, ledger: Ledger, jobs: Sequence[Job]) -> None:
        self._emit = emit
        self._ledger = ledger
        self._by_endpoint: Mapping[str, list[str]] = _by_endpoint(jobs)
        self._lock = threading.Lock()
        self._waiting: dict[str, float] = {}

    def emit(self, event: Event) -> None:
        try:
            if isinstance(event, Waiting):
                self._note(event)
            elif isinstance(event, BatchSettled) and event.job in self._waiting:
                self._clear(event)
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


def _by_endpoint(jobs: Sequence[Job]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for job in jobs:
        for endpoint in {job.source.endpoint, job.target.endpoint}:
            found.setdefault(endpoint, []).append(job.id)
    return found


def _with_remedy(error: MigratorError) -> str:
    return f"{error.message}. {error.remedy}" if error.remedy else error.message
