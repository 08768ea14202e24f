"""Items between formats."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from email import message_from_bytes, policy

import pybase64
import pytest

from migrator.errors import ItemError
from migrator.formats import canary, convert
from migrator.formats.content import MemoryContent
from migrator.formats.errors import FormatError
from migrator.mapi import fasttransfer
from migrator.mapi import properties as p
from migrator.model import Flag, Format, Item, ItemRef, Kind

RAW = b"From: a@example.org\r\nSubject: x\r\nMessage-ID: <1@example.org>\r\nContent-Type: application/octet-stream; name=a\r\nContent-Transfer-Encoding: base64\r\n\r\n"


def mail(raw: bytes, fmt: Format = Format.MIME, **more: object) -> Item:
    ref = ItemRef("1", ("Inbox",), Kind.MAIL, "v", len(raw), received=datetime(2020, 1, 2, tzinfo=UTC))
    half = len(raw) // 2
    content = MemoryContent([raw[:half], memoryview(raw)[half:]])
    return Item(ref, fmt, content, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, 1, 1_000, 7_000_001])
def test_there_and_back(size: int) -> None:
    octets = os.urandom(size)
    start = mail(
        RAW + pybase64.encodebytes(octets),
        flags=frozenset({Flag.SEEN, Flag.FLAGGED}),
        categories=("Blue",),
        notes=("before",),
    )
    stream = convert.mime_to_fts(start)
    assert (stream.format, stream.origin) == (Format.FTS, "synthetic")
    assert stream.ref.size == stream.content.size == sum(map(len, stream.content.pieces()))
    assert stream.ref.item_class == "IPM.Note"
    assert stream.notes[0] == "before" and "date_missing" in stream.notes
    tree = fasttransfer.read(
        pybase64.b64decode(b"".join(stream.content.pieces()), validate=True), strict=True
    )
    assert tree.properties.time(p.PidTagMessageDeliveryTime) == start.ref.received
    back = convert.fts_to_mime(stream)
    assert (back.format, back.flags, back.categories) == (Format.MIME, start.flags, start.categories)
    assert back.ref.size == back.content.size
    again = convert.tree_of(convert.mime_to_fts(back))
    if size:
        assert bytes(again.attachments[0].properties.binary(p.PidTagAttachDataBinary)) == octets


def test_content_can_be_converted_twice() -> None:
    start = mail(RAW + b"QUJD")
    first, second = convert.mime_to_fts(start), convert.mime_to_fts(start)
    assert b"".join(first.content.pieces()) == b"".join(second.content.pieces())


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(FormatError) as caught:
        convert.mime_to_fts(mail(b"x", Format.FTS))
    assert caught.value.code == "format_unsupported"
    with pytest.raises(FormatError):
        convert.fts_to_mime(mail(b"x", Format.MIME))
    for damaged in (b"not base64!", b"QUJD", b""):
        with pytest.raises(ItemError):
            convert.fts_to_mime(mail(damaged, Format.FTS))


def test_converters_are_found_by_formats() -> None:
    assert convert.CONVERTERS[Format.MIME, Format.FTS](mail(RAW)).format is Format.FTS


INVITATION = """\
From: Ann <ann@example.org>
To: Bob <bob@example.org>
Subject: Planning
Message-ID: <2@example.org>
Date: Mon, 3 Feb 2020 09:00:00 +0000
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary=b

--b
Content-Type: text/plain; charset=utf-8

please come
--b
Content-Type: text/calendar; charset=utf-8; method=REQUEST

BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//x//y//EN
METHOD:REQUEST
BEGIN:VEVENT
UID:uid-1@example.org
DTSTAMP:20200203T090000Z
DTSTART:20200210T090000Z
DTEND:20200210T100000Z
SUMMARY:Planning
LOCATION:Room 5
ORGANIZER;CN=Ann:mailto:ann@example.org
ATTENDEE;CN=Bob:mailto:bob@example.org
ATTENDEE;CN=Eve:mailto:eve@example.org
END:VEVENT
END:VCALENDAR
--b--
"""


def test_an_invitation_is_a_meeting_request_there_and_back() -> None:
    stream = convert.mime_to_fts(mail(INVITATION.replace("\n", "\r\n").encode()))
    assert stream.ref.item_class == "IPM.Schedule.Meeting.Request"
    message = convert.tree_of(stream)
    v = message.properties
    assert v.time(p.PidLidAppointmentStartWhole) == datetime(2020, 2, 10, 9, tzinfo=UTC)
    assert v.text(p.PidLidLocation) == "Room 5"
    assert v.text(p.PidTagSubject) == "Planning" and v.text(p.PidTagBody) == "please come"
    assert v.text(p.PidTagSentRepresentingEmailAddress) == "ann@example.org"
    assert [row.text(p.PidTagSmtpAddress) for row in message.recipients] == [
        "bob@example.org",
        "eve@example.org",
    ]
    assert not message.attachments
    back = b"".join(convert.fts_to_mime(stream).content.pieces())
    parsed = message_from_bytes(back, policy=policy.default)
    part = next(one for one in parsed.walk() if one.get_content_type() == "text/calendar")
    assert part.get_param("method") == "REQUEST"
    calendar = part.get_content()
    assert "UID:uid-1@example.org" in calendar and "LOCATION:Room 5" in calendar
    again = convert.tree_of(convert.mime_to_fts(mail(back)))
    assert again.properties.time(p.PidLidAppointmentStartWhole) == datetime(2020, 2, 10, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        (Kind.EVENT, "text/calendar"),
        (Kind.TASK, "text/calendar"),
        (Kind.JOURNAL, "text/calendar"),
        (Kind.CONTACT, "text/vcard"),
        (Kind.GROUP, "text/vcard"),
        (Kind.MAIL, "text/plain"),
        (Kind.NOTE, "text/plain"),
    ],
)
def test_every_kind_goes_out_with_its_own_part(kind: Kind, part: str) -> None:
    back = convert.fts_to_mime(canary.samples()[kind])
    parsed = message_from_bytes(b"".join(back.content.pieces()), policy=policy.default)
    assert part in [one.get_content_type() for one in parsed.walk()]
    assert ("class_lost" in back.notes) == (kind is Kind.NOTE)
    assert "calendar_dropped" not in back.notes
