"""What a survey found out, as the document that is written down (`plan.planfile`), with the findings that follow from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from migrator.engine.routes import Route
from migrator.engine.survey import FolderSurvey, MailboxSurvey
from migrator.interfaces import Standing
from migrator.model import Kind, SkipReason
from migrator.plan.difference import row_state
from migrator.plan.folders import FolderRules
from migrator.plan.paths import loses
from migrator.plan.planfile import (
    AGE_BOUNDS,
    CLASSES_MOST,
    OTHER_CLASSES,
    SIZE_BOUNDS,
    Collision,
    Licence,
    Oversize,
    PlanFile,
    PlannedEndpoint,
    PlannedFinding,
    PlannedFolder,
    PlannedMailbox,
    PlannedManifest,
    PlannedPath,
    Quota,
    added,
    cleaned,
    cleaned_path,
)
from migrator.plan.remedies import remedy_of
from migrator.settings import Endpoint, RunSettings

ROOM = 1.1
"""What a mailbox weighs more in the target than the items' own sizes: indexes, folders, what is made anew."""
FOLDER_MOST = 1_000_000  # items a folder holds (Exchange Online limits)


def plan_of(
    surveys: Sequence[MailboxSurvey],
    *,
    made: datetime,
    program: str,
    settings: RunSettings,
    rules: FolderRules,
    endpoints: Mapping[str, Endpoint],
    manifest: PlannedManifest,
    whole: bool = True,
) -> PlanFile:
    """whole: every mailbox that was asked for was looked at."""
    used = {name for one in surveys for name in (one.job.source.endpoint, one.job.target.endpoint)}
    boxes = [planned(survey) for survey in surveys]
    return PlanFile(
        made=made,
        program=program,
        whole=whole,
        manifest=manifest,
        settings=settings,
        under=rules.under,
        rename=tuple(rules.rename.items()),
        endpoints=tuple(
            PlannedEndpoint(name, endpoint.kind, endpoint.limits)
            for name, endpoint in endpoints.items()
            if name in used
        ),
        mailboxes=tuple(_shared_targets(boxes)),
    )


def planned(survey: MailboxSurvey) -> PlannedMailbox:
    """One mailbox of the plan."""
    job = survey.job
    taken = [folder for folder in survey.folders if folder.folder_skipped is None]
    standing = survey.standing
    oversize = _oversize(taken, standing)
    to_copy = sum(folder.octets_to_copy for folder in taken)
    quota = _quota(to_copy, standing)
    licence = (
        Licence(standing.licence, standing.licence_why, standing.licence_remedy)
        if standing is not None
        else Licence(why="the target was not opened")
    )
    kinds: Counter[Kind] = Counter()
    skipped: Counter[SkipReason] = Counter()
    classes: Counter[str] = Counter()
    for folder in taken:
        kinds.update(folder.kinds)
        skipped.update(folder.skipped)
        classes.update({cleaned(name): count for name, count in folder.classes.items()})
    for folder in survey.folders:
        if folder.folder_skipped is not None and folder.folder_skipped is not SkipReason.SEARCH_FOLDER:
            skipped[folder.folder_skipped] += folder.items
    oldest = [folder.oldest for folder in taken if folder.oldest is not None]
    newest = [folder.newest for folder in taken if folder.newest is not None]
    found = [
        PlannedFinding(one.level, cleaned(one.text), one.remedy or _cure(one.level, one.code), one.code)
        for one in survey.findings
    ]
    found += _warnings(survey, taken, oversize, quota, licence)
    return PlannedMailbox(
        id=job.id,
        line=job.line,
        source=job.source,
        target=job.target,
        batch=job.batch,
        extra={cleaned(name): cleaned(value) for name, value in job.extra.items()},
        source_product=cleaned(survey.source_product),
        target_product=cleaned(survey.target_product),
        source_identity=cleaned(survey.source_identity),
        target_identity=cleaned(survey.target_identity),
        items=survey.items,
        octets=survey.octets,
        largest=max((folder.largest for folder in taken), default=0),
        unsized=sum(folder.unsized for folder in taken),
        oldest=min(oldest, default=None),
        newest=max(newest, default=None),
        kinds=dict(kinds),
        classes=_most(classes),
        sizes=added((folder.sizes for folder in taken), SIZE_BOUNDS),
        to_copy=survey.to_copy,
        octets_to_copy=to_copy,
        to_update=sum(folder.to_update for folder in taken),
        known=sum(folder.known for folder in taken),
        sizes_to_copy=added((folder.sizes_to_copy for folder in taken), SIZE_BOUNDS),
        ages_to_copy=added((folder.ages_to_copy for folder in taken), AGE_BOUNDS),
        skipped={reason: count for reason, count in skipped.items() if count},
        unsupported=_unsupported(survey.routes, taken),
        target_items=survey.target_items,
        oversize=oversize,
        quota=quota,
        licence=licence,
        collisions=tuple(_collisions(survey.folders)),
        paths=tuple(
            PlannedPath(
                one.kind,
                one.path.value if one.path else None,
                loses(one.path.value, one.kind) if one.path else "",
                one.why,
            )
            for one in survey.routes
        ),
        findings=tuple(found),
        error=cleaned(survey.error),
        code=survey.code,
        remedy=survey.remedy or (remedy_of(survey.code).todo if survey.error else ""),
        row_state=row_state(job),
        source_state="" if survey.error else _state(taken),
        folders=tuple(_folder(folder) for folder in survey.folders),
    )


def _folder(one: FolderSurvey) -> PlannedFolder:
    return PlannedFolder(
        path=cleaned_path(one.path),
        target_path=cleaned_path(one.target_path),
        kind=one.kind,
        role=one.role,
        target_role=one.target_role,
        left_out=one.folder_skipped,
        items=one.items,
        octets=one.octets,
        largest=one.largest,
        unsized=one.unsized,
        kinds=dict(one.kinds),
        oldest=one.oldest,
        newest=one.newest,
        to_copy=one.to_copy,
        octets_to_copy=one.octets_to_copy,
        to_update=one.to_update,
        known=one.known,
        skipped=dict(one.skipped),
        oversize=one.oversize,
        target_items=one.target_items,
        listed_items=one.listed_items,
        listed_octets=one.listed_octets,
        state=one.state,
        notes=tuple(cleaned(note) for note in one.notes),
    )


def _state(folders: Iterable[FolderSurvey]) -> str:
    import hashlib

    lines = sorted("\0".join((*folder.path, folder.state)) for folder in folders)
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _most(classes: Counter[str]) -> dict[str, int]:
    most = dict(classes.most_common(CLASSES_MOST))
    rest = classes.total() - sum(most.values())
    return {**most, OTHER_CLASSES: rest} if rest else most


def _unsupported(routes: Iterable[Route], folders: Iterable[FolderSurvey]) -> dict[Kind, int]:
    """Items by kind that have no path into the target."""
    closed = {route.kind for route in routes if route.path is None}
    found: Counter[Kind] = Counter()
    for folder in folders:
        found.update({kind: count for kind, count in folder.kinds.items() if kind in closed})
    return dict(found)


def _oversize(folders: Sequence[FolderSurvey], standing: Standing | None) -> Oversize:
    if standing is None or standing.receive_octets is None:
        return Oversize(words="the target does not tell the largest item that it takes")
    words = {
        "endpoint": "by option max_item_octets of the endpoint",
        "service": "as the target tells",
        "default": "the service's default; what is set for this mailbox is not told by any call",
    }.get(standing.receive_by, "")
    return Oversize(
        standing.receive_octets,
        standing.receive_by,
        sum(folder.oversize for folder in folders),
        sum(folder.octets_oversize for folder in folders),
        words,
    )


def _quota(to_copy: int, standing: Standing | None) -> Quota:
    if standing is None:
        return Quota(why="the target was not opened")
    most, used = standing.quota_octets, standing.used_octets
    enough = None if most is None or used is None else used + to_copy * ROOM <= most
    return Quota(most, used, standing.as_of, enough, standing.quota_why, standing.quota_remedy)


def _collisions(folders: Iterable[FolderSurvey]) -> Iterable[Collision]:
    for one in folders:
        if one.place is not None and one.place.clash is not None and one.folder_skipped is None:
            clash = one.place.clash
            other = cleaned_path(clash.other) if clash.other is not None else None
            yield Collision(cleaned_path(one.path), other, cleaned_path(one.target_path), clash.why)


def _warnings(
    survey: MailboxSurvey, folders: Sequence[FolderSurvey], oversize: Oversize, quota: Quota, licence: Licence
) -> Iterable[PlannedFinding]:
    """What the numbers mean, for whoever decides whether to begin."""
    if survey.error:
        return
    if oversize.items:
        # Whether they are refused is certain only where the limit is; a warning either way, for nothing else is stopped by it.
        yield _warning(
            "oversize",
            f"{oversize.items:,} items are above what the target receives ({oversize.limit:,} bytes: {oversize.words})",
        )
    if quota.enough is False and quota.most is not None and quota.used is not None:
        yield _warning(
            "quota_short",
            f"there is room for {max(0, quota.most - quota.used):,} bytes in the target ({quota.as_of or 'now'}), and about "
            f"{round(sum(folder.octets_to_copy for folder in folders) * ROOM):,} are to come",
        )
    if licence.state == "none":
        yield PlannedFinding(
            "warning", licence.why, licence.remedy or _cure("warning", "no_licence"), "no_licence"
        )
    for folder in folders:
        if folder.items + (folder.target_items or 0) > FOLDER_MOST:
            yield _warning(
                "folder_full", f"{'/'.join(cleaned_path(folder.path))}: more items than a folder takes"
            )


def _warning(code: str, text: str) -> PlannedFinding:
    return PlannedFinding("warning", text, remedy_of(code).todo, code)


def _cure(level: str, code: str) -> str:
    """Nothing that stands in the way is told without what helps."""
    return remedy_of(code or "blocked").todo if level in ("blocker", "warning") else ""


def _shared_targets(boxes: Sequence[PlannedMailbox]) -> Iterable[PlannedMailbox]:
    """Rows that go into one mailbox: their folders of one name fall together there, which a merge means to do."""
    rows: dict[tuple[str, str], list[int]] = {}
    for box in boxes:
        rows.setdefault((box.target.endpoint, box.target.address.casefold()), []).append(box.line)
    for box in boxes:
        others = [
            line for line in rows[box.target.endpoint, box.target.address.casefold()] if line != box.line
        ]
        if others:
            lines = ", ".join(str(line) for line in others[:5]) + (" …" if len(others) > 5 else "")
            note = PlannedFinding(
                "note",
                f"line {lines} of the manifest goes into the same mailbox: folders of one name are merged",
            )
            box = replace(box, findings=(*box.findings, note))
        yield box
