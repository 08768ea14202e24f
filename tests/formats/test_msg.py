"""MSG files: made here, of the shared data, and as an independent library reads them."""

from __future__ import annotations

import io
import random
import re
import struct
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import olefile
import pytest

from migrator.formats import compound
from migrator.formats.compound import Storage, Stream
from migrator.formats.errors import FormatError
from migrator.formats.msg import read_msg
from migrator.mapi import fasttransfer, rtf
from migrator.mapi import properties as P
from migrator.mapi.item import Message, Named, Value, datetime_of
from tests.shared_data import SHARED, shared

FILES = sorted(str(f.relative_to(SHARED)) for f in SHARED.glob("**/*.msg"))
NAMES = {Named(P.PSETID_COMMON, 0x8503): 0x8000, Named(P.PS_PUBLIC_STRINGS, name="Keywords"): 0x8001,
         Named(UUID(int=7), name="x-own"): 0x8002}  # fmt: skip


def properties(header: int, *values: tuple[int, int, Any]) -> list[Stream]:
    """The property stream and the value streams of (id, type, value), as MS-OXMSG 2.4 lays them out."""
    wire, streams = bytes(header), []
    for id_, type_, value in values:
        fixed = {
            0x0002: "<h6x",
            0x0003: "<i4x",
            0x0005: "<d",
            0x000B: "<H6x",
            0x0014: "<q",
            0x0040: "<Q",
        }.get(type_)
        if fixed:
            wire += struct.pack("<HHI", type_, id_, 6) + struct.pack(fixed, value)
            continue
        name = f"__substg1.0_{id_:04X}{type_:04X}"
        if type_ == 0x000D:
            wire += struct.pack("<HHI8x", type_, id_, 6)
            continue
        if type_ in (0x101F, 0x101E, 0x1102):
            parts = [v.encode("utf-16-le") + b"\0\0" if type_ == 0x101F else v for v in value]
            lengths = b"".join(struct.pack("<I4x" if type_ == 0x1102 else "<I", len(part)) for part in parts)
            streams += [Stream(f"{name}-{n:08X}", part) for n, part in enumerate(parts)]
            octets = lengths
        elif type_ == 0x1003:
            octets = struct.pack(f"<{len(value)}i", *value)
        elif type_ == 0x0048:
            octets = value.bytes_le
        else:
            octets = value.encode("utf-16-le") if type_ == 0x001F else value
        streams.append(Stream(name, octets))
        wire += struct.pack("<HHIII", type_, id_, 6, len(octets) + (2 if type_ == 0x1F else 0), 0)
    return [Stream("__properties_version1.0", wire), *streams]


def name_map() -> Storage:
    guids, entries, texts = b"", b"", b""
    sets: list[UUID] = []
    for named, id_ in NAMES.items():
        if named.guid == P.PS_PUBLIC_STRINGS:
            index = 2
        else:
            if named.guid not in sets:
                sets.append(named.guid)
                guids += named.guid.bytes_le
            index = 3 + sets.index(named.guid)
        if named.name is None:
            entries += struct.pack("<IHH", named.lid, index << 1, id_ - 0x8000)
        else:
            entries += struct.pack("<IHH", len(texts), index << 1 | 1, id_ - 0x8000)
            raw = named.name.encode("utf-16-le")
            texts += struct.pack("<I", len(raw)) + raw + bytes(-len(raw) % 4)
    streams = [Stream("__substg1.0_00020102", guids), Stream("__substg1.0_00030102", entries)]
    return Storage("__nameid_version1.0", children=[*streams, Stream("__substg1.0_00040102", texts)])


def embedded(depth: int) -> list[Storage | Stream]:
    values: list[Storage | Stream] = [
        *properties(24, (0x001A, 0x1F, "IPM.Note"), (0x0037, 0x1F, f"level {depth}"))
    ]
    if depth:
        values.append(
            Storage(
                "__attach_version1.0_#00000000",
                children=[
                    *properties(8, (0x3705, 3, 5), (0x3701, 0x0D, None)),
                    Storage("__substg1.0_3701000D", children=embedded(depth - 1)),
                ],
            )
        )
    return values


def sample(*more: Storage | Stream, extra: tuple[tuple[int, int, Any], ...] = ()) -> bytes:
    values = properties(
        32,
        (0x001A, 0x1F, "IPM.Note"),
        (0x0037, 0x1F, "Grüße 😀"),
        (0x0017, 0x03, 2),
        (0x0E06, 0x40, 133_000_000_000_000_000),
        (0x8000, 0x0B, 1),
        (0x8001, 0x101F, ["Red", "Blau ü", ""]),
        (0x8002, 0x1F, "own"),
        (0x8005, 0x1F, "no name for this id"),
        (0x6000, 0x1003, [1, -2, 3]),
        (0x6001, 0x1102, [b"a", b"", b"ccc"]),
        (0x6002, 0x48, UUID(int=99)),
        (0x6003, 0x14, -5),
        (0x6004, 0x05, 2.5),
        (0x6005, 0x02, -7),
        (0x1009, 0x0102, b"x" * 9000),  # beyond the mini stream
        *extra,
    )
    people = Storage(
        "__recip_version1.0_#00000000",
        children=[
            *properties(
                8, (0x3000, 3, 0), (0x0C15, 3, 2), (0x3001, 0x1F, "Jörg"), (0x3003, 0x1F, "j@example.com")
            )
        ],
    )
    file = Storage(
        "__attach_version1.0_#00000000",
        children=[
            *properties(
                8,
                (0x0E21, 3, 0),
                (0x3705, 3, 1),
                (0x3707, 0x1F, "a.bin"),
                (0x3701, 0x0102, bytes(range(256)) * 40),
            )
        ],
    )
    inner = Storage(
        "__attach_version1.0_#00000001",
        children=[
            *properties(8, (0x0E21, 3, 1), (0x3705, 3, 5), (0x3701, 0x0D, None)),
            Storage("__substg1.0_3701000D", children=embedded(2)),
        ],
    )
    ole = Storage(
        "__attach_version1.0_#00000002",
        children=[
            *properties(8, (0x0E21, 3, 2), (0x3705, 3, 6), (0x3701, 0x0D, None)),
            Storage(
                "__substg1.0_3701000D",
                bytes(range(16)),
                [
                    Stream("CONTENTS", b"picture" * 1000),
                    Storage("Sub", children=[Stream("\x01Ole", b"deep")]),
                ],
            ),
        ],
    )
    return compound.build(Storage("", children=[*values, name_map(), people, file, inner, ole, *more]))


class TestMade:
    def test_properties_of_every_kind(self) -> None:
        p = read_msg(sample()).properties
        assert p.text(P.PidTagSubject) == "Grüße 😀"
        assert p.integer(P.PidTagImportance) == 2
        assert p[P.PidTagMessageDeliveryTime] == Value(0x40, 133_000_000_000_000_000)
        assert p.get(Named(P.PSETID_COMMON, 0x8503)) is True
        assert p.get(P.PidNameKeywords) == ["Red", "Blau ü", ""]
        assert p.text(Named(UUID(int=7), name="x-own")) == "own"
        assert not any(isinstance(key, int) and key >= 0x8000 for key in p)
        assert p.get(0x6000) == [1, -2, 3]
        assert p.get(0x6001) == [b"a", b"", b"ccc"]
        assert p.get(0x6002) == UUID(int=99)
        assert (p.get(0x6003), p.get(0x6004), p.get(0x6005)) == (-5, 2.5, -7)
        assert len(p.binary(P.PidTagRtfCompressed)) == 9000

    def test_recipients_and_attachments(self) -> None:
        message = read_msg(sample())
        assert [
            (r.text(P.PidTagDisplayName), r.integer(P.PidTagRecipientType)) for r in message.recipients
        ] == [("Jörg", 2)]
        file, inner, ole = message.attachments
        assert bytes(file.properties.binary(P.PidTagAttachDataBinary)) == bytes(range(256)) * 40
        assert inner.embedded is not None
        assert P.PidTagAttachDataBinary not in inner.properties
        assert [m.properties.text(P.PidTagSubject) for m in inner.embedded.walk()] == [
            "level 2",
            "level 1",
            "level 0",
        ]
        assert ole.embedded is None
        assert ole.properties[P.PidTagAttachDataBinary].type == 0x000D

    def test_ole_storage_is_kept_as_a_compound_file(self) -> None:
        octets = bytes(read_msg(sample()).attachments[2].properties.binary(P.PidTagAttachDataBinary))
        with olefile.OleFileIO(io.BytesIO(octets)) as file:
            assert sorted(file.listdir()) == [["CONTENTS"], ["Sub", "\x01Ole"]]
            assert file.openstream("CONTENTS").read() == b"picture" * 1000
            assert file.openstream(["Sub", "\x01Ole"]).read() == b"deep"
            assert UUID(file.root.clsid).bytes_le == bytes(range(16))

    def test_a_stream_holds_the_tree(self) -> None:
        message = read_msg(sample())
        again = fasttransfer.read(fasttransfer.write(message))
        assert again.properties == message.properties
        assert len(again.attachments) == 3

    @pytest.mark.parametrize(
        ("pages", "raw", "text"),
        [
            (((0x3FFD, 3, 1251),), "Привет".encode("cp1251"), "Привет"),
            (((0x3FDE, 3, 932),), "日本".encode("cp932"), "日本"),
            (((0x3FDE, 3, 50220), (0x3FF1, 3, 1041)), "日本".encode("cp932"), "日本"),
            (((0x3FDE, 3, 65001), (0x3FF1, 3, 1049)), "Привет".encode("cp1251"), "Привет"),
            (((0x3FDE, 3, 65001),), "Grüße €".encode(), "Grüße €"),
            (((0x3FFD, 3, 1200), (0x3FF1, 3, 1031)), "Grüße €".encode("cp1252"), "Grüße €"),
            ((), "Grüße".encode("cp1252"), "Grüße"),
        ],
    )
    def test_code_pages(self, pages: tuple[tuple[int, int, Any], ...], raw: bytes, text: str) -> None:
        recipient = Storage("__recip_version1.0_#00000001", children=[*properties(8, (0x3001, 0x1E, raw))])
        message = read_msg(sample(recipient, extra=((0x1000, 0x1E, raw + b"\0"), *pages)))
        assert message.properties[P.PidTagBody] == Value(0x1F, text)
        assert message.recipients[1].text(P.PidTagDisplayName) == text

    def test_path_and_octets_are_the_same(self, tmp_path: Path) -> None:
        file = tmp_path / "a.msg"
        file.write_bytes(sample())
        assert read_msg(file) == read_msg(sample())
        with pytest.raises(FormatError):
            read_msg(tmp_path / "absent.msg")


class TestHostile:
    @pytest.mark.parametrize(
        "raw", [b"", b"hello", compound.MAGIC, compound.MAGIC + bytes(4000), compound.build(Storage("x"))]
    )
    def test_no_message(self, raw: bytes) -> None:
        with pytest.raises(FormatError):
            read_msg(raw)

    def test_depth(self) -> None:
        deep = Storage("", children=embedded(40))
        with pytest.raises(FormatError) as caught:
            read_msg(compound.build(deep))
        assert caught.value.code == "format_limit"

    def test_streams_that_share_their_sectors(self) -> None:
        """Many directory entries that name one long chain: a bomb for readers that do not count."""
        data = bytes(1 << 20)
        files = [
            Storage(
                f"__attach_version1.0_#{n:08X}",
                children=[*properties(8, (0x3705, 3, 1), (0x3701, 0x0102, data if n == 0 else b"z" * 5000))],
            )
            for n in range(100)
        ]
        raw = bytearray(
            compound.build(Storage("", children=[*properties(32, (0x001A, 0x1F, "IPM.Note")), *files]))
        )
        with olefile.OleFileIO(io.BytesIO(bytes(raw))) as file:
            entry = next(e for e in file.direntries if e and e.size == len(data))
            start, shared_entries = entry.isectStart, [e.sid for e in file.direntries if e and e.size == 5000]
            directory = 512 * (file.first_dir_sector + 1)
        for sid in shared_entries:
            struct.pack_into("<IQ", raw, directory + 128 * sid + 116, start, len(data))
        with pytest.raises(FormatError) as caught:
            read_msg(bytes(raw))
        assert caught.value.code == "format_limit"

    @pytest.mark.timeout(60)
    def test_damage_is_a_message_or_a_typed_error(self) -> None:
        dice = random.Random(2049)
        whole = sample()
        for _ in range(600):
            raw = bytearray(whole)
            for _ in range(dice.randrange(1, 10)):
                # Header, directory and tables are what readers stumble over.
                spot = dice.choice(
                    [
                        dice.randrange(len(raw)),
                        dice.randrange(512),
                        dice.randrange(max(1, len(raw) - 6000), len(raw)),
                    ]
                )
                raw[spot] = dice.choice([0, 1, 0xFF, 0xFE, dice.randrange(256)])
            if dice.random() < 0.2:
                del raw[dice.randrange(len(raw)) :]
            try:
                message = read_msg(bytes(raw))
            except FormatError:
                continue
            assert isinstance(message, Message)


@pytest.mark.skipif(not FILES, reason="no shared data here")
class TestShared:
    @pytest.mark.parametrize("name", FILES)
    def test_facts_of_the_manifest(self, name: str) -> None:
        """Class, counts and bodies as another reader found them."""
        rows = shared("MANIFEST.tsv").read_text("utf-8").splitlines()
        facts = next(row.split("\t")[-1] for row in rows if row.startswith(f"{name}\t"))
        message = read_msg(shared(name))
        p = message.properties
        assert p.text(P.PidTagMessageClass).strip() == facts.split(";")[0].strip()
        assert len(message.recipients) == int(re.search(r"(\d+) recipients", facts)[1])  # type: ignore[index]
        said = int(re.search(r"(\d+) attachments", facts)[1])  # type: ignore[index]
        # The other reader takes a signed message apart: its parts are inside our one attachment.
        assert len(message.attachments) == (1 if "SMIME" in facts else said)
        bodies = facts.rpartition("bodies:")[2].split()
        assert ("text" in bodies) == bool(p.text(P.PidTagBody))
        if "rtf" in bodies:
            assert rtf.decompress(p.binary(P.PidTagRtfCompressed)).startswith(b"{\\rtf")
        for one in message.walk():
            for value in one.properties.values():
                assert value.type & 0x0FFF != 0x001E  # every text could be decoded
                assert not (isinstance(value.value, str) and re.search("[\udc80-\udcff]", value.value))
        again = fasttransfer.read(fasttransfer.write(message))
        assert again.properties.keys() <= message.properties.keys()

    @pytest.mark.parametrize("name", FILES)
    def test_an_independent_library_reads_the_same(self, name: str) -> None:
        aspose = pytest.importorskip("aspose.email_foss.msg", reason="aspose-email-foss is not installed")
        theirs = aspose.MapiMessage.from_file(str(shared(name)))
        compare(read_msg(shared(name)), theirs)


def compare(ours: Message, theirs: Any) -> None:
    """Every property that the other library knows has the same value here; recipients and attachments likewise."""
    seen = 0
    for item in theirs.iter_properties():
        key: Any = item.property_id
        if key >= 0x8000:
            if item.named is None:
                continue
            named = item.named
            key = (
                Named(named.property_set, named.lid)
                if named.lid is not None
                else Named(named.property_set, name=named.name)
            )
        type_, value = int(item.property_type), item.value
        if type_ & 0xFFF in (0x001E, 0x000D, 0x0001) or value is None:
            continue  # code pages are ours to choose; objects have no value
        mine = ours.properties.typed(key)
        assert mine is not None, (key, type_)
        if isinstance(value, datetime):  # theirs went through a float
            moment = datetime_of(mine.value)
            assert moment is not None
            assert abs(moment - value) < timedelta(microseconds=5), key
            continue
        assert plain(mine) == theirs_plain(value, mine.type), (key, type_)
        seen += 1
    assert seen > 2
    assert len(theirs.recipients) == len(ours.recipients)
    for row, other in zip(ours.recipients, theirs.recipients, strict=True):
        assert (other.display_name or "").isascii() is False or row.text(P.PidTagDisplayName) == (
            other.display_name or ""
        )
        # It takes SMTP for granted where nothing is said.
        assert (row.text(P.PidTagAddressType) or "SMTP") == (other.address_type or "SMTP")
    attachments = list(theirs.iter_attachments_info())
    assert len(attachments) == len(ours.attachments)
    for mine_a, other in zip(ours.attachments, attachments, strict=True):
        if other.is_embedded_message:
            assert mine_a.embedded is not None
            if other.embedded_message is not None:  # it opens only those that it made
                compare(mine_a.embedded, other.embedded_message)
        elif mine_a.properties.integer(P.PidTagAttachMethod) == 1 and other.data is not None:
            assert bytes(mine_a.properties.binary(P.PidTagAttachDataBinary)) == other.data


def plain(value: Value) -> Any:
    if isinstance(value.value, str):
        return value.value.rstrip("\0")
    return value.value


def theirs_plain(value: Any, type_: int) -> Any:
    if type_ in (0x0003, 0x0002, 0x0014, 0x000A) and isinstance(value, int):
        bits = {0x0002: 16, 0x0003: 32, 0x0014: 64, 0x000A: 64}[type_]
        return value - (1 << bits) if value >= 1 << (bits - 1) else value
    if isinstance(value, str):
        return value.rstrip("\0")
    return list(value) if isinstance(value, tuple) else value
