"""One Exchange endpoint: sign-in, schema version, one call at a time over the shared transport.

Nothing is repeated here for the sake of luck: `call` repeats only with an older schema version (the server's wish), and once after a
401 that followed success (a lapsed session). Everything else goes up as `migrator.errors`, where the retry wrapper waits.

Facts this module rests on:
- X-AnchorMailbox routes a call to the mailbox' back end; cookies pin it there
  (learn.microsoft.com/…/exchange-web-services/how-to-maintain-affinity-between-group-of-subscriptions-and-mailbox-server)
- a schema version above the server's is refused with ErrorInvalidServerVersion, above the mailbox' back end with
  ErrorInvalidSchemaVersionForMailboxVersion (…/web-service-reference/responsecode)
- impersonation takes PrimarySmtpAddress, PrincipalName or SID (…/web-service-reference/connectingsid)
"""

from __future__ import annotations

import base64
import dataclasses
import threading
import uuid
from collections.abc import Callable
from dataclasses import field
from urllib.parse import urlsplit

from migrator import __version__
from migrator.adapters.ews import faults
from migrator.adapters.ews.signin import Basic, Ntlm, OAuth, Refused, SignIn, Tokens
from migrator.adapters.ews.soap import (
    CONTENT_TYPE,
    VERSIONS,
    Fault,
    Impersonate,
    Message,
    NotSoap,
    Server,
    envelope,
    fault_of,
    messages_of,
    parse,
    server_of,
)
from migrator.adapters.transport import AnswerLost, NotSent, Reply, Transport
from migrator.errors import MigratorError, UserError
from migrator.interfaces import Context, Source, Target
from migrator.model import Mailbox, Role
from migrator.record import record
from migrator.settings import Endpoint

Buffer = bytes | memoryview
Body = str | Callable[[str], str]
"""The SOAP body, or a function that makes it for a schema version."""

USER_AGENT = f"migrator/{__version__}"


@record(frozen=False)
class Box:
    """What is known of one mailbox; shared by all sources that read it."""

    address: str
    owner: str  # address for distinguished folder ids under delegate access, "" otherwise
    sign_in: SignIn
    seat: faults.Seat
    impersonate: Impersonate | None
    version: str
    url: str = ""
    server: Server | None = None
    exports: bool | None = None  # ExportItems works; None: not known yet
    identity: str = ""
    roles: dict[bytes, Role] | None = None  # by normalised folder id
    lock: threading.Lock = field(default_factory=threading.Lock)


class EwsClient:
    """One endpoint in this process (`interfaces.Client`). Thread-safe."""

    def __init__(
        self,
        endpoint: Endpoint,
        context: Context,
        *,
        tokens: Tokens | None = None,
        transport: Transport | None = None,
    ) -> None:
        """tokens: where OAuth tokens come from, default Microsoft's sign-in. Raises UserError for settings that cannot work."""
        self.endpoint = endpoint
        self._context = context
        self._auth = (endpoint.auth or "basic").lower()
        self._access = (endpoint.access or "impersonation").lower()
        self._check()
        try:
            self.transport = transport or Transport(
                user_agent=USER_AGENT,
                ca_file=endpoint.ca_file,
                timeout_s=endpoint.limits.timeout_s,
                trust=endpoint.options.get("trust", "os"),
                clock=context.clock,
                pace=context.pace,
            )
        except ValueError as e:
            raise UserError(f"{endpoint.name}: {e}", code="ca_file") from e
        self._tokens = tokens
        self._sign_ins: dict[tuple[str, str], SignIn] = {}
        self._boxes: dict[tuple[str, str, str], Box] = {}
        self._urls: dict[str, str] = {}
        self._lock = threading.Lock()
        self._discovery = threading.Lock()

    def _check(self) -> None:
        e = self.endpoint
        problems = []
        if self._auth not in ("basic", "ntlm", "oauth"):
            problems.append(f"{e.name}: auth must be basic, ntlm or oauth, not {e.auth!r}")
        if self._access not in ("impersonation", "delegate", "owner"):
            problems.append(f"{e.name}: access must be impersonation, delegate or owner, not {e.access!r}")
        if e.version not in VERSIONS:
            problems.append(f"{e.name}: version must be one of {', '.join(VERSIONS)}, not {e.version!r}")
        if e.url:
            parts = urlsplit(e.url)
            host = parts.hostname or ""
            if parts.scheme not in ("https", "http") or not host:
                problems.append(f"{e.name}: url must look like https://host/EWS/Exchange.asmx")
            elif parts.scheme == "http" and not (
                host == "localhost" or host == "::1" or host.startswith("127.")
            ):
                problems.append(f"{e.name}: url must be https, passwords and mail do not travel in the clear")
            elif parts.username or parts.password:
                problems.append(f"{e.name}: url must not hold a name or password; use username and secret")
        if problems:
            raise UserError(problems[0], problems=problems, code="endpoint_settings")

    # ---- interfaces.Client

    def source(self, mailbox: Mailbox) -> Source:
        from migrator.adapters.ews.source import EwsSource

        return EwsSource(self, self.box(mailbox))

    def target(self, mailbox: Mailbox) -> Target:
        raise UserError(
            f"{self.endpoint.name}: Exchange Web Services can be a source only",
            code="no_target",
            remedy="Use an endpoint of kind graph as the target.",
        )

    def close(self) -> None:
        self.transport.close()
        close = getattr(self._tokens, "close", None)
        if close is not None:
            close()

    # ---- mailboxes and accounts

    def box(self, mailbox: Mailbox) -> Box:
        """The shared state of a mailbox. Raises UserError when no credentials are set for it."""
        e = self.endpoint
        access = self._access
        own = bool(mailbox.secret) and (not mailbox.login or mailbox.login.lower() == mailbox.address.lower())
        if own:
            access = "owner"  # the row brings the mailbox' own password: no right beyond it is needed
        if mailbox.secret or mailbox.login:
            login = mailbox.login or mailbox.address
            secret = mailbox.secret or e.secret
        elif access == "owner" and not e.username:
            login, secret = mailbox.address, e.secret
        else:
            login, secret = e.username, e.secret
        if self._auth != "oauth":
            if not login:
                raise UserError(
                    f"{e.name}: no user name is set to read {mailbox.address} with", code="no_login"
                )
            if not secret:
                raise UserError(
                    f"{e.name}: no secret is set for {login}",
                    code="no_secret",
                    remedy="Set secret to a reference such as env:NAME, keyring:service/name or file:path.",
                )
        key = (mailbox.address.lower(), login.lower(), access)
        with self._lock:
            box = self._boxes.get(key)
            if box is None:
                impersonate = None
                if access == "impersonation":
                    by = "SID" if mailbox.address.upper().startswith("S-1-") else "PrimarySmtpAddress"
                    impersonate = Impersonate(by, mailbox.address)
                box = Box(
                    address=mailbox.address,
                    owner=mailbox.address if access == "delegate" else "",
                    sign_in=self._sign_in(login, secret),
                    seat=faults.Seat(
                        endpoint=e.name,
                        mailbox=mailbox.address,
                        login=login,
                        # without impersonation one account pays for all its mailboxes
                        budget="endpoint" if access == "delegate" else "mailbox",
                        impersonating=access == "impersonation",
                    ),
                    impersonate=impersonate,
                    version=e.version,
                    url=e.url,
                )
                self._boxes[key] = box
            return box

    def _sign_in(self, login: str, secret: str) -> SignIn:
        key = (login.lower(), secret)
        if key in self._sign_ins:
            return self._sign_ins[key]
        what = f"endpoint {self.endpoint.name}, user {login}"

        def reveal() -> str:
            return self._context.secrets.reveal(secret, what=what)

        made: SignIn
        if self._auth == "oauth":
            made = OAuth(login, self._token_source())
        elif self._auth == "ntlm":
            made = Ntlm(login, reveal)
        else:
            made = Basic(login, reveal)
        self._sign_ins[key] = made
        return made

    def _token_source(self) -> Tokens:
        if self._tokens is None:
            from migrator.auth.microsoft import MicrosoftTokens

            e = self.endpoint
            parts = urlsplit(e.url or "https://outlook.office365.com")
            scope = e.options.get("scope", "") or f"{parts.scheme}://{parts.netloc}/.default"
            self._tokens = MicrosoftTokens(
                dataclasses.replace(e, auth="certificate" if e.certificate else "secret"),
                self._context.secrets,
                self._context.clock,
                scope=scope,
            )
        return self._tokens

    # ---- calls

    def call(
        self,
        box: Box,
        operation: str,
        body: Body,
        *,
        sink: Callable[[Buffer], object] | None = None,
        timeout_s: float | None = None,
        bulk: bool = False,
    ) -> bytes:
        """One EWS call; the answer's bytes, which hold no fault (b"" when a sink took them).

        bulk: ask for an uncompressed answer. Raises what `faults` makes of it.
        """
        while True:
            version = box.version
            text = body if isinstance(body, str) else body(version)
            request = envelope(text, version=version, impersonate=box.impersonate)
            reply = self._signed(box, operation, request, sink, timeout_s, bulk)
            if sink is None or reply.status != 200:
                box.server = server_of(reply.body) or box.server
            if reply.status == 200:
                return reply.body
            fault = self._fault(reply)
            if fault is None:
                raise faults.from_status(reply, box.seat)
            if fault.code in faults.VERSION_CODES and self.step_down(box, version):
                continue
            raise faults.from_code(fault.code, fault.text, fault.values, box.seat)

    def messages(self, box: Box, operation: str, body: Body) -> list[Message]:
        """A call whose answer is read as a whole: its response messages, errors among them."""
        while True:
            version = box.version
            data = self.call(box, operation, body)
            try:
                found = messages_of(parse(data))
            except NotSoap as e:
                raise faults.not_soap(box.seat, data, str(e)) from e
            if found and found[0].code in faults.VERSION_CODES and self.step_down(box, version):
                continue
            return found

    def step_down(self, box: Box, version: str) -> bool:
        """Ask this mailbox in an older schema version from now on. False when there is none."""
        with box.lock:
            if box.version != version:
                return True  # another thread did it
            at = VERSIONS.index(version)
            if at == 0:
                return False
            # The front end's build may be newer than the mailbox' back end: then one step at a time.
            highest = box.server.highest if box.server is not None else ""
            box.version = highest if highest in VERSIONS[:at] else VERSIONS[at - 1]
            return True

    @staticmethod
    def _fault(reply: Reply) -> Fault | None:
        if reply.status != 500 or b"Fault" not in reply.body[:8192]:
            return None
        try:
            return fault_of(parse(reply.body))
        except NotSoap:
            return None

    # ---- sign-in round a call

    def _signed(
        self,
        box: Box,
        operation: str,
        request: bytes,
        sink: Callable[[Buffer], object] | None,
        timeout_s: float | None,
        bulk: bool,
    ) -> Reply:
        sign_in = box.sign_in
        with sign_in.turn():
            known = sign_in.accepted
            offered = ""
            for attempt in range(2):
                try:
                    reply = self._send(box, operation, request, sink, timeout_s, bulk)
                    if reply.status != 401:
                        sign_in.accept()
                        return reply
                    offered = reply.headers.get("www-authenticate", "")
                except Refused as e:
                    offered = e.offered
                if not known:
                    break
                if attempt == 0:
                    # It worked before: a session or token may have lapsed. Once, on a new connection.
                    self.transport.forget(self._affinity(box))
                    sign_in.renew(offered)
            error: MigratorError
            if known:
                error = faults.sign_in_lapsed(box.seat)
            else:
                error = faults.sign_in_refused(box.seat, offered, sign_in.method)
            sign_in.refuse(error)
            raise error

    def _send(
        self,
        box: Box,
        operation: str,
        request: bytes,
        sink: Callable[[Buffer], object] | None,
        timeout_s: float | None,
        bulk: bool,
    ) -> Reply:
        url = box.url or self._discovered(box)
        headers = {
            "Content-Type": CONTENT_TYPE,
            "Accept": "text/xml",
            "SOAPAction": f'"http://schemas.microsoft.com/exchange/services/2006/messages/{operation}"',
            "X-AnchorMailbox": _header_text(box.address),
            "client-request-id": str(uuid.uuid4()),
            "return-client-request-id": "true",
        }
        if bulk:
            headers["Accept-Encoding"] = "identity"  # inflating costs more than most links save
        if authorization := box.sign_in.header():
            headers["Authorization"] = authorization
        try:
            return self.transport.request(
                "POST",
                url,
                headers=headers,
                body=[request],
                affinity=self._affinity(box),
                sink=sink,
                warm=box.sign_in.warm(url),
                timeout_s=timeout_s,
            )
        except (NotSent, AnswerLost) as e:
            raise faults.from_transport(e, box.seat) from e

    @staticmethod
    def _affinity(box: Box) -> str:
        return f"{box.address}\n{box.sign_in.login}"

    # ---- where the server is

    def _discovered(self, box: Box) -> str:
        """The address of EWS for this mailbox' domain, asked for once. Runs within the account's turn."""
        domain = box.address.rpartition("@")[2].lower()
        with self._discovery:
            url = self._urls.get(domain, "")
            if not url:
                from migrator.adapters.ews.discovery import discover

                sign_in = box.sign_in
                if not isinstance(sign_in, (Basic, Ntlm)):
                    raise UserError(
                        f"{self.endpoint.name}: url must be set for oauth",
                        code="no_url",
                        remedy="Set url to https://host/EWS/Exchange.asmx.",
                    )
                hosts = self.endpoint.options.get("autodiscover_hosts", "")
                url = discover(
                    box.address,
                    sign_in,
                    box.seat,
                    ca_file=self.endpoint.ca_file,
                    trust=self.endpoint.options.get("trust", "os"),
                    hosts=tuple(host.strip().lower() for host in hosts.split(",") if host.strip()),
                )
                self._urls[domain] = url
        box.url = url
        return url


def _header_text(text: str) -> str:
    """A mailbox name in a header field: internationalised addresses go as RFC 2047 would, not at all raw."""
    if text.isascii() and text.isprintable():
        return text
    return "=?utf-8?B?" + base64.b64encode(text.encode()).decode() + "?="
