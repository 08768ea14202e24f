"""kill -9 of the real process after every single call of a small job, then the same command again.

Each n has a mailbox pair of its own in one lab, so no case can help another. What is judged is what the servers hold
and what the ledger says: every item of the source is in the target once, and the ledger says so with its target id.
"""

from __future__ import annotations

import json
import os
import queue
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from migrator.lab.options import LabOptions, Seeding
from migrator.lab.server import LabProcess
from tests.survival.zygote import COUNTED

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL: POSIX only"),
    pytest.mark.xdist_group("sigkill"),
]

ROOT = Path(__file__).parents[2]
FOLDERS, PER_FOLDER = 2, 4
SIDE_BY_SIDE = 6
MAILBOXES = 140  # more than a small job has calls; the test fails if that ever stops being true


@pytest.fixture(scope="module")
def lab() -> Iterator[LabProcess]:
    seeding = Seeding(
        mailboxes=MAILBOXES,
        items=0,
        bulk=FOLDERS * PER_FOLDER,
        bulk_folders=FOLDERS,
        bulk_octets=3_000,
        hard_names=False,
        locales=("en-US",),
    )
    with LabProcess(LabOptions(seeding=seeding, tls=True)) as running:
        yield running


class Zygote:
    """One at a time; several of them run lives side by side, since a life mostly waits."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.survival.zygote"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def order(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


@pytest.fixture(scope="module")
def zygotes() -> Iterator[queue.SimpleQueue[Zygote]]:
    made = [Zygote() for _ in range(SIDE_BY_SIDE)]
    free: queue.SimpleQueue[Zygote] = queue.SimpleQueue()
    for zygote in made:
        free.put(zygote)
    yield free
    for zygote in made:
        zygote.close()


def write_project(folder: Path, info: dict[str, Any], address: str) -> None:
    folder.mkdir()
    target = info["m365"]
    (folder / "migration.toml").write_text(
        f"""manifest = "mailboxes.csv"
ledger = "ledger.sqlite"
[endpoints.old]
kind = "ews"
url = "{info["urls"]["ews"]}"
auth = "basic"
username = "{info["exchange"]["service_account"]["login"]}"
secret = "env:TEST_SOURCE"
ca_file = {json.dumps(info["ca_file"])}
[endpoints.new]
kind = "graph"
url = "{info["urls"]["graph"]}"
authority = "{info["urls"]["login"]}"
tenant = "{target["tenant_id"]}"
client_id = "{target["client_id"]}"
auth = "secret"
secret = "env:TEST_TARGET"
ca_file = {json.dumps(info["ca_file"])}
[defaults]
source = "old"
target = "new"
""",
        encoding="utf-8",
    )
    (folder / "mailboxes.csv").write_text(f"source,target\n{address},{address}\n", encoding="utf-8")


class Lives:
    def __init__(
        self, lab: LabProcess, zygotes: queue.SimpleQueue[Zygote], folder: Path, number: int
    ) -> None:
        self.lab = lab
        self.zygotes = zygotes
        self.folder = folder / f"n{number}"
        self.address = lab.info["exchange"]["mailboxes"][number]["address"]
        write_project(self.folder, lab.info, self.address)

    def run(self, kill_at: int | None = None) -> dict[str, Any]:
        order = {
            "argv": ["run", "--quiet", "--force", "no_canary", "--project", str(self.folder)],
            "env": {
                "TEST_SOURCE": self.lab.info["exchange"]["service_account"]["password"],
                "TEST_TARGET": self.lab.info["m365"]["client_secret"],
                COUNTED: str(self.folder / "calls"),
            },
            "kill_at": kill_at,
        }
        zygote = self.zygotes.get()
        try:
            return zygote.order(order)
        finally:
            self.zygotes.put(zygote)

    def words(self) -> str:
        return (self.folder / "calls.log").read_text(errors="replace")[-2000:]

    def break_lease(self) -> None:
        """Let the dead owner's lease run out without waiting for it on the wall clock."""
        with sqlite3.connect(self.folder / "ledger.sqlite") as ledger:
            if ledger.execute("SELECT count(*) FROM sqlite_master WHERE name = 'job'").fetchone()[0]:
                ledger.execute("UPDATE job SET lease_until = 0")

    def held(self, half: str) -> Counter[tuple[str, str]]:
        """(folder, subject) of all that a side holds, with how often."""
        found: Counter[tuple[str, str]] = Counter()
        for box in self.lab.control("GET", f"mailboxes/{half}"):
            if box["address"] != self.address:
                continue
            for folder in box["folders"]:
                if not folder["items"]:
                    continue
                path = json.dumps(folder["path"])
                for item in self.lab.control(
                    "GET", f"mailboxes/{half}/{self.address}?folder={_quoted(path)}"
                ):
                    found[("/".join(folder["path"]), item["subject"])] += 1
        return found

    def fates(self) -> list[tuple[str, str]]:
        with sqlite3.connect(self.folder / "ledger.sqlite") as ledger:
            return ledger.execute("SELECT state, target_id FROM entry").fetchall()


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def test_nothing_is_lost_or_doubled_by_a_kill_after_any_call(
    lab: LabProcess, zygotes: queue.SimpleQueue[Zygote], tmp_path: Path
) -> None:
    undisturbed = Lives(lab, zygotes, tmp_path, 0)
    whole = undisturbed.run()
    assert whole["exit"] == 0, undisturbed.words()
    judge(undisturbed, "undisturbed")
    assert whole["calls"] >= 20, "so few calls cannot be a whole job"
    # Threads make the number of calls differ a little from run to run: go on until a run outlives its bullet.
    most = whole["calls"] + 15
    assert most < MAILBOXES, "seed more mailboxes"

    def one(number: int) -> int:
        lives = Lives(lab, zygotes, tmp_path, number)
        first = lives.run(kill_at=number)
        if first["signal"] == 0:
            assert first["exit"] == 0, (number, lives.words())
        else:
            assert first["signal"] == 9
            lives.break_lease()
            again = lives.run()
            assert (again["signal"], again["exit"]) == (0, 0), (number, lives.words())
        judge(lives, f"killed after call {number}")
        return int(first["signal"] == 9)

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        killed = sum(pool.map(one, range(1, most)))
    assert killed >= whole["calls"] - 15
    assert not lab.control("GET", "judgement")["invitations"]


def judge(lives: Lives, when: str) -> None:
    """The end state of an undisturbed run, whatever came between."""
    expected = lives.held("exchange")
    assert sum(expected.values()) == FOLDERS * PER_FOLDER
    assert lives.held("m365") == expected, when
    fates = lives.fates()
    assert {state for state, _ in fates} == {"copied"}, (when, fates)
    assert len({target for _, target in fates}) == FOLDERS * PER_FOLDER, (when, fates)
