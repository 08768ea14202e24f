"""A tree, or what differs between two, as text and as JSON. Names instead of hex, values shortened, terminal-safe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

from migrator.mapi import properties as p
from migrator.mapi.blobs import (
    BlobError,
    DirectoryEntry,
    OneOff,
    parse_conversation_index,
    parse_entry_id,
    parse_global_object_id,
    parse_time_zone_definition,
)
from migrator.mapi.compare import Class, Difference, name_of_safe
from migrator.mapi.dictionary import type_name
from migrator.mapi.item import Key, Message, Properties, Value, datetime_of
from migrator.mapi.recurrence import describe, parse_pattern, parse_recurrence
from migrator.mapi.values import harmless, shown


def tree_text(message: Message, *, width: int = 80) -> str:
    """The whole tree, one property a line, indented by nesting; ends with a line end."""
    return "".join(line + "\n" for line in _tree(message, "", width))


def _tree(message: Message, indent: str, width: int) -> Iterator[str]:
    yield f"{indent}message {harmless(message.properties.text(p.PidTagMessageClass) or '(no class)', 60)}"
    yield from _lines(message.properties, indent + "  ", width)
    for index, recipient in enumerate(message.recipients):
        yield f"{indent}  recipient {index}"
        yield from _lines(recipient, indent + "    ", width)
    for index, attachment in enumerate(message.attachments):
        yield f"{indent}  attachment {index}"
        yield from _lines(attachment.properties, indent + "    ", width)
        if attachment.embedded is not None:
            yield from _tree(attachment.embedded, indent + "    ", width)


def _lines(properties: Properties, indent: str, width: int) -> Iterator[str]:
    for key, value in properties.items():
        said = _said(key, value)
        yield f"{indent}{name_of_safe(key)} = {shown(value, width)}{f'  # {said}' if said else ''}"


def tree_json(message: Message, *, width: int | None = 80) -> dict[str, Any]:
    """The tree for json.dumps: per property its name, type and value. width None: texts and octets (as hex) in full."""
    made: dict[str, Any] = {"properties": _properties(message.properties, width)}
    made["recipients"] = [_properties(recipient, width) for recipient in message.recipients]
    made["attachments"] = [
        {"properties": _properties(a.properties, width)}
        | ({} if a.embedded is None else {"message": tree_json(a.embedded, width=width)})
        for a in message.attachments
    ]
    return made


def _properties(properties: Properties, width: int | None) -> list[dict[str, Any]]:
    rows = []
    for key, value in properties.items():
        row: dict[str, Any] = {"name": name_of_safe(key), "type": type_name(value.type)}
        row["value"] = _plain(value.type, value.value, width)
        if said := _said(key, value):
            row["meaning"] = said
        rows.append(row)
    return rows


def _plain(kind: int, value: Any, width: int | None) -> Any:
    if isinstance(value, list):
        return [_plain(kind & 0x0FFF, v, width) for v in value]
    if isinstance(value, str):
        return harmless(value, width) if width is not None else value
    if isinstance(value, bytes | memoryview):
        if width is None or 2 * len(value) <= width:
            return bytes(value).hex()
        return shown(Value(kind, value), width)
    if kind == 0x0040:
        moment = datetime_of(value)
        return moment.isoformat() if moment else value
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return repr(value)  # JSON has no word for it
    return str(value) if isinstance(value, UUID) else value


def _said(key: Key, value: Value) -> str:
    """What a binary value says, for those that a person would ask about."""
    octets = value.value
    if not isinstance(octets, bytes | memoryview) or not octets:
        return ""
    try:
        said = _meaning(key, octets)
    except BlobError:
        return ""
    return harmless(said, 120)


def _meaning(key: Key, octets: bytes | memoryview) -> str:
    if key == p.PidLidAppointmentRecur:
        return describe(parse_recurrence(octets))
    if key == p.PidLidTaskRecurrence:
        return describe(parse_pattern(octets)[0])
    if key == p.PidTagConversationIndex:
        index = parse_conversation_index(octets)
        return f"conversation {index.guid}, {len(index.replies)} replies"
    if key in (p.PidLidGlobalObjectId, p.PidLidCleanGlobalObjectId):
        value = parse_global_object_id(octets)
        occurrence = "" if value.instance is None else " on {:04}-{:02}-{:02}".format(*value.instance)
        return f"UID {value.uid}{occurrence}"
    if key in _ZONES:
        return parse_time_zone_definition(octets).name
    if key in _ENTRY_IDS:
        entry = parse_entry_id(octets)
        if isinstance(entry, OneOff):
            return f"{entry.address_type}:{entry.address}"
        if isinstance(entry, DirectoryEntry):
            return f"EX:{entry.dn}"
    return ""


_ZONES = (
    p.PidLidAppointmentTimeZoneDefinitionStartDisplay,
    p.PidLidAppointmentTimeZoneDefinitionEndDisplay,
    p.PidLidAppointmentTimeZoneDefinitionRecur,
)
_ENTRY_IDS = (
    p.PidTagEntryId,
    p.PidTagRecipientEntryId,
    p.PidTagSenderEntryId,
    p.PidTagSentRepresentingEntryId,
    p.PidTagReceivedByEntryId,
    p.PidTagReceivedRepresentingEntryId,
    p.PidLidEmail1OriginalEntryId,
    p.PidLidEmail2OriginalEntryId,
    p.PidLidEmail3OriginalEntryId,
)


def differences_text(differences: Iterable[Difference], *, all_classes: bool = False) -> str:
    """One difference a line, those that count first; without the others only their number is told, unless all_classes."""
    listed = list(differences)
    order = list(Class)
    counted = {c: sum(1 for d in listed if d.class_ is c) for c in order}
    lines = []
    for class_ in order:
        if class_ in (Class.VOLATILE, Class.NORMALISED) and not all_classes:
            continue
        lines += [_line(d) for d in listed if d.class_ is class_]
    total = ", ".join(f"{number} {class_}" for class_, number in counted.items() if number) or "no difference"
    return "".join(line + "\n" for line in (*lines, total))


def _line(d: Difference) -> str:
    place = f"{d.path}: " if d.path else ""
    reason = f"  ({d.reason})" if d.reason else ""
    if d.class_ is Class.LOST:
        return f"lost        {place}{d.name} = {d.left}{reason}"
    if d.class_ is Class.ADDED:
        return f"added       {place}{d.name} = {d.right}{reason}"
    return f"{d.class_:<11} {place}{d.name}: {d.left} → {d.right}{reason}"


def differences_json(differences: Iterable[Difference]) -> list[dict[str, Any]]:
    return [
        {
            "class": str(d.class_),
            "path": d.path,
            "name": d.name,
            "left": d.left,
            "right": d.right,
            "reason": d.reason,
            "counts": d.counts,
        }
        for d in differences
    ]
