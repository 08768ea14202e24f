"""A run for show: the engine does all that it does in a run, and nothing reaches the target or leaves the source.

What the target would say to a write is answered from what reading tells: a folder that is there is found, one that is not is
made up; an item is taken unless it is too large; an update is refused when the target's item was changed. Contents are not
read out of the source, so what only the content would show (an item that the server cannot read, or that changes its size
on the way) does not show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import IO

from migrator.errors import ItemError
from migrator.interfaces import Expected, Reader, Target, Wanted
from migrator.model import (
    Checkpoint,
    Content,
    Folder,
    FolderPath,
    Format,
    Item,
    ItemRef,
    Kind,
    Outcome,
    Page,
    Role,
    SkipReason,
    State,
)
from migrator.several import one_after_another
from migrator.wrappers.dryrun import DryRunTarget
from migrator.wrappers.handed import HandedSource

MADE_UP = "rehearsed:"
SCHEME = "rehearsed/1"

StandIn = Callable[[ItemRef, Format], Content]
"""Content to be held in place of an item's own: of its form, and of about its size where that is told."""


class RehearsedSource(HandedSource):
    """Lists as ever; what it exports is made up."""

    def __init__(self, inner: Reader, stand_in: StandIn) -> None:
        super().__init__(inner)
        self._stand_in = stand_in

    def expect(self, wanted: Sequence[Expected]) -> None:
        super().expect([replace(one, whole=False) for one in wanted])

    def export(self, refs: Sequence[ItemRef], fmt: Format) -> list[Item | Outcome]:
        origin = self.traits.origin
        return [Item(ref, fmt, self._stand_in(ref, fmt), origin=origin) for ref in refs]


class RehearsedTarget(DryRunTarget):
    """Reads go through, writes are answered here."""

    def __init__(self, inner: Target) -> None:
        super().__init__(inner)
        self._roles: dict[Role, FolderPath] = {}
        self._there: dict[FolderPath, Folder] | None = None

    def folders(self) -> list[Folder]:
        found = super().folders()
        self._roles = {folder.role: folder.path for folder in found if folder.role is not None}
        self._there = {_flat(folder.path): folder for folder in found}
        return found

    def page(self, folder: Folder, after: Checkpoint | None) -> Page:
        if folder.id.startswith(MADE_UP):
            return Page((), Checkpoint(SCHEME, ""), True)
        return super().page(folder, None if after is not None and after.scheme == SCHEME else after)

    def prepare_folders(self, wanted: Sequence[Wanted]) -> None:
        """None is made."""

    def ensure_folder(
        self, path: FolderPath, kind: Kind, *, folder_class: str = "", role: Role | None = None
    ) -> Folder:
        if self._there is None:
            self.folders()
        assert self._there is not None
        base = self._roles.get(role, (role.value,)) if role is not None else ()
        whole = (*base, *path)
        found = self._there.get(_flat(whole))
        if found is not None and (found.role is role or path):
            return found
        name = MADE_UP + "/".join((role.value if role else "", *path))
        return Folder(name, whole, kind, folder_class or "IPF.Note", role, total=0)

    def subscribe(self, wanted: Mapping[str, bool]) -> None:
        """Nobody sees a rehearsal."""

    def mark(self, folder: Folder) -> Checkpoint:
        return Checkpoint(SCHEME, folder.id)

    def store(
        self, folder: Folder, items: Sequence[Item], replaces: Sequence[tuple[str, str] | None] | None = None
    ) -> list[Outcome]:
        over = [pair for pair in replaces or () if pair is not None]
        now = self.versions(folder, [target_id for target_id, _ in over]) if over else {}
        pairs = replaces or [None] * len(items)
        return [self._stored(item, pair, now) for item, pair in zip(items, pairs, strict=True)]

    def store_all(self, batches: Sequence[tuple[Folder, Sequence[Item]]]) -> list[list[Outcome]]:
        return one_after_another(self.store, batches)

    def _stored(self, item: Item, over: tuple[str, str] | None, now: dict[str, str]) -> Outcome:
        ref = item.ref
        most = self.traits.store_octets
        if most is not None and (ref.size or 0) > most:
            return Outcome(ref, State.SKIPPED, reason=SkipReason.TOO_LARGE)
        if over is not None and now.get(over[0]) != over[1]:
            error = ItemError("the item was changed in the target meanwhile", code="conflict")
            return Outcome(ref, State.FAILED, error=error)
        target_id = over[0] if over is not None else MADE_UP + ref.id
        return Outcome(ref, State.COPIED, target_id, MADE_UP + ref.version, octets=ref.size or 0)

    def versions(self, folder: Folder, ids: Sequence[str]) -> dict[str, str]:
        if folder.id.startswith(MADE_UP):
            return {}
        return super().versions(folder, ids)

    def remove(self, folder: Folder, ids: Sequence[str]) -> list[str]:
        return list(ids)


def _flat(path: FolderPath) -> FolderPath:
    return tuple(name.casefold() for name in path)


class StandInContent:
    """Octets of one item lent to another, that says to be of another size."""

    def __init__(self, inner: Content, size: int) -> None:
        self._inner = inner
        self._size = max(1, size)

    @property
    def size(self) -> int:
        return self._size

    def open(self) -> IO[bytes]:
        return self._inner.open()

    def pieces(self) -> list[bytes | memoryview]:
        return self._inner.pieces()

    def release(self) -> None:
        """What is lent is not given back."""
