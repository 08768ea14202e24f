"""The lab as something that runs: each service on its own loopback port.

`Lab` serves in a thread of this process, for tests and for `migrator lab`; `LabProcess` in a child, for the demo and
the benchmarks. The halves can run apart: exchange (EWS, autodiscover) and m365 (sign-in, Graph, import host).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import os
import secrets
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar, cast

from migrator.lab.control import Control
from migrator.lab.http import Handler
from migrator.lab.options import LabOptions
from migrator.lab.wire import Service
from migrator.lab.world import World

T = TypeVar("T")

HALVES = ("exchange", "m365")
PORTS = ("exchange", "graph", "login", "imports", "control")
_SERVICE_NAMES = {
    "exchange": "ews",
    "graph": "graph",
    "login": "token",
    "imports": "import",
    "control": "control",
}


class Lab:
    """The services of a world, from `start` to `stop`, in a background thread with its own event loop.

    world: what is simulated; an empty one when None. ports: by name of `PORTS`, 0 or absent takes a free one.
    tls: serve https with a certificate of the lab's own authority, whose file is `ca_file` in `folder` (a temporary
    folder when None, removed at the end). host: a loopback address; anything else is refused. handlers: by port name,
    instead of the rooms' own.
    """

    def __init__(
        self,
        world: World | None = None,
        *,
        halves: Iterable[str] = HALVES,
        tls: bool = False,
        host: str = "127.0.0.1",
        ports: dict[str, int] | None = None,
        folder: Path | None = None,
        handlers: dict[str, Handler] | None = None,
    ) -> None:
        if not ipaddress.ip_address(host).is_loopback:
            raise ValueError("the lab serves on loopback only")
        self.world = world or World()
        self.halves = tuple(halves)
        unknown = [half for half in self.halves if half not in HALVES]
        if unknown:
            raise ValueError(f"unknown half {unknown[0]!r}: the halves are {' and '.join(HALVES)}")
        self.tls = tls
        self.host = host
        self.ports = dict(ports or {})
        self.folder = folder
        self.handlers = dict(handlers or {})
        self.ca_file: Path | None = None
        self.control_token = secrets.token_urlsafe(24)
        self.stopped = threading.Event()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._services: list[Service] = []
        self._servers: list[asyncio.Server] = []
        self._extra_info: dict[str, Any] = {}

    # -- life

    def start(self) -> Self:
        """Returns when every port listens. Raises OSError when a port is taken."""
        ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(ready,), name="migrator-lab", daemon=True)
        self._thread.start()
        try:
            ready.result(30)
        except BaseException:
            self._thread.join(5)
            raise
        return self

    def stop(self) -> None:
        """Close every connection and port. Safe to repeat."""
        loop, thread = self._loop, self._thread
        self.stopped.set()
        if loop is not None and thread is not None and thread.is_alive():
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def do(self, work: Callable[[World], T]) -> T:
        """Run something on the world inside the lab's own thread, between two requests, and return its result."""
        if self._loop is None or not self._loop.is_running():
            return work(self.world)

        async def inside() -> T:
            return work(self.world)

        return asyncio.run_coroutine_threadsafe(inside(), self._loop).result(60)

    @property
    def urls(self) -> Any:
        return self.world.urls

    def info(self) -> dict[str, Any]:
        """What a client needs to know, secrets included: `migrator lab --json` prints it."""
        urls = self.world.urls
        found: dict[str, Any] = {
            "lab": 1,
            "pid": os.getpid(),
            "urls": {
                "ews": urls.ews,
                "autodiscover": f"{urls.exchange}/autodiscover/autodiscover.svc" if urls.exchange else "",
                "graph": urls.graph,
                "login": urls.login,
                "import": urls.imports,
                "control": urls.control,
            },
            "control_token": self.control_token,
            "ca_file": str(self.ca_file) if self.ca_file else "",
        }
        found.update(self._extra_info)
        return found

    def tell(self, **more: Any) -> None:
        """Add to `info`: accounts, tenants."""
        self._extra_info.update(more)

    # -- inside the thread

    def _run(self, ready: Future[None]) -> None:
        loop = _new_loop()
        self._loop = loop
        asyncio.set_event_loop(loop)
        try:
            try:
                loop.run_until_complete(self._open())
            except BaseException as error:  # noqa: BLE001 - told to the thread that waits
                ready.set_exception(error)
                return
            ready.set_result(None)
            loop.run_forever()
        finally:
            loop.run_until_complete(self._close())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
            self.stopped.set()

    def _handlers(self) -> dict[str, Handler]:
        """By port name. The rooms are imported here: a lab with one half needs only that room."""
        handlers: dict[str, Handler] = {}
        if "exchange" in self.halves and "exchange" not in self.handlers:
            from migrator.lab import ews

            handlers["exchange"] = ews.app(self.world)
        if "m365" in self.halves and "graph" not in self.handlers:
            from migrator.lab import m365

            rooms = m365.apps(self.world)
            handlers["graph"] = rooms["graph"]
            handlers["login"] = rooms["token"]
            handlers["imports"] = rooms["import"]
        handlers.update(self.handlers)
        handlers["control"] = Control(self.world, self.control_token, self.info, self._ask_stop)
        return handlers

    def _ask_stop(self) -> None:
        loop = self._loop
        if loop is not None:
            loop.call_later(0.1, loop.stop)

    async def _open(self) -> None:
        context: ssl.SSLContext | None = None
        if self.tls:
            from migrator.lab.tls import make_authority

            folder = self.folder
            if folder is None:
                self._temporary = tempfile.TemporaryDirectory(prefix="migrator-lab-")
                folder = Path(self._temporary.name)
            self.ca_file, context = make_authority(folder)
        loop = asyncio.get_running_loop()
        # Every socket is bound before a handler is made, so that a room may build URLs as soon as it exists.
        sockets: dict[str, socket.socket] = {}
        wanted = ["control"]
        wanted += ["exchange"] if "exchange" in self.halves else []
        wanted += ["graph", "login", "imports"] if "m365" in self.halves else []
        try:
            for name in wanted:
                sockets[name] = _bind(self.host, self.ports.get(name, 0))
            shown = f"[{self.host}]" if ":" in self.host else self.host
            for name, sock in sockets.items():
                scheme = "https" if context is not None and name != "control" else "http"
                setattr(self.world.urls, name, f"{scheme}://{shown}:{sock.getsockname()[1]}")
            for name, handler in self._handlers().items():
                secure = context if name != "control" else None
                service = Service(self.world, _SERVICE_NAMES[name], handler, "https" if secure else "http")
                server = await loop.create_server(
                    service.protocol, sock=sockets[name], ssl=secure, backlog=1024
                )
                self._services.append(service)
                self._servers.append(server)
        except BaseException:
            for sock in sockets.values():
                sock.close()
            raise

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for service in self._services:
            for wire in list(service.connections):
                wire.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


def _new_loop() -> asyncio.AbstractEventLoop:
    if sys.platform != "win32":
        try:
            import uvloop

            return uvloop.new_event_loop()  # type: ignore[no-any-return, unused-ignore]
        except ImportError:
            pass
    return asyncio.new_event_loop()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        sock.bind((host, port))
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


class LabProcess:
    """The lab in a child process, with `info` as it printed it.

        with LabProcess(LabOptions(mailboxes=8)) as lab:
            lab.info["urls"]["ews"]

    The child ends with `stop`, and by itself when this process dies however it dies: it reads a pipe that only this
    process holds open, and stops at its end.
    """

    def __init__(self, options: LabOptions | None = None, *, log: Path | None = None) -> None:
        self.options = options or LabOptions()
        self.log = log
        self.info: dict[str, Any] = {}
        self._child: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        return self._child.pid if self._child else 0

    def start(self, timeout_s: float = 120.0) -> Self:
        """Returns when the lab serves. Raises RuntimeError with the child's last words when it does not."""
        errors: Any = subprocess.DEVNULL
        if self.log is not None:
            errors = self.log.open("a", encoding="utf-8")
        try:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "migrator.lab", "--child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                encoding="utf-8",
                # Ctrl-C in a terminal goes to the whole group: the parent decides when the lab ends.
                start_new_session=sys.platform != "win32",
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        finally:
            if self.log is not None:
                errors.close()
        pipe_in, pipe_out = cast(IO[str], self._child.stdin), cast(IO[str], self._child.stdout)
        timer = threading.Timer(timeout_s, self._child.kill)
        timer.start()
        try:
            pipe_in.write(self.options.to_json() + "\n")
            pipe_in.flush()
            line = pipe_out.readline()
        except OSError:
            line = ""
        finally:
            timer.cancel()
        if not line.startswith("{"):
            self.stop()
            raise RuntimeError(f"the lab did not start: {line.strip() or 'no answer'}")
        self.info = json.loads(line)
        return self

    def stop(self) -> None:
        """Safe to repeat."""
        child, self._child = self._child, None
        if child is None:
            return
        if child.stdin is not None:
            with contextlib.suppress(OSError):  # it is gone already, which is what we want
                child.stdin.close()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdout is not None:
            child.stdout.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the control port; path below /_lab/. Raises RuntimeError with the lab's words."""
        import http.client
        from urllib.parse import urlsplit

        connection = http.client.HTTPConnection(urlsplit(self.info["urls"]["control"]).netloc, timeout=60)
        try:
            connection.request(
                method,
                f"/_lab/{path}",
                None if body is None else json.dumps(body),
                {"Authorization": f"Bearer {self.info['control_token']}"},
            )
            answer = connection.getresponse()
            value = json.loads(answer.read())
        finally:
            connection.close()
        if answer.status >= 400:
            raise RuntimeError(value.get("error", answer.status))
        return value


__all__ = ["HALVES", "PORTS", "Lab", "LabProcess"]
