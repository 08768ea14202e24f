"""Classic mail endpoints: /users/{user}/mailFolders and /messages.

Facts (learn.microsoft.com/graph/api/user-post-messages, mailfolder-*, message-*): folders made here are IPF.Note, lists hide
hidden folders, page size 10; MIME comes as base64 in text/plain and makes a draft; subject, body, recipients and
internetMessageId change on drafts only; move gives a new id; DELETE puts into Deleted Items.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from migrator.lab.changes import ChangeKind
from migrator.lab.folders import ROOT
from migrator.lab.m365 import delta, errors, making, odata, shapes
from migrator.lab.m365.folders import delete as drop_folder
from migrator.lab.m365.folders import extended_of, folder_values, properties_of, set_extended
from migrator.lab.m365.graph import Context, Routes, answer, collection, pick
from migrator.lab.m365.room import Json, root_of, storable, visible_children
from migrator.lab.m365.survival import ONLINE_VERSION
from migrator.lab.store import LabFolder, LabItem
from migrator.mapi.fasttransfer import write
from migrator.mapi.item import Message, Properties

routes = Routes()
READ = ("Mail.Read", "Mail.ReadWrite")
WRITE = ("Mail.ReadWrite",)
_USER = "/users/{user}"
_FOLDERS = _USER + "/mailFolders"
_FOLDER = _FOLDERS + "/{folder}"
_MESSAGE = _USER + "/messages/{message}"
_INSIDE = _FOLDER + "/messages/{message}"
MAX_TOP = 1000
_TYPE = "#microsoft.graph.message"


def kind(context: Context, tail: str) -> str:
    name = context.args.get("user") or context.token.user
    return f"users('{name.replace('@', '%40')}')/{tail}"


# -- folders


def folder_row(context: Context, folder: LabFolder, options: odata.Options) -> Json:
    found: Json = {
        "id": context.room.folder_id(folder),
        "displayName": folder.name,
        "parentFolderId": context.room.folder_id(folder.parent) if folder.parent else None,
        "childFolderCount": len(visible_children(folder, hidden=options.flag("includeHiddenFolders"))),
        "unreadItemCount": folder.unread,
        "totalItemCount": folder.total,
        "sizeInBytes": folder.octets,
        "isHidden": folder.hidden,
    }
    found = pick(found, options.select)
    expand = options.expand.get(odata.EXTENDED)
    if expand is not None:
        found.update(extended_of(folder_values(folder), expand))
    if "childFolders" in options.expand:
        found["childFolders"] = [
            folder_row(context, child, odata.parse("")) for child in visible_children(folder, hidden=False)
        ]
    return found


def _is_mail(folder: LabFolder) -> bool:
    return (folder.folder_class or "IPF.Note").startswith(("IPF.Note", "IPF.Imap")) or folder.role == "outbox"


def _list_folders(context: Context, folders: list[LabFolder], tail: str) -> Any:
    options = odata.parse(context.request.query, max_top=MAX_TOP)
    hidden = options.flag("includeHiddenFolders")
    chosen = [one for one in folders if _is_mail(one) and (hidden or not one.hidden)]
    if options.filter:
        where = odata.where(options.filter)

        def look(folder: LabFolder, path: str) -> Any:
            if path.startswith(odata.EXTENDED + "/"):
                from migrator.lab.m365 import extended

                return extended.lookup(folder_values(folder), extended.parse_id(path.partition("/")[2]))
            return odata.dig(folder_row(context, folder, odata.parse("")), path)

        chosen = [one for one in chosen if where.test(lambda path, f=one: look(f, path))]  # type: ignore[misc]
    page, after = odata.page(chosen, options, context.room.world.knobs.folder_page)
    rows = [folder_row(context, one, options) for one in page]
    return collection(context, kind(context, tail), rows, after, count=len(chosen) if options.count else None)


def _folder(context: Context) -> LabFolder:
    return context.room.folder(context.box, context.args["folder"])


def _one_folder(context: Context, folder: LabFolder, status: int = 200) -> Any:
    options = context.options if context.request.method == "GET" else odata.parse("")
    return answer(
        {
            "@odata.context": f"{context.root}/$metadata#{kind(context, 'mailFolders')}/$entity",
            **folder_row(context, folder, options),
        },
        status,
    )


@routes.on("GET", _FOLDERS, "listMailFolders", *READ)
def list_folders(context: Context) -> Any:
    return _list_folders(context, list(root_of(context.box).children.values()), "mailFolders")


@routes.on("GET", _FOLDERS + "/$count", "countMailFolders", *READ)
def count_folders(context: Context) -> Any:
    return delta.plain_count(sum(map(_is_mail, visible_children(root_of(context.box), hidden=False))))


@routes.on("GET", _FOLDER, "getMailFolder", *READ)
def get_folder(context: Context) -> Any:
    return _one_folder(context, _folder(context))


@routes.on("GET", _FOLDER + "/childFolders", "listMailFolders", *READ)
def list_children(context: Context) -> Any:
    children = list(_folder(context).children.values())
    return _list_folders(context, children, f"mailFolders('{context.args['folder']}')/childFolders")


def _create_folder(context: Context, parent: LabFolder) -> Any:
    body = context.json()
    name = body.get("displayName")
    if not isinstance(name, str) or not name.strip():
        raise errors.bad_request("The property 'displayName' is required.", "ErrorInvalidRequest")
    unknown = {n for n in body if "@" not in n} - {
        "displayName", "isHidden", odata.EXTENDED, "multiValueExtendedProperties",
    }  # fmt: skip
    if unknown:
        raise errors.bad_request(
            f"The property '{sorted(unknown)[0]}' cannot be set on mailFolder.", "RequestBodyRead"
        )
    if parent.search or parent.role == ROOT:
        raise errors.denied()
    values = Properties()
    set_extended(values, body.get(odata.EXTENDED) or [])
    made = context.room.world.m365.create_folder(
        parent, name, "IPF.Note", hidden=body.get("isHidden") is True
    )
    made.extra["properties"] = values
    return _one_folder(context, made, 201)


@routes.on("POST", _FOLDERS, "createMailFolder", *WRITE)
def create_at_root(context: Context) -> Any:
    return _create_folder(context, root_of(context.box))


@routes.on("POST", _FOLDER + "/childFolders", "createMailFolder", *WRITE)
def create_child(context: Context) -> Any:
    return _create_folder(context, _folder(context))


@routes.on("PATCH", _FOLDER, "updateMailFolder", *WRITE)
def update_folder(context: Context) -> Any:
    folder, body = _folder(context), context.json()
    values = Properties(properties_of(folder))
    set_extended(values, body.get(odata.EXTENDED) or [])
    if isinstance(body.get("displayName"), str):
        context.room.world.m365.rename_folder(folder, body["displayName"])
    folder.extra["properties"] = values
    context.room.world.m365.touch_folder(folder)
    return _one_folder(context, folder)


@routes.on("DELETE", _FOLDER, "deleteMailFolder", *WRITE)
def delete_folder(context: Context) -> Any:
    drop_folder(context, _folder(context))


@routes.on("POST", _FOLDER + "/move", "moveMailFolder", *WRITE)
def move_folder(context: Context) -> Any:
    folder, target = _folder(context), destination(context)
    context.room.world.m365.move_folder(folder, target)
    return _one_folder(context, folder, 201)


@routes.on("GET", _FOLDERS + "/delta", "mailFoldersDelta", *READ)
def folders_delta(context: Context) -> Any:
    box, room = context.box, context.room

    def keep(number: int) -> bool:
        folder = box.folders.get(number)
        return folder is None or (bool(folder.path) and not folder.hidden and _is_mail(folder))

    def show(change: ChangeKind, number: int, options: odata.Options) -> Json | None:
        if change is ChangeKind.DELETE:
            return delta.removed("#microsoft.graph.mailFolder", room.gone_folder_id(box, number))
        folder = box.folders.get(number)
        if folder is None:
            return None
        return {"@odata.type": "#microsoft.graph.mailFolder", **folder_row(context, folder, options)}

    return delta.changes(
        context, box.hierarchy, f"{box.guid}/mailFolders", show, "Collection(mailFolder)",
        default=room.world.knobs.folder_page, newest_first=False, keep=keep,
    )  # fmt: skip


# -- messages


def _no_item_kind(item: LabItem) -> bool:
    """Only what Outlook shows as mail: the message endpoints know nothing of contacts and appointments."""
    return not item.facts.item_class.startswith(
        ("IPM.Appointment", "IPM.Contact", "IPM.DistList", "IPM.Task", "IPM.Activity", "IPM.StickyNote")
    )


def list_shape(
    context: Context, folders: list[LabFolder], shape: str, tail: str, keep: Any, *, default: int = 10
) -> Any:
    """A page of the items of some folders in a shape. keep(item): whether this endpoint shows it."""
    room = context.room
    options = odata.parse(context.request.query, max_top=MAX_TOP)
    shapes.check_select(shape, options)
    if len(folders) == 1:
        source: Iterator[LabItem] = (item for item in folders[0].newest() if keep(item))
    else:
        everything = [item for folder in folders for item in folder.newest() if keep(item)]
        everything.sort(key=lambda item: item.facts.received or item.created, reverse=True)
        source = iter(everything)
    if options.filter:
        where = odata.where(options.filter)
        source = (
            item
            for item in source
            if where.test(lambda path, i=item: shapes.look(room, i, shape, path))  # type: ignore[misc]
        )
    total: int | None = None
    if options.orderby or options.count:
        chosen = odata.ordered(source, options.orderby, lambda i, path: shapes.look(room, i, shape, path))
        total = len(chosen)
        source = iter(chosen)
    top = options.top or default
    page = list(islice(source, options.skip, options.skip + top + 1))
    after = options.skip + top if len(page) > top else None
    rows = [shapes.show(room, item, shape, options) for item in page[:top]]
    return collection(context, kind(context, tail), rows, after, count=total if options.count else None)


def _message(context: Context) -> LabItem:
    folder = _folder(context) if "folder" in context.args else None
    return context.room.item(context.box, context.args["message"], folder)


def show_one(context: Context, item: LabItem, shape: str, tail: str, status: int = 200) -> Any:
    options = context.options if context.request.method == "GET" else odata.parse("")
    shapes.check_select(shape, options)
    return answer(
        {
            "@odata.context": f"{context.root}/$metadata#{kind(context, tail)}/$entity",
            **shapes.show(context.room, item, shape, options),
        },
        status,
    )


@routes.on("GET", _USER + "/messages", "listMessages", *READ)
def list_all(context: Context) -> Any:
    folders = [folder for folder in context.box.visible() if not folder.search]
    return list_shape(context, folders, "message", "messages", _no_item_kind)


@routes.on("GET", _FOLDER + "/messages", "listMessages", *READ)
def list_messages(context: Context) -> Any:
    tail = f"mailFolders('{context.args['folder']}')/messages"
    return list_shape(context, [_folder(context)], "message", tail, _no_item_kind)


@routes.on("GET", _FOLDER + "/messages/$count", "countMessages", *READ)
def count_messages(context: Context) -> Any:
    options, room = context.options, context.room
    found = [item for item in _folder(context).newest() if _no_item_kind(item)]
    if options.filter:
        where = odata.where(options.filter)
        found = [i for i in found if where.test(lambda path, i=i: shapes.look(room, i, "message", path))]  # type: ignore[misc]
    return delta.plain_count(len(found))


@routes.on("GET", _FOLDER + "/messages/delta", "messagesDelta", *READ)
def messages_delta(context: Context) -> Any:
    folder, box, room = _folder(context), context.box, context.room

    def show(change: ChangeKind, number: int, options: odata.Options) -> Json | None:
        if change is ChangeKind.DELETE:
            return delta.removed(_TYPE, room.gone_item_id(box, number))
        item = folder.items.get(number)
        if item is None or not _no_item_kind(item):
            return None
        if change is ChangeKind.READ:
            return {"@odata.type": _TYPE, "id": room.item_id(item), "isRead": item.facts.read}
        return {"@odata.type": _TYPE, **shapes.show(room, item, "message", options)}

    return delta.changes(
        context, folder.log, f"{box.guid}/messages/{folder.id}", show, "Collection(message)",
        default=room.world.knobs.item_page, keep=folder.normal,
    )  # fmt: skip


@routes.on("GET", _MESSAGE, "getMessage", *READ)
def get_message(context: Context) -> Any:
    return show_one(context, _message(context), "message", "messages")


@routes.on("GET", _INSIDE, "getMessage", *READ)
def get_inside(context: Context) -> Any:
    return show_one(context, _message(context), "message", "messages")


def store(context: Context, folder: LabFolder, message: Message) -> LabItem:
    """Put a made tree into a folder. Raises StoreError."""
    if not storable(folder):
        raise errors.denied()
    stream = bytes(write(message, version=ONLINE_VERSION))
    item = context.room.world.m365.add_item(folder, stream, created=context.room.world.clock.utc())
    context.call.stored(item, stream)
    return item


def rewrite(context: Context, item: LabItem, message: Message) -> None:
    """Put a changed tree in an item's place."""
    stream = bytes(write(message, version=ONLINE_VERSION))
    context.room.world.m365.update_item(item, stream)
    context.call.stored(item, stream, update=True)


def _create(context: Context, folder: LabFolder, *, mime: bool) -> Any:
    now = context.room.world.clock.utc()
    media = context.request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media == "text/plain":
        if not mime:
            raise errors.bad_request(
                "MIME content is taken by /messages only.", "UnableToDeserializePostBody"
            )
        message = making.draft(bytes(context.request.body), now)
    elif media == "application/json":
        message = making.message(context.json(), now)
    else:
        raise errors.GraphError(415, "RequestBodyRead", "The content type is not supported.")
    item = store(context, folder, message)
    return show_one(context, item, "message", "messages", 201)


@routes.on("POST", _USER + "/messages", "createMessage", *WRITE)
def create_message(context: Context) -> Any:
    return _create(context, context.box.roles["drafts"], mime=True)


@routes.on("POST", _FOLDER + "/messages", "createMessage", *WRITE)
def create_inside(context: Context) -> Any:
    return _create(context, _folder(context), mime=False)


_DRAFT_ONLY = {
    "subject", "body", "internetMessageId", "toRecipients", "ccRecipients", "bccRecipients", "from", "sender", "replyTo",
}  # fmt: skip


@routes.on("PATCH", _MESSAGE, "updateMessage", *WRITE)
def update_message(context: Context) -> Any:
    item, body = _message(context), context.json()
    making.check_names(body, "message")
    if not item.facts.draft and _DRAFT_ONLY & body.keys():
        raise errors.bad_request(
            "The operation cannot be performed because the item is not a draft.", "ErrorInvalidPropertySet"
        )
    changes = {name: value for name, value in body.items() if name != "isRead"}
    if changes:
        message = item.message()
        making.set_message(message, changes)
        given = Properties()
        set_extended(given, changes.get(odata.EXTENDED) or [])
        given.pop(0x0E07, None)  # honoured at creation only
        message.properties.update(given)
        rewrite(context, item, message)
    if isinstance(body.get("isRead"), bool):
        context.room.world.m365.mark_read(item, body["isRead"])
    return show_one(context, item, "message", "messages")


@routes.on("PATCH", _INSIDE, "updateMessage", *WRITE)
def update_inside(context: Context) -> Any:
    return update_message(context)


def destination(context: Context) -> LabFolder:
    body = context.json()
    wanted = body.get("destinationId", body.get("DestinationId"))
    if not isinstance(wanted, str) or not wanted:
        raise errors.bad_request("The parameter 'destinationId' is required.", "ErrorInvalidRequest")
    return context.room.folder(context.box, wanted)


def _move(context: Context) -> Any:
    item, folder = _message(context), destination(context)
    if not storable(folder):
        raise errors.denied()
    moved = context.room.world.m365.move_item(item, folder)
    return show_one(context, moved, "message", "messages", 201)


def _copy(context: Context) -> Any:
    item, folder = _message(context), destination(context)
    if not storable(folder):
        raise errors.denied()
    copied = context.room.world.m365.copy_item(item, folder)
    context.call.stored(copied, copied.stream())
    return show_one(context, copied, "message", "messages", 201)


def _delete(context: Context) -> None:
    item = _message(context)
    context.room.world.m365.delete_item(item, how="soft" if item.folder.role == "deleteditems" else "trash")
    context.call.deleted = 1


def _purge(context: Context) -> None:
    """To the Purges folder, from where only time takes it away."""
    item, box = _message(context), context.box
    context.room.world.m365.move_item(item, box.roles["recoverableitemspurges"])
    context.call.deleted = 1


for _path in (_MESSAGE, _INSIDE):
    routes.on("POST", _path + "/move", "moveMessage", *WRITE)(_move)
    routes.on("POST", _path + "/copy", "copyMessage", *WRITE)(_copy)
    routes.on("DELETE", _path, "deleteMessage", *WRITE)(_delete)
routes.on("POST", _MESSAGE + "/permanentDelete", "purgeMessage", *WRITE)(_purge)
