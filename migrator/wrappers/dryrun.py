"""A target that is only looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

from migrator.errors import RunError
from migrator.interfaces import Wanted
from migrator.model import Checkpoint, Folder, FolderPath, Item, Kind, Outcome, Role
from migrator.wrappers.handed import HandedTarget


class DryRunTarget(HandedTarget):
    """Every verb that writes is refused: who calls one in a dry run has a defect, and the run stops."""

    def prepare_folders(self, wanted: Sequence[Wanted]) -> None:
        self._refuse("prepare_folders")

    def ensure_folder(
        self, path: FolderPath, kind: Kind, *, folder_class: str = "", role: Role | None = None
    ) -> Folder:
        self._refuse("ensure_folder")

    def subscribe(self, wanted: Mapping[str, bool]) -> None:
        self._refuse("subscribe")

    def mark(self, folder: Folder) -> Checkpoint:
        self._refuse("mark")

    def store(
        self, folder: Folder, items: Sequence[Item], replaces: Sequence[tuple[str, str] | None] | None = None
    ) -> list[Outcome]:
        self._refuse("store")

    def store_all(self, batches: Sequence[tuple[Folder, Sequence[Item]]]) -> list[list[Outcome]]:
        self._refuse("store")

    def remove(self, folder: Folder, ids: Sequence[str]) -> list[str]:
        self._refuse("remove")

    def remove_folder(self, folder: Folder) -> None:
        self._refuse("remove_folder")

    @staticmethod
    def _refuse(verb: str) -> NoReturn:
        raise RunError(
            f"{verb} was called in a dry run; nothing was written",
            code="dry_run",
            remedy="Report this as a defect: a dry run only reads.",
        )
