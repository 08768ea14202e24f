"""imapclient's connection, by a round trip shorter and with an ear for alerts. Imported when the first connection is opened.

Facts this module rests on:
- a greeting may tell the capabilities (RFC 3501 7.1, code CAPABILITY); imaplib asks for them all the same
- what was told before STARTTLS is void after it (RFC 3501 6.2.1): the greeting's word counts once
- with SASL-IR the first answer travels with AUTHENTICATE (RFC 4959 3); a challenge that follows all the same tells of a refusal,
  and an empty answer has the server go on to say NO (XOAUTH2 does so with JSON in it)
- what a server says with the code ALERT is to be shown to a person (RFC 3501 7.1), also in the greeting and with the answer to
  the sign-in; imaplib forgets it with the next command
"""

from __future__ import annotations

import base64
import imaplib
from typing import TYPE_CHECKING, Any

from imapclient import IMAPClient, imap4, tls

if TYPE_CHECKING:
    _Base = imaplib.IMAP4
else:
    _Base = object

CHALLENGES = 5
_WORDS = (b"OK", b"NO", b"BAD", b"BYE", b"PREAUTH")


class _Ears(_Base):
    """Beside imaplib's own class."""

    heard: list[bytes]  # alerts
    _greeted = False

    def _connect(self) -> None:
        self.heard = []
        super()._connect()  # type: ignore[misc]

    def _get_response(self) -> bytes | None:
        line: bytes | None = super()._get_response()  # type: ignore[misc]
        if line is not None:
            words = line.split(b" ", 2)
            if len(words) == 3 and words[1].upper() in _WORDS and words[2][:7].upper() == b"[ALERT]":
                self.heard.append(words[2][7:].strip())
        return line

    def _get_capabilities(self) -> None:
        greeted, self._greeted = self._greeted, True
        told = self.untagged_responses.pop("CAPABILITY", None) if not greeted else None
        if told and isinstance(told[-1], bytes):
            words = told[-1].partition(b"]")[0].decode("ascii", "replace").upper().split()
            if "IMAP4REV1" in words:
                self.capabilities = tuple(words)
                return
        super()._get_capabilities()  # type: ignore[misc]

    def authenticate(self, mechanism: str, authobject: Any) -> Any:
        if "SASL-IR" not in self.capabilities:
            return super().authenticate(mechanism, authobject)
        first = authobject(b"")
        words = base64.b64encode(first.encode() if isinstance(first, str) else first) or b"="
        tag = self._command("AUTHENTICATE", mechanism.upper(), words.decode())
        challenges = 0
        while not self.tagged_commands[tag]:
            if self._get_response() is None:
                challenges += 1
                if challenges > CHALLENGES:
                    raise self.abort("a sign-in that does not end")
                self.send(b"\r\n")
        kind, data = self._command_complete("AUTHENTICATE", tag)
        if kind != "OK":
            raise self.error(data[-1].decode("utf-8", "replace"))
        self.state = "AUTH"
        return kind, data


class _Plain(_Ears, imap4.IMAP4WithTimeout):  # type: ignore[misc]
    pass


class _Tls(_Ears, tls.IMAP4_TLS):  # type: ignore[misc]
    pass


class Dialled(IMAPClient):  # type: ignore[misc]
    """An `IMAPClient` whose `_imap.heard` are the alerts so far."""

    def _create_IMAP4(self) -> Any:
        wait = getattr(self._timeout, "connect", None)
        if self.ssl:
            return _Tls(self.host, self.port, self.ssl_context, wait)  # type: ignore[call-arg]
        return _Plain(self.host, self.port, wait)
