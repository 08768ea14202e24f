"""Item data out of EWS answers without parsing it as XML: megabytes of base64 are found by their angle brackets.

The data is cut out and a mark `#n` left in its place; what remains, the skeleton, is small and goes through the XML parser as
ever. So codes, ids and nesting are read strictly, a torn answer is noticed, and only octets between `<…Data>` and the next `<`
escape the parser: those must be base64 from end to end. Whatever does not fit is parsed whole instead.

Facts this module rests on:
- ExportItemsResponseMessage holds ItemId? and Data? (xs:base64Binary), GetItem's items start with MimeContent with an attribute
  CharacterSet? (Messages.xsd, Types.xsd); xs:base64Binary may hold white space
- "=== Truncated Data ===" in the tail means that the answer is not whole
  (learn.microsoft.com/…/how-to-export-items-by-using-ews-in-exchange)
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lxml import etree

from migrator.adapters.ews.soap import M, Message, NotSoap, T, messages_of, parse

Buffer = bytes | memoryview

DATA = f"{M}Data"
MIME = f"{T}MimeContent"

_TAGS = {
    DATA: re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?Data>"),
    MIME: re.compile(rb"<(?:[A-Za-z_][\w.-]*:)?MimeContent(?: CharacterSet=\"[^\"<>&]*\")?>"),
}
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_WHITE = b" \t\r\n"
_TRUNCATED = b"=== Truncated Data ==="
_STEP = 256 << 10  # a multiple of 4
HEAD_LIMIT = 4 << 20


class Truncated(Exception):
    """The server says itself that the answer is not whole."""


class Cut:
    """An answer's root element, its response messages, and the data of its elements. Raises NotSoap without messages."""

    def __init__(self, root: etree._Element, data: dict[int, Buffer]) -> None:
        self.root = root
        self.messages: list[Message] = messages_of(root)
        self._data = data

    def data_of(self, element: etree._Element) -> Buffer | None:
        """Base64 without white space; None when it is not base64. b"" when the element is empty."""
        text = element.text or ""
        if text.startswith("#"):
            return self._data.get(int(text[1:])) if text[1:].isdigit() else None
        plain = "".join(text.split())
        if not plain.isascii():
            return None
        data = plain.encode()
        return data if is_base64(data) else None


def cut(body: bytes, tag: str) -> Cut:
    """tag: DATA or MIME. Raises NotSoap for an answer that is torn or no SOAP, Truncated when the server says so."""
    if _TRUNCATED in body[-4096:]:
        raise Truncated
    pattern = _TAGS[tag]
    view = memoryview(body)
    gaps: list[Buffer] = []
    data: dict[int, Buffer] = {}
    at = 0
    match = pattern.search(body)
    while match is not None:
        start = match.end()
        end = body.find(b"<", start)
        if end < 0:
            raise NotSoap("the answer breaks off within an item")
        if end > start:
            piece = view[start:end]
            if not is_base64(piece):
                if body.find(_TRUNCATED, start, end) >= 0:
                    raise Truncated
                return Cut(parse(body), {})
            number = len(data)
            data[number] = piece
            gaps += [view[at:start], b"#%d" % number]
            at = end
        match = pattern.search(body, end)
    if not data:
        return Cut(parse(body), {})
    gaps.append(view[at:])
    root = parse(b"".join(gaps))
    marks = [element.text for element in root.iter(tag) if element.text]
    if marks != [f"#{number}" for number in data]:
        # what looked like a tag was none (CDATA, another namespace): the parser decides
        return Cut(parse(body), {})
    return Cut(root, data)


def is_base64(data: Buffer) -> bool:
    """Whole groups of four, nothing but the alphabet, padding at the end only."""
    size = len(data)
    if size % 4:
        return False
    if not size:
        return True
    end = bytes(data[-2:])
    if end == b"==":
        size -= 2
    elif end[1:] == b"=":
        size -= 1
    return _alphabet_only(memoryview(data)[:size])


def _only_by_table(view: memoryview) -> bool:
    return all(
        not bytes(view[at : at + _STEP]).translate(None, _ALPHABET) for at in range(0, len(view), _STEP)
    )


def _only_by_decoder() -> Callable[[memoryview], bool] | None:
    """Ten times faster than a table where the processor has wide registers, and without the interpreter's lock."""
    try:
        import pybase64
    except ImportError:
        return None
    decode = pybase64.b64decode

    def only(view: memoryview) -> bool:
        whole = len(view) - len(view) % 4
        for at in range(0, whole, _STEP):
            piece = view[at : min(at + _STEP, whole)]
            try:
                # fewer octets than three in four: there was padding inside
                if len(decode(piece, validate=True)) * 4 != len(piece) * 3:
                    return False
            except ValueError:
                return False
        return whole == len(view) or not bytes(view[whole:]).translate(None, _ALPHABET)

    return only


_alphabet_only = _only_by_decoder() or _only_by_table


class StreamCutter:
    """The same for one large item while its answer arrives: data goes to `write`, the skeleton is kept.

    Feed it the answer, then `finish`. The first data element is streamed; an answer that turns out to hold more, or something that is
    not base64, is refused with NotSoap: the caller has a way without streaming.
    """

    def __init__(self, tag: str, write: Callable[[Buffer], object]) -> None:
        self._tag = tag
        self._pattern = _TAGS[tag]
        self._write = write
        self._head = bytearray()
        self._tail = bytearray()
        self._state = "head"
        self._padding = 0
        self.octets = 0

    def feed(self, piece: Buffer) -> None:
        data = bytes(piece)
        if self._state == "head":
            self._head += data
            match = self._pattern.search(self._head)
            if match is None:
                if len(self._head) > HEAD_LIMIT:
                    raise NotSoap("an answer without data where an item was expected")
                return
            data = bytes(self._head[match.end() :])
            del self._head[match.end() :]
            self._state = "data"
        if self._state == "data":
            end = data.find(b"<")
            self._take(data if end < 0 else data[:end])
            if end < 0:
                return
            data = data[end:]
            self._state = "tail"
        self._tail += data
        if len(self._tail) > HEAD_LIMIT:
            raise NotSoap("an answer with more data than was asked for")

    def _take(self, data: bytes) -> None:
        rest = data.translate(None, _ALPHABET)
        if rest.strip(_WHITE + b"="):
            raise NotSoap("an item whose data is not base64")
        if rest:
            data = data.translate(None, _WHITE)
        plain = data.rstrip(b"=")
        padding = self._padding + len(data) - len(plain)
        if padding > 2 or b"===" in plain:
            raise Truncated  # the mark begins with three of them, base64 never holds so many
        if b"=" in plain or (plain and self._padding):
            raise NotSoap("an item whose data goes on after its end")
        self._padding = padding
        if data:
            self.octets += len(data)
            self._write(data)

    def finish(self) -> etree._Element:
        """The root of the skeleton; its data element holds `#0` when data was written. Raises NotSoap, Truncated."""
        if _TRUNCATED in bytes(self._tail[-4096:]):
            raise Truncated
        if self._state == "data":
            raise NotSoap("the answer breaks off within an item")
        if self.octets % 4:
            raise NotSoap("an item whose data is not whole")
        root = parse(bytes(self._head) + (b"#0" if self.octets else b"") + bytes(self._tail))
        if self.octets and [e.text for e in root.iter(self._tag) if e.text] != ["#0"]:
            raise NotSoap("an answer that is built in an unexpected way")
        return root
