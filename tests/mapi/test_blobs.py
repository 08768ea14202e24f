"""Binary values inside properties: known octets, both ways, and what is refused."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.mapi import blobs, rtf
from migrator.mapi.recurrence import (
    AppointmentRecurrence,
    RecurrenceException,
    RecurrencePattern,
    build_pattern,
    build_recurrence,
    describe,
    local_time,
    meaning,
    minutes_of,
    parse_pattern,
    parse_recurrence,
)
from tests.mapi.recurrences import WEEKLY
from tests.mapi.trees import utf16
from tests.shared_data import shared

TEXT = st.text(st.characters(exclude_categories=(), exclude_characters="\0"), max_size=20).map(utf16)
U16, U32 = st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF)
SYSTEMTIME = st.builds(blobs.SystemTime, *[U16] * 8)


# Entry ids --------------------------------------------------------------------------------------------------------------


def test_one_off_entry_id_as_mapi_makes_it() -> None:
    wire = bytes.fromhex("00000000 812B1FA4BEA310199D6E00DD010F5402 0000 0190") + "A\0SMTP\0a@b.c\0".encode(
        "utf-16-le"
    )
    assert blobs.build_one_off("A", "SMTP", "a@b.c") == wire
    assert blobs.parse_entry_id(wire) == blobs.OneOff("A", "SMTP", "a@b.c", 0x9001)
    narrow = wire[:22] + b"\1\0" + b"A\xe9\0SMTP\0a@b.c\0"
    assert blobs.parse_entry_id(narrow) == blobs.OneOff("Aé", "SMTP", "a@b.c", 1)


def test_directory_entry_id_as_exchange_makes_it() -> None:
    dn = "/o=Org/ou=Site/cn=Recipients/cn=anna"
    wire = bytes.fromhex("00000000 DCA740C8C042101AB4B908002B2FE182 01000000 00000000") + dn.encode() + b"\0"
    assert blobs.build_directory_entry(dn) == wire
    assert blobs.parse_entry_id(memoryview(wire)) == blobs.DirectoryEntry(dn, 0)


def test_wrapped_entry_id_of_a_list_member() -> None:
    inner = blobs.build_directory_entry("/o=Org/cn=x")
    assert blobs.parse_entry_id(blobs.build_wrapped(0xB5, inner)) == blobs.Wrapped(0xB5, inner)


@given(TEXT, TEXT, TEXT)
def test_one_off_entry_ids_come_back(name: str, kind: str, address: str) -> None:
    assert blobs.parse_entry_id(blobs.build_one_off(name, kind, address)) == blobs.OneOff(name, kind, address)


@pytest.mark.parametrize(
    "octets", [b"", bytes(70), bytes(4) + bytes.fromhex("812b1fa4bea310199d6e00dd010f5402") + bytes(5)]
)
def test_other_entry_ids_are_refused(octets: bytes) -> None:
    with pytest.raises(blobs.BlobError):
        blobs.parse_entry_id(octets)


def test_search_key() -> None:
    assert blobs.search_key("SMTP", "a@b.c") == b"SMTP:A@B.C\0"


# Conversation index, global object id -----------------------------------------------------------------------------------


def test_conversation_index() -> None:
    wire = bytes.fromhex("01DC5B2A6F4E 00112233445566778899AABBCCDDEEFF 0102030405 0607080910")
    index = blobs.parse_conversation_index(wire)
    assert index.guid == UUID("00112233-4455-6677-8899-aabbccddeeff")
    assert index.ticks == 0x01DC5B2A6F4E0000
    assert len(index.replies) == 2
    assert blobs.build_conversation_index(index) == wire
    for bad in (b"", wire[:21], wire[:-1]):
        with pytest.raises(blobs.BlobError):
            blobs.parse_conversation_index(bad)


def test_global_object_id_of_exchange_and_of_others() -> None:
    head = "040000008200E00074C5B7101A82E008"
    uid = (
        head
        + "00000000"
        + "A0B1C2D3E4F50102"
        + "0000000000000000"
        + "10000000"
        + "00112233445566778899AABBCCDDEEFF"
    )
    value = blobs.global_object_id_of(uid)
    assert blobs.build_global_object_id(value).hex().upper() == uid
    assert value.uid == uid
    occurrence = blobs.global_object_id_of(uid, (2026, 11, 30))
    wire = blobs.build_global_object_id(occurrence)
    assert wire.hex().upper() == head + "07EA0B1E" + uid[40:]
    assert blobs.parse_global_object_id(wire) == occurrence
    assert occurrence.uid == uid
    assert occurrence.clean() == value

    foreign = blobs.global_object_id_of("{x}@example.org")
    wire = blobs.build_global_object_id(foreign)
    assert wire[40:] == b"vCal-Uid\1\0\0\0{x}@example.org\0"
    assert struct.unpack_from("<I", wire, 36)[0] == len(wire) - 40
    assert blobs.parse_global_object_id(wire).uid == "{x}@example.org"
    for bad in (b"", bytes(60), wire[:-1], bytes.fromhex(head)):
        with pytest.raises(blobs.BlobError):
            blobs.parse_global_object_id(bad)


@given(st.text(max_size=40))
def test_any_uid_comes_back(uid: str) -> None:
    assert blobs.parse_global_object_id(
        blobs.build_global_object_id(blobs.global_object_id_of(uid))
    ).uid == uid or (
        uid.upper().startswith("040000008200E0")  # hex in lower case is the same id
    )


# Time zones ---------------------------------------------------------------------------------------------------------------


def test_time_zone_struct_as_outlook_writes_it() -> None:
    wire = bytes.fromhex(
        "C4FFFFFF 00000000 C4FFFFFF 0000 0000 0A00 0000 0500 0300 0000 0000 0000 0000 0000 0300 0000 0500 0200 0000 0000 0000"
    )
    zone = blobs.parse_time_zone_struct(wire)
    assert (zone.bias, zone.standard_bias, zone.daylight_bias) == (-60, 0, -60)
    assert zone.standard == blobs.SystemTime(month=10, day=5, hour=3)
    assert zone.daylight == blobs.SystemTime(month=3, day=5, hour=2)
    assert blobs.build_time_zone_struct(zone) == wire


@given(st.builds(blobs.TimeZoneStruct, *[st.integers(-1440, 1440)] * 3, SYSTEMTIME, SYSTEMTIME, U16, U16))
def test_time_zone_structs_come_back(zone: blobs.TimeZoneStruct) -> None:
    assert blobs.parse_time_zone_struct(blobs.build_time_zone_struct(zone)) == zone


RULE = st.builds(
    blobs.TimeZoneRule,
    U16,
    U16,
    *[st.integers(-1440, 1440)] * 3,
    SYSTEMTIME,
    SYSTEMTIME,
    st.binary(min_size=14, max_size=14),
)


@given(st.builds(blobs.TimeZoneDefinition, TEXT, st.lists(RULE, max_size=3).map(tuple)))
def test_time_zone_definitions_come_back(zone: blobs.TimeZoneDefinition) -> None:
    wire = blobs.build_time_zone_definition(zone)
    assert blobs.parse_time_zone_definition(wire) == zone
    assert wire[:4] == b"\2\1" + struct.pack(
        "<H", 6 + 2 * (len(zone.name.encode("utf-16-le", "surrogatepass")) // 2)
    )
    for bad in (wire[:-1], b"\3\1" + wire[2:], b""):
        with pytest.raises(blobs.BlobError):
            blobs.parse_time_zone_definition(bad)


# Recurrence -----------------------------------------------------------------------------------------------------------------


def test_a_recurrence_of_outlook_reads_as_what_it_is() -> None:
    value = parse_recurrence(WEEKLY)
    assert describe(value) == "every week on Tuesday, 08:00-08:30, from 2016-08-02, 1 left out, 2 changed"
    assert str(local_time(value.exceptions[0].original_start)) == "2016-08-23 08:00:00"
    assert str(local_time(value.exceptions[0].start)) == "2016-08-23 09:00:00"
    assert value.exceptions[0].body
    assert value.exceptions[0].subject is None
    assert value.tail == b""
    assert build_recurrence(value) == WEEKLY
    pattern, rest = parse_pattern(WEEKLY)
    assert build_pattern(pattern) + rest == WEEKLY
    moment = local_time(pattern.start_date)
    assert moment is not None
    assert minutes_of(moment) == pattern.start_date


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (
            RecurrencePattern(0x200A, 0, 2880, 0, end_type=0x2022, occurrences=3),
            "every 2 days, from 1601-01-01, 3 times",
        ),
        (
            RecurrencePattern(0x200A, 1, 1, 0, day_mask=0x3E),
            "every week on Monday and Tuesday and Wednesday and",
        ),
        (RecurrencePattern(0x200C, 2, 1, 0, day=31), "every month on day 31, from"),
        (RecurrencePattern(0x200C, 4, 3, 0, day=31), "every 3 months on the last day"),
        (RecurrencePattern(0x200D, 3, 12, 0, day_mask=1, nth=5), "every year on the last Sunday"),
        (RecurrencePattern(0x200C, 2, 1, 0, 525_600, 0x2021, day=1), "until 1602-01-01"),
    ],
)
def test_every_pattern_is_written_read_and_said(pattern: RecurrencePattern, words: str) -> None:
    read, rest = parse_pattern(build_pattern(pattern))
    assert read == pattern
    assert rest == b""
    assert words in describe(read)


EXCEPTION = st.builds(
    RecurrenceException,
    U32,
    U32,
    U32,
    subject=st.none() | TEXT,
    meeting_type=st.none() | U32,
    reminder_delta=st.none() | U32,
    reminder=st.none() | U32,
    location=st.none() | TEXT,
    busy_status=st.none() | U32,
    attachment=st.none() | U32,
    sub_type=st.none() | U32,
    color=st.none() | U32,
    body=st.booleans(),
    change_highlight=st.binary(max_size=6),
    reserved_1=st.binary(max_size=6),
)


@st.composite
def recurrences(draw: st.DrawFn) -> AppointmentRecurrence:
    kind = draw(st.sampled_from([0, 1, 2, 3, 4, 0xA, 0xB, 0xC]))
    pattern = RecurrencePattern(
        draw(st.sampled_from([0x200A, 0x200B, 0x200C, 0x200D])),
        kind,
        *[draw(U32) for _ in range(6)],
        deleted=draw(st.lists(U32, max_size=4)),
        modified=draw(st.lists(U32, max_size=4)),
    )
    pattern.day_mask = draw(U32) if kind in (1, 3, 0xB) else 0
    pattern.day = draw(U32) if kind in (2, 4, 0xA, 0xC) else 0
    pattern.nth = draw(U32) if kind in (3, 0xB) else 0
    return AppointmentRecurrence(
        pattern,
        draw(U32),
        draw(U32),
        draw(st.lists(EXCEPTION, max_size=3)),
        reserved_1=draw(st.binary(max_size=5)),
        reserved_2=draw(st.binary(max_size=5)),
        tail=draw(st.binary(max_size=5)),
    )


@given(recurrences())
def test_any_recurrence_comes_back(value: AppointmentRecurrence) -> None:
    wire = build_recurrence(value)
    again = parse_recurrence(wire)
    assert build_recurrence(again) == wire
    assert meaning(again) == meaning(value)
    assert again.tail == value.tail
    assert isinstance(describe(again), str)


@given(recurrences(), st.data())
def test_a_damaged_recurrence_is_a_recurrence_or_a_blob_error(
    value: AppointmentRecurrence, data: st.DataObject
) -> None:
    wire = bytearray(build_recurrence(value))
    wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(wire[: data.draw(st.integers(0, len(wire)))])
    for octets in (bytes(wire), cut):
        try:
            again = parse_recurrence(octets)
        except blobs.BlobError:
            continue
        assert build_recurrence(again) == octets
        meaning(again)
        describe(again)


PARSERS: list[Callable[[bytes], Any]] = [
    blobs.parse_entry_id,
    blobs.parse_conversation_index,
    blobs.parse_global_object_id,
    blobs.parse_time_zone_struct,
    blobs.parse_time_zone_definition,
    parse_pattern,
    parse_recurrence,
    rtf.decompress,
]


@given(st.binary(max_size=200), st.sampled_from(range(len(PARSERS))))
def test_any_octets_are_a_value_or_a_blob_error(octets: bytes, which: int) -> None:
    try:
        assert PARSERS[which](octets) is not None
    except blobs.BlobError as error:
        assert error.code in ("blob_malformed", "blob_limit")  # noqa: PT017


# RTF ----------------------------------------------------------------------------------------------------------------------

# MS-OXRTFCP 3.1: the specification's own examples.
HELLO = bytes.fromhex(
    "2D0000002B0000004C5A4675F1C5C7A703000A007263706731323542320AF32068656C090020627705B06C647D0A800FA0"
)
WXYZ = bytes.fromhex("1A0000001C0000004C5A4675E2D44B51410004205758595A0D6E7D010EB0")


def test_rtf_examples_of_the_specification() -> None:
    assert rtf.decompress(HELLO) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    assert rtf.decompress(WXYZ) == b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"  # a reference that overlaps itself
    assert rtf.decompress(rtf.store(b"{\\rtf1 a}")) == b"{\\rtf1 a}"
    assert rtf.decompress(HELLO + b"left behind") == rtf.decompress(HELLO)


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (b"", "blob_malformed"),
        (HELLO[:15], "blob_malformed"),
        (HELLO[:-1], "blob_malformed"),
        (HELLO[:12] + b"\0\0\0\0" + HELLO[16:], "blob_malformed"),
        (HELLO[:8] + b"ABCD" + HELLO[12:], "blob_malformed"),
        (HELLO[:4] + b"\xff\xff\xff\x7f" + HELLO[8:], "blob_limit"),
    ],
)
def test_damaged_or_oversized_rtf_is_refused(octets: bytes, code: str) -> None:
    with pytest.raises(blobs.BlobError) as caught:
        rtf.decompress(octets)
    assert caught.value.code == code


@given(st.text("{}\\rtf1 abc\r\n", max_size=3000), st.binary(max_size=300))
def test_rtf_agrees_with_an_independent_library(text: str, noise: bytes) -> None:
    library = pytest.importorskip("compressed_rtf", reason="the independent RTF library is not installed")
    plain = text.encode() + noise + text.encode()
    assert rtf.decompress(library.compress(plain)) == plain
    assert library.decompress(rtf.store(plain)) == plain


# Real values ------------------------------------------------------------------------------------------------------------------


def named_streams(path: Any, lids: set[int]) -> list[tuple[int, bytes]]:
    """(LID, octets) of binary named properties in a MSG file and the messages within it."""
    import olefile

    found = []
    with olefile.OleFileIO(str(path)) as ole:
        if not ole.exists("__nameid_version1.0/__substg1.0_00030102"):
            return []
        entries = ole.openstream("__nameid_version1.0/__substg1.0_00030102").read()
        local = {}
        for at in range(0, len(entries) - 7, 8):
            number, kind, index = struct.unpack_from("<IHH", entries, at)
            if not kind & 1 and number in lids:
                local[0x8000 + index] = number
        for entry in ole.listdir(streams=True, storages=False):
            name = entry[-1]
            if name.startswith("__substg1.0_") and name.endswith("0102") and len(name) == 20:
                lid = local.get(int(name[12:16], 16))
                if lid is not None:
                    found.append((lid, ole.openstream(entry).read()))
    return found


def test_values_in_real_msg_files_are_read_and_written_again() -> None:
    """Outlook's own blobs: every recurrence, time zone and meeting id of the shared MSG files."""
    pytest.importorskip("olefile", reason="olefile is not installed")
    counts: dict[str, int] = {}
    for path in sorted(shared("msg").rglob("*.msg")):
        for lid, octets in named_streams(
            path, {0x8216, 0x8116, 0x8233, 0x825E, 0x825F, 0x8260, 0x0003, 0x0023}
        ):
            if lid == 0x8216:
                assert build_recurrence(parse_recurrence(octets)) == octets, path
            elif lid == 0x8116:
                pattern, rest = parse_pattern(octets)
                assert build_pattern(pattern) + rest == octets, path
            elif lid == 0x8233:
                assert blobs.build_time_zone_struct(blobs.parse_time_zone_struct(octets)) == octets, path
            elif lid in (0x825E, 0x825F, 0x8260):
                assert blobs.build_time_zone_definition(blobs.parse_time_zone_definition(octets)) == octets, (
                    path
                )
            else:
                assert blobs.build_global_object_id(blobs.parse_global_object_id(octets)) == octets, path
            counts[f"{lid:04X}"] = counts.get(f"{lid:04X}", 0) + 1
    assert counts.get("8216", 0) >= 1
    assert counts.get("825E", 0) >= 1
    assert counts.get("0003", 0) >= 1
