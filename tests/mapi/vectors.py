"""Streams with a known meaning, and the pieces to build others by hand: independent of reader and writer."""

from __future__ import annotations

import base64
import struct
from uuid import UUID

# A small complete message; what stands in it is spelt out in test_golden.py.
GOLDEN = base64.b64decode(
    "AQAAAAgAAAAAAAAAAQAAAAMAAAAYAAAAAQAAAAcDAgAAAAAAwAAAAAAAAEYAJACABAAAAAYAAAABD8uJBgACAAAAOgEAAAMAFwABAAAAsIQaABIAAABJAFAA"
    "TQAuAE4AbwB0AGUAAACwhDcACgAAAEgAaQAgAPwAAABAADkAAIBObypb3AGwhD0AAgAAAAAAQAAGDgCATm8qW9wBAwAHDgEAAACwhAAQCgAAAG8AawANAAoA"
    "AAALAACACCAGAAAAAADAAAAAAAAARgADhQAAAQCwhAGAhgMCAAAAAADAAAAAAAAARgF4AC0AYQAAAAQAAAB2AAAAAwAWQA0AEg4DAANAAwAAMAAAAAADABUM"
    "AQAAALCEATAEAAAAQQAAALCEAjAKAAAAUwBNAFQAUAAAALCEAzAMAAAAYQBAAGIALgBjAAAAAwAEQAMAFkANABMOAwAAQAMAIQ4AAAAAAgEBNwQAAADerb7v"
    "AwAFNwEAAACwhAc3BAAAAGYAAAADAA5A"
)
GOLDEN_SHA256 = "fca8e35bfc13b93795f7915107f2e6140fc002cb39212987e9426e4ee6cde350"

# Markers as they stand on the wire, MS-OXCFXICS 2.2.4.1.4.
NEW_ATTACH = bytes.fromhex("03 00 00 40")
START_EMBED = bytes.fromhex("03 00 01 40")
END_EMBED = bytes.fromhex("03 00 02 40")
START_RECIP = bytes.fromhex("03 00 03 40")
END_RECIP = bytes.fromhex("03 00 04 40")
END_ATTACH = bytes.fromhex("03 00 0E 40")
DEL_RECIPIENTS = bytes.fromhex("03 00 16 40 0D 00 12 0E")
DEL_ATTACHMENTS = bytes.fromhex("03 00 16 40 0D 00 13 0E")

CONFIG = bytes.fromhex("01000000 08000000 00000000 01000000")
INTERFACE = bytes.fromhex("03000000 18000000 01000000 0703020000000000C000000000000046 00240080")
PARTNER = bytes.fromhex("04000000 06000000 010F CB89 0600")
PREAMBLE = CONFIG + INTERFACE + PARTNER

CLASS = bytes.fromhex("B0841A00 12000000") + "IPM.Note\0".encode("utf-16-le")


def page(payload: bytes) -> bytes:
    return struct.pack("<II", 2, len(payload)) + payload


def stream(*payloads: bytes) -> bytes:
    """A container with a page for each payload."""
    return PREAMBLE + b"".join(page(p) for p in payloads)


def tag(kind: int, number: int) -> bytes:
    return struct.pack("<HH", kind, number)


def sized(octets: bytes) -> bytes:
    return struct.pack("<I", len(octets)) + octets


def text(number: int, value: str) -> bytes:
    return tag(0x84B0, number) + sized((value + "\0").encode("utf-16-le"))


def integer(number: int, value: int) -> bytes:
    return tag(0x0003, number) + struct.pack("<i", value)


def lid(guid: str, number: int) -> bytes:
    return UUID(guid).bytes_le + b"\0" + struct.pack("<I", number)


def name(guid: str, value: str) -> bytes:
    return UUID(guid).bytes_le + b"\1" + (value + "\0").encode("utf-16-le")


def recipient(row: int, *rest: bytes) -> bytes:
    return START_RECIP + integer(0x3000, row) + b"".join(rest) + END_RECIP


def attachment(number: int, *rest: bytes) -> bytes:
    return NEW_ATTACH + integer(0x0E21, number) + b"".join(rest) + END_ATTACH
