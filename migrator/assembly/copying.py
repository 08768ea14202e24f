"""`run`: the mailboxes are copied, or, with `dry_run`, the same is rehearsed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path as FilePath
from typing import TYPE_CHECKING

from migrator.assembly.comparing import same_content
from migrator.assembly.room import ProjectLike, Room
from migrator.engine import run as running
from migrator.engine.stop import Stop, SystemClock
from migrator.engine.tools import Tools, map_by_rules
from migrator.errors import UserError
from migrator.events import Event
from migrator.interfaces import Clock, Emit, Secrets
from migrator.ledger import Ledger
from migrator.model import (
    Content,
    Format,
    ItemRef,
    Job,
    Kind,
)
from migrator.plan.hours import Hours, hours_of
from migrator.settings import RunSettings

if TYPE_CHECKING:
    pass


class _Relay:
    """What the wrappers tell goes the way of what the engine tells, which notes in the ledger who waits for what."""

    def __init__(self, to: Emit) -> None:
        self.to = to

    def __call__(self, event: Event) -> None:
        self.to(event)


def run(
    project: ProjectLike,
    jobs: Sequence[Job],
    settings: RunSettings,
    emit: Emit,
    stop: Stop | None = None,
    *,
    clock: Clock | None = None,
    secrets: Secrets | None = None,
    interactive: bool = False,
) -> int:
    """Copy the mailboxes; returns the exit code. Raises UserError or RunError when nothing could be started."""
    stop = stop or Stop()
    if settings.dry_run:
        return _dry_run(
            project, jobs, settings, emit, stop, clock=clock, secrets=secrets, interactive=interactive
        )
    tell = _Relay(emit)
    hours = hours_for(settings, clock or SystemClock())
    room = Room(
        project,
        tell,
        stop,
        clock=clock,
        secrets=secrets,
        interactive=interactive,
        hours=hours,
        max_rate_octets_s=settings.max_rate_octets_s,
    )
    ledger: Ledger | None = None
    try:
        room.connect(jobs)
        ledger = Ledger.open(project.ledger, clock=clock or SystemClock())
        room.assure = ledger.assure
        tools = Tools(
            ledger=ledger,
            settings=settings,
            clock=room.clock,
            stop=stop,
            emit=emit,
            open_source=room.open_source,
            open_target=room.open_target,
            map_folders=map_by_rules(project.folders),
            same_content=same_content(),
            hours=hours,
            knock=room.knock,
        )
        tell.to = lambda event: tools.emit(event)
        return running.run(jobs, tools)
    finally:
        if not stop.now:  # else threads still hang in calls, and everything durable is durable
            room.close()
            if ledger is not None:
                ledger.close()


def hours_for(settings: RunSettings, clock: Clock) -> Hours:
    """Raises UserError."""
    try:
        return hours_of(
            not_before=settings.not_before,
            stop_at=settings.stop_at,
            quiet_hours=settings.quiet_hours,
            time_zone=settings.time_zone,
            now=datetime.fromtimestamp(clock.now(), UTC),
        )
    except ValueError as error:
        raise UserError("the hours to work in are wrong", problems=[str(error)], code="hours") from None


def _dry_run(
    project: ProjectLike,
    jobs: Sequence[Job],
    settings: RunSettings,
    emit: Emit,
    stop: Stop,
    *,
    clock: Clock | None,
    secrets: Secrets | None,
    interactive: bool,
) -> int:
    """The very run, with a copy of the ledger that is thrown away, sources whose contents stay unread, and targets that
    take nothing; see `wrappers.rehearse`. At any hour: it is short, and moves nothing."""
    from migrator.wrappers.rehearse import RehearsedSource, RehearsedTarget

    tell = _Relay(emit)
    with (
        Room(project, tell, stop, clock=clock, secrets=secrets, interactive=interactive) as room,
        _copied_ledger(project, clock) as ledger,
    ):
        room.connect(jobs)
        stand_in = _stand_in()
        tools = Tools(
            ledger=ledger,
            settings=settings,
            clock=room.clock,
            stop=stop,
            emit=emit,
            open_source=lambda job: RehearsedSource(room.open_source(job), stand_in),
            open_target=lambda job: RehearsedTarget(room.open_target(job)),
            map_folders=map_by_rules(project.folders),
            knock=room.knock,
        )
        tell.to = lambda event: tools.emit(event)
        return running.run(jobs, tools)


@contextmanager
def _copied_ledger(project: ProjectLike, clock: Clock | None) -> Iterator[Ledger]:
    """The ledger as it is now, in a file of its own beside it, without anybody's leases; an empty one where there is none."""
    import sqlite3
    import tempfile

    with tempfile.TemporaryDirectory(prefix=".dry-run-", dir=project.folder) as folder:
        copy = FilePath(folder) / "ledger.sqlite"
        if project.ledger.exists():
            with (
                closing(sqlite3.connect(f"{project.ledger.as_uri()}?mode=ro", uri=True)) as ours,
                closing(sqlite3.connect(copy)) as theirs,
            ):
                ours.backup(theirs)
                theirs.execute("UPDATE job SET owner = '', lease_until = 0")
                theirs.commit()
        ledger = Ledger.open(copy, clock=clock or SystemClock())
        try:
            yield ledger
        finally:
            ledger.close()


def _stand_in() -> Callable[[ItemRef, Format], Content]:
    """Small items of every kind, made once, that stand for all others of their kind in a rehearsal."""
    from migrator.formats.canary import samples
    from migrator.formats.content import MemoryContent
    from migrator.wrappers.rehearse import StandInContent

    made = samples()
    mail = MemoryContent([b"Subject: rehearsal\r\n\r\n\r\n"])

    def stand_in(ref: ItemRef, fmt: Format) -> Content:
        if fmt is not Format.FTS:
            return StandInContent(mail, ref.size or 0)
        return StandInContent(made.get(ref.kind, made[Kind.MAIL]).content, (ref.size or 0) * 4 // 3)

    return stand_in
