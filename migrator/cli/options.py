"""Options that several commands share, so that they mean and say the same everywhere."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class PassName(StrEnum):
    PRESTAGE = "prestage"
    DELTA = "delta"
    CUTOVER = "cutover"


class Form(StrEnum):
    TEXT = "text"
    CSV = "csv"
    JSON = "json"


def Option(*names: str, help: str, metavar: str | None = None) -> typer.models.OptionInfo:
    """A typer option with the help kept to a line."""
    found: typer.models.OptionInfo = typer.Option(*names, help=help, metavar=metavar, show_default=False)
    return found


Project = Annotated[
    Path,
    typer.Option("--project", "-p", metavar="DIR", help="Project folder (default: this one).", show_default=False,
                 envvar="MIGRATOR_PROJECT", show_envvar=False),
]  # fmt: skip
Only = Annotated[
    list[str], Option("--only", metavar="ROW", help="Rows: address, glob, line 7 or 7-12, job id.")
]
Batch = Annotated[list[str], Option("--batch", metavar="NAME", help="Rows of this batch.")]
Allow = Annotated[list[str], Option("--allow", metavar="NAME", help="Allow e.g. duplicate-target.")]
PasswordsInCsv = Annotated[bool, Option("--passwords-in-csv", help="The CSV may hold passwords.")]
Pass = Annotated[
    PassName | None, Option("--pass", metavar="NAME", help="prestage, delta or cutover: see [passes.NAME].")
]
Since = Annotated[str | None, Option("--since", metavar="DATE", help="Mail from here on: 2024-01-31, 90d.")]
Until = Annotated[str | None, Option("--until", metavar="DATE", help="Mail before this date.")]
Folders = Annotated[
    list[str], Option("--folder", metavar="GLOB", help="Only these folders: 'Projects/*', @inbox.")
]
Exclude = Annotated[list[str], Option("--exclude-folder", metavar="GLOB", help="Not these folders.")]
Json = Annotated[bool, Option("--json", help="Print JSON.")]
As = Annotated[Form, Option("--as", metavar="FORM", help="How to print it: text, csv, json.")]
