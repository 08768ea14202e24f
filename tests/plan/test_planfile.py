"""plan.json: what is written is what is read, and nothing else is read."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from migrator.errors import RunError, UserError
from migrator.model import Kind, Mailbox, Role, SkipReason
from migrator.plan.planfile import (
    AGE_BOUNDS,
    SIZE_BOUNDS,
    BinCount,
    Bins,
    Collision,
    Oversize,
    PlanFile,
    PlannedEndpoint,
    PlannedFinding,
    PlannedFolder,
    PlannedMailbox,
    PlannedPath,
    Quota,
    added,
    cleaned,
    dumps,
    loads,
    read_plan,
    schema,
    write_plan,
)
from migrator.settings import RunSettings

MADE = datetime(2026, 3, 1, 12, tzinfo=UTC)
NASTY = 'a/b"\x1b[2J\u202e\n\x00ß😀'


def box(number: int = 1, **given: Any) -> PlannedMailbox:
    folder = PlannedFolder(
        ("Posteingang", NASTY), (NASTY,), Kind.MAIL, target_role=Role.INBOX, items=3, octets=9000, largest=5000,
        kinds={Kind.MAIL: 3}, oldest=MADE, skipped={SkipReason.TOO_LARGE: 1}, state="ab12", notes=("x",),
    )  # fmt: skip
    made = PlannedMailbox(
        id=f"id{number}", line=number + 1, source=Mailbox("old", f"u{number}@old.example", "DOM\\u", "env:PW"),
        target=Mailbox("new", f"u{number}@new.example"), items=3, octets=9000, kinds={Kind.MAIL: 3},
        classes={"IPM.Note": 3}, collisions=(Collision(("a",), ("A",), ("a (2)",), "case"),),
        paths=(PlannedPath(Kind.MAIL, "stream"),), findings=(PlannedFinding("warning", "t", "r", "c"),),
        oversize=Oversize(37_748_736, "default", 1, 40_000_000), quota=Quota(why="not asked"),
        folders=(folder,), extra={"department": NASTY},
    )  # fmt: skip
    return replace(made, **given)


def plan(*boxes: PlannedMailbox) -> PlanFile:
    settings = RunSettings(
        since=MADE, force=frozenset({"no_canary", "empty_source"}), quiet_hours=("Mon 1-2",)
    )
    return PlanFile(
        MADE, "0.1.0", settings=settings, rename=((("A", "B"), ("C",)),),
        endpoints=(PlannedEndpoint("old", "ews"),), mailboxes=boxes or (box(1), box(2)),
    )  # fmt: skip


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    made = plan()
    file = tmp_path / "plan.json"
    write_plan(made, file)
    assert read_plan(file) == made
    assert [one.name for one in tmp_path.iterdir()] == ["plan.json"]
    assert read_plan(file).mailboxes[0].job().source.secret == "env:PW"


def test_a_plan_of_no_mailboxes() -> None:
    made = replace(plan(), mailboxes=())
    assert loads(dumps(made)) == made


def test_the_text_is_ascii_and_the_same_each_time() -> None:
    text = dumps(plan())
    assert text.isascii()
    assert "\x1b" not in text
    assert text == dumps(loads(text))
    assert json.loads(text)["mailboxes"][0]["folders"][0]["path"] == ["Posteingang", NASTY]


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_secret_is_neither_written_nor_read(side: str) -> None:
    wrong = plan(box(1, **{side: Mailbox("old", "a@b.example", "", "hunter2hunter2")}))
    with pytest.raises(UserError) as caught:
        dumps(wrong)
    assert caught.value.code == "plan_secret"
    assert caught.value.problems == (f"line 2: {side}.secret",)
    raw = json.loads(dumps(plan(box(1))))
    raw["mailboxes"][0][side]["secret"] = "hunter2hunter2"
    with pytest.raises(UserError) as caught:
        loads(json.dumps(raw))
    assert "hunter2" not in str(caught.value) + str(caught.value.problems)


def test_passwords_of_the_manifest_are_named_by_line() -> None:
    made = plan(box(1, source=Mailbox("old", "a@b.example", "", "csv:2/source")))
    assert loads(dumps(made)).mailboxes[0].source.secret == "csv:2/source"


def _spoilt(change: Any) -> str:
    raw = json.loads(dumps(plan()))
    change(raw)
    return json.dumps(raw)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", "plan_invalid", "not JSON"),
        ("[" * 100_000, "plan_invalid", "not JSON"),
        ("[]", "plan_invalid", "format"),
        ("{}", "plan_invalid", "format"),
        (_spoilt(lambda raw: raw.update(format="else")), "plan_invalid", "format"),
        (_spoilt(lambda raw: raw.update(version=2)), "plan_version", "version 2"),
        (_spoilt(lambda raw: raw.update(made="yesterday")), "plan_invalid", "cannot be read"),
        (_spoilt(lambda raw: raw.update(made="2026-01-01T00:00:00")), "plan_invalid", "no time zone"),
        (_spoilt(lambda raw: raw["mailboxes"][0].update(line="x")), "plan_invalid", "cannot be read"),
        (_spoilt(lambda raw: raw["mailboxes"][1].update(id="id1")), "plan_invalid", "twice"),
    ],
)
def test_what_is_no_plan_is_told(text: str, code: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        loads(text)
    assert caught.value.code == code
    assert words in caught.value.message
    assert caught.value.remedy


def test_the_place_of_a_fault_is_named() -> None:
    with pytest.raises(UserError) as caught:
        loads(_spoilt(lambda raw: raw["mailboxes"][1]["folders"][0].update(items="many")))
    assert caught.value.problems[0].startswith("mailboxes.1.folders.0.items: ")


def test_no_file_no_room(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        read_plan(tmp_path / "plan.json")
    assert "migrator plan" in caught.value.remedy
    with pytest.raises(RunError):
        write_plan(plan(), tmp_path / "nowhere" / "plan.json")
    (tmp_path / "plan.json").mkdir()
    with pytest.raises(RunError):
        write_plan(plan(), tmp_path / "plan.json")
    assert [one.name for one in tmp_path.iterdir()] == ["plan.json"]  # no half-written file is left


def test_bins() -> None:
    count = BinCount(SIZE_BOUNDS)
    for size in (0, 4095, 4096, 150 << 20, 200 << 20):
        count.add(size, size)
    bins = count.bins()
    assert bins.items == (2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2)
    assert sum(bins.octets) == 4095 + 4096 + (350 << 20)
    both = added((bins, bins), SIZE_BOUNDS)
    assert (sum(both.items), both.octets[0]) == (10, 8190)
    with pytest.raises(ValueError, match="bounds"):
        bins + Bins.empty(AGE_BOUNDS)


def test_names_without_a_meaning_can_be_written() -> None:
    made = plan(box(1, batch=cleaned("a\ud800b")))
    assert loads(dumps(made)).mailboxes[0].batch == "a\ufffd\ufffd\ufffdb"


def test_the_schema_that_is_published_is_this_one() -> None:
    file = Path(__file__).parents[2] / "docs" / "plan.schema.json"
    anew = "from migrator.plan.planfile import schema; import json; print(json.dumps(schema(), indent=1))"
    assert json.loads(file.read_text("utf-8")) == schema(), f"python -c '{anew}' > docs/plan.schema.json"


def test_a_written_plan_follows_the_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="the schema's own checker is not installed")
    jsonschema.validate(json.loads(dumps(plan())), schema())
