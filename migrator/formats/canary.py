"""Small items of every kind, with which a target is asked whether it takes items of that kind at all.

They are harmless on purpose: in the past, no reminder, no attendee, no recipient outside `.invalid`, marked read, and
named so that a person who finds one knows that it may go. Whether a tenant takes a stream that no Exchange server made
is written down nowhere; so it is asked, and the answer recorded per tenant and kind.

What a tenant could tell a stream of ours by: Exchange's own hold all that the store computes, PidTagLastModificationTime
among it. Converters leave that out, because nobody knows it and the store writes its own; so do these.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from migrator.formats.content import MemoryContent
from migrator.formats.convert import tree_to_fts
from migrator.mapi import properties as p
from migrator.mapi.blobs import ConversationIndex, build_conversation_index
from migrator.mapi.item import BINARY, BOOLEAN, FLOAT64, INT32, STRING, TIME, Message, Properties, filetime
from migrator.model import Format, Item, ItemRef, Kind

SUBJECT = "migrator canary: may be deleted"
MOMENT = datetime(2020, 2, 3, 9, 0, tzinfo=UTC)
_CONVERSATION = ConversationIndex(filetime(MOMENT), UUID("6d696772-6174-6f72-2063-616e61727900"))
MESSAGE_ID = "<canary.20200203@migrator.invalid>"

_CLASSES = {
    Kind.MAIL: "IPM.Note",
    Kind.EVENT: "IPM.Appointment",
    Kind.CONTACT: "IPM.Contact",
    Kind.GROUP: "IPM.DistList",
    Kind.TASK: "IPM.Task",
    Kind.NOTE: "IPM.StickyNote",
    Kind.JOURNAL: "IPM.Activity",
}
_READ = 0x0001


def samples() -> dict[Kind, Item]:
    """One item per kind, as base64 of a stream made by `mapi.fasttransfer`."""
    items = {}
    for kind, item_class in _CLASSES.items():
        message = _common(item_class)
        _SPECIFIC[kind](message.properties)
        ref = ItemRef(
            id=f"canary-{kind.value}",
            folder=(),
            kind=kind,
            version="1",
            item_class=item_class,
            received=MOMENT,
            sent=MOMENT,
            message_id=MESSAGE_ID if kind is Kind.MAIL else "",
            subject=SUBJECT,
            seen=True,
        )
        # By the same hand as every converted item: a tenant that can tell them apart must not meet two makes of streams.
        items[kind] = tree_to_fts(Item(ref, Format.FTS, MemoryContent([])), message)
    return items


def _common(item_class: str) -> Message:
    message = Message()
    values = message.properties
    values.set(p.PidTagImportance, INT32, 1)
    values.set(p.PidTagMessageClass, STRING, item_class)
    values.set(p.PidTagSensitivity, INT32, 0)
    values.set(p.PidTagSubject, STRING, SUBJECT)
    values.set(p.PidTagClientSubmitTime, TIME, MOMENT)
    values.set(p.PidTagMessageDeliveryTime, TIME, MOMENT)
    values.set(p.PidTagMessageFlags, INT32, _READ)
    values.set(
        p.PidTagBody, STRING, "Written and deleted again by migrator to see what this mailbox accepts.\r\n"
    )
    values.set(p.PidTagNativeBody, INT32, 1)
    values.set(p.PidTagCreationTime, TIME, MOMENT)
    return message


def _mail(values: Properties) -> None:
    values.set(p.PidTagInternetMessageId, STRING, MESSAGE_ID)
    values.set(p.PidTagConversationIndex, BINARY, build_conversation_index(_CONVERSATION))
    values.set(
        p.PidTagTransportMessageHeaders, STRING, f"Message-ID: {MESSAGE_ID}\r\nSubject: {SUBJECT}\r\n\r\n"
    )
    for name, kind, address in (
        (p.PidTagSenderName, p.PidTagSenderAddressType, p.PidTagSenderEmailAddress),
        (
            p.PidTagSentRepresentingName,
            p.PidTagSentRepresentingAddressType,
            p.PidTagSentRepresentingEmailAddress,
        ),
    ):
        values.set(name, STRING, "migrator")
        values.set(kind, STRING, "SMTP")
        values.set(address, STRING, "canary@migrator.invalid")


def _event(values: Properties) -> None:
    end = MOMENT + timedelta(minutes=30)
    values.set(p.PidTagStartDate, TIME, MOMENT)
    values.set(p.PidTagEndDate, TIME, end)
    values.set(p.PidLidAppointmentStartWhole, TIME, MOMENT)
    values.set(p.PidLidAppointmentEndWhole, TIME, end)
    values.set(p.PidLidCommonStart, TIME, MOMENT)
    values.set(p.PidLidCommonEnd, TIME, end)
    values.set(p.PidLidAppointmentDuration, INT32, 30)
    values.set(p.PidLidAppointmentStateFlags, INT32, 0)
    values.set(p.PidLidBusyStatus, INT32, 0)
    values.set(p.PidLidAppointmentSubType, BOOLEAN, False)
    values.set(p.PidLidRecurring, BOOLEAN, False)
    values.set(p.PidLidReminderSet, BOOLEAN, False)


def _contact(values: Properties) -> None:
    values.set(p.PidTagDisplayName, STRING, SUBJECT)
    values.set(p.PidTagSurname, STRING, SUBJECT)
    values.set(p.PidLidFileUnder, STRING, SUBJECT)


def _group(values: Properties) -> None:
    values.set(p.PidTagDisplayName, STRING, SUBJECT)
    values.set(p.PidLidDistributionListName, STRING, SUBJECT)
    values.set(p.PidLidFileUnder, STRING, SUBJECT)


def _task(values: Properties) -> None:
    values.set(p.PidLidTaskStatus, INT32, 2)
    values.set(p.PidLidPercentComplete, FLOAT64, 1.0)
    values.set(p.PidLidTaskComplete, BOOLEAN, True)
    values.set(p.PidLidTaskDateCompleted, TIME, MOMENT.replace(hour=0))
    values.set(p.PidLidReminderSet, BOOLEAN, False)


def _note(values: Properties) -> None:
    values.set(p.PidLidNoteColor, INT32, 3)
    values.set(p.PidLidNoteWidth, INT32, 200)
    values.set(p.PidLidNoteHeight, INT32, 166)


def _journal(values: Properties) -> None:
    values.set(p.PidLidLogType, STRING, "Note")
    values.set(p.PidLidLogTypeDesc, STRING, "Note")
    values.set(p.PidLidLogStart, TIME, MOMENT)
    values.set(p.PidLidLogEnd, TIME, MOMENT)
    values.set(p.PidLidLogDuration, INT32, 0)


_SPECIFIC = {
    Kind.MAIL: _mail,
    Kind.EVENT: _event,
    Kind.CONTACT: _contact,
    Kind.GROUP: _group,
    Kind.TASK: _task,
    Kind.NOTE: _note,
    Kind.JOURNAL: _journal,
}
