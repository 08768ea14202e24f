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
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from migrator.cli.exits import Exit
from migrator.errors import MigratorError, UserError
from migrator.events import Event, JobFinished, JobStarted, Notice, RunFinished, RunStarted
from migrator.interfaces import Emit
from migrator.model import Job
from migrator.settings import RunSettings

if TYPE_CHECKING:
    from migrator.engine.stop import Stop
    from migrator.plan.project import Project

POLL_S = 0.2
ELSEWHERE = "owned_elsewhere"
DEATHS_MOST = 5
"""Workers that may die before the run stops replacing them."""


@dataclass(slots=True)
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
        self._begun: set[str] = set()
        self._ended: dict[str, JobFinished] = {}
        self._codes: list[int] = []
        self._error: MigratorError | None = None
        self._deaths = 0

    def run(self) -> int:
        """Raises UserError or RunError when no worker could start anything."""
        import time

        self._emit(
            RunStarted(0, tuple(self._jobs), self._settings.passname, self._settings.dry_run, time.time())
        )
        self._make_ledger()
        order = list(self._jobs.values())
        for number in range(self._wanted):
            self._give(self._start(), order[number :: self._wanted])
        while self._workers:
            self._hand_on_stop()
            if self._stop.now and all(worker.stops >= 2 for worker in self._workers):
                break
            for pipe in wait([worker.pipe for worker in self._workers], POLL_S):
                self._read(next(worker for worker in self._workers if worker.pipe is pipe))
            self._share_again()
        for worker in self._workers:
            worker.process.join(5)
        if self._error is not None and not self._begun:
            raise self._error
        code = self._code()
        self._emit(RunFinished(0, code, time.time()))
        return code

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
                share_of(self._settings, self._wanted),
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
            worker.pipe.send(worker.jobs)
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
            worker.jobs = []

    def _take(self, event: Event) -> None:
        match event:
            case RunStarted() | RunFinished():
                return
            case JobStarted():
                self._begun.add(event.job)
            case JobFinished():
                # Wanted by two: the word of the one that had it counts.
                if event.code == ELSEWHERE and event.job in self._begun:
                    return
                self._ended[event.job] = event
        self._emit(event)

    def _died(self, worker: _Worker) -> None:
        """Its end of the pipe is closed. Ordered or not: what it had not finished is somebody else's now."""
        self._workers.remove(worker)
        worker.process.join(5)
        left = [job for job in worker.jobs if job.id not in self._ended]
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

    def _share_again(self) -> None:
        """An idle worker takes half of what nobody has begun; when there is nothing left it goes home."""
        for worker in [worker for worker in self._workers if not worker.jobs]:
            fresh: list[Job] = []
            if not self._stop.requested and self._error is None:
                fresh = [
                    job
                    for other in self._workers
                    if other is not worker
                    for job in other.jobs
                    if job.id not in self._begun and job.id not in self._ended
                ]
            if fresh:
                self._give(worker, fresh[-((len(fresh) + 1) // 2) :])
            elif worker.stops < 3:
                worker.stops = 3
                try:
                    worker.pipe.send(None)
                except OSError:
                    self._died(worker)

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


def _work(pipe: Connection, project: Project, settings: RunSettings) -> None:
    """A worker process: shares of mailboxes come in, events and an exit code for each go out. None: go home."""
    import os
    import queue

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
    shares: queue.SimpleQueue[list[Job] | None] = queue.SimpleQueue()
    lock = threading.Lock()

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

    def tell(what: object) -> None:
        try:
            with lock:
                pipe.send(what)
        except OSError:
            stop.request()

    threading.Thread(target=listen, name="listener", daemon=True).start()
    with logging_to(project.folder):
        while (jobs := shares.get()) is not None:
            try:
                tell(assembly.run(project, jobs, settings, tell, stop))
            except MigratorError as error:
                tell(error)
            if stop.now:
                os._exit(Exit.INTERRUPTED)  # threads still hang in calls; everything durable is durable
