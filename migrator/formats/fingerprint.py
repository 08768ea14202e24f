"""What makes an item "the same item" in two systems, as 16 bytes.

A fingerprint rests on what both systems list without reading the item:

| Items                     | Rests on                                                                    |
| ------------------------- | --------------------------------------------------------------------------- |
| with a Message-ID         | kind, Message-ID                                                            |
| without, but with a date  | kind, subject, time sent and time received (to the second)                  |
| with neither              | nothing: b"", such an item is never taken for another by its fingerprint    |

Sizes are no part of it: every system counts them differently. Nor are flags and categories: they change while the item stays
the same. Two true duplicates have one fingerprint, so whoever matches by it must count (see `engine.doubt`).

Message-ID: RFC 5322 3.6.4; compared without the angle brackets and white space that systems add or drop, but with letter case,
because the left side is opaque.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import blake2b

from migrator.model import Fingerprint, ItemRef

NONE = Fingerprint(b"")


def bare_message_id(message_id: str) -> str:
    return message_id.strip().removeprefix("<").removesuffix(">").strip()


def fingerprint(ref: ItemRef) -> Fingerprint:
    """The ref's fingerprint, or `NONE` when listing told too little."""
    family = f"{ref.kind.value}+" if ref.associated else ref.kind.value
    return fingerprint_of(family, ref.message_id, ref.subject, ref.sent, ref.received)


def fingerprint_of(
    family: str, message_id: str, subject: str, sent: datetime | None, received: datetime | None
) -> Fingerprint:
    """As `fingerprint`, for who makes many refs: each is then made once. family: the kind's word, with "+" for associated ones."""
    bare = bare_message_id(message_id) if message_id else ""
    if bare:
        text = f"id\0{family}\0{bare}"
    elif subject and (sent or received):
        text = f"dates\0{family}\0{subject}\0{_second(sent)}\0{_second(received)}"
    else:
        return NONE
    return Fingerprint(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest())


def _second(moment: datetime | None) -> str:
    return "" if moment is None else str(int(moment.timestamp()))
