"""Compressed RTF (PidTagRtfCompressed, MS-OXRTFCP), with a limit on what comes out.

Written here rather than taken from a library because copying whole references instead of single octets is several times
as fast; tests hold it against an independent one.
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

from migrator.mapi.blobs import BlobError

LARGEST: Final = 64 << 20
"""Octets of RTF at most, unless the caller says otherwise."""

_HEADER: Final = struct.Struct("<II4sI")
_RING: Final = 4096
# The dictionary starts filled with this text, MS-OXRTFCP 2.1.2.1.
_PRIMER: Final = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans "
    b"SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)


def decompress(octets: bytes | memoryview, *, largest: int = LARGEST) -> bytes:
    """The RTF. Raises BlobError when the value is damaged, says it is larger than `largest`, or is larger than it says."""
    raw = bytes(octets)
    if len(raw) < 16:
        raise BlobError(f"compressed RTF of {len(raw)} octets")
    size, plain_size, kind, crc = _HEADER.unpack_from(raw)
    if plain_size > largest:
        raise BlobError(f"RTF of {plain_size} octets, more than {largest}", code="blob_limit")
    # `size` counts what follows itself; Outlook leaves octets behind the end in old items.
    content = raw[16 : min(len(raw), size + 4)]
    if kind == b"MELA":
        return content[:plain_size]
    if kind != b"LZFu":
        raise BlobError("RTF in an unknown compression")
    if zlib.crc32(content, 0xFFFFFFFF) ^ 0xFFFFFFFF != crc:
        raise BlobError("compressed RTF whose checksum is wrong")
    return _inflate(content, plain_size)


def _inflate(content: bytes, plain_size: int) -> bytes:
    out = bytearray(_PRIMER)
    primer = len(out)
    end, at = len(content), 0
    full = primer + plain_size
    while at < end:
        control = content[at]
        at += 1
        for bit in range(8):
            if at >= end or len(out) >= full:
                return bytes(out[primer:full])
            if not control >> bit & 1:
                out.append(content[at])
                at += 1
                continue
            if at + 2 > end:
                raise BlobError("compressed RTF that is cut")
            reference = content[at] << 8 | content[at + 1]
            at += 2
            distance = (len(out) - (reference >> 4)) % _RING
            if distance == 0:  # refers to the place that is written next: the end
                return bytes(out[primer:full])
            length = (reference & 15) + 2
            start = len(out) - distance
            if start < 0:
                raise BlobError("compressed RTF that refers to nothing")
            if distance >= length:
                out += out[start : start + length]
            else:
                piece = bytes(out[start:])
                out += (piece * (length // distance + 1))[:length]
    return bytes(out[primer:full])


def store(rtf: bytes) -> bytes:
    """RTF as a value of PidTagRtfCompressed, not compressed (MELA), which every reader takes."""
    return _HEADER.pack(len(rtf) + 12, len(rtf), b"MELA", 0) + rtf
