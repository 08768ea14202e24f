"""Where the parts of a message begin and end: offsets into the original octets, nothing decoded, nothing copied.

One pass over the lines that begin with "--", so that the cost is that of a search, whatever is nested in what. Rules, and
where they are more forgiving than RFC 2046 and RFC 5322:

- header lines end at the empty line, or at the first line that can be none; one such line among well-known header names
  is taken for a broken fold instead
- a delimiter of an outer multipart ends everything within; a multipart may end without its closing delimiter
- a multipart whose delimiter never comes has no children: its body is a leaf
- levels beyond `Limits.depth` stay closed (`Part.closed`), too many parts are refused: both keep time and memory in
  proportion to the size of the message
- a message with bare CR as its only line end is read as if it had LF
"""

from __future__ import annotations

import re
from dataclasses import field
from typing import Final

from migrator.formats.errors import FormatError
from migrator.formats.mime.headers import Parameters, parse_content_type
from migrator.record import record


@record
class Limits:
    depth: int = 60  # multiparts and messages within each other
    parts: int = 10_000
    fields: int = 200_000  # header lines in all


@record(frozen=False)
class Part:
    """One entity. Offsets: header lines are raw[start:header_end], the body is raw[body:end]."""

    raw: bytes
    start: int
    header_end: int
    body: int
    end: int
    fields: list[tuple[str, bytes]]  # lower-case name, raw value with its folds, in order
    kind: str = "text/plain"  # media type, lower case
    parameters: Parameters = field(default_factory=dict)
    declared: bool = True  # False: no usable Content-Type, `kind` is the default
    children: list[Part] = field(default_factory=list)
    closed: bool = False  # too deep: not looked into
    preamble_end: int = 0
    epilogue: int = 0  # 0: none
    level: int = 0

    def first(self, name: str) -> bytes | None:
        for key, value in self.fields:
            if key == name:
                return value
        return None

    def all(self, name: str) -> list[bytes]:
        return [value for key, value in self.fields if key == name]

    @property
    def octets(self) -> bytes:
        """The body as it stands in the message."""
        return self.raw[self.body : self.end]

    @property
    def whole(self) -> bytes:
        """Header lines and body as they stand in the message."""
        return self.raw[self.start : self.end]

    @property
    def encoding(self) -> str:
        """Content-Transfer-Encoding, lower case, without comments."""
        value = self.first("content-transfer-encoding")
        if value is None:
            return ""
        word = value[:200].split(b"(")[0].split(b";")[0].strip().strip(b"\"'").lower()
        return word.decode("ascii", "replace")

    @property
    def is_multipart(self) -> bool:
        return self.kind.startswith("multipart/")


MESSAGE_KINDS: Final = frozenset({"message/rfc822", "message/global", "message/news"})
_PLAIN_ENCODINGS: Final = frozenset({"", "7bit", "8bit", "binary", "7-bit", "8-bit", "none"})
_FIELD: Final = re.compile(rb"([!-9;-~]{1,500})[ \t]*:")
# A line in the middle of the header that can be no header is a broken fold if one of these follows it soon.
_KNOWN: Final = re.compile(
    rb"(?i)(?:subject|from|to|cc|bcc|date|sender|received|references|newsgroups|comments|keywords|"
    rb"[a-z][a-z0-9]{0,40}(?:-[a-z0-9]{1,40}){1,6})[ \t]*:"
)
_LOOK_AHEAD: Final = 20
_EMPTY_LINES: Final = re.compile(rb"(?:[ \t]{0,1000}\r?\n){1,20}")
_INDENTED: Final = re.compile(rb"[ \t]{1,20}([!-9;-~]{1,500})[ \t]*:")
_LONGEST_DELIMITER: Final = 1_000


def split(raw: bytes, limits: Limits | None = None) -> Part:
    """The entity that the octets are. Raises FormatError (format_limit) for a message of too many parts or header lines."""
    if b"\n" not in raw and b"\r" in raw:
        raw = raw.replace(b"\r", b"\n")
    return _Splitter(raw, limits or Limits()).run()


class _Splitter:
    __slots__ = ("_count", "_fields", "_limits", "_live", "_open", "_raw")

    def __init__(self, raw: bytes, limits: Limits) -> None:
        self._raw = raw
        self._limits = limits
        self._live: list[Part] = []  # entities that go on here, outermost first
        self._open: dict[bytes, list[int]] = {}  # delimiter → places in `_live`, innermost last
        self._count = 0
        self._fields = 0

    def run(self) -> Part:
        raw = self._raw
        start = 3 if raw.startswith(b"\xef\xbb\xbf") else 0
        root = self._begin(start, "text/plain", is_message=True)
        at = self._live[-1].body
        while True:
            if not raw.startswith(b"--", at):
                found = raw.find(b"\n--", at)
                if found < 0:
                    break
                at = found + 1
            stop = raw.find(b"\n", at)
            if stop < 0:
                stop = len(raw)
            if stop - at > _LONGEST_DELIMITER:
                at = stop
                continue
            token = raw[at + 2 : stop].rstrip(b" \t\r")
            place, closes = self._match(token)
            after = min(stop + 1, len(raw))
            if place < 0:
                at = stop
                continue
            owner = self._live[place]
            self._end(place + 1, self._before(at, owner))
            if not owner.children and not owner.preamble_end:
                owner.preamble_end = at
            if closes:
                self._close(place)
                owner.epilogue = after
                at = after
                continue
            default = "message/rfc822" if owner.kind == "multipart/digest" else "text/plain"
            owner.children.append(self._begin(after, default))
            at = self._live[-1].body
        self._end(0, len(raw))
        return root

    def _match(self, token: bytes) -> tuple[int, bool]:
        places = self._open.get(token)
        if places:
            return places[-1], False
        if token.endswith(b"--"):
            places = self._open.get(token[:-2])
            if places:
                return places[-1], True
        return -1, False

    def _before(self, at: int, owner: Part) -> int:
        """The line break before a delimiter belongs to it."""
        lowest = self._live[-1].body if self._live[-1] is not owner else owner.body
        raw = self._raw
        if at > lowest and raw[at - 1 : at] == b"\n":
            at -= 1
            if at > lowest and raw[at - 1 : at] == b"\r":
                at -= 1
        return max(at, lowest)

    def _end(self, place: int, at: int) -> None:
        for index in range(len(self._live) - 1, place - 1, -1):
            self._close(index)
            part = self._live.pop()
            part.end = max(at, part.body)

    def _close(self, place: int) -> None:
        delimiter = _delimiter(self._live[place])
        places = self._open.get(delimiter) if delimiter else None
        if places and place in places:
            places.remove(place)
            if not places:
                del self._open[delimiter]

    def _begin(self, at: int, default: str, *, is_message: bool = False) -> Part:
        """The entity that starts here, and while it is a message within it, that one too."""
        first: Part | None = None
        while True:
            self._count += 1
            if self._count > self._limits.parts:
                raise FormatError(f"more than {self._limits.parts} parts", code="format_limit")
            part = self._headers(at, default, is_message)
            part.level = len(self._live)
            if first is None:
                first = part
            else:
                self._live[-1].children.append(part)
            part.closed = part.level >= self._limits.depth and (
                part.is_multipart or part.kind in MESSAGE_KINDS
            )
            self._live.append(part)
            if part.closed:
                return first
            if part.is_multipart:
                delimiter = _delimiter(part)
                if delimiter:
                    self._open.setdefault(delimiter, []).append(part.level)
                return first
            if part.kind not in MESSAGE_KINDS or part.encoding not in _PLAIN_ENCODINGS:
                return first
            at, default, is_message = part.body, "text/plain", True

    def _headers(self, start: int, default: str, is_message: bool) -> Part:
        raw, size = self._raw, len(self._raw)
        spans: list[tuple[int, int, int]] = []  # name from, name to, value to (its start is behind the colon)
        at = self._leading(start) if is_message else start
        match_field = _FIELD.match
        body = -1
        while at < size:
            stop = raw.find(b"\n", at)
            following = size if stop < 0 else stop + 1
            lead = raw[at]
            if lead in b"\r\n" and not raw[at:following].strip(b"\r\n"):
                body = following
                break
            if lead in b" \t" and spans:
                spans[-1] = (spans[-1][0], spans[-1][1], following)
            elif lead == 0x2D and following - at < _LONGEST_DELIMITER and self._is_delimiter(at, following):
                break
            elif (found := match_field(raw, at)) is not None:
                spans.append((at, found.end(1), following))
            elif not spans and raw.startswith((b"From ", b">From "), at):
                pass  # an mbox separator
            elif not spans and (indented := _INDENTED.match(raw, at)) is not None:
                spans.append((indented.start(1), indented.end(1), following))
            elif spans and self._goes_on(following):
                spans[-1] = (spans[-1][0], spans[-1][1], following)
            else:
                break
            at = following
        header_end = min(at, size)
        if body < 0:
            body = header_end
        self._fields += len(spans)
        if self._fields > self._limits.fields:
            raise FormatError(f"more than {self._limits.fields} header lines", code="format_limit")
        fields = [
            (raw[begin:name].decode("ascii").lower(), raw[name:to].partition(b":")[2])
            for begin, name, to in spans
        ]
        part = Part(raw, start, header_end, body, body, fields)
        kind = part.first("content-type")
        parsed = parse_content_type(kind) if kind is not None else None
        if parsed is None:
            part.kind, part.declared = default, False
        else:
            part.kind, part.parameters = parsed
        return part

    def _leading(self, start: int) -> int:
        """Behind the empty lines in front of a header, which some programs leave."""
        found = _EMPTY_LINES.match(self._raw, start)
        if found is not None and _KNOWN.match(self._raw, found.end()):
            return found.end()
        return start

    def _goes_on(self, at: int) -> bool:
        """Whether the header goes on here, within a few lines and before an empty one."""
        raw = self._raw
        for _ in range(_LOOK_AHEAD):
            if _KNOWN.match(raw, at):
                return True
            stop = raw.find(b"\n", at, at + 2_000)
            if stop < 0 or raw.startswith(b"--", at) or not raw[at:stop].strip(b"\r"):
                return False
            at = stop + 1
        return False

    def _is_delimiter(self, at: int, following: int) -> bool:
        return self._match(self._raw[at + 2 : following].rstrip(b" \t\r\n"))[0] >= 0


def _delimiter(part: Part) -> bytes:
    if not part.is_multipart or part.closed:
        return b""
    boundary = part.parameters.get("boundary", "")
    return boundary.rstrip(" \t").encode("utf-8", "surrogateescape")[:_LONGEST_DELIMITER]
