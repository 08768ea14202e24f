"""The summary as CSV for a spreadsheet: one row a folder, or one a failed item. No cell is taken for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from migrator.report.safe import safe_cell
from migrator.report.summary import FailedItem, Summary

FOLDER_COLUMNS = (
    "line", "batch", "source", "target", "state", "folder", "target_folder", "kind", "items", "copied", "already_there",
    "skipped", "failed", "open", "bytes", "bytes_copied", "left_out", "code", "error", "what_to_do",
)  # fmt: skip
FAILURE_COLUMNS = (
    "mailbox", "folder", "received", "bytes", "kind", "class", "message_id", "code", "error", "attempts", "what_to_do",
)  # fmt: skip


def to_csv(summary: Summary) -> str:
    """One row a folder, and one for a mailbox without any. Unknown columns of the manifest come last."""
    extras = sorted({name for mailbox in summary.mailboxes for name in mailbox.extra})
    return _text([*FOLDER_COLUMNS, *extras], _folder_rows(summary, extras))


def _folder_rows(summary: Summary, extras: Sequence[str]) -> Iterator[list[object]]:
    for mailbox in summary.mailboxes:
        head: list[object] = [mailbox.line, mailbox.batch, mailbox.source, mailbox.target, mailbox.state]
        tail: list[object] = [
            mailbox.code,
            mailbox.error,
            mailbox.remedy,
            *(mailbox.extra.get(name, "") for name in extras),
        ]
        for folder in mailbox.folders:
            counts = folder.counts
            yield [
                *head, folder.path, folder.target, folder.kind.value, counts.source, counts.copied, counts.present,
                counts.skipped, counts.failed, counts.open, counts.octets, counts.octets_copied, folder.left_out, *tail,
            ]  # fmt: skip
        if not mailbox.folders:
            yield [*head, *[""] * 12, *tail]


def failures_csv(items: Iterable[FailedItem], remedies: dict[str, str]) -> str:
    """remedies: code → what to do."""
    return _text(
        FAILURE_COLUMNS,
        (
            [
                item.mailbox, item.folder, item.received, item.size, item.kind, item.item_class, item.message_id, item.code,
                item.error, item.attempts, remedies.get(item.code, ""),
            ]
            for item in items
        ),
    )  # fmt: skip


def table_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Any table, with the same care for cells."""
    return _text(columns, rows)


def write_csv(to: TextIO, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    writer = csv.writer(to, lineterminator="\r\n")
    writer.writerow([safe_cell(name) for name in columns])
    for row in rows:
        writer.writerow([safe_cell(cell) for cell in row])


def _text(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    to = io.StringIO(newline="")
    write_csv(to, columns, rows)
    return to.getvalue()
