"""Licence, room and limits of a target, as far as reading tells; and that asking neither fails nor tells too much."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from migrator.adapters.graph.standing import RECEIVE_DEFAULT, parse
from migrator.adapters.imap.target import storage_of
from migrator.errors import Throttled
from migrator.model import Mailbox
from tests.adapters.graph_lab import ROLES, TENANT, Room
from tests.adapters.test_imap_wire import Script, client, script, usual
from tests.contracts.samples import mails

__all__ = ["script"]

ALL = ROLES | {"Reports.Read.All", "MailboxSettings.Read"}


@pytest.fixture
def rooms() -> Iterator[Callable[..., Room]]:
    opened: list[Room] = []

    def make(**more: Any) -> Room:
        room = Room(**{"roles": ALL, **more})
        opened.append(room)
        return room

    yield make
    for room in opened:
        room.close()


def test_room_licence_and_limit(rooms: Callable[..., Room]) -> None:
    room = rooms()
    for sample in mails(3):
        room.put(sample)
    told = room.target().standing()
    assert (told.used_octets, told.quota_octets) == (room.alice.octets, 100 << 30)
    assert told.used_octets
    assert (told.licence, told.licence_why) == ("licensed", "")
    assert (told.receive_octets, told.receive_by) == (RECEIVE_DEFAULT, "default")
    assert told.as_of
    assert room.world.journal.writes() == 0


def test_the_report_is_asked_for_once_a_tenant_and_without_our_token(rooms: Callable[..., Room]) -> None:
    room = rooms()
    client = room.client()
    room.lab.do(
        lambda world: world.m365.create_mailbox(
            "bob@target.example", "Bob", tenant=TENANT, quota_octets=50 << 30
        )
    )
    first = room.target(client).standing()
    second = client.target(Mailbox("m365", "Bob@target.example")).standing()
    assert (first.quota_octets, second.quota_octets) == (100 << 30, 50 << 30)
    asked = room.operations()
    assert asked.count("getMailboxUsageDetail") == 1
    # The lab answers 400 there to whoever shows a token.
    assert [one.status for one in room.world.journal.select(operation="downloadReport")] == [200]


@pytest.mark.parametrize(
    ("missing", "words"),
    [("Reports.Read.All", "Reports.Read.All"), ("User.Read.All", "")],
)
def test_what_may_not_be_read_is_not_known(rooms: Callable[..., Room], missing: str, words: str) -> None:
    room = rooms(roles=ALL - {missing})
    told = room.target().standing()
    if missing == "User.Read.All":
        assert told.licence == ""
        assert "permission" in told.licence_why
        assert told.licence_remedy
    else:
        assert (told.quota_octets, told.used_octets) == (None, None)
        assert words in told.quota_why
        assert "Reports.Read.All" in told.quota_remedy


def test_a_report_without_names_is_told_apart_from_one_without_the_mailbox(
    rooms: Callable[..., Room],
) -> None:
    told = rooms(knobs={"report_conceals_names": True}).target().standing()
    assert told.quota_octets is None
    assert "hides" in told.quota_why
    assert "Display concealed" in told.quota_remedy


def test_a_person_without_a_plan_and_a_shared_mailbox(rooms: Callable[..., Room]) -> None:
    room = rooms(roles=ALL - {"MailboxSettings.Read"})
    client = room.client()

    def make(world: Any) -> None:
        world.m365.create_mailbox("team@target.example", "Team", tenant=TENANT, kind="shared")

    room.lab.do(make)
    unread = client.target(Mailbox("m365", "team@target.example")).standing()
    assert (unread.licence, unread.licence_why) == ("none", "no Exchange plan is assigned")
    assert "licence" in unread.licence_remedy
    other = rooms()
    other.lab.do(make)
    seen = other.client().target(Mailbox("m365", "team@target.example")).standing()
    assert seen.licence == "not needed"
    assert "shared" in seen.licence_why


def test_the_endpoint_knows_the_limit_better(rooms: Callable[..., Room]) -> None:
    told = rooms(options={"max_item_octets": "157286400"}).target().standing()
    assert (told.receive_octets, told.receive_by) == (150 << 20, "endpoint")


def test_throttling_is_handed_up_to_be_repeated(rooms: Callable[..., Room]) -> None:
    room = rooms(faults=[{"fault": "throttled_429", "operation": "getMailboxUsageDetail", "nth": 1}])
    target = room.target()
    with pytest.raises(Throttled):
        target.standing()
    assert target.standing().quota_octets == 100 << 30


HEAD = "Report Refresh Date,User Principal Name,Is Deleted,Storage Used (Byte),Prohibit Send/Receive Quota (Byte)\r\n"


def test_the_report_as_a_table() -> None:
    found = parse(
        HEAD + "2026-01-01,Ann@x.example,False,100,2000\r\n2026-01-01,gone@x.example,True,1,2\r\n"
        "2026-01-01,odd@x.example,False,many,2\r\n2026-01-01,free@x.example,False,5,\r\n"
    )
    assert set(found) == {"ann@x.example", "free@x.example"}
    assert (found["ann@x.example"].used, found["ann@x.example"].most) == (100, 2000)
    assert found["free@x.example"].most is None
    assert parse("<html>a proxy's page</html>") == {}
    assert parse("") == {}


def test_quota_of_a_mail_server() -> None:
    assert storage_of([b'* QUOTA "User quota" (STORAGE 10 512)']) == (10, 512)
    assert storage_of([b"* QUOTA {4}\r\n", b"root", b" (MESSAGE 1 2 STORAGE 7 9)"]) == (7, 9)
    assert storage_of([b'* QUOTAROOT INBOX ""']) is None
    assert storage_of([b'* QUOTA "" (MESSAGE 1 2)']) is None


def test_nothing_is_written_by_asking(rooms: Callable[..., Room]) -> None:
    room = rooms()
    target = room.target()
    target.probe()
    room.world.journal.clear()
    target.standing()
    assert room.operations() == ["getUser", "getMailboxUsageDetail", "downloadReport"]
    assert room.world.journal.writes() == 0


def imap(extra: bytes, quota: bytes) -> Callable[[bytes, bytes], bytes]:
    def answer(tag: bytes, rest: bytes) -> bytes:
        word = rest.upper()
        if word == b"CAPABILITY":
            return b"* CAPABILITY IMAP4rev1 UIDPLUS" + extra + b"\r\n" + tag + b" OK done\r\n"
        if word == b"GETQUOTAROOT INBOX":
            return quota.replace(b"TAG", tag)
        return usual(tag, rest)

    return answer


@pytest.mark.parametrize(
    ("extra", "quota", "known", "why"),
    [
        (
            b" QUOTA APPENDLIMIT=5000",
            b"* QUOTAROOT INBOX a b\r\n* QUOTA a (STORAGE 10 512)\r\n* QUOTA b (STORAGE 400 500)\r\nTAG OK done\r\n",
            (400 << 10, 500 << 10),
            "",
        ),
        (b" QUOTA=RES-STORAGE", b"* QUOTAROOT INBOX\r\nTAG OK done\r\n", (None, None), "sets no limit"),
        (b" QUOTA", b"TAG NO not for \x1b[2Jyou\r\n", (None, None), "refuses to tell"),
        (b"", b"TAG BAD what\r\n", (None, None), "no QUOTA"),
    ],
    ids=["two-roots", "none", "refused", "not-announced"],
)
def test_a_mail_server(
    script: Callable[..., Script], extra: bytes, quota: bytes, known: tuple[int | None, int | None], why: str
) -> None:
    server = script(imap(extra, quota))
    mail = client(server.port, secret="env:PASSWORD", username="any")
    told = mail.target(Mailbox("mail", "ada", login="ada")).standing()
    mail.close()
    assert (told.used_octets, told.quota_octets) == known
    assert why in told.quota_why
    assert "\x1b" not in told.quota_why
    assert (told.receive_octets, told.receive_by) == ((5000, "service") if b"APPEND" in extra else (None, ""))
    assert told.licence == "not needed"
    # A server that does not announce it is not asked.
    assert (b"GETQUOTAROOT INBOX" in server.lines) == (b"QUOTA" in extra)
