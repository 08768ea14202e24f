"""A message as it crosses the wire. What `--preview` prints is made here, and so is what is sent.

Facts this module rests on:
- Teams takes an Adaptive Card in a message from a workflow's webhook, at most 28 KB
  (learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook)
- a TextBlock and a FactSet read Markdown, links included; a RichTextBlock with TextRuns does not
  (adaptivecards.io/explorer/RichTextBlock.html; learn.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/cards-format)
- Slack reads `text` and "mrkdwn" for links and mentions unless &, < and > are escaped; "plain_text" is shown as it is; a header
  holds 150 characters, a section 3000, a message 50 blocks (docs.slack.dev/reference/block-kit)
- a mail made by a machine says so, so that no out-of-office answers it (RFC 3834 5)
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from hashlib import sha256
from typing import Any

from migrator.notify.message import Level, Message
from migrator.plan.telling import Receiver
from migrator.record import record
from migrator.report.words import moment

VERSION = 1
SECTION_MOST = 2900
CARD_MOST = 27_000
"""Octets; Teams takes 28 KB."""
_COLOURS: dict[Level, str] = {"good": "Good", "info": "Default", "warning": "Warning", "bad": "Attention"}


@record
class Prepared:
    """body: the octets that are sent: a POST's body, a mail with its fields, the text for apprise."""

    receiver: Receiver
    message: Message
    content_type: str
    body: bytes


def prepare(message: Message, receiver: Receiver) -> Prepared:
    if receiver.kind == "email":
        return Prepared(receiver, message, "message/rfc822", mail(message, receiver).as_bytes())
    if receiver.kind == "apprise":
        return Prepared(receiver, message, "text/plain; charset=utf-8", text_of(message).encode())
    make = {"teams": teams_card, "slack": slack_blocks, "json": plain_json}[receiver.kind]
    # ASCII alone: whatever reads it, nothing in it moves a terminal or is a character of its own.
    body = json.dumps(make(message)).encode("ascii")
    fitting = message
    while receiver.kind == "teams" and len(body) > CARD_MOST and fitting.lines:
        fitting = replace(fitting, lines=fitting.lines[:-1])
        left = len(message.lines) - len(fitting.lines)
        told = replace(fitting, lines=(*fitting.lines, f"and {left} more lines"))
        body = json.dumps(make(told)).encode("ascii")
    return Prepared(receiver, message, "application/json", body)


def text_of(message: Message) -> str:
    facts = [f"{name}: {value}" for name, value in message.facts]
    return "\n".join([*message.lines, *([""] if message.lines and facts else []), *facts])


def plain_json(message: Message) -> dict[str, Any]:
    return {
        "version": VERSION,
        "topic": message.topic,
        "level": message.level,
        "project": message.project,
        "title": message.title,
        "lines": list(message.lines),
        "facts": dict(message.facts),
        "at": datetime.fromtimestamp(message.at, UTC).isoformat(),
    }


def teams_card(message: Message) -> dict[str, Any]:
    def block(*runs: dict[str, Any], gap: str = "Default") -> dict[str, Any]:
        return {"type": "RichTextBlock", "spacing": gap, "inlines": list(runs)}

    def run(text: str, **how: Any) -> dict[str, Any]:
        return {"type": "TextRun", "text": text, **how}

    body = [
        block(run(message.subject, weight="Bolder", size="Medium", color=_COLOURS[message.level])),
        *(block(run(line), gap="Small") for line in message.lines),
        *(block(run(f"{name}: ", weight="Bolder"), run(value), gap="Small") for name, value in message.facts),
        block(run(moment(message.at), isSubtle=True, size="Small")),
    ]
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": message.subject,
        "msteams": {"width": "Full"},
        "body": body,
    }
    return {
        "type": "message",
        "attachments": [
            {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
        ],
    }


def slack_blocks(message: Message) -> dict[str, Any]:
    def plain(text: str) -> dict[str, Any]:
        return {"type": "plain_text", "text": text, "emoji": False}

    blocks: list[dict[str, Any]] = [{"type": "header", "text": plain(_cut(message.subject, 150))}]
    text = text_of(message)
    if text:
        blocks.append({"type": "section", "text": plain(_cut(text, SECTION_MOST))})
    blocks.append({"type": "context", "elements": [plain(moment(message.at))]})
    # `text` is what a notification shows; it is read for links and mentions, so its signs are written out.
    notice = message.subject.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return {"text": notice, "blocks": blocks}


def mail(message: Message, receiver: Receiver) -> EmailMessage:
    made = EmailMessage(policy=SMTP)
    made["From"] = _address(receiver.sender)
    made["To"] = [_address(one) for one in receiver.to]
    # Python reads an encoded word in what it is given, and writes what stands in it, line ends included, into the head.
    subject = f"[{message.project}] {message.title}" if message.project else message.title
    made["Subject"] = subject.replace("=?", "= ?")
    made["Date"] = format_datetime(datetime.fromtimestamp(message.at, UTC))
    made["Message-ID"] = f"<{_identity(message, receiver)}@{receiver.sender.rpartition('@')[2]}>"
    made["Auto-Submitted"] = "auto-generated"
    made["X-Auto-Response-Suppress"] = "All"  # the same in Exchange's words (MS-OXCMAIL)
    text = "\n".join([message.title, "", text_of(message), "", moment(message.at)])
    made.set_content(text, cte="quoted-printable")
    return made


def _address(text: str) -> Address:
    name, _, domain = text.rpartition("@")
    return Address(username=name, domain=domain)


def _identity(message: Message, receiver: Receiver) -> str:
    """The same message has the same Message-ID, also when a retry sends it twice: mail systems show one."""
    words = repr((message.topic, message.project, message.title, message.lines, message.at, receiver.name))
    return sha256(words.encode()).hexdigest()[:32]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
