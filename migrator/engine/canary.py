"""Does this target take imported items at all? Asked with small items of our own, read back, removed for good.

Whether a tenant accepts streams that another server (or nobody's server) made is promised nowhere, so it is not assumed. The
canary announces itself before it writes; its folder is removed with everything in it, whatever happened in between.

Three sorts of samples answer three questions (see `routes`): an item of the source's own for each kind, as its server gives
it, put for a moment into its owner's own target mailbox; items made here; and the same again, created by JSON.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

from migrator.errors import ItemError, JobError, MigratorError, RunError, UserError
from migrator.events import Notice
from migrator.interfaces import Emit, Source, Target
from migrator.model import Checkpoint, Folder, Format, Item, ItemRef, Kind, Outcome, Path, State
from migrator.record import record

log = logging.getLogger(__name__)

FOLDER = "migrator canary (may be deleted)"

FOLDER_CLASSES = {
    Kind.MAIL: "IPF.Note",
    Kind.EVENT: "IPF.Appointment",
    Kind.CONTACT: "IPF.Contact",
    Kind.GROUP: "IPF.Contact",
    Kind.TASK: "IPF.Task",
    Kind.NOTE: "IPF.StickyNote",
    Kind.JOURNAL: "IPF.Journal",
}


@record
class Sung:
    """The verdict on one kind. detail: why not, or what did not survive."""

    kind: Kind
    origin: str
    accepted: bool
    detail: str = ""


OWN_OCTETS = 256 << 10
OWN_FOLDERS = 60
OWN_CANDIDATES = 5


def announce(address: str, samples: Mapping[Kind, Item], emit: Emit, what: str = "small items") -> None:
    emit(
        Notice(
            "info",
            f"writing {len(samples)} {what} into a temporary folder of {address} to see what it accepts; "
            "they are read back and removed (--no-canary leaves this out)",
        )
    )


def own_items(source: Source) -> dict[Kind, Item]:
    """A small item of every kind that the source has, as its server exports it. Reads one page of each folder at most.

    Nothing that could reach anybody: no drafts, and of appointments and tasks only those without other people.
    """
    found: dict[Kind, list[ItemRef]] = {kind: [] for kind in FOLDER_CLASSES}
    folders = [
        folder for folder in source.folders() if not folder.search and not folder.hidden and folder.total != 0
    ]
    first = {folder.kind: folder for folder in reversed(folders)}  # of each kind one before all others
    for folder in [*first.values(), *(f for f in folders if f is not first[f.kind])][:OWN_FOLDERS]:
        if all(len(refs) >= OWN_CANDIDATES for refs in found.values()):
            break
        for ref in source.page(folder, None).refs:
            small = ref.size is not None and ref.size <= OWN_OCTETS
            if small and not ref.gone and not ref.associated and not ref.draft and ref.kind in found:
                found[ref.kind].append(ref)
    samples: dict[Kind, Item] = {}
    for kind, refs in found.items():
        for ref in sorted(refs, key=lambda one: one.size or 0)[:OWN_CANDIDATES]:
            (item,) = source.export([ref], Format.FTS)
            if isinstance(item, Outcome):
                continue
            if item.format is Format.FTS and _harmless(item):
                samples[kind] = item if item.origin else replace(item, origin=source.traits.origin)
                break
            item.content.release()
    return samples


def _harmless(item: Item) -> bool:
    from migrator.formats.convert import tree_of

    if item.ref.kind not in (Kind.EVENT, Kind.TASK):
        return True
    try:
        return not tree_of(item).recipients
    except ItemError:
        return False


def sing(
    target: Target, address: str, samples: Mapping[Kind, Item], emit: Emit, what: str = "small items"
) -> list[Sung]:
    """Ask a target about every kind. Raises what stops the mailbox as a whole (JobError, UserError, RunError)."""
    announce(address, samples, emit, what)
    folder = target.ensure_folder((FOLDER,), Kind.MAIL, folder_class="IPF.Note")
    try:
        return [_one(target, kind, item) for kind, item in samples.items()]
    finally:
        try:
            target.remove_folder(folder)
        except MigratorError as error:
            emit(
                Notice(
                    "warning",
                    f"the temporary folder {FOLDER!r} in {address} could not be removed ({error.message}): "
                    "it may be deleted by hand",
                )
            )


def _one(target: Target, kind: Kind, item: Item) -> Sung:
    try:
        folder = target.ensure_folder(
            (FOLDER, kind.value), kind, folder_class=FOLDER_CLASSES.get(kind, "IPF.Note")
        )
        (outcome,) = target.store(folder, [item])
        if outcome.state is not State.COPIED:
            return Sung(kind, item.origin, False, _why(outcome))
        ref = _read_back(target, folder, outcome.target_id)
        if ref is None:
            return Sung(kind, item.origin, False, "accepted, but not found afterwards")
        target.remove(folder, [outcome.target_id])
    except JobError as error:
        # The rights for classic Graph are others than those for import: lacking one closes that path and nothing else.
        if item.path is not Path.JSON or error.code != "permission":
            raise
        return Sung(kind, item.origin, False, f"{error.code}: {error.message}. {error.remedy}")
    except (UserError, RunError):
        raise
    except MigratorError as error:
        return Sung(kind, item.origin, False, f"{error.code}: {error.message}")
    wrong = differences(item.ref, ref)
    if "class" in wrong:
        return Sung(kind, item.origin, False, f"arrived as {ref.item_class or 'something else'}")
    return Sung(kind, item.origin, True, f"not kept: {', '.join(wrong)}" if wrong else "")


def _why(outcome: Outcome) -> str:
    if outcome.reason is not None:
        return f"skipped: {outcome.reason.value}"
    if isinstance(outcome.error, JobError | UserError | RunError):
        raise outcome.error
    error = outcome.error if isinstance(outcome.error, MigratorError) else ItemError("refused")
    return f"{error.code}: {error.message}"


def _read_back(target: Target, folder: Folder, target_id: str) -> ItemRef | None:
    after: Checkpoint | None = None
    while True:
        page = target.page(folder, after)
        for ref in page.refs:
            if ref.id == target_id and not ref.gone:
                return ref
        if page.last or page.checkpoint == after:
            return None
        after = page.checkpoint


def differences(sent: ItemRef, there: ItemRef) -> list[str]:
    """Which of the properties that listing tells did not survive."""
    wrong = []
    if there.item_class and sent.item_class.casefold() != there.item_class.casefold():
        wrong.append("class")
    if sent.kind is Kind.MAIL:
        if sent.message_id and there.message_id != sent.message_id:
            wrong.append("Message-ID")
        if sent.received and (
            there.received is None or abs(there.received - sent.received) > timedelta(seconds=1)
        ):
            wrong.append("date received")
        if there.draft and not sent.draft:
            wrong.append("being no draft")
        if sent.seen is not None and there.seen is not None and sent.seen is not there.seen:
            wrong.append("read state")
    return wrong
