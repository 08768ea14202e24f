"""The report's page as a browser shows it: nothing runs, nothing is fetched, nothing overflows, and everybody can read it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from migrator.ledger import Fidelity, Ledger
from migrator.ledger.records import Incident, RunRow, Sample
from migrator.model import Kind
from migrator.report.html import to_html
from migrator.report.parts import Part
from migrator.report.summary import Summary, summarise
from migrator.report.timeline import timeline
from tests.report.browser import DESKTOP, PHONE, Chromium, chromium  # noqa: F401
from tests.report.samples import HOSTILE, NOW, fill


def full(ledger: Ledger) -> Summary:
    """A summary in which every section of the page has something to show, all of it hostile."""
    ledger.put_fidelity(
        "ann", [Fidelity(Kind.MAIL, HOSTILE, 10, 9, 5, 1, 1, 1, 1, {"lost": {HOSTILE: 1}}, 0.95, 0.01)]
    )
    runs = [RunRow(1, NOW - 7200, NOW - 3600, 3, "delta", HOSTILE, 1, HOSTILE, {HOSTILE: HOSTILE})]
    samples = [Sample(1, int(NOW) - 7000 + n * 10, n, n * 10_000) for n in range(300)]
    waits = [
        Incident(1, "ann", NOW - 7000 + n * 600, NOW - 6900 + n * 600, kind, HOSTILE)
        for n, kind in enumerate(("throttled", "paced", "retry", "source_down", "hours"))
    ]
    found = summarise(ledger, now=NOW, title=HOSTILE, paths=True)
    return replace(found, runs=tuple(runs), timeline=timeline(runs, samples, waits, now=NOW))


@pytest.fixture
def page(tmp_path: Path) -> Path:
    with fill(tmp_path / "ledger.sqlite") as ledger:
        parts = [Part("failed.csv", "failed", 1, HOSTILE), Part("report.csv", "folders", 3, "Every folder")]
        (tmp_path / "report.html").write_text(to_html(full(ledger), parts), "utf-8")
    return tmp_path / "report.html"


@pytest.mark.parametrize("policy", [True, False])
def test_nothing_runs_and_nothing_is_fetched(chromium: Chromium, page: Path, policy: bool) -> None:  # noqa: F811
    with chromium.open(page, policy=policy) as shown:
        shown.poke()
        shown.page.wait_for_timeout(50)
        assert shown.quiet, shown.misdeeds
        assert "<script>alert(1)" in shown.text
        assert shown.page.locator("h2").all_inner_texts() == [
            "Balance", "Mailboxes that are not finished", "What failed, and what to do", "What was skipped, and why", "Mailboxes",
            "Folders", "Fidelity", "Timeline", "Runs, their settings and versions", "Files beside this page",
        ]  # fmt: skip


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_everybody_can_read_it(chromium: Chromium, page: Path, width: int, dark: bool) -> None:  # noqa: F811
    with chromium.open(page, width=width, dark=dark) as shown:
        shown.page.locator("body").evaluate(
            "body => { for (const d of body.querySelectorAll('details')) d.open = true; }"
        )
        assert shown.overflow == 0
        assert shown.axe() == []


def test_it_prints_what_is_folded_up(chromium: Chromium, page: Path) -> None:  # noqa: F811
    with chromium.open(page, paper=True) as shown:
        item = shown.page.locator("details:not([open]) tbody tr").first
        assert item.bounding_box()["height"] > 10
        assert not shown.page.locator("nav").is_visible()
        assert shown.page.pdf(prefer_css_page_size=True).startswith(b"%PDF")


def test_it_prints_dark_on_white(chromium: Chromium, page: Path) -> None:  # noqa: F811
    with chromium.open(page, width=720, dark=True, paper=True) as shown:
        colours = shown.page.evaluate(
            "['body', 'h1', 'td', 'summary'].map(s => getComputedStyle(document.querySelector(s)).color)"
        )
        assert "rgb(231, 235, 240)" not in colours
        assert colours[:2] == ["rgb(27, 36, 48)"] * 2
        assert shown.axe() == []
