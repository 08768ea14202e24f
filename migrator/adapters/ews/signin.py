"""Signing in to EWS: Basic, NTLM, OAuth. One `SignIn` per account and process, shared by all its mailboxes.

A wrong password is tried exactly once: until an account has been accepted, its calls go one at a time, and after the first refusal
no call leaves any more. Fifty mailboxes behind one mistyped service account must not lock it out.

Facts this module rests on:
- Basic: base64 of `name:password`, UTF-8 (RFC 7617 2.1)
- NTLM signs in a connection, not a request; the first leg's answer is a 401 with the challenge (MS-NTHT 3.1.5). The handshake runs on a
  tiny request, so that no item list is sent three times
- Extended Protection binds the handshake to the server's certificate: hash of it after `tls-server-end-point:` (RFC 5929 4.1)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from migrator.adapters.transport import Line, Warm
from migrator.auth import redact
from migrator.errors import MigratorError, UserError


class Refused(Exception):
    """The server said 401 at a connection's handshake. offered: its WWW-Authenticate."""

    def __init__(self, offered: str) -> None:
        super().__init__()
        self.offered = offered


class Tokens(Protocol):
    """Where OAuth tokens come from."""

    def token(self) -> str: ...

    def renew(self, stale: str, claims: str = "") -> str: ...


class SignIn:
    """Common part: whether this account was accepted, and who may try."""

    method = ""

    def __init__(self, login: str) -> None:
        self.login = login
        self._lock = threading.Lock()
        self._accepted = False
        self._refusal: MigratorError | None = None

    @property
    def accepted(self) -> bool:
        return self._accepted

    def check(self) -> None:
        """Raises what the refusal was, once there was one."""
        refusal = self._refusal
        if refusal is not None:
            raise type(refusal)(refusal.message, code=refusal.code, remedy=refusal.remedy)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Round every call: the first ones wait for each other."""
        self.check()
        if not self._accepted:
            with self._lock:
                self.check()
                if not self._accepted:
                    yield
                    return
        yield

    def accept(self) -> None:
        self._accepted = True

    def refuse(self, error: MigratorError) -> None:
        self._refusal = error

    def header(self) -> str:
        """Value of the Authorization field; "" when connections are signed in instead."""
        raise NotImplementedError

    def warm(self, url: str) -> Warm | None:
        """What signs in a new connection, where that is the way."""
        return None

    def renew(self, challenge: str) -> None:
        """After a 401 that followed success. challenge: WWW-Authenticate."""


class Basic(SignIn):
    method = "basic"

    def __init__(self, login: str, reveal: Callable[[], str]) -> None:
        super().__init__(login)
        self.reveal = reveal
        self._value = ""

    def header(self) -> str:
        if not self._value:
            pair = base64.b64encode(f"{self.login}:{self.reveal()}".encode()).decode()
            redact.known(pair)
            self._value = f"Basic {pair}"
        return self._value


class OAuth(SignIn):
    method = "oauth"

    def __init__(self, login: str, tokens: Tokens) -> None:
        super().__init__(login)
        self._tokens = tokens
        self._last = ""

    def header(self) -> str:
        self._last = self._tokens.token()
        return f"Bearer {self._last}"

    def renew(self, challenge: str) -> None:
        from migrator.auth.microsoft import challenge_claims

        self._tokens.renew(self._last, challenge_claims(challenge))


_CHALLENGE = re.compile(r"\b(NTLM|Negotiate)\s+([A-Za-z0-9+/=]+)", re.IGNORECASE)


class Ntlm(SignIn):
    method = "ntlm"

    def __init__(self, login: str, reveal: Callable[[], str]) -> None:
        super().__init__(login)
        self.reveal = reveal

    def header(self) -> str:
        return ""

    def warm(self, url: str) -> Warm | None:
        def handshake(line: Line) -> None:
            import spnego
            from spnego.channel_bindings import GssChannelBindings

            bindings = None
            if line.certificate:
                bindings = GssChannelBindings(
                    application_data=b"tls-server-end-point:" + _hash_of(line.certificate)
                )
            try:
                context = spnego.client(
                    self.login, self.reveal(), protocol="ntlm", channel_bindings=bindings, service="http"
                )
                first = context.step()
                reply = line.request("GET", url, _bearing(first))
                match = _CHALLENGE.search(reply.headers.get("www-authenticate", ""))
                if reply.status != 401:
                    return  # the server takes us without: some front ends sign in on their own
                if match is None:
                    raise Refused(reply.headers.get("www-authenticate", ""))
                answer = context.step(base64.b64decode(match[2], validate=True))
            except (spnego.exceptions.SpnegoError, binascii.Error) as e:
                raise UserError(
                    f"NTLM sign-in as {self.login} is not possible with this server",
                    code="sign_in_method",
                    remedy="Use basic, where the server offers it.",
                ) from e
            reply = line.request("GET", url, _bearing(answer))
            if reply.status == 401:
                raise Refused(reply.headers.get("www-authenticate", ""))

        return handshake


def _bearing(token: bytes | None) -> dict[str, str]:
    return {"Authorization": "NTLM " + base64.b64encode(token or b"").decode()}


def _hash_of(certificate: bytes) -> bytes:
    """The hash that the certificate was signed with, SHA-256 where that was MD5 or SHA-1 (RFC 5929 4.1)."""
    from cryptography import x509

    algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    name = algorithm.name if algorithm is not None else "sha256"
    return hashlib.new("sha256" if name in ("md5", "sha1") else name, certificate).digest()
