"""Whatever comes in, a message or a FormatError comes out, in time and memory that are in proportion to it."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from migrator.formats import mime
from migrator.formats.errors import FormatError
from migrator.mapi import fasttransfer
from migrator.mapi import properties as p
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
    Value,
)
from tests.formats.test_mime_read import ALTERNATIVE, HEAD, INVITATION, MIXED, REPORT, SIGNED


def nested(levels: int) -> bytes:
    opened = (f'Content-Type: multipart/mixed; boundary="b{i}"\n\n--b{i}\n' for i in range(levels))
    closed = (f"--b{i}--\n" for i in reversed(range(levels)))
    return ("From: a@b.example\n" + "".join(opened) + "\nhello\n" + "".join(closed)).encode()


MB = 1_000_000
HOSTILE: dict[str, Callable[[], bytes]] = {
    "1,000 nested multiparts": lambda: nested(1_000),
    "20,000 nested multiparts": lambda: nested(20_000),
    "5,000 nested messages": lambda: b"Content-Type: message/rfc822\n\n" * 5_000 + b"Subject: x\n\nhi\n",
    "a header of 10 MB": lambda: b"X-A: " + b"a" * (10 * MB) + b"\n\nhi",
    "50,000 header lines": lambda: b"X-A: b\n" * 50_000 + b"\nx",
    "300,000 header lines": lambda: b"X-A: b\n" * 300_000 + b"\nx",
    "a fold of 300,000 lines": lambda: b"Subject: a\n" + b" b\n" * 300_000 + b"\nx",
    "a boundary bomb": lambda: b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n" * MB,
    "3,000 parts": lambda: b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--b\n\nx\n" * 3_000,
    "lines of dashes": lambda: b"Content-Type: multipart/mixed; boundary=b\n\n" + b"--c\n" * 500_000,
    "unfinished encoded words": lambda: b"Subject: " + b"=?x?q?" * 200_000 + b"\n\n",
    "beginnings of encoded words": lambda: b"To: " + b"=?" * 300_000 + b"\n\n",
    "open brackets": lambda: b"To: " + b"<" * MB + b"\n\n",
    "open comments": lambda: b"To: " + b"(" * 300_000 + b"\n\n",
    "open quotes": lambda: b'To: "' + b"\\" * MB + b"\n\n",
    "30,000 recipients": lambda: b"To: " + b"a@b.example," * 30_000 + b"\n\n",
    "addresses without commas": lambda: b"To: " + b"a@b " * 100_000 + b"\n\n",
    "parameters": lambda: b"Content-Type: text/plain; " + b"a=b;" * 300_000 + b"\n\n",
    "percent signs": lambda: b"Content-Type: text/plain; a*0=" + b"%" * MB + b"\n\n",
    "lines that are no headers": lambda: b"A: b\n" + b"junk\n" * 200_000,
    "open comments in a date": lambda: b"Date: " + b"(" * 400 + b"\n\n",
    "NUL": lambda: b"\0" * MB,
    "CR": lambda: b"\r" * MB,
    "LF": lambda: b"\n" * MB,
    "equal signs as base64": lambda: b"Content-Transfer-Encoding: base64\n\n" + b"A=" * MB,
    "equal signs as quoted-printable": lambda: b"Content-Transfer-Encoding: quoted-printable\n\n" + b"=" * MB,
    "cid: in HTML": lambda: (
        b"Content-Type: multipart/related; boundary=b\n\n--b\nContent-Type: text/html\n\n"
        + b"cid:" * 300_000
        + b"\n--b\nContent-ID: <x>\nContent-Type: image/png\n\nx\n--b--"
    ),
    "octets in no charset": lambda: (
        b"Content-Type: text/plain; charset=foo\n\n" + bytes(range(128, 256)) * 4_000
    ),
    "UTF-7": lambda: b"Content-Type: text/plain; charset=utf-7\n\n" + b"+AGEA-" * 50_000,
    "a report": lambda: (
        b"Content-Type: multipart/report; boundary=b\n\n--b\n\nx\n--b\n"
        b"Content-Type: message/delivery-status\n\n" + b"Action: failed\n" * 100_000 + b"\n--b--\n"
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_mail_costs_in_proportion(name: str) -> None:
    raw = HOSTILE[name]()
    started = time.process_time()
    code = "format_limit"
    try:
        message = mime.to_tree(raw).message
        assert mime.from_tree(message).octets
        if len(raw) < 3 * MB:
            fasttransfer.read(fasttransfer.write(message), strict=True)
    except FormatError as error:
        code = error.code
    assert code == "format_limit"
    # 10 MB take seconds at most; what is quadratic would take hours.
    assert time.process_time() - started < 20


def test_memory_is_a_small_multiple_of_the_message() -> None:
    attachment = b"A" * 76 + b"\r\n"
    raw = (
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\nContent-Type: image/png\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + attachment * 100_000 + b"--b--\r\n"
    )
    tracemalloc.start()
    try:
        message = mime.to_tree(raw).message
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(message.attachments) == 1
    assert peak < 2.5 * len(raw)  # the encoded part once, its octets once


def test_what_is_too_deep_is_kept_unread() -> None:
    result = mime.to_tree(nested(1_000))
    assert "too_deep" in result.notes
    kept = b"".join(
        bytes(a.properties.binary(p.PidTagAttachDataBinary))
        for one in result.message.walk()
        for a in one.attachments
    )
    assert b"hello" in kept and b'boundary="b999"' in kept


SEEDS = [
    text.encode()
    for text in (
        HEAD + "\nhello\n",
        ALTERNATIVE,
        MIXED,
        SIGNED,
        INVITATION,
        REPORT.format(kind="delivery-status", part="message/delivery-status", content="Action: failed"),
        "Content-Type: message/rfc822\n\n" + MIXED,
    )
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    raw = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, max(0, len(raw) - 1)))
        kind = draw(st.sampled_from(("flip", "cut", "insert", "repeat", "line")))
        if kind == "flip" and raw:
            raw[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del raw[at : at + draw(st.integers(1, 60))]
        elif kind == "insert":
            raw[at:at] = draw(
                st.sampled_from(
                    [b"\r", b"\0", b"\n", b"--b\n", b"--b--\n", b'"', b"=?", b"\xff\xfe", b";", b"(", b"\n\n"]
                )
            )
        elif kind == "repeat":
            raw[at:at] = raw[at : at + draw(st.integers(1, 200))]
        else:
            raw[at:at] = draw(
                st.sampled_from(
                    [
                        b"\nContent-Type: multipart/mixed; boundary=b\n",
                        b"\nContent-Transfer-Encoding: base64\n",
                        b"\nSubject:\n",
                        b"\n \n",
                    ]
                )
            )
    return bytes(raw)


def check(raw: bytes) -> None:
    try:
        result = mime.to_tree(raw)
    except FormatError:
        return
    assert set(result.notes) <= set(mime.NOTES)
    message = fasttransfer.read(fasttransfer.write(result.message), strict=True)
    written = mime.from_tree(message)
    assert set(written.notes) <= set(mime.NOTES)
    again = mime.to_tree(written.octets).message
    assert again.properties.text(p.PidTagSubject) == message.properties.text(p.PidTagSubject)


@settings(max_examples=250, deadline=None)
@given(damaged())
def test_damaged_mail_is_a_message_or_a_format_error(raw: bytes) -> None:
    check(raw)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=600))
def test_any_octets_are_a_message_or_a_format_error(raw: bytes) -> None:
    check(raw)


# Trees out of hostile streams -------------------------------------------------------------------------------------------------

TAGS = [
    *(
        0x0C1A,
        0x0C1E,
        0x0C1F,
        0x0C19,
        0x5D01,
        0x0042,
        0x0064,
        0x0065,
        0x0041,
        0x5D02,
        0x3001,
        0x3002,
        0x3003,
        0x0FFF,
        0x39FE,
    ),
    *(
        0x370D,
        0x371B,
        0x1043,
        Named(p.PS_INTERNET_HEADERS, name="x-a"),
        Named(p.PS_INTERNET_HEADERS, name="X B:"),
    ),
    *(p.PidTagMessageClass, p.PidTagSubject, p.PidTagTransportMessageHeaders, p.PidTagClientSubmitTime),
    *(
        p.PidTagInternetMessageId,
        p.PidTagInternetReferences,
        p.PidTagReplyRecipientEntries,
        p.PidTagImportance,
    ),
    *(
        p.PidTagSensitivity,
        p.PidTagConversationIndex,
        p.PidTagConversationTopic,
        p.PidNameKeywords,
        p.PidTagMessageFlags,
    ),
    *(p.PidTagBody, p.PidTagHtml, p.PidTagRtfCompressed, p.PidTagInternetCodepage, p.PidTagMessageCodepage),
    *(p.PidTagRecipientType, p.PidTagAttachMethod, p.PidTagAttachDataBinary, p.PidTagAttachLongFilename),
    *(p.PidTagAttachMimeTag, p.PidTagAttachContentId, p.PidTagAttachContentLocation, p.PidTagAttachFlags),
    *(
        p.PidTagAttachmentHidden,
        p.PidTagAttachmentFlags,
        p.PidTagFlagStatus,
        p.PidTagLastVerbExecuted,
        p.PidLidReminderSet,
    ),
]
VALUES = st.one_of(
    st.builds(Value, st.just(STRING), st.text(max_size=60)),
    st.builds(
        Value,
        st.just(STRING),
        st.sampled_from(
            [
                "IPM.Note.SMIME",
                "IPM.Note.SMIME.MultipartSigned",
                "REPORT.IPM.Note.NDR",
                "IPM.Appointment",
                "EX",
                "multipart/mixed",
                "message/rfc822",
            ]
        ),
    ),
    st.builds(Value, st.just(INT32), st.integers(-(1 << 31), (1 << 31) - 1)),
    st.builds(Value, st.just(INT32), st.integers(0, 8)),
    st.builds(Value, st.just(BINARY), st.binary(max_size=80)),
    st.builds(Value, st.just(BOOLEAN), st.booleans()),
    st.builds(Value, st.just(TIME), st.integers(0, (1 << 64) - 1)),
    st.builds(Value, st.just(MULTIPLE | STRING), st.lists(st.text(max_size=10), max_size=3)),
    st.builds(Value, st.just(0x001E), st.binary(max_size=20)),
)
PROPERTIES = st.dictionaries(st.sampled_from(TAGS), VALUES, max_size=14).map(Properties)
TREES = st.recursive(
    st.builds(Message, PROPERTIES, st.lists(PROPERTIES, max_size=3), st.just([])),
    lambda inner: st.builds(
        Message,
        PROPERTIES,
        st.lists(PROPERTIES, max_size=3),
        st.lists(st.builds(Attachment, PROPERTIES, st.one_of(st.none(), inner)), max_size=3),
    ),
    max_leaves=4,
)


@settings(max_examples=100, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(TREES)
def test_any_tree_is_written_as_a_mail_that_can_be_read(message: Message) -> None:
    written = mime.from_tree(message)
    assert set(written.notes) <= set(mime.NOTES)
    octets = written.octets
    assert b"\n" not in octets.replace(b"\r\n", b"")
    mime.flags_of(message)
    mime.categories_of(message)
    again = mime.to_tree(octets).message
    assert mime.from_tree(again).octets
