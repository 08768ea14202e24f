"""`run --processes N`: N worker processes, one console. Each claims mailboxes by lease, as processes started by hand would.

The parent shares the mailboxes out, hands on what the workers tell, and lets an idle worker take what no one has begun: a
mailbox that two of them want goes to the one that gets its lease. A worker that dies has its mailboxes taken over by another
as soon as its leases have run out. Ctrl-C is the parent's affair: workers are told by their pipe, and a pipe that breaks
(the parent is gone) is a request to stop as well.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import field, replace
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from migrator.cli.exits import Exit
from migrator.errors import MigratorError, UserError
from migrator.events import (
    BatchSettled,
    Event,
    FoldersListed,
    JobFinished,
    JobStarted,
    Notice,
    RunFinished,
    RunStarted,
)
from migrator.interfaces import Emit
from migrator.model import FolderPath, ItemRef, Job, Outcome, State
from migrator.record import record
from migrator.settings import RunSettings

if TYPE_CHECKING:
    from migrator.engine.stop import Stop
    from migrator.plan.project import Project

POLL_S = 0.2
GATHER_S = 0.1
ELSEWHERE = "owned_elsewhere"
DEATHS_MOST = 5
"""Workers that may die before the run stops replacing them."""


Share = tuple[list[Job], RunSettings]


@record(frozen=False)
class _Worker:
    process: Any
    pipe: Connection
    jobs: list[Job] = field(default_factory=list)  # its present share; empty: idle
    stops: int = 0  # requests handed on


def share_of(settings: RunSettings, processes: int) -> RunSettings:
    """What one of so many processes may use: the whole is what was asked for."""

    def part(whole: int) -> int:
        return max(1, -(-whole // processes))

    return replace(
        settings,
        mailboxes=part(settings.mailboxes),
        inflight_octets=max(settings.batch_octets, settings.inflight_octets // processes),
        max_rate_octets_s=settings.max_rate_octets_s / processes,
    )


def endpoints_of(project: Project, processes: int) -> Project:
    """The project as one of so many processes sees it: limits over all mailboxes of an endpoint are shared out."""
    shared = {
        name: replace(
            endpoint,
            limits=replace(
                endpoint.limits, endpoint_concurrent=endpoint.limits.endpoint_concurrent // processes
            ),
        )
        if endpoint.limits.endpoint_concurrent
        else endpoint
        for name, endpoint in project.endpoints.items()
    }
    return replace(project, endpoints=shared)


def most_of(project: Project, jobs: Sequence[Job]) -> int:
    """How many processes there can be, so that each has a mailbox to work on and a slot at every endpoint."""
    slots = [endpoint.limits.endpoint_concurrent for endpoint in project.endpoints.values()]
    return max(1, min([len(jobs), *(one for one in slots if one)]))


def accounts_of(job: Job) -> set[tuple[str, str]]:
    """Whom a job signs in as, at either endpoint; "" is the endpoint's own account."""
    return {(side.endpoint, side.login.casefold()) for side in (job.source, job.target)}


class _Doors:
    """Accounts that were seen to open. Until then one process alone knocks: a wrong password is tried once, not once each."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        users = Counter(account for job in jobs for account in accounts_of(job))
        self._shared = {account for account, jobs_of_it in users.items() if jobs_of_it > 1}

        self._refused: list[tuple[set[tuple[str, str]], JobFinished]] = []

    def opened(self, job: Job) -> None:
        self._shared -= accounts_of(job)

    def refused(self, job: Job, ended: JobFinished) -> None:
        """Settings or credentials of this job are wrong."""
        self._refused.append((accounts_of(job), ended))

    def verdict(self, job: Job) -> JobFinished | None:
        """How a job would end that was not tried, where that is known: it has every account that may have been refused."""
        for accounts, ended in self._refused:
            suspects = accounts & self._shared
            if suspects and suspects <= accounts_of(job):
                return replace(ended, job=job.id)
        return None

    def free(self, job: Job) -> bool:
        return self._shared.isdisjoint(accounts_of(job))

    def first(self, jobs: Sequence[Job], mine: Sequence[Job]) -> list[Job]:
        """mine, and of the other jobs one for every account that nobody of mine tries."""
        found = list(mine)
        left = self._shared - {account for job in found for account in accounts_of(job)}
        for job in jobs:
            if accounts_of(job) & left:
                found.append(job)
                left -= accounts_of(job)
        return found


class Together:
    """One run by several processes. `run` returns the exit code."""

    def __init__(
        self,
        project: Project,
        jobs: Sequence[Job],
        settings: RunSettings,
        emit: Emit,
        stop: Stop,
        processes: int,
    ) -> None:
        self._project = project
        self._jobs = {job.id: job for job in jobs}
        self._settings = settings
        self._emit = emit
        self._stop = stop
        self._wanted = max(1, min(processes, most_of(project, jobs)))
        self._workers: list[_Worker] = []
        self._now = settings  # of the slice that is under way
        self._doors = _Doors(jobs)
        self._held: list[Job] = []  # shares of nobody yet: their accounts were not seen to open
        self._begun: set[str] = set()
        self._told: set[str] = set()
        self._sliced: set[str] = set()
        self._ended: dict[str, JobFinished] = {}
        self._codes: list[int] = []
        self._error: MigratorError | None = None
        self._deaths = 0

    def run(self) -> int:
        """Raises UserError or RunError when no worker could start anything."""
        import time

        from migrator.engine.order import slices, today

        self._emit(
            RunStarted(0, tuple(self._jobs), self._settings.passname, self._settings.dry_run, time.time())
        )
        self._make_ledger()
        for _ in range(self._wanted):
            self._start()
        parts = slices(self._settings, today(time.time()))
        for number in range(len(parts)):
            # The first of two slices is over when it is over everywhere: everybody has the newest before anybody has all.
            last = number == len(parts) - 1
            self._through(replace(self._settings, first_slice=not last), last=last)
        for worker in self._workers:
            worker.process.join(5)
        if self._error is not None and not self._begun:
            raise self._error
        code = self._code()
        self._emit(RunFinished(0, code, time.time()))
        return code

    def _through(self, settings: RunSettings, *, last: bool) -> None:
        self._now = settings
        self._begun.clear()
        self._sliced.clear()
        order = [] if self._over() else [job for job in self._jobs.values() if job.id not in self._ended]
        workers = list(self._workers)
        if order and workers:
            mine = self._doors.first(order, order[:: len(workers)])
            self._held = [job for job in order if job not in mine]
            self._give(workers[0], mine)
        while self._workers:
            self._hand_on_stop()
            if self._stop.now and all(worker.stops >= 2 for worker in self._workers):
                return
            for pipe in wait([worker.pipe for worker in self._workers], POLL_S):
                self._read(next(worker for worker in self._workers if worker.pipe is pipe))
            self._share_again(last)
            if not last and not self._held and not any(worker.jobs for worker in self._workers):
                return

    def _over(self) -> bool:
        return self._stop.requested or self._error is not None or Exit.STOPPED in self._codes

    def _make_ledger(self) -> None:
        """Made or brought up to date once, before several processes open it at the same time."""
        from migrator.engine.stop import SystemClock
        from migrator.ledger import Ledger

        with Ledger.open(self._project.ledger, clock=SystemClock()) as ledger:
            ledger.register(list(self._jobs.values()))

    def _start(self) -> _Worker:
        context = multiprocessing.get_context("spawn")  # the same on every system, and no thread is copied
        here, there = context.Pipe()
        process = context.Process(
            target=_work,
            args=(
                there,
                endpoints_of(self._project, self._wanted),
            ),
            daemon=True,
        )
        process.start()
        there.close()
        worker = _Worker(process, here)
        self._workers.append(worker)
        return worker

    def _give(self, worker: _Worker, jobs: Sequence[Job]) -> None:
        worker.jobs = list(jobs)
        try:
            worker.pipe.send((worker.jobs, share_of(self._now, self._wanted)))
        except OSError:
            self._died(worker)

    def _hand_on_stop(self) -> None:
        wanted = int(self._stop.requested) + int(self._stop.now)
        for worker in list(self._workers):
            while worker.stops < wanted:
                worker.stops += 1
                try:
                    worker.pipe.send("stop")
                except OSError:
                    break  # it is seen as dead when it is read

    def _read(self, worker: _Worker) -> None:
        try:
            told = worker.pipe.recv()
        except (EOFError, OSError):
            self._died(worker)
            return
        if isinstance(told, Event):
            self._take(told)
        elif isinstance(told, MigratorError):
            self._error = self._error or told
            self._codes.append(Exit.WRONG if isinstance(told, UserError) else Exit.STOPPED)
            worker.jobs = []
        else:
            self._codes.append(int(told))
            self._sliced.update(job.id for job in worker.jobs)
            worker.jobs = []

    def _take(self, event: Event) -> None:
        match event:
            case RunStarted() | RunFinished():
                return
            case JobStarted():
                self._begun.add(event.job)
                if event.job in self._told:
                    return
                self._told.add(event.job)
            case FoldersListed():
                self._doors.opened(self._jobs[event.job])  # both sides were asked before
            case JobFinished():
                # Wanted by two: the word of the one that had it counts.
                if event.code == ELSEWHERE and event.job in self._begun:
                    return
                self._ended[event.job] = event
                if event.user:
                    self._doors.refused(self._jobs[event.job], event)
        self._emit(event)

    def _died(self, worker: _Worker) -> None:
        """Its end of the pipe is closed. Ordered or not: what it had not finished is somebody else's now."""
        self._workers.remove(worker)
        worker.process.join(5)
        left = [job for job in worker.jobs if job.id not in self._ended and job.id not in self._sliced]
        if not worker.jobs or not left or self._stop.requested:
            return
        self._deaths += 1
        self._emit(
            Notice(
                "warning", f"a worker process ended unexpectedly; its {len(left)} mailboxes are taken over"
            )
        )
        if self._deaths > DEATHS_MOST:
            self._codes.append(Exit.MAILBOXES_OPEN)
            return
        self._begun.difference_update(job.id for job in left)
        self._give(self._start(), left)

    def _share_again(self, last: bool) -> None:
        """An idle worker takes its part of what was held back, then half of what nobody has begun; when there is nothing left
        it goes home."""
        for worker in [worker for worker in self._workers if not worker.jobs]:
            fresh: list[Job] = []
            if self._over():
                self._held.clear()
            else:
                fresh = self._from_held(worker) or self._from_others(worker)
            if fresh:
                self._give(worker, fresh)
            elif last and not self._held and worker.stops < 3:
                worker.stops = 3
                try:
                    worker.pipe.send(None)
                except OSError:
                    self._died(worker)

    def _from_held(self, worker: _Worker) -> list[Job]:
        taken = [job for job in self._held if self._doors.free(job)]
        if taken:
            taken = taken[:: sum(not other.jobs for other in self._workers)]
        elif not any(other.jobs for other in self._workers):
            # Nobody else is at work. What was refused is not tried again; whatever else does not open, one process finds out.
            for job in self._held:
                if (ended := self._doors.verdict(job)) is not None:
                    self._take(ended)
            self._held = [job for job in self._held if job.id not in self._ended]
            taken = self._doors.first(self._held, self._held[:1])
        self._held = [job for job in self._held if job not in taken]
        return taken

    def _from_others(self, worker: _Worker) -> list[Job]:
        fresh = [
            job
            for other in self._workers
            if other is not worker
            for job in other.jobs
            if job.id not in self._begun and job.id not in self._ended and self._doors.free(job)
        ]
        return fresh[-((len(fresh) + 1) // 2) :]

    def _code(self) -> int:
        states = [ended.state for ended in self._ended.values()]
        if Exit.STOPPED in self._codes:
            return Exit.STOPPED
        if self._stop.requested and (len(states) < len(self._jobs) or "stopped" in states):
            return Exit.INTERRUPTED
        over = [code for code in self._codes if code not in {int(one) for one in _PLAIN}]
        if over and (len(states) < len(self._jobs) or "stopped" in states):
            return over[0]  # the time of this run is over
        if self._codes and all(code == Exit.WRONG for code in self._codes):
            return Exit.WRONG
        if len(states) < len(self._jobs) or not set(states) <= {"done", "partial"}:
            return Exit.MAILBOXES_OPEN
        return Exit.ITEMS_FAILED if "partial" in states else Exit.DONE


_PLAIN = (
    Exit.DONE,
    Exit.WRONG,
    Exit.ITEMS_FAILED,
    Exit.MAILBOXES_OPEN,
    Exit.STOPPED,
    Exit.INTERRUPTED,
)


class Mouth:
    """What a worker tells its parent. Outcomes are gathered for a moment, and of items that went well only what is counted goes
    along: each event on its own costs both processes a tenth of what the item costs. Everything else goes at once, in order."""

    def __init__(self, send: Callable[[object], None], gone: Callable[[], None]) -> None:
        """send: may raise OSError, when nobody listens any more; then `gone` is called."""
        self._send = send
        self._gone = gone
        self._lock = threading.Lock()
        self._waits: dict[tuple[str, FolderPath], list[Outcome]] = {}
        self._at = 0.0

    def __call__(self, what: object) -> None:
        with self._lock:
            if isinstance(what, BatchSettled):
                self._waits.setdefault((what.job, what.path), []).extend(map(slim, what.outcomes))
                self._at = what.at
                return
            self._say()
            self._out(what)

    def say(self) -> None:
        """Send what is gathered."""
        with self._lock:
            self._say()

    def _say(self) -> None:
        waits, self._waits = self._waits, {}
        for (job, path), outcomes in waits.items():
            self._out(BatchSettled(job, path, tuple(outcomes), self._at))

    def _out(self, what: object) -> None:
        try:
            self._send(what)
        except OSError:
            self._gone()


def slim(outcome: Outcome) -> Outcome:
    """Enough of a copied item to count it; whatever else became of one is told whole."""
    if outcome.state is not State.COPIED and outcome.state is not State.PRESENT:
        return outcome
    ref = ItemRef("", (), outcome.ref.kind, "", outcome.ref.size)
    return Outcome(ref, outcome.state, octets=outcome.octets)


def _work(pipe: Connection, project: Project) -> None:
    """A worker process: shares of mailboxes come in, events and an exit code for each go out. None: go home."""
    import os
    import queue
    import time

    from migrator import assembly
    from migrator.auth import redact
    from migrator.cli.logs import logging_to
    from migrator.cli.process import settle_in
    from migrator.cli.signals import numbers
    from migrator.engine.stop import Stop

    settle_in()
    for number in numbers():
        signal.signal(number, signal.SIG_IGN)  # the parent is asked, and asks us
    for value in project.row_secrets.values():
        redact.known(value)
    stop = Stop()
    shares: queue.SimpleQueue[Share | None] = queue.SimpleQueue()

    def listen() -> None:
        while True:
            try:
                told = pipe.recv()
            except (EOFError, OSError):
                stop.request()  # nobody is there to tell: settle and go
                shares.put(None)
                return
            if told == "stop":
                stop.request()
            else:
                shares.put(told)

    tell = Mouth(pipe.send, stop.request)

    def say() -> None:
        while True:
            time.sleep(GATHER_S)
            tell.say()

    threading.Thread(target=listen, name="listener", daemon=True).start()
    threading.Thread(target=say, name="teller", daemon=True).start()
    with logging_to(project.folder):
        while (share := shares.get()) is not None:
            try:
                tell(assembly.run(project, *share, tell, stop))
            except MigratorError as error:
                tell(error)
            if stop.now:
                os._exit(Exit.INTERRUPTED)  # threads still hang in calls; everything durable is durable
