"""A message as MIME, iCalendar or vCard, and MIME read back into a property tree: what GetItem and CreateItem speak.

Good enough for a rehearsal: structure, names, dates, bodies and attachments are carried; like the real service it makes
the MIME anew, so that signatures of clear-signed mail survive only where the original is kept as one attachment.

Facts: MS-OXCMAIL (bodies, attachments, S/MIME 2.4.2), MS-OXCICAL, RFC 5545, RFC 2426.
"""

from __future__ import annotations

import email.policy
import hashlib
import html
import re
import uuid
from base64 import encodebytes
from datetime import UTC, datetime
from email.header import Header, decode_header, make_header
from email.message import Message as Mail
from email.parser import BytesHeaderParser, BytesParser
from email.utils import format_datetime, formataddr, getaddresses, parsedate_to_datetime

from migrator.lab.ews import recurrence, rtf
from migrator.mapi import item as mapi
from migrator.mapi import properties as p
from migrator.mapi.item import Attachment, Message, Properties

_DEPTH = 20
_UNSAFE = re.compile("[\x00-\x1f\x7f]+")


# -- bodies


def body(message: Message, kind: str = "Best") -> tuple[str, str]:
    """(HTML or Text, body). kind: Best, HTML, Text; made from another body where the one asked for is missing."""
    markup = _html(message.properties)
    plain = message.properties.text(p.PidTagBody)
    if not markup and not plain:
        packed = bytes(message.properties.binary(p.PidTagRtfCompressed))
        if packed:
            plain = rtf.plain(rtf.decompress(packed))
    if kind == "Text" or (kind == "Best" and not markup):
        return "Text", plain or _stripped(markup)
    return "HTML", markup or f"<html><body><pre>{html.escape(plain)}</pre></body></html>"


def _html(props: Properties) -> str:
    found = props.get(p.PidTagHtml)
    if isinstance(found, str):
        return found
    raw = bytes(props.binary(p.PidTagHtml))
    if not raw:
        return ""
    page = props.integer(p.PidTagInternetCodepage, 65001)
    for charset in ("utf-8" if page == 65001 else f"cp{page}", "utf-8", "cp1252"):
        try:
            return raw.decode(charset)
        except (UnicodeDecodeError, LookupError):
            continue
    return raw.decode("latin-1")


def _stripped(markup: str) -> str:
    without = re.sub(
        r"(?is)<(script|style)\b.*?</\1>|<[^>]*>", "", re.sub(r"(?i)<br ?/?>|</p>", "\r\n", markup)
    )
    return html.unescape(without)


def transport_headers(message: Message) -> list[tuple[str, str]]:
    """Header fields that the item came with, decoded; made from its properties where it came with none."""
    raw = message.properties.text(p.PidTagTransportMessageHeaders)
    if not raw:
        return [(name, value) for name, value in _headers(message)]
    parsed = BytesHeaderParser(policy=email.policy.compat32).parsebytes(raw.encode("utf-8", "replace"))
    return [(name, _decoded(str(value))) for name, value in parsed.items()]


def _decoded(value: str) -> str:
    try:
        return str(make_header(decode_header(value.replace("\r", "").replace("\n", ""))))
    except (ValueError, LookupError, UnicodeError):
        return value


# -- writing


def content(message: Message, item_class: str) -> bytes | None:
    """What IncludeMimeContent gives."""
    lower = item_class.lower()
    if lower == "ipm.appointment" or lower.startswith("ipm.appointment."):
        return _calendar(message)
    if lower == "ipm.contact" or lower.startswith("ipm.contact."):
        return _card(message)
    return mail(message)


def mail(message: Message, depth: int = 0) -> bytes:
    """RFC 5322 with CRLF."""
    lines = []
    for name, value in _headers(message):
        lines.append(f"{name}: {_field(name, value)}")
    lines.append("MIME-Version: 1.0")
    return "\r\n".join(lines).encode("ascii", "replace") + b"\r\n" + _entity(message, depth)


def _headers(message: Message) -> list[tuple[str, str]]:
    props = message.properties
    raw = props.text(p.PidTagTransportMessageHeaders)
    if raw:
        parsed = BytesHeaderParser(policy=email.policy.compat32).parsebytes(raw.encode("utf-8", "replace"))
        return [
            (name, _decoded(str(value)))
            for name, value in parsed.items()
            if not name.lower().startswith("content-") and name.lower() != "mime-version"
        ]
    found: list[tuple[str, str]] = []
    sender = props.text(p.PidTagSentRepresentingSmtpAddress) or props.text(
        p.PidTagSentRepresentingEmailAddress
    )
    sender = sender or props.text(p.PidTagSenderSmtpAddress) or props.text(p.PidTagSenderEmailAddress)
    name = props.text(p.PidTagSentRepresentingName) or props.text(p.PidTagSenderName)
    if sender or name:
        found.append(("From", formataddr((_clean(name), sender if "@" in sender else ""))))
    for kind, header in ((1, "To"), (2, "Cc"), (3, "Bcc")):
        people = [
            formataddr((_clean(r.text(p.PidTagDisplayName)), _address(r)))
            for r in message.recipients
            if r.integer(p.PidTagRecipientType) & 0xF == kind
        ]
        if people:
            found.append((header, ", ".join(people)))
    found.append(("Subject", props.text(p.PidTagSubject)))
    when = props.time(p.PidTagClientSubmitTime) or props.time(p.PidTagMessageDeliveryTime)
    if when is not None:
        found.append(("Date", format_datetime(when)))
    for key, header in (
        (p.PidTagInternetMessageId, "Message-ID"),
        (p.PidTagInternetReferences, "References"),
        (p.PidTagInReplyToId, "In-Reply-To"),
    ):
        if props.text(key):
            found.append((header, props.text(key)))
    importance = {0: "low", 2: "high"}.get(props.integer(p.PidTagImportance, 1))
    if importance:
        found.append(("Importance", importance))
    keywords = props.get(p.PidNameKeywords)
    if keywords:
        found.append(("Keywords", ", ".join(keywords)))
    return found


def _address(recipient: Properties) -> str:
    return recipient.text(p.PidTagSmtpAddress) or recipient.text(p.PidTagEmailAddress)


def _clean(value: str) -> str:
    return _UNSAFE.sub(" ", value).encode("utf-8", "replace").decode("utf-8")


_ADDRESS_FIELDS = frozenset(("from", "to", "cc", "bcc", "sender", "reply-to"))


def _field(name: str, value: str) -> str:
    value = _clean(value)
    if value.isascii():
        return value
    if name.lower() in _ADDRESS_FIELDS:
        pairs = getaddresses([value])
        return ",\r\n ".join(
            formataddr((who, address if address.isascii() else "")) for who, address in pairs
        )
    return Header(value, "utf-8", header_name=name).encode(linesep="\r\n")


def _boundary(message: Message, salt: str) -> str:
    seed = f"{salt}{len(message.attachments)}{message.properties.text(p.PidTagInternetMessageId)}"
    return "_000_" + hashlib.blake2b(seed.encode("utf-8", "replace"), digest_size=16).hexdigest()


def _entity(message: Message, depth: int) -> bytes:
    """Content-* header fields, blank line and body."""
    lower = message.properties.text(p.PidTagMessageClass).lower()
    if lower.startswith("ipm.note.smime") and len(message.attachments) == 1:
        data = bytes(message.attachments[0].properties.binary(p.PidTagAttachDataBinary))
        if lower.endswith(".multipartsigned"):
            return data if data[:8].lower() == b"content-" else b"\r\n" + data
        return _leaf(b'application/pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"', data)
    parts = _bodies(message)
    related: list[bytes] = []
    mixed: list[bytes] = []
    for spot, attachment in enumerate(message.attachments):
        part = _attached(attachment, depth, spot)
        inline = attachment.properties.text(p.PidTagAttachContentId) and attachment.embedded is None
        (related if inline else mixed).append(part)
    whole = parts
    if related:
        whole = _multipart(message, "related", [whole, *related], depth)
    if mixed:
        whole = _multipart(message, "mixed", [whole, *mixed], depth)
    return whole


def _bodies(message: Message) -> bytes:
    markup = _html(message.properties)
    _, plain = body(message, "Text")
    text_part = _leaf(b'text/plain; charset="utf-8"', plain.encode("utf-8", "replace"))
    if not markup:
        return text_part
    html_part = _leaf(b'text/html; charset="utf-8"', markup.encode("utf-8", "replace"))
    if not message.properties.text(p.PidTagBody):
        return html_part
    return _multipart(message, "alternative", [text_part, html_part], 0)


def _leaf(kind: bytes, data: bytes, more: bytes = b"") -> bytes:
    return b"Content-Type: %b\r\nContent-Transfer-Encoding: base64\r\n%b\r\n%b" % (
        kind,
        more,
        encodebytes(data).replace(b"\n", b"\r\n"),
    )


def _multipart(message: Message, kind: str, parts: list[bytes], depth: int) -> bytes:
    mark = _boundary(message, f"{kind}{depth}").encode()
    inner = b"".join(b"--%b\r\n%b\r\n" % (mark, part) for part in parts)
    return b'Content-Type: multipart/%b; boundary="%b"\r\n\r\n%b--%b--\r\n' % (
        kind.encode(),
        mark,
        inner,
        mark,
    )


def _attached(attachment: Attachment, depth: int, spot: int) -> bytes:
    props = attachment.properties
    name = props.text(p.PidTagAttachLongFilename) or props.text(p.PidTagAttachFilename)
    if attachment.embedded is not None:
        if depth >= _DEPTH:
            return _leaf(b"text/plain", b"")
        inner = mail(attachment.embedded, depth + 1)
        return b"Content-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n" + inner
    kind = props.text(p.PidTagAttachMimeTag) or "application/octet-stream"
    if not re.fullmatch(r"[\w.+-]+/[\w.+-]+", kind):
        kind = "application/octet-stream"
    identifier = props.text(p.PidTagAttachContentId)
    shown = _parameter("filename", name or f"attachment{spot}")
    more = b"Content-Disposition: %b; %b\r\n" % (b"inline" if identifier else b"attachment", shown)
    if identifier:
        more += b"Content-ID: <%b>\r\n" % _clean(identifier).encode("ascii", "replace")
    return _leaf(
        b"%b; %b" % (kind.encode("ascii", "replace"), _parameter("name", name or f"attachment{spot}")),
        bytes(props.binary(p.PidTagAttachDataBinary)),
        more,
    )


def _parameter(name: str, value: str) -> bytes:
    value = _clean(value)
    if value.isascii():
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'{name}="{quoted}"'.encode()
    octets = "".join(
        chr(b) if (chr(b).isalnum() and b < 128) or b in b"-._" else f"%{b:02X}"
        for b in value.encode("utf-8")
    )
    return f"{name}*=UTF-8''{octets}".encode()


# -- iCalendar and vCard


def _fold(line: str) -> bytes:
    raw = line.encode("utf-8", "replace")
    pieces = []
    while len(raw) > 73:
        cut = 73
        while cut and raw[cut] & 0xC0 == 0x80:
            cut -= 1
        pieces.append(raw[:cut])
        raw = raw[cut:]
    return b"\r\n ".join([*pieces, raw]) + b"\r\n"


def _escaped(value: str) -> str:
    value = value.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return value.replace("\r\n", "\\n").replace("\n", "\\n").replace("\r", "\\n")


def _calendar(message: Message) -> bytes:
    props = message.properties
    start = props.time(p.PidLidAppointmentStartWhole) or props.time(p.PidTagStartDate)
    end = props.time(p.PidLidAppointmentEndWhole) or props.time(p.PidTagEndDate)
    all_day = props.flag(p.PidLidAppointmentSubType)
    uid = uid_of(props)
    lines = [
        "BEGIN:VCALENDAR",
        "METHOD:PUBLISH",
        "PRODID:Microsoft Exchange Server 2010",
        "VERSION:2.0",
        "BEGIN:VEVENT",
    ]
    sender = props.text(p.PidTagSentRepresentingSmtpAddress) or props.text(
        p.PidTagSentRepresentingEmailAddress
    )
    meeting = bool(props.integer(p.PidLidAppointmentStateFlags) & 1)
    if meeting and sender:
        lines.append(
            f'ORGANIZER;CN="{_clean(props.text(p.PidTagSentRepresentingName)).replace(chr(34), "")}":mailto:{sender}'
        )
        for r in message.recipients:
            role = {1: "REQ-PARTICIPANT", 2: "OPT-PARTICIPANT"}.get(
                r.integer(p.PidTagRecipientType) & 0xF, "NON-PARTICIPANT"
            )
            name = _clean(r.text(p.PidTagDisplayName)).replace('"', "")
            lines.append(f'ATTENDEE;ROLE={role};CN="{name}":mailto:{_address(r)}')
    lines.append(f"UID:{_escaped(uid)}")
    lines.append(f"SUMMARY:{_escaped(props.text(p.PidTagSubject))}")
    for name, moment in (("DTSTART", start), ("DTEND", end)):
        if moment is not None:
            lines.append(f"{name};VALUE=DATE:{moment:%Y%m%d}" if all_day else f"{name}:{_stamp(moment)}")
    packed = bytes(props.binary(p.PidLidAppointmentRecur))
    if packed:
        lines.extend(recurrence.lines(packed, all_day))
    stamped = props.time(p.PidTagCreationTime) or start or datetime(2000, 1, 1, tzinfo=UTC)
    lines.append(f"DTSTAMP:{_stamp(stamped)}")
    if props.text(p.PidLidLocation):
        lines.append(f"LOCATION:{_escaped(props.text(p.PidLidLocation))}")
    described = body(message, "Text")[1]
    if described:
        lines.append(f"DESCRIPTION:{_escaped(described)}")
    lines.append(f"SEQUENCE:{props.integer(p.PidLidAppointmentSequence)}")
    sensitivity = {1: "PRIVATE", 2: "PRIVATE", 3: "CONFIDENTIAL"}.get(
        props.integer(p.PidTagSensitivity), "PUBLIC"
    )
    lines.append(f"CLASS:{sensitivity}")
    busy = {0: "FREE", 1: "TENTATIVE", 3: "OOF"}.get(props.integer(p.PidLidBusyStatus, 2), "BUSY")
    lines += [f"TRANSP:{'TRANSPARENT' if busy == 'FREE' else 'OPAQUE'}", f"X-MICROSOFT-CDO-BUSYSTATUS:{busy}"]
    if props.flag(p.PidLidReminderSet):
        lines += [
            "BEGIN:VALARM",
            "ACTION:DISPLAY",
            "DESCRIPTION:REMINDER",
            f"TRIGGER;RELATED=START:-PT{props.integer(p.PidLidReminderDelta)}M",
            "END:VALARM",
        ]
    lines += ["END:VEVENT", "END:VCALENDAR"]
    return b"".join(map(_fold, lines))


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")


def uid_of(props: Properties) -> str:
    raw = bytes(props.binary(p.PidLidCleanGlobalObjectId) or props.binary(p.PidLidGlobalObjectId))
    marker = raw.find(b"vCal-Uid\x01\x00\x00\x00")
    if marker >= 0:
        return raw[marker + 12 :].split(b"\x00", 1)[0].decode("latin-1")
    return raw.hex().upper() if raw else ""


def _card(message: Message) -> bytes:
    props = message.properties
    name = ";".join(
        _escaped(props.text(key))
        for key in (
            p.PidTagSurname,
            p.PidTagGivenName,
            p.PidTagMiddleName,
            p.PidTagDisplayNamePrefix,
            p.PidTagGeneration,
        )
    )
    lines = ["BEGIN:VCARD", "PROFILE:VCARD", "VERSION:3.0", f"N:{name}"]
    lines.append(f"FN:{_escaped(props.text(p.PidTagDisplayName) or props.text(p.PidTagSubject))}")
    for field, key in (
        ("NICKNAME", p.PidTagNickname),
        ("TITLE", p.PidTagTitle),
        ("URL;TYPE=WORK", p.PidTagBusinessHomePage),
        ("TEL;TYPE=WORK", p.PidTagBusinessTelephoneNumber),
        ("TEL;TYPE=HOME", p.PidTagHomeTelephoneNumber),
        ("TEL;TYPE=CELL", p.PidTagMobileTelephoneNumber),
        ("TEL;TYPE=FAX,WORK", p.PidTagBusinessFaxNumber),
        ("EMAIL;TYPE=INTERNET,PREF", p.PidLidEmail1EmailAddress),
        ("EMAIL;TYPE=INTERNET", p.PidLidEmail2EmailAddress),
        ("EMAIL;TYPE=INTERNET", p.PidLidEmail3EmailAddress),
    ):
        if props.text(key):
            lines.append(f"{field}:{_escaped(props.text(key))}")
    if props.text(p.PidTagCompanyName):
        lines.append(
            f"ORG:{_escaped(props.text(p.PidTagCompanyName))};{_escaped(props.text(p.PidTagDepartmentName))}"
        )
    work = [props.text(key) for key in _WORK]
    if any(work):
        lines.append(f"ADR;TYPE=WORK:;;{';'.join(map(_escaped, work))}")
    born = props.time(p.PidTagBirthday)
    if born is not None:
        lines.append(f"BDAY:{born:%Y-%m-%d}")
    note = body(message, "Text")[1]
    if note:
        lines.append(f"NOTE:{_escaped(note)}")
    lines.append("END:VCARD")
    return b"".join(map(_fold, lines))


_WORK = (
    p.PidLidWorkAddressStreet,
    p.PidLidWorkAddressCity,
    p.PidLidWorkAddressState,
    p.PidLidWorkAddressPostalCode,
    p.PidLidWorkAddressCountry,
)


# -- reading


def read(raw: bytes) -> Message:
    """A property tree from MIME. Never raises for odd mail: what cannot be read is kept as text or as a file."""
    parsed = BytesParser(policy=email.policy.compat32).parsebytes(raw)
    return _message(parsed, 0)


def _message(parsed: Mail, depth: int) -> Message:
    made = Message()
    props = made.properties
    props.set(p.PidTagMessageClass, mapi.STRING, "IPM.Note")
    subject = _decoded(str(parsed.get("Subject", "")))
    props.set(p.PidTagSubject, mapi.STRING, subject)
    props.set(p.PidTagNormalizedSubject, mapi.STRING, re.sub(r"^(?:\w{1,3}: )+", "", subject))
    props.set(p.PidTagConversationTopic, mapi.STRING, re.sub(r"^(?:\w{1,3}: )+", "", subject))
    headers = raw_headers(parsed)
    if headers:
        props.set(p.PidTagTransportMessageHeaders, mapi.STRING, headers)
    for header, key in (
        ("Message-ID", p.PidTagInternetMessageId),
        ("References", p.PidTagInternetReferences),
        ("In-Reply-To", p.PidTagInReplyToId),
    ):
        if parsed.get(header):
            props.set(key, mapi.STRING, " ".join(str(parsed[header]).split()))
    sent = _date(parsed)
    if sent is not None:
        props.set(p.PidTagClientSubmitTime, mapi.TIME, sent)
        props.set(p.PidTagMessageDeliveryTime, mapi.TIME, sent)
    people = _people(parsed, "From")
    if people:
        for name, kind, address, smtp in (
            (p.PidTagSentRepresentingName, 0x0064, 0x0065, 0x5D02),
            (p.PidTagSenderName, 0x0C1E, 0x0C1F, 0x5D01),
        ):
            props.set(name, mapi.STRING, people[0][0] or people[0][1])
            props.set(kind, mapi.STRING, "SMTP")
            props.set(address, mapi.STRING, people[0][1])
            props.set(smtp, mapi.STRING, people[0][1])
    for kind_number, header in ((1, "To"), (2, "Cc"), (3, "Bcc")):
        for who, where in _people(parsed, header):
            made.recipients.append(recipient(len(made.recipients), kind_number, who, where))
    importance = {"low": 0, "high": 2}.get(str(parsed.get("Importance", "")).strip().lower(), 1)
    props.set(p.PidTagImportance, mapi.INT32, importance)
    _walk(parsed, made, depth)
    return made


def recipient(row: int, kind: int, name: str, address: str) -> Properties:
    """A recipient row. kind: 1 to, 2 cc, 3 bcc."""
    made = Properties()
    made.set(p.PidTagRowid, mapi.INT32, row)
    made.set(p.PidTagRecipientType, mapi.INT32, kind)
    made.set(p.PidTagDisplayName, mapi.STRING, name or address)
    made.set(p.PidTagAddressType, mapi.STRING, "SMTP")
    made.set(p.PidTagEmailAddress, mapi.STRING, address)
    made.set(p.PidTagSmtpAddress, mapi.STRING, address)
    return made


def raw_headers(parsed: Mail) -> str:
    return (
        "".join(f"{name}: {value}\r\n" for name, value in parsed.items()).encode("utf-8", "replace").decode()
    )


def _people(parsed: Mail, header: str) -> list[tuple[str, str]]:
    values = [_decoded(str(value)) for value in parsed.get_all(header, [])]
    return [(name, address) for name, address in getaddresses(values) if address or name]


def _date(parsed: Mail) -> datetime | None:
    try:
        moment = parsedate_to_datetime(str(parsed["Date"]))
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def _walk(part: Mail, made: Message, depth: int) -> None:
    kind = part.get_content_type()
    if part.is_multipart() and kind != "message/rfc822":
        for child in part.get_payload():
            if isinstance(child, Mail):
                if depth > _DEPTH:
                    return
                _walk(child, made, depth + 1)
        return
    if kind == "message/rfc822":
        inner = part.get_payload()
        if isinstance(inner, list) and inner and isinstance(inner[0], Mail) and depth <= _DEPTH:
            embedded = _message(inner[0], depth + 1)
            holder = Attachment(embedded=embedded)
            holder.properties.set(p.PidTagAttachMethod, mapi.INT32, 5)
            holder.properties.set(p.PidTagAttachNumber, mapi.INT32, len(made.attachments))
            holder.properties.set(p.PidTagDisplayName, mapi.STRING, embedded.properties.text(p.PidTagSubject))
            made.attachments.append(holder)
        return
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    named = part.get_filename()
    wanted = p.PidTagHtml if kind == "text/html" else p.PidTagBody
    shown = (
        kind in ("text/plain", "text/html") and not named and part.get_content_disposition() != "attachment"
    )
    if shown and wanted not in made.properties:
        text = _text(data, part.get_content_charset())
        if wanted == p.PidTagBody:
            made.properties.set(p.PidTagBody, mapi.STRING, text)
        else:
            made.properties.set(p.PidTagHtml, mapi.BINARY, text.encode("utf-8"))
            made.properties.set(p.PidTagInternetCodepage, mapi.INT32, 65001)
        return
    made.attachments.append(
        file(
            len(made.attachments),
            _decoded(named or "attachment"),
            kind,
            data,
            content_id=str(part.get("Content-ID", "")).strip(" <>"),
        )
    )


def file(
    number: int, name: str, kind: str, data: bytes, *, content_id: str = "", inline: bool = False
) -> Attachment:
    """An attachment by value."""
    made = Attachment()
    props = made.properties
    props.set(p.PidTagAttachMethod, mapi.INT32, 1)
    props.set(p.PidTagAttachNumber, mapi.INT32, number)
    props.set(p.PidTagAttachLongFilename, mapi.STRING, name)
    props.set(p.PidTagDisplayName, mapi.STRING, name)
    props.set(p.PidTagAttachMimeTag, mapi.STRING, kind)
    props.set(p.PidTagAttachDataBinary, mapi.BINARY, data)
    if content_id:
        props.set(p.PidTagAttachContentId, mapi.STRING, content_id)
        props.set(p.PidTagAttachFlags, mapi.INT32, 4)
    if inline:
        props.set(p.PidTagAttachmentHidden, mapi.BOOLEAN, True)
    return made


def _text(data: bytes, charset: str | None) -> str:
    for name in (charset or "utf-8", "utf-8", "cp1252"):
        try:
            return data.decode(name)
        except (UnicodeDecodeError, LookupError):
            continue
    return data.decode("latin-1")


def search_key() -> bytes:
    return uuid.uuid4().bytes
