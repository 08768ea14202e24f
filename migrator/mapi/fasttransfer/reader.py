"""Stream → item tree. Tolerant for what is read to be compared, strict for what a server is asked to take.

Tolerant reading accepts what cannot be misunderstood: records in any order, missing terminators, a missing FXDelProp,
Rowid or AttachNumber, a repeated property (the last one counts), DnPrefix and EcWarning (left out of the tree).
Strict reading refuses what MS-OXCFXICS forbids an importing client to send, see `_Reader._strict`.

Nothing here recurses or allocates without limit: lengths and counts are held against the octets that remain before
anything is made, depth, children, multiple values and elements against `Limits`.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from codecs import utf_16_be_decode, utf_16_le_decode
from collections.abc import Callable, Iterator
from typing import Any, Final
from uuid import UUID

from migrator.mapi.fasttransfer.codepages import decoder
from migrator.mapi.fasttransfer.container import Version, unwrap
from migrator.mapi.fasttransfer.errors import StreamError
from migrator.mapi.item import Attachment, Key, Message, Named, Properties, Value
from migrator.record import record

# Markers and meta-properties of messageContent, MS-OXCFXICS 2.2.4.1.4 and 2.2.4.1.5.
_NEW_ATTACH, _END_ATTACH = 0x40000003, 0x400E0003
_START_EMBED, _END_EMBED = 0x40010003, 0x40020003
_START_RECIP, _END_RECIP = 0x40030003, 0x40040003
_FX_DEL_PROP = 0x40160003
MARKERS: Final = {
    _NEW_ATTACH: "NewAttach",
    _END_ATTACH: "EndAttach",
    _START_EMBED: "StartEmbed",
    _END_EMBED: "EndEmbed",
    _START_RECIP: "StartRecip",
    _END_RECIP: "EndToRecip",
    _FX_DEL_PROP: "FXDelProp",
}
_END = 0
"""Stands for the end of the stream where a marker was looked for."""
_EC_WARNING, _DN_PREFIX_ID = 0x400F0003, 0x4008
_FOREIGN: Final = {
    0x40090003: "StartTopFld",
    0x400A0003: "StartSubFld",
    0x400B0003: "EndFolder",
    0x400C0003: "StartMessage",
    0x400D0003: "EndMessage",
    0x40100003: "StartFAIMsg",
    0x40110102: "MetaTagNewFXFolder",
    0x40120003: "IncrSyncChg",
    0x40130003: "IncrSyncDel",
    0x40140003: "IncrSyncEnd",
    0x40150003: "IncrSyncMessage",
    0x40180003: "FXErrorInfo",
    0x402F0003: "IncrSyncRead",
    0x403A0003: "IncrSyncStateBegin",
    0x403B0003: "IncrSyncStateEnd",
    0x4074000B: "IncrSyncProgressMode",
    0x4075000B: "IncrSyncProgressPerMsg",
    0x407A0003: "MetaTagIncrementalSyncMessagePartial",
    0x407B0102: "IncrSyncGroupInfo",
    0x407C0003: "MetaTagIncrSyncGroupId",
    0x407D0003: "IncrSyncChgPartial",
}
"""Known, but not part of an item: folder and synchronisation streams, or a copy that was broken off."""
_LAST_STRUCTURAL_ID = 0x4018
"""Ids 4000-4018 are markers and meta-properties only; from 4019 on there are real ones (PidTagSenderFlags)."""

_DEL_RECIPIENTS, _DEL_ATTACHMENTS = 0x0E12000D, 0x0E13000D

_u16 = struct.Struct("<H").unpack_from
_u32 = struct.Struct("<I").unpack_from
_i32 = struct.Struct("<i").unpack_from

# type code → (octets, struct code of one value)
_FIXED: Final = {
    0x0002: (2, "h"),
    0x0003: (4, "i"),
    0x0004: (4, "f"),
    0x0005: (8, "d"),
    0x0006: (8, "q"),
    0x0007: (8, "d"),
    0x000A: (4, "I"),
    0x0014: (8, "q"),
    0x0040: (8, "Q"),
}
_UNPACK: Final[dict[int, tuple[int, Callable[..., tuple[Any, ...]]]]] = {
    code: (size, struct.Struct("<" + fmt).unpack_from) for code, (size, fmt) in _FIXED.items()
}
MV_CODE_PAGE: Final = frozenset({0x94B0, 0x94B1, *range(0x94E2, 0x94EA)})
"""Only these are multi-valued: other code pages have the bit 0x1000 in their number (20866, 21866, 20932 …)."""

FIXED_SIZES: Final = {code: size for code, (size, _) in _FIXED.items()} | {0x000B: 2, 0x0048: 16}

_LARGE = 1 << 16
"""Binary values from here on are views into the stream instead of copies."""
_NAME_OCTETS = 2048
_NEVER = 1 << 62


@record
class Limits:
    depth: int = 50  # messages within messages
    children: int = 65_536  # recipients or attachments of one message
    values: int = 65_536  # of one multi-valued property
    elements: int = 2_000_000  # objects, properties and multiple values in all


@record
class Decoded:
    message: Message
    version: Version | None  # of the server that made the stream
    pages: int
    warnings: tuple[str, ...]  # what tolerant reading read over


def read(
    data: bytes | bytearray | memoryview, *, strict: bool = False, limits: Limits | None = None
) -> Message:
    """The tree of an item stream. Large binary values are views that keep the stream's octets alive. Raises StreamError."""
    return decode(data, strict=strict, limits=limits).message


def decode(
    data: bytes | bytearray | memoryview, *, strict: bool = False, limits: Limits | None = None
) -> Decoded:
    """As `read`, with what else there is to know. Raises StreamError."""
    with memoryview(data) as whole, whole.cast("B") as view:
        envelope = unwrap(view, strict=strict)
        pages = envelope.pages
        if not pages:
            raise StreamError(len(view), "container", "no TransferBuffer record", code="stream_truncated")
        if len(pages) == 1:
            start, length = pages[0]
            if isinstance(data, bytes):
                reader = _Reader(data, start, start + length, [(0, 0)], limits or Limits(), strict)
            else:
                octets = bytes(view[start : start + length])
                reader = _Reader(octets, 0, length, [(0, start)], limits or Limits(), strict)
        else:
            octets = b"".join([view[start : start + length] for start, length in pages])
            origins = []
            at = 0
            for start, length in pages:
                origins.append((at, start))
                at += length
            reader = _Reader(octets, 0, at, origins, limits or Limits(), strict)
    message = reader.root()
    return Decoded(message, envelope.version, len(pages), (*envelope.warnings, *reader.warnings))


def decode_properties(
    buf: bytes, origins: list[tuple[int, int]], into: Properties, limits: Limits
) -> tuple[str, ...]:
    """Read a bare list of properties; origins map offsets in `buf` to offsets for error messages. Returns warnings."""
    reader = _Reader(buf, 0, len(buf), origins or [(0, 0)], limits, False)
    reader.properties(into, ())
    reader.widen(into, 0)
    return tuple(reader.warnings)


def foreign(tag: int) -> str:
    """Why a tag has no place in an item, or "" when it is a property (or one of MARKERS)."""
    if tag in _FOREIGN:
        return f"{_FOREIGN[tag]} does not belong into an item"
    if 0x4000 <= tag >> 16 <= _LAST_STRUCTURAL_ID and not ignored(tag) and tag not in MARKERS:
        return f"unknown marker {tag:08X}"
    return ""


def ignored(tag: int) -> bool:
    """EcWarning and DnPrefix: part of the stream, not of the item."""
    kind = tag & 0xFFFF
    return tag == _EC_WARNING or (tag >> 16 == _DN_PREFIX_ID and (kind in (0x001E, 0x001F) or kind >= 0x8000))


_NAMES: dict[bytes, Named] = {}
"""Named properties by their octets in the stream. The same few hundred come in every item; emptied when it grows."""


def named_of(raw: bytes) -> Named:
    """A named property from its description in the stream: GUID, 00 and LID, or 01 and a name with its terminator."""
    named = _NAMES.get(raw)
    if named is None:
        guid = UUID(bytes_le=raw[:16])
        if raw[16] == 0:
            named = Named(guid, _u32(raw, 17)[0])
        else:
            named = Named(guid, name=utf_16_le_decode(raw[17:-2], "surrogatepass", True)[0])
        if len(_NAMES) >= 20_000:
            _NAMES.clear()
        _NAMES[raw] = named
    return named


class _Reader:
    """Reads one stream: `buf[pos:end]` is the concatenation of all pages."""

    __slots__ = (
        "_edge",
        "_edges",
        "_narrow",
        "_origins",
        "_room",
        "buf",
        "end",
        "limits",
        "pos",
        "strict",
        "warnings",
    )

    def __init__(
        self, buf: bytes, pos: int, end: int, origins: list[tuple[int, int]], limits: Limits, strict: bool
    ) -> None:
        self.buf = buf
        self.pos = pos
        self.end = end
        self.limits = limits
        self.strict = strict
        self.warnings: list[str] = []
        self._origins = origins  # (offset in buf, offset in the input) of each page
        self._room = limits.elements
        self._narrow: list[tuple[Properties, Key, bytes | list[bytes]]] = []
        # Where pages end, next first; watched only when reading strictly.
        self._edges = [at for at, _ in reversed(origins[1:])] if strict else []
        self._edge = self._edges.pop() if self._edges else _NEVER

    # Errors -----------------------------------------------------------------------------------------------------

    def fail(
        self, pos: int, where: tuple[str, ...], problem: str, code: str = "stream_malformed"
    ) -> StreamError:
        at, origin = self._origins[max(0, bisect_right(self._origins, (pos, _NEVER)) - 1)]
        return StreamError(origin + pos - at, " / ".join(where) or "message", problem, code=code)

    def short(self, pos: int, where: tuple[str, ...], what: str) -> StreamError:
        return self.fail(pos, where, f"the stream ends inside {what}", "stream_truncated")

    def forbid(self, pos: int, where: tuple[str, ...], problem: str) -> StreamError:
        return self.fail(pos, where, problem, "stream_forbidden")

    def warn(self, pos: int, where: tuple[str, ...], problem: str) -> None:
        if len(self.warnings) < 64:
            self.warnings.append(str(self.fail(pos, where, problem)))

    def spend(self, count: int, pos: int, where: tuple[str, ...]) -> None:
        self._room -= count
        if self._room < 0:
            raise self.fail(pos, where, f"more than {self.limits.elements} elements", "stream_limit")

    # Objects ----------------------------------------------------------------------------------------------------

    def root(self) -> Message:
        return self.message((), 0, _END)

    def message(self, where: tuple[str, ...], depth: int, closing: int) -> Message:
        """messageContent up to and including `closing` (_END: the end of the stream)."""
        if depth > self.limits.depth:
            raise self.fail(
                self.pos, where, f"more than {self.limits.depth} messages within each other", "stream_limit"
            )
        message = Message()
        recipients, attachments = message.recipients, message.attachments
        narrow = len(self._narrow)
        marker = self.properties(message.properties, where)
        phase = 0  # 1 after recipients may come, 2 after attachments may come
        numbers: set[int] = set()
        rows: set[int] = set()
        while marker != closing:
            start = self.pos
            if marker == _START_RECIP:
                self.pos += 4
                here = (*where, f"recipient {len(recipients)}")
                if len(recipients) >= self.limits.children:
                    raise self.fail(
                        start, here, f"more than {self.limits.children} recipients", "stream_limit"
                    )
                if self.strict and (attachments or phase == 2):
                    raise self.forbid(start, here, "a recipient after the attachments")
                recipient = Properties()
                ended = self.properties(recipient, here)
                if ended != _END_RECIP:
                    raise self.unexpected(ended, here, "EndToRecip")
                if self.strict:
                    self._numbered(recipient, 0x3000, "Rowid", rows, start, here)
                self.pos += 4
                recipients.append(recipient)
                phase = max(phase, 1)
            elif marker == _NEW_ATTACH:
                here = (*where, f"attachment {len(attachments)}")
                if len(attachments) >= self.limits.children:
                    raise self.fail(
                        start, here, f"more than {self.limits.children} attachments", "stream_limit"
                    )
                self.pos += 4
                attachment = self.attachment(here, depth)
                if self.strict:
                    self._numbered(attachment.properties, 0x0E21, "AttachNumber", numbers, start, here)
                attachments.append(attachment)
                phase = 2
            elif marker == _FX_DEL_PROP:
                phase = self.deletion(where, phase, bool(attachments))
            else:
                wanted = "the end of the stream" if closing == _END else "EndEmbed"
                raise self.unexpected(marker, where, wanted)
            marker = self.marker(where)
        if closing != _END:
            self.pos += 4
        if len(self._narrow) > narrow:
            self.widen(message.properties, narrow)
        return message

    def attachment(self, where: tuple[str, ...], depth: int) -> Attachment:
        start = self.pos
        attachment = Attachment()
        marker = self.properties(attachment.properties, where)
        if marker == _START_EMBED:
            self.pos += 4
            attachment.embedded = self.message((*where, "embedded message"), depth + 1, _END_EMBED)
            marker = self.marker(where)
        if marker != _END_ATTACH:
            raise self.unexpected(marker, where, "EndAttach")
        self.pos += 4
        if self.strict:
            method = attachment.properties.get(0x3705)
            if (method == 5) != (attachment.embedded is not None):
                raise self.forbid(
                    start, where, f"attach method {method} does not agree with an embedded message"
                )
            data = attachment.properties.typed(0x3701)
            if data is not None and data.type == 0x000D and method != 6:
                raise self.forbid(start, where, f"an object as data with attach method {method}")
        return attachment

    def deletion(self, where: tuple[str, ...], phase: int, attachments: bool) -> int:
        """FXDelProp in front of recipients or attachments: says which children of the target are replaced."""
        pos = self.pos
        if self.end - pos < 8:
            raise self.short(pos, where, "FXDelProp")
        (tag,) = _u32(self.buf, pos + 4)
        if self._edge < pos + 8:
            self._pages(pos, pos + 4, pos + 8, 0x0003, where)
        if tag == _DEL_RECIPIENTS:
            if self.strict and phase:
                raise self.forbid(pos, where, "FXDelProp of recipients after recipients or attachments")
            phase = max(phase, 1)
        elif tag == _DEL_ATTACHMENTS:
            if self.strict and (attachments or phase == 2):
                raise self.forbid(pos, where, "FXDelProp of attachments after attachments or twice")
            phase = 2
        else:
            raise self.fail(pos, where, f"FXDelProp of {tag:08X}, which no message has", "stream_unknown")
        self.pos = pos + 8
        return phase

    def _numbered(
        self, properties: Properties, key: int, name: str, seen: set[int], pos: int, where: tuple[str, ...]
    ) -> None:
        first = next(iter(properties.items()), None)
        if first is None or first[0] != key or first[1].type != 0x0003:
            raise self.forbid(pos, where, f"{name} is not the first property")
        if first[1].value in seen:
            raise self.forbid(pos, where, f"{name} {first[1].value} twice")
        seen.add(first[1].value)

    def marker(self, where: tuple[str, ...]) -> int:
        """The marker at pos (not taken), or _END. Anything else there is an error."""
        pos = self.pos
        if pos == self.end:
            return _END
        if self.end - pos < 4:
            raise self.short(pos, where, "a marker")
        tag: int = _u32(self.buf, pos)[0]
        if self._edge < pos + 4:
            self._pages(pos, pos + 4, pos + 4, None, where)
        if tag not in MARKERS:
            if tag in _FOREIGN:
                raise self.fail(pos, where, f"{_FOREIGN[tag]} does not belong into an item", "stream_unknown")
            raise self.fail(pos, where, f"{tag:08X} where a marker was expected")
        return tag

    def unexpected(self, marker: int, where: tuple[str, ...], wanted: str) -> StreamError:
        if marker == _END:
            return self.fail(self.pos, where, f"the stream ends before {wanted}", "stream_truncated")
        return self.fail(self.pos, where, f"marker {marker:08X} where {wanted} was expected")

    # Properties -------------------------------------------------------------------------------------------------

    def properties(self, into: Properties, where: tuple[str, ...]) -> int:
        """propList up to the next marker, which is returned and not taken; _END at the end of the stream."""
        buf, end, strict, pos = self.buf, self.end, self.strict, self.pos
        edge = self._edge
        names = _NAMES
        structure = MARKERS
        key: Key
        value: Any
        while True:
            start = pos
            if end - pos < 4:
                if pos == end:
                    self.pos = pos
                    self.spend(len(into) + 1, pos, where)
                    return _END
                raise self.short(pos, where, "a property tag")
            (tag,) = _u32(buf, pos)
            if tag in structure:
                if edge < pos + 4:
                    self._pages(pos, pos + 4, pos + 4, None, where)
                self.pos = pos
                self.spend(len(into) + 1, pos, where)
                return int(tag)
            pos += 4
            kind = tag & 0xFFFF
            number = tag >> 16
            key = number
            if number >= 0x8000:
                # set GUID, then 00 and a LID or 01 and a name
                if end - pos < 21:
                    raise self.short(start, where, "a named property")
                if buf[pos + 16] == 0:
                    raw = buf[pos : pos + 21]
                    pos += 21
                else:
                    stop = self.name_end(pos, start, where)
                    raw = buf[pos:stop]
                    pos = stop
                named = names.get(raw)
                if named is None:
                    self.spend(1, start, where)
                    named = named_of(raw)
                key = named
            elif 0x4000 <= number <= 0x407D:
                skipped = self.meta(tag, pos, where)
                if skipped:
                    if edge < skipped:
                        self._pages(start, pos, skipped, kind, where)
                        edge = self._edge
                    pos = skipped
                    continue
            elif strict and (0x6600 <= number <= 0x67FF or number == 0):
                raise self.forbid(
                    start, where, f"property {number:04X}; the ids 0000 and 6600-67FF are not sent"
                )
            head = pos

            if kind == 0x84B0 or kind == 0x001F:
                if end - pos < 4:
                    raise self.short(start, where, "the length of a string")
                (length,) = _u32(buf, pos)
                pos += 4
                if length > end - pos:
                    raise self.short(start, where, f"a string of {length} octets")
                if length & 1:
                    raise self.fail(start, where, f"a UTF-16 string of {length} octets")
                stop = pos + length
                if length >= 2 and buf[stop - 1] == 0 and buf[stop - 2] == 0:
                    value = utf_16_le_decode(buf[pos : stop - 2], "surrogatepass", True)[0]
                else:
                    value = utf_16_le_decode(buf[pos:stop], "surrogatepass", True)[0]
                kind = 0x001F
                pos = stop
            elif kind == 0x0003:
                if end - pos < 4:
                    raise self.short(start, where, "a property value")
                (value,) = _i32(buf, pos)
                pos += 4
            elif kind == 0x000B:
                if end - pos < 2:
                    raise self.short(start, where, "a property value")
                (value,) = _u16(buf, pos)
                if value > 1:
                    if strict:
                        raise self.forbid(start, where, f"{value:#x} as a truth value")
                    self.warn(start, where, f"{value:#x} as a truth value")
                value = value != 0
                pos += 2
            elif kind == 0x0102 or kind == 0x00FB or kind == 0x000D:
                if end - pos < 4:
                    raise self.short(start, where, "the length of a value")
                (length,) = _u32(buf, pos)
                pos += 4
                if length > end - pos:
                    raise self.short(start, where, f"a value of {length} octets")
                stop = pos + length
                value = buf[pos:stop] if length < _LARGE else memoryview(buf)[pos:stop]
                pos = stop
                if strict and kind == 0x000D and key != 0x3701:
                    raise self.forbid(start, where, "an object that is not the data of an attachment")
            elif kind in _UNPACK:
                size, unpack = _UNPACK[kind]
                if end - pos < size:
                    raise self.short(start, where, "a property value")
                (value,) = unpack(buf, pos)
                pos += size
                if kind == 0x000A and strict:
                    raise self.forbid(start, where, "PtypErrorCode")
            else:
                kind, value, pos = self.rarer(kind, key, pos, start, into, where)

            if edge < pos:
                self._pages(start, head, pos, tag & 0xFFFF, where)
                edge = self._edge
            if key in into:
                if strict:
                    raise self.forbid(start, where, "a property twice")
                self.warn(start, where, "a property twice, the last one counts")
                self.spend(1, pos, where)
            into[key] = Value(kind, value)

    def name_end(self, pos: int, start: int, where: tuple[str, ...]) -> int:
        """Where a named property's description ends: behind the two zero octets that end its name."""
        buf = self.buf
        if buf[pos + 16] != 1:
            raise self.fail(start, where, f"a named property of kind {buf[pos + 16]}")
        begin = pos + 17
        stop = min(self.end, begin + _NAME_OCTETS + 2)
        found = buf.find(b"\0\0", begin, stop)
        while found >= 0 and (found - begin) & 1:
            found = buf.find(b"\0\0", found + 1, stop)
        if found >= 0:
            return found + 2
        if stop == self.end:
            raise self.short(start, where, "the name of a property")
        raise self.fail(
            start, where, f"a property name of more than {_NAME_OCTETS // 2} characters", "stream_limit"
        )

    def meta(self, tag: int, pos: int, where: tuple[str, ...]) -> int:
        """Among the ids where markers live: 0 for a real property, else where a value that is no property ends."""
        problem = foreign(tag)
        if problem:
            raise self.fail(pos - 4, where, problem, "stream_unknown")
        if not ignored(tag):
            return 0
        if self.end - pos < 4:
            raise self.short(pos - 4, where, "a meta-property")
        number = int(_u32(self.buf, pos)[0])
        if tag == _EC_WARNING:
            self.warn(pos - 4, where, f"the server left something out, code {number:08X}")
            return pos + 4
        if number > self.end - pos - 4:
            raise self.short(pos - 4, where, "DnPrefix")
        return pos + 4 + number

    def rarer(
        self, kind: int, key: Key, pos: int, start: int, into: Properties, where: tuple[str, ...]
    ) -> tuple[int, Any, int]:
        """Types that are seldom enough for a call: (base type, value, position behind it)."""
        if kind == 0x0048:
            if self.end - pos < 16:
                raise self.short(start, where, "a GUID")
            return kind, UUID(bytes_le=self.buf[pos : pos + 16]), pos + 16
        if kind == 0x001E or (kind & 0x8000 and kind not in MV_CODE_PAGE):
            octets, pos = self.octets(pos, start, where)
            if kind == 0x001E:
                self._narrow.append((into, key, octets))
                return kind, octets, pos
            kind, text = self.text(kind & 0x7FFF, octets, start, where)
            return kind, text, pos
        if kind in MV_CODE_PAGE or (kind & 0xF000) == 0x1000:
            return self.multiple(kind, key, pos, start, into, where)
        raise self.fail(start, where, f"unknown property type {kind:04X}", "stream_unknown")

    def octets(self, pos: int, start: int, where: tuple[str, ...]) -> tuple[bytes, int]:
        """A length-prefixed value and the position behind it."""
        if self.end - pos < 4:
            raise self.short(start, where, "the length of a value")
        (length,) = _u32(self.buf, pos)
        pos += 4
        if length > self.end - pos:
            raise self.short(start, where, f"a value of {length} octets")
        return self.buf[pos : pos + length], pos + length

    def text(
        self, code_page: int, octets: bytes, start: int, where: tuple[str, ...]
    ) -> tuple[int, str | bytes]:
        """(base type, text without its terminator); raw octets where Python does not know the code page."""
        if code_page in (1200, 1201):
            if len(octets) & 1:
                raise self.fail(start, where, f"a UTF-16 string of {len(octets)} octets")
            octets = octets[:-2] if octets.endswith(b"\0\0") else octets
            decode = utf_16_le_decode if code_page == 1200 else utf_16_be_decode
            return 0x001F, decode(octets, "surrogatepass", True)[0]
        octets = octets[:-1] if octets.endswith(b"\0") else octets
        known = decoder(code_page)
        return (0x8000 | code_page, octets) if known is None else (0x001F, known(octets))

    def multiple(
        self, kind: int, key: Key, pos: int, start: int, into: Properties, where: tuple[str, ...]
    ) -> tuple[int, Any, int]:
        """A multi-valued property: count, then the values, each as if it were alone."""
        if self.end - pos < 4:
            raise self.short(start, where, "a count of values")
        (count,) = _u32(self.buf, pos)
        pos += 4
        base = 0x001F if kind in MV_CODE_PAGE else kind & 0x0FFF
        sized = base in (0x001E, 0x001F, 0x0102)
        if sized:
            least = 4
        elif base == 0x0048:
            least = 16
        elif base in _FIXED and base != 0x000A:
            least = _FIXED[base][0]
        else:
            raise self.fail(start, where, f"unknown property type {kind:04X}", "stream_unknown")
        if count > (self.end - pos) // least:
            raise self.short(start, where, f"{count} values")
        if count > self.limits.values:
            raise self.fail(start, where, f"more than {self.limits.values} values", "stream_limit")
        self.spend(count, start, where)
        if base in _FIXED:
            stop = pos + count * least
            return kind, list(struct.unpack_from(f"<{count}{_FIXED[base][1]}", self.buf, pos)), stop
        if base == 0x0048:
            stop = pos + count * 16
            return kind, [UUID(bytes_le=self.buf[at : at + 16]) for at in range(pos, stop, 16)], stop
        values: list[Any] = []
        code_page = (kind & 0x0FFF) if kind in MV_CODE_PAGE else 1200
        for _ in range(count):
            octets, pos = self.octets(pos, start, where)
            # The pages of MV_CODE_PAGE are all known, so text() gives text.
            values.append(self.text(code_page, octets, start, where)[1] if base == 0x001F else octets)
        if base == 0x001E:
            self._narrow.append((into, key, values))
        return 0x1000 | base, values, pos

    def widen(self, properties: Properties, first: int) -> None:
        """Decode what came as PtypString8 without a code page: in the one the message names, else in Windows-1252."""
        page = properties.integer(0x3FFD, 1252)
        # 1200 says that the message is Unicode; what is narrow in it nevertheless is in no UTF-16.
        known = decoder(page if 0 < page < 65_536 and page not in (1200, 1201) else 1252)
        for into, key, raw in self._narrow[first:]:
            value = into.typed(key)
            if value is None or value.value is not raw:
                continue  # repeated, and another one counts
            if isinstance(raw, list):
                bare = [v[:-1] if v.endswith(b"\0") else v for v in raw]
                into[key] = Value(0x101E, bare) if known is None else Value(0x101F, [known(v) for v in bare])
            else:
                alone = raw[:-1] if raw.endswith(b"\0") else raw
                into[key] = Value(0x001E, alone) if known is None else Value(0x001F, known(alone))
        del self._narrow[first:]

    # Pages ------------------------------------------------------------------------------------------------------

    def _pages(self, start: int, head: int, stop: int, kind: int | None, where: tuple[str, ...]) -> None:
        """Refuse a page that ends inside an atom of buf[start:stop]; go on to the first page end at or after `stop`."""
        for first, last in self._atoms(start, head, stop, kind):
            while self._edge < last:
                if self._edge > first:
                    raise self.forbid(start, where, "a page that ends inside an atom")
                self._edge = self._edges.pop() if self._edges else _NEVER
        while self._edge < stop:
            self._edge = self._edges.pop() if self._edges else _NEVER

    def _atoms(self, start: int, head: int, stop: int, kind: int | None) -> Iterator[tuple[int, int]]:
        """The spans of a marker or property that a page may not split; the octets of strings and binaries are none."""
        yield start, head
        if kind is None or head == stop:
            return
        if kind in MV_CODE_PAGE or (kind & 0xF000) == 0x1000:
            yield head, head + 4
            base = kind & 0x0FFF
            at = head + 4
            if kind not in MV_CODE_PAGE and (base in _FIXED or base == 0x0048):
                size = 16 if base == 0x0048 else _FIXED[base][0]
                for value in range(at, stop, size):
                    yield value, value + size
                return
            while at < stop:
                yield at, at + 4
                at += 4 + int(_u32(self.buf, at)[0])
        elif kind & 0x8000 or kind in (0x000D, 0x001E, 0x001F, 0x00FB, 0x0102):
            yield head, head + 4
        else:
            yield head, stop
