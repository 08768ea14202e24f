"""In which order mailboxes are taken: the largest first, and where asked the newest items of all before older ones of any.

Largest first, because the end of a run is the end of its longest mailbox: one that is begun last is waited for alone.
Sizes come from the ledger, from the source's folder listing where it has none; both tell octets, or items where the
source tells no octets. It matters only where there are more mailboxes than go at once, so only then is anybody asked.

Newest first is a run in slices. Each slice is the run itself with another `since`; what it leaves out is skipped by its
date, as with --since, and taken up again by the next slice, which lists only what changed meanwhile. So it is the same
code path as two runs with two dates, crash safety included.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from migrator.engine import pool
from migrator.engine.tools import Tools
from migrator.errors import MigratorError, RunError, UserError
from migrator.model import Folder, Job
from migrator.settings import RunSettings

log = logging.getLogger(__name__)

NEWEST = timedelta(days=90)
ITEM_OCTETS = 64 << 10
"""An item counts so much where a folder tells how many it holds and not how large they are."""


def slices(settings: RunSettings, now: datetime) -> list[RunSettings]:
    """The settings of each slice, the last of them the run's own. With `first_slice` there is only the first."""
    recent = now - NEWEST
    if not settings.newest_first or settings.dry_run:
        return [settings]
    if (settings.since is not None and settings.since >= recent) or (
        settings.until is not None and settings.until <= recent
    ):
        return [settings]
    newest = replace(settings, since=recent)
    return [newest] if settings.first_slice else [newest, settings]


def largest_first(jobs: Sequence[Job], tools: Tools, refused: Callable[[Job, UserError], None]) -> list[Job]:
    """Jobs by the size of their source, unknown ones in their own order at the end.

    refused: told of a sign-in that the source refused, so that it is not tried a second time.
    """
    if len(jobs) <= tools.settings.mailboxes:
        return list(jobs)
    known = {job.id: _known(job, tools) for job in jobs}

    def ask(job: Job) -> None:
        try:
            source = tools.open_source(job)
            try:
                known[job.id] = octets_of(source.folders())
            finally:
                source.close()
        except UserError as error:
            refused(job, error)
        except RunError:
            raise
        except Exception as error:  # noqa: BLE001 - the job itself will tell it
            code = error.code if isinstance(error, MigratorError) else type(error).__name__
            log.info("job %s: its size is not known (%s)", job.id, code)

    unknown = [job for job in jobs if known[job.id] is None]
    pool.each("size", unknown, ask, at_once=tools.settings.mailboxes, stopped=lambda: tools.stop.requested)
    return sorted(jobs, key=lambda job: -(known[job.id] or 0))


def _known(job: Job, tools: Tools) -> int | None:
    rows = tools.ledger.folders(job.id)
    if not rows:
        return None
    return sum(
        row.size if row.size is not None else (row.total or 0) * ITEM_OCTETS
        for row in rows
        if not row.skipped
    )


def octets_of(folders: Sequence[Folder]) -> int:
    return sum(
        folder.size if folder.size is not None else (folder.total or 0) * ITEM_OCTETS
        for folder in folders
        if not folder.search
    )


def today(epoch: float) -> datetime:
    return datetime.fromtimestamp(epoch, UTC)
