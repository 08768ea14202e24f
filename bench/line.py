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
        assert self._child.stdin is not None and self._child.stdout is not None
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


class _Ends:
    """Both ends of one connection."""

    def __init__(self) -> None:
        self.asked = 0.0
        self.answered = 0.0


class _Line:
    def __init__(self, server_port: int, delay_s: float) -> None:
        self._server_port = server_port
        self._delay_s = delay_s
        self._done: list[Flight] = []
        self._open: set[_Ends] = set()

    def take(self) -> list[Flight]:
        ended = [(ends.asked, ends.answered) for ends in self._open if ends.answered > ends.asked > 0]
        for ends in self._open:
            ends.asked = ends.answered = 0.0
        taken, self._done = self._done + ended, []
        return sorted(taken)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        for end in (writer, far_writer):
            end.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ends = _Ends()
        self._open.add(ends)
        try:
            await asyncio.gather(
                self._carry(reader, far_writer, ends, asks=True),
                self._carry(far_reader, writer, ends, asks=False),
            )
        except ConnectionError:
            return
        finally:
            self._open.discard(ends)
            if ends.answered > ends.asked > 0:
                self._done.append((ends.asked, ends.answered))
            writer.close()
            far_writer.close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ends: _Ends, *, asks: bool
    ) -> None:
        loop = asyncio.get_running_loop()

        def arrive(octets: bytes) -> None:
            if writer.is_closing():
                return
            writer.write(octets)
            if not asks:
                ends.answered = time.monotonic()

        while octets := await reader.read(1 << 18):
            if asks and (ends.answered > ends.asked or not ends.asked):
                if ends.asked:
                    self._done.append((ends.asked, ends.answered))
                ends.asked = time.monotonic()
            loop.call_later(self._delay_s, arrive, octets)
        loop.call_later(self._delay_s, writer.close)


async def _main(server_port: int, round_trip_s: float) -> None:
    line = _Line(server_port, round_trip_s / 2)
    server = await asyncio.start_server(line.serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(line.take()), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2])))
