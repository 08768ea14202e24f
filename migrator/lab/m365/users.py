"""Users and what belongs to a mailbox as a whole: the mailbox id, mailbox settings, master categories.

Facts: learn.microsoft.com/graph/api/usersettings-list-exchange (primaryMailboxId; beta has inPlaceArchiveMailboxId too),
user-get, user-get-mailboxsettings, outlookuser-list-mastercategories.
"""

from __future__ import annotations

import uuid
from typing import Any

from migrator.lab.m365 import errors, odata
from migrator.lab.m365.graph import Context, Routes, answer, collection, pick
from migrator.lab.store import LabMailbox, MailboxNotFound
from migrator.lab.world import TenantUser

routes = Routes()
READ_USER = ("User.Read.All", "User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All")
_SETTINGS = ("MailboxSettings.Read", "MailboxSettings.ReadWrite")
_ONE = "/users/{user}"
_DEFAULT = (
    "businessPhones", "displayName", "givenName", "jobTitle", "mail", "mobilePhone", "officeLocation",
    "preferredLanguage", "surname", "userPrincipalName", "id",
)  # fmt: skip


def _user(context: Context) -> tuple[LabMailbox | None, TenantUser | None]:
    """The person, with or without a mailbox. Raises GraphError 404."""
    name = context.args.get("user") or context.token.user
    box: LabMailbox | None = None
    try:
        box = context.room.world.m365.mailbox(name)
    except MailboxNotFound:
        box = None
    tenant, _ = context.room.app(context.token)
    if box is not None and box.tenant.lower() != tenant.id.lower():
        box = None
    user = tenant.users.get(name.lower()) or (tenant.users.get(box.upn.lower()) if box else None)
    if box is None and user is None:
        raise errors.no_user(name)
    return box, user


def row(context: Context, box: LabMailbox | None, user: TenantUser | None) -> dict[str, Any]:
    """All that the lab knows of a user."""
    upn = box.upn if box else user.upn if user else ""
    addresses = [f"SMTP:{box.address}", *(f"smtp:{alias}" for alias in box.aliases)] if box else []
    first, _, last = (box.display_name if box else upn.partition("@")[0]).rpartition(" ")
    return {
        "id": box.user_id if box else str(uuid.uuid5(uuid.NAMESPACE_DNS, f"user.{upn.lower()}")),
        "businessPhones": [],
        "displayName": box.display_name if box else upn.partition("@")[0],
        "givenName": first or None,
        "jobTitle": None,
        "mail": box.address if box and box.licensed else None,
        "mobilePhone": None,
        "officeLocation": None,
        "preferredLanguage": box.locale if box else None,
        "surname": last or None,
        "userPrincipalName": upn,
        "accountEnabled": (user.enabled if user else True) and (box is None or box.kind == "user"),
        "mailNickname": upn.partition("@")[0],
        "proxyAddresses": addresses,
        "usageLocation": "DE",
        "assignedLicenses": [{"skuId": "05e9a617-0261-4cee-bb44-138d3ef5d965", "disabledPlans": []}]
        if box and box.licensed
        else [],
        "assignedPlans": [
            {
                "assignedDateTime": "2026-01-01T00:00:00Z",
                "capabilityStatus": "Enabled",
                "service": service,
                "servicePlanId": plan,
            }
            for service, plan in (
                ("exchange", "efb87545-963c-4e0d-99df-69c6916d9eb0"),
                ("SharePoint", "5dbe027f-2339-4123-9542-606e4d348a72"),
            )
        ]
        if box and box.licensed and box.kind == "user"
        else [],
    }


def _shown(full: dict[str, Any], select: frozenset[str]) -> dict[str, Any]:
    if select:
        return (
            pick(full, select | {"id"})
            if "id" in select
            else {k: v for k, v in pick(full, select).items() if k != "id"}
        )
    return {name: full[name] for name in _DEFAULT}


@routes.on("GET", "/users", "listUsers", *READ_USER, directory=True)
def list_users(context: Context) -> Any:
    tenant, _ = context.room.app(context.token)
    boxes = [b for b in context.room.world.m365.mailboxes.values() if b.tenant.lower() == tenant.id.lower()]
    options = odata.parse(context.request.query, max_top=999)
    rows = [row(context, box, tenant.users.get(box.upn.lower())) for box in boxes]
    owners = {box.upn.lower() for box in boxes}
    rows += [row(context, None, user) for upn, user in tenant.users.items() if upn not in owners]
    if options.filter:
        where = odata.where(options.filter)
        rows = [one for one in rows if where.test(lambda path, o=one: odata.dig(o, path))]  # type: ignore[misc]
    page, after = odata.page(rows, options, 100)
    return collection(context, "users", [_shown(one, options.select) for one in page], after)


@routes.on("GET", _ONE, "getUser", *READ_USER, directory=True)
def get_user(context: Context) -> Any:
    box, user = _user(context)
    return {
        "@odata.context": f"{context.root}/$metadata#users/$entity",
        **_shown(row(context, box, user), context.options.select),
    }


@routes.on("GET", _ONE + "/settings/exchange", "settingsExchange", *READ_USER, directory=True)
def settings_exchange(context: Context) -> Any:
    """The mailbox id. Query options are not supported here."""
    if context.request.query:
        raise errors.bad_request("Query options are not supported.", "BadRequest")
    box, _ = _user(context)
    if box is None:
        raise errors.no_mailbox()
    context.room.ready(box)
    name = context.args.get("user") or context.token.user
    found: dict[str, Any] = {
        "@odata.context": f"{context.root}/$metadata#users('{name.replace('@', '%40')}')/settings/exchange/$entity",
        "primaryMailboxId": context.room.mailbox_id(box),
    }
    if context.root.endswith("/beta"):
        found["inPlaceArchiveMailboxId"] = None
    return found


# -- mailbox settings

_ALLOWED = {
    "automaticRepliesSetting", "timeZone", "language", "workingHours", "dateFormat", "timeFormat",
    "delegateMeetingMessageDeliveryOptions",
}  # fmt: skip


def settings_of(context: Context) -> dict[str, Any]:
    box = context.box
    found: dict[str, Any] = {
        "archiveFolder": context.room.folder_id(box.roles["archive"]),
        "timeZone": "UTC",
        "delegateMeetingMessageDeliveryOptions": "sendToDelegateOnly",
        "dateFormat": "yyyy-MM-dd",
        "timeFormat": "HH:mm",
        "automaticRepliesSetting": {
            "status": "disabled",
            "externalAudience": "all",
            "internalReplyMessage": "",
            "externalReplyMessage": "",
            "scheduledStartDateTime": {"dateTime": "2026-01-01T00:00:00.0000000", "timeZone": "UTC"},
            "scheduledEndDateTime": {"dateTime": "2026-01-02T00:00:00.0000000", "timeZone": "UTC"},
        },
        "language": {"locale": box.locale, "displayName": box.locale},
        "workingHours": {
            "daysOfWeek": ["monday", "tuesday", "wednesday", "thursday", "friday"],
            "startTime": "08:00:00.0000000",
            "endTime": "17:00:00.0000000",
            "timeZone": {"name": "UTC"},
        },
        "userPurpose": box.kind,
    }
    found.update(box.settings.get("mailbox_settings", {}))
    return found


def _settings_context(context: Context) -> str:
    name = context.args.get("user") or context.token.user
    return f"{context.root}/$metadata#users('{name.replace('@', '%40')}')/mailboxSettings"


@routes.on("GET", _ONE + "/mailboxSettings", "getMailboxSettings", *_SETTINGS)
def get_settings(context: Context) -> Any:
    return {
        "@odata.context": _settings_context(context),
        **pick(settings_of(context), context.options.select),
    }


@routes.on("PATCH", _ONE + "/mailboxSettings", "updateMailboxSettings", "MailboxSettings.ReadWrite")
def update_settings(context: Context) -> Any:
    body = {name: value for name, value in context.json().items() if not name.startswith("@")}
    unknown = body.keys() - _ALLOWED
    if unknown:
        raise errors.bad_request(
            f"The property '{sorted(unknown)[0]}' cannot be set on mailboxSettings.", "RequestBodyRead"
        )
    replies = body.get("automaticRepliesSetting")
    if isinstance(replies, dict):
        if replies.get("status", "disabled") not in ("disabled", "alwaysEnabled", "scheduled"):
            raise errors.bad_request("Requested value was not found.", "RequestBodyRead")
        start = replies.get("scheduledStartDateTime") or {}
        end = replies.get("scheduledEndDateTime") or {}
        if start and end and str(start.get("dateTime")) >= str(end.get("dateTime")):
            raise errors.bad_request("The start must be before the end.", "ErrorInvalidTimeSettings")
        body["automaticRepliesSetting"] = {**settings_of(context)["automaticRepliesSetting"], **replies}
    if isinstance(body.get("language"), dict):
        body["language"] = {**settings_of(context)["language"], **body["language"]}
    context.box.settings.setdefault("mailbox_settings", {}).update(body)
    return {"@odata.context": _settings_context(context), **settings_of(context)}


# -- master categories

_COLOURS = {"none", *(f"preset{number}" for number in range(25))}


@routes.on("GET", _ONE + "/outlook/masterCategories", "listCategories", *_SETTINGS)
def list_categories(context: Context) -> Any:
    rows = list(context.box.settings.get("categories", {}).values())
    page, after = odata.page(rows, context.options, 100)
    return collection(context, "users/outlook/masterCategories", list(page), after)


@routes.on("POST", _ONE + "/outlook/masterCategories", "createCategory", "MailboxSettings.ReadWrite")
def create_category(context: Context) -> Any:
    body = context.json()
    name, colour = body.get("displayName"), body.get("color", "none")
    if not isinstance(name, str) or not name or colour not in _COLOURS:
        raise errors.bad_request("displayName and a colour preset are required.", "RequestBodyRead")
    known = context.box.settings.setdefault("categories", {})
    if name.casefold() in known:
        raise errors.GraphError(409, "CategoryNameDuplicate", "A category with this name exists.")
    made = {
        "id": str(uuid.uuid5(uuid.UUID(context.box.guid), name.casefold())),
        "displayName": name,
        "color": colour,
    }
    known[name.casefold()] = made
    return answer(
        {"@odata.context": f"{context.root}/$metadata#users/outlook/masterCategories/$entity", **made}, 201
    )
