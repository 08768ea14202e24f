"""The proof of single items: their rows, those of their folders and mailboxes, and the hashes from there up to the root.

It can be handed to whoever asks after one message: it says nothing readable about any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from migrator.record import record
from migrator.report.proof import keys, tree
from migrator.report.proof.records import (
    PROOF_FORMAT,
    SIGNED,
    ItemRow,
    Malformed,
    canonical,
    hashes_of,
    head_of,
    octets_of,
    parse,
    parse_canonical,
    row_of,
    shaped,
    short,
)

START = b'{"format":"migrator-inclusion/'
_ROWS_MOST = 10_000


@record(frozen=False)
class Kept:
    """A row that a proof may need. path: within its block, once that is complete."""

    index: int
    line: str
    block: int
    path: list[bytes] | None = None


def make(
    head: dict[str, Any], signature: str, kept: Iterable[Kept], roots: Sequence[bytes]
) -> dict[str, Any]:
    """The proof, to be written as `canonical`. roots: of all blocks."""
    above: dict[int, list[bytes]] = {}
    rows = []
    for one in sorted(kept, key=lambda one: one.index):
        if one.block not in above:
            above[one.block] = tree.audit_path(roots, one.block)
        path = [*(one.path or []), *above[one.block]]
        rows.append({"no": one.index, "row": one.line, "path": short(b"".join(path))})
    return {"format": PROOF_FORMAT, "head": head, "rows": rows, "signature": signature}


def check(data: bytes, public: bytes) -> tuple[dict[str, Any], list[tuple[int, ItemRow | dict[str, Any]]]]:
    """(the signed head, (number, row) of each row that is proven). Raises Malformed, UserError for a newer version."""
    shape = {"format": str, "head": "any", "rows": "any", "signature": str}
    value = shaped(parse_canonical(data.removesuffix(b"\n")), shape, "the proof")
    if value["format"] != PROOF_FORMAT:
        raise Malformed("it is of another format")
    head = head_of(value["head"])
    signature = octets_of(value["signature"], "the signature")
    if not keys.signed_by(public, SIGNED + canonical(head), signature):
        mine = head["key"] == keys.PREFIX + short(public)
        raise Malformed(
            "the signature does not hold: what is signed was altered"
            if mine
            else "the signature is not of this key"
        )
    if not isinstance(value["rows"], list) or not 0 < len(value["rows"]) <= _ROWS_MOST:
        raise Malformed("it holds no rows")
    signed = octets_of(head["root"], "the root")
    found: list[tuple[int, ItemRow | dict[str, Any]]] = []
    for one in value["rows"]:
        told = shaped(one, {"no": int, "row": str, "path": str}, "a row of the proof")
        try:
            line = told["row"].encode("ascii")
        except UnicodeEncodeError:
            raise Malformed("a row of the proof holds octets that are not ASCII") from None
        path = hashes_of(told["path"], "the path") if told["path"] else []
        if tree.root_by_path(tree.leaf(line), told["no"], head["rows"], path) != signed:
            raise Malformed(f"row {told['no']} is not one of those that were signed")
        found.append((told["no"], row_of(parse(line))))
    return head, found
