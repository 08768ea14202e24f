"""Extended properties: MAPI properties asked for and set by t:ExtendedFieldURI.

Facts this module rests on (learn.microsoft.com/…/web-service-reference/extendedfielduri, MS-OXWSXPROP):
- either PropertyTag alone, or a property set (distinguished name or GUID) with PropertyId (decimal) or PropertyName
- tags from 0x8000 on cannot be asked for by tag; Error, Null and Object cannot be asked for at all
- the type is part of the question: a property of another type counts as absent
- listings cut strings at 255 characters and binaries at 512 octets
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from lxml import etree

from migrator.lab.ews.envelope import Refused, T, text
from migrator.mapi import item as mapi
from migrator.mapi import properties as names
from migrator.mapi.item import Key, Named, Properties, datetime_of, filetime

_SETS = {
    "Meeting": names.PSETID_MEETING,
    "Appointment": names.PSETID_APPOINTMENT,
    "Common": names.PSETID_COMMON,
    "PublicStrings": names.PS_PUBLIC_STRINGS,
    "Address": names.PSETID_ADDRESS,
    "InternetHeaders": names.PS_INTERNET_HEADERS,
    "CalendarAssistant": names.PSETID_CALENDAR_ASSISTANT,
    "UnifiedMessaging": names.PSETID_UNIFIED_MESSAGING,
    "Task": names.PSETID_TASK,
    "Sharing": names.PSETID_SHARING,
}
TYPES = {
    "ApplicationTime": mapi.APPTIME,
    "Binary": mapi.BINARY,
    "Boolean": mapi.BOOLEAN,
    "CLSID": mapi.GUID,
    "Currency": mapi.CURRENCY,
    "Double": mapi.FLOAT64,
    "Float": mapi.FLOAT32,
    "Integer": mapi.INT32,
    "Long": mapi.INT64,
    "Short": mapi.INT16,
    "String": mapi.STRING,
    "SystemTime": mapi.TIME,
}
_WHOLE = {mapi.INT16: 16, mapi.INT32: 32, mapi.INT64: 64, mapi.CURRENCY: 64}


@dataclass(frozen=True, slots=True)
class Path:
    """One ExtendedFieldURI. type: MAPI type code; xml: how Exchange repeats it in answers."""

    key: Key
    type: int
    xml: bytes

    def wrap(self, value: Any, *, cut: bool = False) -> bytes:
        """<t:ExtendedProperty> with a value of `type`."""
        if self.type & mapi.MULTIPLE:
            inner = b"".join(
                b"<t:Value>%b</t:Value>" % show(self.type & ~mapi.MULTIPLE, one, cut=cut) for one in value
            )
            if not inner:
                return b""
            return b"<t:ExtendedProperty>%b<t:Values>%b</t:Values></t:ExtendedProperty>" % (self.xml, inner)
        return b"<t:ExtendedProperty>%b<t:Value>%b</t:Value></t:ExtendedProperty>" % (
            self.xml,
            show(self.type, value, cut=cut),
        )

    def of(self, properties: Properties) -> Any:
        """The plain value if it is there with this type, else None."""
        found = properties.typed(self.key)
        if found is None:
            return None
        if found.type == self.type:
            return found.value
        if self.type == mapi.STRING and found.type == mapi.STRING8:
            return bytes(found.value).decode("latin-1")
        return None


def path(uri: etree._Element) -> Path:
    """Raises Refused with the codes that Exchange has for paths that make no sense."""
    type_name = uri.get("PropertyType", "")
    array = type_name.endswith("Array")
    code = TYPES.get(type_name.removesuffix("Array"))
    if code is None:
        raise Refused(
            "ErrorUnsupportedMapiPropertyType", f"The MAPI property type {type_name} is not supported."
        )
    if array:
        code |= mapi.MULTIPLE
    tag = uri.get("PropertyTag")
    set_name, set_guid = uri.get("DistinguishedPropertySetId"), uri.get("PropertySetId")
    name, lid = uri.get("PropertyName"), uri.get("PropertyId")
    if tag is not None:
        if set_name or set_guid or name or lid:
            raise _bad("A property tag cannot be combined with a property set, name or id.")
        number = int(tag, 0)
        if number >= 0x8000:
            raise Refused(
                "ErrorNoPropertyTagForCustomProperties",
                "Custom properties (0x8000 and above) must be named by property set and id or name.",
            )
        return Path(
            number,
            code,
            b'<t:ExtendedFieldURI PropertyTag="0x%x" PropertyType="%b"/>' % (number, type_name.encode()),
        )
    if bool(set_name) == bool(set_guid) or (name is None) == (lid is None):
        raise _bad("An extended property needs one property set and either a name or an id.")
    guid = _SETS[set_name] if set_name else UUID(set_guid)
    shown = (
        b'DistinguishedPropertySetId="%b"' % text(set_name)
        if set_name
        else b'PropertySetId="%b"' % str(guid).encode()
    )
    if name is not None:
        if not name:
            raise _bad("The property name is empty.")
        key, which = Named(guid, name=name), b'PropertyName="%b"' % text(name)
    else:
        key, which = Named(guid, int(lid or "0")), b'PropertyId="%b"' % str(int(lid or "0")).encode()
    return Path(
        key, code, b'<t:ExtendedFieldURI %b %b PropertyType="%b"/>' % (shown, which, type_name.encode())
    )


def _bad(why: str) -> Refused:
    return Refused(
        "ErrorInvalidExtendedProperty", f"The extended property attribute combination is invalid. {why}"
    )


def when(moment: datetime) -> str:
    """A time as EWS writes it."""
    return (
        moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        if moment.year >= 1000
        else f"{moment.year:04}-01-01T00:00:00Z"
    )


def show(type_: int, value: Any, *, cut: bool = False) -> bytes:
    """One value as text."""
    if type_ == mapi.BOOLEAN:
        return b"true" if value else b"false"
    if type_ in _WHOLE:
        return str(value).encode()
    if type_ == mapi.STRING:
        return text(value[:255] if cut else value)
    if type_ == mapi.BINARY:
        return b64encode(bytes(value)[:512] if cut else bytes(value))
    if type_ == mapi.TIME:
        moment = datetime_of(value) if isinstance(value, int) else value
        return when(moment).encode() if moment is not None else b"9999-12-31T23:59:59Z"
    return text(str(value))


def values(extended: etree._Element) -> tuple[Path, Any]:
    """Path and value of a t:ExtendedProperty in a request. Raises Refused."""
    uri = extended.find(f"{T}ExtendedFieldURI")
    assert uri is not None
    where = path(uri)
    many = extended.find(f"{T}Values")
    if (many is not None) != bool(where.type & mapi.MULTIPLE):
        raise Refused(
            "ErrorInvalidExtendedPropertyValue", "The extended property value does not fit its type."
        )
    if many is not None:
        return where, [_read(where.type & ~mapi.MULTIPLE, one.text or "") for one in many]
    return where, _read(where.type, extended.findtext(f"{T}Value") or "")


def _read(type_: int, value: str) -> Any:
    try:
        if type_ == mapi.BOOLEAN:
            return {"true": True, "1": True, "false": False, "0": False}[value.strip().lower()]
        if type_ in _WHOLE:
            number, bits = int(value), _WHOLE[type_]
            if not -(1 << (bits - 1)) <= number < 1 << bits:
                raise ValueError(value)
            return number
        if type_ in (mapi.FLOAT32, mapi.FLOAT64, mapi.APPTIME):
            return float(value)
        if type_ == mapi.BINARY:
            return b64decode("".join(value.split()), validate=True)
        if type_ == mapi.TIME:
            return filetime(read_time(value))
        if type_ == mapi.GUID:
            return UUID(value)
    except (ValueError, KeyError, OverflowError, binascii.Error):
        raise Refused(
            "ErrorInvalidExtendedPropertyValue", "The extended property value does not fit its type."
        ) from None
    return value


def read_time(value: str) -> datetime:
    """An xs:dateTime; without an offset it is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(value.strip().replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
