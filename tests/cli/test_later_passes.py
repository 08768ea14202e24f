"""Passes on the lab, by the commands: what users do between them on either side, and what `undo` takes back."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from migrator.lab.store import LabItem, LabMailbox
from migrator.lab.world import World
from tests.cli.rehearsal import ALMA, Rehearsal

THERE = ALMA.replace("old", "new")


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rehearsal]:
    monkeypatch.chdir(tmp_path)
    rehearsal = Rehearsal(tmp_path / "acme", mailboxes=1, items=0, bulk=12, bulk_folders=2, bulk_octets=2_000)
    assert rehearsal("check").exit_code == 0
    assert rehearsal("run", "--quiet").exit_code == 0
    yield rehearsal
    rehearsal.close()


def held(play: Rehearsal, half: str) -> Counter[tuple[tuple[str, ...], str, bool]]:
    """(folder, subject, read) of every item."""

    def look(world: World) -> Counter[tuple[tuple[str, ...], str, bool]]:
        box = box_of(world, half)
        return Counter(
            (tuple(folder.path), item.facts.subject, item.facts.read)
            for folder in box.visible()
            for item in folder.items.values()
        )

    return play.do(look)


def box_of(world: World, half: str) -> LabMailbox:
    return world.exchange.mailbox(ALMA) if half == "exchange" else world.m365.mailbox(THERE)


def folders(play: Rehearsal) -> list[tuple[str, ...]]:
    return sorted({path for path, _, _ in held(play, "exchange")})


def change(play: Rehearsal, half: str, folder: tuple[str, ...], number: int, do: str, *to: str) -> str:
    """What an owner does, as the control port lets him. Returns the subject."""

    def work(world: World) -> str:
        store = world.exchange if half == "exchange" else world.m365
        box = box_of(world, half)
        items: list[LabItem] = sorted(box.by_path(*folder).items.values(), key=lambda i: i.facts.subject)
        item = items[number]
        match do:
            case "delete":
                store.delete_item(item, how="hard")
            case "move":
                store.move_item(item, box.by_path(*to))
            case "flip":
                store.mark_read(item, not item.facts.read)
            case "touch":
                store.update_item(item, item.content, facts=item.facts)
            case other:
                raise ValueError(other)
        return item.facts.subject

    return play.do(work)


def entries(play: Rehearsal) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(play("status", "--json").output)
    return found


def test_moved_changed_and_new_items_follow(play: Rehearsal) -> None:
    one, two = folders(play)
    assert held(play, "m365") == held(play, "exchange")
    change(play, "exchange", one, 0, "move", *two)
    change(play, "exchange", two, 3, "move", *one)
    change(play, "exchange", one, 1, "flip")
    change(play, "exchange", two, 1, "touch")
    assert play("run", "--quiet", "--pass", "delta").exit_code == 0
    assert held(play, "m365") == held(play, "exchange")
    assert entries(play)["totals"]["failed"] == 0
    writes = play.do(lambda world: world.journal.writes())
    assert play("run", "--quiet", "--pass", "cutover").exit_code == 0
    assert play.do(lambda world: world.journal.writes()) == writes
    assert play("verify").exit_code == 0


def test_deletions_follow_when_asked_for(play: Rehearsal) -> None:
    one, _ = folders(play)
    change(play, "exchange", one, 0, "delete")
    assert play("run", "--quiet").exit_code == 0
    assert sum(held(play, "m365").values()) == 12
    assert play("run", "--quiet", "--propagate-deletes").exit_code == 0
    assert held(play, "m365") == held(play, "exchange")


def test_what_the_user_did_in_the_target_is_a_conflict(play: Rehearsal) -> None:
    one, two = folders(play)
    subject = change(play, "m365", one, 2, "flip")
    mine = [key for key in held(play, "m365") if key[1] == subject]
    change(play, "exchange", one, 2, "touch")  # changed at both ends
    change(play, "m365", two, 1, "flip")
    moved = change(play, "exchange", two, 1, "move", *one)  # moved here, changed there
    done = play("run", "--quiet")
    assert done.exit_code == 3, done.output
    told = play("errors").output
    assert "conflict" in told
    there = held(play, "m365")
    assert [key for key in there if key[1] == subject] == mine
    assert sum(n for key, n in there.items() if key[1] == moved) == 2
    assert play("run", "--quiet").exit_code == 3
    assert held(play, "m365") == there


def test_a_sync_state_that_is_not_honoured_lists_anew_without_doubling(play: Rehearsal) -> None:
    one, two = folders(play)
    change(play, "exchange", one, 0, "move", *two)
    change(play, "exchange", one, 0, "delete")
    with closing(sqlite3.connect(play.folder / "ledger.sqlite")) as ledger:
        ledger.execute("update folder set checkpoint_token = 'bm8gc3luYyBzdGF0ZQ=='")
        ledger.commit()
    done = play("run", "--quiet", "--propagate-deletes")
    assert done.exit_code == 0, done.output
    assert held(play, "m365") == held(play, "exchange")
    assert play.do(
        lambda world: sum(entry.code == "ErrorInvalidSyncStateData" for entry in world.journal.entries)
    )


def test_a_mailbox_that_lists_nothing_or_is_another_stops(play: Rehearsal) -> None:
    def empty(world: World) -> None:
        for item in list(box_of(world, "exchange").items.values()):
            world.exchange.delete_item(item, how="hard")

    play.do(empty)
    done = play("run")
    assert done.exit_code == 4
    assert "--force empty_source" in " ".join(done.output.split())
    assert sum(held(play, "m365").values()) == 12


def test_undo_counts_and_then_removes_what_is_ours_and_unchanged(play: Rehearsal) -> None:
    one, _ = folders(play)
    subject = change(play, "m365", one, 0, "flip")
    counted = play("undo")
    assert counted.exit_code == 0, counted.output
    assert "--really removes" in counted.output
    assert sum(held(play, "m365").values()) == 12
    done = play("undo", "--really")
    assert done.exit_code == 3, done.output  # one stays
    assert "changed in the target since" in done.output
    assert [key[1] for key in held(play, "m365")] == [subject]
    assert play("run", "--quiet").exit_code == 0
    assert sum(held(play, "m365").values()) == 12


def test_a_lost_ledger_doubles_nothing(play: Rehearsal) -> None:
    for leftover in play.folder.glob("ledger.sqlite*"):
        leftover.unlink()
    assert play("check").exit_code == 0
    assert play("run", "--quiet").exit_code == 0
    assert held(play, "m365") == held(play, "exchange")
    assert entries(play)["totals"]["present"] == 12
