"""Item tree → MIME: what Exchange keeps, as mail for IMAP, files and archives.

Sources: MS-OXCMAIL 2.1.3 (headers, bodies, attachments), MS-OXOSMIME 2.1.3 (signed and encrypted), RFC 2045 to 2049, 2231, 2387.

- header fields that the message arrived with are used again as they are, without those that describe the content; what they
  lack is made from properties, and a subject that its owner changed wins
- body: HTML and text as alternatives; RTF is turned back into the HTML that it wraps; RTF of its own becomes text, and is attached
- attachments that the HTML shows stand beside it in multipart/related, the others in multipart/mixed
- signed and encrypted content is written octet by octet
- what mail has no place for is named in the notes (`notes.NOTES`)

Output is 7-bit with CRLF, except content that came in otherwise and is written as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from hashlib import blake2b
from typing import Final
from uuid import UUID

import pybase64

from migrator.formats import rtfhtml
from migrator.formats.errors import FormatError
from migrator.formats.mime import charsets, headers, transfer
from migrator.formats.mime.headers import Address
from migrator.mapi import blobs, rtf
from migrator.mapi import properties as p
from migrator.mapi.item import Attachment, Message, Named, Properties
from migrator.model import Flag
from migrator.record import record

Piece = bytes | memoryview

WriteCalendar = Callable[[Message], tuple[bytes, str]]
"""An item of the calendar → (iCalendar octets in UTF-8, METHOD or ""). Raises FormatError."""


WriteCard = Callable[[Message], bytes]
"""A contact or distribution list → vCard octets in UTF-8. Raises FormatError."""


@record
class WriteOptions:
    """How a tree is written.

    addresses: legacyExchangeDN in lower case → SMTP address, for people of the old directory. keywords: categories as a Keywords
    field. bcc: blind copies of received messages too. calendar: writes text/calendar, card: text/vcard. depth: messages within
    each other.
    """

    addresses: Mapping[str, str] = field(default_factory=dict)
    keywords: bool = True
    bcc: bool = False
    calendar: WriteCalendar | None = None
    card: WriteCard | None = None
    depth: int = 50


@record
class Written:
    pieces: list[Piece]  # together the message
    notes: tuple[str, ...]  # words of `notes.NOTES`

    @property
    def octets(self) -> bytes:
        return b"".join(self.pieces)


def from_tree(message: Message, *, options: WriteOptions | None = None) -> Written:
    """The message as MIME. Raises FormatError (format_limit) when messages are nested deeper than `options.depth`."""
    notes: dict[str, None] = {}
    pieces = _Writer(options or WriteOptions(), notes, message).message(message, 0)
    return Written(pieces, tuple(notes))


def flags_of(message: Message) -> frozenset[Flag]:
    """Read state, follow-up flag and last answer."""
    values = message.properties
    bits = values.integer(p.PidTagMessageFlags)
    verb = values.integer(p.PidTagLastVerbExecuted)
    found = {
        Flag.SEEN: bits & 0x1,
        Flag.DRAFT: bits & 0x8,
        Flag.FLAGGED: values.integer(p.PidTagFlagStatus) == 2,
        Flag.ANSWERED: verb in (102, 103),
        Flag.FORWARDED: verb == 104,
    }
    return frozenset(flag for flag, is_set in found.items() if is_set)


def categories_of(message: Message) -> tuple[str, ...]:
    found = message.properties.get(p.PidNameKeywords)
    if not isinstance(found, list | tuple):
        return ()
    return tuple(word for word in found if isinstance(word, str) and word)


@record(frozen=False)
class _Entity:
    fields: list[bytes]  # CRLF-ended
    pieces: list[Piece]

    def flat(self) -> list[Piece]:
        return [*self.fields, b"\r\n", *self.pieces]


_HEADER: Final = re.compile(r"([!-9;-~]+)[ \t]*:(.*)\Z", re.DOTALL)
_ADDRESS_FIELDS: Final = frozenset(
    {
        "from",
        "sender",
        "to",
        "cc",
        "bcc",
        "reply-to",
        "resent-from",
        "resent-to",
        "resent-cc",
        "disposition-notification-to",
    }
)


_MACHINE_FIELDS: Final = frozenset(
    {"date", "received", "message-id", "references", "in-reply-to", "return-path"}
)


class _Writer:
    __slots__ = ("_count", "_notes", "_options", "_seed", "_verbatim")

    def __init__(self, options: WriteOptions, notes: dict[str, None], root: Message) -> None:
        self._options = options
        self._notes = notes
        self._count = 0
        self._verbatim: list[bytes] = []
        seed = blake2b(digest_size=12)
        for key in (p.PidTagInternetMessageId, p.PidTagSubject):
            seed.update(root.properties.text(key).encode("utf-8", "surrogatepass"))
        self._seed = seed.hexdigest()

    def note(self, word: str) -> None:
        self._notes[word] = None

    def message(self, message: Message, level: int) -> list[Piece]:
        if level > self._options.depth:
            raise FormatError("messages nested too deep", code="format_limit")
        arrived = _Arrived(message.properties.text(p.PidTagTransportMessageHeaders))
        content = self.content(message, arrived, level)
        fields = self.headers(message, arrived)
        self.losses(message)
        return [*fields, b"MIME-Version: 1.0\r\n", *content.flat()]

    # Header fields

    def headers(self, message: Message, arrived: _Arrived) -> list[bytes]:
        values = message.properties
        out: list[bytes] = []
        have: set[str] = set()
        subject = values.typed(p.PidTagSubject)
        for name, shown, value in arrived.fields:
            if name.startswith("content-") or name == "mime-version":
                continue
            if name == "subject" and subject is not None:
                if "subject" in have:
                    out.append(_again(shown, value))
                    continue
                if headers.text(value.encode("utf-8", "surrogatepass")) != headers.clean(str(subject.value)):
                    out.append(headers.encode_text("Subject", str(subject.value)))
                    have.add(name)
                    continue
            have.add(name)
            out.append(_again(shown, value))
        add = out.append
        if "from" not in have and (author := self.person(values, _REPRESENTING)) is not None:
            add(headers.encode_addresses("From", [author]))
            sender = self.person(values, _SENDER)
            if (
                sender is not None
                and sender.address.lower() != author.address.lower()
                and "sender" not in have
            ):
                add(headers.encode_addresses("Sender", [sender]))
        people: dict[int, list[Address]] = {1: [], 2: [], 3: []}
        for row in message.recipients:
            person = self.person(row, _ROW)
            if person is not None:
                people.setdefault(row.integer(p.PidTagRecipientType) & 0xF, []).append(person)
        for kind, name in ((1, "To"), (2, "Cc")):
            if people[kind] and name.lower() not in have:
                add(headers.encode_addresses(name, people[kind]))
        if people[3] and "bcc" not in have:
            if self._options.bcc or values.integer(p.PidTagMessageFlags) & 0x28:
                add(headers.encode_addresses("Bcc", people[3]))
            else:
                self.note("bcc_hidden")
        if "subject" not in have and subject is not None and subject.value:
            add(headers.encode_text("Subject", str(subject.value)))
        moment = values.time(p.PidTagClientSubmitTime) or values.time(p.PidTagMessageDeliveryTime)
        if "date" not in have and moment is not None:
            add(headers.encode_date(moment))
        for tag, name in _ID_FIELDS:
            if name.lower() not in have and (text := headers.clean(values.text(tag))):
                add(_ids(name, text))
        self.answers(values, have, out)
        self.handling(values, have, out, bool(arrived.fields))
        for key, typed in values.items():
            if (
                not isinstance(key, Named)
                or key.guid != p.PS_INTERNET_HEADERS
                or not isinstance(typed.value, str)
            ):
                continue
            name = key.name or ""
            if name.lower() not in have and re.fullmatch(r"[!-9;-~]{1,200}", name) and _is_extra(name):
                add(headers.encode_text(name, typed.value))
        return out

    def answers(self, values: Properties, have: set[str], out: list[bytes]) -> None:
        if "reply-to" in have or p.PidTagReplyRecipientEntries not in values:
            return
        people = []
        for entry in _flat_entries(bytes(values.binary(p.PidTagReplyRecipientEntries))):
            try:
                parsed = blobs.parse_entry_id(entry)
            except blobs.BlobError:
                continue
            if isinstance(parsed, blobs.OneOff):
                people.append(Address(parsed.name if parsed.name != parsed.address else "", parsed.address))
            elif isinstance(parsed, blobs.DirectoryEntry):
                people.append(self.directory("", parsed.dn))
        if people:
            out.append(headers.encode_addresses("Reply-To", people))

    def handling(self, values: Properties, have: set[str], out: list[bytes], arrived: bool) -> None:
        importance = values.integer(p.PidTagImportance, 1)
        if importance in (0, 2) and not have & {"importance", "x-priority", "priority", "x-msmail-priority"}:
            out.append(b"Importance: high\r\n" if importance == 2 else b"Importance: low\r\n")
        words = {1: "personal", 2: "private", 3: "company-confidential"}
        sensitivity = words.get(values.integer(p.PidTagSensitivity))
        if sensitivity and "sensitivity" not in have:
            out.append(f"Sensitivity: {sensitivity}\r\n".encode())
        index = bytes(values.binary(p.PidTagConversationIndex))
        if index and "thread-index" not in have:
            out.append(_folded("Thread-Index", pybase64.b64encode(index).decode("ascii")))
            topic = values.text(p.PidTagConversationTopic)
            if topic and "thread-topic" not in have and not arrived:
                out.append(headers.encode_text("Thread-Topic", topic))
        if self._options.keywords and "keywords" not in have:
            found = [word.replace(",", " ") for word in map(headers.clean, _words(values)) if word]
            if found:
                out.append(headers.encode_text("Keywords", ", ".join(found)))

    def person(self, values: Properties, tags: tuple[int, int, int, int, int]) -> Address | None:
        name_tag, kind_tag, address_tag, entry_tag, smtp_tag = tags
        name = values.text(name_tag)
        kind, address = values.text(kind_tag).upper(), values.text(address_tag)
        smtp = values.text(smtp_tag)
        if "@" in smtp:
            address = smtp
        elif kind == "EX" or address.lower().startswith("/o="):
            return self.directory(name, address)
        elif not address and (entry := values.binary(entry_tag)):
            try:
                parsed = blobs.parse_entry_id(entry)
            except blobs.BlobError:
                parsed = None
            if isinstance(parsed, blobs.OneOff):
                name, address = name or parsed.name, parsed.address
            elif isinstance(parsed, blobs.DirectoryEntry):
                return self.directory(name, parsed.dn)
        elif kind not in ("", "SMTP") and "@" not in address and address:
            self.note("address_ex")
            return Address(name, _capsule(kind, address))
        if not name and not address:
            return None
        return Address("" if name == address else name, address)

    def directory(self, name: str, dn: str) -> Address:
        known = self._options.addresses.get(dn.lower())
        if known:
            return Address("" if name == known else name, known)
        self.note("address_ex")
        return Address("" if name == dn else name, _capsule("EX", dn))

    # Content

    def content(self, message: Message, arrived: _Arrived, level: int) -> _Entity:
        secured = self.secured(message, arrived)
        if secured is not None:
            return secured
        values = message.properties
        attachments = [a for a in message.attachments if not _is_exception(a)]
        extra = self.card(message)
        text, html = self.bodies(values, extra, arrived)
        cids = _referred(html)
        inline = [a for a in attachments if html is not None and _is_inline(a, cids)]
        others = [a for a in attachments if a not in inline] if inline else attachments
        calendar = self.calendar(message)
        if calendar is not None:
            others = [
                a for a in others if a.properties.text(p.PidTagAttachMimeTag).lower() != "text/calendar"
            ]
        choices = [part for part in (text, self.html_part(html), calendar) if part is not None]
        if not choices and not others and not extra:
            choices = [self.text_part("", values, arrived)]
        body: _Entity | None = None
        if choices:
            body = choices[0] if len(choices) == 1 else self.multipart("alternative", choices)
        if inline and body is not None:
            parts = [body, *(self.attachment(a, level, True) for a in inline)]
            start = "multipart/alternative" if len(choices) > 1 else "text/html"
            body = self.multipart("related", parts, [("type", start)])
        tail = [self.attachment(a, level, False) for a in others] + extra
        if not tail and body is not None:
            return body
        if body is None and len(tail) == 1 and arrived.kind and _same_kind(tail[0], arrived.kind):
            return tail[0]
        parts = [*([body] if body is not None else []), *tail]
        item_class = values.text(p.PidTagMessageClass).upper()
        if item_class.startswith("REPORT.") and any(_reports(part) for part in tail):
            report = "disposition-notification" if "IPN" in item_class else "delivery-status"
            return self.multipart("report", parts, [("report-type", report)])
        if arrived.kind == "multipart/encrypted" and body is None and len(tail) == 2:
            return self.multipart(
                "encrypted", parts, [("protocol", arrived.protocol or "application/pgp-encrypted")]
            )
        if (
            arrived.kind == "multipart/digest"
            and body is None
            and all(_same_kind(t, "message/rfc822") for t in tail)
        ):
            return self.multipart("digest", parts)
        return self.multipart("mixed", parts)

    def secured(self, message: Message, arrived: _Arrived) -> _Entity | None:
        item_class = message.properties.text(p.PidTagMessageClass).upper()
        if ".SMIME" not in item_class:
            return None
        shown = [a for a in message.attachments if a.embedded is None and not _is_exception(a)]
        data = bytes(shown[0].properties.binary(p.PidTagAttachDataBinary)) if len(shown) == 1 else b""
        if b"\r\n" not in data and item_class.endswith(".MULTIPARTSIGNED"):
            data = data.replace(b"\n", b"\r\n")  # kept with LF by a file; signatures are made over CRLF
        if not data:
            self.note("smime_rebuilt")
            return None
        if item_class.endswith(".MULTIPARTSIGNED"):
            found = re.match(rb"(?is)(?:[!-9;-~]+:[^\n]*\n(?:[ \t][^\n]*\n)*)+?\r?\n", data[:65_536])
            head = data[: found.end()] if found is not None else b""
            if b"multipart/signed" in head.lower():
                self._verbatim.append(data)
                fields = re.sub(rb"\r?\n", b"\r\n", head.rstrip(b"\r\n")) + b"\r\n"
                return _Entity([fields], [data[len(head) :]])
            if arrived.kind == "multipart/signed" and arrived.content_type:
                self._verbatim.append(data)
                return _Entity([b"Content-Type:" + arrived.content_type.rstrip(b"\r\n") + b"\r\n"], [data])
            self.note("smime_rebuilt")
            return None
        values = shown[0].properties
        kind, *words = (values.text(p.PidTagAttachMimeTag) or "application/pkcs7-mime").split(";")
        parameters = [
            (k.strip(), v.strip().strip('"'))
            for k, _, v in (word.partition("=") for word in words)
            if k and v
        ]
        name = values.text(p.PidTagAttachLongFilename) or values.text(p.PidTagAttachFilename) or "smime.p7m"
        if not re.fullmatch(r"[\w.+-]+/[\w.+-]+", kind.strip()):
            kind = "application/pkcs7-mime"
        parameters = [pair for pair in parameters if pair[0].lower() != "name"]
        return _Entity(
            [
                headers.encode_structured("Content-Type", kind.strip(), [*parameters, ("name", name)]),
                headers.encode_structured("Content-Disposition", "attachment", [("filename", name)]),
                b"Content-Transfer-Encoding: base64\r\n",
            ],
            [transfer.base64_lines(data)],
        )

    def bodies(
        self, values: Properties, extra: list[_Entity], arrived: _Arrived
    ) -> tuple[_Entity | None, tuple[bytes, str] | None]:
        """Text part, and HTML octets with their charset."""
        text = values.get(p.PidTagBody)
        html: tuple[bytes, str] | None = None
        raw = values.get(p.PidTagHtml)
        if isinstance(raw, str):  # some stores keep it as text
            html = raw.encode("utf-8", "replace"), "utf-8"
        elif isinstance(raw, bytes | memoryview) and len(raw):
            html = self.html_octets(bytes(raw), values.integer(p.PidTagInternetCodepage))
        if html is None and p.PidTagRtfCompressed in values:
            found = self.rich(bytes(values.binary(p.PidTagRtfCompressed)))
            if found is not None:
                extracted, plain_rtf = found
                if extracted.kind == "html":
                    html = extracted.text.encode("utf-8", "replace"), "utf-8"
                elif not isinstance(text, str):
                    text = extracted.text
                if extracted.kind == "rtf" and _says_more(plain_rtf, extracted.text, text):
                    self.note("rtf_body")
                    extra.append(self.file(plain_rtf, "application/rtf", "body.rtf"))
        if isinstance(text, bytes | bytearray):
            codec = charsets.codec_of(values.integer(p.PidTagMessageCodepage, 1252)) or "cp1252"
            text = bytes(text).decode(codec, "migrator.windows")
        part = self.text_part(text, values, arrived) if isinstance(text, str) and text else None
        return part, html

    def rich(self, compressed: bytes) -> tuple[rtfhtml.Extracted, bytes] | None:
        if not compressed:
            return None
        try:
            plain = rtf.decompress(compressed)
            return rtfhtml.extract(plain), plain
        except (blobs.BlobError, FormatError):
            self.note("rtf_unreadable")
            return None

    def html_octets(self, raw: bytes, page: int) -> tuple[bytes, str]:
        name = charsets.mail_name(page)
        if name and page not in (65000, 50220, 50225, 52936):
            return raw, name
        codec = charsets.codec_of(page) if page else ""
        if name and codec:
            return raw, name
        text = raw.decode(codec, "migrator.windows") if codec else charsets.decode(raw).text
        return text.encode("utf-8", "replace"), "utf-8"

    def text_part(self, text: str, values: Properties, arrived: _Arrived) -> _Entity:
        if "\0" in text or (not text.isascii() and _SURROGATE.search(text)):
            self.note("text_repaired")
            text = text.replace("\0", "")
        text = re.sub(r"\r\n|\r|\n", "\r\n", text)
        octets, charset = _encoded(text, values.integer(p.PidTagInternetCodepage))
        parameters = [("charset", charset)]
        if arrived.kind == "text/plain" and arrived.flowed:
            parameters.append(("format", "flowed"))
            if arrived.delsp:
                parameters.append(("delsp", arrived.delsp))
        return _text_entity("text/plain", parameters, octets)

    def html_part(self, html: tuple[bytes, str] | None) -> _Entity | None:
        if html is None:
            return None
        octets, charset = html
        return _text_entity("text/html", [("charset", charset)], octets)

    def calendar(self, message: Message) -> _Entity | None:
        write = self._options.calendar
        if write is None or not _is_of(message, _CALENDAR_CLASSES):
            return None
        try:
            octets, method = write(message)
        except FormatError:
            self.note("calendar_dropped")
            return None
        parameters = [("charset", "utf-8"), *([("method", method)] if method else [])]
        return _Entity(
            [
                headers.encode_structured("Content-Type", "text/calendar", parameters),
                b"Content-Transfer-Encoding: base64\r\n",
            ],
            [transfer.base64_lines(octets)],
        )

    def card(self, message: Message) -> list[_Entity]:
        write = self._options.card
        if write is None or not _is_of(message, _CARD_CLASSES):
            return []
        name = headers.clean(
            message.properties.text(p.PidTagDisplayName) or message.properties.text(p.PidTagSubject)
        )
        try:
            octets = write(message)
        except FormatError:
            self.note("class_lost")
            return []
        return [self.file(octets, "text/vcard", f"{name or 'contact'}.vcf", charset="utf-8")]

    # Attachments

    def attachment(self, attachment: Attachment, level: int, inline: bool) -> _Entity:
        values = attachment.properties
        name = (
            values.text(p.PidTagAttachLongFilename)
            or values.text(p.PidTagAttachFilename)
            or (values.text(p.PidTagDisplayName) if attachment.embedded is None else "")
        )
        if attachment.embedded is not None:
            return self.embedded(attachment.embedded, values, name, level)
        method = values.integer(p.PidTagAttachMethod, 1)
        data = values.get(p.PidTagAttachDataBinary)
        octets: Piece = data if isinstance(data, bytes | memoryview) else b""
        kind = values.text(p.PidTagAttachMimeTag).strip().lower()
        if not re.fullmatch(r"[\w.+!#$&^-]+/[\w.+!#$&^-]+", kind):
            kind = "application/octet-stream"
        if method == 6:
            self.note("ole_object" if len(octets) else "ole_lost")
            return self.file(octets, "application/x-ole-storage", name or "object.ole")
        if method in (2, 3, 4, 7):
            place = values.text(0x370D) or values.text(0x3708)
            if place and not len(octets):
                self.note("web_reference")
                shown = f"{name or 'file'}\r\n{headers.clean(place)}\r\n"
                return self.file(
                    shown.encode("utf-8", "replace"),
                    "text/plain",
                    f"{name or 'link'}.url.txt",
                    charset="utf-8",
                )
        if data is None:
            self.note("attachment_empty")
        cid = headers.clean(values.text(p.PidTagAttachContentId))
        location = headers.clean(values.text(p.PidTagAttachContentLocation))
        entity = self.file(
            octets,
            kind,
            name,
            charset=values.text(0x371B) if kind.startswith("text/") else "",
            inline=inline,
        )
        if cid:
            entity.fields.append(f"Content-ID: <{re.sub(r'[<>]', '', cid)}>\r\n".encode("utf-8", "replace"))
        if location:
            entity.fields.append(_folded("Content-Location", re.sub(r"\s", "%20", location)))
        return entity

    def file(
        self, octets: Piece, kind: str, name: str, *, charset: str = "", inline: bool = False
    ) -> _Entity:
        parameters = [("charset", headers.clean(charset))] if charset else []
        named = [("filename", name)] if name else []
        if kind.startswith(("message/", "multipart/")):
            # RFC 2046 5.2.1 and 5.1: these may not be encoded.
            plain = bytes(octets)
            if b"\r" not in plain:
                plain = plain.replace(b"\n", b"\r\n")
            if kind.startswith("message/") and transfer.is_plain(plain):
                fields = [
                    headers.encode_structured("Content-Type", kind, [*parameters, *_named("name", name)])
                ]
                if name:
                    fields.append(headers.encode_structured("Content-Disposition", "attachment", named))
                return _Entity(fields, [plain])
            kind = "application/octet-stream"
        fields = [
            headers.encode_structured("Content-Type", kind, [*parameters, *_named("name", name)]),
            headers.encode_structured("Content-Disposition", "inline" if inline else "attachment", named),
            b"Content-Transfer-Encoding: base64\r\n",
        ]
        return _Entity(fields, [transfer.base64_lines(octets)])

    def embedded(self, message: Message, values: Properties, name: str, level: int) -> _Entity:
        pieces = self.message(message, level + 1)
        fields = [headers.encode_structured("Content-Type", "message/rfc822", _named("name", name))]
        disposition = [("filename", name)] if name else []
        fields.append(headers.encode_structured("Content-Disposition", "attachment", disposition))
        if not all(bytes(piece).isascii() for piece in pieces):
            fields.append(b"Content-Transfer-Encoding: 8bit\r\n")
        cid = headers.clean(values.text(p.PidTagAttachContentId))
        if cid:
            fields.append(f"Content-ID: <{re.sub(r'[<>]', '', cid)}>\r\n".encode("utf-8", "replace"))
        return _Entity(fields, pieces)

    def multipart(
        self, kind: str, parts: list[_Entity], parameters: Iterable[tuple[str, str]] = ()
    ) -> _Entity:
        boundary = self.boundary()
        line = b"--" + boundary.encode()
        pieces: list[Piece] = []
        extra = False
        for index, part in enumerate(parts):
            pieces.append((b"\r\n" if index else b"") + line + b"\r\n")
            pieces += part.flat()
            extra = extra or any(b"8bit" in one for one in part.fields)
        pieces.append(b"\r\n" + line + b"--\r\n")
        fields = [
            headers.encode_structured(
                "Content-Type", f"multipart/{kind}", [*parameters, ("boundary", boundary)]
            )
        ]
        if extra:
            fields.append(b"Content-Transfer-Encoding: 8bit\r\n")
        return _Entity(fields, pieces)

    def boundary(self) -> str:
        """Cannot occur in encoded parts ("=_" is neither base64 nor quoted-printable), nor in what is written verbatim."""
        while True:
            self._count += 1
            candidate = f"=_{self._count}_{self._seed}"
            if not any(candidate.encode() in octets for octets in self._verbatim):
                return candidate

    # Losses

    def losses(self, message: Message) -> None:
        values = message.properties
        if (self._options.calendar is not None and _is_of(message, _CALENDAR_CLASSES)) or (
            self._options.card is not None and _is_of(message, _CARD_CLASSES)
        ):
            return  # the calendar or card part has places for its kind's properties
        reminder = values.flag(p.PidLidReminderSet)
        for key in values:
            if not isinstance(key, Named) or key.guid == p.PS_INTERNET_HEADERS or key == p.PidNameKeywords:
                continue
            if key in (p.PidLidVerbStream, p.PidLidVerbResponse):
                self.note("voting_buttons")
            elif key in _REMINDER:
                if reminder:
                    self.note("reminder")
            elif key in _FOLLOW_UP:
                if key != p.PidLidFlagRequest or values.text(key) not in ("", "Follow up"):
                    self.note("followup_details")
            elif _is_missed(key) and values.get(key) not in (False, 0, "", b"", []):
                self.note("named_properties")
        if _is_of(message, _CALENDAR_CLASSES):
            if self._options.calendar is None:
                self.note("calendar_dropped")
        elif _is_of(message, _CARD_CLASSES):
            if self._options.card is None:
                self.note("class_lost")
        elif not _is_of(message, ("IPM.NOTE", "REPORT.", "IPM.SCHEDULE.", "IPM.POST", "")):
            self.note("class_lost")


class _Arrived:
    """The header that a message came with, taken apart."""

    __slots__ = ("content_type", "delsp", "fields", "flowed", "kind", "protocol")

    def __init__(self, text: str) -> None:
        self.fields: list[tuple[str, str, str]] = []  # lower-case name, name, value with folds
        self.kind = self.protocol = self.delsp = ""
        self.content_type = b""
        self.flowed = False
        pending: list[str] = []
        for line in [*re.split(r"\r\n|\n", text), ""]:
            if line[:1] in (" ", "\t") and pending:
                pending.append(line)
                continue
            if pending and (found := _HEADER.match("\r\n".join(pending))) is not None:
                self.fields.append((found[1].lower(), found[1], found[2]))
            elif (
                pending
                and self.fields
                and not pending[0].startswith(("From ", ">From ", "Microsoft Mail Internet Headers"))
            ):
                name, shown, value = self.fields[-1]  # a broken fold
                self.fields[-1] = (name, shown, value + "\r\n " + "\r\n".join(pending).lstrip())
            pending = [line] if line else []
        for name, _, value in self.fields:
            if name == "content-type":
                octets = value.encode("utf-8", "surrogatepass")
                parsed = headers.parse_content_type(octets)
                if parsed is not None:
                    self.kind, parameters = parsed
                    self.content_type = octets
                    self.protocol = parameters.get("protocol", "")
                    self.flowed = parameters.get("format", "").lower() == "flowed"
                    self.delsp = parameters.get("delsp", "")
                break


# Name, type, address, entry id, SMTP address.
_SENDER: Final = (0x0C1A, 0x0C1E, 0x0C1F, 0x0C19, 0x5D01)
_REPRESENTING: Final = (0x0042, 0x0064, 0x0065, 0x0041, 0x5D02)
_ROW: Final = (0x3001, 0x3002, 0x3003, 0x0FFF, 0x39FE)
_ID_FIELDS: Final = (
    (p.PidTagInternetMessageId, "Message-ID"),
    (p.PidTagInReplyToId, "In-Reply-To"),
    (p.PidTagInternetReferences, "References"),
    (0x1043, "List-Help"),
    (0x1044, "List-Subscribe"),
    (0x1045, "List-Unsubscribe"),
)
_REMINDER: Final = frozenset(
    {p.PidLidReminderSet, p.PidLidReminderTime, p.PidLidReminderSignalTime, p.PidLidReminderDelta}
)
_FOLLOW_UP: Final = frozenset(
    {p.PidLidFlagRequest, p.PidLidTaskStartDate, p.PidLidTaskDueDate, p.PidLidTaskDateCompleted}
)
# What people enter by hand. Everything else in the property sets of Outlook and Exchange is how programs keep house.
_MISSED: Final = frozenset(
    {
        p.PidLidBilling,
        p.PidLidMileage,
        p.PidLidCompanies,
        p.PidLidContacts,
        p.PidLidContactLinkName,
        p.PidLidPrivate,
        p.PidLidClassified,
        p.PidLidClassification,
    }
)
_HOUSEKEEPING: Final = frozenset(p.PROPERTY_SETS) - {p.PS_PUBLIC_STRINGS} | {
    UUID("33eba41f-7aa8-422e-be7b-79e1a98e54b3"),  # conversation tracking
    UUID("41f28f13-83f4-4114-a584-eedb5a6b0bff"),  # Exchange: IsSigned, ClientInfo …
    UUID("20022104-6842-430d-b19c-8739bfdb9188"),
    UUID("0b63e350-9ccc-11d0-bcdb-00805fccce04"),  # language detection
    UUID("29f3ab56-554d-11d0-a97c-00a0c911f50a"),
    UUID("4e3a7680-b77a-11d0-9da5-00c04fd65685"),  # Internet Charset Body
}


def _is_missed(key: Named) -> bool:
    if key in _MISSED:
        return True
    if key.guid in _HOUSEKEEPING:
        return False
    return not (key.name or "").lower().startswith(("http://schemas.microsoft.com", "urn:schemas"))


_CALENDAR_CLASSES: Final = ("IPM.SCHEDULE.MEETING", "IPM.APPOINTMENT", "IPM.TASK", "IPM.ACTIVITY")
_CARD_CLASSES: Final = ("IPM.CONTACT", "IPM.DISTLIST")


def _is_of(message: Message, beginnings: tuple[str, ...]) -> bool:
    item_class = message.properties.text(p.PidTagMessageClass).upper()
    return any(item_class.startswith(one) if one else not item_class for one in beginnings)


def _words(values: Properties) -> list[str]:
    found = values.get(p.PidNameKeywords)
    return [word for word in found if isinstance(word, str)] if isinstance(found, list | tuple) else []


def _is_extra(name: str) -> bool:
    """Whether a named header is one that only this property tells: standard fields are made from their own properties."""
    return not name.lower().startswith(("content-", "mime-version")) and name.lower() not in {
        "from", "to", "cc", "bcc", "sender", "subject", "date", "message-id", "references", "in-reply-to", "received", "keywords",
        "importance", "sensitivity", "thread-index", "thread-topic", "reply-to",
    }  # fmt: skip


def _again(name: str, value: str) -> bytes:
    """A field as it came, made ASCII where it is not, and folded where a line is longer than RFC 5322 allows."""
    value = value.replace("\0", "").replace("\r\n", "\n").replace("\r", " ").replace("\n", "\r\n")
    if value.isascii():
        lines = value.split("\r\n")
        if all(len(line) <= 998 - len(name) for line in lines):
            kept, blank = [lines[0]], ""
            for line in lines[1:]:
                if line.strip():
                    kept.append(blank + line)
                    blank = ""
                else:  # a fold of white space alone would end the header for some readers
                    blank += line
            return f"{name}:{(chr(13) + chr(10)).join(kept)}\r\n".encode("ascii")
        flat = " ".join(line.strip() for line in lines)
        return _folded(name, flat)
    if name.lower() in _MACHINE_FIELDS:
        return f"{name}:{value.encode('ascii', 'replace').decode('ascii')}\r\n".encode("ascii")
    octets = value.encode("utf-8", "surrogatepass")
    if name.lower() in _ADDRESS_FIELDS:
        return headers.encode_addresses(name, headers.addresses(octets))
    return headers.encode_text(name, headers.decode_words(headers.raw_text(octets)))


def _folded(name: str, value: str) -> bytes:
    """A field whose value may be broken at white space, and must be broken somewhere before column 998."""
    out: list[str] = []
    line = f"{name}:"
    words = (word[at : at + 900] for word in value.split() for at in range(0, len(word), 900))
    for word in words:
        if line and len(line) + 1 + len(word) > 78 and line != f"{name}:":
            out.append(line)
            line = ""
        line = f"{line} {word}"
    out.append(line)
    return ("\r\n".join(out) + "\r\n").encode("utf-8", "replace")


def _ids(name: str, text: str) -> bytes:
    if not text.isascii():
        return headers.encode_text(name, text)
    return _folded(name, text)


def _encoded(text: str, page: int) -> tuple[bytes, str]:
    if text.isascii():
        return text.encode("ascii"), "us-ascii"
    name, codec = charsets.mail_name(page), charsets.codec_of(page)
    if name and codec and page not in (20127, 65000, 65001):
        try:
            octets = text.encode(codec)
            if octets.decode(codec) == text:
                return octets, name
        except UnicodeError:
            pass
    return text.encode("utf-8", "replace"), "utf-8"


def _text_entity(kind: str, parameters: list[tuple[str, str]], octets: bytes) -> _Entity:
    fields = [headers.encode_structured("Content-Type", kind, parameters)]
    if b"\n" in octets and b"\r" not in octets.replace(b"\r\n", b""):
        octets = octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    if transfer.is_plain(octets):
        fields.append(b"Content-Transfer-Encoding: 7bit\r\n")
        return _Entity(fields, [octets])
    wild = octets.count(b"\r") != octets.count(b"\r\n") or b"\0" in octets
    high = len(octets.translate(None, _ASCII))
    if wild or high * 6 > len(octets):
        fields.append(b"Content-Transfer-Encoding: base64\r\n")
        return _Entity(fields, [transfer.base64_lines(octets)])
    fields.append(b"Content-Transfer-Encoding: quoted-printable\r\n")
    return _Entity(fields, [transfer.quoted_printable(octets)])


_ASCII: Final = bytes(range(128))
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


_FORMATTING: Final = re.compile(
    rb"\\(?:b|i|ul|strike|super|sub|pict|object|trowd|field|highlight|cb)(?![a-z0-9])"
)


def _says_more(plain_rtf: bytes, extracted: str, text: object) -> bool:
    """Whether an RTF body holds more than the text that goes out anyway: formatting, pictures, other words."""
    if not extracted.strip():
        return False
    same = isinstance(text, str) and text.split() == extracted.split()
    return not same or _FORMATTING.search(plain_rtf) is not None


def _named(key: str, name: str) -> list[tuple[str, str]]:
    return [(key, name)] if name else []


def _is_exception(attachment: Attachment) -> bool:
    """A hidden exception of a recurring appointment: the calendar part tells it."""
    return (
        attachment.properties.flag(p.PidTagAttachmentHidden)
        and attachment.properties.integer(p.PidTagAttachmentFlags) == 2
    )


def _is_inline(attachment: Attachment, cids: frozenset[str]) -> bool:
    values = attachment.properties
    if attachment.embedded is not None or values.integer(p.PidTagAttachMethod, 1) != 1:
        return False
    if values.integer(p.PidTagAttachFlags) & 4:
        return True
    return values.text(p.PidTagAttachContentId).lower() in cids


_CID: Final = re.compile(rb"(?i)cid:([^\"'\s>)]{1,1000})")


def _referred(html: tuple[bytes, str] | None) -> frozenset[str]:
    if html is None:
        return frozenset()
    return frozenset(match[1].decode("utf-8", "replace").lower() for match in _CID.finditer(html[0]))


def _same_kind(entity: _Entity, kind: str) -> bool:
    return entity.fields[0].lower().startswith(f"content-type: {kind}".encode())


def _reports(entity: _Entity) -> bool:
    return any(
        _same_kind(entity, kind)
        for kind in (
            "message/delivery-status",
            "message/global-delivery-status",
            "message/disposition-notification",
        )
    )


def _capsule(kind: str, address: str) -> str:
    """An address of another system within an SMTP one (MS-OXCMAIL 2.1.3.1.2: IMCEA encapsulation)."""
    out = []
    for octet in address.encode("utf-8", "replace"):
        character = chr(octet)
        if character == "/":
            out.append("_")
        elif octet < 128 and (character.isalnum() or character in "-="):
            out.append(character)
        else:
            out.append(f"+{octet:02X}")
    return f"IMCEA{re.sub(r'[^A-Z0-9]', '', kind) or 'EX'}-{''.join(out)}@unresolved.invalid"


def _flat_entries(octets: bytes) -> list[bytes]:
    """FlatEntryList, MS-OXCDATA 2.3.3; as many as are whole."""
    out: list[bytes] = []
    if len(octets) < 8:
        return out
    count = min(int.from_bytes(octets[:4], "little"), 10_000)
    at = 8
    for _ in range(count):
        size = int.from_bytes(octets[at : at + 4], "little")
        if at + 4 > len(octets) or size > len(octets) - at - 4:
            break
        out.append(octets[at + 4 : at + 4 + size])
        at += 4 + size + -size % 4
    return out
