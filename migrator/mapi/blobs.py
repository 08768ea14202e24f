"""Binary values inside properties: entry ids, search keys, conversation index, global object id, time zones.

Every parser raises BlobError on what it does not understand; builders are their inverse.
"""

from __future__ import annotations

import struct
from typing import Final
from uuid import UUID

from migrator.errors import ItemError
from migrator.record import record


class BlobError(ItemError):
    """A binary value is not what its property holds. The text never quotes it."""

    default_code = "blob_malformed"


# Entry ids: MS-OXCDATA 2.2.5.1 (one-off), 2.2.5.2 (address book); MS-OXOCNTC 2.2.2.4.1 (wrapped, in distribution lists).
_ONE_OFF: Final = bytes.fromhex("812b1fa4bea310199d6e00dd010f5402")
_ADDRESS_BOOK: Final = bytes.fromhex("dca740c8c042101ab4b908002b2fe182")
_WRAPPED: Final = bytes.fromhex("c091add3519dcf11a4a900aa0047faa4")
_UNICODE: Final = 0x8000


@record
class OneOff:
    """A person without a directory entry. flags: 0x8000 Unicode, 0x1000 no look-up, 0x0001 no rich text."""

    name: str
    address_type: str
    address: str
    flags: int = 0x9001


@record
class DirectoryEntry:
    """A directory entry of an Exchange organisation. dn: its legacyExchangeDN. type: 0 user, 1 list, 2 folder …"""

    dn: str
    type: int = 0


@record
class Wrapped:
    """A member of a personal distribution list. type: low four bits 3 contact, 4 list, 5 user, 6 directory list."""

    type: int
    entry_id: bytes


EntryId = OneOff | DirectoryEntry | Wrapped


def build_one_off(name: str, address_type: str, address: str, *, flags: int = 0x9001) -> bytes:
    codec = "utf-16-le" if flags & _UNICODE else "cp1252"
    errors = "surrogatepass" if flags & _UNICODE else "replace"
    texts = "".join(text.replace("\0", "") + "\0" for text in (name, address_type, address))
    return bytes(4) + _ONE_OFF + struct.pack("<HH", 0, flags) + texts.encode(codec, errors)


def build_directory_entry(dn: str, type_: int = 0) -> bytes:
    return bytes(4) + _ADDRESS_BOOK + struct.pack("<II", 1, type_) + dn.encode("cp1252", "replace") + b"\0"


def build_wrapped(type_: int, entry_id: bytes) -> bytes:
    return bytes(4) + _WRAPPED + bytes([type_ & 0xFF]) + entry_id


def parse_entry_id(octets: bytes | memoryview) -> EntryId:
    """One-off, address book or wrapped entry id. Raises BlobError for others (a message's, a contact's)."""
    raw = bytes(octets)
    provider = raw[4:20]
    if provider == _ONE_OFF and len(raw) >= 24:
        _, flags = struct.unpack_from("<HH", raw, 20)
        if flags & _UNICODE:
            if len(raw) % 2:
                raise BlobError("a one-off entry id of odd length")
            parts = raw[24:].decode("utf-16-le", "surrogatepass").split("\0")
        else:
            parts = raw[24:].decode("cp1252", "surrogateescape").split("\0")
        if len(parts) < 3:
            raise BlobError("a one-off entry id without name, type and address")
        return OneOff(parts[0], parts[1], parts[2], flags)
    if provider == _ADDRESS_BOOK and len(raw) >= 28:
        _, type_ = struct.unpack_from("<II", raw, 20)
        return DirectoryEntry(raw[28:].split(b"\0")[0].decode("cp1252", "surrogateescape"), type_)
    if provider == _WRAPPED and len(raw) > 21:
        return Wrapped(raw[20], raw[21:])
    raise BlobError("not a one-off, directory or wrapped entry id")


def search_key(address_type: str, address: str) -> bytes:
    """PidTagSearchKey of a person: upper-case TYPE:ADDRESS and a zero octet."""
    return f"{address_type}:{address}".upper().encode("cp1252", "replace") + b"\0"


# Conversation index: MS-OXOMSG 2.2.1.3 ------------------------------------------------------------------------------


@record
class ConversationIndex:
    """ticks: FILETIME of the first message, its lowest 16 bits lost. replies: five octets each, oldest first."""

    ticks: int
    guid: UUID
    replies: tuple[bytes, ...] = ()


def parse_conversation_index(octets: bytes | memoryview) -> ConversationIndex:
    raw = bytes(octets)
    if len(raw) < 22 or (len(raw) - 22) % 5:
        raise BlobError(f"a conversation index of {len(raw)} octets")
    replies = tuple(raw[at : at + 5] for at in range(22, len(raw), 5))
    return ConversationIndex(int.from_bytes(raw[:6], "big") << 16, UUID(bytes=raw[6:22]), replies)


def build_conversation_index(index: ConversationIndex) -> bytes:
    if any(len(reply) != 5 for reply in index.replies):
        raise ValueError("a reply of a conversation index has five octets")
    return (index.ticks >> 16).to_bytes(6, "big") + index.guid.bytes + b"".join(index.replies)


# Global object id: MS-OXOCAL 2.2.1.27 and .28; foreign UIDs: MS-OXCICAL 2.1.3.1.1.20.26 --------------------------------

_GLOBAL_OBJECT_ID: Final = bytes.fromhex("040000008200e00074c5b7101a82e008")
_FOREIGN_UID: Final = b"vCal-Uid\1\0\0\0"


@record
class GlobalObjectId:
    """instance: (year, month, day) of the occurrence, None for the whole series. created: FILETIME, 0 where unknown."""

    created: int
    data: bytes
    instance: tuple[int, int, int] | None = None
    reserved: bytes = bytes(8)

    @property
    def uid(self) -> str:
        """UID of iCalendar: the foreign one if the meeting came with one, else the clean id in upper-case hex."""
        if self.data.startswith(_FOREIGN_UID):
            return self.data[len(_FOREIGN_UID) :].removesuffix(b"\0").decode("utf-8", "surrogateescape")
        return build_global_object_id(self.clean()).hex().upper()

    def clean(self) -> GlobalObjectId:
        """The id of the series."""
        return GlobalObjectId(self.created, self.data, None, self.reserved)


def parse_global_object_id(octets: bytes | memoryview) -> GlobalObjectId:
    raw = bytes(octets)
    if len(raw) < 40 or raw[:16] != _GLOBAL_OBJECT_ID:
        raise BlobError(f"not a global object id ({len(raw)} octets)")
    year = raw[16] << 8 | raw[17]
    created, reserved, size = struct.unpack_from("<Q8sI", raw, 20)
    if size > len(raw) - 40:
        raise BlobError("a global object id that is cut")
    instance = (year, raw[18], raw[19]) if any(raw[16:20]) else None
    return GlobalObjectId(created, raw[40 : 40 + size], instance, reserved)


def build_global_object_id(value: GlobalObjectId) -> bytes:
    year, month, day = value.instance or (0, 0, 0)
    date = struct.pack(">HBB", year, month, day)
    head = struct.pack("<Q8sI", value.created, value.reserved, len(value.data))
    return _GLOBAL_OBJECT_ID + date + head + value.data


def global_object_id_of(uid: str, instance: tuple[int, int, int] | None = None) -> GlobalObjectId:
    """The id for a UID of iCalendar: its own octets where Exchange made the UID, else wrapped as vCal-Uid."""
    try:
        made = parse_global_object_id(bytes.fromhex(uid))
    except (ValueError, BlobError):
        data = _FOREIGN_UID + uid.encode("utf-8", "surrogateescape") + b"\0"
        return GlobalObjectId(0, data, instance)
    return GlobalObjectId(made.created, made.data, instance, made.reserved)


# Time zones: MS-OXOCAL 2.2.1.39 (struct) and 2.2.1.41 (definition) ----------------------------------------------------


@record
class SystemTime:
    """When a transition happens. year 0: every year, on the day-th (5: last) day_of_week (0 Sunday) of the month."""

    year: int = 0
    month: int = 0
    day_of_week: int = 0
    day: int = 0
    hour: int = 0
    minute: int = 0
    second: int = 0
    millisecond: int = 0


@record
class TimeZoneStruct:
    """Biases in minutes, UTC = local + bias. month 0 in `daylight`: no daylight saving."""

    bias: int
    standard_bias: int
    daylight_bias: int
    standard: SystemTime
    daylight: SystemTime
    standard_year: int = 0
    daylight_year: int = 0


@record
class TimeZoneRule:
    """flags: 1 the rule of the recurrence, 2 in effect. year: from which on it holds."""

    flags: int
    year: int
    bias: int
    standard_bias: int
    daylight_bias: int
    standard: SystemTime
    daylight: SystemTime
    reserved: bytes = bytes(14)


@record
class TimeZoneDefinition:
    """name: key of the Windows time zone, "W. Europe Standard Time"."""

    name: str
    rules: tuple[TimeZoneRule, ...]


_SYSTEMTIME: Final = struct.Struct("<8H")
_RULE_SIZE: Final = 66


def _systemtime(raw: bytes, at: int) -> SystemTime:
    return SystemTime(*_SYSTEMTIME.unpack_from(raw, at))


def _wire(moment: SystemTime) -> bytes:
    m = moment
    return _SYSTEMTIME.pack(m.year, m.month, m.day_of_week, m.day, m.hour, m.minute, m.second, m.millisecond)


def parse_time_zone_struct(octets: bytes | memoryview) -> TimeZoneStruct:
    raw = bytes(octets)
    if len(raw) != 48:
        raise BlobError(f"a time zone of {len(raw)} octets")
    bias, standard_bias, daylight_bias, standard_year = struct.unpack_from("<3iH", raw)
    (daylight_year,) = struct.unpack_from("<H", raw, 30)
    return TimeZoneStruct(
        bias,
        standard_bias,
        daylight_bias,
        _systemtime(raw, 14),
        _systemtime(raw, 32),
        standard_year,
        daylight_year,
    )


def build_time_zone_struct(zone: TimeZoneStruct) -> bytes:
    return (
        struct.pack("<3iH", zone.bias, zone.standard_bias, zone.daylight_bias, zone.standard_year)
        + _wire(zone.standard)
        + struct.pack("<H", zone.daylight_year)
        + _wire(zone.daylight)
    )


def parse_time_zone_definition(octets: bytes | memoryview) -> TimeZoneDefinition:
    raw = bytes(octets)
    if len(raw) < 10 or raw[:2] != b"\2\1":
        raise BlobError(f"not a time zone definition ({len(raw)} octets)")
    size, _, characters = struct.unpack_from("<3H", raw, 2)
    at = 8 + 2 * characters
    if size < 6 + 2 * characters or len(raw) < at + 2:
        raise BlobError("a time zone definition whose header is cut")
    name = raw[8:at].decode("utf-16-le", "surrogatepass").rstrip("\0")
    (count,) = struct.unpack_from("<H", raw, at)
    at = 4 + size  # rules stand behind the header, whatever its size
    if len(raw) < at + count * _RULE_SIZE:
        raise BlobError("a time zone definition whose rules are cut")
    rules = []
    for start in range(at, at + count * _RULE_SIZE, _RULE_SIZE):
        if raw[start : start + 2] != b"\2\1":
            raise BlobError("a time zone rule of another version")
        flags, year, reserved, bias, standard, daylight = struct.unpack_from("<HH14s3i", raw, start + 4)
        rules.append(
            TimeZoneRule(
                flags,
                year,
                bias,
                standard,
                daylight,
                _systemtime(raw, start + 34),
                _systemtime(raw, start + 50),
                reserved,
            )
        )
    return TimeZoneDefinition(name, tuple(rules))


def build_time_zone_definition(zone: TimeZoneDefinition) -> bytes:
    name = zone.name.encode("utf-16-le", "surrogatepass")
    wire = b"\2\1" + struct.pack("<3H", 6 + len(name), 2, len(name) // 2) + name
    wire += struct.pack("<H", len(zone.rules))
    for rule in zone.rules:
        wire += b"\2\1" + struct.pack("<3H14s", _RULE_SIZE - 4, rule.flags, rule.year, rule.reserved)
        wire += struct.pack("<3i", rule.bias, rule.standard_bias, rule.daylight_bias)
        wire += _wire(rule.standard) + _wire(rule.daylight)
    return wire
