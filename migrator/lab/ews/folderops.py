"""Operations on folders: GetFolder, FindFolder, CreateFolder, UpdateFolder, MoveFolder, DeleteFolder, EmptyFolder.

Facts this module rests on (MS-OXWSFOLD; answers recorded from Exchange 2010 and Exchange Online):
- the element follows the folder class: CalendarFolder, ContactsFolder, TasksFolder, SearchFolder, Folder
- errors still send an empty m:Folders, except those of DeleteFolder
- FindFolder lists hidden folders too; paging tells IndexedPagingOffset, TotalItemsInView, IncludesLastItemInRange
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from lxml import etree

from migrator.lab.ews import extended, find
from migrator.lab.ews.envelope import M, Refused, T, element, success
from migrator.lab.ews.session import Session, at_least, folder_element
from migrator.lab.store import LabFolder, LabItem
from migrator.mapi import item as mapi

_RIGHTS = (
    b"<t:EffectiveRights><t:CreateAssociated>true</t:CreateAssociated><t:CreateContents>true</t:CreateContents>"
    b"<t:CreateHierarchy>true</t:CreateHierarchy><t:Delete>true</t:Delete><t:Modify>true</t:Modify>"
    b"<t:Read>true</t:Read></t:EffectiveRights>"
)
_OWNER_RIGHTS = 0x5FB  # PidTagRights of an owner
EXTRA = "ews.properties"  # key in LabFolder.extra: {Key: (type, value)}

_ORDER = [
    "FolderId",
    "ParentFolderId",
    "FolderClass",
    "DisplayName",
    "TotalCount",
    "ChildFolderCount",
    "ExtendedProperty",
    "EffectiveRights",
    "DistinguishedFolderId",
    "PermissionSet",
    "UnreadCount",
]
_DEFAULT = frozenset(("FolderId", "DisplayName", "TotalCount", "ChildFolderCount", "UnreadCount"))


@dataclass(frozen=True, slots=True)
class Shape:
    """What a folder answer holds: element names, and extended properties."""

    names: frozenset[str]
    extended: tuple[extended.Path, ...]


def shape(session: Session, holder: etree._Element) -> Shape:
    base = holder.findtext(f"{T}BaseShape")
    names: set[str] = {"FolderId"}
    if base == "Default":
        names |= _DEFAULT
    elif base == "AllProperties":
        names |= _DEFAULT | {"ParentFolderId", "FolderClass", "EffectiveRights"}
        if at_least(session.version, "Exchange2013"):
            names.add("DistinguishedFolderId")
    more = holder.find(f"{T}AdditionalProperties")
    paths: list[extended.Path] = []
    for uri in more if more is not None else ():
        kind = etree.QName(uri).localname
        if kind == "ExtendedFieldURI":
            paths.append(extended.path(uri))
        elif kind == "FieldURI":
            group, _, name = uri.get("FieldURI", "").partition(":")
            if group != "folder":
                raise Refused("ErrorInvalidPropertyRequest", "Property is not valid for this object type.")
            names.add(name)
        else:
            raise Refused("ErrorInvalidPropertyRequest", "Property is not valid for this object type.")
    return Shape(frozenset(names), tuple(paths))


def render(session: Session, folder: LabFolder, wanted: Shape) -> bytes:
    name = folder_element(folder)
    parts: list[bytes] = []
    for field in _ORDER:
        if field == "ExtendedProperty":
            for path in wanted.extended:
                value = property_of(session, folder, path)
                if value is not None:
                    parts.append(path.wrap(value))
        elif field in wanted.names:
            parts.append(_FIELDS[field](session, folder, name))
    tag = name.encode()
    return b"<t:%b>%b</t:%b>" % (tag, b"".join(parts), tag)


def _parent(session: Session, folder: LabFolder, name: str) -> bytes:
    # the root's parent is the root itself
    return session.folder_id(folder.parent or folder, b"t:ParentFolderId")


def _role(session: Session, folder: LabFolder, name: str) -> bytes:
    return element("t:DistinguishedFolderId", folder.role) if folder.role else b""


def _unread(session: Session, folder: LabFolder, name: str) -> bytes:
    if name in ("CalendarFolder", "ContactsFolder"):
        return b""
    return b"<t:UnreadCount>%d</t:UnreadCount>" % folder.unread


def _permissions(session: Session, folder: LabFolder, name: str) -> bytes:
    owner = element("t:PrimarySmtpAddress", folder.mailbox.address)
    kind, level = (
        ("Calendar", "CalendarPermissionLevel") if name == "CalendarFolder" else ("", "PermissionLevel")
    )
    entries = []
    for user, read, right in (
        (
            element("t:DistinguishedUser", "Default"),
            "TimeOnly" if kind else "None",
            "FreeBusyTimeOnly" if kind else "None",
        ),
        (element("t:DistinguishedUser", "Anonymous"), "None", "None"),
        (owner + element("t:DisplayName", folder.mailbox.display_name), "FullDetails", "Owner"),
    ):
        full = right == "Owner"
        yes, acts = ("true", "All") if full else ("false", "None")
        entries.append(
            element(
                f"t:{kind}Permission",
                element("t:UserId", user)
                + b"".join(
                    element(f"t:{flag}", yes)
                    for flag in (
                        "CanCreateItems",
                        "CanCreateSubFolders",
                        "IsFolderOwner",
                        "IsFolderVisible",
                        "IsFolderContact",
                    )
                )
                + element("t:EditItems", acts)
                + element("t:DeleteItems", acts)
                + element("t:ReadItems", read)
                + element(f"t:{level}", right),
            )
        )
    return element("t:PermissionSet", element(f"t:{kind}Permissions", b"".join(entries)))


_FIELDS: dict[str, Callable[[Session, LabFolder, str], bytes]] = {
    "FolderId": lambda s, f, n: s.folder_id(f),
    "ParentFolderId": _parent,
    "FolderClass": lambda s, f, n: element("t:FolderClass", f.folder_class) if f.folder_class else b"",
    "DisplayName": lambda s, f, n: element("t:DisplayName", f.name),
    "TotalCount": lambda s, f, n: b"<t:TotalCount>%d</t:TotalCount>" % total(f),
    "ChildFolderCount": lambda s, f, n: b"<t:ChildFolderCount>%d</t:ChildFolderCount>" % len(f.children),
    "EffectiveRights": lambda s, f, n: _RIGHTS,
    "DistinguishedFolderId": _role,
    "PermissionSet": _permissions,
    "UnreadCount": _unread,
}


def found_by(folder: LabFolder) -> Iterator[LabItem]:
    """What a search folder finds here: all unread items of the visible folders."""
    for other in folder.mailbox.visible():
        if not other.search and other.unread:
            yield from (item for item in other.items.values() if not item.read and not item.associated)


def total(folder: LabFolder) -> int:
    return sum(1 for _ in found_by(folder)) if folder.search else folder.total


def _path(folder: LabFolder) -> str:
    # components are separated by U+FFFE, which the server writes as it is although XML forbids it
    return "".join("\ufffe" + name for name in folder.path) or "\ufffe"


def property_of(session: Session, folder: LabFolder, path: extended.Path) -> Any:
    """A folder's MAPI property of the type asked for, None when it has none."""
    known = _PROPERTIES.get(path.key) if isinstance(path.key, int) else None
    if known is not None and known[0] == path.type:
        return known[1](session, folder)
    kept: dict[Any, tuple[int, Any]] = folder.extra.get(EXTRA, {})
    found = kept.get(path.key)
    return found[1] if found is not None and found[0] == path.type else None


_PROPERTIES: dict[int, tuple[int, Callable[[Session, LabFolder], Any]]] = {
    0x10F4: (mapi.BOOLEAN, lambda s, f: f.hidden),
    0x0E08: (mapi.INT64, lambda s, f: f.octets),
    0x3001: (mapi.STRING, lambda s, f: f.name),
    0x3601: (mapi.INT32, lambda s, f: 2 if f.search else 0 if f.parent is None else 1),
    0x3602: (mapi.INT32, lambda s, f: total(f)),
    0x3603: (mapi.INT32, lambda s, f: f.unread),
    0x3617: (mapi.INT32, lambda s, f: f.fai_total),
    0x360A: (mapi.BOOLEAN, lambda s, f: bool(f.children)),
    0x3613: (mapi.STRING, lambda s, f: f.folder_class or None),
    0x6639: (mapi.INT32, lambda s, f: _OWNER_RIGHTS),
    0x66B5: (mapi.STRING, lambda s, f: _path(f)),
    0x0FFF: (mapi.BINARY, lambda s, f: s.maker(f.mailbox).entry_id(f.id)),
    0x65E0: (mapi.BINARY, lambda s, f: s.maker(f.mailbox).replica + f.id.to_bytes(6, "big")),
    0x65E2: (mapi.BINARY, lambda s, f: s.maker(f.mailbox).replica + f.changed.to_bytes(6, "big")),
}


# -- reading


def get_folder(session: Session, request: etree._Element) -> list[bytes]:
    holder, wanted_ids = request.find(f"{M}FolderShape"), request.find(f"{M}FolderIds")
    assert holder is not None
    assert wanted_ids is not None
    wanted = shape(session, holder)

    def one(asked: etree._Element) -> bytes:
        return success("GetFolder", element("m:Folders", render(session, session.folder(asked), wanted)))

    return session.each("GetFolder", wanted_ids, one)


def descendants(folder: LabFolder) -> Iterable[LabFolder]:
    """Below a folder, parents first."""
    waiting = list(folder.children.values())
    while waiting:
        found = waiting.pop(0)
        yield found
        waiting[0:0] = found.children.values()


def find_folder(session: Session, request: etree._Element) -> list[bytes]:
    holder, parents = request.find(f"{M}FolderShape"), request.find(f"{M}ParentFolderIds")
    assert holder is not None
    assert parents is not None
    wanted = shape(session, holder)
    traversal = request.get("Traversal")
    restriction = request.find(f"{M}Restriction")
    test = find.restriction(restriction, _field_value(session)) if restriction is not None else None
    limit = session.world.knobs.ews_limits.find_count

    def one(asked: etree._Element) -> bytes:
        parent = session.folder(asked)
        if traversal == "SoftDeleted":
            found: list[LabFolder] = []
        else:
            found = list(descendants(parent) if traversal == "Deep" else parent.children.values())
        if test is not None:
            found = [folder for folder in found if test(folder)]
        page = find.page(request, "Folder", len(found), limit)
        body = b"".join(render(session, folder, wanted) for folder in found[page.start : page.end])
        return success(
            "FindFolder", b"<m:RootFolder%b>%b</m:RootFolder>" % (page.attributes, element("t:Folders", body))
        )

    return session.each("FindFolder", parents, one)


def _field_value(session: Session) -> Callable[[etree._Element], Callable[[LabFolder], Any]]:
    """For restrictions: a function that reads the field a path means."""
    simple: dict[str, Callable[[LabFolder], Any]] = {
        "folder:DisplayName": lambda f: f.name,
        "folder:FolderClass": lambda f: f.folder_class,
        "folder:TotalCount": lambda f: f.total,
        "folder:UnreadCount": lambda f: f.unread,
        "folder:ChildFolderCount": lambda f: len(f.children),
    }

    def reader(uri: etree._Element) -> Callable[[LabFolder], Any]:
        if etree.QName(uri).localname == "ExtendedFieldURI":
            path = extended.path(uri)
            return lambda folder: property_of(session, folder, path)
        known = simple.get(uri.get("FieldURI", ""))
        if known is None:
            raise Refused("ErrorUnsupportedPathForQuery", "The property can not be used in a restriction.")
        return known

    return reader


# -- writing


def create_folder(session: Session, request: etree._Element) -> list[bytes]:
    session.call.write = True
    parent = session.target(request, "ParentFolderId", "ErrorParentFolderNotFound")
    folders = request.find(f"{M}Folders")
    assert folders is not None
    store = session.world.exchange
    classes = {
        "CalendarFolder": "IPF.Appointment",
        "ContactsFolder": "IPF.Contact",
        "TasksFolder": "IPF.Task",
    }

    def one(asked: etree._Element) -> bytes:
        kind = etree.QName(asked).localname
        name = asked.findtext(f"{T}DisplayName") or ""
        if not name:
            raise Refused("ErrorFolderSavePropertyError", "A folder needs a display name.")
        folder_class = (
            asked.findtext(f"{T}FolderClass") or classes.get(kind) or parent.folder_class or "IPF.Note"
        )
        if kind in classes and not folder_class.lower().startswith(classes[kind].lower()):
            raise Refused("ErrorNoFolderClassOverride", "The folder class does not fit the kind of folder.")
        kept = [extended.values(one) for one in asked.findall(f"{T}ExtendedProperty")]
        hidden = any(path.key == 0x10F4 and value for path, value in kept)
        folder = store.create_folder(parent, name, folder_class, hidden=hidden, search=kind == "SearchFolder")
        folder.extra[EXTRA] = {path.key: (path.type, value) for path, value in kept}
        return success("CreateFolder", element("m:Folders", _bare(session, folder)))

    return session.each("CreateFolder", folders, one)


def _bare(session: Session, folder: LabFolder) -> bytes:
    tag = folder_element(folder).encode()
    return b"<t:%b>%b</t:%b>" % (tag, session.folder_id(folder), tag)


def update_folder(session: Session, request: etree._Element) -> list[bytes]:
    session.call.write = True
    changes = request.find(f"{M}FolderChanges")
    assert changes is not None
    store = session.world.exchange

    def one(change: etree._Element) -> bytes:
        folder = session.folder(change[0])
        for update in change[1]:
            if etree.QName(update).localname == "DeleteFolderField":
                _delete_field(folder, update[0])
                continue
            if etree.QName(update).localname != "SetFolderField":
                raise Refused("ErrorInvalidPropertyAppend", "Append action is invalid for property.")
            uri, new = update[0], update[1]
            field = uri.get("FieldURI", "")
            if field == "folder:DisplayName":
                if folder.role:
                    raise Refused("ErrorFolderSave", "A distinguished folder cannot be renamed.")
                store.rename_folder(folder, new.findtext(f"{T}DisplayName") or "")
            elif field == "folder:FolderClass":
                folder.folder_class = new.findtext(f"{T}FolderClass") or ""
                store.touch_folder(folder)
            elif etree.QName(uri).localname == "ExtendedFieldURI":
                holder = new.find(f"{T}ExtendedProperty")
                if holder is None:
                    raise Refused("ErrorIncorrectUpdatePropertyCount", "The update holds no such property.")
                path, value = extended.values(holder)
                if path.key == 0x10F4:
                    folder.hidden = bool(value)
                folder.extra.setdefault(EXTRA, {})[path.key] = (path.type, value)
                store.touch_folder(folder)
            else:
                raise Refused("ErrorInvalidPropertySet", "Set action is invalid for property.")
        return success("UpdateFolder", element("m:Folders", _bare(session, folder)))

    return session.each("UpdateFolder", changes, one)


def _delete_field(folder: LabFolder, uri: etree._Element) -> None:
    if etree.QName(uri).localname == "ExtendedFieldURI":
        folder.extra.get(EXTRA, {}).pop(extended.path(uri).key, None)
    elif (
        uri.get("FieldURI") != "folder:PermissionSet"
    ):  # back to the default permissions, which all folders have here
        raise Refused("ErrorInvalidPropertyDelete", "Delete action is not supported for this property.")


def move_folder(session: Session, request: etree._Element) -> list[bytes]:
    session.call.write = True
    target = session.target(request, "ToFolderId")
    asked_ids = request.find(f"{M}FolderIds")
    assert asked_ids is not None

    def one(asked: etree._Element) -> bytes:
        folder = session.folder(asked)
        if folder.role:
            raise Refused("ErrorMoveDistinguishedFolder", "Distinguished folders cannot be moved.")
        if folder.mailbox is not target.mailbox:
            raise Refused("ErrorCrossMailboxMoveCopy", "The folder cannot be moved to another mailbox.")
        session.world.exchange.move_folder(folder, target)
        return success("MoveFolder", element("m:Folders", _bare(session, folder)))

    return session.each("MoveFolder", asked_ids, one)


def delete_folder(session: Session, request: etree._Element) -> list[bytes]:
    session.call.write = True
    asked_ids = request.find(f"{M}FolderIds")
    assert asked_ids is not None
    hard = request.get("DeleteType") == "HardDelete"

    def one(asked: etree._Element) -> bytes:
        folder = session.folder(asked)
        session.world.exchange.delete_folder(folder, hard=hard or request.get("DeleteType") == "SoftDelete")
        session.call.deleted += 1
        return success("DeleteFolder", b"")

    return session.each("DeleteFolder", asked_ids, one)


def empty_folder(session: Session, request: etree._Element) -> list[bytes]:
    session.call.write = True
    asked_ids = request.find(f"{M}FolderIds")
    assert asked_ids is not None
    how = {"HardDelete": "hard", "SoftDelete": "soft", "MoveToDeletedItems": "trash"}[
        request.get("DeleteType", "")
    ]
    below = request.get("DeleteSubFolders") in ("true", "1")

    def one(asked: etree._Element) -> bytes:
        folder = session.folder(asked)
        store = session.world.exchange
        if below:
            for child in list(folder.children.values()):
                if not child.role:
                    store.delete_folder(child, hard=how != "trash")
        for item in list(folder.items.values()):
            store.delete_item(item, how=how)
            session.call.deleted += 1
        return success("EmptyFolder", b"")

    return session.each("EmptyFolder", asked_ids, one)
