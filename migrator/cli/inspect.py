"""`migrator inspect`: what is in an item, property by property."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from migrator.cli.options import Json, Option, Project

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrator.mapi.item import Message

File = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="MSG, EML, ICS, VCF, winmail.dat, item stream.", show_default=False),
]
Row = Annotated[str, Option("--row", metavar="ROW", help="Instead: a row of the CSV (address, line) ...")]
Id = Annotated[str, Option("--id", metavar="ID", help="... and its item with this source id, or ...")]
MessageId = Annotated[str, Option("--message-id", metavar="ID", help="... with this Message-ID.")]


def command(
    file: File = None,
    project: Project = Path(),
    row: Row = "",
    id: Id = "",
    message_id: MessageId = "",
    side: Annotated[str, Option("--side", metavar="SIDE", help="Read from source or target.")] = "source",
    width: Annotated[int, Option("--width", metavar="N", help="Octets and letters shown a value (80).")] = 80,
    full: Annotated[bool, Option("--full", help="With --json: values whole.")] = False,
    as_json: Json = False,
) -> int:
    """Print an item as a tree of properties, from a file or a mailbox.

    Example: migrator inspect -p acme --row 7 --message-id '<a1@x>' --side target
    """
    import json

    from migrator.mapi.render import tree_json, tree_text

    where, items, notes = found(file, project, row, id, message_id, side)
    if as_json:
        shown = None if full else max(8, width)
        told: dict[str, Any] = {
            "version": 1,
            "what": where,
            "notes": list(notes),
            "items": [tree_json(item, width=shown) for item in items],
        }
        print(json.dumps(told, indent=2))
        return 0
    print(f"# {where}")
    for note in notes:
        print(f"# not in the tree: {note}")
    for item in items:
        print(tree_text(item, width=max(8, width)), end="")
    return 0


def found(
    file: Path | None, project: Path, row: str, id: str, message_id: str, side: str
) -> tuple[str, Sequence[Message], Sequence[str]]:
    """(what it is, trees, notes) of a file or of an item of a mailbox. Raises UserError, ItemError."""
    from migrator.errors import UserError
    from migrator.plan.folders import path_text
    from migrator.report.safe import safe_text

    if file is not None:
        if row or id or message_id:
            raise UserError("a file, or an item of a mailbox, not both")
        opened = open_file(file)
        several = f", {len(opened.items)} items" if len(opened.items) > 1 else ""
        notes = [safe_text(note) for note in opened.notes]
        return f"{safe_text(file.name)}: {opened.form}{several}", opened.items, notes
    if side not in ("source", "target"):
        raise UserError(f"--side {side}: source or target")
    (seen,) = seen_items(project, row, id, message_id, [side])
    box = seen.job.source if side == "source" else seen.job.target
    where = f"{safe_text(box.address)} ({side}), {safe_text(path_text(seen.folder))}"
    return where, [seen.message], [safe_text(note) for note in seen.notes]


def open_file(file: Path) -> Any:
    """`formats.opening.Opened`. Raises UserError for a file that cannot be read, or is no item."""
    from migrator.errors import ItemError, UserError
    from migrator.formats.opening import LARGEST, open_octets

    try:
        if file.stat().st_size > LARGEST:
            raise UserError(f"{file}: larger than any item")
        return open_octets(file.read_bytes())
    except OSError as error:
        raise UserError(f"{file}: {error.strerror or 'cannot be read'}") from None
    except ItemError as error:
        raise UserError(f"{file}: {error.message}", code=error.code) from None


def seen_items(project: Path, row: str, id: str, message_id: str, sides: Sequence[str]) -> Sequence[Any]:
    """`assembly.SeenItem` per side, of the one item that is meant."""
    from migrator import assembly
    from migrator.cli.loading import interactive, load
    from migrator.cli.logs import logging_to
    from migrator.errors import UserError

    if bool(id) == bool(message_id):
        raise UserError(
            "name a file, or an item of a mailbox",
            remedy="an item: --row, and --id or --message-id (`migrator errors` and `migrator verify --as csv` tell them)",
        )
    loaded = load(project, only=[row] if row else [])
    if len(loaded.jobs) != 1:
        raise UserError(f"--row means {len(loaded.jobs)} rows: name one by its line or address")
    with logging_to(loaded.project.folder):
        return assembly.look_at_item(
            loaded.project,
            loaded.jobs[0],
            sides,
            id=id,
            message_id=message_id,
            interactive=interactive(),
        )
