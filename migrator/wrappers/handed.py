"""What a wrapper does with the verbs that it does not change: hand them on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from migrator.interfaces import Expected, Probe, Reader, ReaderTraits, Standing, Target, TargetTraits, Wanted
from migrator.model import (
    Checkpoint,
    Folder,
    FolderPath,
    Format,
    Item,
    ItemRef,
    Kind,
    Outcome,
    Page,
    Role,
)


class HandedSource:
    """A Source round a Source."""

    def __init__(self, inner: Reader) -> None:
        self._inner = inner

    @property
    def traits(self) -> ReaderTraits:
        return self._inner.traits

    def probe(self) -> Probe:
        return self._inner.probe()

    def folders(self) -> list[Folder]:
        return self._inner.folders()

    def expect(self, wanted: Sequence[Expected]) -> None:
        self._inner.expect(wanted)

    def page(self, folder: Folder, after: Checkpoint | None) -> Page:
        return self._inner.page(folder, after)

    def export(self, refs: Sequence[ItemRef], fmt: Format) -> list[Item | Outcome]:
        return self._inner.export(refs, fmt)

    def close(self) -> None:
        self._inner.close()


class HandedTarget(HandedSource):
    """A Target round a Target."""

    def __init__(self, inner: Target) -> None:
        super().__init__(inner)
        self._target = inner

    @property
    def traits(self) -> TargetTraits:
        return self._target.traits

    def standing(self) -> Standing:
        return self._target.standing()

    def prepare_folders(self, wanted: Sequence[Wanted]) -> None:
        self._target.prepare_folders(wanted)

    def ensure_folder(
        self, path: FolderPath, kind: Kind, *, folder_class: str = "", role: Role | None = None
    ) -> Folder:
        return self._target.ensure_folder(path, kind, folder_class=folder_class, role=role)

    def subscribe(self, wanted: Mapping[str, bool]) -> None:
        self._target.subscribe(wanted)

    def mark(self, folder: Folder) -> Checkpoint:
        return self._target.mark(folder)

    def store(
        self, folder: Folder, items: Sequence[Item], replaces: Sequence[tuple[str, str] | None] | None = None
    ) -> list[Outcome]:
        return self._target.store(folder, items, replaces)

    def store_all(self, batches: Sequence[tuple[Folder, Sequence[Item]]]) -> list[list[Outcome]]:
        return self._target.store_all(batches)

    def versions(self, folder: Folder, ids: Sequence[str]) -> dict[str, str]:
        return self._target.versions(folder, ids)

    def remove(self, folder: Folder, ids: Sequence[str]) -> list[str]:
        return self._target.remove(folder, ids)

    def remove_folder(self, folder: Folder) -> None:
        self._target.remove_folder(folder)
