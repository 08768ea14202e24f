"""Item tree → stream, as Exchange writes it: records 1, 3, 4, then pages; strings as UTF-16 code-page strings.

Left out, because a client must not send it: properties of the range 6600-67FF, PtypErrorCode, the ids of markers and
meta-properties (4000-4018), the tables 0E12 and 0E13, and the data of an attachment that is an embedded message. Everything else either goes out
or raises WriteError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from migrator.errors import ItemError
from migrator.mapi.item import Attachment, Key, Message, Named, Properties, Value

VERSION: Final = (15, 1, 2507, 6)
"""Exchange Server 2016 CU23: not newer than any server that takes the stream."""
PAGE: Final = 31_680
"""Octets of a TransferBuffer as Exchange Online writes it."""

Buffer = bytes | memoryview


class WriteError(ItemError):
    """The tree holds something that the format has no place for. `path` names the object and property."""

    default_code = "stream_unwritable"

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path or 'message'}: {problem}")
        self.path = path
        self.problem = problem


def write(
    message: Message, *, version: tuple[int, int, int, int] = VERSION, page: int = PAGE, depth: int = 50
) -> bytes:
    """The stream of an item in one piece. See `write_pieces`."""
    return b"".join(write_pieces(message, version=version, page=page, depth=depth))


def write_pieces(
    message: Message, *, version: tuple[int, int, int, int] = VERSION, page: int = PAGE, depth: int = 50
) -> list[Buffer]:
    """The stream of an item as buffers to be sent one after another; large values are views, not copies.

    version: product major, minor, build, revision for the TellPartnerVersion record. page: most octets of a
    TransferBuffer; an atom that is longer (the name of a property) gets a page of its own. depth: most messages within
    each other. Raises WriteError.
    """
    if page < 32:
        raise ValueError("a page holds at least 32 octets")
    pages = _Pages(page, _preamble(version))
    _Writer(pages, depth).content(message, "", 0)
    return pages.close()


def _preamble(version: tuple[int, int, int, int]) -> bytes:
    major, minor, build, revision = version
    if not (0 <= major < 256 and 0 <= minor < 256 and 0 <= build < 0x8000 and 0 <= revision < 0x10000):
        raise ValueError(f"not a server version: {version}")
    return (
        struct.pack("<4I", 1, 8, 0, 1)
        + struct.pack("<3I", 3, 24, 1)
        + UUID("00020307-0000-0000-c000-000000000046").bytes_le
        + struct.pack("<I", 0x80002400)
        + struct.pack("<2I3H", 4, 6, major << 8 | minor, 0x8000 | build, revision)
    )


class _Pages:
    """Cuts atoms and payload into TransferBuffer records."""

    __slots__ = ("_fill", "_open", "_out", "_page")

    def __init__(self, page: int, preamble: bytes) -> None:
        self._page = page
        self._out: list[Buffer] = [preamble]
        self._open: list[Buffer] = []
        self._fill = 0

    def atom(self, octets: bytes) -> None:
        """Something that a page may not split."""
        if self._fill + len(octets) > self._page and self._fill:
            self._flush()
        self._open.append(octets)
        self._fill += len(octets)

    def payload(self, octets: Buffer, even: bool) -> None:
        """The bytes of a length-prefixed value: may be split, UTF-16 at even offsets only."""
        room = self._page - self._fill
        size = len(octets)
        if size <= room:
            self._open.append(octets)
            self._fill += size
            return
        view = memoryview(octets)
        at = 0
        while size - at > room:
            cut = max(0, room - (room & 1 if even else 0))
            if cut:
                self._open.append(view[at : at + cut])
                self._fill += cut
                at += cut
            self._flush()
            room = self._page
        self._open.append(view[at:])
        self._fill += size - at

    def _flush(self) -> None:
        self._out.append(struct.pack("<2I", 2, self._fill))
        self._out.extend(self._open)
        self._open = []
        self._fill = 0

    def close(self) -> list[Buffer]:
        if self._fill:
            self._flush()
        return self._out


# Markers as they stand on the wire.
_NEW_ATTACH = bytes.fromhex("03000040")
_START_EMBED = bytes.fromhex("03000140")
_END_EMBED = bytes.fromhex("03000240")
_START_RECIPIENT = bytes.fromhex("03000340")
_END_RECIPIENT = bytes.fromhex("03000440")
_END_ATTACH = bytes.fromhex("03000E40")
_REPLACE_RECIPIENTS = (bytes.fromhex("03001640"), bytes.fromhex("0D00120E"))
_REPLACE_ATTACHMENTS = (bytes.fromhex("03001640"), bytes.fromhex("0D00130E"))

_NUMBERS: Final = {
    0x0002: struct.Struct("<H"),
    0x0003: struct.Struct("<I"),
    0x0006: struct.Struct("<Q"),
    0x0014: struct.Struct("<Q"),
    0x0040: struct.Struct("<Q"),
}
_FLOATS: Final = {0x0004: struct.Struct("<f"), 0x0005: struct.Struct("<d"), 0x0007: struct.Struct("<d")}
_LENGTH = struct.Struct("<I")
_TAG = struct.Struct("<HH")


class _Writer:
    __slots__ = ("_depth", "_local", "_pages")

    def __init__(self, pages: _Pages, depth: int) -> None:
        self._pages = pages
        self._depth = depth
        self._local: dict[Named, tuple[int, bytes]] = {}  # named property → local id, its description

    def content(self, message: Message, path: str, level: int) -> None:
        if level > self._depth:
            raise WriteError(path, f"more than {self._depth} messages within each other")
        pages = self._pages
        self.properties(message.properties, path)
        for atom in _REPLACE_RECIPIENTS:
            pages.atom(atom)
        rows = _numbers(message.recipients, 0x3000)
        for index, recipient in enumerate(message.recipients):
            here = f"{path}/recipient {index}"
            pages.atom(_START_RECIPIENT)
            self.one(0x3000, Value(0x0003, rows[index]), here)
            self.properties(recipient, here, without=(0x3000,))
            pages.atom(_END_RECIPIENT)
        for atom in _REPLACE_ATTACHMENTS:
            pages.atom(atom)
        numbers = _numbers([a.properties for a in message.attachments], 0x0E21)
        for index, attachment in enumerate(message.attachments):
            self.attachment(attachment, numbers[index], f"{path}/attachment {index}", level)

    def attachment(self, attachment: Attachment, number: int, path: str, level: int) -> None:
        method = attachment.properties.typed(0x3705)
        embedded = attachment.embedded
        data = attachment.properties.typed(0x3701)
        if embedded is None:
            if method is not None and method.value == 5:
                raise WriteError(path, "attach method 5 without an embedded message")
            if data is not None and data.type == 0x000D and (method is None or method.value != 6):
                raise WriteError(path, "an object as data without attach method 6")
        elif method is not None and method.value != 5:
            raise WriteError(path, f"an embedded message with attach method {method.value}")
        self._pages.atom(_NEW_ATTACH)
        self.one(0x0E21, Value(0x0003, number), path)
        if embedded is None:
            self.properties(attachment.properties, path, without=(0x0E21,))
        else:
            properties = attachment.properties
            if method is None:
                properties = Properties(properties)
                properties[0x3705] = Value(0x0003, 5)
            self.properties(properties, path, without=(0x0E21, 0x3701))
            self._pages.atom(_START_EMBED)
            self.content(embedded, f"{path}/embedded message", level + 1)
            self._pages.atom(_END_EMBED)
        self._pages.atom(_END_ATTACH)

    def properties(self, properties: Properties, path: str, without: tuple[int, ...] = ()) -> None:
        """Ascending ids, then named properties in the order they came."""
        plain: list[tuple[int, Value]] = []
        named: list[tuple[Named, Value]] = []
        for key, value in properties.items():
            if (
                value[0] & 0x0FFF == 0x000A
                or (key in (0x0E12, 0x0E13) and value[0] == 0x000D)
                or (isinstance(key, int) and (key in without or not _transmittable(key)))
            ):
                continue
            if isinstance(key, Named):
                named.append((key, value))
            elif 0 < key < 0x8000:
                plain.append((key, value))
            else:
                raise WriteError(f"{path}/{key:04X}", "an id that is no property's, or a local one")
        plain.sort(key=lambda pair: pair[0])
        for tag, value in plain:
            self.one(tag, value, path)
        for name, value in named:
            self.one(name, value, path)

    def one(self, key: Key, value: Value, path: str) -> None:
        kind, plain = value
        if isinstance(key, Named):
            known = self._local.get(key)
            if known is None:
                known = self.introduce(key, path)
            tag, description = known
        else:
            tag, description = key, b""
        try:
            self.put(kind, plain, tag, description)
        except (struct.error, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise WriteError(
                f"{path}/{key:04X}" if isinstance(key, int) else f"{path}/{key}", str(error)
            ) from error

    def introduce(self, key: Named, path: str) -> tuple[int, bytes]:
        if len(self._local) >= 0x7FFF:
            raise WriteError(path, "more than 32,767 named properties")
        if key.lid is not None:
            if not 0 <= key.lid <= 0xFFFFFFFF:
                raise WriteError(path, f"LID {key.lid} does not fit into 32 bits")
            description = key.guid.bytes_le + b"\0" + _LENGTH.pack(key.lid)
        else:
            name = key.name or ""
            if "\0" in name or len(name) > 1000:
                raise WriteError(path, "a property name with NUL or of more than 1,000 characters")
            description = key.guid.bytes_le + b"\1" + name.encode("utf-16-le", "surrogatepass") + b"\0\0"
        known = (0x8000 + len(self._local), description)
        self._local[key] = known
        return known

    def put(self, kind: int, value: Any, tag: int, description: bytes) -> None:
        pages = self._pages
        if kind in (0x001F, 0x001E) or kind & 0x8000:
            if isinstance(value, str):
                octets = value.encode("utf-16-le", "surrogatepass") + b"\0\0"
                pages.atom(_TAG.pack(0x84B0, tag) + description)
                pages.atom(_LENGTH.pack(len(octets)))
                pages.payload(octets, True)
            else:
                if kind == 0x001F:
                    raise TypeError("octets where text was expected")
                pages.atom(_TAG.pack(kind, tag) + description)
                pages.atom(_LENGTH.pack(len(value) + 1))
                pages.payload(bytes(value) + b"\0", False)
        elif kind in (0x000D, 0x00FB, 0x0102):
            if kind == 0x000D and tag != 0x3701:
                raise TypeError("an object that is not the data of an attachment")
            plain = _octets(value)
            pages.atom(_TAG.pack(kind, tag) + description)
            pages.atom(_LENGTH.pack(len(plain)))
            pages.payload(plain, False)
        elif kind & 0x1000:
            self.several(kind, value, tag, description)
        else:
            octets = _fixed(kind, value)
            pages.atom(_TAG.pack(kind, tag) + description)
            pages.atom(octets)

    def several(self, kind: int, values: Any, tag: int, description: bytes) -> None:
        if not isinstance(values, list | tuple):
            raise TypeError("a single value where a list was expected")
        pages = self._pages
        count = _LENGTH.pack(len(values))
        payloads: Iterable[Buffer]
        if kind in (0x101F, 0x101E) and all(isinstance(v, str) for v in values):
            payloads = [v.encode("utf-16-le", "surrogatepass") + b"\0\0" for v in values]
            kind, even = 0x94B0, True
        elif kind == 0x101E:
            payloads, even = [bytes(v) + b"\0" for v in values], False
        elif kind == 0x1102:
            payloads, even = [_octets(v) for v in values], False
        elif kind == 0x101F:
            raise TypeError("octets where text was expected")
        else:
            if kind not in (0x1002, 0x1003, 0x1004, 0x1005, 0x1006, 0x1007, 0x1014, 0x1040, 0x1048):
                raise ValueError(f"no such multi-valued type: {kind:04X}")
            fixed = [_fixed(kind & 0x0FFF, v) for v in values]
            pages.atom(_TAG.pack(kind, tag) + description)
            pages.atom(count)
            for octets in fixed:
                pages.atom(octets)
            return
        pages.atom(_TAG.pack(kind, tag) + description)
        pages.atom(count)
        for payload in payloads:
            pages.atom(_LENGTH.pack(len(payload)))
            pages.payload(payload, even)


def _fixed(kind: int, value: Any) -> bytes:
    number = _NUMBERS.get(kind)
    if number is not None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{type(value).__name__} where a whole number was expected")
        bits = number.size * 8
        if value < 0:
            if value < -(1 << bits - 1):
                raise ValueError(f"a number that does not fit into {bits} bits")
            value += 1 << bits
        return number.pack(value)
    floating = _FLOATS.get(kind)
    if floating is not None:
        return floating.pack(value)
    if kind == 0x000B:
        if not isinstance(value, bool):
            raise TypeError(f"{type(value).__name__} where a truth value was expected")
        return b"\1\0" if value else b"\0\0"
    if kind == 0x0048:
        if not isinstance(value, UUID):
            raise TypeError(f"{type(value).__name__} where a GUID was expected")
        return value.bytes_le
    raise ValueError(f"no such property type: {kind:04X}")


def _octets(value: Any) -> Buffer:
    if isinstance(value, bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        view = memoryview(value)
        return view if view.format == "B" and view.ndim == 1 and view.contiguous else bytes(view)
    raise TypeError(f"{type(value).__name__} where octets were expected")


def _transmittable(tag: int) -> bool:
    return not (0x6600 <= tag <= 0x67FF or 0x4000 <= tag <= 0x4018)


def _numbers(objects: list[Properties], key: int) -> list[int]:
    """Rowid or AttachNumber of each: its own where that is a number of its own, else the lowest that is free."""
    own = [p.typed(key) for p in objects]
    wanted = [v.value if v is not None and v.type == 0x0003 and v.value >= 0 else None for v in own]
    taken: set[int] = set()
    result: list[int | None] = []
    for number in wanted:
        keep = number is not None and number not in taken
        result.append(number if keep else None)
        if number is not None:
            taken.add(number)
    free = 0
    for index, number in enumerate(result):
        if number is None:
            while free in taken:
                free += 1
            taken.add(free)
            result[index] = free
    return [n for n in result if n is not None]
