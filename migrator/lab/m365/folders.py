"""Mailbox folders of the import/export API: /admin/exchange/mailboxes/{mailbox}/folders.

Facts (learn.microsoft.com/graph/api/mailbox-list-folders, mailbox-post-folders, mailboxfolder-*): a list has 10 folders a
page unless $top says otherwise; `type` (the container class) must be given at creation; well-known names stand for ids;
`wellKnownName` and `parentMailboxUrl` came later and are left out where a knob says so.
"""

from __future__ import annotations

from typing import Any

from migrator.lab.changes import ChangeKind
from migrator.lab.folders import ROOT, VISIBLE_ROOT
from migrator.lab.m365 import delta, errors, extended, odata
from migrator.lab.m365.graph import Context, Routes, answer, collection, pick
from migrator.lab.m365.room import root_of, visible_children
from migrator.lab.store import LabFolder
from migrator.mapi.item import Properties

routes = Routes()
READ = ("MailboxFolder.Read.All", "MailboxFolder.ReadWrite.All")
WRITE = ("MailboxFolder.ReadWrite.All",)
_BASE = "/admin/exchange/mailboxes/{mailbox}/folders"
_ONE = _BASE + "/{folder}"
_CHILD = _ONE + "/childFolders/{child}"
MAX_TOP = 999
_TYPE = "#microsoft.graph.mailboxFolder"


def properties_of(folder: LabFolder) -> Properties:
    """The folder's own extended properties."""
    found = folder.extra.setdefault("properties", Properties())
    assert isinstance(found, Properties)
    return found


def row(context: Context, folder: LabFolder, options: odata.Options) -> dict[str, Any]:
    """A folder as a mailboxFolder."""
    room, knobs = context.room, context.room.world.knobs
    found: dict[str, Any] = {
        "@odata.type": _TYPE,
        "id": room.folder_id(folder),
        "displayName": folder.name,
        "parentFolderId": room.folder_id(folder.parent) if folder.parent else None,
        "childFolderCount": len(visible_children(folder, hidden=options.flag("includeHiddenFolders"))),
        "totalItemCount": folder.total,
        "type": folder.folder_class or None,
    }
    if knobs.parent_mailbox_url:
        found["parentMailboxUrl"] = (
            f"{context.root}/admin/exchange/mailboxes/{room.mailbox_id(folder.mailbox)}"
        )
    if knobs.well_known_name:
        found["wellKnownName"] = folder.role or None
    found = pick(found, options.select)
    expand = options.expand.get(odata.EXTENDED)
    if expand is not None:
        found.update(extended_of(folder_values(folder), expand))
    return found


def folder_values(folder: LabFolder) -> Properties:
    """Stored extended properties with those that every folder has."""
    values = Properties(properties_of(folder))
    values.set(0x3001, 0x001F, folder.name)
    values.set(0x3613, 0x001F, folder.folder_class)
    values.set(0x66B5, 0x001F, "".join("\ufffe" + name for name in folder.path) or "\ufffe")
    values.set(0x0E08, 0x0014, folder.octets)
    # PidTagFolderType: 0 root, 1 generic, 2 search
    values.set(0x3601, 0x0003, 2 if folder.search else 0 if folder.parent is None else 1)
    values.set(0x3602, 0x0003, folder.total)
    values.set(0x3603, 0x0003, folder.unread)
    values.set(0x10F4, 0x000B, folder.hidden)
    return values


def extended_of(properties: Properties, expand: odata.Expand) -> dict[str, Any]:
    """The `singleValueExtendedProperties` member that an $expand asks for; nothing where the object has none of them."""
    try:
        wanted = [extended.parse_id(text) for text in odata.property_ids(expand)]
    except extended.BadId as error:
        raise errors.bad_request(f"The property id '{error}' is invalid.", "ErrorInvalidProperty") from error
    found = []
    for one in wanted:
        value = extended.lookup(properties, one)
        if value is not None:
            found.append({"id": str(one), "value": value})
    return {odata.EXTENDED: found} if found else {}


def set_extended(properties: Properties, given: Any) -> None:
    """Put the `singleValueExtendedProperties` of a request. Raises GraphError 400."""
    if not isinstance(given, list):
        raise errors.bad_request("singleValueExtendedProperties must be a collection.", "BadRequest")
    for one in given:
        try:
            wanted = extended.parse_id(str(one["id"]))
            value = one.get("value")
            if value is None:
                properties.pop(wanted.key, None)
            else:
                properties.set(wanted.key, wanted.type, extended.read_value(wanted.type, str(value)))
        except (extended.BadId, extended.BadValue, KeyError, TypeError, ValueError) as error:
            raise errors.bad_request(
                f"The extended property is invalid: {error}", "ErrorInvalidProperty"
            ) from error


def listing(context: Context, folders: list[LabFolder], kind: str) -> dict[str, Any]:
    options = odata.parse(context.request.query, max_top=MAX_TOP)
    hidden = options.flag("includeHiddenFolders")
    chosen = [folder for folder in folders if hidden or not folder.hidden]
    if options.filter:
        where = odata.where(options.filter)
        chosen = [folder for folder in chosen if where.test(lambda path, f=folder: _look(context, f, path))]  # type: ignore[misc]
    if options.orderby:
        chosen = odata.ordered(chosen, options.orderby, lambda f, path: _look(context, f, path))
    page, after = odata.page(chosen, options, context.room.world.knobs.folder_page)
    rows = [row(context, folder, options) for folder in page]
    return collection(context, kind, rows, after, count=len(chosen) if options.count else None)


_PLAIN = odata.parse("")


def _look(context: Context, folder: LabFolder, path: str) -> Any:
    if path.startswith(odata.EXTENDED + "/"):
        wanted = extended.parse_id(path.partition("/")[2])
        return extended.lookup(folder_values(folder), wanted)
    full = row(context, folder, _PLAIN)
    if path not in full and path not in ("wellKnownName", "parentMailboxUrl"):
        raise odata.ODataError(
            f"Could not find a property named '{path}' on type 'microsoft.graph.mailboxFolder'."
        )
    return full.get(path)


def _kind(context: Context, tail: str = "") -> str:
    return f"admin/exchange/mailboxes/{context.args['mailbox']}/folders{tail}"


@routes.on("GET", _BASE, "listFolders", *READ)
def list_folders(context: Context) -> Any:
    """The folders below the root that users see, search folders too."""
    return listing(context, list(root_of(context.box).children.values()), _kind(context))


@routes.on("GET", _BASE + "/$count", "countFolders", *READ)
def count_folders(context: Context) -> Any:
    return delta.plain_count(len(visible_children(root_of(context.box), hidden=False)))


@routes.on("GET", _ONE, "getFolder", *READ)
def get_folder(context: Context) -> Any:
    folder = context.room.folder(context.box, context.args["folder"])
    return {
        "@odata.context": f"{context.root}/$metadata#{_kind(context)}/$entity",
        **row(context, folder, context.options),
    }


@routes.on("GET", _ONE + "/childFolders", "listChildFolders", *READ)
def list_children(context: Context) -> Any:
    folder = context.room.folder(context.box, context.args["folder"])
    return listing(
        context,
        list(folder.children.values()),
        _kind(context, f"('{context.args['folder']}')/childFolders"),
    )


@routes.on("GET", _CHILD, "getFolder", *READ)
def get_child(context: Context) -> Any:
    folder = _child(context)
    return {
        "@odata.context": f"{context.root}/$metadata#{_kind(context)}/$entity",
        **row(context, folder, context.options),
    }


def _child(context: Context) -> LabFolder:
    parent = context.room.folder(context.box, context.args["folder"])
    folder = context.room.folder(context.box, context.args["child"])
    if folder.parent is not parent:
        raise errors.no_folder()
    return folder


def create(context: Context, parent: LabFolder) -> Any:
    body = context.json()
    name, kind = body.get("displayName"), body.get("type")
    if not isinstance(name, str) or not name.strip():
        raise errors.bad_request("The property 'displayName' is required.", "ErrorInvalidRequest")
    if not isinstance(kind, str) or not kind.upper().startswith("IPF"):
        raise errors.bad_request(
            "The property 'type' is required and must be a container class such as IPF.Note.",
            "ErrorInvalidRequest",
        )
    if parent.search or parent.role == ROOT:
        raise errors.denied()
    values = Properties()
    if body.get(odata.EXTENDED) is not None:
        set_extended(values, body[odata.EXTENDED])
    folder = context.room.world.m365.create_folder(parent, name, kind)
    folder.extra["properties"] = values
    context.call.detail["folder"] = folder.id
    return answer(
        {
            "@odata.context": f"{context.root}/$metadata#{_kind(context)}/$entity",
            **row(context, folder, _PLAIN),
        },
        201,
    )


@routes.on("POST", _BASE, "createFolder", *WRITE)
def create_at_root(context: Context) -> Any:
    return create(context, root_of(context.box))


@routes.on("POST", _ONE + "/childFolders", "createFolder", *WRITE)
def create_child(context: Context) -> Any:
    return create(context, context.room.folder(context.box, context.args["folder"]))


def update(context: Context, folder: LabFolder) -> Any:
    body = context.json()
    store = context.room.world.m365
    values = Properties(properties_of(folder))
    if body.get(odata.EXTENDED) is not None:
        set_extended(values, body[odata.EXTENDED])
    name = body.get("displayName")
    if name is not None:
        if not isinstance(name, str):
            raise errors.bad_request("displayName must be a string.", "BadRequest")
        store.rename_folder(folder, name)
    folder.extra["properties"] = values
    store.touch_folder(folder)
    return {
        "@odata.context": f"{context.root}/$metadata#{_kind(context)}/$entity",
        **row(context, folder, _PLAIN),
    }


@routes.on("PATCH", _ONE, "updateFolder", *WRITE)
def update_folder(context: Context) -> Any:
    return update(context, context.room.folder(context.box, context.args["folder"]))


@routes.on("PATCH", _CHILD, "updateFolder", *WRITE)
def update_child(context: Context) -> Any:
    return update(context, _child(context))


def delete(context: Context, folder: LabFolder) -> None:
    """To Deleted Items, as Outlook does; from there for good. What the service does here is not written down."""
    context.call.deleted = 1
    trash = context.box.roles["deleteditems"]
    above: LabFolder | None = folder.parent
    while above is not None and above is not trash:
        above = above.parent
    context.room.world.m365.delete_folder(folder, hard=above is trash)


@routes.on("DELETE", _ONE, "deleteFolder", *WRITE)
def delete_folder(context: Context) -> Any:
    delete(context, context.room.folder(context.box, context.args["folder"]))


@routes.on("DELETE", _CHILD, "deleteFolder", *WRITE)
def delete_child(context: Context) -> Any:
    delete(context, _child(context))


@routes.on("GET", _BASE + "/delta", "foldersDelta", *READ)
def folders_delta(context: Context) -> Any:
    return _changes(context, None)


@routes.on("GET", _ONE + "/childFolders/delta", "foldersDelta", *READ)
def children_delta(context: Context) -> Any:
    return _changes(context, context.room.folder(context.box, context.args["folder"]))


def _changes(context: Context, below: LabFolder | None) -> Any:
    """below: direct children of it; None: every folder that users see. A folder that is gone is told to everybody."""
    box, room = context.box, context.room

    def keep(number: int) -> bool:
        folder = box.folders.get(number)
        if folder is None:
            return True
        if folder.hidden or folder.role in (ROOT, VISIBLE_ROOT):
            return False
        if below is not None:
            return folder.parent is below
        above = folder.parent
        while above is not None and above.role != VISIBLE_ROOT:
            above = above.parent
        return above is not None

    def show(kind: ChangeKind, number: int, options: odata.Options) -> dict[str, Any] | None:
        if kind is ChangeKind.DELETE:
            return delta.removed(_TYPE, room.gone_folder_id(box, number))
        folder = box.folders.get(number)
        return None if folder is None else row(context, folder, options)

    scope = f"{box.guid}/folders/{below.id if below else 0}"
    return delta.changes(
        context,
        box.hierarchy,
        scope,
        show,
        "Collection(mailboxFolder)",
        default=room.world.knobs.folder_page,
        newest_first=False,
        keep=keep,
    )
