"""The Graph adapter against the lab: one tenant, mailboxes, and a way to look and to reach behind the adapter's back.

Every exchange is judged by the OpenAPI description of Graph where that is at hand; `Room.close` fails on a fault.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pybase64

from migrator.adapters.graph import GraphClient, connect_with
from migrator.adapters.graph.target import GraphMailbox
from migrator.adapters.spool import BufferContent
from migrator.auth.secrets import SecretStore
from migrator.interfaces import Context
from migrator.lab.faults import Faults
from migrator.lab.knobs import Knobs
from migrator.lab.m365.tokens import jwt
from migrator.lab.server import Lab
from migrator.lab.store import LabFolder, LabItem, LabMailbox
from migrator.lab.world import App, ClientSecret, Tenant, World
from migrator.mapi import fasttransfer
from migrator.mapi.item import INT32, STRING, TIME, Message, filetime
from migrator.model import FolderPath, Format, Item, Kind, Mailbox
from migrator.settings import Endpoint
from tests.contracts.samples import Sample
from tests.lab import graph_schema

TENANT = "6d1f0b52-7a43-4a57-9c1b-0c1a3c1f2b11"
APP = "1b0a7c58-90a5-4a4c-8d29-0b7e7ad2d001"
SECRET = "right-secret-of-the-app"
ROLES = frozenset(
    {
        "User.Read.All",
        "MailboxFolder.ReadWrite.All",
        "MailboxItem.ReadWrite.All",
        "MailboxItem.ImportExport.All",
    }
)
ALICE = "alice@target.example"

_CLASSES = {
    Kind.EVENT: "IPM.Appointment",
    Kind.CONTACT: "IPM.Contact",
    Kind.GROUP: "IPM.DistList",
    Kind.TASK: "IPM.Task",
    Kind.NOTE: "IPM.StickyNote",
    Kind.JOURNAL: "IPM.Activity",
}


class LabClock:
    """The machine's time; waiting is not waited for."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        raise AssertionError("an adapter does not sleep here")


def stream_of(sample: Sample) -> bytes:
    message = Message()
    p = message.properties
    p.set(0x001A, STRING, _CLASSES.get(sample.kind, "IPM.Note"))
    p.set(0x0037, STRING, sample.subject)
    p.set(0x0039, TIME, filetime(sample.received))
    p.set(0x0E06, TIME, filetime(sample.received))
    p.set(0x0E07, INT32, int(sample.seen) | (8 if sample.draft else 0))
    p.set(0x1000, STRING, sample.body)
    if sample.message_id:
        p.set(0x1035, STRING, sample.message_id)
    return bytes(fasttransfer.write(message))


def item_of(sample: Sample) -> Item:
    return Item(
        sample.ref(), Format.FTS, BufferContent([pybase64.b64encode(stream_of(sample))]), origin="test"
    )


class LabTokens:
    """Tokens of the lab without its sign-in service."""

    def __init__(self, world: World, roles: frozenset[str]) -> None:
        self._world = world
        self._roles = roles
        self._held = ""
        self.renewed: list[str] = []

    def token(self) -> str:
        if not self._held:
            self._held = self._world.tokens.issue(
                "access",
                3600,
                app_id=APP,
                tenant=TENANT,
                audience="https://graph.microsoft.com",
                roles=self._roles,
                value=jwt({"roles": sorted(self._roles), "jti": str(len(self.renewed))}),
            ).value
        return self._held

    def renew(self, stale: str, claims: str = "") -> str:
        self.renewed.append(claims)
        self._held = ""
        return self.token()

    def close(self) -> None:
        self._held = ""


@dataclass
class Room:
    """A running lab with the mailbox of Alice. Mailbox objects are touched through `do` only, between two requests."""

    knobs: dict[str, Any] = field(default_factory=dict)
    faults: Sequence[dict[str, Any]] = ()
    roles: frozenset[str] = ROLES
    locale: str = "en-US"
    options: dict[str, str] = field(default_factory=dict)
    tls: bool = False
    world: World = field(init=False)
    tenant: Tenant = field(init=False)
    app: App = field(init=False)
    lab: Lab = field(init=False)
    alice: LabMailbox = field(init=False)
    tokens: LabTokens = field(init=False)
    clients: list[GraphClient] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self.world = World(knobs=Knobs().swap(self.knobs), faults=Faults(list(self.faults)))
        tenant = self.world.add_tenant(Tenant(TENANT, "target.example", "Target"))
        self.tenant = tenant
        self.app = App(APP, "mover", [ClientSecret(SECRET)], roles=set(self.roles), public_client=True)
        tenant.apps[APP] = self.app
        self.alice = self.world.m365.create_mailbox(ALICE, "Alice", tenant=TENANT, locale=self.locale)
        if graph_schema.FILE.exists():
            graph_schema.watch(self.world)
        self.tokens = LabTokens(self.world, self.roles)
        self.lab = Lab(self.world, halves=("m365",), tls=self.tls).start()

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.lab.stop()
        assert self.world.notes.get("schema_faults", []) == []

    # -- the adapter

    def endpoint(self, **changes: Any) -> Endpoint:
        fields: dict[str, Any] = {
            "name": "m365",
            "kind": "graph",
            "url": f"{self.lab.urls.graph}/v1.0",
            "options": self.options,
            "ca_file": str(self.lab.ca_file or ""),
        }
        return Endpoint(**{**fields, **changes})

    def client(self) -> GraphClient:
        made = connect_with(self.endpoint(), Context(LabClock(), SecretStore(environ={})), self.tokens)
        self.clients.append(made)
        return made

    def target(self, client: GraphClient | None = None) -> GraphMailbox:
        return (client or self.client()).target(Mailbox("m365", ALICE))

    # -- behind its back

    def folder(self, path: FolderPath) -> LabFolder:
        """The folder, made where missing. "Inbox" is the inbox in any language."""
        folder = self.alice.visible_root
        for depth, name in enumerate(path):
            if depth == 0 and name == "Inbox":
                folder = self.alice.role("inbox")
                continue
            folder = folder.children.get(name.casefold()) or self.world.m365.create_folder(folder, name)
        return folder

    def put(self, sample: Sample) -> LabItem:
        return self.lab.do(lambda world: world.m365.add_item(self.folder(sample.path), stream_of(sample)))

    def find(self, sample: Sample) -> LabItem:
        items = self.folder(sample.path).items.values()
        return next(item for item in items if item.message().properties.text(0x0037) == sample.subject)

    def change(self, sample: Sample) -> None:
        self.lab.do(lambda world: world.m365.update_item(self.find(sample), stream_of(sample)))

    def delete(self, sample: Sample) -> None:
        self.lab.do(lambda world: world.m365.delete_item(self.find(sample)))

    def operations(self, **wanted: Any) -> list[str]:
        return [entry.operation for entry in self.world.journal.select(**wanted)]
