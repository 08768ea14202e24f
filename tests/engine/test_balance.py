"""The balance of both sides as multisets: every item with a fate, every copy an item of its own, and the rest of the target."""

from __future__ import annotations

import dataclasses
import json
import sqlite3
from pathlib import Path

import pytest

from migrator.adapters.memory import open_box
from migrator.cli.verify import as_json, balance_lines
from migrator.engine.verify import MailboxVerdict, verify_mailbox
from migrator.wrappers.dryrun import DryRunTarget
from tests.contracts.samples import mails
from tests.engine.harness import World, fill


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def verify(world: World) -> MailboxVerdict:
    with world.open_ledger() as ledger:
        return verify_mailbox(
            world.jobs[0], open_box(world.source()), DryRunTarget(open_box(world.target())), ledger, sample=0
        )


def test_both_sides_add_up(world: World) -> None:
    fill(world.source(), mails(20))
    fill(world.target(), [*mails(3), *mails(4, start=70)])  # three of the source's, four of somebody else's
    assert world.run(until=mails(20)[15].received) == 0
    verdict = verify(world)
    (inbox,) = (one for one in verdict.folders if one.path == ("Inbox",))
    assert verdict.ok
    assert (inbox.source_items, inbox.copied, inbox.present, inbox.skipped, inbox.failed) == (20, 12, 3, 5, 0)
    assert inbox.reasons == {"filtered_date": 5}
    assert inbox.target_listed == 19 == inbox.target_items + inbox.kept + inbox.extra
    assert balance_lines([verdict]) == [
        "source: 20 = 12 copied + 3 there before + 5 skipped (5 filtered_date) + 0 failed",
        "target: 19 = 15 of these + 4 that are not ours",
    ]
    told = json.loads(as_json([verdict]))["mailboxes"][0]["folders"]
    assert {"filtered_date": 5} in [one["reasons"] for one in told]


def test_copies_of_what_is_gone_are_kept_and_told(world: World) -> None:
    fill(world.source(), mails(6))
    assert world.run() == 0
    for item in world.source().items()[:2]:
        world.source().delete(item.ref.id)
    verdict = verify(world)
    (inbox,) = (one for one in verdict.folders if one.path == ("Inbox",))
    assert (inbox.gone, inbox.kept, inbox.target_items, inbox.target_listed) == (2, 2, 4, 6)
    assert "2 whose source is gone" in balance_lines([verdict])[1]


def test_two_items_that_share_one_copy_do_not_close(world: World) -> None:
    """Counts alone would: six at the source, six copied by the ledger, each target id there."""
    fill(world.source(), mails(6))
    assert world.run() == 0
    with sqlite3.connect(world.folder / "ledger.sqlite") as ledger:
        one, other = (row[0] for row in ledger.execute("SELECT target_id FROM entry ORDER BY key LIMIT 2"))
        ledger.execute("UPDATE entry SET target_id = ? WHERE target_id = ?", (one, other))
    verdict = verify(world)
    (inbox,) = (one for one in verdict.folders if one.path == ("Inbox",))
    assert (inbox.copied, inbox.missing, inbox.twice, inbox.extra) == (6, 0, 1, 1)
    assert not inbox.closes and not verdict.ok
    # Which of the two the copy truly belongs to is chance: the other one differs from it in more than one way.
    assert [d.target for d in verdict.differences].count("shares its copy with another item") == 1


def test_failures_are_counted_by_code(world: World) -> None:
    fill(world.source(), mails(3))
    assert world.run() == 0
    with sqlite3.connect(world.folder / "ledger.sqlite") as ledger:
        ledger.execute("UPDATE entry SET state = 'failed', why = 'ErrorCorruptData', target_id = ''")
    (inbox,) = (one for one in verify(world).folders if one.path == ("Inbox",))
    assert (inbox.failed, inbox.codes, inbox.closes) == (3, {"ErrorCorruptData": 3}, True)
    assert dataclasses.asdict(inbox)["codes"] == {"ErrorCorruptData": 3}
