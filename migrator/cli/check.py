"""`migrator check`: everything that can be known before the first item moves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from migrator.cli.options import Allow, Batch, Json, Only, Option, PasswordsInCsv, Project

if TYPE_CHECKING:
    from migrator.assembly import CanaryCheck, CheckResult, JobCheck, SideCheck
    from migrator.cli.loading import Loaded
    from migrator.cli.tables import Cell

UNREACHABLE = frozenset(
    {"sign_in_unreachable", "sign_in_busy", "throttled", "transient", "timeout", "connection_closed"}
)
"""Codes that say nothing against manifest or credentials: the server could not be asked."""


def command(
    project: Project = Path(),
    only: Only = [],  # noqa: B006 - typer reads the default, nobody changes it
    batch: Batch = [],  # noqa: B006
    no_canary: Annotated[bool, Option("--no-canary", help="Write no test item into the target.")] = False,
    allow: Allow = [],  # noqa: B006
    passwords_in_csv: PasswordsInCsv = False,
    as_json: Json = False,
) -> int:
    """Read the CSV, sign in, open every mailbox, and ask the target with a
    small item of each kind (removed again) whether it takes them.

    Example: migrator check -p acme --batch pilot
    """
    from migrator import assembly
    from migrator.cli.console import CountView
    from migrator.cli.loading import interactive, load, settings_of
    from migrator.cli.logs import logging_to
    from migrator.cli.signals import stops
    from migrator.engine.stop import Stop

    loaded = load(project, only=only, batches=batch, allow=allow, passwords=passwords_in_csv)
    settings = settings_of(loaded.project)
    stop = Stop()
    view = CountView("opening mailboxes", len(loaded.jobs))
    with logging_to(loaded.project.folder), stops(stop), view:
        result = assembly.check(
            loaded.project,
            loaded.jobs,
            settings,
            view.emit,
            stop,
            canary=not no_canary,
            interactive=interactive(),
        )
    if as_json:
        print(to_json(loaded, result))
    else:
        show(loaded, result)
    return exit_code(result, stop.requested)


def exit_code(result: CheckResult, stopped: bool) -> int:
    from migrator.cli.exits import Exit

    if stopped:
        return Exit.INTERRUPTED
    if result.ok:
        return Exit.DONE
    codes = {side.code for check in result.jobs for side in (check.source, check.target) if not side.ok}
    codes |= {canary.code for canary in result.canaries if not canary.ok}
    asked = {code for code in codes if code not in UNREACHABLE and not code.startswith("source_")}
    return Exit.WRONG if asked else Exit.MAILBOXES_OPEN


def words_of(side: SideCheck) -> list[tuple[str, str, str]]:
    """(level, text, remedy) of one side; empty when there is nothing to say."""
    from migrator.plan.remedies import remedy_of

    found = [(one.level, one.text, one.remedy) for one in side.findings if one.level != "ok"]
    if side.error:
        found.insert(0, ("blocker", side.error, side.remedy or remedy_of(side.code).todo))
    return found


def show(loaded: Loaded, result: CheckResult) -> None:
    from migrator.cli.plan import manifest_words
    from migrator.cli.tables import cell, console, table

    screen = console()
    screen.print(cell(manifest_words(loaded)))
    for note in loaded.plan.notes:
        screen.print(cell(f"  {note}", "yellow"))
    screen.print()
    grid = table(("mailbox", "line", "", "what"), right=(1,), first_most=max(24, screen.width // 3))
    for check in result.jobs:
        source, target = check.job.source.address, check.job.target.address
        mark = cell("ok", "green") if check.ok else cell("NO", "red")
        grid.add_row(
            cell(source if source == target else f"{source} → {target}"),
            str(check.job.line),
            mark,
            _what(check),
        )
    screen.print(grid)
    for canary in result.canaries:
        screen.print()
        _show_canary(canary)
    for note in result.notes:
        screen.print(cell(note, "yellow"))
    screen.print()
    bad = sum(not check.ok for check in result.jobs)
    if result.ok:
        screen.print(cell("Everything fits. Next: migrator plan, then migrator run", "green"))
    else:
        words = (
            f"{bad} of {len(result.jobs)} rows cannot be migrated yet"
            if bad
            else "the target does not take items yet"
        )
        screen.print(cell(f"{words}: mend what is said above and check again", "red"))


def _what(check: JobCheck) -> list[Cell]:
    """Reason and remedy, a line each; what the mailboxes are where there is nothing to say."""
    from migrator.cli.tables import cell

    styles = {"blocker": "red", "warning": "yellow"}
    lines = []
    for side, one in (("source", check.source), ("target", check.target)):
        for level, text, remedy in words_of(one):
            lines.append(
                cell(f"{side}: {text.removeprefix(f'{one.mailbox.address}: ')}", styles.get(level, ""))
            )
            if remedy:
                lines.append(cell(f"→ {remedy}"))
    return lines or [cell(f"{check.source.product} → {check.target.product}")]


def _show_canary(canary: CanaryCheck) -> None:
    from migrator.cli.tables import cell, console, table
    from migrator.engine.routes import JSON, SYNTHETIC
    from migrator.model import Kind

    screen = console()
    if canary.error:
        screen.print(cell(f"{canary.endpoint}: could not be asked what it takes: {canary.error}", "red"))
        if canary.remedy:
            screen.print(cell(f"  → {canary.remedy}"))
        return
    screen.print(
        cell(f"{canary.endpoint} takes (asked with small items in {canary.address}, removed again):")
    )
    grid = table(("kind", "asked with", "", "remark"))
    for one in sorted(canary.verdicts, key=lambda sung: list(Kind).index(sung.kind)):
        mark = cell("yes", "green") if one.accepted else cell("NO", "red")
        origin = {SYNTHETIC: "a stream made here", JSON: "classic Graph (JSON)"}.get(
            one.origin, f"a stream of {one.origin or 'the source'}"
        )
        grid.add_row(one.kind.value, cell(origin), mark, cell(one.detail))
    screen.print(grid)


def to_json(loaded: Loaded, result: CheckResult) -> str:
    import json

    def side(one: SideCheck) -> dict[str, Any]:
        return {
            "endpoint": one.mailbox.endpoint,
            "address": one.mailbox.address,
            "ok": one.ok,
            "product": one.product,
            "code": one.code,
            "error": one.error,
            "remedy": one.remedy,
            "findings": [
                {"level": f.level, "text": f.text, "remedy": f.remedy, "code": f.code} for f in one.findings
            ],
        }

    return json.dumps(
        {
            "version": 1,
            "ok": result.ok,
            "manifest": {"file": loaded.manifest.name, "dialect": loaded.manifest.dialect.name, "notes": list(loaded.plan.notes)},
            "rows": [
                {"line": one.job.line, "id": one.job.id, "ok": one.ok, "source": side(one.source), "target": side(one.target)}
                for one in result.jobs
            ],
            "canaries": [
                {
                    "endpoint": one.endpoint,
                    "address": one.address,
                    "ok": one.ok,
                    "code": one.code,
                    "error": one.error,
                    "remedy": one.remedy,
                    "kinds": [
                        {"kind": v.kind.value, "origin": v.origin, "accepted": v.accepted, "detail": v.detail}
                        for v in one.verdicts
                    ],
                }
                for one in result.canaries
            ],
            "notes": list(result.notes),
        },
        indent=2,
    )  # fmt: skip
