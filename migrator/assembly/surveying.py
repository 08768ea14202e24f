"""`survey` and `glance`: what a run would do. Reads only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from migrator.assembly.parts import contained, ledger_to_read, with_both
from migrator.assembly.room import ProjectLike, Room
from migrator.engine import pool
from migrator.engine.job import words_of
from migrator.engine.stop import Stop, SystemClock
from migrator.engine.tools import map_by_rules
from migrator.events import FoldersListed, JobFinished, JobStarted
from migrator.interfaces import Clock, Emit, Secrets
from migrator.model import (
    Job,
)
from migrator.settings import RunSettings

if TYPE_CHECKING:
    from migrator.engine.survey import MailboxSurvey
    from migrator.plan.difference import Glance


def survey(
    project: ProjectLike,
    jobs: Sequence[Job],
    settings: RunSettings,
    emit: Emit,
    stop: Stop | None = None,
    *,
    clock: Clock | None = None,
    secrets: Secrets | None = None,
    interactive: bool = False,
) -> list[MailboxSurvey]:
    """What a run would do, for every job that was reached before a stop. The ledger is read if there is one."""
    from migrator.engine.survey import MailboxSurvey, survey_mailbox

    stop = stop or Stop()
    now = (clock or SystemClock()).now
    with Room(project, emit, stop, clock=clock, secrets=secrets, interactive=interactive) as room:
        room.connect(jobs)
        ledger = ledger_to_read(project, clock)
        try:

            def one(job: Job) -> MailboxSurvey:
                emit(JobStarted(job.id, job.source.address, job.target.address, now()))
                found = with_both(
                    room,
                    job,
                    lambda source, target: survey_mailbox(
                        job, source, target, ledger, settings, map_by_rules(project.folders)
                    ),
                    lambda error: MailboxSurvey(
                        job, error=words_of(error), code=error.code, remedy=error.remedy
                    ),
                )
                taken = [folder for folder in found.folders if folder.folder_skipped is None]
                emit(FoldersListed(job.id, len(taken), found.items, found.octets))
                state = "error" if found.error else "done"
                emit(JobFinished(job.id, state, now(), found.error, found.code, found.remedy))
                return found

            results = pool.each(
                "survey", jobs, one, at_once=settings.mailboxes, stopped=lambda: stop.requested
            )
        finally:
            if ledger is not None:
                ledger.close()
    return [found for found in results if found is not None]


def glance(
    project: ProjectLike,
    jobs: Sequence[Job],
    settings: RunSettings,
    emit: Emit,
    stop: Stop | None = None,
    *,
    clock: Clock | None = None,
    secrets: Secrets | None = None,
    interactive: bool = False,
) -> list[Glance]:
    """What the folder lists of the sources tell now, for every job that was reached before a stop: a few calls a mailbox."""
    from migrator.engine.survey import glance as look
    from migrator.plan.difference import Glance

    stop = stop or Stop()
    with Room(project, emit, stop, clock=clock, secrets=secrets, interactive=interactive) as room:
        room.connect(jobs)

        def listed(job: Job) -> Glance:
            source = room.open_source(job)
            try:
                return look(job, source)
            finally:
                source.close()

        def one(job: Job) -> Glance:
            return contained(lambda: listed(job), lambda error: Glance(job.id, error=words_of(error)))

        found = pool.each("glance", jobs, one, at_once=settings.mailboxes, stopped=lambda: stop.requested)
    return [one for one in found if one is not None]
