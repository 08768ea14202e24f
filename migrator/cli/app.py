"""The `migrator` command. Modules of commands import what is heavy inside their functions: `--help` must be quick."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from migrator import __version__
from migrator.cli.commands import Commands
from migrator.cli.glyphs import HANDLER
from migrator.cli.process import settle_in

COMMANDS = {
    "init": "migrator.cli.init",
    "check": "migrator.cli.check",
    "plan": "migrator.cli.plan",
    "forecast": "migrator.cli.forecast",
    "run": "migrator.cli.run_command",
    "status": "migrator.cli.status",
    "errors": "migrator.cli.errors",
    "verify": "migrator.cli.verify",
    "report": "migrator.cli.report",
    "find": "migrator.cli.find",
    "keygen": "migrator.cli.keygen",
    "check-report": "migrator.cli.check_report",
    "notify": "migrator.cli.notify",
    "undo": "migrator.cli.undo",
    "rebuild": "migrator.cli.rebuild",
    "inspect": "migrator.cli.inspect",
    "diff": "migrator.cli.diff",
    "lab": "migrator.cli.lab",
    "demo": "migrator.cli.demo",
}
"""In the order in which `--help` lists them; each module has a function `command`."""


class _Migrator(Commands):
    homes = COMMANDS


app = typer.Typer(
    name="migrator",
    cls=_Migrator,
    help="Move mailboxes from hosted Exchange to Microsoft 365, with a ledger of all.",
    epilog="Try it without any server: migrator demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"migrator {__version__}")
        raise typer.Exit(0)


@app.callback()
def _top(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version.", show_default=False
        ),
    ] = False,
) -> None:
    """Move mailboxes from hosted Exchange to Microsoft 365, with a ledger of all."""


def run() -> None:
    """Entry point of the command."""
    settle_in()
    # A name with an emoji must not end a run on a console with an old code page.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=HANDLER)
    app()
