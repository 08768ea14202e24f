"""Content-Transfer-Encodings, both ways (RFC 2045 6; x-uuencode as in POSIX)."""

from __future__ import annotations

import binascii
import re
from typing import Final, NamedTuple

import pybase64

_BASE64_LINE: Final = re.compile(rb"[A-Za-z0-9+/]*={0,2}[ \t\r]*\Z")
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n"
_JUNK: Final = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
)


class Octets(NamedTuple):
    octets: bytes
    fault: str = ""  # "" or a note: base64_damaged, encoding_unknown, uuencode_damaged
    tail: bytes = (
        b""  # plain text that something put behind the encoded content, a list's footer for instance
    )


def decode(raw: bytes, encoding: str, start: int = 0, end: int | None = None) -> Octets:
    """What the encoded body raw[start:end] stands for; damaged content as far as it can be read.

    Offsets spare large attachments a copy: only what comes out is new.
    """
    stop = len(raw) if end is None else end
    if encoding == "base64":
        return _base64(raw, start, stop)
    octets = raw[start:stop]
    if encoding in ("", "7bit", "8bit", "binary", "7-bit", "8-bit", "none"):
        return Octets(octets)
    if encoding == "quoted-printable":
        return Octets(binascii.a2b_qp(octets))
    if encoding in ("x-uuencode", "uuencode", "x-uue", "uue"):
        return _uuencode(octets)
    return Octets(octets, "encoding_unknown")


def _base64(raw: bytes, start: int, stop: int) -> Octets:
    first_line = raw[start : min(stop, start + 300)].lstrip(b"\r\n").partition(b"\n")[0].rstrip(b" \t\r")
    if b" " in first_line and len(first_line.translate(None, _ALPHABET)) * 20 > len(first_line):
        return Octets(raw[start:stop], "base64_damaged")  # a text that is not base64 at all
    pad = raw.find(b"=", start, stop)
    if pad < 0 or not raw[pad:stop].strip(b"= \t\r\n"):
        try:
            return Octets(pybase64.b64decode(memoryview(raw)[start:stop]))
        except (binascii.Error, ValueError):
            return Octets(_lenient(raw[start:stop]), "base64_damaged")
    # Something stands behind the padding: more base64, or a text.
    end = pad
    while end < stop and raw[end] == 0x3D:
        end += 1
    rest = raw[end:stop]
    first = _lenient(raw[start:pad])
    if all(_BASE64_LINE.match(line) for line in rest.split(b"\n")):
        more = [first]
        more += [_lenient(piece) for piece in re.split(rb"=+", rest) if piece.strip()]
        return Octets(b"".join(more), "base64_damaged")
    return Octets(first, "base64_damaged", rest.strip(b"\r\n"))


def _lenient(octets: bytes) -> bytes:
    clean = octets.translate(None, _JUNK)
    spare = len(clean) % 4
    if spare == 1:  # a single character holds no octet
        clean, spare = clean[:-1], 0
    return pybase64.b64decode(clean + b"=" * (-len(clean) % 4)) if clean else b""


def _uuencode(octets: bytes) -> Octets:
    out: list[bytes] = []
    fault = ""
    begun = False
    for line in octets.splitlines():
        if not begun:
            begun = line.startswith(b"begin ")
            continue
        if line.strip() in (b"end", b"`", b""):
            if line.strip() == b"end":
                break
            continue
        try:
            out.append(binascii.a2b_uu(line))
        except binascii.Error:
            # Some encoders write too many characters: the first octet says how many count.
            wanted = (((line[0] - 32) & 63) * 4 + 5) // 3
            try:
                out.append(binascii.a2b_uu(line[:wanted]))
            except binascii.Error:
                fault = "uuencode_damaged"
    return Octets(b"".join(out), fault) if begun else Octets(octets, "uuencode_damaged")


def base64_lines(octets: bytes | memoryview) -> bytes:
    """Base64 in lines of 76 characters, each ended by CRLF."""
    lines: bytes = pybase64.encodebytes(octets)
    return lines.replace(b"\n", b"\r\n")


def quoted_printable(octets: bytes) -> bytes:
    """Text with any line ends as quoted-printable with CRLF. The text must hold no CR but in CRLF."""
    text = octets.replace(b"\r\n", b"\n")
    encoded = binascii.b2a_qp(text, istext=True)
    # "From " at a line's start would be quoted by mbox stores, a dot by careless SMTP ones: both survive when encoded.
    encoded = re.sub(rb"(?m)^From ", b"=46rom ", encoded)
    return encoded.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def is_plain(octets: bytes) -> bool:
    """Whether octets can stand in a message as they are (7bit): ASCII, CRLF only, no long line, no NUL."""
    if not octets.isascii() or b"\0" in octets or b"--=_" in octets or b"\nFrom " in octets:
        return False
    if octets.count(b"\r") != octets.count(b"\r\n") or octets.count(b"\n") != octets.count(b"\r\n"):
        return False
    return all(len(line) <= 998 for line in octets.split(b"\r\n")) and not octets.startswith(b"From ")
