"""Writes compound files (MS-CFB, version 3): for OLE objects that come as a storage inside another file.

olefile reads compound files and cannot make any.
"""

from __future__ import annotations

import struct
from dataclasses import field
from typing import Final

from migrator.record import record

MAGIC: Final = bytes.fromhex("d0cf11e0a1b11ae1")
_SECTOR: Final = 512
_MINI: Final = 64
_CUTOFF: Final = 4096
"""Streams below this size stand in the mini stream."""
_FREE, _END, _FAT, _DIFAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD, 0xFFFFFFFC


@record(frozen=False)
class Stream:
    name: str
    octets: bytes


@record(frozen=False)
class Storage:
    """clsid: 16 octets, as Windows keeps a GUID."""

    name: str
    clsid: bytes = bytes(16)
    children: list[Storage | Stream] = field(default_factory=list)


@record(frozen=False)
class _Entry:
    name: str
    kind: int  # 0 unused, 1 storage, 2 stream, 5 root
    clsid: bytes = bytes(16)
    octets: bytes = b""
    left: int = _FREE
    right: int = _FREE
    child: int = _FREE
    start: int = 0


class _Sectors:
    """Sectors of the file with the table that chains them."""

    def __init__(self) -> None:
        self.octets: list[bytes] = []
        self.table: list[int] = []

    def put(self, octets: bytes) -> int:
        """Octets into a new chain; its first sector."""
        if not octets:
            return _END
        start = len(self.table)
        count = -(-len(octets) // _SECTOR)
        self.octets.append(octets.ljust(count * _SECTOR, b"\0"))
        self.table += [*range(start + 1, start + count), _END]
        return start


def build(root: Storage) -> bytes:
    """The file. root: its name is not kept. Names have at most 31 characters; siblings differ by more than case."""
    entries = [_Entry("Root Entry", 5, root.clsid)]
    _collect(root, 0, entries)
    sectors = _Sectors()
    mini, mini_table = bytearray(), list[int]()
    for entry in entries:
        if entry.kind != 2:
            continue
        if len(entry.octets) >= _CUTOFF or not entry.octets:
            entry.start = sectors.put(entry.octets)
            continue
        entry.start = len(mini_table)
        count = -(-len(entry.octets) // _MINI)
        mini += entry.octets.ljust(count * _MINI, b"\0")
        mini_table += [*range(entry.start + 1, entry.start + count), _END]
    entries[0].octets = bytes(mini)
    entries[0].start = sectors.put(entries[0].octets)
    entries += [_Entry("", 0)] * (-len(entries) % 4)
    directory = sectors.put(b"".join(_directory_entry(entry) for entry in entries))
    mini_octets = struct.pack(f"<{len(mini_table)}I", *mini_table)
    mini_octets += b"\xff" * (-len(mini_octets) % _SECTOR)
    mini_start = sectors.put(mini_octets)
    return _file(sectors, directory, mini_start, len(mini_octets) // _SECTOR)


def _collect(storage: Storage, place: int, entries: list[_Entry]) -> None:
    """The directory entries below a storage. Siblings are a search tree by length, then upper case (MS-CFB 2.6.4)."""
    made: list[int] = []
    for child in sorted(storage.children, key=lambda c: (len(c.name.encode("utf-16-le")), c.name.upper())):
        made.append(len(entries))
        if isinstance(child, Stream):
            entries.append(_Entry(child.name, 2, octets=child.octets))
        else:
            entries.append(_Entry(child.name, 1, child.clsid))
            _collect(child, made[-1], entries)
    entries[place].child = _balanced(entries, made)


def _balanced(entries: list[_Entry], numbers: list[int]) -> int:
    if not numbers:
        return _FREE
    middle = len(numbers) // 2
    node = entries[numbers[middle]]
    node.left = _balanced(entries, numbers[:middle])
    node.right = _balanced(entries, numbers[middle + 1 :])
    return numbers[middle]


def _directory_entry(entry: _Entry) -> bytes:
    name = (entry.name[:31] + "\0").encode("utf-16-le") if entry.kind else b""
    return (
        name.ljust(64, b"\0")
        + struct.pack("<HBBIII", len(name), entry.kind, 1, entry.left, entry.right, entry.child)
        + entry.clsid
        + bytes(20)
        + struct.pack("<IQ", entry.start, len(entry.octets))
    )


def _file(sectors: _Sectors, directory: int, mini_start: int, mini_count: int) -> bytes:
    """Header, sectors, and behind them the table of chains, which describes its own sectors too."""
    used = len(sectors.table)
    fat = lists = 0
    while True:
        need = -(-(used + fat + lists) // 128)
        more = max(
            0, -(-(need - 109) // 127)
        )  # the header names 109 sectors of the table, each list 127 more
        if (need, more) == (fat, lists):
            break
        fat, lists = need, more
    places = list(range(used, used + fat))
    table = [*sectors.table, *[_FAT] * fat, *[_DIFAT] * lists]
    wire = struct.pack(f"<{len(table)}I", *table).ljust(fat * _SECTOR, b"\xff")
    for number in range(lists):
        part = places[109 + 127 * number :][:127]
        following = used + fat + number + 1 if number + 1 < lists else _END
        wire += struct.pack("<128I", *part, *[_FREE] * (127 - len(part)), following)
    header = MAGIC + bytes(16) + struct.pack("<5H6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<5I", 0, fat, directory, 0, _CUTOFF)
    header += struct.pack("<4I", mini_start, mini_count, used + fat if lists else _END, lists)
    header += struct.pack("<109I", *(places + [_FREE] * 109)[:109])
    return header + b"".join(sectors.octets) + wire
