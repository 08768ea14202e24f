"""Items between formats."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pybase64
import pytest

from migrator.errors import ItemError
from migrator.formats import convert
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
