"""Items created by classic Graph, against the lab: nothing half made, nobody invited, every loss told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pybase64
import pytest
from hypothesis import given, settings

from migrator.adapters.graph.documents import NOTES, document_of
from migrator.adapters.graph.json_writer import CREATES, REQUEST_MOST, fitted, pieces_of
from migrator.adapters.graph.target import GraphMailbox
from migrator.errors import InDoubt, ItemError, JobError, Transient
from migrator.formats.content import MemoryContent
from migrator.mapi import fasttransfer
from migrator.mapi import properties as p
from migrator.mapi.blobs import TimeZoneDefinition, build_time_zone_definition
from migrator.mapi.item import (
    BINARY,
    BOOLEAN,
    INT32,
    MULTIPLE,
    STRING,
    TIME,
    Attachment,
    Message,
    Named,
    Properties,
)
from migrator.mapi.recurrence import AppointmentRecurrence, RecurrencePattern, build_recurrence, minutes_of
from migrator.model import Folder, Format, Item, ItemRef, Kind, Outcome, Path, Role, SkipReason, State
from tests.adapters.graph_lab import ROLES, Room
from tests.mapi.trees import messages

RIGHTS = ROLES | {"Mail.ReadWrite", "Calendars.ReadWrite", "Contacts.ReadWrite"}
MOMENT = datetime(2019, 3, 1, 9, 0, 5, tzinfo=UTC)
HOSTILE = 'Rechnung \u202egpj.exe \x1b[31m =HYPERLINK("http://x") <script>alert(1)</script> \ud83d'


@pytest.fixture
def room(request: pytest.FixtureRequest) -> Iterator[Room]:
    made = Room(roles=RIGHTS, **getattr(request, "param", {}))
    yield made
    made.close()


def mail(subject: str = "Angebot", *, files: tuple[tuple[str, bytes], ...] = ()) -> Message:
    message = Message()
    values = message.properties
    values.set(p.PidTagMessageClass, STRING, "IPM.Note")
    values.set(p.PidTagSubject, STRING, subject)
    values.set(p.PidTagInternetMessageId, STRING, "<a1@old.example>")
    values.set(p.PidTagMessageFlags, INT32, 0x1)
    values.set(p.PidTagClientSubmitTime, TIME, MOMENT - timedelta(seconds=5))
    values.set(p.PidTagMessageDeliveryTime, TIME, MOMENT)
    values.set(p.PidTagHtml, BINARY, "<p>Grüße</p>".encode("cp1252"))
    values.set(p.PidTagInternetCodepage, INT32, 1252)
    values.set(p.PidNameKeywords, MULTIPLE | STRING, ["Rot", "Kunde"])
    values.set(0x0042, STRING, "Ada")
    values.set(0x0064, STRING, "SMTP")
    values.set(0x0065, STRING, "ada@old.example")
    values.set(p.PidTagReadReceiptRequested, BOOLEAN, True)
    for kind, name in ((1, "bob"), (2, "cy"), (3, "di")):
        message.recipients.append(person(kind, name))
    for name, data in files:
        attachment = Attachment()
        attachment.properties.set(p.PidTagAttachMethod, INT32, 1)
        attachment.properties.set(p.PidTagAttachLongFilename, STRING, name)
        attachment.properties.set(p.PidTagAttachDataBinary, BINARY, data)
        message.attachments.append(attachment)
    return message


def person(kind: int, name: str) -> Properties:
    one = Properties()
    one.set(p.PidTagRecipientType, INT32, kind)
    one.set(0x3001, STRING, name)
    one.set(p.PidTagAddressType, STRING, "SMTP")
    one.set(0x3003, STRING, f"{name}@x.example")
    return one


def event(*, people: bool = False) -> Message:
    message = Message()
    values = message.properties
    values.set(p.PidTagMessageClass, STRING, "IPM.Appointment")
    values.set(p.PidTagSubject, STRING, "Besprechung")
    values.set(p.PidTagBody, STRING, "Im Saal")
    values.set(p.PidLidAppointmentStartWhole, TIME, MOMENT)
    values.set(p.PidLidAppointmentEndWhole, TIME, MOMENT + timedelta(hours=1))
    values.set(p.PidLidLocation, STRING, "Saal 2")
    values.set(p.PidLidBusyStatus, INT32, 3)
    if people:
        values.set(0x0042, STRING, "Ada")
        values.set(0x0064, STRING, "SMTP")
        values.set(0x0065, STRING, "ada@old.example")
        message.recipients += [person(1, "bob"), person(2, "cy")]
    return message


def contact() -> Message:
    message = Message()
    values = message.properties
    values.set(p.PidTagMessageClass, STRING, "IPM.Contact")
    for tag, text in (
        (0x3001, "Bob Berg"),
        (0x3A06, "Bob"),
        (0x3A11, "Berg"),
        (0x3A1C, "+49 1"),
        (0x3A24, "+49 2"),
    ):
        values.set(tag, STRING, text)
    values.set(p.PidLidEmail1EmailAddress, STRING, "bob@x.example")
    values.set(p.PidLidWorkAddressCity, STRING, "Tannhofen")
    values.set(p.PidTagBody, STRING, "Notiz")
    return message


def item(message: Message, kind: Kind = Kind.MAIL) -> Item:
    data = pybase64.b64encode(fasttransfer.write(message))
    ref = ItemRef("source-1", ("Inbox",), kind, "1", size=len(data))
    return Item(ref, Format.FTS, MemoryContent([data]), path=Path.JSON)


def place(target: GraphMailbox, kind: Kind = Kind.MAIL) -> Folder:
    role = {Kind.EVENT: Role.CALENDAR, Kind.CONTACT: Role.CONTACTS}.get(kind, Role.INBOX)
    return target.ensure_folder((), kind, role=role)


def stored(room: Room, message: Message, kind: Kind = Kind.MAIL) -> tuple[Outcome, Message | None]:
    target = room.target()
    folder = place(target, kind)
    (outcome,) = target.store(folder, [item(message, kind)])
    role = {Kind.EVENT: "calendar", Kind.CONTACT: "contacts"}.get(kind, "inbox")
    there = list(room.alice.role(role).items.values())
    assert len(there) <= 1
    if outcome.state is State.COPIED:
        # By the ids of mailbox export, with the version that listing tells.
        (ref,) = target.page(folder, None).refs
        assert (ref.id, ref.version) == (outcome.target_id, outcome.target_version)
    return outcome, there[0].message() if there else None


# --- what arrives


def test_a_mail_is_no_draft_and_keeps_its_dates(room: Room) -> None:
    outcome, there = stored(room, mail(files=(("plan.pdf", b"%PDF" * 100),)))
    assert outcome.state is State.COPIED
    assert there is not None
    values = there.properties
    assert values.integer(p.PidTagMessageFlags) & 0x9 == 0x1
    assert values.time(p.PidTagMessageDeliveryTime) == MOMENT
    assert values.time(p.PidTagClientSubmitTime) == MOMENT - timedelta(seconds=5)
    assert values.text(p.PidTagInternetMessageId) == "<a1@old.example>"
    assert bytes(values.binary(p.PidTagHtml)).decode() == "<p>Grüße</p>"
    assert values.get(p.PidNameKeywords) == ["Rot", "Kunde"]
    assert [(r.integer(p.PidTagRecipientType), r.text(0x3001)) for r in there.recipients] == [
        (1, "bob"), (2, "cy"), (3, "di"),
    ]  # fmt: skip
    assert bytes(there.attachments[0].properties.binary(p.PidTagAttachDataBinary)) == b"%PDF" * 100
    # An old mail must not ask for a receipt when it is read in its new mailbox.
    assert not values.flag(p.PidTagReadReceiptRequested)
    assert outcome.notes == ("receipts",)
    assert room.operations(operation="createMessage") == ["createMessage"]


def test_a_draft_stays_one(room: Room) -> None:
    message = mail()
    message.properties.set(p.PidTagMessageFlags, INT32, 0x9)
    for tag in (p.PidTagClientSubmitTime, p.PidTagMessageDeliveryTime):
        del message.properties[tag]
    message.properties.set(p.PidTagCreationTime, TIME, MOMENT)
    _, there = stored(room, message)
    assert there is not None
    assert there.properties.integer(p.PidTagMessageFlags) & 0x8
    assert there.properties.time(p.PidTagMessageDeliveryTime) == MOMENT


def test_nobody_is_invited(room: Room) -> None:
    outcome, there = stored(room, event(people=True), Kind.EVENT)
    assert outcome.state is State.COPIED
    assert there is not None
    assert not there.recipients
    assert "Attendee: bob <bob@x.example>" in there.properties.text(p.PidTagBody)
    assert "Organiser: Ada <ada@old.example>" in there.properties.text(p.PidTagBody)
    assert set(outcome.notes) == {"attendees", "meeting"}
    assert sum(entry.invitations for entry in room.world.journal.select()) == 0
    assert not room.alice.settings.get("outbox")
    assert there.properties.time(p.PidLidAppointmentStartWhole) == MOMENT
    assert there.properties.integer(p.PidLidBusyStatus) == 3


def test_an_event_posted_again_is_the_same_one(room: Room) -> None:
    first, _ = stored(room, event(), Kind.EVENT)
    again, _ = stored(room, event(), Kind.EVENT)
    assert first.target_id == again.target_id


def test_a_contact_with_what_graph_has_no_field_for(room: Room) -> None:
    outcome, there = stored(room, contact(), Kind.CONTACT)
    assert outcome.state is State.COPIED
    assert there is not None
    values = there.properties
    assert values.text(0x3A24) == "+49 2"
    assert values.text(p.PidLidEmail1EmailAddress) == "bob@x.example"
    assert values.text(p.PidLidWorkAddressCity) == "Tannhofen"
    assert values.text(p.PidTagBody) == "Notiz"


def test_hostile_text_arrives_as_text(room: Room) -> None:
    message = mail(HOSTILE, files=((HOSTILE, b"x"),))
    outcome, there = stored(room, message)
    assert outcome.state is State.COPIED
    assert there is not None
    assert "<script>" in there.properties.text(p.PidTagSubject)
    meeting = event(people=True)
    meeting.properties.set(p.PidTagHtml, BINARY, b"<p>hi</p>")
    meeting.recipients[0].set(0x3001, STRING, "<script>alert(1)</script>")
    body = document_of(meeting, Kind.EVENT).document["body"]["content"]
    assert "<script>" not in body
    assert "&lt;script&gt;" in body


# --- attachments


def test_large_attachments_follow_by_upload_session(room: Room) -> None:
    big, small = os.urandom(5 << 20), os.urandom(2 << 20)
    outcome, there = stored(room, mail(files=(("a.bin", big), ("b.bin", small), ("c.bin", small))))
    assert outcome.state is State.COPIED
    assert there is not None
    found = {a.properties.text(0x3707): bytes(a.properties.binary(0x3701)) for a in there.attachments}
    assert found == {"a.bin": big, "b.bin": small, "c.bin": small}
    assert len(room.operations(operation="uploadAttachment")) == 2


@pytest.mark.parametrize(
    "room",
    [
        {"faults": [{"fault": "empty_503", "operation": "uploadAttachment", "nth": 2}]},
        {"faults": [{"fault": "reset_before", "operation": "uploadAttachment", "nth": 2}]},
        {"faults": [{"fault": "empty_503", "operation": "createUploadSession"}]},
    ],
    indirect=True,
)
def test_an_item_without_all_of_its_attachments_is_taken_back(room: Room) -> None:
    target = room.target()
    message = mail(files=(("a.bin", bytes(5 << 20)),))
    with pytest.raises(Transient):
        target.store(place(target), [item(message)])
    assert not room.alice.role("inbox").items


@pytest.mark.parametrize(
    "room",
    [{"faults": [{"fault": "empty_503", "operation": "uploadAttachment", "nth": 1},
                 {"fault": "empty_503", "operation": "deleteItem"}]}],
    indirect=True,
)  # fmt: skip
def test_what_cannot_be_taken_back_is_told(room: Room) -> None:
    target = room.target()
    (outcome,) = target.store(place(target), [item(mail(files=(("a.bin", bytes(5 << 20)),)))])
    assert outcome.state is State.FAILED
    assert isinstance(outcome.error, ItemError)
    assert outcome.error.code == "incomplete_item"
    assert "by hand" in outcome.error.remedy


def test_what_no_request_can_hold_is_an_error_of_the_item(room: Room) -> None:
    message = mail()
    message.properties.set(p.PidTagHtml, BINARY, b"x" * (REQUEST_MOST + 1))
    outcome, there = stored(room, message)
    assert there is None
    assert isinstance(outcome.error, ItemError)
    assert outcome.error.code == "too_large_for_json"


# --- trouble


@pytest.mark.parametrize(
    "room", [{"faults": [{"fault": "lost_answer", "operation": "createMessage"}]}], indirect=True
)
def test_a_lost_answer_is_in_doubt(room: Room) -> None:
    target = room.target()
    (outcome,) = target.store(place(target), [item(mail())])
    assert isinstance(outcome.error, InDoubt)
    assert len(room.alice.role("inbox").items) == 1


def test_without_the_right_the_mailbox_stops_and_says_which() -> None:
    room = Room()
    try:
        target = room.target()
        with pytest.raises(JobError) as refused:
            target.store(place(target), [item(mail())])
        assert "Mail.ReadWrite" in refused.value.remedy
    finally:
        room.close()


@pytest.mark.parametrize("kind", sorted(set(Kind) - CREATES))
def test_other_kinds_are_refused_before_anything_is_sent(room: Room, kind: Kind) -> None:
    target = room.target()
    (outcome,) = target.store(place(target), [item(mail(), kind)])
    assert isinstance(outcome.error, ItemError)
    assert outcome.error.code == "kind_unsupported"


def test_an_item_that_changed_replaces_the_old_one(room: Room) -> None:
    target = room.target()
    folder = place(target)
    (old,) = target.store(folder, [item(mail("old"))])
    (new,) = target.store(folder, [item(mail("new"))], [(old.target_id, old.target_version)])
    assert new.state is State.COPIED
    there = [
        one.message().properties.text(p.PidTagSubject) for one in room.alice.role("inbox").items.values()
    ]
    assert there == ["new"]
    (stale,) = target.store(folder, [item(mail("newer"))], [(new.target_id, "AAAA")])
    assert isinstance(stale.error, ItemError)
    assert stale.error.code == "conflict"
    assert len(room.alice.role("inbox").items) == 1


# --- documents


def test_losses_are_words_that_are_explained() -> None:
    message = mail()
    message.properties.set(p.PidTagMessageClass, STRING, "IPM.Note.SMIME")
    del message.properties[p.PidTagHtml]
    message.properties.set(p.PidTagTransportMessageHeaders, STRING, "x" * 200_000)
    inner = Attachment()
    inner.embedded = mail("inside")
    message.attachments += [inner, Attachment()]
    message.recipients[0].set(p.PidTagAddressType, STRING, "EX")
    made = document_of(message, Kind.MAIL)
    assert set(made.notes) == {
        "signature", "headers", "attached_item", "attached_object", "address", "receipts",
    }  # fmt: skip
    assert set(made.notes) <= set(NOTES)
    assert [file.name for file in made.files] == ["inside.eml"]


def series(**pattern: Any) -> Message:
    message = event()
    given = {"frequency": 0x200B, "pattern_type": 1, "period": 2, "day_mask": 0b0100010, "end_type": 0x2022,
             "occurrences": 12, "start_date": minutes_of(datetime(2019, 3, 1))}  # fmt: skip
    value = AppointmentRecurrence(RecurrencePattern(**(given | pattern)), 600, 660)
    message.properties.set(p.PidLidAppointmentRecur, BINARY, build_recurrence(value))
    zone = build_time_zone_definition(TimeZoneDefinition("W. Europe Standard Time", ()))
    message.properties.set(p.PidLidAppointmentTimeZoneDefinitionRecur, BINARY, zone)
    return message


@pytest.mark.parametrize(
    ("pattern", "wanted", "bounds"),
    [
        ({}, {"type": "weekly", "interval": 2, "daysOfWeek": ["monday", "friday"], "firstDayOfWeek": "sunday"},
         {"type": "numbered", "numberOfOccurrences": 12}),
        ({"frequency": 0x200A, "pattern_type": 0, "period": 1440 * 3, "end_type": 0x2023},
         {"type": "daily", "interval": 3}, {"type": "noEnd"}),
        ({"frequency": 0x200C, "pattern_type": 2, "period": 1, "day": 31, "end_type": 0x2021,
          "end_date": minutes_of(datetime(2020, 1, 31))},
         {"type": "absoluteMonthly", "interval": 1, "dayOfMonth": 31}, {"type": "endDate", "endDate": "2020-01-31"}),
        ({"frequency": 0x200D, "pattern_type": 3, "period": 12, "nth": 5, "day_mask": 0b0000001},
         {"type": "relativeYearly", "interval": 1, "daysOfWeek": ["sunday"], "index": "last", "month": 3},
         {"type": "numbered", "numberOfOccurrences": 12}),
    ],
)  # fmt: skip
def test_series(pattern: dict[str, Any], wanted: dict[str, Any], bounds: dict[str, Any]) -> None:
    made = document_of(series(**pattern), Kind.EVENT).document
    assert made["start"] == {"dateTime": "2019-03-01T10:00:00", "timeZone": "W. Europe Standard Time"}
    assert made["recurrence"]["pattern"] == wanted
    fixed = {"startDate": "2019-03-01", "recurrenceTimeZone": "W. Europe Standard Time"}
    assert made["recurrence"]["range"] == fixed | bounds


@pytest.mark.parametrize(
    ("start", "day"),
    [
        (datetime(2024, 6, 30, 22, tzinfo=UTC), "2024-07-01"),  # midnight in Berlin
        (datetime(2024, 7, 1, 4, tzinfo=UTC), "2024-07-01"),  # in New York
        (datetime(2024, 7, 1, 0, tzinfo=UTC), "2024-07-01"),
    ],
)
def test_a_whole_day_is_the_day_of_its_owner(start: datetime, day: str) -> None:
    message = event()
    message.properties.set(p.PidLidAppointmentSubType, BOOLEAN, True)
    message.properties.set(p.PidLidAppointmentStartWhole, TIME, start)
    message.properties.set(p.PidLidAppointmentEndWhole, TIME, start + timedelta(days=2))
    made = document_of(message, Kind.EVENT).document
    assert made["start"]["dateTime"] == f"{day}T00:00:00"
    assert made["end"]["dateTime"].startswith("2024-07-03")


def test_a_recurrence_that_is_none_costs_the_series_and_is_told() -> None:
    message = event()
    message.properties.set(p.PidLidAppointmentRecur, BINARY, b"\x04\x30rubbish")
    made = document_of(message, Kind.EVENT)
    assert "recurrence" not in made.document
    assert "recurrence" in made.notes


def test_fields_that_people_made_are_kept() -> None:
    message = mail()
    message.properties.set(Named(p.PS_PUBLIC_STRINGS, name="Projekt"), STRING, "A7")
    message.properties.set(Named(p.PS_PUBLIC_STRINGS, name="Viele"), MULTIPLE | STRING, ["a"])
    made = document_of(message, Kind.MAIL)
    ids = {one["id"]: one["value"] for one in made.document["singleValueExtendedProperties"]}
    assert ids[f"String {{{p.PS_PUBLIC_STRINGS}}} Name Projekt"] == "A7"
    assert "user_fields" in made.notes


@settings(max_examples=60, deadline=None)
@given(messages())
def test_any_tree_is_a_document_or_an_error_of_the_item(message: Message) -> None:
    import json

    for kind in CREATES:
        try:
            document, later = fitted(document_of(message, kind))
        except ItemError:
            continue
        assert len(json.dumps(document).encode()) > 0
        assert not later or all(file.size for file in later)
        assert "attendees" not in document


def test_pieces_are_the_same_octets() -> None:
    data = [os.urandom(10), b"", os.urandom(25), os.urandom(1)]
    pieces = list(pieces_of(data, 8))
    assert b"".join(b"".join(piece) for piece in pieces) == b"".join(data)
    assert [sum(map(len, piece)) for piece in pieces] == [8, 8, 8, 8, 4]


def test_too_large_for_the_endpoint_is_left_out_before_it_is_sent() -> None:
    room = Room(roles=RIGHTS, options={"max_item_octets": "1000"})
    try:
        target = room.target()
        (outcome,) = target.store(place(target), [item(mail("x" * 900))])
        assert outcome.reason is SkipReason.TOO_LARGE
    finally:
        room.close()


def test_only_marked_items_go_this_way(room: Room) -> None:
    target = room.target()
    (outcome,) = target.store(place(target), [replace(item(mail()), path=None)])
    assert outcome.state is State.COPIED
    assert room.operations(operation="importItem") == ["importItem"]
