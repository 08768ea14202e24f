"""IMAP on paper: response lines into values and values into commands. Pure; nothing here reads a socket.

A response is a list of pieces: lines (bytes), each but the last followed by the literal that it announced. Facts:
- literals, quoted strings, atoms, parenthesised lists: RFC 3501 4; `~{n}` is a binary literal (RFC 3516)
- mailbox names are modified UTF-7 (RFC 3501 5.1.3), or UTF-8 after ENABLE UTF8=ACCEPT (RFC 6855 3)
- INTERNALDATE is `dd-Mon-yyyy hh:mm:ss +zzzz`, the day padded with a space (RFC 3501 9)
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from migrator.model import Content

Literal = bytes | Content
Piece = bytes | Content
Value = Any
"""bytes (atom, string, literal), int for numbers is left to the caller, None (NIL), list, Content (a large literal)."""

_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_MONTH = {name.lower(): number for number, name in enumerate(_MONTHS, 1)}
_TOKEN = re.compile(
    rb'\s*(?:(?P<open>\()|(?P<close>\))|"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<literal>~?\{\d+\+?\}\r?\n$)'
    rb"|(?P<atom>(?:\[[^\]]*\]|[^\s()\"\[])+))"
)
_LITERAL = re.compile(rb"\{(\d+)\+?\}\r?\n$")


class Garbled(ValueError):
    """The server's line cannot be read."""


def literal_size(line: bytes) -> int | None:
    """Octets of the literal that a line announces at its end, or None."""
    if line[-3:] != b"}\r\n" and line[-2:] != b"}\n":
        return None
    digits = line[line.rfind(b"{") + 1 : line.rfind(b"}")]
    if digits.isdigit() and line.rfind(b"{") >= 0:
        return int(digits)
    found = _LITERAL.search(line)
    return int(found[1]) if found else None


def values(pieces: Sequence[Piece], start: int = 0) -> list[Value]:
    """Every value behind octet `start` of the first line. Raises Garbled."""
    stack: list[list[Value]] = [[]]
    at = 0
    position = start
    while at < len(pieces):
        line = pieces[at]
        assert isinstance(line, bytes)
        while True:
            found = _TOKEN.match(line, position)
            if found is None:
                if line[position:].strip():
                    raise Garbled("a response that is not IMAP")
                break
            position = found.end()
            kind = found.lastgroup
            if kind == "open":
                stack.append([])
                if len(stack) > 64:
                    raise Garbled("lists nested too deep")
            elif kind == "close":
                if len(stack) < 2:
                    raise Garbled("a list ends that has not begun")
                done = stack.pop()
                stack[-1].append(done)
            elif kind == "quoted":
                stack[-1].append(re.sub(rb"\\(.)", rb"\1", found["quoted"]))
            elif kind == "literal":
                if at + 1 >= len(pieces):
                    raise Garbled("a literal was announced and not sent")
                stack[-1].append(pieces[at + 1])
            else:
                atom = found["atom"]
                stack[-1].append(None if atom.upper() == b"NIL" else atom)
        at += 2
        position = 0
    if len(stack) != 1:
        raise Garbled("a list does not end")
    return stack[0]


def pairs(flat: Sequence[Value]) -> dict[bytes, Value]:
    """name value name value … as a dict with upper-case names."""
    return {
        name.upper(): flat[n + 1]
        for n, name in enumerate(flat[:-1])
        if n % 2 == 0 and isinstance(name, bytes)
    }


def text_of(value: Value) -> bytes:
    """A string, whatever form it came in; b"" for NIL."""
    if value is None:
        return b""
    if isinstance(value, bytes):
        return value
    if isinstance(value, list):
        raise Garbled("a list where a string was expected")
    return b"".join(bytes(piece) for piece in value.pieces())


def number_of(value: Value) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise Garbled("no number where one was expected") from None


def quoted(text: bytes) -> bytes:
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def encode_name(name: str, *, utf8: bool) -> bytes:
    """A mailbox name as it stands in a command."""
    if utf8:
        return quoted(name.encode("utf-8"))
    from imapclient.imap_utf7 import encode

    return quoted(bytes(encode(name)))


def decode_name(name: bytes, *, utf8: bool) -> str:
    """A mailbox name out of a response. What would not be encoded the same again (raw UTF-8, broken base64) keeps its octets as
    surrogates, so that the server knows its own folder again; `shown` makes it readable."""
    if utf8:
        return name.decode("utf-8", "surrogateescape")
    from imapclient.imap_utf7 import decode

    try:
        text = str(decode(name))
        if encode_name(text, utf8=False) == quoted(name):
            return text
    except (ValueError, UnicodeError):
        text = ""
    return "".join(chr(0xDC00 + octet) if octet > 126 or octet == 0x26 else chr(octet) for octet in name)


def shown(name: str) -> str:
    """A decoded name for people and paths: kept octets as the UTF-8 that they mostly are."""
    if not any("\udc00" <= char <= "\udcff" for char in name):
        return name
    return _octets(name).decode("utf-8", "replace")


def _octets(name: str) -> bytes:
    return b"".join(
        bytes([ord(char) - 0xDC00]) if "\udc00" <= char <= "\udcff" else char.encode("utf-8") for char in name
    )


def wire_name(name: str, *, utf8: bool) -> bytes:
    """The inverse of `decode_name`, odd names included."""
    if any("\udc00" <= char <= "\udcff" for char in name):
        return quoted(_octets(name))
    return encode_name(name, utf8=utf8)


_DAYS: dict[bytes, tuple[int, int, int, timedelta | None]] = {}
_TWO = {b"%02d" % number: number for number in range(60)}


def parse_date(text: bytes) -> datetime | None:
    """An INTERNALDATE as an aware UTC time; None when the server wrote something else."""
    try:
        key = text[:11] + text[20:26]
        day = _DAYS.get(key)  # many messages come on one day
        if day is None:
            day = _day_of(text)
            if len(_DAYS) < 10_000:
                _DAYS[key] = day
        second = text[18:20]
        moment = datetime(
            day[0],
            day[1],
            day[2],
            _TWO[text[12:14]],
            _TWO[text[15:17]],
            59 if second == b"60" else _TWO[second],
            tzinfo=UTC,
        )
        return moment if day[3] is None else moment - day[3]
    except (ValueError, KeyError, IndexError, OverflowError):
        return None


def _day_of(text: bytes) -> tuple[int, int, int, timedelta | None]:
    """(year, month, day, how far its clock is ahead of UTC)."""
    zone = text[21:26]
    away: timedelta | None = None
    if zone != b"+0000":
        away = timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
        away = -away if zone[:1] == b"-" else away
        timezone(away)  # within a day
    return int(text[7:11]), _MONTH[text[3:6].lower()], int(text[:2]), away


def format_date(moment: datetime) -> bytes:
    """For APPEND: in UTC, to the second."""
    utc = moment.astimezone(UTC)
    return b'"%02d-%s-%04d %02d:%02d:%02d +0000"' % (
        utc.day,
        _MONTHS[utc.month - 1],
        utc.year,
        utc.hour,
        utc.minute,
        utc.second,
    )


def compact(uids: Iterable[int]) -> str:
    """Ascending UIDs as a sequence set: "1:5,9"."""
    parts: list[str] = []
    first = last = 0
    for uid in uids:
        if first and uid == last + 1:
            last = uid
            continue
        if first:
            parts.append(str(first) if first == last else f"{first}:{last}")
        first = last = uid
    if first:
        parts.append(str(first) if first == last else f"{first}:{last}")
    return ",".join(parts)


def expand(text: str, most: int = 50_000_000) -> Iterator[int]:
    """A sequence set as UIDs in the order given (9:7 counts as 7:9). Raises Garbled."""
    for part in text.split(","):
        if not part:
            continue
        first, _, last = part.partition(":")
        if not first.isdigit() or (last and not last.isdigit()):
            raise Garbled("not a sequence set")
        low, high = sorted((int(first), int(last or first)))
        most -= high - low + 1
        if most < 0:
            raise Garbled("a sequence set larger than any folder")
        yield from range(low, high + 1)


def sets(uids: Sequence[int], most: int = 6000) -> Iterator[bytes]:
    """Sequence sets of at most so many octets: RFC 2683 3.2.1.5 asks for lines below 8000."""
    text = compact(uids)
    while len(text) > most:
        cut = text.rindex(",", 0, most)
        yield text[:cut].encode()
        text = text[cut + 1 :]
    if text:
        yield text.encode()
