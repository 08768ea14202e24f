"""`undo`: what this project wrote is taken out of the targets again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from migrator import __version__
from migrator.assembly.parts import contained
from migrator.assembly.room import ProjectLike, Room
from migrator.engine import pool
from migrator.engine.job import words_of
from migrator.engine.stop import Stop, SystemClock
from migrator.errors import UserError
from migrator.events import JobFinished, JobStarted
from migrator.interfaces import Clock, Emit, Secrets
from migrator.ledger import Lease, Ledger
from migrator.model import (
    Job,
)
from migrator.settings import RunSettings

if TYPE_CHECKING:
    from migrator.engine.undo import Undone


def undo(
    project: ProjectLike,
    jobs: Sequence[Job],
    settings: RunSettings,
    emit: Emit,
    stop: Stop | None = None,
    *,
    really: bool = False,
    clock: Clock | None = None,
    secrets: Secrets | None = None,
    interactive: bool = False,
) -> list[Undone]:
    """Remove from the targets what this project wrote and nobody changed since; without `really` only count.

    Raises UserError(code="ledger_missing") where nothing was ever written.
    """
    from migrator.engine.undo import Undone, under_lease, undo_mailbox

    stop = stop or Stop()
    now = (clock or SystemClock()).now
    if not project.ledger.exists():
        raise UserError(
            f"there is no ledger: {project.ledger}", code="ledger_missing", remedy="Nothing was written yet."
        )
    with (
        Ledger.open(project.ledger, clock=clock or SystemClock(), read_only=not really) as ledger,
        Room(project, emit, stop, clock=clock, secrets=secrets, interactive=interactive) as room,
    ):
        room.connect(jobs)
        number = ledger.start_run("undo", {}, __version__) if really else 0

        def remove(job: Job, lease: Lease | None) -> Undone:
            target = room.look_at_target(job) if lease is None else room.open_target(job)
            try:
                target.probe()
                return undo_mailbox(job, target, ledger, lease, lambda: stop.requested)
            finally:
                target.close()

        def take_out(job: Job) -> Undone:
            if really:
                return under_lease(job, ledger, number, lambda lease: remove(job, lease))
            return remove(job, None)

        def one(job: Job) -> Undone:
            emit(JobStarted(job.id, job.source.address, job.target.address, now()))
            found = contained(
                lambda: take_out(job),
                lambda error: Undone(job, error=words_of(error), code=error.code, remedy=error.remedy),
            )
            state = "error" if found.error else "done"
            emit(JobFinished(job.id, state, now(), found.error, found.code, found.remedy))
            return found

        known_jobs = {row.id for row in ledger.jobs()}
        wanted = [job for job in jobs if job.id in known_jobs]
        results = pool.each("undo", wanted, one, at_once=settings.mailboxes, stopped=lambda: stop.requested)
        if really:
            ledger.finish_run(number, 0)
    never = [Undone(job) for job in jobs if job.id not in known_jobs]
    return [found for found in results if found is not None] + never
