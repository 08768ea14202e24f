"""One-off entry ids: a display name and an address in a binary value, as distribution lists keep their members.

Layout: MS-OXCDATA 2.2.5.1; the wrapper of list members: MS-OXOCNTC 2.2.2.4.4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from migrator.mapi.item import Properties
from migrator.mapi.properties import PidLidDistributionListMembers, PidLidDistributionListOneOffMembers

_PROVIDER = bytes.fromhex("812b1fa4bea310199d6e00dd010f5402")
_UNICODE = 0x8000


def make(name: str, address: str, kind: str = "SMTP") -> bytes:
    strings = "\0".join((name, kind, address)) + "\0"
    return (
        b"\0" * 4
        + _PROVIDER
        + struct.pack("<HH", 0, 0x8001 | 0x1000)
        + strings.encode("utf-16-le", "replace")
    )


def read(raw: bytes) -> tuple[str, str] | None:
    """(name, address), None for another kind of entry id."""
    if len(raw) < 24 or raw[4:20] != _PROVIDER:
        return None
    (flags,) = struct.unpack_from("<H", raw, 22)
    strings = raw[24:].decode("utf-16-le" if flags & _UNICODE else "cp1252", "replace").split("\0")
    return (strings[0], strings[2]) if len(strings) >= 3 else None


def members(properties: Properties) -> Iterator[tuple[bytes, str, str]]:
    """(entry id, name, address) of every member of a distribution list that names an address."""
    wrapped = properties.get(PidLidDistributionListMembers) or ()
    one_offs = properties.get(PidLidDistributionListOneOffMembers) or ()
    for spot, raw in enumerate(one_offs or wrapped):
        found = read(bytes(raw))
        if found is not None:
            key = bytes(wrapped[spot]) if spot < len(wrapped) else bytes(raw)
            yield key, *found
