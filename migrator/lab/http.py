"""What a handler of the lab takes and gives. No framework: a request is read whole, an answer is a list of buffers.

A handler is `async def handler(request: Request) -> Response`. It may share buffers with the store: the harness never
changes them.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote

Buffer = bytes | bytearray | memoryview


@dataclass(slots=True)
class Request:
    """One request, read whole. Header names are lower-case; `path` is decoded, `raw_path` is as it came."""

    method: str
    path: str
    raw_path: str
    query: str = ""  # raw, without "?"
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | bytearray = b""
    service: str = ""  # ews, graph, token, import, control
    host: str = ""  # of the Host header
    scheme: str = "http"
    peer: str = ""  # address:port of the client: tells connections apart
    received: float = 0.0  # lab clock when the head was read
    octets: int = 0  # of the body on the wire, before any decoding
    recorded: bool = False  # the journal has an entry for it

    @property
    def params(self) -> dict[str, str]:
        """Query parameters, decoded; the last one wins."""
        return dict(parse_qsl(self.query, keep_blank_values=True)) if self.query else {}

    @property
    def base_url(self) -> str:
        return f"{self.scheme}://{self.host}"

    def segments(self) -> list[str]:
        """Path segments, decoded one by one: an id that holds an encoded "/" stays one segment."""
        return [unquote(part) for part in self.raw_path.split("/") if part]


@dataclass(slots=True)
class Response:
    """An answer. The fields below `body` let faults spoil it on the wire; handlers leave them alone."""

    status: int = 200
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: Buffer | Sequence[Buffer] = b""
    abort: str = ""  # "reset": no answer at all, connection reset; "midway": half of the body, then reset
    keep_octets: int | None = None  # cut the body to this length, as a complete answer
    tail: bytes = b""  # appended to the body
    delay_s: float = 0.0  # before the first octet
    drip_octets_s: float = 0.0  # octets a second for the body; 0 is as fast as it goes

    def buffers(self) -> list[Buffer]:
        """The body as it will go out."""
        body = self.body
        parts: list[Buffer] = [body] if isinstance(body, bytes | bytearray | memoryview) else list(body)
        if self.keep_octets is not None:
            joined = b"".join(parts)
            parts = [joined[: self.keep_octets]]
        if self.tail:
            parts.append(self.tail)
        return parts

    @property
    def octets(self) -> int:
        body = self.body
        if isinstance(body, bytes | bytearray | memoryview):
            size = len(body)
        else:
            size = sum(map(len, body))
        if self.keep_octets is not None:
            size = min(size, self.keep_octets)
        return size + len(self.tail)

    def header(self, name: str) -> str:
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), "")


def gzipped(request: Request, response: Response, *, at_least: int = 1024) -> Response:
    """The answer compressed, when the client takes gzip and it is worth it. Level 1: the lab must not be the bottleneck."""
    if "gzip" not in request.headers.get("accept-encoding", "") or response.octets < at_least:
        return response
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    parts = [packer.compress(part) for part in response.buffers()]
    parts.append(packer.flush())
    response.body, response.tail, response.keep_octets = parts, b"", None
    response.headers.append(("Content-Encoding", "gzip"))
    return response


Handler = Callable[[Request], Awaitable[Response]]
