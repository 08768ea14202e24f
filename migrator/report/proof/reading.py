"""A signed report, checked without ledger, network or trust in whoever handed it over.

What is believed rests on the signature alone: the signed root makes the list of block roots believable, these the lists
of leaves, these every single row. So it can be told which row was altered, is missing or was added, as long as the list
of leaves of its block was left alone; where somebody has altered both, the block can be named (`docs/proof.md`).

The file is hostile until then: lines are bounded, numbers and nesting too. Its texts are not yet fit for a terminal.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import field
from pathlib import Path
from typing import IO, Any, cast

from migrator.errors import UserError
from migrator.formats.fingerprint import bare_message_id
from migrator.record import record
from migrator.report.proof import inclusion, keys, tree
from migrator.report.proof.balance import Balance
from migrator.report.proof.inclusion import Kept
from migrator.report.proof.records import (
    BLOCKS_MOST,
    ROW_MOST,
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

PROBLEMS_KEPT = 1000
FOUND_MOST = 1000
"""Items that one search gives."""
_BUFFER = 1 << 20
_HASHES, _BLOCKS, _HEAD = b'{"hashes":', b'{"blocks":', b'{"head":'


@record
class Problem:
    """what: signature, head, altered, missing, added, moved, hashes, blocks, malformed, balance or end. row: counted from
    0, or None where it is not about one row. line: of the file, counted from 1, or 0."""

    what: str
    text: str
    row: int | None = None
    line: int = 0


@record
class Hit:
    """An item that was looked for, and where it went. row_no: of the report."""

    row_no: int
    item: ItemRow
    source: str
    target: str
    path: tuple[str, ...]
    target_path: tuple[str, ...]


@record(frozen=False)
class Verdict:
    """head: what was signed, None without a signature that holds. problems: the first ones; count: all of them."""

    head: dict[str, Any] | None = None
    key: str = ""
    rows: int = 0
    items: int = 0
    states: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)
    count: int = 0
    hits: list[Hit] = field(default_factory=list)
    proof: dict[str, Any] | None = None  # of the hits, where all of the file holds
    part: bool = False  # checked was the proof of single items, not a whole report

    @property
    def ok(self) -> bool:
        return self.head is not None and not self.count

    def add(self, problem: Problem) -> None:
        self.count += 1
        if len(self.problems) < PROBLEMS_KEPT:
            self.problems.append(problem)


Wanted = Callable[[ItemRow], bool]


def by_message_id(message_id: str) -> Wanted:
    bare = bare_message_id(message_id)
    return lambda row: row.message_id != "" and bare_message_id(row.message_id) == bare


def check_file(path: Path, public: bytes, wanted: Wanted | None = None) -> Verdict:
    """Check a signed report, or the proof of single items that was taken from one.

    public: the key that must have signed. wanted: items to be found on the way. Raises UserError for what is no file of
    this kind at all, or one of a newer version.
    """
    try:
        with _opened(path) as file:
            first = file.readline(ROW_MOST + 1)
            if first.startswith(inclusion.START):
                return _part(first + file.read(BLOCKS_MOST), public)
            if not first.startswith((b"{", b"[")):
                raise UserError(
                    "this is no signed report",
                    code="proof_unreadable",
                    remedy="`migrator report --sign KEY` writes proof.jsonl.gz.",
                )
            return _Checking(public, wanted).run(first, file)
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise UserError(f"the report cannot be read: {error.strerror}", code="proof_unreadable") from None
    # A packed file that was cut or damaged: whatever its rows said, it is not whole.
    verdict = Verdict(key=keys.PREFIX + short(public))
    verdict.add(Problem("end", "the packed file is damaged or cut off: nothing in it can be believed"))
    return verdict


def _opened(path: Path) -> IO[bytes]:
    file = path.open("rb", buffering=_BUFFER)
    try:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file, mode="rb")) if packed else file
    except BaseException:
        file.close()
        raise


def _part(data: bytes, public: bytes) -> Verdict:
    verdict = Verdict(key=keys.PREFIX + short(public), part=True)
    try:
        head, rows = inclusion.check(data, public)
        verdict.rows = len(rows)
        verdict.items = sum(isinstance(row, ItemRow) for _, row in rows)
        mailboxes = {row["no"]: row for _, row in rows if isinstance(row, dict) and row["row"] == "mailbox"}
        folders = {
            (row["mailbox"], row["no"]): row
            for _, row in rows
            if isinstance(row, dict) and row["row"] == "folder"
        }
        for number, row in rows:
            if isinstance(row, ItemRow):
                verdict.states[row.state] += 1
                mailbox, folder = mailboxes.get(row.mailbox), folders.get((row.mailbox, row.folder))
                if mailbox is None or folder is None:
                    raise Malformed("the rows of an item's mailbox and folder are missing")
                verdict.hits.append(_hit(number, row, mailbox, folder))
        verdict.head = head
    except Malformed as error:
        verdict.add(Problem("malformed", str(error)))
    return verdict


def _hit(number: int, row: ItemRow, mailbox: dict[str, Any], folder: dict[str, Any]) -> Hit:
    return Hit(
        number,
        row,
        mailbox["source"],
        mailbox["target"],
        tuple(folder["path"]),
        tuple(folder["target_path"]),
    )


@record(frozen=False)
class _Block:
    """A block of rows and the list of leaves that came behind it."""

    first: int  # row
    rows: int
    line: int  # of the list
    made: bytes  # root of the rows
    listed: bytes | None  # root of the list, None where that is missing or unreadable
    problems: list[Problem]  # rows against the list


class _Checking:
    def __init__(self, public: bytes, wanted: Wanted | None) -> None:
        self.public = public
        self.wanted = wanted
        self.verdict = Verdict(key=keys.PREFIX + short(public))
        self.blocks: list[_Block] = []
        self.roots: list[bytes] | None = None
        self.head: dict[str, Any] | None = None
        self.line = 0
        self.leaves: list[bytes] = []  # of the block that is being read
        self.first_line = 1
        self.balance = Balance()
        self.signature = ""
        self.ended = False
        self.fresh: list[Kept] = []  # rows of the block that is being read which a proof may need
        self.mailbox: Kept | None = None
        self.folders: dict[int, Kept] = {}
        self.needed: dict[int, Kept] = {}

    def _say(self, what: str, text: str, row: int | None = None, line: int = 0) -> None:
        self.verdict.add(Problem(what, text, row, line))

    def run(self, line: bytes, file: IO[bytes]) -> Verdict:
        while line:
            self.line += 1
            if not line.endswith(b"\n") and len(line) > ROW_MOST and line.startswith(_BLOCKS):
                line += file.readline(BLOCKS_MOST)
            if not line.endswith(b"\n"):
                long = len(line) > ROW_MOST
                text = "is longer than any that is written" if long else "is cut off"
                self._say("malformed" if long else "end", f"line {self.line} {text}", line=self.line)
                break
            if self.ended:
                self._say("end", f"line {self.line} stands behind the signature", line=self.line)
                break
            self._take(line[:-1])
            line = file.readline(ROW_MOST + 1)
        return self._end()

    def _take(self, line: bytes) -> None:
        if line.startswith(_HASHES):
            try:
                value = shaped(parse_canonical(line), {"hashes": str}, "the list")
                self._close_block(hashes_of(value["hashes"], "the list"))
            except Malformed as error:
                self._say("hashes", f"line {self.line}, the list of hashes: {error}", line=self.line)
                self._close_block(None)
        elif line.startswith(_BLOCKS):
            self._close_rest()
            try:
                value = shaped(parse_canonical(line), {"blocks": str}, "the list")
                found = hashes_of(value["blocks"], "the list")
                if self.roots is not None:
                    raise Malformed("there are two of them")
                self.roots = found
            except Malformed as error:
                self._say("blocks", f"line {self.line}, the list of blocks: {error}", line=self.line)
        elif line.startswith(_HEAD):
            self._close_rest()
            self.ended = True
            self._signed(line)
        else:
            if len(self.leaves) >= 4 * tree.BLOCK:
                self._close_rest()
            self._row(line)

    # ------------------------------------------------------------------- rows

    def _row(self, line: bytes) -> None:
        if not self.leaves:
            self.first_line = self.line
        index = self.verdict.rows
        self.verdict.rows += 1
        self.leaves.append(tree.leaf(line))
        try:
            value = row_of(parse(line) if line.startswith(b"[") else parse_canonical(line))
            self.balance.take(index, value)
        except Malformed as error:
            self._say("malformed", f"row {index} (line {self.line}): {error}", index, self.line)
            return
        if isinstance(value, ItemRow):
            self.verdict.items += 1
            self.verdict.states[value.state] += 1
        if self.wanted is None:
            return
        if isinstance(value, ItemRow):
            mailbox, folder = self.balance.mailbox, self.balance.folders.get(value.folder)
            if mailbox is None or folder is None or not self.wanted(value):
                return
            if len(self.verdict.hits) < FOUND_MOST:
                self.verdict.hits.append(_hit(index, value, mailbox, folder))
                self._keep(index, line)
                about = [self.fresh[-1], self.mailbox, self.folders.get(value.folder)]
                self.needed |= {kept.index: kept for kept in about if kept is not None}
        elif value["row"] == "mailbox":
            self.mailbox, self.folders = self._keep(index, line), {}
        elif value["row"] == "folder":
            self.folders[value["no"]] = self._keep(index, line)

    def _keep(self, index: int, line: bytes) -> Kept:
        kept = Kept(index, line.decode("ascii"), len(self.blocks))
        self.fresh.append(kept)
        return kept

    def _close_rest(self) -> None:
        """Where a list of leaves should have come."""
        if self.leaves:
            self._say("hashes", f"a list of hashes before line {self.line} is missing", line=self.line)
        while self.leaves:
            self._close(min(len(self.leaves), tree.BLOCK), None)

    def _close_block(self, listed: list[bytes] | None) -> None:
        """At a list. Some rows too many came from outside; very many mean that a list before this one is missing."""
        least = tree.BLOCK // 2 + (tree.BLOCK if listed is None else len(listed))
        while len(self.leaves) >= least:
            self._say("hashes", f"a list of hashes before line {self.line} is missing", line=self.line)
            self._close(tree.BLOCK, None)
        self._close(len(self.leaves), listed)

    def _close(self, count: int, listed: list[bytes] | None) -> None:
        leaves, self.leaves = self.leaves[:count], self.leaves[count:]
        first = self.verdict.rows - len(leaves) - len(self.leaves)
        intact = listed == leaves
        made = tree.root(leaves)
        differences = [] if intact or listed is None else _differences(first, self.first_line, leaves, listed)
        listed_root = made if intact else tree.root(listed) if listed is not None else None
        self.blocks.append(_Block(first, len(leaves), self.line, made, listed_root, differences))
        for kept in self.fresh:
            if kept.index < first + count:
                kept.path = tree.audit_path(leaves, kept.index - first)
        self.fresh = [kept for kept in self.fresh if kept.index >= first + count]
        self.first_line += count

    # --------------------------------------------------------------- signature

    def _signed(self, line: bytes) -> None:
        try:
            value = shaped(parse_canonical(line), {"head": "any", "signature": str}, "the last line")
            head = head_of(value["head"])
            signature = octets_of(value["signature"], "the signature")
        except Malformed as error:
            self._say("head", f"line {self.line}, the signed head: {error}", line=self.line)
            return
        if not keys.signed_by(self.public, SIGNED + canonical(head), signature):
            mine = head["key"] == self.verdict.key
            self._say(
                "signature",
                "the signature does not hold: what is signed was altered"
                if mine
                else "the signature is not of this key",
                line=self.line,
            )
            return
        self.head = head
        self.signature = value["signature"]

    def _end(self) -> Verdict:
        while self.leaves:
            self._close(min(len(self.leaves), tree.BLOCK), None)
        verdict = self.verdict
        if not self.ended:
            self._say("end", f"the file ends before its signature, after {verdict.rows} rows")
        head = self.head
        unbalanced = self.balance.close()
        if head is None:
            # Nothing is believable; what contradicts itself is told all the same.
            for block in self.blocks:
                for problem in block.problems:
                    verdict.add(problem)
            verdict.hits = []
            return verdict
        self._against(octets_of(head["root"], "the root"), head["rows"])
        if not verdict.count:  # else it is no wonder that they do not add up
            for text, row in (*unbalanced, *((text, None) for text in self.balance.against(head))):
                self._say("balance", text, row)
        verdict.head = head
        if verdict.ok:
            roots = [block.made for block in self.blocks]
            if verdict.hits:
                verdict.proof = inclusion.make(head, self.signature, self.needed.values(), roots)
        else:
            verdict.hits = []
        return verdict

    def _against(self, signed: bytes, rows: int) -> None:
        """Rows against the signed root. Tells where they differ as exactly as what can be believed allows."""
        verdict = self.verdict
        made = [block.made for block in self.blocks]
        if self.roots is None:
            self._say("blocks", "the list of blocks is missing")
        if rows != verdict.rows:
            self._say("end", f"{rows} rows were signed, {verdict.rows} stand here")
        if tree.root(made) == signed:
            if self.roots is not None and self.roots != made:
                self._say("blocks", "the list of blocks was altered; all rows are as they were signed")
            for block in self.blocks:
                if block.listed is not None and block.listed != block.made:
                    self._say("hashes", f"line {block.line}: the list of hashes was altered; the rows are as signed",
                              line=block.line)  # fmt: skip
            return
        believed = self.roots if self.roots is not None and tree.root(self.roots) == signed else None
        if believed is None:
            listed = [block.listed or block.made for block in self.blocks]
            believed = listed if tree.root(listed) == signed else None
            if self.roots is not None:
                self._say("blocks", "the list of blocks was altered")
        if believed is None:
            self._say("altered", "rows were altered, and the hashes that would tell which ones, too")
            for block in self.blocks:
                for problem in block.problems:
                    verdict.add(problem)
            return
        for number in range(max(len(believed), len(self.blocks))):
            if number >= len(believed):
                block = self.blocks[number]
                self._say(
                    "added", f"rows {block.first} to {block.first + block.rows - 1} were added", block.first
                )
                continue
            first = number * tree.BLOCK
            if number >= len(self.blocks):
                self._say(
                    "missing", f"rows {first} to {min(first + tree.BLOCK, rows) - 1} are missing", first
                )
                continue
            block = self.blocks[number]
            if block.made == believed[number]:
                if block.listed is not None and block.listed != block.made:
                    self._say("hashes", f"line {block.line}: the list of hashes was altered; the rows are as signed",
                              line=block.line)  # fmt: skip
            elif block.listed == believed[number]:
                for problem in block.problems:
                    verdict.add(problem)
            else:
                last = block.first + block.rows - 1
                self._say(
                    "altered",
                    f"among rows {block.first} to {last} some were altered, and the hashes that would tell which ones, too",
                    block.first,
                )
                for problem in block.problems:
                    verdict.add(problem)


def _differences(first: int, line: int, made: list[bytes], listed: list[bytes]) -> list[Problem]:
    """Rows of a block against its list of leaves: altered, missing, added or moved."""
    found: list[Problem] = []
    if len(made) == len(listed):
        known = set(listed)
        for n, (one, other) in enumerate(zip(made, listed, strict=True)):
            if one != other:
                text = "stands at another place than it was signed at" if one in known else "was altered"
                what = "moved" if one in known else "altered"
                found.append(Problem(what, f"row {first + n} (line {line + n}) {text}", first + n, line + n))
        return found
    # Rows came or went: what follows has shifted, so they are compared as multisets, each kept in its place.
    left = Counter(listed)
    for n, one in enumerate(made):
        if left[one] > 0:
            left[one] -= 1
        else:
            found.append(
                Problem(
                    "added",
                    f"row {first + n} (line {line + n}) was added or altered",
                    first + n,
                    line + n,
                )
            )
    have = Counter(made)
    for n, other in enumerate(listed):
        if have[other] > 0:
            have[other] -= 1
        else:
            found.append(Problem("missing", f"row {first + n}, as signed, is missing", first + n))
    return found
