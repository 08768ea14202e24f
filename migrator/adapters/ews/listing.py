"""Folders and item refs out of EWS answers.

Facts this module rests on:
- SyncFolderHierarchy lists what is below the folder asked for, hidden and search folders included, not that folder itself; a
  folder's parent is named by id (MS-OXWSSYNC 3.1.4.1)
- SyncFolderItems: Create, Update, Delete, ReadFlagChange; string and binary properties are cut at 255 characters and 512 octets
  (MS-OXWSSYNC 3.1.4.2; learn.microsoft.com/…/exchange-web-services/mailbox-synchronization-and-ews-in-exchange)
- 0x10F4 hidden, 0x0E08 octets of a folder's items, 0x3601 folder type (2 = search), 0x300B search key (MS-OXPROPS)
- a search folder lists items of other folders: copying it would copy them twice
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from datetime import UTC, datetime

from lxml import etree

from migrator.adapters.ews import ids
from migrator.adapters.ews.names import FOLDER_ELEMENTS, LATER_ROLES, ROLES, kind_of_folder
from migrator.adapters.ews.soap import T, children, field_uri, property_tag
from migrator.formats.classes import kind_of_class
from migrator.model import Folder, FolderPath, ItemRef, Role

HIDDEN, SIZE, TYPE, SEARCH_KEY = "0x10f4", "0xe08", "0x3601", "0x300b"

FOLDER_PATHS = (
    *map(
        field_uri, ("folder:DisplayName", "folder:FolderClass", "folder:ParentFolderId", "folder:TotalCount")
    ),
    property_tag("0x10F4", "Boolean"),
    property_tag("0x0E08", "Long"),
    property_tag("0x3601", "Integer"),
)

ITEM_PATHS = (
    *map(
        field_uri,
        (
            "item:ItemClass",
            "item:Subject",
            "item:DateTimeReceived",
            "item:Size",
            "item:IsDraft",
            "item:DateTimeSent",
            "item:LastModifiedTime",
            "message:IsRead",
            "message:InternetMessageId",
        ),
    ),
    property_tag("0x300B", "Binary"),
)
"""Few on purpose: beyond a handful the server opens every item instead of reading a table."""


def instant(text: str | None) -> datetime | None:
    """An xs:dateTime as aware UTC; None for what is not one."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text.strip())
        if at.tzinfo is UTC:  # as Exchange writes it
            return at
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _flag(text: str | None) -> bool | None:
    return None if text is None else text.strip().lower() in ("true", "1")


def _count(text: str | None) -> int | None:
    try:
        number = int(text or "")
    except ValueError:
        return None
    return number if number >= 0 else None


def _extended(element: etree._Element) -> tuple[str, str] | None:
    """(tag in lower case without leading zeros, value) of a t:ExtendedProperty that is named by its tag."""
    uri = element.find(f"{T}ExtendedFieldURI")
    if uri is None or uri.get("PropertyTag") is None:
        return None
    try:
        number = int(uri.get("PropertyTag", ""), 0)
    except ValueError:
        return None
    return hex(number), element.findtext(f"{T}Value") or ""


def extended_values(element: etree._Element) -> dict[str, str]:
    pairs = (_extended(each) for each in element.iterchildren(f"{T}ExtendedProperty"))
    return dict(pair for pair in pairs if pair is not None)


# ---- folders


class FolderList:
    """Collects folders as they come, in any order, and puts them into a tree."""

    def __init__(self) -> None:
        self._rows: list[tuple[bytes, bytes, str, etree._Element]] = []
        self._seen: set[bytes] = set()
        self.roles: dict[bytes, Role] = {}  # from DistinguishedFolderId, where the schema has it

    def add(self, element: etree._Element) -> None:
        """element: t:Folder, t:CalendarFolder …"""
        own = element.find(f"{T}FolderId")
        if own is None or not own.get("Id"):
            return
        ident = own.get("Id", "")
        key = ids.normal(ident)
        if key in self._seen:
            return
        self._seen.add(key)
        parent = element.find(f"{T}ParentFolderId")
        above = ids.normal(parent.get("Id", "")) if parent is not None else b""
        self._rows.append((key, above, ident, element))
        name = (element.findtext(f"{T}DistinguishedFolderId") or "").strip().lower()
        role = ROLES.get(name) or LATER_ROLES.get(name)
        if role is not None:
            self.roles[key] = role

    def __len__(self) -> int:
        return len(self._rows)

    def folders(self, roles: dict[bytes, Role]) -> list[Folder]:
        """Parents before children. A folder whose parent is not listed stands at the top."""
        below: dict[bytes, list[tuple[bytes, str, etree._Element]]] = {}
        for key, above, ident, element in self._rows:
            below.setdefault(above if above in self._seen and above != key else b"", []).append(
                (key, ident, element)
            )
        out: list[Folder] = []
        done: set[bytes] = set()
        waiting: list[tuple[bytes, FolderPath, str]] = [(b"", (), "")]
        while waiting:
            above, path, parent_id = waiting.pop(0)
            for key, ident, element in below.get(above, ()):
                if key in done:
                    continue
                done.add(key)
                folder = _folder(element, ident, path, parent_id, roles.get(key))
                out.append(folder)
                waiting.append((key, folder.path, ident))
        return out


def _folder(
    element: etree._Element, ident: str, path: FolderPath, parent_id: str, role: Role | None
) -> Folder:
    kind_name = etree.QName(element).localname
    values = extended_values(element)
    folder_class = (element.findtext(f"{T}FolderClass") or "").strip() or FOLDER_ELEMENTS.get(
        kind_name, "IPF.Note"
    )
    return Folder(
        id=ident,
        path=(*path, element.findtext(f"{T}DisplayName") or ""),
        kind=kind_of_folder(folder_class),
        folder_class=folder_class,
        role=role,
        total=_count(element.findtext(f"{T}TotalCount")),
        size=_count(values.get(SIZE)),
        hidden=bool(_flag(values.get(HIDDEN))),
        search=kind_name == "SearchFolder" or values.get(TYPE, "").strip() == "2",
        parent_id=parent_id,
    )


# ---- items


def refs_of(changes: etree._Element | None, folder: Folder, *, fresh: bool) -> tuple[ItemRef, ...]:
    """The changes of one page, each id once (its last state). fresh: a listing from the start names nothing that is gone."""
    found: dict[str, ItemRef] = {}
    for name, change in children(changes):
        if name in ("Create", "Update"):
            for element in change:
                ref = ref_of(element, folder)
                if ref is not None:
                    found.pop(ref.id, None)
                    found[ref.id] = ref
        elif name == "Delete":
            own = change.find(f"{T}ItemId")
            if own is not None:
                ident = own.get("Id", "")
                found.pop(ident, None)
                if not fresh:
                    found[ident] = ItemRef(
                        ident, folder.path, folder.kind, own.get("ChangeKey", ""), gone=True
                    )
        elif name == "ReadFlagChange":
            own = change.find(f"{T}ItemId")
            if own is not None:
                ident = own.get("Id", "")
                seen = _flag(change.findtext(f"{T}IsRead"))
                known = found.pop(ident, None)
                found[ident] = _with_flag(ident, own.get("ChangeKey", ""), seen, folder, known)
    return tuple(found.values())


def _with_flag(ident: str, version: str, seen: bool | None, folder: Folder, known: ItemRef | None) -> ItemRef:
    from dataclasses import replace

    if known is not None and not known.gone:
        return replace(known, version=version or known.version, seen=seen)
    return ItemRef(ident, folder.path, folder.kind, version, seen=seen, traits={"change": "read_flag"})


def ref_of(element: etree._Element, folder: Folder) -> ItemRef | None:
    """An item element (t:Message, t:CalendarItem …) of a listing. None without an id."""
    own = element.find(f"{T}ItemId")
    if own is None or not own.get("Id"):
        return None
    texts: dict[str, str] = {}
    values: dict[str, str] = {}
    for child in element:
        tag = child.tag
        name = tag[len(T) :] if isinstance(tag, str) and tag.startswith(T) else ""
        if name == "ExtendedProperty":
            pair = _extended(child)
            if pair is not None:
                values[pair[0]] = pair[1]
        elif child.text:
            texts[name] = child.text
    item_class = texts.get("ItemClass", "")
    return ItemRef(
        id=own.get("Id", ""),
        folder=folder.path,
        kind=kind_of_class(item_class) if item_class else folder.kind,
        version=own.get("ChangeKey", ""),
        size=_count(texts.get("Size")),
        item_class=item_class,
        received=instant(texts.get("DateTimeReceived")),
        sent=instant(texts.get("DateTimeSent")),
        modified=instant(texts.get("LastModifiedTime")),
        message_id=texts.get("InternetMessageId", "").strip(),
        subject=texts.get("Subject", ""),
        seen=_flag(texts.get("IsRead")),
        draft=_flag(texts.get("IsDraft")),
        search_key=_binary(values.get(SEARCH_KEY, "")),
        associated=bool(_flag(texts.get("IsAssociated"))),
    )


def _binary(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def roles_of(elements: Iterable[tuple[str, etree._Element]]) -> dict[bytes, Role]:
    """elements: (distinguished id, folder element) of those that the mailbox has."""
    known = {**ROLES, **LATER_ROLES}
    out: dict[bytes, Role] = {}
    for name, element in elements:
        own = element.find(f"{T}FolderId")
        if own is not None and name in known:
            out[ids.normal(own.get("Id", ""))] = known[name]
    return out
