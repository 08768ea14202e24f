"""plan.json from one end to the other, on the lab: written, executed, compared; and that looking writes nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from migrator.cli.exits import Exit
from migrator.lab.world import World
from migrator.plan.planfile import read_plan, schema
from tests.cli.rehearsal import ALMA, BERTRAND, Rehearsal


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Rehearsal]:
    made = Rehearsal(tmp_path)
    yield made
    made.close()


def plan_of(play: Rehearsal) -> Any:
    return json.loads((play.folder / "plan.json").read_text("ascii"))


def held(address: str, path: tuple[str, ...], world: World) -> int:
    """Items of a folder at the source; the hidden ones of its owner's programs are not mail."""
    items = world.exchange.mailbox(address).by_path(*path).items.values()
    return sum(not item.associated for item in items)


def stored(play: Rehearsal) -> int:
    return play.do(lambda world: sum(len(box.items) for box in world.m365.mailboxes.values()))


def changed(play: Rehearsal) -> list[tuple[str, str]]:
    """Every request that tried to change something in a mailbox, on either side. (Signing in changes nothing there.)"""
    return play.do(
        lambda world: [
            (entry.service, entry.operation) for entry in world.journal.select(write=True) if entry.mailbox
        ]
    )


def file(play: Rehearsal) -> str:
    return str(play.folder / "plan.json")


def add_mail(world: World, address: str, count: int = 1) -> None:
    box = world.exchange.mailbox(address)
    inbox = box.role("inbox")
    first = next(iter(inbox.items.values()))
    for _ in range(count):
        world.exchange.add_item(inbox, bytes(first.stream()))


def test_a_plan_is_written_and_says_what_there_is(play: Rehearsal) -> None:
    done = play("plan")
    assert done.exit_code == 0, done.output
    assert "plan.json" in done.output
    raw = plan_of(play)
    jsonschema = pytest.importorskip("jsonschema", reason="the schema's own checker is not installed")
    jsonschema.validate(raw, schema())
    plan = read_plan(play.folder / "plan.json")
    alma, bertrand = plan.mailboxes
    assert (alma.source.address, bertrand.source.address) == (ALMA, BERTRAND)
    for box in plan.mailboxes:
        for folder in box.folders:
            if folder.left_out is None:
                assert folder.items == play.do(partial(held, box.source.address, folder.path)), folder.path
        assert box.to_copy == box.items == sum(box.sizes.items) == sum(box.kinds.values())
        assert (
            box.octets
            == sum(box.sizes.octets)
            == sum(folder.octets for folder in box.folders if not folder.left_out)
        )
        assert sum(box.ages_to_copy.items) == box.to_copy
        assert sum(box.classes.values()) == box.items
        assert (box.target_items, box.quota.enough, box.licence.state) == (0, True, "licensed")
        assert (box.oversize.limit, box.oversize.told_by, box.oversize.items) == (36 << 20, "default", 0)
        assert box.oldest is not None
        assert box.newest is not None
        assert box.oldest < box.newest
    assert len({alma.source_state, bertrand.source_state, ""}) == 3
    assert alma.source_product.startswith("Exchange")


def test_no_secret_is_in_a_plan(play: Rehearsal) -> None:
    assert play("plan").exit_code == 0
    text = (play.folder / "plan.json").read_text("utf-8")
    secrets = [
        path.read_text("utf-8").strip() for path in (play.folder / "lab").rglob("*") if "secret" in path.name
    ]
    assert all(word not in text for word in secrets if len(word) > 5)
    assert "BEGIN" not in text


@pytest.mark.parametrize(
    "command",
    [
        ("plan",),
        ("plan", "--as", "csv"),
        ("run", "--dry-run"),
        ("run", "--dry-run", "--json"),
        ("run", "PLAN", "--dry-run"),
    ],
    ids=" ".join,
)
def test_no_write_leaves(play: Rehearsal, command: tuple[str, ...]) -> None:
    if "PLAN" in command:
        assert play("plan").exit_code == 0
    ledger = (play.folder / "ledger.sqlite").read_bytes()
    play.do(lambda world: world.journal.clear())
    done = play(command[0], *(file(play) if word == "PLAN" else word for word in command[1:]))
    assert done.exit_code == 0, done.output
    assert changed(play) == []
    assert stored(play) == 0
    assert play.do(lambda world: world.journal.reads()) > 20  # it did look
    assert (play.folder / "ledger.sqlite").read_bytes() == ledger
    # And the judge would have seen one: a run writes.
    assert play("run").exit_code == 0
    assert len(changed(play)) >= stored(play) > 20


def test_a_plan_is_executed_and_the_same_plan_again_has_nothing_to_do(play: Rehearsal) -> None:
    assert play("plan", "--exclude-folder", "@inbox").exit_code == 0
    play.change("[defaults]", "[folders]\nunder = 'Old mail'\n\n[defaults]")
    done = play("run", file(play), "--quiet")
    assert done.exit_code == 0, done.output
    raw = plan_of(play)
    wanted = sum(box["to_copy"] for box in raw["mailboxes"])
    assert play.totals()["copied"] == wanted == stored(play)
    names = play.do(
        lambda world: {
            folder.name for box in world.m365.mailboxes.values() for folder in box.folders.values()
        }
    )
    assert "Old mail" not in names  # the plan's own folder rules
    play.do(lambda world: world.journal.clear())
    assert play("run", file(play), "--quiet").exit_code == 0
    assert play.doubles() == 0
    assert stored(play) == wanted


def test_differences_are_shown_and_the_run_goes_on(play: Rehearsal) -> None:
    assert play("plan").exit_code == 0
    planned = sum(box["to_copy"] for box in plan_of(play)["mailboxes"])
    play.do(lambda world: add_mail(world, ALMA, 2))
    done = play("run", file(play))
    assert "1 difference since the plan was made" in done.output
    assert f"{ALMA}: +2 items" in done.output
    assert done.exit_code == 0
    assert stored(play) == planned + 2


def test_strict_stops_before_anything_is_sent(play: Rehearsal) -> None:
    assert play("plan").exit_code == 0
    play.do(lambda world: add_mail(world, ALMA))
    play.do(lambda world: world.journal.clear())
    done = play("run", file(play), "--strict")
    assert done.exit_code == int(Exit.CHANGED) == 7
    assert f"{ALMA}: +1 items" in done.output
    assert "--strict" in done.output
    assert changed(play) == []
    assert stored(play) == 0
    assert play("plan").exit_code == 0
    assert play("run", file(play), "--strict").exit_code == 0


def test_strict_without_a_plan_is_a_slip(play: Rehearsal) -> None:
    done = play("run", "--strict")
    assert done.exit_code == 2
    assert stored(play) == 0


def test_rows_that_came_went_and_changed(play: Rehearsal) -> None:
    assert play("plan").exit_code == 0
    csv = (play.folder / "mailboxes.csv").read_text("utf-8").splitlines()
    new = csv[1].replace(ALMA, "carla@old.example").replace("alma.whitcombe@new.example", "carla@new.example")
    head = csv[0] + ",source_login"
    rows = [csv[2] + ",EXAMPLE\\someone", new + ","]
    (play.folder / "mailboxes.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    done = play("run", file(play))
    assert f"{ALMA}: is no longer in the manifest, and is left out" in done.output
    assert f"{BERTRAND}: the row has changed (source login); the plan's is used" in done.output
    assert "carla@old.example: is new in the manifest" in done.output
    assert done.exit_code == 0
    jobs = json.loads(play("status", "--json").output)["mailboxes"]
    assert [job["source"] for job in jobs] == [BERTRAND]


def test_without_a_manifest_the_plan_is_enough(play: Rehearsal) -> None:
    assert play("plan").exit_code == 0
    (play.folder / "mailboxes.csv").unlink()
    done = play("run", file(play), "--only", ALMA)
    assert done.exit_code == 0, done.output
    assert stored(play) == next(box["to_copy"] for box in plan_of(play)["mailboxes"] if box["line"] == 2)


def test_the_project_is_found_beside_the_plan(
    play: Rehearsal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from typer.testing import CliRunner

    from migrator.cli.app import app

    assert play("plan").exit_code == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    done = CliRunner().invoke(app, ["run", file(play), "--quiet"])
    assert done.exit_code == 0, done.output
    assert stored(play) > 20


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("run", "nowhere.json"), "there is no plan"),
        (("run", "migration.toml"), "is not a plan"),
        (("run", "."), "cannot read the plan"),
        (("run", "plan.json", "--pass", "cutover"), "was made for the pass delta"),
        (("run", "plan.json", "--only", "nobody@x.example"), "no such rows"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_cannot_be_executed_is_told(
    play: Rehearsal, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], words: str
) -> None:
    assert play("plan").exit_code == 0
    monkeypatch.chdir(play.folder)
    done = play(*args)
    assert done.exit_code == 2, done.output
    assert words in done.output
    assert "→" in done.output
    assert stored(play) == 0


def test_what_is_already_there_too_large_and_without_room(play: Rehearsal) -> None:
    assert play("run", "--only", ALMA, "--quiet").exit_code == 0
    (play.folder / "ledger.sqlite").unlink()
    play.asked()

    def tighten(world: World) -> None:
        for box in world.m365.mailboxes.values():
            box.quota_octets = box.octets + 1000
        bertrand = next(box for box in world.m365.mailboxes.values() if box.address.startswith("bertrand"))
        bertrand.kind = "user"
        bertrand.settings["plans"] = "none"

    play.do(tighten)
    play.change('kind = "graph"', 'kind = "graph"\noptions = { max_item_octets = "5000" }')
    done = play("plan")
    assert done.exit_code == 0, done.output
    plan = read_plan(play.folder / "plan.json")
    alma, bertrand = plan.mailboxes
    assert alma.target_items == alma.to_copy
    inbox = next(folder for folder in alma.folders if folder.role == "inbox")
    assert inbox.target_items == inbox.items > 0
    assert (alma.quota.enough, bertrand.quota.enough) == (False, False)
    assert {finding.code for finding in bertrand.findings if finding.level == "warning"} == {
        "quota_short",
        "oversize",
    }
    assert bertrand.oversize.told_by == "endpoint"
    assert bertrand.oversize.items == sum(folder.oversize for folder in bertrand.folders) > 0
    assert f"Already in the targets: {alma.target_items} items in 1 mailbox" in done.output
    assert "MaxReceiveSize" in done.output
    assert all(finding.remedy for finding in bertrand.findings if finding.level in ("warning", "blocker"))


def test_a_mailbox_that_cannot_be_opened_is_in_the_plan_with_its_remedy(play: Rehearsal) -> None:
    play.change("bertrand.levequois@new.example", "nobody@new.example", "mailboxes.csv")
    done = play("plan")
    assert done.exit_code == 4
    plan = read_plan(play.folder / "plan.json")
    broken = plan.mailboxes[1]
    assert (broken.code, broken.source_state) == ("mailbox_unknown", "")
    assert broken.error
    assert broken.remedy
    assert plan.whole
