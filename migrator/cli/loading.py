"""Project file and manifest, read and turned into jobs: what most commands begin with."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from migrator.errors import UserError
from migrator.ledger import Ledger
from migrator.model import Job
from migrator.plan.filters import parse_date, pattern_problem
from migrator.plan.hours import deadline_of, hours_of, parse_duration_s, parse_rate
from migrator.plan.manifest import Manifest, read_manifest
from migrator.plan.planner import Plan, choose, make_plan
from migrator.plan.project import FORCES, Project, did_you_mean, load_project
from migrator.record import record
from migrator.settings import RunSettings


@record
class Loaded:
    """project: with the passwords of the manifest. jobs: those chosen. plan: all rows."""

    project: Project
    manifest: Manifest
    plan: Plan
    jobs: tuple[Job, ...]


def load(
    where: Path,
    *,
    only: Sequence[str] = (),
    batches: Sequence[str] = (),
    allow: Sequence[str] = (),
    passwords: bool = False,
) -> Loaded:
    """Raises UserError with every fault of the file that is wrong."""
    from migrator.auth import redact

    project = load_project(where)
    manifest = read_manifest(project.manifest, dialect=project.dialect, passwords=passwords)
    for value in manifest.secrets.values():
        redact.known(value)
    plan = make_plan(project, manifest, allow=split_words(allow))
    jobs = choose(plan.jobs, only=split_words(only), batches=split_words(batches))
    return Loaded(replace(project, row_secrets=manifest.secrets), manifest, plan, tuple(jobs))


def settings_of(
    project: Project,
    *,
    passname: str | None = None,
    since: str | None = None,
    until: str | None = None,
    folders: Sequence[str] = (),
    exclude: Sequence[str] = (),
    force: Sequence[str] = (),
    quiet_hours: Sequence[str] = (),
    max_rate: str | None = None,
    wait_for_source: str | None = None,
    **given: Any,
) -> RunSettings:
    """The project's settings with what the command line says. Raises UserError with every option that is wrong."""
    problems = []
    now = datetime.now(UTC)
    for name, text in (("since", since), ("until", until)):
        if text is not None:
            try:
                given[name] = parse_date(text, now=now)
            except ValueError as error:
                problems.append(f"--{name}: {error}")
    problems += [
        f"--{option} {problem}"
        for option, patterns in (("folder", folders), ("exclude-folder", exclude))
        for pattern in patterns
        if (problem := pattern_problem(pattern))
    ]
    for name, text, read in (
        ("max_rate_octets_s", max_rate, parse_rate),
        ("wait_for_source_s", wait_for_source, parse_duration_s),
    ):
        if text is not None:
            try:
                given[name] = read(text)
            except ValueError as error:
                problems.append(
                    f"--{name.rpartition('_')[0].removesuffix('_octets').replace('_', '-')}: {error}"
                )
    forces = split_words(force)
    problems += [
        f"--force {name}: there is no such stop{did_you_mean(name, FORCES)} ({', '.join(FORCES)})"
        for name in forces
        if name.replace("-", "_") not in FORCES
    ]
    if problems:
        raise UserError(
            "an option is wrong" if len(problems) == 1 else "options are wrong", problems=problems
        )
    if folders:
        given["include_folders"] = tuple(folders)
    if exclude:
        given["exclude_folders"] = (*project.settings(passname).exclude_folders, *exclude)
    if forces:
        named = {name.replace("-", "_") for name in forces}
        given["force"] = project.settings(passname).force | named
    if quiet_hours:
        given["quiet_hours"] = tuple(quiet_hours)
    settings = project.settings(passname, **given)
    try:
        hours_of(
            not_before=settings.not_before,
            stop_at=settings.stop_at,
            quiet_hours=settings.quiet_hours,
            time_zone=settings.time_zone,
            now=now,
        )
        deadline_of(settings.deadline, settings.time_zone, now)
    except ValueError as error:
        raise UserError("the hours to work in are wrong", problems=[str(error)]) from None
    if settings.since and settings.until and settings.since >= settings.until:
        raise UserError("--since is not before --until", remedy="nothing lies between them")
    return settings


def interactive() -> bool:
    """Is there a person who can be asked (to sign in with a code)?"""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def open_ledger(project: Project, *, read_only: bool = True) -> Ledger:
    """The project's ledger, to read. Raises UserError when there is none yet."""
    from migrator.engine.stop import SystemClock

    if read_only and not project.ledger.exists():
        raise UserError(
            f"there is no ledger yet: {project.ledger}",
            code="ledger_missing",
            remedy="`migrator run` makes it",
        )
    return Ledger.open(project.ledger, clock=SystemClock(), read_only=read_only)


def split_words(words: Sequence[str]) -> list[str]:
    """Options may be given again and again, or once with commas."""
    return [part.strip() for word in words for part in word.split(",") if part.strip()]
