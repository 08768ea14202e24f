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
    """Write the report: report.html, .txt, .csv, .json and failures.csv.

    Example: migrator report -p acme --to /srv/reports/acme
    """
    if customer or template_export is not None:
        return _customer(project, to, as_, template_export)
    from migrator.cli.loading import open_ledger
    from migrator.cli.signing import signing_key, write_proof
    from migrator.plan.project import load_project
    from migrator.plan.remedies import remedy_of
    from migrator.report.csv import failures_csv, to_csv
    from migrator.report.html import to_html
    from migrator.report.json import to_json
    from migrator.report.summary import failed_items, summarise
    from migrator.report.text import balance_words, to_text

    loaded = load_project(project)
    key = signing_key(loaded.folder, sign) if sign else None
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
