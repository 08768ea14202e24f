"""Ids and values of extended properties: how Graph names a MAPI property, and how it writes its value.

    String 0x1035                                            a tag
    Integer {00062008-0000-0000-c000-000000000046} Id 0x8503  a named property with a number
    String {00020329-0000-0000-c000-000000000046} Name MigKey  a named property with a name

Answers carry the id normalised: hexadecimal upper-case without leading zeros, the GUID in lower case; ask for
`SystemTime 0x0E06` and read `SystemTime 0xE06`. Values are text in every type
(learn.microsoft.com/graph/api/resources/extended-properties-overview).
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from migrator.mapi.item import MULTIPLE, Key, Named, Properties, datetime_of

_SINGLE = {
    "string": ("String", 0x001F),
    "integer": ("Integer", 0x0003),
    "short": ("Short", 0x0002),
    "long": ("Long", 0x0014),
    "float": ("Float", 0x0004),
    "double": ("Double", 0x0005),
    "currency": ("Currency", 0x0006),
    "applicationtime": ("ApplicationTime", 0x0007),
    "error": ("Error", 0x000A),
    "boolean": ("Boolean", 0x000B),
    "systemtime": ("SystemTime", 0x0040),
    "clsid": ("CLSID", 0x0048),
    "binary": ("Binary", 0x0102),
}
_FORM = re.compile(
    r"(?P<type>[A-Za-z]+)\s+(?:0x(?P<tag>[0-9A-Fa-f]{1,8})"
    r"|\{?(?P<guid>[0-9A-Fa-f-]{36})\}?\s+(?:Id\s+0x(?P<lid>[0-9A-Fa-f]{1,8})|Name\s+(?P<name>.+)))",
    re.IGNORECASE,
)


class BadId(ValueError):
    """Not the id of an extended property."""


class BadValue(ValueError):
    """A value that is none of its property's type."""


@dataclass(frozen=True, slots=True)
class ExtendedId:
    """A property as Graph names it."""

    type: int  # MAPI property type, e.g. 0x001F; multi-valued with bit 0x1000
    key: Key

    @property
    def many(self) -> bool:
        return bool(self.type & MULTIPLE)

    def __str__(self) -> str:
        word = _WORDS[self.type & ~MULTIPLE] + ("Array" if self.many else "")
        key = self.key
        if isinstance(key, int):
            return f"{word} 0x{key:X}"
        return f"{word} {{{key.guid}}} " + (
            f"Id 0x{key.lid:X}" if key.lid is not None else f"Name {key.name}"
        )


_WORDS = {code: word for word, code in _SINGLE.values()}


def parse_id(text: str) -> ExtendedId:
    """The property that an id names. Raises BadId."""
    match = _FORM.fullmatch(text.strip())
    if not match:
        raise BadId(text)
    word = match["type"].lower()
    many = word.endswith("array")
    known = _SINGLE.get(word.removesuffix("array"))
    if known is None:
        raise BadId(text)
    kind = known[1] | (0x1000 if many else 0)
    if match["tag"]:
        tag = int(match["tag"], 16)
        if tag > 0x7FFF:
            raise BadId(text)
        return ExtendedId(kind, tag)
    try:
        guid = UUID(match["guid"])
    except ValueError as error:
        raise BadId(text) from error
    if match["lid"]:
        return ExtendedId(kind, Named(guid, lid=int(match["lid"], 16)))
    return ExtendedId(kind, Named(guid, name=match["name"]))


def iso(value: datetime | int) -> str:
    """`2021-09-15T12:16:30Z`: Graph writes whole seconds in items. value: aware, or a FILETIME."""
    found = datetime_of(value) if isinstance(value, int) else value
    if found is None:
        return "9999-12-31T23:59:59Z"
    return f"{found.year:04d}" + found.strftime("-%m-%dT%H:%M:%SZ")


def lookup(properties: Properties, wanted: ExtendedId) -> str | None:
    """A single value as Graph shows it, None when the item has no such property of this type."""
    found = properties.typed(wanted.key)
    if found is None or found.type & MULTIPLE:
        return None
    kind, value = found
    if kind == 0x001E and wanted.type == 0x001F:
        return bytes(value).decode("latin-1")
    if kind != wanted.type:
        return None
    return write_value(kind, value)


def write_value(kind: int, value: Any) -> str:
    """A single value in the text form of its type."""
    kind &= ~MULTIPLE
    if kind == 0x000B:
        return "true" if value else "false"
    if kind in (0x0102, 0x00FB, 0x000D):
        return base64.b64encode(bytes(value)).decode()
    if kind == 0x0040:
        return iso(value)
    if kind == 0x0048:
        return str(value)
    if kind in (0x0004, 0x0005, 0x0007):
        return repr(float(value)).removesuffix(".0")
    return str(value)


def read_value(kind: int, text: str) -> Any:
    """A single value from the text form of its type. Raises BadValue."""
    kind &= ~MULTIPLE
    try:
        if kind in (0x0002, 0x0003, 0x0014):
            bits = {0x0002: 16, 0x0003: 32, 0x0014: 64}[kind]
            number = int(text, 0)
            if not -(1 << (bits - 1)) <= number < (1 << bits):
                raise BadValue(text)
            return number - (1 << bits) if number >= 1 << (bits - 1) else number
        if kind == 0x000B:
            return {"true": True, "false": False, "1": True, "0": False}[text.lower()]
        if kind == 0x0040:
            return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text).replace("Z", "+00:00"))
        if kind in (0x0004, 0x0005, 0x0007):
            return float(text)
        if kind == 0x0006:
            return int(text)
        if kind == 0x0048:
            return UUID(text)
        if kind == 0x0102:
            return base64.b64decode(text, validate=True)
    except (ValueError, KeyError, binascii.Error) as error:
        raise BadValue(text) from error
    return text
