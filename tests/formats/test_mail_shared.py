"""Real mail of other projects' test suites: nothing crashes, nothing is lost, and other parsers' opinions are answered.

Two parsers' opinions of each message stand in FACTS.jsonl: Python's `email` (type, number of leaf parts) and nodemailer's
`mailparser` (attachments, subject, date, id, sender). Where we differ, `mail_opinions.tsv` names the reason, and the test fails
both for a difference without one and for a reason that is not needed any more.
"""

from __future__ import annotations

import csv
import email
import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from migrator.formats import mime
from migrator.formats.mime.split import Part, split
from migrator.mapi import fasttransfer
from migrator.mapi import properties as p
from migrator.mapi.item import Message
from tests.shared_data import shared

REASONS = {
    # attachments
    "further_texts": "mailparser joins all texts into one; Exchange keeps the first as body and the others as files",
    "report_status": "mailparser drops the machine-readable part of a report",
    "embedded": "mailparser opens attached messages into the text of the outer one; they stay messages here",
    "smime_whole": "signed mail is one attachment, as it came; mailparser takes it apart",
    "tnef_unpacked": "what is in winmail.dat is here instead of the file",
    "no_such_type": "the content type is broken: the part is text, mailparser makes it a file",
    "empty_file": "an attachment without name and content",
    # structure
    "broken_type": "Python takes the broken word for a type",
    "empty_parts": "Python swallows empty parts between two delimiters that follow each other",
    "same_boundary": "nested multiparts share a boundary: Python loses the rest after the first end, we find all",
    # headers
    "broken_fold": "Python and we (by different rules) read on behind a line that cannot be in a header; mailparser likewise",
    "raw_octets": "octets above 127 that nobody declared: guessed here, replaced there",
    "unencodable": "an encoded word with octets that contradict its charset",
    "no_date": "mailparser gives the time of its run for a date that it cannot read",
    "brackets": "mailparser adds brackets to an id without",
    "no_address": "a mere name: it is kept as the name, without an address",
    "comment_in_address": "comments inside an address are left out",
}

HERE = Path(__file__).parent


def table() -> dict[tuple[str, str], str]:
    with (HERE / "mail_opinions.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    return {(name, field): reason for name, field, reason in rows[1:]}


@functools.cache
def messages() -> tuple[tuple[str, bytes], ...]:
    root = shared("eml").parent
    found: list[tuple[str, bytes]] = []
    for folder in ("eml", "maildir", "mbox"):
        for path in sorted((root / folder).rglob("*")):
            if not path.is_file() or path.suffix in (".jsonl", ".tsv"):
                continue
            name, raw = path.relative_to(root).as_posix(), path.read_bytes()
            if folder == "mbox":
                pieces = [piece for piece in re.split(rb"(?m)^(?=From )", raw) if piece.strip()]
                found += [(f"{name}#{index}", piece) for index, piece in enumerate(pieces)]
            else:
                found.append((name, raw))
    assert len(found) > 700
    return tuple(found)


def leaves(part: Part) -> Iterator[Part]:
    waiting = [part]
    while waiting:
        one = waiting.pop()
        if one.children:
            waiting += one.children
        else:
            yield one


def differences(fact: dict[str, dict[str, object]], raw: bytes) -> Iterator[str]:
    """Fields in which we do not share the opinions."""
    root = split(raw)
    values = (message := mime.to_tree(raw).message).properties
    python, mailparser = fact["python_email"], fact["mailparser"]
    if root.kind != python["content_type"]:
        yield "type"
    ours = list(leaves(root))
    # Python takes message/delivery-status apart into header blocks.
    if len(ours) != python["leaf_parts"] and all(part.kind != "message/delivery-status" for part in ours):
        yield "leaves"
    if len(message.attachments) != mailparser["att"]:
        yield "attachments"
    if str(mailparser["subject"] or "").strip() != values.text(p.PidTagSubject):
        yield "subject"
    if mailparser["date"]:
        theirs = datetime.fromisoformat(str(mailparser["date"]).replace("Z", "+00:00"))
        sent = values.time(p.PidTagClientSubmitTime)
        if sent is None or abs((theirs - sent).total_seconds()) >= 1:
            yield "date"
    if (values.text(p.PidTagInternetMessageId) or None) != mailparser["msgid"]:
        yield "message-id"
    author = str(mailparser["from"] or "").lower()
    address = values.text(p.PidTagSentRepresentingEmailAddress).lower()
    name = values.text(p.PidTagSentRepresentingName).lower()
    if (
        address not in author
        or bool(address) != bool(author)
        or (name != address and name not in author.replace('\\"', '"'))
    ):
        yield "from"


def test_other_parsers_agree_or_are_answered() -> None:
    root = shared("eml/FACTS.jsonl").parents[1]
    reasons = table()
    assert set(reasons.values()) <= set(REASONS)
    found = set()
    for line in (root / "eml" / "FACTS.jsonl").read_text("utf-8").splitlines():
        fact = json.loads(line)
        raw = (root / fact["file"]).read_bytes()
        found |= {(fact["file"], field) for field in differences(fact, raw)}
    unexplained = sorted(found - set(reasons))
    outdated = sorted(set(reasons) - found)
    assert not unexplained
    assert not outdated


def test_every_message_becomes_an_item_that_a_strict_reader_takes() -> None:
    for name, raw in messages():
        converted = mime.to_tree(raw)
        assert set(converted.notes) <= set(mime.NOTES), name
        stream = fasttransfer.write(converted.message)
        again = fasttransfer.read(stream, strict=True)
        assert again.properties.text(p.PidTagMessageClass), name


# Nothing is lost ----------------------------------------------------------------------------------------------------------


def squeeze(octets: bytes) -> bytes:
    return re.sub(rb"[\s\0]+", b"", octets)


def haystack(message: Message) -> tuple[list[str], list[bytes]]:
    texts, octets = [], []
    for one in message.walk():
        texts.append(re.sub(r"[\s\0]+", "", one.properties.text(p.PidTagBody)))
        texts.append(re.sub(r"[\s\0]+", "", one.properties.text(p.PidTagTransportMessageHeaders)))
        html = bytes(one.properties.binary(p.PidTagHtml))
        octets.append(html)
        texts.append(re.sub(r"[\s\0]+", "", html.decode("utf-8", "replace")))
        octets += [bytes(a.properties.binary(p.PidTagAttachDataBinary)) for a in one.attachments]
    return texts, octets


def missing(raw: bytes, message: Message) -> list[str]:
    """Leaf parts, as Python's `email` sees them, whose content is nowhere in the tree."""
    texts, octets = haystack(message)
    exact, loose = set(octets), [squeeze(one) for one in octets]
    lost = []
    for part in email.message_from_bytes(raw).walk():
        if part.is_multipart():
            continue
        content = part.get_payload(decode=True)
        if not isinstance(content, bytes) or not content.strip() or content in exact:
            continue
        if any(squeeze(content) in one for one in loose):
            continue
        candidates = []
        for charset in (
            part.get_content_charset() or "utf-8",
            "utf-8",
            "cp1252",
            "latin-1",
            "gb18030",
            "cp949",
            "cp932",
            "mac-cyrillic",
        ):
            try:
                candidates.append(re.sub(r"[\s\0]+", "", content.decode(charset)))
            except (UnicodeError, LookupError):
                continue
        if any(one in text for one in candidates for text in texts):
            continue
        lost.append(f"{part.get_content_type()} of {len(content)}")
    return lost


# Where Python's `email` is the one that does not see the content, or sees another.
LOSSES_EXPLAINED = {
    "eml/aspose/tnefEml1.eml": "winmail.dat is unpacked",
    "eml/aspose/tnefWithMsgInside.eml": "winmail.dat is unpacked",
    "eml/sisimai/lhost-amazonworkmail-01.eml": "winmail.dat is unpacked",
    "eml/enmime/bad-header-wrap.eml": "a broken fold among part headers: Python decodes the header lines as base64",
    "eml/enmime/extra-base64-character.eml": "one base64 character too many: Python gives up decoding",
    "eml/enmime/chardet-success-big-5.eml": "declared as ASCII, recognised as Big5",
    "eml/enmime/chardet-success-iso-8859-1.eml": "declared as ASCII, recognised as windows-1252",
    "eml/enmime/chardet-fail.eml": "a GIF that says it is text: its octets are shown as characters",
    "eml/mimekit/rfc2046.0.eml": "message/partial stays closed; Python looks in and decodes a fragment",
    "eml/stalwart/009.eml": "message/partial stays closed; Python looks in and decodes a fragment",
    "eml/phpmmp/m0028.eml": "a plain text that is declared as base64",
    "eml/phpmmp/issue84.eml": "broken folds in the header: Python takes the rest of the header for text",
    "eml/rubymail/example13.eml": "broken folds in the header: Python takes the rest of the header for text",
    "eml/rubymail/raw_email_incorrect_header.eml": "broken folds in the header: Python takes the rest for text",
    "eml/sicos/UTF-8_Test.eml": "broken folds in the header: Python takes the rest of the header for text",
    "eml/webklex/issue-40.eml": "broken folds in the header: Python takes the rest of the header for text",
    "mbox/kmime/big-allocation.mbox#0": "broken folds in the header: Python takes the rest of the header for text",
    "mbox/kmime/bug519599.mbox#0": "broken folds in the header: Python takes the rest of the header for text",
    "mbox/kmime/headers-with-nullbytes.mbox#0": "broken header names: Python takes the rest of the header for text",
    "eml/rubymail/raw_email_with_nested_attachment.eml": "signed: parts stand inside the verbatim entity, base64",
    "eml/webklex/pec.eml": "signed: parts stand inside the verbatim entity, base64",
    "eml/stalwart/rfc-000.eml": "plain texts that are declared as base64",
    "eml/tika/testGroupWiseEml.eml": "an attached message in base64: Python leaves it encoded",
    "eml/webklex/boolean_decoded_content.eml": "damaged base64: Python gives it back encoded",
    "eml/thunderbird/alice.mime.dsig.SHA256.eml": "a CMS file without any header, not a message",
    "mbox/kmime/x-pkcs7.mbox#0": "five characters are no base64",
    "mbox/imaptest/fetch-binary-mime-base64.mbox#0": "the boundary is folded: Python does not find the parts",
    "mbox/imaptest/fetch-binary-mime-qp.mbox#0": "the boundary is folded: Python does not find the parts",
    "mbox/imaptest/fetch-binary-mime.mbox#0": "the boundary is folded: Python does not find the parts",
    "mbox/imaptest/fetch-bodystructure.mbox#0": "the boundary is folded: Python does not find the parts",
    "mbox/imaptest/urlauth-binary.mbox#0": "the boundary is folded: Python does not find the parts",
}


def test_no_text_and_no_attachment_is_lost() -> None:
    lost = {}
    for name, raw in messages():
        if found := missing(raw, mime.to_tree(raw).message):
            lost[name] = found
    assert {name: found for name, found in lost.items() if name not in LOSSES_EXPLAINED} == {}
    assert sorted(set(LOSSES_EXPLAINED) - set(lost)) == []


# There and back -----------------------------------------------------------------------------------------------------------


def seen(raw: bytes) -> list[tuple[str, bytes]]:
    """Type and content of each leaf as Python sees it; texts without their white space and line ends."""
    found = []
    for part in email.message_from_bytes(raw).walk():
        if part.is_multipart():
            continue
        content = part.get_payload(decode=True)
        octets = content if isinstance(content, bytes) else b""
        if part.get_content_maintype() == "text":
            octets = squeeze(octets)
        if octets:
            found.append((part.get_content_type(), octets))
    return found


# What may differ after MIME → tree → MIME, beyond transfer encodings, boundaries and the order of alternatives.
CHANGES_EXPLAINED = {
    **LOSSES_EXPLAINED,
    "mbox/kmime/bug392239.mbox#0": "broken folds in the header: Python takes the rest of the header for text",
    "mbox/kmime/dfaure-crash.mbox#0": "a header without separator",
    "eml/sisimai/lhost-x3-01.eml": "an attached message that begins with an empty line",
    "eml/enmime/ctype-invalid-characters.eml": "the broken content type is written correctly",
    "eml/thunderbird/wronglyDeclaredShift_JIS.eml": "declared as UTF-8, recognised as Shift_JIS, written as UTF-8",
    "eml/enmime/mime-bad-content-type.eml": "the broken content type is written correctly",
    "eml/enmime/mime-blank-media-name.eml": "the broken content type is written correctly",
    "eml/enmime/multipart-wo-boundary.eml": "a multipart without parts is text",
    "eml/python/msg_15.eml": "a multipart without parts is text",
    "eml/python/msg_17.eml": "a multipart without parts is text",
    "eml/python/msg_25.eml": "a multipart without parts is text",
    "eml/python/msg_31.eml": "a multipart without parts is text",
    "eml/python/msg_41.eml": "a multipart without parts is text",
    "eml/sisimai/lhost-sendgrid-01.eml": "a multipart without parts is text",
    "eml/rubymail/bad_date_header2.eml": "a multipart without parts is text",
    "eml/rubymail/missing_body.eml": "a multipart without parts is text",
    "eml/stalwart/034.eml": "UTF-7 is written as UTF-8",
}


@dataclass(frozen=True, slots=True)
class Trip:
    name: str
    raw: bytes
    first: Message
    written: bytes
    second: Message


@functools.cache
def trips() -> tuple[Trip, ...]:
    found = []
    for name, raw in messages():
        first = mime.to_tree(raw).message
        written = mime.from_tree(fasttransfer.read(fasttransfer.write(first))).octets
        found.append(Trip(name, raw, first, written, mime.to_tree(written).message))
    return tuple(found)


def test_mime_to_tree_to_mime_keeps_what_another_parser_sees() -> None:
    changed = {}
    for trip in trips():
        after = seen(trip.written)
        gone = [kind for kind, octets in seen(trip.raw) if (kind, octets) not in after]
        if gone:
            changed[trip.name] = gone
    assert {name: found for name, found in changed.items() if name not in CHANGES_EXPLAINED} == {}
    assert sorted(set(CHANGES_EXPLAINED) - set(changed) - set(LOSSES_EXPLAINED)) == []


def test_what_was_written_once_stays_as_it_is() -> None:
    for trip in trips():
        assert mime.from_tree(trip.second).octets == trip.written, trip.name


@pytest.mark.parametrize(
    "tag",
    [
        p.PidTagSentRepresentingEmailAddress,
        p.PidTagSentRepresentingName,
        p.PidTagSenderEmailAddress,
        p.PidTagSubject,
        p.PidTagInternetMessageId,
        p.PidTagClientSubmitTime,
        p.PidTagInternetReferences,
        p.PidTagInReplyToId,
        p.PidTagReplyRecipientNames,
        p.PidTagImportance,
    ],
    ids=hex,
)
def test_headers_survive_there_and_back(tag: int) -> None:
    """Judged by our reader, whose reading the tests above hold against others."""
    for trip in trips():
        before, after = trip.first.properties.get(tag), trip.second.properties.get(tag)
        if isinstance(before, str):
            before, after = "".join(before.split()).lower(), "".join(after.split()).lower()
        assert before == after, trip.name


def test_recipients_survive_there_and_back() -> None:
    for trip in trips():
        mine, theirs = (
            [
                (
                    row.integer(p.PidTagRecipientType),
                    row.text(p.PidTagDisplayName),
                    row.text(p.PidTagEmailAddress).lower(),
                )
                for row in one.recipients
            ]
            for one in (trip.first, trip.second)
        )
        assert sorted(mine) == sorted(theirs), trip.name
