"""EWS at the wire: what the adapter sends, and what it makes of each answer, against a server that says what the test wrote."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from collections.abc import Callable, Iterator
from xml.sax.saxutils import escape

import pytest
from lxml import etree

from migrator.adapters.ews import connect, faults, ids
from migrator.adapters.ews.client import EwsClient
from migrator.adapters.ews.listing import FolderList, instant, refs_of
from migrator.adapters.ews.signin import Tokens
from migrator.adapters.ews.soap import (
    NS_M,
    NS_S,
    NS_T,
    NotSoap,
    T,
    children,
    fault_of,
    mend,
    messages_of,
    parse,
    server_of,
)
from migrator.adapters.ews.source import EwsSource
from migrator.errors import (
    CheckpointLost,
    ItemError,
    JobError,
    MigratorError,
    SourceDown,
    Throttled,
    Transient,
    UserError,
)
from migrator.model import Checkpoint, Folder, Format, Item, ItemRef, Kind, Mailbox, Outcome, Role
from migrator.settings import Limits
from tests.adapters.ews_lab import ADDRESS, SERVICE, Wallet, context, endpoint
from tests.lab.ews_schema import problems
from tests.servers.http_script import Request, ScriptServer, Step, Wire, answer, break_off, ok, raw_answer
from tests.shared_data import shared

SERVER = (
    '<h:ServerVersionInfo MajorVersion="15" MinorVersion="1" MajorBuildNumber="2507" MinorBuildNumber="6" '
    f'Version="V2017_07_11" xmlns:h="{NS_T}"/>'
)
INBOX = Folder("AAMkInbox=", ("Inbox",), role=Role.INBOX)
REF = ItemRef("AAA=", ("Inbox",), Kind.MAIL, "CK==", size=1000)


def soap(body: str, *, head: str = SERVER) -> bytes:
    return (
        f'<?xml version="1.0" encoding="utf-8"?><s:Envelope xmlns:s="{NS_S}" xmlns:m="{NS_M}" xmlns:t="{NS_T}">'
        f"<s:Header>{head}</s:Header><s:Body>{body}</s:Body></s:Envelope>"
    ).encode()


def response(operation: str, *messages: str, head: str = SERVER) -> bytes:
    return soap(
        f"<m:{operation}Response><m:ResponseMessages>{''.join(messages)}</m:ResponseMessages></m:{operation}Response>",
        head=head,
    )


def success(operation: str, inside: str) -> str:
    return (
        f'<m:{operation}ResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>{inside}'
        f"</m:{operation}ResponseMessage>"
    )


def failure(
    operation: str, code: str, text: str = "What went wrong.", values: dict[str, str] | None = None
) -> str:
    xml = "".join(f'<t:Value Name="{name}">{value}</t:Value>' for name, value in (values or {}).items())
    return (
        f'<m:{operation}ResponseMessage ResponseClass="Error"><m:MessageText>{escape(text)}</m:MessageText>'
        f"<m:ResponseCode>{code}</m:ResponseCode><m:DescriptiveLinkKey>0</m:DescriptiveLinkKey>"
        + (f"<m:MessageXml>{xml}</m:MessageXml>" if xml else "")
        + f"</m:{operation}ResponseMessage>"
    )


def fault(code: str, text: str = "What went wrong.", values: dict[str, str] | None = None) -> bytes:
    xml = "".join(f'<t:Value Name="{name}">{value}</t:Value>' for name, value in (values or {}).items())
    return soap(
        f'<s:Fault><faultcode xmlns:a="{NS_T}">a:{code}</faultcode><faultstring xml:lang="en-US">{escape(text)}</faultstring>'
        '<detail><e:ResponseCode xmlns:e="http://schemas.microsoft.com/exchange/services/2006/errors">'
        f'{code}</e:ResponseCode><e:Message xmlns:e="http://schemas.microsoft.com/exchange/services/2006/errors">'
        f"{escape(text)}</e:Message>{f'<t:MessageXml>{xml}</t:MessageXml>' if xml else ''}</detail></s:Fault>"
    )


def exports(*data: bytes) -> bytes:
    return response(
        "ExportItems",
        *(
            success("ExportItems", f'<m:ItemId Id="other" ChangeKey="x"/><m:Data>{d.decode()}</m:Data>')
            for d in data
        ),
    )


def xml(body: bytes) -> Step:
    return ok(body, {"Content-Type": "text/xml; charset=utf-8"})


def opened(url: str, **more: object) -> EwsSource:
    client = EwsClient(endpoint(url, **more), context())
    source = client.source(Mailbox("old", ADDRESS))
    assert isinstance(source, EwsSource)
    return source


@pytest.fixture
def ask() -> Iterator[Callable[..., tuple[ScriptServer, EwsSource]]]:
    """A server with these steps, and a source on it."""
    servers: list[ScriptServer] = []

    def start(
        *steps: Step, route: Callable[[Request], Step] | None = None, **more: object
    ) -> tuple[ScriptServer, EwsSource]:
        server = ScriptServer(list(steps), route=route).__enter__()
        servers.append(server)
        return server, opened(server.url + "/EWS/Exchange.asmx", **more)

    yield start
    for server in servers:
        server.__exit__()


# ---- what is sent


ITEM = '<t:Message><t:ItemId Id="A=" ChangeKey="B"/></t:Message>'
PAGE = success(
    "SyncFolderItems",
    "<m:SyncState>S1</m:SyncState><m:IncludesLastItemInRange>true</m:IncludesLastItemInRange><m:Changes/>",
)


def test_the_request_says_who_asks_for_whom_and_in_which_version(ask) -> None:
    server, source = ask(xml(response("SyncFolderItems", PAGE)))
    source.page(INBOX, Checkpoint("ews-sync/1", 'H4sI"<&>'))
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/EWS/Exchange.asmx")
    assert request.headers["content-type"] == "text/xml; charset=utf-8"
    assert request.headers["x-anchormailbox"] == ADDRESS
    assert request.headers["return-client-request-id"] == "true"
    assert re.fullmatch(r"[0-9a-f-]{36}", request.headers["client-request-id"])
    assert request.headers["user-agent"].startswith("migrator/")
    assert (
        base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        == f"{SERVICE}:correct horse battery"
    )
    wrong, name = problems(request.body)
    assert (wrong, name) == ([], "SyncFolderItems")
    root = etree.fromstring(request.body)
    assert root.find(f".//{T}RequestServerVersion").get("Version") == "Exchange2010_SP2"
    assert root.findtext(f".//{T}PrimarySmtpAddress") == ADDRESS
    assert root.findtext(f".//{{{NS_M}}}SyncState") == 'H4sI"<&>'
    assert root.findtext(f".//{{{NS_M}}}MaxChangesReturned") == "512"


def test_bulk_data_is_asked_for_uncompressed_and_by_exact_ids(ask) -> None:
    server, source = ask(xml(exports(b"QUJD")))
    odd = dataclasses.replace(REF, id='AAMk+/="&<', version="CQAAAB")
    source.export([odd], Format.FTS)
    (request,) = server.requests
    assert request.headers["accept-encoding"] == "identity"
    element = etree.fromstring(request.body).find(f".//{T}ItemId")
    assert (element.get("Id"), element.get("ChangeKey")) == (odd.id, odd.version)
    assert problems(request.body)[0] == []


def test_the_backends_cookie_comes_back_for_its_mailbox_only(ask) -> None:
    page = response("SyncFolderItems", PAGE)
    server, source = ask(ok(page, {"Set-Cookie": "X-BackEndCookie=abc; path=/; secure; HttpOnly"}), xml(page))
    source.page(INBOX, None)
    source.page(INBOX, None)
    other = source._client.source(Mailbox("old", "other@old.example"))
    other.page(INBOX, None)
    assert [r.headers.get("cookie") for r in server.requests] == [None, "X-BackEndCookie=abc", None]


def test_delegates_name_the_owner_and_send_no_impersonation(ask) -> None:
    server, source = ask(
        xml(response("GetFolder", failure("GetFolder", "ErrorItemNotFound"))), access="delegate"
    )
    with pytest.raises(JobError) as info:
        source.probe()
    assert info.value.code == "access_denied"
    root = etree.fromstring(server.requests[0].body)
    assert root.find(f".//{T}ExchangeImpersonation") is None
    assert {e.text for e in root.iter(f"{T}EmailAddress")} == {ADDRESS}
    assert problems(server.requests[0].body)[0] == []


def test_a_security_identifier_is_impersonated_as_one(ask) -> None:
    server, source = ask(xml(response("SyncFolderItems", PAGE)))
    source._client.source(Mailbox("old", "S-1-5-21-1-2-3-1104")).page(INBOX, None)
    assert b"<t:SID>S-1-5-21-1-2-3-1104</t:SID>" in server.requests[0].body


# ---- settings that cannot work


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "http://mail.example/EWS/Exchange.asmx"},
        {"url": "https://user:secret@mail.example/EWS/Exchange.asmx"},
        {"url": "mail.example"},
        {"auth": "kerberos"},
        {"access": "magic"},
        {"version": "Exchange2099"},
        {"ca_file": "/does/not/exist.pem"},
    ],
)
def test_settings_are_refused_before_anything_is_sent(wrong: dict[str, str]) -> None:
    with pytest.raises(UserError) as info:
        connect(endpoint(**{"url": "https://mail.example/EWS/Exchange.asmx", **wrong}), context())
    assert info.value.code in ("endpoint_settings", "ca_file")
    assert "user:secret" not in str(info.value)


@pytest.mark.parametrize(("mailbox", "code"), [(Mailbox("old", ADDRESS), "no_login")])
def test_missing_credentials_are_named(mailbox: Mailbox, code: str) -> None:
    client = EwsClient(endpoint("https://mail.example/EWS/Exchange.asmx", username="", secret=""), context())
    with pytest.raises(UserError) as info:
        client.source(mailbox)
    assert info.value.code == code


@pytest.mark.parametrize("options", [{"page_items": "513"}, {"page_items": "many"}, {"export_items": "0"}])
def test_options_out_of_range(options: dict[str, str]) -> None:
    client = EwsClient(endpoint("https://mail.example/EWS/Exchange.asmx", options=options), context())
    with pytest.raises(UserError):
        client.source(Mailbox("old", ADDRESS))


def test_ews_is_no_target() -> None:
    client = EwsClient(endpoint("https://mail.example/EWS/Exchange.asmx"), context())
    with pytest.raises(UserError):
        client.target(Mailbox("old", ADDRESS))


# ---- throttling, in every shape it comes


@pytest.mark.parametrize(
    ("body", "status", "wait"),
    [
        (fault("ErrorServerBusy", values={"BackOffMilliseconds": "28303"}), 500, 28.303),
        (fault("ErrorServerBusy"), 500, 30.0),
        (fault("ErrorServerBusy", values={"BackOffMilliseconds": "soon"}), 500, 30.0),
        (response("SyncFolderItems", failure("SyncFolderItems", "ErrorServerBusy", values={"BackOffMilliseconds": "1500"})), 200, 1.5),
        (
            response(
                "SyncFolderItems",
                failure(
                    "SyncFolderItems",
                    "ErrorInternalServerError",
                    values={"InnerErrorResponseCode": "ErrorServerBusy", "BackOffMilliseconds": "700"},
                ),
            ),
            200,
            0.7,
        ),
        (fault("ErrorExceededConnectionCount"), 500, 5.0),
        (fault("ErrorExceededFindCountLimit"), 500, 5.0),
    ],
)  # fmt: skip
def test_busy_wherever_it_stands(ask, body: bytes, status: int, wait: float) -> None:
    _, source = ask(answer(status, body))
    with pytest.raises(Throttled) as info:
        source.page(INBOX, None)
    assert info.value.retry_after_s == wait
    assert info.value.scope == "mailbox"


def test_without_impersonation_the_whole_account_waits(ask) -> None:
    _, source = ask(answer(500, fault("ErrorServerBusy")), access="delegate")
    with pytest.raises(Throttled) as info:
        source.page(INBOX, None)
    assert info.value.scope == "endpoint"


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "17"}, 17.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"Retry-After": "whenever"}, 30.0),
        ({}, 30.0),
    ],
)
@pytest.mark.parametrize("status", [503, 429])
def test_a_front_end_that_asks_for_time(ask, status: int, headers: dict[str, str], wait: float) -> None:
    _, source = ask(answer(status, b"", headers))
    with pytest.raises(Transient) as info:
        source.page(INBOX, None)
    assert info.value.retry_after_s == wait
    named = status == 429 or wait != 30.0 or "Date" in headers
    assert isinstance(info.value, Throttled) is named  # a 503 that names no time is a failure like others
    if isinstance(info.value, Throttled):
        assert info.value.scope == "endpoint"


# ---- statuses and codes


@pytest.mark.parametrize(
    ("step", "kind", "code"),
    [
        (answer(302, b"", {"Location": "https://h/ews/genericerrorpage.htm?aspxerrorpath=/ews"}), Transient, "error_page"),
        (answer(302, b"", {"Location": "https://owa.example/owa/auth/logon.aspx?secret=1"}), UserError, "wrong_url"),
        (answer(403), JobError, "ews_shut"),
        (answer(404), UserError, "wrong_url"),
        (answer(413), Transient, "request_too_large"),
        (answer(440), UserError, "wrong_password"),
        (answer(449), Transient, "http_449"),
        (answer(456), UserError, "wrong_password"),
        (answer(500, b"<html>Server Error in '/EWS' Application.</html>"), Transient, "http_500"),
        (answer(502), Transient, "http_502"),
        (answer(418), JobError, "http_418"),
        (answer(500, fault("ErrorNonExistentMailbox")), JobError, "no_mailbox"),
        (answer(500, fault("ErrorImpersonateUserDenied")), JobError, "no_impersonation"),
        (answer(500, fault("ErrorImpersonationDenied")), JobError, "no_impersonation"),
        (answer(500, fault("ErrorNonPrimarySmtpAddress", values={"Primary": "ada.l@old.example"})), JobError, "not_primary_address"),
        (answer(500, fault("ErrorAccountDisabled")), JobError, "mailbox_disabled"),
        (answer(500, fault("ErrorPasswordExpired")), UserError, "password_expired"),
        (answer(500, fault("ErrorMailboxMoveInProgress")), Transient, "ErrorMailboxMoveInProgress"),
        (answer(500, fault("ErrorSomethingNew", "Never heard of.")), JobError, "ErrorSomethingNew"),
        (xml(response("SyncFolderItems", failure("SyncFolderItems", "ErrorInvalidSyncStateData"))), CheckpointLost, "ErrorInvalidSyncStateData"),
        (xml(response("SyncFolderItems", failure("SyncFolderItems", "ErrorAccessDenied"))), JobError, "access_denied"),
        (xml(response("SyncFolderItems")), JobError, "empty_answer"),
        (xml(response("SyncFolderItems", success("SyncFolderItems", "<m:Changes/>"))), JobError, "no_sync_state"),
        (xml(b"<!DOCTYPE html><html><body>Sign in</body></html>"), UserError, "wrong_url"),
        (xml(response("SyncFolderItems", PAGE)[:-30]), Transient, "broken_answer"),
        (xml(b""), Transient, "broken_answer"),
        (xml(b'<?xml version="1.0"?><!DOCTYPE s:Envelope [<!ENTITY x "y">]>' + response("SyncFolderItems", PAGE)[38:]), Transient, "broken_answer"),
        (break_off, Transient, "answer_lost"),
        (raw_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n<half", close=True), Transient, "answer_lost"),
    ],
)  # fmt: skip
def test_what_each_answer_means(ask, step: Step, kind: type[MigratorError], code: str) -> None:
    server, source = ask(step)
    with pytest.raises(MigratorError) as info:
        source.page(INBOX, None)
    assert (type(info.value), info.value.code) == (kind, code)
    said = f"{info.value} {info.value.remedy}"
    assert "battery" not in said and "secret=1" not in said and "\n" not in said
    if (
        kind in (UserError, JobError)
        and code.islower()
        and not code.startswith(("http_", "no_sync", "empty_", "wrong_password"))
    ):
        assert info.value.remedy
    assert len(server.requests) == 1


def test_silence_is_a_timeout(ask) -> None:
    def silent(wire: Wire, request: Request) -> None:
        wire.sock.settimeout(5)
        wire.sock.recv(1)

    _, source = ask(silent, limits=Limits(timeout_s=0.05))
    with pytest.raises(Transient) as info:
        source.page(INBOX, None)
    assert info.value.code == "timeout"


def test_hostile_words_of_a_server_are_made_harmless(ask) -> None:
    body = fault("ErrorSomethingNew", "red \u202e text " + "x" * 1000)
    _, source = ask(answer(500, body.replace(b"red", b"&#x1b;[31mred")))
    with pytest.raises(JobError) as info:
        source.page(INBOX, None)
    assert "\x1b" not in str(info.value) and "\u202e" not in str(info.value)
    assert len(str(info.value)) < 500


# ---- schema versions


def test_a_newer_version_than_the_server_knows_is_stepped_down_and_remembered(ask) -> None:
    def route(request: Request) -> Step:
        version = re.search(rb'RequestServerVersion Version="(\w+)"', request.body)
        assert version
        if version[1] in (b"Exchange2016", b"Exchange2013_SP1", b"Exchange2013"):
            return answer(
                500,
                soap(
                    fault("ErrorInvalidServerVersion")
                    .decode()
                    .partition("<s:Body>")[2]
                    .partition("</s:Body>")[0],
                    head="",
                ),
            )
        return xml(response("SyncFolderItems", PAGE))

    server, source = ask(route=route, version="Exchange2016")
    source.page(INBOX, None)
    source.page(INBOX, None)
    assert len(server.requests) == 5


def test_a_mailbox_on_an_older_back_end_answers_in_its_message(ask) -> None:
    older = response(
        "SyncFolderItems", failure("SyncFolderItems", "ErrorInvalidSchemaVersionForMailboxVersion")
    )
    server, source = ask(xml(older), xml(response("SyncFolderItems", PAGE)))
    source.page(INBOX, None)
    assert [re.search(rb'Version="(\w+)"/>', r.body)[1] for r in server.requests] == [
        b"Exchange2010_SP2",
        b"Exchange2010_SP1",
    ]  # type: ignore[index]


def test_the_servers_build_says_how_far_down(ask) -> None:
    old = SERVER.replace('"15"', '"14"').replace('MinorVersion="1"', 'MinorVersion="1"')
    refused = soap(
        fault("ErrorInvalidServerVersion").decode().partition("<s:Body>")[2].partition("</s:Body>")[0],
        head=old,
    )
    server, source = ask(
        answer(500, refused), xml(response("SyncFolderItems", PAGE, head=old)), version="Exchange2016"
    )
    source.page(INBOX, None)
    assert b'Version="Exchange2010_SP1"' in server.requests[1].body


def test_there_is_an_oldest_version(ask) -> None:
    server, source = ask(answer(500, fault("ErrorInvalidServerVersion")))
    with pytest.raises(JobError) as info:
        source.page(INBOX, None)
    assert info.value.code == "ErrorInvalidServerVersion"
    assert len(server.requests) <= 4


# ---- pages


def changes(*inside: str, state: str = "S2", last: bool = True) -> bytes:
    return response(
        "SyncFolderItems",
        success(
            "SyncFolderItems",
            f"<m:SyncState>{state}</m:SyncState><m:IncludesLastItemInRange>{str(last).lower()}</m:IncludesLastItemInRange>"
            f"<m:Changes>{''.join(inside)}</m:Changes>",
        ),
    )


FULL = (
    '<t:Create><t:MeetingRequest><t:ItemId Id="M1=" ChangeKey="K1"/><t:ItemClass>IPM.Schedule.Meeting.Request</t:ItemClass>'
    "<t:Subject>A &amp; B &#x3;</t:Subject><t:DateTimeReceived>2023-04-05T06:07:08Z</t:DateTimeReceived><t:Size>4321</t:Size>"
    "<t:IsDraft>false</t:IsDraft><t:DateTimeSent>2023-04-05T08:07:07+02:00</t:DateTimeSent>"
    '<t:ExtendedProperty><t:ExtendedFieldURI PropertyTag="0x300b" PropertyType="Binary"/><t:Value>AAECAw==</t:Value></t:ExtendedProperty>'
    "<t:LastModifiedTime>2023-04-06T00:00:00Z</t:LastModifiedTime><t:IsRead>true</t:IsRead>"
    "<t:InternetMessageId>&lt;a@b&gt;</t:InternetMessageId></t:MeetingRequest></t:Create>"
)


def test_a_ref_holds_what_the_listing_told(ask) -> None:
    _, source = ask(xml(changes(FULL)))
    (ref,) = source.page(INBOX, None).refs
    assert ref == ItemRef(
        id="M1=",
        folder=("Inbox",),
        kind=Kind.MAIL,
        version="K1",
        size=4321,
        item_class="IPM.Schedule.Meeting.Request",
        received=instant("2023-04-05T06:07:08Z"),
        sent=instant("2023-04-05T06:07:07Z"),
        modified=instant("2023-04-06T00:00:00Z"),
        message_id="<a@b>",
        subject="A & B \ufffd",
        seen=True,
        draft=False,
        search_key=b"\0\1\2\3",
    )


def test_each_change_becomes_one_ref(ask) -> None:
    _, source = ask(
        xml(
            changes(
                f"<t:Create>{ITEM}</t:Create>",
                '<t:Update><t:Contact><t:ItemId Id="C=" ChangeKey="2"/></t:Contact></t:Update>',
                '<t:Delete><t:ItemId Id="D=" ChangeKey="3"/></t:Delete>',
                '<t:ReadFlagChange><t:ItemId Id="R=" ChangeKey="4"/><t:IsRead>false</t:IsRead></t:ReadFlagChange>',
                '<t:ReadFlagChange><t:ItemId Id="A=" ChangeKey="5"/><t:IsRead>true</t:IsRead></t:ReadFlagChange>',
            )
        )
    )
    refs = source.page(INBOX, Checkpoint("ews-sync/1", "S1")).refs
    assert [(r.id, r.version, r.gone, r.seen) for r in refs] == [
        ("C=", "2", False, None),
        ("D=", "3", True, None),
        ("R=", "4", False, False),
        ("A=", "5", False, True),
    ]


@pytest.mark.parametrize(
    ("state", "last", "sent", "expected"),
    [
        ("S2", True, "S1", True),
        ("S2", False, "S1", False),
        ("S1", False, "S1", True),  # nothing new, whatever it says: asking again would go on for ever
        ("S1", False, None, False),
    ],
)
def test_where_a_listing_ends(ask, state: str, last: bool, sent: str | None, expected: bool) -> None:
    _, source = ask(xml(changes(state=state, last=last)))
    page = source.page(INBOX, Checkpoint("ews-sync/1", sent) if sent else None)
    assert page.last is expected
    assert page.checkpoint == Checkpoint("ews-sync/1", state)


@pytest.mark.parametrize(
    "checkpoint",
    [Checkpoint("graph-delta/1", "S1"), Checkpoint("ews-sync/2", "S1"), Checkpoint("ews-sync/1", "")],
)
def test_a_foreign_checkpoint_is_not_even_sent(ask, checkpoint: Checkpoint) -> None:
    server, source = ask(xml(changes()))
    with pytest.raises(CheckpointLost):
        source.page(INBOX, checkpoint)
    assert server.requests == []


# ---- folders


def folder_xml(
    ident: str, parent: str, name: str, *, element: str = "Folder", extra: str = "", cls: str = ""
) -> str:
    return (
        f'<t:{element}><t:FolderId Id="{ident}" ChangeKey="k"/><t:ParentFolderId Id="{parent}"/>'
        f"{f'<t:FolderClass>{cls}</t:FolderClass>' if cls else ''}<t:DisplayName>{escape(name)}</t:DisplayName>"
        f"<t:TotalCount>3</t:TotalCount>{extra}</t:{element}>"
    )


def test_a_tree_in_any_order_with_a_loop_and_an_orphan() -> None:
    listed = FolderList()
    hidden = '<t:ExtendedProperty><t:ExtendedFieldURI PropertyTag="0x10f4" PropertyType="Boolean"/><t:Value>true</t:Value></t:ExtendedProperty>'
    size = '<t:ExtendedProperty><t:ExtendedFieldURI PropertyTag="0xe08" PropertyType="Long"/><t:Value>5000000000</t:Value></t:ExtendedProperty>'
    rows = [
        folder_xml("c", "b", "deep/er"),
        folder_xml("b", "a", " b "),
        folder_xml("a", "root", "a", extra=hidden + size),
        folder_xml("a", "root", "a again"),
        folder_xml("l1", "l2", "loop"),
        folder_xml("l2", "l1", "loop"),
        folder_xml("s", "gone", "search", element="SearchFolder"),
        folder_xml("k", "root", "Kalender", element="CalendarFolder"),
    ]
    for row in rows:
        listed.add(etree.fromstring(f'<r xmlns:t="{NS_T}">{row}</r>')[0])
    folders = listed.folders({ids.normal("a"): Role.INBOX})
    assert [f.path for f in folders] == [
        ("a",),
        ("search",),
        ("Kalender",),
        ("a", " b "),
        ("a", " b ", "deep/er"),
    ]
    assert (folders[0].hidden, folders[0].size, folders[0].total, folders[0].role) == (
        True,
        5_000_000_000,
        3,
        Role.INBOX,
    )
    assert folders[1].search
    assert (folders[2].folder_class, folders[2].kind) == ("IPF.Appointment", Kind.EVENT)
    assert folders[4].parent_id == "b"


def test_a_hierarchy_in_several_answers(ask) -> None:
    def part(state: str, last: bool, *rows: str) -> bytes:
        inside = "".join(f"<t:Create>{row}</t:Create>" for row in rows)
        return response(
            "SyncFolderHierarchy",
            success(
                "SyncFolderHierarchy",
                f"<m:SyncState>{state}</m:SyncState><m:IncludesLastFolderInRange>{str(last).lower()}</m:IncludesLastFolderInRange>"
                f"<m:Changes>{inside}</m:Changes>",
            ),
        )

    roles = response(
        "GetFolder", success("GetFolder", f"<m:Folders>{folder_xml('root', 'r', 'root')}</m:Folders>")
    )
    server, source = ask(
        xml(part("H1", False, folder_xml("a", "root", "a"))),
        xml(part("H2", True, folder_xml("b", "a", "b"))),
        xml(roles),
    )
    assert [f.path for f in source.folders()] == [("a",), ("a", "b")]
    assert b"<m:SyncState>H1</m:SyncState>" in server.requests[1].body


# ---- export


def data_of(item: Item | Outcome) -> bytes:
    assert isinstance(item, Item)
    return b"".join(item.content.pieces())


def refs(count: int, size: int = 1000) -> list[ItemRef]:
    return [ItemRef(f"I{n}=", ("Inbox",), Kind.MAIL, "K", size=size) for n in range(count)]


def asked(request: Request) -> list[str]:
    return [value.decode() for value in re.findall(rb'<t:ItemId Id="([^"]+)"', request.body)]


def payload(ident: str) -> bytes:
    return base64.b64encode(f"stream of {ident}".encode() * 3)


def mime_answer(idents: list[str]) -> bytes:
    text = base64.b64encode(b"Subject: x\r\n\r\nbody").decode()
    return response(
        "GetItem",
        *(
            success(
                "GetItem",
                f'<m:Items><t:Message><t:MimeContent CharacterSet="UTF-8">{text}</t:MimeContent><t:ItemId Id="{i}"/>'
                "<t:Categories><t:String>Red</t:String><t:String>Blue, late</t:String></t:Categories><t:IsDraft>true</t:IsDraft>"
                '<t:ExtendedProperty><t:ExtendedFieldURI PropertyTag="0x1090" PropertyType="Integer"/><t:Value>2</t:Value></t:ExtendedProperty>'
                '<t:ExtendedProperty><t:ExtendedFieldURI PropertyTag="0x1081" PropertyType="Integer"/><t:Value>102</t:Value></t:ExtendedProperty>'
                "<t:IsRead>true</t:IsRead></t:Message></m:Items>",
            )
            for i in idents
        ),
    )


def server_with(
    poison: set[str], trouble: Step, mime: Callable[[list[str]], Step] | None = None
) -> Callable[[Request], Step]:
    """Answers every item, but no batch that holds a poisonous one."""

    def route(request: Request) -> Step:
        idents = asked(request)
        if b"<m:GetFolder>" in request.body:
            return xml(response("GetFolder", success("GetFolder", "<m:Folders/>")))
        if b"<m:GetItem>" in request.body:
            return mime(idents) if mime else xml(mime_answer(idents))
        if poison & set(idents):
            return trouble
        return xml(exports(*map(payload, idents)))

    return route


def test_the_text_is_handed_on_exactly_as_it_came(ask) -> None:
    _, source = ask(route=server_with(set(), break_off))
    wanted = refs(5)
    results = source.export(wanted, Format.FTS)
    assert [data_of(one) for one in results] == [payload(ref.id) for ref in wanted]
    assert [one.ref for one in results] == wanted


@pytest.mark.parametrize(
    "trouble",
    [
        break_off,
        answer(500, b"<html>Server Error</html>"),
        answer(500, fault("ErrorTimeoutExpired")),
        answer(500, fault("ErrorInternalServerError")),
        xml(exports(b"QUJD")[:-40]),
        xml(exports(b"QUJD", b"QUJD", b"QUJD", b"QUJD", b"QUJD", b"QUJD", b"QUJD", b"QUJD", b"QUJD")),
        raw_answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n<half", close=True),
    ],
)
@pytest.mark.parametrize("poison", [{"I0="}, {"I3="}, {"I7="}, {"I2=", "I3="}, {"I1=", "I6="}])
def test_the_poisonous_item_is_found_and_read_as_mime(ask, trouble: Step, poison: set[str]) -> None:
    server, source = ask(route=server_with(poison, trouble))
    wanted = refs(8)
    results = source.export(wanted, Format.FTS)
    assert [one.ref.id for one in results] == [ref.id for ref in wanted]
    for one in results:
        assert isinstance(one, Item)
        if one.ref.id in poison:
            assert one.format is Format.MIME
            assert data_of(one) == b"Subject: x\r\n\r\nbody"
            assert one.categories == ("Red", "Blue, late")
            assert {str(flag) for flag in one.flags} == {"seen", "draft", "flagged", "answered"}
            assert "read as MIME" in one.notes[0]
        else:
            assert data_of(one) == payload(one.ref.id)
    assert len(server.requests) <= 24


def test_an_item_that_is_poison_both_ways_fails_alone(ask) -> None:
    _, source = ask(route=server_with({"I3="}, break_off, mime=lambda idents: break_off))
    results = source.export(refs(8), Format.FTS)
    failed = [one for one in results if isinstance(one, Outcome)]
    assert [one.ref.id for one in failed] == ["I3="]
    assert isinstance(failed[0].error, Transient)


def test_many_poisonous_neighbours_do_not_stop_the_rest(ask) -> None:
    poison = {f"I{n}=" for n in range(6)}
    _, source = ask(route=server_with(poison, break_off))
    results = source.export(refs(8), Format.FTS)
    assert [str(one.format) for one in results if isinstance(one, Item)] == ["mime"] * 6 + ["fts"] * 2


def test_a_server_that_drops_everything_is_left_alone_soon(ask) -> None:
    server, source = ask(break_off)
    with pytest.raises(Transient):
        source.export(refs(50), Format.FTS)
    assert len(server.requests) <= 15


def test_one_item_alone_is_asked_twice_before_it_is_read_as_mime(ask) -> None:
    server, source = ask(route=server_with({"I0="}, break_off))
    (item,) = source.export(refs(1), Format.FTS)
    assert isinstance(item, Item)
    assert item.format is Format.MIME
    assert len(server.requests) == 3


def test_a_stop_at_the_first_item_is_halved(ask) -> None:
    calls: list[int] = []

    def route(request: Request) -> Step:
        idents = asked(request)
        calls.append(len(idents))
        if len(idents) > 2:
            return xml(response("ExportItems", *(failure("ExportItems", faults.STOPPED) for _ in idents)))
        return xml(exports(*map(payload, idents)))

    _, source = ask(route=route)
    results = source.export(refs(8), Format.FTS)
    assert [data_of(one) for one in results] == [payload(ref.id) for ref in refs(8)]
    assert calls == [8, 4, 2, 2, 4, 2, 2]


def test_an_answer_too_few_is_never_matched_by_guess(ask) -> None:
    def route(request: Request) -> Step:
        idents = asked(request)
        return xml(exports(*map(payload, idents[1:] if len(idents) > 1 else idents)))

    _, source = ask(route=route)
    results = source.export(refs(4), Format.FTS)
    assert [data_of(one) for one in results] == [payload(ref.id) for ref in refs(4)]


@pytest.mark.parametrize(
    ("code", "values", "said"),
    [
        ("ErrorItemNotFound", {}, "skipped vanished"),
        ("ErrorAccessDenied", {}, "failed ErrorAccessDenied ItemError"),
        ("ErrorInvalidIdMalformed", {}, "failed ErrorInvalidIdMalformed ItemError"),
        ("ErrorExportRemoteArchiveItemsFailed", {}, "failed ErrorExportRemoteArchiveItemsFailed ItemError"),
        ("ErrorMailboxStoreUnavailable", {}, "failed ErrorMailboxStoreUnavailable Transient"),
        ("ErrorInternalServerError", {"InnerErrorResponseCode": "ErrorMailboxStoreUnavailable"}, "failed ErrorMailboxStoreUnavailable Transient"),
        ("ErrorCorruptData", {}, "mime"),
        ("ErrorInternalServerError", {}, "mime"),
        ("ErrorTimeoutExpired", {}, "mime"),
        ("ErrorMessageSizeExceeded", {}, "mime"),
    ],
)  # fmt: skip
def test_what_befalls_one_item(ask, code: str, values: dict[str, str], said: str) -> None:
    def route(request: Request) -> Step:
        idents = asked(request)
        if b"<m:GetItem>" in request.body:
            return xml(mime_answer(idents))
        inside = [
            failure("ExportItems", code, values=values)
            if ident == "I1="
            else success("ExportItems", f'<m:ItemId Id="x"/><m:Data>{payload(ident).decode()}</m:Data>')
            for ident in idents
        ]
        return xml(response("ExportItems", *inside))

    _, source = ask(route=route)
    results = source.export(refs(3), Format.FTS)
    assert [data_of(results[n]) for n in (0, 2)] == [payload("I0="), payload("I2=")]
    middle = results[1]
    if isinstance(middle, Item):
        assert str(middle.format) == said
    else:
        words = [str(middle.state), str(middle.reason or getattr(middle.error, "code", ""))]
        if middle.error is not None:
            words.append(type(middle.error).__name__)
        assert " ".join(words) == said


def test_a_change_key_that_the_server_refuses_is_left_out(ask) -> None:
    def route(request: Request) -> Step:
        idents = asked(request)
        if b"ChangeKey" in request.body:
            return xml(
                response("ExportItems", *(failure("ExportItems", "ErrorInvalidChangeKey") for _ in idents))
            )
        return xml(exports(*map(payload, idents)))

    server, source = ask(route=route)
    assert [data_of(one) for one in source.export(refs(3), Format.FTS)] == [
        payload(f"I{n}=") for n in range(3)
    ]
    assert len(server.requests) == 2


def test_success_without_data_is_no_success(ask) -> None:
    def route(request: Request) -> Step:
        if b"<m:GetItem>" in request.body:
            return xml(response("GetItem", failure("GetItem", "ErrorCorruptData")))
        return xml(response("ExportItems", success("ExportItems", '<m:ItemId Id="x"/><m:Data></m:Data>')))

    _, source = ask(route=route)
    (outcome,) = source.export([REF], Format.FTS)
    assert isinstance(outcome, Outcome)
    assert outcome.reason == "corrupt_at_source"


def test_mime_that_is_missing_fails_the_item(ask) -> None:
    _, source = ask(
        xml(response("GetItem", success("GetItem", '<m:Items><t:Task><t:ItemId Id="x"/></t:Task></m:Items>')))
    )
    (outcome,) = source.export([REF], Format.MIME)
    assert isinstance(outcome, Outcome)
    assert isinstance(outcome.error, ItemError)
    assert outcome.error.code == "no_mime"


@pytest.mark.parametrize(
    ("text", "fmt"),
    [(b"BEGIN:VCALENDAR\r\n", "ics"), (b"\xef\xbb\xbfBEGIN:VCARD\r\n", "vcf"), (b"From: x\r\n", "mime")],
)
def test_mime_content_of_other_kinds_is_called_by_its_name(ask, text: bytes, fmt: str) -> None:
    inside = f"<m:Items><t:Item><t:MimeContent>{base64.b64encode(text).decode()}</t:MimeContent></t:Item></m:Items>"
    _, source = ask(xml(response("GetItem", success("GetItem", inside))))
    (item,) = source.export([REF], Format.MIME)
    assert isinstance(item, Item)
    assert (str(item.format), data_of(item)) == (fmt, text)


def test_batches_keep_to_items_and_octets(ask) -> None:
    sizes: list[int] = []

    def route(request: Request) -> Step:
        idents = asked(request)
        sizes.append(len(idents))
        return xml(exports(*map(payload, idents)))

    _, source = ask(route=route, options={"export_items": "3", "export_octets": "100000"})
    source.export([*refs(7, 1000), *refs(2, 70_000), *refs(1, 900_000)], Format.FTS)
    assert sizes == [3, 3, 1 + 1, 1, 1]


def test_a_large_item_gets_more_patience(ask) -> None:
    given: list[float] = []
    _, source = ask(xml(exports(b"QUJD")))
    transport = source._client.transport
    original = transport.request

    def spy(*args: object, **more: object) -> object:
        given.append(more["timeout_s"])  # type: ignore[arg-type]
        return original(*args, **more)  # type: ignore[arg-type]

    transport.request = spy  # type: ignore[method-assign,assignment]
    source.export(refs(1, 150 << 20), Format.FTS)
    source.export(refs(1, 1000), Format.FTS)
    assert given == [pytest.approx((150 << 20) / 200_000), 10]


# ---- the wire's odd corners


def test_characters_that_xml_forbids_are_mended() -> None:
    text = (
        b'<s:Envelope xmlns:s="%b"><x>a&#x3;b&#0;c&#xD83D;&#xDE00;d&#xD83D;e&#55357;&#56832;f&#x9;g\x0bh\xff</x></s:Envelope>'
        % NS_S.encode()
    )
    assert parse(text)[0].text == "a\ufffdb\ufffdc\U0001f600d\ufffde\U0001f600f\tg\ufffdh\ufffd"
    assert mend(b"plain &amp; simple") == b"plain &amp; simple"


@pytest.mark.parametrize(
    "data", [b"", b"no xml", b"<a/>", b"<s:Envelope/>", b'<s:Envelope xmlns:s="urn:x"/>']
)
def test_what_is_no_envelope(data: bytes) -> None:
    with pytest.raises(NotSoap):
        parse(data)


def test_external_entities_are_never_read(tmp_path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("do not read")
    body = f'<!DOCTYPE x [<!ENTITY e SYSTEM "{secret.as_uri()}">]><s:Envelope xmlns:s="{NS_S}"><s:Body>&e;</s:Body></s:Envelope>'
    with pytest.raises(NotSoap):
        parse(body.encode())


@pytest.mark.parametrize(
    ("text", "year"), [("2023-04-05T06:07:08Z", 2023), ("2023-04-05T06:07:08.123+02:00", 2023), ("0001-01-01T00:00:00+14:00", 0), ("rubbish", 0), ("", 0)]
)  # fmt: skip
def test_instants(text: str, year: int) -> None:
    at = instant(text)
    assert (at.year if at else 0) == year
    assert at is None or at.utcoffset().total_seconds() == 0  # type: ignore[union-attr]


def test_ids_without_a_known_shape_are_their_own_normal_form() -> None:
    for odd in (
        "",
        "x",
        "not base64!",
        base64.b64encode(b"\x07abc").decode(),
        base64.b64encode(b"\x01\x03").decode(),
    ):
        assert ids.normal(odd) is not None
        assert ids.mailbox_guid(odd) == ""


def test_run_length_ids_expand() -> None:
    plain = (
        b"\x03" + (36).to_bytes(2, "little") + b"9e19abe1-8917-428e-b47e-36596ca98043" + b"\0" * 10 + b"tail"
    )
    packed = bytearray(b"\x01")
    at = 0
    while at < len(plain):
        run = 1
        while at + run < len(plain) and plain[at + run] == plain[at] and run < 200:
            run += 1
        packed += bytes([plain[at]]) if run == 1 else bytes([plain[at], plain[at], run - 2])
        at += run
    one, other = base64.b64encode(b"\0" + plain).decode(), base64.b64encode(packed).decode()
    assert one != other
    assert ids.normal(one) == ids.normal(other) == plain
    assert ids.mailbox_guid(other) == "9e19abe1-8917-428e-b47e-36596ca98043"


# ---- sign-in beyond Basic


class Purse(Tokens):
    def __init__(self) -> None:
        self.number = 1
        self.claims: list[str] = []

    def token(self) -> str:
        return f"token-{self.number}"

    def renew(self, stale: str, claims: str = "") -> str:
        assert stale == f"token-{self.number}"
        self.number += 1
        self.claims.append(claims)
        return self.token()


def test_a_token_that_ran_out_is_renewed_once() -> None:
    purse = Purse()

    def route(request: Request) -> Step:
        if request.headers["authorization"] == f"Bearer token-{good}":
            return xml(response("SyncFolderItems", PAGE))
        return answer(401, b"", {"WWW-Authenticate": 'Bearer error="invalid_token"'})

    good = 1
    with ScriptServer(route=route) as server:
        client = EwsClient(endpoint(server.url + "/EWS/Exchange.asmx", auth="oauth"), context(), tokens=purse)
        source = client.source(Mailbox("old", ADDRESS))
        source.page(INBOX, None)
        good = 2
        source.page(INBOX, None)
        assert purse.number == 2
        good = 9
        for _ in range(2):
            with pytest.raises(UserError) as info:
                source.page(INBOX, None)
            assert info.value.code == "sign_in_lapsed"
        assert len(server.requests) == 5
        client.close()


def test_a_server_without_basic_says_what_it_takes(ask) -> None:
    server, source = ask(answer(401, b"", {"WWW-Authenticate": "Negotiate, NTLM"}))
    with pytest.raises(UserError) as info:
        source.page(INBOX, None)
    assert info.value.code == "sign_in_method"
    assert "negotiate, ntlm" in str(info.value)
    assert len(server.requests) == 1


def test_secrets_are_looked_up_when_needed_and_never_shown() -> None:
    wallet = Wallet({"env:SERVICE": "s3cr3t-words"})
    with ScriptServer([xml(response("SyncFolderItems", PAGE))]) as server:
        client = EwsClient(endpoint(server.url), context(wallet))
        source = client.source(Mailbox("old", ADDRESS))
        assert wallet.asked == []
        source.page(INBOX, None)
        source.page(INBOX, None)
        assert wallet.asked == ["env:SERVICE"]
        box = client.box(Mailbox("old", ADDRESS))
        pair = base64.b64encode(f"{SERVICE}:s3cr3t-words".encode()).decode()
        for thing in (client, source, box, box.sign_in, box.seat, vars(source)):
            assert "s3cr3t-words" not in repr(thing) and pair not in repr(thing)
        client.close()


@pytest.mark.parametrize("right", [True, False])
def test_ntlm_signs_in_a_connection_once(tmp_path, monkeypatch, right: bool) -> None:
    import spnego

    users = tmp_path / "users"
    users.write_text(f"OLD:migration:{'pass word' if right else 'other'}\n")
    monkeypatch.setenv("NTLM_USER_FILE", str(users))
    signed: dict[int, object] = {}

    def route(request: Request) -> Step:
        number = request.connection
        token = request.headers.get("authorization", "")
        if number in signed and getattr(signed[number], "complete", False):
            return xml(response("SyncFolderItems", PAGE))
        if not token.startswith("NTLM "):
            return answer(401, b"", {"WWW-Authenticate": "NTLM"})
        peer = signed.setdefault(number, spnego.server(protocol="ntlm"))
        try:
            out = peer.step(base64.b64decode(token[5:]))  # type: ignore[attr-defined]
        except spnego.exceptions.SpnegoError:
            return answer(401, b"", {"WWW-Authenticate": "NTLM"})
        if peer.complete:  # type: ignore[attr-defined]
            return answer(200)
        return answer(401, b"", {"WWW-Authenticate": "NTLM " + base64.b64encode(out or b"").decode()})

    wallet = Wallet({"env:SERVICE": "pass word"})
    with ScriptServer(route=route) as server:
        client = EwsClient(
            endpoint(server.url + "/EWS/Exchange.asmx", auth="ntlm", username="OLD\\migration"),
            context(wallet),
        )
        source = client.source(Mailbox("old", ADDRESS))
        if right:
            for _ in range(3):
                source.page(INBOX, None)
            assert [(r.connection, len(r.body) > 0) for r in server.requests] == [
                (1, False), (1, False), (1, True), (1, True), (1, True),
            ]  # fmt: skip
        else:
            for _ in range(3):
                with pytest.raises(UserError) as info:
                    source.page(INBOX, None)
                assert info.value.code == "wrong_password"
            assert len(server.requests) == 2
        client.close()


# ---- recorded and printed answers


def recorded(name: str) -> list[bytes]:
    calls = json.loads(shared(f"ews/recordings-exchange-online/{name}.json").read_text("utf-8"))
    return [call["body"].encode() for call in calls]


def test_a_recorded_listing_of_changes() -> None:
    pages = [body for body in recorded("APITest.testListItemChanges") if b"SyncFolderItemsResponse" in body]
    (message,) = messages_of(parse(pages[0]))
    assert message.ok
    listed = refs_of(message.element.find(f"{{{NS_M}}}Changes"), INBOX, fresh=True)
    assert listed
    assert all(ref.id and ref.version for ref in listed)
    (guid,) = {ids.mailbox_guid(ref.id) for ref in listed}
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", guid)


def test_a_recorded_tree() -> None:
    listed = FolderList()
    for body in recorded("APITest.testGetFolderByDisplayName"):
        for message in messages_of(parse(body)):
            for _, root in children(message.element):
                for _, holder in children(root):
                    for name, element in children(holder):
                        if name.endswith("Folder"):
                            listed.add(element)
    folders = listed.folders({})
    assert len(folders) > 20
    assert all(folder.path[-1] for folder in folders)
    seen: set[tuple[str, ...]] = {()}
    for folder in folders:
        assert folder.path[:-1] in seen
        seen.add(folder.path)


def test_the_build_of_recorded_servers() -> None:
    online = server_of(recorded("APITest.testGetFolderByDistinguishedId")[0])
    assert online is not None
    assert (online.short, online.product, online.exports) == (
        "15.20",
        "Exchange Online (15.20.3370.16)",
        True,
    )
    trace = shared("ews/traces-exchange-2010/create_existing_folder.trace").read_bytes()
    old = server_of(trace[trace.index(b"<h:ServerVersionInfo") - 200 :])
    assert old is not None
    assert (old.short, old.schema, old.highest) == ("14.2", "Exchange2010_SP2", "Exchange2010_SP2")


@pytest.mark.parametrize(
    ("name", "code", "values"),
    [
        ("test_error_server_busy.111", "ErrorServerBusy", {"BackOffMilliseconds": "297749"}),
        ("test_error_schema_validation.140", "ErrorSchemaValidation", {"LineNumber": "123", "LinePosition": "456", "Violation": "ZZZ"}),
    ],
)  # fmt: skip
def test_faults_that_others_keep(name: str, code: str, values: dict[str, str]) -> None:
    found = fault_of(parse(shared(f"ews/exchangelib-tests/{name}.xml").read_bytes()))
    assert found is not None
    assert (found.code, found.values) == (code, values)


def test_every_printed_fault_and_message_can_be_read() -> None:
    read = 0
    for path in sorted(shared("ews/docs-examples").glob("*Response.xml")):
        try:
            root = parse(path.read_bytes())
        except NotSoap:
            continue  # printed without its envelope, or misprinted
        try:
            found = messages_of(root)
        except NotSoap:
            continue  # operations that answer without response messages
        read += len(found)
        assert all(message.level in ("Success", "Warning", "Error") for message in found)
        for message in found:
            if message.level == "Error":
                error = faults.from_code(
                    message.code, message.text, message.values, faults.Seat("old", ADDRESS, SERVICE)
                )
                assert isinstance(error, MigratorError)
    assert read > 80


def test_not_reachable_names_are_told_apart() -> None:
    source = opened("https://no-such-host.invalid/EWS/Exchange.asmx")
    with pytest.raises(SourceDown) as info:
        source.probe()
    assert info.value.code == "source_dns"
