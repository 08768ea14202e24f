"""The summary as a workbook: a sheet for each question. Every cell is text or a number, never a formula or a link."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from migrator.report.fidelity import losses_words
from migrator.report.safe import safe_cell, safe_text
from migrator.report.summary import Counts, Summary
from migrator.report.text import balance_words, unfinished_words
from migrator.report.timeline import TITLES
from migrator.report.words import moment

ROWS_MOST = 100_000
"""Of a sheet; the rest is in the CSV parts. (A sheet of this format ends at 1,048,576.)"""
CELL_MOST = 32_000
"""Characters of a cell: 32,767 by the format."""
COUNTS = ("Source", "Copied", "Already there", "Skipped", "Failed", "Open", "Bytes", "Bytes copied")


def write_xlsx(summary: Summary, to: Path) -> None:
    """Make the file anew. Raises OSError."""
    import xlsxwriter  # late: costs 0.2 s

    book = xlsxwriter.Workbook(
        str(to),
        {
            # Rows are written out as they come: memory does not grow with them.
            "constant_memory": True,
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
            "default_date_format": "yyyy-mm-dd hh:mm:ss",
        },
    )
    sheets = _Sheets(book)
    _balance(sheets, summary)
    sheets.add(
        "Mailboxes",
        ("Line", "Batch", "Source", "Target", "State", *COUNTS, "Code", "Error", "What to do"),
        (
            (m.line, m.batch, m.source, m.target, m.state, *_counts(m.counts), m.code, m.error, m.remedy)
            for m in summary.mailboxes
        ),
    )
    sheets.add(
        "Folders",
        ("Source", "Folder", "In the target", "Kind", *COUNTS, "Left out because"),
        (
            (m.source, f.path, f.target, f.kind.value, *_counts(f.counts), f.left_out)
            for m in summary.mailboxes
            for f in m.folders
        ),
    )
    sheets.add(
        "Failed",
        ("Code", "Items", "Mailboxes", "What it means", "What to do"),
        ((g.code, g.count, g.mailboxes, g.title, g.todo) for g in summary.failures),
    )
    sheets.add(
        "Failed items",
        ("Code", "Mailbox", "Folder", "Received", "Bytes", "Kind", "Class", "Message-ID", "Error", "Attempts"),
        (
            (g.code, i.mailbox, i.folder, i.received, i.size, i.kind, i.item_class, i.message_id, i.error, i.attempts)
            for g in summary.failures
            for i in g.items
        ),
    )  # fmt: skip
    sheets.add(
        "Skipped",
        ("Reason", "Items", "Why", "What to do"),
        ((one.reason, one.count, one.title, one.todo) for one in summary.skips),
    )
    sheets.add(
        "Fidelity",
        ("Kind", "Path", "Items", "Compared", "Identical", "Volatile only", "Normalised", "Differ", "Unreadable", "What differs"),
        (
            (f.kind, f.path, f.population, f.compared, f.identical, f.volatile, f.normalised, f.differing, f.unreadable,
             losses_words(f, 50))
            for f in summary.fidelity
        ),
    )  # fmt: skip
    line = summary.timeline
    sheets.add(
        "Timeline",
        ("From (UTC)", "Seconds", "Items", "Bytes", *(f"{title}, seconds" for title in TITLES.values())),
        (
            (datetime.fromtimestamp(span.at, UTC), line.span_s, span.items, span.octets,
             *(round(span.waits.get(kind, 0.0)) for kind in TITLES))
            for span in line.spans
        ),
    )  # fmt: skip
    sheets.add(
        "Runs",
        ("Run", "Started", "Ended", "Pass", "Exit code", "Host", "Version", "Settings"),
        (
            (run.id, moment(run.started), moment(run.finished), run.passname, run.exit_code, run.host, run.version,
             "; ".join(f"{name} = {value}" for name, value in sorted(run.settings.items())))
            for run in summary.runs
        ),
    )  # fmt: skip
    book.close()


def _balance(sheets: _Sheets, summary: Summary) -> None:
    totals = summary.totals
    rows: list[Sequence[object]] = [
        ("Items at the source", totals.source),
        ("Copied", totals.copied),
        ("Already there", totals.present),
        ("Skipped", totals.skipped),
        ("Failed", totals.failed),
        ("Still open", totals.open),
        ("Bytes at the source", totals.octets),
        ("Bytes copied", totals.octets_copied),
        ("Mailboxes", len(summary.mailboxes)),
        *((f"Mailboxes {state}", count) for state, count in summary.states.items()),
        ("Balance", balance_words(totals)),
        ("Closed", "yes" if summary.closes else "no"),
    ]
    if unfinished := unfinished_words(summary):
        rows.append(("Note", unfinished))
    rows.append(("Made", moment(summary.made)))
    sheets.add("Balance", (summary.title or "Migration", ""), rows)


def _counts(counts: Counts) -> tuple[int, ...]:
    return (
        counts.source, counts.copied, counts.present, counts.skipped, counts.failed, counts.open, counts.octets,
        counts.octets_copied,
    )  # fmt: skip


class _Sheets:
    def __init__(self, book: Any) -> None:
        self._book = book
        self._head = book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
        self._number = book.add_format({"num_format": "#,##0"})
        # The apostrophe that a person would type: a cell that is edited and left again stays text.
        self._quoted = book.add_format({"quote_prefix": True})

    def add(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        sheet = self._book.add_worksheet(name)
        sheet.freeze_panes(1, 0)
        sheet.set_landscape()
        sheet.fit_to_pages(1, 0)
        sheet.repeat_rows(0)
        for at, column in enumerate(columns):
            sheet.set_column(at, at, _width(column))
            self._text(sheet, 0, at, column, self._head)
        count = 0
        for count, row in enumerate(rows, 1):
            if count > ROWS_MOST:
                self._text(sheet, count, 0, "… and more: the CSV files of this report hold every row", None)
                break
            for at, value in enumerate(row):
                if value is None or value == "":
                    continue
                if isinstance(value, datetime):
                    sheet.write_datetime(count, at, value.replace(tzinfo=None))
                elif isinstance(value, (int, float)):
                    sheet.write_number(count, at, value, self._number)
                else:
                    self._text(sheet, count, at, str(value), None)
        if count:
            sheet.autofilter(0, 0, min(count, ROWS_MOST), len(columns) - 1)

    def _text(self, sheet: Any, row: int, column: int, text: str, form: Any) -> None:
        shown = safe_text(text, CELL_MOST)
        if form is None and safe_cell(shown) != shown:
            form = self._quoted
        sheet.write_string(row, column, shown, form)


def _width(column: str) -> int:
    wide = {
        "Source": 32,
        "Target": 32,
        "Mailbox": 32,
        "Folder": 36,
        "In the target": 36,
        "Error": 48,
        "What to do": 60,
    }
    wide |= {
        "Why": 48,
        "What it means": 48,
        "Message-ID": 44,
        "Settings": 60,
        "What differs": 60,
        "From (UTC)": 20,
    }
    wide |= {"Started": 24, "Ended": 24, "": 48, "Left out because": 40}
    return wide.get(column, max(12, len(column) + 2))
