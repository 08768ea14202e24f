"""A line of a given round trip between a client and a server, in a process of its own, that knows how much is in flight on it.

It stands at the client's end: a request is in flight from the moment its first octet leaves the client until the last octet
of the answer has been handed to the client. When a request came is asked of the kernel (Linux: SO_TIMESTAMPNS, the moment at which
the octets reached the socket), so that the line's own waking up is not taken for the client's idleness. It sees octets only, so
TLS stays closed to it. One request at a time per connection, as HTTP/1.1 without pipelining has it.

    with Line(port, round_trip_s=0.04) as line:
        … talk to 127.0.0.1:line.port …
        line.flights()      # [(seconds, seconds)] of the machine's clock
"""

from __future__ import annotations

import json
import selectors
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from types import TracebackType

Flight = tuple[float, float]
_STAMPS: int | None = getattr(socket, "SO_TIMESTAMPNS", 35) if sys.platform == "linux" else None


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


class _End:
    """One end of a connection. `peer` is the other one."""

    def __init__(self, sock: socket.socket, flight: _Flight, *, client: bool) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if client and _STAMPS is not None:
            sock.setsockopt(socket.SOL_SOCKET, _STAMPS, 1)
        self.sock = sock
        self.flight = flight
        self.client = client
        self.peer: _End

    def read(self) -> bytes:
        if not self.client:
            return self.sock.recv(1 << 18)
        octets, ancillary, _, _ = self.sock.recvmsg(1 << 18, 256)
        at = time.time()
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == _STAMPS and len(data) >= 16:
                seconds, nanoseconds = struct.unpack("qq", data[:16])
                at = seconds + nanoseconds / 1e9
        if octets:
            self.flight.asks(at)
        return octets

    def write(self, octets: bytes) -> None:
        self.sock.setblocking(True)
        try:
            self.sock.sendall(octets)
        finally:
            self.sock.setblocking(False)
        if self.client:
            self.flight.answered = time.time()


class _Flight:
    """What is in flight on one connection."""

    def __init__(self, done: list[Flight]) -> None:
        self.done = done
        self.asked = 0.0
        self.answered = 0.0

    def asks(self, at: float) -> None:
        if self.answered > self.asked or not self.asked:
            self.end()
            self.asked = at

    def end(self) -> None:
        if self.answered > self.asked > 0:
            self.done.append((self.asked, self.answered))
        self.asked = 0.0


def _serve(server_port: int, delay_s: float) -> None:
    done: list[Flight] = []
    flights: set[_Flight] = set()
    arriving: deque[tuple[float, _End, bytes]] = deque()  # in the order of their time, as the delay is one
    selector = selectors.DefaultSelector()
    listener = socket.create_server(("127.0.0.1", 0))
    selector.register(listener, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    print(listener.getsockname()[1], flush=True)
    while True:
        wait = max(0.0, arriving[0][0] - time.monotonic()) if arriving else None
        for key, _ in selector.select(wait):
            if key.fileobj is sys.stdin:
                if not sys.stdin.readline():
                    return
                for flight in flights:
                    flight.end()
                print(json.dumps(sorted(done)), flush=True)
                done.clear()
            elif key.fileobj is listener:
                flight = _Flight(done)
                flights.add(flight)
                near = _End(listener.accept()[0], flight, client=True)
                far = _End(socket.create_connection(("127.0.0.1", server_port)), flight, client=False)
                near.peer, far.peer = far, near
                for end in (near, far):
                    end.sock.setblocking(False)
                    selector.register(end.sock, selectors.EVENT_READ, end)
            else:
                end = key.data
                try:
                    octets = end.read()
                except BlockingIOError:
                    continue
                except OSError:
                    octets = b""
                if not octets:
                    selector.unregister(end.sock)
                arriving.append((time.monotonic() + delay_s, end.peer, octets))
        while arriving and arriving[0][0] <= time.monotonic():
            _, end, octets = arriving.popleft()
            try:
                if octets:
                    end.write(octets)
                else:
                    end.sock.shutdown(socket.SHUT_WR)
            except OSError:
                continue  # it has closed; what is still on its way to it is lost, as on any line


if __name__ == "__main__":
    _serve(int(sys.argv[1]), float(sys.argv[2]) / 2)
