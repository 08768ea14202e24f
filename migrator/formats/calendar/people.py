"""Organiser and attendees ⇄ properties of sender and recipients (MS-OXCICAL 2.1.3.1.1.20.2 and .17)."""

from __future__ import annotations

import re
from typing import Final

from migrator.formats.contentlines import Line
from migrator.mapi import blobs
from migrator.mapi import properties as P
from migrator.mapi.item import BINARY, BOOLEAN, INT32, STRING, Message, Properties
from migrator.record import record

TO, CC, RESOURCE = 1, 2, 3
SENDABLE, ORGANIZER = 1, 2
# PARTSTAT ⇄ response status, MS-OXOCAL 2.2.1.11.
RESPONSES: Final = {"NEEDS-ACTION": 5, "ACCEPTED": 3, "DECLINED": 4, "TENTATIVE": 2, "DELEGATED": 5}
PARTSTATS: Final = {2: "TENTATIVE", 3: "ACCEPTED", 4: "DECLINED"}

# name, address type, address, entry id, search key, SMTP address
SENDER: Final = (
    P.PidTagSenderName,
    P.PidTagSenderAddressType,
    P.PidTagSenderEmailAddress,
    P.PidTagSenderEntryId,
    P.PidTagSenderSearchKey,
    P.PidTagSenderSmtpAddress,
)
REPRESENTING: Final = (
    P.PidTagSentRepresentingName,
    P.PidTagSentRepresentingAddressType,
    P.PidTagSentRepresentingEmailAddress,
    P.PidTagSentRepresentingEntryId,
    P.PidTagSentRepresentingSearchKey,
    P.PidTagSentRepresentingSmtpAddress,
)


@record
class Person:
    name: str
    address: str
    type: str = "SMTP"  # the address type; whatever stands before the colon where it is not mailto


def person_of(line: Line) -> Person | None:
    """Whom an ATTENDEE or ORGANIZER names; None when it names nobody."""
    value = line.value.strip()
    # A name with a bare colon in it has cut the line too early: the address is what follows mailto.
    found = re.search(r"mailto:\s*(.*)$", value, re.IGNORECASE | re.DOTALL)
    name = " ".join(line.parameter("CN").split())
    if found is not None:
        address = found[1].strip().strip("<>").strip()
    elif "@" in value:
        address = value.strip("<>")
    else:
        address = line.parameter("EMAIL")
        if not address and value and value.lower() not in ("invalid:nomail", "mailto"):
            return (
                Person((name or value)[:1000], value[:1000], "URI")
                if ":" in value
                else Person(value[:1000], "")
            )
    address = address.removeprefix("MAILTO:")[:1000]
    if not address and not name:
        return None
    return Person(name[:1000] or address, address)


def set_party(values: Properties, tags: tuple[int, int, int, int, int, int], person: Person) -> None:
    name, kind, address, entry, key, smtp = tags
    values.set(name, STRING, person.name)
    values.set(kind, STRING, person.type)
    values.set(address, STRING, person.address)
    values.set(entry, BINARY, blobs.build_one_off(person.name, person.type, person.address))
    values.set(key, BINARY, blobs.search_key(person.type, person.address))
    if person.type == "SMTP" and person.address:
        values.set(smtp, STRING, person.address)


def party(values: Properties, tags: tuple[int, int, int, int, int, int]) -> Person | None:
    shown, type_, mail = (values.text(tag) for tag in tags[:3])
    best = values.text(tags[5]) or (mail if type_.upper() in ("SMTP", "") else "")
    if not best and not shown and not mail:
        return None
    if best:
        return Person(shown or best, best)
    return Person(shown or mail, mail, type_ or "SMTP")


def recipient(
    person: Person, number: int, kind: int, *, flags: int = SENDABLE, response: int = 0
) -> Properties:
    r = Properties()
    r.set(P.PidTagRowid, INT32, number)
    r.set(P.PidTagRecipientType, INT32, kind)
    r.set(P.PidTagDisplayName, STRING, person.name)
    r.set(P.PidTagAddressType, STRING, person.type)
    r.set(P.PidTagEmailAddress, STRING, person.address)
    if person.type == "SMTP" and person.address:
        r.set(P.PidTagSmtpAddress, STRING, person.address)
    entry = blobs.build_one_off(person.name, person.type, person.address)
    r.set(P.PidTagEntryId, BINARY, entry)
    r.set(P.PidTagSearchKey, BINARY, blobs.search_key(person.type, person.address))
    r.set(P.PidTagObjectType, INT32, 6)
    r.set(P.PidTagDisplayType, INT32, 0)
    r.set(P.PidTagRecipientDisplayName, STRING, person.name)
    r.set(P.PidTagRecipientEntryId, BINARY, entry)
    r.set(P.PidTagRecipientFlags, INT32, flags)
    r.set(P.PidTagRecipientTrackStatus, INT32, response)
    r.set(P.PidTagSendRichInfo, BOOLEAN, False)
    return r


def person_of_recipient(row: Properties) -> Person | None:
    kind = row.text(P.PidTagAddressType).upper()
    mail = row.text(P.PidTagEmailAddress)
    name = row.text(P.PidTagDisplayName) or row.text(P.PidTagRecipientDisplayName)
    smtp = row.text(P.PidTagSmtpAddress) or (mail if kind in ("SMTP", "") else "")
    if smtp:
        return Person(name or smtp, smtp)
    if not name and not mail:
        return None
    return Person(name or mail, mail, kind or "SMTP")


def names(message: Message, *kinds: int) -> str:
    return "; ".join(
        row.text(P.PidTagDisplayName)
        for row in message.recipients
        if row.integer(P.PidTagRecipientType) in kinds and not row.integer(P.PidTagRecipientFlags) & ORGANIZER
    )
