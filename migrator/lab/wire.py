"""HTTP/1.1 as the lab speaks it: one asyncio protocol on httptools, small enough to be neither bottleneck nor mystery.

Large bodies are received straight into one buffer of their announced length. What scripted faults ask for happens
here, where the socket is: resets, answers that break off, slow drips, limited bandwidth.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
import sys
import traceback
from collections import deque
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

import httptools

from migrator.lab.faults import Context
from migrator.lab.http import Buffer, Handler, Request, Response
from migrator.lab.journal import Entry

if TYPE_CHECKING:
    from migrator.lab.world import World

log = logging.getLogger("migrator.lab")

MAX_BODY = 1 << 30
_CHUNK = 1 << 18
_DIRECT = 1 << 16  # bodies with more than this still to come are received in place

_LINGER = struct.pack("hh", 1, 0) if sys.platform == "win32" else struct.pack("ii", 1, 0)

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}


class Service:
    """One listening service: its name, its handler, and the protocols that are connected to it."""

    def __init__(self, world: World, name: str, handler: Handler, scheme: str = "http") -> None:
        self.world = world
        self.name = name
        self.handler = handler
        self.scheme = scheme
        self.connections: set[Wire] = set()
        self._date = ("", 0)

    def protocol(self) -> Wire:
        return Wire(self)

    def body_limit(self) -> tuple[int, int]:
        """(octets, status with which larger requests are cut off before anything reads them)."""
        if self.name == "ews":
            return self.world.knobs.ews_request_octets, 404  # IIS 404.13
        return MAX_BODY, 413

    def date(self) -> str:
        now = int(self.world.clock.now())
        if self._date[1] != now:
            self._date = (formatdate(now, usegmt=True), now)
        return self._date[0]

    async def answer(self, request: Request) -> Response:
        """The handler's answer; a crash of the lab itself is a 500 that the journal shows as code LabError."""
        try:
            response = await self.handler(request)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.exception("the lab failed on %s %s", request.method, request.path)
            response = Response(500, [("Content-Type", "text/plain")], b"the lab failed; see its log")
            self.note(request, response, code="LabError", detail={"error": repr(error), "at": _where(error)})
            return response
        if not request.recorded:
            self.note(request, response)
        return response

    def note(
        self, request: Request, response: Response, code: str = "", detail: dict[str, Any] | None = None
    ) -> None:
        """A journal entry for a request that no operation recorded: refused at the door, or of an unknown path."""
        if self.name == "control":
            return
        now = self.world.clock.now()
        self.world.journal.record(
            Entry(
                self.name,
                f"{request.method} {request.path}",
                status=0 if response.abort == "reset" else response.status,
                code=code,
                octets_in=request.octets,
                octets_out=response.octets,
                started=request.received,
                finished=now,
                peer=request.peer,
                detail=detail or {},
            )
        )


def _where(error: BaseException) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1:]
    return f"{last[0].filename}:{last[0].lineno}" if last else ""


class Wire(asyncio.BufferedProtocol):
    """One connection. Requests on it are served one after the other, in the order they came."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport
        self.peer = ""
        self._head = bytearray(_CHUNK)
        self._view = memoryview(self._head)
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._room = asyncio.Event()
        self._room.set()
        self._paused = False
        self._direct: memoryview | None = None  # of the body that is received in place
        self._filled = 0
        self._deaf = False  # nothing more is read from this connection
        self._fresh()

    def _fresh(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._length = 0
        self._chunked = False
        self._body = bytearray()
        self._keep_alive = True
        self._method = ""
        self._received = 0.0

    # -- from the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.peer = f"{peer[0]}:{peer[1]}" if peer else ""
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.service.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.service.connections.discard(self)
        self._deaf = True
        self._room.set()
        # A request that is being served is served to its end: the effect of a write whose client left is real.

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._direct[self._filled :] if self._direct is not None else self._view

    def buffer_updated(self, nbytes: int) -> None:
        if self._deaf:
            return
        if self._direct is not None:
            self._filled += nbytes
            if self._filled == len(self._direct):
                self._direct = None
                self._parser = httptools.HttpRequestParser(self)  # the old one still waits for this body
                self._complete()
            return
        try:
            self._parser.feed_data(self._view[:nbytes])
        except httptools.HttpParserUpgrade:
            self._refuse(400)
            return
        except httptools.HttpParserError:
            if not self._deaf:
                self._refuse(400)
            return
        missing = self._length - len(self._body)
        if not self._chunked and self._method and missing > _DIRECT and not self._deaf:
            whole = bytearray(self._length)
            self._filled = len(self._body)
            whole[: self._filled] = self._body
            self._body = whole
            self._direct = memoryview(whole)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._room.clear()

    def resume_writing(self) -> None:
        self._room.set()

    # -- from httptools

    def on_message_begin(self) -> None:
        self._fresh()

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text

    def on_headers_complete(self) -> None:
        self._method = self._parser.get_method().decode("ascii")
        self._keep_alive = self._parser.should_keep_alive()
        self._received = self.service.world.clock.now()
        self._chunked = "chunked" in self._headers.get("transfer-encoding", "").lower()
        self._length = 0 if self._chunked else int(self._headers.get("content-length") or 0)
        faults = self.service.world.faults
        if faults.rules and self.service.name != "control":
            path = self._url.decode("latin-1").partition("?")[0]
            action = faults.connect(Context(self.service.name, path=path))
            if action is not None and action.abort:
                request = self._request()
                request.octets = self._length
                self.service.note(request, Response(0, abort="reset"), detail={"fault": action.fault})
                self._cut()
                return
        limit, status = self.service.body_limit()
        if self._length > limit:
            self._refuse(status)
        elif self._headers.get("expect", "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        if self._deaf:
            return
        self._body += body
        limit, status = self.service.body_limit()
        if len(self._body) > limit:
            self._refuse(status)

    def on_message_complete(self) -> None:
        if not self._deaf:
            self._complete()

    # -- serving

    def _request(self) -> Request:
        raw = self._url.decode("latin-1")
        raw_path, _, query = raw.partition("?")
        return Request(
            self._method,
            unquote(raw_path) if "%" in raw_path else raw_path,
            raw_path,
            query,
            self._headers,
            self._body,
            self.service.name,
            self._headers.get("host", ""),
            self.service.scheme,
            self.peer,
            self._received,
            len(self._body),
        )

    def _complete(self) -> None:
        self._waiting.append((self._request(), self._keep_alive))
        self._method = ""
        self._body = bytearray()
        self._length = 0
        if self._task is None:
            self._task = self.loop.create_task(self._serve())
        elif not self._paused:
            # The client pipelines: read no further until the open request is answered.
            self._paused = True
            self.transport.pause_reading()

    async def _serve(self) -> None:
        while self._waiting:
            request, keep_alive = self._waiting.popleft()
            response = await self.service.answer(request)
            if self.transport.is_closing():
                break
            knobs = self.service.world.knobs
            if (
                not response.abort
                and not response.drip_octets_s
                and not response.delay_s
                and not knobs.bandwidth_octets_s
            ):
                self._send(request, response, keep_alive)
                if not self._room.is_set():
                    await self._room.wait()
            elif not await self._send_spoilt(request, response, keep_alive):
                break
            if not keep_alive:
                self.transport.close()
                break
            if self._paused and len(self._waiting) <= 1:
                self._paused = False
                self.transport.resume_reading()
        self._task = None

    def _head_of(self, request: Request, response: Response, octets: int, keep_alive: bool) -> bytes:
        line = _STATUS_LINES.get(response.status) or f"HTTP/1.1 {response.status} Status\r\n"
        text = line + "".join(f"{name}: {value}\r\n" for name, value in response.headers)
        if response.status not in (204, 304):
            text += f"Content-Length: {octets}\r\n"
        text += f"Date: {self.service.date()}\r\n" + ("\r\n" if keep_alive else "Connection: close\r\n\r\n")
        return text.encode("latin-1", "replace")

    def _send(self, request: Request, response: Response, keep_alive: bool) -> None:
        parts = response.buffers()
        octets = sum(map(len, parts))
        head = self._head_of(request, response, octets, keep_alive)
        if request.method == "HEAD" or response.status in (204, 304):
            self.transport.write(head)
        elif octets < _DIRECT:
            self.transport.write(b"".join([head, *parts]))
        else:
            self.transport.writelines([head, *parts])

    async def _send_spoilt(self, request: Request, response: Response, keep_alive: bool) -> bool:
        """An answer with a fault or a slow line. False: the connection is gone."""
        world = self.service.world
        if response.delay_s:
            await world.clock.wait(response.delay_s)
        if response.abort == "reset":
            self._cut()
            return False
        parts = response.buffers()
        octets = sum(map(len, parts))
        bandwidth = world.knobs.bandwidth_octets_s
        rate = response.drip_octets_s or bandwidth
        if bandwidth and request.octets:
            await world.clock.wait(request.octets / bandwidth)
        self.transport.write(self._head_of(request, response, octets, keep_alive))
        if request.method == "HEAD" or response.status in (204, 304):
            return True
        end = octets // 2 if response.abort == "midway" else octets
        # About twenty pieces a second, so that a drip is a drip and a fast line is not chopped up.
        step = max(1, int(rate / 20)) if rate else _CHUNK
        for piece in _pieces(parts, end, step):
            if self.transport.is_closing():
                return False
            self.transport.write(piece)
            if rate:
                await world.clock.wait(len(piece) / rate)
            await self._room.wait()
        if response.abort == "midway":
            # Half of the body has to arrive, so what is buffered goes out before the reset.
            for _ in range(100):
                if not self.transport.get_write_buffer_size():
                    break
                await asyncio.sleep(0.001)
            self._cut()
            return False
        return True

    def _refuse(self, status: int) -> None:
        """Answer at once and close: the rest of what the client sends is not read."""
        self._deaf = True
        request = self._request()
        request.octets = self._length or request.octets
        response = Response(status, [("Content-Type", "text/html")], b"")
        self.service.note(request, response, code="RefusedUnread")
        self.transport.write(self._head_of(request, response, 0, keep_alive=False))
        self.transport.close()

    def _cut(self) -> None:
        """Close with a TCP reset."""
        self._deaf = True
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        self.transport.abort()

    def close(self) -> None:
        self._deaf = True
        self.transport.abort()


def _pieces(parts: list[Buffer], end: int, step: int) -> list[memoryview]:
    found: list[memoryview] = []
    left = end
    for part in parts:
        view = memoryview(part)[:left]
        found += [view[spot : spot + step] for spot in range(0, len(view), step)]
        left -= len(view)
        if left <= 0:
            break
    return found
