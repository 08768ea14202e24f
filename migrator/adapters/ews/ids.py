"""What an EWS id tells: the mailbox it belongs to, and whether two ids mean the same thing.

Facts this module rests on (MS-OXWSITEMID 2.1):
- base64 of: compression byte (0 none, 1 run-length), storage type byte, payload; storage type 3 is an item or folder of a mailbox
  that is named by its GUID: int16 length, GUID as ASCII text, byte, int16 length, entry id …
- run-length: a byte that occurs more than once in a row is written twice, followed by a byte: how many more there are
- the compression covers what follows the first byte
"""

from __future__ import annotations

import base64
import binascii
import re

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MAILBOX_BY_GUID = 3


def normal(ident: str) -> bytes:
    """The id without its compression: equal for every spelling of the same id. An id of an unknown kind stays as it is."""
    try:
        data = base64.b64decode(ident, validate=True)
    except (binascii.Error, ValueError):
        return ident.encode()
    if data[:1] == b"\0":
        return data[1:]
    if data[:1] == b"\1":
        return _expanded(data[1:])
    return ident.encode()


def _expanded(data: bytes) -> bytes:
    out = bytearray()
    at = 0
    while at < len(data):
        byte = data[at]
        out.append(byte)
        at += 1
        if at < len(data) and data[at] == byte:
            out.append(byte)
            more = data[at + 1] if at + 1 < len(data) else 0
            out += bytes([byte]) * more
            at += 2
    return bytes(out)


def mailbox_guid(ident: str) -> str:
    """The GUID of the mailbox that a folder or item id belongs to; "" when the id does not tell."""
    data = normal(ident)
    if len(data) < 39 or data[0] != MAILBOX_BY_GUID:
        return ""
    length = int.from_bytes(data[1:3], "little")
    text = data[3 : 3 + length].decode("ascii", "replace").lower()
    return text if _GUID.fullmatch(text) else ""
