"""Stored items as the classic endpoints show them: message, event, contact, attachment.

Each shape is a table name → function, so that `$select` computes only what is asked for; listings of facts alone read no
stream. Names and forms: learn.microsoft.com/graph/api/resources/message, event, contact, attachment.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from html import escape
from html.parser import HTMLParser
from typing import Any

from migrator.lab.m365 import extended, odata
from migrator.lab.m365.folders import extended_of
from migrator.lab.m365.items import values_of
from migrator.lab.m365.room import Json, Room
from migrator.lab.store import LabItem
from migrator.mapi.item import Attachment, Message, Named, Properties, datetime_of
from migrator.mapi.properties import PSETID_ADDRESS, PSETID_APPOINTMENT, PSETID_COMMON, PSETID_MEETING

START, END, LOCATION = (Named(PSETID_APPOINTMENT, lid=lid) for lid in (0x820D, 0x820E, 0x8208))
BUSY, ALL_DAY, RECURRING, STATE = (
    Named(PSETID_APPOINTMENT, lid=lid) for lid in (0x8205, 0x8215, 0x8223, 0x8217)
)
RESPONSE = Named(PSETID_APPOINTMENT, lid=0x8218)
REMINDER_SET, REMINDER_DELTA = Named(PSETID_COMMON, lid=0x8503), Named(PSETID_COMMON, lid=0x8501)
CLEAN_ID = Named(PSETID_MEETING, lid=0x23)
FILE_AS = Named(PSETID_ADDRESS, lid=0x8005)
EMAILS = tuple(
    (Named(PSETID_ADDRESS, lid=base), Named(PSETID_ADDRESS, lid=base + 3))
    for base in (0x8080, 0x8090, 0x80A0)
)
INSTANT_MESSENGER = Named(PSETID_ADDRESS, lid=0x8062)
WORK_ADDRESS = {
    "street": Named(PSETID_ADDRESS, lid=0x8045),
    "city": Named(PSETID_ADDRESS, lid=0x8046),
    "state": Named(PSETID_ADDRESS, lid=0x8047),
    "postalCode": Named(PSETID_ADDRESS, lid=0x8048),
    "countryOrRegion": Named(PSETID_ADDRESS, lid=0x8049),
}
HOME_ADDRESS = {
    "street": 0x3A5D,
    "city": 0x3A59,
    "state": 0x3A5C,
    "postalCode": 0x3A5B,
    "countryOrRegion": 0x3A5A,
}
OTHER_ADDRESS = {
    "street": 0x3A63,
    "city": 0x3A5F,
    "state": 0x3A62,
    "postalCode": 0x3A61,
    "countryOrRegion": 0x3A60,
}
IMPORTANCE = ("low", "normal", "high")
SENSITIVITY = ("normal", "personal", "private", "confidential")
SHOW_AS = ("free", "tentative", "busy", "oof", "workingElsewhere")
RESPONSES = ("none", "organizer", "tentativelyAccepted", "accepted", "declined", "notResponded")
NO_TIME = "0001-01-01T00:00:00Z"


class View:
    """An item that is being shown; its tree is read when something asks for it."""

    def __init__(self, room: Room, item: LabItem, message: Message | None = None) -> None:
        self.room = room
        self.item = item
        self._message = message

    @property
    def message(self) -> Message:
        if self._message is None:
            self._message = self.item.message()
        return self._message

    @property
    def p(self) -> Properties:
        return self.message.properties


Field = Callable[[View], Any]


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("style", "script", "head", "title"):
            self.hidden += 1

    def handle_endtag(self, tag: str) -> None:
        if tag in ("style", "script", "head", "title") and self.hidden:
            self.hidden -= 1

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(data)


def text_of(markup: str) -> str:
    reader = _Text()
    reader.feed(markup)
    return " ".join("".join(reader.parts).split())


def body_of(message: Message) -> tuple[str, str]:
    """(html or text, content). A message with rich text alone shows its plain text, or nothing."""
    p = message.properties
    html = p.typed(0x1013)
    if html is not None:
        if isinstance(html.value, str):
            return "html", html.value
        page = p.integer(0x3FDE, 65001)
        codec = "utf-8" if page == 65001 else f"cp{page}"
        try:
            return "html", bytes(html.value).decode(codec, "replace")
        except LookupError:
            return "html", bytes(html.value).decode("latin-1")
    return "text", p.text(0x1000)


def _preview(view: View) -> str:
    kind, content = body_of(view.message)
    return (text_of(content) if kind == "html" else content.strip())[:255]


def _body(view: View) -> Json:
    kind, content = body_of(view.message)
    return {"contentType": kind, "content": content}


def _address(name: str, address: str) -> Json:
    return {"emailAddress": {"name": name or address, "address": address}}


def _author(p: Properties, name: int, smtp: int, kind: int, address: int) -> Json | None:
    mail = p.text(smtp) or (p.text(address) if p.text(kind, "SMTP") == "SMTP" else "")
    shown = p.text(name)
    return _address(shown, mail) if mail or shown else None


def sender(p: Properties) -> Json | None:
    return _author(p, 0x0C1A, 0x5D01, 0x0C1E, 0x0C1F)


def author(p: Properties) -> Json | None:
    return _author(p, 0x0042, 0x5D02, 0x0064, 0x0065) or sender(p)


def recipients(message: Message, kind: int) -> list[Json]:
    found = []
    for one in message.recipients:
        if one.integer(0x0C15, 1) & 0xF == kind:
            mail = one.text(0x39FE) or (one.text(0x3003) if one.text(0x3002, "SMTP") == "SMTP" else "")
            found.append(_address(one.text(0x3001), mail))
    return found


def _flag(view: View) -> Json:
    status = view.p.integer(0x1090)
    found: Json = {"flagStatus": {1: "complete", 2: "flagged"}.get(status, "notFlagged")}
    done = view.p.time(0x1091)
    if status == 1 and done is not None:
        found["completedDateTime"] = zoned(done)
    return found


def zoned(moment: datetime) -> Json:
    return {"dateTime": moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.0000000"), "timeZone": "UTC"}


def _headers(view: View) -> list[Json]:
    found: list[Json] = []
    for line in view.p.text(0x007D).splitlines():
        if line[:1] in (" ", "\t") and found:
            found[-1]["value"] += line
        elif ":" in line:
            name, _, value = line.partition(":")
            found.append({"name": name, "value": value.strip()})
    return found


def _index(view: View) -> str | None:
    raw = view.p.binary(0x0071)
    return base64.b64encode(raw).decode() if raw else None


def _link(view: View) -> str:
    path = "calendar/item" if view.item.item_class == "IPM.Appointment" else "mail"
    return f"https://outlook.office365.com/owa/?ItemID={view.room.item_id(view.item)}&exvsurl=1&viewmodel=ReadMessageItem&path={path}"


_OUTLOOK_ITEM: dict[str, Field] = {
    "createdDateTime": lambda v: extended.iso(v.item.created),
    "lastModifiedDateTime": lambda v: extended.iso(v.item.modified),
    "changeKey": lambda v: v.room.long_key(v.item),
    "categories": lambda v: list(v.item.facts.categories),
}

_MESSAGE: dict[str, Field] = {
    **_OUTLOOK_ITEM,
    "receivedDateTime": lambda v: extended.iso(v.item.facts.received or v.item.created),
    "sentDateTime": lambda v: extended.iso(v.item.facts.sent or v.item.created),
    "hasAttachments": lambda v: v.item.facts.has_attachments,
    "internetMessageId": lambda v: v.item.facts.message_id or None,
    "subject": lambda v: v.item.facts.subject,
    "bodyPreview": _preview,
    "importance": lambda v: IMPORTANCE[v.item.facts.importance % 3],
    "parentFolderId": lambda v: v.room.folder_id(v.item.folder),
    "conversationId": lambda v: v.room.conversation_id(v.item, v.p.text(0x0070) or v.item.facts.subject),
    "conversationIndex": _index,
    "isDeliveryReceiptRequested": lambda v: v.p.flag(0x0023),
    "isReadReceiptRequested": lambda v: v.p.flag(0x0029),
    "isRead": lambda v: v.item.facts.read,
    "isDraft": lambda v: v.item.facts.draft,
    "webLink": _link,
    "inferenceClassification": lambda v: "focused",
    "body": _body,
    "sender": lambda v: sender(v.p),
    "from": lambda v: author(v.p),
    "toRecipients": lambda v: recipients(v.message, 1),
    "ccRecipients": lambda v: recipients(v.message, 2),
    "bccRecipients": lambda v: recipients(v.message, 3),
    "replyTo": lambda v: [],
    "flag": _flag,
}
_ON_REQUEST: dict[str, Field] = {"internetMessageHeaders": _headers, "uniqueBody": _body}


def _when(view: View, named: Named, plain: int) -> Json | None:
    ticks = view.p.get(named, view.p.get(plain))
    moment = datetime_of(ticks) if isinstance(ticks, int) else None
    return zoned(moment) if moment is not None else None


def _location(view: View) -> Json:
    name = view.p.text(LOCATION)
    return {"displayName": name, "locationType": "default", "uniqueId": name, "uniqueIdType": "private"}


def _attendees(view: View) -> list[Json]:
    return [
        {"type": kind, "status": {"response": "none", "time": NO_TIME}, **one}
        for number, kind in ((1, "required"), (2, "optional"), (3, "resource"))
        for one in recipients(view.message, number)
    ]


def _organiser(view: View) -> Json:
    return author(view.p) or _address(view.item.mailbox.display_name, view.item.mailbox.address)


def _uid(view: View) -> str:
    raw = view.p.binary(CLEAN_ID)
    return bytes(raw).hex().upper() if raw else view.room.item_id(view.item)


def _recurring(view: View) -> bool:
    return view.p.flag(RECURRING)


def _kept(name: str, default: Any = None) -> Field:
    """What a JSON request said and no MAPI property holds."""
    return lambda v: (v.item.extra or {}).get(name, default)


_EVENT: dict[str, Field] = {
    **_OUTLOOK_ITEM,
    "transactionId": _kept("transactionId"),
    "originalStartTimeZone": _kept("originalStartTimeZone", "UTC"),
    "originalEndTimeZone": _kept("originalEndTimeZone", "UTC"),
    "iCalUId": _uid,
    "reminderMinutesBeforeStart": lambda v: v.p.integer(REMINDER_DELTA, 15),
    "isReminderOn": lambda v: v.p.flag(REMINDER_SET),
    "hasAttachments": lambda v: v.item.facts.has_attachments,
    "subject": lambda v: v.item.facts.subject,
    "bodyPreview": _preview,
    "importance": lambda v: IMPORTANCE[v.item.facts.importance % 3],
    "sensitivity": lambda v: SENSITIVITY[v.p.integer(0x0036) % 4],
    "isAllDay": lambda v: v.p.flag(ALL_DAY),
    "isCancelled": lambda v: bool(v.p.integer(STATE) & 4),
    "isDraft": lambda v: False,
    "isOrganizer": lambda v: not v.p.integer(STATE) & 2,
    "responseRequested": lambda v: v.p.flag(0x0063, True),
    "seriesMasterId": lambda v: None,
    "showAs": lambda v: SHOW_AS[v.p.integer(BUSY, 2) % 5],
    "type": lambda v: "seriesMaster" if _recurring(v) else "singleInstance",
    "webLink": _link,
    "onlineMeetingUrl": lambda v: None,
    "isOnlineMeeting": lambda v: False,
    "onlineMeetingProvider": lambda v: "unknown",
    "onlineMeeting": lambda v: None,
    "allowNewTimeProposals": lambda v: True,
    "hideAttendees": lambda v: False,
    "responseStatus": lambda v: {"response": RESPONSES[v.p.integer(RESPONSE, 1) % 6], "time": NO_TIME},
    "body": _body,
    "start": lambda v: _when(v, START, 0x0060),
    "end": lambda v: _when(v, END, 0x0061),
    "location": _location,
    "locations": lambda v: [_location(v)] if v.p.text(LOCATION) else [],
    "recurrence": _kept("recurrence"),
    "attendees": _attendees,
    "organizer": _organiser,
}


def _text(key: int | Named) -> Field:
    return lambda v: v.p.text(key) or None


def _texts(*keys: int) -> Field:
    return lambda v: [text for text in (v.p.text(key) for key in keys) if text]


def _postal(parts: dict[str, Any]) -> Field:
    return lambda v: {name: v.p.text(key) for name, key in parts.items() if v.p.text(key)}


def _mails(view: View) -> list[Json]:
    found = []
    for shown, address in EMAILS:
        mail = view.p.text(address)
        if mail:
            found.append({"name": view.p.text(shown) or mail, "address": mail})
    return found


def _date(key: int) -> Field:
    def shown(view: View) -> str | None:
        moment = view.p.time(key)
        return extended.iso(moment) if moment is not None else None

    return shown


_CONTACT: dict[str, Field] = {
    **_OUTLOOK_ITEM,
    "parentFolderId": lambda v: v.room.folder_id(v.item.folder),
    "birthday": _date(0x3A42),
    "fileAs": _text(FILE_AS),
    "displayName": _text(0x3001),
    "givenName": _text(0x3A06),
    "initials": _text(0x3A0A),
    "middleName": _text(0x3A44),
    "nickName": _text(0x3A4F),
    "surname": _text(0x3A11),
    "title": _text(0x3A45),
    "generation": _text(0x3A05),
    "imAddresses": lambda v: [v.p.text(INSTANT_MESSENGER)] if v.p.text(INSTANT_MESSENGER) else [],
    "jobTitle": _text(0x3A17),
    "companyName": _text(0x3A16),
    "department": _text(0x3A18),
    "officeLocation": _text(0x3A19),
    "profession": _text(0x3A46),
    "businessHomePage": _text(0x3A51),
    "assistantName": _text(0x3A30),
    "manager": _text(0x3A4E),
    "homePhones": _texts(0x3A09, 0x3A2F),
    "mobilePhone": _text(0x3A1C),
    "businessPhones": _texts(0x3A08, 0x3A1B),
    "spouseName": _text(0x3A48),
    "personalNotes": lambda v: v.p.text(0x1000),
    "children": lambda v: list(v.p.get(0x3A58) or ()),
    "emailAddresses": _mails,
    "homeAddress": _postal(HOME_ADDRESS),
    "businessAddress": _postal(WORK_ADDRESS),
    "otherAddress": _postal(OTHER_ADDRESS),
}

SHAPES = {"message": _MESSAGE, "event": _EVENT, "contact": _CONTACT}


def check_select(shape: str, options: odata.Options) -> None:
    """Raises ODataError for a name in `$select` that the type does not have."""
    known = {name.lower() for name in (*SHAPES[shape], *_ON_REQUEST, "id", "attachments", odata.EXTENDED)}
    for name in options.select:
        if name.lower() not in known:
            raise odata.ODataError(
                f"Could not find a property named '{name}' on type 'microsoft.graph.{shape}'."
            )


def show(
    room: Room, item: LabItem, shape: str, options: odata.Options, message: Message | None = None
) -> Json:
    """An item in one of the shapes of SHAPES, as far as `$select` asks for it, with what `$expand` adds."""
    fields = SHAPES[shape]
    view = View(room, item, message)
    key = room.long_key(item)
    found: Json = {"@odata.etag": f'W/"{key}"', "id": room.item_id(item)}
    kind = _meeting_type(item)
    if shape == "message" and kind:
        found["@odata.type"] = kind
    if options.select:
        wanted = {name.lower() for name in options.select}
        for name, field in {**fields, **(_ON_REQUEST if shape == "message" else {})}.items():
            if name.lower() in wanted:
                found[name] = field(view)
    else:
        for name, field in fields.items():
            found[name] = field(view)
    expand = options.expand.get(odata.EXTENDED)
    if expand is not None:
        from migrator.lab.m365.items import property_id

        keys = [property_id(text).key for text in odata.property_ids(expand)]
        found.update(extended_of(values_of(item, keys), expand))
    if "attachments" in options.expand:
        found["attachments"] = [
            attachment(room, item, number, one) for number, one in enumerate(view.message.attachments)
        ]
    return found


def _meeting_type(item: LabItem) -> str:
    name = item.facts.item_class
    if name.startswith("IPM.Schedule.Meeting.Request"):
        return "#microsoft.graph.eventMessageRequest"
    if name.startswith("IPM.Schedule.Meeting.Resp"):
        return "#microsoft.graph.eventMessageResponse"
    return "#microsoft.graph.eventMessage" if name.startswith("IPM.Schedule.Meeting") else ""


def look(room: Room, item: LabItem, shape: str, path: str) -> Any:
    """The value behind a path of $filter or $orderby."""
    if path.startswith(odata.EXTENDED + "/"):
        from migrator.lab.m365.items import property_id

        wanted = property_id(path.partition("/")[2])
        return extended.lookup(values_of(item, [wanted.key]), wanted)
    name, _, rest = path.partition("/")
    if name == "id":
        return room.item_id(item)
    field = next((f for key, f in SHAPES[shape].items() if key.lower() == name.lower()), None)
    if field is None:
        raise odata.ODataError(f"Could not find a property named '{name}' on type 'microsoft.graph.{shape}'.")
    value = field(View(room, item))
    return odata.dig(value, rest) if rest and isinstance(value, dict) else value


def attachment(room: Room, item: LabItem, number: int, one: Attachment, *, content: bool = True) -> Json:
    p = one.properties
    data = p.get(0x3701)
    size = len(data) if isinstance(data, bytes | memoryview) else p.integer(0x0E20)
    name = p.text(0x3707) or p.text(0x3704) or p.text(0x3001) or "attachment"
    method = p.integer(0x3705, 1)
    kind = (
        "itemAttachment"
        if one.embedded is not None
        else "referenceAttachment"
        if method == 7
        else "fileAttachment"
    )
    found: Json = {
        "@odata.type": f"#microsoft.graph.{kind}",
        "id": room.attachment_id(item, number),
        "lastModifiedDateTime": extended.iso(item.modified),
        "name": name,
        "contentType": p.text(0x370E) or None,
        "size": size,
        "isInline": bool(p.integer(0x3714) & 4),
    }
    if kind == "fileAttachment":
        found["contentId"] = p.text(0x3712) or None
        found["contentLocation"] = p.text(0x3713) or None
        if content:
            found["contentBytes"] = base64.b64encode(bytes(data or b"")).decode()
    return found


def plain(text: str) -> str:
    """Text as HTML."""
    return f"<html><body>{escape(text)}</body></html>"
