"""Ledger → signed report, streamed: memory is one block of rows and a hash for each block before it."""

from __future__ import annotations

import contextlib
import gzip
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from migrator import __version__
from migrator.errors import UserError
from migrator.ledger import Fidelity, JobRow, Ledger, RunRow
from migrator.ledger.fates import FolderFates
from migrator.ledger.fates import fates as fates_of
from migrator.ledger.reading import path_of
from migrator.ledger.records import key_of
from migrator.model import SkipReason, State
from migrator.record import record
from migrator.report.proof import keys, tree
from migrator.report.proof.records import FORMAT, OPEN, SIGNED, canonical, short

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

RUNS_MOST = 1000
"""Runs told of, the last ones."""
_BUFFER = 1 << 20


@record
class Written:
    path: Path
    rows: int
    items: int
    octets: int
    root: str
    key: str
    totals: dict[str, int]
    closes: bool


def write_signed(ledger: Ledger, path: Path, key: Ed25519PrivateKey, *, made: int, title: str) -> Written:
    """Write the signed report of all mailboxes to `path`, whole or not at all; compressed where the name ends in .gz.

    made: seconds since the epoch. Raises UserError where the file cannot be written.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600)
        with os.fdopen(descriptor, "wb", buffering=_BUFFER) as file:
            if path.name.endswith(".gz"):
                with gzip.GzipFile("", "wb", 4, file, mtime=0) as packed:
                    written = _write(ledger, packed, key, made, title)
            else:
                written = _write(ledger, file, key, made, title)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        _forget(fresh)
        raise UserError(f"cannot write {path}: {error.strerror}", code="unwritable") from None
    except BaseException:
        _forget(fresh)
        raise
    head, items = written
    return Written(
        path,
        head["rows"],
        items,
        path.stat().st_size,
        head["root"],
        head["key"],
        head["totals"],
        head["closes"],
    )


def _forget(fresh: Path) -> None:
    with contextlib.suppress(OSError):
        fresh.unlink(missing_ok=True)


@record(frozen=False)
class _Out:
    """Rows go in; hashes come between them."""

    file: IO[bytes]
    rows: int = 0
    leaves: list[bytes] = field(default_factory=list)
    blocks: list[bytes] = field(default_factory=list)

    def row(self, value: Any) -> None:
        line = canonical(value)
        self.leaves.append(tree.leaf(line))
        self.file.write(line + b"\n")
        self.rows += 1
        if len(self.leaves) == tree.BLOCK:
            self.close_block()

    def close_block(self) -> None:
        if self.leaves:
            self.blocks.append(tree.root(self.leaves))
            self.line({"hashes": short(b"".join(self.leaves))})
            self.leaves = []

    def line(self, value: Any) -> None:
        self.file.write(canonical(value) + b"\n")


def _write(
    ledger: Ledger, file: Any, key: Ed25519PrivateKey, made: int, title: str
) -> tuple[dict[str, Any], int]:
    out = _Out(file)
    out.row(
        {
            "row": "about",
            "format": FORMAT,
            "title": title,
            "made": made,
            "version": __version__,
            "runs": [_run(run) for run in ledger.runs()[-RUNS_MOST:]],
        }
    )
    totals: Counter[str] = Counter()
    closes = True
    items = 0
    jobs = ledger.jobs()
    for number, job in enumerate(jobs):
        out.row(_mailbox(number, job))
        with fates_of(ledger, job.id) as (folders, fates):
            numbers = {folder.number: place for place, folder in enumerate(folders)}
            for place, folder in enumerate(folders):
                row = _folder(number, place, folder)
                closes = closes and row["open"] == 0 and (bool(row["left_out"]) or row["not_listed"] == 0)
                _add(totals, row)
                out.row(row)
            for one in ledger.fidelity(job.id):
                out.row(_content(number, one))
            for line in _items(number, numbers, fates):
                out.row(line)
                items += 1
        closes = closes and job.state in ("done", "partial")
    out.close_block()
    out.line({"blocks": short(b"".join(out.blocks))})
    head = {
        "format": FORMAT,
        "hash": "rfc6962-sha256",
        "rows": out.rows,
        "root": short(tree.root(out.blocks)),
        "key": keys.public_word(key),
        "made": made,
        "title": title,
        "version": __version__,
        "mailboxes": len(jobs),
        "totals": dict(totals),
        "closes": closes,
    }
    out.line({"head": head, "signature": short(key.sign(SIGNED + canonical(head)))})
    return head, items


def _add(totals: Counter[str], row: dict[str, Any]) -> None:
    for name in ("copied", "present", "open"):
        totals[name] += row[name]
    totals["skipped"] += sum(row["skipped"].values())
    totals["failed"] += sum(row["failed"].values())
    totals["source"] += row["listed"]
    if row["left_out"] != SkipReason.SEARCH_FOLDER.value:  # a view: its items are counted where they lie
        totals["source"] += row["not_listed"]
        totals["skipped" if row["left_out"] else "open"] += row["not_listed"]


def _run(run: RunRow) -> dict[str, Any]:
    return {
        "no": run.id,
        "started": int(run.started),
        "finished": None if run.finished is None else int(run.finished),
        "exit_code": run.exit_code,
        "pass": run.passname,
        "version": run.version,
    }


def _mailbox(number: int, job: JobRow) -> dict[str, Any]:
    told = {
        name: getattr(job, name)
        for name in (
            "id", "line", "source", "target", "source_endpoint", "target_endpoint", "source_identity",
            "target_identity", "state", "code",
        )
    }  # fmt: skip
    return {"row": "mailbox", "no": number} | told


def _folder(mailbox: int, number: int, folder: FolderFates) -> dict[str, Any]:
    row = folder.row
    counts: dict[str, Any] = {"copied": 0, "present": 0, "skipped": {}, "failed": {}, "open": 0}
    for (state, why), items in folder.items.items():
        told = told_state(state, why)
        if told in ("skipped", "failed"):
            counts[told][why] = counts[told].get(why, 0) + items
        else:
            counts[told] += items
    listed = sum(folder.items.values())
    return {
        "row": "folder",
        "mailbox": mailbox,
        "no": number,
        "path": list(row.path),
        "target_path": list(row.target_path),
        "kind": row.kind.value,
        "left_out": row.skipped.value if row.skipped else "",
        "listed": listed,
        "not_listed": max(0, (row.total or 0) - listed),
    } | counts


def told_state(state: str, why: str) -> str:
    """What was only cut off before it left has no fate yet."""
    if state == State.SENDING.value or why == "not_sent":
        return OPEN
    return state


def _content(mailbox: int, one: Fidelity) -> dict[str, Any]:
    counts = {
        name: getattr(one, name)
        for name in (
            "population", "compared", "identical", "volatile", "normalised", "differing", "unreadable"
        )
    }  # fmt: skip
    return {
        "row": "content",
        "mailbox": mailbox,
        "kind": one.kind.value,
        "path": one.path,
        "at": int(one.at),
        "confidence_ppm": round(one.confidence * 1_000_000),
        "margin_ppm": round(one.margin * 1_000_000),
    } | counts


def _items(mailbox: int, numbers: dict[int, int], fates: Iterator[Any]) -> Iterator[list[Any]]:
    for fate in fates:
        key, folder, kind, class_, size, received, message_id, mark, state, why, target_id, path, at = fate
        told = told_state(state, why)
        yield [
            "item", mailbox, numbers[folder], short(key), kind, class_, size, received, message_id, short(mark), told,
            why if told in ("skipped", "failed") else "", int(at),
            short(key_of(target_id)) if target_id and told in ("copied", "present") else "", path_of(path),
        ]  # fmt: skip
