"""MIME → item tree, as Exchange would have stored the message on arrival.

Sources: MS-OXCMAIL 2.2.3 (headers, bodies, attachments), MS-OXOSMIME 2.1.3 (signed and encrypted), MS-OXORFB and MS-OXCMAIL
2.2.3.7 (reports), MS-OXCMSG 2.2.1.9 (subject prefix), MS-OXOFLAG (follow-up), RFC 2045 to 2049, 2231, 3462, 3798.

What becomes what:

- the first displayable text is the body; alternatives give text and HTML; further texts become attachments as ATT00001.txt
- parts of multipart/related that the HTML refers to are marked as inline
- message/rfc822 becomes an embedded message, multipart/digest several
- multipart/signed as the whole message: class IPM.Note.SMIME.MultipartSigned with one attachment that holds the entity octet by
  octet, header line and all; the inner text is read out as body too, so that it can be searched
- application/pkcs7-mime as the whole message: class IPM.Note.SMIME, one attachment with the decoded CMS octets
- multipart/encrypted (PGP) keeps its two parts as attachments
- multipart/report: class REPORT.IPM.Note.NDR, .DR, .Delayed, .IPNRN, .IPNNRN; all parts kept
- application/ms-tnef is unpacked: its properties lie under those of the MIME headers
- what cannot be taken apart (message/partial, external-body, too deep nesting) is an attachment, octet by octet
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from datetime import datetime
from hashlib import blake2b
from typing import Final

import pybase64

from migrator.formats import tnef
from migrator.formats.converted import Converted
from migrator.formats.errors import FormatError
from migrator.formats.mime import charsets, headers, transfer
from migrator.formats.mime.headers import Address
from migrator.formats.mime.split import MESSAGE_KINDS, Limits, Part, split
from migrator.mapi import blobs
from migrator.mapi import properties as p
from migrator.mapi.item import (
    BINARY,
    BOOLEAN,
    INT32,
    MULTIPLE,
    STRING,
    TIME,
    Attachment,
    Message,
    Named,
    Properties,
    filetime,
)
from migrator.model import Flag
from migrator.record import record

ReadCalendar = Callable[[bytes], Sequence[Message]]
"""iCalendar octets → items, the first one being what the mail is about. Raises FormatError."""


@record
class ReadOptions:
    """How MIME is taken in.

    disarm_receipts: a migrated unread message must not send receipts when it is read at last. x_headers: how many header
    fields become named properties at most (each new name takes a place in the mailbox's name table, which is finite; the
    whole header is kept in any case). sent: the message was written by the mailbox's owner. calendar: reads text/calendar.
    """

    disarm_receipts: bool = True
    report_classes: bool = True
    unpack_tnef: bool = True
    x_headers: int = 64
    sent: bool = False
    calendar: ReadCalendar | None = None
    embedded_depth: int = 30
    limits: Limits = field(default_factory=Limits)


def to_tree(
    raw: bytes,
    *,
    flags: Iterable[Flag] = (),
    received: datetime | None = None,
    keywords: Iterable[str] = (),
    options: ReadOptions | None = None,
) -> Converted:
    """The item that a message is.

    flags: read state and answers as the source keeps them. received: aware; the source's own time of delivery (INTERNALDATE),
    which outranks the Received fields. keywords: IMAP keywords or categories. Raises FormatError (format_limit) only.
    """
    options = options or ReadOptions()
    notes: dict[str, None] = {}
    message = _Reader(split(raw, options.limits), options, notes, 0).read(received)
    _state(message.properties, frozenset(flags), tuple(keywords), options)
    return Converted(message, tuple(notes))


# State that the source keeps beside the message ---------------------------------------------------------------------------

_READ, _UNSENT, _HAS_ATTACHMENT, _FROM_ME = 0x1, 0x8, 0x10, 0x20
_REPLIED_ICON, _FORWARDED_ICON = 261, 262
# What programs call their labels on IMAP. "$…" and "\…" are machine words and become no categories.
_LABELS: Final = {
    "$label1": "Important",
    "$label2": "Work",
    "$label3": "Personal",
    "$label4": "To Do",
    "$label5": "Later",
}
_MACHINE_WORDS: Final = frozenset({"junk", "nonjunk", "notjunk", "forwarded", "mdnsent", "seen", "recent"})


def _state(
    values: Properties, flags: frozenset[Flag], keywords: tuple[str, ...], options: ReadOptions
) -> None:
    bits = values.integer(p.PidTagMessageFlags) & _HAS_ATTACHMENT
    bits |= _READ if Flag.SEEN in flags else 0
    bits |= _UNSENT if Flag.DRAFT in flags else 0
    bits |= _FROM_ME if options.sent or Flag.DRAFT in flags else 0
    values.set(p.PidTagMessageFlags, INT32, bits)
    if Flag.ANSWERED in flags or Flag.FORWARDED in flags:
        verb, icon = (102, _REPLIED_ICON) if Flag.ANSWERED in flags else (104, _FORWARDED_ICON)
        values.set(p.PidTagLastVerbExecuted, INT32, verb)
        values.set(p.PidTagIconIndex, INT32, icon)
        moment = values.typed(p.PidTagMessageDeliveryTime)
        if moment is not None:
            values[p.PidTagLastVerbExecutionTime] = moment
    if Flag.FLAGGED in flags:
        values.set(p.PidTagFlagStatus, INT32, 2)
        values.set(p.PidTagFollowupIcon, INT32, 6)  # red
        values.set(p.PidTagToDoItemFlags, INT32, 1)
        values.set(p.PidLidFlagRequest, STRING, "Follow up")
        values.set(p.PidLidToDoTitle, STRING, values.text(p.PidTagSubject))
    names = dict.fromkeys(values.get(p.PidNameKeywords) or ())
    for keyword in keywords:
        word = headers.clean(_LABELS.get(keyword.lower(), keyword))[:255]
        if word and word[0] not in "$\\" and word.lower() not in _MACHINE_WORDS:
            names[word] = None
    if names:
        values.set(p.PidNameKeywords, MULTIPLE | STRING, list(names)[:500])


# The message itself -------------------------------------------------------------------------------------------------------


@record(frozen=False)
class _Gathered:
    """What the walk over the parts finds."""

    text: Part | None = None
    html: Part | None = None
    calendar: Part | None = None
    tnef: Part | None = None
    attachments: list[tuple[Part, bool]] = field(default_factory=list)  # part, within multipart/related


class _Reader:
    __slots__ = ("_depth", "_notes", "_options", "_root")

    def __init__(self, root: Part, options: ReadOptions, notes: dict[str, None], depth: int) -> None:
        self._root = root
        self._options = options
        self._notes = notes
        self._depth = depth  # messages around this one

    def note(self, word: str) -> None:
        if word:
            self._notes[word] = None

    def read(self, received: datetime | None = None) -> Message:
        message = Message()
        root = self._root
        found = _Gathered()
        smime = _secured(root)
        if smime:
            self.secured(message, root, smime)
            if root.is_multipart:
                inner = _Gathered()
                self.gather(root, inner)
                found.text, found.html = inner.text, inner.html
        else:
            self.gather(root, found)
        values = message.properties
        if found.tnef is not None and not self.unpack(message, found.tnef):
            found.attachments.append((found.tnef, False))
        if found.calendar is not None:
            self.calendar(message, found)
        hint = _hint(found)
        self.headers(message, received, hint)
        self.bodies(values, found)
        if not smime:
            self.attach(message, found)
        if not smime and root.kind == "multipart/report" and self._options.report_classes:
            self.report(values, root)
        if message.attachments:
            values.set(p.PidTagMessageFlags, INT32, values.integer(p.PidTagMessageFlags) | _HAS_ATTACHMENT)
        if p.PidTagMessageClass not in values:
            values.set(p.PidTagMessageClass, STRING, "IPM.Note")
        return message

    # Structure

    def gather(self, root: Part, found: _Gathered) -> None:
        """Walk the parts without recursion; each ends as body, calendar, TNEF or attachment."""
        waiting: list[tuple[Part, str, bool]] = [(root, "mixed", False)]
        while waiting:
            part, within, related = waiting.pop()
            if part.is_multipart and not part.closed:
                if part.children:
                    self.around(part)
                    waiting.extend(reversed(self.unfold(part, related, within)))
                    if part is not root and part.kind == "multipart/signed":
                        self.note("signature_nested")
                    continue
                if part.octets.strip():
                    self.note("boundary_missing")
            self.leaf(part, within, related, found, part is root)

    def unfold(self, part: Part, related: bool, within: str) -> list[tuple[Part, str, bool]]:
        kind = part.kind.partition("/")[2]
        children = part.children
        if kind == "alternative":
            return [(child, "alternative", related) for child in children]
        if kind == "related":
            start = _bare_id(part.parameters.get("start", "").encode("utf-8", "surrogateescape"))
            first = next(
                (c for c in children if start and _bare_id(c.first("content-id")) == start), children[0]
            )
            rest = [(child, "related", True) for child in children if child is not first]
            return [(first, within, related), *rest]
        return [(child, "mixed", False) for child in children]

    def leaf(self, part: Part, within: str, related: bool, found: _Gathered, alone: bool) -> None:
        kind = part.kind
        disposition, parameters = headers.parse_disposition(part.first("content-disposition"))
        named = bool(parameters.get("filename") or part.parameters.get("name"))
        if part.closed or (kind in MESSAGE_KINDS):
            found.attachments.append((part, related))
            return
        if self._options.unpack_tnef and found.tnef is None and _is_tnef(part, parameters):
            found.tnef = part
            return
        if part.is_multipart:  # without children: what stands there is text
            if part.octets.strip() and found.text is None:
                found.text = part
            elif part.octets.strip():
                found.attachments.append((part, related))
            return
        as_file = disposition == "attachment" or (
            named and not alone and within == "mixed" and disposition != "inline"
        )
        if related and within == "related":
            as_file = True
        if kind == "text/calendar" and found.calendar is None and disposition != "attachment":
            found.calendar = part
            if self._options.calendar is None:
                found.attachments.append((part, related))
            return
        if (
            kind == "text/html"
            and not as_file
            and found.html is None
            and (found.text is None or within == "alternative")
        ):
            found.html = part
            return
        plain = kind == "text/plain" or (kind == "text/enriched" and alone) or (not part.declared)
        if plain and not as_file and found.text is None and (found.html is None or within == "alternative"):
            found.text = part
            return
        if part.end > part.body or named or part.declared:
            if (plain or kind == "text/html") and not part.octets.strip() and not named and not disposition:
                return  # an empty text is nothing
            found.attachments.append((part, related))

    def around(self, part: Part) -> None:
        """Text in front of and behind the parts, which no mail program shows."""
        before = part.raw[part.body : part.preamble_end].strip()
        if before and not _COMMON_PREAMBLE.search(before[:400]):
            self.note("preamble_dropped")
        if part.epilogue and part.raw[part.epilogue : part.end].strip():
            self.note("epilogue_dropped")

    # Signed and encrypted

    def secured(self, message: Message, root: Part, kind: str) -> None:
        attachment = Attachment()
        values = attachment.properties
        values.set(p.PidTagAttachMethod, INT32, 1)
        values.set(p.PidTagRenderingPosition, INT32, -1)
        if kind == "signed":
            # The entity alone: its Content-Type with the boundary, then the body as it stands.
            fields = b"".join(
                _field_octets(root, name) for name in ("content-type", "content-transfer-encoding")
            )
            data = fields + b"\r\n" + root.octets
            mime = root.kind
            item_class = "IPM.Note.SMIME.MultipartSigned"
        else:
            decoded = _decoded(root)
            self.note(decoded.fault)
            data = decoded.octets
            words = [root.kind] + [
                f"{key}={value}" for key, value in root.parameters.items() if key == "smime-type"
            ]
            mime = ";".join(words)
            item_class = "IPM.Note.SMIME"
        name = headers.parse_disposition(root.first("content-disposition"))[1].get(
            "filename"
        ) or root.parameters.get("name")
        _name(values, name or "smime.p7m")
        values.set(p.PidTagAttachMimeTag, STRING, mime)
        values.set(p.PidTagAttachDataBinary, BINARY, data)
        message.attachments.append(attachment)
        message.properties.set(p.PidTagMessageClass, STRING, item_class)

    # TNEF and calendar

    def unpack(self, message: Message, part: Part) -> bool:
        octets = _decoded(part).octets
        try:
            unpacked = tnef.read(octets)
        except FormatError:
            self.note("tnef_unreadable")
            return False
        if unpacked.warnings:
            self.note("tnef_damaged")
        for one in unpacked.message.walk():
            for key in [key for key in one.properties if isinstance(key, int) and _is_foreign(key)]:
                del one.properties[key]
            if p.PidTagRtfCompressed not in one.properties:
                one.properties.pop(p.PidTagRtfInSync, None)
            if one is not unpacked.message:
                one.properties.set(p.PidTagMessageFlags, INT32, _READ)
        message.properties.update(unpacked.message.properties)
        message.attachments.extend(unpacked.message.attachments)
        if unpacked.message.recipients:
            message.recipients.extend(unpacked.message.recipients)
        return True

    def calendar(self, message: Message, found: _Gathered) -> None:
        part = found.calendar
        read = self._options.calendar
        if part is None or read is None:
            return
        decoded = _decoded(part).octets
        text = charsets.decode(decoded, part.parameters.get("charset", "") or "utf-8").text
        try:
            items = read(text.encode("utf-8", "replace"))
        except FormatError:
            self.note("calendar_unreadable")
            found.attachments.append((part, False))
            return
        if not items:
            found.attachments.append((part, False))
            return
        if len(items) > 1:
            self.note("calendar_several")
            found.attachments.append((part, False))
        event = items[0]
        for key, value in event.properties.items():
            if (
                isinstance(key, int)
                and key in (p.PidTagBody, p.PidTagHtml, p.PidTagNativeBody)
                and (found.text or found.html)
            ):
                continue
            message.properties[key] = value
        message.attachments.extend(event.attachments)
        message.recipients.extend(event.recipients)

    # Headers

    def headers(self, message: Message, received: datetime | None, hint: str) -> None:
        root, values = self._root, message.properties
        self.transport(values, root, hint)
        self.subject(values, root, hint)
        self.people(message, root, hint)
        self.times(values, root, received)
        for tag, name in ((p.PidTagInternetMessageId, "message-id"), (p.PidTagInReplyToId, "in-reply-to")):
            if identifier := headers.message_id(root.first(name)):
                values.set(tag, STRING, identifier)
        for tag, name in _TEXT_FIELDS:
            if (value := root.first(name)) is not None and (text := headers.text(value, hint)):
                values.set(tag, STRING, text)
        self.thread(values, root)
        self.handling(values, root)
        if (value := root.first("keywords")) is not None:
            words = [word.strip() for word in headers.text(value, hint).replace(";", ",").split(",")]
            words = list(dict.fromkeys(word[:255] for word in words if word))
            if words:
                values.set(p.PidNameKeywords, MULTIPLE | STRING, words[:500])
        self.promote(values, root, hint)
        key = blake2b(root.raw[root.start : root.body], digest_size=16, person=b"search key")
        key.update(str(root.end - root.body).encode())
        values.set(p.PidTagSearchKey, BINARY, key.digest())

    def transport(self, values: Properties, root: Part, hint: str) -> None:
        octets = root.raw[root.start : root.header_end]
        if not octets:
            return
        text = octets.decode("ascii") if octets.isascii() else charsets.decode(octets, hint=hint).text
        text = text.replace("\0", "")
        text = re.sub(r"\r?\n", "\r\n", text)
        values.set(p.PidTagTransportMessageHeaders, STRING, text if text.endswith("\r\n") else text + "\r\n")

    def subject(self, values: Properties, root: Part, hint: str) -> None:
        value = root.first("subject")
        if value is None and p.PidTagSubject in values:
            return
        subject = headers.text(value, hint) if value is not None else ""
        put_subject(values, subject)
        topic = root.first("thread-topic")
        if topic is not None and (text := headers.text(topic, hint)):
            values.set(p.PidTagConversationTopic, STRING, text)

    def people(self, message: Message, root: Part, hint: str) -> None:
        values = message.properties
        authors = [a for value in root.all("from") for a in headers.addresses(value, hint)]
        senders = [a for value in root.all("sender")[:1] for a in headers.addresses(value, hint)]
        author = _best(authors) or _best(senders)
        if author is not None:
            _person(values, author, _REPRESENTING)
            _person(values, _best(senders) or author, _SENDER)
        elif p.PidTagSentRepresentingName not in values:
            self.note("sender_missing")
        people: list[Properties] = []
        for name, kind in (("to", 1), ("cc", 2), ("bcc", 3)):
            for value in root.all(name):
                found = headers.addresses(value, hint)
                if len(people) + len(found) >= 20_000:
                    self.note("recipients_capped")
                    found = found[: max(0, 20_000 - len(people))]
                people += [_recipient(person, kind) for person in found]
        if people:
            # Those of a TNEF or calendar part tell less than the header does; but some attendees stand in the part alone.
            known = {row.text(p.PidTagEmailAddress).lower() for row in people}
            attendees = [
                row
                for row in message.recipients
                if (address := row.text(p.PidTagSmtpAddress) or row.text(p.PidTagEmailAddress)).lower()
                not in known
                and "@" in address
                and not row.integer(p.PidTagRecipientFlags) & 2  # the organiser
            ]
            message.recipients[:] = [*people, *attendees]
        for index, row in enumerate(message.recipients):
            row.set(p.PidTagRowid, INT32, index)
        replies = [a for value in root.all("reply-to") for a in headers.addresses(value, hint)]
        if replies:
            entries = [blobs.build_one_off(a.name or a.address, "SMTP", a.address) for a in replies[:500]]
            values.set(p.PidTagReplyRecipientEntries, BINARY, _flat_entries(entries))
            values.set(
                p.PidTagReplyRecipientNames, STRING, ";".join(a.name or a.address for a in replies[:500])
            )

    def times(self, values: Properties, root: Part, received: datetime | None) -> None:
        sent = headers.date(root.first("date"))
        delivered = received or headers.received_date(root.all("received")) or sent
        if sent is None and self._depth == 0:
            self.note("date_missing" if delivered is not None else "date_unknown")
        submitted = sent or delivered
        if submitted is not None:
            values.set(p.PidTagClientSubmitTime, TIME, filetime(submitted))
        if delivered is not None:
            values.set(p.PidTagMessageDeliveryTime, TIME, filetime(delivered))
            values.set(p.PidTagCreationTime, TIME, filetime(delivered))
        for tag, name in (
            (p.PidTagExpiryTime, "expires"),
            (p.PidTagExpiryTime, "expiry-date"),
            (p.PidTagReplyTime, "reply-by"),
        ):
            if (moment := headers.date(root.first(name))) is not None:
                values.set(tag, TIME, filetime(moment))

    def thread(self, values: Properties, root: Part) -> None:
        value = root.first("thread-index")
        if value is None:
            return
        try:
            index = pybase64.b64decode(re.sub(rb"\s+", b"", value[:100_000]), validate=True)
            blobs.parse_conversation_index(index)
        except (ValueError, blobs.BlobError):
            return  # the header keeps it
        values.set(p.PidTagConversationIndex, BINARY, index)

    def handling(self, values: Properties, root: Part) -> None:
        values.set(p.PidTagImportance, INT32, _importance(root))
        word = headers.text((root.first("sensitivity") or b"")[:200]).lower()
        values.set(p.PidTagSensitivity, INT32, _SENSITIVITY.get(word, 0))
        read = (
            root.first("disposition-notification-to") is not None
            or root.first("x-confirm-reading-to") is not None
        )
        delivered = root.first("return-receipt-to") is not None
        if (read or delivered) and self._options.disarm_receipts:
            self.note("receipt_disarmed")
            read = delivered = False
        values.set(p.PidTagReadReceiptRequested, BOOLEAN, read)
        values.set(p.PidTagOriginatorDeliveryReportRequested, BOOLEAN, delivered)

    def promote(self, values: Properties, root: Part, hint: str) -> None:
        """X- headers as named properties, as Exchange's transport does for those that programs look up."""
        left = self._options.x_headers
        for name, value in root.fields:
            if _PROMOTED.fullmatch(name) is None or _RANDOM.search(name):
                continue
            key = Named(p.PS_INTERNET_HEADERS, name=name)
            if key in values:
                continue
            if left <= 0 or len(value) > 16_384:
                if self._options.x_headers:
                    self.note("headers_not_promoted")
                continue
            left -= 1
            values.set(key, STRING, headers.text(value, hint))

    # Bodies

    def bodies(self, values: Properties, found: _Gathered) -> None:
        rich = p.PidTagHtml in values or p.PidTagRtfCompressed in values  # from TNEF
        if found.html is not None and not rich:
            octets, charset = self.body_octets(found.html)
            decoded = charsets.decode(octets, charset)
            self.note(decoded.fault)
            page = _page(charset, decoded)
            if page == 0 or decoded.fault:
                octets, page = decoded.text.encode("utf-8", "replace"), charsets.UTF8
            values.set(p.PidTagHtml, BINARY, octets)
            values.set(p.PidTagInternetCodepage, INT32, page)
            values.set(p.PidTagNativeBody, INT32, 3)
        if found.text is not None:
            octets, charset = self.body_octets(found.text)
            decoded = charsets.decode(octets, charset)
            self.note(decoded.fault)
            text = decoded.text.replace("\0", "")
            text = re.sub(r"\r\n|\r|\n", "\r\n", text)
            if p.PidTagBody not in values:
                values.set(p.PidTagBody, STRING, text)
            elif found.tnef is not None and _squeezed(text) not in _squeezed(values.text(p.PidTagBody)):
                found.attachments.append((found.text, False))  # more than the body that TNEF carries
            if found.html is None and not rich:
                values.set(p.PidTagNativeBody, INT32, 1)
                values.set(p.PidTagInternetCodepage, INT32, _page(charset, decoded) or charsets.UTF8)
        if rich and p.PidTagNativeBody not in values:
            values.set(p.PidTagNativeBody, INT32, 3 if p.PidTagHtml in values else 2)
        if p.PidTagInternetCodepage not in values:
            values.set(p.PidTagInternetCodepage, INT32, charsets.UTF8)
        if p.PidTagNativeBody not in values:
            if p.PidTagBody not in values:
                values.set(p.PidTagBody, STRING, "")
            values.set(p.PidTagNativeBody, INT32, 1)

    def body_octets(self, part: Part) -> tuple[bytes, str]:
        decoded = _decoded(part)
        self.note(decoded.fault)
        octets = decoded.octets
        if decoded.tail:  # what a list server put behind the base64 is text that its readers saw
            octets += b"\r\n" + decoded.tail
        return octets, part.parameters.get("charset", "")

    # Attachments

    def attach(self, message: Message, found: _Gathered) -> None:
        html = message.properties.get(p.PidTagHtml)
        cids = (
            _referred(bytes(html))
            if html is not None and any(r for _, r in found.attachments)
            else frozenset()
        )
        if html is not None and not cids and any(part.first("content-id") for part, _ in found.attachments):
            cids = _referred(bytes(html))
        for part, related in found.attachments:
            message.attachments.append(self.attachment(part, related, cids, len(message.attachments) + 1))

    def attachment(self, part: Part, related: bool, cids: frozenset[str], number: int) -> Attachment:
        attachment = Attachment()
        values = attachment.properties
        _, parameters = headers.parse_disposition(part.first("content-disposition"))
        name = parameters.get("filename") or part.parameters.get("name") or ""
        if (
            not name
            and (described := part.first("content-description")) is not None
            and part.kind in MESSAGE_KINDS
        ):
            name = headers.text(described)
        values.set(p.PidTagRenderingPosition, INT32, -1)
        values.set(p.PidTagAttachMimeTag, STRING, part.kind)
        cid = _bare_id(part.first("content-id"))
        if cid:
            values.set(p.PidTagAttachContentId, STRING, cid)
        if (location := part.first("content-location")) is not None:
            values.set(p.PidTagAttachContentLocation, STRING, re.sub(r"\s+", "", headers.text(location)))
        shown = bool(cid and cid.lower() in cids)
        if shown or (related and (cid or location is not None)):
            values.set(p.PidTagAttachFlags, INT32, 4)
        if shown:
            values.set(p.PidTagAttachmentHidden, BOOLEAN, True)
        embedded = self.embedded(part)
        if embedded is not None:
            attachment.embedded = embedded
            values.set(p.PidTagAttachMethod, INT32, 5)
            title = name or embedded.properties.text(p.PidTagSubject) or "message"
            values.set(p.PidTagDisplayName, STRING, title)
            if name:
                values.set(p.PidTagAttachLongFilename, STRING, name)
            return attachment
        values.set(p.PidTagAttachMethod, INT32, 1)
        if part.closed or (part.is_multipart and part.children):
            # Without its own header lines nobody could take it apart later.
            self.note("too_deep")
            data = part.whole
            values.set(p.PidTagAttachMimeTag, STRING, "message/rfc822")
            name = name or f"ATT{number:05d}.eml"
        else:
            decoded = _decoded(part)
            self.note(decoded.fault)
            data = decoded.octets
            if part.kind.startswith("text/") and (charset := part.parameters.get("charset")):
                values.set(_TEXT_CHARSET, STRING, charset)
        _name(values, name or f"ATT{number:05d}{_EXTENSIONS.get(part.kind, _extension_of(part.kind))}")
        values.set(p.PidTagAttachDataBinary, BINARY, data)
        return attachment

    def embedded(self, part: Part) -> Message | None:
        if part.kind not in MESSAGE_KINDS or part.closed or self._depth + 1 > self._options.embedded_depth:
            if part.kind in MESSAGE_KINDS and not part.closed:
                self.note("too_deep")
            return None
        if part.children:
            root = part.children[0]
        else:  # encoded, against RFC 2046 5.2.1, but seen
            octets = _decoded(part).octets
            if not octets.strip():
                return None
            root = split(octets, self._options.limits)
        reader = _Reader(root, self._options, self._notes, self._depth + 1)
        message = reader.read()
        message.properties.set(
            p.PidTagMessageFlags, INT32, message.properties.integer(p.PidTagMessageFlags) | _READ
        )
        return message

    # Reports

    def report(self, values: Properties, root: Part) -> None:
        kind = root.parameters.get("report-type", "").lower()
        status = next(
            (
                c
                for c in root.children
                if c.kind in ("message/delivery-status", "message/global-delivery-status")
            ),
            None,
        )
        notice = next((c for c in root.children if c.kind.endswith("disposition-notification")), None)
        if status is not None and kind in ("", "delivery-status"):
            octets = _decoded(status).octets[:65_536].lower()
            actions = set(re.findall(rb"(?m)^action:[ \t]*([a-z]+)", octets))
            if b"failed" in actions:
                values.set(p.PidTagMessageClass, STRING, "REPORT.IPM.Note.NDR")
            elif b"delayed" in actions:
                values.set(p.PidTagMessageClass, STRING, "REPORT.IPM.Note.Delayed")
            elif actions & {b"delivered", b"relayed", b"expanded"}:
                values.set(p.PidTagMessageClass, STRING, "REPORT.IPM.Note.DR")
        elif notice is not None and kind in ("", "disposition-notification"):
            octets = _decoded(notice).octets[:65_536].lower()
            found = re.search(rb"(?m)^disposition:[^\r\n]*;[ \t]*([a-z]+)", octets)
            if found is not None:
                deleted = found[1] in (b"deleted", b"failed", b"denied")
                values.set(
                    p.PidTagMessageClass, STRING, f"REPORT.IPM.Note.{'IPNNRN' if deleted else 'IPNRN'}"
                )


# Pieces -------------------------------------------------------------------------------------------------------------------

_COMMON_PREAMBLE: Final = re.compile(
    rb"(?i)(multi-?part|mime|does not understand|should ignore|cryptographic|signed message|s/mime|content preview)"
)
# Names made up per message would fill the mailbox's name table; the whole header keeps them.
_PROMOTED: Final = re.compile(r"x-[a-z0-9_.-]{1,62}")
_RANDOM: Final = re.compile(r"[0-9]{4}|[0-9a-f]{12}")
_TEXT_CHARSET: Final = 0x371B  # PidTagTextAttachmentCharset
_TEXT_FIELDS: Final = (
    (p.PidTagInternetReferences, "references"),
    (0x1043, "list-help"),
    (0x1044, "list-subscribe"),
    (0x1045, "list-unsubscribe"),
)
_SENSITIVITY: Final = {"personal": 1, "private": 2, "company-confidential": 3, "confidential": 3}
_PREFIX: Final = re.compile(r"[^\W\d_]{1,3}: ")
# Name, type, address, entry id, search key, SMTP address.
_SENDER: Final = (0x0C1A, 0x0C1E, 0x0C1F, 0x0C19, 0x0C1D, 0x5D01)
_REPRESENTING: Final = (0x0042, 0x0064, 0x0065, 0x0041, 0x003B, 0x5D02)

_EXTENSIONS: Final = {
    "text/plain": ".txt",
    "text/html": ".htm",
    "text/calendar": ".ics",
    "text/vcard": ".vcf",
    "text/x-vcard": ".vcf",
    "text/directory": ".vcf",
    "text/csv": ".csv",
    "text/xml": ".xml",
    "text/enriched": ".txt",
    "text/richtext": ".txt",
    "text/rtf": ".rtf",
    "application/rtf": ".rtf",
    "application/pdf": ".pdf",
    "application/zip": ".zip",
    "application/json": ".json",
    "application/msword": ".doc",
    "application/vnd.ms-excel": ".xls",
    "application/ms-tnef": ".dat",
    "application/pgp-signature": ".asc",
    "application/pgp-encrypted": ".dat",
    "application/pkcs7-signature": ".p7s",
    "application/x-pkcs7-signature": ".p7s",
    "application/pkcs7-mime": ".p7m",
    "application/x-pkcs7-mime": ".p7m",
    "image/jpeg": ".jpg",
    "image/pjpeg": ".jpg",
    "image/png": ".png",
    "image/gif": ".gif",
    "image/bmp": ".bmp",
    "image/tiff": ".tif",
    "image/svg+xml": ".svg",
    "audio/mpeg": ".mp3",
    "audio/wav": ".wav",
    "audio/x-wav": ".wav",
    "video/mp4": ".mp4",
    "message/rfc822": ".eml",
    "message/delivery-status": ".txt",
    "message/disposition-notification": ".txt",
    "text/rfc822-headers": ".txt",
}


def _extension_of(kind: str) -> str:
    return ".txt" if kind.startswith("text/") else ".dat"


def _secured(root: Part) -> str:
    """ "signed", "opaque" or "": whether the whole message is an entity that must stay as it is."""
    if root.kind == "multipart/signed" and len(root.children) >= 2:
        return "signed"
    if root.kind in ("application/pkcs7-mime", "application/x-pkcs7-mime"):
        return "opaque"
    return ""


def _decoded(part: Part) -> transfer.Octets:
    return transfer.decode(part.raw, part.encoding, part.body, part.end)


def _field_octets(part: Part, name: str) -> bytes:
    value = part.first(name)
    if value is None:
        return b""
    shown = b"-".join(word.capitalize() for word in name.encode().split(b"-"))
    return shown + b":" + re.sub(rb"\r?\n", b"\r\n", value.rstrip(b"\r\n")) + b"\r\n"


def _is_tnef(part: Part, parameters: headers.Parameters) -> bool:
    if part.kind in ("application/ms-tnef", "application/vnd.ms-tnef"):
        return True
    name = parameters.get("filename") or part.parameters.get("name") or ""
    return name.lower() == "winmail.dat"


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def _is_foreign(tag: int) -> bool:
    """Identifiers and computed values of the store that made the TNEF."""
    return (
        0x0FF0 <= tag <= 0x0FFF
        or 0x6500 <= tag <= 0x67FF
        or tag
        in (0x0E02, 0x0E03, 0x0E04, 0x0E05, 0x0E07, 0x0E08, 0x0E09, 0x0E0A, 0x0E1B, 0x0E17, 0x3013, 0x007D)
    )


def _hint(found: _Gathered) -> str:
    """Codec of the body, for header octets that nobody declared."""
    for part in (found.html, found.text):
        if part is not None and (known := charsets.lookup(part.parameters.get("charset", ""))) is not None:
            return "" if known[0] in ("ascii", "utf-8", "utf-16", "utf-7") else known[0]
    return ""


def _page(charset: str, decoded: charsets.Decoded) -> int:
    """Code page of an octet string as declared, when that is how it was read."""
    known = charsets.lookup(charset) if charset else None
    if known is not None and known[0] == decoded.codec:
        return known[1]
    if decoded.codec == "ascii":
        return 20127
    if decoded.codec == "utf-8":
        return charsets.UTF8
    if decoded.codec in ("cp1252", "cp1254"):
        return int(decoded.codec[2:])
    return 0


def put_subject(values: Properties, subject: str) -> None:
    """Subject with prefix, normalised subject and conversation topic."""
    found = _PREFIX.match(subject)
    prefix = found[0] if found is not None else ""
    values.set(p.PidTagSubject, STRING, subject)
    values.set(p.PidTagSubjectPrefix, STRING, prefix)
    values.set(p.PidTagNormalizedSubject, STRING, subject[len(prefix) :])
    values.set(p.PidTagConversationTopic, STRING, subject[len(prefix) :])


def _best(people: list[Address]) -> Address | None:
    return next((a for a in people if "@" in a.address), people[0] if people else None)


def _person(values: Properties, person: Address, tags: tuple[int, int, int, int, int, int]) -> None:
    name, kind, address, entry, key, smtp = tags
    values.set(name, STRING, person.name or person.address)
    values.set(kind, STRING, "SMTP")
    values.set(address, STRING, person.address)
    values.set(entry, BINARY, blobs.build_one_off(person.name or person.address, "SMTP", person.address))
    values.set(key, BINARY, blobs.search_key("SMTP", person.address))
    values.set(smtp, STRING, person.address)


def _recipient(person: Address, kind: int) -> Properties:
    shown = person.name or person.address
    entry = blobs.build_one_off(shown, "SMTP", person.address)
    row = Properties()
    row.set(p.PidTagRecipientType, INT32, kind)
    row.set(p.PidTagDisplayName, STRING, shown)
    row.set(p.PidTagAddressType, STRING, "SMTP")
    row.set(p.PidTagEmailAddress, STRING, person.address)
    row.set(p.PidTagSmtpAddress, STRING, person.address)
    row.set(p.PidTagEntryId, BINARY, entry)
    row.set(p.PidTagSearchKey, BINARY, blobs.search_key("SMTP", person.address))
    row.set(p.PidTagObjectType, INT32, 6)
    row.set(p.PidTagDisplayType, INT32, 0)
    row.set(p.PidTagRecipientDisplayName, STRING, shown)
    row.set(p.PidTagRecipientEntryId, BINARY, entry)
    row.set(p.PidTagRecipientFlags, INT32, 1)
    row.set(p.PidTagTransmittableDisplayName, STRING, shown)
    row.set(p.PidTagSendRichInfo, BOOLEAN, False)
    row.set(p.PidTagResponsibility, BOOLEAN, True)
    return row


def _flat_entries(entries: list[bytes]) -> bytes:
    """FlatEntryList, MS-OXCDATA 2.3.3."""
    wire = b"".join(struct.pack("<I", len(entry)) + entry + bytes(-len(entry) % 4) for entry in entries)
    return struct.pack("<II", len(entries), len(wire)) + wire


def _importance(root: Part) -> int:
    for name in ("importance", "x-priority", "x-msmail-priority", "priority"):
        value = root.first(name)
        if value is None:
            continue
        word = headers.text(value[:100]).lower()
        if word.startswith(("high", "urgent", "1", "2")):
            return 2
        if word.startswith(("low", "non-urgent", "4", "5")):
            return 0
        if word:
            return 1
    return 1


def _bare_id(value: bytes | None) -> str:
    if value is None:
        return ""
    source = headers.text(value[:4000])
    found = re.search(r"<([^<>]*)>", source)
    return (found[1] if found is not None else source).strip()


_CID: Final = re.compile(rb"(?i)cid:([^\"'\s>)]{1,1000})")


def _referred(html: bytes) -> frozenset[str]:
    """Content ids that the HTML shows, lower case, percent signs resolved."""
    from urllib.parse import unquote

    found = set()
    for match in _CID.finditer(html.replace(b"\0", b"")):
        word = match[1].decode("utf-8", "replace").replace("&amp;", "&")
        found |= {word.lower(), unquote(word).lower()}
    return frozenset(found)


def _name(values: Properties, name: str) -> None:
    """Long name, 8.3 name, extension and display name of an attachment."""
    values.set(p.PidTagAttachLongFilename, STRING, name)
    values.set(p.PidTagDisplayName, STRING, name)
    stem, dot, extension = name.rpartition(".")
    if not dot or not stem:
        stem, extension = name, ""
    short = re.sub(r"[^A-Za-z0-9_-]", "", stem)[:8] or "ATT"
    tail = re.sub(r"[^A-Za-z0-9]", "", extension)[:3]
    values.set(p.PidTagAttachFilename, STRING, f"{short}.{tail}" if tail else short)
    if extension and len(extension) <= 20:
        values.set(p.PidTagAttachExtension, STRING, f".{extension}")
