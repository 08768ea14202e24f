"""The lines of a signed report, each with one spelling, and what may stand in them.

The file is text, one JSON value a line, "\\n" at the end of each. Lines are either rows, which are leaves of the hash tree
with the very octets that stand in the file, or what holds the tree together:

    {"row":"about",…}                       once, first
    {"row":"mailbox",…}                     then its folders, its comparisons by content, its items
    {"row":"folder",…}                      with its balance
    {"row":"content",…}                     what a deep verification found by kind and path
    ["item",…]                              see `ITEM`; in the order of their keys, so none can stand twice
    {"hashes":"…"}                          after every 1024 rows and at the end: the leaves of these rows
    {"blocks":"…"}                          once: the roots of these blocks
    {"head":{…},"signature":"…"}            the last line: the root, how many rows, whose key, signed

One spelling: keys sorted, no spaces, nothing but ASCII, whole numbers only (`canonical`). So there is nothing that two
programs could read differently. Signed is `SIGNED ‖ canonical(head)`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from migrator.errors import UserError
from migrator.model import Kind, SkipReason, State
from migrator.record import record
from migrator.report.proof.tree import SIZE

FORMAT = "migrator-proof/1"
PROOF_FORMAT = "migrator-inclusion/1"
SIGNED = FORMAT.encode("ascii") + b"\0"

ROW_MOST = 1 << 20
"""Octets of a line. Rows of 5 million items are 200 to 400 octets; folder paths may be long."""
BLOCKS_MOST = 64 << 20
"""Octets of the line of block roots: room for 1.5 thousand million rows."""
DEPTH_MOST = 8
NUMBER_MOST = 1 << 53
"""Whole numbers beyond this are read differently by other programs, so none stands in a file of ours."""

OPEN = "open"
"""State of an item without a fate yet: in doubt, or cut off before it left."""
STATES = frozenset({State.COPIED.value, State.PRESENT.value, State.SKIPPED.value, State.FAILED.value, OPEN})

ITEM = (
    "row", "mailbox", "folder", "key", "kind", "class", "size", "received", "message_id", "fingerprint", "state", "why",
    "at", "target_key", "path",
)  # fmt: skip
"""The places of an item row. key and target_key: the first 16 octets of BLAKE2b over the item's id at the source and in
the target; at and received: seconds since the epoch."""

_encode = json.JSONEncoder(ensure_ascii=True, sort_keys=True, separators=(",", ":"), allow_nan=False).encode


class Malformed(Exception):
    """A line that this program would never have written."""


@record
class ItemRow:
    mailbox: int
    folder: int
    key: str
    kind: str
    item_class: str
    size: int | None
    received: int | None
    message_id: str
    fingerprint: str
    state: str
    why: str  # skip reason or error code
    at: int  # when the outcome was written down
    target_key: str
    path: str


def canonical(value: Any) -> bytes:
    return _encode(value).encode("ascii")


def short(octets: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(octets).decode("ascii").rstrip("=")


def octets_of(text: object, what: str) -> bytes:
    """What `short` was given; any other spelling is refused."""
    if not isinstance(text, str):
        raise Malformed(f"{what} is no text")
    try:
        octets = base64.b64decode(
            text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True
        )
    except (binascii.Error, ValueError):
        raise Malformed(f"{what} is no base64") from None
    if short(octets) != text:
        raise Malformed(f"{what} is not in its one spelling")
    return octets


def hashes_of(text: object, what: str) -> list[bytes]:
    octets = octets_of(text, what)
    if len(octets) % SIZE or not octets:
        raise Malformed(f"{what} is no list of hashes")
    return [octets[at : at + SIZE] for at in range(0, len(octets), SIZE)]


def parse(line: bytes) -> Any:
    """One JSON value, in the spelling of this file. Raises Malformed whatever stands there."""
    try:
        text = line.decode("ascii")
        value = json.loads(text, parse_constant=_refused, parse_float=_refused, parse_int=_whole)
    except UnicodeDecodeError:
        raise Malformed("it holds octets that are not ASCII") from None
    except Malformed:
        raise
    except (ValueError, RecursionError):
        raise Malformed("it is no JSON") from None
    return value


def parse_canonical(line: bytes) -> Any:
    value = parse(line)
    try:
        same = canonical(value) == line
    except (ValueError, RecursionError):
        same = False
    if not same:
        raise Malformed("it is not in its one spelling")
    return value


def _refused(text: str) -> Any:
    raise Malformed("it holds a number that is not whole")


def _whole(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > NUMBER_MOST:
        raise Malformed("it holds a number that is too large")
    return int(text)


_KINDS = frozenset(kind.value for kind in Kind)
_REASONS = frozenset(reason.value for reason in SkipReason)


def item_row(value: Sequence[Any]) -> ItemRow:
    """Raises Malformed."""
    if len(value) != len(ITEM):
        raise Malformed(f"an item has {len(ITEM)} places, this one {len(value)}")
    _, mailbox, folder, key, kind, class_, size, received, message_id, mark, state, why, at, there, path = (
        value
    )
    for number, name in ((mailbox, "mailbox"), (folder, "folder"), (at, "at")):
        if type(number) is not int:
            raise Malformed(f"{name} is no number")
    for number, name in ((size, "size"), (received, "received")):
        if number is not None and type(number) is not int:
            raise Malformed(f"{name} is no number")
    for text, name in (
        (key, "key"), (kind, "kind"), (class_, "class"), (message_id, "message_id"), (mark, "fingerprint"),
        (state, "state"), (why, "why"), (there, "target_key"), (path, "path"),
    ):  # fmt: skip
        if type(text) is not str:
            raise Malformed(f"{name} is no text")
    if len(key) != 22 or len(there) not in (0, 22) or len(mark) not in (0, 22):
        raise Malformed("a key or fingerprint has the wrong length")
    if state not in STATES or kind not in _KINDS:
        raise Malformed("a state or kind that does not exist")
    if state == State.SKIPPED.value and why not in _REASONS:
        raise Malformed("skipped for a reason that does not exist")
    return ItemRow(
        mailbox, folder, key, kind, class_, size, received, message_id, mark, state, why, at, there, path
    )


def shaped(value: Any, shape: Mapping[str, Any], what: str) -> dict[str, Any]:
    """An object with these fields and no others. A type, "counts" (words → numbers) or "names" (texts) for each."""
    if not isinstance(value, dict) or set(value) != set(shape):
        raise Malformed(f"{what} has not the fields that it must have")
    for name, type_ in shape.items():
        found = value[name]
        if type_ == "counts":
            good = isinstance(found, dict) and all(type(count) is int for count in found.values())
        elif type_ == "names":
            good = isinstance(found, list) and all(type(part) is str for part in found)
        elif type_ == "number?":
            good = found is None or type(found) is int
        elif type_ == "any":
            good = True
        else:
            good = type(found) is type_
        if not good:
            raise Malformed(f"{what}: {name} is of the wrong kind")
    return value


ABOUT = {"row": str, "format": str, "title": str, "made": int, "version": str, "runs": "any"}
MAILBOX = {
    "row": str, "no": int, "id": str, "line": int, "source": str, "target": str, "source_endpoint": str,
    "target_endpoint": str, "source_identity": str, "target_identity": str, "state": str, "code": str,
}  # fmt: skip
FOLDER = {
    "row": str, "mailbox": int, "no": int, "path": "names", "target_path": "names", "kind": str, "left_out": str,
    "listed": int, "not_listed": int, "copied": int, "present": int, "skipped": "counts", "failed": "counts", "open": int,
}  # fmt: skip
CONTENT = {
    "row": str, "mailbox": int, "kind": str, "path": str, "at": int, "confidence_ppm": int, "margin_ppm": int,
    "population": int, "compared": int, "identical": int, "volatile": int, "normalised": int, "differing": int,
    "unreadable": int,
}  # fmt: skip
HEAD = {
    "format": str, "hash": str, "rows": int, "root": str, "key": str, "made": int, "title": str, "version": str,
    "mailboxes": int, "totals": "counts", "closes": bool,
}  # fmt: skip
ROWS: Mapping[str, Mapping[str, Any]] = {
    "about": ABOUT,
    "mailbox": MAILBOX,
    "folder": FOLDER,
    "content": CONTENT,
}


def row_of(value: Any) -> ItemRow | dict[str, Any]:
    """A row, its shape checked. Raises Malformed."""
    if isinstance(value, list):
        if not value or value[0] != "item":
            raise Malformed("it is no row of this format")
        return item_row(value)
    shape = ROWS.get(value.get("row", "")) if isinstance(value, dict) and _is_text(value.get("row")) else None
    if shape is None:
        raise Malformed("it is no row of this format")
    return shaped(value, shape, f"the {value['row']} row")


def _is_text(value: object) -> bool:
    return type(value) is str


def head_of(value: Any) -> dict[str, Any]:
    """Raises Malformed; UserError for a file of another version of the format."""
    if isinstance(value, dict) and _is_text(value.get("format")):
        named: str = value["format"]
        if named != FORMAT and named.startswith("migrator-proof/") and len(named) < 40:
            raise UserError(
                f"this file is of format {named}, this program reads {FORMAT}",
                code="proof_newer",
                remedy="Check it with the version of migrator that made it, or a later one.",
            )
    head = shaped(value, HEAD, "the head")
    if head["format"] != FORMAT or head["hash"] != "rfc6962-sha256":
        raise Malformed("the head names another format")
    if head["rows"] < 1 or len(octets_of(head["root"], "the root")) != SIZE:
        raise Malformed("the head names no root")
    return head
