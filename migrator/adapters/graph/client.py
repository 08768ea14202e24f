"""The wire: one endpoint's base address, sign-in, JSON, and the only place where status codes and error codes are read.

Every exchange is described by a `Call`: what it is for in words, the application permission it needs, what its failure reaches
(an item, a folder, the mailbox) and whether it writes. From these and the answer `error_from` makes an error of the taxonomy.
"""

from __future__ import annotations

import base64
import binascii
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, Protocol
from urllib.parse import quote, urlsplit

from pydantic_core import from_json, to_json

from migrator import meter
from migrator.adapters.transport import (
    AnswerLost,
    Buffer,
    NotSent,
    ProxyFailure,
    Reply,
    TlsFailure,
    Transport,
)
from migrator.auth.microsoft import challenge_claims
from migrator.auth.redact import redact
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
from migrator.interfaces import Clock
from migrator.record import record
from migrator.settings import Endpoint

BASE = "https://graph.microsoft.com/v1.0"
IMPORT_HOSTS = frozenset({"outlook.office365.com", "outlook.office.com"})
WAIT_MOST_S = 3600.0  # a longer Retry-After is taken for a slip


@record
class Call:
    """What an exchange is for. right: the application permission; reach: what is lost when it is refused for good."""

    what: str
    right: str = ""
    reach: Literal["item", "folder", "mailbox"] = "mailbox"
    writes: bool = False  # an answer that leaves open whether it happened is InDoubt


RESOLVE = Call("resolve the mailbox", "User.Read.All")
LIST_FOLDERS = Call("list folders", "MailboxFolder.Read.All")
FIND_FOLDER = Call("look a folder up", "MailboxFolder.Read.All", "folder")
MAKE_FOLDER = Call("create a folder", "MailboxFolder.ReadWrite.All", "folder")
DROP_FOLDER = Call("delete a folder", "MailboxFolder.ReadWrite.All", "folder")
LIST_ITEMS = Call("list items", "MailboxItem.Read.All", "folder")
DELTA = Call("list changes", "MailboxItem.Read.All", "folder")
READ_ITEM = Call("read an item", "MailboxItem.Read.All", "item")
EXPORT = Call("export items", "MailboxItem.Export.All", "item")
SESSION = Call("open an import session", "MailboxItem.ImportExport.All")
IMPORT = Call("import an item", "MailboxItem.ImportExport.All", "item", writes=True)
DELETE = Call("delete an item", "MailboxItem.ReadWrite.All", "item")
BATCH = Call("send a batch")


# ---- reading answers


def object_of(reply: Reply, call: Call, mailbox: str) -> dict[str, Any]:
    """The body as a JSON object. Raises Transient for what is none: a proxy's page, an answer cut short."""
    try:
        document = from_json(reply.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Transient(
            f"{mailbox}: cannot {call.what}: HTTP {reply.status} whose body is no JSON object ({len(reply.body)} octets)",
            code="garbled_answer",
        )
    return document


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """The server's wish in seconds: a number (fractions occur), an HTTP date, or none. Never negative.

    now: by the server's clock, against which a date is read.
    """
    text = headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        wait = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        wait = moment.timestamp() - now
    return min(max(0.0, wait), WAIT_MOST_S) if wait == wait else None


def server_time(headers: Mapping[str, str], now: float) -> float:
    """The server's clock (Date), ours where it does not tell."""
    try:
        return parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        return now


def words(text: str, most: int = 300) -> str:
    """A server's words as one line that is safe for a terminal and free of secrets."""
    text = redact(text[: 4 * most])
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= most else text[: most - 1] + "…"


@record
class Said:
    """An error as the server told it. code "" where it told none (an empty body, HTML)."""

    status: int
    code: str
    message: str
    wait_s: float | None = None
    request_id: str = ""


def said(reply: Reply, now: float) -> Said:
    """Graph's `{"error":{code,message,innerError}}`, the import host's `{"Message":…}`, or nothing readable."""
    code = message = request_id = ""
    try:
        body = from_json(reply.body) if reply.body else None
    except ValueError:
        body = None
    if isinstance(body, dict):
        inner = _field(body, "error")
        holder = inner if isinstance(inner, dict) else body
        code = _text(holder, "code") or (inner if isinstance(inner, str) else "")
        message = _text(holder, "message")
        deep = _field(holder, "innererror")
        if isinstance(deep, dict):
            request_id = _text(deep, "request-id")
    request_id = request_id or reply.headers.get("request-id", "")
    if not re.fullmatch(r"[0-9A-Za-z-]{8,64}", request_id):
        request_id = ""
    return Said(
        reply.status,
        code if re.fullmatch(r"[\w.\-]{1,80}", code) else "",
        message,
        retry_after_s(reply.headers, server_time(reply.headers, now)),
        request_id,
    )


def _field(body: Mapping[str, Any], name: str) -> Any:
    if name in body:
        return body[name]
    return next((value for key, value in body.items() if key.lower() == name), None)


def _text(body: Mapping[str, Any], name: str) -> str:
    value = _field(body, name)
    return value if isinstance(value, str) else ""


# ---- the one translator

_THROTTLED = {
    "applicationthrottled",
    "toomanyrequests",
    "errorexceededconnectioncount",
    "activitylimitreached",
}
_BUSY = {  # refused before anything was done
    "errorserverbusy",
    "servicenotavailable",
    "serviceunavailable",
    "errormailboxstoreunavailable",
    "errorconnectionfailed",
    "errortimeoutexpired",
    "mailboxinfostale",
    "errormailboxmoveinprogress",
    "errorinternalservertransienterror",
    "errortoomanyobjectsopened",
    "errorbatchprocessingstopped",
    "errorinsufficientresources",
}
_NO_MAILBOX = {
    "mailboxnotenabledforrestapi",
    "mailboxnotsupportedforrestapi",
    "errormissingemailaddress",
    "errorinactivemailbox",
}
_NO_USER = {
    "request_resourcenotfound",
    "resourcenotfound",
    "errorinvaliduser",
    "errornonexistentmailbox",
    "errormailboxnotfound",
    "usernotfound",
}
_NO_FOLDER = {"errorfoldernotfound", "errorparentfoldernotfound", "errorcannotfindparentfolder"}
_RESYNC = {
    "resyncrequired",
    "syncstatenotfound",
    "syncstateinvalid",
    "errorsyncfoldernotfound",
    "errorinvalidsyncstatedata",
}
_QUOTA = {"errorquotaexceeded", "quotaexceeded", "errormailboxquotaexceeded"}
_TOO_LARGE = {
    "errormessagesizeexceeded",
    "errormessagetoobig",
    "maximumrequestlengthexceeded",
    "requestentitytoolarge",
    "errormimecontenttoobig",
}
_CONFLICT = {"errorirresolvableconflict", "errorstaleobject", "errorchangekeyrequiredforwriteoperations"}
_CORRUPT = {
    "errorcorruptdata",
    "errorcontentconversionfailed",
    "erroritemcorrupt",
    "errorpropertyvaluenotfound",
    "erroritemspropertyrequestfailed",
}
_DENIED = {
    "erroraccessdenied",
    "authorization_requestdenied",
    "authorization_identitynotfound",
    "accessdenied",
    "forbidden",
    "errorimpersonateuserdenied",
}

NOT_READY = (
    "Assign a licence with Exchange Online (set usageLocation first); a new mailbox takes minutes, at times a day. "
    "Mailboxes that are still on-premises, inactive or deleted cannot be reached."
)


def right_remedy(right: str) -> str:
    role = right.removesuffix(".All")
    return (
        f"Grant the application permission {right} (Microsoft Graph) and admin consent, or assign the Exchange role "
        f'"Application {role}" over this mailbox; changes take up to two hours to arrive.'
        if right
        else "Check the application's permissions."
    )


def translate(it: Said, call: Call, mailbox: str) -> MigratorError:
    """The error that an answer means. The only reader of status codes and of Graph's error codes."""
    code = it.code.lower()
    status = it.status
    name = it.code or f"http_{status}"
    detail = f": {words(it.message)}" if it.message else ""
    trace = f" (request id {it.request_id})" if it.request_id else ""
    text = f"{mailbox}: cannot {call.what}: {name if status < 400 else f'HTTP {status} {it.code}'.rstrip()}{detail}{trace}"

    if status == 429 or code in _THROTTLED:
        return Throttled(text, retry_after_s=it.wait_s, scope="mailbox", code=name)
    if code in _QUOTA or status == 507:
        if re.search(r"folder.{0,60}(maximum|limit|count)|too many items", it.message, re.IGNORECASE):
            return ItemError(
                text,
                code="folder_full",
                remedy="The folder holds its most of 1,000,000 items: map its source to several folders.",
            )
        return JobError(
            text,
            code="quota_full",
            remedy="Raise the mailbox's quota (a larger plan, an archive) or empty it; a folder at 1,000,000 items gives the "
            "same answer. Then run again.",
        )
    if code in _TOO_LARGE or status == 413:
        return ItemError(
            text, code="too_large", remedy="Raise it: Set-Mailbox -MaxReceiveSize 150MB, then run again."
        )
    if code in _RESYNC or status == 410:
        return CheckpointLost(text, code=name)
    if code in _CONFLICT or status == 412:
        return ItemError(
            text, code="conflict", remedy="The item was changed in the target; it is left as it is."
        )
    if code in _CORRUPT:
        return ItemError(text, code=name)
    if code in _NO_MAILBOX:
        return JobError(
            f"{mailbox}: the mailbox has no licence or is not provisioned yet{detail}{trace}",
            code="mailbox_not_ready",
            remedy=NOT_READY,
        )
    if status in (300, 301, 302, 303, 307, 308):
        return JobError(
            f"{mailbox}: cannot {call.what}: the server sends us elsewhere (HTTP {status})",
            code="redirected",
            remedy="Folders of an archive mailbox are not reached; otherwise check the endpoint's url.",
        )
    if code == "errorarchivefoldermovedpermanently" or (
        status == 409 and "target session is expected" in it.message
    ):
        return ItemError(
            f"{mailbox}: cannot {call.what}: the folder lies in the archive mailbox",
            code="archive_folder",
            remedy="Archive mailboxes are not supported as a source or target here.",
        )
    if code == "errorfolderexists" or (status == 409 and call is MAKE_FOLDER):
        return ItemError(text, code="folder_exists")
    if status == 409:
        return ItemError(text, code="conflict")
    if status == 401:
        return UserError(
            text,
            code="token_refused",
            remedy="Microsoft 365 refuses the token: check tenant, client_id and that the application's sign-in is not blocked.",
        )
    if status == 403 or code in _DENIED:
        if call is DELETE:
            return ItemError(
                text,
                code="protected",
                remedy=f"A hold or retention rule keeps the item, or {call.right} is missing.",
            )
        return JobError(
            f"{mailbox}: no right to {call.what}, {call.right or 'a permission'} is missing: HTTP {status} {it.code}{detail}{trace}",
            code="permission",
            remedy=right_remedy(call.right),
        )
    if code in _NO_FOLDER or (status == 404 and call.reach == "folder"):
        return JobError(
            text, code="folder_gone", remedy="The folder was deleted or moved meanwhile; run again."
        )
    if code in _NO_USER and call.reach == "mailbox":
        return JobError(
            f"{mailbox}: no such user or mailbox in the tenant{detail}{trace}",
            code="mailbox_unknown",
            remedy="Check the address in the manifest; create the user and assign a licence first.",
        )
    if code == "erroritemnotfound" or status == 404:
        if call is IMPORT:
            return JobError(text, code="folder_gone")
        if call.reach == "item":
            return ItemError(text, code="vanished")
        return JobError(text, code="mailbox_unknown", remedy="Check the address in the manifest.")
    if status == 400 and "found for the segment" in it.message:
        return UserError(
            text,
            code="api_missing",
            remedy="Mailbox import and export exist in the global cloud only: check the endpoint's url.",
        )
    if code in _BUSY or status in (408, 425, 502, 503, 504, 509) or status == 500:
        if call.writes and not (code in _BUSY or it.wait_s is not None or status in (408, 425)):
            # A gateway that gave up does not know what the mailbox server did.
            return InDoubt(text, code=name)
        return Transient(text, retry_after_s=it.wait_s, code=name)
    if call is DELTA and status == 400:
        return CheckpointLost(text, code=name)
    if call.reach == "item":
        return ItemError(text, code=name)
    return JobError(text, code=name)


def error_from(reply: Reply, call: Call, mailbox: str, now: float) -> MigratorError:
    return translate(said(reply, now), call, mailbox)


# Refusals that no other wording of the same request would change.
_FINAL = frozenset(
    {
        "permission",
        "quota_full",
        "mailbox_not_ready",
        "mailbox_unknown",
        "redirected",
        "foreign_link",
        "folder_gone",
        "import_host",
    }
)


def is_final(error: MigratorError) -> bool:
    """Whether trying the request in another form is pointless."""
    return isinstance(error, SourceDown | UserError) or error.code in _FINAL


def unreached(e: NotSent, call: Call, mailbox: str) -> MigratorError:
    """The server was not reached: nothing had any effect."""
    text = f"{mailbox}: cannot {call.what}: {e}"
    if e.kind in ("closed", "connection"):
        return Transient(text, code="connection_closed")
    if e.kind == "url":
        return UserError(text, code="url")
    remedy = "Check the network, name resolution and the endpoint's url."
    if isinstance(e, TlsFailure):
        remedy = (
            "Set ca_file if a private certificate authority or an inspecting proxy signs the certificate."
        )
    elif isinstance(e, ProxyFailure):
        remedy = "Check HTTPS_PROXY and NO_PROXY."
    return SourceDown(text, code=f"unreachable_{e.kind}", remedy=remedy)


# ---- the wire


class Tokens(Protocol):
    """Where bearer tokens come from; see `auth.microsoft.MicrosoftTokens`."""

    def token(self) -> str: ...

    def renew(self, stale: str, claims: str = "") -> str: ...

    def close(self) -> None: ...


class Wire:
    """Exchanges with Graph for one endpoint. Thread-safe."""

    def __init__(self, endpoint: Endpoint, transport: Transport, tokens: Tokens, clock: Clock) -> None:
        self.endpoint = endpoint
        self.transport = transport
        self.tokens = tokens
        self.clock = clock
        base = (endpoint.url or BASE).rstrip("/")
        parts = urlsplit(base)
        if not parts.path:
            base += "/v1.0"
        self.base = base
        host = parts.hostname or ""
        self.loopback = _is_loopback(host)
        if parts.scheme != "https" and not self.loopback:
            raise UserError(
                f"endpoint {endpoint.name}: url must be an https address",
                code="url",
                remedy=f"Leave url empty for {BASE}",
            )
        if not host or parts.query or parts.fragment or parts.username:
            raise UserError(f"endpoint {endpoint.name}: url is not a base address such as {BASE}", code="url")
        self._origin = (parts.scheme, parts.netloc.lower())

    # ---- addresses

    def mailbox_path(self, mailbox_id: str) -> str:
        """The id goes raw, as documented samples have it; only what would end the path is escaped."""
        return f"/admin/exchange/mailboxes/{quote(mailbox_id, safe=':@')}"

    def within(self, link: str) -> str:
        """A next or delta link, checked: our token goes to no other server. Raises JobError."""
        parts = urlsplit(link)
        if (parts.scheme, parts.netloc.lower()) != self._origin:
            raise JobError("the server's next link leads to another server", code="foreign_link")
        return link

    def shortened(self, link: str) -> str:
        """A link without our base address, for a checkpoint. Raises JobError for a foreign one."""
        link = self.within(link)
        return link[len(self.base) :] if link.startswith(self.base + "/") else link

    def lengthened(self, link: str) -> str:
        return self.base + link if link.startswith("/") else self.within(link)

    def import_allowed(self, url: str) -> bool:
        """Whether an import URL may be posted to: it carries mail, so only known hosts get it, and only by TLS."""
        parts = urlsplit(url)
        try:
            host, port = (parts.hostname or "").lower(), parts.port
        except ValueError:
            return False
        if not host or parts.username is not None or parts.password is not None:
            return False
        if self.loopback and _is_loopback(host):
            return parts.scheme in ("http", "https")
        if parts.scheme != "https":
            return False
        own = {each.lower() for each in self.endpoint.import_hosts}
        if f"{host}:{port or 443}" in own or host in own:
            return True
        return host in IMPORT_HOSTS and port in (None, 443)

    # ---- exchanges

    def send(
        self,
        method: str,
        url: str,
        call: Call,
        mailbox: str,
        *,
        body: Sequence[Buffer] = (),
        headers: Mapping[str, str] | None = None,
        affinity: str = "",
        accept: Sequence[int] = (200, 201, 202, 204),
    ) -> Reply:
        """One exchange with the bearer token, and a second one when the token was refused. Raises the error it means."""
        token = self.tokens.token()
        fields = {"Accept": "application/json", "client-request-id": str(uuid.uuid4()), **(headers or {})}
        reply = self._once(method, url, call, mailbox, token, fields, body, affinity)
        if reply.status == 401:
            claims = challenge_claims(reply.headers.get("www-authenticate", ""))
            token = self.tokens.renew(token, claims)
            reply = self._once(method, url, call, mailbox, token, fields, body, affinity)
        if reply.status not in accept:
            raise error_from(reply, call, mailbox, self.clock.now())
        return reply

    def _once(
        self,
        method: str,
        url: str,
        call: Call,
        mailbox: str,
        token: str,
        fields: Mapping[str, str],
        body: Sequence[Buffer],
        affinity: str,
    ) -> Reply:
        try:
            return self.transport.request(
                method,
                url,
                headers={**fields, "Authorization": f"Bearer {token}"},
                body=body,
                affinity=affinity,
            )
        except NotSent as e:
            raise unreached(e, call, mailbox) from e
        except AnswerLost as e:
            text = f"{mailbox}: no answer to {call.what}: {e}"
            if call.writes:
                raise InDoubt(text, code="answer_lost") from e
            raise Transient(text, code="answer_lost") from e

    def get(
        self,
        url: str,
        call: Call,
        mailbox: str,
        *,
        headers: Mapping[str, str] | None = None,
        affinity: str = "",
    ) -> tuple[dict[str, Any], Reply]:
        """A JSON object and the answer that it came in."""
        reply = self.send("GET", url, call, mailbox, headers=headers, affinity=affinity)
        return object_of(reply, call, mailbox), reply

    def post(
        self, url: str, document: object, call: Call, mailbox: str, *, affinity: str = ""
    ) -> dict[str, Any]:
        reply = self.send(
            "POST",
            url,
            call,
            mailbox,
            body=[to_json(document)] if document is not None else (),
            headers={"Content-Type": "application/json"} if document is not None else {},
            affinity=affinity,
        )
        return object_of(reply, call, mailbox)

    def batch(
        self, requests: Sequence[Mapping[str, Any]], mailbox: str, *, affinity: str = ""
    ) -> dict[str, Reply]:
        """Up to 20 requests in one ($batch), each with an `id`; url relative to the base. Answers by id, some may be missing.

        Members fail for themselves: each answer is to be judged by `error_from`.
        See: learn.microsoft.com/graph/json-batching
        """
        # Members count as requests of their own, and the server takes four of a mailbox side by side.
        meter.sent(0, requests=len(requests) - 1, at_once=min(4, len(requests)))
        answer = self.post(
            f"{self.base}/$batch", {"requests": list(requests)}, BATCH, mailbox, affinity=affinity
        )
        replies: dict[str, Reply] = {}
        for each in answer.get("responses") or ():
            if not isinstance(each, dict) or not isinstance(each.get("status"), int):
                continue
            headers = each.get("headers")
            body = each.get("body")
            replies[str(each.get("id"))] = Reply(
                each["status"],
                {str(k).lower(): str(v) for k, v in headers.items()} if isinstance(headers, dict) else {},
                to_json(body) if body is not None else b"",
            )
        return replies


def _is_loopback(host: str) -> bool:
    return host == "localhost" or host == "::1" or bool(re.fullmatch(r"127(\.\d{1,3}){3}", host))


_LONG_KEY = bytes.fromhex("0900000016000000")


def version_of(change_key: object) -> str:
    """A change key in the short form. Lists and exports tell 30 octets (type 9, length 22, the key), imports the bare 22;
    both mean the same state, so the ledger must see one form. `update` is documented with the short one."""
    if not isinstance(change_key, str):
        return ""
    if change_key.startswith("CQAAABYAA"):
        try:
            packed = base64.b64decode(change_key, validate=True)
        except binascii.Error:
            return change_key
        if len(packed) == 30 and packed.startswith(_LONG_KEY):
            return base64.b64encode(packed[8:]).decode("ascii")
    return change_key


def moment(text: object) -> datetime | None:
    """A Graph date: aware, UTC; None for none and for the sentinels of year 1, 1601 and 4501."""
    if not isinstance(text, str) or not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return found if 1601 < found.year < 4500 else None
