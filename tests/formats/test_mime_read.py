"""MIME → item tree, one behaviour each."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest

from migrator.formats import mime
from migrator.formats.errors import FormatError
from migrator.mapi import blobs, fasttransfer
from migrator.mapi import properties as p
from migrator.mapi.item import BOOLEAN, STRING, Message, Named
from migrator.model import Flag
from tests.formats.mail import body, converted, data, html, made, names, people

HEAD = """\
Received: from b (b [192.0.2.1]) by c with ESMTP; Mon, 3 Feb 2020 10:00:05 +0100
Received: from a (a [192.0.2.2]) by b with ESMTP; Mon, 3 Feb 2020 09:00:04 +0000
From: =?utf-8?q?J=C3=B6rg_M=C3=BCller?= <joerg@example.org>
Sender: Office <office@example.org>
To: "Doe, Jane" <jane@example.com>, team@example.com
Cc: Group: a@example.net, "B" <b@example.net>;
Bcc: secret@example.net
Reply-To: Answers <answers@example.org>
Subject: RE: =?iso-8859-1?q?Pr=FCfung?= of the plan
Date: Mon, 3 Feb 2020 10:00:00 +0100
Message-ID: <1@example.org>
In-Reply-To: <0@example.org>
References: <00@example.org>
 <0@example.org>
Thread-Index: AQHV2nQBAgMEBQYHCAkKCwwNDg8QEQ==
Thread-Topic: plan
Importance: high
Sensitivity: company-confidential
X-Mailer: Something 1.0
List-Unsubscribe: <mailto:x@example.org>
"""


def test_headers_become_properties() -> None:
    message = made(HEAD + "\nhello\n")
    v = message.properties
    assert v.text(p.PidTagMessageClass) == "IPM.Note"
    assert v.text(p.PidTagSubject) == "RE: Prüfung of the plan"
    assert v.text(p.PidTagSubjectPrefix) == "RE: "
    assert v.text(p.PidTagNormalizedSubject) == "Prüfung of the plan"
    assert v.text(p.PidTagConversationTopic) == "plan"
    assert v.text(p.PidTagSentRepresentingName) == "Jörg Müller"
    assert v.text(p.PidTagSentRepresentingEmailAddress) == "joerg@example.org"
    assert v.text(p.PidTagSentRepresentingAddressType) == "SMTP"
    assert v.text(p.PidTagSenderEmailAddress) == "office@example.org"
    assert v.time(p.PidTagClientSubmitTime) == datetime(2020, 2, 3, 9, 0, tzinfo=UTC)
    assert v.time(p.PidTagMessageDeliveryTime) == datetime(2020, 2, 3, 9, 0, 5, tzinfo=UTC)
    assert v.text(p.PidTagInternetMessageId) == "<1@example.org>"
    assert v.text(p.PidTagInReplyToId) == "<0@example.org>"
    assert v.text(p.PidTagInternetReferences) == "<00@example.org> <0@example.org>"
    assert v.integer(p.PidTagImportance) == 2
    assert v.integer(p.PidTagSensitivity) == 3
    assert len(v.binary(p.PidTagConversationIndex)) == 22
    assert v.text(Named(p.PS_INTERNET_HEADERS, name="x-mailer")) == "Something 1.0"
    assert v.text(0x1045) == "<mailto:x@example.org>"
    assert v.text(p.PidTagReplyRecipientNames) == "Answers"
    assert v.text(p.PidTagTransportMessageHeaders) == HEAD.replace("\n", "\r\n")
    assert body(message) == "hello\r\n"
    assert v.integer(p.PidTagNativeBody) == 1


def test_recipients_have_addresses_entry_ids_and_search_keys() -> None:
    message = made(HEAD + "\nhello\n")
    assert people(message) == [
        (1, "Doe, Jane", "jane@example.com"),
        (1, "team@example.com", "team@example.com"),
        (2, "a@example.net", "a@example.net"),
        (2, "B", "b@example.net"),
        (3, "secret@example.net", "secret@example.net"),
    ]
    first = message.recipients[0]
    assert blobs.parse_entry_id(first.binary(p.PidTagEntryId)) == blobs.OneOff(
        "Doe, Jane", "SMTP", "jane@example.com"
    )
    assert first.binary(p.PidTagSearchKey) == b"SMTP:JANE@EXAMPLE.COM\0"
    assert [row.integer(p.PidTagRowid) for row in message.recipients] == [0, 1, 2, 3, 4]
    represented = blobs.parse_entry_id(message.properties.binary(p.PidTagSentRepresentingEntryId))
    assert represented == blobs.OneOff("Jörg Müller", "SMTP", "joerg@example.org")


def test_internaldate_outranks_received() -> None:
    moment = datetime(2021, 1, 1, tzinfo=UTC)
    message = mime.to_tree(HEAD.encode() + b"\nx", received=moment).message
    assert message.properties.time(p.PidTagMessageDeliveryTime) == moment


@pytest.mark.parametrize(
    ("date", "received", "note"),
    [("Date: nonsense\n", True, "date_missing"), ("", True, "date_missing"), ("", False, "date_unknown")],
)
def test_a_missing_date_is_said_and_replaced(date: str, received: bool, note: str) -> None:
    moment = datetime(2021, 1, 1, tzinfo=UTC) if received else None
    result = mime.to_tree(f"From: a@b.example\n{date}\nx".encode(), received=moment)
    assert note in result.notes
    assert result.message.properties.time(p.PidTagClientSubmitTime) == moment


# State --------------------------------------------------------------------------------------------------------------------


def state(flags: set[Flag], *keywords: str, sent: bool = False) -> Message:
    options = mime.ReadOptions(sent=sent)
    return mime.to_tree(
        b"From: a@b.example\nSubject: s\n\nx",
        flags=flags,
        keywords=keywords,
        received=datetime(2021, 1, 1, tzinfo=UTC),
        options=options,
    ).message


@pytest.mark.parametrize(
    ("flags", "sent", "bits"),
    [
        (set(), False, 0),
        ({Flag.SEEN}, False, 0x1),
        ({Flag.SEEN}, True, 0x21),
        ({Flag.DRAFT}, False, 0x28),
        ({Flag.DRAFT, Flag.SEEN}, False, 0x29),
    ],
)
def test_read_and_draft_state(flags: set[Flag], sent: bool, bits: int) -> None:
    message = state(flags, sent=sent)
    assert message.properties.integer(p.PidTagMessageFlags) == bits
    assert mime.flags_of(message) == flags


def test_follow_up_and_answers() -> None:
    v = state({Flag.FLAGGED, Flag.ANSWERED}).properties
    assert (v.integer(p.PidTagFlagStatus), v.text(p.PidLidFlagRequest)) == (2, "Follow up")
    assert (v.integer(p.PidTagLastVerbExecuted), v.integer(p.PidTagIconIndex)) == (102, 261)
    assert v.time(p.PidTagLastVerbExecutionTime) is not None
    forwarded = state({Flag.FORWARDED})
    assert forwarded.properties.integer(p.PidTagLastVerbExecuted) == 104
    assert mime.flags_of(forwarded) == {Flag.FORWARDED}


def test_keywords_become_categories_but_machine_words_do_not() -> None:
    message = state(set(), "Blue", "$label1", "$MDNSent", "NonJunk", "\\Seen", "Blue", "Grün")
    assert mime.categories_of(message) == ("Blue", "Important", "Grün")


def test_a_keywords_header_becomes_categories() -> None:
    assert mime.categories_of(made("Keywords: red, =?utf-8?q?gr=C3=BCn?=\n\nx")) == ("red", "grün")


@pytest.mark.parametrize(
    "field", ["Disposition-Notification-To", "Return-Receipt-To", "X-Confirm-Reading-To"]
)
def test_receipts_are_disarmed_unless_asked_otherwise(field: str) -> None:
    text = f"From: a@b.example\n{field}: a@b.example\n\nx"
    disarmed = converted(text)
    assert "receipt_disarmed" in disarmed.notes
    assert not disarmed.message.properties.flag(p.PidTagReadReceiptRequested)
    assert not disarmed.message.properties.flag(p.PidTagOriginatorDeliveryReportRequested)
    armed = converted(text, disarm_receipts=False)
    assert "receipt_disarmed" not in armed.notes
    asked = {
        tag
        for tag in (p.PidTagReadReceiptRequested, p.PidTagOriginatorDeliveryReportRequested)
        if armed.message.properties.flag(tag)
    }
    assert len(asked) == 1


def test_x_headers_are_promoted_up_to_a_limit() -> None:
    text = "".join(f"X-Number-{index}: {index}\n" for index in range(10)) + "\nx"
    result = converted(text, x_headers=3)
    promoted = [
        key
        for key in result.message.properties
        if isinstance(key, Named) and key.guid == p.PS_INTERNET_HEADERS
    ]
    assert len(promoted) == 3 and "headers_not_promoted" in result.notes
    assert "X-Number-9: 9" in result.message.properties.text(p.PidTagTransportMessageHeaders)
    assert "headers_not_promoted" not in converted(text, x_headers=0).notes
    made_up = made("X-20200203-abc: 1\nX-0123456789ab: 2\nX-Plain: 3\n\nx").properties
    assert [key.name for key in made_up if isinstance(key, Named)] == ["x-plain"]


# Bodies -------------------------------------------------------------------------------------------------------------------

ALTERNATIVE = """\
Content-Type: multipart/alternative; boundary="b"

preamble that nobody sees: multipart
--b
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

gr=C3=BC=
n
--b
Content-Type: text/html; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

<p>gr=FCn</p>
--b--
"""


def test_alternatives_give_text_and_html() -> None:
    message = made(ALTERNATIVE)
    assert body(message) == "grün"
    assert html(message) == b"<p>gr\xfcn</p>"
    assert message.properties.integer(p.PidTagInternetCodepage) == 28591
    assert message.properties.integer(p.PidTagNativeBody) == 3
    assert not message.attachments


def test_text_around_the_parts_is_named() -> None:
    text = ALTERNATIVE.replace("preamble that nobody sees: multipart", "Dear all,") + "\nand that is all\n"
    assert {"preamble_dropped", "epilogue_dropped"} <= set(converted(text).notes)
    assert not {"preamble_dropped", "epilogue_dropped"} & set(converted(ALTERNATIVE).notes)


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        ("utf-8", "žluťoučký kůň 🐎"),
        ("utf-16", "žluťoučký kůň"),
        ("utf-16le", "žluťoučký kůň"),
        ("utf-16be", "žluťoučký kůň"),
        ("utf-7", "grün & weiß"),
        ("iso-2022-jp", "こんにちは世界"),
        ("iso-2022-kr", "안녕하세요"),
        ("hz-gb-2312", "你好世界"),
        ("gb18030", "你好世界𠀀"),
        ("gb2312", "你好世界"),
        ("big5", "顏氏家訓"),
        ("euc-kr", "안녕하세요"),
        ("ks_c_5601-1987", "안녕하세요"),
        ("shift_jis", "こんにちは①"),
        ("euc-jp", "こんにちは"),
        ("koi8-r", "Привет"),
        ("windows-1251", "Привет"),
        ("x-mac-cyrillic", "Привет"),
        ("iso-8859-7", "Γειά σου"),
        ("windows-874", "สวัสดี"),
        ("macintosh", "café"),
        ("cp850", "café"),
    ],
)
def test_charsets(charset: str, text: str) -> None:
    codec = {
        "hz-gb-2312": "hz",
        "ks_c_5601-1987": "cp949",
        "shift_jis": "cp932",
        "x-mac-cyrillic": "mac-cyrillic",
        "windows-874": "cp874",
        "macintosh": "mac-roman",
    }.get(charset, charset)
    encoded = base64.encodebytes(text.encode(codec)).decode()
    result = converted(
        f'Content-Type: text/plain; charset="{charset}"\nContent-Transfer-Encoding: base64\n\n{encoded}'
    )
    assert body(result.message) == text
    assert not {"charset_wrong", "charset_unknown", "charset_guessed"} & set(result.notes)


@pytest.mark.parametrize(
    ("charset", "octets", "text", "note"),
    [
        ("x-unknown", "grün".encode(), "grün", "charset_unknown"),
        ("nonsense-17", b"gr\xfcn", "grün", "charset_unknown"),
        ("us-ascii", "grün".encode(), "grün", "charset_wrong"),
        ("us-ascii", b"gr\xfcn", "grün", "charset_wrong"),
        ("", b"gr\xfcn", "grün", "charset_guessed"),
        ("utf-8", b"gr\xfcn und wei\xc3\x9f und bla\xc3\xbc", "grün und weiß und blaü", "charset_wrong"),
        ("iso-2022-jp", "日本語".encode(), "日本語", "charset_wrong"),
        ("iso-8859-1", b"\x80 5", "€ 5", ""),
        ("rot13", b"abc", "abc", "charset_unknown"),
        ("utf-8", "\ufeffabc".encode(), "abc", ""),
    ],
)
def test_wrong_and_unknown_charsets_lose_no_octet(charset: str, octets: bytes, text: str, note: str) -> None:
    head = f"Content-Type: text/plain; charset={charset}\n\n" if charset else "Content-Type: text/plain\n\n"
    result = mime.to_tree(head.encode() + octets)
    assert body(result.message) == text
    assert [n for n in result.notes if n.startswith("charset")] == ([note] if note else [])


def test_undeclared_cyrillic_is_recognised() -> None:
    text = "Широкая электрификация южных губерний даст мощный толчок подъёму сельского хозяйства. " * 3
    assert body(mime.to_tree(b"Subject: x\n\n" + text.encode("cp1251")).message) == text


def test_japanese_characters_that_only_windows_has() -> None:
    encoded = b"\x1b$B-!-b\x1b(B"  # circled one, numero sign: rows of NEC
    assert body(mime.to_tree(b"Content-Type: text/plain; charset=iso-2022-jp\n\n" + encoded).message) == "①№"


def test_html_in_an_unknown_charset_becomes_utf8() -> None:
    message = mime.to_tree(b"Content-Type: text/html; charset=x-unknown\n\n<p>gr\xc3\xbcn</p>").message
    assert html(message).decode() == "<p>grün</p>"
    assert message.properties.integer(p.PidTagInternetCodepage) == 65001


def test_format_flowed_keeps_its_spaces() -> None:
    text = "Content-Type: text/plain; format=flowed\n\none \ntwo \n\n> three \n"
    assert body(made(text)) == "one \r\ntwo \r\n\r\n> three \r\n"
    written = mime.from_tree(made(text)).octets
    assert b"format=flowed" in written
    assert body(mime.to_tree(written).message) == "one \r\ntwo \r\n\r\n> three \r\n"


def test_a_text_with_uuencoded_lines_stays_text() -> None:
    text = "Subject: x\n\nSee:\n\nbegin 644 a.txt\n#86)C\n`\nend\n"
    assert "begin 644 a.txt" in body(made(text))


# Attachments --------------------------------------------------------------------------------------------------------------

MIXED = """\
Content-Type: multipart/mixed; boundary=b

--b

text
--b
Content-Type: application/pdf; name="=?utf-8?q?gr=C3=BCn=2Epdf?="
Content-Transfer-Encoding: base64
Content-Disposition: attachment

JVBERi0=
--b
Content-Type: application/octet-stream
Content-Disposition: attachment; filename*0*=utf-8''%E2%82%AC%20rates;
 filename*1=" and more"; filename*2*=%2Exlsx

\x01\x02
--b
Content-Type: image/png

no name
--b
Content-Type: text/plain

footer of a list
--b--
"""


def test_attachments_with_their_names() -> None:
    message = made(MIXED)
    assert body(message) == "text"
    assert names(message) == ["grün.pdf", "€ rates and more.xlsx", "ATT00003.png", "ATT00004.txt"]
    assert [data(message, i) for i in range(4)] == [b"%PDF-", b"\x01\x02", b"no name", b"footer of a list"]
    first = message.attachments[0].properties
    assert first.text(p.PidTagAttachExtension) == ".pdf"
    assert first.text(p.PidTagAttachFilename) == "grn.pdf"
    assert first.text(p.PidTagAttachMimeTag) == "application/pdf"
    assert (first.integer(p.PidTagAttachMethod), first.integer(p.PidTagRenderingPosition)) == (1, -1)


def test_inline_images_are_marked_by_the_html_that_shows_them() -> None:
    message = made(
        """\
Content-Type: multipart/related; boundary=b; start="<root>"

--b
Content-Type: image/png; name=a.png
Content-ID: <A%40x>
Content-Transfer-Encoding: base64

QQ==
--b
Content-Type: image/png; name=b.png
Content-ID: <b@x>
Content-Location: http://example.org/b.png

B
--b
Content-Type: text/html
Content-ID: <root>

<img src="cid:a%40x">
--b--
"""
    )
    assert html(message) == b'<img src="cid:a%40x">'
    one, two = (a.properties for a in message.attachments)
    assert one.text(p.PidTagAttachContentId) == "A%40x"
    assert one.flag(p.PidTagAttachmentHidden) and one.integer(p.PidTagAttachFlags) == 4
    assert not two.flag(p.PidTagAttachmentHidden)
    assert two.text(p.PidTagAttachContentLocation) == "http://example.org/b.png"


def test_nested_messages_are_embedded() -> None:
    message = made(
        """\
Subject: outer
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: message/rfc822

Subject: inner
From: a@example.org
To: b@example.org

inner text
--b
Content-Type: message/rfc822
Content-Transfer-Encoding: base64

U3ViamVjdDogZW5jb2RlZAoKZGVlcA==
--b--
"""
    )
    inner, encoded = (a.embedded for a in message.attachments)
    assert inner is not None and encoded is not None
    assert (inner.properties.text(p.PidTagSubject), body(inner)) == ("inner", "inner text")
    assert people(inner) == [(1, "b@example.org", "b@example.org")]
    assert (encoded.properties.text(p.PidTagSubject), body(encoded)) == ("encoded", "deep")
    assert message.attachments[0].properties.integer(p.PidTagAttachMethod) == 5
    assert message.attachments[0].properties.text(p.PidTagDisplayName) == "inner"


def test_a_digest_is_messages() -> None:
    message = made(
        "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: one\n\n1\n--b\n\nSubject: two\n\n2\n--b--\n"
    )
    subjects = [a.embedded.properties.text(p.PidTagSubject) for a in message.attachments if a.embedded]
    assert subjects == ["one", "two"]


@pytest.mark.parametrize(
    "kind",
    ["message/partial; id=x; number=1", "message/external-body; access-type=URL; URL=http://example.org"],
)
def test_fragments_and_references_are_kept_whole(kind: str) -> None:
    message = made(f"Subject: x\nContent-Type: {kind}\n\nContent-Type: text/plain\n\nrest\n")
    assert data(message) == b"Content-Type: text/plain\r\n\r\nrest\r\n"


# Signed, encrypted, reports -----------------------------------------------------------------------------------------------

SIGNED = """\
Subject: signed
Content-Type: multipart/signed; protocol="application/pkcs7-signature";
\tmicalg=sha256; boundary="sig"

This is an S/MIME signed message

--sig
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

Gr=FC=DFe, trailing space =20
--sig
Content-Type: application/pkcs7-signature; name=smime.p7s
Content-Transfer-Encoding: base64

MIIBAA==
--sig--
"""


@pytest.mark.parametrize("protocol", ["application/pkcs7-signature", "application/pgp-signature"])
def test_signed_mail_is_kept_octet_by_octet(protocol: str) -> None:
    text = SIGNED.replace("application/pkcs7-signature", protocol)
    raw = text.encode().replace(b"\n", b"\r\n")
    message = mime.to_tree(raw).message
    assert message.properties.text(p.PidTagMessageClass) == "IPM.Note.SMIME.MultipartSigned"
    entity = raw.partition(b"\r\n")[2]
    assert data(message) == entity
    assert message.attachments[0].properties.text(p.PidTagAttachMimeTag) == "multipart/signed"
    assert body(message) == "Grüße, trailing space  "
    written = mime.from_tree(message).octets
    assert written.endswith(entity)
    assert mime.to_tree(written).message.attachments[0].properties.binary(p.PidTagAttachDataBinary) == entity


def test_opaque_smime() -> None:
    cms = bytes(range(256)) * 3
    encoded = base64.encodebytes(cms).decode()
    message = made(
        'Subject: x\nContent-Type: application/pkcs7-mime; smime-type=enveloped-data;\n name="smime.p7m"\n'
        f"Content-Transfer-Encoding: base64\n\n{encoded}"
    )
    assert message.properties.text(p.PidTagMessageClass) == "IPM.Note.SMIME"
    assert data(message) == cms
    assert (
        message.attachments[0].properties.text(p.PidTagAttachMimeTag)
        == "application/pkcs7-mime;smime-type=enveloped-data"
    )
    again = mime.to_tree(mime.from_tree(message).octets).message
    assert data(again) == cms
    assert again.properties.text(p.PidTagMessageClass) == "IPM.Note.SMIME"
    assert b"smime-type=enveloped-data" in mime.from_tree(message).octets


def test_a_signature_within_a_list_message_is_noted() -> None:
    inner = SIGNED.partition("\n")[2]
    text = f"Content-Type: multipart/mixed; boundary=b\n\n--b\n{inner}\n--b\n\nfooter\n--b--\n"
    result = converted(text)
    assert "signature_nested" in result.notes
    assert result.message.properties.text(p.PidTagMessageClass) == "IPM.Note"
    assert names(result.message) == ["smime.p7s", "ATT00002.txt"]


def test_pgp_encrypted_mail_comes_back_as_it_was() -> None:
    raw = (
        b'Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b\r\n\r\n'
        b"--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n"
        b"--b\r\nContent-Type: application/octet-stream; name=encrypted.asc\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n\r\nabc\r\n--b--\r\n"
    )
    message = mime.to_tree(raw).message
    assert [data(message, 0), data(message, 1)] == [
        b"Version: 1\r\n",
        b"-----BEGIN PGP MESSAGE-----\r\n\r\nabc",
    ]
    written = mime.from_tree(message).octets
    assert b"multipart/encrypted" in written.split(b"\r\n\r\n")[0]
    assert b'protocol="application/pgp-encrypted"' in written


REPORT = """\
Subject: report
Content-Type: multipart/report; report-type={kind}; boundary=b

--b

explanation
--b
Content-Type: {part}

{content}
--b
Content-Type: text/rfc822-headers

Subject: original
--b--
"""


@pytest.mark.parametrize(
    ("kind", "part", "content", "item_class"),
    [
        (
            "delivery-status",
            "message/delivery-status",
            "Reporting-MTA: dns;a\n\nAction: failed",
            "REPORT.IPM.Note.NDR",
        ),
        ("delivery-status", "message/delivery-status", "Action: delayed", "REPORT.IPM.Note.Delayed"),
        ("delivery-status", "message/delivery-status", "Action: relayed", "REPORT.IPM.Note.DR"),
        ("delivery-status", "message/delivery-status", "Nothing: said", "IPM.Note"),
        (
            "disposition-notification",
            "message/disposition-notification",
            "Disposition: manual-action/MDN-sent-manually; displayed",
            "REPORT.IPM.Note.IPNRN",
        ),
        (
            "disposition-notification",
            "message/disposition-notification",
            "Disposition: automatic-action/MDN-sent-automatically; deleted",
            "REPORT.IPM.Note.IPNNRN",
        ),
    ],
)
def test_reports(kind: str, part: str, content: str, item_class: str) -> None:
    text = REPORT.format(kind=kind, part=part, content=content)
    message = made(text)
    assert message.properties.text(p.PidTagMessageClass) == item_class
    assert body(message) == "explanation"
    assert data(message).replace(b"\r\n", b"\n") == content.encode()
    assert made(text, report_classes=False).properties.text(p.PidTagMessageClass) == "IPM.Note"
    if item_class != "IPM.Note":
        written = mime.from_tree(message).octets
        assert b"multipart/report" in written.split(b"\r\n\r\n")[0]
        assert made(written.replace(b"\r\n", b"\n")).properties.text(p.PidTagMessageClass) == item_class


# The calendar seam --------------------------------------------------------------------------------------------------------

INVITATION = """\
From: a@example.org
To: b@example.org
Subject: meeting
Content-Type: multipart/alternative; boundary=b

--b

come
--b
Content-Type: text/calendar; method=REQUEST; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

BEGIN:VCALENDAR=0D=0ASUMMARY:gr=FCn
--b--
"""


def test_a_calendar_part_without_a_reader_is_an_attachment() -> None:
    message = made(INVITATION)
    assert body(message) == "come"
    assert names(message) == ["ATT00001.ics"]
    assert data(message) == b"BEGIN:VCALENDAR\r\nSUMMARY:gr\xfcn"


def test_a_calendar_reader_gives_class_and_properties() -> None:
    seen = []

    def read(octets: bytes) -> list[Message]:
        seen.append(octets)
        event = Message()
        event.properties.set(p.PidTagMessageClass, STRING, "IPM.Schedule.Meeting.Request")
        event.properties.set(p.PidTagSubject, STRING, "from the calendar")
        event.properties.set(p.PidTagBody, STRING, "from the calendar")
        event.properties.set(p.PidLidFInvited, BOOLEAN, True)
        return [event]

    message = made(INVITATION, calendar=read)
    assert seen == ["BEGIN:VCALENDAR\r\nSUMMARY:grün".encode()]
    v = message.properties
    assert v.text(p.PidTagMessageClass) == "IPM.Schedule.Meeting.Request"
    assert (v.text(p.PidTagSubject), body(message)) == ("meeting", "come")
    assert v.flag(p.PidLidFInvited)
    assert not message.attachments


def test_an_unreadable_calendar_part_is_kept() -> None:
    def read(octets: bytes) -> list[Message]:
        raise FormatError("no calendar")

    result = converted(INVITATION, calendar=read)
    assert "calendar_unreadable" in result.notes
    assert names(result.message) == ["ATT00001.ics"]


# Shape of what comes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"no header at all",
        b"Subject: only a header",
        b"From MAILER-DAEMON Fri Jul  8 12:08:34 2011\nSubject: mbox\n\nx",
        b"\xef\xbb\xbfSubject: bom\n\nx",
        b"\n\nSubject: late\n\nx",
        b"Subject: bare cr\r\rtext\rmore",
        b"Subject: nul\0 inside\n\nte\0xt",
        b"Subject: gr\xfcn\n\nx",
    ],
)
def test_odd_messages_are_messages(raw: bytes) -> None:
    message = mime.to_tree(raw).message
    fasttransfer.read(fasttransfer.write(message), strict=True)
    written = mime.from_tree(message).octets
    assert mime.from_tree(mime.to_tree(written).message).octets == written


def test_odd_messages_are_read() -> None:
    assert (
        made(b"From MAILER Fri Jul  8 12:08:34 2011\nSubject: mbox\n\nx").properties.text(p.PidTagSubject)
        == "mbox"
    )
    assert mime.to_tree(b"\n\nSubject: late\n\nx").message.properties.text(p.PidTagSubject) == "late"
    cr = mime.to_tree(b"Subject: bare cr\r\rtext\rmore").message
    assert (cr.properties.text(p.PidTagSubject), body(cr)) == ("bare cr", "text\r\nmore")
    assert mime.to_tree(b"Subject: gr\xfcn\n\nx").message.properties.text(p.PidTagSubject) == "grün"
    assert body(mime.to_tree(b"Subject: nul\n\nte\0xt").message) == "text"
    broken = mime.to_tree(b"Received: from a\nby b; x\nMIME-Version: 1.0\nSubject: s\n\nbody").message
    assert (broken.properties.text(p.PidTagSubject), body(broken)) == ("s", "body")


def test_a_multipart_without_its_boundary_is_text() -> None:
    result = converted("Content-Type: multipart/mixed\n\nsome text\n")
    assert body(result.message) == "some text\r\n" and "boundary_missing" in result.notes


def test_a_multipart_that_is_cut_keeps_what_is_there() -> None:
    message = made(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\nContent-Type: image/png\n\ntw"
    )
    assert (body(message), data(message)) == ("one", b"tw")


def test_an_outer_delimiter_ends_what_is_within() -> None:
    message = made(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=b2\n\n"
        "--b2\n\none\n--b\nContent-Type: image/png\n\ntwo\n--b--\n"
    )
    assert (body(message), data(message)) == ("one", b"two")


def test_base64_with_text_behind_it() -> None:
    result = converted(
        "Content-Type: text/plain\nContent-Transfer-Encoding: base64\n\naGVsbG8=\n-- \nfooter: of a list!\n"
    )
    assert body(result.message).startswith("hello") and "footer: of a list!" in body(result.message)
    assert "base64_damaged" in result.notes


@pytest.mark.parametrize(
    ("encoded", "octets"),
    [
        ("aGVsbG8=\naGVsbG8=\n", b"hellohello"),
        ("aGVs*bG8=", b"hello"),
        ("aGVsbG8", b"hello"),
        ("aGVsbG8hA", b"hello!"),
        ("", b""),
    ],
)
def test_damaged_base64_is_read_as_far_as_it_goes(encoded: str, octets: bytes) -> None:
    message = made(
        "Content-Type: application/octet-stream; name=a\nContent-Disposition: attachment\n"
        f"Content-Transfer-Encoding: base64\n\n{encoded}"
    )
    assert data(message) == octets


def test_uuencoded_attachment() -> None:
    message = made(
        "Content-Type: application/octet-stream; name=a\nContent-Disposition: attachment\n"
        "Content-Transfer-Encoding: x-uuencode\n\nbegin 644 a\n#86)C\n`\nend\n"
    )
    assert data(message) == b"abc"
