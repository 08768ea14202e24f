"""A plan on memory mailboxes, from the start to the exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrator.events import BatchSettled, FolderFinished, JobFinished, RunFinished
from migrator.model import Role, SkipReason, State
from migrator.plan.folders import Place
from tests.contracts.samples import mails
from tests.engine.harness import World, contents, fill, job_of


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_everything_arrives_where_it_belongs(world: World) -> None:
    fill(world.source(), [*mails(130), *mails(7, ("Inbox", "Deep", "er"), 500), *mails(3, ("Own",), 900)])
    assert world.run() == 0
    assert world.same()
    assert world.states() == {State.COPIED: 140}
    assert world.balance_closes()
    assert world.settled() == 140
    assert world.ended().state == "done"
    finished = [e for e in world.events if isinstance(e, FolderFinished)]
    assert len(finished) == len({e.path for e in finished}) == len(world.source().list_folders())
    assert world.events[-1] == RunFinished(1, 0, world.clock.now())


def test_empty_folders_arrive_too(world: World) -> None:
    world.source().add_folder(("Empty", "Twig"))
    assert world.run() == 0
    assert world.target().folder_at(("Empty", "Twig")) is not None


def test_folders_go_by_role(world: World) -> None:
    source = world.source()
    inbox = source.folder_at(("Inbox",))
    assert inbox is not None
    source._folders[inbox.id].folder = type(inbox)(
        inbox.id, ("Posteingang",), inbox.kind, inbox.folder_class, Role.INBOX
    )
    fill(source, mails(2, ("Posteingang",)))
    fill(source, mails(2, ("Posteingang", "Kunden"), 10))
    assert world.run() == 0
    assert len(world.target().items(("Inbox",))) == 2
    assert len(world.target().items(("Inbox", "Kunden"))) == 2


def test_a_second_run_writes_nothing_and_reads_once_per_folder(world: World) -> None:
    fill(world.source(), [*mails(30), *mails(30, ("Own",), 100)])
    assert world.run() == 0

    def blow_up(verb: str, detail: object) -> None:
        if verb in ("store", "ensure_folder", "remove", "remove_folder", "mark"):
            raise AssertionError(f"{verb} on a finished job")

    world.target().before = blow_up
    for box in (world.source(), world.target()):
        box.calls.clear()
    assert world.run() == 0
    folders = len(world.source().list_folders())
    assert world.source().calls["page"] == folders
    assert sum(world.source().calls.values()) + sum(world.target().calls.values()) <= folders + 3
    assert not [event for event in world.events if isinstance(event, BatchSettled)]


def test_the_next_run_takes_what_came_and_what_changed(world: World) -> None:
    fill(world.source(), mails(10))
    assert world.run() == 0
    fill(world.source(), mails(3, start=100))
    changed = world.source().items(("Inbox",))[4].ref
    world.source().change(changed.id, seen=not changed.seen)
    assert world.run() == 0
    assert world.same()
    assert len(world.target().items()) == 13


def test_many_mailboxes_each_for_itself(tmp_path: Path) -> None:
    jobs = [job_of(name, line) for line, name in enumerate(("ada", "bob", "cleo", "dan", "eve"), 2)]
    world = World(tmp_path, jobs)
    for number, job in enumerate(jobs):
        fill(world.source(job), mails(11, start=100 * number))
        world.target(job)
    assert world.run() == 0
    assert all(world.same(job) for job in jobs)
    assert {e.state for e in world.events if isinstance(e, JobFinished)} == {"done"}


def test_true_duplicates_arrive_twice(world: World) -> None:
    fill(world.source(), [*mails(3), *mails(3)])
    assert world.run() == 0
    assert world.same()


def test_what_is_there_already_is_not_sent(world: World) -> None:
    fill(world.source(), [*mails(20), *mails(2)])
    fill(world.target(), mails(8))
    assert world.run() == 0
    assert contents(world.target()) == contents(world.source())
    assert world.states() == {State.PRESENT: 8, State.COPIED: 14}
    assert world.balance_closes()


def test_items_without_evidence_are_never_taken_for_present(world: World) -> None:
    import dataclasses

    bare = [dataclasses.replace(one, message_id="", subject="") for one in mails(4)]
    fill(world.source(), bare)
    fill(world.target(), bare)
    assert world.run() == 0
    assert world.states() == {State.COPIED: 4}


def test_looking_for_what_is_there_can_be_left_out(world: World) -> None:
    fill(world.source(), mails(5))
    fill(world.target(), mails(5))
    assert world.run(find_present=False) == 0
    assert world.states() == {State.COPIED: 5}


def test_dates_left_out_by_one_pass_are_taken_by_the_next(world: World) -> None:
    samples = mails(10)
    fill(world.source(), samples)
    assert world.run(until=samples[4].received) == 0
    assert world.states() == {State.COPIED: 4, State.SKIPPED: 6}
    assert world.balance_closes()
    assert world.run() == 0
    assert world.states() == {State.COPIED: 10}
    assert world.same()


def test_too_large_is_skipped_for_a_reason(world: World) -> None:
    fill(world.source(), mails(5))
    limit = sorted(len(item.data) for item in world.source().items())[-2]
    assert world.run(max_item_octets=limit) == 0
    with world.open_ledger() as ledger:
        assert ledger.skipped_by_reason() == [("job-ada", SkipReason.TOO_LARGE.value, 1)]


def test_folders_left_out_are_named(world: World) -> None:
    fill(world.source(), [*mails(2), *mails(2, ("Junk",), 10)])
    world.source().add_folder(("Search",), search=True)
    assert world.run(exclude_folders=("Junk",)) == 0
    with world.open_ledger() as ledger:
        skipped = {row.path: row.skipped for row in ledger.folders("job-ada") if row.skipped}
    assert skipped == {("Junk",): SkipReason.FILTERED_FOLDER, ("Search",): SkipReason.SEARCH_FOLDER}
    assert world.target().folder_at(("Junk",)) is None


def test_a_lost_checkpoint_lists_anew_and_doubles_nothing(world: World) -> None:
    fill(world.source(), mails(25))
    assert world.run() == 0
    world.source().forget_checkpoints()
    fill(world.source(), mails(2, start=70))
    assert world.run() == 0
    assert world.same()


def test_two_source_folders_that_share_a_target_folder(world: World) -> None:
    fill(world.source(), [*mails(6, ("One",)), *mails(6, ("Two",), 50), *mails(6, ("Two",))])

    def tools_map(source: object, target: object) -> dict[str, Place]:
        return {folder.id: Place(("Merged",)) for folder in world.source().list_folders()}

    with world.open_ledger() as ledger:
        from migrator.engine.run import run

        tools = world.tools(ledger)
        tools.map_folders = tools_map
        assert run(world.jobs, tools) == 0
    assert len(world.target().items(("Merged",))) == 18
