"""TNEF (winmail.dat, application/ms-tnef) → item tree.

Facts this module rests on (MS-OXTNEF 2.1; property encoding 2.1.3.4):
- signature 223E9F78, a 16-bit key, then attributes: level (1 message, 2 attachment), 32-bit id, 32-bit length, octets,
  16-bit sum of the octets
- attMsgProps, attAttachment and attRecipTable hold MAPI properties; the other attributes are their ancestors from MS Mail, which
  count where no MAPI property says the same
- attAttachRenddata begins an attachment; what follows at level 2 belongs to it
- every value of a variable type has its own count and length, padded to four octets; named properties carry set and name
- an attached message is a property of type object: 16 octets of interface id, then TNEF again

Written here, because the one library in the field is LGPL, reads no recipients and stops at the first damage. Lengths are held
against what remains before anything is made; nesting and counts have limits; a damaged tail costs what stands in it only.
"""

from __future__ import annotations

import re
import struct
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from migrator.formats.errors import FormatError
from migrator.mapi.fasttransfer.codepages import decoder
from migrator.mapi.item import (
    BINARY,
    BOOLEAN,
    INT32,
    OBJECT,
    STRING,
    TIME,
    Attachment,
    Key,
    Message,
    Named,
    Properties,
    Value,
    filetime,
)
from migrator.record import record

SIGNATURE: Final = 0x223E9F78

_MESSAGE_PROPERTIES, _ATTACHMENT_PROPERTIES, _RECIPIENTS = 0x00069003, 0x00069005, 0x00069004
_RENDDATA, _DATA, _TITLE, _METAFILE = 0x00069002, 0x0006800F, 0x00018010, 0x00068011
_CREATED, _MODIFIED, _TRANSPORT_NAME = 0x00038012, 0x00038013, 0x00069001
_CODE_PAGE, _VERSION = 0x00069007, 0x00089006
_SUBJECT, _BODY, _CLASS, _ORIGINAL_CLASS = 0x00018004, 0x0002800C, 0x00078008, 0x00070600
_SENT, _RECEIVED, _CHANGED, _PRIORITY, _MESSAGE_ID = (
    0x00038005,
    0x00038006,
    0x00038020,
    0x0004800D,
    0x00018009,
)

_SEVERAL: Final = frozenset({2, 3, 4, 5, 6, 7, 0x14, 0x1E, 0x1F, 0x40, 0x48, 0x0102})
"""Types that may be multi-valued (MS-OXCDATA 2.11.1)."""

_IMESSAGE: Final = UUID("00020307-0000-0000-c000-000000000046").bytes_le
_FIXED: Final = {
    0x0002: (4, struct.Struct("<hxx")),
    0x0003: (4, struct.Struct("<i")),
    0x0004: (4, struct.Struct("<f")),
    0x0005: (8, struct.Struct("<d")),
    0x0006: (8, struct.Struct("<q")),
    0x0007: (8, struct.Struct("<d")),
    0x000A: (4, struct.Struct("<I")),
    0x000B: (4, struct.Struct("<Hxx")),
    0x0014: (8, struct.Struct("<q")),
    0x0040: (8, struct.Struct("<Q")),
    0x0048: (16, struct.Struct("<16s")),
}
_VARIABLE: Final = frozenset({0x001E, 0x001F, 0x000D, 0x0102, 0x00FB})

# Classes of MS Mail, MS-OXTNEF 2.1.3.3.4.
_CLASSES: Final = {
    "IPM.MICROSOFT MAIL.NOTE": "IPM.Note",
    "IPM.MICROSOFT MAIL.READ RECEIPT": "REPORT.IPM.Note.IPNRN",
    "IPM.MICROSOFT MAIL.NON-DELIVERY": "REPORT.IPM.Note.NDR",
    "IPM.MICROSOFT SCHEDULE.MTGREQ": "IPM.Schedule.Meeting.Request",
    "IPM.MICROSOFT SCHEDULE.MTGRESPP": "IPM.Schedule.Meeting.Resp.Pos",
    "IPM.MICROSOFT SCHEDULE.MTGRESPN": "IPM.Schedule.Meeting.Resp.Neg",
    "IPM.MICROSOFT SCHEDULE.MTGRESPA": "IPM.Schedule.Meeting.Resp.Tent",
    "IPM.MICROSOFT SCHEDULE.MTGCNCL": "IPM.Schedule.Meeting.Canceled",
}


@record
class Unpacked:
    message: Message
    warnings: tuple[str, ...] = ()  # damage that was read over


@record
class Limits:
    depth: int = 20  # messages within each other
    elements: int = 200_000  # attributes, properties and values in all


def read(octets: bytes | memoryview, limits: Limits | None = None) -> Unpacked:
    """The message in a TNEF stream. Raises FormatError when it is none, is damaged from the start or beyond the limits."""
    work = _Work(limits or Limits())
    message = work.stream(memoryview(octets), 0)
    return Unpacked(message, tuple(work.warnings))


class _Cut(Exception):
    """The octets end inside a value."""


class _Work:
    __slots__ = ("_left", "_limits", "warnings")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._left = limits.elements
        self.warnings: dict[str, None] = {}

    def spend(self, count: int = 1) -> None:
        self._left -= count
        if self._left < 0:
            raise FormatError("a TNEF stream of too many elements", code="format_limit")

    def stream(self, view: memoryview, depth: int) -> Message:
        if depth > self._limits.depth:
            raise FormatError("TNEF streams nested too deep", code="format_limit")
        if len(view) < 6 or int.from_bytes(view[:4], "little") != SIGNATURE:
            raise FormatError("not a TNEF stream")
        return _Stream(self, view, depth).run()


class _Stream:
    __slots__ = ("_code_page", "_current", "_depth", "_message", "_old", "_view", "_work")

    def __init__(self, work: _Work, view: memoryview, depth: int) -> None:
        self._work = work
        self._view = view
        self._depth = depth
        self._message = Message()
        self._current: Attachment | None = None
        self._code_page = 1252
        self._old: list[tuple[Properties, int, int, Any]] = []  # what MS Mail attributes say, put in last

    def run(self) -> Message:
        view = self._view
        at, size = 6, len(view)
        seen = 0
        while at < size:
            if size - at < 11 or view[at] not in (1, 2):
                self._work.warnings["octets behind the last attribute"] = None
                break
            level = view[at]
            name, length = struct.unpack_from("<II", view, at + 1)
            start = at + 9
            if length > size - start:
                self._work.warnings["an attribute that is cut"] = None
                break
            value = view[start : start + length]
            stated = view[start + length : start + length + 2]
            if len(stated) == 2 and sum(value) & 0xFFFF != int.from_bytes(stated, "little"):
                self._work.warnings["an attribute whose checksum is wrong"] = None
            self._work.spend()
            seen += 1
            try:
                self.attribute(level, name, value)
            except _Cut:
                self._work.warnings["a property list that is cut"] = None
            at = start + length + 2
        if not seen:
            raise FormatError("a TNEF stream without an attribute")
        for values, key, kind, value in self._old:
            if key not in values:
                values[key] = Value(kind, value)
        for attachment in self._message.attachments:
            self.finish(attachment)
        self._message.attachments = [
            a for a in self._message.attachments if a.embedded is not None or a.properties
        ]
        return self._message

    def attribute(self, level: int, name: int, value: memoryview) -> None:
        message = self._message
        if name == _CODE_PAGE and len(value) >= 4:
            page = int.from_bytes(value[:4], "little")
            self._code_page = page if decoder(page) is not None else 1252
        elif name == _MESSAGE_PROPERTIES:
            self.properties(_Cursor(value), message.properties, None)
        elif name == _RECIPIENTS:
            cursor = _Cursor(value)
            for _ in range(self.count(cursor, 8)):
                row = Properties()
                message.recipients.append(row)
                self.properties(cursor, row, None)
        elif name == _RENDDATA:
            self._current = Attachment()
            message.attachments.append(self._current)
            if len(value) >= 2:
                self._current.properties.set(
                    0x3705, INT32, 6 if int.from_bytes(value[:2], "little") == 2 else 1
                )
            if len(value) >= 6:
                self._current.properties.set(0x370B, INT32, int.from_bytes(value[2:6], "little", signed=True))
        elif level == 2:
            self.attachment(name, value)
        else:
            self.plain(message.properties, name, value)

    def attachment(self, name: int, value: memoryview) -> None:
        current = self._current
        if current is None:
            # Some writers put the data in front of what should announce it.
            current = self._current = Attachment()
            self._message.attachments.append(current)
        values = current.properties
        if name == _ATTACHMENT_PROPERTIES:
            self.properties(_Cursor(value), values, current)
        elif name == _DATA:
            values[0x3701] = Value(BINARY, value if len(value) > 1 << 16 else bytes(value))
        elif name == _TITLE:
            self._old.append((values, 0x3704, STRING, self.text(value)))
        elif name == _TRANSPORT_NAME:
            self._old.append((values, 0x370C, STRING, self.text(value)))
        elif name == _METAFILE:
            self._old.append((values, 0x3709, BINARY, bytes(value)))
        elif name in (_CREATED, _MODIFIED):
            moment = _date(value)
            if moment is not None:
                self._old.append((values, 0x3007 if name == _CREATED else 0x3008, TIME, filetime(moment)))

    def plain(self, values: Properties, name: int, value: memoryview) -> None:
        if name in (_SUBJECT, _BODY):
            text = self.text(value)
            self._old.append((values, 0x0037 if name == _SUBJECT else 0x1000, STRING, text))
        elif name in (_CLASS, _ORIGINAL_CLASS):
            text = self.text(value)
            if name == _CLASS and text:
                self._old.append((values, 0x001A, STRING, _CLASSES.get(text.upper(), text)))
        elif name in (_SENT, _RECEIVED, _CHANGED):
            moment = _date(value)
            if moment is not None:
                tag = {_SENT: 0x0039, _RECEIVED: 0x0E06, _CHANGED: 0x3008}[name]
                self._old.append((values, tag, TIME, filetime(moment)))
        elif name == _PRIORITY and len(value) >= 2:
            # MS Mail counts 1 high, 2 normal, 3 low.
            importance = {1: 2, 2: 1, 3: 0}.get(int.from_bytes(value[:2], "little"))
            if importance is not None:
                self._old.append((values, 0x0017, INT32, importance))

    def finish(self, attachment: Attachment) -> None:
        values = attachment.properties
        if attachment.embedded is not None:
            values.set(0x3705, INT32, 5)
            values.pop(0x3701, None)
            return
        data = values.typed(0x3701)
        if data is None:
            if values.integer(0x3705) in (0, 1, 6):
                values.pop(0x3705, None)
                if not any(key in values for key in (0x3704, 0x3707, 0x370D, 0x3708)):
                    values.clear()
                else:
                    values.set(0x3705, INT32, 1)
                    values.set(0x3701, BINARY, b"")
            return
        if data.type == OBJECT:
            values.set(0x3705, INT32, 6)
        elif values.integer(0x3705) not in (1, 7):
            values.set(0x3705, INT32, 1)
        values.pop(0x0E21, None)

    def text(self, value: memoryview) -> str:
        octets = bytes(value).rstrip(b"\0")
        return _decoded(octets, self._code_page)

    def count(self, cursor: _Cursor, least: int) -> int:
        number = cursor.number()
        # Every element takes at least `least` octets: a greater count is a lie.
        if number > cursor.left // least:
            raise _Cut
        self._work.spend(number)
        return number

    def properties(self, cursor: _Cursor, into: Properties, attachment: Attachment | None) -> None:
        for _ in range(self.count(cursor, 8)):
            kind, tag = cursor.pair()
            key: Key = tag
            if tag >= 0x8000:
                key = self.name(cursor)
            base = kind & ~0x1000
            several = bool(kind & 0x1000)
            if base in _FIXED:
                width, layout = _FIXED[base]
                number = self.count(cursor, width) if several else 1
                found: list[Any] = [_plain(base, layout.unpack(cursor.take(width))[0]) for _ in range(number)]
            elif base in _VARIABLE:
                number = self.count(cursor, 4)
                found = []
                for _ in range(number):
                    octets = cursor.take(cursor.number())
                    cursor.pad()
                    found.append(octets)
                if base in (0x001E, 0x001F):
                    found = [self.string(base, octets) for octets in found]
                    kind = STRING | (kind & 0x1000)
                elif base == OBJECT and tag == 0x3701 and attachment is not None and found:
                    if self.object(found[0], attachment):
                        continue
                    found = [found[0][16:]]
                elif base == OBJECT:
                    kind = BINARY
                    found = [octets if len(octets) > 1 << 16 else bytes(octets) for octets in found]
                else:
                    found = [
                        octets if len(octets) > 1 << 16 and not several else bytes(octets) for octets in found
                    ]
            else:
                raise _Cut  # its length is unknown: nothing behind it can be found
            if base == 0x000A or tag == 0 or (several and base not in _SEVERAL):
                continue
            if several:
                into[key] = Value(kind, found)
            elif found:
                into[key] = Value(kind, found[0])

    def string(self, base: int, octets: memoryview) -> str:
        if base == 0x001F:
            wide = bytes(octets[: len(octets) & ~1])
            return wide.decode("utf-16-le", "replace").partition("\0")[0]
        return _decoded(bytes(octets).partition(b"\0")[0], self._code_page)

    def name(self, cursor: _Cursor) -> Named:
        guid = UUID(bytes_le=bytes(cursor.take(16)))
        kind = cursor.number()
        if kind == 0:
            return Named(guid, cursor.number())
        if kind != 1:
            raise _Cut
        octets = bytes(cursor.take(cursor.number()))
        cursor.pad()
        text = octets[: len(octets) & ~1].decode("utf-16-le", "replace").partition("\0")[0]
        return Named(guid, name=text[:1000])

    def object(self, octets: memoryview, attachment: Attachment) -> bool:
        """Whether the object is a message, which then stands in `attachment.embedded`."""
        if bytes(octets[:16]) != _IMESSAGE:
            return False
        try:
            attachment.embedded = self._work.stream(octets[16:], self._depth + 1)
        except FormatError as error:
            if error.code == "format_limit":
                raise
            self._work.warnings["an embedded message that cannot be read"] = None
            return False
        return True


class _Cursor:
    __slots__ = ("_at", "_view")

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._view) - self._at

    def take(self, size: int) -> memoryview:
        if size > self.left:
            raise _Cut
        self._at += size
        return self._view[self._at - size : self._at]

    def number(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def pair(self) -> tuple[int, int]:
        octets = self.take(4)
        return int.from_bytes(octets[:2], "little"), int.from_bytes(octets[2:], "little")

    def pad(self) -> None:
        """Values are padded to four octets; the last one sometimes is not."""
        self._at = min(len(self._view), self._at + (-self._at % 4))


def _plain(base: int, value: Any) -> Any:
    if base == BOOLEAN:
        return bool(value)
    return UUID(bytes_le=value) if base == 0x0048 else value


def _decoded(octets: bytes, code_page: int) -> str:
    decode = decoder(code_page) or decoder(1252)
    assert decode is not None
    text = decode(octets)
    # What the code page does not know is shown as windows-1252 would; lone surrogates would break other programs.
    return re.sub(
        "[\udc80-\udcff]", lambda found: bytes([ord(found[0]) - 0xDC00]).decode("cp1252", "replace"), text
    )


def _date(value: memoryview) -> datetime | None:
    """DTR: year, month, day, hour, minute, second, day of week as 16-bit numbers. Taken as UTC."""
    if len(value) < 12:
        return None
    try:
        return datetime(*struct.unpack_from("<6H", value)).replace(tzinfo=UTC)
    except ValueError:
        return None
