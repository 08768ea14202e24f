"""Contacts and contact folders (learn.microsoft.com/graph/api/resources/contact, contactfolder).

Three e-mail addresses and two phones of a kind at most; distribution lists do not exist here.
"""

from __future__ import annotations

from typing import Any

from migrator.lab.m365 import errors, making, odata
from migrator.lab.m365.folders import set_extended
from migrator.lab.m365.graph import Context, Routes, answer, collection
from migrator.lab.m365.mail import kind, list_shape, rewrite, show_one, store
from migrator.lab.m365.room import Json
from migrator.lab.store import LabFolder, LabItem
from migrator.mapi.item import Properties

routes = Routes()
READ = ("Contacts.Read", "Contacts.ReadWrite")
WRITE = ("Contacts.ReadWrite",)
_USER = "/users/{user}"
_FOLDERS = _USER + "/contactFolders"
_FOLDER = _FOLDERS + "/{folder}"


def _is_contact(item: LabItem) -> bool:
    return item.facts.item_class.startswith("IPM.Contact")


def _home(context: Context) -> LabFolder:
    return context.box.roles["contacts"]


def _folder(context: Context) -> LabFolder:
    wanted = context.args.get("folder")
    folder = _home(context) if wanted is None else context.room.folder(context.box, wanted)
    if not folder.folder_class.startswith("IPF.Contact"):
        raise errors.no_folder()
    return folder


def _row(context: Context, folder: LabFolder) -> Json:
    return {
        "id": context.room.folder_id(folder),
        "parentFolderId": context.room.folder_id(folder.parent) if folder.parent else None,
        "displayName": folder.name,
    }


def _list(context: Context, folders: list[LabFolder]) -> Any:
    chosen = [one for one in folders if one.folder_class.startswith("IPF.Contact") and not one.hidden]
    page, after = odata.page(chosen, context.options, 10)
    return collection(context, kind(context, "contactFolders"), [_row(context, one) for one in page], after)


def list_folders(context: Context) -> Any:
    """The default folder is not among them: it is behind /contacts."""
    home = _home(context)
    beside = [one for one in context.box.visible_root.children.values() if one is not home]
    return _list(context, [*home.children.values(), *beside])


def list_children(context: Context) -> Any:
    return _list(context, list(_folder(context).children.values()))


def get_folder(context: Context) -> Any:
    return {
        "@odata.context": f"{context.root}/$metadata#{kind(context, 'contactFolders')}/$entity",
        **_row(context, _folder(context)),
    }


def create_folder(context: Context) -> Any:
    body = context.json()
    name, parent = body.get("displayName"), _folder(context)
    if not isinstance(name, str) or not name:
        raise errors.bad_request("The property 'displayName' is required.", "ErrorInvalidRequest")
    if body.get("parentFolderId"):
        parent = context.room.folder(context.box, str(body["parentFolderId"]))
    values = Properties()
    set_extended(values, body.get(odata.EXTENDED) or [])
    folder = context.room.world.m365.create_folder(parent, name, "IPF.Contact")
    folder.extra["properties"] = values
    return answer(
        {
            "@odata.context": f"{context.root}/$metadata#{kind(context, 'contactFolders')}/$entity",
            **_row(context, folder),
        },
        201,
    )


def list_contacts(context: Context) -> Any:
    return list_shape(context, [_folder(context)], "contact", "contacts", _is_contact)


def create_contact(context: Context) -> Any:
    folder = _folder(context)
    made = making.contact(context.json(), context.room.world.clock.utc())
    return show_one(context, store(context, folder, made), "contact", "contacts", 201)


def _contact(context: Context) -> LabItem:
    item = context.room.item(context.box, context.args["contact"])
    if not _is_contact(item):
        raise errors.no_item()
    return item


def get_contact(context: Context) -> Any:
    return show_one(context, _contact(context), "contact", "contacts")


def update_contact(context: Context) -> Any:
    item, body = _contact(context), context.json()
    making.check_names(body, "contact")
    message = item.message()
    making.set_contact(message, body)
    rewrite(context, item, message)
    return show_one(context, item, "contact", "contacts")


def delete_contact(context: Context) -> Any:
    context.room.world.m365.delete_item(_contact(context), how="trash")
    context.call.deleted = 1


routes.on("GET", _FOLDERS, "listContactFolders", *READ)(list_folders)
routes.on("POST", _FOLDERS, "createContactFolder", *WRITE)(create_folder)
routes.on("GET", _FOLDER, "getContactFolder", *READ)(get_folder)
routes.on("GET", _FOLDER + "/childFolders", "listContactFolders", *READ)(list_children)
routes.on("POST", _FOLDER + "/childFolders", "createContactFolder", *WRITE)(create_folder)
for _base in (_USER, _FOLDER):
    routes.on("GET", _base + "/contacts", "listContacts", *READ)(list_contacts)
    routes.on("POST", _base + "/contacts", "createContact", *WRITE)(create_contact)
    routes.on("GET", _base + "/contacts/{contact}", "getContact", *READ)(get_contact)
    routes.on("PATCH", _base + "/contacts/{contact}", "updateContact", *WRITE)(update_contact)
    routes.on("DELETE", _base + "/contacts/{contact}", "deleteContact", *WRITE)(delete_contact)
