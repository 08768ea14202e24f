"""`migrator errors`: what failed, grouped by code, and what to do about it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from migrator.cli.options import As, Form, Only, Option, Project

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrator.cli.tables import Screen
    from migrator.ledger import JobRow
    from migrator.report.summary import MailboxLine, Summary


def command(
    project: Project = Path(),
    only: Only = [],  # noqa: B006 - typer reads the default, nobody changes it
    code: Annotated[list[str], Option("--code", metavar="CODE", help="Only these codes.")] = [],  # noqa: B006
    limit: Annotated[
        int, Option("--limit", metavar="N", help="Items shown per code (default 10, 0: all).")
    ] = 10,
    as_: As = Form.TEXT,
) -> int:
    """List failed mailboxes and items by error code: folder, date, size,
    Message-ID, and what to do.

    Example: migrator errors -p acme --code quota_full
    """
    from migrator.cli.loading import open_ledger
    from migrator.cli.tables import console
    from migrator.plan.project import load_project
    from migrator.plan.remedies import remedy_of
    from migrator.report.csv import failures_csv
    from migrator.report.summary import failed_items, summarise

    loaded = load_project(project)
    with open_ledger(loaded) as ledger:
        rows = [row for row in ledger.jobs() if not only or _named(row, only)]
        if as_ is Form.CSV:
            items = (item for item in failed_items(ledger, rows) if not code or item.code in code)
            remedies = {code: remedy_of(code).todo for _, code, _ in ledger.failed_by_code()}
            print(failures_csv(items, remedies), end="")
            return 0
        summary = summarise(ledger, now=time.time(), jobs=[row.id for row in rows])
    if as_ is Form.JSON:
        print(_json(summary, code))
        return 0
    _print(summary, code, limit, console())
    return 0


def _named(row: JobRow, only: Sequence[str]) -> bool:
    from fnmatch import fnmatchcase

    return any(
        word in (row.id, str(row.line))
        or fnmatchcase(row.source.casefold(), word.casefold())
        or fnmatchcase(row.target.casefold(), word.casefold())
        for word in only
    )


def _json(summary: Summary, code: Sequence[str]) -> str:
    import json

    from migrator.report.json import plain

    return json.dumps(
        {
            "version": 1,
            "mailboxes": [
                {"source": m.source, "target": m.target, "line": m.line, "state": m.state, "code": m.code, "error": m.error, "todo": m.remedy}
                for m in _failed_mailboxes(summary, code)
            ],
            "failures": [plain(group) for group in summary.failures if not code or group.code in code],
        },
        indent=2,
    )  # fmt: skip


def _failed_mailboxes(summary: Summary, code: Sequence[str]) -> list[MailboxLine]:
    return [
        mailbox
        for mailbox in summary.mailboxes
        if mailbox.state == "error" and (not code or mailbox.code in code)
    ]


def _print(summary: Summary, code: Sequence[str], limit: int, screen: Screen) -> None:
    from migrator.cli.tables import cell, table
    from migrator.report.words import number, octets, plural

    def say(text: str, style: str = "") -> None:
        screen.print(cell(text, style))

    mailboxes = _failed_mailboxes(summary, code)
    groups = [group for group in summary.failures if not code or group.code in code]
    if not mailboxes and not groups:
        say("nothing failed" if not code else "nothing failed with this code")
        return
    if mailboxes:
        say(f"{plural(len(mailboxes), 'mailbox', 'mailboxes')} stopped", "bold")
        for mailbox in mailboxes:
            say(f"  line {mailbox.line}: {mailbox.source}: {mailbox.code}: {mailbox.error}")
            if mailbox.remedy:
                say(f"    → {mailbox.remedy}")
    for group in groups:
        say("")
        say(
            f"{number(group.count)} × {group.code} in {plural(group.mailboxes, 'mailbox', 'mailboxes')}: {group.title}",
            "bold",
        )
        say(f"  → {group.todo}")
        items = group.items[:limit] if limit else group.items
        if items:
            grid = table(("mailbox", "folder", "received", "size", "Message-ID", "error"), right=(3,))
            for item in items:
                received = item.received[:10]
                grid.add_row(
                    cell(item.mailbox),
                    cell(item.folder),
                    received,
                    octets(item.size),
                    cell(item.message_id),
                    cell(item.error),
                )
            screen.print(grid)
        if group.count > len(items):
            say(f"  and {number(group.count - len(items))} more: --limit 0, or --as csv for all of them")
