"""Endpoints opened once, mailboxes dressed as often as wanted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as FilePath
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from migrator.adapters.registry import connect_for
from migrator.auth.secrets import SecretStore
from migrator.engine.stop import Stop, StoppableClock, SystemClock
from migrator.errors import UserError
from migrator.events import Notice
from migrator.interfaces import Client, Clock, Context, Emit, Secrets, Source, Target
from migrator.model import (
    Format,
    Job,
    Mailbox,
)
from migrator.plan.folders import FolderRules
from migrator.plan.hours import Hours
from migrator.plan.rowsecrets import RowSecrets
from migrator.settings import Endpoint
from migrator.wrappers.convert import Convert, ConvertingSource
from migrator.wrappers.dryrun import DryRunTarget
from migrator.wrappers.governor import Governor
from migrator.wrappers.rate import Pace
from migrator.wrappers.retry import Patience, RetryingSource, RetryingTarget
from migrator.wrappers.throttle import ThrottledSource, ThrottledTarget
from migrator.wrappers.trace import Trace, TracedSource, TracedTarget

if TYPE_CHECKING:
    pass


log = logging.getLogger(__name__)


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


PAIRS = ((Format.FTS, Format.MIME),)
"""What a source gives beyond its own formats: Exchange's streams as mail, for targets that take nothing else. The other
direction is a path that the target must be asked about (`engine.routes`)."""


def converter(of: Format, to: Format) -> Convert:
    from migrator.formats.convert import CONVERTERS

    return CONVERTERS[of, to]


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
