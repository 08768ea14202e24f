"""Runs a project again and again, each time in a child that is killed at a random point, until enough kills have hit.

A kill that comes after the child's end counts for nothing; the last child is left alone.

    python -m tests.servers.kill_imap PROJECT KILLS SEED

Prints the number of kills that hit a child at work, and the exit code of the last run.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from migrator import assembly
from migrator.plan.manifest import read_manifest
from migrator.plan.planner import make_plan
from migrator.plan.project import load_project


class Clock:
    """Waits are short: the server on loopback has seen the end of the connection long before."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, 0.3))


def run(folder: Path) -> int:
    project = load_project(folder)
    jobs = make_plan(project, read_manifest(project.manifest)).jobs
    return assembly.run(project, jobs, project.settings(), lambda event: None, clock=Clock())


def child(folder: Path) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            code = run(folder)
        except BaseException as error:  # noqa: BLE001 - the child tells how it ended by its exit code
            print(repr(error), file=sys.stderr, flush=True)
            code = 99
        os._exit(code)
    return pid


def main() -> None:
    folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    chance = random.Random(seed)
    hit = 0
    span = 1.0
    for _ in range(6 * kills):
        if hit == kills:
            break
        pid = child(folder)
        # Kills fall anywhere in a run, more of them early, where each resumed run does its first work.
        deadline = time.monotonic() + chance.random() ** 1.5 * span
        done = 0
        while not done and time.monotonic() < deadline:
            done, _status = os.waitpid(pid, os.WNOHANG)
            time.sleep(0.002)
        if not done:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            hit += 1
        else:
            span = max(0.2, span * 0.7)
    _, status = os.waitpid(child(folder), 0)
    print(hit, os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
