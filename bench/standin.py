"""Servers that cost next to nothing, so that a measurement on few cores shows the client and not the lab.

A lab of both halves stands behind. The two calls that are made for every item or batch are answered here, from prepared
octets: ExportItems (the stream of one item of the lab, under the id that was asked for) and the import of an item (an id that
is given once). They are counted, nothing is kept. All else (folders, listings, sign-in, sessions) the lab answers itself.

So what goes over the wire has the size and shape that the lab would give it, with TLS on the import side. What is not there
is any judgement about content: that is the tests' business.
"""

from __future__ import annotations

import http.client
import json
import re
import selectors
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from migrator.lab.command import build
from migrator.lab.options import LabOptions, Seeding
from migrator.lab.tls import make_authority

_ITEM_ID = re.compile(rb'<t:ItemId Id="([^"]+)"')
_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE)


# ------------------------------------------------------------- import host


@dataclass(slots=True)
class _Peer:
    sock: ssl.SSLSocket
    waits: bytearray = field(default_factory=bytearray)
    shaken: bool = False
    need: int = 0  # octets of the request that is coming in, 0 while its head is not whole


class ImportHost(threading.Thread):
    """All connections in one thread and one loop: tens of microseconds a request."""

    def __init__(self, folder: Path) -> None:
        super().__init__(name="import-host", daemon=True)
        self.ca_file, self._context = make_authority(folder)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._listener.setblocking(False)
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        self.taken = 0

    def run(self) -> None:
        select = selectors.DefaultSelector()
        select.register(self._listener, selectors.EVENT_READ, None)
        while True:
            for key, _ in select.select():
                if key.data is None:
                    sock, _ = self._listener.accept()
                    sock.setblocking(False)
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    shaking = self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
                    select.register(shaking, selectors.EVENT_READ, _Peer(shaking))
                elif not self._serve(key.data):
                    select.unregister(key.data.sock)
                    key.data.sock.close()

    def _serve(self, peer: _Peer) -> bool:
        try:
            if not peer.shaken:
                peer.sock.do_handshake()
                peer.shaken = True
            while True:
                piece = peer.sock.recv(256 << 10)
                if not piece:
                    return False
                peer.waits += piece
                while self._whole(peer):
                    self._answer(peer)
        except (ssl.SSLWantReadError, BlockingIOError):
            return True
        except OSError:
            return False

    @staticmethod
    def _whole(peer: _Peer) -> bool:
        if not peer.need:
            head = peer.waits.find(b"\r\n\r\n")
            if head < 0:
                return False
            length = _LENGTH.search(peer.waits, 0, head + 2)
            peer.need = head + 4 + (int(length.group(1)) if length else 0)
        return len(peer.waits) >= peer.need

    def _answer(self, peer: _Peer) -> None:
        del peer.waits[: peer.need]
        peer.need = 0
        self.taken += 1
        body = b'{"itemId":"AAMk%012d","changeKey":"CQAA%08d"}' % (self.taken, self.taken)
        # An answer of a hundred octets always fits into the socket's buffer.
        peer.sock.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
            % (len(body), body)
        )


# --------------------------------------------------------------------- EWS


class ExchangeHost:
    """A thread a connection; one request is for many items, so that costs little."""

    def __init__(self, lab_url: str, ca_file: str) -> None:
        self._lab = urlsplit(lab_url)
        self._context = ssl.create_default_context(cafile=ca_file)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}{self._lab.path}"
        self.exported = 0
        self._cut: tuple[bytes, bytes, bytes, bytes] | None = None
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        behind = http.client.HTTPSConnection(self._lab.netloc, context=self._context)
        with suppress(OSError, http.client.HTTPException), sock, sock.makefile("rb") as file:
            while line := file.readline():
                head: dict[str, str] = {}
                while (field_ := file.readline()) not in (b"\r\n", b""):
                    name, _, value = field_.decode("iso-8859-1").partition(":")
                    head[name.strip().lower()] = value.strip()
                body = file.read(int(head.get("content-length", "0")))
                answer = self._exported(body, head, behind) if b"ExportItems" in body else None
                if answer is None:
                    answer = self._forward(line.decode("ascii").split()[0], body, head, behind)
                sock.sendall(answer)
        behind.close()

    def _forward(
        self, method: str, body: bytes, head: dict[str, str], behind: http.client.HTTPConnection
    ) -> bytes:
        fields = {name: value for name, value in head.items() if name not in ("host", "content-length")}
        behind.request(method, self._lab.path, body, fields)
        answer = behind.getresponse()
        told = answer.read()
        kept = [
            f"{name}: {value}"
            for name, value in answer.getheaders()
            if name.lower() not in ("content-length", "transfer-encoding", "connection")
        ]
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}", *kept, f"Content-Length: {len(told)}"]
        return "\r\n".join(lines).encode("iso-8859-1") + b"\r\n\r\n" + told

    def _exported(
        self, body: bytes, head: dict[str, str], behind: http.client.HTTPConnection
    ) -> bytes | None:
        """None where the lab's own answer does not look as expected: it is then asked for the whole."""
        ids = _ITEM_ID.findall(body)
        with self._lock:
            if self._cut is None and ids:
                # Ask the lab for the first of them alone, and learn from that answer how one looks.
                at, end = body.find(b"<t:ItemId"), body.rfind(b"</m:ItemIds>")
                one = body[:at] + b'<t:ItemId Id="' + ids[0] + b'"/>' + body[end:]
                self._cut = _cut(self._forward("POST", one, head, behind), ids[0])
        if self._cut is None:
            return None
        before, to_id, from_id, after = self._cut
        with self._lock:
            self.exported += len(ids)
        told = b"".join([before, *(piece for item in ids for piece in (to_id, item, from_id)), after])
        return (
            b"HTTP/1.1 200 OK\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: %d\r\n\r\n"
            % len(told)
            + told
        )


def _cut(answer: bytes, item_id: bytes) -> tuple[bytes, bytes, bytes, bytes] | None:
    """(before the message, the message up to its id, from its id to its end, after it)."""
    told = answer.partition(b"\r\n\r\n")[2]
    opened = told.find(b"<m:ExportItemsResponseMessage ")
    named = told.find(item_id, opened)
    closing = b"</m:ExportItemsResponseMessage>"
    closed = told.find(closing, named)
    if min(opened, named, closed) < 0 or b"<m:Data>" not in told:
        return None
    closed += len(closing)
    return told[:opened], told[opened:named], told[named + len(item_id) : closed], told[closed:]


# ----------------------------------------------------------------- process


class StandIn:
    """`with StandIn(Seeding(...)) as servers`: a child process; `info` as a lab's, with the stand-ins' URLs in it."""

    def __init__(self, seeding: Seeding) -> None:
        self._given = LabOptions(tls=True, seeding=seeding, keep_streams=False).to_json()
        self.info: dict[str, Any] = {}
        self._child: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "bench.standin", self._given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.info = self._read()
        return self

    def _read(self) -> dict[str, Any]:
        assert self._child is not None
        assert self._child.stdout is not None
        found: dict[str, Any] = json.loads(self._child.stdout.readline())
        return found

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def counts(self) -> dict[str, int]:
        """imported, exported: so far."""
        assert self._child is not None
        assert self._child.stdin is not None
        self._child.stdin.write("\n")
        self._child.stdin.flush()
        return self._read()

    def __exit__(self, *_: object) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait(20)


def serve(given: str) -> None:
    options = LabOptions.from_json(given)
    with tempfile.TemporaryDirectory(prefix="migrator-standin-") as folder, build(options).start() as lab:
        imports = ImportHost(Path(folder))
        info = lab.info()
        exchange = ExchangeHost(info["urls"]["ews"], info["ca_file"])
        lab.world.urls.imports = imports.url
        imports.start()
        both = Path(folder) / "both.pem"
        both.write_text(Path(info["ca_file"]).read_text("ascii") + imports.ca_file.read_text("ascii"))
        info["ca_file"] = str(both)
        info["urls"] |= {"ews": exchange.url, "import": imports.url}
        print(json.dumps(info), flush=True)
        for _ in sys.stdin:
            print(json.dumps({"imported": imports.taken, "exported": exchange.exported}), flush=True)


if __name__ == "__main__":
    serve(sys.argv[1])
