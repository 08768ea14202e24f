"""iCalendar and vCard read into property trees, as CreateItem's MimeContent takes them: one event, one contact.

Only what a rehearsal needs: title, times, place, text, UID; names and ways to reach a person. RFC 5545, RFC 2426;
MS-OXCICAL 2.1.3.1.1.20.26 (UID ↔ PidLidGlobalObjectId).
"""

from __future__ import annotations

import re
import struct
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from migrator.lab.ews.envelope import Refused
from migrator.mapi import item as mapi
from migrator.mapi import properties as p
from migrator.mapi.item import Key, Message, Properties

_ENCODED_UID = bytes.fromhex("040000008200e00074c5b7101a82e008")


def _lines(data: bytes) -> list[tuple[str, dict[str, str], str]]:
    """(name, parameters, value) of unfolded lines."""
    text = data.decode("utf-8", "replace").replace("\r\n", "\n").replace("\n ", "").replace("\n\t", "")
    found = []
    for line in text.split("\n"):
        head, colon, value = line.partition(":")
        if not colon:
            continue
        name, *parameters = head.split(";")
        pairs = dict(one.upper().partition("=")[::2] for one in parameters)
        raw = dict(one.partition("=")[::2] for one in parameters)
        if "TZID" in pairs:
            pairs["TZID"] = next((v.strip('"') for k, v in raw.items() if k.upper() == "TZID"), "")
        found.append((name.upper(), pairs, value))
    return found


def _plain(value: str) -> str:
    return re.sub(r"\\([nN;,\\])", lambda m: "\r\n" if m[1] in "nN" else m[1], value)


def _moment(parameters: dict[str, str], value: str) -> datetime | None:
    try:
        if re.fullmatch(r"\d{8}", value):
            return datetime.strptime(value, "%Y%m%d").replace(tzinfo=UTC)
        moment = datetime.strptime(value.rstrip("Z"), "%Y%m%dT%H%M%S")
    except ValueError:
        return None
    if value.endswith("Z") or not parameters.get("TZID"):
        return moment.replace(tzinfo=UTC)
    try:
        return moment.replace(tzinfo=ZoneInfo(parameters["TZID"]))
    except (ZoneInfoNotFoundError, ValueError):
        return moment.replace(tzinfo=UTC)


def event(data: bytes) -> Message:
    """Raises Refused when there is no VEVENT, or a series (which the lab takes by UploadItems only)."""
    lines = _lines(data)
    if not any(name == "BEGIN" and value.strip().upper() == "VEVENT" for name, _, value in lines):
        raise Refused("ErrorMimeContentInvalid", "The MIME content holds no VEVENT.")
    made = Message()
    props = made.properties
    inside, start, end = False, None, None
    for name, parameters, value in lines:
        mark = value.strip().upper()
        if name in ("BEGIN", "END") and mark == "VEVENT":
            inside = name == "BEGIN"
        elif name == "BEGIN" and inside:
            inside = False  # an alarm: its lines are not the event's
        elif name == "END" and mark == "VALARM":
            inside = True
        elif not inside:
            continue
        elif name == "SUMMARY":
            for key in (p.PidTagSubject, p.PidTagNormalizedSubject):
                props.set(key, mapi.STRING, _plain(value)[:255])
        elif name == "LOCATION":
            props.set(p.PidLidLocation, mapi.STRING, _plain(value))
        elif name == "DESCRIPTION":
            props.set(p.PidTagBody, mapi.STRING, _plain(value))
        elif name == "UID":
            set_uid(props, value.strip())
        elif name == "RRULE":
            raise Refused("ErrorCalendarInvalidRecurrence", "The lab takes series by UploadItems only.")
        elif name == "DTSTART":
            start = _moment(parameters, value.strip())
            props.set(p.PidLidAppointmentSubType, mapi.BOOLEAN, parameters.get("VALUE") == "DATE")
        elif name == "DTEND":
            end = _moment(parameters, value.strip())
    if start is None:
        raise Refused("ErrorMimeContentInvalid", "The event has no start.")
    if end is None or end < start:
        end = start + timedelta(days=1 if props.flag(p.PidLidAppointmentSubType) else 0)
    whens: tuple[tuple[Key, datetime], ...] = (
        (p.PidLidAppointmentStartWhole, start),
        (p.PidLidAppointmentEndWhole, end),
        (p.PidLidCommonStart, start),
        (p.PidLidCommonEnd, end),
        (p.PidTagStartDate, start),
        (p.PidTagEndDate, end),
    )
    for moment_key, moment in whens:
        props.set(moment_key, mapi.TIME, moment)
    props.set(p.PidLidAppointmentDuration, mapi.INT32, (end - start) // timedelta(minutes=1))
    props.set(p.PidLidBusyStatus, mapi.INT32, 2)
    return made


def set_uid(props: Properties, uid: str) -> None:
    """UID → PidLidGlobalObjectId and its clean twin."""
    raw = b""
    if len(uid) % 2 == 0 and uid[:32].lower() == _ENCODED_UID.hex():
        try:
            raw = bytes.fromhex(uid)
        except ValueError:
            raw = b""
    if not raw:
        inner = b"vCal-Uid\x01\x00\x00\x00" + uid.encode("utf-8") + b"\x00"
        raw = _ENCODED_UID + b"\x00" * 20 + struct.pack("<I", len(inner)) + inner
    for key in (p.PidLidGlobalObjectId, p.PidLidCleanGlobalObjectId):
        props.set(key, mapi.BINARY, raw)


_PHONES: tuple[tuple[str, Key], ...] = (
    ("CELL", p.PidTagMobileTelephoneNumber),
    ("FAX", p.PidTagBusinessFaxNumber),
    ("HOME", p.PidTagHomeTelephoneNumber),
    ("WORK", p.PidTagBusinessTelephoneNumber),
)


def contact(data: bytes) -> Message:
    """Raises Refused when there is no VCARD."""
    lines = _lines(data)
    if not any(name == "BEGIN" and value.strip().upper() == "VCARD" for name, _, value in lines):
        raise Refused("ErrorMimeContentInvalid", "The MIME content holds no VCARD.")
    made = Message()
    props = made.properties
    mails = [p.PidLidEmail1EmailAddress, p.PidLidEmail2EmailAddress, p.PidLidEmail3EmailAddress]
    for name, parameters, value in lines:
        marks = ",".join((*parameters, *parameters.values()))
        if name == "FN":
            props.set(p.PidTagDisplayName, mapi.STRING, _plain(value))
            props.set(p.PidTagSubject, mapi.STRING, _plain(value)[:255])
        elif name == "N":
            for key, one in zip(
                (p.PidTagSurname, p.PidTagGivenName, p.PidTagMiddleName), value.split(";"), strict=False
            ):
                if one.strip():
                    props.set(key, mapi.STRING, _plain(one))
        elif name == "EMAIL" and mails:
            props.set(mails.pop(0), mapi.STRING, _plain(value))
        elif name == "TEL":
            phone = next((found for mark, found in _PHONES if mark in marks), p.PidTagOtherTelephoneNumber)
            props.set(phone, mapi.STRING, _plain(value))
        elif name == "ORG":
            props.set(p.PidTagCompanyName, mapi.STRING, _plain(value.split(";")[0]))
        elif name == "TITLE":
            props.set(p.PidTagTitle, mapi.STRING, _plain(value))
        elif name == "NOTE":
            props.set(p.PidTagBody, mapi.STRING, _plain(value))
    return made
