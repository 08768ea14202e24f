"""Fidelity, paths and losses in every form of the report. Names of properties come from items: they are hostile too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from migrator.ledger import Fidelity
from migrator.model import Kind
from migrator.model import Path as Way
from migrator.plan.paths import TITLES, loses, title
from migrator.report.fidelity import fidelity_lines, losses_words, sample_words
from migrator.report.html import to_html
from migrator.report.json import to_json
from migrator.report.summary import LossLine, PathLine, Summary, summarise
from migrator.report.text import to_text
from tests.report.samples import fill

NASTY = "PS_PUBLIC_STRINGS:\x1b[2J\u202e<script>alert(1)</script>"
GOOD = Fidelity(
    Kind.MAIL, "stream", 1000, 258, 250, 5, 3, 0, 0, {"volatile": {"PidTagEntryId": 5}}, 0.95, 0.01, "a"
)
BAD = Fidelity(
    Kind.EVENT,
    "json",
    40,
    40,
    0,
    0,
    0,
    39,
    1,
    {"lost": {NASTY: 39, "PidLidAppointmentRecur": 7}},
    0.95,
    0.01,
    "a",
)


@pytest.fixture
def summary(tmp_path: Path) -> Summary:
    with fill(tmp_path / "ledger.sqlite") as ledger:
        job = ledger.jobs()[0].id
        ledger.put_fidelity(job, [GOOD, BAD])
        found = summarise(ledger, now=0.0, paths=True)
    assert found.paths
    return replace(found, losses=(LossLine("json", NASTY, 3),))


def test_every_form_has_them_and_none_is_hurt(summary: Summary) -> None:
    text, page = to_text(summary), to_html(summary)
    for shown in (text, page, to_json(summary)):
        assert "\x1b" not in shown
        assert "\u202e" not in shown
        assert "PidLidAppointmentRecur" in shown
    assert "<script>" not in page
    assert max(map(len, text.splitlines())) <= 80
    assert "Paths taken" in text
    assert "Paths taken" in page
    found = json.loads(to_json(summary))
    assert [(one["kind"], one["path"], one["compared"]) for one in found["fidelity"]] == [
        ("event", "json", 40), ("mail", "stream", 258),
    ]  # fmt: skip


def test_lines_add_up_over_mailboxes() -> None:
    (line,) = fidelity_lines([GOOD, replace(GOOD, job_id="b", properties={"volatile": {"PidTagEntryId": 2}})])
    assert (line.mailboxes, line.population, line.compared, line.identical) == (2, 2000, 516, 500)
    assert line.properties == {"volatile": {"PidTagEntryId": 7}}


def test_the_most_frequent_losses_come_first() -> None:
    (line,) = fidelity_lines(
        [replace(BAD, properties={"lost": {"A": 1, "B": 9}, "changed": {"C": 5}, "volatile": {"D": 99}})]
    )
    assert losses_words(line) == "lost B (9), changed C (5), lost A (1)"
    assert losses_words(line, 1) == "lost B (9), 2 more"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([], ""),
        ([replace(GOOD, confidence=0.0, margin=0.0)], ""),
        ([GOOD, replace(GOOD, confidence=0.0, margin=0.0)], ""),
        ([GOOD], "with 95 % confidence, fewer than 1 % of the items of each folder and kind differ in anything that counts"),
        ([GOOD, BAD], "a sample sized to find, with 95 % confidence, a share of 1 % that differs: it found some"),
    ],
)  # fmt: skip
def test_a_sample_says_no_more_than_it_knows(found: list[Fidelity], words: str) -> None:
    assert sample_words(found) == words


def test_every_path_has_words() -> None:
    assert set(TITLES) == set(Way)
    assert title("present") == "present"
    assert loses("present", Kind.MAIL) == ""
    assert loses("json", Kind.EVENT) != loses("json", Kind.MAIL) != ""
    assert loses("stream", Kind.MAIL) == loses("synthetic", Kind.TASK) == ""


def test_paths_are_told_with_what_they_lose(summary: Summary) -> None:
    told = replace(summary, paths=(PathLine("event", "json", 3, loses("json", Kind.EVENT)),))
    words = " ".join(to_text(told).split())
    assert "3 event by json: created anew by classic Graph; does not carry attendees and organiser" in words
