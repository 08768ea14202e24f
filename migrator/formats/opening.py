"""A file with items in any format that is understood, told by its content and not by its name."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Final

import pybase64

from migrator.formats.errors import FormatError
from migrator.mapi import fasttransfer
from migrator.mapi.item import Message
from migrator.record import record

LARGEST: Final = 600 << 20

_COMPOUND: Final = bytes.fromhex("d0cf11e0a1b11ae1")
_TNEF: Final = bytes.fromhex("789f3e22")
_RECORDS: Final = range(1, 5)  # opcodes of the records that hold an item (see `mapi.fasttransfer.container`)
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/=\s]+")
_MARKS: Final = b"\xef\xbb\xbf \t\r\n"


@record
class Opened:
    """form: what the octets are, for a person. items: at least one. notes: what of the form the trees do not hold."""

    form: str
    items: tuple[Message, ...]
    notes: tuple[str, ...] = ()


def open_octets(octets: bytes) -> Opened:
    """The items in a file. Raises FormatError or StreamError (both ItemErrors) for what is none or is damaged."""
    if len(octets) > LARGEST:
        raise FormatError("larger than any item", code="format_limit")
    if not octets.strip():
        raise FormatError("there is nothing in it")
    form, read = _form_of(octets)
    items, notes = read(octets)
    if not items:
        raise FormatError(f"{form} without an item")
    return Opened(form, tuple(items), tuple(dict.fromkeys(notes)))


Found = tuple[list[Message], list[str]]


def _form_of(octets: bytes) -> tuple[str, Callable[[bytes], Found]]:
    if octets.startswith(_COMPOUND):
        return "an Outlook message file (MSG)", _msg
    if octets.startswith(_TNEF):
        return "TNEF (winmail.dat)", _tnef
    if _is_stream(octets):
        return "an item stream", _stream
    if _BASE64.fullmatch(octets[:4096]) and _is_stream(_head(octets)):
        return "an item stream in base64", _base64
    head = octets[:4096].lstrip(_MARKS).upper()
    if head.startswith(b"BEGIN:VCALENDAR"):
        return "iCalendar", _calendar
    if head.startswith(b"BEGIN:VCARD"):
        return "vCard", _card
    return "a mail (MIME)", _mime


def _is_stream(octets: bytes) -> bool:
    if len(octets) < 8:
        return False
    opcode, length = struct.unpack_from("<II", octets)
    return opcode in _RECORDS and length <= 1 << 20


def _head(octets: bytes) -> bytes:
    text = b"".join(octets[:4096].split())[:64]
    try:
        return pybase64.b64decode(text[: len(text) // 4 * 4], validate=True)
    except ValueError:
        return b""


def _stream(octets: bytes) -> Found:
    decoded = fasttransfer.decode(octets)
    return [decoded.message], list(decoded.warnings)


def _base64(octets: bytes) -> Found:
    try:
        return _stream(pybase64.b64decode(b"".join(octets.split()), validate=True))
    except ValueError:
        raise FormatError("an item stream in base64 that is cut or damaged") from None


def _msg(octets: bytes) -> Found:
    from migrator.formats.msg import read_msg

    return [read_msg(octets)], []


def _tnef(octets: bytes) -> Found:
    from migrator.formats import tnef

    found = tnef.read(octets)
    return [found.message], list(found.warnings)


def _calendar(octets: bytes) -> Found:
    from migrator.formats.calendar import read_ics

    found = read_ics(octets)
    return [one.message for one in found], [note for one in found for note in one.notes]


def _card(octets: bytes) -> Found:
    from migrator.formats.contact import read_vcf

    found = read_vcf(octets)
    return [one.message for one in found], [note for one in found for note in one.notes]


def _mime(octets: bytes) -> Found:
    from migrator.formats import calendar, mime

    if octets.startswith(b"From "):  # a mail cut out of an mbox file
        octets = octets.partition(b"\n")[2]
    head = octets[:65_536].lstrip(_MARKS)
    if b"\0" in head[:512] or not re.match(rb"[A-Za-z][\w.-]*[ \t]*:", head):
        raise FormatError("neither a mail nor any other form of an item that is known")
    found = mime.to_tree(octets, options=mime.ReadOptions(calendar=calendar.messages_of))
    return [found.message], list(found.notes)
