"""ExportItems and UploadItems: whole items as streams.

Facts this module rests on (MS-OXWSBTRF 3.1.4; learn.microsoft.com/…/exportitems-operation, uploaditems-operation):
- answers come in request order; an item that fails is an error message in its place
- CreateNew ignores an ItemId; Update and UpdateOrCreate without one are a SOAP fault; Update of an item that is not in
  that folder is ErrorItemNotFound, UpdateOrCreate then creates
- an answer cut by the server ends with "=== Truncated Data ===" (exportitems, 2026)

The export path puts ready pieces together: no XML library, no copy of the data beyond its base64 form.
"""

from __future__ import annotations

import binascii

import pybase64
from lxml import etree

from migrator.lab.ews.envelope import Fault, M, Refused, T, success
from migrator.lab.ews.session import Session, from_store
from migrator.lab.faults import Action
from migrator.lab.store import LabFolder, LabItem, StoreError

_HEAD = b'<m:ExportItemsResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>'
_DATA, _TAIL = b"<m:Data>", b"</m:Data></m:ExportItemsResponseMessage>"


def export_items(session: Session, request: etree._Element) -> list[bytes]:
    """The answer as many buffers: the data of each item is one of its own."""
    asked_ids = request.find(f"{M}ItemIds")
    assert asked_ids is not None
    parts: list[bytes] = []
    stopped: Refused | None = None
    faults = bool(session.world.faults.rules)
    for asked in asked_ids:
        try:
            if stopped is not None:
                raise stopped
            item = session.item(asked)
            tail = session.item_fault(item) if faults else b""
            data = item.base64()
        except Refused as refused:
            parts.append(session.refuse("ExportItems", refused))
            if refused.code == "ErrorBatchProcessingStopped":
                stopped = refused
            continue
        except StoreError as problem:
            parts.append(session.refuse("ExportItems", from_store(problem)))
            continue
        parts += (_HEAD, session.item_id(item, b"m:ItemId"), _DATA, data)
        if tail:
            # the server gave up in mid-item: what was there so far, then the mark
            parts[-1] = data[: len(data) // 2] + tail
        parts.append(_TAIL)
    return parts


def upload_items(session: Session, request: etree._Element) -> list[bytes]:
    session.call.write = True
    items = request.find(f"{M}Items")
    assert items is not None
    for asked in items:
        if asked.get("CreateAction") != "CreateNew" and asked.find(f"{T}ItemId") is None:
            raise Fault(
                "ErrorInvalidRequest",
                "An ItemId is required for the create actions Update and UpdateOrCreate.",
            )

    def one(asked: etree._Element) -> bytes:
        parent = asked.find(f"{T}ParentFolderId")
        assert parent is not None
        folder = session.folder(_as_folder_id(parent))
        action, item_id = asked.get("CreateAction"), asked.find(f"{T}ItemId")
        old: LabItem | None = None
        if action != "CreateNew" and item_id is not None:
            old = _existing(session, item_id, folder)
            if old is None and action == "Update":
                raise Refused("ErrorItemNotFound", "The specified object was not found in the store.")
        raw = _octets(asked.findtext(f"{T}Data") or "")
        scripted = session.call.item_fault(size=len(raw))
        if scripted is not None and scripted.code:
            raise _scripted(scripted)
        associated = asked.get("IsAssociated") in ("true", "1")
        store = session.world.exchange
        if old is not None:
            store.update_item(old, raw)
            item = old
        else:
            item = store.add_item(folder, raw, associated=associated)
        session.call.stored(item, raw, update=old is not None)
        return success("UploadItems", session.item_id(item, b"m:ItemId"))

    return session.each("UploadItems", items, one)


def _scripted(action: Action) -> Refused:
    values = (("BackOffMilliseconds", str(action.back_off_ms)),) if action.back_off_ms else ()
    return Refused(action.code, action.message, values=values)


def _as_folder_id(parent: etree._Element) -> etree._Element:
    made = etree.Element(f"{T}FolderId")
    made.set("Id", parent.get("Id", ""))
    return made


def _existing(session: Session, item_id: etree._Element, folder: LabFolder) -> LabItem | None:
    try:
        item = session.item(item_id, writing=True)
    except Refused as refused:
        if refused.code == "ErrorItemNotFound":
            return None
        raise
    return item if item.folder is folder else None


def _octets(data: str) -> bytes:
    try:
        return pybase64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        pass
    try:
        return pybase64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Refused("ErrorCorruptData", "The data is not valid base64.") from None
