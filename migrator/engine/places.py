"""Where the folders of a mailbox go, and what both sides are told before a first pass: much that would be asked for folder by
folder can then be asked for at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from migrator.engine.tools import Tools
from migrator.interfaces import Expected, Target, Wanted
from migrator.model import Folder, FolderPath, Role
from migrator.plan.folders import Place


class Places:
    """The target's folders are listed when the first one is wanted that the ledger does not know.

    new: those without a folder in the target that the ledger knows.
    """

    def __init__(
        self, folders: Sequence[Folder], new: Iterable[Folder], target: Target, tools: Tools
    ) -> None:
        self._folders = folders
        self._new = list(new)
        self._target = target
        self._tools = tools
        self._places: Mapping[str, Place] | None = None
        self._there: Mapping[FolderPath, Folder] = {}
        self._roles: Mapping[Role, FolderPath] = {}

    def ensure(self, folder: Folder) -> Folder:
        """Raises ItemError where the target will not have it."""
        place = self._place(folder)
        if self._new:
            new, self._new = self._new, []
            wanted = [(one, self._place(one)) for one in new]
            self._target.prepare_folders(
                [
                    Wanted(place.path, one.kind, one.folder_class, place.role, one.total != 0, one.subscribed)
                    for one, place in wanted
                ]
            )
        return self._target.ensure_folder(
            place.path, folder.kind, folder_class=folder.folder_class, role=place.role
        )

    def expected(self, folders: Iterable[Folder]) -> list[Expected]:
        """What a first pass over these reads: a guess, which costs nothing when it is wrong."""
        settings = self._tools.settings
        chosen = settings.since or settings.until or settings.newest_first or settings.dedupe
        kinds = self._target.traits.kinds
        return [
            Expected(
                folder,
                whole=not chosen
                and folder.kind in kinds
                and (not settings.find_present or self._holds_nothing(folder)),
            )
            for folder in folders
        ]

    def _holds_nothing(self, folder: Folder) -> bool:
        """Whether the target has no such folder, or an empty one."""
        place = self._place(folder)
        base = self._roles.get(place.role, ()) if place.role is not None else ()
        if place.role is not None and not base:
            return True
        there = self._there.get((*base, *place.path))
        return there is None or there.total == 0

    def _place(self, folder: Folder) -> Place:
        if self._places is None:
            found = self._target.folders()
            self._there = {one.path: one for one in found}
            self._roles = {one.role: one.path for one in found if one.role is not None}
            self._places = self._tools.map_folders(self._folders, found)
        return self._places[folder.id]
