"""Delta queries: pages of changes, with opaque tokens that carry position and options.

Facts (learn.microsoft.com/graph/delta-query-overview): nextLink holds a $skiptoken, the last page a deltaLink with a
$deltatoken; options of the first request live on in the tokens; removed members are `{"id", "@removed": {"reason"}}`;
tokens that are not honoured any more are answered 410; a token may be used again and gives what it gave.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from typing import Any

from migrator.lab.changes import START, ChangeKind, ChangeLog, Position
from migrator.lab.http import Response
from migrator.lab.m365 import errors, odata
from migrator.lab.m365.graph import Context

Show = Callable[[ChangeKind, int, odata.Options], dict[str, Any] | None]


def removed(kind: str, member_id: str) -> dict[str, Any]:
    return {"@odata.type": kind, "id": member_id, "@removed": {"reason": "deleted"}}


def plain_count(number: int) -> Response:
    """What `…/$count` answers."""
    return Response(200, [("Content-Type", "text/plain")], str(number).encode())


def _seal(state: dict[str, Any]) -> str:
    raw = json.dumps(state, separators=(",", ":")).encode()
    mark = hashlib.blake2b(raw, digest_size=6, key=b"delta").digest()
    return base64.urlsafe_b64encode(mark + raw).decode().rstrip("=")


def _unseal(token: str) -> dict[str, Any]:
    """Raises GraphError 400 for what was never a token."""
    try:
        whole = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
        mark, raw = whole[:6], whole[6:]
        if hashlib.blake2b(raw, digest_size=6, key=b"delta").digest() != mark:
            raise ValueError(token)
        state = json.loads(raw)
    except (ValueError, binascii.Error):
        raise errors.GraphError(
            400, "SyncStateInvalid", "The sync state is invalid. Badly formed token."
        ) from None
    assert isinstance(state, dict)
    return state


def changes(
    context: Context,
    log: ChangeLog,
    scope: str,
    show: Show,
    kind: str,
    *,
    default: int,
    newest_first: bool = True,
    keep: Callable[[int], bool] | None = None,
) -> dict[str, Any]:
    """One page. scope: names what the tokens are good for; kind: what stands behind `$metadata#`. Raises GraphError."""
    world = context.room.world
    given = odata.parse(context.request.query)
    token = given.skiptoken or given.deltatoken
    position, query, page = START, context.request.query, 0
    if token and token.lower() == "latest":
        position, query = Position(log.last), ""
    elif token:
        state = _unseal(token)
        if state["scope"] != scope:
            raise errors.GraphError(400, "SyncStateInvalid", "The sync state belongs to another collection.")
        if state["epoch"] != world.sync_epoch or not world.knobs.delta_honoured:
            raise errors.GraphError(
                410,
                "SyncStateNotFound",
                "The sync state generation is not found; generation=1 initiator=lab, the synchronisation must start anew.",
            )
        position = Position(state["since"], state["snapshot"], state["at"])
        query, page = state["query"], state["size"]
    options = odata.parse(query)
    size = context.prefers("odata.maxpagesize")
    limit = int(size) if size.isdigit() and int(size) else page or options.top or default
    found, after, last = log.walk(position, limit, newest_first=newest_first, keep=keep)
    rows = [one for one in (show(change, member, options) for change, member in found) if one is not None]
    sealed = _seal(
        {
            "scope": scope,
            "epoch": world.sync_epoch,
            "since": after.since,
            "snapshot": after.snapshot,
            "at": after.at,
            "query": query,
            "size": limit,
        }
    )
    link = f"{context.url}?%24{'deltatoken' if last else 'skiptoken'}={sealed}"
    return {
        "@odata.context": f"{context.root}/$metadata#{kind}",
        "@odata.deltaLink" if last else "@odata.nextLink": link,
        "value": rows,
    }
