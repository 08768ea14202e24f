"""A server on loopback that says exactly what the test wrote: whole answers, broken ones, none at all.

    with ScriptServer([ok(b"hello"), hang_up]) as server:
        transport.request("GET", server.url + "/x")
        assert server.requests[0].path == "/x"

A step is called with the wire and the request it answers; the steps are used in order over all connections, and the last one
again and again. With `route` instead, one function answers all requests.
"""

from __future__ import annotations

import gzip
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]  # lower-case names
    body: bytes
    connection: int  # 1 for the first connection that the server accepted


@dataclass
class Wire:
    sock: socket.socket
    number: int
    open: bool = True

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def close(self) -> None:
        """An orderly end of the connection."""
        self.open = False

    def reset(self) -> None:
        """The connection breaks (TCP RST)."""
        self.open = False
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


Step = Callable[[Wire, Request], None]


def head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Said", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def answer(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> Step:
    raw = head(status, {"Content-Length": str(len(body)), **(headers or {})}) + body
    return raw_answer(raw)


def ok(body: bytes = b"", headers: dict[str, str] | None = None) -> Step:
    return answer(200, body, headers)


def gzipped(body: bytes, headers: dict[str, str] | None = None) -> Step:
    return ok(gzip.compress(body), {"Content-Encoding": "gzip", **(headers or {})})


def raw_answer(raw: bytes, *, close: bool = False) -> Step:
    def step(wire: Wire, request: Request) -> None:
        wire.send(raw)
        if close:
            wire.close()

    return step


def hang_up(wire: Wire, request: Request) -> None:
    wire.close()


def break_off(wire: Wire, request: Request) -> None:
    wire.reset()


class ScriptServer:
    def __init__(
        self,
        steps: Sequence[Step] = (),
        *,
        route: Callable[[Request], Step] | None = None,
        tls: ssl.SSLContext | None = None,
        read_body: bool = True,
    ) -> None:
        self._steps = list(steps)
        self._route = route
        self._tls = tls
        self._read_body = read_body
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._wires: list[Wire] = []
        self.requests: list[Request] = []
        self.connections = 0
        self.port = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{'localhost' if tls else '127.0.0.1'}:{self.port}"
        self.closed_by_server = threading.Event()  # set when the server closed a connection

    def __enter__(self) -> ScriptServer:
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        self._threads.append(thread)
        return self

    def __exit__(self, *exc: object) -> None:
        # shutdown wakes the accepting thread on Linux, the connection on the others
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            with socket.socket() as wake:
                wake.settimeout(1)
                wake.connect_ex(("127.0.0.1", self.port))
        self._listener.close()
        for wire in list(self._wires):
            wire.open = False
            try:
                wire.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed already
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            wire = Wire(sock, self.connections)
            self._wires.append(wire)
            thread = threading.Thread(target=self._serve, args=(wire,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, wire: Wire) -> None:
        try:
            if self._tls is not None:
                wire.sock = self._tls.wrap_socket(wire.sock, server_side=True)
            file = wire.sock.makefile("rb")
            while wire.open:
                request = self._read(file, wire.number)
                if request is None:
                    break
                with self._lock:
                    self.requests.append(request)
                    if self._route is None:
                        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
                if self._route is not None:
                    step = self._route(request)
                step(wire, request)
            file.close()
        except (OSError, ValueError):
            wire.open = False
        finally:
            wire.sock.close()
            self.closed_by_server.set()

    def _read(self, file, number: int) -> Request | None:  # type: ignore[no-untyped-def]
        line = file.readline()
        if not line:
            return None
        method, path, _ = line.decode("latin-1").split(" ", 2)
        headers: dict[str, str] = {}
        while (line := file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        length = int(headers.get("content-length", "0"))
        body = file.read(length) if length and self._read_body else b""
        return Request(method, path, headers, body, number)


@dataclass
class Recorder:
    """A sink that remembers."""

    pieces: list[bytes] = field(default_factory=list)

    def __call__(self, piece: bytes | memoryview) -> None:
        self.pieces.append(bytes(piece))

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)
