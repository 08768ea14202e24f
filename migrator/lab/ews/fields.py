"""What an item shows: EWS properties out of the store's facts and the item's property tree.

The tree is parsed only when a property needs it, so listings of the usual small set parse nothing.

Facts this module rests on (MS-OXWSCORE, MS-OXWSMSG, MS-OXWSCONT, MS-OXWSMTGS, MS-OXWSTASK; recorded answers):
- elements stand in schema order; a property that an item does not have is left out
- listings give no bodies, attachments or MIME: FindItem refuses them (ErrorInvalidPropertyForOperation), SyncFolderItems
  leaves them out (clients that ask for everything work against real servers)
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lxml import etree

from migrator.lab.ews import extended, grammar
from migrator.lab.ews.envelope import Refused, T, element, text
from migrator.lab.ews.extended import when
from migrator.lab.ews.schema import field_order
from migrator.lab.ews.session import Session, at_least, element_name
from migrator.lab.store import Facts, LabItem
from migrator.mapi import item as mapi
from migrator.mapi import properties as p
from migrator.mapi.item import Message, Properties, filetime

_IMPORTANCE = ("Low", "Normal", "High")
_SENSITIVITY = ("Normal", "Personal", "Private", "Confidential")
_FREE_BUSY = ("Free", "Tentative", "Busy", "OOF", "WorkingElsewhere")
_RESPONSES = ("Unknown", "Organizer", "Tentative", "Accept", "Decline", "NoResponseReceived")
_TASK_STATUS = ("NotStarted", "InProgress", "Completed", "WaitingOnOthers", "Deferred")

_NOT_IN_LISTINGS = frozenset(
    [
        "Body",
        "MimeContent",
        "Attachments",
        "UniqueBody",
        "NormalizedBody",
        "TextBody",
        "InternetMessageHeaders",
        "ResponseObjects",
        "ToRecipients",
        "CcRecipients",
        "BccRecipients",
        "ReplyTo",
        "RequiredAttendees",
        "OptionalAttendees",
        "Resources",
        "Members",
    ]
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What an item answer holds. names: of elements, whatever their group; headers: InternetMessageHeader names."""

    base: str
    names: frozenset[str]
    extended: tuple[extended.Path, ...]
    mime: bool = False
    body_type: str = "Best"
    listing: bool = False
    headers: tuple[str, ...] = ()


def shape(holder: etree._Element | None, *, listing: str = "", default: str = "AllProperties") -> Shape:
    """From an m:ItemShape or m:AttachmentShape. listing: "find", "sync", or "" for opened items. Raises Refused."""
    if holder is None:
        return Shape(default, frozenset(), ())
    base = holder.findtext(f"{T}BaseShape") or default
    names: set[str] = set()
    paths: list[extended.Path] = []
    headers: list[str] = []
    mime = (holder.findtext(f"{T}IncludeMimeContent") or "").strip() in ("true", "1")
    more = holder.find(f"{T}AdditionalProperties")
    for uri in more if more is not None else ():
        kind = etree.QName(uri).localname
        if kind == "ExtendedFieldURI":
            paths.append(extended.path(uri))
            continue
        group, _, name = uri.get("FieldURI", "").partition(":")
        if group == "folder" or group in grammar.OTHER_FIELD_GROUPS:
            raise Refused("ErrorInvalidPropertyRequest", "Property is not valid for this object type.")
        if kind == "IndexedFieldURI":
            name = {"InternetMessageHeader": "InternetMessageHeaders", "EmailAddress": "EmailAddresses"}.get(
                name, name.partition(":")[0] + ("es" if name.startswith("PhysicalAddress") else "s")
            )
            if name == "InternetMessageHeaders":
                headers.append(uri.get("FieldIndex", "").lower())
        if listing and name in _NOT_IN_LISTINGS:
            if listing == "find":
                raise Refused("ErrorInvalidPropertyForOperation", "Property is not valid for this operation.")
            continue
        if name in ("MimeContent", "MimeContentUTF8"):
            mime, name = True, "MimeContent"
        names.add(name)
    if listing and mime:
        if listing == "find":
            raise Refused("ErrorInvalidPropertyForOperation", "Property is not valid for this operation.")
        mime = False
    if mime:
        names.add("MimeContent")
    body_type = (holder.findtext(f"{T}BodyType") or "Best").strip()
    return Shape(base, frozenset(names), tuple(paths), mime, body_type, bool(listing), tuple(headers))


class View:
    """An item, or a message inside one, as the fields below read it."""

    __slots__ = ("_message", "element", "facts", "item", "number", "root", "session")

    def __init__(
        self,
        session: Session,
        item: LabItem | None,
        *,
        message: Message | None = None,
        facts: Facts | None = None,
        root: LabItem | None = None,
        number: tuple[int, ...] = (),
    ) -> None:
        """root, number: for an embedded message, the item that holds it and the path of attachment numbers."""
        self.session = session
        self.item = item
        self.root = root or item
        self.number = number
        self._message = message
        found = facts or (item.facts if item is not None else None)
        assert found is not None
        self.facts = found
        self.element = element_name(found.item_class)

    @property
    def message(self) -> Message:
        if self._message is None:
            assert self.item is not None
            self._message = self.item.message()
        return self._message

    @property
    def p(self) -> Properties:
        return self.message.properties


Getter = Callable[[View], Any]


def _who(view: View, name: int, kind: int, address: int, smtp: int) -> bytes:
    props = view.p
    shown = props.text(smtp) or props.text(address)
    title = props.text(name)
    if not shown and not title:
        return b""
    routing = "SMTP" if "@" in shown else (props.text(kind) or "SMTP")
    return element("t:Mailbox", mailbox(title, shown, routing))


def mailbox(name: str, address: str, routing: str = "SMTP") -> bytes:
    parts = element("t:Name", name or address)
    if address:
        parts += element("t:EmailAddress", address) + element("t:RoutingType", routing or "SMTP")
    return parts


def recipient_address(recipient: Properties) -> str:
    return recipient.text(p.PidTagSmtpAddress) or recipient.text(p.PidTagEmailAddress)


def _recipients(kind: int) -> Getter:
    def read(view: View) -> bytes | None:
        found = [
            element(
                "t:Mailbox",
                mailbox(
                    r.text(p.PidTagDisplayName),
                    recipient_address(r),
                    "SMTP" if "@" in recipient_address(r) else "EX",
                ),
            )
            for r in view.message.recipients
            if r.integer(p.PidTagRecipientType) & 0xF == kind
        ]
        return b"".join(found) or None

    return read


def _attendees(kind: int) -> Getter:
    def read(view: View) -> bytes | None:
        found = []
        for r in view.message.recipients:
            flags = r.integer(p.PidTagRecipientFlags)
            if r.integer(p.PidTagRecipientType) & 0xF != kind or flags & 2:  # bit 1: the organizer
                continue
            answer = r.integer(p.PidTagRecipientTrackStatus)
            found.append(
                element(
                    "t:Attendee",
                    element("t:Mailbox", mailbox(r.text(p.PidTagDisplayName), recipient_address(r)))
                    + element("t:ResponseType", _RESPONSES[answer] if 0 <= answer < 6 else "Unknown"),
                )
            )
        return b"".join(found) or None

    return read


def _body(view: View, kind: str) -> tuple[str, str]:
    """(format, text). kind: Best, HTML, Text."""
    from migrator.lab.ews import mime

    return mime.body(view.message, kind)


def _has(view: View) -> bytes | None:
    from migrator.lab.ews import attachments

    return attachments.listing(view) or None


def _strings(values: tuple[str, ...] | list[str]) -> bytes | None:
    return b"".join(element("t:String", one) for one in values) or None


def _choice(values: tuple[str, ...], number: int, otherwise: str) -> str:
    return values[number] if 0 <= number < len(values) else otherwise


def _flags(view: View, bit: int) -> bool:
    return bool(view.p.integer(p.PidTagMessageFlags) & bit)


def _conversation(view: View) -> str | None:
    index = bytes(view.p.binary(p.PidTagConversationIndex))
    return b64encode(index[6:22]).decode() if len(index) >= 22 else None


def _flag(view: View) -> bytes:
    status = {1: "Complete", 2: "Flagged"}.get(view.p.integer(p.PidTagFlagStatus), "NotFlagged")
    return element("t:FlagStatus", status)


def _headers(view: View) -> bytes | None:
    from migrator.lab.ews import mime

    found = [
        b'<t:InternetMessageHeader HeaderName="%b">%b</t:InternetMessageHeader>' % (text(name), text(value))
        for name, value in mime.transport_headers(view.message)
    ]
    return b"".join(found) or None


def _times(key: mapi.Key) -> Getter:
    return lambda view: view.p.time(key)


def _string(key: mapi.Key) -> Getter:
    return lambda view: view.p.get(key) if isinstance(view.p.get(key), str) else None


def _binary(key: mapi.Key) -> Getter:
    return lambda view: b64encode(bytes(view.p.binary(key))) or None


def _entries(name: str, pairs: tuple[tuple[str, mapi.Key], ...]) -> Getter:
    def read(view: View) -> bytes | None:
        found = [
            b'<t:Entry Key="%b">%b</t:Entry>' % (key.encode(), text(view.p.text(where)))
            for key, where in pairs
            if view.p.text(where)
        ]
        return b"".join(found) or None

    return read


_PHONES: tuple[tuple[str, mapi.Key], ...] = (
    ("BusinessFax", p.PidTagBusinessFaxNumber),
    ("BusinessPhone", p.PidTagBusinessTelephoneNumber),
    ("BusinessPhone2", p.PidTagBusiness2TelephoneNumber),
    ("HomeFax", p.PidTagHomeFaxNumber),
    ("HomePhone", p.PidTagHomeTelephoneNumber),
    ("HomePhone2", p.PidTagHome2TelephoneNumber),
    ("MobilePhone", p.PidTagMobileTelephoneNumber),
    ("OtherTelephone", p.PidTagOtherTelephoneNumber),
    ("Pager", p.PidTagPagerTelephoneNumber),
    ("PrimaryPhone", p.PidTagPrimaryTelephoneNumber),
)
EMAILS: tuple[tuple[str, mapi.Key], ...] = (
    ("EmailAddress1", p.PidLidEmail1EmailAddress),
    ("EmailAddress2", p.PidLidEmail2EmailAddress),
    ("EmailAddress3", p.PidLidEmail3EmailAddress),
)
_ADDRESSES: tuple[tuple[str, tuple[tuple[str, mapi.Key], ...]], ...] = (
    (
        "Business",
        (
            ("Street", p.PidLidWorkAddressStreet),
            ("City", p.PidLidWorkAddressCity),
            ("State", p.PidLidWorkAddressState),
            ("CountryOrRegion", p.PidLidWorkAddressCountry),
            ("PostalCode", p.PidLidWorkAddressPostalCode),
        ),
    ),
    (
        "Home",
        (
            ("Street", p.PidTagHomeAddressStreet),
            ("City", p.PidTagHomeAddressCity),
            ("State", p.PidTagHomeAddressStateOrProvince),
            ("CountryOrRegion", p.PidTagHomeAddressCountry),
            ("PostalCode", p.PidTagHomeAddressPostalCode),
        ),
    ),
)


def _postal(view: View) -> bytes | None:
    found = []
    for key, parts in _ADDRESSES:
        inner = b"".join(
            element(f"t:{name}", view.p.text(where)) for name, where in parts if view.p.text(where)
        )
        if inner:
            found.append(b'<t:Entry Key="%b">%b</t:Entry>' % (key.encode(), inner))
    return b"".join(found) or None


def _members(view: View) -> bytes | None:
    from migrator.lab.ews import oneoff

    found = [
        b'<t:Member Key="%b">%b</t:Member>'
        % (b64encode(raw), element("t:Mailbox", mailbox(name, address) + element("t:MailboxType", "OneOff")))
        for raw, name, address in oneoff.members(view.p)
    ]
    return b"".join(found) or None


_GETTERS: dict[str, Getter] = {
    # item
    "ItemClass": lambda v: v.facts.item_class,
    "Subject": lambda v: v.facts.subject,
    "Sensitivity": lambda v: _choice(_SENSITIVITY, v.p.integer(p.PidTagSensitivity), "Normal"),
    "Attachments": _has,
    "DateTimeReceived": lambda v: v.facts.received or (v.item.created if v.item else None),
    "Size": lambda v: v.item.size if v.item else None,
    "Categories": lambda v: _strings(v.facts.categories),
    "Importance": lambda v: _choice(_IMPORTANCE, v.facts.importance, "Normal"),
    "InReplyTo": _string(p.PidTagInReplyToId),
    "IsSubmitted": lambda v: _flags(v, 4),
    "IsDraft": lambda v: v.facts.draft,
    "IsFromMe": lambda v: _flags(v, 0x20),
    "IsResend": lambda v: _flags(v, 0x80),
    "IsUnmodified": lambda v: _flags(v, 2),
    "InternetMessageHeaders": _headers,
    "DateTimeSent": lambda v: v.facts.sent,
    "DateTimeCreated": lambda v: v.item.created if v.item else v.facts.created,
    "ReminderDueBy": _times(p.PidLidReminderTime),
    "ReminderIsSet": lambda v: v.p.flag(p.PidLidReminderSet),
    "ReminderMinutesBeforeStart": lambda v: str(v.p.integer(p.PidLidReminderDelta)),
    "DisplayCc": lambda v: _shown(v, p.PidTagDisplayCc, 2),
    "DisplayTo": lambda v: _shown(v, p.PidTagDisplayTo, 1),
    "DisplayBcc": lambda v: _shown(v, p.PidTagDisplayBcc, 3),
    "HasAttachments": lambda v: v.facts.has_attachments,
    "Culture": lambda v: v.item.mailbox.locale if v.item else None,
    "LastModifiedName": lambda v: v.item.mailbox.display_name if v.item else None,
    "LastModifiedTime": lambda v: v.item.modified if v.item else None,
    "IsAssociated": lambda v: v.item.associated if v.item else False,
    "Flag": _flag,
    "Preview": lambda v: _body(v, "Text")[1][:255],
    # mail and posts
    "Sender": lambda v: _who(v, 0x0C1A, 0x0C1E, 0x0C1F, 0x5D01) or None,
    "From": lambda v: (
        _who(v, 0x0042, 0x0064, 0x0065, 0x5D02) or _who(v, 0x0C1A, 0x0C1E, 0x0C1F, 0x5D01) or None
    ),
    "ToRecipients": _recipients(1),
    "CcRecipients": _recipients(2),
    "BccRecipients": _recipients(3),
    "IsReadReceiptRequested": lambda v: v.p.flag(p.PidTagReadReceiptRequested),
    "IsDeliveryReceiptRequested": lambda v: v.p.flag(p.PidTagOriginatorDeliveryReportRequested),
    "ConversationIndex": _binary(p.PidTagConversationIndex),
    "ConversationTopic": _string(p.PidTagConversationTopic),
    "InternetMessageId": lambda v: v.facts.message_id or None,
    "IsRead": lambda v: v.facts.read,
    "IsResponseRequested": lambda v: v.p.flag(p.PidTagResponseRequested),
    "References": _string(p.PidTagInternetReferences),
    "ReceivedBy": lambda v: _who(v, 0x0040, 0x0075, 0x0076, 0x5D07) or None,
    "ReceivedRepresenting": lambda v: _who(v, 0x0044, 0x0077, 0x0078, 0x5D08) or None,
    "PostedTime": lambda v: v.facts.sent,
    # events and meetings
    "UID": lambda v: _uid(v),
    "Start": lambda v: v.p.time(p.PidLidAppointmentStartWhole) or v.p.time(p.PidTagStartDate),
    "End": lambda v: v.p.time(p.PidLidAppointmentEndWhole) or v.p.time(p.PidTagEndDate),
    "IsAllDayEvent": lambda v: v.p.flag(p.PidLidAppointmentSubType),
    "LegacyFreeBusyStatus": lambda v: _choice(_FREE_BUSY, v.p.integer(p.PidLidBusyStatus, 2), "NoData"),
    "Location": _string(p.PidLidLocation),
    "IsMeeting": lambda v: bool(v.p.integer(p.PidLidAppointmentStateFlags) & 1),
    "IsCancelled": lambda v: bool(v.p.integer(p.PidLidAppointmentStateFlags) & 4),
    "IsRecurring": lambda v: v.p.flag(p.PidLidRecurring),
    "MeetingRequestWasSent": lambda v: v.p.flag(p.PidLidFInvited),
    "CalendarItemType": lambda v: "RecurringMaster" if v.p.flag(p.PidLidRecurring) else "Single",
    "MyResponseType": lambda v: _choice(_RESPONSES, v.p.integer(p.PidLidResponseStatus), "Unknown"),
    "Organizer": lambda v: _who(v, 0x0042, 0x0064, 0x0065, 0x5D02) or None,
    "RequiredAttendees": _attendees(1),
    "OptionalAttendees": _attendees(2),
    "Resources": _attendees(3),
    "AppointmentSequenceNumber": lambda v: v.p.integer(p.PidLidAppointmentSequence),
    "AppointmentState": lambda v: v.p.integer(p.PidLidAppointmentStateFlags),
    # people
    "FileAs": _string(p.PidLidFileUnder),
    "DisplayName": lambda v: v.p.text(p.PidTagDisplayName) or v.p.text(p.PidLidDistributionListName) or None,
    "GivenName": _string(p.PidTagGivenName),
    "Initials": _string(p.PidTagInitials),
    "MiddleName": _string(p.PidTagMiddleName),
    "Nickname": _string(p.PidTagNickname),
    "CompanyName": _string(p.PidTagCompanyName),
    "EmailAddresses": _entries("EmailAddresses", EMAILS),
    "PhysicalAddresses": _postal,
    "PhoneNumbers": _entries("PhoneNumbers", _PHONES),
    "AssistantName": _string(p.PidTagAssistant),
    "Birthday": _times(p.PidTagBirthday),
    "BusinessHomePage": _string(p.PidTagBusinessHomePage),
    "Companies": lambda v: _strings(v.p.get(p.PidLidCompanies) or []),
    "Department": _string(p.PidTagDepartmentName),
    "Generation": _string(p.PidTagGeneration),
    "ImAddresses": _entries("ImAddresses", (("ImAddress1", p.PidLidInstantMessagingAddress),)),
    "JobTitle": _string(p.PidTagTitle),
    "Manager": _string(p.PidTagManagerName),
    "Mileage": _string(p.PidLidMileage),
    "OfficeLocation": _string(p.PidTagOfficeLocation),
    "Profession": _string(p.PidTagProfession),
    "SpouseName": _string(p.PidTagSpouseName),
    "Surname": _string(p.PidTagSurname),
    "WeddingAnniversary": _times(p.PidTagWeddingAnniversary),
    "HasPicture": lambda v: v.p.flag(p.PidLidHasPicture),
    "Members": _members,
    # tasks
    "ActualWork": lambda v: v.p.integer(p.PidLidTaskActualEffort),
    "BillingInformation": _string(p.PidLidBilling),
    "CompleteDate": _times(p.PidLidTaskDateCompleted),
    "DueDate": _times(p.PidLidTaskDueDate),
    "IsComplete": lambda v: v.p.flag(p.PidLidTaskComplete),
    "Owner": _string(p.PidLidTaskOwner),
    "PercentComplete": lambda v: (v.p.get(p.PidLidPercentComplete) or 0.0) * 100,
    "StartDate": _times(p.PidLidTaskStartDate),
    "Status": lambda v: _choice(_TASK_STATUS, v.p.integer(p.PidLidTaskStatus), "NotStarted"),
    "TotalWork": lambda v: v.p.integer(p.PidLidTaskEstimatedEffort),
}
_DEFAULTS = {
    "Item": "ItemId Subject Sensitivity DateTimeSent DateTimeCreated HasAttachments Size",
    "Message": "From IsRead IsReadReceiptRequested IsDeliveryReceiptRequested Sender",
    "CalendarItem": "Start End IsAllDayEvent LegacyFreeBusyStatus Location IsMeeting IsCancelled IsRecurring "
    "MeetingRequestWasSent CalendarItemType MyResponseType Organizer",
    "Contact": "FileAs DisplayName CompanyName EmailAddresses PhoneNumbers JobTitle",
    "DistributionList": "DisplayName FileAs",
    "Task": "DueDate PercentComplete StartDate Status",
    "PostItem": "From IsRead",
}
_DEFAULT_OPENED = frozenset(("Body", "Attachments", "ToRecipients", "CcRecipients", "BccRecipients"))
_SPECIAL = frozenset(
    ("ItemId", "ParentFolderId", "Body", "TextBody", "MimeContent", "ConversationId", "EffectiveRights")
)
_EFFECTIVE_RIGHTS = (
    b"<t:EffectiveRights><t:CreateAssociated>false</t:CreateAssociated><t:CreateContents>false</t:CreateContents>"
    b"<t:CreateHierarchy>false</t:CreateHierarchy><t:Delete>true</t:Delete><t:Modify>true</t:Modify>"
    b"<t:Read>true</t:Read></t:EffectiveRights>"
)
_SINCE_2010 = frozenset(grammar.FIELDS_2010["item"].split())
_SINCE_2013 = frozenset(f"{grammar.FIELDS_2013['item']} {grammar.FIELDS_2013['calendar']}".split())


def _shown(view: View, key: int, kind: int) -> str:
    told = view.p.text(key)
    if told or not view.message.recipients:
        return told
    return "; ".join(
        r.text(p.PidTagDisplayName) or recipient_address(r)
        for r in view.message.recipients
        if r.integer(p.PidTagRecipientType) & 0xF == kind
    )


def _uid(view: View) -> str | None:
    raw = bytes(view.p.binary(p.PidLidCleanGlobalObjectId) or view.p.binary(p.PidLidGlobalObjectId))
    if not raw:
        return None
    marker = raw.find(b"vCal-Uid\x01\x00\x00\x00")
    if marker >= 0:  # an id from outside is wrapped (MS-OXOCAL 2.2.1.27)
        return raw[marker + 12 :].split(b"\x00", 1)[0].decode("latin-1")
    return raw.hex().upper()


def names_of(view: View, wanted: Shape) -> frozenset[str]:
    """The elements that an answer for this item holds."""
    if wanted.base == "IdOnly":
        return wanted.names | {"ItemId"}
    order = field_order(view.element)
    version = view.session.version
    if wanted.base == "Default":
        kind = "Message" if view.element.startswith("Meeting") else view.element
        names = frozenset(f"{_DEFAULTS['Item']} {_DEFAULTS.get(kind, '')}".split())
        if not wanted.listing:
            names |= _DEFAULT_OPENED
    else:
        names = (frozenset(_GETTERS) | _SPECIAL) - {"MimeContent", "TextBody", "Preview"}
        if not at_least(version, "Exchange2010"):
            names -= _SINCE_2010
        if not at_least(version, "Exchange2013"):
            names -= _SINCE_2013
        if wanted.listing:
            names -= _NOT_IN_LISTINGS
    return (names & frozenset(order)) | wanted.names | {"ItemId"}


def render(view: View, wanted: Shape) -> bytes:
    """The item as XML, elements in schema order."""
    names = names_of(view, wanted)
    if names == _ONLY_ID and not wanted.extended and view.item is not None:
        tag = view.element.encode()
        return b"<t:%b>%b</t:%b>" % (tag, view.session.item_id(view.item), tag)
    parts: list[bytes] = []
    for name in field_order(view.element):
        if name == "ExtendedProperty":
            for path in wanted.extended:
                value = property_of(view, path)
                if value is not None:
                    parts.append(path.wrap(value, cut=wanted.listing))
        elif name in names:
            parts.append(_one(view, name, wanted))
    tag = view.element.encode()
    return b"<t:%b>%b</t:%b>" % (tag, b"".join(parts), tag)


_ONLY_ID = frozenset(("ItemId",))


def _one(view: View, name: str, wanted: Shape) -> bytes:
    if name in _SPECIAL:
        return _special(view, name, wanted)
    getter = _GETTERS.get(name)
    if getter is None:
        return b""
    value = getter(view)
    if name == "InternetMessageHeaders" and value is not None and wanted.headers:
        value = _some_headers(view, wanted.headers)
    return b"" if value is None else element(f"t:{name}", _xml(value))


def _some_headers(view: View, wanted: tuple[str, ...]) -> bytes | None:
    from migrator.lab.ews import mime

    return (
        b"".join(
            b'<t:InternetMessageHeader HeaderName="%b">%b</t:InternetMessageHeader>'
            % (text(name), text(value))
            for name, value in mime.transport_headers(view.message)
            if name.lower() in wanted
        )
        or None
    )


def _xml(value: Any) -> bytes:
    """A getter's value as XML; bytes are ready XML."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, datetime):
        return when(value).encode()
    return text(str(value))


def _special(view: View, name: str, wanted: Shape) -> bytes:
    session, item = view.session, view.item
    if name == "ItemId":
        return session.item_id(item) if item is not None else b""
    if name == "ParentFolderId":
        return session.folder_id(item.folder, b"t:ParentFolderId") if item is not None else b""
    if name == "EffectiveRights":
        return _EFFECTIVE_RIGHTS
    if name == "ConversationId":
        found = _conversation(view)
        return b'<t:ConversationId Id="%b"/>' % found.encode() if found else b""
    if name == "MimeContent":
        from migrator.lab.ews import mime

        made = mime.content(view.message, view.facts.item_class)
        if made is None:
            return b""
        return b'<t:MimeContent CharacterSet="UTF-8">%b</t:MimeContent>' % b64encode(made)
    kind, body = _body(view, "Text" if name == "TextBody" else wanted.body_type)
    return b'<t:%b BodyType="%b">%b</t:%b>' % (name.encode(), kind.encode(), text(body), name.encode())


# -- extended properties

_FROM_FACTS: dict[int, tuple[int, Callable[[View], Any]]] = {
    0x001A: (mapi.STRING, lambda v: v.facts.item_class),
    0x0037: (mapi.STRING, lambda v: v.facts.subject or None),
    0x1035: (mapi.STRING, lambda v: v.facts.message_id or None),
    0x300B: (mapi.BINARY, lambda v: v.facts.search_key or None),
    0x0E06: (mapi.TIME, lambda v: v.facts.received),
    0x0039: (mapi.TIME, lambda v: v.facts.sent),
    0x0E69: (mapi.BOOLEAN, lambda v: v.facts.read),
    0x0E1B: (mapi.BOOLEAN, lambda v: v.facts.has_attachments),
    0x0017: (mapi.INT32, lambda v: v.facts.importance),
}
_OF_THE_STORE: dict[int, tuple[int, Callable[[LabItem, Session], Any]]] = {
    0x0E08: (mapi.INT32, lambda i, s: min(i.size, 2**31 - 1)),
    0x3007: (mapi.TIME, lambda i, s: filetime(i.created)),
    0x3008: (mapi.TIME, lambda i, s: filetime(i.modified)),
    0x0FFF: (mapi.BINARY, lambda i, s: s.maker(i.mailbox).entry_id(i.folder.id, i.id)),
    0x65E0: (mapi.BINARY, lambda i, s: s.maker(i.mailbox).replica + i.id.to_bytes(6, "big")),
    0x65E2: (mapi.BINARY, lambda i, s: s.maker(i.mailbox).replica + i.change.to_bytes(6, "big")),
}


def property_of(view: View, path: extended.Path) -> Any:
    """An item's MAPI property of the type asked for, None when it has none."""
    key = path.key
    if isinstance(key, int):
        if view.item is not None and key in _OF_THE_STORE:
            kind, of = _OF_THE_STORE[key]
            if kind == path.type or (key == 0x0E08 and path.type == mapi.INT64):
                return of(view.item, view.session)
            return None
        if key in _FROM_FACTS:
            kind, read = _FROM_FACTS[key]
            if kind != path.type:
                return None
            if kind != mapi.TIME:
                return read(view)
            value = read(view)
            return filetime(value) if value is not None else None
    return path.of(view.p)


# -- reading for restrictions and sort orders


def reader(uri: etree._Element) -> Callable[[View], Any]:
    """The function that reads what a path means. Raises Refused for what cannot be searched for."""
    kind = etree.QName(uri).localname
    if kind == "ExtendedFieldURI":
        path = extended.path(uri)

        def extended_value(view: View) -> Any:
            value = property_of(view, path)
            return mapi.datetime_of(value) if path.type == mapi.TIME and value is not None else value

        return extended_value
    name = uri.get("FieldURI", "").partition(":")[2]
    if name == "Categories":
        return lambda view: view.facts.categories
    if name == "From" or name == "Sender":
        return lambda view: (view.facts.sender_name, view.facts.sender_address)
    if name == "Body":
        return lambda view: _body(view, "Text")[1]
    if name == "Importance":
        return lambda view: _choice(_IMPORTANCE, view.facts.importance, "Normal")
    if name == "EmailAddress" or name == "EmailAddresses":
        return lambda view: tuple(view.p.text(where) for _, where in EMAILS)
    getter = _GETTERS.get(name)
    if getter is None or kind == "IndexedFieldURI":
        raise Refused("ErrorUnsupportedPathForQuery", "The property can not be used in a restriction.")
    return getter
