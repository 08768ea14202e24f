"""Compressed RTF to plain text, as far as a body must be shown when a message has nothing else.

MS-OXRTFCP: header of 16 octets (sizes, "LZFu" or "MELA", CRC), then runs of eight tokens under a control octet.
"""

from __future__ import annotations

import re
import struct

_START = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans "
    b"SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab"
    b"\\tx"
)
_LARGEST = 64 << 20


def decompress(data: bytes) -> bytes:
    """RTF source; empty for what is no compressed RTF."""
    if len(data) < 16:
        return b""
    size, raw, magic = struct.unpack_from("<II4s", data)
    if magic == b"MELA":
        return data[16 : 16 + raw]
    if magic != b"LZFu" or raw > _LARGEST:
        return b""
    window = bytearray(_START.ljust(4096, b"\0"))
    at, write, end = 16, len(_START), min(len(data), size + 4)
    out = bytearray()
    while at < end:
        control = data[at]
        at += 1
        for bit in range(8):
            if at >= end:
                return bytes(out)
            if not control >> bit & 1:
                byte = data[at]
                at += 1
                out.append(byte)
                window[write] = byte
                write = (write + 1) & 4095
                continue
            if at + 1 >= end:
                return bytes(out)
            reference = data[at] << 8 | data[at + 1]
            at += 2
            offset, length = reference >> 4, (reference & 15) + 2
            if offset == write:
                return bytes(out)
            for step in range(length):
                byte = window[(offset + step) & 4095]
                out.append(byte)
                window[write] = byte
                write = (write + 1) & 4095
            if len(out) > _LARGEST:
                return bytes(out)
    return bytes(out)


_TOKEN = re.compile(
    rb"\\([a-z]{1,32})(-?\d{1,10})?[ ]?|\\'([0-9a-fA-F]{2})|\\([^a-z])|([{}])|[\r\n]+|([^\\{}\r\n]+)",
    re.DOTALL,
)
_HIDDEN = frozenset(
    (b"fonttbl", b"colortbl", b"stylesheet", b"info", b"pict", b"themedata", b"listtable", b"htmltag")
)
_BREAKS = {b"par": "\r\n", b"line": "\r\n", b"tab": "\t", b"emdash": "—", b"endash": "–", b"bullet": "•"}


def plain(source: bytes) -> str:
    """The text of RTF source, without its looks."""
    out: list[str] = []
    stack: list[tuple[bool, int]] = []
    hidden, skip, pending = False, 1, 0
    for found in _TOKEN.finditer(source):
        word, number, code, symbol, brace, run = found.groups()
        if brace == b"{":
            stack.append((hidden, skip))
        elif brace == b"}":
            hidden, skip = stack.pop() if stack else (False, 1)
        elif symbol == b"*" or word in _HIDDEN:
            hidden = True
        elif hidden:
            continue
        elif word == b"uc":
            skip = int(number or 1)
        elif word == b"u" and number:
            point = int(number) & 0xFFFF
            out.append(chr(point))
            pending = skip
        elif word in _BREAKS:
            out.append(_BREAKS[word])
        elif code:
            if pending:
                pending -= 1
            else:
                out.append(bytes((int(code, 16),)).decode("cp1252", "replace"))
        elif symbol:
            out.append("\u00a0" if symbol == b"~" else symbol.decode("latin-1") if symbol in b"\\{}" else "")
        elif run:
            if pending:
                run, pending = run[pending:], max(0, pending - len(run))
            out.append(run.decode("latin-1"))
    joined = "".join(out)
    return joined.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
