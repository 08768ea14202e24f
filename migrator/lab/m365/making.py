"""What a classic request asks to be created, as a property tree: messages, events, contacts from JSON, drafts from MIME.

Draft semantics (learn.microsoft.com/exchange importing items; Graph user-post-messages): without `Integer 0x0E07` among its
extended properties a created message is a draft, received and sent now; with it the given flags count, 0x0E06 and 0x0039
give the dates. `receivedDateTime` and `sentDateTime` of the body are read-only and change nothing.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from datetime import UTC, datetime
from typing import Any

from migrator.lab import blobs
from migrator.lab.m365 import errors
from migrator.lab.m365.folders import set_extended
from migrator.lab.m365.shapes import (
    ALL_DAY,
    BUSY,
    CLEAN_ID,
    EMAILS,
    END,
    FILE_AS,
    HOME_ADDRESS,
    IMPORTANCE,
    INSTANT_MESSENGER,
    LOCATION,
    OTHER_ADDRESS,
    RECURRING,
    REMINDER_DELTA,
    REMINDER_SET,
    SENSITIVITY,
    SHAPES,
    SHOW_AS,
    START,
    STATE,
    WORK_ADDRESS,
)
from migrator.mapi.item import (
    BINARY,
    BOOLEAN,
    INT32,
    MULTIPLE,
    STRING,
    TIME,
    Attachment,
    Key,
    Message,
    Named,
    Properties,
)
from migrator.mapi.properties import PS_PUBLIC_STRINGS, PSETID_MEETING

READ, UNSENT, HAS_ATTACHMENT = 1, 8, 0x10
KEYWORDS = Named(PS_PUBLIC_STRINGS, name="Keywords")
_KNOWN = {
    shape: {*fields, "id", "attachments", "internetMessageHeaders", "singleValueExtendedProperties",
            "multiValueExtendedProperties", "uniqueBody", "extensions"}
    for shape, fields in SHAPES.items()
}  # fmt: skip


def check_names(body: dict[str, Any], shape: str) -> None:
    """Raises GraphError 400 for a property that the type does not have."""
    for name in body:
        if "@" not in name and name not in _KNOWN[shape]:
            raise errors.bad_request(
                f"The property '{name}' does not exist on type 'microsoft.graph.{shape}'. Make sure to only use property "
                "names that are defined by the type.",
                "RequestBodyRead",
            )


def message(body: dict[str, Any], now: datetime) -> Message:
    """A message from JSON. Raises GraphError 400."""
    check_names(body, "message")
    made = Message()
    p = made.properties
    _common(made, body, "IPM.Note", now)
    set_message(made, body)
    if not p.text(0x1035):
        p.set(0x1035, STRING, f"<{uuid.uuid4().hex.upper()}@lab.prod.outlook.com>")
    given = Properties()
    set_extended(given, body.get("singleValueExtendedProperties") or [])
    flags = given.typed(0x0E07)
    read = READ if body.get("isRead", True) else 0
    p.update(given)
    p.set(0x0E06, TIME, given.get(0x0E06) or now)
    p.set(0x0039, TIME, given.get(0x0039) or now)
    value = (UNSENT | read) if flags is None else int(flags.value) | (read if "isRead" in body else 0)
    attach(made, body.get("attachments"))
    p.set(0x0E07, INT32, value & ~HAS_ATTACHMENT | (HAS_ATTACHMENT if made.attachments else 0))
    return made


def draft(octets: bytes, now: datetime) -> Message:
    """A draft from the base64 of a MIME message: always a draft, received now. Raises GraphError 400."""
    from migrator.lab.eml import convert

    try:
        raw = base64.b64decode(b"".join(octets.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise errors.bad_request(
            "Invalid base64 string for MIME content.", "ErrorMimeContentInvalidBase64String"
        ) from error
    made = convert(raw)
    p = made.properties
    p.set(0x0E07, INT32, UNSENT | READ | (HAS_ATTACHMENT if made.attachments else 0))
    p.set(0x0E06, TIME, now)
    p.set(0x3007, TIME, now)
    p.set(0x3008, TIME, now)
    return made


def _common(made: Message, body: dict[str, Any], item_class: str, now: datetime) -> None:
    p = made.properties
    p.set(0x001A, STRING, item_class)
    p.set(0x3007, TIME, now)
    p.set(0x3008, TIME, now)
    p.set(0x300B, BINARY, uuid.uuid4().bytes)
    p.set(0x0017, INT32, 1)


def set_message(made: Message, body: dict[str, Any]) -> None:
    """The properties that a message's body names, on a new or an existing tree. Raises GraphError 400."""
    p = made.properties
    _content(p, body)
    if isinstance(body.get("internetMessageId"), str):
        p.set(0x1035, STRING, body["internetMessageId"])
    if "isReadReceiptRequested" in body:
        p.set(0x0029, BOOLEAN, bool(body["isReadReceiptRequested"]))
    if "isDeliveryReceiptRequested" in body:
        p.set(0x0023, BOOLEAN, bool(body["isDeliveryReceiptRequested"]))
    author = body.get("from") or body.get("sender")
    if author:
        party(p, (0x0042, 0x0064, 0x0065, 0x5D02), author)
        party(p, (0x0C1A, 0x0C1E, 0x0C1F, 0x5D01), body.get("sender") or author)
    for name, kind in (("toRecipients", 1), ("ccRecipients", 2), ("bccRecipients", 3)):
        if name in body:
            _recipients(made, body[name] or [], kind)
    flag = body.get("flag")
    if isinstance(flag, dict):
        status = {"notFlagged": 0, "complete": 1, "flagged": 2}.get(str(flag.get("flagStatus")))
        if status is None:
            raise errors.bad_request("Requested value for flagStatus was not found.", "RequestBodyRead")
        p.set(0x1090, INT32, status)
    headers = body.get("internetMessageHeaders")
    if headers:
        for one in headers:
            if not str(one.get("name", "")).lower().startswith("x-"):
                raise errors.bad_request(
                    "The internet message header name should start with 'x-' or 'X-'.",
                    "InvalidInternetMessageHeader",
                )
        p.set(0x007D, STRING, "".join(f"{one['name']}: {one.get('value', '')}\r\n" for one in headers))


def _content(p: Properties, body: dict[str, Any]) -> None:
    """What all kinds have in common: subject, body, importance, sensitivity, categories."""
    if isinstance(body.get("subject"), str):
        p.set(0x0037, STRING, body["subject"][:255])
        p.set(0x0070, STRING, re.sub(r"^(?:\w{1,3}: )+", "", body["subject"][:255]))
    content = body.get("body")
    if isinstance(content, dict):
        text = str(content.get("content") or "")
        p.pop(0x1013, None)
        p.pop(0x1000, None)
        if str(content.get("contentType", "text")).lower() == "html":
            p.set(0x1013, BINARY, text.encode("utf-8", "replace"))
            p.set(0x3FDE, INT32, 65001)
            p.set(0x1016, INT32, 3)
        else:
            p.set(0x1000, STRING, text)
            p.set(0x1016, INT32, 1)
    if body.get("importance") is not None:
        p.set(0x0017, INT32, _choice(IMPORTANCE, body["importance"], "importance"))
    if body.get("sensitivity") is not None:
        p.set(0x0036, INT32, _choice(SENSITIVITY, body["sensitivity"], "sensitivity"))
    if isinstance(body.get("categories"), list):
        p.set(KEYWORDS, MULTIPLE | STRING, [str(one) for one in body["categories"]])


def _choice(names: tuple[str, ...], value: Any, what: str) -> int:
    for number, name in enumerate(names):
        if name.lower() == str(value).lower():
            return number
    raise errors.bad_request(f"Requested value '{value}' for {what} was not found.", "RequestBodyRead")


def person(value: Any) -> tuple[str, str]:
    """(name, address) of a recipient. Raises GraphError 400."""
    inner = value.get("emailAddress") if isinstance(value, dict) else None
    if not isinstance(inner, dict):
        raise errors.bad_request("A recipient needs an emailAddress.", "ErrorInvalidRecipients")
    return str(inner.get("name") or inner.get("address") or ""), str(inner.get("address") or "")


def party(p: Properties, tags: tuple[int, int, int, int], value: Any) -> None:
    name, address = person(value)
    p.set(tags[0], STRING, name)
    p.set(tags[1], STRING, "SMTP")
    p.set(tags[2], STRING, address)
    p.set(tags[3], STRING, address)


def _recipients(made: Message, values: list[Any], kind: int) -> None:
    made.recipients[:] = [one for one in made.recipients if one.integer(0x0C15, 1) & 0xF != kind]
    for value in values:
        add_recipient(made, *person(value), kind)


def add_recipient(made: Message, name: str, address: str, kind: int) -> None:
    one = Properties()
    taken = [r.integer(0x3000) for r in made.recipients]
    one.set(0x3000, INT32, max(taken, default=-1) + 1)
    one.set(0x0C15, INT32, kind)
    one.set(0x3001, STRING, name)
    one.set(0x3002, STRING, "SMTP")
    one.set(0x3003, STRING, address)
    one.set(0x39FE, STRING, address)
    one.set(0x0FFF, BINARY, blobs.one_off(name, address))
    made.recipients.append(one)


def attach(made: Message, values: Any) -> None:
    for value in values or []:
        made.attachments.append(attachment(value, made))


def attachment(value: dict[str, Any], made: Message) -> Attachment:
    """One attachment from JSON. Raises GraphError 400."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise errors.bad_request("An attachment needs a name.", "ErrorInvalidRequest")
    kind = str(value.get("@odata.type", "")).rpartition(".")[2].lower()
    taken = [a.properties.integer(0x0E21) for a in made.attachments]
    number = max(taken, default=-1) + 1
    if kind == "itemattachment":
        inner = value.get("item") or {}
        one = Attachment()
        one.properties.set(0x0E21, INT32, number)
        one.properties.set(0x3705, INT32, 5)
        one.properties.set(0x3001, STRING, value["name"])
        one.embedded = Message()
        one.embedded.properties.set(0x001A, STRING, "IPM.Note")
        clean = {name: given for name, given in inner.items() if "@" not in name}
        set_message(one.embedded, clean)
        attach(one.embedded, clean.get("attachments"))
        return one
    if kind == "referenceattachment":
        one = Attachment()
        one.properties.set(0x0E21, INT32, number)
        one.properties.set(0x3705, INT32, 7)
        one.properties.set(0x3707, STRING, value["name"])
        one.properties.set(0x370D, STRING, str(value.get("sourceUrl") or ""))
        return one
    if kind not in ("fileattachment", ""):
        raise errors.bad_request(f"Unknown attachment type {kind!r}.", "ErrorInvalidRequest")
    try:
        data = base64.b64decode(value.get("contentBytes") or "", validate=True)
    except (binascii.Error, ValueError) as error:
        raise errors.bad_request("contentBytes is not base64.", "ErrorInvalidRequest") from error
    return file(number, value, data)


def file(number: int, value: dict[str, Any], data: bytes) -> Attachment:
    """An attachment by value. value: name, contentType, isInline, contentId as in JSON."""
    one = Attachment()
    p = one.properties
    p.set(0x0E21, INT32, number)
    p.set(0x3705, INT32, 1)
    p.set(0x3707, STRING, value["name"])
    p.set(0x370E, STRING, value.get("contentType") or "application/octet-stream")
    p.set(0x370B, INT32, -1)
    if value.get("contentId"):
        p.set(0x3712, STRING, value["contentId"])
    if value.get("isInline"):
        p.set(0x3714, INT32, 4)
    p.set(0x3701, BINARY, data)
    return one


# -- events


def event(body: dict[str, Any], owner: tuple[str, str], now: datetime) -> Message:
    """An appointment from JSON; owner: (name, address) of the mailbox, who is the organiser whatever the body says."""
    check_names(body, "event")
    made = Message()
    p = made.properties
    _common(made, body, "IPM.Appointment", now)
    p.set(0x0E07, INT32, READ)
    p.set(CLEAN_ID, BINARY, blobs.global_object_id(now, uuid.uuid4().bytes))
    p.set(Named(PSETID_MEETING, lid=0x3), BINARY, p.binary(CLEAN_ID))
    set_event(made, body, owner)
    for key in (START, END):
        if key not in p:
            raise errors.bad_request("An event needs start and end.", "ErrorPropertyValidationFailure")
    return made


def set_event(made: Message, body: dict[str, Any], owner: tuple[str, str]) -> None:
    p = made.properties
    _content(p, body)
    for name, key, plain in (("start", START, 0x0060), ("end", END, 0x0061)):
        if isinstance(body.get(name), dict):
            moment = when(body[name])
            p.set(key, TIME, moment)
            p.set(plain, TIME, moment)
    if p.get(END) is not None and p.get(START) is not None and p.get(END) < p.get(START):
        raise errors.bad_request("The end is before the start.", "ErrorPropertyValidationFailure")
    if isinstance(body.get("location"), dict):
        p.set(LOCATION, STRING, str(body["location"].get("displayName") or ""))
    if "isAllDay" in body:
        p.set(ALL_DAY, BOOLEAN, bool(body["isAllDay"]))
    if body.get("showAs") is not None:
        p.set(BUSY, INT32, _choice(SHOW_AS, body["showAs"], "showAs"))
    if "isReminderOn" in body:
        p.set(REMINDER_SET, BOOLEAN, bool(body["isReminderOn"]))
    if isinstance(body.get("reminderMinutesBeforeStart"), int):
        p.set(REMINDER_DELTA, INT32, body["reminderMinutesBeforeStart"])
    if "recurrence" in body:
        p.set(RECURRING, BOOLEAN, body["recurrence"] is not None)
    party(p, (0x0042, 0x0064, 0x0065, 0x5D02), {"emailAddress": {"name": owner[0], "address": owner[1]}})
    if "attendees" in body:
        made.recipients.clear()
        for one in body["attendees"] or []:
            kind = {"required": 1, "optional": 2, "resource": 3}.get(str(one.get("type", "required")), 1)
            add_recipient(made, *person(one), kind)
        p.set(STATE, INT32, 1 if made.recipients else 0)
    given = Properties()
    set_extended(given, body.get("singleValueExtendedProperties") or [])
    p.update(given)
    attach(made, body.get("attachments"))


def when(value: dict[str, Any]) -> datetime:
    """A dateTimeTimeZone as UTC. IANA names, UTC, and Windows names that tzdata knows by alias. Raises GraphError 400."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    text = re.sub(r"(\.\d{6})\d+", r"\1", str(value.get("dateTime") or ""))
    zone = str(value.get("timeZone") or "UTC")
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC if zone == "UTC" else ZoneInfo(_WINDOWS.get(zone, zone)))
    except (ValueError, ZoneInfoNotFoundError, OSError) as error:
        raise errors.bad_request(
            f"A time zone or date could not be read: {zone}.", "TimeZoneNotSupportedException"
        ) from error
    return moment.astimezone(UTC)


_WINDOWS = {
    "W. Europe Standard Time": "Europe/Berlin",
    "Romance Standard Time": "Europe/Paris",
    "Central Europe Standard Time": "Europe/Budapest",
    "GMT Standard Time": "Europe/London",
    "Greenwich Standard Time": "Atlantic/Reykjavik",
    "Eastern Standard Time": "America/New_York",
    "Central Standard Time": "America/Chicago",
    "Mountain Standard Time": "America/Denver",
    "Pacific Standard Time": "America/Los_Angeles",
    "Tokyo Standard Time": "Asia/Tokyo",
    "India Standard Time": "Asia/Kolkata",
    "China Standard Time": "Asia/Shanghai",
}


# -- contacts

_PLAIN: dict[str, Key] = {
    "displayName": 0x3001, "givenName": 0x3A06, "initials": 0x3A0A, "middleName": 0x3A44, "nickName": 0x3A4F,
    "surname": 0x3A11, "title": 0x3A45, "generation": 0x3A05, "jobTitle": 0x3A17, "companyName": 0x3A16,
    "department": 0x3A18, "officeLocation": 0x3A19, "profession": 0x3A46, "businessHomePage": 0x3A51,
    "assistantName": 0x3A30, "manager": 0x3A4E, "mobilePhone": 0x3A1C, "spouseName": 0x3A48, "personalNotes": 0x1000,
    "fileAs": FILE_AS,
}  # fmt: skip
_PHONES = {"homePhones": (0x3A09, 0x3A2F), "businessPhones": (0x3A08, 0x3A1B)}


def contact(body: dict[str, Any], now: datetime) -> Message:
    """A contact from JSON. Raises GraphError 400."""
    check_names(body, "contact")
    made = Message()
    _common(made, body, "IPM.Contact", now)
    made.properties.set(0x0E07, INT32, READ)
    set_contact(made, body)
    p = made.properties
    if not p.text(0x3001):
        p.set(0x3001, STRING, " ".join(part for part in (p.text(0x3A06), p.text(0x3A11)) if part))
    if not p.text(FILE_AS):
        p.set(FILE_AS, STRING, p.text(0x3001))
    p.set(0x0037, STRING, p.text(0x3001))
    return made


def set_contact(made: Message, body: dict[str, Any]) -> None:
    p = made.properties
    _content(p, {"categories": body.get("categories")})
    for name, key in _PLAIN.items():
        if isinstance(body.get(name), str):
            p.set(key, STRING, body[name])
    for name, keys in _PHONES.items():
        values = body.get(name)
        if values is not None:
            if len(values) > len(keys):
                raise errors.bad_request(f"{name} takes {len(keys)} at most.", "ErrorInvalidRequest")
            for key, value in zip(keys, values, strict=False):
                p.set(key, STRING, str(value))
    mails = body.get("emailAddresses")
    if mails is not None:
        if len(mails) > len(EMAILS):
            raise errors.bad_request("A contact has three e-mail addresses at most.", "ErrorInvalidRequest")
        for (shown, address), value in zip(EMAILS, mails, strict=False):
            p.set(address, STRING, str(value.get("address") or ""))
            p.set(shown, STRING, str(value.get("name") or value.get("address") or ""))
    if body.get("imAddresses"):
        p.set(INSTANT_MESSENGER, STRING, str(body["imAddresses"][0]))
    if isinstance(body.get("birthday"), str):
        p.set(0x3A42, TIME, when({"dateTime": body["birthday"]}))
    if isinstance(body.get("children"), list):
        p.set(0x3A58, MULTIPLE | STRING, [str(one) for one in body["children"]])
    tables: dict[str, dict[str, Any]] = {
        "homeAddress": HOME_ADDRESS, "businessAddress": WORK_ADDRESS, "otherAddress": OTHER_ADDRESS,
    }  # fmt: skip
    for name, parts in tables.items():
        for part, key in parts.items():
            value = (body.get(name) or {}).get(part)
            if isinstance(value, str):
                p.set(key, STRING, value)
    given = Properties()
    set_extended(given, body.get("singleValueExtendedProperties") or [])
    p.update(given)
