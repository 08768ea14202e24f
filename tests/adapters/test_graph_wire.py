"""The Graph adapter against scripted answers: what no well-behaved service would say, and what the documentation prints."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.adapters.graph import connect, connect_with, exporting, importing
from migrator.adapters.graph.client import (
    DELETE,
    DELTA,
    EXPORT,
    IMPORT,
    LIST_FOLDERS,
    LIST_ITEMS,
    MAKE_FOLDER,
    READ_ITEM,
    RESOLVE,
    SESSION,
    Call,
    Wire,
    error_from,
    moment,
    retry_after_s,
    version_of,
)
from migrator.adapters.graph.listing import properties, ref_of
from migrator.adapters.graph.names import kind_of_folder_class
from migrator.adapters.graph.target import GraphMailbox
from migrator.adapters.spool import BufferContent, SpoolContent
from migrator.adapters.transport import Reply, Transport
from migrator.auth import redact
from migrator.auth.secrets import SecretStore
from migrator.errors import (
    CheckpointLost,
    InDoubt,
    ItemError,
    JobError,
    MigratorError,
    SourceDown,
    Throttled,
    Transient,
    UserError,
)
from migrator.formats.classes import kind_of_class
from migrator.interfaces import Context
from migrator.model import Content, Folder, Format, Item, ItemRef, Kind, Mailbox, Role, SkipReason, State
from migrator.settings import Endpoint
from tests.servers.http_script import Request, ScriptServer, Step, answer, break_off, hang_up
from tests.shared_data import shared

NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC).timestamp()
MBX = "MBX:5ffdc069@601eaae7"
ROOT = f"/v1.0/admin/exchange/mailboxes/{MBX}"
INBOX = Folder("AAMkA/+b==", ("Inbox",))
REF = ItemRef("src-1", ("Inbox",), Kind.MAIL, "1")


class FakeClock:
    at = NOW

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        raise AssertionError("an adapter does not sleep")


class FakeTokens:
    def __init__(self) -> None:
        self.count = 1
        self.claims: list[str] = []

    def token(self) -> str:
        return f"bearer-token-{self.count}"

    def renew(self, stale: str, claims: str = "") -> str:
        assert stale == self.token()
        self.count += 1
        self.claims.append(claims)
        return self.token()

    def close(self) -> None:
        self.count = 0


def reply(status: int = 200, body: Any = b"", headers: dict[str, str] | None = None) -> Step:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return answer(status, raw, {"Content-Type": "application/json", **(headers or {})})


def error(status: int, code: str, message: str = "", headers: dict[str, str] | None = None) -> Step:
    return reply(status, {"error": {"code": code, "message": message}}, headers)


class Cloud:
    """Answers by method and the path behind the mailbox; each a step, or a list of steps used in order."""

    def __init__(self) -> None:
        self.says: dict[tuple[str, str], Step | list[Step]] = {}
        self.tokens = FakeTokens()
        self.clock = FakeClock()
        self.server = ScriptServer(route=self.route)
        self.on("GET", "settings/exchange", reply(200, {"primaryMailboxId": MBX}))
        self.on("POST", "createImportSession", self.session())
        self.on("POST", "import", reply(200, {"itemId": "new-1", "changeKey": "ck-1"}))

    def on(self, method: str, path: str, *steps: Step) -> None:
        self.says[method, path] = list(steps) if len(steps) > 1 else steps[0]

    def session(self, life_s: float = 3600, number: int = 1) -> Step:
        ends = datetime.fromtimestamp(NOW + life_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.1052906Z")

        def step(wire: Any, request: Request) -> None:
            url = f"{self.server.url}/api/gv1.0/Mailboxes('{MBX}')/importItem?authtoken=tok{number}%2F=&x=%41"
            document = {"importUrl": url, "expirationDateTime": ends}
            reply(
                201,
                document,
                {"Date": datetime.fromtimestamp(NOW, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")},
            )(wire, request)

        return step

    def route(self, request: Request) -> Step:
        path = urlsplit(request.path).path
        if path.endswith("/settings/exchange"):
            key = "settings/exchange"
        elif "importItem" in path:
            key = "import"
        else:
            key = path.removeprefix(ROOT + "/").removeprefix("/v1.0/")
        steps = self.says.get((request.method, key))
        if steps is None:
            return error(404, "ErrorItemNotFound", f"nothing scripted for {request.method} {key}")
        if isinstance(steps, list):
            return steps.pop(0) if len(steps) > 1 else steps[0]
        return steps

    def endpoint(self, **changes: Any) -> Endpoint:
        return replace(Endpoint("m365", "graph", url=self.server.url), **changes)

    def target(self, **changes: Any) -> GraphMailbox:
        context = Context(self.clock, SecretStore(environ={}))
        client = connect_with(self.endpoint(**changes), context, self.tokens)
        return client.target(Mailbox("m365", "alice@target.example"))

    def paths(self, method: str = "") -> list[str]:
        return [unquote(each.path) for each in self.server.requests if method in ("", each.method)]

    def sent(self, ending: str) -> list[Request]:
        return [each for each in self.server.requests if urlsplit(each.path).path.endswith(ending)]


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    found = Cloud()
    with found.server:
        yield found


def item(content: Content | bytes = b"QUJD" * 30) -> Item:
    made = content if not isinstance(content, bytes) else BufferContent([content])
    return Item(REF, Format.FTS, made)


# ---- the translator


def said(status: int, code: str = "", message: str = "", headers: dict[str, str] | None = None) -> Reply:
    body = json.dumps({"error": {"code": code, "message": message}}).encode() if code else b""
    return Reply(status, headers or {}, body)


TABLE: list[tuple[Reply, Call, type[MigratorError], str]] = [
    (said(429, "ApplicationThrottled"), LIST_ITEMS, Throttled, "ApplicationThrottled"),
    (said(429, "TooManyRequests"), IMPORT, Throttled, "TooManyRequests"),
    (said(429), IMPORT, Throttled, "http_429"),
    (said(401, "InvalidAuthenticationToken"), LIST_ITEMS, UserError, "token_refused"),
    (said(403, "ErrorAccessDenied"), LIST_FOLDERS, JobError, "permission"),
    (said(403, "Authorization_RequestDenied"), RESOLVE, JobError, "permission"),
    (said(403), EXPORT, JobError, "permission"),
    (said(403, "ErrorAccessDenied"), DELETE, ItemError, "protected"),
    (said(404, "MailboxNotEnabledForRESTAPI"), RESOLVE, JobError, "mailbox_not_ready"),
    (said(404, "Request_ResourceNotFound"), RESOLVE, JobError, "mailbox_unknown"),
    (said(404, "ResourceNotFound"), RESOLVE, JobError, "mailbox_unknown"),
    (said(404), RESOLVE, JobError, "mailbox_unknown"),
    (said(404, "ErrorItemNotFound"), READ_ITEM, ItemError, "vanished"),
    (said(404, "ErrorItemNotFound"), LIST_ITEMS, JobError, "folder_gone"),
    (said(404, "ErrorFolderNotFound"), IMPORT, JobError, "folder_gone"),
    (said(404, "ErrorItemNotFound"), IMPORT, JobError, "folder_gone"),
    (said(403, "ErrorQuotaExceeded"), IMPORT, JobError, "quota_full"),
    (said(507), IMPORT, JobError, "quota_full"),
    (
        said(507, "ErrorQuotaExceeded", "The folder exceeded its maximum item count."),
        IMPORT,
        ItemError,
        "folder_full",
    ),
    (said(413), IMPORT, ItemError, "too_large"),
    (said(400, "ErrorMessageSizeExceeded"), IMPORT, ItemError, "too_large"),
    (said(400, "ErrorInvalidRequest"), IMPORT, ItemError, "ErrorInvalidRequest"),
    (said(500, "ErrorCorruptData"), IMPORT, ItemError, "ErrorCorruptData"),
    (said(409, "ErrorIrresolvableConflict"), IMPORT, ItemError, "conflict"),
    (said(412), IMPORT, ItemError, "conflict"),
    (said(409, "ErrorFolderExists"), MAKE_FOLDER, ItemError, "folder_exists"),
    (said(410, "ResyncRequired"), DELTA, CheckpointLost, "ResyncRequired"),
    (said(404, "SyncStateNotFound"), DELTA, CheckpointLost, "SyncStateNotFound"),
    (said(400, "SyncStateInvalid"), DELTA, CheckpointLost, "SyncStateInvalid"),
    (said(404, "ErrorSyncFolderNotFound"), DELTA, CheckpointLost, "ErrorSyncFolderNotFound"),
    (said(400, "BadRequest"), DELTA, CheckpointLost, "BadRequest"),
    (
        said(400, "BadRequest", "Resource not found for the segment 'exchange'."),
        RESOLVE,
        UserError,
        "api_missing",
    ),
    (said(503), LIST_ITEMS, Transient, "http_503"),
    (said(504, "UnknownError"), LIST_ITEMS, Transient, "UnknownError"),
    (said(500), EXPORT, Transient, "http_500"),
    (said(503), IMPORT, InDoubt, "http_503"),
    (said(504, "UnknownError"), IMPORT, InDoubt, "UnknownError"),
    (said(500), IMPORT, InDoubt, "http_500"),
    (said(503, "ErrorServerBusy"), IMPORT, Transient, "ErrorServerBusy"),
    (said(503, headers={"retry-after": "3"}), IMPORT, Transient, "http_503"),
    (said(308, headers={"location": "https://x/"}), LIST_ITEMS, JobError, "redirected"),
    (said(302), IMPORT, JobError, "redirected"),
    (said(418), LIST_ITEMS, JobError, "http_418"),
    (said(418), READ_ITEM, ItemError, "http_418"),
]


@pytest.mark.parametrize(
    ("answered", "call", "kind", "code"),
    TABLE,
    ids=[f"{r.status} {c} {call.what}" for r, call, _, c in TABLE],
)
def test_what_an_answer_means(answered: Reply, call: Call, kind: type[MigratorError], code: str) -> None:
    error = error_from(answered, call, "alice@target.example", NOW)
    assert type(error) is kind
    assert error.code == code
    assert str(error).startswith("alice@target.example")


def test_refusals_for_good_say_what_to_do() -> None:
    for answered, call, kind, _ in TABLE:
        if issubclass(kind, JobError | UserError) and answered.status != 418:
            error = error_from(answered, call, "a", NOW)
            assert error.remedy or error.code == "folder_gone", error


@pytest.mark.parametrize(
    ("call", "right"),
    [
        (SESSION, "MailboxItem.ImportExport.All"),
        (EXPORT, "MailboxItem.Export.All"),
        (MAKE_FOLDER, "MailboxFolder.ReadWrite.All"),
        (RESOLVE, "User.Read.All"),
    ],
)
def test_a_missing_right_is_named(call: Call, right: str) -> None:
    error = error_from(said(403, "ErrorAccessDenied"), call, "a", NOW)
    assert right in error.remedy


def test_an_archive_folder_is_told_as_such() -> None:
    body = b'{"Message":"Invalid import session. The target session is expected in mailbox MBX:1@2."}'
    error = error_from(Reply(409, {}, body), IMPORT, "a", NOW)
    assert (type(error), error.code) == (ItemError, "archive_folder")


def test_hostile_words_of_a_server_are_made_safe() -> None:
    nasty = "\x1b[31mred\x07 authtoken=abcdef Bearer eyJhbGciOiJub25lIn0.e30.x \r\n=HYPERLINK() " + "x" * 2000
    error = error_from(said(400, "ErrorInvalidRequest", nasty), IMPORT, "a", NOW)
    text = str(error)
    assert "\x1b" not in text
    assert "\n" not in text
    assert "abcdef" not in text
    assert "eyJ" not in text
    assert len(text) < 600
    odd = error_from(said(400, "<script>", "x"), IMPORT, "a", NOW)
    assert odd.code == "http_400"


def test_the_request_id_is_kept_for_support() -> None:
    body = {
        "error": {
            "code": "X",
            "message": "m",
            "innerError": {"request-id": "94fb3b52-452a-4535-a601-69e0a90e3aa2"},
        }
    }
    error = error_from(Reply(400, {}, json.dumps(body).encode()), IMPORT, "a", NOW)
    assert "94fb3b52-452a-4535-a601-69e0a90e3aa2" in str(error)


@pytest.mark.parametrize(
    ("value", "wait"),
    [
        ("10", 10.0),
        ("2.128", 2.128),
        ("0", 0.0),
        ("-5", 0.0),
        ("Sun, 22 Nov 2026 10:01:30 GMT", 90.0),
        ("Sun, 22 Nov 2026 09:00:00 GMT", 0.0),
        ("999999999", 3600.0),
        ("nan", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_in_every_shape(value: str, wait: float | None) -> None:
    assert retry_after_s({"retry-after": value}, NOW) == wait


def test_the_documented_throttling_answer() -> None:
    document = json.loads(shared("graph/docs-examples/throttling.1.json").read_text())
    headers = dict(line.split(": ", 1) for line in document["headers"])
    answered = Reply(429, {k.lower(): v for k, v in headers.items()}, json.dumps(document["body"]).encode())
    error = error_from(answered, LIST_ITEMS, "a", NOW)
    assert isinstance(error, Throttled)
    assert error.retry_after_s == 2.128


# ---- small readings


def test_dates() -> None:
    assert moment("2024-10-17T19:00:48.1052906Z") == datetime(2024, 10, 17, 19, 0, 48, 105290, UTC)
    assert moment("2021-09-15T12:16:38Z") == datetime(2021, 9, 15, 12, 16, 38, tzinfo=UTC)
    assert moment("2021-09-15T14:16:38+02:00") == datetime(2021, 9, 15, 12, 16, 38, tzinfo=UTC)
    for none in (
        None,
        "",
        7,
        "yesterday",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+09:00",
        "4501-01-01T00:00:00Z",
    ):
        assert moment(none) is None


def test_both_forms_of_a_change_key_are_one() -> None:
    short = base64.b64encode(bytes(range(22))).decode()
    long = base64.b64encode(bytes.fromhex("0900000016000000") + bytes(range(22))).decode()
    assert version_of(long) == version_of(short) == short
    assert version_of("CQAAABYAAACQ2fKdhq8oSKEDSVrdi3lRAAEu4C+G") == "kNnynYavKEihA0la3Yt5UQABLuAvhg=="
    for other in ("CQAAABYAA!", "CQAAABYAAAAA", "x", ""):
        assert version_of(other) == other
    assert version_of(None) == ""


def test_extended_properties_are_read_by_number() -> None:
    told = properties(
        {
            "singleValueExtendedProperties": [
                {"id": "SystemTime 0xE06", "value": "2021-01-01T00:00:00Z"},
                {"id": "String 0x001a", "value": "IPM.Note"},
                {"id": "String {00020329-0000-0000-c000-000000000046} Name 0xyz", "value": "n"},
                {"id": "nonsense", "value": "n"},
                {"id": "Integer 0xE07"},
            ]
        }
    )
    assert told == {0x0E06: "2021-01-01T00:00:00Z", 0x001A: "IPM.Note"}


def test_the_documented_list_item() -> None:
    document = json.loads(shared("graph/docs-examples/2026-mailboxfolder-list-items.json").read_text())
    ref = ref_of(document["body"]["value"][0], INBOX)
    assert (ref.id, ref.size, ref.item_class) == ("EDSVrdi3lRAAE9J-20AAA=", 71133, "IPM.Note")
    assert ref.modified == datetime(2021, 9, 15, 12, 16, 41, tzinfo=UTC)
    assert (ref.received, ref.seen, ref.draft) == (None, None, None)


@pytest.mark.parametrize(
    ("item_class", "kind"),
    [
        ("IPM.Note", Kind.MAIL),
        ("IPM.Note.SMIME.MultipartSigned", Kind.MAIL),
        ("ipm.appointment", Kind.EVENT),
        ("IPM.Schedule.Meeting.Request", Kind.MAIL),
        ("IPM.Contact.Custom", Kind.CONTACT),
        ("IPM.DistList", Kind.GROUP),
        ("IPM.Task", Kind.TASK),
        ("IPM.TaskRequest.Accept", Kind.MAIL),
        ("IPM.Taskish", Kind.OTHER),
        ("IPM.StickyNote", Kind.NOTE),
        ("IPM.Activity", Kind.JOURNAL),
        ("REPORT.IPM.Note.NDR", Kind.MAIL),
        ("IPM.Configuration.X", Kind.OTHER),
        ("", Kind.MAIL),
    ],
)
def test_kinds(item_class: str, kind: Kind) -> None:
    assert kind_of_class(item_class) is kind


def test_kinds_of_folders() -> None:
    assert kind_of_folder_class("IPF.Note.OutlookHomepage") is Kind.MAIL
    assert kind_of_folder_class("IPF.Contact.RecipientCache") is Kind.CONTACT
    assert kind_of_folder_class("") is Kind.MAIL
    assert kind_of_folder_class("IPF.Files") is Kind.OTHER


# ---- addresses


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://outlook.office365.com/api/gv1.0/Mailboxes('MBX:1@2')/importItem?authtoken=a", True),
        ("https://OUTLOOK.office365.com:443/x?authtoken=a", True),
        ("https://outlook.office.com/x", True),
        ("http://outlook.office365.com/x", False),
        ("https://outlook.office365.com:8443/x", False),
        ("https://outlook.office365.com.evil.example/x", False),
        ("https://outlook.office365.com@evil.example/x", False),
        ("https://evil.example/outlook.office365.com", False),
        ("https://user:pw@outlook.office365.com/x", False),
        ("https://extra.example/x", True),
        ("https://extra.example:8443/x", True),
        ("http://extra.example/x", False),
        ("https://ported.example:8443/x", True),
        ("https://ported.example/x", False),
        ("https://127.0.0.1/x", False),
        ("http://localhost:99/x", False),
        ("https://outlook.office365.com:99999/x", False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_where_mail_may_be_posted(url: str, good: bool) -> None:
    endpoint = Endpoint("m365", "graph", import_hosts=("extra.example", "ported.example:8443"))
    wire = Wire(endpoint, Transport(user_agent="t"), FakeTokens(), FakeClock())
    assert wire.import_allowed(url) is good


def test_loopback_is_for_loopback_only() -> None:
    wire = Wire(
        Endpoint("lab", "graph", url="http://127.0.0.1:81/v1.0"),
        Transport(user_agent="t"),
        FakeTokens(),
        FakeClock(),
    )
    assert wire.import_allowed("http://127.0.0.1:82/import?authtoken=x")
    assert wire.import_allowed("https://localhost:82/import?authtoken=x")
    assert not wire.import_allowed("http://127.0.0.1.evil.example/x")


@pytest.mark.parametrize("url", ["http://graph.example/v1.0", "https://", "https://x/v1.0?a=b", "ftp://x"])
def test_a_base_address_that_cannot_work(url: str) -> None:
    with pytest.raises(UserError):
        Wire(Endpoint("m365", "graph", url=url), Transport(user_agent="t"), FakeTokens(), FakeClock())


def test_the_base_address_gets_its_version() -> None:
    for url, base in (
        ("", "https://graph.microsoft.com/v1.0"),
        ("https://graph.microsoft.com", "https://graph.microsoft.com/v1.0"),
        ("https://graph.microsoft.com/beta/", "https://graph.microsoft.com/beta"),
    ):
        wire = Wire(Endpoint("m", "graph", url=url), Transport(user_agent="t"), FakeTokens(), FakeClock())
        assert wire.base == base


def test_settings_are_looked_at_when_connecting(tmp_path: Path) -> None:
    context = Context(FakeClock(), SecretStore(environ={}))
    good = Endpoint("m365", "graph", tenant="t.example", client_id="c", secret="env:X")
    connect(good, context).close()
    for changes in (
        {"tenant": ""},
        {"url": "http://graph.example"},
        {"ca_file": str(tmp_path / "none.pem")},
        {"options": {"page_items": "5000"}},
        {"options": {"max_item_octets": "many"}},
    ):
        with pytest.raises(UserError):
            connect(replace(good, **changes), context)  # type: ignore[arg-type]


# ---- sign-in on the wire


def test_a_refused_token_is_renewed_once_with_its_claims(cloud: Cloud) -> None:
    claims = '{"access_token":{"nbf":{"essential":true,"value":"1"}}}'
    challenge = f'Bearer error="insufficient_claims", claims="{base64.b64encode(claims.encode()).decode()}"'
    refused = error(401, "InvalidAuthenticationToken", headers={"WWW-Authenticate": challenge})
    cloud.on("GET", "settings/exchange", refused, reply(200, {"primaryMailboxId": MBX}))
    cloud.on("GET", "folders", reply(200, {"value": []}))
    cloud.target().probe()
    assert cloud.tokens.claims == [claims]
    bearers = [each.headers["authorization"] for each in cloud.sent("/settings/exchange")]
    assert bearers == ["Bearer bearer-token-1", "Bearer bearer-token-2"]


def test_a_token_that_is_refused_again_is_a_matter_for_the_operator(cloud: Cloud) -> None:
    cloud.on(
        "GET",
        "settings/exchange",
        error(401, "InvalidAuthenticationToken", "Access token validation failure."),
    )
    with pytest.raises(UserError) as caught:
        cloud.target().probe()
    assert caught.value.code == "token_refused"
    assert len(cloud.server.requests) == 2
    assert "bearer-token" not in str(caught.value)


def test_our_token_follows_no_foreign_link(cloud: Cloud) -> None:
    with ScriptServer([reply(200, {"value": []})]) as other:
        for link in (f"{other.url}/v1.0/steal", "https://evil.example/next"):
            cloud.on("GET", "folders", reply(200, {"value": [], "@odata.nextLink": link}))
            with pytest.raises(JobError) as caught:
                cloud.target().folders()
            assert caught.value.code == "foreign_link"
        assert other.requests == []


# ---- folders


def folder_row(folder_id: str, name: str, **more: Any) -> dict[str, Any]:
    return {
        "id": folder_id,
        "displayName": name,
        "type": "IPF.Note",
        "childFolderCount": 0,
        "totalItemCount": 0,
        **more,
    }


def test_the_documented_folder_list(cloud: Cloud) -> None:
    document = json.loads(shared("graph/docs-examples/2026-mailbox-list-folders.json").read_text())["body"]
    del document["@odata.nextLink"]
    cloud.on("GET", "folders", reply(200, document))
    cloud.on("GET", "folders/NJWt2LeVEAAAIBDQAAAA%3D%3D/childFolders", reply(200, {"value": []}))
    archive, calendar = cloud.target().folders()
    assert (archive.path, archive.role, archive.total) == (("Archive",), Role.ARCHIVE, 2)
    assert (calendar.path, calendar.kind, calendar.folder_class) == (
        ("Project Calendar",),
        Kind.EVENT,
        "IPF.Appointment",
    )


def test_folder_lists_go_on_over_their_pages(cloud: Cloud) -> None:
    pages = [
        {
            "value": [folder_row("a", "A", wellKnownName="inbox")],
            "@odata.nextLink": f"{cloud.server.url}{ROOT}/folders?%24skip=1",
        },
        {"value": [folder_row("b", "B", childFolderCount=1)]},
    ]
    cloud.on("GET", "folders", *(reply(200, page) for page in pages))
    cloud.on("GET", "folders/b/childFolders", reply(200, {"value": [folder_row("c", "C/1")]}))
    assert [folder.path for folder in cloud.target().folders()] == [("A",), ("B",), ("B", "C/1")]


def test_search_folders_are_marked_and_never_taken_for_a_place(cloud: Cloud) -> None:
    kind = {"singleValueExtendedProperties": [{"id": "Integer 0x3601", "value": "2"}]}
    rows = [folder_row("s", "Unread", **kind), folder_row("i", "In", wellKnownName="inbox")]
    cloud.on("GET", "folders", reply(200, {"value": rows}))
    cloud.on("POST", "folders/MsgFolderRoot/childFolders", error(409, "ErrorFolderExists"))
    cloud.on("GET", "folders/MsgFolderRoot/childFolders", reply(200, {"value": rows}))
    target = cloud.target()
    assert [(folder.path, folder.search) for folder in target.folders()] == [
        (("Unread",), True),
        (("In",), False),
    ]
    with pytest.raises(ItemError) as caught:
        target.ensure_folder(("Unread",), Kind.MAIL)
    assert caught.value.code == "folder_refused"


def test_a_service_that_does_not_know_our_expand(cloud: Cloud) -> None:
    cloud.on(
        "GET",
        "folders",
        error(400, "BadRequest", "no $expand here"),
        reply(200, {"value": [folder_row("i", "In", wellKnownName="inbox")]}),
    )
    assert [folder.path for folder in cloud.target().folders()] == [("In",)]
    assert ["$expand" in path for path in cloud.paths() if "/folders?" in path] == [True, False]


def test_without_well_known_names_the_folders_are_asked_for(cloud: Cloud) -> None:
    cloud.on(
        "GET", "folders", reply(200, {"value": [folder_row("i", "Posteingang"), folder_row("x", "Projekt")]})
    )
    cloud.on("GET", "folders/inbox", reply(200, folder_row("i", "Posteingang")))
    folders = cloud.target().folders()
    assert [(folder.path, folder.role) for folder in folders] == [
        (("Posteingang",), Role.INBOX),
        (("Projekt",), None),
    ]


def test_a_role_without_a_folder_gets_a_plain_one(cloud: Cloud) -> None:
    cloud.on("GET", "folders", reply(200, {"value": [folder_row("i", "In", wellKnownName="inbox")]}))
    cloud.on(
        "POST",
        "folders/MsgFolderRoot/childFolders",
        reply(201, folder_row("j", "Journal", type="IPF.Journal")),
    )
    target = cloud.target()
    first = target.ensure_folder((), Kind.JOURNAL, role=Role.JOURNAL)
    assert target.ensure_folder((), Kind.JOURNAL, role=Role.JOURNAL) == first
    (made,) = cloud.sent("/MsgFolderRoot/childFolders")
    assert json.loads(made.body) == {"displayName": "Journal", "type": "IPF.Journal"}


def test_a_folder_whose_creation_got_lost_is_not_hoped_for(cloud: Cloud) -> None:
    cloud.on("GET", "folders", reply(200, {"value": [folder_row("i", "In", wellKnownName="inbox")]}))
    cloud.on("POST", "folders/MsgFolderRoot/childFolders", hang_up)
    cloud.on("GET", "folders/MsgFolderRoot/childFolders", reply(200, {"value": []}))
    with pytest.raises(Transient):
        cloud.target().ensure_folder(("New",), Kind.MAIL)


def test_a_server_that_goes_away_is_no_refusal_of_a_folder() -> None:
    found = Cloud()
    with found.server:
        found.on("GET", "folders", reply(200, {"value": [folder_row("i", "In", wellKnownName="inbox")]}))
        target = found.target()
        target.folders()
    target._wire.transport.forget("alice@target.example")
    for call in (
        lambda: target.ensure_folder(("New",), Kind.MAIL),
        lambda: target.remove_folder(INBOX),
        lambda: target.folders(),
        lambda: target.mark(INBOX),
        lambda: target.store(INBOX, [item()]),
    ):
        with pytest.raises(SourceDown):
            call()


def test_deleting_a_folder_in_both_spellings(cloud: Cloud) -> None:
    cloud.on(
        "DELETE", "folders/f/$ref", error(400, "BadRequest", "Resource not found for the segment '$ref'.")
    )
    cloud.on("DELETE", "folders/f", answer(204))
    cloud.on("GET", "folders/f", error(404, "ErrorItemNotFound"))
    cloud.target().remove_folder(Folder("f", ("F",)))
    assert [path.rpartition("/folders/")[2] for path in cloud.paths("DELETE")] == ["f/$ref", "f"]


# ---- listing


def row(number: int, **more: Any) -> dict[str, Any]:
    return {
        "id": f"id-{number}",
        "changeKey": f"ck-{number}",
        "type": "IPM.Note",
        "size": 100,
        "lastModifiedDateTime": "2026-11-22T10:00:00Z",
        "singleValueExtendedProperties": [
            {"id": "String 0x1035", "value": f"<{number}@x>"},
            {"id": "Integer 0xE07", "value": "9"},
        ],
        **more,
    }


ITEMS = "folders/AAMkA%2F%2Bb%3D%3D/items"


def link(cloud: Cloud, tail: str) -> str:
    return f"{cloud.server.url}{ROOT}/{ITEMS}{tail}"


def test_ids_are_escaped_and_the_mailbox_id_is_not(cloud: Cloud) -> None:
    cloud.on(
        "GET",
        f"{ITEMS}/delta",
        reply(200, {"value": [], "@odata.deltaLink": link(cloud, "/delta?$deltatoken=1")}),
    )
    cloud.target().mark(INBOX)
    (path,) = [each.path for each in cloud.server.requests if "/delta" in each.path]
    assert path.startswith(f"{ROOT}/folders/AAMkA%2F%2Bb%3D%3D/items/delta?$select=id,changeKey,")


def test_a_server_with_links_of_its_own_kind_is_followed(cloud: Cloud) -> None:
    cloud.on(
        "GET",
        f"{ITEMS}/delta",
        reply(200, {"value": [{"id": "id-1"}], "@odata.deltaLink": link(cloud, "/delta?$deltatoken=1")}),
    )
    cloud.on(
        "GET",
        ITEMS,
        reply(200, {"value": [row(1)], "@odata.nextLink": link(cloud, "?$skiptoken=opaque%2F2")}),
        reply(200, {"value": [row(2)]}),
    )
    target = cloud.target()
    first = target.page(INBOX, None)
    second = target.page(INBOX, first.checkpoint)
    assert [ref.id for ref in (*first.refs, *second.refs)] == ["id-1", "id-2"]
    assert (first.last, second.last) == (False, True)
    assert cloud.server.requests[-1].path.endswith("/items?$skiptoken=opaque%2F2")
    assert second.refs[0].seen is True
    assert second.refs[0].draft is True
    assert cloud.server.url not in second.checkpoint.token


def test_changes_that_are_told_twice_and_items_that_left_meanwhile(cloud: Cloud) -> None:
    end = link(cloud, "/delta?$deltatoken=")
    cloud.on(
        "GET",
        f"{ITEMS}/delta",
        reply(200, {"value": [], "@odata.deltaLink": end + "1"}),
        reply(
            200,
            {
                "value": [
                    row(1),
                    row(2),
                    row(1, changeKey="ck-1b"),
                    {"id": "id-3", "@removed": {"reason": "deleted"}},
                ],
                "@odata.deltaLink": end + "2",
            },
        ),
    )
    body = row(1, changeKey="ck-1b")
    cloud.on(
        "POST",
        "$batch",
        reply(
            200,
            {
                "responses": [
                    {"id": "1", "status": 200, "headers": {}, "body": body},
                    {
                        "id": "0",
                        "status": 404,
                        "body": {"error": {"code": "ErrorItemNotFound", "message": ""}},
                    },
                ]
            },
        ),
    )
    target = cloud.target()
    page = target.page(INBOX, target.mark(INBOX))
    assert {ref.id: (ref.gone, ref.version, ref.message_id) for ref in page.refs} == {
        "id-1": (False, "ck-1b", "<1@x>"),
        "id-2": (True, "", ""),
        "id-3": (True, "", ""),
    }
    (batch,) = cloud.sent("/$batch")
    urls = [each["url"] for each in json.loads(batch.body)["requests"]]
    assert all(url.startswith(f"/admin/exchange/mailboxes/{MBX}/folders/") for url in urls)


def test_a_throttled_member_of_a_batch_makes_the_page_wait(cloud: Cloud) -> None:
    end = link(cloud, "/delta?$deltatoken=")
    cloud.on(
        "GET",
        f"{ITEMS}/delta",
        reply(200, {"value": [], "@odata.deltaLink": end + "1"}),
        reply(200, {"value": [row(1)], "@odata.deltaLink": end + "2"}),
    )
    member = {
        "id": "0",
        "status": 429,
        "headers": {"Retry-After": "7"},
        "body": {"error": {"code": "ApplicationThrottled"}},
    }
    cloud.on("POST", "$batch", reply(200, {"responses": [member]}), reply(200, {"responses": []}))
    target = cloud.target()
    mark = target.mark(INBOX)
    with pytest.raises(Throttled) as caught:
        target.page(INBOX, mark)
    assert caught.value.retry_after_s == 7
    with pytest.raises(Transient):
        target.page(INBOX, mark)


def test_a_server_that_does_not_sort_is_asked_one_by_one(cloud: Cloud) -> None:
    end = link(cloud, "/delta?$deltatoken=")
    rows = [row(number) for number in range(45)]
    cloud.on(
        "GET",
        f"{ITEMS}/delta",
        reply(200, {"value": [], "@odata.deltaLink": end + "1"}),
        reply(200, {"value": rows, "@odata.deltaLink": end + "2"}),
    )
    cloud.on("GET", ITEMS, error(400, "BadRequest", "$orderby is not supported"))
    base = [{"id": str(n), "status": 200} for n in range(20)]
    cloud.on(
        "POST",
        "$batch",
        *(
            reply(
                200,
                {
                    "responses": [
                        {**each, "body": rows[start + int(each["id"])]}
                        for each in base
                        if start + int(each["id"]) < 45
                    ]
                },
            )
            for start in (0, 20, 40)
        ),
    )
    target = cloud.target()
    page = target.page(INBOX, target.mark(INBOX))
    assert len({ref.message_id for ref in page.refs}) == 45


@pytest.mark.parametrize(
    "document",
    [
        b"[]",
        b"<html>",
        b'{"value":7}',
        b'{"value":[7]}',
        b'{"value":[]}',
        b'{"value":[{}],"@odata.deltaLink":"/"}',
    ],
)
def test_answers_that_are_none(cloud: Cloud, document: bytes) -> None:
    cloud.on("GET", f"{ITEMS}/delta", reply(200, document))
    with pytest.raises((Transient, JobError)):
        cloud.target().mark(INBOX)


# ---- export


def test_the_documented_export() -> None:
    document = json.loads(shared("graph/docs-examples/2026-mailbox-exportitems.json").read_text())
    found = exporting.parse(json.dumps(document["body"]).encode())
    assert set(found) == set(document["request"]["body"]["itemIds"])
    for one in document["body"]["value"]:
        data = found[one["itemId"]].data
        assert data is not None
        assert bytes(data).decode() == one["data"]


def test_large_data_is_cut_out_without_a_copy() -> None:
    large = b"QUJD" * 200
    body = (
        b'{"value":[{"itemId":"a","data" : "'
        + large
        + b'"},{"error":{"code":"E","message":"say \\"data\\":\\"x\\""},"itemId":"b"},'
        b'{"itemId":"c","Data":"'
        + large[:-4].replace(b"Q", b"\\/", 1)
        + b'"},{"itemId":"d"},{"itemId":"e","Error":{"Code":"F","Message":"m"},"data":null}]}'
    )
    found = exporting.parse(body)
    data = found["a"].data
    assert data is not None
    assert data.obj is body
    assert bytes(data) == large
    assert found["b"].error == ("E", 'say "data":"x"')
    escaped = found["c"].data
    assert escaped is not None
    assert bytes(escaped).startswith(b"/UJD")
    assert (found["d"].data, found["d"].error) == (None, None)
    assert found["e"].error == ("F", "m")


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b'{"value":[{"data":"x"}]}', b'{"value":[{"itemId":"a","data":"QQ', b'{"value":7}'],
)
def test_exports_that_cannot_be_read(body: bytes) -> None:
    with pytest.raises(Transient):
        exporting.parse(body)


def test_the_note_of_a_broken_off_export() -> None:
    note = b"=== Truncated Data ==="
    stream = b"some stream of an item" * 20
    for pad in range(3):
        packed = base64.b64encode(stream + b"x" * pad + note)
        assert exporting.truncated(memoryview(packed))
        assert exporting.truncated(memoryview(base64.b64encode(stream) + note))
        assert not exporting.truncated(memoryview(base64.b64encode(stream + b"x" * pad)))


_TEXT = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ['"data":"', "\\", '"', "#0", "#1"]
)
_ANSWERS = st.lists(
    st.fixed_dictionaries(
        {"itemId": _TEXT},
        optional={
            "data": st.binary(max_size=400).map(lambda raw: base64.b64encode(raw).decode())
            | st.none()
            | st.sampled_from(["#0", "#1"]),
            "changeKey": _TEXT,
            "error": st.fixed_dictionaries({"code": _TEXT, "message": _TEXT}),
        },
    ),
    max_size=4,
    unique_by=lambda row: row["itemId"],
)


@given(_ANSWERS, st.booleans(), st.booleans())
def test_cutting_is_the_same_as_parsing(rows: list[dict[str, Any]], spaced: bool, escaped: bool) -> None:
    body = json.dumps(
        {"value": rows}, separators=None if spaced else (",", ":"), ensure_ascii=escaped
    ).encode()
    found = exporting.parse(body)
    assert list(found) == [row["itemId"] for row in rows]
    for row in rows:
        one = found[row["itemId"]]
        if "error" in row:
            assert one.error == (row["error"]["code"], row["error"]["message"])
        else:
            assert (None if one.data is None else bytes(one.data).decode()) == row.get("data")


@given(st.binary(max_size=300))
def test_no_octets_break_the_parsers(body: bytes) -> None:
    importing.stored(body)
    importing.stored(b'{"itemId":"' + body)
    for document in (body, b'{"value":[{"itemId":"a","data":"' + body):
        with contextlib.suppress(Transient):
            exporting.parse(document)
    error_from(Reply(400, {}, body), IMPORT, "a", NOW)
    exporting.truncated(memoryview(body))


def refs(*ids: str) -> list[ItemRef]:
    return [ItemRef(each, ("Inbox",), Kind.MAIL, "1", seen=True) for each in ids]


def test_answers_are_told_apart_by_id_in_either_alphabet(cloud: Cloud) -> None:
    value = [{"itemId": "B/+=", "data": "QkJC"}, {"itemId": "a", "data": "QUFB"}]
    cloud.on("POST", "exportItems", reply(200, {"value": value}))
    first, second = cloud.target().export(refs("a", "B-_="), Format.FTS)
    assert isinstance(first, Item)
    assert isinstance(second, Item)
    assert b"".join(first.content.pieces()) == b"QUFB"
    assert b"".join(second.content.pieces()) == b"QkJC"


def test_nothing_where_something_was_asked_for_is_an_error(cloud: Cloud) -> None:
    cloud.on("POST", "exportItems", reply(200, {"value": [{"itemId": "a"}, {"itemId": "b", "data": ""}]}))
    results = cloud.target().export(refs("a", "b", "c"), Format.FTS)
    assert [type(getattr(each, "error", None)) for each in results] == [Transient] * 3


def test_one_id_that_spoils_the_call_is_found(cloud: Cloud) -> None:
    def judge(wire: Any, request: Request) -> None:
        ids = json.loads(request.body)["itemIds"]
        if "bad" in ids:
            error(400, "ErrorInvalidIdMalformed", "Id is malformed.")(wire, request)
        else:
            reply(200, {"value": [{"itemId": each, "data": "QUFB"} for each in ids]})(wire, request)

    cloud.on("POST", "exportItems", judge)
    results = cloud.target().export(refs("a", "b", "bad", "c", "d"), Format.FTS)
    assert [isinstance(each, Item) for each in results] == [True, True, False, True, True]


def test_an_archived_item_is_told_as_such(cloud: Cloud) -> None:
    told = {"code": "ErrorArchiveFolderMovedPermanently", "message": "https://graph.microsoft.com/x"}
    cloud.on("POST", "exportItems", reply(200, {"value": [{"itemId": "a", "error": told}]}))
    (outcome,) = cloud.target().export(refs("a"), Format.FTS)
    assert getattr(getattr(outcome, "error", None), "code", "") == "archive_folder"


# ---- import


def test_the_request_is_the_documented_one_and_the_url_untouched(cloud: Cloud) -> None:
    (outcome,) = cloud.target().store(INBOX, [item(b"QUJD" * 9)])
    assert (outcome.state, outcome.target_id, outcome.target_version) == (State.COPIED, "new-1", "ck-1")
    (request,) = cloud.sent("/importItem")
    assert request.path == f"/api/gv1.0/Mailboxes('{MBX}')/importItem?authtoken=tok1%2F=&x=%41"
    assert json.loads(request.body) == {"FolderId": INBOX.id, "Mode": "create", "Data": "QUJD" * 9}
    assert "authorization" not in request.headers
    assert request.headers["content-type"] == "application/json"
    (session,) = cloud.sent("/createImportSession")
    assert session.body == b""
    assert session.headers["content-length"] == "0"


def test_an_update_carries_id_and_key(cloud: Cloud) -> None:
    cloud.target().store(INBOX, [item()], [('it"em', "key==")])
    (request,) = cloud.sent("/importItem")
    body = json.loads(request.body)
    assert (body["Mode"], body["ItemId"], body["ChangeKey"]) == ("update", 'it"em', "key==")


def test_content_from_a_spool_file(cloud: Cloud, tmp_path: Path) -> None:
    content = SpoolContent(str(tmp_path))
    for _ in range(50):
        content.write(b"QUJD" * 1024)
    content.close_writing()
    (outcome,) = cloud.target().store(INBOX, [item(content)])
    assert outcome.state is State.COPIED
    (request,) = cloud.sent("/importItem")
    assert json.loads(request.body)["Data"] == "QUJD" * 1024 * 50
    content.release()


@pytest.mark.parametrize(
    "body",
    [
        b'{"itemId":"a","changeKey":"b"}',
        b'{"@odata.context":"x","itemId" : "a", "changeKey" : "b"}',
        b'{"changeKey":"b","itemId":"a"}',
        b'{"ItemId":"a","ChangeKey":"b"}',
        b'{"itemId":"\\u0061","changeKey":"b"}',
    ],
)
def test_import_answers_in_every_spelling(body: bytes) -> None:
    assert importing.stored(body) == ("a", "b")


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"itemId":""}', b'{"itemId":7,"changeKey":"x"}', b'{"itemId":"a', b"<html>"]
)
def test_import_answers_that_name_no_item(cloud: Cloud, body: bytes) -> None:
    assert importing.stored(body) is None
    cloud.on("POST", "import", reply(200, body))
    (outcome,) = cloud.target().store(INBOX, [item()])
    assert isinstance(outcome.error, InDoubt)


def test_the_documented_import_answer() -> None:
    document = json.loads(shared("graph/docs-examples/2024-import-session-and-import.json").read_text())
    body = json.dumps(document["importCreate"]["body"]).encode()
    assert importing.stored(body) == ("EDSVrdi3lRAAFSX03NAAA=", "kNnynYavKEihA0la3Yt5UQABUftGQg==")


def test_an_import_address_elsewhere_gets_nothing(cloud: Cloud) -> None:
    with ScriptServer([reply(200)]) as other:
        for url in (
            "https://evil.example/importItem?authtoken=zzzzzzzz",
            other.url.replace("127.0.0.1", "0.0.0.0") + "/x?authtoken=zzzzzzzz",
        ):
            cloud.on(
                "POST",
                "createImportSession",
                reply(200, {"importUrl": url, "expirationDateTime": "2026-11-22T11:00:00Z"}),
            )
            with pytest.raises(JobError) as caught:
                cloud.target().store(INBOX, [item()])
            assert caught.value.code == "import_host"
            assert "zzzzzzzz" not in f"{caught.value} {caught.value.remedy}"
        assert other.requests == []


def test_the_url_is_in_no_error_and_in_no_repr(cloud: Cloud) -> None:
    for step in (
        error(400, "ErrorInvalidRequest"),
        hang_up,
        break_off,
        error(401, "x"),
        error(302, "x"),
        answer(500),
    ):
        cloud.on("POST", "import", step)
        target = cloud.target()
        try:
            shown = repr(target.store(INBOX, [item()]))
        except MigratorError as e:
            shown = f"{e} {e.remedy} {e!r} {e.__cause__!r} {e.__context__!r}"
        assert "tok1" not in shown
        assert "tok1" not in repr(target._shared.session._held)
        assert "tok1" not in redact.redact("POST importItem?authtoken=tok1%2F=&x=%41")


def test_a_refused_session_is_renewed_twice_then_the_job_stops(cloud: Cloud) -> None:
    cloud.on("POST", "import", error(401, "Unauthorized"))
    cloud.on("POST", "createImportSession", *(cloud.session(number=n) for n in (1, 2, 3)))
    with pytest.raises(JobError) as caught:
        cloud.target().store(INBOX, [item()])
    assert caught.value.code == "import_session"
    tokens = [parse_qs(urlsplit(each.path).query)["authtoken"][0] for each in cloud.sent("/importItem")]
    assert tokens == ["tok1/=", "tok2/=", "tok3/="]


def test_a_session_lives_by_the_servers_clock(cloud: Cloud) -> None:
    cloud.clock.at = NOW + 50_000  # our clock is far ahead
    target = cloud.target()
    target.store(INBOX, [item()])
    target.store(INBOX, [item()])
    assert len(cloud.sent("/createImportSession")) == 1
    cloud.clock.at += 3600 - 119
    target.store(INBOX, [item()])
    assert len(cloud.sent("/createImportSession")) == 2


def test_a_redirect_of_an_import_is_not_followed(cloud: Cloud) -> None:
    with ScriptServer([reply(200, {"itemId": "x", "changeKey": "y"})]) as other:
        cloud.on("POST", "import", answer(307, b"", {"Location": other.url + "/importItem"}))
        with pytest.raises(JobError) as caught:
            cloud.target().store(INBOX, [item()])
        assert caught.value.code == "redirected"
        assert other.requests == []


def test_items_after_a_stop_midway_are_told_one_by_one(cloud: Cloud) -> None:
    good = reply(200, {"itemId": "n", "changeKey": "k"})
    cloud.on("POST", "import", good, error(429, "ApplicationThrottled", headers={"Retry-After": "1"}))
    outcomes = cloud.target().store(INBOX, [item(), item(), item()])
    assert [outcome.state for outcome in outcomes] == [State.COPIED, State.FAILED, State.FAILED]
    assert all(isinstance(outcome.error, Throttled) for outcome in outcomes[1:])
    assert len(cloud.sent("/importItem")) == 2


def test_other_formats_are_refused_without_a_call(cloud: Cloud) -> None:
    (outcome,) = cloud.target().store(INBOX, [replace(item(), format=Format.MIME)])
    assert getattr(outcome.error, "code", "") == "format"
    assert cloud.server.requests == []


def test_a_limit_of_our_own_is_kept_before_sending(cloud: Cloud) -> None:
    target = cloud.target(options={"max_item_octets": "100"})
    (outcome,) = target.store(INBOX, [item(b"QUJD" * 26)])
    assert (outcome.state, outcome.reason) == (State.SKIPPED, SkipReason.TOO_LARGE)
    assert cloud.server.requests == []


def test_a_quota_answer_of_a_folder_at_its_limit(cloud: Cloud) -> None:
    cloud.on("POST", "import", error(403, "ErrorQuotaExceeded", "The mailbox exceeded its quota."))
    (outcome,) = cloud.target().store(replace(INBOX, total=999_999), [item()])
    assert getattr(outcome.error, "code", "") == "folder_full"
    with pytest.raises(JobError) as caught:
        cloud.target().store(replace(INBOX, total=10), [item()])
    assert caught.value.code == "quota_full"


# ---- removal


def test_removal_returns_what_is_gone(cloud: Cloud) -> None:
    def judge(wire: Any, request: Request) -> None:
        members = json.loads(request.body)["requests"]
        assert all(
            each["method"] == "DELETE" and each["url"].endswith("?disposalType=hardDelete")
            for each in members
        )
        status = {"a": 204, "b": 404, "c": 403, "d": 429}
        told = [
            {
                "id": each["id"],
                "status": status[each["url"].rpartition("/items/")[2][0]],
                "body": {"error": {"code": "X"}},
            }
            for each in members
        ]
        reply(200, {"responses": told})(wire, request)

    cloud.on("POST", "$batch", judge)
    target = cloud.target()
    assert target.remove(INBOX, ["a", "b", "c"]) == ["a", "b"]
    for asked in (["a", "d"], ["d"]):  # asked again, "a" is not found and counts as gone
        with pytest.raises(Throttled):
            target.remove(INBOX, asked)
    assert target.remove(INBOX, []) == []


# ---- no server


def test_a_server_that_is_not_there() -> None:
    context = Context(FakeClock(), SecretStore(environ={}))
    client = connect_with(Endpoint("m365", "graph", url="http://127.0.0.1:9/v1.0"), context, FakeTokens())
    with pytest.raises(SourceDown) as caught:
        client.target(Mailbox("m365", "a@b.example")).probe()
    assert caught.value.code == "unreachable_refused"
    assert caught.value.remedy


def test_error_statuses_are_read_in_one_place() -> None:
    folder = Path(importing.__file__).parent
    readers = [
        path.name
        for path in folder.glob("*.py")
        if any(
            f"status == {number}" in path.read_text("utf-8")
            for number in (403, 404, 409, 410, 412, 413, 429, 500, 503, 504)
        )
    ]
    assert readers == ["client.py"]
