"""Content lines of iCalendar and vCard: name, parameters, value, nested between BEGIN and END.

RFC 5545 3.1, RFC 6350 3.2 and 3.3, RFC 6868 (^n in parameters); the older vCard 2.1 and vCalendar 1.0 as the Internet Mail
Consortium wrote them down: parameters without a name, quoted-printable with soft line ends, a character set per line.

Reading is forgiving, because the libraries that were tried give up a whole file for one bad line: what cannot be a content
line belongs to the text before it or is counted in `Reading.malformed`; a missing END is made up at the end of the file.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import quopri
import re
from collections.abc import Iterator
from dataclasses import field
from typing import Final

from migrator.formats.errors import FormatError
from migrator.record import record

LARGEST: Final = 64 << 20
"""Octets of a file at most."""
DEEPEST: Final = 16
MOST_LINES: Final = 400_000

_NAME: Final = re.compile(rb"(?:([A-Za-z0-9_-]+)\.)?([A-Za-z][A-Za-z0-9_-]*)[ \t]*(?=[;:])")
_ENCODINGS: Final = {"QUOTED-PRINTABLE", "BASE64", "8BIT", "7BIT", "B", "Q"}
_PLACES: Final = {"INLINE", "URL", "CONTENT-ID", "CID"}
# Texts that go on for several lines: a line that is none of its own belongs to them.
_TEXTS: Final = {
    "DESCRIPTION",
    "SUMMARY",
    "COMMENT",
    "NOTE",
    "LOCATION",
    "X-ALT-DESC",
    "LABEL",
    "ADR",
    "CONTACT",
}


@record(frozen=False)
class Line:
    """name: upper case. parameters: upper-case names, values as written, quotes taken off. value: still escaped."""

    name: str
    value: str
    parameters: dict[str, list[str]] = field(default_factory=dict)
    group: str = ""
    octets: bytes | None = None  # of a quoted-printable or base64 value

    def parameter(self, name: str, default: str = "") -> str:
        found = self.parameters.get(name)
        return found[0] if found else default

    def types(self) -> set[str]:
        """Values of TYPE, lower case; commas inside quotes part them too, as RFC 6350's own example has it."""
        return {
            one.strip().lower()
            for value in self.parameters.get("TYPE", ())
            for one in value.split(",")
            if one.strip()
        }

    def text(self) -> str:
        return unescape(self.value)

    def texts(self) -> list[str]:
        """The values of a list with commas, unescaped."""
        return [unescape(part) for part in split(self.value, ",")]

    def fields(self) -> list[str]:
        """The fields of a structured value (semicolons), still escaped."""
        return split(self.value, ";")


@record(frozen=False)
class Component:
    name: str
    lines: list[Line] = field(default_factory=list)
    children: list[Component] = field(default_factory=list)

    def all(self, *names: str) -> list[Line]:
        return [line for line in self.lines if line.name in names]

    def first(self, name: str) -> Line | None:
        for line in self.lines:
            if line.name == name:
                return line
        return None

    def text(self, name: str) -> str:
        line = self.first(name)
        return line.text().strip() if line else ""


@record(frozen=False)
class Reading:
    components: list[Component]  # outermost ones
    malformed: int = 0  # lines that were none, components that had no END


def unescape(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda m: "\n" if m[1] in "nN" else m[1], text)


# Colons and quotes need no escape, and get one from some writers. Other backslashes are what they are: C:\Users.
_ESCAPED: Final = re.compile(r"\\([nN\\;,:\"])")


def split(text: str, separator: str) -> list[str]:
    """Parts between separators that no backslash stands before."""
    if "\\" not in text:
        return text.split(separator)
    parts, start, at = [], 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        if text[at] == separator:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    parts.append(text[start:])
    return parts


def read(raw: bytes) -> Reading:
    """All components of a file. Raises FormatError when it is too large, too deep, or holds none."""
    if len(raw) > LARGEST:
        raise FormatError(f"{len(raw)} octets of content lines, more than {LARGEST}", code="format_limit")
    reading = Reading([])
    stack: list[Component] = []
    for line in _lines(_as_utf8(raw), reading):
        if line.name == "BEGIN":
            made = Component(line.value.strip().upper())
            if len(stack) >= DEEPEST:
                raise FormatError("components nested too deep", code="format_limit")
            (stack[-1].children if stack else reading.components).append(made)
            stack.append(made)
        elif line.name == "END":
            name = line.value.strip().upper()
            if any(component.name == name for component in stack):
                while stack.pop().name != name:
                    reading.malformed += 1
            else:
                reading.malformed += 1
        elif stack:
            stack[-1].lines.append(line)
        else:
            reading.malformed += 1
    reading.malformed += len(stack)
    if not reading.components:
        raise FormatError("no component begins here")
    return reading


def _as_utf8(raw: bytes) -> bytes:
    for bom, codec in ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if raw.startswith(bom):
            return raw[2:].decode(codec, "replace").encode()
    return raw.removeprefix(codecs.BOM_UTF8)


def _physical(raw: bytes) -> list[bytes]:
    if b"\n" not in raw:  # ends of lines as old Macs wrote them
        raw = raw.replace(b"\r", b"\n")
    lines = raw.split(b"\n")
    if len(lines) > MOST_LINES:
        raise FormatError(f"{len(lines)} lines", code="format_limit")
    return [line.rstrip(b"\r") for line in lines]


def _lines(raw: bytes, reading: Reading) -> Iterator[Line]:
    physical = _physical(raw)
    at, legacy = 0, False
    held: Line | None = None
    more: list[bytes] = []  # lines that go on with the one held, without a sign of it
    while at < len(physical):
        start = physical[at]
        at += 1
        if not start.strip():
            continue
        head = start[:1000].partition(b":")[0].upper()
        soft = b"QUOTED-PRINTABLE" in head
        parts = [start]
        while at < len(physical):
            following = physical[at]
            if soft and parts[-1].endswith(b"="):
                parts[-1] = parts[-1][:-1]
                parts.append(following)
            elif following[:1] in (b" ", b"\t"):
                # vCard 2.1 breaks where white space is, and keeps it; later ones add it.
                parts.append(following if legacy and not soft and b"BASE64" not in head else following[1:])
            else:
                break
            at += 1
        line = _parse(b"".join(parts))
        if line is None:
            if held is not None and (held.name in _TEXTS or held.octets is not None):
                more.append(b"".join(parts))
            else:
                reading.malformed += 1
            continue
        if line.name == "VERSION":
            legacy = line.value.strip() in ("2.1", "1.0")
        elif line.name == "BEGIN" and line.value.strip().upper() in ("VCARD", "VCALENDAR"):
            legacy = False
        if held is not None:
            yield _finish(held, more)
        held, more = line, []
    if held is not None:
        yield _finish(held, more)


def _parse(raw: bytes) -> Line | None:
    found = _NAME.match(raw)
    if found is None or len(found[0]) > 200:
        return None
    group = (found[1] or b"").decode("ascii").lower()
    name = found[2].decode("ascii").upper()
    at = found.end()
    parameters: dict[str, list[str]] = {}
    while at < len(raw) and raw[at] == 0x3B:
        end, quoted = at + 1, False
        while end < len(raw) and (quoted or raw[end] not in b";:"):
            if raw[end] == 0x22:
                quoted = not quoted
            end += 1
        if quoted:  # a quote that nobody closes: the value begins at the next colon all the same
            end = at + 1
            while end < len(raw) and raw[end] not in b";:":
                end += 1
        _parameter(parameters, _decode(raw[at + 1 : end]))
        at = end
    if at >= len(raw):
        return None
    value = raw[at + 1 :]
    line = Line(name, "", parameters, group)
    encoding = line.parameter("ENCODING").upper()
    if encoding in ("QUOTED-PRINTABLE", "Q", "BASE64", "B"):
        line.octets = value  # decoded by _finish, when all of it is there
    else:
        line.value = _decode(value, line.parameter("CHARSET"))
    return line


def _parameter(parameters: dict[str, list[str]], text: str) -> None:
    name, equals, value = text.partition("=")
    name = name.strip().upper()
    if not equals:
        if not name:
            return
        value = name
        name = "ENCODING" if value in _ENCODINGS else "VALUE" if value in _PLACES else "TYPE"
    values = parameters.setdefault(name, [])
    if len(values) < 1000:
        values += [_caret(one) for one in _quoted_list(value)]


def _quoted_list(text: str) -> list[str]:
    if '"' not in text:
        return [one.strip() for one in text.split(",")]
    parts, part, quoted = [], "", False
    for character in text:
        if character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            parts.append(part)
            part = ""
        else:
            part += character
    return [*parts, part]


def _caret(text: str) -> str:
    if "^" not in text:
        return text
    return re.sub(r"\^([n^'])", lambda m: {"n": "\n", "^": "^", "'": '"'}[m[1]], text)


def _finish(line: Line, more: list[bytes]) -> Line:
    if line.octets is None:
        if more:
            line.value = "\\n".join([line.value, *(_decode(one, line.parameter("CHARSET")) for one in more)])
        return line
    line.octets = b"".join([line.octets, *(one.strip() for one in more)])
    encoding = line.parameter("ENCODING").upper()
    if encoding in ("BASE64", "B"):
        line.value = line.octets.decode("ascii", "replace").strip()
        line.octets = from_base64(line.octets)
        return line
    line.octets = quopri.decodestring(line.octets)
    text = _decode(line.octets, line.parameter("CHARSET"))
    # Line ends come out of the encoding, not out of \n: say them as an escape, so that all values read alike.
    line.value = text.replace("\r\n", "\n").replace("\n", "\\n")
    return line


def from_base64(octets: bytes) -> bytes:
    """What can be decoded; octets outside the alphabet and missing padding are passed over."""
    clean = re.sub(rb"[^A-Za-z0-9+/]", b"", octets)
    if len(clean) % 4 == 1:
        clean = clean[:-1]
    try:
        return base64.b64decode(clean + b"=" * (-len(clean) % 4))
    except (binascii.Error, ValueError) as error:
        raise FormatError("base64 that is none") from error


def _decode(octets: bytes, charset: str = "") -> str:
    for codec in (charset, "utf-8"):
        if codec:
            try:
                info = codecs.lookup(codec)
                if info._is_text_encoding:  # Python's "codecs" also compress and transform
                    return info.decode(octets)[0]
            except (LookupError, UnicodeError, ValueError):
                continue
    return octets.decode("cp1252", "replace")


# Writing -------------------------------------------------------------------------------------------------------------


def escape(text: str) -> str:
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    for character, written in (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\n", "\\n")):
        plain = plain.replace(character, written)
    return _CONTROL.sub("", plain)


_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f]")


def parameter(text: str) -> str:
    """A parameter's value, in quotes where it needs them; RFC 6868 for what quotes cannot hold."""
    plain = _CONTROL.sub(
        "", text.replace("^", "^^").replace("\r\n", "\n").replace("\n", "^n").replace('"', "^'")
    )
    return f'"{plain}"' if re.search("[;:,]", plain) else plain


def fold(line: str) -> bytes:
    """One content line in pieces of at most 75 octets, never inside a character."""
    octets = line.encode("utf-8", "replace")
    if len(octets) <= 75:
        return octets + b"\r\n"
    out, start, room = [], 0, 75
    while len(octets) - start > room:
        end = start + room
        while octets[end] & 0xC0 == 0x80:
            end -= 1
        out.append(octets[start:end])
        start, room = end, 74
    out.append(octets[start:])
    return b"\r\n ".join(out) + b"\r\n"
