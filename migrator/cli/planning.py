"""plan.json on the command line: made from a survey, and read back to be executed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from migrator.errors import UserError
from migrator.plan.planfile import FILE_NAME, PlanFile, PlannedManifest, read_plan
from migrator.record import record

if TYPE_CHECKING:
    from migrator.cli.loading import Loaded
    from migrator.engine.survey import MailboxSurvey
    from migrator.model import Job
    from migrator.plan.difference import Change
    from migrator.settings import RunSettings

TOLD_MOST = 20
"""Differences told one by one."""


def plan_made(
    loaded: Loaded, settings: RunSettings, surveys: Sequence[MailboxSurvey], *, made: datetime | None = None
) -> PlanFile:
    """The document of a survey of these jobs."""
    from migrator import __version__
    from migrator.engine.planned import plan_of

    read = loaded.manifest
    try:
        digest = hashlib.sha256(loaded.project.manifest.read_bytes()).hexdigest()
    except OSError:
        digest = ""  # it was there a moment ago; what it said is in the rows
    manifest = PlannedManifest(
        file=read.name,
        dialect=read.dialect.name,
        encoding=read.encoding,
        delimiter=read.delimiter,
        rows=len(loaded.plan.jobs),
        digest=digest,
        notes=loaded.plan.notes,
    )
    return plan_of(
        surveys,
        made=made or datetime.now(UTC).replace(microsecond=0),
        program=__version__,
        settings=settings,
        rules=loaded.project.folders,
        endpoints=loaded.project.endpoints,
        manifest=manifest,
        whole=len(surveys) == len(loaded.jobs),
    )


def where_to(loaded: Loaded, out: Path | None) -> Path:
    return out if out is not None else loaded.project.folder / FILE_NAME


@record
class Ordered:
    """A plan to be executed. loaded: with the plan's rows, settings and folder rules in the place of the project's.

    manifest_jobs: all rows of the manifest as they are now, None where there is no manifest any more.
    now: the project as its file says.
    """

    plan: PlanFile
    loaded: Loaded
    now: Loaded
    manifest_jobs: tuple[Job, ...] | None


def project_of(plan: Path, project: Path) -> Path:
    """The project folder: the one that was named, else this one, else the one where the plan lies."""
    from migrator.plan.project import FILE_NAME as PROJECT_FILE

    here = project == Path() and not (project / PROJECT_FILE).exists()
    return plan.parent if here and (plan.parent / PROJECT_FILE).exists() else project


def ordered(
    file: Path,
    project: Path,
    *,
    only: Sequence[str] = (),
    batches: Sequence[str] = (),
    allow: Sequence[str] = (),
    passwords: bool = False,
    passname: str | None = None,
) -> Ordered:
    """Read a plan and the project that it belongs to. Raises UserError with what is wrong with either.

    Rows that the manifest does not have any more are left out: who took one out does not want it run.
    """
    from migrator.cli.loading import Loaded, load, split_words
    from migrator.plan.dialects import OWN
    from migrator.plan.folders import FolderRules
    from migrator.plan.manifest import Manifest
    from migrator.plan.planner import Plan, choose
    from migrator.plan.project import load_project

    plan = read_plan(file)
    if passname is not None and passname != plan.settings.passname:
        raise UserError(
            f"{file.name} was made for the pass {plan.settings.passname}, not for {passname}",
            code="plan_pass",
            remedy=f"make another: migrator plan --pass {passname} --out plan-{passname}.json",
        )
    where = project_of(file, project)
    try:
        now = load(where, allow=allow, passwords=passwords)
        jobs: tuple[Job, ...] | None = now.plan.jobs
    except UserError as error:
        if error.code != "manifest_missing":
            raise
        bare = load_project(where)
        now = Loaded(bare, Manifest(bare.manifest.name, OWN, "", "", ()), Plan(()), ())
        jobs = None
    current = None if jobs is None else {job.id: job for job in jobs}
    kept = [job for mailbox in plan.mailboxes if (job := _with_passwords(mailbox.job(), current)) is not None]
    if not kept:
        raise UserError(
            f"{file.name} has no row that the manifest still has",
            code="plan_empty",
            remedy="make a new one with `migrator plan`",
        )
    chosen = choose(kept, only=split_words(only), batches=split_words(batches))
    rules = FolderRules(plan.under, dict(plan.rename))
    settings = replace(plan.settings, dry_run=False)
    ours = replace(now.project, run=settings, passes={}, folders=rules)
    loaded = Loaded(ours, now.manifest, Plan(tuple(kept), notes=now.plan.notes), tuple(chosen))
    return Ordered(plan, loaded, now, jobs)


def _with_passwords(job: Job, current: dict[str, Job] | None) -> Job | None:
    """The plan's row, or None when the manifest does not have it any more. A password of the manifest is named by its
    line, and lines move: it is taken from where the row stands now."""
    if current is None:
        return job
    now = current.get(job.id)
    if now is None:
        return None
    if job.source.secret.startswith("csv:"):
        job = replace(job, source=replace(job.source, secret=now.source.secret))
    if job.target.secret.startswith("csv:"):
        job = replace(job, target=replace(job.target, secret=now.target.secret))
    return job


def differences(order: Ordered, settings: RunSettings, glances: Sequence[object]) -> list[Change]:
    """settings: of this run as the project file gives them now."""
    from migrator.plan.difference import Glance, changes

    chosen = {job.id for job in order.loaded.jobs}
    looked = {one.job: one for one in glances if isinstance(one, Glance) and one.job in chosen}
    return changes(order.plan, order.manifest_jobs, settings, order.now.project.folders, looked)


def difference_lines(found: Sequence[Change], plan: PlanFile) -> list[str]:
    """For a person, at most TOLD_MOST of them."""
    if not found:
        return [f"nothing has changed since the plan was made ({plan.made:%Y-%m-%d %H:%M} UTC)"]
    many = "1 difference" if len(found) == 1 else f"{len(found):,} differences"
    lines = [f"{many} since the plan was made ({plan.made:%Y-%m-%d %H:%M} UTC):"]
    lines += [f"  {one}" for one in found[:TOLD_MOST]]
    if len(found) > TOLD_MOST:
        lines.append(f"  and {len(found) - TOLD_MOST:,} more, see migrator.log")
    return lines
