"""What of an imported stream survives, and which streams are taken at all: as the knobs say, since Microsoft does not.

By default the stream is kept byte for byte. With a `preserve_*` knob off, or `import_normalises` on, the tree is changed
and written anew, as a server would that makes its own stream of what it stored.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from migrator.lab.describe import facts_of
from migrator.lab.knobs import Knobs
from migrator.lab.store import Facts
from migrator.mapi.fasttransfer import Decoded, write
from migrator.mapi.item import INT32, TIME, Key, Message, Properties

if TYPE_CHECKING:
    from collections.abc import Iterable

_ONLINE = 15 << 8 | 20
_FAI = 0x40
_UNSENT, _SUBMITTED = 0x8, 0x4
ONLINE_VERSION = (15, 20, 8900, 12)
_COMPUTED = (0x0E08, 0x0E1B, 0x0E23, 0x0E69, 0x0FF4, 0x0FF7, 0x0FFE, 0x0E02, 0x0E03, 0x0E04, 0x0E05)
_TRANSPORT_IDS = range(0x6600, 0x6800)


class Refused(Exception):
    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def survive(
    knobs: Knobs, decoded: Decoded, stream: bytes, facts: Facts, *, now: datetime
) -> tuple[bytes, Facts, datetime | None, bool]:
    """(stream as kept, its facts, creation time or None, configuration item?). Raises Refused."""
    message = decoded.message
    _admit(knobs, decoded, facts)
    associated = bool(message.properties.integer(0x0E07) & _FAI)
    if associated and not knobs.import_accepts_fai:
        raise Refused("Associated items cannot be imported.", "ErrorInvalidRequest")
    created = facts.created if knobs.preserve_creation_time else None
    if _untouched(knobs):
        return stream, facts, created, associated
    _change(knobs, message, now)
    kept = bytes(write(message, version=ONLINE_VERSION))
    return kept, facts_of(message), created, associated


def _untouched(knobs: Knobs) -> bool:
    return (
        knobs.preserve_search_key
        and knobs.preserve_creation_time
        and knobs.preserve_message_id
        and knobs.preserve_delivery_time
        and knobs.preserve_flags
        and not knobs.import_normalises
    )


def _admit(knobs: Knobs, decoded: Decoded, facts: Facts) -> None:
    accepted = knobs.import_accepts_ews
    version = decoded.version
    if "*" not in accepted and version is not None and version[:2] != (15, 20):
        shown = f"{version[0]}.{version[1]}"
        if not any(shown == one or str(version[0]) == one for one in accepted):
            raise Refused(f"Streams of version {shown} are not supported.", "ErrorUnsupportedStreamVersion")
    if not knobs.import_accepts_synthetic and synthetic(decoded.message):
        raise Refused("The item was not exported by Exchange.", "ErrorCorruptData")
    lowered = facts.item_class.lower()
    for prefix in knobs.import_refused_classes:
        if lowered == prefix.lower() or lowered.startswith(prefix.lower() + "."):
            raise Refused(
                f"Items of class {facts.item_class} cannot be imported.", "ErrorItemClassNotSupported"
            )


def synthetic(message: Message) -> bool:
    """Whether no Exchange made this stream: Exchange always writes when an item was created and last changed."""
    return message.properties.typed(0x3007) is None or message.properties.typed(0x3008) is None


def _change(knobs: Knobs, message: Message, now: datetime) -> None:
    p = message.properties
    if not knobs.preserve_search_key:
        p.pop(0x300B, None)
    if not knobs.preserve_message_id:
        p.pop(0x1035, None)
    if not knobs.preserve_delivery_time and 0x0E06 in p:
        p.set(0x0E06, TIME, now)
    if not knobs.preserve_creation_time:
        p.set(0x3007, TIME, now)
    if not knobs.preserve_flags:
        p.set(0x0E07, INT32, (p.integer(0x0E07) & ~_SUBMITTED) | _UNSENT)
    if knobs.import_normalises:
        _drop(p, (*_COMPUTED, *(key for key in p if isinstance(key, int) and key in _TRANSPORT_IDS)))
        p.set(0x3008, TIME, now)
        for inner in message.walk():
            for attachment in inner.attachments:
                _drop(attachment.properties, (0x0E20, 0x0FF7))


def _drop(properties: Properties, keys: Iterable[Key]) -> None:
    for key in list(keys):
        properties.pop(key, None)
