"""Listing of a folder: whole, or what changed since a checkpoint.

Facts this module rests on:
- item delta knows $select and $top only, $expand is not among its options; its links carry the options of the first call
  (learn.microsoft.com/graph/api/mailboxitem-delta)
- subject, dates, Message-ID and flags of a mailboxItem come by
  `$expand=singleValueExtendedProperties($filter=id eq '…' or …)` only (…/resources/mailboxitem; …/extended-properties-overview)
- property ids come back normalised: `SystemTime 0x0E06` is answered as `SystemTime 0xE06`
- list pages go by `$skip`: an item that leaves the folder while it is listed moves its followers up, and one is missed
- a JSON batch holds at most 20 requests (…/json-batching)

So a whole listing (1) drains delta for a link that marks its beginning, (2) lists pages with properties, each beginning some
items before the end of the one before, so that a shift is seen; what changes meanwhile comes with the delta link. A listing of
changes reads delta and fetches the properties of what is still there.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from migrator.adapters.graph.client import (
    DELTA,
    LIST_ITEMS,
    READ_ITEM,
    Wire,
    error_from,
    is_final,
    moment,
    server_time,
    version_of,
)
from migrator.errors import CheckpointLost, ItemError, JobError, Transient
from migrator.formats.classes import kind_of_class
from migrator.model import Checkpoint, Folder, ItemRef, Page

SCHEME = "graph-delta/1"
PAGE_ITEMS = 500
OVERLAP = 8  # items of the page before that a page begins with
FEW = 40  # changes that are looked up one by one, 20 a batch; more of them by listing the newest
SLACK_S = 900.0  # between the server's clock in an answer's head and its clock in an item's dates

SELECT = "id,changeKey,type,size,createdDateTime,lastModifiedDateTime"
MESSAGE_ID, DELIVERED, SUBMITTED, FLAGS, SUBJECT, SEARCH_KEY = 0x1035, 0x0E06, 0x0039, 0x0E07, 0x0037, 0x300B
_ASKED = (
    f"String 0x{MESSAGE_ID:04X}",
    f"SystemTime 0x{DELIVERED:04X}",
    f"SystemTime 0x{SUBMITTED:04X}",
    f"Integer 0x{FLAGS:04X}",
    f"String 0x{SUBJECT:04X}",
    f"Binary 0x{SEARCH_KEY:04X}",
)
EXPAND = "singleValueExtendedProperties($filter=" + " or ".join(f"id eq '{each}'" for each in _ASKED) + ")"
READ, UNSENT, ASSOCIATED = 0x01, 0x08, 0x40  # PidTagMessageFlags (MS-OXCMSG 2.2.1.6)
_SKIP = re.compile(r"[?&](?:%24|\$)skip=\d+(?:&|$)", re.IGNORECASE)


def query(**options: str | int) -> str:
    """`?$top=5&$select=…`, escaped as Graph's samples are: `$`, brackets and quotes stay."""
    return "?" + "&".join(f"${name}={quote(str(value), safe='$(),=/:')}" for name, value in options.items())


# ---- what an item tells


def properties(item: Mapping[str, Any]) -> dict[int, str]:
    """Extended properties by tag. Ids are parsed, not compared: leading zeros are the server's choice."""
    found: dict[int, str] = {}
    for each in item.get("singleValueExtendedProperties") or ():
        _, x, tag = str(each.get("id", "")).rpartition("0x")
        value = each.get("value")
        if x and isinstance(value, str):
            try:
                found[int(tag, 16)] = value
            except ValueError:
                continue  # a named property: `… Id 0x8503` parses, `… Name x` is none of ours
    return found


def ref_of(item: Mapping[str, Any], folder: Folder) -> ItemRef:
    """The ref of a mailboxItem. Raises Transient for one without an id."""
    item_id = item.get("id")
    if not isinstance(item_id, str) or not item_id:
        raise Transient("an item without an id in a listing", code="garbled_answer")
    if "@removed" in item:
        return ItemRef(item_id, folder.path, folder.kind, "", gone=True)
    told = properties(item)
    item_class = str(item.get("type") or "")
    size = item.get("size")
    flags = _number(told.get(FLAGS))
    sent = moment(told.get(SUBMITTED))
    created = moment(item.get("createdDateTime"))
    return ItemRef(
        id=item_id,
        folder=folder.path,
        kind=kind_of_class(item_class),
        version=version_of(item.get("changeKey")),
        size=size if isinstance(size, int) and size >= 0 else None,
        item_class=item_class,
        received=moment(told.get(DELIVERED)),
        sent=sent,
        modified=moment(item.get("lastModifiedDateTime")) or created,
        message_id=told.get(MESSAGE_ID, ""),
        subject=told.get(SUBJECT, ""),
        seen=None if flags is None else bool(flags & READ),
        draft=None if flags is None else bool(flags & UNSENT),
        search_key=_binary(told.get(SEARCH_KEY)),
        associated=bool(flags and flags & ASSOCIATED),
    )


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _binary(text: str | None) -> bytes:
    try:
        return base64.b64decode(text or "", validate=True)
    except (ValueError, binascii.Error):
        return b""


# ---- checkpoints


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def pack(folder: Folder, fields: Mapping[str, Any]) -> Checkpoint:
    return Checkpoint(SCHEME, json.dumps({"f": _short(folder.id), **fields}, separators=(",", ":")))


def unpack(folder: Folder, checkpoint: Checkpoint) -> dict[str, Any]:
    """l: delta link; t: the server's time at its making; s, k: items listed so far and the last of them; n: next link.

    Raises CheckpointLost.
    """
    lost = "this checkpoint was not made for this folder"
    if checkpoint.scheme != SCHEME:
        raise CheckpointLost(lost)
    try:
        fields = json.loads(checkpoint.token)
    except ValueError:
        raise CheckpointLost("this checkpoint cannot be read") from None
    if not isinstance(fields, dict) or fields.get("f") != _short(folder.id):
        raise CheckpointLost(lost)
    sound = (
        isinstance(fields.get("l"), str)
        and isinstance(fields.get("t", 0), int | float)
        and isinstance(fields.get("s", 0), int)
        and isinstance(fields.get("k", []), list)
        and isinstance(fields.get("n", ""), str)
    )
    if not sound:
        raise CheckpointLost("this checkpoint cannot be read")
    return fields


# ---- listing


class Listing:
    """The folders of one mailbox, page by page. Used by one thread."""

    def __init__(self, wire: Wire, mailbox: str, mailbox_path: str, affinity: str, page_items: int) -> None:
        self._wire = wire
        self._mailbox = mailbox
        self._path = mailbox_path
        self._affinity = affinity
        self._page_items = page_items
        self._newest: _Newest | None = None
        self._orders = True  # whether the server takes $orderby

    # ---- the three questions

    def mark(self, folder: Folder) -> Checkpoint:
        """A checkpoint after all that is there now."""
        _, link, at = self._drain(folder)
        return pack(folder, {"l": link, "t": at})

    def page(self, folder: Folder, after: Checkpoint | None) -> Page:
        if after is None:
            there, link, at = self._drain(folder)
            if not there:
                return Page((), pack(folder, {"l": link, "t": at}), True)
            return self._whole(folder, {"l": link, "t": at, "s": 0, "k": []})
        fields = unpack(folder, after)
        if "s" in fields or "n" in fields:
            return self._whole(folder, fields)
        return self._changes(folder, fields)

    # ---- delta

    def _delta(self, folder: Folder, link: str) -> tuple[list[dict[str, Any]], str, str, float]:
        """(entries, next link or "", delta link or "", the server's time)."""
        document, reply = self._wire.get(
            link,
            DELTA,
            self._mailbox,
            headers={"Prefer": f"odata.maxpagesize={self._page_items}"},
            affinity=self._affinity,
        )
        onward, end = document.get("@odata.nextLink"), document.get("@odata.deltaLink")
        if not onward and not end:
            raise Transient("a page of changes with neither next nor delta link", code="garbled_answer")
        return _rows(document), onward or "", end or "", server_time(reply.headers, self._wire.clock.now())

    def _drain(self, folder: Folder) -> tuple[int, str, float]:
        """(how many entries there were, the delta link, the server's time at the start)."""
        link = self._items(folder) + "/delta" + query(select=SELECT)
        count, began = 0, 0.0
        while True:
            rows, onward, end, at = self._delta(folder, link)
            began = began or at
            count += sum(1 for row in rows if "@removed" not in row)
            if end:
                return count, self._wire.shortened(end), began
            link = self._wire.within(onward)

    def _changes(self, folder: Folder, fields: Mapping[str, Any]) -> Page:
        rows, onward, end, at = self._delta(folder, self._wire.lengthened(fields["l"]))
        latest: dict[str, ItemRef] = {}
        for row in rows:  # an entry may be told again in a later one
            ref = ref_of(row, folder)
            latest.pop(ref.id, None)
            latest[ref.id] = ref
        live = [ref.id for ref in latest.values() if not ref.gone]
        known = self._looked_up(folder, live, float(fields.get("t", 0)), more=bool(onward))
        for item_id in live:
            # What is not there any more will be told as removed, now or next time: telling it early is safe.
            latest[item_id] = known.get(item_id) or ItemRef(item_id, folder.path, folder.kind, "", gone=True)
        refs = tuple(latest.values())
        if end:
            self._newest = None
            return Page(refs, pack(folder, {"l": self._wire.shortened(end), "t": at}), True)
        link = self._wire.shortened(onward)
        return Page(refs, pack(folder, {"l": link, "t": fields.get("t", 0)}), False)

    def _looked_up(
        self, folder: Folder, ids: Sequence[str], since: float, *, more: bool
    ) -> dict[str, ItemRef]:
        """Refs with properties of those ids that are still in the folder."""
        found: dict[str, ItemRef] = {}
        if self._newest is not None and self._newest.folder_id != folder.id:
            self._newest = None
        if self._orders and (len(ids) > FEW or more or self._newest is not None):
            if self._newest is None:
                self._newest = _Newest(folder.id)
            self._read_newest(folder, self._newest, set(ids), since, more)
            found = {each: self._newest.refs[each] for each in ids if each in self._newest.refs}
        rest = [each for each in ids if each not in found]
        for start in range(0, len(rest), 20):
            found.update(self.look_up(folder, rest[start : start + 20]))
        return found

    def _read_newest(
        self, folder: Folder, newest: _Newest, wanted: set[str], since: float, more: bool
    ) -> None:
        """List the newest items until those wanted are there, or items are older than the mark. What it misses is no harm."""
        pages = len(wanted) // self._page_items + 2
        while not newest.done and (more or (pages and not wanted <= newest.refs.keys())):
            pages -= 1
            try:
                rows, onward = self._list(
                    folder, self._page_items, newest.skip, orderby="lastModifiedDateTime desc"
                )
            except JobError as e:
                if is_final(e):
                    raise
                self._orders = False  # this server does not sort: one by one then
                return
            newest.skip += len(rows)
            newest.done = not onward or not rows
            for row in rows:
                ref = ref_of(row, folder)
                newest.refs[ref.id] = ref
                if ref.modified is not None and ref.modified.timestamp() < since - SLACK_S:
                    newest.done = True

    def look_up(self, folder: Folder, ids: Sequence[str]) -> dict[str, ItemRef]:
        """At most 20 items by their ids; what is not there is left out."""
        base = self._items(folder)[len(self._wire.base) :]
        options = query(select=SELECT, expand=EXPAND)
        replies = self._wire.batch(
            [
                {"id": str(number), "method": "GET", "url": f"{base}/{quote(item_id, safe='')}{options}"}
                for number, item_id in enumerate(ids)
            ],
            self._mailbox,
            affinity=self._affinity,
        )
        found: dict[str, ItemRef] = {}
        for number, item_id in enumerate(ids):
            reply = replies.get(str(number))
            if reply is None:
                raise Transient(f"{self._mailbox}: a batch left a request unanswered", code="garbled_answer")
            if reply.status != 200:
                error = error_from(reply, READ_ITEM, self._mailbox, self._wire.clock.now())
                if isinstance(error, ItemError) and error.code == "vanished":
                    continue
                raise error
            found[item_id] = ref_of(_object(reply.body), folder)
        return found

    # ---- whole

    def _items(self, folder: Folder) -> str:
        return f"{self._wire.base}{self._path}/folders/{quote(folder.id, safe='')}/items"

    def _list(
        self, folder: Folder, top: int, skip: int, *, orderby: str = "", link: str = ""
    ) -> tuple[list[dict[str, Any]], str]:
        """(items, next link or "")."""
        if not link:
            options: dict[str, str | int] = {"top": top, "select": SELECT, "expand": EXPAND}
            if orderby:
                options["orderby"] = orderby
            if skip:
                options["skip"] = skip
            link = self._items(folder) + query(**options)
        document, _ = self._wire.get(link, LIST_ITEMS, self._mailbox, affinity=self._affinity)
        return _rows(document), str(document.get("@odata.nextLink") or "")

    def _whole(self, folder: Folder, fields: Mapping[str, Any]) -> Page:
        mark = {"l": fields["l"], "t": fields.get("t", 0)}
        if fields.get("n"):  # a server with links of its own kind: its affair to keep the place
            rows, onward = self._list(folder, 0, 0, link=self._wire.lengthened(fields["n"]))
            return self._listed(folder, mark, _refs(rows, folder), onward, 0, [])
        seen, known = fields.get("s", 0), list(fields.get("k", []))
        start = max(0, seen - len(known))
        rows, onward = self._list(folder, self._page_items + len(known), start)
        fresh = _after(rows, known)
        while fresh is None and start:
            # More items left than the overlap holds: go back until one that was listed turns up.
            start = max(0, start - self._page_items)
            rows, onward = self._list(folder, self._page_items + len(known), start)
            fresh = _after(rows, known)
        chosen = rows if fresh is None else fresh
        refs = _refs(chosen, folder)
        tail = [*known, *(_short(ref.id) for ref in refs)][-OVERLAP:]
        return self._listed(folder, mark, refs, onward, start + len(rows), tail)

    def _listed(
        self,
        folder: Folder,
        mark: Mapping[str, Any],
        refs: Sequence[ItemRef],
        onward: str,
        seen: int,
        tail: Sequence[str],
    ) -> Page:
        if not onward:
            return Page(tuple(refs), pack(folder, mark), True)
        if _SKIP.search(onward):
            return Page(tuple(refs), pack(folder, {**mark, "s": seen, "k": list(tail)}), False)
        return Page(tuple(refs), pack(folder, {**mark, "n": self._wire.shortened(onward)}), False)


class _Newest:
    """The newest items of a folder, as far as they were listed, for a round of many changes."""

    def __init__(self, folder_id: str) -> None:
        self.folder_id = folder_id
        self.refs: dict[str, ItemRef] = {}
        self.skip = 0
        self.done = False


def _rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = document.get("value")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Transient("a listing without its list of items", code="garbled_answer")
    return rows


def _object(body: bytes) -> dict[str, Any]:
    document = json.loads(body)
    if not isinstance(document, dict):
        raise Transient("an item that is no object", code="garbled_answer")
    return document


def _refs(rows: Iterable[Mapping[str, Any]], folder: Folder) -> list[ItemRef]:
    return [ref_of(row, folder) for row in rows]


def _after(rows: Sequence[Mapping[str, Any]], known: Sequence[str]) -> Sequence[Mapping[str, Any]] | None:
    """The rows behind the last one that was listed before; None when none of them is here."""
    if not known:
        return rows
    for index in range(len(rows) - 1, -1, -1):
        if _short(str(rows[index].get("id"))) in known:
            return rows[index + 1 :]
    return None
