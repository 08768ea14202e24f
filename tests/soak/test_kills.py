"""Random kill -9 of the real process over several mailboxes, for as long as you like. Off unless MIGRATOR_SOAK_S says.

    MIGRATOR_SOAK_S=600 pytest -n 0 -s tests/soak/test_kills.py
    MIGRATOR_SOAK_S=600 MIGRATOR_SOAK_SEED=7 pytest -n 0 -s tests/soak/test_kills.py

A round is three mailboxes and up to five lives that end by SIGKILL at a random call; between lives their owners move, read
and delete items at the source. Then the same command runs to its end, and both sides are compared, folder by folder.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from migrator.lab.options import LabOptions, Seeding
from migrator.lab.server import LabProcess
from tests.survival.test_sigkill import Zygote, write_project
from tests.survival.zygote import COUNTED

SECONDS = float(os.environ.get("MIGRATOR_SOAK_S", "0"))
SEED = int(os.environ.get("MIGRATOR_SOAK_SEED", "0")) or random.randrange(1, 10**9)
MAILBOXES, FOLDERS, PER_FOLDER = 3, 3, 6
KILLS_MOST = 5

pytestmark = [
    pytest.mark.skipif(not SECONDS, reason="set MIGRATOR_SOAK_S to the seconds that it may take"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL: POSIX only"),
    pytest.mark.timeout(SECONDS + 600),
]


class Round:
    def __init__(self, folder: Path, seed: int, zygote: Zygote) -> None:
        self.chance = random.Random(seed)
        self.zygote = zygote
        self.folder = folder / "project"
        seeding = Seeding(
            seed=seed, mailboxes=MAILBOXES, items=0, bulk=FOLDERS * PER_FOLDER, bulk_folders=FOLDERS,
            bulk_octets=2_000, hard_names=False, locales=("en-US",),
        )  # fmt: skip
        self.lab = LabProcess(LabOptions(seeding=seeding, tls=True)).start()
        self.addresses = [one["address"] for one in self.lab.info["exchange"]["mailboxes"]]
        write_project(self.folder, self.lab.info, self.addresses[0])
        rows = "".join(f"{address},{address}\n" for address in self.addresses)
        (self.folder / "mailboxes.csv").write_text("source,target\n" + rows, encoding="utf-8")

    def life(self, kill_at: int | None, *more: str) -> dict[str, Any]:
        return self.zygote.order(
            {
                "argv": ["run", "--quiet", "--force", "no_canary", "--project", str(self.folder), *more],
                "env": {
                    "TEST_SOURCE": self.lab.info["exchange"]["service_account"]["password"],
                    "TEST_TARGET": self.lab.info["m365"]["client_secret"],
                    COUNTED: str(self.folder / "calls"),
                },
                "kill_at": kill_at,
            }
        )

    def break_leases(self) -> None:
        with sqlite3.connect(self.folder / "ledger.sqlite") as ledger:
            if ledger.execute("select count(*) from sqlite_master where name = 'job'").fetchone()[0]:
                ledger.execute("update job set lease_until = 0")

    def held(self, half: str, address: str) -> list[tuple[list[str], dict[str, Any]]]:
        box = next(b for b in self.lab.control("GET", f"mailboxes/{half}") if b["address"] == address)
        return [
            (folder["path"], item)
            for folder in box["folders"]
            if folder["items"]
            for item in self.lab.control(
                "GET", f"mailboxes/{half}/{address}?folder={quote(json.dumps(folder['path']), safe='')}"
            )
        ]

    def owners_at_work(self) -> None:
        """Somebody moves, reads or deletes a few items at the source."""
        for _ in range(self.chance.randrange(4)):
            address = self.chance.choice(self.addresses)
            there = self.held("exchange", address)
            path, item = self.chance.choice(there)
            do = self.chance.choice(("move", "move", "read", "unread", "touch", "delete"))
            paths = sorted({tuple(one) for one, _ in there} - {tuple(path)})
            if do == "move" and not paths:
                continue
            change = {"half": "exchange", "mailbox": address, "folder": path, "item": item["item"], "do": do}
            if do == "move":
                change["to"] = list(self.chance.choice(paths))
            self.lab.control("POST", "items", change)

    def judge(self, when: str) -> int:
        items = 0
        for address in self.addresses:
            ours, theirs = (
                Counter(
                    ("/".join(path), item["subject"], item["read"]) for path, item in self.held(half, address)
                )
                for half in ("exchange", "m365")
            )
            assert not ours - theirs, f"{when}: lost {ours - theirs}"
            assert not theirs - ours, f"{when}: doubled {theirs - ours}"
            items += ours.total()
        return items


def test_random_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    print(f"\nseed {SEED}")
    zygote = Zygote()
    begun = time.monotonic()
    kills = items = rounds = 0
    try:
        while time.monotonic() - begun < SECONDS:
            seed = SEED + rounds
            rounds += 1
            folder = tmp_path / str(rounds)
            folder.mkdir()
            one = Round(folder, seed, zygote)
            try:
                for _ in range(one.chance.randrange(1, KILLS_MOST + 1)):
                    life = one.life(one.chance.randrange(1, 160), "--propagate-deletes")
                    kills += life["signal"] == 9
                    assert life["signal"] == 9 or life["exit"] == 0, (seed, life)
                    one.break_leases()
                    one.owners_at_work()
                last = one.life(None, "--propagate-deletes")
                words = (one.folder / "calls.log").read_text(errors="replace")[-2000:]
                assert (last["signal"], last["exit"]) == (0, 0), (seed, words)
                items += one.judge(f"seed {seed}")
            finally:
                one.lab.stop()
    finally:
        zygote.close()
    print(f"{rounds} rounds, {kills} kills survived, {items} items checked, lost 0, doubled 0")
