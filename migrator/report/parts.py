"""Single items as CSV files of a bounded size: what the page only counts, for those who want to see each.

Rows come straight from the ledger's table, not as records: of these there may be millions. No subject, no content.
"""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from migrator.ledger import Ledger
from migrator.ledger.reading import path_of
from migrator.ledger.standing import NOT_SENT, ItemRow
from migrator.model import SkipReason, State
from migrator.plan.folders import path_text
from migrator.plan.remedies import remedy_of, skip_of
from migrator.record import record
from migrator.report.safe import safe_cell

PART_ROWS = 200_000
"""Rows of a file; a spreadsheet opens 1,048,576."""
COLUMNS = (
    "source", "target", "folder", "received", "bytes", "kind", "class", "message_id", "state", "reason", "error", "attempts",
    "path", "what_to_do",
)  # fmt: skip
ASKED_FOR = frozenset({SkipReason.FILTERED_DATE.value, SkipReason.FILTERED_FOLDER.value})
"""Left out because somebody said so: counted in the page, and one by one only where all items are asked for."""


@record
class Part:
    """A file beside the page. what: "failed", "skipped" or "items"."""

    name: str
    what: str
    rows: int
    title: str


TITLES = {
    "failed": "Every failed item",
    "skipped": "Every skipped item, but those that date or folder rules left out",
    "items": "Every item",
}


def write_parts(
    ledger: Ledger, where: Path, *, items: bool = False, part_rows: int = PART_ROWS
) -> list[Part]:
    """Write failed.csv and skipped.csv, and with `items` items.csv, each as many files as it takes (failed-2.csv …).

    Files of an earlier report that are not written again are removed: a page and its parts are of one moment. Raises OSError.
    """
    names = {row.id: (row.source, row.target) for row in ledger.jobs()}
    found: list[Part] = []
    for what, rows in _wanted(ledger, items):
        with _Sheaf(where, what, part_rows) as sheaf:
            for row in _cells(ledger, names, rows):
                sheaf.write(row)
        found += sheaf.parts
        keep = {part.name for part in sheaf.parts}
        for old in [where / f"{what}.csv", *where.glob(f"{what}-*.csv")]:
            if old.name not in keep:
                old.unlink(missing_ok=True)
    return found


def _wanted(ledger: Ledger, items: bool) -> Iterator[tuple[str, Iterable[ItemRow]]]:
    yield "failed", ledger.item_rows(State.FAILED, without={NOT_SENT})
    yield "skipped", ledger.item_rows(State.SKIPPED, without=ASKED_FOR)
    yield "items", ledger.item_rows() if items else ()


def _cells(
    ledger: Ledger, names: Mapping[str, tuple[str, str]], rows: Iterable[ItemRow]
) -> Iterator[Sequence[str]]:
    job, source, target = "", "", ""
    folders: dict[int, str] = {}
    words: dict[tuple[str, str], str] = {}
    stamp: Callable[[float, Any], datetime] = datetime.fromtimestamp
    for row in rows:
        if row.job_id != job:
            job = row.job_id
            source, target = map(safe_cell, names.get(job, (job, "")))
            folders = {
                number: safe_cell(path_text(path)) for number, path in ledger.folder_paths(job).items()
            }
        todo = words.get((row.state, row.why))
        if todo is None:
            todo = words[row.state, row.why] = _todo(row.state, row.why)
        yield (
            source, target, folders.get(row.folder, ""),
            "" if row.received is None else stamp(row.received, UTC).strftime("%Y-%m-%d %H:%M:%S"),
            "" if row.size is None else str(row.size), row.kind, safe_cell(row.item_class), safe_cell(row.message_id), row.state,
            safe_cell(row.why), safe_cell(row.error) if row.error else "", str(row.attempts), path_of(row.path), todo,
        )  # fmt: skip


def _todo(state: str, why: str) -> str:
    if state == State.FAILED.value:
        return safe_cell(remedy_of(why).todo)
    if state == State.SKIPPED.value:
        return safe_cell(f"{skip_of(why).title}. {skip_of(why).todo}")
    return ""


class _Sheaf:
    """One table in as many files as it takes, each whole or not at all, private to the user."""

    def __init__(self, where: Path, what: str, part_rows: int) -> None:
        self.parts: list[Part] = []
        self._where, self._what, self._most = where, what, part_rows
        self._stack = contextlib.ExitStack()
        self._rows = part_rows
        self._write: Callable[[Sequence[str]], Any] = lambda row: None

    def __enter__(self) -> _Sheaf:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._end(whole=kind is None)

    def write(self, row: Sequence[str]) -> None:
        if self._rows >= self._most:
            self._end(whole=True)
            self._begin()
        self._rows += 1
        self._write(row)

    def _begin(self) -> None:
        number = len(self.parts) + 1
        name = f"{self._what}.csv" if number == 1 else f"{self._what}-{number}.csv"
        self.parts.append(Part(name, self._what, 0, TITLES[self._what]))
        fresh = self._where / f".{name}.{os.getpid()}"
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        # A spreadsheet takes a CSV for UTF-8 by its BOM alone.
        file = self._stack.enter_context(os.fdopen(descriptor, "w", encoding="utf-8-sig", newline=""))
        self._write = csv.writer(file, lineterminator="\r\n").writerow
        self._write(COLUMNS)
        self._rows = 0

    def _end(self, *, whole: bool) -> None:
        self._stack.close()
        if not self.parts or self.parts[-1].rows:
            return
        part = self.parts.pop()
        fresh = self._where / f".{part.name}.{os.getpid()}"
        if whole:
            fresh.replace(self._where / part.name)
            self.parts.append(Part(part.name, part.what, self._rows, part.title))
        else:
            fresh.unlink(missing_ok=True)
