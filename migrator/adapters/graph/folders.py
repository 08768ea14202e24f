"""The folder tree of one mailbox: listed once, shared by all handles of this process, made where missing.

Facts this module rests on (learn.microsoft.com/graph/api/mailbox-list-folders; …/mailbox-post-folders; …/resources/mailboxfolder):
- the list under /folders is the first level below the visible root, search folders included; the rest by childFolders
- `type` is the container class and is required on creation; classic mail folders cannot set it
- wellKnownName is documented since 2026-08 and absent from older metadata: where no folder has it, well-known names are
  asked for by address (`/folders/inbox`), which works instead of an id
- calendar, contacts, tasks, notes and journal are no well-known mail folder names everywhere: the one folder of the first
  level with the plain class is it
- sibling names compare without regard to letter case; a name that is taken is answered 409 ErrorFolderExists
- PidTagAttributeHidden 0x10F4, PidTagFolderType 0x3601 (2: search folder), PidTagMessageSizeExtended 0x0E08 (MS-OXCFOLD 2.2.2)
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from migrator.adapters.graph.client import DROP_FOLDER, FIND_FOLDER, LIST_FOLDERS, MAKE_FOLDER, Wire, is_final
from migrator.adapters.graph.listing import properties, query
from migrator.adapters.graph.names import (
    CLASS_OF_KIND,
    CLASS_OF_ROLE,
    LOCAL_NAMES,
    MAIL_ROLES,
    NAME_OF_ROLE,
    PLAIN_NAME,
    ROLE_OF_NAME,
    kind_of_folder_class,
)
from migrator.errors import ItemError, JobError, Transient, UserError
from migrator.model import Folder, FolderPath, Kind, Role

TOP = 999
HIDDEN, FOLDER_TYPE, SIZE = 0x10F4, 0x3601, 0x0E08
_EXPAND = "singleValueExtendedProperties($filter=id eq 'Boolean 0x10F4' or id eq 'Integer 0x3601' or id eq 'Long 0x0E08')"
ROOT = "MsgFolderRoot"
_GONE = ("folder_gone", "vanished")
DEPTH_MOST = 300  # levels, Exchange Online's own limit


def key_of(path: FolderPath) -> FolderPath:
    """Paths as the server compares them."""
    return tuple(unicodedata.normalize("NFC", name).casefold() for name in path)


class FolderTree:
    """Folders of one mailbox by path, role and id. Thread-safe."""

    def __init__(self, wire: Wire, mailbox: str, mailbox_path: str, affinity: str) -> None:
        self._wire = wire
        self._mailbox = mailbox
        self._base = f"{wire.base}{mailbox_path}/folders"
        self._affinity = affinity
        self._lock = threading.RLock()  # held over creation: two threads never make the same folder
        self._by_path: dict[FolderPath, Folder] = {}
        self._by_role: dict[Role, Folder] = {}
        self._loaded = False
        self._expands = True  # whether the server takes our $expand on folder lists
        self._refs = True  # whether it takes the documented address of a deletion

    # ---- listing

    def load(self) -> list[Folder]:
        """List anew, parents before children."""
        with self._lock:
            rows: list[tuple[dict[str, Any], FolderPath, bool]] = []
            seen: set[str] = set()
            # (address of the list, path of the parent, whether the parent is a search root)
            waiting: list[tuple[str, FolderPath, bool]] = [(self._base, (), False)]
            for url, parent, search in waiting:  # grows while it is walked: level by level
                for row in self._rows(url):
                    folder_id = row.get("id")
                    if not isinstance(folder_id, str) or not folder_id:
                        raise Transient("a folder without an id in a listing", code="garbled_answer")
                    if folder_id in seen:
                        continue
                    seen.add(folder_id)
                    path = (*parent, str(row.get("displayName") or ""))
                    searching = search or _is_search(row)
                    rows.append((row, path, searching))
                    if row.get("childFolderCount", 1) and len(path) < DEPTH_MOST:
                        waiting.append(
                            (f"{self._base}/{quote(folder_id, safe='')}/childFolders", path, searching)
                        )
            roles = self._roles([(row, path) for row, path, searching in rows if not searching])
            folders = [
                self._folder(row, path, search=searching, role=roles.get(row["id"]))
                for row, path, searching in rows
            ]
            self._by_path = {}
            self._by_role = {}
            for folder in folders:
                self._keep(folder)
            self._loaded = True
            return folders

    def _rows(self, url: str) -> list[dict[str, Any]]:
        options = query(top=TOP, **({"expand": _EXPAND} if self._expands else {}))
        link = f"{url}{options}&includeHiddenFolders=true"
        rows: list[dict[str, Any]] = []
        while link:
            try:
                document, _ = self._wire.get(link, LIST_FOLDERS, self._mailbox, affinity=self._affinity)
            except JobError as e:
                if not self._expands or rows or is_final(e):
                    raise
                self._expands = False  # an older service: hidden folders cannot be told apart there
                return self._rows(url)
            found = document.get("value")
            if not isinstance(found, list):
                raise Transient("a listing without its list of folders", code="garbled_answer")
            rows += [row for row in found if isinstance(row, dict)]
            onward = document.get("@odata.nextLink")
            link = self._wire.within(onward) if isinstance(onward, str) and onward else ""
        return rows

    def _folder(
        self, row: Mapping[str, Any], path: FolderPath, *, search: bool = False, role: Role | None = None
    ) -> Folder:
        told = properties(row)
        folder_class = str(row.get("type") or "")
        total = row.get("totalItemCount")
        size = told.get(SIZE, "")
        return Folder(
            id=str(row["id"]),
            path=path,
            kind=kind_of_folder_class(folder_class),
            folder_class=folder_class or "IPF.Note",
            role=role,
            total=total if isinstance(total, int) and total >= 0 else None,
            size=int(size) if size.isdigit() else None,
            hidden=told.get(HIDDEN, "").lower() == "true",
            search=search or _is_search(row),
            parent_id=str(row.get("parentFolderId") or ""),
        )

    # ---- roles

    def _roles(self, rows: list[tuple[dict[str, Any], FolderPath]]) -> dict[str, Role]:
        """Role by folder id."""
        found: dict[str, Role] = {}
        names_told = False
        for row, _ in rows:
            name = row.get("wellKnownName")
            names_told = names_told or isinstance(name, str)
            role = ROLE_OF_NAME.get(name.lower()) if isinstance(name, str) else None
            if role is not None and role not in found.values():
                found[row["id"]] = role
        if not names_told and rows:
            for role in MAIL_ROLES:
                folder_id = self._id_of_name(NAME_OF_ROLE[role])
                if folder_id and folder_id not in found:
                    found[folder_id] = role
        for role, folder_class in CLASS_OF_ROLE.items():
            if role in found.values():
                continue
            candidates = [
                (row["id"], path[-1])
                for row, path in rows
                if len(path) == 1
                and row["id"] not in found
                and str(row.get("type") or "").lower() == folder_class.lower()
                and properties(row).get(HIDDEN, "").lower() != "true"
            ]
            if len(candidates) > 1:
                candidates = self._default_of(role, candidates)
            if candidates:
                found[candidates[0][0]] = role
        return found

    def _default_of(self, role: Role, candidates: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Of several folders of one class the mailbox's own: the server's word, then its usual name, then the first."""
        folder_id = self._id_of_name(NAME_OF_ROLE[role])
        own = [each for each in candidates if each[0] == folder_id]
        usual = [each for each in candidates if each[1].casefold() in LOCAL_NAMES[role]]
        return own or usual or candidates

    def _id_of_name(self, name: str) -> str:
        """The id behind a well-known name, "" where the server has none of that name."""
        try:
            row, _ = self._wire.get(
                f"{self._base}/{name}", FIND_FOLDER, self._mailbox, affinity=self._affinity
            )
        except ItemError:
            return ""
        except JobError as e:
            if is_final(e) and e.code != "folder_gone":
                raise
            return ""
        return str(row.get("id") or "")

    # ---- making

    def ensure(self, path: FolderPath, kind: Kind, folder_class: str, role: Role | None) -> Folder:
        """The folder at this path, below the folder of `role` if one is given. Raises ItemError folder_refused."""
        with self._lock:
            if not self._loaded:
                self.load()
            top: Folder | None = None
            if role is not None:
                top = self._by_role.get(role) or self._plain_role(role)
            folder = top
            for depth, name in enumerate(path):
                below = (*(folder.path if folder else ()), name)
                known = self._by_path.get(key_of(below))
                if known is None:
                    last = depth == len(path) - 1
                    wanted = folder_class if last else ""
                    own_kind = kind if last or folder is None else folder.kind
                    known = self._make(folder, below, wanted or CLASS_OF_KIND[own_kind])
                folder = known
            if folder is None:
                raise ItemError(
                    f"{self._mailbox}: a folder without a name cannot be made", code="folder_refused"
                )
            return folder

    def _plain_role(self, role: Role) -> Folder:
        """For a role that this mailbox has no folder of: a plain one of the usual name, made where missing."""
        path = (PLAIN_NAME[role],)
        folder = self._by_path.get(key_of(path)) or self._make(
            None, path, CLASS_OF_ROLE.get(role, "IPF.Note")
        )
        self._by_role[role] = folder
        return folder

    def _make(self, parent: Folder | None, path: FolderPath, folder_class: str) -> Folder:
        if parent is not None and parent.search:
            raise self._refused(path, "its parent is a search folder")
        url = f"{self._base}/{quote(parent.id, safe='') if parent else ROOT}/childFolders"
        try:
            row = self._wire.post(
                url,
                {"displayName": path[-1], "type": folder_class},
                MAKE_FOLDER,
                self._mailbox,
                affinity=self._affinity,
            )
        except ItemError as e:
            # Taken: by another process, by a hidden folder, or by our own request whose answer was lost.
            found = self._look(url, path)
            if found is not None:
                return found
            raise self._refused(path, e.message) from e
        except Transient:
            # Lost or garbled: it may be there all the same. If it is not, asking again is safe: names are unique.
            found = self._look(url, path)
            if found is not None:
                return found
            raise
        except JobError as e:
            if e.code == "folder_gone":
                self._forget(path[:-1])
            if is_final(e):
                raise
            raise self._refused(path, e.message) from e
        if not isinstance(row.get("id"), str):
            raise Transient("a new folder without an id", code="garbled_answer")
        return self._keep(self._folder(row, path))

    def _look(self, url: str, path: FolderPath) -> Folder | None:
        wanted = key_of(path)[-1]
        for row in self._rows(url):
            if key_of((str(row.get("displayName") or ""),))[0] == wanted and not _is_search(row):
                return self._keep(self._folder(row, (*path[:-1], str(row.get("displayName") or ""))))
        return None

    def _refused(self, path: FolderPath, why: str) -> ItemError:
        return ItemError(
            f"{self._mailbox}: the server refuses a folder at depth {len(path)}: {why}",
            code="folder_refused",
            remedy="Map the folder to another name in the project file.",
        )

    # ---- keeping

    def _keep(self, folder: Folder) -> Folder:
        if not folder.search:
            self._by_path.setdefault(key_of(folder.path), folder)
        if folder.role is not None:
            self._by_role.setdefault(folder.role, folder)
        return folder

    def _forget(self, path: FolderPath) -> None:
        wanted = key_of(path)
        self._by_path = {k: f for k, f in self._by_path.items() if k[: len(wanted)] != wanted}
        self._by_role = {r: f for r, f in self._by_role.items() if key_of(f.path)[: len(wanted)] != wanted}

    def gone(self, folder: Folder) -> None:
        """A folder turned out to be missing: the next `ensure` makes it anew."""
        with self._lock:
            if any(f.id == folder.id for f in self._values()):
                self._forget(folder.path)

    def _values(self) -> Iterable[Folder]:
        return self._by_path.values()

    def remove(self, folder: Folder) -> None:
        """Delete with all that is in it; already gone is fine.

        A deleted folder may turn up among the deleted items: what is still there is deleted once more.
        """
        with self._lock:
            url = f"{self._base}/{quote(folder.id, safe='')}"
            for _ in range(3):
                if not self._delete(url):
                    break
                try:
                    self._wire.get(url, FIND_FOLDER, self._mailbox, affinity=self._affinity)
                except (ItemError, JobError) as e:
                    if e.code in _GONE:
                        break
                    raise
            self.gone(folder)

    def _delete(self, url: str) -> bool:
        """Whether there was something to delete. The page on it shows `/$ref` behind the id, the samples of others do not."""
        for ending in ("/$ref", "") if self._refs else ("",):
            try:
                self._wire.send("DELETE", url + ending, DROP_FOLDER, self._mailbox, affinity=self._affinity)
                return True
            except (ItemError, JobError, UserError) as e:
                if ending and (not is_final(e) or e.code in ("folder_gone", "api_missing")):
                    self._refs = False
                    continue
                if e.code in _GONE:
                    return False
                raise
        return False


def _is_search(row: Mapping[str, Any]) -> bool:
    return (
        properties(row).get(FOLDER_TYPE) == "2"
        or str(row.get("wellKnownName") or "").lower() == "searchfolders"
        or "searchfolder" in str(row.get("@odata.type") or "").lower()
    )
