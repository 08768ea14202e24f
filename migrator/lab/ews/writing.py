"""Items made and changed from EWS elements: what CreateItem, UpdateItem and CreateAttachment take.

Facts this module rests on (MS-OXWSCORE 3.1.4.2; learn.microsoft.com/…/how-to-import-items-by-using-ews-in-exchange):
- a new message is a draft unless PidTagMessageFlags (0x0E07) is set while it is created; later it is read-only
- MimeContent gives the whole item; other elements beside it win over it
- a kind of item goes to its kind of folder: ErrorCannotCreateCalendarItemInNonCalendarFolder and the like
"""

from __future__ import annotations

import binascii
import uuid
from base64 import b64decode
from collections.abc import Callable
from datetime import datetime, timedelta

from lxml import etree

from migrator.lab.ews import extended, ical, mime, oneoff
from migrator.lab.ews.envelope import Refused, T
from migrator.lab.ews.extended import read_time
from migrator.lab.ews.fields import EMAILS
from migrator.lab.ews.session import Session
from migrator.lab.store import LabFolder
from migrator.mapi import fasttransfer
from migrator.mapi import item as mapi
from migrator.mapi import properties as p
from migrator.mapi.item import Attachment, Key, Message

READ, UNMODIFIED, UNSENT = 1, 2, 8
_CLASSES = {
    "CalendarItem": "IPM.Appointment",
    "Contact": "IPM.Contact",
    "DistributionList": "IPM.DistList",
    "Task": "IPM.Task",
    "PostItem": "IPM.Post",
}
_HOMES = {"CalendarItem": "calendar", "Contact": "contacts", "DistributionList": "contacts", "Task": "tasks"}
_WRONG_FOLDER = {
    "CalendarItem": ("IPF.Appointment", "ErrorCannotCreateCalendarItemInNonCalendarFolder"),
    "Contact": ("IPF.Contact", "ErrorCannotCreateContactInNonContactFolder"),
    "DistributionList": ("IPF.Contact", "ErrorCannotCreateContactInNonContactFolder"),
    "Task": ("IPF.Task", "ErrorCannotCreateTaskInNonTaskFolder"),
}


def home(kind: str) -> str:
    """The role of the folder where an item goes when none is named."""
    return _HOMES.get(kind, "drafts")


def check_folder(kind: str, folder: LabFolder) -> None:
    """Raises Refused for a kind of item that this folder does not take."""
    rule = _WRONG_FOLDER.get(kind)
    if rule is not None and not folder.folder_class.lower().startswith(rule[0].lower()):
        raise Refused(rule[1], f"{kind} objects can only be created in {rule[0]} folders.")


def to_stream(session: Session, message: Message) -> bytes:
    """Raises Refused for a tree that no stream can hold."""
    try:
        return bytes(
            fasttransfer.write(
                message, version=session.profile.build, page=session.world.knobs.ews_data_pages
            )
        )
    except fasttransfer.WriteError as problem:
        raise Refused("ErrorItemSave", f"The item cannot be saved: {problem}") from None


def build(session: Session, asked: etree._Element, now: datetime) -> Message:
    """A property tree from an item element. Raises Refused."""
    kind = etree.QName(asked).localname
    raw = asked.findtext(f"{T}MimeContent")
    message = _from_mime(kind, raw) if raw is not None else Message()
    props = message.properties
    if kind in _CLASSES or p.PidTagMessageClass not in props:
        props.set(p.PidTagMessageClass, mapi.STRING, _CLASSES.get(kind, "IPM.Note"))
    if p.PidTagSearchKey not in props:
        props.set(p.PidTagSearchKey, mapi.BINARY, uuid.uuid4().bytes)
    props.set(p.PidTagCreationTime, mapi.TIME, now)
    props.set(p.PidTagLastModificationTime, mapi.TIME, now)
    flags = READ | UNSENT if kind in ("Message", "PostItem", "Item") else READ
    props.set(p.PidTagMessageFlags, mapi.INT32, flags)
    for child in asked:
        if isinstance(child.tag, str):
            set_element(message, child, creating=True)
    if kind == "Contact":
        _complete_contact(message)
    return message


def _from_mime(kind: str, raw: str) -> Message:
    try:
        data = b64decode("".join(raw.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Refused(
            "ErrorMimeContentInvalidBase64String", "The MIME content is not valid base64."
        ) from None
    if kind == "CalendarItem":
        return ical.event(data)
    if kind == "Contact":
        return ical.contact(data)
    return mime.read(data)


# -- one element


def set_element(message: Message, child: etree._Element, *, creating: bool = False) -> None:
    """Put what an element says into the tree. Raises Refused for what cannot be set."""
    name = etree.QName(child).localname
    value = child.text or ""
    if name in _SKIPPED:
        return
    if name == "ExtendedProperty":
        path, given = extended.values(child)
        if path.key == p.PidTagMessageFlags:
            if not creating:
                raise Refused(
                    "ErrorInvalidPropertySet", "PidTagMessageFlags can only be set while an item is created."
                )
            given = int(given) & ~UNMODIFIED
        message.properties.set(path.key, path.type, given)
        return
    simple = _STRINGS.get(name)
    if simple is not None:
        message.properties.set(simple, mapi.STRING, value)
        return
    if name in _TIMES:
        try:
            message.properties.set(_TIMES[name], mapi.TIME, read_time(value))
        except ValueError:
            raise Refused("ErrorInvalidValueForProperty", f"{name} is not a date and time.") from None
        return
    setter = _SETTERS.get(name)
    if setter is None:
        if creating and name in _READ_ONLY:
            raise Refused("ErrorInvalidPropertySet", f"Set action is invalid for property {name}.")
        raise Refused("ErrorInvalidPropertySet", f"The lab cannot set {name}.")
    setter(message, child)


def unset(message: Message, uri: etree._Element) -> None:
    """DeleteItemField. Raises Refused."""
    if etree.QName(uri).localname == "ExtendedFieldURI":
        message.properties.pop(extended.path(uri).key, None)
        return
    name = uri.get("FieldURI", "").partition(":")[2]
    keys: dict[str, Key] = {**_STRINGS, **_TIMES, "Categories": p.PidNameKeywords, "Body": p.PidTagBody}
    if name not in keys:
        raise Refused("ErrorInvalidPropertyDelete", f"The lab cannot delete {name}.")
    message.properties.pop(keys[name], None)
    if name == "Body":
        message.properties.pop(p.PidTagHtml, None)


_SKIPPED = frozenset(
    [
        "MimeContent",
        "ItemId",
        "ParentFolderId",
        "Culture",
        "StartTimeZone",
        "EndTimeZone",
        "MeetingTimeZone",
        "StartTimeZoneId",
        "EndTimeZoneId",
        "FileAsMapping",
        "CompleteName",
    ]
)
_READ_ONLY = frozenset(
    [
        "Size",
        "DateTimeReceived",
        "DateTimeSent",
        "DateTimeCreated",
        "LastModifiedTime",
        "HasAttachments",
        "IsDraft",
    ]
)
_STRINGS: dict[str, Key] = {
    "ItemClass": p.PidTagMessageClass,
    "InReplyTo": p.PidTagInReplyToId,
    "InternetMessageId": p.PidTagInternetMessageId,
    "References": p.PidTagInternetReferences,
    "ConversationTopic": p.PidTagConversationTopic,
    "Location": p.PidLidLocation,
    "FileAs": p.PidLidFileUnder,
    "DisplayName": p.PidTagDisplayName,
    "GivenName": p.PidTagGivenName,
    "Initials": p.PidTagInitials,
    "MiddleName": p.PidTagMiddleName,
    "Nickname": p.PidTagNickname,
    "CompanyName": p.PidTagCompanyName,
    "AssistantName": p.PidTagAssistant,
    "BusinessHomePage": p.PidTagBusinessHomePage,
    "Department": p.PidTagDepartmentName,
    "Generation": p.PidTagGeneration,
    "JobTitle": p.PidTagTitle,
    "Manager": p.PidTagManagerName,
    "OfficeLocation": p.PidTagOfficeLocation,
    "Profession": p.PidTagProfession,
    "SpouseName": p.PidTagSpouseName,
    "Surname": p.PidTagSurname,
    "BillingInformation": p.PidLidBilling,
    "Mileage": p.PidLidMileage,
    "Owner": p.PidLidTaskOwner,
}
_TIMES: dict[str, Key] = {
    "Birthday": p.PidTagBirthday,
    "WeddingAnniversary": p.PidTagWeddingAnniversary,
    "DueDate": p.PidLidTaskDueDate,
    "StartDate": p.PidLidTaskStartDate,
    "CompleteDate": p.PidLidTaskDateCompleted,
    "ReminderDueBy": p.PidLidReminderTime,
}


def _true(child: etree._Element) -> bool:
    return (child.text or "").strip() in ("true", "1")


def _flag_bit(bit: int) -> Callable[[Message, etree._Element], None]:
    def put(message: Message, child: etree._Element) -> None:
        before = message.properties.integer(p.PidTagMessageFlags)
        message.properties.set(
            p.PidTagMessageFlags, mapi.INT32, before | bit if _true(child) else before & ~bit
        )

    return put


def _switch(key: Key) -> Callable[[Message, etree._Element], None]:
    return lambda message, child: message.properties.set(key, mapi.BOOLEAN, _true(child))


def _choice(key: Key, values: tuple[str, ...]) -> Callable[[Message, etree._Element], None]:
    return lambda message, child: message.properties.set(
        key, mapi.INT32, values.index((child.text or "").strip())
    )


def _whole(key: Key) -> Callable[[Message, etree._Element], None]:
    return lambda message, child: message.properties.set(key, mapi.INT32, int(child.text or "0"))


def _subject(message: Message, child: etree._Element) -> None:
    value = (child.text or "")[:255]
    for key in (p.PidTagSubject, p.PidTagNormalizedSubject):
        message.properties.set(key, mapi.STRING, value)
    if p.PidTagConversationTopic not in message.properties:
        message.properties.set(p.PidTagConversationTopic, mapi.STRING, value)


def _body(message: Message, child: etree._Element) -> None:
    value = child.text or ""
    props = message.properties
    for key in (p.PidTagBody, p.PidTagHtml, p.PidTagRtfCompressed):
        props.pop(key, None)
    if child.get("BodyType") == "HTML":
        props.set(p.PidTagHtml, mapi.BINARY, value.encode("utf-8", "replace"))
        props.set(p.PidTagInternetCodepage, mapi.INT32, 65001)
        props.set(p.PidTagNativeBody, mapi.INT32, 3)
    else:
        props.set(p.PidTagBody, mapi.STRING, value)
        props.set(p.PidTagNativeBody, mapi.INT32, 1)


def _categories(message: Message, child: etree._Element) -> None:
    message.properties.set(p.PidNameKeywords, mapi.MULTIPLE | mapi.STRING, [one.text or "" for one in child])


def _recipients(kind: int) -> Callable[[Message, etree._Element], None]:
    def put(message: Message, child: etree._Element) -> None:
        message.recipients[:] = [
            r for r in message.recipients if r.integer(p.PidTagRecipientType) & 0xF != kind
        ]
        for box in child.iter(f"{T}Mailbox"):
            name, address = box.findtext(f"{T}Name") or "", box.findtext(f"{T}EmailAddress") or ""
            message.recipients.append(mime.recipient(len(message.recipients), kind, name, address))
        for row, one in enumerate(message.recipients):
            one.set(p.PidTagRowid, mapi.INT32, row)

    return put


def _sender(*keys: int) -> Callable[[Message, etree._Element], None]:
    def put(message: Message, child: etree._Element) -> None:
        box = child[0]
        name, address = box.findtext(f"{T}Name") or "", box.findtext(f"{T}EmailAddress") or ""
        for key, value in zip(keys, (name or address, "SMTP", address, address), strict=True):
            message.properties.set(key, mapi.STRING, value)

    return put


def _attachments(message: Message, child: etree._Element) -> None:
    for one in child:
        message.attachments.append(attachment(one, len(message.attachments)))


def attachment(asked: etree._Element, number: int) -> Attachment:
    """From a FileAttachment or ItemAttachment element. Raises Refused."""
    name = asked.findtext(f"{T}Name") or "attachment"
    if etree.QName(asked).localname == "FileAttachment":
        data = b64decode("".join((asked.findtext(f"{T}Content") or "").split()))
        return mime.file(
            number,
            name,
            asked.findtext(f"{T}ContentType") or "application/octet-stream",
            data,
            content_id=asked.findtext(f"{T}ContentId") or "",
            inline=(asked.findtext(f"{T}IsInline") or "").strip() in ("true", "1"),
        )
    inner = next(
        (one for one in asked if etree.QName(one).localname in ("Item", "Message", *_CLASSES)),
        None,
    )
    if etree.QName(asked).localname != "ItemAttachment" or inner is None:
        raise Refused(
            "ErrorMissingItemForCreateItemAttachment", "The attachment holds no item that can be created."
        )
    embedded = Message()
    kind = etree.QName(inner).localname
    raw = inner.findtext(f"{T}MimeContent")
    if raw is not None:
        embedded = _from_mime(kind, raw)
    embedded.properties.set(p.PidTagMessageClass, mapi.STRING, _CLASSES.get(kind, "IPM.Note"))
    embedded.properties.set(p.PidTagMessageFlags, mapi.INT32, READ)
    for child in inner:
        if isinstance(child.tag, str):
            set_element(embedded, child, creating=True)
    made = Attachment(embedded=embedded)
    made.properties.set(p.PidTagAttachMethod, mapi.INT32, 5)
    made.properties.set(p.PidTagAttachNumber, mapi.INT32, number)
    made.properties.set(p.PidTagDisplayName, mapi.STRING, name)
    return made


def _moment(keys: tuple[Key, ...]) -> Callable[[Message, etree._Element], None]:
    def put(message: Message, child: etree._Element) -> None:
        try:
            moment = read_time(child.text or "")
        except ValueError:
            raise Refused("ErrorInvalidValueForProperty", "The value is not a date and time.") from None
        for key in keys:
            message.properties.set(key, mapi.TIME, moment)
        start = message.properties.time(p.PidLidAppointmentStartWhole)
        end = message.properties.time(p.PidLidAppointmentEndWhole)
        if start is not None and end is not None:
            if end < start:
                raise Refused(
                    "ErrorCalendarEndDateIsEarlierThanStartDate", "EndDate is earlier than StartDate."
                )
            minutes = min((end - start) // timedelta(minutes=1), 2**31 - 1)
            message.properties.set(p.PidLidAppointmentDuration, mapi.INT32, minutes)

    return put


def _uid(message: Message, child: etree._Element) -> None:
    ical.set_uid(message.properties, child.text or "")


def _no_recurrence(message: Message, child: etree._Element) -> None:
    raise Refused(
        "ErrorCalendarInvalidRecurrence",
        "The lab takes series as iCalendar or by UploadItems, not as elements.",
    )


def _entries(table: dict[str, Key]) -> Callable[[Message, etree._Element], None]:
    def put(message: Message, child: etree._Element) -> None:
        for entry in child:
            key = table.get(entry.get("Key", ""))
            if key is None:
                raise Refused("ErrorInvalidPropertySet", f"The lab cannot set the entry {entry.get('Key')}.")
            message.properties.set(key, mapi.STRING, entry.text or "")

    return put


def _addresses(message: Message, child: etree._Element) -> None:
    for entry in child:
        parts = _POSTAL.get(entry.get("Key", ""), {})
        for one in entry:
            key = parts.get(etree.QName(one).localname)
            if key is not None:
                message.properties.set(key, mapi.STRING, one.text or "")


def _members(message: Message, child: etree._Element) -> None:
    made = [
        oneoff.make(
            box.findtext(f"{T}Name") or box.findtext(f"{T}EmailAddress") or "",
            box.findtext(f"{T}EmailAddress") or "",
        )
        for box in child.iter(f"{T}Mailbox")
    ]
    message.properties.set(p.PidLidDistributionListMembers, mapi.MULTIPLE | mapi.BINARY, made)
    message.properties.set(p.PidLidDistributionListOneOffMembers, mapi.MULTIPLE | mapi.BINARY, list(made))


def _flag(message: Message, child: etree._Element) -> None:
    status = child.findtext(f"{T}FlagStatus")
    message.properties.set(p.PidTagFlagStatus, mapi.INT32, {"Complete": 1, "Flagged": 2}.get(status or "", 0))


def _percent(message: Message, child: etree._Element) -> None:
    message.properties.set(p.PidLidPercentComplete, mapi.FLOAT64, float(child.text or "0") / 100)


def _complete_contact(message: Message) -> None:
    props = message.properties
    shown = props.text(p.PidTagDisplayName) or " ".join(
        one for one in (props.text(p.PidTagGivenName), props.text(p.PidTagSurname)) if one
    )
    if shown and not props.text(p.PidTagDisplayName):
        props.set(p.PidTagDisplayName, mapi.STRING, shown)
    if shown and not props.text(p.PidTagSubject):
        props.set(p.PidTagSubject, mapi.STRING, shown)
    for _, key in EMAILS:
        if props.text(key) and isinstance(key, mapi.Named) and key.lid is not None:
            props.set(mapi.Named(key.guid, key.lid - 1), mapi.STRING, "SMTP")


_POSTAL: dict[str, dict[str, Key]] = {
    "Business": {
        "Street": p.PidLidWorkAddressStreet,
        "City": p.PidLidWorkAddressCity,
        "State": p.PidLidWorkAddressState,
        "CountryOrRegion": p.PidLidWorkAddressCountry,
        "PostalCode": p.PidLidWorkAddressPostalCode,
    },
    "Home": {
        "Street": p.PidTagHomeAddressStreet,
        "City": p.PidTagHomeAddressCity,
        "State": p.PidTagHomeAddressStateOrProvince,
        "CountryOrRegion": p.PidTagHomeAddressCountry,
        "PostalCode": p.PidTagHomeAddressPostalCode,
    },
    "Other": {
        "Street": p.PidTagOtherAddressStreet,
        "City": p.PidTagOtherAddressCity,
        "State": p.PidTagOtherAddressStateOrProvince,
        "CountryOrRegion": p.PidTagOtherAddressCountry,
        "PostalCode": p.PidTagOtherAddressPostalCode,
    },
}
_PHONES: dict[str, Key] = {
    "BusinessFax": p.PidTagBusinessFaxNumber,
    "BusinessPhone": p.PidTagBusinessTelephoneNumber,
    "BusinessPhone2": p.PidTagBusiness2TelephoneNumber,
    "HomeFax": p.PidTagHomeFaxNumber,
    "HomePhone": p.PidTagHomeTelephoneNumber,
    "HomePhone2": p.PidTagHome2TelephoneNumber,
    "MobilePhone": p.PidTagMobileTelephoneNumber,
    "OtherTelephone": p.PidTagOtherTelephoneNumber,
    "Pager": p.PidTagPagerTelephoneNumber,
    "PrimaryPhone": p.PidTagPrimaryTelephoneNumber,
}
_SETTERS: dict[str, Callable[[Message, etree._Element], None]] = {
    "Subject": _subject,
    "Sensitivity": _choice(p.PidTagSensitivity, ("Normal", "Personal", "Private", "Confidential")),
    "Importance": _choice(p.PidTagImportance, ("Low", "Normal", "High")),
    "Body": _body,
    "Categories": _categories,
    "Attachments": _attachments,
    "Flag": _flag,
    "IsRead": _flag_bit(READ),
    "ReminderIsSet": _switch(p.PidLidReminderSet),
    "ReminderMinutesBeforeStart": _whole(p.PidLidReminderDelta),
    "ToRecipients": _recipients(1),
    "CcRecipients": _recipients(2),
    "BccRecipients": _recipients(3),
    "RequiredAttendees": _recipients(1),
    "OptionalAttendees": _recipients(2),
    "Resources": _recipients(3),
    "From": _sender(p.PidTagSentRepresentingName, 0x0064, 0x0065, 0x5D02),
    "Sender": _sender(p.PidTagSenderName, 0x0C1E, 0x0C1F, 0x5D01),
    "IsReadReceiptRequested": _switch(p.PidTagReadReceiptRequested),
    "IsDeliveryReceiptRequested": _switch(p.PidTagOriginatorDeliveryReportRequested),
    "IsResponseRequested": _switch(p.PidTagResponseRequested),
    "Start": _moment((p.PidLidAppointmentStartWhole, p.PidTagStartDate, p.PidLidCommonStart)),
    "End": _moment((p.PidLidAppointmentEndWhole, p.PidTagEndDate, p.PidLidCommonEnd)),
    "IsAllDayEvent": _switch(p.PidLidAppointmentSubType),
    "LegacyFreeBusyStatus": _choice(
        p.PidLidBusyStatus, ("Free", "Tentative", "Busy", "OOF", "WorkingElsewhere", "NoData")
    ),
    "UID": _uid,
    "Recurrence": _no_recurrence,
    "EmailAddresses": _entries(dict(EMAILS)),
    "PhoneNumbers": _entries(_PHONES),
    "ImAddresses": _entries({"ImAddress1": p.PidLidInstantMessagingAddress}),
    "PhysicalAddresses": _addresses,
    "PostalAddressIndex": _choice(p.PidLidPostalAddressId, ("None", "Home", "Business", "Other")),
    "Members": _members,
    "Companies": lambda message, child: message.properties.set(
        p.PidLidCompanies, mapi.MULTIPLE | mapi.STRING, [one.text or "" for one in child]
    ),
    "Status": _choice(
        p.PidLidTaskStatus, ("NotStarted", "InProgress", "Completed", "WaitingOnOthers", "Deferred")
    ),
    "PercentComplete": _percent,
    "ActualWork": _whole(p.PidLidTaskActualEffort),
    "TotalWork": _whole(p.PidLidTaskEstimatedEffort),
}
