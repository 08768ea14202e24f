"""SyncFolderHierarchy and SyncFolderItems.

Facts this module rests on (MS-OXWSSYNC; learn.microsoft.com/…/maxchangesreturned,
handling-synchronization-related-errors-in-ews-in-exchange):
- at most 512 changes an answer; the state that came back goes with the next request
- newest to oldest from Exchange 2010 SP2 on
- an error message carries no SyncState; ErrorInvalidSyncStateData wants a full listing, ErrorSyncFolderNotFound says
  that the folder is gone
- when nothing changed the state comes back as it was sent
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from lxml import etree

from migrator.lab.changes import START, ChangeKind, Position
from migrator.lab.ews import fields, folderops, syncstate
from migrator.lab.ews.envelope import M, Refused, element, success
from migrator.lab.ews.identity import default_mailbox
from migrator.lab.ews.session import Session
from migrator.lab.ews.syncstate import HIERARCHY, ITEMS, SyncState
from migrator.lab.store import LabFolder

_EVERYTHING = 1_000_000


def _position(session: Session, text: str | None, kind: str, folder: LabFolder, associated: bool) -> Position:
    """Raises Refused for a state that is not of this folder, scope and history."""
    if not (text or "").strip():
        return START
    state = syncstate.decode(text or "")
    if (
        state is None
        or state.kind != kind
        or state.epoch != session.world.sync_epoch
        or state.mailbox != uuid.UUID(folder.mailbox.guid)
        or state.folder != folder.id
        or state.associated != associated
    ):
        raise Refused(
            "ErrorInvalidSyncStateData", "Synchronization state data is corrupt or otherwise invalid."
        )
    return state.position


def _state(session: Session, kind: str, folder: LabFolder, associated: bool, position: Position) -> bytes:
    made = SyncState(
        kind, session.world.sync_epoch, uuid.UUID(folder.mailbox.guid), folder.id, associated, position
    )
    return element("m:SyncState", made.encode())


def sync_folder_items(session: Session, request: etree._Element) -> list[bytes]:
    holder = request.find(f"{M}ItemShape")
    assert holder is not None
    wanted = fields.shape(holder, listing="sync")
    associated = (request.findtext(f"{M}SyncScope") or "").strip() == "NormalAndAssociatedItems"
    limit = min(int(request.findtext(f"{M}MaxChangesReturned") or "1"), session.world.knobs.ews_sync_cap)
    ignored = request.find(f"{M}Ignore")
    skip = {one.get("Id", "") for one in ignored} if ignored is not None else set()

    def one(_: None) -> bytes:
        folder = session.target(request, "SyncFolderId", "ErrorSyncFolderNotFound")
        if folder.search:
            raise Refused("ErrorInvalidFolderTypeForOperation", "Search folders cannot be synchronized.")
        position = _position(session, request.findtext(f"{M}SyncState"), ITEMS, folder, associated)
        keep: Callable[[int], bool] | None = None if associated else folder.normal
        changes, after, last = folder.log.walk(
            position, limit, newest_first=session.profile.newest_first, keep=keep
        )
        maker = session.maker(folder.mailbox)
        parts = []
        for kind, item_id in changes:
            if skip and maker.make(folder.id, item_id) in skip:
                continue
            item = folder.items.get(item_id)
            if kind is ChangeKind.DELETE or item is None:
                # an item that went while this round is told: a client never saw it, unless it is no creation
                if kind is not ChangeKind.CREATE:
                    parts.append(element("t:Delete", session.gone_item_id(folder, item_id)))
            elif kind is ChangeKind.READ:
                flag = element("t:IsRead", b"true" if item.read else b"false")
                parts.append(element("t:ReadFlagChange", session.item_id(item) + flag))
            else:
                tag = "t:Create" if kind is ChangeKind.CREATE else "t:Update"
                parts.append(element(tag, fields.render(fields.View(session, item), wanted)))
        session.call.detail["changes"] = len(parts)
        return success(
            "SyncFolderItems",
            _state(session, ITEMS, folder, associated, after)
            + element("m:IncludesLastItemInRange", "true" if last else "false")
            + element("m:Changes", b"".join(parts)),
        )

    return session.each("SyncFolderItems", (None,), one)


def sync_folder_hierarchy(session: Session, request: etree._Element) -> list[bytes]:
    holder = request.find(f"{M}FolderShape")
    assert holder is not None
    wanted = folderops.shape(session, holder)

    def one(_: None) -> bytes:
        if request.find(f"{M}SyncFolderId") is not None:
            top = session.target(request, "SyncFolderId", "ErrorSyncFolderNotFound")
        else:
            top = default_mailbox(session.who).visible_root
        box = top.mailbox
        position = _position(session, request.findtext(f"{M}SyncState"), HIERARCHY, top, False)
        # oldest first: parents are told before their children
        changes, after, last = box.hierarchy.walk(position, _EVERYTHING, newest_first=False)
        parts = []
        for kind, folder_id in changes:
            folder = box.folders.get(folder_id)
            if folder is None:
                if kind is ChangeKind.DELETE:
                    gone = b'<t:FolderId Id="%b"/>' % session.maker(box).make(folder_id).encode()
                    parts.append(element("t:Delete", gone))
            elif _below(folder, top):
                tag = "t:Create" if kind is ChangeKind.CREATE else "t:Update"
                parts.append(element(tag, folderops.render(session, folder, wanted)))
            elif kind is ChangeKind.UPDATE and folder is not top:
                parts.append(element("t:Delete", session.folder_id(folder)))  # moved out of sight
        return success(
            "SyncFolderHierarchy",
            _state(session, HIERARCHY, top, False, after)
            + element("m:IncludesLastFolderInRange", "true" if last else "false")
            + element("m:Changes", b"".join(parts)),
        )

    return session.each("SyncFolderHierarchy", (None,), one)


def _below(folder: LabFolder, top: LabFolder) -> bool:
    above = folder.parent
    while above is not None:
        if above is top:
            return True
        above = above.parent
    return False
