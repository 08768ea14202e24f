"""Creates messages, events and contacts by classic Graph, for tenants that do not take item streams.

Facts this module rests on (source):
- a request has 4 MB at most (learn.microsoft.com/graph/api/resources/mail-api-overview); attachments below 3 MB go into a
  request, larger ones by an upload session in pieces of at most 4 MB, in order, without Authorization: the address is
  the credential (…/graph/outlook-large-attachments; …/api/attachment-createuploadsession)
- what makes a message no draft counts at its creation alone; changing messages that are no drafts needs a permission of
  its own, so a message is created whole and never changed afterwards (see `documents`)
- a transactionId makes an event that is posted twice one event (…/api/user-post-events)
- ids of folders and items are those of mailbox import and export: this is how public tools use them, no page promises it.
  The canary that goes this way first (`engine.canary`) reads its items back by mailbox export, so it would be seen.

Contract: an item is created whole, or not at all. When an attachment does not come through, the item is deleted again;
where that fails too, the error says that a part of it is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final
from urllib.parse import quote

import pybase64
from pydantic_core import to_json

from migrator.adapters.graph.client import Call, Wire, error_from, object_of, unreached, version_of
from migrator.adapters.graph.documents import File, Json, Made, document_of
from migrator.adapters.transport import AnswerLost, Buffer, NotSent
from migrator.errors import InDoubt, ItemError, JobError, MigratorError, Transient
from migrator.formats.convert import tree_of
from migrator.model import Folder, Item, Kind

CREATES: Final = frozenset({Kind.MAIL, Kind.EVENT, Kind.CONTACT})
REQUEST_MOST: Final = 4 * 2**20 - 4096
INLINE_MOST: Final = 3 * 2**20 - 1024  # with these octets as base64 and its envelope a request has 4 MB
PIECE: Final = 12 * 320 * 1024  # a multiple of 320 KiB below 4 MB
FILE_MOST: Final = 150 * 2**20

_RIGHTS: Final = {
    Kind.MAIL: "Mail.ReadWrite",
    Kind.EVENT: "Calendars.ReadWrite",
    Kind.CONTACT: "Contacts.ReadWrite",
}
CREATE: Final = {
    kind: Call(f"create a {word}", _RIGHTS[kind], "item", writes=True)
    for kind, word in ((Kind.MAIL, "message"), (Kind.EVENT, "calendar event"), (Kind.CONTACT, "contact"))
}
ATTACH: Final = {kind: Call("attach a file", right, "item", writes=True) for kind, right in _RIGHTS.items()}
UPLOAD: Final = Call("upload an attachment", "", "item", writes=True)
READ: Final = {kind: Call("read an item", right, "item") for kind, right in _RIGHTS.items()}

Remove = Callable[[str], bool]
"""Deletes an item that was just created; whether it is gone."""


class JsonWriter:
    """For one mailbox. Used by one thread at a time."""

    def __init__(self, wire: Wire, address: str, affinity: str) -> None:
        self._wire = wire
        self._name = address
        self._user = f"{wire.base}/users/{quote(address, safe='@')}"
        self._affinity = affinity

    def create(self, folder: Folder, item: Item, remove: Remove) -> tuple[str, str, tuple[str, ...]]:
        """(id, version, notes of what was not carried). item: an item stream.

        Raises ItemError for an item that cannot go this way, Transient when it surely is not there, InDoubt when no answer
        came, JobError for what stops the mailbox.
        """
        made = document_of(tree_of(item), item.ref.kind, f"{folder.id} {item.ref.id}")
        document, later = fitted(made)
        created = self._post(self._place(made.kind, folder), document, CREATE[made.kind])
        item_id = created.get("id")
        if not isinstance(item_id, str) or not item_id:
            raise InDoubt(f"{self._name}: an item was created without telling its id", code="no_item_id")
        version = version_of(created.get("changeKey"))
        if later:
            try:
                for file in later:
                    self._attach(made.kind, item_id, file)
                version = self._version(made.kind, item_id)
            except MigratorError as error:
                self._undo(item_id, remove, error)
        return item_id, version, tuple(made.notes)

    def _place(self, kind: Kind, folder: Folder) -> str:
        where = quote(folder.id, safe="")
        if kind is Kind.MAIL:
            return f"{self._user}/mailFolders/{where}/messages"
        if kind is Kind.EVENT:
            return f"{self._user}/calendars/{where}/events"
        return f"{self._user}/contactFolders/{where}/contacts"

    def _item(self, kind: Kind, item_id: str) -> str:
        return f"{self._user}/{'events' if kind is Kind.EVENT else 'messages'}/{quote(item_id, safe='')}"

    def _post(self, url: str, document: Json, call: Call) -> Json:
        reply = self._wire.send(
            "POST",
            url,
            call,
            self._name,
            body=[to_json(document)],
            headers={"Content-Type": "application/json"},
            affinity=self._affinity,
        )
        try:
            return object_of(reply, call, self._name)
        except Transient as error:  # it was done, whatever the answer looks like
            raise InDoubt(error.message, code=error.code) from None

    def _version(self, kind: Kind, item_id: str) -> str:
        """The change key after the attachments, which changed it."""
        found, _ = self._wire.get(
            f"{self._item(kind, item_id)}?$select=id,changeKey",
            READ[kind],
            self._name,
            affinity=self._affinity,
        )
        return version_of(found.get("changeKey"))

    def _attach(self, kind: Kind, item_id: str, file: File) -> None:
        base = f"{self._item(kind, item_id)}/attachments"
        if file.size < INLINE_MOST:
            self._post(base, attachment_json(file), ATTACH[kind])
            return
        told: Json = {
            "attachmentType": "file",
            "name": file.name,
            "size": file.size,
            "contentType": file.content_type,
        }
        if file.inline:
            told |= {"isInline": True, "contentId": file.content_id}
        session = self._post(f"{base}/createUploadSession", {"AttachmentItem": told}, ATTACH[kind])
        url = session.get("uploadUrl")
        if not isinstance(url, str) or not self._wire.import_allowed(url):
            raise ItemError(
                f"{self._name}: attachments are to be uploaded to a host that is not known",
                code="import_host",
                remedy="If it is Microsoft's own, name it in import_hosts of the endpoint.",
            )
        start = 0
        for piece in pieces_of(file.data, PIECE):
            size = sum(len(part) for part in piece)
            self._put(url, piece, start, size, file.size)
            start += size

    def _put(self, url: str, piece: Sequence[Buffer], start: int, size: int, total: int) -> None:
        """One piece. Whatever goes wrong ends the upload: the whole item is taken back then."""
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Range": f"bytes {start}-{start + size - 1}/{total}",
        }
        try:
            reply = self._wire.transport.request(
                "PUT", url, headers=headers, body=piece, affinity=self._affinity
            )
        except NotSent as error:
            raise unreached(error, UPLOAD, self._name) from None
        except AnswerLost as error:
            raise Transient(
                f"{self._name}: no answer to a piece of an attachment: {error}", code="answer_lost"
            ) from None
        if reply.status not in (200, 201, 202, 204):
            raise error_from(reply, UPLOAD, self._name, self._wire.clock.now())

    def _undo(self, item_id: str, remove: Remove, error: MigratorError) -> None:
        """Take back an item whose attachments are not all there. Raises what the failure then means."""
        try:
            gone = remove(item_id)
        except MigratorError:
            gone = False
        if not gone:
            raise ItemError(
                f"{error.message}; what was created before could not be removed",
                code="incomplete_item",
                remedy="An item without all of its attachments is left in the target: delete it there by hand.",
            ) from error
        if isinstance(error, InDoubt):
            raise Transient(error.message, code=error.code) from error
        if isinstance(error, ItemError | Transient | JobError):
            raise error
        raise ItemError(error.message, code=error.code, remedy=error.remedy) from error


def fitted(made: Made) -> tuple[Json, list[File]]:
    """The request with as many attachments as it has room for, and those that are to follow.

    Raises ItemError for what fits into no request or session.
    """
    size = len(to_json(made.document))
    if size > REQUEST_MOST:
        raise ItemError(
            "its text alone is larger than the 4 MB of a request",
            code="too_large_for_json",
            remedy="It can only go by an item stream: see `migrator check`.",
        )
    if any(file.size > FILE_MOST for file in made.files):
        raise ItemError("an attachment is larger than 150 MB", code="too_large_for_json")
    inside: list[Json] = []
    later: list[File] = []
    for file in made.files:
        takes = -(-file.size // 3) * 4 + 1024 + 6 * (len(file.name) + len(file.content_id))
        if file.size < INLINE_MOST and size + takes <= REQUEST_MOST:
            inside.append(attachment_json(file))
            size += takes
        else:
            later.append(file)
    return (made.document | {"attachments": inside} if inside else made.document), later


def attachment_json(file: File) -> Json:
    told: Json = {
        "@odata.type": "#microsoft.graph.fileAttachment",
        "name": file.name,
        "contentType": file.content_type,
        "contentBytes": pybase64.b64encode_as_string(b"".join(file.data)),
    }
    if file.inline:
        told["isInline"] = True
    if file.content_id:
        told["contentId"] = file.content_id
    return told


def pieces_of(data: Sequence[bytes | memoryview], most: int) -> Iterator[list[bytes | memoryview]]:
    """The same octets in pieces of `most`, the last one smaller; nothing is copied."""
    piece: list[Any] = []
    size = 0
    for buffer in data:
        view = memoryview(buffer)
        while len(view):
            part = view[: most - size]
            piece.append(part)
            size += len(part)
            view = view[len(part) :]
            if size == most:
                yield piece
                piece, size = [], 0
    if piece:
        yield piece
