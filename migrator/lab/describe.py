"""Listing facts out of a property tree, and the one change that a store makes in a stream of its own accord: the read flag."""

from __future__ import annotations

import struct

from migrator.lab.store import Facts, parse
from migrator.mapi.item import INT32, Message, Named
from migrator.mapi.properties import PS_PUBLIC_STRINGS

READ = 0x1
UNSENT = 0x8

_FLAGS_HEAD = b"\x03\x00\x07\x0e"  # PidTagMessageFlags as it stands in a stream
KEYWORDS = Named(PS_PUBLIC_STRINGS, name="Keywords")


def facts_of(message: Message) -> Facts:
    """What listings tell. Without PidTagMessageFlags an item is an unread draft, as Exchange opens it."""
    p = message.properties
    flags = p.integer(0x0E07, UNSENT)
    return Facts(
        item_class=p.text(0x001A, "IPM.Note"),
        subject=p.text(0x0037),
        message_id=p.text(0x1035),
        search_key=bytes(p.binary(0x300B)),
        received=p.time(0x0E06),
        sent=p.time(0x0039),
        created=p.time(0x3007),
        modified=p.time(0x3008),
        read=bool(flags & READ),
        draft=bool(flags & UNSENT),
        has_attachments=any(not a.properties.flag(0x7FFE) for a in message.attachments),
        importance=p.integer(0x0017, 1),
        categories=tuple(p.get(KEYWORDS) or ()),
        sender_name=p.text(0x0042) or p.text(0x0C1A),
        sender_address=p.text(0x5D02) or p.text(0x5D01) or p.text(0x0065) or p.text(0x0C1F),
        flags=flags,
    )


def flagged(stream: bytes, read: bool) -> bytes:
    """The stream with the read bit of PidTagMessageFlags as told. All other bytes stay as they are where possible.

    Raises CorruptStream.
    """
    message = parse(stream)
    before = message.properties.integer(0x0E07, UNSENT)
    after = before | READ if read else before & ~READ
    head = _FLAGS_HEAD + struct.pack("<i", before)
    spot = stream.find(head)
    if spot >= 0:
        patched = bytearray(stream)
        struct.pack_into("<i", patched, spot + 4, after)
        found = bytes(patched)
        # The same four bytes may stand inside another value further up: then the tree does not change.
        if parse(found).properties.get(0x0E07) == after:
            return found
    from migrator.mapi import fasttransfer

    message.properties.set(0x0E07, INT32, after)
    return bytes(fasttransfer.write(message))
