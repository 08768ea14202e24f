"""init, status, errors, report: commands that need a project and a ledger, and no server."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from migrator.cli.app import app
from migrator.plan.manifest import read_manifest
from migrator.plan.planner import make_plan
from migrator.plan.project import load_project
from tests.report.samples import fill


def invoke(*args: str | Path) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def acme(tmp_path: Path) -> Path:
    """A project folder whose ledger has a bit of everything."""
    folder = tmp_path / "acme"
    assert invoke("init", folder).exit_code == 0
    fill(folder / "ledger.sqlite").close()
    return folder


def test_init_writes_a_project_that_loads(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "acme"
    done = invoke("init", folder)
    assert done.exit_code == 0
    assert "migrator check" in done.output
    project = load_project(folder)
    assert len(make_plan(project, read_manifest(project.manifest)).jobs) == 2
    assert project.settings("prestage").until is not None
    assert (folder / ".gitignore").read_text("utf-8").splitlines()[1] == "*"
    if sys.platform != "win32":
        assert folder.stat().st_mode & 0o077 == 0
        assert all(file.stat().st_mode & 0o077 == 0 for file in folder.iterdir())


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "mailboxes.csv").write_text("mine")
    done = invoke("init", tmp_path)
    assert done.exit_code == 2
    assert "has mailboxes.csv already" in done.output
    assert [file.name for file in tmp_path.iterdir()] == ["mailboxes.csv"]
    assert (tmp_path / "mailboxes.csv").read_text() == "mine"


def test_status(acme: Path) -> None:
    done = invoke("status", "-p", acme)
    assert done.exit_code == 0
    assert "acme: 3 mailboxes (1 error, 1 partial, 1 waiting)" in done.output
    assert "the mailbox is full" in done.output
    assert "cy@old.example" not in done.output
    assert "cy@old.example" in invoke("status", "-p", acme, "--all").output
    assert "19 = 9 copied + 1 already there + 6 skipped + 1 failed + 2 still open" in done.output
    found = json.loads(invoke("status", "-p", acme, "--json").output)
    assert found["totals"]["source"] == 19


def test_status_watch_ends_when_nobody_works(acme: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("migrator.cli.status.time.sleep", lambda seconds: None)
    done = invoke("status", "-p", acme, "--watch")
    assert done.exit_code == 0
    assert len(done.output.splitlines()) == 2


def test_errors(acme: Path) -> None:
    done = invoke("errors", "-p", acme)
    assert done.exit_code == 0
    for words in (
        "line 3: bob@old.example: quota_full",
        "1 × ErrorCorruptData in 1 mailbox",
        "2024-01-31",
        "1000 B",
        "Outlook",
    ):
        assert words in done.output
    assert "\x1b[31m" not in done.output
    assert "nothing failed with this code" in invoke("errors", "-p", acme, "--code", "other").output
    assert "bob" not in invoke("errors", "-p", acme, "--only", "ann@*").output
    rows = list(csv.DictReader(io.StringIO(invoke("errors", "-p", acme, "--as", "csv").output)))
    assert [row["message_id"] for row in rows] == ["<7@old.example>"]
    found = json.loads(invoke("errors", "-p", acme, "--as", "json").output)
    assert found["mailboxes"][0]["code"] == "quota_full"
    assert found["failures"][0]["items"][0]["message_id"] == "<7@old.example>"


def test_report(acme: Path) -> None:
    done = invoke("report", "-p", acme)
    assert done.exit_code == 0
    files = {file.name: file for file in (acme / "report").iterdir()}
    assert set(files) == {
        "report.html", "report.xlsx", "report.txt", "report.csv", "report.json", "failed.csv", "skipped.csv",
    }  # fmt: skip
    assert all(str(file) in done.output.replace("\n", "") for file in files.values())
    assert files["report.csv"].read_bytes().startswith(b"\xef\xbb\xbf")
    if sys.platform != "win32":
        assert all(file.stat().st_mode & 0o077 == 0 for file in files.values())
    assert invoke("report", "-p", acme, "--to", acme / "report").exit_code == 0
    printed = invoke("report", "-p", acme, "--as", "json").output
    assert json.loads(printed)["totals"]["failed"] == 1
    assert "<script" not in invoke("report", "-p", acme, "--as", "html").output


@pytest.mark.parametrize("command", ["status", "errors", "report"])
def test_without_a_project_or_a_ledger(command: str, tmp_path: Path) -> None:
    done = invoke(command, "-p", tmp_path)
    assert done.exit_code == 2
    assert "no project here" in done.output
    assert "migrator init" in done.output
    invoke("init", tmp_path / "p")
    done = invoke(command, "-p", tmp_path / "p")
    assert done.exit_code == 2
    assert "no ledger yet" in done.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--only", "an@old.example"], "did you mean 'ann@old.example'"),
        (["--batch", "pilto"], "did you mean 'pilot'"),
        (["--since", "soon", "--until", "later"], "--until: 'later' is not a date"),
        (["--folder", "@outbx"], "no folder role"),
        (["--force", "empty-sorce"], "did you mean 'empty_source'"),
        (["--allow", "twins"], "there are duplicate-target"),
        (["--since", "2024-02-01", "--until", "2024-01-01"], "is not before"),
    ],
)
def test_options_of_run_that_are_wrong(acme: Path, options: list[str], words: str) -> None:
    done = invoke("run", "-p", acme, *options)
    assert done.exit_code == 2, done.output
    assert words in done.output
