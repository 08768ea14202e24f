"""`migrator undo`: take back what this project wrote."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from migrator.cli.options import Allow, Batch, Json, Only, Option, PasswordsInCsv, Project

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrator.engine.undo import Undone

WORDS = {
    "changed": "changed in the target since",
    "was_there": "was in the target before",
    "held": "the server keeps it (a hold?)",
}


def command(
    project: Project = Path(),
    only: Only = [],  # noqa: B006 - typer reads the default, nobody changes it
    batch: Batch = [],  # noqa: B006
    really: Annotated[bool, Option("--really", help="Remove. Without it: only count.")] = False,
    limit: Annotated[int, Option("--limit", metavar="N", help="Kept items shown (20, 0: all).")] = 20,
    allow: Allow = [],  # noqa: B006
    passwords_in_csv: PasswordsInCsv = False,
    as_json: Json = False,
) -> int:
    """Remove from the targets what this project wrote, by the ledger, and only
    what nobody changed since. Counts only, unless --really. Folders stay.

    Example: migrator undo -p acme --only alma@example.org --really
    """
    from migrator import assembly
    from migrator.cli.console import CountView
    from migrator.cli.exits import Exit
    from migrator.cli.loading import interactive, load, settings_of
    from migrator.cli.logs import logging_to
    from migrator.cli.signals import stops
    from migrator.engine.stop import Stop

    loaded = load(project, only=only, batches=batch, allow=allow, passwords=passwords_in_csv)
    stop = Stop()
    view = CountView("taking back mailboxes" if really else "counting mailboxes", len(loaded.jobs))
    with logging_to(loaded.project.folder), stops(stop), view:
        found = assembly.undo(
            loaded.project,
            loaded.jobs,
            settings_of(loaded.project),
            view.emit,
            stop,
            really=really,
            interactive=interactive(),
        )
    if as_json:
        print(to_json(found, really))
    else:
        as_text(found, really, limit)
    if stop.requested:
        return Exit.INTERRUPTED
    if any(one.error for one in found) or len(found) < len(loaded.jobs):
        return Exit.MAILBOXES_OPEN
    return Exit.ITEMS_FAILED if really and any(one.kept_items for one in found) else Exit.DONE


def to_json(found: Sequence[Undone], really: bool) -> str:
    """ASCII only, so that no terminal is moved by what stands in it."""
    import json

    rows = [
        {
            "target": one.job.target.address,
            "line": one.job.line,
            "removed" if really else "to_remove": one.removed,
            "absent": one.absent,
            "present": one.present,
            "in_doubt": one.in_doubt,
            "kept": one.kept_items,
            "kept_items": [
                {"path": list(item.path), "message_id": item.message_id, "why": item.why}
                for item in one.kept or ()
            ],
            "error": one.error,
            "code": one.code,
        }
        for one in found
    ]
    return json.dumps({"really": really, "mailboxes": rows}, indent=2)


def as_text(found: Sequence[Undone], really: bool, limit: int) -> None:
    from migrator.cli.tables import cell, console, table
    from migrator.plan.folders import path_text
    from migrator.report.words import number

    screen = console()
    verb = "removed" if really else "to remove"
    grid = table(["mailbox", verb, "kept", "not there", "of others", "in doubt"], right=range(1, 6))
    for one in found:
        figures = (one.removed, one.kept_items, one.absent, one.present, one.in_doubt)
        grid.add_row(cell(one.job.target.address), *map(number, figures))
    screen.print(grid)
    for one in found:
        if one.error:
            screen.print(cell(f"line {one.job.line}: {one.error}. {one.remedy}", "red"))
        items = one.kept or []
        for item in items[: limit or None]:
            name = item.message_id or item.target_id[-16:]
            screen.print(cell(f"kept: {path_text(item.path)}  {name}  {WORDS.get(item.why, item.why)}"))
        if limit and one.kept_items > limit:
            screen.print(cell(f"… and {one.kept_items - limit} more"))
    if not really and any(one.removed for one in found):
        screen.print("Nothing was removed. The same command with --really removes.")
