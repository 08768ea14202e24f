"""Header fields: encoded words, parameters, addresses, dates; read forgivingly, written by the book.

Sources: RFC 5322 (addresses, dates), RFC 2047 (encoded words), RFC 2231 (parameters), RFC 6532 (UTF-8 in headers).
Own parsers, because `email`'s differ from one Python to the next (strict addresses since 3.11.10), take quadratic time on
hostile input, and give up where a display name is merely careless. All of these here are linear in the field's length.
"""

from __future__ import annotations

import binascii
import contextlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_tz
from itertools import islice
from typing import Final

import pybase64

from migrator.formats.mime import charsets
from migrator.record import record

Parameters = dict[str, str]

_LONGEST_STRUCTURED: Final = 1 << 16
"""Octets of a structured field (type, disposition, date) that are looked at."""
_WORD: Final = re.compile(r"=\?([^?\s]{1,100})\?([bBqQ])\?((?:[^?=\n]|=(?!\?[^=])|\?(?!=)){0,20000})\?=")
_FOLD: Final = re.compile(r"\r?\n(?=[ \t])")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


# Text -----------------------------------------------------------------------------------------------------------------


def raw_text(value: bytes, hint: str = "") -> str:
    """A field as characters, unfolded; octets above 127 as UTF-8, else as `hint` says; encoded words left alone."""
    text = value.decode("ascii") if value.isascii() else charsets.decode(value, hint=hint).text
    return _FOLD.sub("", text).strip(" \t\r\n")


def text(value: bytes, hint: str = "") -> str:
    """An unstructured field as a person reads it: one line, no control characters."""
    return clean(decode_words(raw_text(value, hint)))


def clean(value: str) -> str:
    """One line without control characters. CR, LF and tab become a space."""
    if value.isprintable():
        return value.strip()
    value = re.sub(r"[\t\r\n\x0b\x0c]+", " ", value)
    return _CONTROL.sub("", value).strip()


def decode_words(value: str) -> str:
    """Encoded words → text. Neighbours of one charset are joined first: programs split them inside a character."""
    if "=?" not in value or "?=" not in value:
        return value
    out: list[str] = []
    pending: list[bytes] = []
    pending_charset = ""
    at = 0

    def flush() -> None:
        nonlocal pending
        if pending:
            out.append(charsets.decode(b"".join(pending), pending_charset).text)
            pending = []

    for found in _WORD.finditer(value):
        between = value[at : found.start()]
        charset = found[1].partition("*")[0].lower()
        octets = _word_octets(found[2], found[3], charset)
        if not pending or between.strip(" \t\r\n") or charset != pending_charset:
            flush()
            # White space between two encoded words is not part of the text.
            if between.strip(" \t\r\n") or at == 0 or not out:
                out.append(between)
        pending_charset = charset
        pending.append(octets)
        at = found.end()
    flush()
    out.append(value[at:])
    return "".join(out)


def _word_octets(encoding: str, content: str, charset: str) -> bytes:
    if content.isascii():
        octets = content.encode("ascii")
    else:  # octets above 127 within an encoded word: they were meant in its charset
        known = charsets.lookup(charset)
        try:
            octets = content.encode(known[0] if known is not None else "utf-8")
        except UnicodeError:
            octets = content.encode("utf-8", "replace")
    if encoding in "qQ":
        return binascii.a2b_qp(octets, header=True)
    try:
        return pybase64.b64decode(octets + b"=" * (-len(octets.rstrip(b"= ")) % 4))
    except (binascii.Error, ValueError):
        bare = re.sub(rb"[^A-Za-z0-9+/]", b"", octets)
        bare = bare[: len(bare) - (len(bare) % 4 == 1)]
        return pybase64.b64decode(bare + b"=" * (-len(bare) % 4))


# Parameters -----------------------------------------------------------------------------------------------------------

_TYPE: Final = re.compile(r"\s*([A-Za-z0-9!#$&.+^_-]+)\s*/\s*([A-Za-z0-9!#$&.+^_-]+)")
_SECTION: Final = re.compile(r"(.+?)(?:\*(\d{1,4}))?(\*)?\Z")
_MOST_PARAMETERS: Final = 500


def parse_content_type(value: bytes) -> tuple[str, Parameters] | None:
    """("text/plain", parameters), lower-case type and names; None when there is no type in it."""
    whole = raw_text(value[:_LONGEST_STRUCTURED])
    found = _TYPE.match(whole)
    if found is None:
        return None
    return f"{found[1]}/{found[2]}".lower(), _parameters(whole[found.end() :])


def parse_disposition(value: bytes | None) -> tuple[str, Parameters]:
    """("attachment", parameters); ("", {}) without the field."""
    if value is None:
        return "", {}
    whole = raw_text(value[:_LONGEST_STRUCTURED])
    kind, semicolon, rest = whole.partition(";")
    return kind.strip().strip('"').lower(), _parameters(semicolon + rest)


def _parameters(rest: str) -> Parameters:
    """Parameters with RFC 2231 sections and charsets joined, and the encoded words that have no business here decoded."""
    plain: Parameters = {}
    sections: dict[str, list[tuple[int, bool, str]]] = {}
    for name, value in islice(_pairs(rest), _MOST_PARAMETERS):
        found = _SECTION.match(name)
        if found is not None and (found[2] is not None or found[3] is not None):
            sections.setdefault(found[1], []).append((int(found[2] or 0), bool(found[3]), value))
        else:
            plain.setdefault(name, value if name == "boundary" else clean(decode_words(value)))
    for name, pieces in sections.items():
        plain[name] = clean(_joined(sorted(pieces, key=lambda piece: piece[0])))
    return plain


def _joined(pieces: list[tuple[int, bool, str]]) -> str:
    charset = ""
    octets: list[bytes] = []
    for index, (_, encoded, value) in enumerate(pieces):
        if encoded:
            if index == 0 and value.count("'") >= 2:
                charset, _, value = value.split("'", 2)
            octets.append(_percent(value))
        else:
            octets.append(value.encode("utf-8", "surrogateescape"))
    joined = charsets.decode(b"".join(octets), charset).text
    # Some programs cut an encoded word into sections.
    return decode_words(joined)


def _percent(value: str) -> bytes:
    pieces = value.encode("utf-8", "surrogateescape").split(b"%")
    out = [pieces[0]]
    for piece in pieces[1:]:
        try:
            out.append(
                bytes.fromhex(piece[:2].decode("ascii")) + piece[2:] if len(piece) >= 2 else b"%" + piece
            )
        except (ValueError, UnicodeDecodeError):
            out.append(b"%" + piece)
    return b"".join(out)


def _pairs(rest: str) -> Iterable[tuple[str, str]]:
    at, size = 0, len(rest)
    while at < size:
        if rest[at] in "; \t\r\n":
            at += 1
            continue
        if rest[at] == "(":
            at = _comment(rest, at)[1]
            continue
        stop = at
        while stop < size and rest[stop] not in "=;":
            stop += 1
        name = rest[at:stop].strip().lower()
        if stop >= size or rest[stop] == ";":
            at = stop
            continue
        at = stop + 1
        while at < size and rest[at] in " \t\r\n":
            at += 1
        if at < size and rest[at] == '"':
            value, at = _quoted(rest, at)
            # An unescaped quote inside: go on to the next semicolon.
            stop = rest.find(";", at)
            stop = size if stop < 0 else stop
            trailing = rest[at:stop].strip()
            if trailing and not trailing.startswith("(") and "=" not in trailing:
                value += trailing.rstrip('"')
                at = stop
        else:
            stop = rest.find(";", at)
            stop = size if stop < 0 else stop
            value = rest[at:stop].strip()
            if "(" in value and value.endswith(")") and " (" in value:
                value = value[: value.index(" (")]
            at = stop
        if name:
            yield name, value


def _quoted(source: str, at: int) -> tuple[str, int]:
    """The quoted string that opens at `at`, and the place behind it. Without a closing quote: all to the end."""
    out: list[str] = []
    at += 1
    size = len(source)
    while at < size:
        stop = at
        while stop < size and source[stop] not in '"\\':
            stop += 1
        out.append(source[at:stop])
        if stop >= size:
            return "".join(out), size
        if source[stop] == '"':
            return "".join(out), stop + 1
        # Windows paths are written without doubling their backslashes.
        out.append(
            source[stop + 1 : stop + 2]
            if source[stop + 1 : stop + 2] in ('"', "\\", "(", ")", ",")
            else source[stop : stop + 2]
        )
        at = stop + 2
    return "".join(out), size


def _comment(source: str, at: int) -> tuple[str, int]:
    """The comment that opens at `at`, nested ones within, and the place behind it."""
    depth, start, size = 0, at + 1, len(source)
    while at < size:
        c = source[at]
        if c == "\\":
            at += 1
        elif c == "(":
            depth += 1
        elif c == ")":
            depth -= 1
            if depth == 0:
                return source[start:at], at + 1
        at += 1
    return source[start:], size


# Addresses ------------------------------------------------------------------------------------------------------------


@record
class Address:
    """name: decoded, "" when there is none; address: addr-spec, "" for a mere name or an empty group."""

    name: str
    address: str


_SPECIAL: Final = frozenset('"(<>,;: \t\r\n')
_MOST_ADDRESSES: Final = 20_000


def addresses(value: bytes, hint: str = "") -> list[Address]:
    """The people of an address field, groups opened, in order; at most 20,000. Never fails."""
    return _Addresses(raw_text(value, hint)).run()


class _Addresses:
    __slots__ = ("_angle", "_comments", "_found", "_source", "_words")

    def __init__(self, source: str) -> None:
        self._source = source
        self._found: list[Address] = []
        self._reset()

    def _reset(self) -> None:
        self._words: list[tuple[str, bool, bool]] = []  # text, quoted, glued to the one before
        self._comments: list[str] = []
        self._angle: str | None = None

    def run(self) -> list[Address]:
        source, at, size = self._source, 0, len(self._source)
        no_closing = False
        glued = False
        while at < size and len(self._found) < _MOST_ADDRESSES:
            c = source[at]
            if c in " \t\r\n":
                at += 1
                glued = False
                continue
            if c == '"':
                content, at = _quoted(source, at)
                self._words.append((content, True, glued))
            elif c == "(":
                comment, at = _comment(source, at)
                self._comments.append(comment)
                continue
            elif c == "<":
                stop = -1 if no_closing else source.find(">", at)
                if stop < 0:
                    no_closing = True
                    stop = source.find(",", at)
                    stop = size if stop < 0 else stop
                inner = source[at + 1 : stop]
                if self._angle is None or "@" not in self._angle:
                    self._angle = inner
                at = stop + 1 if source[stop : stop + 1] == ">" else stop
            elif c in ",;":
                self._flush()
                at += 1
            elif c == ":":
                if self._angle is None and self._words and not any("@" in word for word, _, _ in self._words):
                    self._reset()  # the name of a group
                at += 1
            elif c == ">":
                at += 1
            else:
                word = _WORD.match(source, at)
                stop = word.end() if word is not None else at + 1
                while word is None and stop < size and source[stop] not in _SPECIAL:
                    if source.startswith("=?", stop) and _WORD.match(source, stop):
                        break
                    stop += 1
                self._words.append((source[at:stop], False, glued))
                at = stop
            glued = True
        self._flush()
        return self._found

    def _flush(self) -> None:
        words, angle, comments = self._words, self._angle, self._comments
        self._reset()
        if angle is not None:
            address = _bare(angle)
            name = _phrase(words)
            if "@" not in address and re.search(r"\s", address):  # a text where an address belongs
                name, address = f"{name} {address}".strip(), ""
            if not name and comments:
                name = clean(decode_words(comments[-1]))
            if not address and "@" in name and " " not in name:
                name, address = "", name
        else:
            address, left = _loose(words)
            name = _phrase(left)
            if not name and comments and address:
                name = clean(decode_words(" ".join(comments)))
        if name or address:
            self._found.append(Address(name, address))


def _phrase(words: list[tuple[str, bool, bool]]) -> str:
    out = ""
    for text_, _, glued in words:
        if out and (not glued or (out.endswith("?=") and text_.startswith("=?"))):
            out += " "
        out += text_
    return clean(decode_words(out))


def _loose(words: list[tuple[str, bool, bool]]) -> tuple[str, list[tuple[str, bool, bool]]]:
    """Address and what is left of a mailbox without angle brackets."""
    for index, (word, quoted, _) in enumerate(words):
        if "@" not in word or quoted:
            continue
        start = index
        while start and words[start][2]:
            start -= 1
        stop = index + 1
        while stop < len(words) and words[stop][2]:
            stop += 1
        pieces = words[start:stop]
        address = "".join(f'"{w}"' if q else w for w, q, _ in pieces)
        return _bare(address), words[:start] + words[stop:]
    if len(words) == 1:
        word = decode_words(words[0][0])
        if "@" in word:
            return _bare(word), []
        if not words[0][1] and word == words[0][0]:
            return word.strip(), []  # a local user, "root"
    return "", words


def _bare(source: str) -> str:
    address = source.strip()
    if "=?" in address:
        address = decode_words(address)
    if address.lower().startswith("mailto:"):
        address = address[7:]
    if address.startswith("@") and ":" in address:  # a route, obsolete since 1989
        address = address.partition(":")[2]
    if address.startswith("<"):
        address = address.lstrip("<")
    address = clean(address)
    if '"' in address:
        return address
    if "(" in address:
        address = re.sub(r"\([^()]*\)", "", address)
    if " " in address:
        address = re.sub(r" *([.@]) *", r"\1", address)
        if " " in address and "@" in address:
            address = next(word for word in reversed(address.split()) if "@" in word)
    return address


# Dates and ids --------------------------------------------------------------------------------------------------------


def date(value: bytes | None) -> datetime | None:
    """An aware datetime, UTC where the field names no zone; None when there is no date in it."""
    if value is None:
        return None
    source = raw_text(value[:400])
    if "(" in source:
        source = re.sub(r"\([^()]*\)", " ", source)
    source = re.sub(r"\s*:\s*", ":", source)
    try:
        parsed = parsedate_tz(source)
        if parsed is None:
            return None
        seconds = parsed[9] or 0
        moment = datetime(*parsed[:6]) - timedelta(seconds=seconds)
    except (ValueError, TypeError, IndexError, OverflowError, RecursionError):
        return None
    moment = moment.replace(tzinfo=UTC)
    # Earlier than a FILETIME can say, or a slip of the keyboard that Outlook would show as year 1.
    return moment if 1700 <= moment.year <= 9000 else None


def received_date(values: Iterable[bytes]) -> datetime | None:
    """When the last server took the message in: the date of the topmost Received field that has one."""
    for value in values:
        tail = value.rpartition(b";")[2]
        if (moment := date(tail)) is not None:
            return moment
    return None


def message_id(value: bytes | None) -> str:
    """The id with its brackets, as Exchange keeps it."""
    if value is None:
        return ""
    source = clean(raw_text(value[:8000]))
    found = re.match(r"[^<]{0,200}(<[^<>]{1,4000}>)", source)
    return found[1] if found is not None else source


# Writing --------------------------------------------------------------------------------------------------------------

_ATEXT: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*\Z")


def encode_text(name: str, value: str) -> bytes:
    """One unstructured field with CRLF, folded, in encoded words where it is not ASCII. Control characters are dropped."""
    value = clean(value)
    if value.isascii() and "=?" not in value:
        return _fold(f"{name}: {value}")
    return _fold(f"{name}: " + " ".join(_words(value, 75 - len(name) - 2)))


def _words(value: str, first: int = 60) -> list[str]:
    """Encoded words of at most 75 characters, never split inside a character."""
    out: list[str] = []
    chunk = b""
    room = max(20, min(first, 75) - 12) * 3 // 4
    for character in value:
        octets = character.encode("utf-8", "replace")
        if len(chunk) + len(octets) > room:
            out.append(_one_word(chunk))
            chunk, room = b"", 45
        chunk += octets
    if chunk:
        out.append(_one_word(chunk))
    return out


def _one_word(octets: bytes) -> str:
    return f"=?utf-8?B?{pybase64.b64encode(octets).decode('ascii')}?="


def encode_address(person: Address) -> str:
    """A mailbox for an address field. A mere name gets empty brackets, which readers take, although RFC 5322 has no such form."""
    name, address = clean(person.name), clean(person.address)
    local, at, domain = address.rpartition("@")
    if local.isascii() and not domain.isascii():
        # A local part beyond ASCII has no ASCII form: then all stays UTF-8 (RFC 6532).
        with contextlib.suppress(UnicodeError):
            address = local + at + domain.encode("idna").decode("ascii")
    address = re.sub(r"[<>\r\n]", "", address)
    if not name:
        return f"<{address}>" if not re.fullmatch(r"[^\s,;:()<>\"]+@[^\s,;:()<>\"]+", address) else address
    if not name.isascii() or "=?" in name:
        shown = " ".join(_words(name))
    elif _ATEXT.match(name):
        shown = name
    else:
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        shown = f'"{escaped}"'
    return f"{shown} <{address}>"


def encode_addresses(name: str, people: Iterable[Address]) -> bytes:
    return _fold(f"{name}: " + ", ".join(encode_address(person) for person in people))


def encode_parameter(name: str, value: str) -> list[str]:
    """name=value, quoted where needed; RFC 2231 sections for what is not ASCII or does not fit on a line."""
    value = clean(value)
    if value.isascii() and len(value) <= 60:
        if re.fullmatch(r"[A-Za-z0-9!#$&.+^_{}~-]+", value):
            return [f"{name}={value}"]
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return [f'{name}="{escaped}"']
    quoted = "".join(
        chr(octet) if (octet < 128 and chr(octet).isalnum()) or octet in b"._-" else f"%{octet:02X}"
        for octet in value.encode("utf-8", "replace")
    )
    if len(quoted) <= 55:
        return [f"{name}*=utf-8''{quoted}"]
    pieces: list[str] = [""]
    for atom in re.findall(r"%[0-9A-F]{2}|[^%]", quoted):
        if len(pieces[-1]) + len(atom) > 50:
            pieces.append("")
        pieces[-1] += atom
    start = "utf-8''"
    return [f"{name}*{index}*={start if index == 0 else ''}{piece}" for index, piece in enumerate(pieces)]


def encode_structured(name: str, value: str, parameters: Iterable[tuple[str, str]]) -> bytes:
    """Content-Type and its like."""
    pieces = [f"{name}: {value}"]
    for key, parameter in parameters:
        pieces += encode_parameter(key, parameter)
    return _ascii_line(";\r\n\t".join(pieces))


def encode_date(moment: datetime, name: str = "Date") -> bytes:
    moment = moment.astimezone(UTC)
    days = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    months = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    return (
        f"{name}: {days[moment.weekday()]}, {moment.day:02d} {months[moment.month - 1]} {moment.year:04d} "
        f"{moment:%H:%M:%S} +0000\r\n"
    ).encode("ascii")


def _fold(line: str) -> bytes:
    """CRLF-ended field, folded at spaces near column 78, in any case before column 998."""
    if len(line) <= 78:
        return _ascii_line(line)
    out: list[str] = []
    at, size = 0, len(line)
    while size - at > 77:
        stop = line.rfind(" ", at + (1 if out else line.find(":") + 2), at + 77)
        if stop <= at:
            stop = line.find(" ", at + 77)
            if stop < 0 or stop - at > 900:
                stop = min(at + 900, size) if size - at > 900 else size
        if not line[at:stop].strip():
            break
        out.append(line[at:stop])
        at = stop
    if at < size:
        out.append(line[at:])
    folded = "\r\n".join(
        piece if index == 0 or piece[:1] == " " else f" {piece}" for index, piece in enumerate(out)
    )
    return _ascii_line(folded)


def _ascii_line(line: str) -> bytes:
    return line.encode("utf-8", "replace") + b"\r\n"
