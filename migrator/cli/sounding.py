"""The probe of a forecast: a few mailboxes of each pair of endpoints are opened and read a little. Nothing is written."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from migrator.assembly import ProjectLike, Room
from migrator.engine.stop import Stop
from migrator.errors import MigratorError, RunError
from migrator.events import Notice
from migrator.forecast.sounding import sound
from migrator.forecast.speeds import Sounding
from migrator.interfaces import Clock, Emit, Secrets
from migrator.model import Job

log = logging.getLogger(__name__)


def sound_out(
    project: ProjectLike,
    jobs: Sequence[Job],
    emit: Emit,
    stop: Stop | None = None,
    *,
    mailboxes: int = 3,
    clock: Clock | None = None,
    secrets: Secrets | None = None,
    interactive: bool = False,
) -> dict[tuple[str, str], list[Sounding]]:
    """How quick each pair of endpoints is. A pair of which no mailbox could be read is left out, with a warning why.

    Raises UserError for endpoints that cannot be used.
    """
    stop = stop or Stop()
    found: dict[tuple[str, str], list[Sounding]] = {}
    with Room(project, emit, stop, clock=clock, secrets=secrets, interactive=interactive) as room:
        room.connect(jobs)
        for pair in dict.fromkeys((job.source.endpoint, job.target.endpoint) for job in jobs):
            theirs = [job for job in jobs if (job.source.endpoint, job.target.endpoint) == pair]
            soundings: list[Sounding] = []
            why = ""
            # Spread over the manifest: neighbours in it tend to be alike.
            for job in theirs[:: max(1, len(theirs) // (2 * mailboxes))][: 2 * mailboxes]:
                if stop.requested or sum(one.what == "page" for one in soundings) >= mailboxes:
                    break
                source, target = room.bare(job)
                try:
                    soundings += sound(source, target, room.clock)
                except RunError:
                    raise
                except Exception as error:  # another mailbox may tell
                    log.info("no probe of job %s", job.id, exc_info=error)
                    why = error.message if isinstance(error, MigratorError) else type(error).__name__
                finally:
                    source.close()
                    target.close()
            if soundings:
                found[pair] = soundings
            elif why:
                emit(Notice("warning", f"{pair[0]} → {pair[1]}: no probe of its speed: {why}"))
    return found
