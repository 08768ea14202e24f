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


def Option(
    *names: str, help: str, metavar: str | None = None, hidden: bool = False
) -> typer.models.OptionInfo:
    """A typer option with the help kept to a line. hidden: a document tells of it, the help fits a screen without."""
    found: typer.models.OptionInfo = typer.Option(
        *names, help=help, metavar=metavar, show_default=False, hidden=hidden
    )
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
# When, how fast, in which order: docs/running.md.
NotBefore = Annotated[
    str | None, Option("--not-before", metavar="WHEN", help="Begin then: 'Fri 20:00'.", hidden=True)
]
StopAt = Annotated[
    str | None, Option("--stop-at", metavar="WHEN", help="Settle and end then: 'Mon 06:00'.", hidden=True)
]
Quiet = Annotated[
    list[str], Option("--quiet-hours", metavar="SPAN", help="Pause: 'Mon-Fri 08:00-18:00'.", hidden=True)
]
TimeZone = Annotated[
    str | None, Option("--time-zone", metavar="NAME", help="Of these times: Europe/Berlin.", hidden=True)
]
MaxRate = Annotated[
    str | None, Option("--max-rate", metavar="RATE", help="Cap on the line, each way: 200Mbit.", hidden=True)
]
WaitForSource = Annotated[
    str | None,
    Option("--wait-for-source", metavar="TIME", help="Wait for servers that are down.", hidden=True),
]
NewestFirst = Annotated[
    bool, Option("--newest-first", help="Everybody's last 90 days first, then the rest.", hidden=True)
]
Deadline = Annotated[
    str | None,
    Option(
        "--deadline", metavar="WHEN", help="Tell when it will not be done by then: 'Mon 06:00'.", hidden=True
    ),
]
AllowHidden = Annotated[list[str], Option("--allow", metavar="NAME", help="As for plan.", hidden=True)]
PasswordsHidden = Annotated[bool, Option("--passwords-in-csv", help="As for plan.", hidden=True)]
Folders = Annotated[
    list[str], Option("--folder", metavar="GLOB", help="Only these folders: 'Projects/*', @inbox.")
]
Exclude = Annotated[list[str], Option("--exclude-folder", metavar="GLOB", help="Not these folders.")]
Json = Annotated[bool, Option("--json", help="Print JSON.")]
As = Annotated[Form, Option("--as", metavar="FORM", help="How to print it: text, csv, json.")]
