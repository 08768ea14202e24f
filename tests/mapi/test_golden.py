"""Streams whose meaning is known from elsewhere: a vector that two foreign parsers agreed on, and Microsoft's samples."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from migrator.mapi import fasttransfer as fts
from migrator.mapi import properties as p
from migrator.mapi.item import Message, Named
from tests.mapi import vectors as v
from tests.shared_data import shared


def test_golden_vector_is_the_one_that_others_read() -> None:
    assert len(v.GOLDEN) == 384
    assert hashlib.sha256(v.GOLDEN).hexdigest() == v.GOLDEN_SHA256


@pytest.mark.parametrize("strict", [False, True])
def test_golden_vector_means_what_it_should(strict: bool) -> None:
    decoded = fts.decode(v.GOLDEN, strict=strict)
    assert (decoded.version, decoded.pages, decoded.warnings) == ((15, 1, 2507, 6), 1, ())
    message = decoded.message
    own = message.properties
    assert {k: value.type for k, value in own.items()} == {
        p.PidTagImportance: 0x0003,
        p.PidTagMessageClass: 0x001F,
        p.PidTagSubject: 0x001F,
        p.PidTagClientSubmitTime: 0x0040,
        p.PidTagSubjectPrefix: 0x001F,
        p.PidTagMessageDeliveryTime: 0x0040,
        p.PidTagMessageFlags: 0x0003,
        p.PidTagBody: 0x001F,
        p.PidLidReminderSet: 0x000B,
        Named(UUID("00020386-0000-0000-c000-000000000046"), name="x-a"): 0x001F,
    }
    assert own.get(p.PidTagImportance) == 1
    assert own.get(p.PidTagMessageClass) == "IPM.Note"
    assert own.get(p.PidTagSubject) == "Hi ü"
    assert own.get(p.PidTagSubjectPrefix) == ""
    assert own.get(p.PidTagClientSubmitTime) == 0x01DC5B2A6F4E8000
    assert own.time(p.PidTagClientSubmitTime) == datetime(2025, 11, 21, 21, 4, 32, 844185, UTC)
    assert own.get(p.PidTagMessageFlags) == 1
    assert own.get(p.PidTagBody) == "ok\r\n"
    assert own.get(p.PidLidReminderSet) is True
    assert own.get(Named(p.PS_INTERNET_HEADERS, name="x-a")) == "v"
    assert [{k: value.value for k, value in r.items()} for r in message.recipients] == [
        {
            p.PidTagRowid: 0,
            p.PidTagRecipientType: 1,
            p.PidTagDisplayName: "A",
            p.PidTagAddressType: "SMTP",
            p.PidTagEmailAddress: "a@b.c",
        }
    ]
    assert [{k: value.value for k, value in a.properties.items()} for a in message.attachments] == [
        {
            p.PidTagAttachNumber: 0,
            p.PidTagAttachDataBinary: b"\xde\xad\xbe\xef",
            p.PidTagAttachMethod: 1,
            p.PidTagAttachLongFilename: "f",
        }
    ]
    assert message.attachments[0].embedded is None


def test_golden_vector_is_written_again_byte_for_byte() -> None:
    assert fts.write(fts.read(v.GOLDEN)) == v.GOLDEN


def test_categories_as_exchange_writes_them() -> None:
    """A multi-valued UTF-16 string is of type 94B0, each value with its own length."""
    wire = bytes.fromhex("B0940280 2903020000000000C000000000000046 01") + "Keywords\0".encode("utf-16-le")
    wire += bytes.fromhex("02000000 1A000000") + "Red Category\0".encode("utf-16-le")
    wire += bytes.fromhex("0A000000") + "Blué\0".encode("utf-16-le")
    message = fts.read(v.stream(wire))
    assert message.properties.get(p.PidNameKeywords) == ["Red Category", "Blué"]
    assert message.properties.typed(p.PidNameKeywords).type == 0x101F  # type: ignore[union-attr]
    again = fts.write(message)
    assert wire.replace(bytes.fromhex("B0940280"), bytes.fromhex("B0940080")) in again


def whole_properties(octets: bytes) -> tuple[Message, int]:
    """The tree of a stream that is cut somewhere: what is whole before the cut, and how many octets that is."""
    at = len(v.PREAMBLE)
    assert octets[at : at + 4] == b"\2\0\0\0"
    payload = octets[at + 8 :]
    for length in range(len(payload), 0, -1):
        cut = octets[:at] + v.page(payload[:length])
        try:
            return fts.read(cut), length
        except fts.StreamError as error:
            refused = error
        assert refused.code == "stream_truncated", refused
        assert at <= refused.offset <= len(cut)
    raise AssertionError("nothing of the sample is readable")


def samples(path: Path) -> list[bytes]:
    """Base64 in a documentation sample, as far as it is whole groups of four; those whose container is intact."""
    text = path.read_text("utf-8", "replace")
    if path.suffix == ".json":
        found = re.findall(r'"(AQAAAAg[A-Za-z0-9+/=]+)', json.dumps(text).replace('\\"', '"'))
    else:
        found = [re.sub(r"\s+", "", t) for t in re.findall(r"Data>\s*(AQAAAAg[A-Za-z0-9+/=\s]+)", text)]
    octets = [base64.b64decode(t[: len(t) // 4 * 4]) for t in found]
    return [o for o in octets if o.startswith(v.CONFIG + v.INTERFACE) and len(o) > len(v.PREAMBLE) + 24]


def test_a_cut_sample_made_here_reads_up_to_the_cut() -> None:
    """The same without Microsoft's files: DnPrefix is read over, what is whole is there, the cut is named."""
    prefix = v.tag(0x84E4, 0x4008) + v.sized(b"/O=FIRST ORGANIZATION/CN=RECIPIENTS/CN=\0")
    payload = (
        prefix + v.integer(0x0017, 1) + v.CLASS + v.tag(0x84B0, 0x0037) + struct.pack("<I", 50) + b"I\0n\0"
    )
    message, length = whole_properties(v.stream(payload))
    assert length == len(prefix) + 8 + len(v.CLASS)
    assert {k: x.value for k, x in message.properties.items()} == {0x0017: 1, 0x001A: "IPM.Note"}


def test_samples_of_exchange_server() -> None:
    """learn.microsoft.com, UploadItems operation: Exchange 2010 SP1, one page, DnPrefix in front."""
    first, second = samples(shared("ews/docs-examples/uploaditems-operation.1.UploadItems.xml"))[:2]
    for octets in (first, second):
        message, _ = whole_properties(octets)
        assert message.properties.get(p.PidTagImportance) == 1
        assert message.properties.get(p.PidTagMessageClass) == "IPM.Note"
        envelope = fts.decode(octets[: len(v.PREAMBLE)] + v.page(v.CLASS))
        assert envelope.version is not None
        assert envelope.version[:2] == (14, 1)
        # The sample announces more than the page shows.
        with pytest.raises(fts.StreamError) as caught:
            fts.read(octets)
        assert caught.value.code == "stream_truncated"


def test_sample_of_exchange_online() -> None:
    """learn.microsoft.com, Graph mailbox import: pages of 31,680 octets, no DnPrefix."""
    (octets,) = samples(shared("graph/docs-examples/2024-import-session-and-import.json"))[:1]
    assert struct.unpack_from("<3H", octets, 56) == (15 << 8 | 20, 0x8000 | 4566, 6022)
    at = len(v.PREAMBLE)
    assert struct.unpack_from("<II", octets, at) == (2, fts.PAGE)
    assert octets[at + 8 :].startswith(v.integer(0x0017, 1) + v.CLASS[:8])
    message, _ = whole_properties(octets)
    assert message.properties.get(p.PidTagImportance) == 1
