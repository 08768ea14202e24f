"""A hosted Exchange of the lab, and the adapter opened on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrator.adapters.ews.client import EwsClient
from migrator.adapters.ews.source import EwsSource
from migrator.interfaces import Context
from migrator.lab import eml, ews
from migrator.lab.http import Handler, Request, Response
from migrator.lab.server import Lab
from migrator.lab.store import LabFolder, LabItem, LabMailbox
from migrator.lab.world import Account, World
from migrator.mapi import fasttransfer
from migrator.mapi import properties as P
from migrator.mapi.item import INT32, TIME
from migrator.model import FolderPath, Mailbox
from migrator.settings import Endpoint, Limits
from tests.contracts.samples import Sample
from tests.contracts.source import Seeded
from tests.lab.ews_schema import problems

ADDRESS = "ada@old.example"
SERVICE = "migration@old.example"
PASSWORD = "correct horse battery"


class SystemClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        raise AssertionError("an adapter never sleeps")


@dataclass
class Wallet:
    """Secrets by reference; counts how often each was looked up."""

    values: dict[str, str] = field(default_factory=lambda: {"env:SERVICE": PASSWORD, "env:ADA": "ada's own"})
    asked: list[str] = field(default_factory=list)

    def reveal(self, reference: str, *, what: str) -> str:
        self.asked.append(reference)
        return self.values[reference]


def context(wallet: Wallet | None = None) -> Context:
    return Context(clock=SystemClock(), secrets=wallet or Wallet())


def endpoint(url: str, **more: Any) -> Endpoint:
    settings: dict[str, Any] = {
        "name": "old",
        "kind": "ews",
        "url": url,
        "auth": "basic",
        "username": SERVICE,
        "secret": "env:SERVICE",
        "limits": Limits(timeout_s=10),
    }
    return Endpoint(**{**settings, **more})


def stream_of(sample: Sample) -> bytes:
    message = eml.convert(sample.mime())
    p = message.properties
    p.set(P.PidTagMessageFlags, INT32, (1 if sample.seen else 0) | (8 if sample.draft else 0))
    p.set(P.PidTagMessageDeliveryTime, TIME, sample.received)
    return bytes(fasttransfer.write(message))


class House:
    """One mailbox, one service account that may impersonate, one owner with a password of their own."""

    def __init__(self, *, tls: bool = False, folder: Path | None = None, **knobs: Any) -> None:
        self.world = World()
        self.world.knobs = self.world.knobs.swap(knobs)
        self.box: LabMailbox = self.world.exchange.create_mailbox(ADDRESS, "Ada")
        self.world.add_account(Account(SERVICE, PASSWORD, impersonates=True))
        self.world.add_account(Account(ADDRESS, "ada's own", mailbox=ADDRESS))
        self.misspelt: list[str] = []  # what Microsoft's schema has against our requests
        handlers = {"exchange": self._judged(ews.app(self.world))}
        self.lab = Lab(self.world, halves=("exchange",), tls=tls, folder=folder, handlers=handlers).start()
        self._clients: list[EwsClient] = []

    def _judged(self, handler: Handler) -> Handler:
        async def judged(request: Request) -> Response:
            if request.path.lower().endswith(".asmx") and request.body:
                wrong, name = problems(bytes(request.body))
                self.misspelt += [f"{name}: {each}" for each in wrong]
            return await handler(request)

        return judged

    def stop(self) -> None:
        for client in self._clients:
            client.close()
        self.lab.stop()
        assert self.misspelt == []

    # ---- the adapter's side

    def client(self, *, wallet: Wallet | None = None, **more: Any) -> EwsClient:
        settings = {"url": self.world.urls.ews, **more}
        client = EwsClient(endpoint(**settings), context(wallet))
        self._clients.append(client)
        return client

    def source(self, mailbox: Mailbox | None = None, **more: Any) -> EwsSource:
        source = self.client(**more).source(mailbox or Mailbox("old", ADDRESS))
        assert isinstance(source, EwsSource)
        return source

    # ---- behind its back

    def fault(self, name: str, **rule: Any) -> None:
        self.lab.do(lambda world: world.faults.add(name, **rule))

    def folder(self, path: FolderPath) -> LabFolder:
        """The folder at this path, made where missing."""

        def work(world: World) -> LabFolder:
            folder = self.box.visible_root
            for name in path:
                found = folder.children.get(name.casefold())
                folder = found if found is not None else world.exchange.create_folder(folder, name)
            return folder

        return self.lab.do(work)

    def add(self, sample: Sample) -> LabItem:
        folder = self.folder(sample.path)
        stream = stream_of(sample)
        return self.lab.do(lambda world: world.exchange.add_item(folder, stream))

    def find(self, sample: Sample) -> LabItem:
        folder = self.folder(sample.path)
        return next(item for item in folder.items.values() if item.facts.message_id == sample.message_id)

    def change(self, sample: Sample) -> None:
        item = self.find(sample)
        self.lab.do(lambda world: world.exchange.mark_read(item, sample.seen))

    def delete(self, sample: Sample) -> None:
        item = self.find(sample)
        self.lab.do(lambda world: world.exchange.delete_item(item))

    def calls(self) -> list[str]:
        return [entry.operation for entry in self.world.journal.entries if entry.service == "ews"]


def seeded(
    house: House, samples: Sequence[Sample], folders: Sequence[FolderPath], page_items: int | None
) -> Seeded:
    for path in folders:
        house.folder(path)
    for sample in samples:
        house.add(sample)
    options = {"page_items": str(page_items)} if page_items else {}
    reopen: Callable[[], EwsSource] = lambda: house.source(options=options)  # noqa: E731
    return Seeded(
        source=reopen(),
        reopen=reopen,
        add=lambda sample: (house.add(sample), None)[1],
        change=house.change,
        delete=house.delete,
    )
