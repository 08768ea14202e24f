"""A small hosted Exchange for tests: three mailboxes, four accounts; asked through the handler or by strangers over HTTP.

house = House()                            # all traffic is judged by Microsoft's schema when that is at hand
answer = house.ask("<m:GetFolder>…</m:GetFolder>")
answer.codes, answer.find("t:Folder")
"""

from __future__ import annotations

import asyncio
import uuid
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from lxml import etree

from migrator.lab import ews
from migrator.lab.clock import LabClock
from migrator.lab.ews import ical, ids, mime
from migrator.lab.ews.envelope import NS_S
from migrator.lab.ews.schema import NS_M, NS_T
from migrator.lab.ews.versions import BUILDS
from migrator.lab.faults import Faults
from migrator.lab.http import Handler, Request, Response
from migrator.lab.knobs import Knobs
from migrator.lab.store import LabFolder, LabItem, LabMailbox
from migrator.lab.world import Account, World
from migrator.mapi import fasttransfer
from migrator.mapi import properties as p
from migrator.mapi.item import BINARY, BOOLEAN, INT32, STRING, TIME, Message
from tests.lab.ews_schema import Judge

NS = {"s": NS_S, "m": NS_M, "t": NS_T, "e": "http://schemas.microsoft.com/exchange/services/2006/errors"}
NOON = 1_790_000_000.0
START = datetime(2024, 3, 1, 8, 0, tzinfo=UTC)


def mail(
    subject: str = "Hello", *, number: int = 1, body: str = "Some text.", read: bool = False, **more: Any
) -> Message:
    """A received mail. more: further string properties by tag name of `properties`, e.g. PidTagConversationTopic."""
    message = Message()
    props = message.properties
    props.set(p.PidTagMessageClass, STRING, more.pop("item_class", "IPM.Note"))
    props.set(p.PidTagSubject, STRING, subject)
    props.set(p.PidTagMessageFlags, INT32, 1 if read else 0)
    props.set(p.PidTagInternetMessageId, STRING, f"<{number}@lab.test>")
    props.set(p.PidTagSearchKey, BINARY, number.to_bytes(16, "big"))
    when = START + timedelta(minutes=number)
    for key in (p.PidTagMessageDeliveryTime, p.PidTagClientSubmitTime, p.PidTagCreationTime):
        props.set(key, TIME, when)
    props.set(p.PidTagBody, STRING, body)
    for name, kind, address, smtp in ((0x0042, 0x0064, 0x0065, 0x5D02), (0x0C1A, 0x0C1E, 0x0C1F, 0x5D01)):
        props.set(name, STRING, "Dora Sender")
        props.set(kind, STRING, "SMTP")
        props.set(address, STRING, "dora@partner.test")
        props.set(smtp, STRING, "dora@partner.test")
    to = mime.recipient(0, 1, "Anna Example", "anna@lab.test")
    message.recipients.append(to)
    for name, value in more.items():
        props.set(getattr(p, name), STRING, value)
    return message


def event(subject: str = "Meeting") -> Message:
    message = Message()
    props = message.properties
    props.set(p.PidTagMessageClass, STRING, "IPM.Appointment")
    props.set(p.PidTagSubject, STRING, subject)
    props.set(p.PidTagMessageFlags, INT32, 1)
    props.set(p.PidTagSearchKey, BINARY, b"event" + bytes(11))
    props.set(p.PidLidAppointmentStartWhole, TIME, START)
    props.set(p.PidLidAppointmentEndWhole, TIME, START + timedelta(hours=1))
    props.set(p.PidLidLocation, STRING, 'Room 1, "east"')
    props.set(p.PidLidBusyStatus, INT32, 2)
    props.set(p.PidLidAppointmentSubType, BOOLEAN, False)
    ical.set_uid(props, "event-1@lab.test")
    props.set(p.PidTagBody, STRING, "Agenda; first, second")
    return message


def contact(name: str = "Zoë Müller") -> Message:
    message = Message()
    props = message.properties
    props.set(p.PidTagMessageClass, STRING, "IPM.Contact")
    props.set(p.PidTagSubject, STRING, name)
    props.set(p.PidTagDisplayName, STRING, name)
    props.set(p.PidTagGivenName, STRING, name.split()[0])
    props.set(p.PidTagSurname, STRING, name.split()[-1])
    props.set(p.PidTagMessageFlags, INT32, 1)
    props.set(p.PidTagSearchKey, BINARY, b"contact" + bytes(9))
    props.set(p.PidLidEmail1EmailAddress, STRING, "zoe@partner.test")
    props.set(p.PidTagMobileTelephoneNumber, STRING, "+49 1 2345")
    return message


def stream(message: Message) -> bytes:
    return bytes(fasttransfer.write(message))


@dataclass(slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    root: etree._Element | None

    @property
    def codes(self) -> list[str]:
        """Response codes of all response messages, or of the fault."""
        if self.root is None:
            return []
        return [
            str(one.text) for one in self.root.iter(f"{{{NS_M}}}ResponseCode", f"{{{NS['e']}}}ResponseCode")
        ]

    def find(self, path: str) -> etree._Element:
        assert self.root is not None, self.body[:500]
        found = self.root.find(f".//{path}", NS)
        assert found is not None, self.body[:3000]
        return found

    def all(self, path: str) -> list[etree._Element]:
        assert self.root is not None, self.body[:500]
        return self.root.findall(f".//{path}", NS)

    def text(self, path: str) -> str:
        return self.find(path).text or ""


@dataclass
class House:
    """version: a build, or a name such as "2010sp3". knobs: changes, as Knobs.swap takes them."""

    version: str = "2016"
    knobs: dict[str, Any] = field(default_factory=dict)
    judge: Judge = field(default_factory=Judge)
    clock: LabClock = field(default_factory=lambda: LabClock(NOON))
    world: World = field(init=False)
    handler: Handler = field(init=False)
    anna: LabMailbox = field(init=False)
    bert: LabMailbox = field(init=False)
    carla: LabMailbox = field(init=False)

    def __post_init__(self) -> None:
        build = BUILDS.get(self.version, self.version)
        self.world = World(
            knobs=Knobs().swap({"ews_version": build, **self.knobs}), faults=Faults(), clock=self.clock
        )
        self.world.urls.exchange = "https://mail.lab.test"
        store = self.world.exchange
        self.anna = store.create_mailbox("anna@lab.test", "Anna Example", aliases=("anna.example@lab.test",))
        self.bert = store.create_mailbox("bert@lab.test", "Bert Example", upn="b.example@corp.lab.test")
        self.carla = store.create_mailbox("carla@lab.test", "Carla Beispiel", locale="de-DE")
        for name in ("anna", "bert", "carla"):
            self.world.add_account(
                Account(f"{name}@lab.test", f"{name}-secret", f"{name}@lab.test", netbios=f"LAB\\{name}")
            )
        self.world.add_account(
            Account(
                "mover@lab.test",
                "mover-secret",
                impersonates=True,
                impersonation_scope=frozenset(("anna@lab.test", "bert@lab.test")),
            )
        )
        self.world.accounts["carla@lab.test"].full_access.add("anna@lab.test")
        self.handler = self.judge.watch(ews.app(self.world))

    # -- content

    def put(self, message: Message, folder: LabFolder | None = None, **more: Any) -> LabItem:
        return self.world.exchange.add_item(folder or self.anna.role("inbox"), stream(message), **more)

    def fill(self, count: int, folder: LabFolder | None = None) -> list[LabItem]:
        return [self.put(mail(f"Mail {n}", number=n), folder) for n in range(1, count + 1)]

    # -- asking

    def ask(
        self,
        body: str,
        *,
        who: str = "anna",
        password: str | None = None,
        version: str | None = "Exchange2010_SP1",
        header: str = "",
        http: dict[str, str] | None = None,
        envelope: bytes | None = None,
        method: str = "POST",
        path: str = "/EWS/Exchange.asmx",
    ) -> Answer:
        wanted = f'<t:RequestServerVersion Version="{version}"/>' if version else ""
        raw = (
            envelope
            or (
                f'<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="{NS_S}" xmlns:t="{NS_T}" xmlns:m="{NS_M}">'
                f"<s:Header>{wanted}{header}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
            ).encode()
        )
        login = who if "@" in who or "\\" in who else f"{who}@lab.test"
        secret = password if password is not None else f"{who}-secret"
        headers = {
            "content-type": "text/xml; charset=utf-8",
            "x-anchormailbox": "anna@lab.test",
            "authorization": "Basic " + b64encode(f"{login}:{secret}".encode()).decode(),
            **(http or {}),
        }
        if headers.get("authorization") == "":
            del headers["authorization"]
        request = Request(
            method,
            path,
            path,
            headers=headers,
            body=raw,
            service="ews",
            host="mail.lab.test",
            scheme="https",
            peer="127.0.0.1:50000",
            received=self.world.clock.now(),
            octets=len(raw),
        )
        response = asyncio.run(_call(self.handler, request))
        made = b"".join(map(bytes, response.buffers()))
        root: etree._Element | None = None
        if response.header("Content-Type").startswith("text/xml") and not response.header("Content-Encoding"):
            root = etree.fromstring(made, etree.XMLParser(recover=True, huge_tree=True))
        return Answer(response.status, {k.lower(): v for k, v in response.headers}, made, root)

    def impersonate(self, body: str, address: str, kind: str = "PrimarySmtpAddress", **more: Any) -> Answer:
        header = (
            f"<t:ExchangeImpersonation><t:ConnectingSID><t:{kind}>{address}</t:{kind}></t:ConnectingSID>"
            "</t:ExchangeImpersonation>"
        )
        return self.ask(body, who=more.pop("who", "mover"), header=header, **more)

    def id_of(self, item: LabItem, *, key: bool = True) -> str:
        maker = self.maker(item.mailbox)
        change = f' ChangeKey="{maker.change_key(9, item.change)}"' if key else ""
        return f'<t:ItemId Id="{maker.make(item.folder.id, item.id)}"{change}/>'

    def folder_id(self, folder: LabFolder, tag: str = "t:FolderId") -> str:
        return f'<{tag} Id="{self.maker(folder.mailbox).make(folder.id)}"/>'

    @staticmethod
    def maker(box: LabMailbox) -> ids.IdMaker:
        return ids.IdMaker(uuid.UUID(box.guid))


async def _call(handler: Handler, request: Request) -> Response:
    return await handler(request)
