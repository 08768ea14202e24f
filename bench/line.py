"""A line of a given round trip between a client and a server, in a process of its own, that knows how much is in flight on it.

It stands at the client's end: a request is in flight from the moment its first octet leaves the client until the last octet
of the answer reaches the client. It sees octets only, so TLS stays closed to it. One request at a time per connection,
as HTTP/1.1 without pipelining has it.

    with Line(port, round_trip_s=0.04) as line:
        … talk to 127.0.0.1:line.port …
        line.flights()      # [(seconds, seconds)] on one clock
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from types import TracebackType

Flight = tuple[float, float]


class Line:
    def __init__(self, server_port: int, round_trip_s: float) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-m", "bench.line", str(server_port), str(round_trip_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._child.stdout is not None
        self.port = int(self._child.stdout.readline())

    def flights(self) -> list[Flight]:
        """All so far, and forget them."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write("flights\n")
        self._child.stdin.flush()
        return [(start, end) for start, end in json.loads(self._child.stdout.readline())]

    def __enter__(self) -> Line:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.wait(10)


class _Connection:
    """Both ends of one connection, and what is in flight on it."""

    def __init__(self, line: _Line) -> None:
        self.line = line
        self.asked = 0.0
        self.answered = 0.0
        self.ends: dict[bool, asyncio.Transport] = {}
        self.early: list[bytes] = []  # from the client, before the server's end is open

    def came(self, from_client: bool, octets: bytes) -> None:
        if from_client and (self.answered > self.asked or not self.asked):
            now = time.monotonic()
            if self.asked:
                self.line.done.append((self.asked, self.answered))
            self.asked = now
        self.line.loop.call_later(self.line.delay_s, self._arrive, from_client, octets)

    def _arrive(self, from_client: bool, octets: bytes) -> None:
        to = self.ends.get(not from_client)
        if to is None:
            self.early.append(octets)
        elif not to.is_closing():
            to.write(octets)
            if not from_client:
                self.answered = time.monotonic()

    def opened(self, client: bool, transport: asyncio.Transport) -> None:
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.ends[client] = transport
        if not client and self.early:
            transport.write(b"".join(self.early))
            self.early.clear()

    def lost(self) -> None:
        self.line.open.discard(self)
        if self.answered > self.asked > 0:
            self.line.done.append((self.asked, self.answered))
            self.asked = 0.0
        for end in self.ends.values():
            self.line.loop.call_later(self.line.delay_s, end.close)


class _End(asyncio.Protocol):
    def __init__(self, connection: _Connection, client: bool) -> None:
        self._connection = connection
        self._client = client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._connection.opened(self._client, transport)
        if self._client:
            self._connection.line.reach(self._connection)

    def data_received(self, data: bytes) -> None:
        self._connection.came(self._client, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.lost()


class _Line:
    def __init__(self, server_port: int, delay_s: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.delay_s = delay_s
        self.done: list[Flight] = []
        self.open: set[_Connection] = set()
        self._server_port = server_port
        self._reaching: set[asyncio.Task[object]] = set()

    def client(self) -> _End:
        connection = _Connection(self)
        self.open.add(connection)
        return _End(connection, client=True)

    def reach(self, connection: _Connection) -> None:
        """Open the server's end."""
        task: asyncio.Task[object] = self.loop.create_task(
            self.loop.create_connection(
                lambda: _End(connection, client=False), "127.0.0.1", self._server_port
            )
        )
        self._reaching.add(task)
        task.add_done_callback(self._reaching.discard)

    def take(self) -> list[Flight]:
        ended = [(one.asked, one.answered) for one in self.open if one.answered > one.asked > 0]
        for one in self.open:
            one.asked = one.answered = 0.0
        taken, self.done = self.done + ended, []
        return sorted(taken)


async def _main(server_port: int, round_trip_s: float) -> None:
    line = _Line(server_port, round_trip_s / 2)
    server = await line.loop.create_server(line.client, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    while await line.loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(line.take()), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2])))
