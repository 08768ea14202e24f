"""`verify`: source, ledger and target compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from migrator.assembly.comparing import stream_compare
from migrator.assembly.parts import with_both
from migrator.assembly.room import ProjectLike, Room
from migrator.engine import pool
from migrator.engine.job import words_of
from migrator.engine.routes import as_stream
from migrator.engine.sampling import SAMPLE, Confidence
from migrator.engine.stop import Stop, SystemClock
from migrator.events import JobFinished, JobStarted
from migrator.interfaces import Clock, Emit, Secrets
from migrator.ledger import Ledger
from migrator.model import (
    Job,
)
from migrator.settings import RunSettings

if TYPE_CHECKING:
    from migrator.engine.verify import MailboxVerdict


def verify(
    project: ProjectLike,
    jobs: Sequence[Job],
    settings: RunSettings,
    emit: Emit,
    stop: Stop | None = None,
    *,
    sample: int | Confidence | None = SAMPLE,
    keep: bool = False,
    clock: Clock | None = None,
    secrets: Secrets | None = None,
    interactive: bool = False,
) -> list[MailboxVerdict]:
    """Compare source, ledger and target of every job that was reached before a stop.

    sample: items that are compared by content: None for all, 0 for none, a number per mailbox, or as many of every folder
    and kind as a Confidence needs. keep: write what came of it by kind into the ledger, for the report.
    """
    from migrator.engine.verify import MailboxVerdict, verify_mailbox

    stop = stop or Stop()
    now = (clock or SystemClock()).now
    compare = stream_compare()
    if not project.ledger.exists():
        keep = False  # said by the ledger, which is only read then
    with (
        Ledger.open(project.ledger, clock=clock or SystemClock(), read_only=not keep) as ledger,
        Room(project, emit, stop, clock=clock, secrets=secrets, interactive=interactive) as room,
    ):
        room.connect(jobs)

        def one(job: Job) -> MailboxVerdict:
            emit(JobStarted(job.id, job.source.address, job.target.address, now()))
            found = with_both(
                room,
                job,
                lambda source, target: verify_mailbox(
                    job, source, target, ledger, compare=compare, sample=sample, as_stream=as_stream
                ),
                lambda error: MailboxVerdict(
                    job, error=words_of(error), code=error.code, remedy=error.remedy
                ),
            )
            if keep and not found.error and not stop.requested:
                ledger.put_fidelity(job.id, found.fidelity)
            state = "error" if found.error else "done" if found.ok else "partial"
            emit(JobFinished(job.id, state, now(), found.error, found.code, found.remedy))
            return found

        results = pool.each("verify", jobs, one, at_once=settings.mailboxes, stopped=lambda: stop.requested)
    return [found for found in results if found is not None]
