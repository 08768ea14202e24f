"""`rebuild`: a ledger that was lost is made again from what the targets hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from migrator import __version__
from migrator.assembly.comparing import same_content
from migrator.assembly.parts import contained
from migrator.assembly.room import ProjectLike, Room
from migrator.engine import pool
from migrator.engine import run as running
from migrator.engine.job import words_of
from migrator.engine.routes import as_stream
from migrator.engine.stop import Stop, SystemClock
from migrator.engine.tools import map_by_rules
from migrator.events import JobFinished, JobStarted
from migrator.interfaces import Clock, Emit, Secrets
from migrator.ledger import Lease, Ledger
from migrator.model import (
    Job,
)
from migrator.settings import RunSettings

if TYPE_CHECKING:
    from migrator.engine.rebuild import Rebuilt


def rebuild(
    project: ProjectLike,
    jobs: Sequence[Job],
    settings: RunSettings,
    emit: Emit,
    stop: Stop | None = None,
    *,
    clock: Clock | None = None,
    secrets: Secrets | None = None,
    interactive: bool = False,
) -> list[Rebuilt]:
    """After the ledger was lost: write into a new one what the targets hold already, for every job reached before a stop."""
    from migrator.engine.rebuild import Rebuilt, rebuild_mailbox
    from migrator.engine.undo import under_lease

    stop = stop or Stop()
    now = (clock or SystemClock()).now
    with (
        Ledger.open(project.ledger, clock=clock or SystemClock()) as ledger,
        Room(project, emit, stop, clock=clock, secrets=secrets, interactive=interactive) as room,
    ):
        room.connect(jobs)
        number = ledger.start_run("rebuild", running.described(settings), __version__)
        ledger.register(jobs)

        def look(job: Job, lease: Lease) -> Rebuilt:
            source = room.open_source(job)
            try:
                target = room.open_target(job)
                try:
                    return rebuild_mailbox(
                        job,
                        source,
                        target,
                        ledger,
                        lease,
                        settings,
                        map_by_rules(project.folders),
                        same=same_content(),
                        as_stream=as_stream,
                        stopped=lambda: stop.requested,
                    )
                finally:
                    target.close()
            finally:
                source.close()

        def one(job: Job) -> Rebuilt:
            emit(JobStarted(job.id, job.source.address, job.target.address, now()))
            found = contained(
                lambda: under_lease(
                    job, ledger, number, lambda lease: look(job, lease), code="rebuilt", words=REBUILT
                ),
                lambda error: Rebuilt(job, error=words_of(error), code=error.code, remedy=error.remedy),
            )
            state = "error" if found.error else "done"
            emit(JobFinished(job.id, state, now(), found.error, found.code, found.remedy))
            return found

        results = pool.each("rebuild", jobs, one, at_once=settings.mailboxes, stopped=lambda: stop.requested)
        ledger.finish_run(number, 0)
    return [found for found in results if found is not None]


REBUILT = "rebuilt from what is in the target; the next run goes on from there"
