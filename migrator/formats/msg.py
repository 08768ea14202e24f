"""Outlook's MSG files (MS-OXMSG) → item trees, on olefile.

A compound file: `__properties_version1.0` lists an object's properties with the values of fixed size, streams
`__substg1.0_PPPPTTTT` hold the others (a multi-valued one of variable size: one more stream a value, `-00000000` …), storages
`__recip_version1.0_#…` and `__attach_version1.0_#…` the recipients and attachments, `__nameid_version1.0` the names
of ids from 8000 on (MS-OXMSG 2.2.3). An embedded message is a storage with the same shape, an OLE object one with any.

Files are taken as hostile: olefile walks sector chains with a bound by the file's own size; depth, number of objects and the
octets read in all are bounded here, so that streams that share sectors make no bomb.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import olefile

from migrator.formats import compound
from migrator.formats.errors import FormatError
from migrator.mapi import properties as P
from migrator.mapi.fasttransfer.codepages import decoder
from migrator.mapi.item import (
    APPTIME,
    BINARY,
    BOOLEAN,
    CURRENCY,
    ERROR,
    FLOAT32,
    FLOAT64,
    GUID,
    INT16,
    INT32,
    INT64,
    MULTIPLE,
    OBJECT,
    SERVER_ID,
    STRING,
    STRING8,
    TIME,
    Attachment,
    Key,
    Message,
    Named,
    Properties,
    Value,
)
from migrator.record import record

DEEPEST: Final = 30
MOST_OBJECTS: Final = 50_000
"""Recipients, attachments and messages together."""
MOST_PROPERTIES: Final = 20_000
"""Of one object."""
MOST_VALUES: Final = 100_000
"""Of one multi-valued property."""
_SPARE: Final = 16 << 20
"""Octets that may be read beyond twice the file's size, for small files with many short streams."""
_MAGIC: Final = bytes.fromhex("d0cf11e0a1b11ae1")

_PROPERTIES: Final = "__properties_version1.0"
_EMBEDDED: Final = "__substg1.0_3701000D"
_NAMES: Final = "__nameid_version1.0"
_UNICODE: Final = 0x00040000  # of PidTagStoreSupportMask
PidTagStoreSupportMask: Final = 0x340D

# Values that stand in the property entry itself: format and size.
_FIXED: Final = {
    INT16: "<h",
    INT32: "<i",
    FLOAT32: "<f",
    FLOAT64: "<d",
    CURRENCY: "<q",
    APPTIME: "<d",
    ERROR: "<I",
    BOOLEAN: "<H",
    INT64: "<q",
    TIME: "<Q",
}
_SIZES: Final = {type_: struct.calcsize(form) for type_, form in _FIXED.items()} | {GUID: 16}


def read_msg(source: bytes | Path) -> Message:
    """The item in a MSG file.

    Values are as `migrator.mapi.item` lists them; strings of 8 bits are decoded by the item's code page (3FFD, else 3FDE),
    and kept as octets where Python does not know it. Raises FormatError: format_malformed for a file that is no compound
    file or no message, format_limit beyond the bounds of this module.
    """
    try:
        raw = source.read_bytes() if isinstance(source, Path) else source
    except OSError as error:
        raise FormatError("a file that cannot be read") from error
    if not raw.startswith(_MAGIC) or len(raw) < 1536:
        raise FormatError("not a compound file")
    try:
        with olefile.OleFileIO(io.BytesIO(raw), raise_defects=olefile.DEFECT_FATAL) as file:
            return _Reader(file, len(raw)).read()
    except FormatError:
        raise
    except RecursionError as error:
        raise FormatError("storages nested too deep", code="format_limit") from error
    except Exception as error:
        # olefile raises what comes along (OSError, struct.error, IndexError, TypeError …) when sectors are damaged.
        raise FormatError(f"a damaged compound file ({type(error).__name__})") from error


@record(frozen=False)
class _Storage:
    """A storage by its directory entries; names compare without case."""

    entries: dict[str, Any] = field(default_factory=dict)

    def children(self, prefix: str) -> list[Any]:
        """Storages whose name begins so, in the order of their numbers."""
        found = [
            (name, entry)
            for name, entry in self.entries.items()
            if name.startswith(prefix) and entry.entry_type == olefile.STGTY_STORAGE
        ]
        return [entry for _, entry in sorted(found, key=lambda pair: pair[0])]


class _Reader:
    def __init__(self, file: Any, size: int) -> None:
        self._file = file
        self._left = 2 * size + _SPARE  # octets that may still be read
        self._objects = 0
        self._names: dict[int, Key] = {}

    def read(self) -> Message:
        root = self._storage(self._file.root)
        self._names = self._name_map(root)
        return self._message(root, 32, 0)

    # The compound file

    def _storage(self, entry: Any) -> _Storage:
        return _Storage({kid.name.upper(): kid for kid in entry.kids})

    def _stream(self, storage: _Storage, name: str) -> bytes | None:
        entry = storage.entries.get(name.upper())
        if entry is None or entry.entry_type != olefile.STGTY_STREAM:
            return None
        return self._octets(entry)

    def _octets(self, entry: Any) -> bytes:
        if entry.size > self._left:
            raise FormatError("streams that together are larger than the file can hold", code="format_limit")
        self._left -= entry.size
        stream = self._file._open(entry.isectStart, entry.size)
        return bytes(stream.read())

    def _name_map(self, root: _Storage) -> dict[int, Key]:
        """Ids from 8000 on → names. MS-OXMSG 2.2.3.1: GUID stream, entry stream, string stream."""
        entry = root.entries.get(_NAMES.upper())
        if entry is None or entry.entry_type != olefile.STGTY_STORAGE:
            return {}
        storage = self._storage(entry)
        guids = self._stream(storage, "__substg1.0_00020102") or b""
        entries = self._stream(storage, "__substg1.0_00030102") or b""
        texts = self._stream(storage, "__substg1.0_00040102") or b""
        found: dict[int, Key] = {}
        for at in range(0, min(len(entries), 8 * 0x7FFF) - 7, 8):
            number, place, index = struct.unpack_from("<IHH", entries, at)
            guid = _guid(guids, place >> 1)
            if guid is None:
                continue
            if place & 1:
                name = _name(texts, number)
                if name is None:
                    continue
                found[0x8000 + index] = Named(guid, name=name)
            else:
                found[0x8000 + index] = Named(guid, number)
        return found

    # Objects

    def _count(self) -> None:
        self._objects += 1
        if self._objects > MOST_OBJECTS:
            raise FormatError("too many recipients and attachments", code="format_limit")

    def _message(self, storage: _Storage, header: int, depth: int) -> Message:
        if depth > DEEPEST:
            raise FormatError("messages nested too deep", code="format_limit")
        self._count()
        values = self._properties(storage, header, 0)
        if values is None:
            raise FormatError("a storage that holds no message")
        code_page = _code_page(values)
        message = Message(_decoded(values, code_page))
        for number, entry in enumerate(storage.children("__RECIP_VERSION1.0_#")):
            self._count()
            row = self._properties(self._storage(entry), 8, code_page)
            if row is not None:
                recipient = _decoded(row, code_page)
                if P.PidTagRowid not in recipient:
                    recipient.set(P.PidTagRowid, INT32, number)
                message.recipients.append(recipient)
        for number, entry in enumerate(storage.children("__ATTACH_VERSION1.0_#")):
            self._count()
            attachment = self._attachment(self._storage(entry), number, code_page, depth)
            if attachment is not None:
                message.attachments.append(attachment)
        return message

    def _attachment(self, storage: _Storage, number: int, code_page: int, depth: int) -> Attachment | None:
        values = self._properties(storage, 8, code_page)
        if values is None:
            return None
        made = Attachment(_decoded(values, code_page))
        p = made.properties
        if P.PidTagAttachNumber not in p:
            p.set(P.PidTagAttachNumber, INT32, number)
        inner = storage.entries.get(_EMBEDDED.upper())
        if inner is None:
            return made
        if inner.entry_type == olefile.STGTY_STREAM:
            p[P.PidTagAttachDataBinary] = Value(OBJECT, self._octets(inner))
            return made
        held = self._storage(inner)
        if p.integer(P.PidTagAttachMethod) == 5 and _PROPERTIES.upper() in held.entries:
            p.pop(P.PidTagAttachDataBinary, None)
            made.embedded = self._message(held, 24, depth + 1)
        else:
            # An OLE object, or another program's storage: kept as a compound file of its own.
            p[P.PidTagAttachDataBinary] = Value(OBJECT, compound.build(_copy(self, inner)))
        return made

    # Properties

    def _properties(self, storage: _Storage, header: int, code_page: int) -> Properties | None:
        """Raw properties: strings of 8 bits still as octets. None where the property stream is missing."""
        stream = self._stream(storage, _PROPERTIES)
        if stream is None:
            return None
        found = Properties()
        if len(stream) - header > 16 * MOST_PROPERTIES:
            raise FormatError("an object with too many properties", code="format_limit")
        for at in range(header, len(stream) - 15, 16):
            type_, id_, _, value = struct.unpack_from("<HHI8s", stream, at)
            key: Key | None = self._names.get(id_) if id_ >= 0x8000 else id_
            if key is None or type_ in (0, 1):
                continue
            made = self._value(storage, id_, type_, value)
            if made is not None:
                found[key] = made
        return found

    def _value(self, storage: _Storage, id_: int, type_: int, inline: bytes) -> Value | None:
        if type_ in _FIXED:
            return Value(type_, _scalar(type_, inline[: _SIZES[type_]]))
        if type_ == OBJECT:
            return None  # a storage, see _attachment
        name = f"__substg1.0_{id_:04X}{type_:04X}"
        stream = self._stream(storage, name)
        if stream is None:
            # A zero-length value has no stream in files of some writers.
            if int.from_bytes(inline[:4], "little") in (0, 1, 2) and type_ in (STRING, STRING8, BINARY):
                return Value(type_, "" if type_ == STRING else b"")
            return None
        if type_ == STRING:
            return Value(STRING, _wide(stream))
        if type_ in (STRING8, BINARY, SERVER_ID):
            return Value(type_, _narrow(stream) if type_ == STRING8 else stream)
        if type_ == GUID:
            return Value(GUID, UUID(bytes_le=stream[:16])) if len(stream) >= 16 else None
        if not type_ & MULTIPLE:
            return None
        base = type_ & ~MULTIPLE
        if base in _SIZES:
            return Value(type_, list(_packed(base, stream)))
        if base in (STRING, STRING8, BINARY):
            return Value(type_, self._several(storage, name, base, stream))
        return None

    def _several(self, storage: _Storage, name: str, base: int, lengths: bytes) -> list[Any]:
        # The stream of lengths has 8 octets a value for binaries, 4 for texts (MS-OXMSG 2.1.4.3).
        count = len(lengths) // (8 if base == BINARY else 4)
        if count > MOST_VALUES:
            raise FormatError("a property with too many values", code="format_limit")
        made: list[Any] = []
        for number in range(count):
            part = self._stream(storage, f"{name}-{number:08X}")
            if part is None:
                part = b""
            made.append(_wide(part) if base == STRING else _narrow(part) if base == STRING8 else part)
        return made


def _guid(guids: bytes, index: int) -> UUID | None:
    """MS-OXMSG 2.2.3.1.2: 1 and 2 are fixed sets, 3 the first of the GUID stream."""
    if index == 1:
        return P.PS_MAPI
    if index == 2:
        return P.PS_PUBLIC_STRINGS
    at = 16 * (index - 3)
    return UUID(bytes_le=guids[at : at + 16]) if 0 <= at <= len(guids) - 16 else None


def _name(texts: bytes, at: int) -> str | None:
    if at + 4 > len(texts):
        return None
    size = int.from_bytes(texts[at : at + 4], "little")
    if size > len(texts) - at - 4:
        return None
    return (
        texts[at + 4 : at + 4 + size].decode("utf-16-le", "surrogatepass").split("\0")[0]
        if size % 2 == 0
        else None
    )


def _scalar(type_: int, octets: bytes) -> Any:
    value = struct.unpack(_FIXED[type_], octets)[0]
    return bool(value & 0xFF) if type_ == BOOLEAN else value


def _packed(base: int, stream: bytes) -> Iterator[Any]:
    size = _SIZES[base]
    if len(stream) // size > MOST_VALUES:
        raise FormatError("a property with too many values", code="format_limit")
    for at in range(0, len(stream) - size + 1, size):
        part = stream[at : at + size]
        yield UUID(bytes_le=part) if base == GUID else _scalar(base, part)


def _wide(octets: bytes) -> str:
    text = octets[: len(octets) & ~1].decode("utf-16-le", "surrogatepass")
    return text[:-1] if text.endswith("\0") else text


def _narrow(octets: bytes) -> bytes:
    return octets[:-1] if octets.endswith(b"\0") else octets


# What 8-bit strings are in where the item's charset is not an ANSI one; ISO-8859 pages stand for their Windows supersets.
_ANSI: Final = {
    50220: 932,
    50221: 932,
    50222: 932,
    51932: 932,
    20932: 932,
    50225: 949,
    51949: 949,
    51936: 936,
    52936: 936,
    54936: 936,
    28591: 1252,
    28592: 1250,
    28595: 1251,
    28597: 1253,
    28599: 1254,
    20866: 1251,
    21866: 1251,
    20127: 1252,
}
# Primary language of a locale id → ANSI code page (learn.microsoft.com/openspecs/windows_protocols/ms-lcid).
_LANGUAGES: Final = {
    **dict.fromkeys((0x05, 0x0E, 0x15, 0x18, 0x1A, 0x1B, 0x1C, 0x24), 1250),
    **dict.fromkeys((0x02, 0x19, 0x22, 0x23, 0x2F), 1251),
    **dict.fromkeys((0x1F, 0x2C), 1254),
    **dict.fromkeys((0x01, 0x20, 0x29), 1256),
    **dict.fromkeys((0x25, 0x26, 0x27), 1257),
    0x04: 936,
    0x08: 1253,
    0x0D: 1255,
    0x11: 932,
    0x12: 949,
    0x1E: 874,
    0x2A: 1258,
}
_TRADITIONAL: Final = {0x0404, 0x0C04, 0x1404}


def _code_page(values: Properties) -> int:
    """The code page of an item's 8-bit strings: the first in which all of them can be read.

    What the item says of its strings (3FFD) comes first, then the charset of its body (3FDE), then its locale (3FF1).
    """
    locale = values.integer(P.PidTagMessageLocaleId)
    internet = values.integer(P.PidTagInternetCodepage)
    pages = [
        values.integer(P.PidTagMessageCodepage),
        _ANSI.get(internet, internet),
        950 if locale in _TRADITIONAL else _LANGUAGES.get(locale & 0x3FF, 1252),
        1252,
    ]
    # 1200 and its like say "Unicode", which 8-bit strings are not.
    pages = [page for page in pages if page not in (0, 1200, 1201, 65000) and decoder(page) is not None]
    texts = [
        one
        for type_, value in values.values()
        if type_ & ~MULTIPLE == STRING8
        for one in (value if isinstance(value, list) else [value])
        if not one.isascii()
    ][:200]
    for page in pages:
        decode = decoder(page)
        if decode is not None and not any(_DAMAGED.search(decode(text[:4096])) for text in texts):
            return page
    return pages[-2] if len(pages) > 1 else 1252


_DAMAGED: Final = re.compile("[\udc80-\udcff\ufffd]")


def _decoded(values: Properties, code_page: int) -> Properties:
    """The same with texts decoded: STRING8 becomes STRING where the code page is known."""
    decode = decoder(code_page)
    made = Properties()
    for key, (type_, value) in values.items():
        base = type_ & ~MULTIPLE
        if base != STRING8 or decode is None:
            made[key] = Value(type_, value)
        elif type_ & MULTIPLE:
            made[key] = Value(MULTIPLE | STRING, [decode(one) for one in value])
        else:
            made[key] = Value(STRING, decode(value))
    return made


def _copy(reader: _Reader, entry: Any, depth: int = 0) -> compound.Storage:
    """A storage with all that is in it, whatever it is."""
    if depth > DEEPEST:
        raise FormatError("storages nested too deep", code="format_limit")
    made = compound.Storage(entry.name if depth else "Root Entry", _clsid(entry))
    for kid in entry.kids:
        reader._count()
        if kid.entry_type == olefile.STGTY_STREAM:
            made.children.append(compound.Stream(kid.name, reader._octets(kid)))
        else:
            made.children.append(_copy(reader, kid, depth + 1))
    return made


def _clsid(entry: Any) -> bytes:
    try:
        return UUID(entry.clsid).bytes_le if entry.clsid else bytes(16)
    except (ValueError, AttributeError, TypeError):
        return bytes(16)
