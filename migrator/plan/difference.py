"""What has changed between the making of a plan and now: rows, settings, and what the folder lists of the sources tell.

Comparing takes a glance at each source (its folder list: folders, items, octets), not a listing of all items. An item that
was changed without a change in number or size is not seen here; the run sees it, because it lists every folder anyway.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields

from migrator.model import FolderPath, Job, SkipReason
from migrator.plan.folders import FolderRules, path_text
from migrator.plan.planfile import PlanFile, PlannedMailbox, cleaned, cleaned_path
from migrator.record import record
from migrator.settings import RunSettings

NOT_COMPARED = frozenset({"dry_run", "retry_failed"})
"""Settings that say how this one run goes about it, not what the plan is."""


@record
class FolderGlance:
    """items, octets: as the folder list tells them, None where it does not."""

    path: FolderPath
    items: int | None
    octets: int | None


@record
class Glance:
    """A source as it is now. error: why it could not be looked at."""

    job: str
    folders: tuple[FolderGlance, ...] = ()
    identity: str = ""
    error: str = ""


@record
class Change:
    """what: "row_new", "row_gone", "row_changed", "settings", "folders", "folder_new", "folder_gone", "items", "octets",
    "identity", "unreadable". line: of the manifest, 0 where it is about all. words: for a person."""

    what: str
    words: str
    line: int = 0
    job: str = ""

    def __str__(self) -> str:
        return f"line {self.line}: {self.words}" if self.line else self.words


def row_state(job: Job) -> str:
    """What a row says, in sixteen characters; its line, and columns that are only kept for reports, do not count."""
    parts = [job.batch]
    for box in (job.source, job.target):
        parts += [box.endpoint, box.address, box.login, _place_free(box.secret)]
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _place_free(secret: str) -> str:
    """A password of the manifest is named by its line there, which may move."""
    return "csv:" if secret.startswith("csv:") else secret


def rows_changed(plan: PlanFile, jobs: Sequence[Job]) -> Iterator[Change]:
    """jobs: of the whole manifest as it is now."""
    now = {job.id: job for job in jobs}
    for mailbox in plan.mailboxes:
        job = now.get(mailbox.id)
        name = mailbox.source.address
        if job is None:
            words = f"{name}: is no longer in the manifest, and is left out"
            yield Change("row_gone", words, mailbox.line, mailbox.id)
        elif row_state(job) != mailbox.row_state:
            what = ", ".join(_row_parts(mailbox, job)) or "its spelling"
            words = f"{name}: the row has changed ({what}); the plan's is used"
            yield Change("row_changed", words, job.line, mailbox.id)
    planned = {mailbox.id for mailbox in plan.mailboxes}
    # A plan for some rows only (--only, --batch) says nothing of the others.
    if plan.whole and len(plan.mailboxes) == plan.manifest.rows:
        for job in jobs:
            if job.id not in planned:
                words = f"{job.source.address}: is new in the manifest and not in the plan, so it is not run"
                yield Change("row_new", words, job.line, job.id)


def _row_parts(mailbox: PlannedMailbox, job: Job) -> Iterator[str]:
    if mailbox.batch != job.batch:
        yield "batch"
    for side, then, now in (("source", mailbox.source, job.source), ("target", mailbox.target, job.target)):
        for name in ("endpoint", "address", "login"):
            if getattr(then, name) != getattr(now, name):
                yield f"{side} {name}"
        if _place_free(then.secret) != _place_free(now.secret):
            yield f"{side} secret's reference"


def settings_changed(plan: PlanFile, settings: RunSettings, rules: FolderRules) -> Iterator[Change]:
    """settings, rules: what the project file says now. The plan's are used."""
    names = []
    for field in fields(RunSettings):
        then, now = getattr(plan.settings, field.name), getattr(settings, field.name)
        if field.name in ("since", "until") and then is not None and now is not None:
            # "90d" is another moment each time it is read; the plan has the day that it was made.
            now = then if abs((now - then).total_seconds()) <= 7 * 86_400 else now
        if then != now and field.name not in NOT_COMPARED:
            names.append(field.name)
    if plan.under != rules.under or dict(plan.rename) != dict(rules.rename):
        names.append("[folders]")
    if names:
        yield Change("settings", f"settings have changed ({', '.join(names)}); the plan's are used")


def source_changed(mailbox: PlannedMailbox, glance: Glance) -> Iterator[Change]:
    """What the folder list tells now against what it told then."""
    name = mailbox.source.address

    def change(what: str, words: str) -> Change:
        return Change(what, f"{name}: {words}", mailbox.line, mailbox.id)

    if glance.error:
        yield change("unreadable", f"could not be looked at: {glance.error}")
        return
    if mailbox.error and not mailbox.folders:
        yield change("folders", "could not be looked at when the plan was made, and can be now")
        return
    if mailbox.source_identity and cleaned(glance.identity) != mailbox.source_identity:
        yield change("identity", "behind this address is another mailbox than when the plan was made")
    then = {
        folder.path: folder for folder in mailbox.folders if folder.left_out is not SkipReason.SEARCH_FOLDER
    }
    # As the plan writes names down: a server's lone surrogate has no place in a file.
    now = {cleaned_path(folder.path): folder for folder in glance.folders}
    new = [path for path in now if path not in then]
    gone = [path for path in then if path not in now]
    if new and not mailbox.error:
        yield change("folder_new", f"{_count(new, 'new folder')}: {_some(new)}")
    if gone:
        yield change("folder_gone", f"{_count(gone, 'folder')} gone: {_some(gone)}")
    items = octets = 0
    moved: list[FolderPath] = []
    for path, one in now.items():
        planned = then.get(path)
        if planned is None or planned.left_out is not None:
            continue
        more = (one.items or 0) - (planned.listed_items or 0)
        larger = (one.octets or 0) - (planned.listed_octets or 0)
        if one.items is None or planned.listed_items is None:
            more = 0
        if one.octets is None or planned.listed_octets is None:
            larger = 0
        if more or larger:
            moved.append(path)
        items += more
        octets += larger
    if moved:
        what = "items" if items else "octets"
        yield change(
            what,
            f"{_signed(items)} items, {_signed(octets)} bytes in {_count(moved, 'folder')}: {_some(moved)}",
        )


def changes(
    plan: PlanFile,
    jobs: Sequence[Job] | None,
    settings: RunSettings,
    rules: FolderRules,
    glances: Mapping[str, Glance] | Iterable[Glance] = (),
) -> list[Change]:
    """Everything that differs, what concerns all first. jobs None: there is no manifest any more."""
    seen = dict(glances) if isinstance(glances, Mapping) else {one.job: one for one in glances}
    found = list(settings_changed(plan, settings, rules))
    if jobs is not None:
        found += rows_changed(plan, jobs)
    for mailbox in plan.mailboxes:
        if mailbox.id in seen:
            found += source_changed(mailbox, seen[mailbox.id])
    return found


def _count(found: Sequence[object], word: str) -> str:
    return f"{len(found):,} {word}" + ("" if len(found) == 1 else "s")


def _some(paths: Sequence[FolderPath], most: int = 3) -> str:
    shown = ", ".join(path_text(path) for path in paths[:most])
    return shown + (f" and {len(paths) - most:,} more" if len(paths) > most else "")


def _signed(count: int) -> str:
    return f"{count:+,}"
