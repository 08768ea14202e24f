"""Errors end as words, a next step and an exit code."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from migrator.auth import redact
from migrator.cli.exits import MEANINGS, Exit, exit_of
from migrator.cli.guard import guarded
from migrator.errors import (
    InDoubt,
    ItemError,
    JobError,
    MigratorError,
    RunError,
    SourceDown,
    Throttled,
    UserError,
)


def ends(error: BaseException) -> tuple[int, str]:
    app = typer.Typer()

    @app.command()
    @guarded
    def command() -> int:
        raise error

    done = CliRunner().invoke(app, [])
    return done.exit_code, done.output


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UserError("no"), 2),
        (RunError("no"), 5),
        (JobError("no"), 4),
        (SourceDown("no"), 4),
        (Throttled("no"), 4),
        (ItemError("no"), 5),
        (InDoubt("no"), 5),
        (KeyboardInterrupt(), 130),
    ],
)
def test_codes(error: BaseException, code: int) -> None:
    assert ends(error)[0] == code
    if isinstance(error, MigratorError):
        assert exit_of(error) == code


def test_the_table_of_codes_is_whole() -> None:
    assert {int(code) for code in Exit} == {0, 2, 3, 4, 5, 6, 7, 130}
    assert set(MEANINGS) == set(Exit)


def test_all_problems_and_the_next_step_are_told() -> None:
    _, text = ends(
        UserError("mailboxes.csv has 2 faults", problems=["line 2: a", "line 9: b"], remedy="mend them")
    )
    assert text.splitlines() == [
        "migrator: mailboxes.csv has 2 faults",
        "  line 2: a",
        "  line 9: b",
        "→ mend them",
    ]
    assert "→ Make room where the ledger lies" in ends(RunError("no room", code="disk_full"))[1]


def test_nothing_hostile_reaches_the_terminal() -> None:
    _, text = ends(JobError("folder \x1b[2J\u202egpj.exe\r said no"))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\x1b[2J\\u202egpj.exe\\x0d said no" in text


def test_secrets_are_taken_out() -> None:
    redact.known("hunter2-hunter2")
    assert "hunter2" not in ends(JobError("the server said: hunter2-hunter2 is wrong"))[1]


def test_an_unforeseen_error_leaves_a_file_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    redact.known("hunter3-hunter3")
    code, text = ends(ZeroDivisionError("with hunter3-hunter3"))
    assert code == 5
    assert "Traceback" not in text
    (file,) = tmp_path.glob("migrator-crash-*.txt")
    assert str(file) in text.replace("\n", "")
    told = file.read_text("utf-8")
    assert "ZeroDivisionError" in told
    assert "test_guard.py" in told
    assert "hunter3" not in told
    if sys.platform != "win32":
        assert file.stat().st_mode & 0o077 == 0
