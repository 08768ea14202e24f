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
    message_id = bare_message_id(ref.message_id) if ref.message_id else ""
    if message_id:
        text = f"id\0{_family(ref)}\0{message_id}"
    elif ref.subject and (ref.sent or ref.received):
        text = f"dates\0{_family(ref)}\0{ref.subject}\0{_second(ref.sent)}\0{_second(ref.received)}"
    else:
        return NONE
    return Fingerprint(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest())


def _family(ref: ItemRef) -> str:
    return f"{ref.kind.value}+" if ref.associated else ref.kind.value


def _second(moment: datetime | None) -> str:
    return "" if moment is None else str(int(moment.timestamp()))
