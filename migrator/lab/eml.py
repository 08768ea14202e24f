"""Mail files into a mailbox of the lab: a small conversion, enough to look at; the product's own one is in formats."""

from __future__ import annotations

import email
import email.policy
import hashlib
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import getaddresses, parsedate_to_datetime
from pathlib import Path

from migrator.lab.describe import facts_of
from migrator.lab.make import REPRESENTING, SENDER, attachment, embedded, party, recipient
from migrator.lab.store import LabFolder, LabMailbox, Store
from migrator.lab.words import Person
from migrator.mapi import fasttransfer
from migrator.mapi import properties as P
from migrator.mapi.item import BINARY, INT32, STRING, TIME, Message


def load_folder(store: Store, box: LabMailbox, path: Path, version: tuple[int, int, int, int]) -> int:
    """Every .eml file below a folder; its sub-folders become folders of the mailbox. Returns how many items.

    Raises ValueError when there is no such folder or nothing in it.
    """
    if not path.is_dir():
        raise ValueError(f"{path} is not a folder")
    count = 0
    folders: dict[tuple[str, ...], LabFolder] = {(): box.role("inbox")}
    for file in sorted(path.rglob("*.eml")):
        names = file.parent.relative_to(path).parts
        for depth in range(1, len(names) + 1):
            if names[:depth] not in folders:
                parent = folders[names[: depth - 1]] if depth > 1 else box.visible_root
                found = parent.children.get(names[depth - 1].casefold())
                folders[names[:depth]] = found or store.create_folder(parent, names[depth - 1])
        message = convert(file.read_bytes())
        facts = facts_of(message)
        store.add_item(
            folders[names], fasttransfer.write(message, version=version), facts=facts, modified=facts.modified
        )
        count += 1
    if not count:
        raise ValueError(f"{path} holds no .eml file")
    return count


def convert(octets: bytes) -> Message:
    """A mail as a property tree: received and read. Whatever its headers lack is left out."""
    return _tree(email.message_from_bytes(octets, policy=email.policy.default), octets)


def _tree(mail: EmailMessage, octets: bytes) -> Message:
    message = Message()
    p = message.properties
    p.set(P.PidTagMessageClass, STRING, "IPM.Note")
    subject = _header(mail, "Subject")
    p.set(P.PidTagSubject, STRING, subject)
    p.set(P.PidTagConversationTopic, STRING, subject)
    sent = _date(mail)
    if sent is not None:
        p.set(P.PidTagClientSubmitTime, TIME, sent)
        p.set(P.PidTagMessageDeliveryTime, TIME, sent)
        p.set(P.PidTagCreationTime, TIME, sent)
        p.set(P.PidTagLastModificationTime, TIME, sent)
    message_id = _header(mail, "Message-ID")
    if message_id:
        p.set(P.PidTagInternetMessageId, STRING, message_id)
    p.set(P.PidTagSearchKey, BINARY, hashlib.blake2b(octets, digest_size=16).digest())
    p.set(P.PidTagImportance, INT32, 1)
    authors = _people(mail, "From")
    if authors:
        party(p, SENDER, authors[0])
        party(p, REPRESENTING, authors[0])
    number = 0
    for kind, name in ((1, "To"), (2, "Cc"), (3, "Bcc")):
        for person in _people(mail, name):
            message.recipients.append(recipient(person, number, kind))
            number += 1
    head = octets.partition(b"\r\n\r\n")[0] if b"\r\n\r\n" in octets else octets.partition(b"\n\n")[0]
    p.set(P.PidTagTransportMessageHeaders, STRING, head.decode("utf-8", "replace") + "\r\n\r\n")
    text = html = ""
    for part in mail.walk():
        mime = part.get_content_type()
        if part.is_multipart() and mime != "message/rfc822":
            continue
        if mime == "message/rfc822":
            inner = part.get_payload(0)
            if isinstance(inner, EmailMessage):
                message.attachments.append(embedded(len(message.attachments), _tree(inner, inner.as_bytes())))
            continue
        name = part.get_filename() or ""
        data = part.get_payload(decode=True)
        data = data if isinstance(data, bytes) else b""
        if (
            not name
            and mime in ("text/plain", "text/html")
            and part.get_content_disposition() != "attachment"
        ):
            shown = _decoded(data, part.get_content_charset())
            if mime == "text/html":
                html = html or shown
            else:
                text = text or shown
            continue
        content_id = str(part.get("Content-ID") or "").strip("<> ")
        message.attachments.append(
            attachment(len(message.attachments), name or "part.bin", data, mime, content_id=content_id)
        )
    if html:
        p.set(P.PidTagHtml, BINARY, html.encode("utf-8", "replace"))
        p.set(P.PidTagNativeBody, INT32, 3)
    else:
        p.set(P.PidTagBody, STRING, text)
        p.set(P.PidTagNativeBody, INT32, 1)
    p.set(P.PidTagInternetCodepage, INT32, 65001)
    p.set(P.PidTagMessageFlags, INT32, 1 | (0x10 if message.attachments else 0))
    return message


def _decoded(data: bytes, charset: str | None) -> str:
    try:
        return data.decode(charset or "utf-8", "replace")
    except LookupError:
        return data.decode("latin-1")


def _header(mail: EmailMessage, name: str) -> str:
    try:
        value = mail.get(name)
    except (ValueError, IndexError, AttributeError, TypeError):  # the parser's own faults on broken headers
        return ""
    return str(value or "").replace("\0", "").strip()


def _date(mail: EmailMessage) -> datetime | None:
    try:
        found = parsedate_to_datetime(_header(mail, "Date"))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def _people(mail: EmailMessage, name: str) -> list[Person]:
    return [
        Person(shown or address, address, shown, "", "")
        for shown, address in getaddresses([_header(mail, name)])
        if address
    ]
