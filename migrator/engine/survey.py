"""What a run would do, found out by reading alone: for `plan` and `run --dry-run`. Nothing is written to any target.

Lists every folder that takes part from its beginning, so the numbers are those of the source now, not of the last run.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import UTC, datetime
from typing import Any

from migrator.engine.decide import Rules, decide
from migrator.engine.job import refuse_blockers, words_of
from migrator.engine.routes import Route, Routes
from migrator.engine.tools import MapFolders, error_of
from migrator.errors import JobError, MigratorError, Transient
from migrator.interfaces import Finding, Source, Standing, Target
from migrator.ledger import Ledger
from migrator.model import Checkpoint, Folder, FolderPath, ItemRef, Job, Kind, Role, SkipReason, State
from migrator.plan.difference import FolderGlance, Glance
from migrator.plan.filters import decide_folder, roles_of
from migrator.plan.folders import Place
from migrator.plan.planfile import AGE_BOUNDS, SIZE_BOUNDS, BinCount, Bins
from migrator.record import record
from migrator.settings import RunSettings

log = logging.getLogger(__name__)


@record
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
    role: Role | None = None
    classes: Mapping[str, int] = field(default_factory=dict)
    sizes: Bins = field(default_factory=lambda: Bins.empty(SIZE_BOUNDS))
    sizes_to_copy: Bins = field(default_factory=lambda: Bins.empty(SIZE_BOUNDS))
    ages_to_copy: Bins = field(default_factory=lambda: Bins.empty(AGE_BOUNDS))
    oversize: int = 0  # to copy, and above what the target receives
    octets_oversize: int = 0
    target_items: int | None = (
        None  # in the folder that it goes to; None where there is none yet, or it does not tell
    )
    listed_items: int | None = None  # by the folder list alone
    listed_octets: int | None = None
    state: str = ""  # of all items with their versions, in any order
    place: Place | None = None


@record
class MailboxSurvey:
    """error, code and remedy when the mailbox could not be looked through; folders then holds what was seen before."""

    job: Job
    folders: tuple[FolderSurvey, ...] = ()
    findings: tuple[Finding, ...] = ()
    error: str = ""
    code: str = ""
    remedy: str = ""
    routes: tuple[Route, ...] = ()  # of the kinds that were seen; none where the target was never asked
    standing: Standing | None = None
    target_items: int | None = None  # in all folders of the target together
    source_product: str = ""
    target_product: str = ""
    source_identity: str = ""
    target_identity: str = ""

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
    *,
    now: datetime | None = None,
) -> MailboxSurvey:
    """Look through one mailbox pair. target: read only. ledger None: there is none yet. now: from which age is counted."""
    folders: list[FolderSurvey] = []
    findings: list[Finding] = []
    routes: Routes | None = None
    told: dict[str, Any] = {}
    moment = now or datetime.now(UTC)
    try:
        for side, box in (("source", source), ("target", target)):
            probe = box.probe()
            told[f"{side}_product"], told[f"{side}_identity"] = probe.product, probe.identity
            findings += probe.findings
            refuse_blockers(side, probe)
        standing = told["standing"] = _standing(target)
        routes = _routes(job, source, target, ledger, settings, findings)
        kinds = target.traits.kinds if routes is None else routes.kinds()
        rules = Rules(settings, kinds, target.traits.can_update)
        listed = source.folders()
        theirs = target.folders()
        totals = [folder.total for folder in theirs if folder.total is not None and not folder.search]
        told["target_items"] = sum(totals) if totals else None
        there = _There(theirs)
        places = map_folders(listed, theirs)
        roles = roles_of(listed)
        for folder in listed:
            reason = decide_folder(folder, settings, roles)
            folders.append(
                _left_out(folder, places[folder.id], reason)
                if reason is not None
                else _look_through(
                    job,
                    folder,
                    places[folder.id],
                    source,
                    ledger,
                    rules,
                    _Count(moment, standing.receive_octets),
                    there.items(places[folder.id]),
                )
            )
    except Exception as error:
        if not isinstance(error, MigratorError):
            log.exception("job %s could not be surveyed", job.id)
        known = error if isinstance(error, MigratorError) else error_of(error)
        return MailboxSurvey(
            job, tuple(folders), tuple(findings), words_of(known), known.code, known.remedy, **told
        )
    seen = {kind for folder in folders for kind in folder.kinds}
    taken = () if routes is None else tuple(routes.of(kind) for kind in Kind if kind in seen)
    return MailboxSurvey(job, tuple(folders), tuple(findings), routes=taken, **told)


def _standing(target: Target) -> Standing:
    try:
        return target.standing()
    except Transient as error:  # a plan without these figures is better than none
        why = f"could not be asked: {words_of(error)}"
        return Standing(quota_why=why, licence_why=why)


def glance(job: Job, source: Source) -> Glance:
    """What the folder list of a source tells, in two or three calls."""
    refuse = source.probe()
    refuse_blockers("source", refuse)
    listed = [
        FolderGlance(folder.path, folder.total, folder.size)
        for folder in source.folders()
        if not folder.search
    ]
    return Glance(job.id, tuple(listed), refuse.identity)


class _There:
    """The target's folders, found by the place that a source folder goes to."""

    def __init__(self, folders: Iterable[Folder]) -> None:
        self._roles = {folder.role: folder.path for folder in folders if folder.role is not None}
        self._folders = {_flat(folder.path): folder for folder in folders}

    def items(self, place: Place) -> int | None:
        if place.role is not None and place.role not in self._roles:
            return None
        base = self._roles[place.role] if place.role is not None else ()
        folder = self._folders.get(_flat((*base, *place.path)))
        return folder.total if folder is not None else None


def _flat(path: FolderPath) -> FolderPath:
    return tuple(name.casefold() for name in path)


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
        role=folder.role,
        listed_items=folder.total,
        listed_octets=folder.size,
        place=place,
    )


def _look_through(
    job: Job,
    folder: Folder,
    place: Place,
    source: Source,
    ledger: Ledger | None,
    rules: Rules,
    count: _Count,
    target_items: int | None,
) -> FolderSurvey:
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
                count.copy(send.ref)
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
        folder.role,
        dict(count.classes),
        count.sizes.bins(),
        count.sizes_to_copy.bins(),
        count.ages_to_copy.bins(),
        count.oversize,
        count.octets_oversize,
        target_items,
        folder.total,
        folder.size,
        f"{count.items:x}-{count.state:016x}",
        place,
    )


class _Count:
    """now: from which age is counted. most: octets that the target receives, None for no limit that is known."""

    def __init__(self, now: datetime, most: int | None) -> None:
        self._now = now.timestamp()
        self._most = most
        self.state = 0
        self.oversize = self.octets_oversize = 0
        self.classes: Counter[str] = Counter()
        self.sizes = BinCount(SIZE_BOUNDS)
        self.sizes_to_copy = BinCount(SIZE_BOUNDS)
        self.ages_to_copy = BinCount(AGE_BOUNDS)
        self.items = self.octets = self.largest = self.unsized = 0
        self.known = self.to_copy = self.octets_to_copy = self.to_update = 0
        self.kinds: Counter[Kind] = Counter()
        self.skipped: Counter[SkipReason] = Counter()
        self.oldest: datetime | None = None
        self.newest: datetime | None = None

    def add(self, ref: ItemRef) -> None:
        self.items += 1
        self.kinds[ref.kind] += 1
        self.classes[ref.item_class] += 1
        # A sum, because listings come in any order; a server's order is not part of the mailbox's state.
        told = f"{ref.id}\0{ref.version}".encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(told, digest_size=8).digest()
        self.state = (self.state + int.from_bytes(digest, "big")) & 0xFFFFFFFFFFFFFFFF
        if ref.size is None:
            self.unsized += 1
        else:
            self.octets += ref.size
            self.sizes.add(ref.size, ref.size)
            self.largest = max(self.largest, ref.size)
        if ref.received is not None:
            self.oldest = ref.received if self.oldest is None else min(self.oldest, ref.received)
            self.newest = ref.received if self.newest is None else max(self.newest, ref.received)

    def copy(self, ref: ItemRef) -> None:
        size = ref.size or 0
        self.to_copy += 1
        self.octets_to_copy += size
        if ref.size is not None:
            self.sizes_to_copy.add(size, size)
            if self._most is not None and size > self._most:
                self.oversize += 1
                self.octets_oversize += size
        moment = ref.received or ref.sent
        if moment is not None:
            self.ages_to_copy.add((self._now - moment.timestamp()) / 86_400, size)


def totals(surveys: Sequence[MailboxSurvey]) -> Counter[SkipReason]:
    """Items that would be skipped, over all mailboxes."""
    found: Counter[SkipReason] = Counter()
    for survey in surveys:
        for folder in survey.folders:
            found.update(folder.skipped)
    return found
