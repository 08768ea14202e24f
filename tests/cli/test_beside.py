"""`run --page`, `report --customer` and `notify` as a user meets them, against the lab."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.cli.customer import PageWriter
from migrator.errors import UserError
from migrator.events import Event, Notice
from migrator.plan.project import Project, load_project
from tests.cli.rehearsal import ALMA, Rehearsal
from tests.report.samples import fill
from tests.servers.http_script import ScriptServer, answer, ok
from tests.servers.smtp_server import SmtpServer


@pytest.fixture
def rehearsal(tmp_path: Path) -> Iterator[Rehearsal]:
    made = Rehearsal(tmp_path / "acme")
    yield made
    made.close()


def add(rehearsal: Rehearsal, text: str) -> None:
    rehearsal.change("[defaults]", text + "\n[defaults]")


def test_a_run_keeps_a_page_and_tells_people(
    rehearsal: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ScriptServer([ok()]) as web, ScriptServer([answer(410)]) as gone, SmtpServer() as mail:
        monkeypatch.setenv("HOOK", web.url + "/s3cr3t-path")
        monkeypatch.setenv("GONE", gone.url + "/s3cr3t-path")
        add(
            rehearsal,
            '[notify.to.team]\nkind = "json"\nurl = "env:HOOK"\n'
            '[notify.to.gone]\nkind = "slack"\nurl = "env:GONE"\n'
            '[notify.to.nowhere]\nkind = "teams"\nurl = "env:NOT_SET"\n'
            f'[notify.to.desk]\nkind = "email"\nserver = "127.0.0.1"\nport = {mail.port}\nsecurity = "none"\n'
            'sender = "robot@example.com"\nto = ["desk@example.com"]\non = ["finished"]\n',
        )
        done = rehearsal("run", "--page", str(tmp_path / "web"))
        told = [json.loads(request.body) for request in web.requests]
        assert len(mail.mails) == 1
    assert done.exit_code == 0, done.output
    assert "no notification to gone: refused with HTTP 410" in done.output
    assert "no notification to nowhere: url: env:NOT_SET is not set" in done.output
    assert [one["topic"] for one in told] == ["started", "mailboxes", "finished"]
    assert told[1]["title"] == "2 mailboxes ended, all done"
    totals = rehearsal.totals()
    assert told[2]["facts"]["Balance"].startswith(f"{totals['source']} = {totals['copied']} copied")
    page = (tmp_path / "web" / "index.html").read_text("utf-8")
    assert "All 2 mailboxes are copied." in page
    assert [one.name for one in (tmp_path / "web").iterdir()] == ["index.html"]
    kept = page + json.dumps(told) + mail.mails[0].data.decode()
    for path in rehearsal.folder.glob("*.log"):
        kept += path.read_text("utf-8")
    assert "s3cr3t" not in kept + done.output
    assert ALMA not in page, "masked, unless the admin says otherwise"


def test_a_dry_run_tells_nobody(rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptServer([ok()]) as web:
        monkeypatch.setenv("HOOK", web.url)
        add(rehearsal, '[notify.to.team]\nkind = "json"\nurl = "env:HOOK"\n')
        assert rehearsal("run", "--dry-run").exit_code == 0
        assert rehearsal("run", "--dry-run", "--json").exit_code == 0
        assert web.requests == []


def test_what_is_wrong_with_the_page_is_told_before_the_run(rehearsal: Rehearsal) -> None:
    (rehearsal.folder / "customer").mkdir()
    (rehearsal.folder / "customer" / "customer.html").write_text("{% if %}", encoding="utf-8")
    done = rehearsal("run", "--page", str(rehearsal.folder / "web"))
    assert done.exit_code == 2
    assert rehearsal.totals()["copied"] == 0
    (rehearsal.folder / "customer" / "customer.html").unlink()
    (rehearsal.folder / "file").write_text("", encoding="utf-8")
    done = rehearsal("run", "--page", str(rehearsal.folder / "file"))
    assert done.exit_code == 2


# --- without the lab


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "migration.toml").write_text(
        '[endpoints.old]\nkind = "ews"\n[endpoints.new]\nkind = "graph"\n'
        '[notify.to.team]\nkind = "slack"\nurl = "env:HOOK"\n'
        '[notify.to.desk]\nkind = "email"\nserver = "mail.example"\nsender = "robot@example.com"\n'
        'to = ["desk@example.com"]\non = ["down", "finished"]\n',
        encoding="utf-8",
    )
    fill(tmp_path / "ledger.sqlite").close()
    return load_project(tmp_path)


def call(project: Project, *args: str) -> tuple[int, str]:
    from typer.testing import CliRunner

    from migrator.cli.app import app

    done = CliRunner().invoke(app, [args[0], "-p", str(project.folder), *args[1:]])
    return done.exit_code, done.output


def test_report_customer(project: Project, tmp_path: Path) -> None:
    code, output = call(project, "report", "--customer")
    path = tmp_path / "report" / "customer" / "index.html"
    assert (code, output.strip()) == (0, str(path))
    page = path.read_text("utf-8")
    assert "1 of 3 mailboxes are copied." in page
    assert "refresh" not in page
    assert call(project, "report", "--customer", "--as", "html")[1].strip().startswith("<!doctype html>")
    assert call(project, "report", "--customer", "--as", "csv")[0] == 2
    code, _ = call(project, "report", "--template-export", str(tmp_path / "customer"))
    assert code == 0
    words = tmp_path / "customer" / "en.toml"
    words.write_text(
        words.read_text("utf-8").replace("Your mailbox is moving", "We move you"), encoding="utf-8"
    )
    call(project, "report", "--customer", "--to", str(tmp_path / "web"))
    assert "<h1>We move you</h1>" in (tmp_path / "web" / "index.html").read_text("utf-8")


def test_preview_sends_nothing_and_needs_no_secret(project: Project) -> None:
    code, output = call(project, "notify", "--preview")
    assert code == 0
    heads = [line for line in output.splitlines() if line.startswith("--- ")]
    assert heads == [
        *(f"--- team: {topic}" for topic in ("started", "mailboxes", "slipping", "down", "back", "finished")),
        "--- desk: down",
        "--- desk: finished",
    ]
    assert "POST to the address in env:HOOK" in output
    assert "ann@old.example" in output
    assert "\x1b" not in output
    assert call(project, "notify", "--to", "desk")[1].count("--- ") == 2
    assert call(project, "notify", "--to", "dask")[0] == 2
    assert call(project, "notify", "--preview", "--test")[0] == 2


def test_the_preview_is_what_is_sent(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptServer([ok()]) as web:
        monkeypatch.setenv("HOOK", web.url)
        code, output = call(project, "notify", "--test", "--to", "team")
        assert (code, output) == (0, "team: sent\n")
        (asked,) = web.requests
        assert "this is a test" in json.loads(asked.body)["text"]
    code, output = call(project, "notify", "--test", "--to", "team")
    assert code == 2
    assert "team: cannot be reached" in output


def test_without_receivers(tmp_path: Path) -> None:
    (tmp_path / "migration.toml").write_text('[endpoints.old]\nkind = "ews"\n', encoding="utf-8")
    code, output = call(load_project(tmp_path), "notify")
    assert code == 2
    assert "[notify.to.NAME]" in output


def test_a_page_that_cannot_be_renewed_is_told_once_and_ends_nothing(
    project: Project, tmp_path: Path
) -> None:
    told: list[Event] = []
    drawn: list[float] = []
    broken = False

    def draw(project: Project, *, now: float, refresh_s: float) -> str:
        drawn.append(refresh_s)
        if broken:
            raise UserError("the template broke")
        return f"page {len(drawn)}"

    page = tmp_path / "web" / "index.html"
    writer = PageWriter(project, tmp_path / "web", told.append, draw=draw)
    assert page.read_text("utf-8") == "page 1"
    with writer:
        writer.renew()
        assert page.read_text("utf-8") == "page 2"
        broken = True
        writer.renew()
        writer.renew()
        assert page.read_text("utf-8") == "page 2"
        assert [one.text for one in told if isinstance(one, Notice)] == [
            "the customer page was not renewed: the template broke"
        ]
        broken = False
    assert page.read_text("utf-8") == "page 5"
    assert drawn == [60.0, 60.0, 60.0, 60.0, 300.0], "at the end a browser need not ask so often"
