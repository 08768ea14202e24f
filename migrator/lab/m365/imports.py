"""Import of items: the session on Graph, and the separate host to which each item is posted.

Facts (learn.microsoft.com/graph/import-exchange-mailbox-item, api/mailbox-createimportsession): the URL is opaque, on another
host than Graph, with a token in its query; it takes no Authorization header; one item per POST; `create` always makes a new
item, `update` needs the pair of id and change key; the answer's change key has the 22-octet form. What the host says to
broken data, a full mailbox or an expired session is not written down: the shapes here are Graph's.
"""

from __future__ import annotations

import binascii
import re
import uuid
from datetime import datetime
from typing import Any

import pybase64
import pydantic_core

from migrator.lab.clock import moment
from migrator.lab.describe import facts_of
from migrator.lab.faults import Action
from migrator.lab.http import Request, Response
from migrator.lab.m365 import errors
from migrator.lab.m365.attachments import UPLOAD_PATH, upload
from migrator.lab.m365.graph import STATUS_OF, Context, Routes, answer
from migrator.lab.m365.room import FOLDER, Room, storable
from migrator.lab.m365.survival import Refused, survive
from migrator.lab.m365.tokens import jwt
from migrator.lab.store import Discarded, LabFolder, LabItem, LabMailbox, StoreError
from migrator.lab.world import Call, Token
from migrator.mapi import fasttransfer
from migrator.mapi.fasttransfer import StreamError

routes = Routes()
_PATH = re.compile(r"/api/(gv1\.0|gbeta)/Mailboxes\('([^']+)'\)/importItem", re.IGNORECASE)
_DATA = re.compile(rb'"Data"\s*:\s*"')


@routes.on(
    "POST",
    "/admin/exchange/mailboxes/{mailbox}/createImportSession",
    "createImportSession",
    "MailboxItem.ImportExport.All",
    write=False,
)
def create_session(context: Context) -> Any:
    world, box = context.room.world, context.box
    lifetime = world.knobs.session_lifetime_s
    now = world.clock.now()
    session = world.tokens.issue(
        "import",
        lifetime,
        value=jwt(
            {
                "aud": world.urls.imports,
                "mbx": context.room.mailbox_id(box),
                "exp": int(now + lifetime),
                "jti": uuid.uuid4().hex,
            }
        ),
        app_id=context.token.app_id,
        tenant=context.token.tenant,
        user=context.token.user,
        mailbox=box.guid,
    )
    version = "gbeta" if context.root.endswith("/beta") else "gv1.0"
    host = world.urls.imports or "https://outlook.office365.com"
    return answer(
        {
            "@odata.context": f"{context.root}/$metadata#microsoft.graph.mailboxItemImportSession",
            "importUrl": f"{host}/api/{version}/Mailboxes('{context.room.mailbox_id(box)}')/importItem"
            f"?authtoken={session.value}",
            "expirationDateTime": _seven(moment(session.expires)),
        },
        world.knobs.create_session_status,
    )


def _seven(at: datetime) -> str:
    """With seven digits of a second, as .NET writes them."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f") + "6Z"


class ImportHost:
    """Handler of the import service."""

    def __init__(self, room: Room) -> None:
        self.room = room

    async def handle(self, request: Request) -> Response:
        room, world = self.room, self.room.world
        if UPLOAD_PATH.fullmatch(request.path):
            return await upload(room, request, self._fail)
        match = _PATH.fullmatch(request.path)
        session = world.tokens.look(_auth_token(request), "import")
        box = world.m365.mailboxes.get(session.mailbox) if session else None
        app_id = session.app_id if session else ""
        address = box.address if box else ""
        limits = world.knobs.limits_for_graph()
        refused = None
        if box is not None:
            refused = world.graph_throttle.admit(
                limits, app_id, address, request.octets, request.received or world.clock.now(), write=True
            )

        def work(call: Call) -> Response:
            try:
                if refused is not None:
                    headers = {"Retry-After": refused.retry_after} if refused.retry_after else {}
                    raise errors.GraphError(refused.status, refused.code, refused.message, headers)
                if match is None or request.method != "POST":
                    raise errors.no_segment(request.path.rpartition("/")[2])
                return self._import(request, call, session, box, match[1], match[2])
            except errors.GraphError as error:
                return self._fail(request, error, call)
            except StoreError as error:
                return self._fail(request, room.refusal(error), call)

        def word(action: Action) -> Response:
            headers = {"Retry-After": action.retry_after} if action.retry_after else {}
            status = action.status or STATUS_OF.get(action.code, 503)
            return self._fail(
                request, errors.GraphError(status, action.code, action.message or action.code, headers)
            )

        try:
            return await world.perform(
                request, "importItem", work=work, word=word, mailbox=address, app_id=app_id, write=True
            )
        finally:
            if box is not None and refused is None:
                world.graph_throttle.release(limits, app_id, address)

    def _fail(self, request: Request, error: errors.GraphError, call: Call | None = None) -> Response:
        if call is not None:
            call.code = error.code
        request_id = str(uuid.uuid4())
        body = error.body(
            request_id, request.headers.get("client-request-id", ""), self.room.world.clock.now()
        )
        return Response(
            error.status,
            [("Content-Type", "application/json"), ("request-id", request_id), *error.headers.items()],
            pydantic_core.to_json(body),
        )

    def _import(
        self,
        request: Request,
        call: Call,
        session: Token | None,
        box: LabMailbox | None,
        version: str,
        mailbox_id: str,
    ) -> Response:
        room, world = self.room, self.room.world
        if "authorization" in request.headers:
            raise errors.bad_request(
                "The import URL carries its own token: an Authorization header is not allowed.",
                "ErrorInvalidRequest",
            )
        if session is None or box is None:
            raise errors.GraphError(401, "InvalidAuthenticationToken", "The import session token is invalid.")
        if session.expires <= world.clock.now():
            raise errors.GraphError(
                401, "InvalidAuthenticationToken", "The import session token has expired."
            )
        if room.mailbox_id(box).lower() != mailbox_id.lower():
            raise errors.GraphError(
                401, "InvalidAuthenticationToken", "The import session is for another mailbox."
            )
        limit = world.knobs.import_body_octets
        if limit and request.octets > limit:
            return Response(413)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise errors.GraphError(415, "BadRequest", "Content-Type must be application/json.")
        fields, stream = parse_body(request.body)
        folder = self._folder(box, fields.get("FolderId"))
        mode = fields.get("Mode")
        if mode not in ("create", "update"):
            raise errors.bad_request("Mode must be create or update.")
        old: LabItem | None = None
        change: int | None = None
        if mode == "create":
            if fields.get("ItemId") is not None or fields.get("ChangeKey") is not None:
                raise errors.bad_request("ItemId and ChangeKey must not be given in mode create.")
        else:
            old, change = self._old(box, folder, fields)
        if len(stream) > box.max_receive_octets:
            raise errors.GraphError(
                413, "ErrorMessageSizeExceeded", "The message exceeds the maximum supported size."
            )
        item = self._store(call, folder, stream, old, change)
        return Response(
            200,
            [("Content-Type", "application/json; charset=utf-8")],
            (
                f'{{"@odata.context":"{world.urls.imports}/api/{version}/$metadata#microsoft.graph.importMailboxItemResponse",'
                f'"itemId":"{room.item_id(item)}","changeKey":"{room.short_key(item)}"}}'
            ).encode(),
        )

    def _folder(self, box: LabMailbox, folder_id: object) -> LabFolder:
        if not isinstance(folder_id, str) or not folder_id:
            raise errors.bad_request("FolderId is required.")
        try:
            number = self.room.number(FOLDER, box, folder_id)
        except errors.GraphError as error:
            raise errors.bad_request(
                "FolderId is not the id of a folder of this session's mailbox.", error.code
            ) from None
        folder = box.folders.get(number)
        if folder is None:
            raise errors.no_folder()
        if not storable(folder):
            raise errors.bad_request("Items cannot be imported into this folder.")
        return folder

    def _old(self, box: LabMailbox, folder: LabFolder, fields: dict[str, Any]) -> tuple[LabItem, int | None]:
        """The item to overwrite and the state that the client knows."""
        item_id, key = fields.get("ItemId"), fields.get("ChangeKey")
        if not isinstance(item_id, str) or not isinstance(key, str) or not item_id or not key:
            raise errors.bad_request("ItemId and ChangeKey are required in mode update.")
        item = self.room.item(box, item_id, folder)
        change = self.room.change_of(box, key)
        long_form = len(key) > 32
        if change is None or (long_form and not self.room.world.knobs.update_accepts_long_keys):
            raise errors.bad_request("The change key is invalid.", "ErrorInvalidChangeKey")
        return item, change

    def _store(
        self, call: Call, folder: LabFolder, stream: bytes, old: LabItem | None, change: int | None
    ) -> LabItem:
        world = self.room.world
        try:
            decoded = fasttransfer.decode(stream, strict=True)
        except StreamError as error:
            raise errors.bad_request(f"The item stream is invalid: {error}", "ErrorCorruptData") from error
        message = decoded.message
        facts = facts_of(message)
        if world.faults.rules:
            action = call.item_fault(item_class=facts.item_class, subject=facts.subject, size=len(stream))
            if action is not None and (action.code or action.status):
                headers = {"Retry-After": action.retry_after} if action.retry_after else {}
                raise errors.GraphError(
                    action.status or STATUS_OF.get(action.code, 400),
                    action.code or "UnknownError",
                    action.message,
                    headers,
                )
        try:
            kept, facts, created, associated = survive(
                world.knobs, decoded, stream, facts, now=world.clock.utc()
            )
        except Refused as error:
            raise errors.bad_request(error.message, error.code) from error
        if old is not None:
            world.m365.update_item(old, kept, facts=facts, change=change)
            call.stored(old, stream, update=True)
            return old
        item = world.m365.add_item(
            folder, kept, facts=facts, associated=associated, created=created or world.clock.utc()
        )
        same = kept is stream and isinstance(item.content, Discarded)
        call.stored(item, stream, mark=item.content.digest if same else "")  # type: ignore[union-attr]
        return item


def _auth_token(request: Request) -> str:
    # The URL is used byte for byte, so its query is what the session gave out: no need to take it apart.
    name, _, value = request.query.partition("=")
    return value if name == "authtoken" and "&" not in value else request.params.get("authtoken", "")


def parse_body(body: bytes | bytearray) -> tuple[dict[str, Any], bytes]:
    """(all members but Data, the decoded stream). Raises GraphError 400.

    Data is cut out before the rest is parsed: it may be 200 MB, and nothing in base64 needs unescaping.
    """
    found = _DATA.search(body)
    if found is not None:
        start = found.end()
        end = body.find(b'"', start)
        if end > 0:
            with memoryview(body) as view, view[start:end] as data:
                try:
                    stream = pybase64.b64decode(data, validate=True)
                except (binascii.Error, ValueError):
                    stream = None
                if stream is not None:
                    rest = b"".join([view[:start], view[end:]])
                    fields = _object(rest)
                    # A second Data, or one inside another member, is none of this short cut's business.
                    if fields.get("Data") == "":
                        return fields, stream
    fields = _object(body)
    data_text = fields.get("Data")
    if not isinstance(data_text, str) or not data_text:
        raise errors.bad_request("Data is required.")
    try:
        return fields, pybase64.b64decode(data_text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise errors.bad_request("Data is not valid base64.", "ErrorInvalidRequest") from error


def _object(body: bytes | bytearray) -> dict[str, Any]:
    try:
        value = pydantic_core.from_json(bytes(body))
    except ValueError as error:
        raise errors.bad_request("Unable to read JSON request payload.", "BadRequest") from error
    if not isinstance(value, dict):
        raise errors.bad_request("A JSON object was expected.", "BadRequest")
    unknown = value.keys() - {"FolderId", "Mode", "Data", "ItemId", "ChangeKey"}
    if unknown:
        raise errors.bad_request(f"Unknown members: {', '.join(sorted(unknown))}.", "BadRequest")
    return value
