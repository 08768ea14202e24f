"""What a person meets first: help that fits a screen, comes at once and has an example."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from migrator import __version__
from migrator.cli.app import COMMANDS, app

HEAVY = {
    *(
        "pydantic",
        "rich",
        "exchangelib",
        "msal",
        "sqlalchemy",
        "alembic",
        "lxml",
        "jinja2",
        "uvicorn",
        "keyring",
        "requests",
    ),
    *(
        "urllib3",
        "cryptography",
        "httptools",
        "uvloop",
        "tenacity",
        "imapclient",
        "truststore",
        "pybase64",
        "asyncio",
    ),
}


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "migrator", *args], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_help_fits_a_screen_and_has_an_example(command: str) -> None:
    done = CliRunner().invoke(app, [*([command] if command else []), "--help"], terminal_width=80)
    assert done.exit_code == 0
    lines = done.output.splitlines()
    # The list of commands is as long as there are commands.
    assert len(lines) <= (24 if command else 12 + len(COMMANDS)), f"{len(lines)} lines"
    assert max(len(line) for line in lines) <= 80
    assert "migrator " in done.output
    if command:
        assert f"Example: migrator {command}" in done.output


def test_all_commands_of_the_journey_are_there() -> None:
    assert list(COMMANDS) == [
        "init",
        "check",
        "plan",
        "forecast",
        "run",
        "status",
        "errors",
        "verify",
        "report",
        "find",
        "keygen",
        "check-report",
        "notify",
        "undo",
        "rebuild",
        "inspect",
        "diff",
        "lab",
        "demo",
    ]


@pytest.mark.parametrize("args", [["--help"], ["run", "--help"]])
def test_help_loads_nothing_heavy(args: list[str]) -> None:
    code = (
        "import sys\nfrom typer.testing import CliRunner\nbefore = set(sys.modules)\n"
        f"from migrator.cli.app import app\nresult = CliRunner().invoke(app, {args})\nassert result.exit_code == 0\n"
        "print(' '.join(sorted({name.split('.')[0] for name in set(sys.modules) - before})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    # Typer itself asks pydantic about the options of a command; what we bring is not more than that.
    own = (
        {"pydantic", "pydantic_core", "annotated_types", "typing_inspection", "typing_extensions"}
        if args[0] == "run"
        else set()
    )
    assert not loaded & (HEAVY - own)
    ours = {
        name
        for name in loaded - own
        if name not in sys.stdlib_module_names and not name.startswith("_sysconfigdata")
    }
    assert ours <= {"migrator", "typer", "click", "shellingham", "annotated_doc"}


def test_version_and_module_entry() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout.strip()) == (0, f"migrator {__version__}")


@pytest.mark.parametrize("args", [("rnu",), ("run", "--fast"), ("run", "--mailboxes", "many"), ("init",)])
def test_a_wrong_command_line_is_exit_2_without_traceback(args: tuple[str, ...]) -> None:
    done = run(*args)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr


@pytest.mark.parametrize(
    ("args", "words", "homes"),
    [
        (["rnu"], "Did you mean 'run'?", set()),
        (["--version"], __version__, set()),
        (["run", "--help"], "--dry-run", {COMMANDS["run"]}),
        (["--help"], "check-report", set(COMMANDS.values())),
    ],
)
def test_only_the_command_that_is_meant_is_imported(args: list[str], words: str, homes: set[str]) -> None:
    code = (
        "import sys\nfrom migrator.cli.app import COMMANDS, app\n"
        f"try:\n    app({args})\nexcept SystemExit:\n    pass\n"
        "print('homes', *set(COMMANDS.values()) & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert words in done.stdout + done.stderr
    assert set(done.stdout.splitlines()[-1].split()[1:]) == homes
