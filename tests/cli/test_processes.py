"""`run --processes N`: several processes, one console, one exit code; what one loses another takes over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrator.cli.loading import load, settings_of
from migrator.cli.processes import Together, share_of
from migrator.engine.stop import Stop
from migrator.events import Event, JobFinished, JobStarted, Notice, RunFinished, RunStarted
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


def test_what_is_asked_for_is_shared_out() -> None:
    from migrator.settings import RunSettings

    one = share_of(RunSettings(mailboxes=8, inflight_octets=200 << 20, max_rate_octets_s=1000.0), 3)
    assert one.mailboxes == 3
    assert one.inflight_octets == (200 << 20) // 3
    assert one.max_rate_octets_s == pytest.approx(1000 / 3)
