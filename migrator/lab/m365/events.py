"""Calendars and events: what the fallback writer for appointments needs, with the trap that it has to know.

Facts (learn.microsoft.com/graph/api/user-post-events, calendar-post-events): with attendees the service mails invitations and
there is no switch for it; the mailbox's owner becomes the organiser; `transactionId` makes a repeated create give the first
event; iCalUId is read-only. Invitations are counted in the journal and listed in `mailbox.settings["outbox"]`; none is sent.
"""

from __future__ import annotations

from typing import Any

from migrator.lab.m365 import errors, making, odata, shapes
from migrator.lab.m365.graph import Context, Routes, answer, collection
from migrator.lab.m365.mail import kind, list_shape, rewrite, show_one, store
from migrator.lab.m365.room import Json
from migrator.lab.store import LabFolder, LabItem
from migrator.mapi.item import datetime_of

routes = Routes()
READ = ("Calendars.Read", "Calendars.ReadWrite")
WRITE = ("Calendars.ReadWrite",)
_USER = "/users/{user}"
_EVENT = _USER + "/events/{event}"
_CALENDARS = _USER + "/calendars"


def _is_event(item: LabItem) -> bool:
    return item.facts.item_class.startswith("IPM.Appointment")


def _calendars(context: Context) -> list[LabFolder]:
    default = context.box.roles["calendar"]
    others = [
        folder
        for folder in context.box.visible()
        if folder is not default and folder.folder_class.startswith("IPF.Appointment")
    ]
    return [default, *others]


def _calendar(context: Context) -> LabFolder:
    wanted = context.args.get("calendar")
    if wanted is None:
        return context.box.roles["calendar"]
    folder = context.room.folder(context.box, wanted)
    if folder not in _calendars(context):
        raise errors.no_folder()
    return folder


def _row(context: Context, folder: LabFolder) -> Json:
    box = context.box
    return {
        "id": context.room.folder_id(folder),
        "name": folder.name,
        "color": "auto",
        "hexColor": "",
        "isDefaultCalendar": folder.role == "calendar",
        "changeKey": "",
        "canShare": True,
        "canViewPrivateItems": True,
        "canEdit": True,
        "isTallyingResponses": True,
        "isRemovable": folder.role != "calendar",
        "owner": {"name": box.display_name, "address": box.address},
    }


def list_calendars(context: Context) -> Any:
    found = _calendars(context)
    page, after = odata.page(found, context.options, 10)
    return collection(context, kind(context, "calendars"), [_row(context, one) for one in page], after)


def get_calendar(context: Context) -> Any:
    return {
        "@odata.context": f"{context.root}/$metadata#{kind(context, 'calendars')}/$entity",
        **_row(context, _calendar(context)),
    }


def create_calendar(context: Context) -> Any:
    name = context.json().get("name")
    if not isinstance(name, str) or not name:
        raise errors.bad_request("The property 'name' is required.", "ErrorInvalidRequest")
    folder = context.room.world.m365.create_folder(context.box.roles["calendar"], name, "IPF.Appointment")
    return answer(
        {
            "@odata.context": f"{context.root}/$metadata#{kind(context, 'calendars')}/$entity",
            **_row(context, folder),
        },
        201,
    )


def list_events(context: Context) -> Any:
    return list_shape(context, [_calendar(context)], "event", "events", _is_event)


def calendar_view(context: Context) -> Any:
    """Events that touch a span. Recurring ones appear once, as their first occurrence."""
    others = context.options.others
    try:
        first, last = odata.instant(others["startdatetime"]), odata.instant(others["enddatetime"])
    except (KeyError, ValueError) as error:
        raise errors.bad_request(
            "The query parameters startDateTime and endDateTime are required.", "ErrorInvalidRequest"
        ) from error

    def within(item: LabItem) -> bool:
        if not _is_event(item):
            return False
        p = item.message().properties
        start, end = p.get(shapes.START), p.get(shapes.END)
        begins = datetime_of(start) if isinstance(start, int) else None
        ends = datetime_of(end) if isinstance(end, int) else None
        return begins is not None and ends is not None and begins < last and ends >= first

    return list_shape(context, [_calendar(context)], "event", "calendarView", within)


def _invite(context: Context, item: LabItem, attendees: list[Any]) -> None:
    """What the service would mail, written down."""
    outbox = context.box.settings.setdefault("outbox", [])
    for one in attendees:
        outbox.append({"to": making.person(one)[1], "subject": item.facts.subject, "item": item.id})
    context.call.invited(len(attendees))


def create_event(context: Context) -> Any:
    body, box = context.json(), context.box
    calendar = _calendar(context)
    transaction = body.get("transactionId")
    if transaction:
        for known in calendar.items.values():
            if (known.extra or {}).get("transactionId") == transaction:
                return show_one(context, known, "event", "events", 201)
    made = making.event(body, (box.display_name, box.address), context.room.world.clock.utc())
    item = store(context, calendar, made)
    item.extra = {
        "transactionId": transaction,
        "recurrence": body.get("recurrence"),
        "originalStartTimeZone": (body.get("start") or {}).get("timeZone") or "UTC",
        "originalEndTimeZone": (body.get("end") or {}).get("timeZone") or "UTC",
    }
    _invite(context, item, body.get("attendees") or [])
    return show_one(context, item, "event", "events", 201)


def _event(context: Context) -> LabItem:
    item = context.room.item(context.box, context.args["event"])
    if not _is_event(item):
        raise errors.no_item()
    return item


def get_event(context: Context) -> Any:
    return show_one(context, _event(context), "event", "events")


def update_event(context: Context) -> Any:
    item, body, box = _event(context), context.json(), context.box
    making.check_names(body, "event")
    message = item.message()
    making.set_event(message, body, (box.display_name, box.address))
    rewrite(context, item, message)
    if "recurrence" in body:
        item.extra = {**(item.extra or {}), "recurrence": body["recurrence"]}
    # An update goes to everybody who is invited, not only to the new ones.
    _invite(
        context,
        item,
        [
            {"emailAddress": {"address": one.text(0x39FE), "name": one.text(0x3001)}}
            for one in message.recipients
        ],
    )
    return show_one(context, item, "event", "events")


def delete_event(context: Context) -> Any:
    """The organiser's deletion mails a cancellation to everybody invited."""
    item = _event(context)
    message = item.message()
    if not message.properties.integer(shapes.STATE) & 2:
        _invite(
            context,
            item,
            [{"emailAddress": {"address": one.text(0x39FE), "name": ""}} for one in message.recipients],
        )
    context.room.world.m365.delete_item(item, how="trash")
    context.call.deleted = 1


routes.on("GET", _CALENDARS, "listCalendars", *READ)(list_calendars)
routes.on("POST", _CALENDARS, "createCalendar", *WRITE)(create_calendar)
routes.on("GET", _CALENDARS + "/{calendar}", "getCalendar", *READ)(get_calendar)
routes.on("GET", _USER + "/calendar", "getCalendar", *READ)(get_calendar)
for _base in (_USER, _USER + "/calendar", _CALENDARS + "/{calendar}"):
    routes.on("GET", _base + "/events", "listEvents", *READ)(list_events)
    routes.on("POST", _base + "/events", "createEvent", *WRITE)(create_event)
    routes.on("GET", _base + "/calendarView", "calendarView", *READ)(calendar_view)
for _base in (_EVENT, _CALENDARS + "/{calendar}/events/{event}"):
    routes.on("GET", _base, "getEvent", *READ)(get_event)
    routes.on("PATCH", _base, "updateEvent", *WRITE)(update_event)
    routes.on("DELETE", _base, "deleteEvent", *WRITE)(delete_event)
