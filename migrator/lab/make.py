"""Items of every kind as property trees, the way Outlook and Exchange fill them (MS-OXCMSG, MS-OXOCAL, MS-OXOCNTC …)."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import UUID

from migrator.lab import blobs, words
from migrator.lab.words import Person
from migrator.mapi import properties as P
from migrator.mapi.item import (
    BINARY,
    BOOLEAN,
    FLOAT64,
    INT32,
    MULTIPLE,
    STRING,
    TIME,
    Attachment,
    Key,
    Message,
    Named,
    Properties,
)

READ, UNMODIFIED, SUBMITTED, UNSENT, HAS_ATTACHMENT, FROM_ME = 1, 2, 4, 8, 0x10, 0x20

# (to name, address type, address, entry id, search key, SMTP)
SENDER = (0x0C1A, 0x0C1E, 0x0C1F, 0x0C19, 0x0C1D, 0x5D01)
REPRESENTING = (0x0042, 0x0064, 0x0065, 0x0041, 0x003B, 0x5D02)
RECEIVED_BY = (0x0040, 0x0075, 0x0076, 0x003F, 0x0051, 0x5D07)
RECEIVED_REPRESENTING = (0x0044, 0x0077, 0x0078, 0x0043, 0x0052, 0x5D08)

# The smallest PNG: one dark pixel.
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c6360606000000004"
    "0001f61738550000000049454e44ae426082"
)


def party(p: Properties, tags: tuple[int, ...], person: Person) -> None:
    """The six properties by which an item names someone."""
    kind = "EX" if person.legacy_dn else "SMTP"
    address = person.legacy_dn or person.address
    name, type_, mail, entry, key, smtp = tags
    p.set(name, STRING, person.name)
    p.set(type_, STRING, kind)
    p.set(mail, STRING, address)
    p.set(entry, BINARY, _entry_id(person))
    p.set(key, BINARY, blobs.search_key(kind, address))
    p.set(smtp, STRING, person.address)


def _entry_id(person: Person) -> bytes:
    if person.legacy_dn:
        return blobs.ex_entry_id(person.legacy_dn)
    return blobs.one_off(person.name, person.address)


def recipient(
    person: Person, number: int, kind: int = 1, *, flags: int = 1, track: int | None = None
) -> Properties:
    """kind: 1 To, 2 Cc, 3 Bcc. flags: 1 sendable, 2 organiser."""
    r = Properties()
    r.set(P.PidTagRowid, INT32, number)
    r.set(P.PidTagRecipientType, INT32, kind)
    r.set(P.PidTagDisplayName, STRING, person.name)
    r.set(P.PidTagAddressType, STRING, "EX" if person.legacy_dn else "SMTP")
    r.set(P.PidTagEmailAddress, STRING, person.legacy_dn or person.address)
    r.set(P.PidTagSmtpAddress, STRING, person.address)
    r.set(P.PidTagObjectType, INT32, 6)
    r.set(P.PidTagDisplayType, INT32, 0)
    r.set(P.PidTagRecipientDisplayName, STRING, person.name)
    r.set(P.PidTagRecipientEntryId, BINARY, _entry_id(person))
    r.set(P.PidTagRecipientFlags, INT32, flags)
    r.set(P.PidTagSendRichInfo, BOOLEAN, False)
    if track is not None:
        r.set(P.PidTagRecipientTrackStatus, INT32, track)
    return r


def attachment(
    number: int,
    name: str,
    data: bytes | memoryview,
    mime: str,
    *,
    content_id: str = "",
    when: datetime | None = None,
) -> Attachment:
    """By value; inline when it has a content id."""
    a = Properties()
    stem, dot, extension = name.rpartition(".")
    a.set(P.PidTagAttachNumber, INT32, number)
    a.set(P.PidTagAttachLongFilename, STRING, name)
    a.set(P.PidTagAttachFilename, STRING, f"{(stem or name)[:8]}{dot}{extension[:3]}")
    a.set(P.PidTagAttachExtension, STRING, dot + extension)
    a.set(P.PidTagDisplayName, STRING, name)
    a.set(P.PidTagAttachMethod, INT32, 1)
    a.set(P.PidTagAttachMimeTag, STRING, mime)
    a.set(P.PidTagRenderingPosition, INT32, -1)
    a.set(P.PidTagAttachSize, INT32, len(data) + 200)
    if content_id:
        a.set(P.PidTagAttachContentId, STRING, content_id)
        a.set(P.PidTagAttachFlags, INT32, 4)
        a.set(P.PidTagAttachmentHidden, BOOLEAN, True)
    if when is not None:
        a.set(P.PidTagCreationTime, TIME, when)
        a.set(P.PidTagLastModificationTime, TIME, when)
    a.set(P.PidTagAttachDataBinary, BINARY, data)
    return Attachment(a)


def embedded(number: int, message: Message, name: str = "") -> Attachment:
    a = Properties()
    a.set(P.PidTagAttachNumber, INT32, number)
    a.set(P.PidTagDisplayName, STRING, name or message.properties.text(P.PidTagSubject))
    a.set(P.PidTagAttachMethod, INT32, 5)
    a.set(P.PidTagRenderingPosition, INT32, -1)
    return Attachment(a, message)


@dataclass(slots=True)
class Maker:
    """Makes one mailbox's items. dice: everything random comes from it. noise: incompressible octets to cut files from."""

    dice: random.Random
    owner: Person
    people: list[Person]
    locale: str
    noise: bytes
    now: datetime
    count: int = 0
    threads: list[tuple[str, UUID, str]] = field(default_factory=list)  # subject, GUID, Message-ID

    # -- shared by all kinds

    def _base(self, item_class: str, subject: str, when: datetime, flags: int) -> Message:
        self.count += 1
        message = Message()
        p = message.properties
        p.set(P.PidTagMessageClass, STRING, item_class)
        p.set(P.PidTagImportance, INT32, self.dice.choices((0, 1, 2), (1, 12, 2))[0])
        p.set(P.PidTagSensitivity, INT32, 0)
        p.set(P.PidTagPriority, INT32, 0)
        p.set(P.PidTagMessageFlags, INT32, flags)
        key = hashlib.blake2b(
            f"{self.owner.address}/{self.count}/{subject}".encode("utf-8", "surrogatepass"), digest_size=16
        ).digest()
        p.set(P.PidTagSearchKey, BINARY, key)
        p.set(P.PidTagCreationTime, TIME, when)
        p.set(P.PidTagLastModificationTime, TIME, when + timedelta(minutes=self.dice.randrange(1, 4000)))
        p.set(P.PidTagMessageCodepage, INT32, 1252)
        p.set(P.PidTagMessageLocaleId, INT32, {"de": 1031, "fr": 1036, "ja": 1041}.get(self.locale[:2], 1033))
        self._subject(p, subject)
        return message

    @staticmethod
    def _subject(p: Properties, subject: str) -> None:
        head, colon, rest = subject.partition(": ")
        prefix = f"{head}: " if colon and len(head) <= 3 and head.isalpha() else ""
        p.set(P.PidTagSubject, STRING, subject)
        p.set(P.PidTagSubjectPrefix, STRING, prefix)
        p.set(P.PidTagNormalizedSubject, STRING, subject[len(prefix) :])
        p.set(P.PidTagConversationTopic, STRING, rest if prefix else subject)

    def _categories(self, p: Properties, share: float = 0.15) -> None:
        if self.dice.random() < share:
            chosen = self.dice.sample(words.CATEGORIES, self.dice.randrange(1, 3))
            p.set(P.PidNameKeywords, MULTIPLE | STRING, chosen)

    def message_id(self) -> str:
        return f"<{self.dice.getrandbits(96):024x}.{self.count}@{self.owner.address.partition('@')[2]}>"

    def person(self) -> Person:
        return self.dice.choice(self.people)

    def when(self, years: float = 6.0) -> datetime:
        """A working time in the past, more often lately."""
        ago = timedelta(days=365 * years * self.dice.random() ** 2)
        day = (self.now - ago).replace(minute=0, second=0, microsecond=0)
        return day.replace(hour=self.dice.randrange(6, 19)) + timedelta(seconds=self.dice.randrange(3600))

    def day(self) -> str:
        date = self.now + timedelta(days=self.dice.randrange(3, 40))
        return f"{date.day}.{date.month}." if self.locale[:2] == "de" else date.strftime("%d %b")

    def file(self, octets: int) -> memoryview:
        """Octets of a file: a slice of the noise, repeated where it is not long enough."""
        if octets > len(self.noise):
            return memoryview((self.noise * (octets // len(self.noise) + 1))[:octets])
        spot = self.dice.randrange(0, len(self.noise) - octets + 1)
        return memoryview(self.noise)[spot : spot + octets]

    # -- mail

    def mail(
        self,
        form: str = "plain",
        *,
        when: datetime | None = None,
        outgoing: bool = False,
        draft: bool = False,
        octets: int = 0,
    ) -> Message:
        """form: plain, html, rtf, inline, attached, embedded, signed, encrypted. octets: of an attachment, where it has one."""
        dice = self.dice
        when = when or self.when()
        theme = dice.choice([t for t in words.THEMES if t.locale in (self.locale[:2], "en")])
        reply = bool(self.threads) and not draft and dice.random() < 0.35
        sender = self.owner if outgoing or draft else self.person()
        receivers = [self.owner] if not (outgoing or draft) else [self.person()]
        subject = words.fill(dice, theme.subject, self.day(), self.person().name)
        guid, parent = UUID(int=dice.getrandbits(128), version=4), ""
        if reply:
            root, guid, parent = dice.choice(self.threads)
            subject = dice.choice(("RE: ", "AW: ", "FW: ")) + root
        flags = 0
        if draft:
            flags = UNSENT | READ
        elif outgoing:
            flags = READ | FROM_ME
        elif dice.random() < 0.8:
            flags = READ
        if form not in ("plain", "html", "rtf"):
            flags |= HAS_ATTACHMENT
        message = self._base("IPM.Note", subject, when, flags)
        p = message.properties
        mid = self.message_id()
        if not draft:
            p.set(P.PidTagInternetMessageId, STRING, mid)
            p.set(P.PidTagClientSubmitTime, TIME, when)
            p.set(P.PidTagMessageDeliveryTime, TIME, when + timedelta(seconds=dice.randrange(1, 90)))
            self.threads.append((p.text(P.PidTagConversationTopic), guid, mid))
            del self.threads[:-40]
        if parent:
            p.set(P.PidTagInReplyToId, STRING, parent)
            p.set(P.PidTagInternetReferences, STRING, parent)
        p.set(P.PidTagConversationIndex, BINARY, blobs.conversation_index(when, guid, int(reply)))
        p.set(P.PidTagConversationIndexTracking, BOOLEAN, True)
        party(p, SENDER, sender)
        party(p, REPRESENTING, sender)
        if not (outgoing or draft):
            party(p, RECEIVED_BY, self.owner)
            party(p, RECEIVED_REPRESENTING, self.owner)
        while dice.random() < 0.4 and len(receivers) < 9:
            receivers.append(self.person())
        kinds = [1] * len(receivers)
        for spot in range(1, len(kinds)):
            kinds[spot] = dice.choice((1, 2, 2))
        if outgoing and dice.random() < 0.1:
            receivers.append(self.person())
            kinds.append(3)
        message.recipients = [
            recipient(person, number, kind)
            for number, (person, kind) in enumerate(zip(receivers, kinds, strict=True))
        ]
        text = self._text(theme, receivers[0], sender)
        if not (outgoing or draft):
            p.set(
                P.PidTagTransportMessageHeaders, STRING, self._headers(subject, sender, receivers, when, mid)
            )
            if dice.random() < 0.1:
                p.set(Named(P.PS_INTERNET_HEADERS, name="x-brightwater-scan"), STRING, "clean")
            if dice.random() < 0.12:
                self._follow_up(p, when)
            if flags & READ and dice.random() < 0.2:
                verb = dice.choice((102, 103, 104))
                p.set(P.PidTagIconIndex, INT32, {102: 261, 103: 261, 104: 262}[verb])
                p.set(P.PidTagLastVerbExecuted, INT32, verb)
                p.set(P.PidTagLastVerbExecutionTime, TIME, when + timedelta(hours=2))
        self._categories(p)
        getattr(self, f"_as_{form}")(message, text, when, octets)
        return message

    def _text(self, theme: words.Theme, to: Person, sender: Person) -> str:
        dice = self.dice
        lines = [
            words.GREETINGS[theme.locale].replace("{x}", to.given if theme.locale == "en" else to.name),
            "",
        ]
        for paragraph in theme.paragraphs:
            lines += [words.fill(dice, paragraph, self.day(), self.person().name), ""]
        lines += [words.CLOSINGS[theme.locale], sender.name, sender.company]
        return "\r\n".join(lines) + "\r\n"

    def _headers(self, subject: str, sender: Person, to: list[Person], when: datetime, mid: str) -> str:
        stamp = format_datetime(when)
        host = sender.address.partition("@")[2]
        names = ",\r\n\t".join(f"{_encoded(person.name)} <{person.address}>" for person in to)
        return (
            f"Received: from mail.{host} (192.0.2.25) by mx1.brightwater.example (198.51.100.7)\r\n"
            f"\twith Microsoft SMTP Server (TLS) id 15.1.2507.6; {stamp}\r\n"
            f"Received: from workstation ([192.0.2.140]) by mail.{host} with ESMTPSA; {stamp}\r\n"
            f"From: {_encoded(sender.name)} <{sender.address}>\r\nTo: {names}\r\n"
            f"Subject: {_encoded(subject)}\r\nDate: {stamp}\r\nMessage-ID: {mid}\r\n"
            "MIME-Version: 1.0\r\nX-Mailer: Larkspur Mail 4.2\r\n"
            "Authentication-Results: mx1.brightwater.example; spf=pass\r\n\r\n"
        )

    def _follow_up(self, p: Properties, when: datetime) -> None:
        p.set(P.PidTagFlagStatus, INT32, 2)
        p.set(P.PidTagFollowupIcon, INT32, 6)
        p.set(P.PidLidFlagRequest, STRING, "Follow up")
        p.set(P.PidLidToDoTitle, STRING, p.text(P.PidTagSubject))
        p.set(P.PidLidReminderSet, BOOLEAN, True)
        p.set(P.PidLidReminderTime, TIME, when + timedelta(days=3))
        p.set(P.PidLidReminderSignalTime, TIME, when + timedelta(days=3))

    def _as_plain(self, message: Message, text: str, when: datetime, octets: int) -> None:
        p = message.properties
        p.set(P.PidTagBody, STRING, text)
        p.set(P.PidTagNativeBody, INT32, 1)
        p.set(P.PidTagInternetCodepage, INT32, 65001)

    def _html(self, text: str, extra: str = "") -> bytes:
        body = "".join(
            f"<p class=MsoNormal>{_escape(line) or '&nbsp;'}</p>\r\n" for line in text.split("\r\n")[:-1]
        )
        return (
            '<html><head><meta http-equiv=Content-Type content="text/html; charset=utf-8"><style>'
            "p.MsoNormal{margin:0;font-family:Calibri,sans-serif;font-size:11pt}</style></head>"
            f"<body lang={self.locale}>{body}{extra}</body></html>"
        ).encode()

    def _as_html(self, message: Message, text: str, when: datetime, octets: int, extra: str = "") -> None:
        p = message.properties
        p.set(P.PidTagHtml, BINARY, self._html(text, extra))
        p.set(P.PidTagNativeBody, INT32, 3)
        p.set(P.PidTagInternetCodepage, INT32, 65001)

    def _as_rtf(self, message: Message, text: str, when: datetime, octets: int) -> None:
        lines = "\\par\r\n".join("".join(map(_rtf, line)) for line in text.split("\r\n"))
        rtf = (
            "{\\rtf1\\ansi\\ansicpg1252\\deff0{\\fonttbl{\\f0\\fswiss Calibri;}}\\f0\\fs22 \\b "
            + lines.replace("\\par", "\\b0\\par", 1)
            + "}"
        ).encode("ascii")
        p = message.properties
        p.set(P.PidTagRtfCompressed, BINARY, blobs.rtf_uncompressed(rtf))
        p.set(P.PidTagRtfInSync, BOOLEAN, True)
        p.set(P.PidTagNativeBody, INT32, 2)
        p.set(P.PidTagInternetCodepage, INT32, 1252)

    def _as_inline(self, message: Message, text: str, when: datetime, octets: int) -> None:
        cid = f"image001.png@{self.dice.getrandbits(64):016X}"
        self._as_html(message, text, when, octets, f'<p><img width=120 height=40 src="cid:{cid}"></p>')
        picture = PIXEL + bytes(self.file(max(0, octets - len(PIXEL))))
        message.attachments = [attachment(0, "image001.png", picture, "image/png", content_id=cid, when=when)]

    def _as_attached(self, message: Message, text: str, when: datetime, octets: int) -> None:
        self._as_html(message, text, when, octets)
        names = self.dice.choice(
            (
                (("Quotation.pdf", "application/pdf"),),
                (("Übergabeliste KW 7.xlsx", _XLSX),),
                (("devis-révisé.pdf", "application/pdf"), ("plan.dwg", "application/acad")),
                (("見積書.pdf", "application/pdf"),),
                (("photo 1 of 2.jpg", "image/jpeg"), ("photo 2 of 2.jpg", "image/jpeg")),
                (("readings.csv", "text/csv"),),
                (("noextension", "application/octet-stream"),),
            )
        )
        share = max(64, octets // len(names))
        message.attachments = []
        for number, (name, mime) in enumerate(names):
            if mime == "text/csv":
                rows = "\r\n".join(f"{n};{self.dice.random():.6f};ok" for n in range(min(share // 14, 4000)))
                data: bytes | memoryview = f"run;pressure;state\r\n{rows}\r\n".encode()
            else:
                data = self.file(share) if share > 65_536 else _MAGIC.get(mime, b"") + bytes(self.file(share))
            message.attachments.append(attachment(number, name, data, mime, when=when))

    def _as_embedded(self, message: Message, text: str, when: datetime, octets: int) -> None:
        self._as_plain(message, text, when, octets)
        inner = self.mail(
            self.dice.choice(("plain", "html", "attached")), when=when - timedelta(days=1), octets=2000
        )
        if self.dice.random() < 0.4:
            deeper = self.mail("plain", when=when - timedelta(days=2))
            inner.attachments.append(embedded(len(inner.attachments), deeper))
        message.attachments = [embedded(0, inner)]

    def _as_signed(self, message: Message, text: str, when: datetime, octets: int) -> None:
        message.properties.set(P.PidTagMessageClass, STRING, "IPM.Note.SMIME.MultipartSigned")
        line = f"----=_Part_{self.dice.getrandbits(48):012X}"
        signature = _base64_lines(bytes(self.file(2200)))
        mime = (
            f'Content-Type: multipart/signed; protocol="application/pkcs7-signature";\r\n\tmicalg=sha-256; boundary="{line}"\r\n\r\n'
            f"--{line}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{text}\r\n"
            f'--{line}\r\nContent-Type: application/pkcs7-signature; name="smime.p7s"\r\n'
            f"Content-Transfer-Encoding: base64\r\n\r\n{signature}\r\n--{line}--\r\n"
        ).encode()
        message.properties.set(P.PidTagBody, STRING, text)
        message.attachments = [attachment(0, "smime.p7m", mime, "multipart/signed", when=when)]

    def _as_encrypted(self, message: Message, text: str, when: datetime, octets: int) -> None:
        message.properties.set(P.PidTagMessageClass, STRING, "IPM.Note.SMIME")
        data = b"\x30\x82" + bytes(self.file(max(3000, octets)))
        message.attachments = [attachment(0, "smime.p7m", data, "application/pkcs7-mime", when=when)]

    # -- calendar

    def appointment(
        self, *, recurring: bool = False, meeting: bool = False, all_day: bool = False
    ) -> Message:
        dice = self.dice
        subject, place = dice.choice(words.MEETINGS)
        zone = blobs.TOKYO if self.locale[:2] == "ja" else blobs.BERLIN
        local = datetime(self.now.year, self.now.month, 1) + timedelta(
            days=dice.randrange(-300, 120), hours=0 if all_day else dice.randrange(8, 17)
        )
        minutes = 1440 if all_day else dice.choice((30, 45, 60, 90))
        start = _to_utc(local, zone)
        end = start + timedelta(minutes=minutes)
        created = start - timedelta(days=dice.randrange(3, 40))
        message = self._base("IPM.Appointment", subject, created, READ)
        p = message.properties
        self._calendar(p, start, end, local, minutes, place, zone, all_day=all_day)
        self._as_html(message, self._text(words.THEMES[1], self.owner, self.owner), start, 0)
        uid = global_id = blobs.global_object_id(
            created, hashlib.blake2b(p.binary(P.PidTagSearchKey), digest_size=16).digest()
        )
        p.set(P.PidLidGlobalObjectId, BINARY, global_id)
        p.set(P.PidLidCleanGlobalObjectId, BINARY, uid)
        p.set(P.PidTagOwnerAppointmentId, INT32, dice.getrandbits(31))
        party(p, SENDER, self.owner)
        party(p, REPRESENTING, self.owner)
        if meeting:
            guests = dice.sample(self.people, 3)
            p.set(P.PidLidAppointmentStateFlags, INT32, 1)
            p.set(P.PidLidResponseStatus, INT32, 1)
            p.set(P.PidTagResponseRequested, BOOLEAN, True)
            p.set(P.PidLidFInvited, BOOLEAN, True)
            p.set(P.PidLidToAttendeesString, STRING, "; ".join(one.name for one in guests))
            p.set(P.PidLidAllAttendeesString, STRING, "; ".join(one.name for one in guests))
            message.recipients = [recipient(self.owner, 0, 1, flags=3, track=1)]
            message.recipients += [
                recipient(one, number, dice.choice((1, 1, 2)), track=dice.choice((0, 2, 3, 4)))
                for number, one in enumerate(guests, 1)
            ]
        if recurring:
            self._series(message, local, minutes, zone)
        self._categories(p, 0.3)
        return message

    def _calendar(
        self,
        p: Properties,
        start: datetime,
        end: datetime,
        local: datetime,
        minutes: int,
        place: str,
        zone: blobs.Zone,
        *,
        all_day: bool = False,
    ) -> None:
        p.set(P.PidLidLocation, STRING, place)
        p.set(P.PidLidAppointmentStartWhole, TIME, start)
        p.set(P.PidLidAppointmentEndWhole, TIME, end)
        p.set(P.PidLidCommonStart, TIME, start)
        p.set(P.PidLidCommonEnd, TIME, end)
        p.set(P.PidTagStartDate, TIME, start)
        p.set(P.PidTagEndDate, TIME, end)
        p.set(P.PidLidAppointmentDuration, INT32, minutes)
        p.set(P.PidLidAppointmentSubType, BOOLEAN, all_day)
        p.set(P.PidLidBusyStatus, INT32, self.dice.choice((0, 1, 2, 2, 2, 3)))
        p.set(P.PidLidAppointmentSequence, INT32, 0)
        p.set(P.PidLidAppointmentStateFlags, INT32, 0)
        p.set(P.PidLidResponseStatus, INT32, 0)
        p.set(P.PidLidReminderSet, BOOLEAN, True)
        p.set(P.PidLidReminderDelta, INT32, 15)
        p.set(P.PidLidReminderTime, TIME, start)
        p.set(P.PidLidReminderSignalTime, TIME, start - timedelta(minutes=15))
        p.set(P.PidLidSideEffects, INT32, 0x171)
        p.set(P.PidLidTimeZoneDescription, STRING, zone.key)
        definition = blobs.time_zone_definition(zone, recurring=False)
        p.set(P.PidLidAppointmentTimeZoneDefinitionStartDisplay, BINARY, definition)
        p.set(P.PidLidAppointmentTimeZoneDefinitionEndDisplay, BINARY, definition)

    def _series(self, message: Message, local: datetime, minutes: int, zone: blobs.Zone) -> None:
        """Weekly, twelve times, one occurrence removed and two changed, with their exception attachments."""
        p = message.properties
        week = timedelta(weeks=1)
        place = p.text(P.PidLidLocation)
        length = timedelta(minutes=minutes)
        moved = local + 3 * week + timedelta(days=1, hours=1)
        changed = [
            blobs.ChangedDay(local + 3 * week, moved, moved + length, "", "Canteen, long table"),
            blobs.ChangedDay(
                local + 5 * week,
                local + 5 * week,
                local + 5 * week + length,
                p.text(P.PidTagSubject) + " (short)",
                "",
            ),
        ]
        blob = blobs.weekly(
            local,
            minutes,
            days=1 << ((local.weekday() + 1) % 7),
            count=12,
            deleted=[local + 8 * week],
            changed=changed,
        )
        p.set(P.PidLidRecurring, BOOLEAN, True)
        p.set(P.PidLidRecurrenceType, INT32, 2)
        p.set(P.PidLidRecurrencePattern, STRING, "every week, 12 times")
        p.set(P.PidLidAppointmentRecur, BINARY, blob)
        p.set(P.PidLidTimeZoneStruct, BINARY, blobs.time_zone_struct(zone))
        p.set(
            P.PidLidAppointmentTimeZoneDefinitionRecur,
            BINARY,
            blobs.time_zone_definition(zone, recurring=True),
        )
        p.set(P.PidLidClipStart, TIME, _to_utc(local, zone))
        p.set(P.PidLidClipEnd, TIME, _to_utc(local + 11 * week, zone))
        for number, one in enumerate(changed):
            inner = self._base(
                "IPM.OLE.CLASS.{00061055-0000-0000-C000-000000000046}",
                one.subject or p.text(P.PidTagSubject),
                _to_utc(one.original, zone) - timedelta(days=2),
                READ,
            )
            self._calendar(
                inner.properties,
                _to_utc(one.start, zone),
                _to_utc(one.end, zone),
                one.start,
                minutes,
                one.location or place,
                zone,
            )
            inner.properties.set(P.PidLidExceptionReplaceTime, TIME, _to_utc(one.original, zone))
            inner.properties.set(P.PidTagBody, STRING, "Changed at short notice.\r\n")
            held = embedded(number, inner)
            h = held.properties
            h.set(P.PidTagAttachmentHidden, BOOLEAN, True)
            h.set(P.PidTagAttachmentFlags, INT32, 2)
            h.set(P.PidTagAttachmentLinkId, INT32, 0)
            h.set(P.PidTagExceptionStartTime, TIME, one.start.replace(tzinfo=UTC))
            h.set(P.PidTagExceptionEndTime, TIME, one.end.replace(tzinfo=UTC))
            h.set(P.PidTagExceptionReplaceTime, TIME, _to_utc(one.original, zone))
            message.attachments.append(held)

    def meeting_request(self, answer: str = "") -> Message:
        """answer: "" is a request, else Pos, Neg or Tent."""
        item_class = f"IPM.Schedule.Meeting.Resp.{answer}" if answer else "IPM.Schedule.Meeting.Request"
        message = self.mail("plain")
        p = message.properties
        zone = blobs.BERLIN
        subject, place = self.dice.choice(words.MEETINGS)
        self._subject(
            p, {"Pos": "Accepted: ", "Neg": "Declined: ", "Tent": "Tentative: "}.get(answer, "") + subject
        )
        p.set(P.PidTagMessageClass, STRING, item_class)
        local = datetime(self.now.year, self.now.month, 2, 10) + timedelta(days=self.dice.randrange(60))
        start = _to_utc(local, zone)
        self._calendar(p, start, start + timedelta(hours=1), local, 60, place, zone)
        uid = blobs.global_object_id(self.now, bytes(p.binary(P.PidTagSearchKey)))
        p.set(P.PidLidGlobalObjectId, BINARY, uid)
        p.set(P.PidLidCleanGlobalObjectId, BINARY, uid)
        p.set(P.PidLidWhere, STRING, place)
        p.set(P.PidLidMeetingType, INT32, 1)
        p.set(P.PidLidAppointmentStateFlags, INT32, 3)
        p.set(P.PidLidChangeHighlight, INT32, 0)
        p.set(P.PidTagResponseRequested, BOOLEAN, True)
        return message

    # -- the others

    def contact(self, *, photo: bool = False) -> Message:
        dice = self.dice
        given, family, _ = dice.choice(words.PEOPLE)
        company, domain = dice.choice(words.COMPANIES)
        name = f"{given} {family}"
        when = self.when()
        message = self._base("IPM.Contact", name, when, READ)
        p = message.properties
        city, code, country, street = dice.choice(words.CITIES)
        address = f"{words.ascii_name(given, family)}@{domain}"
        texts: dict[Key, str] = {
            P.PidTagDisplayName: name,
            P.PidTagGivenName: given,
            P.PidTagSurname: family,
            P.PidTagCompanyName: company,
            P.PidTagTitle: dice.choice(words.JOBS),
            P.PidTagBusinessTelephoneNumber: f"+44 1632 960{dice.randrange(1000):03d}",
            P.PidTagMobileTelephoneNumber: f"+44 7700 900{dice.randrange(1000):03d}",
            P.PidTagBusinessHomePage: f"https://www.{domain}/",
            P.PidLidFileUnder: f"{family}, {given}",
            P.PidLidWorkAddress: f"{street}\r\n{code} {city}\r\n{country}",
            P.PidLidWorkAddressStreet: street,
            P.PidLidWorkAddressCity: city,
            P.PidLidWorkAddressPostalCode: code,
            P.PidLidWorkAddressCountry: country,
            P.PidLidEmail1DisplayName: f"{name} ({address})",
            P.PidLidEmail1AddressType: "SMTP",
            P.PidLidEmail1EmailAddress: address,
            P.PidLidEmail1OriginalDisplayName: address,
            P.PidTagBody: "Met at the trade fair.\r\n",
        }
        for key, value in texts.items():
            p.set(key, STRING, value)
        p.set(P.PidLidFileUnderId, INT32, 0x8017)
        p.set(P.PidLidEmail1OriginalEntryId, BINARY, blobs.one_off(name, address))
        p.set(P.PidLidAddressBookProviderEmailList, MULTIPLE | INT32, [0])
        p.set(P.PidLidAddressBookProviderArrayType, INT32, 1)
        p.set(P.PidLidPostalAddressId, INT32, 2)
        p.set(
            P.PidTagBirthday, TIME, datetime(1970 + dice.randrange(35), dice.randrange(1, 13), 12, tzinfo=UTC)
        )
        if photo:
            picture = attachment(
                0, "ContactPicture.jpg", b"\xff\xd8\xff\xe0" + bytes(self.file(4000)), "image/jpeg"
            )
            picture.properties.set(P.PidTagAttachmentContactPhoto, BOOLEAN, True)
            message.attachments = [picture]
            p.set(P.PidLidHasPicture, BOOLEAN, True)
        self._categories(p)
        return message

    def distribution_list(self) -> Message:
        title = self.dice.choice(("Canteen committee", "Projekt Süd", "Fournisseurs", "検査チーム"))
        message = self._base("IPM.DistList", title, self.when(), READ)
        p = message.properties
        members = [blobs.one_off(one.name, one.address) for one in self.dice.sample(self.people, 4)]
        p.set(P.PidTagDisplayName, STRING, title)
        p.set(P.PidLidFileUnder, STRING, title)
        p.set(P.PidLidDistributionListName, STRING, title)
        p.set(P.PidLidDistributionListMembers, MULTIPLE | BINARY, members)
        p.set(P.PidLidDistributionListOneOffMembers, MULTIPLE | BINARY, members)
        p.set(P.PidLidDistributionListChecksum, INT32, self.dice.getrandbits(31))
        return message

    def task(self) -> Message:
        dice = self.dice
        when = self.when(2)
        message = self._base("IPM.Task", dice.choice(words.TASKS), when, READ)
        p = message.properties
        done = dice.random() < 0.4
        due = (when + timedelta(days=dice.randrange(2, 60))).replace(hour=0, minute=0, second=0)
        p.set(P.PidLidTaskStatus, INT32, 2 if done else dice.choice((0, 1)))
        p.set(P.PidLidPercentComplete, FLOAT64, 1.0 if done else dice.choice((0.0, 0.25, 0.75)))
        p.set(P.PidLidTaskStartDate, TIME, due - timedelta(days=2))
        p.set(P.PidLidTaskDueDate, TIME, due)
        p.set(P.PidLidCommonStart, TIME, due - timedelta(days=2))
        p.set(P.PidLidCommonEnd, TIME, due)
        p.set(P.PidLidTaskComplete, BOOLEAN, done)
        p.set(P.PidLidTaskOwner, STRING, self.owner.name)
        p.set(P.PidLidTaskState, INT32, 1)
        p.set(P.PidLidTaskVersion, INT32, dice.randrange(1, 9))
        p.set(P.PidLidTaskFRecurring, BOOLEAN, False)
        p.set(P.PidLidTaskActualEffort, INT32, dice.randrange(0, 600))
        p.set(P.PidLidTaskEstimatedEffort, INT32, 480)
        if done:
            p.set(P.PidLidTaskDateCompleted, TIME, due)
        p.set(P.PidTagBody, STRING, "See the folder of the project.\r\n")
        self._categories(p, 0.4)
        return message

    def note(self) -> Message:
        text = self.dice.choice(words.NOTES)
        message = self._base("IPM.StickyNote", text.split("\r\n")[0], self.when(3), READ)
        p = message.properties
        p.set(P.PidTagBody, STRING, text)
        for key, value in (
            (P.PidLidNoteColor, self.dice.randrange(5)),
            (P.PidLidNoteWidth, 200),
            (P.PidLidNoteHeight, 166),
            (P.PidLidNoteX, self.dice.randrange(900)),
            (P.PidLidNoteY, self.dice.randrange(700)),
        ):
            p.set(key, INT32, value)
        return message

    def journal(self) -> Message:
        when = self.when(3)
        message = self._base("IPM.Activity", self.dice.choice(words.CALLS), when, READ)
        p = message.properties
        minutes = self.dice.randrange(2, 50)
        p.set(P.PidLidLogType, STRING, "Phone call")
        p.set(P.PidLidLogTypeDesc, STRING, "Phone call")
        p.set(P.PidLidLogStart, TIME, when)
        p.set(P.PidLidLogEnd, TIME, when + timedelta(minutes=minutes))
        p.set(P.PidLidLogDuration, INT32, minutes)
        p.set(P.PidLidLogFlags, INT32, 0)
        p.set(P.PidTagBody, STRING, "Will be called back.\r\n")
        return message

    def configuration(self) -> Message:
        """A hidden configuration item (FAI), as views and options are kept."""
        message = self._base("IPM.Configuration.BrightwaterView", "BrightwaterView", self.when(), READ | 0x40)
        message.properties.set(0x7C08, BINARY, b'<?xml version="1.0"?><view sort="received" group="none"/>')
        return message


_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_MAGIC: dict[str, bytes] = {"application/pdf": b"%PDF-1.7\n", "image/jpeg": b"\xff\xd8\xff\xe0"}


def _to_utc(local: datetime, zone: blobs.Zone) -> datetime:
    """UTC of a naive local time; summer time by the rule "last Sunday in March to last Sunday in October" where there is one."""
    bias = zone.bias
    if zone.daylight and _last_sunday(local.year, 3, 2) <= local < _last_sunday(local.year, 10, 3):
        bias += zone.daylight
    return (local + timedelta(minutes=bias)).replace(tzinfo=UTC)


def _last_sunday(year: int, month: int, hour: int) -> datetime:
    day = datetime(year, month, 31, hour)
    return day - timedelta(days=(day.weekday() + 1) % 7)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _rtf(char: str) -> str:
    if char in "\\{}":
        return "\\" + char
    if char.isascii():
        return char
    units = char.encode("utf-16-le")
    return "".join(
        f"\\u{int.from_bytes(units[spot : spot + 2], 'little', signed=True)}?"
        for spot in range(0, len(units), 2)
    )


def _encoded(text: str) -> str:
    from email.header import Header

    return text if text.isascii() else Header(text, "utf-8", maxlinelen=10_000).encode()


def _base64_lines(data: bytes) -> str:
    from base64 import encodebytes

    return encodebytes(data).decode("ascii").replace("\n", "\r\n").rstrip()
