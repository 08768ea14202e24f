"""The forms beside the page: JSON as its schema says, a workbook without formulas, single items in parts, the timeline."""

from __future__ import annotations

import csv
import itertools
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.ledger import Ledger
from migrator.ledger.records import Incident, RunRow, Sample
from migrator.model import Outcome, SkipReason, State
from migrator.report import schema
from migrator.report.charts import Label, fates, throughput
from migrator.report.html import FOLDERS_SHOWN, shown_folders, to_html
from migrator.report.json import to_json
from migrator.report.parts import COLUMNS, write_parts
from migrator.report.summary import Counts, Summary, summarise
from migrator.report.timeline import SPANS_MOST, timeline
from migrator.report.xlsx import write_xlsx
from tests.report.samples import NOW, fill, ref
from tests.report.test_page import full


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with fill(tmp_path / "ledger.sqlite") as opened:
        yield opened


@pytest.fixture
def summary(ledger: Ledger) -> Summary:
    return full(ledger)


def strict(part: Any) -> Any:
    """The schema without room for what it does not name: nothing may be written that is not described."""
    if isinstance(part, dict):
        found = {name: strict(one) for name, one in part.items()}
        if "properties" in found and isinstance(found.get("required"), list):
            found["additionalProperties"] = False
        return found
    return [strict(one) for one in part] if isinstance(part, list) else part


def test_json_is_as_its_schema_says(ledger: Ledger, summary: Summary, tmp_path: Path) -> None:
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(schema.schema())
    judge = Draft202012Validator(strict(schema.schema()))
    for one in (summary, summarise(ledger, now=NOW), summarise(ledger, now=NOW, brief=True)):
        judge.validate(json.loads(to_json(one, parts=write_parts(ledger, tmp_path))))
    found = json.loads(to_json(summary))
    assert found["timeline"]["waits"]["throttled"] > 0
    found["totals"]["copied"] = "many"
    assert not judge.is_valid(found)


def test_the_schema_in_the_documentation_is_the_programs() -> None:
    assert schema.FILE.read_text("utf-8") == schema.text(), "write it anew: python -m migrator.report.schema"


def cells(book: Path) -> dict[str, str]:
    with zipfile.ZipFile(book) as packed:
        return {
            name: packed.read(name).decode() for name in packed.namelist() if name.endswith((".xml", ".rels"))
        }


def test_no_cell_of_the_workbook_is_a_formula_or_a_link(summary: Summary, tmp_path: Path) -> None:
    write_xlsx(replace(summary, title="https://elsewhere.example/"), tmp_path / "r.xlsx")
    found = cells(tmp_path / "r.xlsx")
    sheets = [text for name, text in found.items() if "/worksheets/sheet" in name]
    assert len(sheets) == 9
    for text in sheets:
        assert "<f>" not in text and "<f " not in text
        assert "<hyperlink" not in text
        assert not set(text) & {"\x1b", "\u202e"}
    assert not any("elsewhere" in text for name, text in found.items() if name.endswith(".rels"))
    assert any("=cmd|" in text for text in found.values())
    # What looks like a formula bears the mark that keeps it text when somebody edits the cell.
    assert 'quotePrefix="1"' in found["xl/styles.xml"]
    numbers = re.findall(r"<v>(\d+)</v>", sheets[0])
    assert numbers[:5] == ["19", "9", "1", "6", "1"]


def test_a_cell_has_an_end(summary: Summary, tmp_path: Path) -> None:
    long = replace(summary.mailboxes[0], error="x" * 50_000, code="y")
    write_xlsx(replace(summary, mailboxes=(long,)), tmp_path / "r.xlsx")
    assert "x" * 31_999 + "…" in cells(tmp_path / "r.xlsx")["xl/worksheets/sheet2.xml"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_single_items_in_parts(ledger: Ledger, tmp_path: Path) -> None:
    run = ledger.start_run("delta", {}, "0")
    lease = ledger.claim("ann", run)
    assert lease is not None
    more = [ref(number, ("Inbox",)) for number in range(100, 120)]
    ledger.settle(
        lease, "f-Inbox", [Outcome(one, State.SKIPPED, reason=SkipReason.FILTERED_DATE) for one in more[:7]]
    )
    ledger.settle(lease, "f-Inbox", [Outcome(one, State.COPIED, target_id="t") for one in more[7:]]).wait()
    ledger.begin(lease, "f-Inbox", [ref(200, ("Inbox",))]).wait()
    ledger.revive(lease, "f-Inbox", [ref(200, ("Inbox",)).id])

    to = tmp_path / "report"
    to.mkdir()
    parts = write_parts(ledger, to, items=True, part_rows=10)
    assert [(part.name, part.rows) for part in parts] == [
        ("failed.csv", 1), ("skipped.csv", 2), ("items.csv", 10), ("items-2.csv", 10), ("items-3.csv", 10), ("items-4.csv", 5),
    ]  # fmt: skip
    assert {path.name for path in to.iterdir()} == {part.name for part in parts}
    (failed,) = rows(to / "failed.csv")
    assert tuple(failed) == COLUMNS
    assert (failed["source"], failed["folder"], failed["reason"], failed["bytes"]) == (
        "ann@old.example", "Inbox", "ErrorCorruptData", "1000",
    )  # fmt: skip
    assert failed["received"] == "2024-01-31 12:00:00" and "Outlook" in failed["what_to_do"]
    assert {row["reason"] for row in rows(to / "skipped.csv")} == {"too_large", "vanished"}
    every = [row for part in parts[2:] for row in rows(to / part.name)]
    assert len(every) == 35 and len({tuple(row.values()) for row in every}) > 20
    for path in to.iterdir():
        assert "\x1b" not in path.read_text("utf-8-sig") and "nobody's business" not in path.read_text(
            "utf-8-sig"
        )
    # A later, smaller report leaves no parts of the earlier one.
    assert [part.name for part in write_parts(ledger, to)] == ["failed.csv", "skipped.csv"]
    assert {path.name for path in to.iterdir()} == {"failed.csv", "skipped.csv"}


def run_of(number: int, started: float, finished: float | None) -> RunRow:
    return RunRow(number, started, finished, 0, "delta", "host", 1, "0", {})


def test_the_timeline_counts_every_octet_once_and_waits_of_all_as_one() -> None:
    start = 1_000_000
    runs = [run_of(1, start, start + 600), run_of(2, start + 86_400, start + 87_000)]
    samples = [Sample(1, start + n * 10, 2, 200) for n in range(60)]
    samples += [Sample(2, start + 86_400 + n * 10, 1, 100) for n in range(30)]
    waits = [
        Incident(1, "a", start + 10, start + 40, "throttled", "slow down"),
        Incident(1, "b", start + 20, start + 60, "throttled", "slow down, too"),
        Incident(1, "", start + 580, start + 5_000, "source_down", "refused"),  # the run ended before
        Incident(1, "a", start + 1, None, "folder_gone", "no wait"),
    ]
    line = timeline(runs, samples, waits, now=start + 90_000)
    assert sum(span.items for span in line.spans) == 150
    assert sum(span.octets for span in line.spans) == 60 * 200 + 30 * 100
    assert len(line.spans) <= SPANS_MOST
    assert all(span.at < start + 620 or span.at >= start + 86_400 - line.span_s for span in line.spans)
    assert line.waits == {"throttled": 50.0, "no_answer": 20.0}
    assert sum(span.waits.get("throttled", 0.0) for span in line.spans) == pytest.approx(50.0)
    assert [(one.kind, one.mailboxes, one.words) for one in line.outages] == [
        ("throttled", 2, "slow down"), ("no_answer", 1, "refused"),
    ]  # fmt: skip
    chart = throughput(line)
    assert chart is not None and len(chart.gaps) == 1
    assert [lane.kind for lane in chart.lanes] == ["throttled", "no_answer"]
    assert throughput(timeline([], [], [], now=1.0)) is None


@given(
    st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 10**6)), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 10**7), st.integers(0, 10**5)), max_size=30),
)
def test_a_picture_stays_in_its_frame(windows: list[tuple[int, int]], sizes: list[tuple[int, int]]) -> None:
    runs = [run_of(n, float(at), float(at + length)) for n, (at, length) in enumerate(windows)]
    samples = [Sample(0, at // 10 * 10, 1, size) for at, size in sizes]
    chart = throughput(timeline(runs, samples, [], now=2e7))
    assert chart is not None
    for label, after in itertools.pairwise((*chart.times, Label(chart.width + 7, 0, ""))):
        assert label.x + 7 * len(label.words) <= after.x  # no label runs into the next, or out of the picture
    for bar in chart.bars:
        assert chart.left <= bar.x and bar.x + bar.width <= chart.width
        assert bar.y >= 0 and bar.y + bar.height <= chart.bottom + 0.2


@given(st.lists(st.integers(0, 10**7), min_size=5, max_size=5))
def test_every_fate_that_there_is_can_be_seen(numbers: list[int]) -> None:
    copied, present, skipped, failed, left = numbers
    counts = Counts(sum(numbers), copied, present, skipped, failed, 0, 0, 0)
    bars = fates(counts, 120)
    assert [bar.style for bar in bars] == [
        name
        for name, count in zip(("copied", "present", "skipped", "failed", "open"), numbers, strict=True)
        if count
    ]
    assert all(bar.width > 1 for bar in bars)
    assert not bars or bars[-1].x + bars[-1].width == pytest.approx(120, abs=0.5)
    assert left == counts.open


def test_a_large_page_is_bounded_and_keeps_what_tells(summary: Summary) -> None:
    box = summary.mailboxes[0]
    folder = replace(box.folders[0], counts=Counts(source=5, copied=5))
    bad = replace(folder, path="the one that failed", counts=Counts(source=5, copied=4, failed=1))
    box = replace(box, folders=(*(folder,) * 60, bad))
    many = replace(summary, mailboxes=(box,) * 1000)
    tables = shown_folders(many.mailboxes)
    assert sum(len(one.shown) for one in tables) <= FOLDERS_SHOWN
    assert all(any(one.path == "the one that failed" for one in table.shown) for table in tables)
    assert tables[0].hidden == 61 - len(tables[0].shown)
    assert len(to_html(many)) < 5_000_000
