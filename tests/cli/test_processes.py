"""`run --processes N`: several processes, one console, one exit code; what one loses another takes over."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from migrator.cli.loading import load, settings_of
from migrator.cli.processes import Mouth, Together, _Doors, endpoints_of, most_of, share_of
from migrator.engine.stop import Stop
from migrator.errors import ItemError
from migrator.events import BatchSettled, Event, JobFinished, JobStarted, Notice, RunFinished, RunStarted
from migrator.lab.world import World
from migrator.model import ItemRef, Job, Kind, Mailbox, Outcome, State
from tests.cli.rehearsal import Rehearsal


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rehearsal]:
    monkeypatch.chdir(tmp_path)
    rehearsal = Rehearsal(tmp_path / "acme", mailboxes=4, items=0, bulk=20, bulk_octets=2_000)
    assert rehearsal("check").exit_code == 0
    yield rehearsal
    rehearsal.close()


def items(play: Rehearsal, half: str) -> int:
    return play.do(lambda world: sum(len(b.items) for b in getattr(world, half).mailboxes.values()))


def test_two_processes_share_the_mailboxes(play: Rehearsal) -> None:
    loaded = load(play.folder)
    events: list[Event] = []
    settings = settings_of(loaded.project)
    together = Together(loaded.project, loaded.jobs, settings, events.append, Stop(), 2)
    assert together.run() == 0
    assert items(play, "m365") == 80
    assert play.doubles() == 0
    assert play.totals()["copied"] == 80
    done = [e for e in events if isinstance(e, JobFinished)]
    assert {e.job for e in done if e.state == "done"} == {job.id for job in loaded.jobs}
    assert (
        sum(isinstance(e, RunStarted) for e in events) == sum(isinstance(e, RunFinished) for e in events) == 1
    )


def test_the_command_says_what_one_process_says(play: Rehearsal) -> None:
    done = play("run", "--processes", "2")
    assert done.exit_code == 0, done.output
    assert "80 = 80 copied" in done.output


def test_a_mailbox_that_fails_shows_in_the_one_exit_code(play: Rehearsal) -> None:
    first = load(play.folder).jobs[0].target.address
    play.do(lambda world: setattr(world.m365.mailbox(first), "licensed", False))
    assert play("run", "--processes", "2", "--quiet").exit_code == 4
    assert items(play, "m365") == 60


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL: POSIX only")
def test_a_killed_worker_is_replaced_and_its_mailboxes_are_taken_over(play: Rehearsal) -> None:
    loaded = load(play.folder)
    events: list[Event] = []
    killed: list[int] = []

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, JobStarted) and not killed:
            victim = together._workers[0].process
            killed.append(victim.pid)
            os.kill(victim.pid, signal.SIGKILL)
            victim.join(10)
            # Its leases run out here and now; how long that takes otherwise is shown on a clock of the tests (tests/ledger).
            with closing(sqlite3.connect(play.folder / "ledger.sqlite", timeout=10)) as ledger:
                ledger.execute("UPDATE job SET lease_until = 0 WHERE owner LIKE ?", (f"%:{victim.pid}:%",))
                ledger.commit()

    together = Together(loaded.project, loaded.jobs, settings_of(loaded.project), emit, Stop(), 2)
    began = time.monotonic()
    assert together.run() == 0
    assert time.monotonic() - began < 45
    assert killed
    assert any("taken over" in e.text for e in events if isinstance(e, Notice))
    assert items(play, "m365") == 80
    assert play.doubles() == 0


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_ctrl_c_reaches_all(play: Rehearsal) -> None:
    play.do(lambda world: setattr(world, "knobs", world.knobs.swap({"latency_s": 0.3})))
    running = subprocess.Popen(
        [sys.executable, "-m", "migrator", "run", "-p", str(play.folder), "--processes", "2", "--json"],
        stdout=subprocess.PIPE, text=True, start_new_session=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert running.stdout is not None
    for line in running.stdout:
        if "job_started" in line or "JobStarted" in line:
            break
    os.killpg(running.pid, signal.SIGINT)
    rest = running.stdout.read()
    assert running.wait(60) == 130, rest
    play.do(lambda world: setattr(world, "knobs", world.knobs.swap({"latency_s": 0.0})))
    assert play("run", "--quiet").exit_code == 0
    assert items(play, "m365") == 80
    assert play.doubles() == 0


def test_newest_first_holds_over_all_processes(play: Rehearsal) -> None:
    """Every mailbox has its last 90 days before any process copies something older, of any mailbox."""

    def renew(world: World) -> set[tuple[str, str]]:
        new = set()
        for box in world.exchange.mailboxes.values():
            for number, item in enumerate(box.items.values()):
                age = timedelta(days=1000 if number % 2 else 2)
                item.facts = replace(item.facts, received=datetime.now(UTC) - age)
                if not number % 2:
                    new.add((box.address.split("@")[0], item.facts.subject))
        return new

    recent = play.do(renew)
    assert len(recent) == 40
    loaded = load(play.folder)
    settings = replace(settings_of(loaded.project), newest_first=True)
    events: list[Event] = []
    assert Together(loaded.project, loaded.jobs, settings, events.append, Stop(), 2).run() == 0
    assert items(play, "m365") == 80
    assert play.doubles() == 0
    arrived = play.do(
        lambda world: [
            (entry.mailbox.split("@")[0], item.facts.subject)
            for entry in world.journal.entries
            if entry.operation == "importItem" and entry.stored
            for item in [world.m365.mailbox(entry.mailbox).items.get(entry.stored[0].item)]
            if item is not None  # those of the canary are gone
        ]
    )
    assert [one in recent for one in arrived] == 40 * [True] + 40 * [False]
    started = [event.job for event in events if isinstance(event, JobStarted)]
    done = [event.job for event in events if isinstance(event, JobFinished)]
    assert sorted(started) == sorted(done) == sorted(job.id for job in loaded.jobs), "each is told once"


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_wrong_password_is_tried_once_by_all_processes_together(play: Rehearsal, side: str) -> None:
    """Four rows share one account at either side."""
    name = "old-password.txt" if side == "source" else "client-secret.txt"
    (play.folder / "lab" / name).write_text("wrong\n", encoding="utf-8")
    before = play.do(lambda world: len(world.journal.entries))
    done = play("run", "--quiet", "--processes", "3")
    assert done.exit_code == 2, done.output
    service, statuses = ("ews", (401,)) if side == "source" else ("token", (400, 401))
    tries = play.do(
        lambda world: [
            entry
            for entry in world.journal.entries[before:]
            if entry.service == service and entry.status in statuses
        ]
    )
    assert len(tries) == 1
    assert items(play, "m365") == 0


def test_what_a_worker_tells_is_gathered_and_kept_in_order() -> None:
    told: list[object] = []
    mouth = Mouth(told.append, lambda: None)
    whole = ItemRef("AAMk", ("Inbox",), Kind.MAIL, "1", 3000, subject="private")
    good, bad = (
        Outcome(whole, State.COPIED, "t", octets=4000),
        Outcome(whole, State.FAILED, error=ItemError("x", code="y")),
    )
    for outcome in (good, good, bad):
        mouth(BatchSettled("job", ("Inbox",), (outcome,), 7.0))
    assert told == []
    mouth(JobFinished("job", "partial", 8.0))
    batch, finished = told
    assert isinstance(batch, BatchSettled)
    assert isinstance(finished, JobFinished)
    assert [(o.state, o.octets, o.ref.size) for o in batch.outcomes[:2]] == [(State.COPIED, 4000, 3000)] * 2
    assert batch.outcomes[2] is bad, "a failure is told whole"
    assert "private" not in repr(batch.outcomes[:2])
    mouth.say()
    assert len(told) == 2, "nothing is told twice"

    def broken(what: object) -> None:
        raise BrokenPipeError

    stopped: list[bool] = []
    Mouth(broken, lambda: stopped.append(True))(JobFinished("job", "done", 8.0))
    assert stopped


def test_accounts_of_single_rows_wait_for_nobody() -> None:
    own = [job_of(number, f"user{number}") for number in range(4)]
    assert all(_Doors([*own, job_of(9, "user9")]).free(job) is False for job in own), "the target's is shared"
    lone = [
        replace(job, target=Mailbox("new", job.target.address, login=f"u{n}")) for n, job in enumerate(own)
    ]
    assert all(_Doors(lone).free(job) for job in lone)
    doors = _Doors(own)
    assert doors.first(own, own[:1]) == own[:1]
    doors.opened(own[0])
    assert all(doors.free(job) for job in own)
    twins = [*lone, replace(lone[0], id="twin")]
    doors = _Doors(twins)
    assert [doors.free(job) for job in twins] == [False, True, True, True, False]
    assert doors.first(twins, twins[1:2]) == [twins[1], twins[0]], "somebody has to try the shared one"


def job_of(number: int, login: str) -> Job:
    return Job(
        f"job-{number}",
        number + 2,
        Mailbox("old", f"u{number}@old.example", login=login),
        Mailbox("new", f"u{number}@new.example"),
    )


def test_slots_of_an_endpoint_are_divided_among_processes(play: Rehearsal) -> None:
    project = load(play.folder).project
    new = project.endpoints["new"]
    limited = replace(
        project,
        endpoints={
            **project.endpoints,
            "new": replace(new, limits=replace(new.limits, endpoint_concurrent=5)),
        },
    )
    assert endpoints_of(limited, 2).endpoints["new"].limits.endpoint_concurrent == 2
    assert endpoints_of(limited, 2).endpoints["old"] == project.endpoints["old"]
    jobs = [job_of(number, "") for number in range(9)]
    assert most_of(limited, jobs) == 5, "a process without a slot could not work"
    assert most_of(project, jobs) == 9


def test_what_is_asked_for_is_shared_out() -> None:
    from migrator.settings import RunSettings

    one = share_of(RunSettings(mailboxes=8, inflight_octets=200 << 20, max_rate_octets_s=1000.0), 3)
    assert one.mailboxes == 3
    assert one.inflight_octets == (200 << 20) // 3
    assert one.max_rate_octets_s == pytest.approx(1000 / 3)
