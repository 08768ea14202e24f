"""`look_at_item`: one item of a mailbox pair as a tree, read anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from migrator.assembly.parts import ledger_to_read
from migrator.assembly.room import ProjectLike, Room
from migrator.engine.routes import as_stream
from migrator.engine.stop import Stop
from migrator.errors import ItemError, UserError
from migrator.events import Event
from migrator.interfaces import Clock, Secrets, Source, Target
from migrator.ledger import Entry, Ledger
from migrator.model import (
    Checkpoint,
    FolderPath,
    Format,
    ItemRef,
    Job,
    Kind,
    Outcome,
)
from migrator.record import record

if TYPE_CHECKING:
    from migrator.mapi.item import Message


@record
class SeenItem:
    """An item of a mailbox as a tree. path: the way that it took into the target, or "". notes: of a conversion."""

    job: Job
    side: str  # "source" or "target"
    folder: FolderPath
    id: str
    message: Message
    path: str = ""
    notes: tuple[str, ...] = ()


def look_at_item(
    project: ProjectLike,
    job: Job,
    sides: Sequence[str],
    *,
    id: str = "",
    message_id: str = "",
    clock: Clock | None = None,
    secrets: Secrets | None = None,
    interactive: bool = False,
) -> list[SeenItem]:
    """One item of a mailbox pair from source, target or both, read anew. Nothing is written.

    id: of the source. What the ledger does not know is looked for in the source's listing. Raises UserError when nothing or
    more than one thing is meant, ItemError for an item that cannot be read.
    """
    stop = Stop()
    with Room(project, _nobody, stop, clock=clock, secrets=secrets, interactive=interactive) as room:
        room.connect([job])
        ledger = ledger_to_read(project, clock)
        try:
            entry, path = _entry_of(ledger, job, id, message_id)
        finally:
            if ledger is not None:
                ledger.close()
        found: list[SeenItem] = []
        for side in sides:
            box: Source | Target = room.open_source(job) if side == "source" else room.look_at_target(job)
            try:
                box.probe()
                if side == "source":
                    ref = entry.ref(path) if entry else _listed(box, id, message_id)
                elif entry is not None and entry.target_id:
                    ref = ItemRef(entry.target_id, path, entry.kind, "")
                else:
                    raise UserError(
                        "the ledger knows of no such item in the target",
                        code="item_unknown",
                        remedy="Only what a run has copied can be looked up there; see --side source.",
                    )
                message, notes = _tree_from(box, ref)
            finally:
                box.close()
            taken = entry.path_taken if entry else ""
            found.append(SeenItem(job, side, ref.folder, ref.id, message, taken, notes))
    return found


def _nobody(event: Event) -> None:
    """For commands that look at one thing."""


def _entry_of(ledger: Ledger | None, job: Job, id: str, message_id: str) -> tuple[Entry | None, FolderPath]:
    if ledger is None:
        return None, ()
    if id:
        wanted = ItemRef(id, (), Kind.MAIL, "")
        entries = list(ledger.entries(job.id, [wanted]).values())
    else:
        bare = message_id.strip().strip("<>")
        entries = [
            entry
            for form in dict.fromkeys((message_id, f"<{bare}>", bare))
            for entry in ledger.find_message(form)
            if entry.job_id == job.id
        ]
    if len(entries) > 1:
        raise UserError(
            f"{len(entries)} items of {job.source.address} have this Message-ID",
            problems=[f"--id {entry.source_id}" for entry in entries[:10]],
            code="item_ambiguous",
        )
    if not entries:
        return None, ()
    paths = {row.source_id: row.path for row in ledger.folders(job.id)}
    return entries[0], paths.get(entries[0].folder_id, ())


def _listed(box: Source | Target, id: str, message_id: str) -> ItemRef:
    bare = message_id.strip().strip("<>")
    for folder in box.folders():
        if folder.search:
            continue
        after: Checkpoint | None = None
        while True:
            page = box.page(folder, after)
            for ref in page.refs:
                if not ref.gone and (ref.id == id if id else ref.message_id.strip("<>") == bare):
                    return ref
            if page.last or page.checkpoint == after:
                break
            after = page.checkpoint
    raise UserError(
        "the mailbox has no such item", code="item_unknown", remedy="Check --row, --id, --message-id."
    )


def _tree_from(box: Source | Target, ref: ItemRef) -> tuple[Message, tuple[str, ...]]:
    from migrator.formats.convert import tree_of

    formats = box.traits.formats
    (item,) = box.export([ref], Format.FTS if Format.FTS in formats else formats[0])
    if isinstance(item, Outcome):
        why = item.reason.value if item.reason is not None else str(item.error or "refused")
        raise ItemError(f"the item cannot be read: {why}", code="item_unreadable")
    try:
        stream = as_stream(item)
        return tree_of(stream), stream.notes
    finally:
        item.content.release()
