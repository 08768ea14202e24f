"""The item tree: a message is properties, recipients and attachments; an attachment may be a message again.

A property is known by its 16-bit id alone (`int`, type left out) or, when it is a named property, by `Named`: the
property set's GUID with a number (LID) or a name. Local ids of a stream or a file (0x8000 and up) never appear here.

Python values by type code (MS-OXCDATA 2.11.1):

    0002 0003 0006 0014   int, signed (0006 is money in 1/10,000)
    0004 0005 0007        float (0007 is a date as days since 1899-12-30)
    000B                  bool
    001F                  str, decoded, without its terminator; may hold lone surrogates when the source did
    001E, 8xxx            bytes, only where Python does not know the code page (that of the message, or xxx): raw,
                          without terminator
    0040                  int, FILETIME: 100 ns steps since 1601-01-01 UTC, exact
    0048                  UUID
    000D 00FB 0102        bytes, or a memoryview for a large value
    1xxx                  list of these
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from migrator.record import record

INT16: Final = 0x0002
INT32: Final = 0x0003
FLOAT32: Final = 0x0004
FLOAT64: Final = 0x0005
CURRENCY: Final = 0x0006
APPTIME: Final = 0x0007
ERROR: Final = 0x000A
BOOLEAN: Final = 0x000B
OBJECT: Final = 0x000D
INT64: Final = 0x0014
STRING8: Final = 0x001E
STRING: Final = 0x001F
TIME: Final = 0x0040
GUID: Final = 0x0048
SERVER_ID: Final = 0x00FB
BINARY: Final = 0x0102
MULTIPLE: Final = 0x1000
"""Set in the type code of a multi-valued property."""

_EPOCH: Final = datetime(1601, 1, 1, tzinfo=UTC)


@record
class Named:
    """A named property: property set and either a number (lid) or a name. Names are kept as written, also in case."""

    guid: UUID
    lid: int | None = None
    name: str | None = None
    _hash: int = field(init=False, repr=False, compare=False, default=0)

    def __post_init__(self) -> None:
        if (self.lid is None) == (self.name is None):
            raise ValueError("a named property has either a lid or a name")
        # Kept, because hashing a UUID on every look-up would cost more than the look-up.
        object.__setattr__(self, "_hash", hash((self.guid.int, self.lid, self.name)))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Named):
            return NotImplemented
        return self.guid == other.guid and self.lid == other.lid and self.name == other.name


Key = int | Named
"""A 16-bit property id without its type, or a named property."""


class Value(NamedTuple):
    """A typed value; `type` is the base type code, as the module docstring lists them."""

    type: int
    value: Any


class Properties(dict[Key, Value]):
    """Properties of one object, in the order they came. `p[key]` is the typed `Value`, `p.get(key)` the plain value."""

    __slots__ = ()

    def get(self, key: Key, default: Any = None) -> Any:
        """The plain value, or `default` when the property is absent."""
        found = dict.get(self, key)
        return default if found is None else found[1]

    def typed(self, key: Key) -> Value | None:
        return dict.get(self, key)

    def set(self, key: Key, type_: int, value: Any) -> None:
        """Put a value. Whole numbers are brought into the signed range of their type; datetimes become FILETIME."""
        if type_ == TIME and isinstance(value, datetime):
            value = filetime(value)
        elif type_ in _BITS and isinstance(value, int):
            value = _signed(value, _BITS[type_])
        self[key] = Value(type_, value)

    def text(self, key: Key, default: str = "") -> str:
        """A string property, or `default` when absent or of another type."""
        found = self.get(key)
        return found if isinstance(found, str) else default

    def integer(self, key: Key, default: int = 0) -> int:
        found = dict.get(self, key)
        return found[1] if found is not None and found[0] in _BITS else default

    def flag(self, key: Key, default: bool = False) -> bool:
        found = self.get(key)
        return found if isinstance(found, bool) else default

    def binary(self, key: Key, default: bytes = b"") -> bytes | memoryview:
        found = self.get(key)
        return found if isinstance(found, bytes | memoryview) else default

    def time(self, key: Key) -> datetime | None:
        """A time property as an aware UTC datetime, cut to microseconds; None when absent or out of datetime's range."""
        found = dict.get(self, key)
        return datetime_of(found[1]) if found is not None and found[0] == TIME else None


@record(frozen=False)
class Attachment:
    """properties[0x3701] holds the bytes of an attachment by value; `embedded` stands for them when it is a message."""

    properties: Properties = field(default_factory=Properties)
    embedded: Message | None = None


@record(frozen=False)
class Message:
    properties: Properties = field(default_factory=Properties)
    recipients: list[Properties] = field(default_factory=list)
    attachments: list[Attachment] = field(default_factory=list)

    def walk(self) -> Iterator[Message]:
        """This message and every embedded one, outermost first."""
        waiting = [self]
        while waiting:
            message = waiting.pop()
            yield message
            waiting.extend(a.embedded for a in reversed(message.attachments) if a.embedded is not None)


_BITS: Final = {INT16: 16, INT32: 32, INT64: 64, CURRENCY: 64}


def _signed(value: int, bits: int) -> int:
    if not -(1 << (bits - 1)) <= value < 1 << bits:
        raise ValueError(f"{value} does not fit into {bits} bits")
    return value - (1 << bits) if value >= 1 << (bits - 1) else value


def filetime(moment: datetime) -> int:
    """FILETIME of an aware datetime: 100 ns steps since 1601-01-01 UTC."""
    if moment.tzinfo is None:
        raise ValueError("a FILETIME needs an aware datetime")
    delta = moment.astimezone(UTC) - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 10_000_000 + delta.microseconds * 10


def datetime_of(ticks: int) -> datetime | None:
    """Aware UTC datetime of a FILETIME, cut to microseconds; None when datetime cannot hold it (year 10000 and later)."""
    try:
        return _EPOCH + timedelta(microseconds=ticks // 10)
    except OverflowError:
        return None
