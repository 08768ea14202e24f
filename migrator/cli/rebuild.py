"""`migrator rebuild`: the ledger is lost; make a new one from what is in the targets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from migrator.cli.options import Allow, Batch, Json, Only, Option, PasswordsInCsv, Project

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrator.engine.rebuild import Rebuilt


def command(
    project: Project = Path(),
    only: Only = [],  # noqa: B006 - typer reads the default, nobody changes it
    batch: Batch = [],  # noqa: B006
    limit: Annotated[int, Option("--limit", metavar="N", help="Moved items shown (20, 0: all).")] = 20,
    allow: Allow = [],  # noqa: B006
    passwords_in_csv: PasswordsInCsv = False,
    as_json: Json = False,
) -> int:
    """After the ledger was lost: look what the targets hold already, by
    Message-ID, dates, search key and content, and write it into a new ledger, so
    that the next run copies what is missing and doubles nothing. An old ledger
    from a backup is brought up to date. Exit code 3: some items are unclear.

    Example: migrator rebuild -p acme && migrator check -p acme
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
    view = CountView("looking into mailboxes", len(loaded.jobs))
    with logging_to(loaded.project.folder), stops(stop), view:
        found = assembly.rebuild(
            loaded.project,
            loaded.jobs,
            settings_of(loaded.project),
            view.emit,
            stop,
            interactive=interactive(),
        )
    if as_json:
        print(to_json(found))
    else:
        as_text(found, limit)
    if stop.requested:
        return Exit.INTERRUPTED
    if any(one.error for one in found) or len(found) < len(loaded.jobs):
        return Exit.MAILBOXES_OPEN
    return Exit.ITEMS_FAILED if any(one.unclear for one in found) else Exit.DONE


def to_json(found: Sequence[Rebuilt]) -> str:
    import json

    rows = [
        {
            "source": one.job.source.address,
            "target": one.job.target.address,
            "line": one.job.line,
            "items": one.source,
            "known": one.known,
            "found": one.found,
            "by": one.by,
            "missing": one.missing,
            "unclear": one.unclear,
            "others": one.others,
            "elsewhere": one.elsewhere_items,
            "elsewhere_items": [
                {
                    "folder": list(item.path),
                    "target_folder": list(item.target_path),
                    "message_id": item.message_id,
                }
                for item in one.elsewhere
            ],
            "error": one.error,
            "code": one.code,
        }
        for one in found
    ]
    return json.dumps({"mailboxes": rows}, indent=2)


BY = {
    "message_id": "Message-ID",
    "search_key": "search key",
    "dates": "subject and dates",
    "content": "content",
}


def as_text(found: Sequence[Rebuilt], limit: int) -> None:
    from migrator.cli.tables import cell, console, table
    from migrator.plan.folders import path_text
    from migrator.report.words import number, plural

    screen = console()
    grid = table(
        ["mailbox", "source", "known", "found", "missing", "unclear", "of others"], right=range(1, 7)
    )
    for one in found:
        figures = (one.source, one.known, one.found, one.missing, one.unclear, one.others)
        grid.add_row(cell(one.job.target.address), *map(number, figures))
    screen.print(grid)
    by: dict[str, int] = {}
    for one in found:
        for name, items in one.by.items():
            by[name] = by.get(name, 0) + items
    if by:
        screen.print(
            cell("found by " + ", ".join(f"{BY[name]} {number(by[name])}" for name in BY if name in by))
        )
    for one in found:
        if one.error:
            screen.print(cell(f"line {one.job.line}: {one.error}. {one.remedy}", "red"))
        if one.elsewhere_items:
            words = f"line {one.job.line}: {plural(one.elsewhere_items, 'item')} in another folder than expected; not copied again"
            screen.print(cell(words, "yellow"))
            for item in one.elsewhere[: limit or None]:
                name = item.message_id or "without Message-ID"
                screen.print(cell(f"  {path_text(item.path)} → {path_text(item.target_path)}  {name}"))
        if one.unclear:
            words = (
                f"line {one.job.line}: of {plural(one.unclear, 'missing item')} it could not be told whether they are there;"
                " the next run copies them"
            )
            screen.print(cell(words, "yellow"))
    screen.print(cell("next: migrator check (asks the targets anew what they take), then migrator run"))
