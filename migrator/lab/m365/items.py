"""Items of the import/export API: list, get, delta, delete, exportItems.

Facts (learn.microsoft.com/graph/api/mailboxfolder-list-items, mailboxitem-delta, mailboxfolder-delete-items,
mailbox-exportitems): 10 a page by default; everything beyond id, change key, class, size, categories and two dates comes by
$expand; `disposalType` is mandatory for deletion, hardDelete is 403 under a hold; exportItems takes 20 ids at most, tells
each item's failure in its own member, in no certain order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from migrator.lab.changes import ChangeKind
from migrator.lab.describe import READ as READ_FLAG
from migrator.lab.http import Buffer, Response
from migrator.lab.m365 import delta, errors, extended, odata
from migrator.lab.m365.folders import extended_of
from migrator.lab.m365.graph import JSON_TYPE, Context, Routes, collection, pick
from migrator.lab.store import CorruptStream, LabFolder, LabItem
from migrator.mapi.item import INT32, STRING, TIME, Key, Properties

routes = Routes()
READ = ("MailboxItem.Read.All", "MailboxItem.ReadWrite.All")
WRITE = ("MailboxItem.ReadWrite.All",)
EXPORT = ("MailboxItem.Export.All", "MailboxItem.ImportExport.All")
_MAILBOX = "/admin/exchange/mailboxes/{mailbox}"
_ITEMS = _MAILBOX + "/folders/{folder}/items"
_TYPE = "#microsoft.graph.mailboxItem"
MAX_TOP = 1000
EXPORT_LIMIT = 20


def values_of(item: LabItem, keys: Sequence[Key] | None = None) -> Properties:
    """The item's properties at top level, with those that the store computes. keys: all that will be asked for.

    Where the listing facts have everything the stream is not read.
    """
    if keys is not None and all(key in _FACTS for key in keys):
        found = Properties()
        for key in keys:
            assert isinstance(key, int)
            _FACTS[key](item, found)
        return found
    found = Properties(item.message().properties)
    found.set(0x0E08, INT32, min(item.size, 2**31 - 1))
    found.set(0x3008, TIME, item.modified)
    found.set(0x0E1B, 0x000B, item.facts.has_attachments)
    found.set(0x0E69, 0x000B, item.facts.read)
    return found


def _text(key: int, name: str) -> Any:
    def put(item: LabItem, into: Properties) -> None:
        value = getattr(item.facts, name)
        if value:
            into.set(key, STRING, value)

    return put


def _time(key: int, name: str) -> Any:
    def put(item: LabItem, into: Properties) -> None:
        value = getattr(item.facts, name)
        if value is not None:
            into.set(key, TIME, value)

    return put


def _binary(item: LabItem, into: Properties) -> None:
    if item.facts.search_key:
        into.set(0x300B, 0x0102, item.facts.search_key)


def _message_flags(item: LabItem, into: Properties) -> None:
    into.set(0x0E07, INT32, item.facts.flags & ~READ_FLAG | (READ_FLAG if item.facts.read else 0))


_FACTS: dict[Key, Any] = {
    0x001A: _text(0x001A, "item_class"),
    0x0037: _text(0x0037, "subject"),
    0x1035: _text(0x1035, "message_id"),
    0x300B: _binary,
    0x0E06: _time(0x0E06, "received"),
    0x0039: _time(0x0039, "sent"),
    0x0E07: _message_flags,
    0x0E08: lambda item, into: into.set(0x0E08, INT32, min(item.size, 2**31 - 1)),
    0x3008: lambda item, into: into.set(0x3008, TIME, item.modified),
    0x0E69: lambda item, into: into.set(0x0E69, 0x000B, item.facts.read),
    0x0E1B: lambda item, into: into.set(0x0E1B, 0x000B, item.facts.has_attachments),
}


def row(context: Context, item: LabItem, options: odata.Options) -> dict[str, Any]:
    """An item as a mailboxItem."""
    room = context.room
    key = room.long_key(item)
    found: dict[str, Any] = {
        "@odata.type": _TYPE,
        "@odata.etag": f'W/"{key}"',
        "id": room.item_id(item),
        "createdDateTime": extended.iso(item.created),
        "lastModifiedDateTime": extended.iso(item.modified),
        "changeKey": key,
        "categories": list(item.facts.categories),
        "type": item.facts.item_class,
        "size": item.size,
    }
    found = pick(found, options.select)
    for name, expand in options.expand.items():
        if name == odata.EXTENDED:
            keys = [parsed.key for parsed in map(property_id, odata.property_ids(expand))]
            found.update(extended_of(values_of(item, keys), expand))
        elif name == "multiValueExtendedProperties":
            found.update(_multiple(item, expand))
        else:
            raise odata.ODataError(
                f"Could not find a property named '{name}' on type 'microsoft.graph.mailboxItem'."
            )
    return found


def property_id(text: str) -> extended.ExtendedId:
    try:
        return extended.parse_id(text)
    except extended.BadId as error:
        raise errors.bad_request(f"The property id '{text}' is invalid.", "ErrorInvalidProperty") from error


def _multiple(item: LabItem, expand: odata.Expand) -> dict[str, Any]:
    values = values_of(item)
    found = []
    for wanted in map(property_id, odata.property_ids(expand)):
        typed = values.typed(wanted.key)
        if typed is not None and wanted.many and typed.type == wanted.type:
            found.append(
                {"id": str(wanted), "value": [extended.write_value(typed.type, v) for v in typed.value]}
            )
    return {"multiValueExtendedProperties": found} if found else {}


_NAMES: dict[str, Callable[[LabItem], Any]] = {
    "receivedDateTime": lambda item: item.facts.received,
    "createdDateTime": lambda item: item.created,
    "lastModifiedDateTime": lambda item: item.modified,
    "size": lambda item: item.size,
    "type": lambda item: item.facts.item_class,
    "categories": lambda item: ",".join(item.facts.categories),
}


def look(context: Context, item: LabItem, path: str) -> Any:
    """The value behind a path of $filter or $orderby."""
    if path.startswith(odata.EXTENDED + "/"):
        if not context.room.world.knobs.filter_extended:
            raise odata.ODataError("The filter is not supported.", "ErrorInvalidUrlQueryFilter")
        wanted = property_id(path.partition("/")[2])
        return extended.lookup(values_of(item, [wanted.key]), wanted)
    if path in ("id", "changeKey"):
        return context.room.item_id(item) if path == "id" else context.room.long_key(item)
    name = _NAMES.get(path)
    if name is None:
        raise odata.ODataError(
            f"Could not find a property named '{path}' on type 'microsoft.graph.mailboxItem'."
        )
    return name(item)


def _folder(context: Context) -> LabFolder:
    return context.room.folder(context.box, context.args["folder"])


def _kind(context: Context) -> str:
    return f"admin/exchange/mailboxes/{context.args['mailbox']}/folders('{context.args['folder']}')/items"


@routes.on("GET", _ITEMS, "listItems", *READ)
def list_items(context: Context) -> Any:
    folder = _folder(context)
    options = odata.parse(context.request.query, max_top=MAX_TOP)
    default = context.room.world.knobs.item_page
    size = context.prefers("odata.maxpagesize")
    if size.isdigit() and int(size):
        default = min(int(size), MAX_TOP)
    if not options.filter and not options.orderby:
        # The common case reads only the page: folders may hold a million items.
        top = options.top or default
        page = list(islice(folder.newest(), options.skip, options.skip + top))
        total = folder.total
        after = options.skip + len(page) if options.skip + len(page) < total and page else None
    else:
        chosen = list(folder.newest())
        if options.filter:
            where = odata.where(options.filter)
            chosen = [item for item in chosen if where.test(lambda path, i=item: look(context, i, path))]  # type: ignore[misc]
        if options.orderby:
            chosen = odata.ordered(chosen, options.orderby, lambda i, path: look(context, i, path))
        rest, after = odata.page(chosen, options, default)
        page, total = list(rest), len(chosen)
    rows = [row(context, item, options) for item in page]
    return collection(context, _kind(context), rows, after, count=total if options.count else None)


@routes.on("GET", _ITEMS + "/$count", "countItems", *READ)
def count_items(context: Context) -> Any:
    folder, options = _folder(context), context.options
    if not options.filter:
        return delta.plain_count(folder.total)
    where = odata.where(options.filter)
    return delta.plain_count(
        sum(1 for item in folder.newest() if where.test(lambda path, i=item: look(context, i, path)))  # type: ignore[misc]
    )


@routes.on("GET", _ITEMS + "/{item}", "getItem", *READ)
def get_item(context: Context) -> Any:
    item = context.room.item(context.box, context.args["item"], _folder(context))
    return {
        "@odata.context": f"{context.root}/$metadata#{_kind(context)}/$entity",
        **row(context, item, context.options),
    }


@routes.on("GET", _ITEMS + "/delta", "itemsDelta", *READ)
def items_delta(context: Context) -> Any:
    folder, box, room = _folder(context), context.box, context.room
    options = context.options
    _check_delta(options)

    def show(kind: ChangeKind, number: int, options: odata.Options) -> dict[str, Any] | None:
        if kind is ChangeKind.DELETE:
            return delta.removed(_TYPE, room.gone_item_id(box, number))
        item = folder.items.get(number)
        if item is None:  # gone since the round began: the next one tells it
            return None
        if options.filter and not odata.where(options.filter).test(lambda path: look(context, item, path)):
            return None
        return row(context, item, options)

    return delta.changes(
        context,
        folder.log,
        f"{box.guid}/items/{folder.id}",
        show,
        "Collection(mailboxItem)",
        default=room.world.knobs.item_page,
        keep=folder.normal,
    )


def _check_delta(options: odata.Options) -> None:
    """Only what the page on item delta allows."""
    if options.filter and not options.filter.replace(" ", "").lower().startswith("receiveddatetimeg"):
        raise odata.ODataError(
            "The query specified in the URI is not valid. Only receivedDateTime may be filtered on.",
            "ErrorInvalidUrlQueryFilter",
        )
    if options.orderby and options.orderby != (("receivedDateTime", True),):
        raise odata.ODataError("Only receivedDateTime desc may be ordered by.", "ErrorInvalidUrlQuery")


@routes.on("DELETE", _ITEMS + "/{item}", "deleteItem", *WRITE)
def delete_item(context: Context) -> Any:
    room, options = context.room, context.options
    how = options.others.get("disposaltype", "").lower()
    if not how and not room.world.knobs.delete_disposal_required:
        how = "softdelete"
    if how not in ("softdelete", "harddelete"):
        raise errors.bad_request(
            "The query parameter 'disposalType' is required and must be softDelete or hardDelete.",
            "ErrorInvalidRequest",
        )
    item = room.item(context.box, context.args["item"], _folder(context))
    if how == "harddelete" and context.box.on_hold and room.world.knobs.hard_delete_on_hold >= 400:
        raise errors.GraphError(
            room.world.knobs.hard_delete_on_hold,
            "ErrorAccessDenied",
            "The item cannot be hard-deleted: it is protected by a hold or a retention policy.",
        )
    room.world.m365.delete_item(item, how="hard" if how == "harddelete" else "soft")
    context.call.deleted = 1


@routes.on("POST", _MAILBOX + "/exportItems", "exportItems", *EXPORT, write=False)
def export_items(context: Context) -> Any:
    body = context.json()
    ids = body.get("itemIds", body.get("ItemIds"))
    if not isinstance(ids, list) or not ids or not all(isinstance(one, str) for one in ids):
        raise errors.bad_request("The parameter 'itemIds' is required.", "ErrorInvalidRequest")
    if len(ids) > EXPORT_LIMIT:
        raise errors.bad_request(
            f"The number of items to export exceeds the maximum of {EXPORT_LIMIT}.", "ErrorInvalidRequest"
        )
    world = context.room.world
    parts = [_export_one(context, one) for one in ids]
    if world.knobs.export_shuffles and len(parts) > 1:
        world.random.shuffle(parts)
    head = f'{{"@odata.context":"{context.root}/$metadata#Collection(microsoft.graph.exportItemResponse)","value":['
    pieces: list[Buffer] = [head.encode()]
    for number, part in enumerate(parts):
        if number:
            pieces.append(b",")
        pieces += part
    pieces.append(b"]}")
    limit = world.knobs.export_response_octets
    if limit and sum(map(len, pieces)) > limit:
        raise errors.GraphError(504, "UnknownError", "")
    return Response(200, [("Content-Type", JSON_TYPE)], pieces)


def _export_one(context: Context, item_id: str) -> list[Buffer]:
    """The member for one item, as buffers: a large item's data is not copied."""
    shown = json.dumps(item_id)
    try:
        item = context.room.item(context.box, item_id)
    except errors.GraphError as error:
        return _failed(context, shown, error.code, error.message)
    action = context.call.item_fault(item)
    if action is not None and action.code:
        return _failed(context, shown, action.code, action.message)
    try:
        data = item.base64()
    except CorruptStream:
        return _failed(context, shown, "ErrorCorruptData", "Data is corrupt.")
    start = f'{{"itemId":{shown},"changeKey":"{context.room.long_key(item)}","data":"'
    tail = action.tail if action is not None else b""
    if tail:
        return [start.encode(), data[: len(data) // 2], tail, b'"}']
    return [start.encode(), data, b'"}']


def _failed(context: Context, item_id: str, code: str, message: str) -> list[Buffer]:
    name = context.room.world.knobs.export_error_key
    error = json.dumps({"code": code, "message": message})
    return [f'{{"itemId":{item_id},"{name}":{error}}}'.encode()]
