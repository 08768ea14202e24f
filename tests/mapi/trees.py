"""Any tree, for Hypothesis; and equality that also knows NaN."""

from __future__ import annotations

import struct
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from migrator.mapi import properties as p
from migrator.mapi.item import Attachment, Key, Message, Named, Properties, Value

GUIDS = st.one_of(st.sampled_from(list(p.PROPERTY_SETS)), st.uuids())


def utf16(text: str) -> str:
    """Two lone halves side by side are one character in UTF-16."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


# Lone surrogates are allowed: mailboxes hold them.
TEXT = st.text(st.characters(exclude_categories=()), max_size=40).map(utf16)
NAMES = st.text(st.characters(exclude_categories=(), exclude_characters="\0"), max_size=30).map(utf16)
OCTETS = st.one_of(
    st.binary(max_size=60), st.integers(100, 700).map(lambda n: bytes(range(256)) * 3 + bytes(n))
)

SCALARS: dict[int, st.SearchStrategy[Any]] = {
    0x0002: st.integers(-(1 << 15), (1 << 15) - 1),
    0x0003: st.integers(-(1 << 31), (1 << 31) - 1),
    0x0004: st.floats(width=32),
    0x0005: st.floats(),
    0x0006: st.integers(-(1 << 63), (1 << 63) - 1),
    0x0007: st.floats(),
    0x000B: st.booleans(),
    0x0014: st.integers(-(1 << 63), (1 << 63) - 1),
    0x001F: TEXT,
    0x0040: st.integers(0, (1 << 64) - 1),
    0x0048: st.uuids(),
    0x00FB: OCTETS,
    0x0102: OCTETS,
}
MULTIPLE = (0x0002, 0x0003, 0x0004, 0x0005, 0x0006, 0x0007, 0x0014, 0x001F, 0x0040, 0x0048, 0x0102)

VALUES = st.one_of(
    *[values.map(lambda v, k=kind: Value(k, v)) for kind, values in SCALARS.items()],
    *[st.lists(SCALARS[kind], max_size=6).map(lambda v, k=kind: Value(k | 0x1000, v)) for kind in MULTIPLE],
)

# What a client may send as a property: no markers, no 6600-67FF, and not what has a role of its own in the grammar.
RESERVED = {0x3000, 0x0E21, 0x3705, 0x3701}
TAGS = st.integers(1, 0x7FFF).filter(
    lambda t: not (0x4000 <= t <= 0x407D or 0x6600 <= t <= 0x67FF or t in RESERVED)
)
KEYS: st.SearchStrategy[Key] = st.one_of(
    TAGS,
    st.builds(lambda g, n: Named(g, n), GUIDS, st.integers(0, (1 << 32) - 1)),
    st.builds(lambda g, n: Named(g, name=n), GUIDS, NAMES),
)


def properties(most: int) -> st.SearchStrategy[Properties]:
    return st.dictionaries(KEYS, VALUES, max_size=most).map(Properties)


@st.composite
def messages(draw: st.DrawFn, depth: int = 2) -> Message:
    recipients = []
    for row in range(draw(st.integers(0, 3))):
        recipient = Properties({0x3000: Value(0x0003, row)})
        recipient.update(draw(properties(4)))
        recipients.append(recipient)
    attachments = []
    for number in range(draw(st.integers(0, 3 if depth else 1))):
        attachment = Attachment(Properties({0x0E21: Value(0x0003, number)}))
        attachment.properties.update(draw(properties(4)))
        kind = draw(st.sampled_from(["value", "ole", "message"] if depth else ["value", "ole"]))
        method = {"value": 1, "ole": 6, "message": 5}[kind]
        attachment.properties[0x3705] = Value(0x0003, method)
        if kind == "message":
            attachment.embedded = draw(messages(depth=depth - 1))
        else:
            attachment.properties[0x3701] = Value(0x0102 if kind == "value" else 0x000D, draw(OCTETS))
        attachments.append(attachment)
    return Message(draw(properties(12)), recipients, attachments)


def plain(value: Any) -> Any:
    """A form in which equal bits are equal objects: NaN, 0.0 and -0.0, memoryview and bytes."""
    if isinstance(value, float):
        return ("nan",) if value != value else struct.pack("<d", value)
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, Properties):
        return {k: (v.type, plain(v.value)) for k, v in value.items()}
    if isinstance(value, Message):
        return (plain(value.properties), plain(value.recipients), plain(value.attachments))
    if isinstance(value, Attachment):
        return (plain(value.properties), plain(value.embedded) if value.embedded else None)
    assert value is None or isinstance(value, int | str | bytes | UUID)
    return value
