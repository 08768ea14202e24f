"""Item tree → MIME, judged by Python's `email`."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from uuid import UUID

import pytest

from migrator.formats import mime
from migrator.formats.errors import FormatError
from migrator.mapi import blobs, rtf
from migrator.mapi import properties as p
from migrator.mapi.item import (
    BINARY,
    BOOLEAN,
    INT32,
    MULTIPLE,
    OBJECT,
    STRING,
    TIME,
    Attachment,
    Message,
    Named,
    Properties,
)
from migrator.model import Flag
from tests.formats.mail import made

MOMENT = datetime(2020, 2, 3, 9, 0, tzinfo=UTC)


def item(item_class: str = "IPM.Note", **texts: str) -> Message:
    """An item as Exchange keeps it inside: no Internet headers."""
    message = Message()
    v = message.properties
    v.set(p.PidTagMessageClass, STRING, item_class)
    v.set(p.PidTagSubject, STRING, "Grüße aus dem Süden")
    v.set(p.PidTagClientSubmitTime, TIME, MOMENT)
    v.set(p.PidTagInternetMessageId, STRING, "<1@example.org>")
    v.set(p.PidTagSentRepresentingName, STRING, "Müller, Jörg")
    v.set(p.PidTagSentRepresentingAddressType, STRING, "SMTP")
    v.set(p.PidTagSentRepresentingEmailAddress, STRING, "joerg@example.org")
    v.set(p.PidTagBody, STRING, "Hallo\r\n")
    for kind, name in ((1, "Jane"), (2, "Carl"), (3, "Secret")):
        row = Properties()
        row.set(p.PidTagRecipientType, INT32, kind)
        row.set(p.PidTagDisplayName, STRING, name)
        row.set(p.PidTagAddressType, STRING, "SMTP")
        row.set(p.PidTagEmailAddress, STRING, f"{name.lower()}@example.com")
        message.recipients.append(row)
    return message


def parsed(message: Message, **options: object) -> tuple[EmailMessage, tuple[str, ...]]:
    written = mime.from_tree(message, options=mime.WriteOptions(**options))  # type: ignore[arg-type]
    octets = written.octets
    assert octets.replace(b"\r\n", b"").count(b"\n") == 0 and b"\r" not in octets.replace(b"\r\n", b"")
    found = message_from_bytes(octets, policy=policy.default)
    assert isinstance(found, EmailMessage)
    assert not found.defects
    return found, written.notes


def file(content: bytes, name: str, kind: str = "application/octet-stream", **more: object) -> Attachment:
    attachment = Attachment()
    v = attachment.properties
    v.set(p.PidTagAttachMethod, INT32, 1)
    v.set(p.PidTagAttachLongFilename, STRING, name)
    v.set(p.PidTagAttachMimeTag, STRING, kind)
    v.set(p.PidTagAttachDataBinary, BINARY, content)
    return attachment


def said(part: EmailMessage) -> str:
    """The text of a part, line ends made LF, without the last one."""
    return str(part.get_content()).replace("\r\n", "\n").rstrip("\n")


def types(message: EmailMessage) -> list[str]:
    return [part.get_content_type() for part in message.walk()]


def test_headers_are_made_from_properties() -> None:
    message = item()
    v = message.properties
    v.set(p.PidTagSenderName, STRING, "Office")
    v.set(p.PidTagSenderSmtpAddress, STRING, "office@example.org")
    v.set(p.PidTagImportance, INT32, 2)
    v.set(p.PidTagSensitivity, INT32, 2)
    v.set(p.PidTagInReplyToId, STRING, "<0@example.org>")
    v.set(
        p.PidTagInternetReferences,
        STRING,
        " ".join(f"<{n}@a-rather-long-host.example.org>" for n in range(60)),
    )
    v.set(p.PidTagConversationIndex, BINARY, bytes(range(22)))
    v.set(p.PidTagConversationTopic, STRING, "Grüße")
    v.set(p.PidNameKeywords, MULTIPLE | STRING, ["Blue", "Grün"])
    v.set(Named(p.PS_INTERNET_HEADERS, name="x-mailer"), STRING, "Something")
    found, notes = parsed(message)
    assert found["subject"] == "Grüße aus dem Süden"
    assert found["from"].addresses[0].display_name == "Müller, Jörg"
    assert found["from"].addresses[0].addr_spec == "joerg@example.org"
    assert found["sender"] == "Office <office@example.org>"
    assert found["to"] == "Jane <jane@example.com>" and found["cc"] == "Carl <carl@example.com>"
    assert found["bcc"] is None and "bcc_hidden" in notes
    assert found["date"].datetime == MOMENT
    assert (found["message-id"], found["in-reply-to"]) == ("<1@example.org>", "<0@example.org>")
    assert len(found["references"].split()) == 60
    assert (found["importance"], found["sensitivity"]) == ("high", "private")
    assert found["thread-index"] and found["thread-topic"] == "Grüße"
    assert found["keywords"] == "Blue, Grün" and found["x-mailer"] == "Something"
    assert said(found) == "Hallo"


@pytest.mark.parametrize("bits", [0x8, 0x20])
def test_blind_copies_are_written_for_what_the_owner_wrote(bits: int) -> None:
    message = item()
    message.properties.set(p.PidTagMessageFlags, INT32, bits)
    found, notes = parsed(message)
    assert found["bcc"] == "Secret <secret@example.com>" and "bcc_hidden" not in notes


def test_headers_that_came_with_the_message_are_used_again() -> None:
    message = made(
        "Received: from a by b; Mon, 3 Feb 2020 09:00:00 +0000\nDKIM-Signature: v=1;\n\ta=b\nFrom: a@example.org\n"
        "Subject: =?utf-8?q?as_it_was?=\nX-Odd:   spaces kept \nContent-Type: text/plain; charset=utf-8\nMIME-Version: 1.0\n\nx"
    )
    octets = mime.from_tree(message).octets
    assert b"DKIM-Signature: v=1;\r\n\ta=b\r\n" in octets
    assert b"Subject: =?utf-8?q?as_it_was?=\r\n" in octets and b"X-Odd:   spaces kept \r\n" in octets
    assert octets.count(b"MIME-Version") == 1 and octets.count(b"Content-Type") == 1
    message.properties.set(p.PidTagSubject, STRING, "changed by its owner")
    assert b"Subject: changed by its owner\r\n" in mime.from_tree(message).octets


def test_a_fold_of_white_space_alone_is_closed() -> None:
    octets = mime.from_tree(made("Subject: one\n \n  two\nFrom: a@example.org\n\nx")).octets
    assert b"Subject: one\r\n   two\r\n" in octets


def test_no_property_can_add_a_header_line() -> None:
    message = item()
    v = message.properties
    evil = "x\r\nBcc: evil@example.net\r\n\r\nbody"
    v.set(p.PidTagSubject, STRING, evil)
    v.set(p.PidTagSentRepresentingName, STRING, evil)
    v.set(p.PidTagSentRepresentingEmailAddress, STRING, f"a@b.example{evil}")
    v.set(p.PidTagInternetMessageId, STRING, f"<{evil}>")
    v.set(p.PidTagInReplyToId, STRING, evil)
    v.set(p.PidNameKeywords, MULTIPLE | STRING, [evil])
    v.set(Named(p.PS_INTERNET_HEADERS, name="x-a"), STRING, evil)
    v.set(Named(p.PS_INTERNET_HEADERS, name="x-b: c\r\nBcc"), STRING, "evil@example.net")
    attached = file(b"x", evil, kind=f"text/plain\r\nBcc: {evil}")
    attached.properties.set(p.PidTagAttachContentId, STRING, evil)
    attached.properties.set(p.PidTagAttachContentLocation, STRING, evil)
    attached.properties.set(0x371B, STRING, evil)
    message.attachments.append(attached)
    found, _ = parsed(message)
    assert found["bcc"] is None
    assert all("bcc" not in part for part in found.walk())


# Addresses of the old directory ---------------------------------------------------------------------------------------------

DN = "/o=First Organization/ou=Exchange Administrative Group (FYDIBOHF23SPDLT)/cn=Recipients/cn=jane"


def test_directory_addresses_are_resolved_or_wrapped() -> None:
    message = item()
    row = message.recipients[0]
    row.set(p.PidTagAddressType, STRING, "EX")
    row.set(p.PidTagEmailAddress, STRING, DN)
    found, notes = parsed(message)
    assert "address_ex" in notes
    assert found["to"].addresses[0].addr_spec == (
        "IMCEAEX-_o=First+20Organization_ou=Exchange+20Administrative+20Group+20+28FYDIBOHF23SPDLT+29"
        "_cn=Recipients_cn=jane@unresolved.invalid"
    )
    found, notes = parsed(message, addresses={DN.lower(): "jane@new.example"})
    assert found["to"] == "Jane <jane@new.example>" and "address_ex" not in notes
    row.set(p.PidTagSmtpAddress, STRING, "jane@smtp.example")
    found, notes = parsed(message)
    assert found["to"] == "Jane <jane@smtp.example>" and "address_ex" not in notes


def test_entry_ids_speak_where_addresses_are_missing() -> None:
    message = item()
    del message.recipients[1:]
    row = message.recipients[0]
    row.clear()
    row.set(p.PidTagRecipientType, INT32, 1)
    row.set(p.PidTagEntryId, BINARY, blobs.build_one_off("Zoë", "SMTP", "zoe@example.org"))
    found, _ = parsed(message)
    assert found["to"] == "Zoë <zoe@example.org>"
    entry = blobs.build_one_off("Zoë", "SMTP", "zoe@example.org")
    flat = struct.pack("<III", 1, len(entry) + 4, len(entry)) + entry
    message.properties.set(p.PidTagReplyRecipientEntries, BINARY, flat)
    assert parsed(message)[0]["reply-to"] == "Zoë <zoe@example.org>"


# Structure ------------------------------------------------------------------------------------------------------------------


def test_text_and_html_are_alternatives_and_shown_images_related() -> None:
    message = item()
    v = message.properties
    v.set(p.PidTagHtml, BINARY, '<p>Grüße <img src="cid:a@x"></p>'.encode("cp1252"))
    v.set(p.PidTagInternetCodepage, INT32, 1252)
    shown = file(b"PNG", "a.png", "image/png")
    shown.properties.set(p.PidTagAttachContentId, STRING, "a@x")
    message.attachments += [
        shown,
        file(bytes(range(256)), "Übersicht für alle und noch viel mehr als nur für alle.bin"),
    ]
    found, notes = parsed(message)
    assert types(found) == [
        "multipart/mixed",
        "multipart/related",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "image/png",
        "application/octet-stream",
    ]
    html_part, image, other = list(found.walk())[4:7]
    assert said(html_part) == '<p>Grüße <img src="cid:a@x"></p>'
    assert html_part.get_content_charset() == "windows-1252"
    assert image["content-id"] == "<a@x>" and image.get_content_disposition() == "inline"
    assert other.get_content() == bytes(range(256))
    assert other.get_filename() == "Übersicht für alle und noch viel mehr als nur für alle.bin"
    assert notes == ("bcc_hidden",)


@pytest.mark.parametrize(
    ("text", "page", "encoding", "charset"),
    [
        ("plain\r\n", 65001, "7bit", "us-ascii"),
        ("gr\u00fcn, but mostly plain text here\r\n", 28591, "quoted-printable", "iso-8859-1"),
        ("\u041f\u0440\u0438\u0432\u0435\u0442\r\n", 20866, "base64", "koi8-r"),
        ("\u041f\u0440\u0438\u0432\u0435\u0442\r\n", 1252, "base64", "utf-8"),
        ("x" * 2_000 + "\r\n", 65001, "quoted-printable", "us-ascii"),
        ("From here\r\n--=_1_x\r\n", 65001, "quoted-printable", "us-ascii"),
        ("trailing space \r\n", 65001, "7bit", "us-ascii"),
        ("", 65001, "7bit", "us-ascii"),
    ],
)
def test_text_encodings(text: str, page: int, encoding: str, charset: str) -> None:
    message = item()
    message.properties.set(p.PidTagBody, STRING, text)
    message.properties.set(p.PidTagInternetCodepage, INT32, page)
    found, _ = parsed(message)
    assert (found["content-transfer-encoding"], found.get_content_charset()) == (encoding, charset)
    assert said(found) == text.replace("\r\n", "\n").rstrip("\n")


def test_embedded_messages_and_their_depth() -> None:
    message = item()
    inner = message
    for level in range(3):
        attachment = Attachment()
        attachment.embedded = item()
        attachment.embedded.properties.set(p.PidTagSubject, STRING, f"level {level}")
        attachment.properties.set(p.PidTagAttachMethod, INT32, 5)
        inner.attachments.append(attachment)
        inner = attachment.embedded
    found, _ = parsed(message)
    assert types(found).count("message/rfc822") == 3
    with pytest.raises(FormatError, match="nested too deep"):
        mime.from_tree(message, options=mime.WriteOptions(depth=2))


def test_ole_objects_and_files_elsewhere_are_said() -> None:
    message = item()
    ole = Attachment()
    ole.properties.set(p.PidTagAttachMethod, INT32, 6)
    ole.properties.set(p.PidTagAttachDataBinary, OBJECT, b"storage")
    empty = Attachment()
    empty.properties.set(p.PidTagAttachMethod, INT32, 6)
    link = Attachment()
    link.properties.set(p.PidTagAttachMethod, INT32, 7)
    link.properties.set(p.PidTagAttachLongFilename, STRING, "plan.docx")
    link.properties.set(0x370D, STRING, "https://files.example.org/plan.docx")
    nothing = Attachment()
    nothing.properties.set(p.PidTagAttachMethod, INT32, 1)
    message.attachments += [ole, empty, link, nothing]
    found, notes = parsed(message)
    assert {"ole_object", "ole_lost", "web_reference", "attachment_empty"} <= set(notes)
    parts = list(found.iter_attachments())
    assert parts[0].get_content() == b"storage"
    assert "https://files.example.org/plan.docx" in parts[2].get_content()


HTML_RTF = b"{\\rtf1\\ansi\\ansicpg1252\\fromhtml1 \\deff0{\\fonttbl{\\f0 Arial;}}{\\*\\htmltag64 <p>}gr\\'fcn{\\*\\htmltag72 </p>}}"


def test_html_comes_out_of_rtf() -> None:
    message = item()
    message.properties.set(p.PidTagRtfCompressed, BINARY, rtf.store(HTML_RTF))
    found, notes = parsed(message)
    assert types(found) == ["multipart/alternative", "text/plain", "text/html"]
    assert said(list(found.walk())[2]) == "<p>grün</p>"
    assert "rtf_body" not in notes


def test_rtf_of_its_own_is_text_and_attached() -> None:
    message = item()
    del message.properties[p.PidTagBody]
    plain = b"{\\rtf1\\ansi \\b bold\\b0  text\\par }"
    message.properties.set(p.PidTagRtfCompressed, BINARY, rtf.store(plain))
    found, notes = parsed(message)
    assert types(found) == ["multipart/mixed", "text/plain", "application/rtf"]
    assert said(list(found.walk())[1]) == "bold text"
    assert list(found.walk())[2].get_content() == plain
    assert "rtf_body" in notes
    message.properties.set(p.PidTagRtfCompressed, BINARY, b"broken RTF, at least 16 octets")
    assert "rtf_unreadable" in parsed(message)[1]


def test_rtf_that_says_no_more_than_the_text_is_not_attached() -> None:
    message = item()
    message.properties.set(p.PidTagRtfCompressed, BINARY, rtf.store(b"{\\rtf1\\ansi\\deff0 Hallo\\par }"))
    found, notes = parsed(message)
    assert types(found) == ["text/plain"] and "rtf_body" not in notes


def test_signed_items_without_their_original_are_written_plain() -> None:
    message = item("IPM.Note.SMIME.MultipartSigned")
    found, notes = parsed(message)
    assert "smime_rebuilt" in notes and said(found) == "Hallo"


# Losses and flags -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "kind", "value", "note"),
    [
        (p.PidLidVerbStream, BINARY, b"x", "voting_buttons"),
        (p.PidLidReminderSet, BOOLEAN, True, "reminder"),
        (p.PidLidReminderSet, BOOLEAN, False, None),
        (p.PidLidFlagRequest, STRING, "Call me", "followup_details"),
        (p.PidLidFlagRequest, STRING, "Follow up", None),
        (p.PidLidTaskDueDate, TIME, MOMENT, "followup_details"),
        (Named(p.PS_PUBLIC_STRINGS, name="Project"), STRING, "x", "named_properties"),
        (p.PidLidSideEffects, INT32, 1, None),
        (p.PidLidBilling, STRING, "12-3", "named_properties"),
        (p.PidLidBilling, STRING, "", None),
        (Named(p.PSETID_COMMON, 0x850E), BOOLEAN, True, None),
        (Named(UUID(int=5), name="add-in"), STRING, "x", "named_properties"),
    ],
)
def test_what_mail_cannot_say_is_noted(key: Named, kind: int, value: object, note: str | None) -> None:
    message = item()
    message.properties.set(key, kind, value)
    losses = set(mime.from_tree(message).notes) - {"bcc_hidden"}
    assert losses == ({note} if note else set())


@pytest.mark.parametrize(
    ("item_class", "note"),
    [
        ("IPM.Task", "calendar_dropped"),
        ("IPM.StickyNote", "class_lost"),
        ("IPM.Contact", "class_lost"),
        ("IPM.Appointment", "calendar_dropped"),
        ("IPM.Note.Custom", None),
    ],
)
def test_classes_that_mail_does_not_have(item_class: str, note: str | None) -> None:
    assert set(mime.from_tree(item(item_class)).notes) - {"bcc_hidden"} == ({note} if note else set())


def test_a_calendar_writer_gives_an_alternative() -> None:
    message = item("IPM.Schedule.Meeting.Request")
    found, notes = parsed(message, calendar=lambda one: (b"BEGIN:VCALENDAR\r\n", "REQUEST"))
    assert types(found) == ["multipart/alternative", "text/plain", "text/calendar"]
    part = list(found.walk())[2]
    assert part.get_param("method") == "REQUEST" and said(part) == "BEGIN:VCALENDAR"
    assert "calendar_dropped" not in notes


def test_a_card_writer_gives_an_attachment() -> None:
    message = item("IPM.Contact")
    found, notes = parsed(message, card=lambda one: b"BEGIN:VCARD\r\n")
    (part,) = found.iter_attachments()
    assert part.get_content_type() == "text/vcard" and said(part) == "BEGIN:VCARD"
    assert "class_lost" not in notes


def test_flags_and_categories() -> None:
    message = item()
    v = message.properties
    assert mime.flags_of(message) == frozenset() and mime.categories_of(message) == ()
    v.set(p.PidTagMessageFlags, INT32, 0x9)
    v.set(p.PidTagFlagStatus, INT32, 2)
    v.set(p.PidTagLastVerbExecuted, INT32, 103)
    v.set(p.PidNameKeywords, MULTIPLE | STRING, ["A", ""])
    assert mime.flags_of(message) == {Flag.SEEN, Flag.DRAFT, Flag.FLAGGED, Flag.ANSWERED}
    assert mime.categories_of(message) == ("A",)
    v.set(p.PidTagFlagStatus, INT32, 1)  # done
    assert Flag.FLAGGED not in mime.flags_of(message)


def test_the_same_tree_gives_the_same_octets() -> None:
    message = item()
    message.attachments.append(file(b"x", "a"))
    assert mime.from_tree(message).octets == mime.from_tree(message).octets


def test_text_that_no_charset_holds_is_repaired_and_said() -> None:
    message = item()
    message.properties.set(p.PidTagBody, STRING, "a\ud83db\0c")
    found, notes = parsed(message)
    assert said(found) == "a?bc" and "text_repaired" in notes
