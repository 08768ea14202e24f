"""Item, folder and attachment ids as Exchange makes them, and change keys.

Facts this module rests on (MS-OXWSITEMID 2.1; examples recorded from Exchange 2010 and Exchange Online):
- an id is base64 of: compression byte (0 none, 1 run-length), storage type (3: mailbox item, named by mailbox GUID),
  int16 length and the mailbox GUID as ASCII text, instruction byte (0), int16 length and the store id, and for
  attachments a count byte and per level int16 length and attachment id;
- run-length form: a byte that occurs twice in a row is followed by a byte that counts its further repetitions;
- the store id is the MAPI EntryID: 46 bytes for a folder (type 1), 70 for an item (type 7): flags(4) mailbox GUID(16)
  type(2), then replica GUID(16) counter(6) padding(2) for the folder and once more for the item (MS-OXCDATA 2.2.4);
- a change key is base64 of int32 object class, int32 length, change key (replica GUID and counter, 22 bytes).

Everything that arrives here may be forged: every decoder answers None for what it cannot read.
"""

from __future__ import annotations

import binascii
import re
import struct
import uuid
from base64 import b64decode, b64encode
from dataclasses import dataclass
from functools import lru_cache

MAILBOX_ITEM = 3
FOLDER_ENTRY = 46
ITEM_ENTRY = 70
_LARGEST_ID = 4096  # octets of base64; longer ones are refused unread

# object classes in change keys, as seen in recorded answers
CLASS_FOLDER, CLASS_CALENDAR_FOLDER, CLASS_CONTACTS_FOLDER, CLASS_TASKS_FOLDER, CLASS_SEARCH_FOLDER = (
    1,
    2,
    3,
    4,
    7,
)
CLASS_MESSAGE, CLASS_MEETING_MESSAGE, CLASS_MEETING_REQUEST, CLASS_MEETING_RESPONSE = 9, 10, 11, 12
CLASS_MEETING_CANCELLATION, CLASS_EVENT, CLASS_CONTACT, CLASS_GROUP, CLASS_TASK, CLASS_POST = (
    13,
    15,
    17,
    18,
    19,
    22,
)


@dataclass(frozen=True, slots=True)
class StoreId:
    """A decoded id. item is 0 for a folder; attachments is the path into nested items, outermost first."""

    mailbox: uuid.UUID
    folder: int
    item: int = 0
    attachments: tuple[int, ...] = ()


_RUN = re.compile(rb"(.)\1{1,256}", re.DOTALL)
_PACKED = re.compile(rb"(?:(.)\1.|(.)(?!\2))*", re.DOTALL)
_PAIR = re.compile(rb"(.)\1(.)", re.DOTALL)


def _compress(data: bytes) -> bytes:
    return _RUN.sub(lambda run: run[1] * 2 + bytes((len(run[0]) - 2,)), data)


def _expand(data: bytes) -> bytes | None:
    """None when a pair at the end lacks its count."""
    if _PACKED.fullmatch(data) is None:
        return None
    # an id is short (`decode` sees to that), so its expanded form is too: at most 86 times as long
    return _PAIR.sub(lambda pair: pair[1] * (2 + pair[2][0]), data)


def _counter(number: int) -> bytes:
    return number.to_bytes(6, "big")


class IdMaker:
    """Makes the ids of one mailbox. The run-length form is used where it is the shorter one."""

    def __init__(self, mailbox: uuid.UUID) -> None:
        self.mailbox = mailbox
        # the store's replica and provider GUIDs differ from the mailbox GUID but belong to it for good
        self.replica = uuid.uuid5(mailbox, "replica").bytes_le
        self.provider = uuid.uuid5(mailbox, "provider").bytes_le
        text = str(mailbox).encode("ascii")
        self._head = bytes((MAILBOX_ITEM,)) + struct.pack("<H", len(text)) + text + b"\x00"
        self._folder_front = b"\x00" * 4 + self.provider + b"\x01\x00" + self.replica
        self._item_front = b"\x00" * 4 + self.provider + b"\x07\x00" + self.replica
        # ids are asked for again and again: by listing, then by export
        self.make = lru_cache(maxsize=16_384)(self._make)

    def entry_id(self, folder: int, item: int = 0) -> bytes:
        """MAPI EntryID: 46 octets for a folder, 70 for an item."""
        if not item:
            return self._folder_front + _counter(folder) + b"\x00\x00"
        return self._item_front + _counter(folder) + b"\x00\x00" + self.replica + _counter(item) + b"\x00\x00"

    def _make(
        self, folder: int, item: int = 0, attachments: tuple[int, ...] = (), compress: bool | None = None
    ) -> str:
        """An id as text. compress: force one form; both are equally valid for a reader."""
        entry = self.entry_id(folder, item)
        body = self._head + struct.pack("<H", len(entry)) + entry
        if attachments:
            body += bytes((len(attachments),))
            for number in attachments:
                key = self.replica + struct.pack("<I", number)
                body += struct.pack("<H", len(key)) + key
        if compress is not False:
            packed = _compress(body)
            if compress or len(packed) < len(body):
                return b64encode(b"\x01" + packed).decode("ascii")
        return b64encode(b"\x00" + body).decode("ascii")

    def change_key(self, object_class: int, version: int) -> str:
        key = self.replica + _counter(version)
        return b64encode(struct.pack("<II", object_class, len(key)) + key).decode("ascii")

    def change_version(self, change_key: str) -> int | None:
        """The version inside a change key of this mailbox, None when it is none."""
        try:
            raw = b64decode(change_key, validate=True)
        except (binascii.Error, ValueError):
            return None
        if len(raw) != 30 or raw[8:24] != self.replica or struct.unpack_from("<I", raw, 4)[0] != 22:
            return None
        return int.from_bytes(raw[24:30], "big")


@lru_cache(maxsize=16_384)
def decode(text: str) -> StoreId | None:
    """What an id says, None when it is malformed (→ ErrorInvalidIdMalformed)."""
    if len(text) > _LARGEST_ID or len(text) % 4:
        return None
    try:
        raw = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(raw) < 2 or raw[0] > 1:
        return None
    body = _expand(raw[1:]) if raw[0] == 1 else raw[1:]
    if body is None or len(body) < 42 or body[0] != MAILBOX_ITEM:
        return None
    if body[1:3] != b"\x24\x00" or body[39] > 2:
        return None
    try:
        mailbox = uuid.UUID(body[3:39].decode("ascii"))
    except (UnicodeDecodeError, ValueError):
        return None
    (length,) = struct.unpack_from("<H", body, 40)
    entry, rest = body[42 : 42 + length], body[42 + length :]
    if len(entry) != length or length not in (FOLDER_ENTRY, ITEM_ENTRY):
        return None
    if entry[20:22] != (b"\x01\x00" if length == FOLDER_ENTRY else b"\x07\x00"):
        return None
    folder = int.from_bytes(entry[38:44], "big")
    item = int.from_bytes(entry[62:68], "big") if length == ITEM_ENTRY else 0
    attachments = _attachments(rest)
    if attachments is None or (attachments and not item):
        return None
    return StoreId(mailbox, folder, item, attachments)


def _attachments(rest: bytes) -> tuple[int, ...] | None:
    if not rest:
        return ()
    numbers: list[int] = []
    at = 1
    for _ in range(rest[0]):
        if len(rest) < at + 2:
            return None
        (length,) = struct.unpack_from("<H", rest, at)
        key = rest[at + 2 : at + 2 + length]
        if length != 20 or len(key) != 20:
            return None
        numbers.append(struct.unpack_from("<I", key, 16)[0])
        at += 2 + length
    return tuple(numbers) if at == len(rest) else None
