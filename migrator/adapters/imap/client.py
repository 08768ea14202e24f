"""One IMAP endpoint: accounts, mailboxes, and connections that are handed on instead of opened anew."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import field
from functools import partial
from typing import TypeVar

from migrator.adapters.imap import faults
from migrator.adapters.imap.grammar import encode_name, wire_name
from migrator.adapters.imap.names import Naming
from migrator.adapters.imap.signin import SCOPE, TOKENS, Account, Door, parse_url
from migrator.adapters.imap.wire import Lost, Selected, Wire
from migrator.errors import UserError
from migrator.interfaces import Context, Emit, Source, Target
from migrator.model import Folder, Mailbox
from migrator.record import record
from migrator.settings import Endpoint

T = TypeVar("T")

IDLE_MOST = 8
"""Connections of one mailbox that are kept for the next handle."""
STALE_S = 20 * 60.0
"""Servers end idle connections after 30 minutes (RFC 3501 5.4)."""


@record(frozen=False)
class Shared:
    """What all handles of one mailbox know together."""

    account: Account
    key: str
    lock: threading.RLock = field(default_factory=threading.RLock)
    idle: list[Wire] = field(default_factory=list)
    naming: Naming | None = None
    foreign: tuple[str, ...] = ()  # prefixes of other users' and shared namespaces
    folders: dict[str, Folder] | None = None  # by id, when they were listed as a target
    making: threading.RLock = field(default_factory=threading.RLock)
    permanent: dict[str, frozenset[bytes]] = field(default_factory=dict)  # by folder id
    capabilities: frozenset[bytes] = frozenset()  # of the last connection
    shown: dict[str, bool] = field(default_factory=dict)  # subscribed or not, by folder id, as far as known
    append_most: dict[str, int | None] = field(
        default_factory=dict
    )  # largest message by folder id; None: no limit
    alerts: set[str] = field(default_factory=set)  # told already
    product: str = ""


class ImapClient:
    """One endpoint in this process (`interfaces.Client`). Thread-safe."""

    def __init__(self, endpoint: Endpoint, context: Context) -> None:
        """Raises UserError for settings that cannot work."""
        self.endpoint = endpoint
        self.context = context
        self.where = parse_url(endpoint)
        self._numbers()
        tokens = None
        if endpoint.auth in TOKENS:
            from migrator.auth.microsoft import MicrosoftTokens
            from migrator.events import Notice

            tokens = MicrosoftTokens(
                endpoint,
                context.secrets,
                context.clock,
                say=lambda text: context.emit(Notice("info", text)),
                interactive=context.interactive,
                scope=endpoint.options.get("scope") or SCOPE,
            )
        self._tokens = tokens
        self.door = Door(endpoint, self.where, tokens=tokens, pace=context.pace)
        self._boxes: dict[str, Shared] = {}
        self._lock = threading.Lock()

    def _numbers(self) -> None:
        problems = []
        for key, least in (
            ("page_items", 1),
            ("export_items", 1),
            ("store_items", 1),
            ("connections", 1),
            ("spool_octets", 1),
            ("max_octets", 1),
        ):
            text = self.endpoint.options.get(key)
            if text is not None and (not text.isdigit() or int(text) < least):
                problems.append(f"{self.endpoint.name}: options.{key} must be a whole number above zero")
        if self.endpoint.options.get("receipts", "") not in ("", "keep", "disarm"):
            problems.append(f"{self.endpoint.name}: options.receipts is keep or disarm")
        if self.endpoint.options.get("all_mail", "") not in ("", "archive", "everything"):
            problems.append(f"{self.endpoint.name}: options.all_mail is archive or everything")
        if problems:
            raise UserError(problems[0], problems=problems, code="endpoint_settings")

    def number(self, key: str, default: int) -> int:
        return int(self.endpoint.options.get(key, default))

    # ---- interfaces.Client

    def source(self, mailbox: Mailbox) -> Source:
        from migrator.adapters.imap.source import ImapSource

        return ImapSource(self, self.shared(mailbox))

    def target(self, mailbox: Mailbox) -> Target:
        from migrator.adapters.imap.target import ImapTarget

        return ImapTarget(self, self.shared(mailbox))

    def close(self) -> None:
        with self._lock:
            boxes, self._boxes = list(self._boxes.values()), {}
        for shared in boxes:
            with shared.lock:
                wires, shared.idle = shared.idle, []
            for wire in wires:
                wire.goodbye()
        if self._tokens is not None:
            self._tokens.close()

    # ---- accounts

    def shared(self, mailbox: Mailbox) -> Shared:
        account = self._account(mailbox)
        key = f"{account.user}\0{account.login}"
        with self._lock:
            shared = self._boxes.get(key)
            if shared is None:
                shared = self._boxes[key] = Shared(account, f"{account.user}@{self.where}")
            return shared

    def _account(self, mailbox: Mailbox) -> Account:
        endpoint = self.endpoint
        own = mailbox.login or mailbox.address
        if mailbox.secret:
            return Account(own, own, password=self._reveal(mailbox.secret, f"the password of {own}"))
        if endpoint.auth in TOKENS or (endpoint.auth == "xoauth2" and endpoint.secret):
            return Account(own, own, password=self._reveal(endpoint.secret, f"endpoint {endpoint.name}"))
        master = endpoint.options.get("master", "")
        if not endpoint.secret or not (master or endpoint.username):
            raise UserError(
                f"{mailbox.address}: no password is known",
                code="no_secret",
                remedy="Give the row a secret, or the endpoint a master user (username, secret, options.master).",
            )
        password = self._reveal(endpoint.secret, f"endpoint {endpoint.name}")
        if master == "authzid":
            return Account(own, endpoint.username, own, password)
        if master:
            return Account(
                own, master.replace("{user}", own).replace("{master}", endpoint.username), "", password
            )
        return Account(own, own, password=password)  # one password for all: a lab, a test installation

    def _reveal(self, reference: str, what: str) -> Callable[[], str]:
        return lambda: self.context.secrets.reveal(reference, what=what)


class Handle:
    """A mailbox opened by one thread: at most one connection, opened when it is needed and again when it broke."""

    def __init__(self, client: ImapClient, shared: Shared) -> None:
        self.client = client
        self.shared = shared
        self.who = shared.account.user
        self._wire: Wire | None = None
        self.rested_s = 0.0  # how long nobody had wanted the connection when it was wanted last

    @property
    def clock(self) -> object:
        return self.client.context.clock

    def wire(self) -> Wire:
        """The live connection."""
        now = self.client.context.clock.monotonic()
        wire = self._wire
        if wire is not None and not wire.dead:
            if now - wire.used_at < 5.0 or wire.open or wire.alive():
                self.rested_s = now - wire.used_at
                wire.used_at = now
                return wire
            wire.close()
        self._wire = None
        # Nothing of this handle: a cycle would keep the socket of one that was forgotten open.
        alert = partial(_alert, self.shared, self.client.context.emit)
        while True:
            with self.shared.lock:
                wire = self.shared.idle.pop() if self.shared.idle else None
            if wire is None:
                wire = self.client.door.open(self.shared.account, alert)
                break
            if now - wire.used_at < STALE_S and wire.alive():
                break
            wire.close()
        wire.used_at = now
        self.rested_s = 0.0
        wire.on_alert = alert
        self.shared.capabilities = wire.capabilities
        while wire.alerts:
            wire.on_alert(wire.alerts.pop(0))
        self._wire = wire
        return wire

    def drop(self) -> None:
        """The connection is of no use any more."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    def reading(self, call: Callable[[Wire], T]) -> T:
        """A call that changes nothing: a connection that was lost makes it Transient."""
        try:
            return call(self.wire())
        except Lost as e:
            self.drop()
            raise faults.lost(e, self.who) from None
        except ValueError as e:  # grammar.Garbled
            self.drop()
            raise faults.lost(Lost("garbled"), self.who) from e

    def quoted(self, name: str) -> bytes:
        utf8 = self._wire is not None and self._wire.utf8
        return wire_name(name, utf8=utf8) if name else encode_name(name, utf8=utf8)

    def park(self) -> None:
        """Leave the connection to whichever handle of the mailbox wants one next, this one included."""
        if self._wire is not None and not self._wire.open:
            if self._wire.selected is not None:
                self._wire.selected = Selected("")  # what is known of the folder would be old by then
            self.close()

    def close(self) -> None:
        wire, self._wire = self._wire, None
        if wire is None:
            return
        with self.shared.lock:
            keep = not wire.dead and not wire.open and not wire.bye and len(self.shared.idle) < IDLE_MOST
            if keep:
                self.shared.idle.append(wire)
        if not keep:
            wire.close()


def _alert(shared: Shared, emit: Emit, text: bytes) -> None:
    """A person is to see it (RFC 3501 7.1): once, however many connections say it."""
    from migrator.events import Notice

    words = faults.safe(text)
    with shared.lock:
        if words in shared.alerts or len(shared.alerts) >= 100:
            return
        shared.alerts.add(words)
    emit(Notice("warning", f"{shared.account.user}: the server says: {words}"))
