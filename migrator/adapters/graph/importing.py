"""Writes one item by the import URL: the session that gives the URL, the request around the base64, the answer.

Facts this module rests on (learn.microsoft.com/graph/import-exchange-mailbox-item; …/api/mailbox-createimportsession):
- the URL is for one mailbox, any of its folders, many items, until expirationDateTime; it is used byte for byte
- its query holds the credential: no Authorization field goes with it, no redirect is followed, no text ever shows it
- the body is {"FolderId", "Mode": "create"|"update", "Data": base64, and for update "ItemId" and "ChangeKey"}
- the answer is {"itemId", "changeKey"}; the page says 201 for the session, its sample 200: both are taken
- create makes a new item each time: a lost answer leaves the item in doubt
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import field
from typing import Any

from pydantic_core import from_json, to_json

from migrator.adapters.graph.client import SESSION, Wire, moment, server_time
from migrator.auth.secrets import Secret
from migrator.errors import JobError, Transient
from migrator.record import record

RENEW_S = 120.0  # before its end, or a fifth of its life if that is less
LIFE_S = 900.0  # assumed where the server does not tell
TAIL = b'"}'

Buffer = bytes | memoryview


@record
class _Session:
    url: Secret = field(repr=False)
    renew_at: float


class ImportSession:
    """The import URL of one mailbox, shared by its threads: one of them renews it, the others wait."""

    def __init__(self, wire: Wire, mailbox: str, mailbox_path: str, affinity: str) -> None:
        self._wire = wire
        self._mailbox = mailbox
        self._path = mailbox_path
        self._affinity = affinity
        self._held: _Session | None = None
        self._lock = threading.Lock()

    def url(self, *, stale: Secret | None = None) -> Secret:
        """An URL that is good for a while; another one than `stale`, which was refused. Raises what a call raises."""
        held = self._held
        if held is not None and held.url is not stale and self._wire.clock.now() < held.renew_at:
            return held.url
        with self._lock:
            held = self._held
            if held is not None and held.url is not stale and self._wire.clock.now() < held.renew_at:
                return held.url
            self._held = self._open()
            return self._held.url

    def _open(self) -> _Session:
        reply = self._wire.send(
            "POST",
            f"{self._wire.base}{self._path}/createImportSession",
            SESSION,
            self._mailbox,
            affinity=self._affinity,
        )
        try:
            document: dict[str, Any] = from_json(reply.body)
            url = document["importUrl"]
        except (ValueError, TypeError, KeyError):
            url = None
        if not isinstance(url, str) or not url:
            raise Transient(f"{self._mailbox}: an import session without an address", code="garbled_answer")
        if not self._wire.import_allowed(url):
            raise JobError(
                f"{self._mailbox}: the import address is not at a host of Microsoft's; nothing was sent there",
                code="import_host",
                remedy="If the address is genuine, name its host in the endpoint's import_hosts.",
            )
        now = self._wire.clock.now()
        ends = moment(document.get("expirationDateTime"))
        # Measured by the server's own clock: ours may be minutes off.
        life = ends.timestamp() - server_time(reply.headers, now) if ends is not None else LIFE_S
        return _Session(Secret(url), now + life - min(RENEW_S, max(0.0, life) / 5))


def head(folder_id: str, replaces: tuple[str, str] | None) -> bytes:
    """The request's octets before the base64."""
    fields = b'{"FolderId":' + to_json(folder_id)
    if replaces is None:
        return fields + b',"Mode":"create","Data":"'
    item_id, change_key = replaces
    return (
        fields
        + b',"Mode":"update","ItemId":'
        + to_json(item_id)
        + b',"ChangeKey":'
        + to_json(change_key)
        + b',"Data":"'
    )


def fits(pieces: Sequence[Buffer]) -> bool:
    """Whether the pieces can stand between two quotes as they are. A source that slips a quote in must not write our JSON."""
    for piece in pieces:
        if isinstance(piece, bytes):
            if b'"' in piece or b"\\" in piece or b"\n" in piece or b"\r" in piece:
                return False
            continue
        owner = piece.obj
        if isinstance(owner, bytes) and piece.contiguous and piece.nbytes == len(owner):
            if not fits([owner]):
                return False
            continue
        for start in range(0, piece.nbytes, 1 << 20):
            if not fits([bytes(piece[start : start + (1 << 20)])]):
                return False
    return True


def stored(body: bytes) -> tuple[str, str] | None:
    """(item id, change key) of an import answer, None when it names no item.

    A plain look first, as this is done for every item: values without escapes, which ids and keys are.
    """
    item_id = _plain(body, b'"itemId":"')
    key = _plain(body, b'"changeKey":"')
    if item_id and key:
        return item_id, key
    try:
        document = from_json(body)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    fields = {name.lower(): value for name, value in document.items()}
    item = fields.get("itemid")
    if not isinstance(item, str) or not item:
        return None
    return item, str(fields.get("changekey") or "")


def _plain(body: bytes, name: bytes) -> str:
    start = body.find(name)
    if start < 0:
        return ""
    start += len(name)
    end = body.find(b'"', start)
    value = body[start:end] if end >= 0 else b""
    return "" if b"\\" in value else value.decode("ascii", "replace")
