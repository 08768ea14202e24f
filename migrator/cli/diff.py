"""`migrator diff`: two items compared by meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from migrator.cli.inspect import Id, MessageId, Row
from migrator.cli.options import Json, Option, Project

One = Annotated[Path | None, typer.Argument(metavar="A", help="A file ...", show_default=False)]
Two = Annotated[Path | None, typer.Argument(metavar="B", help="... and another.", show_default=False)]


def command(
    a: One = None,
    b: Two = None,
    project: Project = Path(),
    row: Row = "",
    id: Id = "",
    message_id: MessageId = "",
    all_: Annotated[
        bool, Option("--all", help="Also what is expected of a copy, and what means the same.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Compare two files, or source and target of one item of the ledger.
    Exit code 3 when something is lost, added or changed.

    Example: migrator diff -p acme --row 7 --message-id '<a1@x>' --all
    """
    import json

    from migrator.cli.exits import Exit
    from migrator.cli.inspect import open_file, seen_items
    from migrator.errors import UserError
    from migrator.mapi.compare import compare, counting
    from migrator.mapi.render import differences_json, differences_text
    from migrator.report.safe import safe_text

    path = "stream"
    if a is not None or b is not None:
        if a is None or b is None or row or id or message_id:
            raise UserError("two files, or one item of a mailbox")
        one, two = open_file(a), open_file(b)
        names = [safe_text(a.name), safe_text(b.name)]
        if len(one.items) != len(two.items):
            raise UserError(f"{a}: {len(one.items)} items, {b}: {len(two.items)}")
        pairs = list(zip(one.items, two.items, strict=True))
    else:
        first, second = seen_items(project, row, id, message_id, ["source", "target"])
        names = [
            safe_text(f"{first.job.source.address} (source)"),
            safe_text(f"{first.job.target.address} (target)"),
        ]
        pairs = [(first.message, second.message)]
        path = second.path if second.path in ("json", "mime") else path
    found = [compare(left, right, path=path) for left, right in pairs]
    lost = any(counting(differences) for differences in found)
    if as_json:
        told: dict[str, Any] = {
            "version": 1,
            "left": names[0],
            "right": names[1],
            "path": path,
            "counts": lost,
            "items": [differences_json(differences) for differences in found],
        }
        print(json.dumps(told, indent=2))
    else:
        print(f"# {names[0]} → {names[1]}")
        for number, differences in enumerate(found, 1):
            if len(found) > 1:
                print(f"# item {number}")
            print(differences_text(differences, all_classes=all_), end="")
    return Exit.ITEMS_FAILED if lost else Exit.DONE
