"""Everything that exists in the lab, in one place: both stores, who may sign in, knobs, faults, journal, clock.

A protocol room gets the `World` and serves each operation through `World.perform`, which waits out latency, asks the
fault script, keeps the journal and spoils the answer when the script says so:

    async def handler(request: Request) -> Response:
        ...parse, authenticate...
        return await world.perform(
            request, "ExportItems", mailbox=box.address, app_id=account.name, work=lambda call: export(call, box, ids)
        )

`work(call)` does the effect and returns the answer (it may be a coroutine function). It tells the journal through
`call`: `call.stored(item, stream)`, `call.deleted += 1`, `call.invited(n)`, `call.code = "ErrorItemNotFound"`,
`call.write = True`; and asks `call.item_fault(...)` per item.
"""

from __future__ import annotations

import inspect
import random
import secrets
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from migrator.lab.clock import LabClock
from migrator.lab.faults import Action, Context, Faults
from migrator.lab.http import Request, Response
from migrator.lab.journal import Entry, Journal, Stored
from migrator.lab.knobs import Knobs
from migrator.lab.store import LabItem, Store, digest
from migrator.lab.throttle import EwsThrottle, GraphThrottle

# -- who may do what


@dataclass(slots=True)
class Account:
    """Someone who signs in to hosted Exchange with a password. `login` is also accepted as DOMAIN\\user."""

    login: str  # UPN or SMTP address
    password: str = field(repr=False)
    mailbox: str = ""  # address of the own mailbox, "" for a service account
    netbios: str = ""  # DOMAIN\user form
    impersonates: bool = False  # holds ApplicationImpersonation
    impersonation_scope: frozenset[str] | None = None  # addresses, lower-case; None is everyone
    full_access: set[str] = field(default_factory=set)  # addresses opened as a delegate, lower-case
    enabled: bool = True
    ews_allowed: bool = True  # False: 403 after signing in

    def may_impersonate(self, address: str) -> bool:
        scope = self.impersonation_scope
        return self.impersonates and (scope is None or address.lower() in scope)


@dataclass(slots=True)
class ClientSecret:
    value: str = field(repr=False)
    expires: float | None = None  # epoch seconds
    secret_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(slots=True)
class App:
    """An app registration with what an administrator consented to."""

    client_id: str
    name: str
    secrets: list[ClientSecret] = field(default_factory=list)
    certificates: list[bytes] = field(default_factory=list)  # PEM, public part only
    roles: set[str] = field(default_factory=set)  # application permissions with admin consent
    scopes: set[str] = field(default_factory=set)  # delegated permissions with consent
    public_client: bool = False  # device code allowed
    enabled: bool = True
    mailbox_scope: frozenset[str] | None = None  # RBAC for Applications: addresses, lower-case; None is all


@dataclass(slots=True)
class TenantUser:
    """Someone who signs in to Microsoft 365 (device code)."""

    upn: str
    password: str = field(repr=False)
    mailbox: str = ""
    enabled: bool = True


@dataclass(slots=True)
class Tenant:
    id: str  # GUID
    domain: str
    name: str
    apps: dict[str, App] = field(default_factory=dict)  # by client id
    users: dict[str, TenantUser] = field(default_factory=dict)  # by UPN, lower-case
    exchange: bool = True  # the service is subscribed

    def app(self, client_id: str) -> App | None:
        return self.apps.get(client_id.lower())


@dataclass(slots=True)
class Token:
    """A bearer of something. kind: "access", "refresh", "import", "upload", "device"."""

    value: str = field(repr=False)
    kind: str
    expires: float
    app_id: str = ""
    tenant: str = ""
    user: str = ""  # UPN of delegated tokens
    audience: str = ""
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    mailbox: str = ""  # GUID, for import sessions
    detail: dict[str, Any] = field(default_factory=dict)


class Tokens:
    def __init__(self, clock: LabClock) -> None:
        self._clock = clock
        self._tokens: dict[str, Token] = {}

    def issue(self, kind: str, lifetime_s: float, *, value: str = "", **fields: Any) -> Token:
        """value: the token's text when the protocol wants a certain shape; a random one otherwise."""
        token = Token(
            value=value or secrets.token_urlsafe(32),
            kind=kind,
            expires=self._clock.now() + lifetime_s,
            **fields,
        )
        self._tokens[token.value] = token
        return token

    def check(self, value: str, kind: str) -> Token | None:
        """The token if it is known, of this kind and still honoured."""
        token = self.look(value, kind)
        return token if token is not None and token.expires > self._clock.now() else None

    def look(self, value: str, kind: str) -> Token | None:
        """Also one that has expired: some answers tell the difference."""
        token = self._tokens.get(value)
        return token if token is not None and token.kind == kind else None

    def expire(self, kind: str, mailbox: str = "") -> int:
        """All of a kind (of a mailbox GUID) end now. Returns how many."""
        now, count = self._clock.now(), 0
        for token in self._tokens.values():
            if (
                token.kind == kind
                and (not mailbox or token.mailbox.lower() == mailbox.lower())
                and token.expires > now
            ):
                token.expires, count = now, count + 1
        return count

    def remove(self, value: str) -> None:
        self._tokens.pop(value, None)


@dataclass(slots=True)
class Urls:
    """Base URLs without a trailing slash, "" while not serving. Filled in by the harness before the first request."""

    exchange: str = ""  # https://host:port ; EWS is at /EWS/Exchange.asmx, autodiscover at /autodiscover/…
    graph: str = ""  # …/v1.0 and …/beta below it
    login: str = ""  # token endpoint: {login}/{tenant}/oauth2/v2.0/token
    imports: str = ""  # host of import URLs: another host:port than graph
    control: str = ""

    @property
    def ews(self) -> str:
        return f"{self.exchange}/EWS/Exchange.asmx" if self.exchange else ""


# -- one operation


@dataclass(slots=True)
class Call:
    """One operation while it is served. Handlers fill it in; the journal entry is made of it."""

    world: World
    request: Request
    entry: Entry
    context: Context

    @property
    def code(self) -> str:
        return self.entry.code

    @code.setter
    def code(self, value: str) -> None:
        self.entry.code = value

    @property
    def write(self) -> bool:
        return self.entry.write

    @write.setter
    def write(self, value: bool) -> None:
        self.entry.write = value

    @property
    def deleted(self) -> int:
        return self.entry.deleted

    @deleted.setter
    def deleted(self, value: int) -> None:
        self.entry.deleted = value

    @property
    def detail(self) -> dict[str, Any]:
        return self.entry.detail

    def stored(self, item: LabItem, stream: bytes, *, update: bool = False, mark: str = "") -> None:
        """Tell that an item was stored, with the stream exactly as the client sent it. mark: its digest, where known."""
        self.entry.write = True
        self.entry.stored.append(Stored(item.id, item.folder.id, mark or digest(stream), len(stream), update))

    def invited(self, mails: int) -> None:
        """Tell that the service would have sent so many mails to attendees."""
        self.entry.invitations += mails

    def item_fault(
        self, item: LabItem | None = None, *, item_class: str = "", subject: str = "", size: int = 0
    ) -> Action | None:
        """The scripted fault for one item of this request; "item" stage rules count per item asked."""
        faults = self.world.faults
        if not faults.rules:
            return None
        if item is not None:
            item_class, subject, size = item.facts.item_class, item.facts.subject, item.size
        context = Context(
            self.context.service,
            self.context.operation,
            self.context.mailbox,
            self.context.path,
            self.context.app_id,
            item_class,
            subject,
            size,
        )
        action = faults.item(context)
        if action is not None:
            self.entry.fault = action.fault
        return action


Work = Callable[[Call], Response | Awaitable[Response]]
Word = Callable[[Action], Response]
"""Words an Action that has a `code` but no `status` (or a 429) in the protocol's own terms."""


class World:
    """seed: for everything random in the lab (dice, shuffles)."""

    def __init__(
        self,
        *,
        knobs: Knobs | None = None,
        faults: Faults | None = None,
        clock: LabClock | None = None,
        seed: int = 1,
        organisation: str = "Lab",
    ) -> None:
        self.clock = clock or LabClock()
        self.knobs = knobs or Knobs()
        self.faults = faults or Faults()
        self.journal = Journal()
        self.exchange = Store("exchange", clock=self.clock, organisation=organisation)
        self.m365 = Store("m365", clock=self.clock, organisation="ExchangeLabs")
        self.accounts: dict[str, Account] = {}  # hosted Exchange; by login, lower-case
        self.tenants: dict[str, Tenant] = {}  # Microsoft 365; by id and by domain, lower-case
        self.tokens = Tokens(self.clock)
        self.graph_throttle = GraphThrottle()
        self.ews_throttle = EwsThrottle()
        self.urls = Urls()
        self.random = random.Random(seed)
        self.sync_epoch = 0  # sync states and delta tokens of an earlier epoch are void
        self.notes: dict[str, Any] = {}  # for the protocol rooms: one key per room

    # -- sign-in

    def add_account(self, account: Account) -> Account:
        self.accounts[account.login.lower()] = account
        if account.netbios:
            self.accounts[account.netbios.lower()] = account
        return account

    def account(self, login: str, password: str) -> Account | None:
        """The account if the password is right and it is enabled. login: UPN, SMTP address or DOMAIN\\user."""
        account = self.accounts.get(login.lower())
        if account is None or not account.enabled:
            return None
        right = secrets.compare_digest(account.password.encode(), password.encode())
        return account if right else None

    def add_tenant(self, tenant: Tenant) -> Tenant:
        self.tenants[tenant.id.lower()] = tenant
        self.tenants[tenant.domain.lower()] = tenant
        return tenant

    def tenant(self, name: str) -> Tenant | None:
        """By id or domain."""
        return self.tenants.get(name.lower())

    # -- serving

    async def perform(
        self,
        request: Request,
        operation: str,
        *,
        work: Work,
        word: Word | None = None,
        mailbox: str = "",
        app_id: str = "",
        service: str = "",
        write: bool = False,
        detail: dict[str, Any] | None = None,
    ) -> Response:
        """Serve one operation: latency, faults, work, journal.

        word: makes the answer for faults that the protocol must word (Action.code without a status, or status 429).
        service: another name than the request's, for members of a batch.
        """
        service = service or request.service
        entry = Entry(
            service,
            operation,
            mailbox,
            app_id=app_id,
            octets_in=request.octets,
            started=request.received or self.clock.now(),
            write=write,
            peer=request.peer,
            request_id=request.headers.get("client-request-id", ""),
            detail=detail if detail is not None else {},
        )
        context = Context(service, operation, mailbox, request.path, app_id)
        call = Call(self, request, entry, context)
        if self.knobs.latency_s and service != "batch":  # the line is travelled once per batch
            await self.clock.wait(self.knobs.latency_s)
        response: Response | None = None
        action = self.faults.before(context) if self.faults.rules else None
        if action is not None:
            entry.fault = action.fault
            if action.delay_s:
                await self.clock.wait(action.delay_s)
            self._effect(action, mailbox)
            response = self._answer(action, word, entry)
        if response is None:
            made = work(call)
            response = await made if inspect.isawaitable(made) else made
            action = self.faults.after(context) if self.faults.rules else None
            if action is not None:
                entry.fault = action.fault
                self._effect(action, mailbox)
                replaced = self._answer(action, word, entry) if (action.status or action.code) else None
                response = replaced or _spoil(response, action)
        entry.finished = self.clock.now()
        entry.status = 0 if response.abort == "reset" else response.status
        entry.octets_out = response.octets
        if response.status == 429:
            entry.throttled = True
        self.journal.record(entry)
        request.recorded = True
        return response

    @staticmethod
    def _answer(action: Action, word: Word | None, entry: Entry) -> Response | None:
        if action.abort:
            return Response(status=500, abort=action.abort)
        if action.code:
            entry.code = action.code
            if word is not None:
                return word(action)
        if action.status:
            headers = list(action.headers)
            if action.retry_after:
                headers.append(("Retry-After", action.retry_after))
            return Response(action.status, headers, action.body)
        return None

    def _effect(self, action: Action, mailbox: str) -> None:
        match action.effect:
            case "expire_tokens":
                self.tokens.expire("access")
            case "expire_sessions":
                self.tokens.expire("import")
            case "revoke_secret":
                for tenant in self.tenants.values():
                    for app in tenant.apps.values():
                        app.secrets.clear()
            case "quota_full":
                for store in (self.exchange, self.m365):
                    for box in store.mailboxes.values():
                        if box.owns(mailbox) or not mailbox:
                            box.quota_octets = box.octets
            case "invalidate_delta":
                self.sync_epoch += 1
            case "advance_clock":
                self.clock.advance(action.amount)
            case _:
                pass


def _spoil(response: Response, action: Action) -> Response:
    response.abort = action.abort or response.abort
    response.delay_s += action.delay_s
    response.drip_octets_s = action.drip_octets_s or response.drip_octets_s
    if action.keep_share < 1.0:
        response.keep_octets = int(response.octets * action.keep_share)
    response.tail = action.tail or response.tail
    return response
