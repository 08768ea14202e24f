"""A small Microsoft 365 for tests: one tenant, one application with all rights, two mailboxes, handlers called directly.

cloud = Cloud()                      # every exchange is judged by graph_schema when that is at hand
cloud.get("/v1.0/users/…")           # → Answer(status, headers, body); .json parses it
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import pybase64

from migrator.lab.clock import LabClock
from migrator.lab.faults import Faults
from migrator.lab.http import Handler, Request, Response
from migrator.lab.knobs import Knobs
from migrator.lab.m365 import WITNESSES, apps
from migrator.lab.store import LabMailbox
from migrator.lab.world import App, ClientSecret, Tenant, TenantUser, World
from migrator.mapi import fasttransfer
from migrator.mapi.item import INT32, STRING, TIME, Message
from tests.lab import graph_schema

TENANT = "6d1f0b52-7a43-4a57-9c1b-0c1a3c1f2b11"
APP = "1b0a7c58-90a5-4a4c-8d29-0b7e7ad2d001"
SECRET = "right-secret"
ROLES = {
    "User.Read.All",
    "MailboxFolder.ReadWrite.All",
    "MailboxItem.ReadWrite.All",
    "MailboxItem.ImportExport.All",
    "MailboxSettings.ReadWrite",
    "Mail.ReadWrite",
    "Calendars.ReadWrite",
    "Contacts.ReadWrite",
}
NOON = 1_790_000_000.0


@dataclass(slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of a Graph error, "" otherwise."""
        return str(self.json.get("error", {}).get("code", "")) if self.body[:1] == b"{" else ""


@dataclass
class Cloud:
    """knobs: changes, as Knobs.swap takes them. strict: judge all traffic. clock: frozen unless told."""

    knobs: dict[str, Any] = field(default_factory=dict)
    strict: bool = True
    roles: set[str] = field(default_factory=lambda: set(ROLES))
    clock: LabClock = field(default_factory=lambda: LabClock(NOON))
    world: World = field(init=False)
    handlers: dict[str, Handler] = field(init=False)
    alice: LabMailbox = field(init=False)
    bob: LabMailbox = field(init=False)
    token: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self.world = World(knobs=Knobs().swap(self.knobs), faults=Faults(), clock=self.clock)
        self.world.urls.graph = "https://graph.lab"
        self.world.urls.login = "https://login.lab"
        self.world.urls.imports = "https://import.lab"
        tenant = self.world.add_tenant(Tenant(TENANT, "target.example", "Target"))
        self.tenant = tenant
        self.app = App(APP, "mover", [ClientSecret(SECRET)], roles=self.roles, public_client=True)
        tenant.apps[APP] = self.app
        create = self.world.m365.create_mailbox
        self.alice = create("alice@target.example", "Alice Adams", tenant=TENANT)
        self.bob = create("bob@target.example", "Bob Brown", tenant=TENANT, locale="de-DE")
        tenant.users["alice@target.example"] = TenantUser(
            "alice@target.example", "pw", "alice@target.example"
        )
        tenant.users["nobox@target.example"] = TenantUser("nobox@target.example", "pw")
        self.handlers = apps(self.world)
        if self.strict and graph_schema.FILE.exists():
            graph_schema.watch(self.world)
        self.token = self.world.tokens.issue(
            "access",
            3600,
            app_id=APP,
            tenant=TENANT,
            audience="https://graph.microsoft.com",
            roles=frozenset(self.roles),
        ).value

    # -- requests

    async def send(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        *,
        service: str = "graph",
        auth: bool = True,
    ) -> Answer:
        split = urlsplit(url)
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        raw = b""
        if body is not None:
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            sent.setdefault("content-type", "application/json")
        if auth and service == "graph":
            sent.setdefault("authorization", f"Bearer {self.token}")
        from urllib.parse import unquote

        request = Request(
            method,
            unquote(split.path),
            split.path,
            split.query,
            sent,
            raw,
            service,
            {"graph": "graph.lab", "token": "login.lab", "import": "import.lab"}[service],
            "https",
            "127.0.0.1:1",
            self.world.clock.now(),
            len(raw),
        )
        response: Response = await self.handlers[service](request)
        return Answer(
            response.status,
            {name.lower(): value for name, value in response.headers},
            b"".join(bytes(part) for part in response.buffers()),
        )

    def call(self, method: str, url: str, body: Any = None, **more: Any) -> Answer:
        return asyncio.run(self.send(method, url, body, **more))

    def get(self, url: str, **more: Any) -> Answer:
        return self.call("GET", url, **more)

    def post(self, url: str, body: Any = None, **more: Any) -> Answer:
        return self.call("POST", url, body, **more)

    def patch(self, url: str, body: Any = None, **more: Any) -> Answer:
        return self.call("PATCH", url, body, **more)

    def delete(self, url: str, **more: Any) -> Answer:
        return self.call("DELETE", url, **more)

    # -- shorthand

    def mailbox_id(self, box: LabMailbox | None = None) -> str:
        box = box or self.alice
        return str(self.get(f"/v1.0/users/{box.address}/settings/exchange").json["primaryMailboxId"])

    def base(self, box: LabMailbox | None = None) -> str:
        return f"/v1.0/admin/exchange/mailboxes/{self.mailbox_id(box)}"

    def folder_id(self, name: str = "inbox", box: LabMailbox | None = None) -> str:
        return str(self.get(f"{self.base(box)}/folders/{name}").json["id"])

    def session(self, box: LabMailbox | None = None) -> str:
        return str(self.post(f"{self.base(box)}/createImportSession").json["importUrl"])

    def put(self, url: str, folder: str, stream: bytes, **more: Any) -> Answer:
        """Import one item."""
        body = {"FolderId": folder, "Mode": "create", "Data": pybase64.b64encode(stream).decode(), **more}
        return self.post(url, body, service="import")

    def fill(self, count: int, name: str = "inbox", box: LabMailbox | None = None) -> list[str]:
        """Import so many small mails; their ids."""
        url, folder = self.session(box), self.folder_id(name, box)
        return [self.put(url, folder, mail(number)).json["itemId"] for number in range(count)]


def mail(
    number: int = 1, *, size: int = 0, item_class: str = "IPM.Note", flags: int = 1, **more: Any
) -> bytes:
    """The stream of a small item. more: further properties as p0x1234=(type, value)."""
    message = Message()
    p = message.properties
    p.set(0x001A, STRING, item_class)
    p.set(0x0037, STRING, f"Subject {number} ü")
    p.set(0x0039, TIME, 133_000_000_000_000_000 + number * 10_000_000)
    p.set(0x0E06, TIME, 133_000_000_050_000_000 + number * 10_000_000)
    p.set(0x0E07, INT32, flags)
    p.set(0x1000, STRING, "Hello\r\n" + "x" * size)
    p.set(0x1035, STRING, f"<{number}@source.example>")
    p.set(0x300B, 0x0102, number.to_bytes(16, "big"))
    p.set(0x3007, TIME, 132_000_000_000_000_000)
    p.set(0x3008, TIME, 132_500_000_000_000_000)
    for key, (kind, value) in more.items():
        p.set(int(key.removeprefix("p"), 16), kind, value)
    return bytes(fasttransfer.write(message))


def q(text: str) -> str:
    return quote(text, safe="")


__all__ = ["APP", "NOON", "SECRET", "TENANT", "WITNESSES", "Answer", "Cloud", "mail", "q"]
