"""What several commands need: both sides opened to read, errors of the taxonomy, the ledger if there is one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from migrator.assembly.room import ProjectLike, Room
from migrator.engine.stop import SystemClock
from migrator.engine.tools import error_of
from migrator.errors import MigratorError, RunError
from migrator.interfaces import Clock, Source, Target
from migrator.ledger import Ledger
from migrator.model import (
    Job,
)

log = logging.getLogger(__name__)
T = TypeVar("T")


def with_both(
    room: Room,
    job: Job,
    work: Callable[[Source, Target], T],
    failed: Callable[[MigratorError], T],
) -> T:
    """Open both sides to read and close them again; what goes wrong on the way is that mailbox's own result."""

    def opened() -> T:
        source = room.open_source(job)
        try:
            target = room.look_at_target(job)
            try:
                return work(source, target)
            finally:
                target.close()
        finally:
            source.close()

    return contained(opened, failed)


def contained(work: Callable[[], T], failed: Callable[[MigratorError], T]) -> T:
    """One mailbox's trouble is its own: what `failed` makes of it. Only a RunError, which is everybody's, goes on."""
    try:
        return work()
    except RunError:
        raise
    except Exception as error:  # noqa: BLE001 - logged by `_translated`
        return failed(_translated(error))


def _translated(error: Exception) -> MigratorError:
    if isinstance(error, MigratorError):
        return error
    log.exception("unexpected", exc_info=error)
    return error_of(error)


def ledger_to_read(project: ProjectLike, clock: Clock | None) -> Ledger | None:
    if not project.ledger.exists():
        return None
    return Ledger.open(project.ledger, clock=clock or SystemClock(), read_only=True)
