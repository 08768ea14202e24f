"""The demo: a whole migration in processes of its own, and what it must never do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from migrator.cli.app import app


@pytest.mark.slow
def test_the_demo_ends_with_a_table_that_closes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "migrator", "demo", "--mailboxes", "3", "--items", "30"],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=150,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    text = done.stdout
    assert done.returncode == 0, text + done.stderr
    for words in (
        "$ migrator check", "$ migrator plan", "$ migrator verify", "$ migrator report", "exit code 130: interrupted",
        "goes on where it stopped", "the server asks to slow down", "in doubt", "0 doubled items",
        "3 of 3 mailboxes without a difference", "migrator init",
    ):  # fmt: skip
        assert words in text, words
    assert text.count("$ migrator run") == 2
    last = [line for line in text.splitlines() if line.startswith("balance: ")][-1]
    source, _, parts = last.removeprefix("balance: ").partition(" = ")
    assert int(source) == sum(int(part.split()[0]) for part in parts.split(" + "))
    assert "Traceback" not in text + done.stderr
    folder = tmp_path / "migrator-demo"
    assert (folder / "report" / "report.html").is_file()
    if sys.platform == "linux":
        left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(folder).encode() in _read(path)]
        assert not left


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""  # it ended meanwhile


def test_the_demo_overwrites_nothing_that_is_not_its_own(tmp_path: Path) -> None:
    mine = tmp_path / "migrator-demo"
    mine.mkdir()
    (mine / "mailboxes.csv").write_text("mine")
    done = CliRunner().invoke(app, ["demo", "--dir", str(mine)])
    assert done.exit_code == 2
    assert "was not made by the demo" in done.output
    assert (mine / "mailboxes.csv").read_text() == "mine"
    (tmp_path / "file").write_text("x")
    assert CliRunner().invoke(app, ["demo", "--dir", str(tmp_path / "file")]).exit_code == 2


def test_the_demo_clears_its_own_folder_and_leaves_strangers(tmp_path: Path) -> None:
    from migrator.cli.demo import MARKER, clear

    for name in (MARKER, "ledger.sqlite", "ledger.sqlite-wal", "migration.toml", "notes.txt"):
        (tmp_path / name).write_text("x")
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "old-password.txt").write_text("x")
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
