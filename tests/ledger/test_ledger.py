"""The ledger's promises: commit order, fences, tallies, readable at any moment."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from migrator.errors import InDoubt, ItemError, JobError, RunError, UserError
from migrator.ledger import HEARTBEAT_S, LEASE_S, Fidelity, Lease, Ledger, database
from migrator.ledger.prepared import Statement
from migrator.model import (
    Checkpoint,
    Fingerprint,
    Folder,
    ItemRef,
    Job,
    Kind,
    Mailbox,
    Outcome,
    SkipReason,
    State,
)


class FakeClock:
    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


JOB = Job("job-1", 2, Mailbox("old", "a@old.example"), Mailbox("new", "a@new.example"), extra={"Desk": "7"})
INBOX = Folder("folder-1", ("Inbox",), total=3, size=300)
NOWHERE = Checkpoint("test/1", "p0")


def ref(name: str, version: str = "1", size: int = 100) -> ItemRef:
    return ItemRef(
        id=name,
        folder=("Inbox",),
        kind=Kind.MAIL,
        version=version,
        size=size,
        item_class="IPM.Note",
        received=datetime(2022, 12, 2, tzinfo=UTC),
        message_id=f"<{name}@old.example>",
        seen=True,
        fingerprint=Fingerprint(name.encode().ljust(16, b"-")[:16]),
    )


def copied(name: str, **more: object) -> Outcome:
    return replace(Outcome(ref(name), State.COPIED, target_id=f"t-{name}", octets=130), **more)  # type: ignore[arg-type]


def failed(name: str) -> Outcome:
    return Outcome(ref(name), State.FAILED, error=ItemError("no", code="refused"))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def ledger(tmp_path: Path, clock: FakeClock) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.db", clock=clock) as opened:
        yield opened


@pytest.fixture
def lease(ledger: Ledger) -> Lease:
    ledger.register([JOB])
    run = ledger.start_run("delta", {"mailboxes": "8"}, "0")
    lease = ledger.claim(JOB.id, run)
    assert lease
    ledger.put_folder(lease, INBOX, Folder("t-inbox", ("Inbox",)))
    return lease


def test_an_item_goes_from_sending_to_copied(ledger: Ledger, lease: Lease) -> None:
    ledger.begin(lease, INBOX.id, [ref("a")]).wait()
    (doubt,) = ledger.sending(JOB.id)
    assert (doubt.state, doubt.source_id, doubt.attempts) == (State.SENDING, "a", 1)
    ledger.settle(lease, INBOX.id, [copied("a")], path_taken="stream").wait()
    entry = ledger.entries(JOB.id, [ref("a"), ref("unknown")])["a"]
    assert (entry.state, entry.target_id, entry.path_taken) == (State.COPIED, "t-a", "stream")
    assert entry.ref(INBOX.path) == replace(ref("a"))
    assert ledger.sending(JOB.id) == []
    assert ledger.claimed_targets(JOB.id, INBOX.id) == {"t-a"}


def test_checkpoint_never_passes_an_item_without_outcome(ledger: Ledger, lease: Lease) -> None:
    ledger.begin(lease, INBOX.id, [ref("a"), ref("b")], page=1)
    ledger.begin(lease, INBOX.id, [ref("c")], page=2)
    ledger.settle(lease, INBOX.id, [copied("a")])
    with pytest.raises(JobError) as refused:
        ledger.advance(lease, INBOX.id, Checkpoint("test/1", "p1"), last=False, page=1).wait()
    assert refused.value.code == "unsettled"
    ledger.settle(lease, INBOX.id, [Outcome(ref("b"), State.SKIPPED, reason=SkipReason.TOO_LARGE)])
    ledger.advance(lease, INBOX.id, Checkpoint("test/1", "p1"), last=False, page=1).wait()
    (row,) = ledger.folders(JOB.id)
    assert row.checkpoint == Checkpoint("test/1", "p1")
    assert not row.listed
    with pytest.raises(JobError):
        ledger.advance(lease, INBOX.id, Checkpoint("test/1", "p2"), last=True, page=2).wait()


def test_a_refused_write_does_not_take_its_neighbours_along(ledger: Ledger, lease: Lease) -> None:
    ledger.begin(lease, INBOX.id, [ref("a")], page=1).wait()
    tickets = [ledger.begin(lease, INBOX.id, [ref(f"n{i}")], page=2) for i in range(20)]
    refused = ledger.advance(lease, INBOX.id, NOWHERE, last=False, page=1)
    after = ledger.settle(lease, INBOX.id, [copied("a")])
    for ticket in [*tickets, after]:
        ticket.wait()
    with pytest.raises(JobError):
        refused.wait()
    assert ledger.entries(JOB.id, [ref("a")])["a"].state is State.COPIED


def test_the_balance_closes_whatever_happens_to_an_item(ledger: Ledger, lease: Lease) -> None:
    failed = Outcome(ref("b"), State.FAILED, error=ItemError("no", code="ErrorCorruptData"))
    ledger.begin(lease, INBOX.id, [ref("a"), ref("b"), ref("c"), ref("d")])
    ledger.settle(lease, INBOX.id, [copied("a"), failed])
    ledger.settle(lease, INBOX.id, [Outcome(ref("e"), State.PRESENT, target_id="t-e")]).wait()
    (row,) = ledger.balance()
    assert (row.copied, row.present, row.failed, row.sending, row.seen) == (1, 1, 1, 2, 5)
    assert ledger.failed_by_code() == [(JOB.id, "ErrorCorruptData", 1)]
    ledger.begin(lease, INBOX.id, [ref("b")])  # tried again …
    ledger.settle(lease, INBOX.id, [copied("b")])  # … and arrived
    ledger.settle(lease, INBOX.id, [Outcome(ref("c"), State.SKIPPED, reason=SkipReason.VANISHED)])
    ledger.settle(lease, INBOX.id, [copied("d")]).wait()
    (row,) = ledger.balance()
    assert (row.copied, row.present, row.skipped, row.failed, row.sending) == (3, 1, 1, 0, 0)
    assert row.octets == 500
    assert ledger.failed_by_code() == []
    assert ledger.skipped_by_reason() == [(JOB.id, "vanished", 1)]
    assert ledger.entries(JOB.id, [ref("b")])["b"].attempts == 2


def test_an_item_in_doubt_cannot_be_settled(ledger: Ledger, lease: Lease) -> None:
    with pytest.raises(ValueError, match="doubt"):
        ledger.settle(lease, INBOX.id, [Outcome(ref("a"), State.FAILED, error=InDoubt("lost"))])


def test_revived_items_are_open_and_due(ledger: Ledger, lease: Lease) -> None:
    ledger.begin(lease, INBOX.id, [ref("a"), ref("b")]).wait()
    ledger.revive(lease, INBOX.id, ["a"])
    assert [entry.code for entry in ledger.failed(JOB.id)] == ["not_sent"]
    assert [entry.source_id for entry in ledger.sending(JOB.id)] == ["b"]
    # To a person it is open, not failed: the next run sends it.
    assert (ledger.balance()[0].failed, ledger.balance()[0].sending) == (0, 2)
    assert ledger.failed_by_code() == []
    assert ledger.failures() == []


def test_a_failed_update_keeps_the_older_copy_known(ledger: Ledger, lease: Lease) -> None:
    ledger.begin(lease, INBOX.id, [ref("a")])
    ledger.settle(lease, INBOX.id, [copied("a", target_version="v1")])
    ledger.begin(lease, INBOX.id, [ref("a", "2")])
    ledger.settle(lease, INBOX.id, [Outcome(ref("a", "2"), State.FAILED, error=ItemError("x"))]).wait()
    entry = ledger.entries(JOB.id, [ref("a")])["a"]
    assert (entry.target_id, entry.target_version, entry.version) == ("t-a", "v1", "2")


def test_filtered_items_can_be_found_again(ledger: Ledger, lease: Lease) -> None:
    reasons = {"a": SkipReason.FILTERED_DATE, "b": SkipReason.TOO_LARGE}
    ledger.settle(
        lease, INBOX.id, [Outcome(ref(name), State.SKIPPED, reason=why) for name, why in reasons.items()]
    )
    found = ledger.skipped(JOB.id, INBOX.id, [SkipReason.FILTERED_DATE])
    assert [entry.source_id for entry in found] == ["a"]


def test_a_job_has_one_owner_until_it_falls_silent(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path, clock=clock) as first, Ledger.open(path, clock=clock) as second:
        first.register([JOB])
        lease = first.claim(JOB.id, first.start_run("delta", {}, "0"))
        assert lease
        assert second.claim(JOB.id, 2) is None
        clock.sleep(LEASE_S - 1)
        first.heartbeat(lease)
        clock.sleep(LEASE_S - 1)
        assert second.claim(JOB.id, 2) is None
        clock.sleep(2)
        taken = second.claim(JOB.id, 2)
        assert taken
        # The first only slept: nothing of it gets through any more.
        writes = (
            lambda: first.heartbeat(lease),
            lambda: first.set_mark(lease, INBOX.id, NOWHERE).wait(),
            lambda: first.settle(lease, INBOX.id, [copied("a")]).wait(),
            lambda: first.release(lease, "done"),
        )
        for write in writes:
            with pytest.raises(JobError) as fenced:
                write()
            assert fenced.value.code == "lease_lost"
        second.put_folder(taken, INBOX, None)
        second.settle(taken, INBOX.id, [copied("b")]).wait()
        assert [entry.source_id for entry in second.iter_entries(JOB.id)] == ["b"]
        second.release(taken, "done")
        assert first.claim(JOB.id, 3)


def test_whoever_slept_asks_before_it_changes_a_target(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path, clock=clock) as sleeper, Ledger.open(path, clock=clock) as other:
        sleeper.register([JOB])
        sleeper.assure(JOB.id)  # not ours: nothing to say
        lease = sleeper.claim(JOB.id, 1)
        assert lease
        sleeper.assure(JOB.id)
        clock.sleep(LEASE_S + 1)
        sleeper.assure(JOB.id)  # nobody took it meanwhile: renewed
        assert other.claim(JOB.id, 2) is None
        clock.sleep(LEASE_S + 1)
        taken = other.claim(JOB.id, 2)
        assert taken
        with pytest.raises(JobError) as lost:
            sleeper.assure(JOB.id)
        assert lost.value.code == "lease_lost"
        other.release(taken, "done")
        assert sleeper.claim(JOB.id, 3)
        sleeper.assure(JOB.id)


def test_a_missing_heartbeat_loses_the_mailbox_within_15_seconds_and_no_sooner(
    tmp_path: Path, clock: FakeClock
) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path, clock=clock) as first, Ledger.open(path, clock=clock) as second:
        first.register([JOB])
        lease = first.claim(JOB.id, 1)
        assert lease
        for _ in range(20):
            clock.sleep(HEARTBEAT_S)
            first.heartbeat(lease)
            assert second.claim(JOB.id, 2) is None
        silent = clock.now()
        while (taken := second.claim(JOB.id, 2)) is None:
            clock.sleep(0.5)
        assert LEASE_S - 0.5 <= clock.now() - silent < 15
        assert taken.fence == lease.fence + 1


def test_another_mailbox_behind_the_address_stops_the_job(ledger: Ledger, lease: Lease) -> None:
    ledger.bind(lease, source_identity="guid-1", target_identity="MBX:1")
    ledger.bind(lease, source_identity="guid-1", target_identity="MBX:1")
    with pytest.raises(JobError) as stopped:
        ledger.bind(lease, source_identity="guid-2", target_identity="MBX:1")
    assert stopped.value.code == "identity_changed"
    ledger.bind(lease, source_identity="guid-2", target_identity="MBX:1", force=True)


def test_marks_go_with_their_target(ledger: Ledger, lease: Lease) -> None:
    ledger.set_mark(lease, INBOX.id, Checkpoint("delta/1", "m"))
    assert ledger.folders(JOB.id)[0].mark == Checkpoint("delta/1", "m")
    ledger.set_target(lease, INBOX.id, None)
    row = ledger.folders(JOB.id)[0]
    assert (row.mark, row.target_id) == (None, "")


def test_a_reader_sees_a_running_ledger(
    tmp_path: Path, ledger: Ledger, lease: Lease, clock: FakeClock
) -> None:
    ledger.begin(lease, INBOX.id, [ref("a")]).wait()
    with Ledger.open(tmp_path / "ledger.db", clock=clock, read_only=True) as reader:
        assert [job.state for job in reader.jobs()] == ["running"]
        assert reader.jobs()[0].extra == {"Desk": "7"}
        assert reader.balance()[0].sending == 1
        ledger.settle(lease, INBOX.id, [copied("a")]).wait()
        assert reader.balance()[0].copied == 1
        assert reader.throughput()[0].items == 1


def test_it_is_private_and_of_this_version(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "deep" / "ledger.db"
    Ledger.open(path, clock=clock).close()
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num='9999'")
    with pytest.raises(UserError) as newer:
        Ledger.open(path, clock=clock)
    assert newer.value.code == "ledger_newer"


def test_the_texts_are_those_of_the_statements() -> None:
    from migrator.ledger import statements

    assert statements.FILE.read_text("utf-8") == statements.texts(), (
        "write them anew: python -m migrator.ledger.statements"
    )


def test_migrations_make_the_same_tables_as_a_new_ledger(tmp_path: Path, clock: FakeClock) -> None:
    from sqlalchemy import create_engine

    from migrator.ledger.migrations import upgrade

    Ledger.open(tmp_path / "new.db", clock=clock).close()
    upgrade(create_engine(f"sqlite:///{tmp_path / 'migrated.db'}"))

    def tables(name: str) -> set[tuple[str, str]]:
        query = "SELECT name, sql FROM sqlite_master WHERE name != 'alembic_version' AND sql IS NOT NULL"
        with sqlite3.connect(tmp_path / name) as connection:
            return {(row[0], " ".join(row[1].split())) for row in connection.execute(query)}

    assert tables("new.db") == tables("migrated.db")


def test_a_ledger_of_the_first_schema_is_brought_up_to_date_and_kept_beside(
    tmp_path: Path, clock: FakeClock
) -> None:
    from alembic import command
    from sqlalchemy import create_engine

    from migrator.ledger import migrations

    path = tmp_path / "ledger.db"
    config = migrations._config()
    with create_engine(f"sqlite:///{path}").begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO job (no, id, line, source, target, source_endpoint, target_endpoint) "
            "VALUES (1, 'old-job', 2, 'a@old.example', 'a@new.example', 'old', 'new')"
        )
    with pytest.raises(UserError) as older:
        Ledger.open(path, clock=clock, read_only=True)
    assert older.value.code == "ledger_older"
    with Ledger.open(path, clock=clock) as ledger:
        assert [job.id for job in ledger.jobs()] == ["old-job"]
        assert ledger.fidelity() == []
    with sqlite3.connect(tmp_path / "ledger.db.before-0004") as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]


def test_the_last_deep_verification_is_kept_by_kind_and_path(ledger: Ledger, lease: Lease) -> None:
    first = Fidelity(Kind.MAIL, "stream", 10, 9, 5, 1, 1, 1, 1, {"lost": {"PidTagBody": 1}}, 0.95, 0.01)
    ledger.put_fidelity(JOB.id, [first, replace(first, kind=Kind.EVENT, path="json")])
    ledger.put_fidelity(JOB.id, [first])
    ledger.put_fidelity("unknown", [first])
    (kept,) = ledger.fidelity(JOB.id)
    assert replace(kept, job_id="", at=0.0) == first
    assert (kept.job_id, kept.at > 0) == (JOB.id, True)
    assert ledger.fidelity("unknown") == []


def test_paths_are_counted_with_their_remarks(ledger: Ledger, lease: Lease) -> None:
    lossy = replace(copied("c"), notes=("rtf_body", "attached_item"))
    ledger.begin(lease, INBOX.id, [ref("a"), ref("b"), ref("c")])
    ledger.settle(lease, INBOX.id, [copied("a"), copied("b")], path_taken="fts")
    ledger.settle(lease, INBOX.id, [lossy], path_taken="json").wait()
    found = {(one.path, one.notes): one.items for one in ledger.paths_taken()}
    assert found == {("stream", ()): 2, ("json", ("rtf_body", "attached_item")): 1}


def test_a_foreign_file_is_refused(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "text.db").write_text("this is not a database, it only looks like one " * 40)
    with pytest.raises(RunError) as refused:
        Ledger.open(tmp_path / "text.db", clock=clock)
    assert refused.value.code == "ledger_corrupt"
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE something (x)")
    with pytest.raises(RunError):
        Ledger.open(tmp_path / "other.db", clock=clock)
    with pytest.raises(UserError) as missing:
        Ledger.open(tmp_path / "none.db", clock=clock, read_only=True)
    assert missing.value.code == "ledger_missing"


def test_a_full_disk_stops_all_further_writing(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(
        path: Path, connect: Callable[[Path], sqlite3.Connection] = database.connect
    ) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute("PRAGMA max_page_count=80")  # SQLite then answers as on a full disk
        return connection

    monkeypatch.setattr(database, "connect", small)
    ledger = Ledger.open(tmp_path / "ledger.db", clock=clock)
    ledger.register([JOB])
    monkeypatch.undo()
    with ledger:
        lease = ledger.claim(JOB.id, 1)
        assert lease
        ledger.put_folder(lease, INBOX, None)

        def fill() -> None:
            for n in range(2000):
                ledger.begin(lease, INBOX.id, [ref(f"{n}-{i}") for i in range(50)]).wait()

        with pytest.raises(RunError) as full:
            fill()
        assert full.value.code == "disk_full"
        with pytest.raises(RunError):
            ledger.begin(lease, INBOX.id, [ref("later")])


def test_many_threads_share_commits_and_lose_nothing(ledger: Ledger, lease: Lease) -> None:
    def work(thread: int) -> None:
        for number in range(20):
            names = [f"{thread}-{number}-{i}" for i in range(5)]
            ledger.begin(lease, INBOX.id, [ref(name) for name in names]).wait()
            for name in names:
                ledger.settle(lease, INBOX.id, [copied(name)])

    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.flush()
    row = ledger.balance()[0]
    assert (row.copied, row.sending, row.octets) == (1600, 0, 160_000)
    assert sum(sample.items for sample in ledger.throughput()) == 1600
    assert len(list(ledger.iter_entries(JOB.id, INBOX.id, State.COPIED))) == 1600


def test_it_moves_to_another_machine_as_one_file(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "ledger.db"
    with Ledger.open(path, clock=clock) as ledger:
        ledger.register([JOB])
    (tmp_path / "elsewhere").mkdir()
    path.rename(tmp_path / "elsewhere" / "other-name.db")
    with Ledger.open(tmp_path / "elsewhere" / "other-name.db", clock=clock, read_only=True) as ledger:
        assert [job.source for job in ledger.jobs()] == ["a@old.example"]


def test_many_items_at_once_are_all_written_and_counted(ledger: Ledger, lease: Lease) -> None:
    refs = [ref(f"m{n}") for n in range(150)]
    ledger.begin(lease, INBOX.id, refs).wait()
    assert {entry.source_id for entry in ledger.sending(JOB.id)} == {one.id for one in refs}
    for part in (refs[:1], refs[1:70], refs[70:]):
        ledger.settle(lease, INBOX.id, [copied(one.id) for one in part])
    again = [Outcome(refs[3], State.FAILED, error=ItemError("no", code="broken"))]
    ledger.settle(lease, INBOX.id, again).wait()
    (row,) = ledger.balance()
    assert (row.copied, row.failed, row.sending, row.seen) == (149, 1, 0, 150)
    assert ledger.entries(JOB.id, refs)["m3"].target_id == "t-m3"


def test_whoever_is_patient_is_answered_too(ledger: Ledger, lease: Lease) -> None:
    ticket = ledger.begin(lease, INBOX.id, [ref("a")])
    assert ticket.wait(patient=True) is None
    assert ticket.done()


def test_a_folder_keeps_its_target_and_its_mark(ledger: Ledger, lease: Lease) -> None:
    ledger.set_mark(lease, INBOX.id, Checkpoint("test/1", "m0"))
    ledger.put_folder(lease, replace(INBOX, total=4), None, skipped=SkipReason.FILTERED_FOLDER)
    ledger.advance(lease, INBOX.id, Checkpoint("test/1", "p1"), last=True).wait()
    ledger.advance(lease, INBOX.id, Checkpoint("test/1", "p2"), last=False).wait()
    (row,) = ledger.folders(JOB.id)
    assert (row.target_id, row.target_path, row.total) == ("t-inbox", ("Inbox",), 4)
    assert (row.mark, row.checkpoint) == (Checkpoint("test/1", "m0"), Checkpoint("test/1", "p2"))
    assert row.listed and row.skipped is SkipReason.FILTERED_FOLDER


def test_no_write_looks_through_all_entries(ledger: Ledger, lease: Lease) -> None:
    """What a write costs must not depend on what the ledger holds already."""
    hot = [
        Statement("known").ready(places=[(1, b"k" * 16), (2, b"j" * 16), (3, b"i" * 16)]),
        Statement("held").ready(places=[(1, 1), (2, 1)]),
        Statement("unsettled").ready(job_no=1, folder_no=1, page_no=1),
        Statement("advance").ready(folder_no=1, scheme="a", token="b", last_page=0),
        Statement("folder_number").ready(job_no=1, folder_id="a"),
    ]
    with sqlite3.connect(ledger._path) as raw:
        for sql, values in hot:
            plan = [row[3] for row in raw.execute("EXPLAIN QUERY PLAN " + sql, tuple(values))]
            assert plan
            assert not [
                step
                for step in plan
                if step.split()[:2] in (["SCAN", "entry"], ["SCAN", "job"], ["SCAN", "folder"])
            ], plan


def test_routes_are_counted_whatever_becomes_of_an_item(ledger: Ledger, lease: Lease) -> None:
    names = [f"i{n}" for n in range(9)]
    ledger.begin(lease, INBOX.id, [ref(name) for name in names])
    ledger.settle(lease, INBOX.id, [copied(name) for name in names], path_taken="fts").wait()
    ledger.begin(lease, INBOX.id, [ref(name, version="2") for name in names[:4]])  # changed: sent again
    ledger.settle(lease, INBOX.id, [replace(copied(names[0]), notes=("rtf_body",))], path_taken="json")
    ledger.settle(lease, INBOX.id, [failed(names[1])], path_taken="json").wait()
    ledger.settle(
        lease, INBOX.id, [copied(names[4])], path_taken="mime"
    ).wait()  # another way, without a stop between
    ledger.mark_gone(lease, [names[5]])
    ledger.drop(lease, [names[6]])

    def told() -> dict[tuple[str, tuple[str, ...]], int]:
        return {(one.path, one.notes): one.items for one in ledger.paths_taken()}

    assert told() == {("json", ("rtf_body",)): 1, ("mime", ()): 1, ("stream", ()): 3}
    with sqlite3.connect(ledger._path) as raw:
        kept = raw.execute("SELECT job, kind, path, notes, items FROM route WHERE items != 0 ORDER BY 3, 4")
        counted = raw.execute(
            "SELECT job, kind, path_taken, notes, count(*) FROM entry WHERE state = 'copied' GROUP BY 1, 2, 3, 4 ORDER BY 3, 4"
        )
        assert kept.fetchall() == counted.fetchall()


def test_a_question_about_a_folder_does_not_go_through_its_mailbox(ledger: Ledger, lease: Lease) -> None:
    asked: list[str] = []
    with ledger._database.reading() as connection:
        connection.set_trace_callback(asked.append)
    ledger.sending(JOB.id, INBOX.id)
    ledger.failed(JOB.id)
    list(ledger.skipped(JOB.id, INBOX.id, [SkipReason.TOO_LARGE]))
    ledger.claimed_targets(JOB.id, INBOX.id)
    ledger.balance()
    ledger.balance_by_job()
    with sqlite3.connect(ledger._path) as raw:
        steps = [
            step[3]
            for sql in asked
            if sql.startswith("SELECT")
            for step in raw.execute("EXPLAIN QUERY PLAN " + sql)
            if "entry" in step[3]
        ]
    assert len(steps) >= 6
    assert not [step for step in steps if "entry_open" not in step and "entry_of_folder" not in step], steps


def test_an_old_ledger_learns_its_routes(tmp_path: Path, clock: FakeClock) -> None:
    from alembic import command
    from sqlalchemy import create_engine

    from migrator.ledger import migrations

    path = tmp_path / "ledger.db"
    with Ledger.open(tmp_path / "new.db", clock=clock) as new:
        new.register([JOB])
        lease = new.claim(JOB.id, new.start_run("delta", {}, "0"))
        assert lease is not None
        new.put_folder(lease, INBOX, Folder("t-inbox", ("Inbox",)))
        new.settle(lease, INBOX.id, [copied("a"), copied("b")], path_taken="fts")
        new.settle(
            lease, INBOX.id, [replace(copied("c"), notes=("rtf_body",)), failed("d")], path_taken="json"
        ).wait()
        expected = list(new.paths_taken())
    config = migrations._config()
    with create_engine(f"sqlite:///{path}").begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
    with sqlite3.connect(path) as raw:
        raw.execute("ATTACH ? AS new", (str(tmp_path / "new.db"),))
        for table in ("run", "job", "folder", "entry", "tally"):
            raw.execute(f"INSERT INTO main.{table} SELECT * FROM new.{table}")
    with Ledger.open(path, clock=clock) as old:
        assert list(old.paths_taken()) == expected
        assert sum(one.items for one in expected) == 3
        assert old.balance_by_job()[0].failed == 1
    assert (tmp_path / "ledger.db.before-0004").exists()
