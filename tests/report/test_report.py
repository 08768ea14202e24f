"""The balance closes or says what is open; nothing hostile gets through, in any form."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.errors import ItemError
from migrator.ledger import Ledger
from migrator.model import Folder, Outcome, SkipReason, State
from migrator.plan.remedies import CODES, SKIPS, remedy_of, skip_of
from migrator.report.csv import failures_csv, to_csv
from migrator.report.html import to_html
from migrator.report.json import to_json
from migrator.report.safe import safe_cell, safe_text
from migrator.report.summary import Counts, Summary, failed_items, summarise
from migrator.report.text import balance_words, to_text
from migrator.report.words import octets, span
from tests.report.samples import HOSTILE, NOW, fill, folder, job, ref


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = fill(tmp_path / "ledger.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def summary(ledger: Ledger) -> Summary:
    return summarise(ledger, now=NOW, title="Acme")


def test_the_balance(summary: Summary) -> None:
    ann, bob, cy = summary.mailboxes
    assert ann.counts == Counts(
        source=14, copied=6, present=1, skipped=6, failed=1, octets=10_000, octets_copied=6000
    )
    assert ann.counts.closes
    assert ann.complete
    assert {skip.reason: skip.count for skip in ann.skips} == {
        "too_large": 1,
        "vanished": 1,
        "filtered_folder": 4,
    }
    assert (bob.counts.source, bob.counts.copied, bob.counts.in_doubt, bob.counts.open) == (5, 3, 1, 2)
    assert not bob.complete
    assert (cy.state, cy.counts.source, cy.complete) == ("waiting", 0, False)
    assert summary.totals.source == 19
    assert not summary.closes
    assert balance_words(ann.counts) == "14 = 6 copied + 1 already there + 6 skipped + 1 failed"
    assert balance_words(bob.counts).endswith("+ 2 still open")
    assert sum(skip.count for skip in summary.skips) == summary.totals.skipped


def test_one_mailbox_alone(ledger: Ledger) -> None:
    alone = summarise(ledger, now=NOW, jobs=["ann"])
    assert alone.closes
    assert [mailbox.id for mailbox in alone.mailboxes] == ["ann"]


def test_a_brief_look_tells_the_same_sums(tmp_path: Path, ledger: Ledger) -> None:
    run = ledger.start_run("delta", {}, "0")
    ledger.register([job("dee", 5)])
    lease = ledger.claim("dee", run)
    assert lease is not None
    for name, total, skipped in (
        ("Inbox", 7, None),
        ("Short", 1, None),  # holds more than the source told
        ("View", 9, SkipReason.SEARCH_FOLDER),
        ("Old", 3, SkipReason.FILTERED_FOLDER),
        ("Odd", 4, SkipReason.UNSUPPORTED_KIND),
    ):
        ledger.put_folder(lease, folder(name, total), Folder(id=name, path=(name,)), skipped=skipped)
    inbox = [ref(n, ("Inbox",)) for n in range(6)]
    ledger.begin(lease, "f-Inbox", inbox).wait()
    outcomes = [
        Outcome(inbox[0], State.COPIED, target_id="x"),
        Outcome(inbox[1], State.SKIPPED, reason=SkipReason.UNSUPPORTED_KIND),
        Outcome(inbox[2], State.FAILED, error=ItemError("no", code="ErrorCorruptData")),
    ]
    ledger.settle(lease, "f-Inbox", outcomes).wait()
    ledger.revive(lease, "f-Inbox", [inbox[3].id])  # cut off before it left; two more are in doubt
    short = [ref(n, ("Short",)) for n in range(3)]
    ledger.settle(lease, "f-Short", [Outcome(one, State.PRESENT, target_id="y") for one in short]).wait()
    view = [ref(1, ("View",))]
    ledger.settle(lease, "f-View", [Outcome(view[0], State.COPIED, target_id="z")]).wait()

    whole, brief = (summarise(ledger, now=NOW, title="Acme", brief=brief) for brief in (False, True))
    assert [one.counts for one in brief.mailboxes] == [one.counts for one in whole.mailboxes]
    assert [one.skips for one in brief.mailboxes] == [one.skips for one in whole.mailboxes]
    dee = brief.mailboxes[-1].counts
    assert (dee.source, dee.copied, dee.present, dee.skipped, dee.failed, dee.in_doubt) == (18, 2, 3, 8, 1, 3)
    assert (brief.totals, brief.skips, brief.states) == (whole.totals, whole.skips, whole.states)
    assert [(one.code, one.count) for one in brief.failures] == [
        (one.code, one.count) for one in whole.failures
    ]
    assert not any(one.folders for one in brief.mailboxes)


def test_no_look_reads_all_entries(tmp_path: Path, ledger: Ledger) -> None:
    """What a view asks every other second must find its way by index, whatever the size of the ledger."""
    asked: list[str] = []
    with ledger._database.reading() as connection:
        connection.set_trace_callback(asked.append)
    summarise(ledger, now=NOW, brief=True)
    summarise(ledger, now=NOW)
    with sqlite3.connect(tmp_path / "ledger.sqlite") as connection:
        steps = [
            (step[3], sql)
            for sql in asked
            if sql.startswith("SELECT")
            for step in connection.execute("EXPLAIN QUERY PLAN " + sql)
        ]
    assert any("entry_open" in step for step, _ in steps)
    assert not [step for step, _ in steps if "entry" in step and "entry_open" not in step], steps


def test_failures_have_a_next_step(summary: Summary, ledger: Ledger) -> None:
    (group,) = summary.failures
    assert (group.code, group.count, group.mailboxes) == ("ErrorCorruptData", 1, 1)
    assert "Outlook" in group.todo
    (item,) = group.items
    assert (item.mailbox, item.folder, item.message_id, item.size) == (
        "ann@old.example",
        "Inbox",
        "<7@old.example>",
        1000,
    )
    assert list(failed_items(ledger, ledger.jobs())) == [item]
    assert summary.mailboxes[1].remedy == CODES["quota_full"].todo


def test_every_reason_and_unknown_codes_have_words() -> None:
    assert set(SKIPS) == set(SkipReason)
    for remedy in [
        *SKIPS.values(),
        *CODES.values(),
        remedy_of("http_503"),
        remedy_of("ErrorBrandNew"),
        skip_of("new_one"),
    ]:
        assert remedy.title
        assert remedy.todo


def test_every_code_of_the_product_has_words() -> None:
    import re

    root = Path(__file__).parents[2] / "migrator"
    unknown = {
        f"{path.relative_to(root)}: {code}"
        for path in root.rglob("*.py")
        if path.relative_to(root).parts[0] in ("adapters", "engine", "wrappers", "auth", "ledger")
        for code in re.findall(r'\bcode="([A-Za-z0-9_]+)"', path.read_text("utf-8"))
        if remedy_of(code) == remedy_of("ErrorBrandNew") and not code.startswith("Error")
    }
    assert not unknown, "say in plan/remedies.py what to do about " + ", ".join(sorted(unknown))


def test_text(summary: Summary) -> None:
    text = to_text(summary, folders=True)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "Balance: 19 = 9 copied + 1 already there + 6 skipped + 1 failed + 2 still open" in text.replace(
        "\n   ", " "
    )
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\x1b[31m" in text


def test_csv(summary: Summary, ledger: Ledger) -> None:
    for text in (
        to_csv(summary),
        failures_csv(failed_items(ledger, ledger.jobs()), {"ErrorCorruptData": "=x"}),
    ):
        rows = list(csv.reader(io.StringIO(text, newline="")))
        assert len({len(row) for row in rows}) == 1
        for row in rows:
            for cell in row:
                assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
                assert not set(cell) & {"\x1b", "\u202e"}
    rows = list(csv.DictReader(io.StringIO(to_csv(summary), newline="")))
    assert sum(int(row["items"] or 0) for row in rows) == 19
    assert [row["source"] for row in rows][-1] == "cy@old.example"
    assert rows[0]["Department"].startswith("'=cmd")


def test_json(summary: Summary) -> None:
    text = to_json(summary)
    assert text.isascii()
    found = json.loads(text)
    assert (found["version"], found["closes"], found["totals"]["open"]) == (1, False, 2)
    assert found["mailboxes"][0]["folders"][1]["path"] == HOSTILE.replace("/", "\\/")


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_html_is_one_page_without_scripts(summary: Summary) -> None:
    page = _Page()
    page.feed(to_html(summary))
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "img", "link", "iframe", "object", "form"}
    assert not any(name.startswith("on") or name == "src" for _, attrs in page.tags for name in attrs)
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert {attrs["href"] for tag, attrs in page.tags if tag == "a"} <= {f"#{name}" for name in ids}
    text = "".join(page.text)
    assert "<script>alert(1)<\\/script>" in text
    assert "19 = 9 copied + 1 already there + 6 skipped + 1 failed + 2 still open" in text
    assert "\u202e" not in text
    assert "prefers-color-scheme: dark" in to_html(summary)


def test_no_report_holds_a_subject(summary: Summary, ledger: Ledger) -> None:
    for text in (to_text(summary, folders=True), to_csv(summary), to_json(summary), to_html(summary)):
        assert "nobody's business" not in text


def test_an_empty_ledger(tmp_path: Path) -> None:
    from tests.report.samples import FixedClock

    with Ledger.open(tmp_path / "l.sqlite", clock=FixedClock()) as empty:
        nothing = summarise(empty, now=NOW)
    for text in (to_text(nothing), to_csv(nothing), to_json(nothing), to_html(nothing)):
        assert text


@given(st.text())
def test_safe_text_leaves_nothing_to_obey(text: str) -> None:
    shown = safe_text(text)
    assert all(char.isprintable() or char in "\u200c\u200d" for char in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f")
    assert safe_text(shown) == shown


@given(st.text())
def test_safe_cells_are_no_formulas(text: str) -> None:
    assert not safe_cell(text).startswith(
        ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
    )


def test_words() -> None:
    assert [octets(size) for size in (None, 0, 1023, 1536, 5 << 30)] == [
        "",
        "0 B",
        "1023 B",
        "1.5 KiB",
        "5.0 GiB",
    ]
    assert [span(seconds) for seconds in (0, 59, 61, 3723)] == ["0 s", "59 s", "1 min 01 s", "1 h 02 min"]
    assert safe_text("abcdef", 4) == "abc…"
    assert safe_cell(-5) == "-5"
