"""A report of a large project: how long it takes, how large the page gets.

    python -m bench.report [--mailboxes 600] [--items 5000000] [--folder DIR] [--keep]

A ledger as a week of runs leaves it: folders of very different sizes, items that failed for a dozen reasons, items skipped, two
passes, throttling, an outage of the source, a deep verification. Rows are made with SQL. The report is the command in a process
of its own, with the start of Python.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

from bench.ledger import SOURCE_ID, TARGET_ID, write_project
from migrator.engine.stop import SystemClock
from migrator.ledger import Fidelity, Ledger
from migrator.model import Folder, Job, Kind, Mailbox, SkipReason

BEGAN = 1_790_000_000.0
NAMES = (
    "Inbox", "Sent Items", "Archive", "Deleted Items", "Projects", "Invoices", "Customers", "Suppliers", "Calendar", "Contacts",
    "Tasks", "Board", "Travel", "2019", "2020", "2021", "2022", "2023", "Newsletters", "Private",
)  # fmt: skip
FIRST = (
    "anna", "ben", "carla", "david", "eva", "finn", "greta", "hugo", "ida", "jan", "kim", "lena", "mats", "nora", "otto", "paula",
)  # fmt: skip
LAST = (
    "bauer",
    "costa",
    "dahl",
    "evans",
    "fischer",
    "garcia",
    "horn",
    "ito",
    "jansen",
    "keller",
    "lund",
    "meyer",
    "novak",
)
CODES = ("ErrorCorruptData", "ErrorItemSave", "http_503", "in_doubt", "conflict", "timeout", "ErrorBrandNew")
SKIPPED = ("too_large", "vanished", "corrupt_at_source", "filtered_date")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mailboxes", type=int, default=600)
    parser.add_argument("--items", type=int, default=5_000_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--keep", action="store_true", help="leave project and report where they are")
    given = parser.parse_args()
    if given.keep and given.folder:
        given.folder.mkdir(parents=True, exist_ok=True)
        measure(given.folder, given.mailboxes, given.items)
        return
    with tempfile.TemporaryDirectory(prefix="migrator-report-", dir=given.folder) as folder:
        measure(Path(folder), given.mailboxes, given.items)


def measure(folder: Path, mailboxes: int, items: int) -> None:
    if not (folder / "migration.toml").exists():
        make(folder, mailboxes, items)
        write_project(folder, mailboxes)
    for extra in ((), ("--items",)):
        begun, before = time.perf_counter(), os.times()
        done = subprocess.run(
            [sys.executable, "-m", "migrator", "report", "--project", str(folder), *extra],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        took, after = time.perf_counter() - begun, os.times()
        assert done.returncode == 0, done.stderr
        spent = after.children_user + after.children_system - before.children_user - before.children_system
        sizes = {path.name: path.stat().st_size for path in (folder / "report").iterdir()}
        print(
            f"{mailboxes} mailboxes, {items:,} items: report {' '.join(extra)} in {took:.1f} s ({spent:.1f} s of processor), "
            f"page {sizes['report.html'] / 1e6:.2f} MB, all {len(sizes)} files {sum(sizes.values()) / 1e6:.1f} MB",
            flush=True,
        )


def make(folder: Path, mailboxes: int, items: int) -> None:
    chance = random.Random(4)
    weights = [chance.lognormvariate(0, 0.8) for _ in range(mailboxes)]
    jobs = [
        Job(
            f"job-{n:04d}",
            n + 2,
            Mailbox("old", f"{FIRST[n % 16]}.{LAST[n % 13]}{n // 16 or ''}@brightwater.example"),
            Mailbox("new", f"{FIRST[n % 16]}.{LAST[n % 13]}{n // 16 or ''}@contoso.example"),
            batch=f"wave {n * 3 // mailboxes + 1}",
        )
        for n in range(mailboxes)
    ]
    path = folder / "ledger.sqlite"
    plans: list[tuple[int, int, str, int, int]] = []  # job, folder, kind, items at the source, items listed
    with Ledger.open(path, clock=SystemClock()) as ledger:
        run = ledger.start_run("prestage", {"mailboxes": "16", "until": "2026-07-01 00:00:00+00:00"}, "0.1.0")
        last = ledger.start_run(
            "delta", {"mailboxes": "24", "newest_first": "True", "max_rate_octets_s": "25000000.0"}, "0.1.0"
        )
        ledger.register(jobs)
        for n, job in enumerate(jobs):
            lease = ledger.claim(job.id, run)
            assert lease is not None
            share = items * weights[n] / sum(weights)
            names = NAMES[: chance.randint(6, 20)] + tuple(
                f"Customers {i:02d}" for i in range(chance.randint(0, 40))
            )
            parts = [chance.lognormvariate(0, 1.2) for _ in names]
            failed_early = n % 97 == 13
            for at, name in enumerate(names):
                kind = {"Calendar": Kind.EVENT, "Contacts": Kind.CONTACT, "Tasks": Kind.TASK}.get(
                    name, Kind.MAIL
                )
                count = max(1, round(share * parts[at] / sum(parts)))
                skipped = SkipReason.FILTERED_FOLDER if name == "Newsletters" else None
                path_ = ("Customers", name) if name.startswith("Customers ") else (name,)
                ledger.put_folder(
                    lease, Folder(f"{job.id}-{at}", path_, kind=kind, total=count, size=count * 75_000),
                    None if skipped else Folder(f"{job.id}-t{at}", path_), skipped=skipped,
                )  # fmt: skip
                plans.append((n, at, kind.value, count, 0 if skipped or (failed_early and at > 3) else count))
            if failed_early:
                ledger.release(lease, "error", code="quota_full", error="the target mailbox is full")
            else:
                ledger.release(lease, "done" if n % 3 else "partial", code="" if n % 3 else "items_failed")
        for n in range(0, mailboxes, 5):
            ledger.put_fidelity(
                jobs[n].id,
                [
                    Fidelity(Kind.MAIL, "stream", 8000, 298, 290, 8, 0, 0, 0, {"volatile": {"PidTagChangeKey": 8}}, 0.95, 0.01),
                    Fidelity(Kind.EVENT, "json", 300, 60, 20, 10, 24, 6, 0, {"lost": {"PidLidRecurrencePattern": 6}}, 0.95, 0.01),
                ],
            )  # fmt: skip
        ledger.finish_run(run, 3)
        ledger.finish_run(last, 4)
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("synchronous = off", "cache_size = -400000", "journal_mode = off"):
        connection.execute(f"PRAGMA {pragma}")
    numbers = {row[1]: row[0] for row in connection.execute("SELECT no, source_id FROM folder")}
    names_ = [row[1] for row in connection.execute("PRAGMA table_info(entry)")]
    connection.execute("BEGIN")
    for n in range(mailboxes):
        rows = sorted(
            _rows(n, [plan for plan in plans if plan[0] == n], numbers, jobs[n], chance),
            key=itemgetter("key"),
        )
        connection.executemany(
            f"INSERT INTO entry ({', '.join(names_)}) VALUES ({', '.join(':' + name for name in names_)})",
            rows,
        )
    connection.execute(
        "INSERT INTO tally (folder, state, why, job, items, octets) SELECT folder, state, why, job, count(*), sum(size) FROM entry "
        "GROUP BY folder, state, why, job"
    )
    _history(connection, items, mailboxes, chance)
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = wal")
    connection.close()


def _rows(
    mailbox: int,
    plans: list[tuple[int, int, str, int, int]],
    numbers: dict[str, int],
    job: Job,
    chance: random.Random,
) -> Iterator[dict[str, Any]]:
    for _, at, kind, _, listed in plans:
        for n in range(listed):
            source_id = SOURCE_ID.format(mailbox * 100 + at, n)
            draw = chance.random()
            state, why = ("copied", "")
            if draw < 0.001:
                state, why = "failed", CODES[min(6, int(chance.expovariate(0.8)))]
            elif draw < 0.004:
                state, why = "skipped", SKIPPED[min(3, int(chance.expovariate(0.9)))]
            elif draw < 0.02:
                state = "present"
            yield {
                "job": mailbox + 1, "key": hashlib.blake2b(source_id.encode(), digest_size=16).digest(),
                "folder": numbers[f"{job.id}-{at}"], "source_id": source_id, "version": f"CQAAABYAAADXn3hN0b0Z{n:08d}", "kind": kind,
                "item_class": "IPM.Note", "size": 75_000, "received": 1_600_000_000 + n * 60,
                "message_id": f"<{n:020d}.{mailbox:06d}@mail.brightwater.example>", "seen": 1, "state": state, "why": why,
                "error": "the server answered 503 (Service Unavailable)" if why == "http_503" else "it was refused" if state == "failed" else "",
                "target_id": TARGET_ID.format(mailbox, n) if state in ("copied", "present") else "", "target_version": "CQAAABYAAAAi",
                "fingerprint": b"f" * 16, "attempts": 1, "octets": 100_000,
                "path_taken": "stream" if kind == "mail" else "json", "notes": "" if kind == "mail" or n % 9 else "recurrence_simplified",
                "page": n // 512, "updated": BEGAN,
            }  # fmt: skip


def _history(connection: sqlite3.Connection, items: int, mailboxes: int, chance: random.Random) -> None:
    """A night of 10 hours and one of 6, a day between; throttling every now and then, an outage of 50 minutes."""
    nights = ((1, BEGAN, 36_000), (2, BEGAN + 90_000, 21_600))
    seconds = sum(length for *_, length in nights)
    samples, incidents = [], []
    for run, start, length in nights:
        connection.execute(
            "UPDATE run SET started = ?, finished = ? WHERE no = ?", (start, start + length, run)
        )
        for at in range(int(start), int(start + length), 10):
            hour = (at - start) / length
            out = run == 1 and 0.55 < hour < 0.63
            pace = 0 if out else (0.6 + 0.4 * abs(1 - 2 * hour)) * chance.uniform(0.85, 1.15)
            count = round(items * 10 / seconds * pace)
            samples.append((run, at // 10 * 10, count, count * 100_000))
        incidents += [
            (run, chance.randrange(1, mailboxes + 1), at, at + chance.uniform(20, 200), "throttled", "Rate limit exceeded, retry after 120 s")
            for at in (start + chance.betavariate(2, 5) * length for _ in range(mailboxes * 10))
        ]  # fmt: skip
    down = BEGAN + 0.55 * 36_000
    incidents += [
        (1, None, down + n * 300, down + n * 300 + 300, "source_down", "old does not answer: connection refused") for n in range(10)
    ]  # fmt: skip
    connection.executemany("INSERT INTO sample (run, at, items, octets) VALUES (?, ?, ?, ?)", samples)
    connection.executemany(
        "INSERT INTO incident (run, job, at, until, kind, words) VALUES (?, ?, ?, ?, ?, ?)", incidents
    )
    connection.execute("UPDATE job SET started = ?, finished = ? ", (BEGAN, BEGAN + 111_600))


if __name__ == "__main__":
    main()
