"""The writer: the order and form of what it sends, what it leaves out, what it refuses."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from migrator.mapi import fasttransfer as fts
from migrator.mapi import properties as p
from migrator.mapi.item import BINARY, INT32, STRING, Attachment, Message, Named, Properties, Value
from tests.mapi import vectors as v


def message(*pairs: tuple[Any, int, Any]) -> Message:
    made = Message()
    for key, kind, value in pairs:
        made.properties[key] = Value(kind, value)
    return made


def payload(item: Message) -> bytes:
    octets = fts.write(item)
    assert octets.startswith(v.PREAMBLE)
    return octets[len(v.PREAMBLE) + 8 :]


def test_ids_ascend_named_ones_come_last_and_share_their_number() -> None:
    named = p.PidLidReminderSet
    item = message((named, 0x000B, True), (0x1000, STRING, "b"), (0x0017, INT32, 1))
    recipient = Properties({named: Value(0x000B, False)})
    item.recipients.append(recipient)
    wire = (
        v.integer(0x0017, 1)
        + v.text(0x1000, "b")
        + v.tag(0x000B, 0x8000)
        + v.lid(str(p.PSETID_COMMON), 0x8503)
        + b"\1\0"
        + v.DEL_RECIPIENTS
        + v.recipient(0, v.tag(0x000B, 0x8000) + v.lid(str(p.PSETID_COMMON), 0x8503) + b"\0\0")
        + v.DEL_ATTACHMENTS
    )
    assert payload(item) == wire


def test_what_must_not_be_sent_is_left_out() -> None:
    item = message(
        (0x0017, INT32, 1),
        (0x6610, INT32, 1),
        (0x67FF, BINARY, b"x"),
        (0x1000, 0x000A, 0x8004010F),
        (0x4008, STRING, "/O=ORG"),
        (0x4076, INT32, 5),
        (0x0E12, 0x000D, b""),
    )
    assert payload(item) == v.integer(0x0017, 1) + v.integer(0x4076, 5) + v.DEL_RECIPIENTS + v.DEL_ATTACHMENTS


def test_numbers_are_kept_where_they_are_their_own_and_else_made() -> None:
    item = message((0x0017, INT32, 1))
    for row in (5, None, 5, 0):
        item.recipients.append(Properties({} if row is None else {0x3000: Value(INT32, row)}))
        item.attachments.append(Attachment(Properties({} if row is None else {0x0E21: Value(INT32, row)})))
    again = fts.read(fts.write(item), strict=True)
    assert [r.get(0x3000) for r in again.recipients] == [5, 1, 2, 0]
    assert [a.properties.get(0x0E21) for a in again.attachments] == [5, 1, 2, 0]


def test_an_embedded_message_stands_for_the_data() -> None:
    item = Message()
    inner = message((0x0037, STRING, "inner"))
    item.attachments.append(Attachment(Properties({0x3701: Value(0x000D, b"junk")}), inner))
    again = fts.read(fts.write(item), strict=True).attachments[0]
    assert again.properties.get(p.PidTagAttachMethod) == 5
    assert p.PidTagAttachDataBinary not in again.properties
    assert again.embedded is not None
    assert again.embedded.properties.text(p.PidTagSubject) == "inner"
    assert 0x3705 not in item.attachments[0].properties  # the tree given is not changed


def test_version_and_records_are_as_asked() -> None:
    octets = fts.write(Message(), version=(15, 20, 4566, 6022))
    assert octets[:56] == v.CONFIG + v.INTERFACE + v.PARTNER[:8]
    assert octets[56:62] == bytes.fromhex("140F D691 8617")  # as in Microsoft's Graph sample


def test_unsigned_numbers_are_the_same_bits() -> None:
    item = Message()
    item.properties.set(0x0017, INT32, 0xFFFFFFFF)
    assert item.properties.get(0x0017) == -1
    assert payload(message((0x0017, INT32, 0x80000000))).startswith(v.tag(3, 0x17) + b"\0\0\0\x80")


@pytest.mark.parametrize(
    "item",
    [
        message((0x0017, INT32, 1 << 32)),
        message((0x0017, INT32, "1")),
        message((0x0017, INT32, True)),
        message((0x0017, 0x000B, 1)),
        message((0x0017, STRING, b"x")),
        message((0x0017, BINARY, "x")),
        message((0x0017, 0x0048, b"x" * 16)),
        message((0x0017, 0x101F, "abc")),
        message((0x0017, 0x100B, [True])),
        message((0x0017, 0x0001, None)),
        message((0x0017, 0x000D, b"")),
        message((0x0017, 0x0040, -(1 << 64))),
        message((0x8001, INT32, 1)),
        message((0x0000, INT32, 1)),
        message((Named(p.PSETID_COMMON, 1 << 32), INT32, 1)),
        message((Named(p.PSETID_COMMON, name="a\0b"), INT32, 1)),
        Message(attachments=[Attachment(Properties({0x3705: Value(INT32, 5)}))]),
        Message(attachments=[Attachment(Properties({0x3705: Value(INT32, 1)}), Message())]),
        Message(attachments=[Attachment(Properties({0x3701: Value(0x000D, b""), 0x3705: Value(INT32, 1)}))]),
    ],
)
def test_what_has_no_place_in_the_format_is_refused(item: Message) -> None:
    with pytest.raises(fts.WriteError) as caught:
        fts.write(item)
    assert str(caught.value)


def test_a_named_property_is_either_numbered_or_named() -> None:
    for arguments in ({}, {"lid": 1, "name": "a"}):
        with pytest.raises(ValueError):
            Named(UUID(int=0), **arguments)  # type: ignore[arg-type]
    assert Named(UUID(int=1), 5) == Named(UUID(int=1), 5)
    assert Named(UUID(int=1), name="a") != Named(UUID(int=1), name="A")
    assert len({Named(UUID(int=1), 5), Named(UUID(int=1), 5), Named(UUID(int=2), 5)}) == 2


def test_pieces_are_the_stream_and_do_not_copy_large_values() -> None:
    blob = bytes(1_000_000)
    item = Message(
        attachments=[Attachment(Properties({0x3705: Value(INT32, 1), 0x3701: Value(BINARY, blob)}))]
    )
    pieces = fts.write_pieces(item)
    assert b"".join(pieces) == fts.write(item)
    views = [piece for piece in pieces if isinstance(piece, memoryview)]
    assert sum(len(view) for view in views) == len(blob)
    assert all(view.obj is blob for view in views)
