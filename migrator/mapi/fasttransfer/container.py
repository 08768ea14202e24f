"""The list of records around a stream: uint32 opcode, uint32 length, payload; repeated to the end."""

from __future__ import annotations

import struct
from typing import Final

from migrator.mapi.fasttransfer.errors import StreamError
from migrator.record import record

_HEADER: Final = struct.Struct("<II")
_CONFIG, _PAGE, _INTERFACE, _PARTNER = 1, 2, 3, 4
_MAILBOX_MOVE: Final = frozenset({0, 11, 12, 13, 14, 15, 16, 17})
"""Opcodes that mailbox moves use and item streams do not: read over."""

# Graph and EWS put this text into the data when the answer was cut by the server; it is not base64 of anything.
TRUNCATION_NOTICE: Final = b"=== Truncated Data ==="

Version = tuple[int, int, int, int]


@record
class Envelope:
    """version: of the server that made the stream, or None. pages: (offset in the input, length), none empty."""

    version: Version | None
    pages: list[tuple[int, int]]
    warnings: tuple[str, ...]


def unwrap(data: memoryview, *, strict: bool) -> Envelope:
    """Find the pages. Tolerant: any order, unknown opcodes read over with a warning. Strict: as Exchange writes them."""
    end = len(data)
    pos = 0
    version: Version | None = None
    pages: list[tuple[int, int]] = []
    warnings: list[str] = []
    seen: set[int] = set()
    while pos < end:
        if end - pos < 8:
            problem = f"{end - pos} octets where a record header was expected"
            raise StreamError(pos, "container", problem, code="stream_truncated")
        opcode, length = _HEADER.unpack_from(data, pos)
        start = pos + 8
        if length > end - start:
            # A stream whose end was cut, or text instead of a stream.
            problem = f"record {opcode} announces {length} octets, {end - start} follow"
            raise StreamError(pos, "container", problem, code="stream_truncated")
        if opcode == _PAGE:
            if strict and not seen >= {_CONFIG, _INTERFACE, _PARTNER}:
                raise _forbidden(
                    pos, "a TransferBuffer before the Config, IsInterfaceOk and TellPartnerVersion records"
                )
            if length:
                pages.append((start, length))
            elif len(warnings) < 16:
                warnings.append(f"offset {pos}: empty TransferBuffer")
        elif opcode in (_CONFIG, _INTERFACE, _PARTNER):
            problem = _check(opcode, bytes(data[start : start + min(length, 64)]), length)
            if strict:
                if problem:
                    raise _forbidden(pos, problem)
                if opcode in seen:
                    raise _forbidden(pos, f"record {opcode} twice")
                if (opcode == _INTERFACE and _CONFIG not in seen) or (
                    opcode == _PARTNER and _INTERFACE not in seen
                ):
                    raise _forbidden(pos, f"record {opcode} out of order")
            elif problem and len(warnings) < 16:
                warnings.append(f"offset {pos}: {problem}")
            if opcode == _PARTNER and length == 6:
                product, build, minor = struct.unpack_from("<HHH", data, start)
                version = (product >> 8, product & 0xFF, build & 0x7FFF, minor)
            seen.add(opcode)
        elif strict:
            raise _forbidden(pos, f"record {opcode} does not belong into an item")
        elif len(warnings) < 16:
            what = "a mailbox-move record" if opcode in _MAILBOX_MOVE else "unknown record"
            warnings.append(f"offset {pos}: {what} {opcode} of {length} octets read over")
        pos = start + length
    return Envelope(version, pages, tuple(warnings))


def _check(opcode: int, payload: bytes, length: int) -> str:
    if opcode == _CONFIG:
        if length != 8:
            return f"Config record of {length} octets"
        flags, method = _HEADER.unpack(payload)
        if method != 1:
            return f"transfer method {method}; an item is transferred by CopyTo (1)"
        return f"Config flags {flags:#x}" if flags else ""
    if opcode == _INTERFACE:
        if length != 24:
            return f"IsInterfaceOk record of {length} octets"
        if payload[:4] != b"\1\0\0\0":
            return "IsInterfaceOk for another transfer method than CopyTo"
        if payload[4:20] != bytes.fromhex("0703020000000000c000000000000046"):
            return "IsInterfaceOk for another interface than IMessage"
        return ""
    return "" if length == 6 else f"TellPartnerVersion record of {length} octets"


def _forbidden(offset: int, problem: str) -> StreamError:
    return StreamError(offset, "container", problem, code="stream_forbidden")
