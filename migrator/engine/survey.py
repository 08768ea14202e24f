"""What a run would do, found out by reading alone: for `plan` and `run --dry-run`. Nothing is written to any target.

Lists every folder that takes part from its beginning, so the numbers are those of the source now, not of the last run.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from migrator.engine.decide import Rules, decide
from migrator.engine.job import refuse_blockers, words_of
from migrator.engine.routes import Route, Routes
from migrator.engine.tools import MapFolders, error_of
from migrator.errors import JobError, MigratorError
from migrator.interfaces import Finding, Source, Target
from migrator.ledger import Ledger
from migrator.model import Checkpoint, Folder, FolderPath, ItemRef, Job, Kind, Role, SkipReason, State
from migrator.plan.filters import decide_folder, roles_of
from migrator.plan.folders import Place
from migrator.settings import RunSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FolderSurvey:
    """octets and largest count items whose size the source tells; `unsized` says how many it does not."""

    path: FolderPath
    kind: Kind
    target_path: FolderPath  # below the target's folder of target_role, or below its root
    target_role: Role | None
    notes: tuple[str, ...]  # what the mapping changed, and why
    folder_skipped: SkipReason | None = (
        None  # left out as a whole: items and octets are what the folder tells of itself
    )
    items: int = 0
    octets: int = 0
    largest: int = 0
    unsized: int = 0
    kinds: Mapping[Kind, int] = field(default_factory=dict)
    oldest: datetime | None = None
    newest: datetime | None = None
    known: int = 0  # copied or present by the ledger
    to_copy: int = 0
    octets_to_copy: int = 0
    to_update: int = 0
    skipped: Mapping[SkipReason, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MailboxSurvey:
    """error, code and remedy when the mailbox could not be looked through; folders then holds what was seen before."""

    job: Job
    folders: tuple[FolderSurvey, ...] = ()
    findings: tuple[Finding, ...] = ()
    error: str = ""
    code: str = ""
    remedy: str = ""
    routes: tuple[Route, ...] = ()  # of the kinds that were seen; none where the target was never asked

    @property
    def items(self) -> int:
        return sum(folder.items for folder in self.folders if folder.folder_skipped is None)

    @property
    def octets(self) -> int:
        return sum(folder.octets for folder in self.folders if folder.folder_skipped is None)

    @property
    def to_copy(self) -> int:
        return sum(folder.to_copy for folder in self.folders)


def survey_mailbox(
    job: Job,
    source: Source,
    target: Target,
    ledger: Ledger | None,
    settings: RunSettings,
    map_folders: MapFolders,
) -> MailboxSurvey:
    """Look through one mailbox pair. target: read only. ledger None: there is none yet."""
    folders: list[FolderSurvey] = []
    findings: list[Finding] = []
    routes: Routes | None = None
    try:
        for side, box in (("source", source), ("target", target)):
            probe = box.probe()
            findings += probe.findings
            refuse_blockers(side, probe)
        routes = _routes(job, source, target, ledger, settings, findings)
        kinds = target.traits.kinds if routes is None else routes.kinds()
        rules = Rules(settings, kinds, target.traits.can_update)
        listed = source.folders()
        places = map_folders(listed, target.folders())
        roles = roles_of(listed)
        for folder in listed:
            reason = decide_folder(folder, settings, roles)
            folders.append(
                _left_out(folder, places[folder.id], reason)
                if reason is not None
                else _look_through(job, folder, places[folder.id], source, ledger, rules)
            )
    except Exception as error:
        if not isinstance(error, MigratorError):
            log.exception("job %s could not be surveyed", job.id)
        known = error if isinstance(error, MigratorError) else error_of(error)
        return MailboxSurvey(job, tuple(folders), tuple(findings), words_of(known), known.code, known.remedy)
    seen = {kind for folder in folders for kind in folder.kinds}
    taken = () if routes is None else tuple(routes.of(kind) for kind in Kind if kind in seen)
    return MailboxSurvey(job, tuple(folders), tuple(findings), routes=taken)


def _routes(
    job: Job,
    source: Source,
    target: Target,
    ledger: Ledger | None,
    settings: RunSettings,
    findings: list[Finding],
) -> Routes | None:
    if not target.traits.canary or "no_canary" in settings.force:
        return Routes(source.traits, target.traits)
    verdicts = ledger.verdicts(job.target.endpoint) if ledger is not None else []
    if not verdicts:
        text = f"{job.target.endpoint} was not asked yet what it takes"
        findings.append(Finding("note", text, "run `migrator check`", "no_canary"))
        return None
    return Routes(source.traits, target.traits, verdicts)


def _left_out(folder: Folder, place: Place, reason: SkipReason) -> FolderSurvey:
    return FolderSurvey(
        folder.path,
        folder.kind,
        place.path,
        place.role,
        place.notes,
        reason,
        items=folder.total or 0,
        octets=folder.size or 0,
    )


def _look_through(
    job: Job, folder: Folder, place: Place, source: Source, ledger: Ledger | None, rules: Rules
) -> FolderSurvey:
    count = _Count()
    after: Checkpoint | None = None
    while True:
        page = source.page(folder, after)
        if not page.last and not page.refs and page.checkpoint == after:
            raise JobError("the source's listing of a folder does not go on", code="no_progress")
        after = page.checkpoint
        refs = [ref for ref in page.refs if not ref.gone]
        entries = ledger.entries(job.id, refs) if ledger is not None and refs else {}
        chosen = decide(refs, entries, rules)
        for ref in refs:
            count.add(ref)
        for entry in entries.values():
            if entry.state in (State.COPIED, State.PRESENT):
                count.known += 1
            elif entry.state is State.SKIPPED and entry.reason is not None:
                count.skipped[entry.reason] += 1
        for outcome in chosen.skipped:
            before = entries.get(outcome.ref.id)
            if before is not None and before.state is State.SKIPPED and before.reason is not None:
                count.skipped[before.reason] -= 1
            if outcome.reason is not None:
                count.skipped[outcome.reason] += 1
        for send in chosen.send:
            before = entries.get(send.ref.id)
            if before is not None and before.state is State.SKIPPED and before.reason is not None:
                count.skipped[before.reason] -= 1
            if send.replaces is None:
                count.to_copy += 1
                count.octets_to_copy += send.ref.size or 0
            else:
                count.to_update += 1
        if page.last:
            break
    return FolderSurvey(
        folder.path,
        folder.kind,
        place.path,
        place.role,
        place.notes,
        None,
        count.items,
        count.octets,
        count.largest,
        count.unsized,
        dict(count.kinds),
        count.oldest,
        count.newest,
        count.known,
        count.to_copy,
        count.octets_to_copy,
        count.to_update,
        {reason: items for reason, items in count.skipped.items() if items > 0},
    )


class _Count:
    def __init__(self) -> None:
        self.items = self.octets = self.largest = self.unsized = 0
        self.known = self.to_copy = self.octets_to_copy = self.to_update = 0
        self.kinds: Counter[Kind] = Counter()
        self.skipped: Counter[SkipReason] = Counter()
        self.oldest: datetime | None = None
        self.newest: datetime | None = None

    def add(self, ref: ItemRef) -> None:
        self.items += 1
        self.kinds[ref.kind] += 1
        if ref.size is None:
            self.unsized += 1
        else:
            self.octets += ref.size
            self.largest = max(self.largest, ref.size)
        if ref.received is not None:
            self.oldest = ref.received if self.oldest is None else min(self.oldest, ref.received)
            self.newest = ref.received if self.newest is None else max(self.newest, ref.received)


def totals(surveys: Sequence[MailboxSurvey]) -> Counter[SkipReason]:
    """Items that would be skipped, over all mailboxes."""
    found: Counter[SkipReason] = Counter()
    for survey in surveys:
        for folder in survey.folders:
            found.update(folder.skipped)
    return found
