"""What every part of the engine works with: given once by the assembly room, shared by all mailboxes of a run."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import field

from migrator.engine import pool
from migrator.engine.budget import Budget
from migrator.engine.doubt import GRACE_S
from migrator.engine.stop import Stop
from migrator.errors import JobError, RunError
from migrator.events import BatchSettled, Event
from migrator.interfaces import Clock, Emit, Source, Target
from migrator.ledger import Ledger, Ticket
from migrator.model import Folder, FolderPath, Job, Outcome
from migrator.plan.folders import FolderRules, Place, map_folders, reserved_names
from migrator.plan.hours import Hours
from migrator.record import record
from migrator.settings import RunSettings

SameContent = Callable[[bytes, bytes], bool | None]
"""Two item streams (base64 of FastTransfer) → whether they hold the same item; None where that cannot be told."""

MapFolders = Callable[[Sequence[Folder], Sequence[Folder]], Mapping[str, Place]]
"""(source folders, target folders) → source folder id → its place in the target."""


def map_by_rules(rules: FolderRules | None = None) -> MapFolders:
    def mapped(source: Sequence[Folder], target: Sequence[Folder]) -> Mapping[str, Place]:
        return map_folders(source, rules, reserved=reserved_names(target))

    return mapped


@record(frozen=False)
class Tools:
    """open_source and open_target give a dressed mailbox of the job, a new handle each time."""

    ledger: Ledger
    settings: RunSettings
    clock: Clock
    stop: Stop
    emit: Emit
    open_source: Callable[[Job], Source]
    open_target: Callable[[Job], Target]
    map_folders: MapFolders = field(default_factory=map_by_rules)
    same_content: SameContent | None = None
    grace_s: float = GRACE_S
    hours: Hours = field(default_factory=Hours)
    knock: Callable[[Job, str], None] | None = None
    """Finds out whether an endpoint of a job answers: one call, not repeated. Raises what that raises."""
    budget: Budget = field(init=False)
    announcer: Announcer = field(init=False)
    _told: set[Hashable] = field(init=False, default_factory=set)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.budget = Budget(self.settings.inflight_octets, self.settings.mailboxes)
        self.announcer = Announcer(self.clock)

    def first_time(self, what: Hashable) -> bool:
        """Whether this is asked for the first time in this run: for remarks that concern many mailboxes."""
        with self._lock:
            if what in self._told:
                return False
            self._told.add(what)
            return True


class Announcer:
    """Tells what has become durable, in order: one thread that waits for the ledger's tickets so that nobody else must.

    Outcomes of one folder that became durable together are told together. An error of a ticket goes to whoever handed it in.
    """

    PAUSE_S = 0.1
    """How long outcomes are gathered: a face that draws twice a second, or prints lines, wants few events."""
    MOST = 1000

    def __init__(self, clock: Clock) -> None:
        self._emit: Emit = _nobody
        self._clock = clock
        self._queue: queue.SimpleQueue[_Told | None] = queue.SimpleQueue()
        self._worker: pool.Worker | None = None

    def start(self, emit: Emit) -> None:
        self._emit = emit
        self._worker = pool.start("announcer", self._work)

    def outcomes(
        self,
        ticket: Ticket,
        job: str,
        path: FolderPath,
        outcomes: Sequence[Outcome],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._queue.put(_Told(ticket, failed, job, path, outcomes))

    def after(self, ticket: Ticket, failed: Callable[[BaseException], None], event: Event | None) -> None:
        """Tell an event when a write is durable."""
        self._queue.put(_Told(ticket, failed, event=event))

    def drain(self) -> None:
        """Return when everything handed in before has been told."""
        mark = threading.Event()
        self._queue.put(_Told(None, _ignore, mark=mark))
        while not mark.wait(0.5):
            if self._worker is None or self._worker.join(0):
                return

    def close(self) -> None:
        if self._worker is not None:
            self._queue.put(None)
            self._worker.join()
            self._worker = None

    def _work(self) -> None:
        gathered: dict[tuple[str, FolderPath], list[Outcome]] = {}
        since = 0.0

        def pour(job: str | None = None) -> None:
            for place in [place for place in gathered if job is None or place[0] == job]:
                outcomes = gathered.pop(place)
                self._emit(BatchSettled(*place, tuple(outcomes), self._clock.now()))

        while True:
            # By the wall clock: it is a person's or a program's eyes that are spared.
            rest = since + self.PAUSE_S - time.monotonic() if gathered else None
            try:
                told = self._queue.get(timeout=max(0.0, rest) if rest is not None else None)
            except queue.Empty:
                pour()
                continue
            if told is None:
                pour()
                return
            if told.ticket is not None:
                try:
                    told.ticket.wait(patient=True)
                except Exception as error:  # noqa: BLE001 - handed to the mailbox that wrote
                    told.failed(error)
                    continue
            if told.outcomes:
                if not gathered:
                    since = time.monotonic()
                batch = gathered.setdefault((told.job, told.path), [])
                batch.extend(told.outcomes)
                if len(batch) >= self.MOST:
                    pour(told.job)
            if told.event is not None:
                pour(getattr(told.event, "job", None))
                self._emit(told.event)
            if told.mark is not None:
                pour()
                told.mark.set()
            if gathered and time.monotonic() - since >= self.PAUSE_S:
                pour()


@record(frozen=False)
class _Told:
    ticket: Ticket | None
    failed: Callable[[BaseException], None]
    job: str = ""
    path: FolderPath = ()
    outcomes: Sequence[Outcome] = ()
    event: Event | None = None
    mark: threading.Event | None = None


def _ignore(error: BaseException) -> None:
    """For marks, which cannot fail."""


def _nobody(event: Event) -> None:
    """Before the start there is nobody to tell."""


def error_of(error: BaseException) -> JobError | RunError:
    """An unexpected error, in the taxonomy: it stops its mailbox and nothing else."""
    if isinstance(error, JobError | RunError):
        return error
    return JobError(
        f"unexpected {type(error).__name__}",
        code="unexpected",
        remedy="Run the same command again; if it returns, report it with the log file.",
    )
