"""Two item trees → what differs, by meaning.

`left` is the source, `right` the copy. Each difference has a class:

    lost         the source has it, the copy does not
    added        the copy has it, the source does not
    changed      both have it, with another meaning
    volatile     it may differ, for the reason that volatile.tsv gives
    normalised   written differently, the same meaning (the reason says which)

Only the first three count (`counts`). Absent and empty strings are equal and no difference at all, as are PtypString8
and PtypString, and names in PS_INTERNET_HEADERS without regard to case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final

from migrator.mapi import properties as p
from migrator.mapi.blobs import (
    BlobError,
    DirectoryEntry,
    OneOff,
    parse_conversation_index,
    parse_entry_id,
    parse_global_object_id,
    parse_time_zone_definition,
    parse_time_zone_struct,
)
from migrator.mapi.dictionary import name_of, rule
from migrator.mapi.fasttransfer.codepages import decoder
from migrator.mapi.item import (
    ERROR,
    STRING,
    STRING8,
    TIME,
    Attachment,
    Key,
    Message,
    Named,
    Properties,
    Value,
)
from migrator.mapi.recurrence import meaning, parse_pattern, parse_recurrence
from migrator.mapi.rtf import decompress
from migrator.mapi.values import harmless, shown, with_type
from migrator.record import record


class Class(StrEnum):
    LOST = "lost"
    ADDED = "added"
    CHANGED = "changed"
    VOLATILE = "volatile"
    NORMALISED = "normalised"


@record
class Difference:
    """path: "" for the message, else e.g. "attachment 1 / embedded message / recipient 0". Values are shortened, escaped."""

    path: str
    name: str
    left: str
    right: str
    class_: Class
    reason: str = ""

    @property
    def counts(self) -> bool:
        return self.class_ in (Class.LOST, Class.ADDED, Class.CHANGED)


Directory = Mapping[str, str]
"""legacyExchangeDN → SMTP address; looked up without regard to case."""


def compare(
    left: Message,
    right: Message,
    *,
    path: str = "stream",
    directory: Directory | None = None,
    depth: int = 50,
) -> list[Difference]:
    """All differences, message first, then recipients and attachments, each with what is in it.

    path: how the copy was made (stream, json, mime): some ways stamp more anew, and JSON and MIME round times to seconds.
    directory: what is known of legacyExchangeDNs, so that an EX address and its SMTP form are one.
    """
    folded = {dn.lower(): address.lower() for dn, address in (directory or {}).items()}
    found = _Comparison(path, folded, depth)
    found.message(left, right, "", 0)
    return found.differences


def counting(differences: Iterable[Difference]) -> list[Difference]:
    """Those that mean a loss."""
    return [d for d in differences if d.counts]


# Properties that only together say something ---------------------------------------------------------------------------


@record
class _Person:
    """Where a person stands: address type, address, SMTP address, and the binary forms made of them."""

    type: Key
    address: Key
    smtp: Key | None
    others: tuple[Key, ...]

    @property
    def keys(self) -> tuple[Key, ...]:
        return (self.type, self.address, *((self.smtp,) if self.smtp is not None else ()), *self.others)


_PEOPLE: Final = (
    _Person(0x0C1E, 0x0C1F, 0x5D01, (0x0C19, 0x0C1D)),
    _Person(0x0064, 0x0065, 0x5D02, (0x0041, 0x003B)),
    _Person(0x0075, 0x0076, 0x5D07, (0x003F, 0x0051)),
    _Person(0x0077, 0x0078, 0x5D08, (0x0043, 0x0052)),
    _Person(0x0066, 0x0067, None, (0x005B, 0x005C)),
    _Person(0x0068, 0x0069, None, (0x005E, 0x005F)),
    _Person(p.PidLidEmail1AddressType, p.PidLidEmail1EmailAddress, None, (p.PidLidEmail1OriginalEntryId,)),
    _Person(p.PidLidEmail2AddressType, p.PidLidEmail2EmailAddress, None, (p.PidLidEmail2OriginalEntryId,)),
    _Person(p.PidLidEmail3AddressType, p.PidLidEmail3EmailAddress, None, (p.PidLidEmail3OriginalEntryId,)),
)
_RECIPIENT: Final = (_Person(0x3002, 0x3003, 0x39FE, (0x0FFF, 0x300B, 0x5FF7, 0x0FF6, 0x0FF9)),)
_REMINDER: Final = (p.PidLidReminderDelta, p.PidLidReminderTime, p.PidLidReminderSignalTime)
_BODIES: Final = {1: p.PidTagBody, 2: p.PidTagRtfCompressed, 3: p.PidTagHtml}

SAME_ADDRESS: Final = "the same address, in another form"
SAME_BODY: Final = "made anew by the store from the body as it was written"
SAME_TEXT: Final = "the same text, with other line ends, in another code page or compressed anew"
SAME_ORDER: Final = "the same values in another order"
SAME_REMINDER: Final = "the reminder is due at the same time, or there is none"
ROUNDED: Final = "times are rounded to seconds on this way"


def _definition(octets: Any) -> Any:
    zone = parse_time_zone_definition(octets)
    rules = {
        (r.flags & 1, r.year, r.bias, r.standard_bias, r.daylight_bias, r.standard, r.daylight)
        for r in zone.rules
    }
    return (zone.name, frozenset(rules))


def _zone(octets: Any) -> Any:
    zone = parse_time_zone_struct(octets)
    if not zone.daylight.month or not zone.standard.month:
        return (zone.bias, zone.standard_bias)
    return (zone.bias, zone.standard_bias, zone.daylight_bias, zone.standard, zone.daylight)


def _object_id(octets: Any) -> Any:
    value = parse_global_object_id(octets)
    return (value.uid, value.instance)


_MEANINGS: Final[dict[Key, tuple[Callable[[Any], Any], str]]] = {
    p.PidLidAppointmentRecur: (
        lambda o: meaning(parse_recurrence(o)),
        "the same recurrence, written differently",
    ),
    p.PidLidTaskRecurrence: (
        lambda o: meaning(parse_pattern(o)[0]),
        "the same recurrence, written differently",
    ),
    p.PidLidTimeZoneStruct: (_zone, "the same time zone, written differently"),
    p.PidLidAppointmentTimeZoneDefinitionStartDisplay: (
        _definition,
        "the same time zone, written differently",
    ),
    p.PidLidAppointmentTimeZoneDefinitionEndDisplay: (_definition, "the same time zone, written differently"),
    p.PidLidAppointmentTimeZoneDefinitionRecur: (_definition, "the same time zone, written differently"),
    p.PidTagConversationIndex: (parse_conversation_index, "the same conversation, written differently"),
    p.PidLidGlobalObjectId: (_object_id, "the same meeting, written differently"),
    p.PidLidCleanGlobalObjectId: (_object_id, "the same meeting, written differently"),
}


class _Comparison:
    def __init__(self, path: str, directory: dict[str, str], depth: int) -> None:
        self.differences: list[Difference] = []
        self._path = path
        self._directory = directory
        self._depth = depth

    def _tell(self, at: str, name: str, left: str, right: str, class_: Class, reason: str = "") -> None:
        self.differences.append(Difference(at, name, left, right, class_, reason))

    # Objects ----------------------------------------------------------------------------------------------------

    def message(self, left: Message, right: Message, at: str, level: int) -> None:
        if level > self._depth:
            raise ValueError(f"more than {self._depth} messages within each other")
        excused = self._bodies(left.properties, right.properties)
        excused.update(self._reminder(left.properties, right.properties))
        self._properties(left.properties, right.properties, at, "message", _PEOPLE, excused)
        self._recipients(left.recipients, right.recipients, at)
        self._attachments(left.attachments, right.attachments, at, level)

    def _recipients(self, left: list[Properties], right: list[Properties], at: str) -> None:
        def who(recipient: Properties) -> tuple[int, object]:
            address = self._address(recipient, _RECIPIENT[0])
            return (recipient.integer(0x0C15) & 0xF, address or recipient.text(0x3001).lower())

        for one, other in _pairs(
            left, right, [who, lambda r: r.text(0x3001).lower(), lambda r: r.integer(0x0C15) & 0xF]
        ):
            index, recipient = one if one is not None else other  # type: ignore[misc]
            here = _join(at, f"recipient {index}")
            if other is None:
                self._tell(here, "recipient", _named(recipient), "(absent)", Class.LOST)
            elif one is None:
                self._tell(here, "recipient", "(absent)", _named(recipient), Class.ADDED)
            else:
                self._properties(one[1], other[1], here, "recipient", _RECIPIENT, {})

    def _attachments(self, left: list[Attachment], right: list[Attachment], at: str, level: int) -> None:
        keys: list[Callable[[Attachment], object]] = [_content, _file_name, lambda a: a.embedded is not None]
        for one, other in _pairs(left, right, keys):
            index, attachment = one if one is not None else other  # type: ignore[misc]
            here = _join(at, f"attachment {index}")
            if other is None:
                self._tell(here, "attachment", _named_attachment(attachment), "(absent)", Class.LOST)
                continue
            if one is None:
                self._tell(here, "attachment", "(absent)", _named_attachment(attachment), Class.ADDED)
                continue
            mine, theirs = one[1], other[1]
            if one[0] != other[0]:
                self._tell(
                    here, "attachment", f"place {one[0]}", f"place {other[0]}", Class.NORMALISED, SAME_ORDER
                )
            self._properties(mine.properties, theirs.properties, here, "attachment", (), {})
            inside = _join(here, "embedded message")
            if mine.embedded is not None and theirs.embedded is not None:
                self.message(mine.embedded, theirs.embedded, inside, level + 1)
            elif mine.embedded is not None:
                self._tell(inside, "message", _subject(mine.embedded), "(absent)", Class.LOST)
            elif theirs.embedded is not None:
                self._tell(inside, "message", "(absent)", _subject(theirs.embedded), Class.ADDED)

    # Properties -------------------------------------------------------------------------------------------------

    def _properties(
        self,
        left: Properties,
        right: Properties,
        at: str,
        where: str,
        people: tuple[_Person, ...],
        excused: dict[Key, str],
    ) -> None:
        """excused: keys that may differ here because a group of properties means the same, with the reason."""
        mine, theirs = _folded(left), _folded(right)
        excused = dict(excused)
        for person in people:
            if all(mine.typed(k) == theirs.typed(k) for k in person.keys):
                continue
            one, other = self._address(mine, person), self._address(theirs, person)
            if one is not None and one == other:
                excused |= dict.fromkeys(person.keys, SAME_ADDRESS)
        for key in [*mine, *(k for k in theirs if k not in mine)]:
            one_value, other_value = mine.typed(key), theirs.typed(key)
            if _equal(one_value, other_value):
                continue
            self._differ(key, one_value, other_value, at, where, excused.get(key, ""))

    def _differ(
        self, key: Key, one: Value | None, other: Value | None, at: str, where: str, excuse: str
    ) -> None:
        said_one, said_other = shown(one), shown(other)
        if one is not None and other is not None and said_one == said_other:
            said_one, said_other = with_type(one), with_type(other)
        reason = excuse or self._same(key, one, other)
        if reason:
            self._tell(at, name_of_safe(key), said_one, said_other, Class.NORMALISED, reason)
            return
        found = rule(key, where, self._path)
        if found is not None and not _counts(found.counts, one, other):
            self._tell(at, name_of_safe(key), said_one, said_other, Class.VOLATILE, found.reason)
        elif other is None:
            self._tell(at, name_of_safe(key), said_one, said_other, Class.LOST)
        elif one is None:
            self._tell(at, name_of_safe(key), said_one, said_other, Class.ADDED)
        else:
            self._tell(at, name_of_safe(key), said_one, said_other, Class.CHANGED)

    def _same(self, key: Key, one: Value | None, other: Value | None) -> str:
        """Why two unequal values mean the same, or ""."""
        if one is None or other is None or one.type != other.type:
            return ""
        if key == p.PidNameKeywords and isinstance(one.value, list) and isinstance(other.value, list):
            return SAME_ORDER if sorted(one.value) == sorted(other.value) else ""
        if one.type == TIME and self._path in ("json", "mime"):
            return ROUNDED if abs(one.value - other.value) < 10_000_000 else ""
        known = _MEANINGS.get(key)
        if known is None or not all(isinstance(v.value, bytes | memoryview) for v in (one, other)):
            return ""
        parse, reason = known
        try:
            return reason if parse(one.value) == parse(other.value) else ""
        except BlobError:
            return ""  # not understood, so the octets decide

    # Groups -----------------------------------------------------------------------------------------------------

    def _address(self, properties: Properties, person: _Person) -> tuple[str, str] | None:
        """(type, address) in lower case; SMTP wherever it is known. None where there is no address."""
        kind = properties.text(person.type).upper()
        address = properties.text(person.address).lower()
        smtp = properties.text(person.smtp).lower() if person.smtp is not None else ""
        if not address:
            for key in person.others:
                octets = properties.binary(key)
                try:
                    entry = parse_entry_id(octets) if octets else None
                except BlobError:
                    continue
                if isinstance(entry, OneOff):
                    kind, address = entry.address_type.upper(), entry.address.lower()
                elif isinstance(entry, DirectoryEntry):
                    kind, address = "EX", entry.dn.lower()
                if address:
                    break
        if kind == "SMTP" and address:
            return ("SMTP", address)
        if smtp:
            return ("SMTP", smtp)
        if kind == "EX" and address in self._directory:
            return ("SMTP", self._directory[address])
        return (kind, address) if address else None

    def _bodies(self, left: Properties, right: Properties) -> dict[Key, str]:
        """Bodies that may differ: those that the store makes from the native one, and one that says the same."""
        said_alike = {
            key
            for key in _BODIES.values()
            if (body := _body(left, key)) is not None and body == _body(right, key)
        }
        excused: dict[Key, str] = dict.fromkeys(said_alike, SAME_TEXT)
        native = _BODIES.get(left.integer(p.PidTagNativeBody))
        if native in said_alike:
            for key in _BODIES.values():
                excused.setdefault(key, SAME_BODY)
            excused[p.PidTagRtfInSync] = SAME_BODY
        if p.PidTagHtml in said_alike and left.typed(p.PidTagHtml) != right.typed(p.PidTagHtml):
            excused[p.PidTagInternetCodepage] = SAME_TEXT
        return excused

    def _reminder(self, left: Properties, right: Properties) -> dict[Key, str]:
        if _due(left) == _due(right):
            return dict.fromkeys((p.PidLidReminderSet, *_REMINDER), SAME_REMINDER)
        return {}


def name_of_safe(key: Key) -> str:
    """`name_of`, harmless to a terminal: names of properties come from the item."""
    return harmless(name_of(key), 80)


def _due(properties: Properties) -> int | None:
    """FILETIME at which a reminder comes up; None without one."""
    if not properties.flag(p.PidLidReminderSet):
        return None
    signal = properties.get(p.PidLidReminderSignalTime)
    if isinstance(signal, int):
        return signal
    when = properties.get(p.PidLidReminderTime)
    return when - properties.integer(p.PidLidReminderDelta) * 600_000_000 if isinstance(when, int) else 0


def _body(properties: Properties, key: Key) -> str | bytes | None:
    """A body with line ends made one, as text where its code page is known."""
    value = properties.get(key)
    if key == p.PidTagRtfCompressed and isinstance(value, bytes | memoryview):
        try:
            return decompress(value)
        except BlobError:
            return bytes(value)
    if isinstance(value, str):
        return _one_line_end(value)
    if isinstance(value, bytes | memoryview):
        to_text = decoder(properties.integer(p.PidTagInternetCodepage, 1252) & 0xFFFF)
        return _one_line_end(to_text(bytes(value))) if to_text else bytes(value)
    return None


def _one_line_end(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")


def _folded(properties: Properties) -> Properties:
    """Header names in lower case; without PtypErrorCode, which stands for a value that is not there."""
    if not any(
        value.type == ERROR or (isinstance(key, Named) and key.guid == p.PS_INTERNET_HEADERS)
        for key, value in properties.items()
    ):
        return properties
    made = Properties()
    for key, value in properties.items():
        if value.type == ERROR:
            continue
        if isinstance(key, Named) and key.guid == p.PS_INTERNET_HEADERS and key.name is not None:
            lower = Named(key.guid, name=key.name.lower())
            key = key if lower in made else lower
        made[key] = value
    return made


def _equal(one: Value | None, other: Value | None) -> bool:
    if one is None or other is None:
        value = other if one is None else one
        return value is None or (value.type in (STRING, STRING8) and len(value.value) == 0)
    if one.value == other.value:
        texts = isinstance(one.value, str) and isinstance(other.value, str)
        return one.type == other.type or texts
    return one.type == other.type and _same_numbers(one.value, other.value)


def _same_numbers(one: Any, other: Any) -> bool:
    """NaN is itself."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            a == b or _same_numbers(a, b) for a, b in zip(one, other, strict=True)
        )
    return bool(one != one and other != other)


def _counts(bits: int, one: Value | None, other: Value | None) -> bool:
    """Whether a difference concerns bits that count in spite of a rule."""
    if not bits:
        return False
    numbers = [v.value if v is not None and isinstance(v.value, int) else 0 for v in (one, other)]
    return (numbers[0] ^ numbers[1]) & bits != 0


def _pairs(
    left: list[Any], right: list[Any], keys: list[Callable[[Any], object]]
) -> list[tuple[tuple[int, Any] | None, tuple[int, Any] | None]]:
    """Partners by the first key that finds one, in the order of `left`; then what is only in `right`."""
    partner: dict[int, int] = {}
    taken: set[int] = set()
    for key in keys:
        waiting: dict[object, list[int]] = {}
        for index in range(len(right) - 1, -1, -1):
            if index not in taken:
                waiting.setdefault(key(right[index]), []).append(index)
        for index, one in enumerate(left):
            if index not in partner and (free := waiting.get(key(one))):
                partner[index] = free.pop()
                taken.add(partner[index])
    pairs: list[tuple[tuple[int, Any] | None, tuple[int, Any] | None]] = []
    for index, one in enumerate(left):
        found = partner.get(index)
        pairs.append(((index, one), None if found is None else (found, right[found])))
    pairs += [(None, (index, other)) for index, other in enumerate(right) if index not in taken]
    return pairs


def _content(attachment: Attachment) -> object:
    data = attachment.properties.get(p.PidTagAttachDataBinary)
    digest = hashlib.sha256(data).digest() if isinstance(data, bytes | memoryview) else b""
    inner = attachment.embedded
    return (
        _file_name(attachment),
        digest,
        _subject(inner) if inner else "",
        attachment.properties.get(0x7FF9),
    )


def _file_name(attachment: Attachment) -> str:
    own = attachment.properties
    return own.text(0x3707) or own.text(0x3704) or own.text(0x3001)


def _named(recipient: Properties) -> str:
    name, address = recipient.text(0x3001), recipient.text(0x39FE) or recipient.text(0x3003)
    return harmless(f"{name} <{address}>" if address else name, 80)


def _named_attachment(attachment: Attachment) -> str:
    data = attachment.properties.get(p.PidTagAttachDataBinary)
    size = f" ({len(data)} octets)" if isinstance(data, bytes | memoryview) else ""
    return f'"{harmless(_file_name(attachment), 60)}"{size}'


def _subject(message: Message) -> str:
    return f'"{harmless(message.properties.text(p.PidTagSubject), 60)}"'


def _join(at: str, part: str) -> str:
    return f"{at} / {part}" if at else part
