"""Change keys as Graph writes them, and the odds and ends that look like Exchange's identifiers.

A change key names one state of one item. The store keeps a counter per mailbox; Graph shows it in two encodings, both seen
in the documentation's samples (learn.microsoft.com/graph/import-exchange-mailbox-item):

- lists and exportItems: base64 of 30 bytes = u32 object type, u32 length 22, the mailbox's replica GUID (16), counter (6, big-endian)
- the answer of an import: base64 of the bare 22 bytes
"""

from __future__ import annotations

import base64
import binascii
import struct
import uuid

# The first number of a change key, as recorded answers show it: CQ… for mail, Cw… meeting messages, Dw… appointments,
# EQ… contacts, Eg… lists, Ew… tasks, AQ… folders.
_OBJECT_TYPE = {
    "IPM.Schedule.Meeting": 0x0B,
    "IPM.Appointment": 0x0F,
    "IPM.Contact": 0x11,
    "IPM.DistList": 0x12,
    "IPM.Task": 0x13,
}
FOLDER_TYPE = 0x01
_MAIL_TYPE = 0x09


def object_type(item_class: str) -> int:
    """The number that starts the long change key of an item of this message class."""
    for prefix, number in _OBJECT_TYPE.items():
        if item_class == prefix or item_class.startswith(prefix + "."):
            return number
    return _MAIL_TYPE


def short_change_key(replica: uuid.UUID, counter: int) -> str:
    """The 22-byte form, as an import answers."""
    return base64.b64encode(replica.bytes_le + counter.to_bytes(6, "big")).decode()


def long_change_key(replica: uuid.UUID, counter: int, item_class: str | None) -> str:
    """The 30-byte form, as lists and exports show it. item_class None: a folder's."""
    number = FOLDER_TYPE if item_class is None else object_type(item_class)
    return base64.b64encode(
        struct.pack("<II", number, 22) + replica.bytes_le + counter.to_bytes(6, "big")
    ).decode()


def parse_change_key(text: str, replica: uuid.UUID) -> int | None:
    """The counter in a change key of either form; None when it is malformed or another mailbox's."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(raw) == 30 and raw[4:8] == b"\x16\0\0\0":
        raw = raw[8:]
    if len(raw) != 22 or raw[:16] != replica.bytes_le:
        return None
    return int.from_bytes(raw[16:], "big")
