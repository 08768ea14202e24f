"""Attachments of messages and events: inline up to 3 MB, larger ones through an upload session on the import host.

Facts (learn.microsoft.com/graph/api/attachment-createuploadsession, outlook-large-attachments): sessions are for 3 to 150
MB; pieces of at most 4 MB come in order by PUT with Content-Range and without Authorization; the answer names what is
expected next, the last one is 201 with the attachment's address; items as attachments have no session.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from migrator.lab.clock import moment
from migrator.lab.faults import Action
from migrator.lab.http import Request, Response
from migrator.lab.m365 import errors, making, shapes
from migrator.lab.m365.graph import Context, Routes, answer, collection
from migrator.lab.m365.mail import READ, WRITE, kind, rewrite
from migrator.lab.m365.room import Room
from migrator.lab.m365.survival import ONLINE_VERSION
from migrator.lab.m365.tokens import jwt
from migrator.lab.store import LabItem
from migrator.lab.world import Call, Token
from migrator.mapi.fasttransfer import write
from migrator.mapi.item import Attachment

routes = Routes()
SMALL = 3 * 2**20
PIECE = 4 * 2**20
LARGEST = 150 * 2**20
SESSION_S = 3600.0
_CALENDAR = ("Calendars.ReadWrite",)
_CALENDAR_READ = ("Calendars.Read", "Calendars.ReadWrite")
UPLOAD_PATH = re.compile(
    r"/api/v1\.0/Users\('[^']+'\)/(?:Messages|Events)\('[^']+'\)/AttachmentSessions\('[^']+'\)", re.IGNORECASE
)
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


def _item(context: Context) -> LabItem:
    return context.room.item(context.box, context.args.get("message") or context.args["event"])


def _which(context: Context) -> tuple[LabItem, int, Attachment]:
    item = _item(context)
    number = context.room.attachment_number(item, context.args["attachment"])
    attachments = item.message().attachments
    if number >= len(attachments):
        raise errors.no_item()
    return item, number, attachments[number]


def list_attachments(context: Context) -> Any:
    item, options = _item(context), context.options
    rows = [
        shapes.attachment(context.room, item, number, one, content=not options.select)
        for number, one in enumerate(item.message().attachments)
    ]
    if options.select:
        wanted = {name.lower() for name in options.select}
        rows = [
            {n: v for n, v in row.items() if n[0] == "@" or n == "id" or n.lower() in wanted} for row in rows
        ]
    return collection(
        context, kind(context, "attachments"), rows, None, count=len(rows) if options.count else None
    )


def get_attachment(context: Context) -> Any:
    item, number, one = _which(context)
    return {
        "@odata.context": f"{context.root}/$metadata#{kind(context, 'attachments')}/$entity",
        **shapes.attachment(context.room, item, number, one),
    }


def get_value(context: Context) -> Any:
    _, _, one = _which(context)
    data = one.properties.get(0x3701)
    if not isinstance(data, bytes | memoryview):
        raise errors.GraphError(405, "ErrorInvalidOperation", "This attachment has no content of its own.")
    return Response(
        200, [("Content-Type", one.properties.text(0x370E) or "application/octet-stream")], bytes(data)
    )


def add_attachment(context: Context) -> Any:
    item, body = _item(context), context.json()
    message = item.message()
    made = making.attachment(body, message)
    data = made.properties.get(0x3701)
    if isinstance(data, bytes) and len(data) >= SMALL:
        raise errors.GraphError(
            413, "ErrorMessageSizeExceeded", "The attachment is too large: use an upload session."
        )
    message.attachments.append(made)
    rewrite(context, item, message)
    return answer(
        {
            "@odata.context": f"{context.root}/$metadata#{kind(context, 'attachments')}/$entity",
            **shapes.attachment(context.room, item, len(message.attachments) - 1, made),
        },
        201,
    )


def delete_attachment(context: Context) -> Any:
    item, number, _ = _which(context)
    message = item.message()
    del message.attachments[number]
    rewrite(context, item, message)
    context.call.deleted = 1


def create_session(context: Context) -> Any:
    item, body, world = _item(context), context.json(), context.room.world
    told = body.get("AttachmentItem", body.get("attachmentItem"))
    if not isinstance(told, dict) or not isinstance(told.get("name"), str):
        raise errors.bad_request("AttachmentItem with a name is required.", "ErrorInvalidRequest")
    if told.get("attachmentType") != "file":
        raise errors.bad_request(
            "Only attachmentType file can be uploaded.", "ErrorAttachmentTypeNotSupported"
        )
    size = told.get("size")
    if not isinstance(size, int) or not 0 < size <= LARGEST:
        raise errors.bad_request("The size is missing or beyond 150 MB.", "ErrorAttachmentSizeLimitExceeded")
    if size < SMALL:
        raise errors.bad_request(
            "The attachment is smaller than 3 MB: add it in one request.",
            "ErrorAttachmentSizeShouldNotBeLessThanMinimumSize",
        )
    if size > context.box.max_receive_octets:
        raise errors.GraphError(
            413, "ErrorMessageSizeExceeded", "The message exceeds the maximum supported size."
        )
    session = world.tokens.issue(
        "upload",
        SESSION_S,
        value=jwt({"jti": uuid.uuid4().hex}),
        app_id=context.token.app_id,
        mailbox=context.box.guid,
        detail={"item": item.id, "told": told, "data": bytearray(), "root": context.root},
    )
    name = "Events" if "event" in context.args else "Messages"
    owner = f"{context.box.user_id}@{context.box.tenant}"
    host = world.urls.imports or "https://outlook.office.com"
    return answer(
        {
            "@odata.context": f"{context.root}/$metadata#microsoft.graph.uploadSession",
            "uploadUrl": f"{host}/api/v1.0/Users('{owner}')/{name}('{context.room.item_id(item)}')"
            f"/AttachmentSessions('{uuid.uuid4().hex}')?authtoken={session.value}",
            "expirationDateTime": moment(session.expires).strftime("%Y-%m-%dT%H:%M:%S.%f") + "1Z",
            "nextExpectedRanges": ["0-"],
        },
        201,
    )


for _owner, _reading, _writing in (
    ("messages/{message}", READ, WRITE),
    ("events/{event}", _CALENDAR_READ, _CALENDAR),
):
    _base = f"/users/{{user}}/{_owner}/attachments"
    routes.on("GET", _base, "listAttachments", *_reading)(list_attachments)
    routes.on("POST", _base, "createAttachment", *_writing)(add_attachment)
    routes.on("GET", _base + "/{attachment}", "getAttachment", *_reading)(get_attachment)
    routes.on("GET", _base + "/{attachment}/$value", "getAttachmentValue", *_reading)(get_value)
    routes.on("DELETE", _base + "/{attachment}", "deleteAttachment", *_writing)(delete_attachment)
    routes.on("POST", _base + "/createUploadSession", "createUploadSession", *_writing)(create_session)
routes.on(
    "POST", "/users/{user}/mailFolders/{folder}/messages/{message}/attachments", "createAttachment", *WRITE
)(add_attachment)
routes.on(
    "GET", "/users/{user}/mailFolders/{folder}/messages/{message}/attachments", "listAttachments", *READ
)(list_attachments)


# -- the other host


async def upload(room: Room, request: Request, fail: Any) -> Response:
    """One piece of an upload session. fail(request, GraphError, call) words an error."""
    world = room.world
    session = world.tokens.look(request.params.get("authtoken", ""), "upload")
    box = world.m365.mailboxes.get(session.mailbox) if session else None

    def work(call: Call) -> Response:
        try:
            if "authorization" in request.headers:
                raise errors.bad_request("The upload URL takes no Authorization header.")
            if session is None or box is None or session.expires <= world.clock.now():
                raise errors.GraphError(401, "InvalidAuthenticationToken", "The upload session has expired.")
            if request.method == "DELETE":
                world.tokens.remove(session.value)
                return Response(204)
            if request.method == "GET":
                return _expected(session, 200)
            if request.method != "PUT":
                raise errors.GraphError(405, "BadRequest", "PUT is expected.")
            return _piece(room, request, session, call)
        except errors.GraphError as error:
            answer: Response = fail(request, error, call)
            return answer

    def word(action: Action) -> Response:
        answer: Response = fail(
            request, errors.GraphError(action.status or 503, action.code, action.message), None
        )
        return answer

    return await world.perform(
        request,
        "uploadAttachment",
        work=work,
        word=word,
        mailbox=box.address if box else "",
        app_id=session.app_id if session else "",
        write=True,
    )


def _expected(session: Token, status: int) -> Response:
    data: bytearray = session.detail["data"]
    return answer(
        {
            "@odata.context": f"{session.detail['root']}/$metadata#microsoft.graph.uploadSession",
            "expirationDateTime": moment(session.expires).strftime("%Y-%m-%dT%H:%M:%S.%f") + "1Z",
            "nextExpectedRanges": [str(len(data))],
        },
        status,
    )


def _piece(room: Room, request: Request, session: Token, call: Call) -> Response:
    told, data = session.detail["told"], session.detail["data"]
    match = _RANGE.fullmatch(request.headers.get("content-range", ""))
    if match is None:
        raise errors.bad_request("Content-Range is missing or malformed.", "ErrorInvalidRange")
    first, last, total = map(int, match.groups())
    if total != told["size"] or last >= total or last < first or last - first + 1 != len(request.body):
        raise errors.bad_request("The range does not agree with the size or the body.", "ErrorInvalidRange")
    if len(request.body) > PIECE:
        raise errors.GraphError(413, "RequestEntityTooLarge", "A piece has 4 MB at most.")
    if first != len(data):
        raise errors.GraphError(416, "ErrorInvalidRange", f"Expected the range to start at {len(data)}.")
    data += request.body
    if len(data) < total:
        return _expected(session, 200)
    world = room.world
    box = world.m365.mailboxes[session.mailbox]
    item = box.items.get(session.detail["item"])
    if item is None:
        raise errors.no_item()
    message = item.message()
    number = max((a.properties.integer(0x0E21) for a in message.attachments), default=-1) + 1
    message.attachments.append(making.file(number, told, bytes(data)))
    stream = bytes(write(message, version=ONLINE_VERSION))
    world.m365.update_item(item, stream)
    call.stored(item, stream, update=True)
    world.tokens.remove(session.value)
    where = (
        f"{world.urls.imports}/api/v1.0/Users('{box.user_id}@{box.tenant}')/Messages('{room.item_id(item)}')"
        f"/Attachments('{room.attachment_id(item, len(message.attachments) - 1)}')"
    )
    return Response(201, [("Location", where)])
