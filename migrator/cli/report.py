"""`migrator report`: what became of everything, as files or on the screen."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from migrator.cli.options import Option, Project


class Page(StrEnum):
    TEXT = "text"
    CSV = "csv"
    JSON = "json"
    HTML = "html"


def command(
    project: Project = Path(),
    to: Annotated[
        Path | None, Option("--to", metavar="DIR", help="Folder (default: PROJECT/report).")
    ] = None,
    as_: Annotated[
        Page | None, Option("--as", metavar="FORM", help="Print one form instead: text, csv, json, html.")
    ] = None,
    folders: Annotated[bool, Option("--folders", help="A line for each folder in the text.")] = False,
) -> int:
    """Write the report: report.html, .txt, .csv, .json and failures.csv.

    Example: migrator report -p acme --to /srv/reports/acme
    """
    from migrator.cli.loading import open_ledger
    from migrator.plan.project import load_project
    from migrator.plan.remedies import remedy_of
    from migrator.report.csv import failures_csv, to_csv
    from migrator.report.html import to_html
    from migrator.report.json import to_json
    from migrator.report.summary import failed_items, summarise
    from migrator.report.text import balance_words, to_text

    loaded = load_project(project)
    with open_ledger(loaded) as ledger:
        summary = summarise(ledger, now=time.time(), title=loaded.folder.name, paths=True)
        forms: dict[Page, Callable[[], str]] = {
            Page.HTML: lambda: to_html(summary),
            Page.TEXT: lambda: to_text(summary, folders=folders),
            Page.CSV: lambda: to_csv(summary),
            Page.JSON: lambda: to_json(summary) + "\n",
        }
        if as_ is not None:
            print(forms[as_](), end="")
            return 0
        codes = {code: remedy_of(code).todo for _, code, _ in ledger.failed_by_code()}
        failures = failures_csv(failed_items(ledger, ledger.jobs()), codes)
    where = to or loaded.folder / "report"
    names = {
        Page.HTML: "report.html",
        Page.TEXT: "report.txt",
        Page.CSV: "report.csv",
        Page.JSON: "report.json",
    }
    texts = {names[page]: make() for page, make in forms.items()} | {"failures.csv": failures}
    for path in write_files(where, texts):
        print(path)
    print(f"balance: {balance_words(summary.totals)}")
    return 0


def write_files(where: Path, texts: dict[str, str]) -> list[Path]:
    """Write or renew files, each whole or not at all, private to the user. Raises UserError."""
    import os

    from migrator.cli.guard import write_private
    from migrator.errors import UserError

    written = []
    try:
        where.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, text in texts.items():
            fresh = where / f".{name}.{os.getpid()}"
            fresh.unlink(missing_ok=True)
            # A spreadsheet takes a CSV for UTF-8 by its BOM alone.
            write_private(fresh, "\ufeff" + text if name.endswith(".csv") else text)
            fresh.replace(where / name)
            written.append(where / name)
    except OSError as error:
        raise UserError(f"cannot write {where}: {error.strerror}", code="unwritable") from None
    return written
