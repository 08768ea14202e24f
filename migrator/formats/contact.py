"""vCard 2.1, 3.0 and 4.0 ⇄ contacts and personal distribution lists.

RFC 2426, RFC 6350; MS-OXVCARD is the map, MS-OXOCNTC says what the properties hold. An item has three e-mail addresses,
three postal addresses and named places for telephone numbers: what a card has beyond that is written into the item's text,
line by line, and noted, so that nobody's number is lost. Groups (KIND:group, X-ADDRESSBOOKSERVER-KIND) become distribution
lists with one-off members.
"""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import field
from datetime import UTC, datetime
from typing import Final

from migrator.formats.bodies import text_and_html
from migrator.formats.contentlines import (
    Component,
    Line,
    escape,
    fold,
    from_base64,
    parameter,
    read,
    split,
    unescape,
)
from migrator.formats.converted import Converted, Notes, Written
from migrator.formats.errors import FormatError
from migrator.mapi import blobs
from migrator.mapi import properties as P
from migrator.mapi.item import (
    BINARY,
    BOOLEAN,
    INT32,
    MULTIPLE,
    STRING,
    TIME,
    Attachment,
    Key,
    Message,
    Named,
    Properties,
    datetime_of,
)
from migrator.record import record

MOST_CARDS: Final = 50_000
MOST_MEMBERS: Final = 10_000
_LIST_STREAM: Final = 15_000
"""Octets of a member property at most; larger lists are kept as a stream (MS-OXOCNTC 2.2.2.2.4)."""

# (display name, address type, address, original display name, original entry id)
EMAILS: Final = (
    (
        P.PidLidEmail1DisplayName,
        P.PidLidEmail1AddressType,
        P.PidLidEmail1EmailAddress,
        P.PidLidEmail1OriginalDisplayName,
        P.PidLidEmail1OriginalEntryId,
    ),
    (
        P.PidLidEmail2DisplayName,
        P.PidLidEmail2AddressType,
        P.PidLidEmail2EmailAddress,
        P.PidLidEmail2OriginalDisplayName,
        P.PidLidEmail2OriginalEntryId,
    ),
    (
        P.PidLidEmail3DisplayName,
        P.PidLidEmail3AddressType,
        P.PidLidEmail3EmailAddress,
        P.PidLidEmail3OriginalDisplayName,
        P.PidLidEmail3OriginalEntryId,
    ),
)
PidTagCallbackTelephoneNumber: Final = 0x3A02
PidTagRadioTelephoneNumber: Final = 0x3A1D
PidTagCarTelephoneNumber: Final = 0x3A1E
PidTagIsdnNumber: Final = 0x3A2D
PidTagTelexNumber: Final = 0x3A2C
PidTagAssistantTelephoneNumber: Final = 0x3A2E
PidTagHomeAddressPostOfficeBox: Final = 0x3A5E
PidTagOtherAddressPostOfficeBox: Final = 0x3A64
PidTagCompanyMainTelephoneNumber: Final = 0x3A57
PidTagTelecommunicationsDeviceForDeafTelephoneNumber: Final = 0x3A4B
PidTagGender: Final = 0x3A4D
PidLidFreeBusyLocation: Final = Named(P.PSETID_ADDRESS, 0x80D8)
_UID: Final = Named(P.PS_PUBLIC_STRINGS, name="urn:schemas:contacts:uid")

# Telephone kinds in the order in which they are tried: the words that a TEL must have, then its places.
_PHONES: Final[tuple[tuple[frozenset[str], tuple[int, ...]], ...]] = (
    (frozenset({"x-ms-tel", "callback"}), (PidTagCallbackTelephoneNumber,)),
    (frozenset({"callback"}), (PidTagCallbackTelephoneNumber,)),
    (frozenset({"x-radio"}), (PidTagRadioTelephoneNumber,)),
    (frozenset({"radio"}), (PidTagRadioTelephoneNumber,)),
    (frozenset({"company"}), (PidTagCompanyMainTelephoneNumber,)),
    (frozenset({"x-company"}), (PidTagCompanyMainTelephoneNumber,)),
    (frozenset({"assistant"}), (PidTagAssistantTelephoneNumber,)),
    (frozenset({"x-assistant"}), (PidTagAssistantTelephoneNumber,)),
    (frozenset({"home", "fax"}), (P.PidTagHomeFaxNumber,)),
    (frozenset({"work", "fax"}), (P.PidTagBusinessFaxNumber,)),
    (frozenset({"other", "fax"}), (P.PidTagPrimaryFaxNumber,)),
    (frozenset({"fax"}), (P.PidTagPrimaryFaxNumber, P.PidTagBusinessFaxNumber, P.PidTagHomeFaxNumber)),
    (frozenset({"pager"}), (P.PidTagPagerTelephoneNumber,)),
    (frozenset({"car"}), (PidTagCarTelephoneNumber,)),
    (frozenset({"isdn"}), (PidTagIsdnNumber,)),
    (frozenset({"tlx"}), (PidTagTelexNumber,)),
    (frozenset({"textphone"}), (PidTagTelecommunicationsDeviceForDeafTelephoneNumber,)),
    (frozenset({"cell"}), (P.PidTagMobileTelephoneNumber,)),
    (frozenset({"mobile"}), (P.PidTagMobileTelephoneNumber,)),
    (frozenset({"iphone"}), (P.PidTagMobileTelephoneNumber,)),
    (frozenset({"work"}), (P.PidTagBusinessTelephoneNumber, P.PidTagBusiness2TelephoneNumber)),
    (frozenset({"home"}), (P.PidTagHomeTelephoneNumber, P.PidTagHome2TelephoneNumber)),
    (frozenset({"main"}), (P.PidTagPrimaryTelephoneNumber,)),
    (frozenset({"pref"}), (P.PidTagPrimaryTelephoneNumber,)),
    (frozenset(), (P.PidTagOtherTelephoneNumber, P.PidTagPrimaryTelephoneNumber)),
)
_PHONE_TYPES: Final[tuple[tuple[int, str], ...]] = (
    (P.PidTagBusinessTelephoneNumber, "WORK,VOICE"),
    (P.PidTagBusiness2TelephoneNumber, "WORK,VOICE"),
    (P.PidTagHomeTelephoneNumber, "HOME,VOICE"),
    (P.PidTagHome2TelephoneNumber, "HOME,VOICE"),
    (P.PidTagMobileTelephoneNumber, "CELL,VOICE"),
    (P.PidTagPrimaryTelephoneNumber, "MAIN"),
    (P.PidTagOtherTelephoneNumber, "VOICE"),
    (P.PidTagBusinessFaxNumber, "WORK,FAX"),
    (P.PidTagHomeFaxNumber, "HOME,FAX"),
    (P.PidTagPrimaryFaxNumber, "OTHER,FAX"),
    (P.PidTagPagerTelephoneNumber, "PAGER"),
    (PidTagCarTelephoneNumber, "CAR"),
    (PidTagIsdnNumber, "ISDN"),
    (PidTagTelexNumber, "TLX"),
    (PidTagTelecommunicationsDeviceForDeafTelephoneNumber, "TEXTPHONE"),
    (PidTagCompanyMainTelephoneNumber, "X-COMPANY"),
    (PidTagAssistantTelephoneNumber, "X-ASSISTANT"),
    (PidTagCallbackTelephoneNumber, "CALLBACK"),
    (PidTagRadioTelephoneNumber, "X-RADIO"),
)


@record
class _Place:
    """Where a postal address is kept. whole: the address as one text."""

    type: str
    box: Key
    street: Key
    city: Key
    state: Key
    code: Key
    country: Key
    whole: Key


_PLACES: Final = (
    _Place(
        "work",
        P.PidLidWorkAddressPostOfficeBox,
        P.PidLidWorkAddressStreet,
        P.PidLidWorkAddressCity,
        P.PidLidWorkAddressState,
        P.PidLidWorkAddressPostalCode,
        P.PidLidWorkAddressCountry,
        P.PidLidWorkAddress,
    ),
    _Place(
        "home",
        PidTagHomeAddressPostOfficeBox,
        P.PidTagHomeAddressStreet,
        P.PidTagHomeAddressCity,
        P.PidTagHomeAddressStateOrProvince,
        P.PidTagHomeAddressPostalCode,
        P.PidTagHomeAddressCountry,
        P.PidLidHomeAddress,
    ),
    _Place(
        "other",
        PidTagOtherAddressPostOfficeBox,
        P.PidTagOtherAddressStreet,
        P.PidTagOtherAddressCity,
        P.PidTagOtherAddressStateOrProvince,
        P.PidTagOtherAddressPostalCode,
        P.PidTagOtherAddressCountry,
        P.PidLidOtherAddress,
    ),
)
# Single texts: property, the names under which cards have it; the first one is written.
_TEXTS: Final[tuple[tuple[Key, tuple[str, ...]], ...]] = (
    (P.PidTagTitle, ("TITLE",)),
    (P.PidTagProfession, ("ROLE", "X-EVOLUTION-PROFESSION")),
    (P.PidTagManagerName, ("X-MS-MANAGER", "X-EVOLUTION-MANAGER", "X-MANAGER")),
    (P.PidTagAssistant, ("X-MS-ASSISTANT", "X-EVOLUTION-ASSISTANT", "X-ASSISTANT")),
    (P.PidTagSpouseName, ("X-MS-SPOUSE", "X-EVOLUTION-SPOUSE", "X-SPOUSE")),
    (P.PidLidYomiFirstName, ("X-PHONETIC-FIRST-NAME",)),
    (P.PidLidYomiLastName, ("X-PHONETIC-LAST-NAME",)),
    (P.PidLidYomiCompanyName, ("X-PHONETIC-ORG", "X-PHONETIC-COMPANY-NAME")),
    (PidLidFreeBusyLocation, ("FBURL",)),
    (P.PidTagOfficeLocation, ("X-MS-OFFICE", "X-EVOLUTION-OFFICE")),
)
_IM: Final = {
    "X-MS-IMADDRESS": "",
    "IMPP": "",
    "X-AIM": "aim",
    "X-ICQ": "icq",
    "X-JABBER": "xmpp",
    "X-MSN": "msn",
    "X-YAHOO": "yahoo",
    "X-SKYPE": "skype",
    "X-SKYPE-USERNAME": "skype",
    "X-GADUGADU": "gadu-gadu",
    "X-GROUPWISE": "groupwise",
    "X-QQ": "qq",
    "X-TWITTER": "twitter",
    "X-GTALK": "gtalk",
}
_SILENT: Final = frozenset(
    [
        "VERSION",
        "PRODID",
        "REV",
        "BEGIN",
        "END",
        "SOURCE",
        "PROFILE",
        "NAME",
        "MAILER",
        "SORT-STRING",
        "X-MS-OL-DEFAULT-POSTAL-ADDRESS",
        "X-ABLABEL",
        "X-EVOLUTION-FILE-AS",
        "KIND",
        "X-ADDRESSBOOKSERVER-KIND",
        "X-ABSHOWAS",
        "X-EVOLUTION-LIST",
        "X-EVOLUTION-LIST-SHOW-ADDRESSES",
        "X-MOZILLA-HTML",
        "X-EVOLUTION-WEBDAV-ETAG",
        "X-COUCHDB-APPLICATION-ANNOTATIONS",
        "X-ABUID",
        "CLIENTPIDMAP",
    ]
)


def read_vcf(raw: bytes) -> list[Converted]:
    """Contacts and distribution lists of a vCard file, in its order. Raises FormatError when there is none."""
    reading = read(raw)
    cards = [c for c in _all_cards(reading.components) if c.name == "VCARD"]
    if len(cards) > MOST_CARDS:
        raise FormatError(f"{len(cards)} cards", code="format_limit")
    if not cards:
        raise FormatError("no vCard", code="format_unsupported")
    uids = {_uid_key(card.text("UID")): card for card in cards if card.text("UID")}
    made = [_group(card, uids) if _is_group(card) else _contact(card) for card in cards]
    if reading.malformed:
        made[0] = Converted(made[0].message, (*made[0].notes, "line_malformed"))
    return made


def _all_cards(components: Iterable[Component]) -> list[Component]:
    found: list[Component] = []
    for component in components:
        found.append(component)
        found += _all_cards(component.children)  # a card inside another (AGENT), or one that was never ended
    return found


def _uid_key(uid: str) -> str:
    return uid.strip().removeprefix("urn:uuid:").lower()


def _is_group(card: Component) -> bool:
    kinds = {card.text("KIND").lower(), card.text("X-ADDRESSBOOKSERVER-KIND").lower()}
    return "group" in kinds or card.text("X-EVOLUTION-LIST").upper() == "TRUE"


# Contacts ------------------------------------------------------------------------------------------------------------


@record(frozen=False)
class _Card:
    """A card being read: what it says, what becomes of it, and what found no place."""

    component: Component
    message: Message = field(default_factory=Message)
    notes: Notes = field(default_factory=Notes)
    further: list[str] = field(default_factory=list)  # lines for the item's text
    labels: dict[str, str] = field(default_factory=dict)  # of Apple's groups

    @property
    def p(self) -> Properties:
        return self.message.properties

    def set(self, key: Key, text: str) -> bool:
        """Puts a text into a place that is free; whether it was."""
        text = text.strip()
        if not text:
            return True
        if self.p.text(key):
            return self.p.text(key) == text
        self.p.set(key, STRING, text)
        return True

    def over(self, what: str, text: str) -> None:
        """There is no place left: the item's text takes it."""
        self.further.append(f"{what}: {' '.join(text.split())}")
        self.notes.add("contact_overflow")


def _contact(component: Component) -> Converted:
    card = _Card(component)
    p = card.p
    for line in component.all("X-ABLABEL"):
        if line.group:
            card.labels[line.group] = re.sub(r"^_\$!<(.*)>!\$_$", r"\1", line.text()).strip().lower()
    p.set(P.PidTagMessageClass, STRING, "IPM.Contact")
    p.set(P.PidTagMessageFlags, INT32, 1)
    p.set(P.PidTagIconIndex, INT32, 0x200)
    p.set(P.PidLidSideEffects, INT32, 0x110)
    _names(card)
    _organisation(card)
    _emails(card)
    for line in component.all("TEL"):
        _phone(card, line)
    _addresses(card)
    for key, names in _TEXTS:
        for line in component.all(*names):
            if line.value.strip() and not card.set(key, line.text()):
                card.over(names[0].removeprefix("X-MS-").title(), line.text())
    _web(card)
    _chat(card)
    _dates(card)
    _related(card)
    _picture(card)
    _keys(card)
    _general(card)
    _note(card)
    _leftovers(card)
    return Converted(card.message, card.notes.all())


def _structured(line: Line, size: int, joined: str = "") -> list[str]:
    """Fields of a structured value. joined: what is put between several values in one field; "" where commas are text."""
    fields = []
    for one in line.fields():
        values = split(one, ",") if joined else [one]
        fields.append(joined.join(filter(None, (unescape(value).strip() for value in values))))
    return (fields + [""] * size)[: max(size, len(fields))]


def _names(card: _Card) -> None:
    p, component = card.p, card.component
    line = component.first("N")
    family = given = middle = prefix = suffix = ""
    if line is not None:
        # Several middle names stand between commas; vCard 2.1 knows no lists.
        joined = "" if component.text("VERSION") == "2.1" else " "
        family, given, middle, prefix, suffix = _structured(line, 5, joined)[:5]
    for further in component.all("N")[1:]:
        card.over("Name", " ".join(filter(None, _structured(further, 5, " "))))
    for further in component.all("FN")[1:]:
        card.over("Name", further.text())
    shown = component.text("FN") or component.text("NAME")
    company = component.first("ORG")
    for key, text in (
        (P.PidTagSurname, family),
        (P.PidTagGivenName, given),
        (P.PidTagMiddleName, middle),
        (P.PidTagDisplayNamePrefix, prefix),
        (P.PidTagGeneration, suffix),
    ):
        card.set(key, text)
    if not shown:
        shown = " ".join(filter(None, (prefix, given, middle, family, suffix)))
    nicknames = [text for one in component.all("NICKNAME") for text in one.texts() if text.strip()]
    card.set(P.PidTagNickname, ", ".join(nicknames))
    organisation = _structured(company, 1)[0] if company is not None else ""
    first = component.first("EMAIL")
    shown = shown or ", ".join(nicknames) or organisation or (_mail_of(first) if first else "")
    if line is None and shown and not organisation:
        p.set(P.PidTagGivenName, STRING, shown)  # without it, Outlook would show a contact without a name
    p.set(P.PidTagDisplayName, STRING, shown)
    for key in (P.PidTagSubject, P.PidTagNormalizedSubject, P.PidTagConversationTopic):
        p.set(key, STRING, shown)
    p.set(P.PidTagSubjectPrefix, STRING, "")
    file_as = component.text("X-EVOLUTION-FILE-AS") or component.text("X-MS-FILE-AS")
    if not file_as:
        file_as = f"{family}, {' '.join(filter(None, (given, middle)))}" if family and given else shown
    p.set(P.PidLidFileUnder, STRING, file_as)
    # By which rule it was made (MS-OXOCNTC 2.2.1.1.12): last name first, the display name, or by hand.
    rule = 0x8017 if family and file_as.startswith(f"{family}, ") else 0x3001 if file_as == shown else -1
    p.set(P.PidLidFileUnderId, INT32, rule)
    initials = "".join(f"{part[0]}." for part in (p.text(P.PidTagGivenName), middle, family) if part)
    card.set(P.PidTagInitials, initials)


def _organisation(card: _Card) -> None:
    for line in card.component.all("ORG"):
        fields = _structured(line, 2)
        whole = ", ".join(filter(None, fields))
        if not card.set(P.PidTagCompanyName, fields[0]) or not card.set(
            P.PidTagDepartmentName, "; ".join(filter(None, fields[1:]))
        ):
            card.over("Organization", whole)


def _mail_of(line: Line) -> str:
    return re.sub(r"(?i)^mailto:", "", line.text().strip())


def _preferred(lines: Sequence[Line]) -> list[Line]:
    """In the order of preference, otherwise in that of the card."""

    def rank(line: Line) -> int:
        number = line.parameter("PREF")
        if number.isdigit():
            return min(int(number), 100)
        return 0 if "pref" in line.types() else 101

    return sorted(lines, key=rank)


def _emails(card: _Card) -> None:
    p = card.p
    slots: list[int] = []
    seen: set[str] = set()
    for line in _preferred(card.component.all("EMAIL")):
        address = _mail_of(line)
        if not address or address.lower() in seen:
            continue
        seen.add(address.lower())
        if len(slots) == len(EMAILS):
            card.over("E-mail", address)
            continue
        display, kind, mail, original, entry = EMAILS[len(slots)]
        name = p.text(P.PidTagDisplayName)
        shown = f"{name} ({address})" if name and name != address else address
        p.set(display, STRING, shown)
        p.set(kind, STRING, "SMTP")
        p.set(mail, STRING, address)
        p.set(original, STRING, address)
        p.set(entry, BINARY, blobs.build_one_off(shown, "SMTP", address))
        slots.append(len(slots))
    # Without these two, address pickers show nothing (MS-OXOCNTC 2.2.1.2.11, .12).
    if slots:
        p.set(P.PidLidAddressBookProviderEmailList, MULTIPLE | INT32, slots)
        p.set(P.PidLidAddressBookProviderArrayType, INT32, sum(1 << slot for slot in slots))


def _phone(card: _Card, line: Line) -> None:
    number = re.sub(r"(?i)^tel:", "", line.text().strip())
    if not number:
        return
    words = line.types() | {
        word.lower() for word in line.parameters if word.lower() in ("home", "work", "cell", "fax")
    }
    if label := card.labels.get(line.group, ""):
        words |= set(re.findall(r"[a-z]+", label))
    for needed, places in _PHONES:
        if needed <= words and any(not card.p.text(place) for place in places):
            if any(card.p.text(place) == number for place in places):
                return
            place = next(place for place in places if not card.p.text(place))
            card.p.set(place, STRING, number)
            return
    card.over("Telephone", f"{number} ({', '.join(sorted(words))})" if words else number)


def _addresses(card: _Card) -> None:
    labels = {_place_of(line): line for line in reversed(card.component.all("LABEL"))}
    used: list[_Place] = []
    mailing = ""
    default = {"0": "", "1": "home", "2": "work", "3": "other"}.get(
        card.component.text("X-MS-OL-DEFAULT-POSTAL-ADDRESS"), ""
    )
    for line in card.component.all("ADR"):
        wanted = _place_of(line)
        # The wanted place, else "other"; only then any: a work address in the place for homes would be wrong.
        free = [p for p in _PLACES if p not in used and p.type in (wanted, "other")]
        fields = _structured(line, 7, "" if card.component.text("VERSION") == "2.1" else ", ")
        whole = _whole(fields)
        if not whole:
            continue
        if not free:
            card.over("Address", whole)
            continue
        place = free[0]
        used.append(place)
        label = labels.get(place.type)
        _address(card, place, fields, line.parameter("LABEL") or (label.text() if label is not None else ""))
        if default == place.type or (not default and "pref" in line.types()):
            mailing = place.type
    for kind, line in labels.items():
        place = next(p for p in _PLACES if p.type == kind)
        if place not in used and line.value.strip():
            card.p.set(place.whole, STRING, _crlf(line.text().strip()))
            used.append(place)
    if mailing:
        card.p.set(P.PidLidPostalAddressId, INT32, {"home": 1, "work": 2, "other": 3}[mailing])
        place = next(p for p in _PLACES if p.type == mailing)
        card.set(P.PidTagPostalAddress, card.p.text(place.whole))


def _place_of(line: Line) -> str:
    types = line.types()
    return "work" if "work" in types else "home" if "home" in types else "other"


def _whole(fields: Sequence[str]) -> str:
    box, extended, street, city, state, code, country = fields[:7]
    line = " ".join(filter(None, (city + ("," if city and state else ""), state, code)))
    return "\r\n".join(filter(None, (_crlf(street), _crlf(extended), box, line, country)))


def _address(card: _Card, place: _Place, fields: Sequence[str], label: str) -> None:
    box, extended, street, city, state, code, country = fields[:7]
    if (
        place.type == "work"
        and extended
        and "\n" not in extended
        and street
        and not card.p.text(P.PidTagOfficeLocation)
    ):
        # Outlook writes the office as the extended address of work, MS-OXVCARD 2.1.3.2.2.
        card.p.set(P.PidTagOfficeLocation, STRING, extended)
    elif extended:
        street = "\n".join(filter(None, (street, extended)))
    for key, text in (
        (place.box, box),
        (place.street, _crlf(street)),
        (place.city, city),
        (place.state, state),
        (place.code, code),
        (place.country, country),
    ):
        card.set(key, text)
    card.set(
        place.whole, _crlf(label) if label.strip() else _whole((box, "", street, city, state, code, country))
    )


def _web(card: _Card) -> None:
    for line in card.component.all("URL"):
        address = line.text().strip()
        places: tuple[Key, ...] = (P.PidTagBusinessHomePage, P.PidLidHtml)
        if "home" in line.types():
            places = (P.PidTagPersonalHomePage,)
        elif "work" not in line.types():
            places = (P.PidLidHtml, P.PidTagBusinessHomePage, P.PidTagPersonalHomePage)
        if address and not any(card.set(place, address) for place in places):
            card.over("Web page", address)


def _chat(card: _Card) -> None:
    for line in card.component.all(*_IM):
        address = line.text().strip()
        service = _IM[line.name] or line.parameter("X-SERVICE-TYPE").lower()
        if not address:
            continue
        written = address if not service or ":" in address else f"{service}:{address}"
        if not card.set(P.PidLidInstantMessagingAddress, written):
            card.over("Instant messaging", written)


def _date(text: str) -> datetime | None:
    """A whole date, at midnight; None for parts of one (--0203) and for what is none."""
    match = re.match(r"\s*(\d{4})-?(\d\d)-?(\d\d)(?:$|\s|T)", text)
    if match is None:
        return None
    try:
        made = datetime(int(match[1]), int(match[2]), int(match[3]), tzinfo=UTC)
    except ValueError:
        return None
    return made if made.year > 1601 else None


def _dates(card: _Card) -> None:
    anniversaries = card.component.all(
        "ANNIVERSARY", "X-ANNIVERSARY", "X-MS-ANNIVERSARY", "X-EVOLUTION-ANNIVERSARY"
    )
    anniversaries += [
        line for line in card.component.all("X-ABDATE") if card.labels.get(line.group, "") == "anniversary"
    ]
    for lines, key, local, what in (
        (card.component.all("BDAY"), P.PidTagBirthday, P.PidLidBirthdayLocal, "Birthday"),
        (anniversaries, P.PidTagWeddingAnniversary, P.PidLidWeddingAnniversaryLocal, "Anniversary"),
    ):
        for line in lines:
            text = line.text().strip()
            if not text:
                continue
            day = _date(text)
            if day is None:
                card.over(what, text)  # a day without a year, or words
            elif key not in card.p:
                # 11:59 UTC is the same day in nearly every zone, MS-OXOCNTC 2.2.1.5.1; the local form is the day itself.
                card.p.set(key, TIME, day.replace(hour=11, minute=59))
                card.p.set(local, TIME, day)
    for line in card.component.all("X-ABDATE"):
        if line not in anniversaries:
            card.over((card.labels.get(line.group) or "date").capitalize(), line.text())


def _related(card: _Card) -> None:
    for line in card.component.all("RELATED", "X-ABRELATEDNAMES"):
        words = line.types() | {card.labels.get(line.group, "")}
        text = line.text().strip()
        if not text:
            continue
        key: Key | None = None
        if words & {"spouse", "partner", "wife", "husband"}:
            key = P.PidTagSpouseName
        elif "assistant" in words:
            key = P.PidTagAssistant
        elif "manager" in words:
            key = P.PidTagManagerName
        if key is None or not card.set(key, text):
            card.over((", ".join(sorted(w for w in words if w)) or "related").capitalize(), text)


_MAGIC: Final = (
    (b"\xff\xd8\xff", "jpg", "image/jpeg"),
    (b"\x89PNG", "png", "image/png"),
    (b"GIF8", "gif", "image/gif"),
)


def _inline(line: Line) -> bytes | None:
    if line.octets is not None and line.octets:
        return line.octets
    if found := re.match(r"(?is)\s*data:[^,]*?;base64,(.*)", line.value):
        return from_base64(found[1].encode("utf-8", "replace"))
    if line.parameter("VALUE").lower() == "binary":
        return from_base64(line.value.encode("utf-8", "replace"))
    return None


def _picture(card: _Card) -> None:
    for line in card.component.all("PHOTO", "LOGO"):
        octets = _inline(line)
        if octets is None:
            if line.value.strip() and not line.parameter("ENCODING"):
                card.over("Picture" if line.name == "PHOTO" else "Logo", line.text())
            continue
        photo = line.name == "PHOTO" and not any(
            a.properties.flag(P.PidTagAttachmentContactPhoto) for a in card.message.attachments
        )
        extension, kind = next(
            ((e, k) for magic, e, k in _MAGIC if octets.startswith(magic)),
            ("webp", "image/webp") if octets[8:12] == b"WEBP" else ("bin", "application/octet-stream"),
        )
        a = Properties()
        a.set(P.PidTagAttachNumber, INT32, len(card.message.attachments))
        a.set(P.PidTagAttachMethod, INT32, 1)
        # Outlook looks for this very name, whatever kind of picture it is (MS-OXOCNTC 2.2.1.8).
        name = "ContactPicture.jpg" if photo else f"{line.name.lower()}.{extension}"
        a.set(P.PidTagAttachLongFilename, STRING, name)
        a.set(P.PidTagAttachFilename, STRING, name)
        a.set(P.PidTagDisplayName, STRING, name)
        a.set(P.PidTagAttachExtension, STRING, "." + name.rpartition(".")[2])
        a.set(P.PidTagAttachMimeTag, STRING, kind)
        a.set(P.PidTagRenderingPosition, INT32, -1)
        a.set(P.PidTagAttachDataBinary, BINARY, octets)
        if photo:
            a.set(P.PidTagAttachmentContactPhoto, BOOLEAN, True)
            a.set(P.PidTagAttachmentFlags, INT32, 0)
        card.message.attachments.append(Attachment(a))
        if photo:
            card.p.set(P.PidLidHasPicture, BOOLEAN, True)


def _keys(card: _Card) -> None:
    """Certificates and keys as attachments: the item's own property wants Microsoft's wrapping of a certificate."""
    for line in card.component.all("KEY", "SOUND"):
        octets = _inline(line)
        if octets is None:
            if line.value.strip():
                card.over(line.name.capitalize(), line.text())
            continue
        types = line.types()
        name = "key.cer" if "x509" in types else "key.asc" if "pgp" in types else f"{line.name.lower()}.bin"
        a = Properties()
        a.set(P.PidTagAttachNumber, INT32, len(card.message.attachments))
        a.set(P.PidTagAttachMethod, INT32, 1)
        a.set(P.PidTagAttachLongFilename, STRING, name)
        a.set(P.PidTagDisplayName, STRING, name)
        a.set(P.PidTagRenderingPosition, INT32, -1)
        a.set(P.PidTagAttachDataBinary, BINARY, octets)
        card.message.attachments.append(Attachment(a))


def _general(card: _Card) -> None:
    p, component = card.p, card.component
    categories = [
        text.strip() for line in component.all("CATEGORIES") for text in line.texts() if text.strip()
    ]
    if categories:
        p.set(P.PidNameKeywords, MULTIPLE | STRING, list(dict.fromkeys(categories))[:500])
    p.set(P.PidTagImportance, INT32, 1)
    p.set(P.PidTagPriority, INT32, 0)
    sensitivity = {"PRIVATE": 2, "CONFIDENTIAL": 3}.get(component.text("CLASS").upper(), 0)
    p.set(P.PidTagSensitivity, INT32, sensitivity)
    p.set(P.PidLidPrivate, BOOLEAN, sensitivity == 2)
    gender = component.text("GENDER").upper()[:1] or component.text("X-GENDER").upper()[:1]
    if gender in ("F", "M"):
        p.set(PidTagGender, 2, 1 if gender == "F" else 2)
    if component.text("UID"):
        p.set(_UID, STRING, component.text("UID"))
    if revised := re.match(r"(\d{4})-?(\d\d)-?(\d\d)T(\d\d):?(\d\d):?(\d\d)", component.text("REV")):
        year, month, day, hour, minute, second = (int(number) for number in revised.groups())
        try:
            moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
        except ValueError:
            card.notes.add("date_malformed")
        else:
            p.set(P.PidTagLastModificationTime, TIME, moment)
            p.set(
                P.PidTagMessageDeliveryTime, TIME, moment
            )  # without it an item counts as received when it is written


def _note(card: _Card) -> None:
    texts = [line.text().strip() for line in card.component.all("NOTE") if line.value.strip()]
    if card.further:
        texts.append("\n".join(card.further))
    if texts:
        card.p.set(P.PidTagBody, STRING, _crlf("\n\n".join(texts)))
        card.p.set(P.PidTagNativeBody, INT32, 1)


_READ: Final = (
    frozenset(
        [
            "N",
            "FN",
            "NICKNAME",
            "ORG",
            "EMAIL",
            "TEL",
            "ADR",
            "LABEL",
            "URL",
            "BDAY",
            "ANNIVERSARY",
            "X-ANNIVERSARY",
            "X-MS-ANNIVERSARY",
            "X-EVOLUTION-ANNIVERSARY",
            "X-ABDATE",
            "RELATED",
            "X-ABRELATEDNAMES",
            "PHOTO",
            "LOGO",
            "KEY",
            "SOUND",
            "CATEGORIES",
            "CLASS",
            "GENDER",
            "X-GENDER",
            "UID",
            "NOTE",
            "X-MS-FILE-AS",
        ]
    )
    | frozenset(_IM)
    | frozenset(name for _, names in _TEXTS for name in names)
)


def _leftovers(card: _Card) -> None:
    for line in card.component.lines:
        if line.name not in _READ and line.name not in _SILENT and line.value.strip():
            card.notes.add(f"dropped:{line.name if re.fullmatch('[A-Z0-9-]{1,40}', line.name) else 'X'}")


def _crlf(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")


# Distribution lists --------------------------------------------------------------------------------------------------


def _group(component: Component, cards: dict[str, Component]) -> Converted:
    card = _Card(component)
    p = card.p
    name = component.text("FN") or (
        unescape(_structured(line, 1)[0]) if (line := component.first("N")) else ""
    )
    p.set(P.PidTagMessageClass, STRING, "IPM.DistList")
    p.set(P.PidTagMessageFlags, INT32, 1)
    p.set(P.PidTagIconIndex, INT32, 0x202)
    p.set(P.PidLidSideEffects, INT32, 0x110)
    for key in (P.PidTagDisplayName, P.PidTagSubject, P.PidTagNormalizedSubject, P.PidTagConversationTopic):
        p.set(key, STRING, name)
    p.set(P.PidTagSubjectPrefix, STRING, "")
    p.set(P.PidLidDistributionListName, STRING, name)
    p.set(P.PidLidFileUnder, STRING, name)
    members: list[tuple[str, str]] = []
    for line in component.all("MEMBER", "X-ADDRESSBOOKSERVER-MEMBER", "EMAIL"):
        members += _members(line, cards, card)
    if len(members) > MOST_MEMBERS:
        card.notes.add("members_cut")
        members = members[:MOST_MEMBERS]
    set_members(p, list(dict.fromkeys(members)))
    _general(card)
    _note(card)
    for line in component.lines:
        if line.name not in _READ | _SILENT | {"MEMBER", "X-ADDRESSBOOKSERVER-MEMBER"} and line.value.strip():
            card.notes.add(f"dropped:{line.name if re.fullmatch('[A-Z0-9-]{1,40}', line.name) else 'X'}")
    return Converted(card.message, card.notes.all())


def _members(line: Line, cards: dict[str, Component], card: _Card) -> list[tuple[str, str]]:
    """(name, address) of a member: a mailto, or a card of the same file by its UID."""
    text = line.text().strip()
    shown = line.parameter("CN") or line.parameter("X-CN")
    if found := re.match(r"(?i)mailto:(.*)", text):
        return [(shown or found[1], found[1])]
    known = cards.get(_uid_key(text))
    if known is not None:
        mails = _preferred(known.all("EMAIL"))
        address = _mail_of(mails[0]) if mails else ""
        name = known.text("FN") or address
        if not address:
            card.notes.add("member_without_address")
        return [(name, address)]
    if "@" in text:
        if pair := re.fullmatch(r'\s*"?([^"<]*)"?\s*<([^<>]+)>\s*', text):
            return [(pair[1].strip() or pair[2], pair[2])]
        return [(shown or text, text)]
    if text:
        card.over("Member", text)
        card.notes.add("member_unknown")
    return []


def set_members(p: Properties, members: Sequence[tuple[str, str]]) -> None:
    """Members by name and SMTP address, all as one-off entries (MS-OXOCNTC 2.2.2.2)."""
    entries = [blobs.build_one_off(name, "SMTP", address) for name, address in members]
    p.set(P.PidLidDistributionListChecksum, INT32, _signed(checksum(entries)))
    if sum(len(entry) for entry in entries) < _LIST_STREAM:
        p.set(P.PidLidDistributionListMembers, MULTIPLE | BINARY, entries)
        p.set(P.PidLidDistributionListOneOffMembers, MULTIPLE | BINARY, list(entries))
    else:
        # Too large for the lists: the stream has all members, MS-OXOCNTC 2.2.2.2.4.
        p.set(P.PidLidDistributionListMembers, MULTIPLE | BINARY, [])
        p.set(P.PidLidDistributionListOneOffMembers, MULTIPLE | BINARY, [])
        p.set(P.PidLidDistributionListStream, BINARY, build_stream(entries))


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value


def checksum(entries: Iterable[bytes]) -> int:
    """PidLidDistributionListChecksum: CRC-32 over the members, begun with zero and not inverted (MS-OXOCNTC 2.2.2.2.3)."""
    value = 0
    for entry in entries:
        value = zlib.crc32(entry, value ^ 0xFFFFFFFF) ^ 0xFFFFFFFF
    return value


_STREAM: Final = struct.Struct("<HHIIIIII")


def build_stream(entries: Sequence[bytes]) -> bytes:
    """PidLidDistributionListStream of members that are their own one-off entries, MS-OXOCNTC 2.2.2.2.4."""
    total = sum(map(len, entries))
    wire = [_STREAM.pack(1, 0, 0, 0, len(entries), total, total, 0)]
    for entry in entries:
        size = struct.pack("<I", len(entry))
        wire += [size, entry, size, entry, bytes(4)]
    return b"".join([*wire, bytes(8)])


def parse_stream(octets: bytes) -> list[tuple[bytes, bytes]]:
    """(entry id, one-off entry id) of each member. Raises FormatError for a stream that is cut."""
    if len(octets) < _STREAM.size:
        raise FormatError("a list of members that is cut")
    count = _STREAM.unpack_from(octets)[4]
    if count > len(octets) // 12:
        raise FormatError("a list of members that is cut")
    at, found = _STREAM.size, []
    for _ in range(count):
        parts = []
        for _part in range(3):
            if at + 4 > len(octets):
                raise FormatError("a list of members that is cut")
            size = int.from_bytes(octets[at : at + 4], "little")
            if size > len(octets) - at - 4:
                raise FormatError("a list of members that is cut")
            parts.append(octets[at + 4 : at + 4 + size])
            at += 4 + size
        found.append((parts[0], parts[1]))
    return found


def members_of(p: Properties, notes: Notes | None = None) -> list[tuple[str, str, str]]:
    """(name, address type, address) of each member; a member that only the old mailbox can resolve has no address."""
    notes = notes or Notes()
    pairs: list[tuple[bytes, bytes]] = []
    if stream := bytes(p.binary(P.PidLidDistributionListStream)):
        try:
            pairs = parse_stream(stream)
        except FormatError:
            notes.add("members_unreadable")
    if not pairs:
        entries = [bytes(e) for e in p.get(P.PidLidDistributionListMembers) or ()]
        one_offs = [bytes(e) for e in p.get(P.PidLidDistributionListOneOffMembers) or ()]
        if len(one_offs) != len(entries):
            one_offs = [b""] * len(entries)
        pairs = list(zip(entries, one_offs, strict=True))
    found = []
    for entry, one_off in pairs:
        member = _member(one_off) or _member(entry)
        if member is None:
            notes.add("member_unreadable")
        else:
            found.append(member)
    return found


def _member(entry: bytes) -> tuple[str, str, str] | None:
    try:
        parsed = blobs.parse_entry_id(entry)
    except blobs.BlobError:
        return None
    if isinstance(parsed, blobs.Wrapped):
        return _member(parsed.entry_id) if not parsed.entry_id.startswith(entry) else None
    if isinstance(parsed, blobs.DirectoryEntry):
        return parsed.dn.rpartition("=")[2], "EX", parsed.dn
    return parsed.name, parsed.address_type, parsed.address


# Writing -------------------------------------------------------------------------------------------------------------


def write_vcf(messages: Sequence[Message]) -> Written:
    """Contacts and distribution lists as vCard 3.0, which most programs read. Raises FormatError for other classes."""
    notes = Notes()
    lines: list[bytes] = []
    for message in messages:
        item_class = message.properties.text(P.PidTagMessageClass).lower()
        if item_class.startswith("ipm.contact"):
            _write_contact(message, lines, notes)
        elif item_class.startswith("ipm.distlist"):
            _write_group(message, lines, notes)
        else:
            raise FormatError("an item that is no contact and no list", code="format_unsupported")
    return Written(b"".join(lines), notes.all())


def _add(lines: list[bytes], name: str, value: str, **parameters: str) -> None:
    if value:
        head = name + "".join(
            f";{key}={text if key == 'TYPE' else parameter(text)}" for key, text in parameters.items()
        )
        lines.append(fold(f"{head}:{value}"))


def _write_contact(message: Message, lines: list[bytes], notes: Notes) -> None:
    p = message.properties
    lines += [fold("BEGIN:VCARD"), fold("VERSION:3.0")]
    shown = p.text(P.PidTagDisplayName) or p.text(P.PidTagSubject)
    parts = [
        p.text(key)
        for key in (
            P.PidTagSurname,
            P.PidTagGivenName,
            P.PidTagMiddleName,
            P.PidTagDisplayNamePrefix,
            P.PidTagGeneration,
        )
    ]
    lines.append(fold("N:" + ";".join(map(escape, parts))))
    lines.append(fold("FN:" + escape(shown or " ".join(filter(None, parts)) or p.text(P.PidTagCompanyName))))
    given = " ".join(filter(None, parts[1:3]))
    if p.text(P.PidLidFileUnder) not in ("", shown, f"{parts[0]}, {given}"):
        _add(lines, "X-EVOLUTION-FILE-AS", escape(p.text(P.PidLidFileUnder)))
    _add(lines, "NICKNAME", escape(p.text(P.PidTagNickname)))
    _add(
        lines,
        "ORG",
        ";".join(map(escape, (p.text(P.PidTagCompanyName), p.text(P.PidTagDepartmentName)))).rstrip(";"),
    )
    _write_emails(p, lines, notes)
    for phone, types in _PHONE_TYPES:
        _add(lines, "TEL", escape(p.text(phone)), TYPE=types)
    _write_addresses(p, lines)
    for key, names in _TEXTS:
        if key == P.PidTagOfficeLocation and _has_parts(p, _PLACES[0]):
            continue  # stands in the address
        _add(lines, names[0], escape(p.text(key)))
    _add(lines, "URL", escape(p.text(P.PidTagBusinessHomePage)), TYPE="WORK")
    _add(lines, "URL", escape(p.text(P.PidTagPersonalHomePage)), TYPE="HOME")
    if p.text(P.PidLidHtml) not in (p.text(P.PidTagBusinessHomePage), p.text(P.PidTagPersonalHomePage)):
        _add(lines, "URL", escape(p.text(P.PidLidHtml)))
    _add(lines, "X-MS-IMADDRESS", escape(p.text(P.PidLidInstantMessagingAddress)))
    for name, local, key in (
        ("BDAY", P.PidLidBirthdayLocal, P.PidTagBirthday),
        ("X-MS-ANNIVERSARY", P.PidLidWeddingAnniversaryLocal, P.PidTagWeddingAnniversary),
    ):
        moment = p.time(local)
        if moment is None and (ticks := p.get(key)) is not None and isinstance(ticks, int):
            # Outlook keeps a local midnight or 11:59 UTC: the nearest day is meant.
            moment = (
                datetime_of(ticks + 12 * 36_000_000_000)
                if ticks % 864_000_000_000 > 432_000_000_000
                else datetime_of(ticks)
            )
        if moment is not None:
            _add(lines, name, f"{moment:%Y-%m-%d}")
    gender = p.get(PidTagGender)
    if gender in (1, 2):
        _add(lines, "X-GENDER", "Female" if gender == 1 else "Male")
    _write_common(message, lines, notes)
    for attachment in message.attachments:
        _write_picture(attachment, lines, notes)
    lines.append(fold("END:VCARD"))


def _write_emails(p: Properties, lines: list[bytes], notes: Notes) -> None:
    first = True
    for _, kind, mail, original, _ in EMAILS:
        address, type_ = p.text(mail), p.text(kind).upper()
        if type_ not in ("", "SMTP"):
            # An address of the directory: its SMTP form is often kept as the original display name.
            if "@" in p.text(original) and not p.text(original).startswith("/"):
                address = p.text(original)
            elif address:
                notes.add("address_ex")
                _add(lines, "X-MS-EXADDRESS", escape(address))
                continue
        if address:
            _add(lines, "EMAIL", escape(address), TYPE="INTERNET,PREF" if first else "INTERNET")
            first = False


def _has_parts(p: Properties, place: _Place) -> bool:
    keys = (place.box, place.street, place.city, place.state, place.code, place.country)
    return any(p.text(key) for key in keys)


def _write_addresses(p: Properties, lines: list[bytes]) -> None:
    for number, place in enumerate(_PLACES):
        mailing = p.integer(P.PidLidPostalAddressId) == (2, 1, 3)[number]
        types = {"work": "WORK", "home": "HOME", "other": "POSTAL"}[place.type] + (",PREF" if mailing else "")
        office = p.text(P.PidTagOfficeLocation) if place.type == "work" else ""
        if _has_parts(p, place):
            fields = [
                p.text(place.box),
                office,
                *(p.text(key) for key in (place.street, place.city, place.state, place.code, place.country)),
            ]
            lines.append(fold(f"ADR;TYPE={types}:" + ";".join(map(escape, fields))))
        whole = p.text(place.whole)
        if whole:
            _add(lines, "LABEL", escape(whole), TYPE=types)


def _write_common(message: Message, lines: list[bytes], notes: Notes) -> None:
    p = message.properties
    text, html = text_and_html(p, notes)
    if html:
        notes.add("html_body")
    _add(lines, "NOTE", escape(text.rstrip("\r\n")))
    categories = p.get(P.PidNameKeywords)
    if isinstance(categories, list):
        _add(lines, "CATEGORIES", ",".join(escape(one) for one in categories if isinstance(one, str)))
    if p.flag(P.PidLidPrivate) or p.integer(P.PidTagSensitivity) == 2:
        _add(lines, "CLASS", "PRIVATE")
    elif p.integer(P.PidTagSensitivity) == 3:
        _add(lines, "CLASS", "CONFIDENTIAL")
    _add(lines, "UID", escape(p.text(_UID) or bytes(p.binary(P.PidTagSearchKey)).hex()))
    if (modified := p.time(P.PidTagLastModificationTime)) is not None:
        _add(lines, "REV", f"{modified:%Y%m%dT%H%M%S}Z")
    if any(isinstance(key, Named) and key not in _WRITTEN for key in p):
        notes.add("named_properties")


_WRITTEN: Final = {
    key
    for name, key in vars(P).items()
    if name.startswith("PidLid") and isinstance(key, Named) and key.guid == P.PSETID_ADDRESS
} | {_UID, PidLidFreeBusyLocation, P.PidLidPrivate, P.PidLidSideEffects, P.PidNameKeywords}


def _write_picture(attachment: Attachment, lines: list[bytes], notes: Notes) -> None:
    p = attachment.properties
    if attachment.embedded is not None or not p.binary(P.PidTagAttachDataBinary):
        notes.add("attachment_dropped")
        return
    octets = bytes(p.binary(P.PidTagAttachDataBinary))
    name = p.text(P.PidTagAttachLongFilename) or p.text(P.PidTagAttachFilename)
    if p.flag(P.PidTagAttachmentContactPhoto) or name == "ContactPicture.jpg":
        kind = next((e.upper() for magic, e, _ in _MAGIC if octets.startswith(magic)), "")
        kind = {"JPG": "JPEG", "": "JPEG"}.get(kind, kind)
        _add(lines, "PHOTO", base64.b64encode(octets).decode("ascii"), ENCODING="b", TYPE=kind)
    elif name == "key.cer":
        _add(lines, "KEY", base64.b64encode(octets).decode("ascii"), ENCODING="b", TYPE="X509")
    elif name == "key.asc":
        _add(lines, "KEY", base64.b64encode(octets).decode("ascii"), ENCODING="b", TYPE="PGP")
    elif name.startswith("logo."):
        _add(lines, "LOGO", base64.b64encode(octets).decode("ascii"), ENCODING="b")
    else:
        notes.add("attachment_dropped")


def _write_group(message: Message, lines: list[bytes], notes: Notes) -> None:
    p = message.properties
    name = p.text(P.PidLidDistributionListName) or p.text(P.PidTagDisplayName) or p.text(P.PidTagSubject)
    # KIND and MEMBER are of vCard 4.0: 3.0 has no groups.
    lines += [fold("BEGIN:VCARD"), fold("VERSION:4.0"), fold("KIND:group"), fold("FN:" + escape(name))]
    for shown, kind, address in members_of(p, notes):
        if kind.upper() == "SMTP" and "@" in address:
            _add(lines, "MEMBER", f"mailto:{address}".replace("\r", "").replace("\n", ""), CN=shown)
        else:
            notes.add("address_ex")
            _add(lines, "X-MEMBER", escape(f"{shown} {address}".strip()))
    _write_common(message, lines, notes)
    lines.append(fold("END:VCARD"))
