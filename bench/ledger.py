"""Large ledgers: octets per item, time until a run goes on, time of `status`.

    python -m bench.ledger [--rows 1000000] [--rows 10000000] [--folder DIR]

Rows are made with SQL, with ids as long as Exchange's and Graph's are: mailboxes of 10,000 items in ten folders. "Goes on" is all
that a run reads and writes in its ledger before it asks the first server about the first mailbox, and then, per mailbox
and page, before it can decide. `status` is the command in a process of its own, with the start of Python.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

from migrator.engine.stop import SystemClock
from migrator.ledger import Ledger
from migrator.model import Checkpoint, Folder, ItemRef, Job, Kind, Mailbox, State

JOBS, FOLDERS, PER_FOLDER = (
    100,
    10,
    1000,
)  # of these a million rows is made, more are copies for more mailboxes
SOURCE_ID = "AAMkADhmZGQ3NjdhLTkzNGEtNDc4ZS04ZmM0LTRjOWQ3MTk1ZDIwYQBGAAAAAABs2{:08d}QzR4bFJ0V5bUQyBwAAAAAAAQAA{:020d}AAAAAAAA="
TARGET_ID = "AAMkAGVmMDEzMTM4LTZmYWUtNDdkNC1hMDZiLTU1OGY5OTZhYmY4OABGAAAAAADU{:08d}nBdTqcN1Bws2BwAiIsqMbYjsT5e{:020d}AAAA="


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, action="append")
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    for rows in arguments.rows or [1_000_000]:
        with tempfile.TemporaryDirectory(prefix="migrator-ledger-", dir=arguments.folder) as folder:
            measure(Path(folder), rows)


def measure(folder: Path, rows: int) -> None:
    begun = time.perf_counter()
    jobs = make(folder, rows)
    made_s = time.perf_counter() - begun
    size = (folder / "ledger.sqlite").stat().st_size
    print(
        f"{rows:,} rows: {size / rows:.0f} octets per item, {size / 1e9:.2f} GB (made in {made_s:.0f} s)",
        flush=True,
    )

    begun = time.perf_counter()
    with Ledger.open(folder / "ledger.sqlite", clock=SystemClock()) as ledger:
        run = ledger.start_run("delta", {}, "bench")
        ledger.register(jobs)
        lease = ledger.claim(jobs[0].id, run)
        assert lease is not None
        known = ledger.folders(jobs[0].id)
        ledger.sending(jobs[0].id)
        ledger.failed(jobs[0].id)
        ledger.skipped_by_reason()
        goes_on_s = time.perf_counter() - begun
        per = PER_FOLDER
        refs = [
            ItemRef(SOURCE_ID.format(0, n), known[0].path, Kind.MAIL, "CQAAABYAAAD")
            for n in range(min(512, per))
        ]
        begun = time.perf_counter()
        found = ledger.entries(jobs[0].id, refs)
        page_s = time.perf_counter() - begun
        assert len(found) == len(refs)
        begun = time.perf_counter()
        ledger.release(lease, "done")
        ledger.finish_run(run, 0)
        end_s = time.perf_counter() - begun
    print(
        f"  goes on after {goes_on_s:.2f} s (to reach 5), a page of {len(refs)} in {1000 * page_s:.0f} ms, "
        f"ends in {end_s:.2f} s"
    )
    write_project(folder, len(jobs))
    times, spent = [], []
    for _ in range(3):
        begun, before = time.perf_counter(), os.times()
        done = subprocess.run(
            [sys.executable, "-m", "migrator", "status", "--project", str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        times.append(time.perf_counter() - begun)
        after = os.times()
        spent.append(
            after.children_user + after.children_system - before.children_user - before.children_system
        )
        assert done.returncode == 0, done.stderr
    print(f"  status in {min(times):.2f} s (to reach 1), of it {min(spent):.2f} s of processor", flush=True)


def make(folder: Path, rows: int) -> list[Job]:
    """A ledger of a run that was broken off: of every thousand items one failed, one was skipped."""
    path = folder / "ledger.sqlite"
    jobs = [
        Job(
            f"job-{n:04d}",
            n + 2,
            Mailbox("old", f"box{n}@old.example"),
            Mailbox("new", f"box{n}@new.example"),
        )
        for n in range(rows // (FOLDERS * PER_FOLDER))
    ]
    per = PER_FOLDER
    with Ledger.open(path, clock=SystemClock()) as ledger:
        run = ledger.start_run("delta", {}, "bench")
        ledger.register(jobs)
        for job in jobs:
            lease = ledger.claim(job.id, run)
            assert lease is not None
            for n in range(FOLDERS):
                name = f"Folder {n}"
                one = Folder(f"{job.id}-{n}", (name,), total=per, size=per * 75_000)
                ledger.put_folder(lease, one, Folder(f"{job.id}-target-{n}", (name,)))
                ledger.set_mark(lease, one.id, Checkpoint("graph-delta/1", "m" * 400))
                ledger.advance(lease, one.id, Checkpoint("ews-sync/1", "s" * 800), last=True, page=1)
            ledger.release(lease, "stopped")
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = off")
    connection.execute("PRAGMA cache_size = -400000")
    connection.execute("PRAGMA journal_mode = off")
    names = [row[1] for row in connection.execute("PRAGMA table_info(entry)")]
    folders = connection.execute("SELECT no, job FROM folder ORDER BY no").fetchall()
    connection.execute("BEGIN")
    connection.executemany(
        f"INSERT INTO entry ({', '.join(names)}) VALUES ({', '.join(':' + name for name in names)})",
        # In the order of the primary key, mailbox by mailbox: ten times as fast to make.
        (row for n in range(JOBS) for row in sorted(_rows(folders, n, per), key=itemgetter("key"))),
    )
    others = ", ".join(name for name in names if name not in ("job", "folder"))
    for copy in range(1, len(jobs) // JOBS):
        connection.execute(
            f"INSERT INTO entry (job, folder, {others}) SELECT job + {copy * JOBS}, folder + {copy * JOBS * FOLDERS}, {others} "
            f"FROM entry WHERE job <= {JOBS} ORDER BY job, key"
        )
    for number, job in folders:
        for state, why, items in (
            (State.COPIED, "", per - 2),
            (State.FAILED, "in_doubt", 1),
            (State.SKIPPED, "too_large", 1),
        ):
            connection.execute(
                "INSERT OR REPLACE INTO tally (folder, state, why, job, items, octets) VALUES (?, ?, ?, ?, ?, ?)",
                (number, state.value, why, job, items, items * 75_000),
            )
    connection.execute("COMMIT")
    connection.execute("PRAGMA journal_mode = wal")
    connection.close()
    return jobs


def _rows(folders: list[tuple[int, int]], mailbox: int, per: int) -> Iterator[dict[str, Any]]:
    for index in range(mailbox * FOLDERS, (mailbox + 1) * FOLDERS):
        number, job = folders[index]
        for n in range(per):
            source_id = SOURCE_ID.format(index, n)
            state, why = (
                ("copied", "")
                if n % per > 1
                else (("failed", "in_doubt") if n % per else ("skipped", "too_large"))
            )
            yield {
                "job": job,
                "key": hashlib.blake2b(source_id.encode(), digest_size=16).digest(),
                "folder": number,
                "source_id": source_id,
                "version": f"CQAAABYAAADXn3hN0b0ZRpQZk1Q2ZtQkAAAAAA{n % 10**8:08d}",
                "kind": "mail",
                "item_class": "IPM.Note",
                "size": 75_000,
                "received": 1_600_000_000 + n,
                "message_id": f"<{n:020d}.{index:06d}@mail.brightwater.example>",
                "seen": 1,
                "state": state,
                "why": why,
                "error": "",
                "target_id": TARGET_ID.format(index, n),
                "target_version": f"CQAAABYAAAAiIsqMbYjsT5e9AAA{n % 10**8:08d}",
                "fingerprint": hashlib.blake2b(str(n).encode(), digest_size=16).digest(),
                "attempts": 1,
                "octets": 100_000,
                "path_taken": "fts",
                "notes": "",
                "page": n // 512,
                "updated": 1_700_000_000.0,
            }


def write_project(folder: Path, mailboxes: int) -> None:
    (folder / "migration.toml").write_text(
        'manifest = "mailboxes.csv"\nledger = "ledger.sqlite"\n[endpoints.old]\nkind = "memory"\n[endpoints.new]\nkind = "memory"\n'
        '[defaults]\nsource = "old"\ntarget = "new"\n',
        "utf-8",
    )
    rows = "".join(f"box{n}@old.example,box{n}@new.example\n" for n in range(mailboxes))
    (folder / "mailboxes.csv").write_text("source,target\n" + rows, "utf-8")


if __name__ == "__main__":
    main()
