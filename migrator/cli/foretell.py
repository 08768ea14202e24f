"""The forecast that goes along with a run: told as events, and kept in a small file for `status`."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrator.events import Event, FoldersListed, FolderStarted, JobFinished, JobStarted
from migrator.interfaces import Emit
from migrator.record import record

if TYPE_CHECKING:
    from migrator.forecast.live import Tracker
    from migrator.forecast.loads import MailboxLoad
    from migrator.forecast.outlook import Outlook
    from migrator.ledger import Ledger
    from migrator.model import Job
    from migrator.plan.planfile import PlanFile
    from migrator.plan.project import Project
    from migrator.settings import RunSettings

log = logging.getLogger(__name__)

FILE_NAME = "forecast.json"
FIRST_S, EVERY_S = 20.0, 60.0
TICK_S = 0.25
EARLY = (JobStarted, FoldersListed, FolderStarted, JobFinished)
STALE_S = 300.0
"""A forecast that nobody has renewed for so long belongs to a run that is gone."""


@contextmanager
def foretelling(
    project: Project,
    jobs: Sequence[Job],
    settings: RunSettings,
    emit: Emit,
    *,
    plan: PlanFile | None = None,
    processes: int = 1,
    clock: Callable[[], float] = time.time,
) -> Iterator[Emit]:
    """The emit to give to the run. What the forecast tells goes the same way as what the run tells.

    plan: whose sizes count; without one plan.json of the project, and the ledger. A forecast that fails is logged and ends;
    the run goes on.
    """
    began = clock()

    def tracker() -> Tracker:
        return _tracker(project, jobs, settings, plan, processes, began)

    teller = Foreteller(tracker, emit, project.folder / FILE_NAME, clock)
    teller.start()
    try:
        yield teller.take
    finally:
        teller.close()


class Foreteller:
    """Drives a tracker: events in, a fresh forecast every EVERY_S of `clock`. path: where it is kept for others.

    make: the tracker, asked for when the first forecast is due: most runs without news are over before. What is settled by
    then stands in the ledger, of which a tracker is made; the few other events that tell it something are kept.
    """

    def __init__(
        self, make: Callable[[], Tracker], emit: Emit, path: Path, clock: Callable[[], float]
    ) -> None:
        self._make = make
        self._tracker: Tracker | None = None
        self._early: list[Event] = []
        self._emit = emit
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._next = clock() + FIRST_S
        self._thread = threading.Thread(target=self._watch, name="forecast", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join(5.0)
        self._path.unlink(missing_ok=True)

    def take(self, event: Event) -> None:
        with self._lock:
            if self._tracker is not None:
                self._tracker.take(event)
            elif isinstance(event, EARLY):
                self._early.append(event)
        self._emit(event)

    def tick(self) -> None:
        """Look, if it is time to."""
        now = self._clock()
        if now < self._next:
            return
        begun = time.perf_counter()
        tracker = self._tracker or self._opened()
        with self._lock:
            told = tracker.tell(now)
            outlook = tracker.outlook
        # Of a large plan a look takes a while: it never takes more than a fiftieth of the time.
        self._next = now + max(EVERY_S, 50 * (time.perf_counter() - begun))
        for event in told:
            self._emit(event)
        if outlook is not None:
            write_live(self._path, outlook, now)

    def _opened(self) -> Tracker:
        made = self._make()  # without the lock: it reads the ledger, and the run goes on meanwhile
        with self._lock:
            for event in self._early:
                made.take(event)
            self._early.clear()
            self._tracker = made
        return made

    def _watch(self) -> None:
        while not self._over.wait(TICK_S):
            try:
                self.tick()
            except Exception:
                log.exception("the forecast of this run ended")
                return


def write_live(path: Path, found: Outlook, now: float) -> None:
    """Whole or not at all; a disk that refuses costs `status` its forecast and nothing else."""
    document = {
        "format": "migrator-forecast-live",
        "version": 1,
        "at": now,
        "p50": found.p50,
        "p90": found.p90,
        "deadline": found.deadline,
        "late": len(found.misses),
        "binds": found.binds,
        "mailboxes": {one.job: [one.p50, one.p90] for one in found.mailboxes if one.items},
    }
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps(document), "ascii")
        os.replace(part, path)
    except OSError as error:
        log.warning("%s cannot be written: %s", path.name, error.strerror)


@record
class Live:
    """What a run that goes on has forecast last. Epoch seconds; None for never within its hours."""

    at: float
    p50: float | None
    p90: float | None
    deadline: float | None
    late: int
    mailboxes: dict[str, tuple[float | None, float | None]]


def read_live(folder: Path, now: float) -> Live | None:
    """None where no run keeps one, or the one that did is gone."""
    try:
        found: Any = json.loads((folder / FILE_NAME).read_text("utf-8"))
        if found["format"] != "migrator-forecast-live" or now - found["at"] > STALE_S:
            return None
        boxes = {str(job): (_time(ends[0]), _time(ends[1])) for job, ends in found["mailboxes"].items()}
        return Live(
            float(found["at"]), _time(found["p50"]), _time(found["p90"]), _time(found["deadline"]),
            int(found["late"]), boxes,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def _time(value: Any) -> float | None:
    return None if value is None else float(value)


# ----------------------------------------------------------- what is known at the start


def _tracker(
    project: Project,
    jobs: Sequence[Job],
    settings: RunSettings,
    plan: PlanFile | None,
    processes: int,
    now: float,
) -> Tracker:
    from migrator.forecast.live import Tracker
    from migrator.forecast.outlook import Terms
    from migrator.plan.hours import deadline_of

    terms = Terms(
        now,
        settings,
        {name: endpoint.limits for name, endpoint in project.endpoints.items()},
        deadline=deadline_of(settings.deadline, settings.time_zone, datetime.fromtimestamp(now, UTC)),
        processes=max(1, processes),
    )
    return Tracker(known_loads(project, jobs, plan, now), terms)


def known_loads(
    project: Project, jobs: Sequence[Job], plan: PlanFile | None, now: float
) -> list[MailboxLoad]:
    """What is left of each mailbox: by the ledger where it was begun, else by the plan."""
    from migrator.cli.loading import open_ledger
    from migrator.errors import UserError
    from migrator.forecast.loads import load_of, unknown
    from migrator.plan.planfile import FILE_NAME as PLAN
    from migrator.plan.planfile import read_plan

    if plan is None and (project.folder / PLAN).exists():
        try:
            plan = read_plan(project.folder / PLAN)
        except UserError as error:
            log.info("the plan tells the forecast nothing: %s", error.message)
    moment = datetime.fromtimestamp(now, UTC)
    planned = {box.id: load_of(box, moment) for box in plan.mailboxes} if plan is not None else {}
    begun: dict[str, MailboxLoad] = {}
    if project.ledger.exists():
        with open_ledger(project) as ledger:
            begun = _begun(ledger, {job.id: job for job in jobs}, planned)
    return [begun.get(job.id) or planned.get(job.id) or unknown(job, "not looked at yet") for job in jobs]


def _begun(ledger: Ledger, jobs: dict[str, Job], planned: dict[str, MailboxLoad]) -> dict[str, MailboxLoad]:
    """Mailboxes of which something is settled: what the source told of each folder, less that."""
    from migrator.forecast.loads import ITEM_OCTETS, FolderLoad, unknown

    parts: dict[str, list[FolderLoad]] = {}
    settled: set[str] = set()
    for row in ledger.balance():
        if row.job_id not in jobs or row.folder_skipped is not None:
            continue
        done = row.copied + row.present + row.skipped + row.failed
        if done:
            settled.add(row.job_id)
        left = max(0, max(row.source_total or 0, row.seen) - done)
        each = row.octets // row.seen if row.seen else ITEM_OCTETS
        parts.setdefault(row.job_id, []).append(FolderLoad(row.path, left, left * each))
    found: dict[str, MailboxLoad] = {}
    for job_id in settled:
        base = planned.get(job_id) or unknown(jobs[job_id], "")
        found[job_id] = replace(base, folders=tuple(parts[job_id]), ages=(), begun=True, unknown="")
    return found
