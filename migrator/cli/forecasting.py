"""What a forecast stands on: sizes from a plan, a survey, the manifest or the command line; speeds from a probe."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from migrator.errors import UserError
from migrator.record import record

if TYPE_CHECKING:
    from migrator.forecast.loads import MailboxLoad
    from migrator.forecast.outlook import Outlook
    from migrator.forecast.speeds import Speeds
    from migrator.model import Job
    from migrator.plan.planfile import PlanFile, PlannedMailbox
    from migrator.plan.project import Project
    from migrator.settings import RunSettings


@record
class Ground:
    """notes: where sizes and speeds come from, for a person. open: mailboxes that could not be looked through."""

    project: Project
    loads: Sequence[MailboxLoad]
    notes: tuple[str, ...]
    speeds: Mapping[tuple[str, str], Speeds] = field(default_factory=dict)
    open: bool = False


def from_figures(where: Path, mailboxes: int | None, size: str | None, items: int | None) -> Ground:
    """So many mailboxes of this size. The project's endpoints and settings count where there is a project."""
    from migrator.forecast.loads import parse_size, plain
    from migrator.model import Job, Mailbox
    from migrator.plan.project import FILE_NAME, Project, load_project
    from migrator.settings import Endpoint

    problems = []
    octets = 0
    if mailboxes is None or mailboxes < 1:
        problems.append("--mailboxes: say how many, at least 1")
    if size is None:
        problems.append("--size: say how large one is: 4GB")
    else:
        try:
            octets = parse_size(size)
        except ValueError as error:
            problems.append(f"--size: {error}")
    if items is not None and items < 1:
        problems.append("--items: at least 1")
    if problems:
        raise UserError("the figures are not complete", problems=problems, code="figures")
    there = where.is_file() or (where / FILE_NAME).exists()
    if there:
        project = load_project(where)
    else:
        ends = {"source": Endpoint("source", "ews"), "target": Endpoint("target", "graph")}
        folder = where.absolute()
        project = Project(
            folder, folder / FILE_NAME, folder / "mailboxes.csv", folder / "ledger.sqlite", ends
        )
    names = list(project.endpoints)
    source = project.defaults.source or names[0]
    target = project.defaults.target or names[-1]
    loads = [
        plain(
            Job(f"mailbox-{n}", n, Mailbox(source, f"mailbox {n}"), Mailbox(target, f"mailbox {n}")),
            octets=octets,
            items=items,
        )
        for n in range(1, (mailboxes or 0) + 1)
    ]
    return Ground(project, loads, ("sizes: as given; nobody was asked", "speeds: assumed, nobody was asked"))


def from_project(
    plan: Path | None,
    where: Path,
    *,
    only: Sequence[str],
    batches: Sequence[str],
    passname: str | None,
    size_column: str | None,
    items_column: str | None,
    probe: bool,
    allow: Sequence[str],
    passwords: bool,
) -> Ground:
    """Sizes from columns of the manifest, else from a plan, else from a survey that is made now."""
    from migrator.cli.loading import load, settings_of
    from migrator.cli.planning import ordered, project_of
    from migrator.forecast.loads import from_columns, load_of
    from migrator.plan.planfile import FILE_NAME, read_plan

    now = datetime.now(UTC)
    file = plan
    if file is None and size_column is None:
        usual = (where if where.is_dir() else where.parent) / FILE_NAME
        # A plan for another pass is about other items.
        if usual.exists() and passname in (None, read_plan(usual).settings.passname):
            file = usual
    if file is not None:
        order = ordered(
            file, where, only=only, batches=batches, allow=allow, passwords=passwords, passname=passname
        )
        project, jobs = order.loaded.project, order.loaded.jobs
        wanted = {job.id for job in jobs}
        boxes = [one for one in order.plan.mailboxes if one.id in wanted]
        note = f"sizes: {file.name}, made {order.plan.made:%Y-%m-%d %H:%M} UTC"
        loads = [load_of(one, now) for one in boxes]
    else:
        loaded = load(project_of(Path(), where), only=only, batches=batches, allow=allow, passwords=passwords)
        project, jobs = loaded.project, loaded.jobs
        if size_column is not None:
            try:
                loads = [
                    from_columns(job, job.extra, size=size_column, items=items_column or "") for job in jobs
                ]
            except ValueError as error:
                raise UserError(
                    "a size in the manifest is wrong", problems=[str(error)], code="figures"
                ) from None
            if all(load.unknown for load in loads):
                raise UserError(
                    f"no row of the manifest has a column {size_column!r}",
                    problems=[
                        f"columns that are there: {', '.join(sorted({k for job in jobs for k in job.extra}))}"
                    ],
                    code="figures",
                )
            note = f"sizes: column {size_column} of {loaded.manifest.name}"
        else:
            settings = settings_of(project, passname=passname)
            loads = [load_of(one, now) for one in _surveyed(project, jobs, settings)]
            note = "sizes: counted now, item by item; `migrator plan` keeps them in plan.json"
    speeds, words = _sounded(project, jobs) if probe else ({}, ("speeds: assumed (--no-probe)",))
    return Ground(project, loads, (note, *words), speeds, any(load.unknown for load in loads))


def _surveyed(project: Project, jobs: Sequence[Job], settings: RunSettings) -> list[PlannedMailbox]:
    from migrator import assembly
    from migrator.cli.console import CountView
    from migrator.cli.loading import interactive
    from migrator.cli.logs import logging_to
    from migrator.cli.signals import stops
    from migrator.engine.planned import planned
    from migrator.engine.stop import Stop

    stop = Stop()
    view = CountView("looking through mailboxes", len(jobs))
    with logging_to(project.folder), stops(stop), view:
        surveys = assembly.survey(project, jobs, settings, view.emit, stop, interactive=interactive())
    if stop.requested:
        raise UserError("interrupted: nothing was forecast", code="interrupted")
    return [planned(survey) for survey in surveys]


def _sounded(project: Project, jobs: Sequence[Job]) -> tuple[dict[tuple[str, str], Speeds], tuple[str, ...]]:
    from migrator.cli.console import CountView
    from migrator.cli.loading import interactive
    from migrator.cli.logs import logging_to
    from migrator.cli.signals import stops
    from migrator.cli.sounding import sound_out
    from migrator.engine.stop import Stop
    from migrator.forecast.speeds import Speeds, measured

    stop = Stop()
    view = CountView("timing a few reads", len(jobs), sys.stderr)
    with logging_to(project.folder), stops(stop), view:
        found = sound_out(project, jobs, view.emit, stop, interactive=interactive())
    speeds = {pair: measured(Speeds(), soundings) for pair, soundings in found.items()}
    words = tuple(
        f"speeds: {source} → {target}: {', '.join(one.measured)}" for (source, target), one in speeds.items()
    )
    return speeds, words or ("speeds: assumed, no probe was possible",)


def of_plan(plan: PlanFile) -> Outlook | None:
    """For the columns of `plan`, as if it were run now: with assumed speeds, as plan times nothing. None where nothing is
    to be copied, or its hours have passed."""
    from migrator.forecast.loads import load_of
    from migrator.forecast.outlook import Terms, forecast

    now = datetime.now(UTC)
    loads = [load_of(mailbox, now) for mailbox in plan.mailboxes]
    if not any(load.items for load in loads):
        return None
    limits = {endpoint.name: endpoint.limits for endpoint in plan.endpoints}
    try:
        return forecast(loads, Terms(now.timestamp(), replace(plan.settings, dry_run=False), limits))
    except ValueError:
        return None
