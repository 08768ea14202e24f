"""A mail server on loopback, small and strict: STARTTLS or TLS, sign-in, and answers that a test may change.

with SmtpServer(tls=context, starttls=True, users={"robot": "pw"}) as server:
    ...
    assert server.mails[0].data.startswith(b"From:")
"""

from __future__ import annotations

import base64
import socket
import socketserver
import ssl
import threading
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Mail:
    sender: str
    to: list[str]
    data: bytes  # as received, dots unstuffed
    encrypted: bool
    user: str


@dataclass
class _Session:
    encrypted: bool
    user: str = ""
    sender: str = ""
    to: list[str] = field(default_factory=list)


class SmtpServer:
    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        starttls: bool = False,
        users: dict[str, str] | None = None,
        answers: dict[str, list[str]] | None = None,
    ) -> None:
        """tls without starttls: from the first octet. answers: verb ("RCPT", "DATA", "." for the end of data, "CONNECT") →
        what is said instead, one after the other, then as usual."""
        self.mails: list[Mail] = []
        self.verbs: list[str] = []
        self.connections = 0
        self._tls = tls
        self._starttls = starttls
        self._users = users or {}
        self._answers = {verb: list(lines) for verb, lines in (answers or {}).items()}
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                outer.connections += 1
                try:
                    outer._serve(self)
                except (OSError, ValueError):
                    return  # the client has gone

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                return  # a handshake that the client refused

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> SmtpServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _serve(self, handler: socketserver.StreamRequestHandler) -> None:
        sock: socket.socket = handler.request
        if self._tls is not None and not self._starttls:
            sock = self._tls.wrap_socket(sock, server_side=True)
        session = _Session(encrypted=isinstance(sock, ssl.SSLSocket))
        file = sock.makefile("rb")

        def say(line: str) -> None:
            sock.sendall(line.encode() + b"\r\n")

        if said := self._scripted("CONNECT"):
            say(said)
            return
        say("220 lab ESMTP")
        while line := file.readline(4096):
            text = line.decode("utf-8", "replace").strip()
            verb = text.split(" ")[0].split(":")[0].upper()
            self.verbs.append(verb)
            if said := self._scripted(verb):
                say(said)
            elif verb == "EHLO":
                lines = ["lab"]
                if self._starttls and not session.encrypted:
                    lines.append("STARTTLS")
                if self._users and session.encrypted:
                    lines.append("AUTH PLAIN")
                for number, one in enumerate(lines, 1):
                    say(f"250{' ' if number == len(lines) else '-'}{one}")
            elif verb == "STARTTLS" and self._tls is not None and self._starttls:
                say("220 go on")
                sock = self._tls.wrap_socket(sock, server_side=True)
                file = sock.makefile("rb")
                session = _Session(encrypted=True)
            elif verb == "AUTH":
                _, user, password = base64.b64decode(text.split(" ")[2]).decode().split("\0")
                good = session.encrypted and self._users.get(user) == password
                session.user = user if good else ""
                say("235 welcome" if good else "535 5.7.8 no such user \x1b[31m")
            elif verb == "MAIL":
                session.sender, session.to = _address(text), []
                say("250 ok")
            elif verb == "RCPT":
                session.to.append(_address(text))
                say("250 ok")
            elif verb == "DATA":
                say("354 go on")
                data = b""
                while (part := file.readline()) != b".\r\n":
                    data += part[1:] if part.startswith(b".") else part
                if said := self._scripted("."):
                    say(said)
                else:
                    self.mails.append(Mail(session.sender, session.to, data, session.encrypted, session.user))
                    say("250 queued")
            elif verb in ("RSET", "NOOP"):
                say("250 ok")
            elif verb == "QUIT":
                say("221 bye")
                return
            else:
                say("500 what?")

    def _scripted(self, verb: str) -> str:
        lines = self._answers.get(verb)
        return lines.pop(0) if lines else ""


def _address(text: str) -> str:
    return text.partition("<")[2].partition(">")[0]
