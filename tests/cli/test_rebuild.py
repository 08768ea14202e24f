"""The ledger is lost: `rebuild` finds what is in the targets, and a run after it writes only what is missing."""

from __future__ import annotations

import itertools
import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from migrator.engine.stop import SystemClock
from migrator.lab.store import LabItem
from migrator.lab.world import World
from migrator.ledger import Ledger
from migrator.mapi.fasttransfer import read, write
from migrator.mapi.item import INT32, STRING, TIME, Message
from migrator.model import State
from tests.cli.rehearsal import Rehearsal

KNOBS = ("search_key", "creation_time", "message_id", "delivery_time", "flags")
COMBINATIONS = [frozenset(c) for size in range(len(KNOBS) + 1) for c in itertools.combinations(KNOBS, size)]
PICKED = [
    *(one for one in COMBINATIONS if len(one) in (0, 1, len(KNOBS))),
    *random.Random(5).sample([one for one in COMBINATIONS if 1 < len(one) < len(KNOBS)], 3),
]
"""What the tenant drops of an imported item: nothing, each alone, everything, and some of the rest."""


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsal]:
    folder = tmp_path_factory.mktemp("rebuild") / "acme"
    rehearsal = Rehearsal(folder, mailboxes=len(PICKED) + 1, items=8, bulk=3, bulk_octets=1_500)
    rehearsal.do(make_hard)
    yield rehearsal
    rehearsal.close()


def bare(body: str, subject: str = "", sent: datetime | None = None) -> bytes:
    """An item without Message-ID, search key and dates of delivery; without more, listing tells nothing of it."""
    message = Message()
    p = message.properties
    p.set(0x001A, STRING, "IPM.Note")
    p.set(0x1000, STRING, body)
    p.set(0x0E07, INT32, 1)
    p.set(0x3007, TIME, datetime(2024, 5, 1, tzinfo=UTC))
    p.set(0x3008, TIME, datetime(2024, 5, 2, tzinfo=UTC))
    if subject:
        p.set(0x0037, STRING, subject)
    if sent is not None:
        p.set(0x0039, TIME, sent)
        p.set(0x0E06, TIME, sent)
    return bytes(write(message))


def make_hard(world: World) -> None:
    """In every folder a true duplicate; in every Inbox items that listing tells little or nothing of, some of them twice."""
    when = datetime(2024, 4, 1, 8, 30, tzinfo=UTC)
    for box in world.exchange.mailboxes.values():
        for folder in list(box.visible()):
            if not folder.search and (item := next(iter(folder.items.values()), None)) is not None:
                world.exchange.copy_item(item, folder)
        inbox = box.roles["inbox"]
        for content in (
            bare("one"), bare("one"), bare("two"), bare("three" * 500),
            bare("a", "only a subject"), bare("b", "only a subject"),
            bare("c", "subject and dates", when), bare("c", "subject and dates", when), bare("d", "subject and dates", when),
        ):  # fmt: skip
            world.exchange.add_item(inbox, content)


def held(play: Rehearsal, half: str, address: str) -> Counter[Any]:
    """What a mailbox holds, by all that no knob takes away."""

    def look(world: World) -> Counter[Any]:
        box = getattr(world, half).mailbox(address)
        return Counter(
            (
                tuple(folder.path),
                item.facts.item_class,
                item.facts.subject,
                read(item.stream()).properties.text(0x1000),
            )
            for folder in box.visible()
            if not folder.search
            for item in folder.items.values()
            if not item.associated
        )

    return play.do(look)


def lose(play: Rehearsal) -> None:
    for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
        (play.folder / name).unlink(missing_ok=True)
    play.asked()  # as after `check`


def states(play: Rehearsal) -> Counter[State]:
    with Ledger.open(play.folder / "ledger.sqlite", clock=SystemClock(), read_only=True) as ledger:
        return Counter(entry.state for job in ledger.jobs() for entry in ledger.iter_entries(job.id))


def writes(play: Rehearsal) -> int:
    return play.do(lambda world: sum(entry.operation == "importItem" for entry in world.journal.entries))


def pair(play: Rehearsal, number: int) -> tuple[str, str]:
    address = play.do(lambda world: [box.address for box in world.exchange.mailboxes.values()][number])
    return address, address.replace("old.example", "new.example")


def preserving(play: Rehearsal, dropped: frozenset[str], **more: object) -> None:
    changes = {f"preserve_{knob}": knob not in dropped for knob in KNOBS} | more
    play.do(lambda world: setattr(world, "knobs", world.knobs.swap(changes)))


@pytest.mark.parametrize(
    "number",
    range(len(PICKED)),
    ids=lambda n: "drops " + ("+".join(sorted(PICKED[n])) or "nothing"),
)
def test_whatever_the_tenant_drops_nothing_is_doubled(play: Rehearsal, number: int) -> None:
    address, there = pair(play, number)
    preserving(play, PICKED[number], import_normalises=bool(number % 2))
    assert play("run", "--quiet", "--only", address).exit_code == 0
    source, target = held(play, "exchange", address), held(play, "m365", there)
    assert target == source
    # Half of it lost again: what is missing must be copied, and that alone.
    removed = play.do(lambda world: remove_some(world, there))
    lose(play)
    done = play("rebuild", "--json", "--only", address)
    assert done.exit_code == 0, done.output
    (told,) = json.loads(done.output)["mailboxes"]
    assert (told["items"], told["missing"], told["unclear"], told["others"]) == (
        sum(source.values()), removed, 0, 0
    ), told  # fmt: skip
    before = writes(play)
    again = play("run", "--quiet", "--only", address)
    assert again.exit_code == 0, again.output
    assert writes(play) - before == removed
    assert held(play, "m365", there) == source


def remove_some(world: World, address: str) -> int:
    """Every third item of every folder goes."""
    count = 0
    for folder in world.m365.mailbox(address).visible():
        if not folder.search:
            for item in list(folder.items.values())[::3]:
                if not item.associated:
                    world.m365.delete_item(item)
                    count += 1
    return count


def test_lost_whole_restored_moved_and_unreadable(play: Rehearsal) -> None:
    address, there = pair(play, len(PICKED))
    preserving(play, frozenset({"search_key", "message_id"}))
    assert play("run", "--quiet", "--only", address).exit_code == 0
    source = held(play, "exchange", address)
    items = sum(source.values())

    def rebuilt(code: int = 0) -> dict[str, Any]:
        done = play("rebuild", "--json", "--only", address)
        assert done.exit_code == code, done.output
        found: dict[str, Any] = json.loads(done.output)["mailboxes"][0]
        return found

    def unchanged_run() -> None:
        before = writes(play)
        assert play("run", "--quiet", "--only", address).exit_code == 0
        assert writes(play) == before
        assert held(play, "m365", there) == source

    # All of it is there: nothing is written, and a second time there is nothing left to find.
    lose(play)
    told = rebuilt()
    assert (told["found"], told["missing"], told["others"]) == (items, 0, 0), told
    assert set(told["by"]) == {"dates", "content"}
    assert rebuilt()["known"] == items
    unchanged_run()
    assert states(play)[State.PRESENT] == items
    text = play("rebuild", "--only", address)
    assert text.exit_code == 0 and "migrator check" in text.output

    # A ledger of yesterday, from a backup: items came and were copied since.
    shutil.copy(play.folder / "ledger.sqlite", play.folder / "yesterday")
    play.do(lambda world: world.exchange.add_item(
        world.exchange.mailbox(address).roles["inbox"], bare("news")))  # fmt: skip
    assert play("run", "--quiet", "--only", address).exit_code == 0
    source = held(play, "exchange", address)
    for leftover in play.folder.glob("ledger.sqlite*"):
        leftover.unlink()
    shutil.move(play.folder / "yesterday", play.folder / "ledger.sqlite")
    told = rebuilt()
    assert (told["known"], told["found"], told["missing"]) == (items, 1, 0), told
    unchanged_run()

    # An owner has moved a mail in the target: it counts as there, and is told.
    lose(play)
    play.do(lambda world: move_one(world, there))
    told = rebuilt()
    assert (told["missing"], told["elsewhere"], len(told["elsewhere_items"])) == (0, 1, 1), told

    # The target gives no content for a while: what only content could tell is said to be unclear.
    lose(play)
    play.fault("item_error", operation="exportItems", mailbox=there)
    told = rebuilt(3)
    assert told["unclear"] > 0 and told["unclear"] == told["missing"], told
    play.do(lambda world: world.faults.clear())


def move_one(world: World, address: str) -> None:
    """A mail that is unlike any other goes from the Inbox to another folder."""
    box = world.m365.mailbox(address)

    def look(item: LabItem) -> tuple[str, object]:
        return (item.facts.subject, item.facts.sent)

    all_of = [look(item) for folder in box.visible() for item in folder.items.values()]
    inbox = [item for item in box.roles["inbox"].items.values() if not item.associated and item.facts.sent]
    one = next(item for item in inbox if item.facts.subject and all_of.count(look(item)) == 1)
    world.m365.move_item(one, box.roles["drafts"])
