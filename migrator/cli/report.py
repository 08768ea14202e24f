"""`migrator report`: what became of everything, as files or on the screen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from migrator.cli.options import Option, Project

if TYPE_CHECKING:
    from migrator.ledger import Ledger
    from migrator.report.parts import Part
    from migrator.report.summary import Summary


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
    items: Annotated[
        bool, Option("--items", help="Also items.csv: every single item, a minute for five million.")
    ] = False,
    sign: Annotated[
        str, Option("--sign", metavar="KEY", help="Also proof.jsonl.gz, signed: file:, env:, keyring: key.")
    ] = "",
    customer: Annotated[
        bool, Option("--customer", help="Instead: the page for the people whose mail it is.")
    ] = False,
    template_export: Annotated[
        Path | None, Option("--template-export", metavar="DIR", help="Its template and words, to change.")
    ] = None,
) -> int:
    """Write the report: report.html, .xlsx, .txt, .csv (folders), .json,
    and beside them every failed and every skipped item as CSV.

    Example: migrator report -p acme --to /srv/reports/acme
    """
    if customer or template_export is not None:
        return _customer(project, to, as_, template_export)
    from concurrent.futures import ThreadPoolExecutor

    from migrator.cli.loading import open_ledger
    from migrator.cli.signing import signing_key, write_proof
    from migrator.plan.project import load_project
    from migrator.report.csv import to_csv
    from migrator.report.html import to_html
    from migrator.report.json import to_json
    from migrator.report.parts import Part
    from migrator.report.summary import summarise
    from migrator.report.text import balance_words, to_text

    loaded = load_project(project)
    key = signing_key(loaded.folder, sign) if sign else None
    where = to or loaded.folder / "report"
    with open_ledger(loaded) as ledger:
        summary = summarise(ledger, now=time.time(), title=loaded.folder.name, paths=True)
        if as_ is not None:
            forms: dict[Page, Callable[[], str]] = {
                Page.HTML: lambda: to_html(summary),
                Page.TEXT: lambda: to_text(summary, folders=folders),
                Page.CSV: lambda: to_csv(summary),
                Page.JSON: lambda: to_json(summary) + "\n",
            }
            print(forms[as_](), end="")
            return 0
        # One thread waits for the disk, from which items are picked here and there, while the other draws.
        with ThreadPoolExecutor(1) as beside:
            listed = beside.submit(_parts, ledger, where, items)
            book = _workbook(summary, where)
            texts = {"report.txt": to_text(summary, folders=folders), "report.csv": to_csv(summary)}
            single = listed.result()
    parts = (
        Part(
            "report.csv", "folders", sum(len(one.folders) or 1 for one in summary.mailboxes), "Every folder"
        ),
        Part("report.xlsx", "workbook", 0, "The tables of this page, for a spreadsheet"),
        Part("report.json", "json", 0, "The same for a program"),
        *single,
    )
    # The page last: what it names is there.
    texts |= {
        "report.json": to_json(summary, parts=parts) + "\n",
        "report.html": to_html(summary, parts),
    }
    for path in [*write_files(where, texts), book, *(where / part.name for part in single)]:
        print(path)
    if key is not None:
        write_proof(loaded, key, where)
    print(f"balance: {balance_words(summary.totals)}")
    return 0


def _customer(project: Path, to: Path | None, as_: Page | None, template: Path | None) -> int:
    """`--customer`: index.html in DIR, or on the screen; `--template-export`: what it is made of."""
    from migrator.cli.customer import draw_page, export_template, put_page
    from migrator.errors import UserError
    from migrator.plan.project import load_project

    if template is not None:
        for path in export_template(template):
            print(path)
        print("next: change them in the folder `customer` of the project, which is where they are looked for")
        return 0
    if as_ not in (None, Page.HTML):
        raise UserError("--customer is a page: --as html prints it, without --as it is written to a file")
    loaded = load_project(project)
    text = draw_page(loaded, now=time.time())
    if as_ is Page.HTML:
        print(text)
    else:
        print(put_page(to or loaded.folder / "report" / "customer", text))
    return 0


def _parts(ledger: Ledger, where: Path, items: bool) -> list[Part]:
    from migrator.report.parts import write_parts

    with _writing(where):
        return write_parts(ledger, where, items=items)


def _workbook(summary: Summary, where: Path) -> Path:
    import os

    from migrator.cli.guard import write_private
    from migrator.report.xlsx import write_xlsx

    fresh, book = where / f".report.xlsx.{os.getpid()}", where / "report.xlsx"
    with _writing(where):
        fresh.unlink(missing_ok=True)
        write_private(fresh, "")  # the library opens what is there, so it stays private
        write_xlsx(summary, fresh)
        fresh.replace(book)
    return book


@contextmanager
def _writing(where: Path) -> Iterator[None]:
    """In a folder of the user's own. Raises UserError where it cannot be written."""
    from migrator.errors import UserError

    try:
        where.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield
    except OSError as error:
        raise UserError(
            f"cannot write {where}: {error.strerror}",
            code="unwritable",
            remedy="Close the file where it is open, check the folder's rights, or name another one with --to.",
        ) from None


def write_files(where: Path, texts: dict[str, str]) -> list[Path]:
    """Write or renew files, each whole or not at all, private to the user. Raises UserError."""
    import os

    from migrator.cli.guard import write_private

    written = []
    with _writing(where):
        for name, text in texts.items():
            fresh = where / f".{name}.{os.getpid()}"
            fresh.unlink(missing_ok=True)
            # A spreadsheet takes a CSV for UTF-8 by its BOM alone.
            write_private(fresh, "\ufeff" + text if name.endswith(".csv") else text)
            fresh.replace(where / name)
            written.append(where / name)
    return written
