"""What an item holds, without taking its large values out: properties of the message itself, sizes and counts.

Works on the stream's octets, on a file, and on base64 text as Exchange hands it out; of an item of 150 MB only the record
headers and the small properties are read, attachment data is stepped over.
"""

from __future__ import annotations

import struct
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Collection
from dataclasses import field
from typing import IO, Final, Protocol

from migrator.mapi.fasttransfer.container import Version
from migrator.mapi.fasttransfer.errors import StreamError
from migrator.mapi.fasttransfer.reader import (
    FIXED_SIZES,
    MARKERS,
    MV_CODE_PAGE,
    Limits,
    decode_properties,
    foreign,
    ignored,
    named_of,
)
from migrator.mapi.item import Key, Properties
from migrator.record import record

_WINDOW: Final = 1 << 14
_U32: Final = struct.Struct("<I").unpack
_RECORD: Final = struct.Struct("<II").unpack


@record(frozen=False)
class Summary:
    """The message itself, not what is within. sizes: octets of every property's value, also of those left out."""

    properties: Properties = field(default_factory=Properties)
    sizes: dict[Key, int] = field(default_factory=dict)
    recipients: int = 0
    attachments: int = 0
    embedded: int = 0  # messages within, at any depth
    version: Version | None = None


class Octets(Protocol):
    """Random access to a stream."""

    @property
    def size(self) -> int: ...

    def at(self, offset: int, length: int) -> bytes:
        """Exactly these octets; offset + length never exceeds `size`."""
        ...


class PlainOctets:
    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._view = memoryview(data).cast("B")
        self.size = len(self._view)

    def at(self, offset: int, length: int) -> bytes:
        return bytes(self._view[offset : offset + length])


class FileOctets:
    """A seekable binary file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.size = file.seek(0, 2)

    def at(self, offset: int, length: int) -> bytes:
        self._file.seek(offset)
        got = self._file.read(length)
        if len(got) != length:
            raise StreamError(offset, "container", "the file became shorter", code="stream_truncated")
        return got


class Base64Octets:
    """The octets behind base64 text without line breaks; only what is asked for is decoded."""

    def __init__(self, text: bytes | bytearray | memoryview) -> None:
        self._text = memoryview(text).cast("B")
        length = len(self._text)
        padding = (
            2
            if length >= 2 and self._text[length - 2] == 61
            else int(length >= 1 and self._text[length - 1] == 61)
        )
        if length % 4:
            raise StreamError(
                0, "base64", f"{length} characters are no whole groups of four", code="stream_truncated"
            )
        self.size = length // 4 * 3 - padding

    def at(self, offset: int, length: int) -> bytes:
        first, last = offset // 3, -(-(offset + length) // 3)
        try:
            octets = a2b_base64(self._text[first * 4 : last * 4], strict_mode=True)
        except Base64Error:
            raise StreamError(offset, "base64", "characters that are not base64") from None
        skip = offset - first * 3
        octets = octets[skip : skip + length]
        if len(octets) != length:
            raise StreamError(offset, "base64", "padding before the end")
        return octets


class _Pages:
    """Reads on through the TransferBuffers of a stream."""

    def __init__(self, octets: Octets) -> None:
        self._octets = octets
        self._record = 0  # offset of the next record
        self._left = 0  # octets of the current page that are not in the window yet
        self._from = 0  # their offset
        self._window = b""
        self._at = 0
        self.any = False
        self.version: Version | None = None

    def tell(self) -> int:
        return self._from - (len(self._window) - self._at)

    def _page(self) -> bool:
        """Go to the next page that is not empty. False at the end."""
        size = self._octets.size
        while self._record < size:
            pos = self._record
            if size - pos < 8:
                raise StreamError(pos, "container", "a record header is cut", code="stream_truncated")
            opcode, length = _RECORD(self._octets.at(pos, 8))
            if length > size - pos - 8:
                problem = f"record {opcode} announces {length} octets, {size - pos - 8} follow"
                raise StreamError(pos, "container", problem, code="stream_truncated")
            self._record = pos + 8 + length
            if opcode == 4 and length == 6:
                product, build, minor = struct.unpack("<HHH", self._octets.at(pos + 8, 6))
                self.version = (product >> 8, product & 0xFF, build & 0x7FFF, minor)
            elif opcode == 2 and length:
                self._from, self._left = pos + 8, length
                self.any = True
                return True
        return False

    def _fill(self) -> bool:
        """Have at least one octet in the window. False at the end of the stream."""
        while self._at == len(self._window):
            if not self._left and not self._page():
                return False
            size = min(self._left, _WINDOW)
            self._window = self._octets.at(self._from, size)
            self._at = 0
            self._from += size
            self._left -= size
        return True

    def ended(self) -> bool:
        return not self._fill()

    def take(self, length: int, what: str) -> bytes:
        window, at = self._window, self._at
        if at + length <= len(window):
            self._at = at + length
            return window[at : at + length]
        parts = []
        while length:
            if not self._fill():
                raise StreamError(self._octets.size, what, "the stream ends here", code="stream_truncated")
            part = self._window[self._at : self._at + length]
            self._at += len(part)
            length -= len(part)
            parts.append(part)
        return b"".join(parts)

    def skip(self, length: int, what: str) -> None:
        """Step over octets without reading them."""
        while length:
            here = len(self._window) - self._at
            if here:
                step = min(here, length)
                self._at += step
            elif self._left:
                step = min(self._left, length)
                self._from += step
                self._left -= step
            else:
                if not self._page():
                    raise StreamError(
                        self._octets.size, what, "the stream ends here", code="stream_truncated"
                    )
                continue
            length -= step


def summary(
    source: bytes | bytearray | memoryview | Octets,
    wanted: Collection[Key] | None = None,
    *,
    largest: int = 1 << 16,
    limits: Limits | None = None,
) -> Summary:
    """The message's own properties (those wanted, or all), what it is made of, and nothing larger than it must be.

    wanted: keys to decode; None for all. largest: values of more octets are left out of `properties`, `sizes` has them.
    The whole structure is walked, so a stream that is cut or malformed raises StreamError as `read` does; the bytes of
    strings that are not wanted are not looked at.
    """
    octets: Octets = PlainOctets(source) if isinstance(source, bytes | bytearray | memoryview) else source
    return _Scan(_Pages(octets), wanted, largest, limits or Limits()).run()


class _Scan:
    def __init__(self, pages: _Pages, wanted: Collection[Key] | None, largest: int, limits: Limits) -> None:
        self._pages = pages
        self._wanted = wanted
        self._largest = largest
        self._limits = limits
        self._kept = bytearray()
        self._origins: list[tuple[int, int]] = []
        self._found = Summary()

    def run(self) -> Summary:
        pages, found = self._pages, self._found
        # What is open, outermost first: "m" a message, "r" a recipient, "a" an attachment, "e" one after its message.
        open_: list[str] = ["m"]
        children = [False]  # per open message: it has children already, so no property may follow
        depth = 0
        elements = self._limits.elements
        while not pages.ended():
            start = pages.tell()
            head = pages.take(4, "a property tag")
            tag = _U32(head)[0]
            top = open_[-1]
            elements -= 1
            if elements < 0:
                raise StreamError(
                    start, "message", f"more than {self._limits.elements} elements", code="stream_limit"
                )
            marker = MARKERS.get(tag)
            if marker is None:
                if top == "e" or (top == "m" and children[-1]):
                    raise StreamError(start, "message", f"{tag:08X} where a marker was expected")
                if problem := foreign(tag):
                    raise StreamError(start, "message", problem, code="stream_unknown")
                self._property(head, tag, start, keep=len(open_) == 1)
                continue
            if marker == "FXDelProp":
                if top != "m":
                    raise StreamError(start, "message", "FXDelProp outside a message")
                pages.take(4, "FXDelProp")
                children[-1] = True
            elif marker == "StartRecip" and top == "m":
                open_.append("r")
                children[-1] = True
                found.recipients += depth == 0
            elif marker == "NewAttach" and top == "m":
                open_.append("a")
                children[-1] = True
                found.attachments += depth == 0
            elif marker == "StartEmbed" and top == "a":
                open_[-1] = "e"
                open_.append("m")
                children.append(False)
                depth += 1
                found.embedded += 1
                if depth > self._limits.depth:
                    problem = f"more than {self._limits.depth} messages within each other"
                    raise StreamError(start, "message", problem, code="stream_limit")
            elif marker == "EndEmbed" and top == "m" and depth:
                open_.pop()
                children.pop()
                depth -= 1
            elif (marker == "EndToRecip" and top == "r") or (marker == "EndAttach" and top in "ae"):
                open_.pop()
            else:
                raise StreamError(start, "message", f"{marker} in the wrong place")
        if not pages.any:
            raise StreamError(pages.tell(), "container", "no TransferBuffer record", code="stream_truncated")
        if len(open_) > 1:
            raise StreamError(
                pages.tell(), "message", "the stream ends inside an object", code="stream_truncated"
            )
        found.version = pages.version
        decode_properties(bytes(self._kept), self._origins, found.properties, self._limits)
        if self._wanted is not None and _CODE_PAGE not in self._wanted:
            found.properties.pop(_CODE_PAGE, None)
        return found

    def _property(self, head: bytes, tag: int, start: int, *, keep: bool) -> None:
        """One property behind its tag `head`: kept to be decoded, or stepped over."""
        pages = self._pages
        if ignored(tag):
            length = pages.take(4, "a meta-property")
            if tag >> 16 == 0x4008:
                pages.skip(_U32(length)[0], "DnPrefix")
            return
        if tag >= 0x80000000:
            head += self._name(start)
        kind = tag & 0xFFFF
        size = FIXED_SIZES.get(kind)
        if size is not None:
            if keep:
                self._keep(head, pages.take(size, "a property value"), start, size)
            else:
                pages.skip(size, "a property value")
        elif kind in (0x000D, 0x001E, 0x001F, 0x00FB, 0x0102) or (kind & 0x8000 and kind not in MV_CODE_PAGE):
            self._sized(head, b"", 1, start, keep)
        elif kind in MV_CODE_PAGE or kind in (0x101E, 0x101F, 0x1102):
            self._sized(head, pages.take(4, "a count of values"), None, start, keep)
        else:
            one = FIXED_SIZES.get(kind & 0x0FFF) if kind & 0xF000 == 0x1000 else None
            if one is None or kind in (0x100A, 0x100B):
                raise StreamError(
                    start, "message", f"unknown property type {kind:04X}", code="stream_unknown"
                )
            count = pages.take(4, "a count of values")
            size = one * self._count(count, start)
            if keep and size <= self._largest:
                self._keep(head, count + pages.take(size, "a value"), start, size)
            else:
                pages.skip(size, "a value")
                if keep:
                    self._found.sizes[_key(head)] = size

    def _name(self, start: int) -> bytes:
        pages = self._pages
        name = pages.take(17, "a named property")
        if name[16] == 0:
            return name + pages.take(4, "a named property")
        if name[16] != 1:
            raise StreamError(start, "message", f"a named property of kind {name[16]}")
        units = bytearray()
        while units[-2:] != b"\0\0":
            units += pages.take(2, "the name of a property")
            if len(units) > 2050:
                problem = "a property name of more than 1024 characters"
                raise StreamError(start, "message", problem, code="stream_limit")
        return name + bytes(units)

    def _count(self, octets: bytes, start: int) -> int:
        count: int = _U32(octets)[0]
        if count > self._limits.values:
            raise StreamError(
                start, "message", f"more than {self._limits.values} values", code="stream_limit"
            )
        return count

    def _sized(self, head: bytes, prefix: bytes, count: int | None, start: int, keep: bool) -> None:
        """Values that each have a length in front: one, or as many as `prefix` says."""
        pages = self._pages
        raw = bytearray(prefix)
        total = 0
        for _ in range(self._count(prefix, start) if count is None else count):
            length = pages.take(4, "the length of a value")
            size = _U32(length)[0]
            total += size
            if keep and total <= self._largest:
                raw += length
                raw += pages.take(size, "a value")
            else:
                pages.skip(size, "a value")
        if keep and total <= self._largest:
            self._keep(head, bytes(raw), start, total)
        elif keep:
            self._found.sizes[_key(head)] = total

    def _keep(self, head: bytes, value: bytes, start: int, size: int) -> None:
        key = _key(head)
        self._found.sizes[key] = size
        if self._wanted is None or key in self._wanted or key == _CODE_PAGE:
            self._origins.append((len(self._kept), start))
            self._kept += head
            self._kept += value


_CODE_PAGE: Final = 0x3FFD
"""Says how strings without a code page of their own are to be read, so it is always looked at."""


def _key(head: bytes) -> Key:
    return named_of(head[4:]) if len(head) > 4 else head[2] | head[3] << 8
