"""A scripted IMAP server with one folder: says what real servers say seldom. Subclasses bend one command each.

Kept to the letter of RFC 3501 where nothing is bent: literals are asked for by "+", answers end by tag.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

_LITERAL = re.compile(rb"~?\{(\d+)(\+?)\}\r\n$")
DATE = b'"01-Jan-2024 10:00:00 +0000"'


class Gone(Exception):
    """The client went, or this server means to hang up."""


class Line:
    """One connection, as the server holds it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.file: Any = sock.makefile("rb")
        self.deflate: Any = None
        self.inflate: Any = None
        self.held = b""
        self.errors = 0

    def send(self, data: bytes) -> None:
        if self.deflate is not None:
            data = self.deflate.compress(data) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        self.sock.sendall(data)

    def _more(self) -> None:
        packed = self.sock.recv(65536)
        if not packed:
            raise Gone
        self.held += self.inflate.decompress(packed)

    def readline(self) -> bytes:
        if self.inflate is None:
            line: bytes = self.file.readline()
            if not line:
                raise Gone
            return line
        while b"\n" not in self.held:
            self._more()
        line, end, self.held = self.held.partition(b"\n")
        return line + end

    def read(self, count: int) -> bytes:
        if self.inflate is None:
            data: bytes = self.file.read(count)
            if len(data) != count:
                raise Gone
            return data
        while len(self.held) < count:
            self._more()
        data, self.held = self.held[:count], self.held[count:]
        return data

    def compressed(self) -> None:
        self.deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
        self.inflate = zlib.decompressobj(-15)


class SmallServer:
    """messages: UID → octets. lines: what was asked, without tags and literals."""

    capability = b"IMAP4rev1 UIDPLUS LITERAL+"
    greeting = b"* OK hello\r\n"

    def __init__(self, messages: dict[int, bytes] | None = None) -> None:
        self.messages = dict(messages or {})
        self.lines: list[bytes] = []
        self.appended: list[bytes] = []
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        line = Line(sock)
        with contextlib.suppress(Gone, OSError):
            line.send(self.greeting)
            while True:
                self._command(line)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        line.file.close()
        sock.close()

    def _command(self, line: Line) -> None:
        tag, _, rest = line.readline().partition(b" ")
        parts = [rest]
        while found := _LITERAL.search(parts[-1]):
            if not found[2]:
                refusal = self.before_literal(line, rest)
                if refusal:
                    line.send(tag + b" " + refusal + b"\r\n")
                    return
                line.send(b"+ go\r\n")
            parts.append(line.read(int(found[1])))
            parts.append(line.readline())
        self.lines.append(b"".join(parts[::2]).replace(b"\r\n", b""))
        word = rest.strip().upper()
        name = word.split(b" ", 1)[0]
        if name == b"UID":
            name = b"UID_" + word.split(b" ", 2)[1]
        method = getattr(self, "on_" + name.decode("ascii", "replace").lower(), None)
        said = method(line, parts, tag) if method is not None else None
        if not (said or b"OK").startswith(b"OK"):
            line.errors += 1
        if said != b"":
            line.send(tag + b" " + (said or b"OK done") + b"\r\n")
        self.after(line)

    def after(self, line: Line) -> None:
        """When a command was answered."""

    def before_literal(self, line: Line, rest: bytes) -> bytes:
        """A refusal in place of "+", or nothing."""
        return b""

    # ---- commands: send what is untagged, return how it ends (None: OK; empty: it was said already)

    def on_capability(self, line: Line, parts: Sequence[bytes], tag: bytes) -> bytes | None:
        line.send(b"* CAPABILITY " + self.capability + b"\r\n")
        return None

    def on_list(self, line: Line, parts: Sequence[bytes], tag: bytes) -> bytes | None:
        if b'""' in parts[0][6:]:
            line.send(b'* LIST (\\Noselect) "/" ""\r\n')
        else:
            line.send(b'* LIST () "/" INBOX\r\n')
        return None

    def on_status(self, line: Line, parts: Sequence[bytes], tag: bytes) -> bytes | None:
        name = parts[0][7 : parts[0].rindex(b" (")]
        line.send(b"* STATUS " + name + b" (MESSAGES %d UIDNEXT %d UIDVALIDITY 7)\r\n" % self._now())
        return None

    def _now(self) -> tuple[int, int]:
        return len(self.messages), max(self.messages, default=0) + 1

    def on_examine(self, line: Line, parts: Sequence[bytes], tag: bytes) -> bytes | None:
        line.send(b"* %d EXISTS\r\n* OK [UIDNEXT %d] .\r\n* OK [UIDVALIDITY 7] .\r\n" % self._now())
        return b"OK [READ-ONLY] done" if parts[0].upper().startswith(b"EXAMINE") else b"OK [READ-WRITE] done"

    on_select = on_examine

    def uids(self, text: bytes) -> Iterator[int]:
        for part in text.split(b","):
            low, _, high = part.partition(b":")
            top = max(self.messages, default=0)
            last = top if high == b"*" else int(high or low)
            yield from (uid for uid in sorted(self.messages) if min(int(low), last) <= uid <= last)

    def on_uid_search(self, line: Line, parts: Sequence[bytes], tag: bytes) -> bytes | None:
        found = self.uids(parts[0].split()[-1])
        line.send(b"* SEARCH" + b"".join(b" %d" % uid for uid in found) + b"\r\n")
        return None

    def on_uid_fetch(self, line: Line, parts: Sequence[bytes], tag: bytes) -> bytes | None:
        words = parts[0].split(b" ", 3)
        said = None
        for uid in self.uids(words[2]):
            said = self.fetch(line, uid, b"BODY.PEEK[]" in words[3].upper()) or said
        return said

    def fetch(self, line: Line, uid: int, whole: bool) -> bytes | None:
        """One message's answer; a refusal is the command's."""
        line.send(self.told(uid, whole))
        return None

    def size(self, uid: int) -> int:
        return len(self.messages[uid])

    def told(self, uid: int, whole: bool) -> bytes:
        number = sorted(self.messages).index(uid) + 1
        head = b"* %d FETCH (UID %d FLAGS (\\Seen) INTERNALDATE %s" % (number, uid, DATE)
        body = self.messages[uid]
        if whole:
            return head + b" BODY[] {%d}\r\n%s)\r\n" % (len(body), body)
        fields = body.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        name = b"BODY[HEADER.FIELDS (MESSAGE-ID SUBJECT DATE)]"
        return head + b" RFC822.SIZE %d %s {%d}\r\n%s)\r\n" % (self.size(uid), name, len(fields), fields)

    def on_append(self, line: Line, parts: Sequence[bytes], tag: bytes) -> bytes | None:
        uids = []
        for body in parts[1::2]:
            uids.append(max(self.messages, default=0) + 1)
            self.messages[uids[-1]] = body
            self.appended.append(body)
        return b"OK [APPENDUID 7 %s] done" % b",".join(b"%d" % uid for uid in uids)

    def on_logout(self, line: Line, parts: Sequence[bytes], tag: bytes) -> bytes | None:
        raise Gone
