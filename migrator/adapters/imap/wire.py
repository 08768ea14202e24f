"""One IMAP connection: imapclient opens it and signs in, from there on commands are pipelined and answers read here.

Facts this module rests on:
- commands may be sent without waiting for answers, and answers come in any order that keeps meaning: they are matched by
  their tag (RFC 3501 5.5; Dovecot does answer out of order)
- with LITERAL+ a literal is sent without waiting, with LITERAL- up to 4096 octets (RFC 7888)
- imapclient formats every line for its log (`_imap.debug = 5`) whether anybody listens or not, and leaves Nagle's algorithm on:
  both are undone here (tests/adapters/test_imap_wire.py measures what it is for)
- imaplib refuses lines above 1,000,000 octets; a search in a large folder answers with longer ones
- COMPRESS=DEFLATE is a raw deflate stream in both directions, the server's right behind the line that agrees to it (RFC 4978 3)
- the text behind OK, NO, BAD, BYE and + is no place for a literal, whatever it ends with (RFC 3501 9, resp-text)
- what a server says with the code ALERT is to be shown to a person (RFC 3501 7.1)

A broken connection is told as `Lost`; what that means for the call is the caller's to say.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import select
import socket
import ssl
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from migrator.adapters.imap.grammar import Piece, literal_size
from migrator.adapters.spool import THRESHOLD, SpoolContent
from migrator.interfaces import Pace
from migrator.record import record

Buffer = bytes | memoryview

READ = 256 << 10
LINE_MOST = 64 << 20
JOIN = 64 << 10  # small pieces go out as one write
LITERAL_MINUS = 4096
_TALK = (b"* OK ", b"* NO ", b"* BAD ", b"* BYE ", b"* PREAUTH ")


class Lost(Exception):
    """The connection is no more. kind: "closed", "timeout" or "garbled"; text: the server's last words, if any."""

    def __init__(self, kind: str, text: bytes = b"") -> None:
        super().__init__(kind)
        self.kind = kind
        self.text = text


@record
class Tagged:
    """How a command ended. status: OK, NO, BAD; code: the word in brackets, rest: what follows it there."""

    status: bytes
    code: bytes = b""
    rest: bytes = b""
    text: bytes = b""

    @property
    def ok(self) -> bool:
        return self.status == b"OK"


@record(frozen=False)
class Selected:
    """The folder that is open on a connection."""

    name: str
    uidvalidity: int = 0
    uidnext: int = 0
    exists: int = 0
    modseq: int = 0  # 0: the server keeps none for this folder
    flags: frozenset[bytes] = frozenset()  # permanent ones, lower case; b"\\*" for any
    read_only: bool = False
    opening: bytes = (
        b""  # the tag of the SELECT that has not been answered yet: the rest is what is known from before
    )


class Wire:
    """A signed-in connection. One thread at a time."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        early: bytes = b"",
        spool: int = THRESHOLD,
        spool_dir: str | None = None,
        pace: Pace | None = None,
    ) -> None:
        """early: octets that were read from the socket already. spool: larger literals go to a file. pace: cap on the line."""
        self._sock = sock
        self._pace = pace
        self._raw = _Raw(sock, early, pace)
        self._file = io.BufferedReader(self._raw, READ)
        self._deflate: Any = None
        self._spool = spool
        self._spool_dir = spool_dir
        self._tags = (b"m%x" % number for number in itertools.count(1))
        self._out: list[Buffer] = []
        self.done: dict[bytes, Tagged] = {}
        self.open: set[bytes] = set()
        self.capabilities: frozenset[bytes] = frozenset()
        self.selected: Selected | None = None
        self.utf8 = False
        self.dead = False
        self.errors = 0  # commands that were refused since it was set up
        self.on_alert: Callable[[bytes], None] | None = None
        self.alerts: list[bytes] = []  # until somebody listens
        self.bye = b""
        self.used_at = 0.0
        self.keep: object = None  # what must live as long as this connection

    def has(self, capability: bytes) -> bool:
        return capability in self.capabilities

    # ---- writing

    def begin(self, *parts: Buffer) -> bytes:
        """Queue a command (without tag and line end); returns its tag. Nothing leaves before `flush`."""
        tag = next(self._tags)
        self._out.append(b"%s " % tag)
        self._out.extend(parts)
        self._out.append(b"\r\n")
        self.open.add(tag)
        return tag

    def more(self, *parts: Buffer) -> None:
        """Go on with a command that was begun by `start`."""
        self._out.extend(parts)

    def start(self, *parts: Buffer) -> bytes:
        """As `begin`, without the end of the line."""
        tag = next(self._tags)
        self._out.append(b"%s " % tag)
        self._out.extend(parts)
        self.open.add(tag)
        return tag

    def flush(self) -> None:
        """Send what is queued. Raises Lost."""
        out, self._out = self._out, []
        try:
            for piece in _joined(out):
                if self._deflate is not None:
                    piece = self._deflate.compress(piece) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
                self._send(piece)
        except (OSError, ValueError) as e:
            raise self._lost("timeout" if isinstance(e, TimeoutError) else "closed") from e

    def _send(self, piece: Buffer) -> None:
        if self._pace is None:
            self._sock.sendall(piece)
            return
        view, step = memoryview(piece), self._pace.piece
        for start in range(0, len(view), step):
            part = view[start : start + step]
            self._pace.up(len(part))
            self._sock.sendall(part)

    # ---- reading

    def next(self) -> list[Piece] | bytes:
        """The next response: the pieces of an untagged or continuation one, or the tag of a command that has ended.

        Raises Lost.
        """
        line = self._line()
        if (
            line[:2] == b"* " and line[2:3].isdigit()
        ):  # of a message, or of how many there are: no words for people
            if line[-3:] == b"}\r\n":
                return self._with_literals(line)
            self._note(line)
            return [line]
        pieces = self._pieces(line)
        if line[:2] == b"* ":
            if line[2:6].upper() == b"BYE ":
                self.bye = line[6:].strip()
            self._note(line)
            if b"[ALERT]" in line[:20].upper() and _talks(line):
                self._alert(parse_tagged(line[2:]).text)
            return pieces
        if line[:1] == b"+":
            return pieces
        tag, _, rest = line.partition(b" ")
        if tag not in self.open:
            raise self._lost("garbled")
        self.open.discard(tag)
        self.done[tag] = parse_tagged(rest)
        if not self.done[tag].ok:
            self.errors += 1
        if self.done[tag].code == b"ALERT":
            self._alert(self.done[tag].text)
        return tag

    def finish(self, *tags: bytes) -> tuple[list[Tagged], list[list[Piece]]]:
        """Read until all these commands have ended: how each did, and every untagged response meanwhile. Raises Lost."""
        untagged: list[list[Piece]] = []
        wanted = set(tags) - self.done.keys()
        while wanted:
            response = self.next()
            if isinstance(response, bytes):
                wanted.discard(response)
            else:
                untagged.append(response)
        return [self.done.pop(tag) for tag in tags], untagged

    def ask(self, *parts: Buffer) -> tuple[Tagged, list[list[Piece]]]:
        """One command, there and back. Raises Lost."""
        tag = self.begin(*parts)
        self.flush()
        (said,), untagged = self.finish(tag)
        return said, untagged

    def go_ahead(self, tag: bytes) -> bool:
        """Wait for the server's + before a literal; False when it ended the command instead. Raises Lost."""
        while tag not in self.done:
            response = self.next()
            if not isinstance(response, bytes) and response[0][:1] == b"+":  # type: ignore[index]
                return True
        return False

    def alive(self) -> bool:
        """Whether nothing was said while nobody listened: a server's goodbye or the end of the connection."""
        if self.dead or self.open:
            return False
        if isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            return self._drained()
        try:
            readable = select.select([self._sock], [], [], 0)[0]
        except (OSError, ValueError):
            return False
        return self._drained() if readable else True

    def _drained(self) -> bool:
        """Take in unsolicited responses that have arrived; False when the connection has ended."""
        self._sock.settimeout(0)
        try:
            while True:
                peeked = self._file.peek(1)
                if not peeked:
                    return False
                if b"\n" not in peeked:
                    return True
                self.next()
                if self.bye:
                    return False
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except (OSError, ValueError, Lost):
            return False
        finally:
            with contextlib.suppress(OSError):
                self._sock.settimeout(self._raw.timeout)

    def _pieces(self, line: bytes) -> list[Piece]:
        if line[:2] != b"* " or _talks(line):
            return [line]
        return self._with_literals(line)

    def _with_literals(self, line: bytes) -> list[Piece]:
        pieces: list[Piece] = [line]
        while (size := literal_size(line)) is not None:
            pieces.append(self._literal(size))
            line = self._line()
            pieces.append(line)
            if line == b")\r\n":
                break
        return pieces

    def _line(self) -> bytes:
        try:
            line = self._file.readline(LINE_MOST)
        except (OSError, ValueError, zlib.error) as e:
            raise self._lost("timeout" if isinstance(e, TimeoutError) else "closed") from e
        if not line.endswith(b"\n"):
            raise self._lost("closed")
        return line

    def _literal(self, size: int) -> Piece:
        try:
            if size <= self._spool:
                data = self._file.read(size)
                if len(data) != size:
                    raise self._lost("closed")
                return data
        except (OSError, ValueError, zlib.error) as e:
            raise self._lost("timeout" if isinstance(e, TimeoutError) else "closed") from e
        content = SpoolContent(self._spool_dir)
        left = size
        try:
            while left:
                try:
                    data = self._file.read(min(left, READ))
                except (OSError, ValueError, zlib.error) as e:
                    raise self._lost("timeout" if isinstance(e, TimeoutError) else "closed") from e
                if not data:
                    raise self._lost("closed")
                content.write(data)
                left -= len(data)
            content.close_writing()
        except BaseException:
            content.release()
            self.dead = True
            raise
        return content

    def _note(self, line: bytes) -> None:
        """What concerns the open folder, whenever the server says it."""
        if self.selected is not None and line.endswith(b" EXISTS\r\n"):
            with contextlib.suppress(ValueError):
                self.selected.exists = int(line[2:-9])

    def _alert(self, text: bytes) -> None:
        if self.on_alert is None:
            self.alerts.append(text)
        else:
            self.on_alert(text)

    def _lost(self, kind: str) -> Lost:
        self.dead = True
        return Lost(kind, self.bye)

    # ---- life

    def compress(self) -> None:
        """After COMPRESS DEFLATE was answered with OK. What was read behind that line is compressed already. Raises Lost."""
        self._sock.settimeout(0)
        try:
            held = self._file.peek(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            held = b""
        except (OSError, ValueError) as e:
            raise self._lost("closed") from e
        finally:
            with contextlib.suppress(OSError):
                self._sock.settimeout(self._raw.timeout)
        self._file.detach()
        self._raw.inflate(held)
        self._file = io.BufferedReader(self._raw, READ)
        self._deflate = zlib.compressobj(6, zlib.DEFLATED, -15)

    def goodbye(self) -> None:
        """Sign out without waiting, and close."""
        if not self.dead and not self.open:
            self.begin(b"LOGOUT")
            with contextlib.suppress(Lost):
                self.flush()
        self.close()

    def close(self) -> None:
        self.dead = True
        with contextlib.suppress(OSError, ValueError):
            self._file.close()
        with contextlib.suppress(OSError):
            self._sock.close()


class _Raw(io.RawIOBase):
    """The reading end of a socket, inflating where that was agreed."""

    def __init__(self, sock: socket.socket, early: bytes, pace: Pace | None) -> None:
        self._sock = sock
        self._pace = pace
        self._early = early
        self._packed = b""  # read, and not inflated yet
        self._inflate: Any = None
        self.timeout = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def inflate(self, held: bytes) -> None:
        self._inflate = zlib.decompressobj(-15)
        self._packed, self._early = held + self._early, b""

    def readinto(self, buffer: Any, /) -> int:
        if self._early:
            data, self._early = self._early[: len(buffer)], self._early[len(buffer) :]
            buffer[: len(data)] = data
            return len(data)
        if self._inflate is None:
            if self._pace is None:
                return self._sock.recv_into(buffer)
            count = self._sock.recv_into(memoryview(buffer)[: self._pace.piece])
            self._pace.down(count)
            return count
        room = len(buffer)
        while True:
            data = self._inflate.decompress(self._inflate.unconsumed_tail, room)
            if not data:
                more, self._packed = self._packed, b""
                if not more:
                    more = self._sock.recv(64 << 10)
                    if not more:
                        return 0
                    if self._pace is not None:
                        self._pace.down(len(more))
                data = self._inflate.decompress(more, room)
            if data:
                buffer[: len(data)] = data
                return len(data)


def _joined(pieces: Iterable[Buffer]) -> Iterable[Buffer]:
    small: list[Buffer] = []
    fill = 0
    for piece in pieces:
        if len(piece) >= JOIN:
            if small:
                yield b"".join(small)
                small, fill = [], 0
            yield piece
            continue
        small.append(piece)
        fill += len(piece)
        if fill >= JOIN:
            yield b"".join(small)
            small, fill = [], 0
    if small:
        yield b"".join(small)


def _talks(line: bytes) -> bool:
    """Whether an untagged response is words for people, with a code at most."""
    return line[:10].upper().startswith(_TALK)


def parse_tagged(rest: bytes) -> Tagged:
    """ "OK [CODE more] text" behind a tag, or behind the star of an untagged status."""
    status, _, text = rest.strip().partition(b" ")
    code = more = b""
    if text.startswith(b"["):
        inside, found, after = text[1:].partition(b"]")
        if found:
            code, _, more = inside.partition(b" ")
            text = after.strip()
    return Tagged(status.upper(), code.upper(), more, text)


def status_codes(untagged: Sequence[Sequence[Piece]]) -> dict[bytes, bytes]:
    """Codes of untagged OK responses ("* OK [UIDNEXT 5] …") with what follows them."""
    found: dict[bytes, bytes] = {}
    for pieces in untagged:
        line = pieces[0]
        if isinstance(line, bytes) and line[2:6].upper() == b"OK [":
            said = parse_tagged(line[2:])
            found[said.code] = said.rest
    return found
