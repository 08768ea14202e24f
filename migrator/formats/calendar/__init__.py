"""iCalendar (RFC 5545) ⇄ item trees, after MS-OXCICAL.

`messages_of` and `octets_of` are `read_ics` and `write_ics` in the shape that the MIME conversion asks for.
"""

from __future__ import annotations

from migrator.formats.calendar.reading import read_ics
from migrator.formats.calendar.writing import method_of, write_ics
from migrator.mapi.item import Message

__all__ = ["messages_of", "method_of", "octets_of", "read_ics", "write_ics"]


def messages_of(raw: bytes) -> list[Message]:
    """The items of a text/calendar part, the first one being what the mail is about. Raises FormatError."""
    return [converted.message for converted in read_ics(raw)]


def octets_of(message: Message) -> tuple[bytes, str]:
    """One item as iCalendar, and its METHOD or "". Raises FormatError."""
    return write_ics([message]).octets, method_of(message)
