"""TNEF → tree: made streams, real ones, damaged ones."""

from __future__ import annotations

import base64
import hashlib
import struct
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.formats import mime, tnef
from migrator.formats.errors import FormatError
from migrator.mapi import fasttransfer
from migrator.mapi import properties as p
from tests.formats import tnef_made as t
from tests.shared_data import shared

IMESSAGE = UUID("00020307-0000-0000-c000-000000000046").bytes_le
ISTORAGE = UUID("0000000b-0000-0000-c000-000000000046").bytes_le


def sample() -> bytes:
    inner = t.stream(
        t.attribute(1, t.CLASS, b"IPM.Microsoft Mail.Note\0"),
        t.attribute(1, t.MESSAGE_PROPERTIES, t.properties(t.text(0x0037, "inner"))),
    )
    return t.stream(
        t.attribute(1, 0x89006, struct.pack("<I", 0x10000)),
        t.attribute(1, t.CODE_PAGE, struct.pack("<II", 1251, 0)),
        t.attribute(1, t.CLASS, b"IPM.Microsoft Schedule.MtgReq\0"),
        t.attribute(1, t.SUBJECT, "тема".encode("cp1251") + b"\0"),
        t.attribute(1, t.SENT, struct.pack("<7H", 2020, 2, 3, 9, 0, 0, 1)),
        t.attribute(
            1,
            t.MESSAGE_PROPERTIES,
            t.properties(
                t.integer(0x0017, 2),
                t.fixed(0x000B, 0x0029, b"\1\0"),
                t.fixed(0x0002, 0x1234, struct.pack("<h", -5)),
                t.fixed(0x0005, (p.PSETID_TASK, 0x8102), struct.pack("<d", 0.5)),
                t.fixed(0x0014, 0x1235, struct.pack("<q", -(1 << 40))),
                t.fixed(0x0040, 0x0060, struct.pack("<Q", 132_000_000_000_000_000)),
                t.fixed(0x0048, 0x1236, p.PSETID_NOTE.bytes_le),
                t.narrow(0x0070, "тема".encode("cp1251")),
                t.variable(
                    0x101F,
                    (p.PS_PUBLIC_STRINGS, "Keywords"),
                    ["Blue\0".encode("utf-16-le"), "Grün\0".encode("utf-16-le")],
                ),
                t.variable(0x1102, 0x1237, [b"a", b"bcdef"]),
                t.head(0x1003, 0x1238) + struct.pack("<Iii", 2, 7, -7),
                t.binary(0x1013, b"<p>x</p>"),
                t.text((p.PSETID_APPOINTMENT, 0x8208), "Room"),
            ),
        ),
        t.attribute(
            1,
            t.RECIPIENTS,
            t.rows(
                t.properties(t.integer(0x0C15, 1), t.text(0x3001, "A")),
                t.properties(t.integer(0x0C15, 2), t.text(0x3001, "B")),
            ),
        ),
        t.attribute(2, t.RENDDATA, t.FILE_RENDDATA),
        t.attribute(2, t.TITLE, b"short.txt\0"),
        t.attribute(2, t.DATA, b"content"),
        t.attribute(2, t.ATTACHMENT_PROPERTIES, t.properties(t.text(0x3707, "long ñame.txt"))),
        t.attribute(2, t.RENDDATA, t.FILE_RENDDATA),
        t.attribute(
            2,
            t.ATTACHMENT_PROPERTIES,
            t.properties(t.variable(0x000D, 0x3701, [IMESSAGE + inner]), t.text(0x3001, "inner")),
        ),
        t.attribute(2, t.RENDDATA, t.FILE_RENDDATA),
        t.attribute(
            2, t.ATTACHMENT_PROPERTIES, t.properties(t.variable(0x000D, 0x3701, [ISTORAGE + b"storage"]))
        ),
    )


def test_every_kind_of_value() -> None:
    unpacked = tnef.read(sample())
    assert unpacked.warnings == ()
    v = unpacked.message.properties
    assert v.text(p.PidTagMessageClass) == "IPM.Schedule.Meeting.Request"
    assert v.text(p.PidTagSubject) == "тема"
    assert v.text(p.PidTagConversationTopic) == "тема"
    assert v.get(0x1234) == -5
    assert v.get(0x1235) == -(1 << 40)
    assert v.get(0x1236) == p.PSETID_NOTE
    assert v.get(0x1237) == [b"a", b"bcdef"]
    assert v.get(0x1238) == [7, -7]
    assert v.get(p.PidLidPercentComplete) == 0.5
    assert v.get(p.PidNameKeywords) == ["Blue", "Grün"]
    assert v.text(p.PidLidLocation) == "Room"
    assert v.flag(p.PidTagReadReceiptRequested) and v.integer(p.PidTagImportance) == 2
    assert v.binary(p.PidTagHtml) == b"<p>x</p>"
    sent = v.time(p.PidTagClientSubmitTime)
    assert sent is not None and sent.isoformat() == "2020-02-03T09:00:00+00:00"
    assert [row.text(p.PidTagDisplayName) for row in unpacked.message.recipients] == ["A", "B"]


def test_attachments_by_value_embedded_and_ole() -> None:
    file, inner, ole = tnef.read(sample()).message.attachments
    assert (
        file.properties.text(p.PidTagAttachLongFilename),
        file.properties.text(p.PidTagAttachFilename),
    ) == (
        "long ñame.txt",
        "short.txt",
    )
    assert bytes(file.properties.binary(p.PidTagAttachDataBinary)) == b"content"
    assert inner.embedded is not None and inner.embedded.properties.text(p.PidTagSubject) == "inner"
    assert inner.embedded.properties.text(p.PidTagMessageClass) == "IPM.Note"
    assert ole.properties.integer(p.PidTagAttachMethod) == 6
    assert bytes(ole.properties.binary(p.PidTagAttachDataBinary)) == b"storage"
    fasttransfer.read(fasttransfer.write(tnef.read(sample()).message), strict=True)


def test_damage_costs_only_what_stands_in_it() -> None:
    whole = sample()
    cut = tnef.read(whole[:-30])
    assert cut.warnings and len(cut.message.attachments) == 2
    wrong = tnef.read(t.stream(t.attribute(1, t.SUBJECT, b"x\0", checksum=1)))
    assert wrong.message.properties.text(p.PidTagSubject) == "x"
    assert wrong.warnings == ("an attribute whose checksum is wrong",)
    junk = tnef.read(whole + b"\0\0 trailing")
    assert junk.warnings == ("octets behind the last attribute",)
    assert len(junk.message.attachments) == 3


@pytest.mark.parametrize(
    "octets", [b"", b"x", b"\x78\x9f\x3e\x22", t.SIGNATURE + b"\0\0", b"PK\3\4 and more"]
)
def test_what_is_no_tnef_is_refused(octets: bytes) -> None:
    with pytest.raises(FormatError):
        tnef.read(octets)


def test_types_that_do_not_exist_end_the_list() -> None:
    for kind in (0x2002, 0x8003, 0x9003, 0x0099):
        octets = t.properties(t.integer(0x0017, 2), t.fixed(kind, 0x0036, bytes(4)), t.integer(0x0026, 1))
        found = tnef.read(t.stream(t.attribute(1, t.MESSAGE_PROPERTIES, octets)))
        assert list(found.message.properties) == [p.PidTagImportance]
        assert found.warnings == ("a property list that is cut",)


def test_nesting_and_counts_have_limits() -> None:
    deep = t.stream(t.attribute(1, t.SUBJECT, b"x\0"))
    for _ in range(30):
        deep = t.stream(
            t.attribute(2, t.RENDDATA, t.FILE_RENDDATA),
            t.attribute(
                2, t.ATTACHMENT_PROPERTIES, t.properties(t.variable(0x000D, 0x3701, [IMESSAGE + deep]))
            ),
        )
    with pytest.raises(FormatError, match="nested too deep"):
        tnef.read(deep)
    lying = t.stream(t.attribute(1, t.MESSAGE_PROPERTIES, struct.pack("<I", 0xFFFFFFFF) + bytes(40)))
    assert tnef.read(lying).warnings == ("a property list that is cut",)
    with pytest.raises(FormatError, match="too many elements"):
        tnef.read(t.stream(*[t.attribute(1, t.SUBJECT, b"x\0")] * 50), tnef.Limits(elements=40))


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_any_damage_is_read_over_or_refused(data: st.DataObject) -> None:
    raw = bytearray(sample())
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(raw) - 1))
        if data.draw(st.booleans()):
            raw[at] = data.draw(st.integers(0, 255))
        else:
            del raw[at : at + data.draw(st.integers(1, 50))]
            raw.extend(b"\0" * 20)
    try:
        unpacked = tnef.read(bytes(raw))
    except FormatError:
        return
    fasttransfer.read(fasttransfer.write(unpacked.message), strict=True)


# Within a mail ------------------------------------------------------------------------------------------------------------


def mail(octets: bytes, kind: str = "application/ms-tnef; name=winmail.dat") -> bytes:
    encoded = base64.encodebytes(octets)
    return (
        b"From: a@example.org\nTo: C <c@example.org>\nSubject: in the header\n"
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nplain text of the mail\n--b\n"
        b"Content-Type: "
        + kind.encode()
        + b"\nContent-Transfer-Encoding: base64\n\n"
        + encoded
        + b"\n--b--\n"
    )


@pytest.mark.parametrize("kind", ["application/ms-tnef", "application/octet-stream; name=WINMAIL.DAT"])
def test_winmail_is_unpacked_under_the_headers_of_the_mail(kind: str) -> None:
    result = mime.to_tree(mail(sample(), kind))
    message, v = result.message, result.message.properties
    assert v.text(p.PidTagMessageClass) == "IPM.Schedule.Meeting.Request"
    assert v.text(p.PidTagSubject) == "in the header"
    assert [row.text(p.PidTagEmailAddress) for row in message.recipients] == ["c@example.org"]
    assert v.binary(p.PidTagHtml) == b"<p>x</p>"
    assert v.text(p.PidTagBody) == "plain text of the mail"
    assert v.get(p.PidNameKeywords) == ["Blue", "Grün"]
    assert len(message.attachments) == 3
    assert not v.flag(p.PidTagReadReceiptRequested)
    fasttransfer.read(fasttransfer.write(message), strict=True)


def test_an_unreadable_winmail_stays_an_attachment() -> None:
    result = mime.to_tree(mail(b"not TNEF"))
    assert "tnef_unreadable" in result.notes
    (file,) = result.message.attachments
    assert bytes(file.properties.binary(p.PidTagAttachDataBinary)) == b"not TNEF"
    kept = mime.to_tree(mail(sample()), options=mime.ReadOptions(unpack_tnef=False)).message
    assert bytes(kept.attachments[0].properties.binary(p.PidTagAttachDataBinary)) == sample()


# Real streams; number of files and of properties are two other readers' findings ----------------------------------------------

REAL = {
    # file: (names and sizes of attachments, least number of properties, warnings)
    "body.tnef": ([], 50, 0),
    "bug52400-winmail-simple.dat": ([], 55, 1),
    "data-before-name.tnef": ([("AUTOEXEC.BAT", 0), ("CONFIG.SYS", 0), ("boot.ini", 289)], 34, 0),
    "garbage-at-end.tnef": ([], 32, 1),
    "long-filename.tnef": ([("allproductsmar2000.dat", 279)], 78, 0),
    "multi-value-attribute.tnef": ([("208225 (5 seconds) Voice Mail.mp3", 10656)], 66, 0),
    "one-file.tnef": ([("AUTHORS", 244)], 56, 0),
    "quick-winmail.dat": (
        [
            ("quick.doc", 19968),
            ("quick.html", 428),
            ("quick.pdf", 18638),
            ("quick.txt", 235),
            ("quick.xml", 143),
        ],
        53,
        0,
    ),
    "rtf.tnef": ([], 69, 0),
    "triples.tnef": ([], 95, 0),
    "two-files.tnef": ([("AUTHORS", 244), ("README", 893)], 56, 0),
    "unicode-mapi-attr.tnef": ([("example.dat", 1024)], 58, 0),
}


@pytest.mark.parametrize("name", REAL)
def test_real_streams(name: str) -> None:
    unpacked = tnef.read(shared(f"tnef/{name}").read_bytes())
    files, least, warnings = REAL[name]
    found = [
        (
            a.properties.text(p.PidTagAttachLongFilename) or a.properties.text(p.PidTagAttachFilename),
            len(a.properties.binary(p.PidTagAttachDataBinary)),
        )
        for a in unpacked.message.attachments
    ]
    assert found == files
    assert len(unpacked.message.properties) >= least
    assert len(unpacked.warnings) == warnings
    stream = fasttransfer.write(unpacked.message)
    fasttransfer.read(stream, strict=True)
    written = mime.from_tree(unpacked.message).octets
    again = mime.to_tree(written).message
    digests = [
        hashlib.sha256(a.properties.binary(p.PidTagAttachDataBinary)).digest()
        for a in unpacked.message.attachments
    ]
    after = {
        hashlib.sha256(a.properties.binary(p.PidTagAttachDataBinary)).digest() for a in again.attachments
    }
    assert set(digests) <= after


def test_every_real_stream_is_listed() -> None:
    assert {path.name for path in shared("tnef").iterdir()} == set(REAL)
