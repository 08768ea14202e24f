"""`check`: both sides of every job opened, targets asked by a canary what they take."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from typing import TYPE_CHECKING

from migrator.assembly.parts import contained
from migrator.assembly.room import ProjectLike, Room
from migrator.engine import pool
from migrator.engine.job import words_of
from migrator.engine.routes import JSON
from migrator.engine.stop import Stop, SystemClock
from migrator.interfaces import Clock, Emit, Finding, Secrets, Source, Target
from migrator.ledger import Ledger
from migrator.model import (
    Format,
    Item,
    Job,
    Kind,
    Mailbox,
    Path,
)
from migrator.record import record
from migrator.settings import RunSettings

if TYPE_CHECKING:
    from migrator.engine.canary import Sung


@record
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


@record
class JobCheck:
    job: Job
    source: SideCheck
    target: SideCheck

    @property
    def ok(self) -> bool:
        return self.source.ok and self.target.ok


@record
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


@record
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
    def probed() -> SideCheck:
        box = open_box()
        try:
            probe = box.probe()
        finally:
            box.close()
        return SideCheck(mailbox, probe.product, probe.identity, probe.findings)

    return contained(
        probed,
        lambda error: SideCheck(mailbox, error=words_of(error), code=error.code, remedy=error.remedy),
    )


def _ask(
    room: Room, jobs: Sequence[Job], sources: bool, project: ProjectLike, emit: Emit, clock: Clock | None
) -> CanaryCheck | None:
    """What a target endpoint takes, asked in the mailboxes of these jobs. sources: whether theirs can be read.

    None where the adapter's own word is enough.
    """
    endpoint = room.endpoint(jobs[0].target.endpoint)
    address = jobs[0].target.address

    def answered() -> list[Sung] | CanaryCheck | None:
        verdicts: list[Sung] = []
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
        return verdicts

    verdicts = contained(
        answered,
        lambda error: CanaryCheck(
            endpoint.name, address, error=words_of(error), code=error.code, remedy=error.remedy
        ),
    )
    if not isinstance(verdicts, list):
        return verdicts
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
