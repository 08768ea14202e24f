"""The reader on streams built by hand: what it takes, what it refuses, and where it says the fault is."""

from __future__ import annotations

import struct
import time
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.mapi import fasttransfer as fts
from migrator.mapi import properties as p
from migrator.mapi.item import Message, Named
from tests.mapi import vectors as v
from tests.mapi.trees import plain

COMMON = "00062008-0000-0000-c000-000000000046"
U32 = struct.Struct("<I").pack
SIMPLE = (
    v.CLASS + v.DEL_RECIPIENTS + v.recipient(0) + v.DEL_ATTACHMENTS + v.attachment(0, v.integer(0x3705, 1))
)


def refused(octets: bytes, code: str, *, strict: bool = False) -> fts.StreamError:
    with pytest.raises(fts.StreamError) as caught:
        fts.read(octets, strict=strict)
    assert caught.value.code == code, caught.value
    assert 0 <= caught.value.offset <= len(octets)
    return caught.value


# The container ------------------------------------------------------------------------------------------------------


def test_records_in_any_order_and_unknown_ones_are_read_over() -> None:
    octets = (
        v.page(v.CLASS) + v.PARTNER + b"\x63\0\0\0" + U32(3) + b"abc" + v.page(v.DEL_RECIPIENTS) + v.CONFIG
    )
    octets += b"\x0b\0\0\0" + U32(0) + v.page(b"") + v.INTERFACE
    decoded = fts.decode(octets)
    assert decoded.message.properties.get(p.PidTagMessageClass) == "IPM.Note"
    assert decoded.version == (15, 1, 2507, 6)
    assert decoded.pages == 2
    assert len(decoded.warnings) == 3  # the unknown record, the one of mailbox moves, the empty page
    refused(octets, "stream_forbidden", strict=True)


@pytest.mark.parametrize(
    ("octets", "why"),
    [
        (v.INTERFACE + v.CONFIG + v.PARTNER + v.page(v.CLASS), "out of order"),
        (v.CONFIG + v.PARTNER + v.INTERFACE + v.page(v.CLASS), "out of order"),
        (v.CONFIG + v.INTERFACE + v.page(v.CLASS), "before the Config"),
        (v.CONFIG + v.CONFIG + v.INTERFACE + v.PARTNER + v.page(v.CLASS), "twice"),
        (v.CONFIG[:-4] + U32(2) + v.INTERFACE + v.PARTNER + v.page(v.CLASS), "transfer method 2"),
        (v.CONFIG[:8] + U32(4) + v.CONFIG[12:] + v.INTERFACE + v.PARTNER + v.page(v.CLASS), "flags 0x4"),
        (
            v.CONFIG + v.INTERFACE.replace(b"\7\3\2", b"\7\3\3") + v.PARTNER + v.page(v.CLASS),
            "another interface",
        ),
        (v.PREAMBLE + b"\x11\0\0\0" + U32(0) + v.page(v.CLASS), "record 17"),
    ],
)
def test_strict_wants_the_records_as_exchange_writes_them(octets: bytes, why: str) -> None:
    assert why in refused(octets, "stream_forbidden", strict=True).problem
    assert fts.read(octets).properties.get(p.PidTagMessageClass) == "IPM.Note"


@pytest.mark.parametrize(
    "octets", [b"", v.PREAMBLE, v.PREAMBLE + v.page(b""), b"=== Truncated Data ===", b"\1\0\0"]
)
def test_nothing_to_read_is_an_error_not_an_empty_item(octets: bytes) -> None:
    refused(octets, "stream_truncated")
    with pytest.raises(fts.StreamError):
        fts.summary(octets)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_is_taken(kind: Callable[[bytes], bytes]) -> None:
    for octets in (v.GOLDEN, v.stream(SIMPLE[:30], SIMPLE[30:])):
        assert plain(fts.read(kind(octets))) == plain(fts.read(octets))


# Values -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "octets", "expected"),
    [
        (0x84B0, "né\0".encode("utf-16-le"), "né"),
        (0x84B0, "né".encode("utf-16-le"), "né"),  # without a terminator
        (0x84B0, "a\0\0".encode("utf-16-le"), "a\0"),  # one terminator only is stripped
        (0x84B0, b"", ""),
        (0x84B0, b"\x3d\xd8\0\0", "\ud83d"),  # half a surrogate pair
        (0x84B1, "né\0".encode("utf-16-be"), "né"),
        (0x001F, "né\0".encode("utf-16-le"), "né"),
        (0x84E4, b"caf\xe9\0", "café"),  # 1252
        (0x84E2, b"\xb3\xf3d\xbc\0", "łódĽ"),  # 1250
        (0x83A4, "日本\0".encode("cp932"), "日本"),
        (
            0x8000 | 20866,
            "Привет\0".encode("koi8-r"),
            "Привет",
        ),  # has the bit of multi-valued types in its number
        (0x8000 | 21866, "Ї\0".encode("koi8-u"), "Ї"),
        (0x8000 | 20932, "日\0".encode("euc-jp"), "日"),
        (0x8000 | 28605, b"\xa4\0", "€"),
        (0x84E3, b"\x98\0", "\udc98"),  # 1251 has no such character: kept as a lone surrogate
    ],
)
def test_strings_of_every_code_page_are_text(kind: int, octets: bytes, expected: str) -> None:
    message = fts.read(v.stream(v.tag(kind, 0x0037) + v.sized(octets)), strict=True)
    assert message.properties.typed(p.PidTagSubject) == (0x001F, expected)


def test_a_code_page_python_does_not_know_stays_octets_with_its_number() -> None:
    octets = v.stream(v.tag(0x8000 | 1047, 0x0037) + v.sized(b"\xc1\xc2\0"))
    value = fts.read(octets).properties.typed(p.PidTagSubject)
    assert value == (0x8000 | 1047, b"\xc1\xc2")
    assert v.tag(0x8000 | 1047, 0x0037) + v.sized(b"\xc1\xc2\0") in fts.write(fts.read(octets))


def test_strings_without_a_code_page_are_read_in_that_of_their_message() -> None:
    inner = v.tag(0x001E, 0x0037) + v.sized(b"\xe9\0") + v.integer(0x3FFD, 1253)
    octets = v.stream(
        v.tag(0x001E, 0x0037)
        + v.sized(b"\xe9\0")
        + v.integer(0x3FFD, 1251)
        + v.recipient(0, v.tag(0x001E, 0x3001) + v.sized(b"\xe9\0"))
        + v.attachment(0, v.integer(0x3705, 5), v.START_EMBED + inner + v.END_EMBED)
    )
    message = fts.read(octets)
    assert message.properties.typed(0x0037) == (0x001F, "й")
    assert message.recipients[0].text(p.PidTagDisplayName) == "й"
    embedded = message.attachments[0].embedded
    assert embedded is not None
    assert embedded.properties.text(0x0037) == "ι"
    unicode = v.tag(0x001E, 0x0037) + v.sized(b"\xe9\0") + v.integer(0x3FFD, 1200)
    assert fts.read(v.stream(unicode)).properties.typed(0x0037) == (0x001F, "é")
    without = fts.read(v.stream(v.tag(0x101E, 0x0037) + U32(2) + v.sized(b"\xe9\0") + v.sized(b"e")))
    assert without.properties.typed(0x0037) == (0x101F, ["é", "e"])


@pytest.mark.parametrize(
    ("kind", "octets", "expected"),
    [
        (0x0002, b"\xff\xff", -1),
        (0x0003, b"\0\0\0\x80", -(1 << 31)),
        (0x0004, b"\0\0\xc0\x3f", 1.5),
        (0x0005, struct.pack("<d", -2.25), -2.25),
        (0x0006, struct.pack("<q", -10_000), -10_000),
        (0x0007, struct.pack("<d", 45_000.5), 45_000.5),
        (0x000A, b"\x0f\x01\4\x80", 0x8004010F),
        (0x000B, b"\1\0", True),
        (0x0014, struct.pack("<q", 1 << 40), 1 << 40),
        (0x0040, b"\xff" * 8, (1 << 64) - 1),
        (0x0048, p.PSETID_COMMON.bytes_le, p.PSETID_COMMON),
        (0x00FB, v.sized(b"\1\2\3"), b"\1\2\3"),
        (0x0102, v.sized(b""), b""),
        (0x1002, U32(2) + b"\1\0\2\0", [1, 2]),
        (0x1003, U32(0), []),
        (0x1014, U32(1) + bytes(8), [0]),
        (0x1040, U32(1) + bytes(8), [0]),
        (0x1048, U32(1) + p.PSETID_COMMON.bytes_le, [p.PSETID_COMMON]),
        (0x1102, U32(2) + v.sized(b"a") + v.sized(b""), [b"a", b""]),
        (0x101F, U32(1) + v.sized("x\0".encode("utf-16-le")), ["x"]),
        (0x94B0, U32(1) + v.sized("x\0".encode("utf-16-le")), ["x"]),
        (0x94B1, U32(1) + v.sized("x\0".encode("utf-16-be")), ["x"]),
        (0x94E3, U32(1) + v.sized(b"\xe9\0"), ["й"]),
    ],
)
def test_values_of_every_type(kind: int, octets: bytes, expected: object) -> None:
    found = fts.read(v.stream(v.tag(kind, 0x1234) + octets)).properties.typed(0x1234)
    assert found is not None
    assert found.value == expected
    base = {0x94B0: 0x101F, 0x94B1: 0x101F, 0x94E3: 0x101F}.get(kind, kind)
    assert found.type == base


def test_named_properties_are_known_by_set_and_name_not_by_their_local_id() -> None:
    octets = v.stream(
        v.tag(0x0003, 0x9ABC)
        + v.lid(COMMON, 0x8503)
        + U32(7)
        + v.tag(0x0003, 0x8000)
        + v.name(COMMON, "Ā")  # its octets hold 00 00 at an odd place
        + U32(8)
        + v.tag(0x0003, 0x8000)
        + v.name(COMMON, "")
        + U32(9)
    )
    assert {k: x.value for k, x in fts.read(octets, strict=True).properties.items()} == {
        p.PidLidReminderSet: 7,
        Named(p.PSETID_COMMON, name="Ā"): 8,
        Named(p.PSETID_COMMON, name=""): 9,
    }


def test_stream_mechanics_are_not_properties() -> None:
    octets = v.stream(
        v.tag(0x84E4, 0x4008)
        + v.sized(b"/O=ORG\0")
        + v.integer(0x400F, 0x480)
        + v.CLASS
        + v.integer(0x4076, 5)
    )
    decoded = fts.decode(octets)
    assert list(decoded.message.properties) == [
        p.PidTagMessageClass,
        0x4076,
    ]  # the last is the spam confidence level
    assert len(decoded.warnings) == 1
    assert fts.summary(octets).properties == decoded.message.properties


def test_large_binaries_are_views_and_others_copies() -> None:
    octets = v.stream(
        v.tag(0x0102, 0x1234) + v.sized(bytes(70_000)) + v.tag(0x0102, 0x1235) + v.sized(bytes(10))
    )
    properties = fts.read(octets).properties
    assert isinstance(properties.get(0x1234), memoryview)
    assert isinstance(properties.get(0x1235), bytes)
    assert len(properties.binary(0x1234)) == 70_000


# Faults -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "code", "offset", "element"),
    [
        (v.CLASS + v.tag(0x0003, 0x1234) + b"\0", "stream_truncated", len(v.CLASS), "message"),
        (v.CLASS + b"\1", "stream_truncated", len(v.CLASS), "message"),
        (v.tag(0x84B0, 0x37) + U32(0xFFFFFFFF), "stream_truncated", 0, "message"),
        (v.tag(0x0102, 0x37) + U32(0xFFFFFFFF), "stream_truncated", 0, "message"),
        (v.tag(0x1003, 0x37) + U32(0xFFFFFFFF), "stream_truncated", 0, "message"),
        (v.tag(0x1102, 0x37) + U32(0x3FFFFFFF), "stream_truncated", 0, "message"),
        (v.tag(0x84B0, 0x37) + v.sized(b"abc"), "stream_malformed", 0, "message"),
        (
            v.tag(0x0003, 0x8000) + p.PSETID_COMMON.bytes_le + b"\2" + bytes(8),
            "stream_malformed",
            0,
            "message",
        ),
        (
            v.tag(0x0003, 0x8000) + p.PSETID_COMMON.bytes_le + b"\1" + b"a\0" * 2000,
            "stream_limit",
            0,
            "message",
        ),
        (
            v.tag(0x0003, 0x8000) + p.PSETID_COMMON.bytes_le + b"\1" + b"a\0" * 20,
            "stream_truncated",
            0,
            "message",
        ),
        (v.tag(0x0001, 0x37) + U32(0), "stream_unknown", 0, "message"),
        (v.tag(0x100B, 0x37) + U32(0), "stream_unknown", 0, "message"),
        (v.tag(0x100A, 0x37) + U32(0), "stream_unknown", 0, "message"),
        (v.CLASS + bytes.fromhex("03001740"), "stream_unknown", len(v.CLASS), "message"),  # no such marker
        (v.CLASS + bytes.fromhex("03001840"), "stream_unknown", len(v.CLASS), "message"),  # FXErrorInfo
        (v.CLASS + bytes.fromhex("03000C40"), "stream_unknown", len(v.CLASS), "message"),  # StartMessage
        (v.CLASS + bytes.fromhex("03001240"), "stream_unknown", len(v.CLASS), "message"),  # IncrSyncChg
        (v.CLASS + bytes.fromhex("03001640 0D000F36"), "stream_unknown", len(v.CLASS), "message"),
        (v.recipient(0) + v.CLASS, "stream_malformed", len(v.recipient(0)), "message"),
        (
            v.CLASS + v.START_RECIP + v.integer(0x3000, 0),
            "stream_truncated",
            len(v.CLASS) + 12,
            "recipient 0",
        ),
        (v.START_RECIP + v.END_ATTACH, "stream_malformed", 4, "recipient 0"),
        (
            v.NEW_ATTACH + v.START_EMBED + v.CLASS,
            "stream_truncated",
            8 + len(v.CLASS),
            "attachment 0 / embedded message",
        ),
        (v.NEW_ATTACH + v.START_EMBED + v.END_EMBED + v.END_EMBED, "stream_malformed", 12, "attachment 0"),
        (v.END_EMBED, "stream_malformed", 0, "message"),
        (v.CLASS + v.END_ATTACH, "stream_malformed", len(v.CLASS), "message"),
    ],
)
def test_a_fault_is_one_error_with_offset_and_element(
    payload: bytes, code: str, offset: int, element: str
) -> None:
    error = refused(v.stream(payload), code)
    assert error.offset == len(v.PREAMBLE) + 8 + offset
    assert error.element == element
    assert error.opaque is (code in ("stream_unknown", "stream_limit"))


def test_offsets_count_the_container_also_behind_the_first_page() -> None:
    first = v.CLASS + v.DEL_RECIPIENTS
    error = refused(v.stream(first, v.START_RECIP + v.tag(0x0001, 0x3001)), "stream_unknown")
    assert error.offset == len(v.PREAMBLE) + 8 + len(first) + 8 + 4


def test_the_error_text_holds_nothing_of_the_item() -> None:
    secret = v.text(0x0037, "attack at dawn") + v.tag(0x0001, 0x1000)
    assert "dawn" not in str(refused(v.stream(secret), "stream_unknown"))


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (v.integer(0x6610, 1), "6600-67FF"),
        (v.tag(0x000A, 0x1000) + U32(0), "PtypErrorCode"),
        (v.tag(0x000B, 0x0E1B) + b"\xff\xff", "truth value"),
        (v.CLASS + v.CLASS, "twice"),
        (v.tag(0x000D, 0x1000) + v.sized(b""), "not the data of an attachment"),
        (v.START_RECIP + v.text(0x3001, "a") + v.integer(0x3000, 0) + v.END_RECIP, "Rowid is not the first"),
        (v.START_RECIP + v.END_RECIP, "Rowid is not the first"),
        (v.recipient(1) + v.recipient(1), "Rowid 1 twice"),
        (
            v.NEW_ATTACH + v.integer(0x3705, 1) + v.integer(0x0E21, 0) + v.END_ATTACH,
            "AttachNumber is not the first",
        ),
        (v.attachment(0) + v.attachment(0), "AttachNumber 0 twice"),
        (v.attachment(0) + v.recipient(0), "after the attachments"),
        (v.DEL_ATTACHMENTS + v.recipient(0), "after the attachments"),
        (v.DEL_ATTACHMENTS + v.DEL_RECIPIENTS, "FXDelProp of recipients"),
        (v.recipient(0) + v.DEL_RECIPIENTS, "FXDelProp of recipients"),
        (v.attachment(0) + v.DEL_ATTACHMENTS, "FXDelProp of attachments"),
        (v.attachment(0, v.integer(0x3705, 5)), "attach method 5"),
        (v.attachment(0, v.integer(0x3705, 1), v.START_EMBED + v.END_EMBED), "attach method 1"),
        (v.attachment(0, v.integer(0x3705, 1), v.tag(0x000D, 0x3701) + v.sized(b"x")), "object as data"),
    ],
)
def test_strict_refuses_what_an_importing_client_must_not_send(payload: bytes, why: str) -> None:
    octets = v.stream(payload)
    assert why in refused(octets, "stream_forbidden", strict=True).problem
    assert isinstance(fts.read(octets), Message)


@pytest.mark.parametrize(
    ("first", "second", "legal"),
    [
        (v.CLASS[:2], v.CLASS[2:], False),  # inside type and id
        (v.CLASS[:4], v.CLASS[4:], True),  # before the length
        (v.CLASS[:6], v.CLASS[6:], False),  # inside the length
        (v.CLASS[:8], v.CLASS[8:], True),
        (v.CLASS[:10], v.CLASS[10:], True),  # inside the characters
        (v.CLASS, v.DEL_RECIPIENTS, True),
        (v.CLASS + v.DEL_RECIPIENTS[:4], v.DEL_RECIPIENTS[4:], True),
        (v.CLASS + v.DEL_RECIPIENTS[:6], v.DEL_RECIPIENTS[6:], False),
        (v.integer(0x17, 1)[:6], v.integer(0x17, 1)[6:], False),  # inside a fixed value
        (v.tag(3, 0x8000) + v.lid(COMMON, 1)[:10], v.lid(COMMON, 1)[10:] + U32(0), False),
        (v.tag(3, 0x8000) + v.lid(COMMON, 1), U32(0), True),
        (v.tag(0x1003, 0x17) + U32(2) + U32(1), U32(2), True),
        (v.tag(0x1003, 0x17) + U32(2) + U32(1)[:1], U32(1)[1:] + U32(2), False),
        (v.tag(0x1102, 0x17) + U32(1) + v.sized(b"abc")[:5], b"bc", True),
        (v.tag(0x1102, 0x17) + U32(1) + v.sized(b"abc")[:3], v.sized(b"abc")[3:], False),
        (v.DEL_RECIPIENTS + v.recipient(0)[:-2], v.recipient(0)[-2:], False),  # inside a marker
    ],
)
def test_a_page_may_end_between_atoms_only(first: bytes, second: bytes, legal: bool) -> None:
    octets = v.stream(first, second)
    assert plain(fts.read(octets)) == plain(fts.read(v.stream(first + second)))
    if legal:
        fts.read(octets, strict=True)
    else:
        assert "inside an atom" in refused(octets, "stream_forbidden", strict=True).problem


# Limits -------------------------------------------------------------------------------------------------------------


def nested(depth: int) -> bytes:
    inner = v.CLASS
    for _ in range(depth):
        inner = v.CLASS + v.attachment(0, v.integer(0x3705, 5), v.START_EMBED + inner + v.END_EMBED)
    return v.stream(inner)


def test_fifty_messages_within_each_other_are_read_and_written_and_no_more() -> None:
    message = fts.read(nested(50), strict=True)
    assert sum(1 for _ in message.walk()) == 51
    assert plain(fts.read(fts.write(message), strict=True)) == plain(message)
    assert fts.summary(nested(50)).embedded == 50
    refused(nested(51), "stream_limit")
    with pytest.raises(fts.StreamError):
        fts.summary(nested(51))
    deep = fts.read(nested(51), limits=fts.Limits(depth=60))
    with pytest.raises(fts.WriteError):
        fts.write(deep)


def test_a_thousand_open_embeds_do_not_recurse() -> None:
    refused(v.stream((v.NEW_ATTACH + v.START_EMBED) * 100_000), "stream_limit")


def test_children_values_and_elements_are_bounded() -> None:
    tight = fts.Limits(children=3, values=3, elements=40)
    for payload, good in (
        (b"".join(v.recipient(n) for n in range(3)), True),
        (b"".join(v.recipient(n) for n in range(4)), False),
        (b"".join(v.attachment(n) for n in range(4)), False),
        (v.tag(0x1002, 0x1234) + U32(3) + bytes(6), True),
        (v.tag(0x1002, 0x1234) + U32(4) + bytes(8), False),
        (b"".join(v.integer(n, 0) for n in range(0x1000, 0x1020)), True),
        (b"".join(v.integer(n, 0) for n in range(0x1000, 0x1040)), False),
    ):
        if good:
            fts.read(v.stream(payload), limits=tight)
        else:
            with pytest.raises(fts.StreamError) as caught:
                fts.read(v.stream(payload), limits=tight)
            assert caught.value.code == "stream_limit"


HOSTILE = {
    "empty recipients": lambda n: (v.START_RECIP + v.END_RECIP) * (n // 8),
    "repeated property": lambda n: (v.tag(0x0002, 0x1234) + b"\0\0") * (n // 6),
    "small integers": lambda n: b"".join(
        v.tag(0x1002, i) + U32(60_000) + bytes(120_000) for i in range(0x1000, 0x1000 + n // 120_008)
    ),
    "named properties": lambda n: b"".join(
        v.tag(0x0002, 0x8000) + v.lid(COMMON, i) + b"\0\0" for i in range(n // 27)
    ),
    "unterminated name": lambda n: v.tag(0x0003, 0x8000) + p.PSETID_COMMON.bytes_le + b"\1" + b"\1" * n,
    "misplaced zeros": lambda n: (
        v.tag(0x0003, 0x8000) + p.PSETID_COMMON.bytes_le + b"\1" + b"\1\0\0\1" * (n // 4)
    ),
    "empty pages": lambda n: b"",
    "lengths": lambda n: (v.tag(0x0102, 0x1234) + U32(0x7FFFFFFF)) * (n // 8),
    "empty strings": lambda n: b"".join(
        v.tag(0x94B0, i) + U32(60_000) + bytes(240_000) for i in range(0x1000, 0x1000 + n // 240_008)
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_streams_cost_time_and_memory_in_proportion(name: str) -> None:
    size = 600_000
    octets = v.stream(HOSTILE[name](size) or v.CLASS)
    if name == "empty pages":
        octets = v.PREAMBLE + v.page(b"") * (size // 8) + v.page(v.CLASS)
    tracemalloc.start()
    start = time.perf_counter()
    try:
        fts.read(octets)
    except fts.StreamError as error:
        assert 0 <= error.offset <= len(octets)  # noqa: PT017
    took = time.perf_counter() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * size
    assert took < 10  # tracing costs a multiple; what matters is that nothing is quadratic


@given(st.binary(max_size=400), st.booleans())
def test_any_octets_are_a_tree_or_a_stream_error(octets: bytes, wrap: bool) -> None:
    data = v.stream(octets) if wrap else octets
    for strict in (False, True):
        try:
            fts.read(data, strict=strict)
        except fts.StreamError as error:
            assert 0 <= error.offset <= len(data)  # noqa: PT017
    try:
        fts.summary(data)
    except fts.StreamError as error:
        assert 0 <= error.offset <= len(data)  # noqa: PT017


def test_every_cut_of_a_stream_is_noticed() -> None:
    """No prefix of a stream that ends in an attachment passes for the whole, unless it is a whole smaller item."""
    payload = SIMPLE
    whole = {len(v.CLASS), len(v.CLASS) + 8, len(v.CLASS) + 8 + len(v.recipient(0))}
    whole |= {len(payload) - len(v.attachment(0, v.integer(0x3705, 1))), len(payload)}
    for length in range(1, len(payload) + 1):
        octets = v.stream(payload[:length])
        if length in whole:
            fts.read(octets, strict=True)
        else:
            refused(octets, "stream_truncated")
    for length in range(len(v.GOLDEN)):
        refused(v.GOLDEN[:length], "stream_truncated")
