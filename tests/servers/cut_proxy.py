"""A relay on loopback that breaks connections where a test wants it, or makes them slow.

with CutProxy(server.port) as proxy:
    proxy.cut_after(answers=20_000)      # the next connections break after so many octets from the server
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections import deque
from types import TracebackType


class CutProxy:
    """delay_s: of every octet in each direction (half a round trip)."""

    def __init__(self, port: int, *, delay_s: float = 0.0) -> None:
        self._to = port
        self._delay_s = delay_s
        self._lock = threading.Lock()
        self._plan: deque[tuple[int | None, int | None]] = deque()
        self.cuts = 0
        self.connections = 0
        self._live: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> CutProxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def cut_after(self, *, answers: int | None = None, requests: int | None = None) -> None:
        """One more connection is to break after so many octets: from the server, or towards it."""
        with self._lock:
            self._plan.append((answers, requests))

    def cut_at_random(self, times: int, seed: int, *, answers: int, requests: int) -> None:
        """answers, requests: the most octets in each direction before a cut."""
        chance = random.Random(seed)
        for _ in range(times):
            if chance.random() < 0.5:
                self.cut_after(answers=chance.randrange(answers // 20, answers))
            else:
                self.cut_after(requests=chance.randrange(requests // 20, requests))

    def close(self) -> None:
        self._listener.close()
        with self._lock:
            live = list(self._live)
        for sock in live:
            _reset(sock)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                near.close()
                continue
            for sock in (near, far):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                self._live |= {near, far}
                answers, requests = self._plan.popleft() if self._plan else (None, None)
            threading.Thread(target=self._pump, args=(near, far, requests), daemon=True).start()
            threading.Thread(target=self._pump, args=(far, near, answers), daemon=True).start()

    def _pump(self, of: socket.socket, to: socket.socket, left: int | None) -> None:
        try:
            if self._delay_s:
                self._slowly(of, to)
                return
            while data := of.recv(64 << 10):
                if left is not None and len(data) >= left:
                    to.sendall(data[:left])
                    with self._lock:
                        self.cuts += 1
                    time.sleep(0.01)  # what was passed on arrives before the end does
                    return
                to.sendall(data)
                if left is not None:
                    left -= len(data)
        except OSError:
            return
        finally:
            with self._lock:
                self._live -= {of, to}
            for sock in (of, to):
                _reset(sock)

    def _slowly(self, of: socket.socket, to: socket.socket) -> None:
        waiting: deque[tuple[float, bytes]] = deque()
        ready = threading.Condition()
        ended = False

        def write() -> None:
            while True:
                with ready:
                    while not waiting and not ended:
                        ready.wait()
                    if not waiting:
                        return
                    due, data = waiting.popleft()
                pause = due - time.monotonic()
                if pause > 0:
                    time.sleep(pause)
                try:
                    to.sendall(data)
                except OSError:
                    return

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        with contextlib.suppress(OSError):
            while data := of.recv(256 << 10):
                with ready:
                    waiting.append((time.monotonic() + self._delay_s, data))
                    ready.notify()
        with ready:
            ended = True
            ready.notify()
        writer.join(5)


def _reset(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        sock.close()
