"""HTTP/1.1 for the adapters: blocking, thread-safe, pooled, and honest about what may be repeated.

`http.client` opens connections and proxy tunnels; requests are written and answers read here, because its e-mail header
parser costs more than all the rest of a small exchange. Bodies go out as the buffers they are (never joined) and come in as
one `bytes`, or piece by piece into a sink.

What a failure means is the point of this module:

    NotSent      no octet of the request reached the server's application: repeating is safe
      NoSuchHost, Refused, ConnectTimeout, TlsFailure, ProxyFailure    (`kind`: dns, refused, timeout, tls, proxy)
    AnswerLost   the request, or part of it, left and no whole answer came: a write is in doubt

Texts of these exceptions name the host only: a URL's path and query may hold a secret, headers always do.

Facts this module rests on:
- a request on a connection that the server is closing can be lost without a trace (RFC 9112 9.3.1, 9.6): idle connections are
  looked at before reuse, dropped after a while, and a lost race is reported as NotSent only when nothing was written
- a server may answer and close before it has read the whole request (RFC 9112 9.6): that answer is read and returned
- an answer is whole when Content-Length octets, the last chunk, or (neither given) the end of the connection came (RFC 9112 6.3)
- OpenSSL encrypts at most 16 KiB as one record: the first write stays within one, so a failed first write means that nothing
  readable left
"""

from __future__ import annotations

import base64
import http.client
import io
import os
import re
import select
import socket
import ssl
import sys
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from functools import lru_cache
from typing import Protocol
from urllib.parse import unquote, urlsplit
from urllib.request import (  # type: ignore[attr-defined]
    getproxies_environment,
    proxy_bypass_environment,
)

from migrator import lull, meter
from migrator.record import record

Buffer = bytes | memoryview

FIRST_WRITE = 64 << 10
"""Most octets of the first write, so that small requests go in one: each write costs a hand-over between threads. When it fails,
the request did not leave whole, and a server acts on no request before its announced end (RFC 9112 8)."""
WRITE = 256 << 10
READ = 256 << 10
HEAD_LIMIT = 256 << 10  # octets of status line and header fields
BODY_LIMIT = 1 << 30  # octets of a body held in memory
CONNECT_S = 20.0
IDLE_S = 45.0  # an idle connection older than this is not used again
IDLE_CONNECTIONS = 16  # kept per pool
DRIP_OCTETS_S = 256  # an answer slower than this over a whole `timeout_s` is given up


class TransportError(Exception):
    """Base of both; `host` is host:port of the server, `kind` a short stable word."""

    kind = "connection"

    def __init__(self, text: str, *, host: str = "", kind: str = "") -> None:
        super().__init__(text)
        self.host = host
        if kind:
            self.kind = kind


class NotSent(TransportError):
    """Surely nothing of the request was seen by the server's application: repeating is safe."""


class NoSuchHost(NotSent):
    kind = "dns"


class Refused(NotSent):
    """Nobody listens, or no route."""

    kind = "refused"


class ConnectTimeout(NotSent):
    kind = "timeout"


class TlsFailure(NotSent):
    """The certificate or the TLS versions do not suit. Never repeated with less checking."""

    kind = "tls"


class ProxyFailure(NotSent):
    kind = "proxy"


class AnswerLost(TransportError):
    """The request, or part of it, left and no whole answer came. kind: "closed", "timeout", "garbled" or "too_large"."""

    kind = "closed"


@record
class Reply:
    """A whole answer, whatever its status. Redirects are answers too."""

    status: int
    headers: Mapping[str, str]  # lower-case names; repeated fields joined by ", "
    body: bytes = field(repr=False)  # b"" when a sink took it


class MonotonicClock(Protocol):
    def monotonic(self) -> float: ...


class Pace(Protocol):
    """A cap on the line, as `interfaces.Pace` describes it."""

    piece: int

    def up(self, octets: int) -> float: ...

    def down(self, octets: int) -> float: ...


class _SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()


class Line(Protocol):
    """One connection, as a warm-up sees it (sign-in that is bound to a connection, such as NTLM)."""

    @property
    def certificate(self) -> bytes:
        """The server's certificate (DER), b"" without TLS: for channel binding."""
        ...

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: Sequence[Buffer] = ()
    ) -> Reply:
        """One exchange on this very connection. Raises AnswerLost when the server closed it meanwhile."""
        ...


Warm = Callable[[Line], None]


class _Raw(io.RawIOBase):
    """The reading end of a socket. Gives up on a server that sends, but only drop by drop."""

    def __init__(
        self, sock: socket.socket, timeout_s: float, clock: MonotonicClock, pace: Pace | None = None
    ) -> None:
        self.sock = sock
        self.timeout_s = timeout_s
        self.clock = clock
        self.pace = pace
        self.paused = False  # answer "nothing there" instead of asking the socket
        self.since = 0.0
        self.octets = 0

    def readable(self) -> bool:
        return True

    def start(self) -> None:
        """A new answer begins: the watch runs from its first octet."""
        self.octets = 0
        self.since = 0.0

    def readinto(self, buffer: bytearray | memoryview, /) -> int | None:  # type: ignore[override]
        if self.paused:
            return None
        if self.pace is None:
            n = self.sock.recv_into(buffer)
        else:
            n = self.sock.recv_into(memoryview(buffer)[: self.pace.piece])
            waited = self.pace.down(n)
            if self.since:
                self.since += waited  # that was us, not the server
        now = self.clock.monotonic()
        if not self.since:
            self.since = now
        self.octets += n
        if now - self.since > self.timeout_s:
            if n and self.octets < DRIP_OCTETS_S * self.timeout_s:
                raise TimeoutError("the answer comes too slowly")
            self.since, self.octets = now, 0
        return n


def _readable(sock: socket.socket, within_s: float = 0.0) -> bool:
    """Whether a read would return at once, or within so many seconds: data, or (idle) the server's goodbye."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(within_s * 1000))
    return bool(select.select([sock], [], [], within_s)[0])


class _Garbled(Exception):
    """What came is not an HTTP answer, or not a whole one."""


class _SinkFailed(Exception):
    """Carries what a sink raised past the handlers of connection trouble (a full disk is no broken connection)."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class _Connection:
    """An open connection. One thread at a time."""

    def __init__(
        self,
        sock: socket.socket,
        host: str,
        timeout_s: float,
        clock: MonotonicClock,
        pace: Pace | None = None,
    ) -> None:
        sock.settimeout(timeout_s)
        self.sock = sock
        self.host = host
        self.pace = pace
        self.raw = _Raw(sock, timeout_s, clock, pace)
        self.file = io.BufferedReader(self.raw, 64 << 10)
        self.clock = clock
        self.fresh = True
        self.keep = True
        self.idle_since = 0.0
        self.idle_s = IDLE_S

    def patience(self, timeout_s: float) -> None:
        if timeout_s != self.raw.timeout_s:
            self.raw.timeout_s = timeout_s
            self.sock.settimeout(timeout_s)

    def close(self) -> None:
        self.keep = False
        try:
            self.file.close()
            self.sock.close()
        except OSError:
            self.keep = False  # closing a dead connection may complain; it is gone either way

    def usable(self) -> bool:
        """False when the server closed it while idle, said something unasked, or it has been idle for long."""
        if not self.keep or self.clock.monotonic() - self.idle_since > self.idle_s:
            return False
        return not self.answered()

    def answered(self) -> bool:
        """Whether the server said something, or closed, without making us wait."""
        try:
            if not _readable(self.sock):
                return False
            if not isinstance(self.sock, ssl.SSLSocket):
                return True
            # With TLS 1.3 there may be session tickets only (RFC 8446 4.6.1): reading takes them in and finds no more.
            self.sock.settimeout(0)
            try:
                self.file.peek(1)
            finally:
                self.sock.settimeout(self.raw.timeout_s)
            return True
        except (ssl.SSLWantReadError, BlockingIOError):
            return False
        except (OSError, ValueError):
            return True

    def linger(self, most_s: float) -> None:
        """Wait until the server says something, but not for long."""
        try:
            _readable(self.sock, most_s)
        except (OSError, ValueError):
            return  # whoever reads finds out why

    # ---- writing

    def send(self, head: bytes, body: Sequence[Buffer]) -> bool:
        """Write a request; False when the server answered before it had read all (the rest is not sent)."""
        sent = 0
        early = False
        try:
            for piece in _writes(head, body):
                if sent and self.answered():
                    early = True
                    break
                view = memoryview(piece)
                paid = len(view) if self.pace is None else 0
                while view:
                    if self.pace is not None and not paid:
                        paid = min(len(view), self.pace.piece)
                        self.pace.up(paid)
                    n = self.sock.send(view[:paid])
                    sent += n
                    paid -= n
                    view = view[n:]
        except (OSError, ValueError) as e:
            self.keep = False
            if not sent:
                raise NotSent(
                    f"{self.host}: the connection was closed before the request left", host=self.host
                ) from e
            if isinstance(e, TimeoutError):
                raise AnswerLost(
                    f"{self.host}: the server stopped reading the request", host=self.host, kind="timeout"
                ) from e
            early = True  # perhaps it said why before it closed
        if early:
            self.keep = False
        return not early

    # ---- reading

    def receive(self, method: str, sink: Callable[[Buffer], object] | None) -> tuple[Reply, list[str]]:
        """Read one answer; also its Set-Cookie fields. Raises AnswerLost."""
        try:
            return self._receive(method, sink)
        except _SinkFailed as e:
            raise e.error from None
        except _Garbled as e:
            kind = "garbled"
            text = str(e)
            cause: Exception = e
        except TimeoutError as e:
            kind = "timeout"
            text = "no answer in time"
            cause = e
        except (OSError, ValueError) as e:
            kind = "closed"
            text = "the connection broke while waiting for the answer"
            cause = e
        self.keep = False
        raise AnswerLost(f"{self.host}: {text}", host=self.host, kind=kind) from cause

    def _receive(self, method: str, sink: Callable[[Buffer], object] | None) -> tuple[Reply, list[str]]:
        self.raw.start()
        while True:
            version, status, fields = _parse_head(_read_head(self.file))
            if status >= 200 or status == 101:
                break
        headers: dict[str, str] = {}
        cookies: list[str] = []
        for name, value in fields:
            if name == "set-cookie":
                cookies.append(value)
            if name in headers:
                if name == "content-length" and headers[name] != value:
                    raise _Garbled("two different Content-Length fields")
                headers[name] += f", {value}" if name != "content-length" else ""
            else:
                headers[name] = value
        said = headers.get("connection", "").lower()
        if "close" in said or (version < "HTTP/1.1" and "keep-alive" not in said):
            self.keep = False
        self._idle_for(headers.get("keep-alive", ""))
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding in ("", "identity"):
            inflate = None
        elif encoding in ("gzip", "x-gzip"):
            inflate = zlib.decompressobj(31)
        else:
            raise _Garbled("an unknown Content-Encoding")
        if sink is not None and not 200 <= status < 300:
            sink = None
        if method == "HEAD" or status in (204, 304):
            return Reply(status, headers, b""), cookies
        if "chunked" in headers.get("transfer-encoding", "").lower():
            if "content-length" in headers:
                self.keep = False  # RFC 9112 6.1: after such a message the connection is not to be trusted
            pieces = self._chunks()
        elif "content-length" in headers:
            try:
                length = int(headers["content-length"])
            except ValueError:
                length = -1
            if length < 0:
                raise _Garbled("a Content-Length that is no number")
            if inflate is None and sink is None:
                if length > BODY_LIMIT:
                    raise _Garbled("an answer larger than this program holds in memory")
                return Reply(status, headers, self._exactly(length)), cookies
            pieces = self._counted(length)
        else:
            self.keep = False
            pieces = iter(lambda: self.file.read(READ), b"")
        return Reply(status, headers, _gather(pieces, inflate, sink)), cookies

    def _idle_for(self, field_value: str) -> None:
        for part in field_value.split(","):
            name, _, value = part.partition("=")
            if name.strip().lower() == "timeout" and value.strip().isdigit():
                self.idle_s = min(IDLE_S, max(0.0, int(value.strip()) - 1.0))

    def _exactly(self, length: int) -> bytes:
        body = self.file.read(length) if length else b""
        if len(body) != length:
            raise _Garbled(f"the connection ended after {len(body)} of {length} octets of the answer")
        return body

    def _counted(self, left: int) -> Iterable[bytes]:
        while left:
            piece = self._exactly(min(left, READ))
            left -= len(piece)
            yield piece

    def _chunks(self) -> Iterable[bytes]:
        while True:
            line = self.file.readline(1 << 10)
            try:
                size = int(line.split(b";", 1)[0].strip(), 16)
            except ValueError:
                raise _Garbled("the connection ended, or lost its thread, between two chunks") from None
            if size < 0:
                raise _Garbled("a chunk of negative size")
            if size == 0:
                break
            yield from self._counted(size)
            if self.file.readline(3) not in (b"\r\n", b"\n"):
                raise _Garbled("a chunk that is longer than it said")
        seen = 0
        while (line := self.file.readline(64 << 10)) not in (b"\r\n", b"\n"):  # trailers
            seen += len(line)
            if not line or seen > HEAD_LIMIT:
                raise _Garbled("the connection ended after the last chunk")

    def settle(self) -> None:
        """After a whole answer: octets that nobody asked for make the connection unfit for the next request."""
        self.raw.paused = True
        try:
            if self.keep and self.file.peek(1):
                self.keep = False
        finally:
            self.raw.paused = False
        self.fresh = False
        self.idle_since = self.clock.monotonic()


def _writes(head: bytes, body: Sequence[Buffer]) -> Iterable[Buffer]:
    """What to hand to the socket: small buffers together, large ones in slices, the first at most FIRST_WRITE octets."""
    first = True
    small: list[Buffer] = [head]
    held = len(head)
    for buffer in body:
        view = memoryview(buffer)
        size = view.nbytes
        if held + size <= FIRST_WRITE:
            small.append(view)
            held += size
            continue
        at = max(0, FIRST_WRITE - held) if first else 0
        if small or at:
            yield b"".join([*small, view[:at]])
            small, held, first = [], 0, False
        while size - at > FIRST_WRITE:
            yield view[at : at + WRITE]
            at = min(size, at + WRITE)
        if at < size:
            small, held = [view[at:]], size - at
    if small:
        yield small[0] if len(small) == 1 else b"".join(small)


def _read_head(file: io.BufferedReader[_Raw]) -> bytes:
    """Status line and header fields without the empty line."""
    seen = file.peek(1)
    end = seen.find(b"\r\n\r\n")
    if end >= 0:
        return file.read(end + 4)[:-4]
    lines: list[bytes] = []
    total = 0
    while True:
        line = file.readline(64 << 10)
        total += len(line)
        if not line:
            raise _Garbled(
                "the connection was closed without an answer" if not lines else "the answer's head broke off"
            )
        if total > HEAD_LIMIT:
            raise _Garbled("an answer whose head does not end")
        if line in (b"\r\n", b"\n"):
            if lines:
                return b"\r\n".join(lines)
            continue  # empty lines before the status line are to be ignored (RFC 9112 2.2)
        lines.append(line.rstrip(b"\r\n"))


def _parse_head(head: bytes) -> tuple[str, int, list[tuple[str, str]]]:
    lines = head.decode("iso-8859-1").split("\r\n")
    parts = lines[0].split(None, 2)
    if (
        len(parts) < 2
        or not parts[0].startswith("HTTP/1.")
        or not (parts[1].isdigit() and len(parts[1]) == 3)
    ):
        raise _Garbled("what came is not an HTTP answer")
    fields: list[tuple[str, str]] = []
    for line in lines[1:]:
        if line[:1] in (" ", "\t") and fields:  # obsolete line folding
            name, value = fields[-1]
            fields[-1] = (name, f"{value} {line.strip()}")
            continue
        name, colon, value = line.partition(":")
        if colon:
            fields.append((name.strip().lower(), value.strip()))
    return parts[0], int(parts[1]), fields


def _gather(
    pieces: Iterable[bytes], inflate: zlib._Decompress | None, sink: Callable[[Buffer], object] | None
) -> bytes:
    kept: list[bytes] = []
    total = 0

    def give(piece: bytes) -> None:
        nonlocal total
        if sink is not None:
            try:
                sink(piece)
            except Exception as e:
                raise _SinkFailed(e) from e
            return
        total += len(piece)
        if total > BODY_LIMIT:
            raise _Garbled("an answer larger than this program holds in memory")
        kept.append(piece)

    for piece in pieces:
        if inflate is None:
            give(piece)
            continue
        try:
            while piece:
                out = inflate.decompress(piece, 4 << 20)
                if out:
                    give(out)
                piece = inflate.unconsumed_tail
        except zlib.error:
            raise _Garbled("compressed data that does not decompress") from None
    if inflate is not None:
        if rest := inflate.flush():
            give(rest)
        if not inflate.eof:
            raise _Garbled("compressed data that broke off")
    return kept[0] if len(kept) == 1 else b"".join(kept)


LULL_S = 0.002
FEW_THREADS = 24
"""How long book-keeping (`migrator.lull`) is put off, at most, while nothing has come back yet: answers to requests that left together
come back together, and threads that have one to take go first. Among many threads the processor is what is short, not a
connection's moments, and waiting costs it a system call."""
STEADY = 16
JUST_NOW_S = 0.05
"""A connection that was used a moment ago is not asked whether it is still open, once so many reuses went well in a row: asking costs
as much as a small request. A server that closes without a word is found out before that."""


class _Pool:
    """Connections and cookies of one (origin, affinity)."""

    def __init__(self) -> None:
        self.idle: deque[_Connection] = deque()
        self.cookies: dict[str, str] = {}
        self.dropped = False
        self.steady = 0  # reuses in a row that found the connection open


@record
class _Target:
    secure: bool
    host: str
    port: int
    path: str = field(repr=False)  # with query

    @property
    def netloc(self) -> str:
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == (443 if self.secure else 80) else f"{name}:{self.port}"


_UNESCAPED = re.compile(r"[\x00-\x20\x7f]")
_BREAKS = re.compile(r"[\r\n\0]")


@lru_cache(maxsize=512)  # one import URL serves thousands of requests
def _target_of(url: str) -> _Target:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
        raise NotSent("not an http or https URL", kind="url")
    secure = parts.scheme == "https"
    path = parts.path or "/"
    if parts.query:
        path += "?" + parts.query
    if not path.isascii() or _UNESCAPED.search(path):
        raise NotSent(f"{parts.hostname}: a URL with characters that must be escaped", kind="url")
    return _Target(secure, parts.hostname, port or (443 if secure else 80), path)


class Transport:
    """HTTP for one endpoint, or several. Thread-safe; close() when done."""

    def __init__(
        self,
        *,
        user_agent: str,
        ca_file: str = "",
        timeout_s: float = 120.0,
        trust: str = "os",
        clock: MonotonicClock | None = None,
        proxies: Mapping[str, str] | None = None,
        pace: Pace | None = None,
    ) -> None:
        """ca_file: PEM of a further certificate authority. timeout_s: longest silence of the server. trust: "os", the
        operating system's certificate store, or "certifi". proxies: scheme → URL, default from HTTPS_PROXY, NO_PROXY …;
        loopback is never asked from a proxy. pace: the cap on the line, asked for every piece of a body. Raises ValueError when ca_file cannot be read."""
        self._user_agent = user_agent
        self._timeout_s = timeout_s
        self._clock = clock or _SystemClock()
        self._pace = pace
        self._trust = trust
        self._ca_file = ca_file
        self._context: ssl.SSLContext | None = None
        self._proxies = dict(getproxies_environment() if proxies is None else proxies)
        self._pools: dict[tuple[bool, str, int, str], _Pool] = {}
        self._lock = threading.Lock()
        self._closed = False
        self._swept = 0.0
        if ca_file:
            self._context = make_context(trust, ca_file)

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Sequence[Buffer] = (),
        affinity: str = "",
        sink: Callable[[Buffer], object] | None = None,
        warm: Warm | None = None,
        timeout_s: float | None = None,
    ) -> Reply:
        """One exchange; never follows a redirect, never repeats what might have arrived.

        body: buffers sent one after the other as they are; Content-Length is set from them.
        affinity: requests of the same (origin, affinity) share connections and cookies, others do not; without affinity
        cookies are not kept. sink: takes the decoded body of a 2xx answer piece by piece (Reply.body is then empty); after an
        AnswerLost what it got is to be thrown away. warm: called once per new connection, before the request. timeout_s: longest
        silence for this request, when it is known to take long.
        Raises NotSent, AnswerLost; an exception out of sink or warm passes through and costs the connection.
        """
        target = _target_of(url)
        key = (target.secure, target.host, target.port, affinity)
        with self._lock:
            if self._closed:
                raise NotSent("the transport is closed", kind="closed")
            pool = self._pools.get(key)
            if pool is None:
                pool = self._pools[key] = _Pool()
        conn = self._take(pool)
        reused = conn is not None
        while True:
            if conn is None:
                conn = self._open(target)
            try:
                conn.patience(timeout_s or self._timeout_s)
                if conn.fresh and warm is not None:
                    warm(_Warming(self, conn, pool, bool(affinity)))
                    if not conn.keep:
                        raise AnswerLost(
                            f"{conn.host}: the server closed the connection at sign-in", host=conn.host
                        )
                reply = self._exchange(conn, pool, target, method, headers or {}, body, bool(affinity), sink)
            except NotSent:
                pool.steady = 0
                conn.close()
                if not reused:
                    raise
                # The server gave up an idle connection in this very moment; nothing had left.
                conn, reused = None, False
                continue
            except BaseException:
                pool.steady = 0
                conn.close()
                raise
            self._give_back(pool, conn)
            return reply

    def close(self) -> None:
        """Close idle connections. Calls in flight end by themselves; later ones raise NotSent."""
        with self._lock:
            self._closed = True
            pools = list(self._pools.values())
            self._pools.clear()
            for pool in pools:
                pool.dropped = True
        for pool in pools:
            while pool.idle:
                pool.idle.pop().close()

    def forget(self, affinity: str) -> None:
        """Drop the idle connections and cookies of an affinity (a mailbox that moved, a sign-in that lapsed)."""
        with self._lock:
            dropped = [self._pools.pop(key) for key in list(self._pools) if key[3] == affinity]
            for pool in dropped:
                pool.dropped = True
        for pool in dropped:
            while pool.idle:
                pool.idle.pop().close()

    # ---- the pool

    def _take(self, pool: _Pool) -> _Connection | None:
        while True:
            with self._lock:
                if not pool.idle:
                    return None
                conn = pool.idle.pop()  # the one used last: the others may grow old
            if pool.steady >= STEADY and conn.keep and self._clock.monotonic() - conn.idle_since < JUST_NOW_S:
                return conn
            if conn.usable():
                pool.steady += 1
                return conn
            pool.steady = 0
            conn.close()

    def _give_back(self, pool: _Pool, conn: _Connection) -> None:
        conn.settle()
        old: list[_Connection] = []
        with self._lock:
            if not conn.keep or pool.dropped:
                old.append(conn)
            else:
                pool.idle.append(conn)
                if len(pool.idle) > IDLE_CONNECTIONS:
                    old.append(pool.idle.popleft())
            now = self._clock.monotonic()
            if now - self._swept > IDLE_S:
                self._swept = now
                for other in self._pools.values():
                    while other.idle and now - other.idle[0].idle_since > IDLE_S:
                        old.append(other.idle.popleft())
        for each in old:
            each.close()

    # ---- opening

    def _open(self, target: _Target) -> _Connection:
        proxy = self._proxy_for(target)
        where = f"{target.host}:{target.port}"
        try:
            if proxy is None:
                http_conn = http.client.HTTPConnection(target.host, target.port, timeout=CONNECT_S)
            else:
                http_conn = http.client.HTTPConnection(proxy.host, proxy.port, timeout=CONNECT_S)
                if target.secure:
                    http_conn.set_tunnel(target.host, target.port, headers=proxy.headers)
            http_conn.connect()
            sock = http_conn.sock
        except socket.gaierror as e:
            name = target.host if proxy is None else "the proxy"
            raise NoSuchHost(f"{where}: the name {name} cannot be resolved", host=where) from e
        except TimeoutError as e:
            raise ConnectTimeout(f"{where}: no connection within {CONNECT_S:.0f} s", host=where) from e
        except http.client.HTTPException as e:
            raise ProxyFailure(f"{where}: the proxy's answer is no HTTP", host=where) from e
        except UnicodeError as e:
            raise NoSuchHost(f"{where}: not a host name", host=where) from e
        except OSError as e:
            if proxy is not None:
                why = str(e) if "Tunnel connection failed" in str(e) else "cannot be reached"
                raise ProxyFailure(f"{where}: the proxy {why}", host=where) from e
            raise Refused(f"{where}: {e.strerror or 'the connection was refused'}", host=where) from e
        if target.secure:
            try:
                with self._lock:
                    if self._context is None:
                        self._context = make_context(self._trust, self._ca_file)
                    context = self._context
                sock = context.wrap_socket(sock, server_hostname=target.host)
            except ssl.SSLCertVerificationError as e:
                sock.close()
                raise TlsFailure(
                    f"{where}: the server's certificate is not trusted ({e.verify_message})", host=where
                ) from e
            except TimeoutError as e:
                sock.close()
                raise ConnectTimeout(f"{where}: no TLS handshake within {CONNECT_S:.0f} s", host=where) from e
            except ssl.SSLError as e:
                sock.close()
                raise TlsFailure(f"{where}: TLS failed ({e.reason or 'handshake'})", host=where) from e
            except (OSError, ValueError) as e:
                sock.close()
                raise TlsFailure(
                    f"{where}: the server closed the connection during the TLS handshake", host=where
                ) from e
        return _Connection(sock, where, self._timeout_s, self._clock, self._pace)

    def _proxy_for(self, target: _Target) -> _Proxy | None:
        if target.host in ("localhost", "::1") or target.host.startswith("127."):
            return None
        url = self._proxies.get("https" if target.secure else "http") or self._proxies.get("all")
        if not url or proxy_bypass_environment(target.host, self._proxies):
            return None
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme != "http" or not parts.hostname:
            raise ProxyFailure("the proxy setting is not an http:// URL", host=target.host)
        headers = {}
        if parts.username:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers["Proxy-Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        return _Proxy(parts.hostname, parts.port or 80, headers)

    # ---- one exchange

    def _exchange(
        self,
        conn: _Connection,
        pool: _Pool,
        target: _Target,
        method: str,
        headers: Mapping[str, str],
        body: Sequence[Buffer],
        cookies: bool,
        sink: Callable[[Buffer], object] | None,
    ) -> Reply:
        path = target.path
        lines = [f"Host: {target.netloc}"]
        if not target.secure and (proxy := self._proxy_for(target)) is not None:
            path = f"http://{target.netloc}{target.path}"
            lines += [f"{name}: {value}" for name, value in proxy.headers.items()]
        names = set()
        for name, value in headers.items():
            names.add(name.lower())
            lines.append(f"{name}: {value}")
        if "user-agent" not in names:
            lines.append(f"User-Agent: {self._user_agent}")
        if "accept-encoding" not in names:
            lines.append("Accept-Encoding: gzip")
        octets = sum(memoryview(b).nbytes for b in body)
        if body or method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {octets}")
        if cookies and pool.cookies:
            with self._lock:
                jar = "; ".join(f"{name}={value}" for name, value in pool.cookies.items())
            lines.append(f"Cookie: {jar}")
        if any(map(_BREAKS.search, lines)):
            raise NotSent(f"{conn.host}: a header field with a line break", host=conn.host, kind="url")
        try:
            head = "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("iso-8859-1")
        except UnicodeEncodeError:
            raise NotSent(
                f"{conn.host}: a header field with unusual characters", host=conn.host, kind="url"
            ) from None
        meter.sent(octets)
        conn.send(head, body)
        if lull.held():
            if threading.active_count() <= FEW_THREADS:
                conn.linger(LULL_S)
            lull.now()
        reply, set_cookies = conn.receive(method, sink)
        if cookies and set_cookies:
            with self._lock:
                for text in set_cookies:
                    _keep_cookie(pool.cookies, text)
        return reply


@record
class _Proxy:
    host: str
    port: int
    headers: dict[str, str] = field(repr=False)


class _Warming:
    """`Line` for a connection that is being signed in."""

    def __init__(self, transport: Transport, conn: _Connection, pool: _Pool, cookies: bool) -> None:
        self._transport = transport
        self._conn = conn
        self._pool = pool
        self._cookies = cookies

    @property
    def certificate(self) -> bytes:
        sock = self._conn.sock
        return (sock.getpeercert(binary_form=True) or b"") if isinstance(sock, ssl.SSLSocket) else b""

    def request(
        self, method: str, url: str, headers: Mapping[str, str], body: Sequence[Buffer] = ()
    ) -> Reply:
        if not self._conn.keep:
            raise AnswerLost(
                f"{self._conn.host}: the server closed the connection at sign-in", host=self._conn.host
            )
        return self._transport._exchange(
            self._conn, self._pool, _target_of(url), method, headers, body, self._cookies, None
        )


def _keep_cookie(jar: dict[str, str], text: str) -> None:
    """Only what load balancers need: names and values for this origin; a cookie that is taken back goes."""
    pair, *attributes = text.split(";")
    name, equals, value = pair.strip().partition("=")
    if not equals or not name or any(c in value for c in "\r\n\0"):
        return
    gone = not value
    for attribute in attributes:
        key, _, what = attribute.strip().partition("=")
        if key.lower() == "max-age" and what.strip().lstrip("-").isdigit() and int(what) <= 0:
            gone = True
        if key.lower() == "expires" and ("1970" in what or "1969" in what):
            gone = True
    if gone:
        jar.pop(name, None)
    elif len(jar) < 64 or name in jar:
        jar[name] = value


# Where systems keep their bundle when OpenSSL was built to look elsewhere (github.com/tiran/certifi-system-store).
_BUNDLES = (
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/cert.pem",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/ca-bundle.pem",
)


def _system_context() -> ssl.SSLContext:
    """A context that trusts what the operating system trusts."""
    if sys.platform in ("win32", "darwin"):
        import truststore  # asks the system's own verifier

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Elsewhere the store is files, and truststore reads them anew for every connection: 20 ms each, measured.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_default_verify_paths()
    if not ssl.get_default_verify_paths().cafile:
        for path in filter(os.path.isfile, _BUNDLES):
            context.load_verify_locations(cafile=path)
            break
    return context


def make_context(trust: str = "os", ca_file: str = "") -> ssl.SSLContext:
    """A TLS client context that verifies certificate and name, TLS 1.2 at least."""
    if trust == "os":
        context = _system_context()
    else:
        import certifi

        context = ssl.create_default_context(cafile=certifi.where())
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as e:
            raise ValueError(f"the certificate authority file cannot be read: {ca_file}") from e
    return context
