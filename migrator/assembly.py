"""The one room that knows concrete classes: opens endpoints, dresses mailboxes, hands them to the engine.

What the command line calls, each reading a project and a list of jobs:

    run(project, jobs, settings, emit, stop)      → exit code (see `cli/exits.py`); with settings.dry_run nothing is written
    survey(project, jobs, settings, emit, stop)   → MailboxSurvey per job: what a run would do; nothing is written
    check(project, jobs, settings, emit, stop)    → CheckResult: both sides of every job opened, targets asked by a canary
    verify(project, jobs, settings, emit, stop)   → MailboxVerdict per job: source, ledger and target compared
    look_at_item(project, job, sides)             → SeenItem per side: one item as a tree

All raise UserError for a project that cannot work, before anything is opened.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path as FilePath
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, TypeVar

from migrator import __version__
from migrator.adapters.registry import connect_for
from migrator.auth.secrets import SecretStore
from migrator.engine import pool
from migrator.engine import run as running
from migrator.engine.job import words_of
from migrator.engine.routes import JSON, as_stream
from migrator.engine.sampling import SAMPLE, Confidence
from migrator.engine.stop import Stop, StoppableClock, SystemClock
from migrator.engine.tools import SameContent, Tools, error_of, map_by_rules
from migrator.errors import ItemError, MigratorError, RunError, UserError
from migrator.events import Event, FoldersListed, JobFinished, JobStarted, Notice
from migrator.interfaces import Client, Clock, Context, Emit, Finding, Secrets, Source, Target
from migrator.ledger import Entry, Lease, Ledger
from migrator.model import (
    Checkpoint,
    Content,
    FolderPath,
    Format,
    Item,
    ItemRef,
    Job,
    Kind,
    Mailbox,
    Outcome,
    Path,
)
from migrator.plan.folders import FolderRules
from migrator.plan.hours import Hours, hours_of
from migrator.plan.rowsecrets import RowSecrets
from migrator.settings import Endpoint, RunSettings
from migrator.wrappers.convert import Convert, ConvertingSource
from migrator.wrappers.dryrun import DryRunTarget
from migrator.wrappers.governor import Governor
from migrator.wrappers.rate import Pace
from migrator.wrappers.rehearse import RehearsedSource, RehearsedTarget, StandInContent
from migrator.wrappers.retry import Patience, RetryingSource, RetryingTarget
from migrator.wrappers.throttle import ThrottledSource, ThrottledTarget
from migrator.wrappers.trace import Trace, TracedSource, TracedTarget

if TYPE_CHECKING:
    from migrator.engine.canary import Sung
    from migrator.engine.rebuild import Rebuilt
    from migrator.engine.survey import MailboxSurvey
    from migrator.engine.undo import Undone
    from migrator.engine.verify import Compare, MailboxVerdict, PropertyDifference
    from migrator.mapi.item import Message
    from migrator.plan.difference import Glance

log = logging.getLogger(__name__)
T = TypeVar("T")


class ProjectLike(Protocol):
    """What is read of a project (`plan.project.Project`)."""

    @property
    def folder(self) -> FilePath: ...
    @property
    def ledger(self) -> FilePath: ...
    @property
    def endpoints(self) -> Mapping[str, Endpoint]: ...
    @property
    def folders(self) -> FolderRules: ...
    @property
    def row_secrets(self) -> Mapping[str, str]: ...


class Room:
    """Endpoints opened once, mailboxes dressed as often as wanted. Thread-safe; close it at the end.

    A dressed mailbox, inside out: trace what truly crosses the wire, hold a slot, retry outside the slot; a source converts
    outside of all that.
    """

    def __init__(
        self,
        project: ProjectLike,
        emit: Emit,
        stop: Stop,
        *,
        clock: Clock | None = None,
        secrets: Secrets | None = None,
        interactive: bool = False,
        hours: Hours | None = None,
        max_rate_octets_s: float = 0.0,
    ) -> None:
        """hours: outside of which no call is made. max_rate_octets_s: cap on the line, each way; 0 is none."""
        self._hours = hours
        # Not the stoppable clock: what is in flight at a stop is settled at this pace too.
        self._pace = Pace(max_rate_octets_s, clock or SystemClock()) if max_rate_octets_s else None
        self._project = project
        self._emit = emit
        self._stop = stop
        self.clock: Clock = StoppableClock(clock or SystemClock(), stop)
        self._secrets = secrets or RowSecrets(
            SecretStore(project.folder, warn=lambda text: emit(Notice("warning", text))),
            project.row_secrets,
        )
        self._interactive = interactive
        self._lock = threading.Lock()
        self.assure: Callable[[str], None] = lambda job: None  # see `Ledger.assure`; a run sets it
        self._clients: dict[str, Client] = {}
        self._governors: dict[str, Governor] = {}
        self._traces: dict[str, Trace] = {}
        self._patience: dict[tuple[str, str, str], Patience] = {}

    def __enter__(self) -> Room:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def connect(self, jobs: Sequence[Job]) -> None:
        """Make a client of every endpoint that the jobs name. Raises UserError with every fault found."""
        problems: list[str] = []
        first: UserError | None = None
        for name in dict.fromkeys(end for job in jobs for end in (job.source.endpoint, job.target.endpoint)):
            try:
                self._client(name)
            except UserError as error:
                first = first or error
                problems += [f"endpoint {name}: {one}" for one in error.problems or (error.message,)]
        if first is not None:
            if len(problems) == 1:
                raise first
            raise UserError(
                "some endpoints cannot be used", problems=problems, code=first.code, remedy=first.remedy
            )

    def endpoint(self, name: str) -> Endpoint:
        try:
            return self._project.endpoints[name]
        except KeyError:
            raise UserError(
                f"no endpoint is called {name!r}",
                code="unknown_endpoint",
                remedy="see [endpoints] in the project file",
            ) from None

    def open_source(self, job: Job) -> Source:
        box = job.source
        inner = self._client(box.endpoint).source(box)
        traced = TracedSource(inner, self._trace(box.endpoint))
        throttled = ThrottledSource(traced, self._governor(box.endpoint), _lane(box), job.id)
        return ConvertingSource(RetryingSource(throttled, self._patient(box, job.id)), PAIRS, converter)

    def open_target(self, job: Job) -> Target:
        box = job.target
        inner = self._client(box.endpoint).target(box)
        traced = TracedTarget(inner, self._trace(box.endpoint))
        throttled = ThrottledTarget(
            traced, self._governor(box.endpoint), _lane(box), job.id, lambda job: self.assure(job)
        )
        return RetryingTarget(throttled, self._patient(box, job.id))

    def knock(self, job: Job, endpoint: str) -> None:
        """One call to an endpoint of a job, undressed: neither repeated nor paced."""
        at_source = endpoint == job.source.endpoint
        client = self._client(endpoint)
        box: Source | Target = client.source(job.source) if at_source else client.target(job.target)
        try:
            box.probe()
        finally:
            box.close()

    def bare(self, job: Job) -> tuple[Source, Target]:
        """Both sides of a job, undressed, to read from: what they take is to be measured, not what we wait."""
        target = DryRunTarget(self._client(job.target.endpoint).target(job.target))
        return self._client(job.source.endpoint).source(job.source), target

    def look_at_target(self, job: Job) -> Target:
        """The target for those who only read."""
        return DryRunTarget(self.open_target(job))

    @property
    def traces(self) -> Mapping[str, Trace]:
        return dict(self._traces)

    def close(self) -> None:
        with self._lock:
            clients, self._clients = list(self._clients.items()), {}
        for name, client in clients:
            try:
                client.close()
            except Exception:
                log.warning("endpoint %s did not close cleanly", name, exc_info=True)
        for trace in self._traces.values():
            log.info("calls of %s: %s; errors: %s", trace.endpoint, trace.calls, trace.errors or "none")

    def _client(self, name: str) -> Client:
        with self._lock:
            client = self._clients.get(name)
            if client is None:
                endpoint = self.endpoint(name)
                context = Context(self.clock, self._secrets, self._emit, self._interactive, self._pace)
                client = self._clients[name] = connect_for(endpoint.kind)(endpoint, context)
            return client

    def _governor(self, name: str) -> Governor:
        with self._lock:
            governor = self._governors.get(name)
            if governor is None:
                governor = self._governors[name] = Governor(
                    name,
                    self.endpoint(name).limits,
                    self.clock,
                    emit=self._emit,
                    stopped=lambda: self._stop.requested,
                    closed=self._closed if self._hours is not None else None,
                )
            return governor

    def _closed(self) -> tuple[float, str]:
        return self._hours.closed(self.clock.now()) if self._hours is not None else (0.0, "")

    def _trace(self, name: str) -> Trace:
        with self._lock:
            return self._traces.setdefault(name, Trace(name))

    def _patient(self, box: Mailbox, job: str) -> Patience:
        key = (box.endpoint, _lane(box), job)
        with self._lock:
            patience = self._patience.get(key)
            if patience is None:
                patience = self._patience[key] = Patience(
                    self.endpoint(box.endpoint).limits,
                    self.clock,
                    emit=self._emit,
                    endpoint=box.endpoint,
                    job=job,
                    stopped=lambda: self._stop.requested,
                )
            return patience


def _lane(box: Mailbox) -> str:
    return box.address.casefold()


# ----------------------------------------------------------------------- run


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

    made = samples()
    mail = MemoryContent([b"Subject: rehearsal\r\n\r\n\r\n"])

    def stand_in(ref: ItemRef, fmt: Format) -> Content:
        if fmt is not Format.FTS:
            return StandInContent(mail, ref.size or 0)
        return StandInContent(made.get(ref.kind, made[Kind.MAIL]).content, (ref.size or 0) * 4 // 3)

    return stand_in


# -------------------------------------------------------------------- survey


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
        ledger = _ledger_to_read(project, clock)
        try:

            def one(job: Job) -> MailboxSurvey:
                emit(JobStarted(job.id, job.source.address, job.target.address, now()))
                found = _with_both(
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

        def one(job: Job) -> Glance:
            try:
                source = room.open_source(job)
                try:
                    return look(job, source)
                finally:
                    source.close()
            except RunError:
                raise
            except Exception as error:  # noqa: BLE001 - one mailbox's trouble is its own, logged by _known
                return Glance(job.id, error=words_of(_known(error)))

        found = pool.each("glance", jobs, one, at_once=settings.mailboxes, stopped=lambda: stop.requested)
    return [one for one in found if one is not None]


# --------------------------------------------------------------------- check


@dataclass(frozen=True, slots=True)
class SideCheck:
    """One mailbox, opened. error, code and remedy when that did not work."""

    mailbox: Mailbox
    product: str = ""
    identity: str = ""
    findings: tuple[Finding, ...] = ()
    error: str = ""
    code: str = ""
    remedy: str = ""

    @property
    def ok(self) -> bool:
        return not self.error and all(finding.level != "blocker" for finding in self.findings)


@dataclass(frozen=True, slots=True)
class JobCheck:
    job: Job
    source: SideCheck
    target: SideCheck

    @property
    def ok(self) -> bool:
        return self.source.ok and self.target.ok


@dataclass(frozen=True, slots=True)
class CanaryCheck:
    """What one target endpoint accepts, found out in one of its mailboxes."""

    endpoint: str
    address: str
    verdicts: tuple[Sung, ...] = ()
    error: str = ""
    code: str = ""
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """Mail must be taken; other kinds that are not are left out by name."""
        return not self.error and any(sung.accepted for sung in self.verdicts if sung.kind is Kind.MAIL)


@dataclass(frozen=True, slots=True)
class CheckResult:
    jobs: tuple[JobCheck, ...]
    canaries: tuple[CanaryCheck, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def ok(self) -> bool:
        return all(job.ok for job in self.jobs) and all(canary.ok for canary in self.canaries)


def check(
    project: ProjectLike,
    jobs: Sequence[Job],
    settings: RunSettings,
    emit: Emit,
    stop: Stop | None = None,
    *,
    canary: bool = True,
    clock: Clock | None = None,
    secrets: Secrets | None = None,
    interactive: bool = False,
) -> CheckResult:
    """Open both sides of every job, ask one mailbox of every target endpoint by a canary, remember its verdicts."""
    stop = stop or Stop()
    with Room(project, emit, stop, clock=clock, secrets=secrets, interactive=interactive) as room:
        room.connect(jobs)

        def one(job: Job) -> JobCheck:
            return JobCheck(
                job,
                _probe(job.source, lambda: room.open_source(job)),
                _probe(job.target, lambda: room.open_target(job)),
            )

        done = pool.each("check", jobs, one, at_once=settings.mailboxes, stopped=lambda: stop.requested)
        checks = [found for found in done if found is not None]
        canaries: list[CanaryCheck] = []
        notes: list[str] = []
        for name in dict.fromkeys(found.job.target.endpoint for found in checks):
            # One row for each source endpoint: every server's streams are asked about by items of its own.
            able = [c for c in checks if c.job.target.endpoint == name and c.target.ok]
            whole = {c.job.source.endpoint: c.job for c in reversed(able) if c.source.ok}
            chosen = list(whole.values()) or [c.job for c in able[:1]]
            if not chosen or stop.requested:
                continue
            if not canary:
                notes.append(f"{name}: not asked what it accepts (--no-canary)")
                continue
            asked = _ask(room, chosen, bool(whole), project, emit, clock)
            if asked is not None:
                canaries.append(asked)
    return CheckResult(tuple(checks), tuple(canaries), tuple(notes))


def _probe(mailbox: Mailbox, open_box: Callable[[], Source | Target]) -> SideCheck:
    try:
        box = open_box()
        try:
            probe = box.probe()
        finally:
            box.close()
    except RunError:
        raise
    except Exception as error:  # noqa: BLE001 - one mailbox's trouble is its row's, logged by _known
        known = _known(error)
        return SideCheck(mailbox, error=words_of(known), code=known.code, remedy=known.remedy)
    return SideCheck(mailbox, probe.product, probe.identity, probe.findings)


def _ask(
    room: Room, jobs: Sequence[Job], sources: bool, project: ProjectLike, emit: Emit, clock: Clock | None
) -> CanaryCheck | None:
    """What a target endpoint takes, asked in the mailboxes of these jobs. sources: whether theirs can be read.

    None where the adapter's own word is enough.
    """
    endpoint = room.endpoint(jobs[0].target.endpoint)
    address = jobs[0].target.address
    verdicts: list[Sung] = []
    try:
        for number, job in enumerate(jobs):
            target = room.open_target(job)
            try:
                if not target.traits.canary:
                    return None
                if sources:
                    verdicts += _ask_with_own(room, job, target, emit)
                if number == len(jobs) - 1:
                    verdicts += _ask_with_made(job, target, verdicts, emit)
            finally:
                target.close()
    except RunError:
        raise
    except Exception as error:  # noqa: BLE001 - one mailbox's trouble is its row's, logged by _known
        known = _known(error)
        return CanaryCheck(
            endpoint.name, address, error=words_of(known), code=known.code, remedy=known.remedy
        )
    with Ledger.open(project.ledger, clock=clock or SystemClock()) as ledger:
        ledger.drop_verdicts(endpoint.name)
        for sung in verdicts:
            ledger.put_verdict(
                endpoint.name, endpoint.tenant, sung.origin, sung.kind, sung.accepted, sung.detail
            )
    return CanaryCheck(endpoint.name, address, tuple(verdicts))


def _ask_with_own(room: Room, job: Job, target: Target, emit: Emit) -> list[Sung]:
    """Items of the source itself, one a kind, into their owner's target mailbox."""
    from migrator.engine.canary import own_items, sing

    source = room.open_source(job)
    try:
        source.probe()
        if Format.FTS not in source.traits.formats:
            return []
        own = own_items(source)
        try:
            what = f"items of {job.source.address}, one of each kind,"
            return sing(target, job.target.address, own, emit, what) if own else []
        finally:
            for item in own.values():
                item.content.release()
    finally:
        source.close()


def _ask_with_made(job: Job, target: Target, before: Sequence[Sung], emit: Emit) -> list[Sung]:
    """Items made here as streams; of the kinds that some origin's stream is refused of, the same by JSON."""
    from migrator.engine.canary import sing

    made = canary_items()
    found = sing(target, job.target.address, made, emit)
    refused = {sung.kind for sung in (*before, *found) if not sung.accepted} & target.traits.creates
    anew = {
        kind: replace(item, path=Path.JSON, origin=JSON) for kind, item in made.items() if kind in refused
    }
    if anew:
        found += sing(target, job.target.address, anew, emit, "small items by classic Graph")
    return found


def canary_items() -> Mapping[Kind, Item]:
    from migrator.formats.canary import samples

    return samples()


# -------------------------------------------------------------------- verify


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
            found = _with_both(
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


# ------------------------------------------------------------------ one item


@dataclass(frozen=True, slots=True)
class SeenItem:
    """An item of a mailbox as a tree. path: the way that it took into the target, or "". notes: of a conversion."""

    job: Job
    side: str  # "source" or "target"
    folder: FolderPath
    id: str
    message: Message
    path: str = ""
    notes: tuple[str, ...] = ()


def look_at_item(
    project: ProjectLike,
    job: Job,
    sides: Sequence[str],
    *,
    id: str = "",
    message_id: str = "",
    clock: Clock | None = None,
    secrets: Secrets | None = None,
    interactive: bool = False,
) -> list[SeenItem]:
    """One item of a mailbox pair from source, target or both, read anew. Nothing is written.

    id: of the source. What the ledger does not know is looked for in the source's listing. Raises UserError when nothing or
    more than one thing is meant, ItemError for an item that cannot be read.
    """
    stop = Stop()
    with Room(project, _nobody, stop, clock=clock, secrets=secrets, interactive=interactive) as room:
        room.connect([job])
        ledger = _ledger_to_read(project, clock)
        try:
            entry, path = _entry_of(ledger, job, id, message_id)
        finally:
            if ledger is not None:
                ledger.close()
        found: list[SeenItem] = []
        for side in sides:
            box: Source | Target = room.open_source(job) if side == "source" else room.look_at_target(job)
            try:
                box.probe()
                if side == "source":
                    ref = entry.ref(path) if entry else _listed(box, id, message_id)
                elif entry is not None and entry.target_id:
                    ref = ItemRef(entry.target_id, path, entry.kind, "")
                else:
                    raise UserError(
                        "the ledger knows of no such item in the target",
                        code="item_unknown",
                        remedy="Only what a run has copied can be looked up there; see --side source.",
                    )
                message, notes = _tree_from(box, ref)
            finally:
                box.close()
            taken = entry.path_taken if entry else ""
            found.append(SeenItem(job, side, ref.folder, ref.id, message, taken, notes))
    return found


def _nobody(event: Event) -> None:
    """For commands that look at one thing."""


def _entry_of(ledger: Ledger | None, job: Job, id: str, message_id: str) -> tuple[Entry | None, FolderPath]:
    if ledger is None:
        return None, ()
    if id:
        wanted = ItemRef(id, (), Kind.MAIL, "")
        entries = list(ledger.entries(job.id, [wanted]).values())
    else:
        bare = message_id.strip().strip("<>")
        entries = [
            entry
            for form in dict.fromkeys((message_id, f"<{bare}>", bare))
            for entry in ledger.find_message(form)
            if entry.job_id == job.id
        ]
    if len(entries) > 1:
        raise UserError(
            f"{len(entries)} items of {job.source.address} have this Message-ID",
            problems=[f"--id {entry.source_id}" for entry in entries[:10]],
            code="item_ambiguous",
        )
    if not entries:
        return None, ()
    paths = {row.source_id: row.path for row in ledger.folders(job.id)}
    return entries[0], paths.get(entries[0].folder_id, ())


def _listed(box: Source | Target, id: str, message_id: str) -> ItemRef:
    bare = message_id.strip().strip("<>")
    for folder in box.folders():
        if folder.search:
            continue
        after: Checkpoint | None = None
        while True:
            page = box.page(folder, after)
            for ref in page.refs:
                if not ref.gone and (ref.id == id if id else ref.message_id.strip("<>") == bare):
                    return ref
            if page.last or page.checkpoint == after:
                break
            after = page.checkpoint
    raise UserError(
        "the mailbox has no such item", code="item_unknown", remedy="Check --row, --id, --message-id."
    )


def _tree_from(box: Source | Target, ref: ItemRef) -> tuple[Message, tuple[str, ...]]:
    from migrator.formats.convert import tree_of

    formats = box.traits.formats
    (item,) = box.export([ref], Format.FTS if Format.FTS in formats else formats[0])
    if isinstance(item, Outcome):
        why = item.reason.value if item.reason is not None else str(item.error or "refused")
        raise ItemError(f"the item cannot be read: {why}", code="item_unreadable")
    try:
        stream = as_stream(item)
        return tree_of(stream), stream.notes
    finally:
        item.content.release()


# ---------------------------------------------------------------------- undo


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

        def one(job: Job) -> Undone:
            emit(JobStarted(job.id, job.source.address, job.target.address, now()))
            try:
                if really:
                    found = under_lease(job, ledger, number, lambda lease: remove(job, lease))
                else:
                    found = remove(job, None)
            except RunError:
                raise
            except Exception as error:  # noqa: BLE001 - one mailbox's trouble is its own, logged by _known
                known = _known(error)
                found = Undone(job, error=words_of(known), code=known.code, remedy=known.remedy)
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


# ------------------------------------------------------------------- rebuild


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
            try:
                found = under_lease(
                    job, ledger, number, lambda lease: look(job, lease), code="rebuilt", words=REBUILT
                )
            except RunError:
                raise
            except Exception as error:  # noqa: BLE001 - one mailbox's trouble is its own, logged by _known
                known = _known(error)
                found = Rebuilt(job, error=words_of(known), code=known.code, remedy=known.remedy)
            state = "error" if found.error else "done"
            emit(JobFinished(job.id, state, now(), found.error, found.code, found.remedy))
            return found

        results = pool.each("rebuild", jobs, one, at_once=settings.mailboxes, stopped=lambda: stop.requested)
        ledger.finish_run(number, 0)
    return [found for found in results if found is not None]


REBUILT = "rebuilt from what is in the target; the next run goes on from there"


# --------------------------------------------------------------------- parts


def _with_both(
    room: Room,
    job: Job,
    work: Callable[[Source, Target], T],
    failed: Callable[[MigratorError], T],
) -> T:
    """Open both sides to read and close them again; what goes wrong on the way is that mailbox's own result."""
    try:
        source = room.open_source(job)
        try:
            target = room.look_at_target(job)
            try:
                return work(source, target)
            finally:
                target.close()
        finally:
            source.close()
    except RunError:
        raise
    except Exception as error:  # noqa: BLE001 - one mailbox's trouble is its own, logged by _known
        return failed(_known(error))


def _known(error: Exception) -> MigratorError:
    if isinstance(error, MigratorError):
        return error
    log.exception("unexpected", exc_info=error)
    return error_of(error)


def _ledger_to_read(project: ProjectLike, clock: Clock | None) -> Ledger | None:
    if not project.ledger.exists():
        return None
    return Ledger.open(project.ledger, clock=clock or SystemClock(), read_only=True)


PAIRS = ((Format.FTS, Format.MIME),)
"""What a source gives beyond its own formats: Exchange's streams as mail, for targets that take nothing else. The other
direction is a path that the target must be asked about (`engine.routes`)."""


def converter(of: Format, to: Format) -> Convert:
    from migrator.formats.convert import CONVERTERS

    return CONVERTERS[of, to]


def stream_compare() -> Compare:
    """How two item streams (base64) are compared, property by property; see `mapi.compare`."""
    import binascii

    import pybase64

    from migrator.engine.verify import PropertyDifference
    from migrator.mapi import fasttransfer
    from migrator.mapi.compare import compare as trees

    def tree(stream: bytes) -> Message:
        try:
            octets = pybase64.b64decode(stream, validate=True)
        except binascii.Error:
            raise ItemError("the stream is no base64", code="stream_malformed") from None
        return fasttransfer.read(octets)

    def compare(one: bytes, two: bytes, /, path: str = "") -> list[PropertyDifference]:
        if one == two:
            return []
        made = path if path in (Path.JSON, Path.MIME) else Path.STREAM
        return [
            PropertyDifference(
                f"{difference.path}: {difference.name}" if difference.path else difference.name,
                difference.left,
                difference.right,
                volatile=not difference.counts,
                why=difference.reason,
                class_=difference.class_.value,
                group=_group_of(difference.path, difference.name),
            )
            for difference in trees(tree(one), tree(two), path=made)
        ]

    return compare


def _group_of(path: str, name: str) -> str:
    """ "attachment 3 / embedded message" and a property → "attachment / embedded message: PidTagSubject"."""
    return f"{re.sub(r' [0-9]+', '', path)}: {name}" if path else name


NOT_PROMISED = frozenset(
    {
        "PidTagSearchKey",
        "PidTagInternetMessageId",
        "PidTagMessageDeliveryTime",
        "PidTagCreationTime",
        "PidTagMessageFlags",
    }
)
"""Properties of the item itself that no document says an import keeps: a copy without them is a copy all the same."""


def same_content() -> SameContent:
    """Whether two item streams hold the same item, for items in doubt that nothing else tells apart."""
    known: list[Compare] = []  # made when the first doubt arises

    def same(one: bytes, two: bytes) -> bool | None:
        if not known:
            known.append(stream_compare())
        try:
            return all(
                difference.volatile or difference.name in NOT_PROMISED for difference in known[0](one, two)
            )
        except MigratorError:
            return None

    return same
