"""Item trees as the JSON objects from which classic Graph creates messages, events and contacts.

Facts this module rests on (source):
- a message is a draft, received now, unless the extended property Integer 0x0E07 is among those that it is created with;
  dates are SystemTime 0x0E06 (received) and 0x0039 (sent); all of that counts at creation only, so everything goes
  into one request (learn.microsoft.com/graph/api/mailfolder-post-messages, …/singlevaluelegacyextendedproperty-post-singlevalueextendedproperties)
- an event with attendees makes the service mail invitations, and nothing turns that off: events are created without
  attendees, who are listed in the body instead (…/api/user-post-events)
- a contact has three e-mail addresses and two telephone numbers of a kind (…/api/resources/contact)
- what these types have no field for can be given as an extended property, but not recurrence, rich text or objects

Nothing here talks to a server.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import field
from datetime import date, datetime, timedelta
from html import escape
from typing import Any, Final

import pybase64

from migrator.errors import ItemError
from migrator.formats import mime
from migrator.formats.rtfhtml import extract
from migrator.mapi import properties as p
from migrator.mapi.blobs import BlobError, parse_time_zone_definition, parse_time_zone_struct
from migrator.mapi.fasttransfer.codepages import decoder
from migrator.mapi.item import BOOLEAN, INT32, STRING, TIME, Attachment, Key, Message, Named, Properties
from migrator.mapi.recurrence import (
    END_AFTER,
    END_BY_DATE,
    AppointmentRecurrence,
    local_time,
    parse_recurrence,
)
from migrator.mapi.rtf import decompress
from migrator.model import Kind
from migrator.record import record

Json = dict[str, Any]

_UNSENT = 0x8
_KEPT_FLAGS = 0x1 | 0x2 | 0x4 | _UNSENT | 0x20  # read, unmodified, submitted, unsent, from me
_HEADERS_MOST = 100_000
_USER_FIELDS_MOST = 50
_TEXT_MOST = 30_000

IMPORTANCE: Final = ("low", "normal", "high")
SENSITIVITY: Final = ("normal", "personal", "private", "confidential")
SHOW_AS: Final = ("free", "tentative", "busy", "oof", "workingElsewhere")
_DAYS: Final = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_INDEX: Final = ("first", "second", "third", "fourth", "last")
_MINUTES_A_DAY: Final = 1440

NOTES: Final = {
    "item_class": "created as an ordinary item of its kind: its own message class is not kept",
    "rich_text": "the body was rich text: its text is kept, or the HTML that was in it",
    "signature": "signed or encrypted content is attached as a file: mail programs do not see a signature",
    "attached_item": "an attached item became a file (.eml)",
    "attached_object": "an embedded object or link could not be attached",
    "attachment_empty": "an attachment without content was left out",
    "address": "a sender or recipient of the old directory is kept by name only",
    "reply_to": "the addresses to reply to are not kept",
    "headers": "the transport headers were too long and are not kept",
    "receipts": "requests for receipts are not kept, so that nobody gets one years later",
    "voting": "voting buttons and answers are not kept",
    "user_fields": "some fields of forms are not kept",
    "attendees": "attendees are listed in the body, so that nobody is invited anew; the owner is the organiser",
    "meeting": "the meeting's identity is not kept: later updates of its organiser do not find it",
    "time_zone": "the time zone is not kept, the time is",
    "occurrences": "changed or deleted occurrences of a series are as the series has them",
    "recurrence": "the recurrence could not be read: only the first occurrence is created",
    "contact_addresses": "a contact's fourth and later addresses or telephones are not kept",
    "photo": "the photo is not kept",
    "old_left": "the item changed at the source: the new one was created, the old one could not be removed",
}
"""Remarks and what they mean. Reports count the words."""


@record(frozen=False)
class File:
    """An attachment by value. data: buffers that together are its content."""

    name: str
    content_type: str
    size: int
    data: Sequence[bytes | memoryview]
    inline: bool = False
    content_id: str = ""


@record(frozen=False)
class Made:
    """document: what is posted, without attachments. notes: words of NOTES."""

    kind: Kind
    document: Json
    files: list[File] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)

    def note(self, word: str) -> None:
        self.notes[word] = None


def document_of(message: Message, kind: Kind, key: str = "") -> Made:
    """What to post for an item. key: the same for the same item, so that an event posted twice is one.

    Raises ItemError for a kind that classic Graph does not create.
    """
    if kind is Kind.MAIL:
        return _mail(message)
    if kind is Kind.EVENT:
        return _event(message, key)
    if kind is Kind.CONTACT:
        return _contact(message)
    raise ItemError(f"classic Graph creates no {kind.value}", code="kind_unsupported")


# Messages --------------------------------------------------------------------------------------------------------------


def _mail(message: Message) -> Made:
    values = message.properties
    made = Made(Kind.MAIL, {})
    out = made.document
    out["subject"] = _text(values, p.PidTagSubject)
    out["body"] = _body(message, made)
    if internet_id := values.text(p.PidTagInternetMessageId):
        out["internetMessageId"] = internet_id
    _common(values, out)
    out["isRead"] = bool(values.integer(p.PidTagMessageFlags) & 1)
    author = _person(
        values, 0x0042, p.PidTagSentRepresentingSmtpAddress, p.PidTagSentRepresentingAddressType, 0x0065, made
    )
    sender = _person(values, 0x0C1A, p.PidTagSenderSmtpAddress, p.PidTagSenderAddressType, 0x0C1F, made)
    if author or sender:
        out["from"] = author or sender
        out["sender"] = sender or author
    for name, kind in (("toRecipients", 1), ("ccRecipients", 2), ("bccRecipients", 3)):
        people = [
            person
            for one in message.recipients
            if one.integer(p.PidTagRecipientType, 1) & 0xF == kind
            and (person := _person(one, 0x3001, p.PidTagSmtpAddress, p.PidTagAddressType, 0x3003, made))
        ]
        if people:
            out[name] = people
    if flag := _flag(values):
        out["flag"] = flag
    if values.flag(p.PidTagReadReceiptRequested) or values.flag(p.PidTagOriginatorDeliveryReportRequested):
        made.note("receipts")
    extended = [_extended("Integer 0x0E07", str(values.integer(p.PidTagMessageFlags) & _KEPT_FLAGS))]
    # A draft has neither date; without one here it would be listed as received now.
    received = values.time(p.PidTagMessageDeliveryTime) or values.time(p.PidTagCreationTime)
    for tag, moment in (
        (p.PidTagClientSubmitTime, values.time(p.PidTagClientSubmitTime)),
        (p.PidTagMessageDeliveryTime, received),
        (p.PidTagLastVerbExecutionTime, values.time(p.PidTagLastVerbExecutionTime)),
    ):
        if moment:
            extended.append(_extended(f"SystemTime 0x{tag:04X}", _iso(moment)))
    index = values.binary(p.PidTagConversationIndex)
    if index and len(index) < 1000:
        encoded = pybase64.b64encode_as_string(bytes(index))
        extended.append(_extended(f"Binary 0x{p.PidTagConversationIndex:04X}", encoded))
    extended += [
        _extended(f"String 0x{tag:04X}", found)
        for tag in (p.PidTagInternetReferences, p.PidTagInReplyToId)
        if (found := values.text(tag))
    ]
    extended += [
        _extended(f"Integer 0x{tag:04X}", str(values.integer(tag)))
        for tag in (p.PidTagLastVerbExecuted, p.PidTagIconIndex, p.PidTagSensitivity)
        if values.integer(tag)
    ]
    if headers := values.text(p.PidTagTransportMessageHeaders):
        if len(headers) <= _HEADERS_MOST:
            extended.append(_extended(f"String 0x{p.PidTagTransportMessageHeaders:04X}", headers))
        else:
            made.note("headers")
    extended += _user_fields(values, made)
    out["singleValueExtendedProperties"] = extended
    item_class = values.text(p.PidTagMessageClass).lower()
    if item_class.startswith("ipm.note.smime"):
        made.note("signature")
    elif item_class not in ("", "ipm.note"):
        made.note("item_class")
    if values.binary(p.PidTagReplyRecipientEntries):
        made.note("reply_to")
    if values.binary(p.PidLidVerbStream):
        made.note("voting")
    made.files = _files(message, made)
    return made


def _flag(values: Properties) -> Json | None:
    status = {1: "complete", 2: "flagged"}.get(values.integer(p.PidTagFlagStatus))
    if status is None:
        return None
    flag: Json = {"flagStatus": status}
    done = values.time(p.PidTagFlagCompleteTime)
    if status == "complete" and done:
        flag["completedDateTime"] = _utc(done)
    start, due = values.time(p.PidLidTaskStartDate), values.time(p.PidLidTaskDueDate)
    if status == "flagged" and due:  # a start alone is refused
        flag["dueDateTime"] = _utc(due)
        flag["startDateTime"] = _utc(start or due)
    return flag


# Events ----------------------------------------------------------------------------------------------------------------


def _event(message: Message, key: str) -> Made:
    values = message.properties
    made = Made(Kind.EVENT, {})
    out = made.document
    out["subject"] = _text(values, p.PidTagSubject)
    out["body"] = _with_attendees(_body(message, made), message, made)
    _common(values, out)
    out["sensitivity"] = _choice(SENSITIVITY, values.integer(p.PidTagSensitivity))
    out["showAs"] = _choice(SHOW_AS, values.integer(p.PidLidBusyStatus, 2))
    if where := values.text(p.PidLidLocation):
        out["location"] = {"displayName": where[:_TEXT_MOST]}
    out["isReminderOn"] = values.flag(p.PidLidReminderSet)
    if out["isReminderOn"]:
        out["reminderMinutesBeforeStart"] = max(0, values.integer(p.PidLidReminderDelta))
    if key:
        out["transactionId"] = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    _when(values, out, made)
    extended = _user_fields(values, made)
    if extended:
        out["singleValueExtendedProperties"] = extended
    if values.text(p.PidTagMessageClass).lower() not in ("", "ipm.appointment"):
        made.note("item_class")
    hidden = [one for one in message.attachments if not _is_exception(one)]
    made.files = _files(Message(values, message.recipients, hidden), made)
    return made


def _when(values: Properties, out: Json, made: Made) -> None:
    start = values.time(p.PidLidAppointmentStartWhole) or values.time(p.PidTagStartDate)
    end = values.time(p.PidLidAppointmentEndWhole) or values.time(p.PidTagEndDate)
    if start is None:
        raise ItemError("an appointment without a start", code="no_start")
    end = max(end or start, start)
    all_day = values.flag(p.PidLidAppointmentSubType)
    zone = _zone_name(values)
    series = _series(values, made)
    out["isAllDay"] = all_day
    if series is not None:
        first = local_time(series.pattern.start_date)
        if first is not None:
            begin = first + timedelta(minutes=series.start_offset)
            finish = first + timedelta(minutes=series.end_offset)
            if all_day:  # whole days, whatever the offsets say
                begin = first
                finish = first + timedelta(days=max(1, -(-series.end_offset // _MINUTES_A_DAY)))
            out["start"] = {"dateTime": _local(begin), "timeZone": zone or "UTC"}
            out["end"] = {"dateTime": _local(finish), "timeZone": zone or "UTC"}
            out["recurrence"] = _recurrence(series, first.date(), zone or "UTC")
            if not zone:
                made.note("time_zone")
            if series.pattern.deleted or series.exceptions:
                made.note("occurrences")
            return
        made.note("recurrence")
    if all_day:
        day = _day_of(start, values)
        days = max(1, round((end - start) / timedelta(days=1)))
        out["start"] = {"dateTime": f"{day}T00:00:00", "timeZone": "UTC"}
        out["end"] = {"dateTime": f"{day + timedelta(days=days)}T00:00:00", "timeZone": "UTC"}
        return
    if zone and zone != "UTC":
        made.note("time_zone")
    out["start"], out["end"] = _utc(start), _utc(end)


def _series(values: Properties, made: Made) -> AppointmentRecurrence | None:
    octets = values.binary(p.PidLidAppointmentRecur)
    if not octets:
        return None
    try:
        found = parse_recurrence(octets)
    except BlobError:
        made.note("recurrence")
        return None
    if found.pattern.pattern_type not in (0, 1, 2, 3, 4) or found.pattern.period <= 0:
        made.note("recurrence")  # calendars of their own (Hijri) have no word in Graph
        return None
    return found


def _recurrence(series: AppointmentRecurrence, first: date, zone: str) -> Json:
    one = series.pattern
    yearly = one.frequency == 0x200D
    days = [name for bit, name in enumerate(_DAYS) if one.day_mask & 1 << bit]
    pattern: Json
    if one.pattern_type == 0:
        pattern = {"type": "daily", "interval": max(1, one.period // _MINUTES_A_DAY)}
    elif one.pattern_type == 1:
        pattern = {
            "type": "weekly",
            "interval": one.period,
            "daysOfWeek": days,
            "firstDayOfWeek": _DAYS[one.first_day_of_week % 7],
        }
    else:
        months = max(1, one.period // 12) if yearly else one.period
        word = "Yearly" if yearly else "Monthly"
        if one.pattern_type == 3:
            pattern = {
                "type": f"relative{word}",
                "interval": months,
                "daysOfWeek": days,
                "index": _INDEX[min(5, max(1, one.nth)) - 1],
            }
        else:
            pattern = {
                "type": f"absolute{word}",
                "interval": months,
                "dayOfMonth": min(31, one.day) or first.day,
            }
        if yearly:
            pattern["month"] = first.month
    bounds: Json = {"type": "noEnd", "startDate": str(first), "recurrenceTimeZone": zone}
    last = local_time(one.end_date)
    if one.end_type == END_AFTER:
        bounds |= {"type": "numbered", "numberOfOccurrences": max(1, one.occurrences)}
    elif one.end_type == END_BY_DATE and last is not None:
        bounds |= {"type": "endDate", "endDate": str(last.date())}
    return {"pattern": pattern, "range": bounds}


def _zone_name(values: Properties) -> str:
    for key in (
        p.PidLidAppointmentTimeZoneDefinitionRecur,
        p.PidLidAppointmentTimeZoneDefinitionStartDisplay,
    ):
        octets = values.binary(key)
        if octets:
            try:
                return parse_time_zone_definition(octets).name
            except BlobError:
                continue
    return ""


def _day_of(start: datetime, values: Properties) -> date:
    """The day of an all-day event, which is kept as the instant of its owner's midnight."""
    octets = values.binary(p.PidLidTimeZoneStruct)
    if octets:
        try:
            bias = parse_time_zone_struct(octets).bias
        except BlobError:
            pass
        else:
            # Daylight saving moves midnight by an hour at most.
            return (start - timedelta(minutes=bias) + timedelta(hours=2)).date()
    return start.date() if start.hour < 12 else (start + timedelta(days=1)).date()


def _with_attendees(body: Json, message: Message, made: Made) -> Json:
    people = [
        (_text(one, 0x3001), one.text(p.PidTagSmtpAddress) or _smtp(one, p.PidTagAddressType, 0x3003))
        for one in message.recipients
    ]
    organiser = (
        _text(message.properties, 0x0042),
        message.properties.text(p.PidTagSentRepresentingSmtpAddress)
        or _smtp(message.properties, p.PidTagSentRepresentingAddressType, 0x0065),
    )
    if not people:
        return body
    made.note("attendees")
    made.note("meeting")
    lines = [f"Organiser: {_named(*organiser)}", *(f"Attendee: {_named(*one)}" for one in people[:500])]
    if body["contentType"] == "html":
        listed = "<br>".join(escape(line) for line in lines)
        return {"contentType": "html", "content": f"{body['content']}<hr><p>{listed}</p>"}
    listed = "\r\n".join(lines)
    return {"contentType": "text", "content": f"{body['content']}\r\n\r\n{listed}\r\n"}


def _named(name: str, address: str) -> str:
    return f"{name} <{address}>" if name and address and name != address else name or address or "unknown"


def _is_exception(attachment: Attachment) -> bool:
    """A changed occurrence, which Exchange keeps as a hidden attached item (MS-OXOCAL 2.2.10.1)."""
    inner = attachment.embedded
    return inner is not None and inner.properties.text(p.PidTagMessageClass).lower().startswith(
        "ipm.ole.class"
    )


# Contacts --------------------------------------------------------------------------------------------------------------

_CONTACT_TEXTS: Final[dict[str, Key]] = {
    "displayName": 0x3001, "givenName": 0x3A06, "initials": 0x3A0A, "middleName": 0x3A44, "nickName": 0x3A4F,
    "surname": 0x3A11, "title": 0x3A45, "generation": 0x3A05, "jobTitle": 0x3A17, "companyName": 0x3A16,
    "department": 0x3A18, "officeLocation": 0x3A19, "profession": 0x3A46, "businessHomePage": 0x3A51,
    "assistantName": 0x3A30, "manager": 0x3A4E, "mobilePhone": 0x3A1C, "spouseName": 0x3A48,
    "fileAs": p.PidLidFileUnder,
}  # fmt: skip
_PHONES: Final = {"homePhones": (0x3A09, 0x3A2F), "businessPhones": (0x3A08, 0x3A1B)}
_MORE_TEXTS: Final = (
    0x3A23, 0x3A24, 0x3A25, 0x3A1A, 0x3A1D, 0x3A1E, 0x3A1F, 0x3A20, 0x3A21, 0x3A22, 0x3A2C, 0x3A2D, 0x3A2E, 0x3A00,
    0x3A02, 0x3A07, 0x3A46, 0x3A4B, 0x3A50, 0x3A57, 0x3A0D, 0x3A0C,
)  # fmt: skip
"""Faxes, pagers and the like, for which a contact of Graph has no field."""
_ADDRESSES: Final[dict[str, tuple[Key, Key, Key, Key, Key]]] = {
    "homeAddress": (0x3A5D, 0x3A59, 0x3A5C, 0x3A5B, 0x3A5A),
    "businessAddress": (
        p.PidLidWorkAddressStreet, p.PidLidWorkAddressCity, p.PidLidWorkAddressState, p.PidLidWorkAddressPostalCode,
        p.PidLidWorkAddressCountry,
    ),
    "otherAddress": (0x3A63, 0x3A5F, 0x3A62, 0x3A61, 0x3A60),
}  # fmt: skip
_PARTS: Final = ("street", "city", "state", "postalCode", "countryOrRegion")
_EMAILS: Final = (
    (p.PidLidEmail1DisplayName, p.PidLidEmail1AddressType, p.PidLidEmail1EmailAddress),
    (p.PidLidEmail2DisplayName, p.PidLidEmail2AddressType, p.PidLidEmail2EmailAddress),
    (p.PidLidEmail3DisplayName, p.PidLidEmail3AddressType, p.PidLidEmail3EmailAddress),
)


def _contact(message: Message) -> Made:
    values = message.properties
    made = Made(Kind.CONTACT, {})
    out = made.document
    for name, key in _CONTACT_TEXTS.items():
        if found := values.text(key):
            out[name] = found[:_TEXT_MOST]
    for name, keys in _PHONES.items():
        if numbers := [found for key in keys if (found := values.text(key))]:
            out[name] = numbers
    mails = []
    for shown, kind, address in _EMAILS:
        found = values.text(address)
        if found and (values.text(kind) or "SMTP").upper() != "SMTP":
            made.note("address")
        elif found:
            mails.append({"name": values.text(shown) or found, "address": found})
    if mails:
        out["emailAddresses"] = mails
    if found := values.text(p.PidLidInstantMessagingAddress):
        out["imAddresses"] = [found]
    for name, address_keys in _ADDRESSES.items():
        parts = {
            part: found for part, key in zip(_PARTS, address_keys, strict=True) if (found := values.text(key))
        }
        if parts:
            out[name] = parts
    if birthday := values.time(p.PidTagBirthday):
        out["birthday"] = _iso(birthday)
    notes = _body(message, made)
    if notes["content"]:
        text = notes["content"] if notes["contentType"] == "text" else values.text(p.PidTagBody)
        out["personalNotes"] = text
        if notes["contentType"] == "html":
            made.note("rich_text")
    categories = values.get(p.PidNameKeywords)
    if isinstance(categories, list) and categories:
        out["categories"] = categories
    extended = [
        _extended(f"String 0x{tag:04X}", found[:_TEXT_MOST])
        for tag in _MORE_TEXTS
        if (found := values.text(tag))
    ]
    extended += _user_fields(values, made)
    if extended:
        out["singleValueExtendedProperties"] = extended
    if any(one.properties.flag(p.PidTagAttachmentContactPhoto) for one in message.attachments):
        made.note("photo")
    elif message.attachments:
        made.note("attached_object")  # a contact takes none
    if values.text(p.PidTagMessageClass).lower() not in ("", "ipm.contact"):
        made.note("item_class")
    return made


# What they share -------------------------------------------------------------------------------------------------------


def _common(values: Properties, out: Json) -> None:
    out["importance"] = _choice(IMPORTANCE, values.integer(p.PidTagImportance, 1))
    categories = values.get(p.PidNameKeywords)
    if isinstance(categories, list) and categories:
        out["categories"] = [str(one)[:255] for one in categories]


def _body(message: Message, made: Made) -> Json:
    """HTML where there is any, also inside rich text; plain text otherwise."""
    values = message.properties
    html = values.get(p.PidTagHtml)
    if isinstance(html, str):
        return {"contentType": "html", "content": html}
    if isinstance(html, bytes | memoryview):
        to_text = decoder(values.integer(p.PidTagInternetCodepage, 65001) & 0xFFFF) or decoder(1252)
        assert to_text is not None
        return {"contentType": "html", "content": _sound(to_text(bytes(html)))}
    text = values.text(p.PidTagBody)
    rtf = values.binary(p.PidTagRtfCompressed)
    if rtf and (not text or values.integer(p.PidTagNativeBody) == 2):
        made.note("rich_text")
        try:
            found = extract(decompress(rtf))
        except ItemError:
            return {"contentType": "text", "content": _sound(text)}
        if found.kind == "html":
            return {"contentType": "html", "content": _sound(found.text)}
        return {"contentType": "text", "content": _sound(text or found.text)}
    return {"contentType": "text", "content": _sound(text)}


def _sound(text: str) -> str:
    """Without halves of surrogate pairs and NUL, which JSON of a server does not take."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "")


def _text(values: Properties, key: Key) -> str:
    return _sound(values.text(key))[:_TEXT_MOST]


def _person(values: Properties, name: int, smtp: int, kind: int, address: int, made: Made) -> Json | None:
    shown = _text(values, name)
    found = values.text(smtp) or _smtp(values, kind, address)
    if not found and not shown:
        return None
    if not found:
        made.note("address")
        return {"emailAddress": {"name": shown}}
    return {"emailAddress": {"name": shown or found, "address": _sound(found)}}


def _smtp(values: Properties, kind: int, address: int) -> str:
    return values.text(address) if (values.text(kind) or "SMTP").upper() == "SMTP" else ""


def _choice(names: Sequence[str], number: int) -> str:
    return names[number] if 0 <= number < len(names) else names[min(1, len(names) - 1)]


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment.year >= 1000 else "1601-01-01T00:00:00Z"


def _local(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="seconds")


def _utc(moment: datetime) -> Json:
    return {"dateTime": _iso(moment).removesuffix("Z"), "timeZone": "UTC"}


def _extended(name: str, value: str) -> Json:
    return {"id": name, "value": _sound(value)}


_WORDS: Final = {STRING: "String", INT32: "Integer", BOOLEAN: "Boolean", TIME: "SystemTime"}


def _user_fields(values: Properties, made: Made) -> list[Json]:
    """Fields that people and forms made (PS_PUBLIC_STRINGS), as far as a single value says them."""
    found: list[Json] = []
    for key, (kind, value) in values.items():
        if not isinstance(key, Named) or key.guid != p.PS_PUBLIC_STRINGS or key == p.PidNameKeywords:
            continue
        word = _WORDS.get(kind)
        said = _said(kind, value, values, key)
        if word is None or said is None or key.name is None or len(found) >= _USER_FIELDS_MOST:
            made.note("user_fields")
            continue
        found.append(_extended(f"{word} {{{key.guid}}} Name {key.name}", said))
    return found


def _said(kind: int, value: Any, values: Properties, key: Key) -> str | None:
    if kind == TIME:
        moment = values.time(key)
        return _iso(moment) if moment else None
    if kind == BOOLEAN:
        return "true" if value else "false"
    text = str(value)
    return text if len(text) <= _TEXT_MOST else None


def _files(message: Message, made: Made) -> list[File]:
    files = []
    for number, attachment in enumerate(message.attachments, 1):
        file = _file(attachment, number, made)
        if file is not None:
            files.append(file)
    return files


def _file(attachment: Attachment, number: int, made: Made) -> File | None:
    values = attachment.properties
    name = _text(values, 0x3707) or _text(values, 0x3704) or _text(values, 0x3001)
    if attachment.embedded is not None:
        made.note("attached_item")
        pieces = mime.from_tree(attachment.embedded).pieces
        shown = name or _text(attachment.embedded.properties, p.PidTagSubject) or f"item {number}"
        return File(f"{shown[:200]}.eml", "message/rfc822", _length(pieces), pieces)
    data = values.get(p.PidTagAttachDataBinary)
    if values.integer(p.PidTagAttachMethod, 1) != 1 or not isinstance(data, bytes | memoryview):
        made.note("attached_object")
        return None
    if not len(data):
        made.note("attachment_empty")
        return None
    return File(
        (name or f"attachment {number}")[:255],
        _text(values, 0x370E) or "application/octet-stream",
        len(data),
        [data],
        inline=bool(values.integer(p.PidTagAttachFlags) & 4) or values.flag(p.PidTagAttachmentHidden),
        content_id=_text(values, p.PidTagAttachContentId)[:500],
    )


def _length(pieces: Iterable[bytes | memoryview]) -> int:
    return sum(len(piece) for piece in pieces)
