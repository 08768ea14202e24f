"""The `migrator` command. Modules of commands import what is heavy inside their functions: `--help` must be quick."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated

import typer

from migrator import __version__
from migrator.cli import (
    check,
    check_report,
    demo,
    diff,
    errors,
    find,
    forecast,
    init,
    inspect,
    keygen,
    lab,
    notify,
    plan,
    rebuild,
    report,
    run_command,
    status,
    undo,
    verify,
)
from migrator.cli.glyphs import HANDLER
from migrator.cli.guard import guarded
from migrator.cli.process import settle_in

app = typer.Typer(
    name="migrator",
    help="Move mailboxes from hosted Exchange to Microsoft 365, with a ledger of all.",
    epilog="Try it without any server: migrator demo",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)

COMMANDS: dict[str, Callable[..., int | None]] = {
    "init": init.command,
    "check": check.command,
    "plan": plan.command,
    "forecast": forecast.command,
    "run": run_command.command,
    "status": status.command,
    "errors": errors.command,
    "verify": verify.command,
    "report": report.command,
    "find": find.command,
    "keygen": keygen.command,
    "check-report": check_report.command,
    "notify": notify.command,
    "undo": undo.command,
    "rebuild": rebuild.command,
    "inspect": inspect.command,
    "diff": diff.command,
    "lab": lab.command,
    "demo": demo.command,
}
for _name, _command in COMMANDS.items():
    app.command(_name)(guarded(_command))


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
