"""The corpus of `tests.hostile` through every output: nothing is obeyed, nothing breaks out, nothing leaves."""

from __future__ import annotations

import csv
import email
import email.policy
import io
import json
import logging
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from migrator.auth.redact import redact
from migrator.cli.app import app
from migrator.cli.console import PlainView, QuietView
from migrator.cli.jsonl import JsonLines
from migrator.cli.live import LiveView
from migrator.cli.logs import logging_to
from migrator.errors import ItemError
from migrator.events import (
    BatchSettled,
    EndpointDown,
    Event,
    FoldersListed,
    FolderStarted,
    ForecastSlipping,
    JobFinished,
    JobStarted,
    Notice,
    RunFinished,
    RunStarted,
    Waiting,
)
from migrator.ledger import Ledger
from migrator.model import ItemRef, Kind, Outcome, State
from migrator.notify.composer import Composer
from migrator.notify.message import LINE_MOST, LINES_MOST, Message, said
from migrator.notify.shapes import CARD_MOST, prepare
from migrator.plan.telling import CustomerSettings
from migrator.report.csv import failures_csv, to_csv
from migrator.report.customer import Look, to_customer_html
from migrator.report.html import to_html
from migrator.report.json import to_json
from migrator.report.summary import Summary, failed_items, summarise
from migrator.report.text import to_text
from tests.hostile import CORPUS, check_cells, check_page, check_terminal, check_workbook, fill
from tests.notify.kit import desk, hook
from tests.notify.kit import settings as notify_settings
from tests.report.browser import Chromium, chromium  # noqa: F401
from tests.report.samples import NOW, FixedClock

SHOWS = ("masked", "address", "name", "number")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("acme")
    (folder / "migration.toml").write_text(
        '[endpoints.old]\nkind = "ews"\n[endpoints.new]\nkind = "graph"\n'
        '[notify.to.team]\nkind = "teams"\nurl = "env:HOOK"\n[notify.to.chat]\nkind = "slack"\nurl = "env:HOOK"\n'
        '[notify.to.hook]\nkind = "json"\nurl = "env:HOOK"\n'
        '[notify.to.desk]\nkind = "email"\nserver = "s"\nsender = "robot@example.com"\nto = ["desk@example.com"]\n',
        encoding="utf-8",
    )
    fill(folder / "ledger.sqlite")
    return folder


@pytest.fixture(scope="module")
def ledger(project: Path) -> Iterator[Ledger]:
    with Ledger.open(project / "ledger.sqlite", clock=FixedClock(), read_only=True) as opened:
        yield opened


@pytest.fixture(scope="module")
def summary(ledger: Ledger) -> Summary:
    return summarise(ledger, now=NOW, title=CORPUS[0], paths=True)


def call(project: Path, *args: str) -> str:
    done = CliRunner().invoke(app, [args[0], "-p", str(project), *args[1:]])
    assert done.exit_code in (0, 3), done.output[-2000:]
    return done.output


# --- what a person sees on a terminal


@pytest.mark.parametrize(
    "args",
    [
        ("status", "--all"),
        ("status",),
        ("errors", "--limit", "0"),
        ("errors", "--code", "quota_full"),
        ("report", "--as", "text", "--folders"),
        ("notify", "--preview"),
    ],
    ids=" ".join,
)
def test_commands_for_a_person(project: Path, args: tuple[str, ...]) -> None:
    check_terminal(call(project, *args))


@pytest.mark.parametrize(
    "args", [("status", "--json"), ("errors", "--as", "json"), ("report", "--as", "json")], ids=" ".join
)
def test_commands_that_print_json(project: Path, args: tuple[str, ...]) -> None:
    text = call(project, *args)
    assert text.isascii()
    check_terminal(text)
    json.loads(text)


@pytest.mark.parametrize("args", [("errors", "--as", "csv"), ("report", "--as", "csv")], ids=" ".join)
def test_commands_that_print_csv(project: Path, args: tuple[str, ...]) -> None:
    assert check_cells(csv.reader(io.StringIO(call(project, *args), newline=""))) > 1000


def test_find(project: Path) -> None:
    for text in CORPUS:
        if not text.startswith("-") and "\x00" not in text and text.isprintable() and len(text) < 1000:
            check_terminal(call(project, "find", f"<{text}>"))


def story(text: str) -> list[Event]:
    ref = ItemRef("i", (text,), Kind.MAIL, "1", message_id=text, subject="SUBJECT " + text)
    return [
        RunStarted(1, ("j", "k"), "delta", False, NOW),
        JobStarted("j", text, text, NOW),
        JobStarted("k", text, text, NOW, resumed=True),
        FoldersListed("j", 1, 10, 1000),
        FolderStarted("j", (text, text)),
        BatchSettled("j", (text,), (Outcome(ref, State.FAILED, error=ItemError(text, code=text)),), NOW),
        Waiting("j", text, "throttled", text, NOW + 60, NOW),
        Waiting("", text, text, text, NOW + 60, NOW),
        EndpointDown(text, text, NOW),
        ForecastSlipping(None, None, NOW, 1, text, NOW),
        Notice("warning", text),
        JobFinished("j", "error", NOW, error=text, code=text, remedy=text),
        RunFinished(1, 4, NOW),
    ]


@pytest.mark.parametrize("size", [(80, 24), (200, 60)], ids=str)
def test_the_live_view(size: tuple[int, int]) -> None:
    for text in CORPUS:
        out = io.StringIO()
        console = Console(file=out, width=size[0], height=size[1], force_terminal=True, color_system=None)
        view = LiveView(console, clock=lambda: NOW + 1)
        for event in story(text):
            view.emit(event)
            shown = Console(file=io.StringIO(), width=size[0], height=size[1], color_system=None, record=True)
            shown.print(view.picture())
            check_terminal(shown.export_text())
        # What scrolls above it: our own moves of the cursor are no part of this, only styles of a line.
        check_terminal(out.getvalue(), colours=True)


def test_plain_lines_and_quiet_and_json_lines() -> None:
    for text in CORPUS:
        for make in (PlainView, QuietView, JsonLines):
            out = io.StringIO()
            with make(out) as view:
                for event in story(text):
                    view.emit(event)
            check_terminal(out.getvalue())
            assert "SUBJECT" not in out.getvalue()
            if make is JsonLines:
                lines = out.getvalue().splitlines()
                assert len(lines) == len(story(text))
                assert all(json.loads(line) for line in lines)


def test_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not into pytest's own log: what it shows of a test must be good UTF-8.
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with logging_to(tmp_path):
        for text in CORPUS:
            logging.getLogger("hostile").warning("mailbox %s", text)
            try:
                raise ValueError(text)
            except ValueError:
                logging.getLogger("hostile").exception("a fault")
    text = "".join(path.read_text("utf-8") for path in sorted(tmp_path.glob("migrator.log*")))
    records = [line for line in text.splitlines() if re.match(r"20\d\d-", line)]
    assert len(records) == 2 * len(CORPUS), "no name makes a line of its own"
    assert all(re.match(r"20\d\d-|  ", line) for line in text.splitlines())
    check_terminal(text.replace("\t", " "))


# --- files


def test_text_and_json_and_csv(summary: Summary, ledger: Ledger) -> None:
    check_terminal(to_text(summary, folders=True))
    assert to_json(summary).isascii()
    assert check_cells(csv.reader(io.StringIO(to_csv(summary), newline=""))) > 1000
    rows = failures_csv(failed_items(ledger, ledger.jobs()), {"ErrorCorruptData": "=x"})
    assert check_cells(csv.reader(io.StringIO(rows, newline=""))) > 1000


def test_every_file_of_a_report(project: Path, tmp_path: Path) -> None:
    call(project, "report", "--to", str(tmp_path))
    names = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert names >= {".html", ".txt", ".csv", ".json"}
    for path in tmp_path.rglob("*"):
        if path.suffix == ".csv":
            check_cells(csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
        elif path.suffix == ".xlsx":
            check_workbook(path)
        elif path.suffix in (".txt", ".json", ".html"):
            check_terminal(path.read_text("utf-8"))
    assert all(b"SUBJECT" not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_the_workbook(summary: Summary, tmp_path: Path) -> None:
    xlsx = pytest.importorskip("migrator.report.xlsx")
    xlsx.write_xlsx(summary, tmp_path / "report.xlsx")
    assert check_workbook(tmp_path / "report.xlsx") > 1000


def test_a_workbook_with_a_formula_would_be_seen(tmp_path: Path) -> None:
    writer = pytest.importorskip("xlsxwriter")
    for name, write in (
        ("formula", lambda sheet: sheet.write_formula("A1", "=1+1")),
        ("link", lambda sheet: sheet.write_url("A1", "https://elsewhere.example/")),
        ("text", lambda sheet: sheet.write_string("A1", "=1+1")),
    ):
        book = writer.Workbook(str(tmp_path / f"{name}.xlsx"))
        write(book.add_worksheet())
        book.close()
        assert zipfile.is_zipfile(tmp_path / f"{name}.xlsx")
        with pytest.raises(AssertionError):
            check_workbook(tmp_path / f"{name}.xlsx")


# --- in a browser


def test_the_report_in_a_browser(chromium: Chromium, tmp_path: Path, summary: Summary) -> None:  # noqa: F811
    path = tmp_path / "report.html"
    path.write_text(to_html(summary), encoding="utf-8")
    for width in (1280, 390):
        with chromium.open(path, width=width) as shown:
            check_page(shown)
            assert "<script>alert(1)</script>@old.example" in shown.text


@pytest.mark.parametrize("show", ["address", "name"])
def test_the_customer_page_in_a_browser(
    chromium: Chromium,  # noqa: F811
    tmp_path: Path,
    summary: Summary,
    show: str,
) -> None:
    path = tmp_path / "index.html"
    own = '<!doctype html><html lang="en"><title>{{ page.title }}</title><main>{% for b in page.boxes %}<p title="{{ b.name }}">{{ b.name }}</p>{% endfor %}</main>'
    for text in CORPUS[:1]:
        settings = CustomerSettings(title=text, contact=text, switch=text, show=show)  # type: ignore[arg-type]
        for template in ("", own):
            path.write_text(to_customer_html(summary, Look(settings, template=template)), encoding="utf-8")
            with chromium.open(path, width=390) as shown:
                if template:
                    shown.poke()
                    assert shown.quiet, shown.misdeeds
                else:
                    check_page(shown)


# --- notifications


def messages(text: str, summary: Summary) -> list[Message]:
    made = Composer(notify_settings(bundle_s=0.0, show="name"), text, lambda: summary, {4: text})
    found: list[Message] = []
    for event in story(text):
        found += made.take(event, NOW)
    for row in summary.mailboxes[:1]:
        found += made.take(JobFinished(row.id, "error", NOW, error=text, code=text, remedy=text), NOW)
    return found


def check_message(message: Message) -> None:
    sent = prepare(message, hook("teams")).body
    assert len(sent) <= CARD_MOST
    for kind in ("teams", "slack", "json"):
        sent = prepare(message, hook(kind)).body
        assert sent.isascii()
        check_terminal(sent.decode("ascii"))
        found = json.loads(sent)
        assert b"SUBJECT" not in sent
        if kind == "slack":
            assert not re.search(r"[<>]", found["text"])
            assert len(found["blocks"][0]["text"]["text"]) <= 150
        if kind == "teams":
            blocks = found["attachments"][0]["content"]["body"]
            assert {block["type"] for block in blocks} == {"RichTextBlock"}
    check_terminal(prepare(message, hook("apprise")).body.decode("utf-8"))
    raw = prepare(message, desk(25)).body
    head, _, _ = raw.partition(b"\r\n\r\n")
    names = [line.split(b":")[0] for line in head.split(b"\r\n") if not line.startswith((b" ", b"\t"))]
    assert names == [
        b"From", b"To", b"Subject", b"Date", b"Message-ID", b"Auto-Submitted", b"X-Auto-Response-Suppress",
        b"Content-Type", b"Content-Transfer-Encoding", b"MIME-Version",
    ]  # fmt: skip
    mail = email.message_from_bytes(raw, policy=email.policy.default)
    assert mail["Bcc"] is None
    assert not mail.is_multipart()
    assert str(mail["To"]) == "desk@example.com, boss@example.com"
    check_terminal(str(mail["Subject"]))
    check_terminal(mail.get_content().replace("\r\n", "\n"))


def test_notifications(summary: Summary) -> None:
    few = replace(summary, mailboxes=summary.mailboxes[:2])
    for text in CORPUS:
        for message in messages(text, few):
            check_message(message)


# --- made up


ANY = st.one_of(
    st.text(st.characters(), max_size=200),
    st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Sm", "Po"]), max_size=60),
    st.lists(st.sampled_from(CORPUS).map(lambda text: text[:300]), min_size=1, max_size=3).map("".join),
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(ANY, ANY)
def test_any_text_in_a_message(title: str, line: str) -> None:
    message = said(
        "down", "bad", title, project=line, at=NOW, lines=[line, title] * 20, facts=[(title, line)]
    )
    assert len(message.lines) <= LINES_MOST + 1
    assert all(len(one) <= LINE_MOST for one in message.lines)
    check_message(message)


@settings(max_examples=25, deadline=None)
@given(st.lists(ANY, min_size=1, max_size=4))
def test_any_text_in_a_page(summary: Summary, texts: list[str]) -> None:
    tags: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append(tag)
            assert not [name for name, _ in attrs if name.startswith("on") or name in ("src", "href")]

    rows = tuple(
        replace(summary.mailboxes[0], id=str(number), source=text, extra={"DisplayName": text})
        for number, text in enumerate(texts)
    )
    expected: set[int] = set()
    for show in SHOWS:
        look = Look(CustomerSettings(title=texts[0], contact=texts[0], switch=texts[0], show=show))  # type: ignore[arg-type]
        tags.clear()
        page = to_customer_html(replace(summary, mailboxes=rows), look)
        Reader().feed(page)
        check_terminal(page)
        expected.add(len(tags))
        assert "script" not in tags
    assert len(expected) == 1, "no text makes an element"


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(ANY, min_size=3, max_size=3), min_size=1, max_size=5))
def test_any_text_in_a_cell(rows: list[list[str]]) -> None:
    from migrator.report.csv import table_csv

    text = table_csv(("a", "b", "c"), rows)
    assert check_cells(csv.reader(io.StringIO(text, newline=""))) == 3 * (len(rows) + 1)


def test_the_corpus_survives_redaction() -> None:
    for text in CORPUS:
        redact(text)
