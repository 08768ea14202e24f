"""forecast, the columns of plan, and the forecast of a run: the commands against a lab."""

from __future__ import annotations

import csv
import io
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from migrator.cli import foretell
from migrator.cli.app import app
from migrator.cli.foretell import FILE_NAME, Foreteller, known_loads, read_live
from migrator.cli.loading import load
from migrator.events import Event, ForecastSlipping, ForecastUpdated
from migrator.forecast.live import Tracker
from tests.cli.rehearsal import ALMA, Rehearsal
from tests.forecast.making import NOW, terms
from tests.forecast.making import load as made


def invoke(*args: str | Path) -> Result:
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    found = Rehearsal(tmp_path_factory.mktemp("forecast") / "acme", mailboxes=3, items=24)
    yield found
    found.close()


def operations(lab: Rehearsal) -> list[tuple[str, str, bool]]:
    return lab.do(lambda world: [(e.service, e.operation, e.write) for e in world.journal.entries])


def test_without_a_plan_it_looks_and_writes_nothing(lab: Rehearsal) -> None:
    assert not (lab.folder / "plan.json").exists()
    before = len(operations(lab))
    there = {
        path: path.stat().st_mtime_ns
        for path in lab.folder.rglob("*")
        if path.suffix in (".json", ".sqlite", ".csv")
    }
    done = lab("forecast", "--as", "json")
    assert done.exit_code == 0, done.output
    made_now = operations(lab)[before:]
    assert ("ews", "ExportItems", False) in made_now, "the probe reads"
    assert not [one for one in made_now if one[2]], "and nothing is written"
    after = {
        path: path.stat().st_mtime_ns
        for path in lab.folder.rglob("*")
        if path.suffix in (".json", ".sqlite", ".csv")
    }
    assert after == there
    found = json.loads(done.stdout)
    assert found["format"] == "migrator-forecast"
    assert found["finish_p50"] <= found["finish_p90"]
    assert len(found["mailboxes"]) == 3 and all(one["items"] for one in found["mailboxes"])
    assert any("source answers in" in note for note in found["notes"])


def test_a_plan_is_taken_and_no_probe_asks_nobody(lab: Rehearsal) -> None:
    out = lab.folder / "other.json"
    planned = lab("plan", "--as", "json", "--out", str(out))
    assert planned.exit_code == 0, planned.output
    told = json.loads(planned.stdout)
    assert told["finish_p50"] and all(one["finish_p90"] for one in told["mailboxes"])
    before = len(operations(lab))
    done = lab("forecast", str(out), "--no-probe", "--as", "csv", "--deadline", "2001-01-01 00:00")
    assert done.exit_code == 0, done.output
    assert len(operations(lab)) == before
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [int(row["items"]) for row in rows] == [one["to_copy"] for one in told["mailboxes"]]
    assert {row["late_share"] for row in rows} == {"1.00"}


def test_in_words(lab: Rehearsal) -> None:
    done = lab("forecast", "--no-probe", "--deadline", "2001-01-01 00:00", "--only", ALMA)
    assert done.exit_code == 0, done.output
    assert ALMA in done.output
    assert "all 1 mailbox" in done.output
    assert "what binds:" in done.output
    assert "missed by 1 mailbox" in done.output
    assert "line 2" in done.output


def test_a_deadline_of_the_project_counts_for_forecast_and_run(lab: Rehearsal) -> None:
    file = lab.folder / "migration.toml"
    before = file.read_text("utf-8")
    file.write_text(f'{before}\n[passes.cutover]\ndeadline = "Mon 06:00"\n', "utf-8")
    try:
        done = lab("forecast", "--no-probe", "--pass", "cutover", "--as", "json")
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["deadline"]
        file.write_text(f'{before}\n[passes.cutover]\ndeadline = "soon"\n', "utf-8")
        wrong = lab("forecast", "--no-probe", "--pass", "cutover")
        assert wrong.exit_code == 2
        assert "deadline" in wrong.output and "is no moment" in wrong.output
    finally:
        file.write_text(before, "utf-8")


def test_plan_shows_the_end_of_each(lab: Rehearsal) -> None:
    done = lab("plan", "--out", str(lab.folder / "shown.json"))
    assert re.search(r"p50\s+p90", done.output)
    row = next(line for line in done.output.splitlines() if ALMA in line)
    assert len(re.findall(r"\w{3} \d\d, \d\d:\d\d", row)) == 2


def test_a_source_that_is_away_is_forecast_by_what_the_plan_knows(lab: Rehearsal) -> None:
    out = lab.folder / "away.json"
    assert lab("plan", "--out", str(out)).exit_code == 0
    lab.fault("unauthorized", service="ews")
    try:
        done = lab("forecast", str(out))
    finally:
        lab.do(lambda world: world.faults.rules.clear())
    assert done.exit_code == 0, done.output
    assert "no probe of its speed" in done.output
    assert "speeds: assumed" in done.output


# ---------------------------------------------------------------- plain figures


def test_six_hundred_of_four_gigabytes_without_any_project(tmp_path: Path) -> None:
    done = invoke("forecast", "-p", tmp_path, "--mailboxes", "600", "--size", "4GB", "--as", "json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["binds"] == "at_once"
    assert [one["name"] for one in found["changes"]] == ["at_once"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--mailboxes", "600"], "--size: say how large"),
        (["--size", "4GB"], "--mailboxes: say how many"),
        (["--mailboxes", "5", "--size", "large"], "'large' is no size"),
        (["--mailboxes", "5", "--size", "4GB", "--deadline", "some day"], "is no moment"),
        ([], "no project here"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, args: list[str], words: str) -> None:
    done = invoke("forecast", "-p", tmp_path, *args)
    assert done.exit_code == 2
    assert words in done.output
    assert "Traceback" not in done.output


def test_sizes_from_columns_of_the_manifest(lab: Rehearsal) -> None:
    file = lab.folder / "mailboxes.csv"
    before = file.read_text("utf-8")
    lines = before.splitlines()
    sizes = ["Size", '"4.2 GB (4,509,715,660 bytes)"', "850 MB", ""]
    file.write_text(
        "\n".join(f"{line},{size}" for line, size in zip(lines, sizes, strict=True)) + "\n", "utf-8"
    )
    try:
        done = lab("forecast", "--size-column", "size", "--no-probe", "--as", "json")
        wrong = lab("forecast", "--size-column", "weight", "--no-probe")
    finally:
        file.write_text(before, "utf-8")
    assert done.exit_code == 4, "of one nothing is known"
    boxes = json.loads(done.output)["mailboxes"]
    assert [one["octets"] for one in boxes[:2]] == [4_509_715_660, 850_000_000]
    assert boxes[2]["unknown"]
    assert wrong.exit_code == 2
    assert "'weight'" in wrong.output


# ---------------------------------------------------------------- during a run


class Minutes:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def test_what_a_run_foretells_is_told_and_kept_for_status(tmp_path: Path) -> None:
    clock = Minutes()
    told: list[Event] = []
    tracker = Tracker([made(1), made(2)], terms(deadline=NOW + 60))
    one = Foreteller(lambda: tracker, told.append, tmp_path / FILE_NAME, clock)
    one.tick()
    assert not told, "not at once"
    clock.now += foretell.FIRST_S
    one.tick()
    assert [type(event) for event in told] == [ForecastUpdated, ForecastSlipping]
    live = read_live(tmp_path, clock.now)
    assert live is not None and live.p50 is not None and live.late == 2
    assert set(live.mailboxes) == {"job-1", "job-2"}
    clock.now += 1
    one.tick()
    assert len(told) == 2
    clock.now += foretell.EVERY_S
    one.tick()
    assert [type(event) for event in told[2:]] == [ForecastUpdated], "the alarm sounds once"
    assert read_live(tmp_path, clock.now + foretell.STALE_S + 1) is None, "of a run that is gone"


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"format": "other"}', '{"format": "migrator-forecast-live", "at": "x"}', "null",
             '{"format": "migrator-forecast-live", "at": 1, "p50": 1, "p90": 1, "deadline": null, "late": 0, "mailboxes": {"a": 5}}'],
)  # fmt: skip
def test_a_file_that_is_no_forecast_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE_NAME).write_text(text, "utf-8")
    assert read_live(tmp_path, 2.0) is None


def test_a_run_with_a_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way: events on standard output, the file while it runs and not afterwards, what is left by the ledger."""
    monkeypatch.setattr(foretell, "FIRST_S", 0.0)
    monkeypatch.setattr(foretell, "EVERY_S", 0.0)
    monkeypatch.setattr(foretell, "TICK_S", 0.01)
    lab = Rehearsal(tmp_path / "acme", items=16)
    seen = threading.Event()
    whole = foretell.write_live

    def noted(path: Path, found: object, now: float) -> None:
        whole(path, found, now)  # type: ignore[arg-type]
        seen.set()

    monkeypatch.setattr(foretell, "write_live", noted)
    try:
        assert lab("plan").exit_code == 0
        lab.do(lambda world: setattr(world, "knobs", replace(world.knobs, latency_s=0.1)))
        done = lab("run", "--json", "--deadline", "2001-01-01 00:00")
        assert done.exit_code == 0, done.output
        events = [json.loads(line) for line in done.stdout.splitlines()]
        kinds = [event["event"] for event in events]
        assert kinds.count("forecast_slipping") == 1
        assert kinds.count("forecast_updated") > 1
        assert seen.is_set()
        assert not (lab.folder / FILE_NAME).exists()
        loaded = load(lab.folder)
        left = known_loads(loaded.project, loaded.jobs, None, NOW)
        assert [one.items for one in left] == [0, 0], "a second run has nothing left"
        assert all(one.begun for one in left)
    finally:
        lab.close()


def test_a_forecast_that_fails_never_ends_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Rehearsal(tmp_path / "acme", items=6)

    def broken(*_: object) -> None:
        raise RuntimeError("no forecast")

    monkeypatch.setattr(foretell, "_tracker", broken)
    try:
        assert lab("run", "--quiet").exit_code == 0
    finally:
        lab.close()
