"""Reads items out by exportItems: the base64 is cut out of the answer, never decoded, copied or made into a string.

Facts this module rests on (learn.microsoft.com/graph/api/mailbox-exportitems; …/resources/exportitemresponse):
- at most 20 ids a call, all of one mailbox; answers are told apart by itemId, their order is not promised
- an item that fails has `error` {code, message} instead of `data`, the call is 200 all the same; one sample spells it `Error`
- an export may end with `=== Truncated Data ===` while the mailbox moves to another server: passing, try later
  (learn.microsoft.com/exchange/client-developer, export and import of items)
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from migrator.errors import Transient
from migrator.record import record

MOST_IDS = 20
TRUNCATED = b"=== Truncated Data ==="
_DATA = re.compile(rb'"[Dd]ata"\s*:\s*"')
_MARK = secrets.token_hex(8)  # a value that begins so is ours: no server can guess it
_SMALL = 256  # a value this short is left to the JSON parser


@record
class Exported:
    """One answer. data None with an error (code, message), or with neither when the server gave nothing."""

    item_id: str
    change_key: str = ""
    data: memoryview | None = None
    error: tuple[str, str] | None = None


def parse(body: bytes) -> dict[str, Exported]:
    """Answers by item id. The views keep `body` alive. Raises Transient for a body that is no such answer.

    `"data":"` cannot occur inside a JSON string (its quotes would be escaped), so each hit is a member; its value is
    replaced by a number before the JSON parser sees the rest.
    """
    view = memoryview(body)
    cut: list[memoryview] = []
    skeleton: list[bytes] = []
    at = 0
    for hit in _DATA.finditer(body):
        start = hit.end()
        if start < at:
            continue
        end = body.find(b'"', start)
        if end < 0:
            raise Transient("an export answer that breaks off", code="garbled_answer")
        if end - start < _SMALL or body.find(b"\\", start, end) >= 0:
            continue  # an escape (`\/`) in base64 is legal JSON, if rare: parsed as a string below
        skeleton += [body[at:start], f"{_MARK}{len(cut)}".encode()]
        cut.append(view[start:end])
        at = end
    skeleton.append(body[at:])
    try:
        document = from_json(b"".join(skeleton))
        rows = document["value"]
        found = [_exported(row, cut) for row in rows]
    except (ValueError, TypeError, KeyError, IndexError):
        raise Transient("an export answer that cannot be read", code="garbled_answer") from None
    return {each.item_id: each for each in found}


def _exported(row: Mapping[str, Any], cut: list[memoryview]) -> Exported:
    fields = {key.lower(): value for key, value in row.items()}
    item_id = str(fields["itemid"])
    key = str(fields.get("changekey") or "")
    error = fields.get("error")
    if isinstance(error, dict):
        told = {name.lower(): value for name, value in error.items()}
        return Exported(item_id, key, error=(str(told.get("code") or ""), str(told.get("message") or "")))
    data = fields.get("data")
    if not isinstance(data, str):
        return Exported(item_id, key)
    if data.startswith(_MARK):
        return Exported(item_id, key, cut[int(data[len(_MARK) :])])
    return Exported(item_id, key, memoryview(data.encode("ascii", "strict")))


def same_id(item_id: str) -> str:
    """Ids as they are compared when the plain comparison fails: both base64 alphabets occur."""
    return item_id.replace("-", "/").replace("_", "+")


def truncated(data: memoryview) -> bool:
    """Whether the stream ends with the server's note that it broke off, as text or inside the base64."""
    tail = bytes(data[-96:])
    if TRUNCATED in tail:
        return True
    whole = tail[len(tail) % 4 :]
    try:
        return TRUNCATED in base64.b64decode(whole)
    except binascii.Error:
        return False
