"""Messages as APPEND will send them: flags that the folder keeps, content that the server takes.

Facts this module rests on:
- a flag that is not among PERMANENTFLAGS is lost, or makes the server refuse the message (RFC 3501 7.1)
- Exchange shows \\Flagged only when it is set by STORE, and $MDNSent as a category (imapsync's FAQ.Flags)
- where UTF8=ACCEPT is enabled, a message with 8-bit letters in its head goes as UTF8 (~{n}…) (RFC 6855 4)
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from migrator.adapters.imap import fit
from migrator.adapters.imap.grammar import format_date
from migrator.adapters.imap.listing import version_of
from migrator.model import Flag, Item
from migrator.record import record

Buffer = bytes | memoryview

SYSTEM = {
    Flag.SEEN: b"\\Seen",
    Flag.DRAFT: b"\\Draft",
    Flag.FLAGGED: b"\\Flagged",
    Flag.ANSWERED: b"\\Answered",
    Flag.FORWARDED: b"$Forwarded",
}
_ATOM = re.compile(r"[\x21\x23\x24\x26\x27\x2b-\x5a\x5e-\x7a|}~]+")
_LETTERS = re.compile(r"[^\x21\x23\x24\x26\x27\x2b-\x5a\x5e-\x7a|}~]+")
_MOST = 10_000


@record
class Words:
    """An item's flags and keywords in a server's words."""

    now: tuple[bytes, ...]  # for APPEND
    late: tuple[bytes, ...]  # set by STORE afterwards
    dropped: bool  # some cannot be kept
    version: str  # of the message with all of them
    head: bytes  # how they stand in APPEND, with the space before


@record(frozen=False)
class Outgoing:
    """A message as it will be sent. number: of the item in its call; date: for APPEND, with the space before."""

    number: int
    item: Item
    pieces: list[Buffer]
    size: int
    words: Words
    date: bytes
    notes: tuple[str, ...]
    utf8: bool = False

    def announced(self, waits: bool) -> bytes:
        """All that stands before the octets."""
        plus = b"" if waits else b"+"
        if self.utf8:
            return b"%s%s UTF8 (~{%d%s}\r\n" % (self.words.head, self.date, self.size, plus)
        return b"%s%s {%d%s}\r\n" % (self.words.head, self.date, self.size, plus)

    @property
    def after(self) -> bytes:
        return b")" if self.utf8 else b""


class Preparing:
    """What one server and folder take. exchange: it is Exchange, which refuses more and ends a connection that errs."""

    def __init__(self, permanent: frozenset[bytes], *, exchange: bool, disarm: bool, utf8: bool) -> None:
        """permanent: the folder's PERMANENTFLAGS in lower case, empty where it told none."""
        self._permanent = permanent
        self._exchange = exchange
        self._disarm = disarm
        self._utf8 = utf8
        self._known: dict[tuple[frozenset[Flag], tuple[str, ...]], Words] = {}

    def prepare(self, number: int, item: Item) -> Outgoing:
        notes = item.notes
        pieces: list[Buffer] = list(item.content.pieces())
        # Exchange ends the connection after some errors; others are asked first whether they mind (`mended`).
        if self._exchange or self._disarm or any(map(fit.has_nul, pieces)):
            raw, changed = self._fitted(b"".join(pieces))
            pieces, notes = [raw], (*notes, *changed)
        words = self.words(item)
        if words.dropped:
            notes = (*notes, "keywords_dropped")
        received = item.ref.received or item.ref.sent
        return Outgoing(
            number,
            item,
            pieces,
            len(pieces[0]) if len(pieces) == 1 else sum(map(len, pieces)),
            words,
            b" " + format_date(received) if received is not None else b"",
            tuple(dict.fromkeys(notes)) if notes else (),
            self._utf8 and not head_octets(pieces).isascii(),
        )

    def _fitted(self, raw: bytes) -> tuple[bytes, list[str]]:
        notes: list[str] = []
        if self._disarm:
            raw, armed = fit.disarm(raw)
            if armed:
                notes.append("receipt_request_disarmed")
        if fit.unfit(raw):
            raw, changed = fit.mend(raw)
            notes += changed
        if self._exchange and fit.too_long(raw):
            raw, changed = fit.shorten(raw)
            notes += changed
        return raw, notes

    def words(self, item: Item) -> Words:
        key = (item.flags, item.categories)
        words = self._known.get(key)
        if words is None:
            words = self._words(item)
            if len(self._known) < _MOST:
                self._known[key] = words
        return words

    def _words(self, item: Item) -> Words:
        wanted: dict[bytes, bytes] = {}
        dropped = False
        for flag, word in SYSTEM.items():
            if flag in item.flags:
                wanted[word.lower()] = word
        for name in item.categories:
            if name.startswith("\\"):
                word = name.encode("ascii", "ignore")
                if word.lower() == b"\\deleted":
                    wanted[b"\\deleted"] = b"\\Deleted"
                continue
            text = name if _ATOM.fullmatch(name) else _LETTERS.sub("_", name).strip("_")
            if not text:
                dropped = True
                continue
            dropped = dropped or text != name
            wanted.setdefault(text.lower().encode(), text.encode())
        if self._exchange:
            wanted.pop(b"$mdnsent", None)
        if self._permanent and b"\\*" not in self._permanent:
            kept = {key: word for key, word in wanted.items() if key in self._permanent}
            dropped = dropped or len(kept) != len(wanted)
            wanted = kept
        late = (wanted.pop(b"\\flagged"),) if self._exchange and b"\\flagged" in wanted else ()
        now = tuple(sorted(wanted.values(), key=bytes.lower))
        return Words(
            now, late, dropped, version_of([*now, *late]), b" (" + b" ".join(now) + b")" if now else b""
        )


def mended(refused: Sequence[Outgoing]) -> list[Outgoing]:
    """Those among refused messages that a strict server has a reason to refuse, made fit now."""
    changed: list[Outgoing] = []
    for one in refused:
        raw = b"".join(one.pieces)
        if fit.unfit(raw):
            raw, notes = fit.mend(raw)
            one.pieces, one.size = [raw], len(raw)
            one.notes = tuple(dict.fromkeys((*one.notes, *notes)))
            changed.append(one)
    return changed


def head_octets(pieces: Sequence[Buffer]) -> bytes:
    """The header, of a very long one the beginning."""
    start = bytes(pieces[0][: 64 << 10]) if pieces else b""
    ends = [at for gap in (b"\r\n\r\n", b"\n\n") if (at := start.find(gap)) >= 0]
    return start[: min(ends)] if ends else start
