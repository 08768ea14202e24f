"""Sync states: opaque tokens that carry where a listing stands.

A state belongs to one mailbox, one folder (or the hierarchy below one) and one scope. A truncated, altered or foreign
one must be refused with ErrorInvalidSyncStateData
(learn.microsoft.com/…/handling-synchronization-related-errors-in-ews-in-exchange). Real states hold id sets and grow to
kilobytes; these are padded so that nobody keeps them in a short column.
"""

from __future__ import annotations

import binascii
import struct
import uuid
import zlib
from base64 import b64decode, b64encode
from dataclasses import dataclass

from migrator.lab.changes import Position

_MAGIC = b"H4sI"  # what a client sees is base64 without meaning
_BODY = struct.Struct("<4sBI16sQBQQQ")
_PADDING = 480

ITEMS, HIERARCHY = "I", "H"


@dataclass(frozen=True, slots=True)
class SyncState:
    """kind: ITEMS of a folder, or the HIERARCHY below one; associated: hidden items are listed too; epoch: a state of an
    earlier one is void (the lab lost its history, as a real store does after a restore)."""

    kind: str
    epoch: int
    mailbox: uuid.UUID
    folder: int
    associated: bool
    position: Position

    def encode(self) -> str:
        place = self.position
        body = _BODY.pack(
            _MAGIC,
            ord(self.kind),
            self.epoch,
            self.mailbox.bytes,
            self.folder,
            int(self.associated),
            place.since,
            place.snapshot,
            place.at,
        )
        raw = body + zlib.crc32(body).to_bytes(4, "little") * (_PADDING // 4)
        return b64encode(raw + zlib.crc32(raw).to_bytes(4, "little")).decode("ascii")


def decode(text: str) -> SyncState | None:
    """The state in a token, None when it is not one of ours or has been altered."""
    try:
        raw = b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(raw) != _BODY.size + _PADDING + 4 or zlib.crc32(raw[:-4]).to_bytes(4, "little") != raw[-4:]:
        return None
    magic, kind, epoch, mailbox, folder, associated, since, snapshot, at = _BODY.unpack_from(raw)
    if magic != _MAGIC or kind not in b"IH":
        return None
    return SyncState(
        chr(kind), epoch, uuid.UUID(bytes=mailbox), folder, bool(associated), Position(since, snapshot, at)
    )
