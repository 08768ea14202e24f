"""From an address to a signed-in connection, by imapclient.

Facts this module rests on:
- a password never crosses an unprotected line: LOGINDISABLED or not, STARTTLS comes first (RFC 3501 6.2.1, RFC 8314)
- SASL PLAIN carries an authorization identity beside the authentication one (RFC 4616); Dovecot's master users sign in as
  `user*master` (doc.dovecot.org/configuration_manual/authentication/master_users), Kerio's and Zimbra's otherwise
- XOAUTH2's refusal is a challenge with JSON, which must be answered with an empty line before the NO comes
  (learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth)
- a wrong password is not tried again: servers lock accounts
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import ipaddress
import socket
import ssl
from collections.abc import Callable
from dataclasses import field
from typing import Any
from urllib.parse import urlsplit

from migrator.adapters.imap import faults
from migrator.adapters.imap.wire import Lost, Wire, parse_tagged
from migrator.errors import JobError, MigratorError, SourceDown, Throttled, Transient, UserError
from migrator.interfaces import Pace
from migrator.record import record
from migrator.settings import Endpoint

CONNECT_S = 20.0
TOKENS = ("secret", "certificate", "device")
METHODS = ("login", "plain", "xoauth2", *TOKENS)
SCOPE = "https://outlook.office365.com/.default"


@record
class Where:
    host: str
    port: int
    tls: bool  # from the first octet; else STARTTLS
    clear: bool  # loopback may do without

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@record
class Account:
    """Whose mailbox, and who opens it."""

    user: str  # the mailbox' own login
    login: str  # who is authenticated
    authzid: str = ""
    password: Callable[[], str] = field(default=lambda: "", repr=False)


def parse_url(endpoint: Endpoint) -> Where:
    """Raises UserError with every fault found."""
    parts = urlsplit(endpoint.url)
    problems = []
    host = parts.hostname or ""
    if parts.scheme not in ("imap", "imaps") or not host:
        problems.append(f"{endpoint.name}: url must look like imaps://host or imap://host")
    if parts.username or parts.password:
        problems.append(f"{endpoint.name}: url must not hold a name or password; use username and secret")
    try:
        port = parts.port or (143 if parts.scheme == "imap" else 993)
    except ValueError:
        port = 0
        problems.append(f"{endpoint.name}: the port in url is no number below 65536")
    if (endpoint.auth or "login") not in METHODS:
        problems.append(f"{endpoint.name}: auth must be one of {', '.join(METHODS)}, not {endpoint.auth!r}")
    master = endpoint.options.get("master", "")
    if master and master != "authzid" and not ("{user}" in master and "{master}" in master):
        problems.append(f'{endpoint.name}: options.master is a pattern such as "{{user}}*{{master}}"')
    if master and not endpoint.username:
        problems.append(f"{endpoint.name}: options.master needs username, the master user")
    pin = endpoint.options.get("pin", "").replace(":", "")
    if pin and (len(pin) != 64 or any(char not in "0123456789abcdefABCDEF" for char in pin)):
        problems.append(
            f"{endpoint.name}: options.pin is the SHA-256 of a certificate: 64 hexadecimal digits"
        )
    if problems:
        raise UserError(problems[0], problems=problems, code="endpoint_settings")
    return Where(host, port, parts.scheme == "imaps", parts.scheme == "imap" and _loopback(host))


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


class Door:
    """Opens connections to one endpoint. Thread-safe."""

    def __init__(
        self, endpoint: Endpoint, where: Where, *, tokens: Any = None, pace: Pace | None = None
    ) -> None:
        self._endpoint = endpoint
        self._where = where
        self._tokens = tokens
        self._pace = pace
        self._method = endpoint.auth or "login"
        self._pin = endpoint.options.get("pin", "").replace(":", "").lower()
        self._spool = int(endpoint.options.get("spool_octets", 32 << 20))
        self._spool_dir = endpoint.options.get("spool_dir") or None
        self._context: ssl.SSLContext | None = None
        if not where.clear:  # reading the system's authorities takes a tenth of a second
            self._context = self._tls()
        self._refused: set[tuple[str, str]] = set()

    def _tls(self) -> ssl.SSLContext:
        from migrator.adapters.transport import make_context

        try:
            context = make_context(self._endpoint.options.get("trust", "os"), self._endpoint.ca_file)
        except ValueError as e:
            raise UserError(f"{self._endpoint.name}: {e}", code="ca_file") from e
        if self._pin:  # the certificate itself is known: authority, name and dates say nothing more
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        with contextlib.suppress(NotImplementedError):
            context.set_alpn_protocols(["imap"])
        return context

    def open(self, account: Account, alert: Callable[[bytes], None] = lambda text: None) -> Wire:
        """A signed-in connection. alert: takes what the server wants to be shown, also where it then lets nobody in.

        Raises SourceDown, Transient, Throttled, JobError, UserError.
        """
        who = account.user
        if (account.login, account.authzid) in self._refused:
            raise self._wrong(account, "it was refused a moment ago")
        client = self._connect(who)
        try:
            self._protect(client, who)
            client._imap.untagged_responses.pop("CAPABILITY", None)
            self._sign_in(client, account)
            return self._take_over(client, who)
        except BaseException:
            with contextlib.suppress(Exception):
                client.shutdown()
            raise
        finally:
            for text in client._imap.heard:
                alert(text)

    def _connect(self, who: str) -> Any:
        import imapclient

        from migrator.adapters.imap.dial import Dialled

        timeout = imapclient.SocketTimeout(connect=CONNECT_S, read=self._endpoint.limits.timeout_s)
        where = self._where
        try:
            client = Dialled(
                where.host, where.port, ssl=where.tls, ssl_context=self._context, timeout=timeout
            )
        except (OSError, EOFError) as e:
            raise self._down(e) from e
        except Exception as e:
            raise self._broken(e, who) from e
        # imapclient lets imaplib format every line for a log that nobody reads.
        client._imap.debug = 0
        # A command is more than one write: with Nagle's algorithm the second waits for the peer's delayed acknowledgement.
        client.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def _protect(self, client: Any, who: str) -> None:
        if not self._where.tls and not (self._where.clear and not client.has_capability("STARTTLS")):
            if not client.has_capability("STARTTLS"):
                raise UserError(
                    f"{self._endpoint.name}: {self._where} offers no STARTTLS, and passwords and mail do not travel in the clear",
                    code="no_tls",
                    remedy="Use imaps:// if the server has a port for it.",
                )
            try:
                client.starttls(self._context or self._tls())
            except OSError as e:
                raise self._down(e) from e
            except Exception as e:
                raise self._broken(e, who) from e
        if self._pin:
            der = client.socket().getpeercert(binary_form=True) or b""
            if not hmac.compare_digest(hashlib.sha256(der).hexdigest(), self._pin):
                raise UserError(
                    f"{self._endpoint.name}: {self._where} shows another certificate than the pinned one",
                    code="pin_mismatch",
                    remedy="Compare the certificate with the server's administrator, then mend options.pin.",
                )

    def _sign_in(self, client: Any, account: Account) -> None:
        from imapclient import exceptions

        method = self._method
        token = ""
        try:
            if method in TOKENS:
                token = self._tokens.token()
                client.oauth2_login(account.login, token)
            elif method == "xoauth2":
                client.oauth2_login(account.login, account.password())
            elif method == "plain" or account.authzid:
                client.plain_login(account.login, account.password(), account.authzid or None)
            else:
                self._login(client, account)
        except exceptions.LoginError as e:
            # What went without a word was not refused; who says BYE may mean the password, which is not tried again then.
            cause = e.__context__
            if (
                isinstance(cause, exceptions.IMAPClientAbortError)
                and "BYE" not in client._imap.untagged_responses
            ):
                raise self._broken(cause, account.user) from None
            raise self._refusal(e, account) from None
        except exceptions.IMAPClientAbortError as e:
            raise self._broken(e, account.user) from None
        except exceptions.IMAPClientError as e:
            raise self._refusal(e, account) from None
        except OSError as e:
            raise Transient(f"{account.user}: the connection was lost while signing in", code="closed") from e

    def _login(self, client: Any, account: Account) -> None:
        password = account.password()
        login = account.login
        # imaplib has asked anew behind STARTTLS; imapclient would ask once more.
        if "LOGINDISABLED" in client._imap.capabilities or not (login + password).isascii():
            # LOGIN takes no characters beyond ASCII (RFC 3501 6.2.3); SASL PLAIN is UTF-8.
            client.plain_login(login, password)
        else:
            client.login(login, password)

    def _take_over(self, client: Any, who: str) -> Wire:
        """From here on the socket is ours; what imaplib has read ahead is kept."""
        imap = client._imap
        sock: socket.socket = client.socket()
        early = b""
        buffered = getattr(imap, "_file", None) or imap.file
        sock.settimeout(0)
        with contextlib.suppress(OSError, ValueError):
            early = bytes(buffered.peek(1)) if hasattr(buffered, "peek") else b""
        sock.settimeout(self._endpoint.limits.timeout_s)
        wire = Wire(sock, early=early, spool=self._spool, spool_dir=self._spool_dir, pace=self._pace)
        wire.keep = client  # imaplib closes the socket when it is collected
        try:
            # Most servers tell with the answer to the sign-in (RFC 3501 6.2.3): a round trip less.
            told = imap.untagged_responses.pop("CAPABILITY", None)
            if told:
                wire.capabilities = frozenset(told[-1].upper().split())
            else:
                _, untagged = wire.ask(b"CAPABILITY")
                for pieces in untagged:
                    line = pieces[0]
                    if isinstance(line, bytes) and line[:13].upper() == b"* CAPABILITY ":
                        wire.capabilities = frozenset(line[13:].strip().upper().split())
            self._enable(wire)
        except Lost as e:
            raise faults.lost(e, who) from None
        wire.errors = 0  # from here on they count for what is asked of the mailbox
        return wire

    def _enable(self, wire: Wire) -> None:
        """What is asked for here need not be waited for: the answers come before those to the next command."""
        wanted = [word for word in (b"QRESYNC",) if wire.has(word) and wire.has(b"ENABLE")]
        if wire.has(
            b"UTF8=ONLY"
        ):  # it takes nothing else, and has ENABLE whether it says so or not (RFC 6855 3, 6)
            wanted.append(b"UTF8=ACCEPT")
            wire.utf8 = True
        if wanted:
            wire.begin(b"ENABLE " + b" ".join(wanted))
        if wire.has(b"ID"):
            wire.begin(b'ID ("name" "migrator")')
        if wire.has(b"COMPRESS=DEFLATE") and self._endpoint.options.get("compress", "").lower() in (
            "yes",
            "on",
        ):
            said, _ = wire.ask(b"COMPRESS DEFLATE")
            if said.ok:
                wire.compress()

    # ---- what went wrong

    def _down(self, e: BaseException) -> MigratorError:
        where = self._where
        if isinstance(e, ssl.SSLCertVerificationError):
            return SourceDown(
                f"{where}: its certificate is not trusted: {e.verify_message}",
                code="tls",
                remedy="Name its authority in ca_file, or pin the certificate with options.pin.",
            )
        if isinstance(e, ssl.SSLError):
            return SourceDown(f"{where}: no TLS connection: {e.reason or 'failed'}", code="tls")
        if isinstance(e, socket.gaierror):
            return SourceDown(f"{where}: the name is not known", code="dns", remedy="Check url.")
        if isinstance(e, TimeoutError):
            return SourceDown(f"{where}: no answer", code="timeout")
        if isinstance(e, ConnectionRefusedError):
            return SourceDown(f"{where}: refused the connection", code="refused")
        return SourceDown(f"{where}: cannot be reached", code="connection")

    def _broken(self, e: BaseException, who: str) -> MigratorError:
        words = str(e).encode()
        slow = faults.throttled(Lost("closed", words))
        return slow or Transient(
            f"{who}: the server closed the connection while it was set up", code="closed"
        )

    def _refusal(self, e: Exception, account: Account) -> MigratorError:
        words = str(e)
        if words.startswith("b'") or words.startswith('b"'):
            words = words[2:-1]
        said = parse_tagged(b"NO " + words.encode("utf-8", "replace"))
        slow = faults.throttled(said)
        if slow is not None:
            return slow
        if said.code in (b"UNAVAILABLE", b"INUSE", b"SERVERBUG"):
            return Transient(f"{account.user}: sign-in is not possible just now", code="unavailable")
        if said.code == b"LIMIT":
            return Throttled(
                f"{account.user}: the server allows no more connections",
                code="too_many_connections",
                retry_after_s=15.0,
            )
        self._refused.add((account.login, account.authzid))
        return self._wrong(account, faults.safe(said.text) or "no reason given")

    def _wrong(self, account: Account, words: str) -> JobError:
        # One mailbox' password: the others go on.
        return JobError(
            f"{account.user}: the server refused the sign-in as {account.login}: {words}",
            code="sign_in_refused",
            remedy="Check login and secret of this row (or username, secret and options.master of the endpoint); "
            "it was tried once only, so that no account gets locked.",
        )
