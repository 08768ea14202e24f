"""TNEF streams for tests, written from MS-OXTNEF apart from the reader."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from uuid import UUID

SIGNATURE = bytes.fromhex("789f3e22")
MESSAGE_PROPERTIES, ATTACHMENT_PROPERTIES, RECIPIENTS = 0x69003, 0x69005, 0x69004
RENDDATA, DATA, TITLE, CODE_PAGE, CLASS, SUBJECT, BODY, SENT = (
    0x69002,
    0x6800F,
    0x18010,
    0x69007,
    0x78008,
    0x18004,
    0x2800C,
    0x38005,
)
FILE_RENDDATA = struct.pack("<HIHHI", 1, 0xFFFFFFFF, 0, 0, 0)


def stream(*attributes: bytes) -> bytes:
    return SIGNATURE + b"\1\0" + b"".join(attributes)


def attribute(level: int, name: int, octets: bytes, *, checksum: int | None = None) -> bytes:
    total = sum(octets) & 0xFFFF if checksum is None else checksum
    return struct.pack("<BII", level, name, len(octets)) + octets + struct.pack("<H", total)


def properties(*encoded: bytes) -> bytes:
    return struct.pack("<I", len(encoded)) + b"".join(encoded)


def rows(*lists: bytes) -> bytes:
    return struct.pack("<I", len(lists)) + b"".join(lists)


def head(kind: int, key: int | tuple[UUID, int | str]) -> bytes:
    if isinstance(key, int):
        return struct.pack("<HH", kind, key)
    guid, name = key
    if isinstance(name, int):
        return struct.pack("<HH", kind, 0x8000) + guid.bytes_le + struct.pack("<II", 0, name)
    wide = name.encode("utf-16-le") + b"\0\0"
    return struct.pack("<HH", kind, 0x8000) + guid.bytes_le + struct.pack("<II", 1, len(wide)) + padded(wide)


def padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)


def fixed(kind: int, key: int | tuple[UUID, int | str], octets: bytes) -> bytes:
    return head(kind, key) + padded(octets)


def integer(key: int | tuple[UUID, int | str], value: int) -> bytes:
    return fixed(0x0003, key, struct.pack("<i", value))


def variable(kind: int, key: int | tuple[UUID, int | str], values: Iterable[bytes]) -> bytes:
    found = list(values)
    return (
        head(kind, key)
        + struct.pack("<I", len(found))
        + b"".join(struct.pack("<I", len(one)) + padded(one) for one in found)
    )


def text(key: int | tuple[UUID, int | str], value: str) -> bytes:
    return variable(0x001F, key, [value.encode("utf-16-le") + b"\0\0"])


def narrow(key: int, octets: bytes) -> bytes:
    return variable(0x001E, key, [octets + b"\0"])


def binary(key: int, octets: bytes) -> bytes:
    return variable(0x0102, key, [octets])
