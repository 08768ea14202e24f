"""The front of the simulated Exchange: HTTP, sign-in, versions, throttling and faults round every operation.

Facts this module rests on:
- /EWS/Exchange.asmx in any case (IIS); SOAPAction may be left out; answers are text/xml; charset=utf-8
- 401 names the ways to sign in; 403 says that EWS is shut for the account
- a request for a version that the server does not know: ErrorInvalidServerVersion (learn.microsoft.com/…/responsecode)
- an operation that the product does not have never reaches Exchange's code: WCF answers ActionNotSupported
- ErrorServerBusy comes as a fault, or in the response message, or as an inner code of ErrorInternalServerError; always
  with BackOffMilliseconds (…/ews-throttling-in-exchange)
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass

from lxml import etree

from migrator.lab.ews import (
    attachments,
    autodiscover,
    bulk,
    envelope,
    folderops,
    identity,
    ids,
    itemops,
    people,
    settings,
    syncops,
)
from migrator.lab.ews.envelope import Envelope, Fault, Refused, T
from migrator.lab.ews.identity import Caller
from migrator.lab.ews.schema import NS_M, Violation, checker
from migrator.lab.ews.session import Session, action_values, from_store
from migrator.lab.ews.versions import OPERATION_SINCE, Profile, profile
from migrator.lab.faults import Action
from migrator.lab.http import Handler, Request, Response, gzipped
from migrator.lab.store import StoreError
from migrator.lab.throttle import Busy
from migrator.lab.world import Account, Call, World

_XML = ("Content-Type", "text/xml; charset=utf-8")
_SERVER = ("Server", "Microsoft-IIS/10.0")
_PATH = "/ews/exchange.asmx"
_ERROR_PAGE = "/ews/genericerrorpage.htm"

_MOVED = "ews.moved"

Operation = Callable[[Session, etree._Element], list[bytes]]

_MESSAGES: dict[str, Operation] = {
    "GetFolder": folderops.get_folder,
    "FindFolder": folderops.find_folder,
    "CreateFolder": folderops.create_folder,
    "UpdateFolder": folderops.update_folder,
    "MoveFolder": folderops.move_folder,
    "DeleteFolder": folderops.delete_folder,
    "EmptyFolder": folderops.empty_folder,
    "SyncFolderHierarchy": syncops.sync_folder_hierarchy,
    "SyncFolderItems": syncops.sync_folder_items,
    "GetItem": itemops.get_item,
    "FindItem": itemops.find_item,
    "CreateItem": itemops.create_item,
    "UpdateItem": itemops.update_item,
    "DeleteItem": itemops.delete_item,
    "MoveItem": itemops.move_item,
    "CopyItem": itemops.copy_item,
    "GetAttachment": attachments.get_attachment,
    "CreateAttachment": attachments.create_attachment,
    "DeleteAttachment": attachments.delete_attachment,
    "ExportItems": bulk.export_items,
    "UploadItems": bulk.upload_items,
    "ResolveNames": people.resolve_names,
    "ConvertId": people.convert_id,
    "GetUserConfiguration": settings.get_user_configuration,
}
_WHOLE: dict[str, Operation] = {
    "GetUserOofSettingsRequest": settings.get_oof,
    "GetInboxRules": settings.get_inbox_rules,
    "GetDelegate": settings.get_delegate,
}
_WRITES = frozenset(
    [
        "CreateFolder",
        "UpdateFolder",
        "MoveFolder",
        "DeleteFolder",
        "EmptyFolder",
        "CreateItem",
        "UpdateItem",
        "DeleteItem",
        "MoveItem",
        "CopyItem",
        "CreateAttachment",
        "DeleteAttachment",
        "UploadItems",
    ]
)
# operations whose per-item messages can tell "busy"; the others have one message for the request
_BULK = frozenset(("ExportItems", "UploadItems"))


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request that was understood well enough to be served or refused."""

    envelope: Envelope
    who: Caller
    profile: Profile
    version: str


def app(world: World) -> Handler:
    """The handler for the exchange port: EWS and autodiscover."""

    async def handle(request: Request) -> Response:
        path = request.path.lower().rstrip("/")
        if path == _PATH:
            return await _serve(world, request)
        if path in ("/autodiscover/autodiscover.xml", "/autodiscover/autodiscover.svc"):
            return await _discover(world, request, path.endswith(".svc"))
        if path == _ERROR_PAGE:
            page = b"<html><body><h1>An unexpected error occurred and your request couldn't be handled.</h1></body></html>"
            return Response(200, [("Content-Type", "text/html")], page)
        return Response(404, [_SERVER])

    return handle


def _profile(world: World) -> Profile:
    return profile(world.knobs.ews_version, world.knobs.ews_export)


# -- before the envelope


async def _signed_in(world: World, request: Request) -> Account | Response:
    """The account, or the answer to someone who is not let in."""
    given = identity.credentials(request)
    account = world.account(*given) if given is not None and "basic" in world.knobs.ews_auth else None
    if account is None:
        login = given[0] if given is not None else ""
        return await world.perform(
            request,
            "SignIn",
            app_id=login,
            work=lambda call: identity.sign_in_needed(world, request),
        )
    own = world.exchange.mailbox(account.mailbox) if account.mailbox else None
    if not account.ews_allowed or (own is not None and not own.enabled):
        return await world.perform(
            request, "SignIn", app_id=account.login, work=lambda call: Response(403, [_SERVER])
        )
    return account


async def _serve(world: World, request: Request) -> Response:
    account = await _signed_in(world, request)
    if isinstance(account, Response):
        return account
    if request.method != "POST":
        status, body = (200, b"<html><body>Service</body></html>") if request.method == "GET" else (405, b"")
        return await world.perform(
            request,
            request.method,
            app_id=account.login,
            work=lambda call: Response(status, [_SERVER, ("Content-Type", "text/html")], body),
        )
    anchor = request.headers.get("x-anchormailbox", "")
    now_profile = _profile(world)
    asked: _Asked | None = None
    refusal: Response | None = None
    name, code = "", ""
    try:
        found = envelope.read(request.body)
        name = found.name
        asked = _Asked(
            found,
            identity.caller(world, account, found.impersonated),
            now_profile,
            _version(now_profile, found.version),
        )
    except envelope.Unreadable as problem:
        name, code = name or "Unreadable", "ErrorSchemaValidation"
        refusal = _fault_response(_invalid(str(problem)), now_profile)
    except Fault as problem:
        code = problem.code
        refusal = _fault_response(problem, now_profile)
    detail: dict[str, object] = {"anchor": anchor}
    if refusal is not None or asked is None:
        answer = refusal or Response(500)
        return await world.perform(
            request, name, app_id=account.login, detail=detail, work=lambda call: _coded(call, code, answer)
        )
    box = _mailbox_meant(world, asked)
    if world.knobs.ews_require_anchor and not anchor:
        missing = Fault(
            "ErrorInternalServerError", "An internal server error occurred. X-AnchorMailbox is missing."
        )
        return await world.perform(
            request,
            name,
            mailbox=box,
            app_id=account.login,
            detail=detail,
            work=lambda call: _coded(call, "NoAnchorMailbox", _fault_response(missing, now_profile)),
        )
    return await _throttled(world, request, asked, box, detail)


def _version(found: Profile, asked: str) -> str:
    if asked and not found.accepts(asked):
        raise Fault("ErrorInvalidServerVersion", "The specified server version is invalid.")
    return asked or found.default


def _mailbox_meant(world: World, asked: _Asked) -> str:
    """For the journal and the fault script: whose mailbox this request is about."""
    who = asked.who
    if who.impersonated and who.own is not None:
        return who.own.address
    for node in asked.envelope.operation.iter(f"{T}EmailAddress", f"{T}ItemId", f"{T}FolderId"):
        if node.tag == f"{T}EmailAddress":
            parent = node.getparent()
            holder = parent.getparent() if parent is not None else None
            if holder is not None and holder.tag == f"{T}DistinguishedFolderId":
                return (node.text or "").strip()
            continue
        found = ids.decode(node.get("Id", ""))
        box = world.exchange.mailboxes.get(str(found.mailbox)) if found is not None else None
        if box is not None:
            return box.address
    return who.own.address if who.own is not None else ""


# -- throttling


async def _throttled(
    world: World, request: Request, asked: _Asked, mailbox: str, detail: dict[str, object]
) -> Response:
    limits = world.knobs.limits_for_ews()
    owner, started = asked.who.owner, world.clock.now()
    busy, delay_s = world.ews_throttle.admit(limits, owner, started)
    name = asked.envelope.name

    def work(call: Call) -> Response:
        if busy is not None:
            call.entry.throttled = True
            call.code = busy.code
            return _busy(asked, busy)
        response = _answer(world, asked, call)
        # a mailbox that was moved answers from another back end afterwards
        moved = mailbox.lower() in world.notes.get(_MOVED, ())
        response.headers.append(("X-CalculatedBETarget", "mbx02.lab.test" if moved else "mbx01.lab.test"))
        if world.knobs.ews_gzip:
            response = gzipped(request, response)
        response.delay_s += delay_s
        return response

    response: Response | None = None
    try:
        response = await world.perform(
            request,
            name,
            mailbox=mailbox,
            app_id=asked.who.account.login,
            write=name in _WRITES,
            detail=detail,
            word=lambda action: _worded(world, asked, mailbox, action),
            work=work,
        )
    finally:
        if busy is None:
            now = world.clock.now()
            took = max(0.0, now - started - world.knobs.latency_s)
            octets = request.octets + (response.octets if response is not None else 0)
            world.ews_throttle.release(limits, owner, now, took, octets)
    return response


def _busy(asked: _Asked, busy: Busy) -> Response:
    values = (("BackOffMilliseconds", str(busy.back_off_ms)),) if busy.back_off_ms is not None else ()
    return _told(asked, busy.code, busy.message, values, busy.shape)


def _worded(world: World, asked: _Asked, mailbox: str, action: Action) -> Response:
    """A scripted fault that has a response code."""
    if action.code == "ApplicationThrottled":  # a Graph word: here it is a busy server
        values = (("BackOffMilliseconds", str(action.back_off_ms or 2000)),)
        return _told(asked, "ErrorServerBusy", action.message, values, action.shape)
    response = _told(asked, action.code, action.message, action_values(action), action.shape)
    if action.code == "ErrorMailboxMoveInProgress":
        world.notes.setdefault(_MOVED, set()).add(mailbox.lower())
    return response


def _told(
    asked: _Asked, code: str, message: str, values: tuple[tuple[str, str], ...], shape: str
) -> Response:
    """One refusal of a whole request, as a fault, in response messages, or as an inner code."""
    name = asked.envelope.name
    if shape == "fault" or name not in _MESSAGES:
        return _fault_response(Fault(code, message, values=values), asked.profile)
    if shape == "inner":
        inner = (
            ("InnerErrorMessageText", message),
            ("InnerErrorResponseCode", code),
            ("InnerErrorDescriptiveLinkKey", "0"),
        )
        refused = Refused(
            "ErrorInternalServerError",
            "An internal server error occurred. The operation failed.",
            values=(*inner, *values),
        )
    else:
        refused = Refused(code, message, values=values)
    messages = [envelope.error(name, refused)] * _expected(asked.envelope.operation)
    return _ok(envelope.answer(asked.profile, name, messages))


_LISTS = frozenset(
    [
        "FolderIds",
        "ParentFolderIds",
        "ItemIds",
        "Items",
        "Folders",
        "FolderChanges",
        "ItemChanges",
        "AttachmentIds",
        "Attachments",
        "SourceIds",
    ]
)


def _expected(operation: etree._Element) -> int:
    """How many response messages a request gets: one per member of its list."""
    lists = [len(child) for child in operation if etree.QName(child).localname in _LISTS]
    return max(lists, default=1)


# -- the operation


def _answer(world: World, asked: _Asked, call: Call) -> Response:
    name, found = asked.envelope.name, asked.profile
    validator = checker(asked.version)
    try:
        if not _exists(name, found):
            return _not_supported(call, found)
        if world.knobs.ews_strict or name not in _MESSAGES:
            if not validator.knows(name):
                raise _invalid(
                    f"The element 'Body' in namespace '{envelope.NS_S}' has invalid child element '{name}' in namespace "
                    f"'{NS_M}'."
                )
            validator.check(asked.envelope.operation)
        session = Session(world, call, found, asked.version, asked.who)
        whole = _WHOLE.get(name)
        if whole is not None:
            buffers = whole(session, asked.envelope.operation)
        else:
            buffers = envelope.answer(found, name, _messages(session, name, asked.envelope.operation))
    except Violation as wrong:
        problem = _invalid(wrong.text, wrong.line, wrong.position)
        call.code = problem.code
        return _fault_response(problem, found)
    except Fault as problem:
        call.code = problem.code
        return _fault_response(problem, found)
    if session.codes:
        call.code = session.codes[0]
        call.detail["errors"] = len(session.codes)
    return _ok(buffers)


def _messages(session: Session, name: str, operation: etree._Element) -> list[bytes]:
    try:
        return _MESSAGES[name](session, operation)
    except Refused as refused:  # of the request as a whole: shape, target folder
        return [session.refuse(name, refused)] * _expected(operation)
    except StoreError as problem:
        return [session.refuse(name, from_store(problem))] * _expected(operation)


def _exists(name: str, found: Profile) -> bool:
    if name not in _MESSAGES and name not in _WHOLE:
        return False
    if name in _BULK and not found.export:
        return False
    return found.knows(OPERATION_SINCE.get(name, "Exchange2007"))


def _not_supported(call: Call, found: Profile) -> Response:
    call.code = "ActionNotSupported"
    text = (
        b"The message with Action '%b' cannot be processed at the receiver, due to a ContractFilter mismatch at the "
        b"EndpointDispatcher."
        % envelope.text(
            f"http://schemas.microsoft.com/exchange/services/2006/messages/{call.entry.operation}"
        )
    )
    body = (
        b'<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault>'
        b'<faultcode xmlns:a="http://schemas.microsoft.com/ws/2005/05/addressing/none">a:ActionNotSupported</faultcode>'
        b'<faultstring xml:lang="en-US">%b</faultstring></s:Fault></s:Body></s:Envelope>' % text
    )
    return Response(500, [_SERVER, _XML], body)


# -- answers


def _invalid(text: str, line: int = 1, position: int = 1) -> Fault:
    return Fault(
        "ErrorSchemaValidation",
        f"The request failed schema validation: {text}",
        elements=(("LineNumber", str(line)), ("LinePosition", str(position)), ("Violation", text)),
    )


def _fault_response(problem: Fault, found: Profile) -> Response:
    return Response(problem.status, [_SERVER, _XML], envelope.fault(problem))


def _ok(buffers: list[bytes]) -> Response:
    headers = [_SERVER, _XML, ("Cache-Control", "private"), ("request-id", str(uuid.uuid4()))]
    return Response(200, headers, buffers)


def _coded(call: Call, code: str, response: Response) -> Response:
    call.code = code
    return response


# -- autodiscover


async def _discover(world: World, request: Request, is_soap: bool) -> Response:
    given = identity.credentials(request)
    if request.method == "GET" and given is None:
        target = f"{world.urls.exchange}{request.path}"
        if request.scheme == "http" and target.startswith("https:"):
            return Response(302, [_SERVER, ("Location", target)])
    account = await _signed_in(world, request)
    if isinstance(account, Response):
        return account
    login = account.login

    def work(call: Call) -> Response:
        answer = autodiscover.soap if is_soap else autodiscover.pox
        status, body = answer(world, _profile(world), bytes(request.body))
        return Response(status, [_SERVER, _XML], body)

    return await world.perform(
        request,
        "GetUserSettings" if is_soap else "Autodiscover",
        app_id=login,
        service="autodiscover",
        work=work,
    )
