"""Mail made for tests."""

from __future__ import annotations

from migrator.formats import mime
from migrator.mapi import properties as p
from migrator.mapi.item import Message


def made(text: str | bytes, **options: object) -> Message:
    """The tree of a message written with LF."""
    return converted(text, **options).message


def converted(text: str | bytes, **options: object) -> mime.Converted:
    raw = text.encode() if isinstance(text, str) else text
    return mime.to_tree(raw.replace(b"\n", b"\r\n"), options=mime.ReadOptions(**options))  # type: ignore[arg-type]


def body(message: Message) -> str:
    return message.properties.text(p.PidTagBody)


def html(message: Message) -> bytes:
    return bytes(message.properties.binary(p.PidTagHtml))


def names(message: Message) -> list[str]:
    return [a.properties.text(p.PidTagAttachLongFilename) for a in message.attachments]


def data(message: Message, index: int = 0) -> bytes:
    return bytes(message.attachments[index].properties.binary(p.PidTagAttachDataBinary))


def people(message: Message) -> list[tuple[int, str, str]]:
    return [
        (row.integer(p.PidTagRecipientType), row.text(p.PidTagDisplayName), row.text(p.PidTagEmailAddress))
        for row in message.recipients
    ]
