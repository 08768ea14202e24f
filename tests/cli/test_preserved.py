"""In doubt, whatever the tenant preserves: answers about imports get lost, and every item is there exactly as often as at the source."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator

import pytest

from migrator.lab.world import World
from tests.cli.rehearsal import Rehearsal

KNOBS = ("search_key", "creation_time", "message_id", "delivery_time", "flags")
COMBINATIONS = [frozenset(c) for size in range(len(KNOBS) + 1) for c in itertools.combinations(KNOBS, size)]


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    folder = tmp_path_factory.mktemp("preserved") / "acme"
    rehearsal = Rehearsal(folder, mailboxes=len(COMBINATIONS), items=5, bulk=2, bulk_octets=1_000)
    rehearsal.do(twin)
    yield rehearsal
    rehearsal.close()


def twin(world: World) -> None:
    """A true duplicate of one item of every folder."""
    for box in world.exchange.mailboxes.values():
        for folder in list(box.visible()):
            if not folder.search and (item := next(iter(folder.items.values()), None)) is not None:
                world.exchange.copy_item(item, folder)


def held(play: Rehearsal, half: str, address: str) -> Counter[tuple[tuple[str, ...], str, str]]:
    def look(world: World) -> Counter[tuple[tuple[str, ...], str, str]]:
        box = getattr(world, half).mailbox(address)
        return Counter(
            (tuple(folder.path), item.facts.item_class, item.facts.subject)
            for folder in box.visible()
            if not folder.search
            for item in folder.items.values()
            if not item.associated
        )

    return play.do(look)


@pytest.mark.parametrize(
    "number",
    range(len(COMBINATIONS)),
    ids=lambda n: "drops " + ("+".join(sorted(COMBINATIONS[n])) or "nothing"),
)
def test_lost_answers_lose_and_double_nothing(
    play: Rehearsal, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped = COMBINATIONS[number]
    monkeypatch.setattr("migrator.engine.tools.GRACE_S", 0.2)
    address = play.do(lambda world: [box.address for box in world.exchange.mailboxes.values()][number])
    there = address.replace("old.example", "new.example")
    play.do(
        lambda world: setattr(
            world, "knobs", world.knobs.swap({f"preserve_{knob}": knob not in dropped for knob in KNOBS})
        )
    )
    play.do(lambda world: world.faults.clear())
    for nth in (2, 3, 6, 9):
        play.fault("lost_answer", operation="importItem", mailbox=there, nth=nth)
    done = play("run", "--quiet", "--force", "no_canary", "--only", address)
    assert done.exit_code == 0, done.output
    assert play.do(lambda world: len(world.faults.struck)) >= 4
    source, target = held(play, "exchange", address), held(play, "m365", there)
    assert sum(target.values()) == sum(source.values()), (source - target, target - source)
    assert Counter((path, kind) for path, kind, _ in target.elements()) == Counter(
        (path, kind) for path, kind, _ in source.elements()
    )
    assert target == source
