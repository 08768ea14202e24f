"""Items between formats, for the place between a source and a target that do not speak the same one.

A converted item keeps its ref (with the new size), tells in `notes` what the new form could not carry, and is marked with the
origin whose canary verdict speaks for it: a stream made here is "synthetic", no server wrote it. Without options of the caller's own,
text/calendar parts become meetings, and meetings and tasks text/calendar parts; contacts go out as text/vcard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import pybase64

from migrator.formats import calendar, contact, mime
from migrator.formats.content import MemoryContent
from migrator.formats.errors import FormatError
from migrator.formats.msg import read_msg
from migrator.mapi import fasttransfer
from migrator.mapi import properties as p
from migrator.mapi.item import Message
from migrator.model import Format, Item

SYNTHETIC = "synthetic"
_BLOCK = 3 << 20  # a multiple of three: base64 of the blocks is base64 of the whole


def mime_to_fts(item: Item, options: mime.ReadOptions | None = None) -> Item:
    """A mail as base64 of an item stream. Raises FormatError, fasttransfer.WriteError (both ItemErrors)."""
    if item.format is not Format.MIME:
        raise FormatError(f"{item.format.value} where MIME was expected", code="format_unsupported")
    pieces = item.content.pieces()
    raw = pieces[0] if len(pieces) == 1 and isinstance(pieces[0], bytes) else b"".join(pieces)
    converted = mime.to_tree(
        raw,
        flags=item.flags,
        received=item.ref.received,
        keywords=item.categories,
        options=options or mime.ReadOptions(calendar=calendar.messages_of),
    )
    del raw, pieces
    return tree_to_fts(item, converted.message, converted.notes)


def card_to_fts(item: Item) -> Item:
    """iCalendar or vCard with one item as base64 of an item stream. Raises FormatError, fasttransfer.WriteError."""
    read = {Format.ICS: calendar.read_ics, Format.VCF: contact.read_vcf}.get(item.format)
    if read is None:
        raise FormatError(
            f"{item.format.value} where iCalendar or vCard was expected", code="format_unsupported"
        )
    found = read(b"".join(item.content.pieces()))
    if len(found) != 1:
        raise FormatError(f"{len(found)} items where one was expected", code="format_unsupported")
    return tree_to_fts(item, found[0].message, found[0].notes)


def msg_to_fts(item: Item) -> Item:
    """A message file of Outlook as base64 of an item stream. Raises FormatError, fasttransfer.WriteError."""
    if item.format is not Format.MSG:
        raise FormatError(f"{item.format.value} where MSG was expected", code="format_unsupported")
    return tree_to_fts(item, read_msg(b"".join(item.content.pieces())))


def tree_to_fts(item: Item, message: Message, notes: Iterable[str] = ()) -> Item:
    """The item with a tree as its content: base64 of a stream made here. Raises fasttransfer.WriteError.

    All such streams are of one make, the canary's too: none tells when the item was last changed, which the store writes anew.
    """
    message.properties.pop(p.PidTagLastModificationTime, None)
    content = MemoryContent(_base64(fasttransfer.write_pieces(message)))
    ref = replace(
        item.ref,
        size=content.size,
        item_class=message.properties.text(p.PidTagMessageClass) or item.ref.item_class,
    )
    return replace(
        item,
        ref=ref,
        format=Format.FTS,
        content=content,
        notes=_joined(item.notes, notes),
        origin=SYNTHETIC,
    )


def fts_to_mime(item: Item, options: mime.WriteOptions | None = None) -> Item:
    """An item stream as a mail. Raises FormatError, fasttransfer.StreamError (both ItemErrors)."""
    message = tree_of(item)
    written = mime.from_tree(
        message, options=options or mime.WriteOptions(calendar=calendar.octets_of, card=_card)
    )
    content = MemoryContent(written.pieces)
    return replace(
        item,
        ref=replace(item.ref, size=content.size),
        format=Format.MIME,
        content=content,
        flags=mime.flags_of(message),
        categories=mime.categories_of(message) or item.categories,
        notes=_joined(item.notes, written.notes),
    )


def _card(message: Message) -> bytes:
    return contact.write_vcf([message]).octets


def tree_of(item: Item) -> Message:
    """The tree of an item stream. Raises FormatError when it is not base64, StreamError when it is no item."""
    if item.format is not Format.FTS:
        raise FormatError(f"{item.format.value} where an item stream was expected", code="format_unsupported")
    pieces = item.content.pieces()
    try:
        stream = pybase64.b64decode(pieces[0] if len(pieces) == 1 else b"".join(pieces), validate=True)
    except ValueError as error:
        raise FormatError("an item stream that is not base64") from error
    return fasttransfer.read(stream)


CONVERTERS: dict[tuple[Format, Format], Callable[[Item], Item]] = {
    (Format.MIME, Format.FTS): mime_to_fts,
    (Format.ICS, Format.FTS): card_to_fts,
    (Format.VCF, Format.FTS): card_to_fts,
    (Format.MSG, Format.FTS): msg_to_fts,
    (Format.FTS, Format.MIME): fts_to_mime,
}
"""(from, to) → converter with default options."""


def _base64(pieces: Iterable[bytes | memoryview]) -> list[bytes | memoryview]:
    out: list[bytes | memoryview] = []
    pending: list[bytes | memoryview] = []
    fill = 0
    for piece in pieces:
        pending.append(piece)
        fill += len(piece)
        if fill >= _BLOCK:
            joined = b"".join(pending)
            cut = fill - fill % 3
            out.append(pybase64.b64encode(joined[:cut] if cut < fill else joined))
            pending, fill = [joined[cut:]], fill - cut
    out.append(pybase64.b64encode(b"".join(pending)))
    return out


def _joined(before: Iterable[str], after: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*before, *after]))
