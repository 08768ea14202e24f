"""A signed report of millions of items: time, memory and size of writing, checking and finding.

    python -m bench.proof --items 5000000 --mailboxes 600

The ledger is filled by plain SQL; items have Graph ids of 150 characters and Message-IDs of 60.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from migrator.engine.stop import SystemClock
from migrator.ledger import Ledger
from migrator.ledger.records import key_of
from migrator.model import Folder, Job, Mailbox
from migrator.report.proof import keys
from migrator.report.proof.reading import by_message_id, check_file
from migrator.report.proof.writing import write_signed

NOW = 1_790_000_000


def job(number: int) -> Job:
    return Job(
        f"job-{number}",
        number + 2,
        Mailbox("old", f"user{number}@old.example"),
        Mailbox("new", f"user{number}@new.example"),
    )


def rows(job_no: int, folders: list[int], first: int, count: int) -> Iterator[tuple[object, ...]]:
    for n in range(first, first + count):
        mark = hashlib.blake2b(b"%d" % n, digest_size=64).hexdigest()
        source_id = "AAMk" + mark + mark[:20]
        yield (
            job_no, key_of(source_id), folders[n % len(folders)], source_id, "v" + mark[:30], "mail", "IPM.Note",
            20_000 + n % 90_000, NOW - n % 100_000_000, f"<{mark[:40]}@mail.old.example>", 1, "copied", "", "",
            "AAMk" + mark[::-1] + mark[:20], mark[:40], bytes.fromhex(mark[:32]), 1, 30_000, "stream", "", 1, float(NOW),
        )  # fmt: skip


COLUMNS = (
    "job, key, folder, source_id, version, kind, item_class, size, received, message_id, seen, state, why, error,"
    " target_id, target_version, fingerprint, attempts, octets, path_taken, notes, page, updated"
)


def fill(path: Path, items: int, mailboxes: int) -> None:
    with Ledger.open(path, clock=SystemClock()) as ledger:
        jobs = [job(number) for number in range(mailboxes)]
        ledger.register(jobs)
        run = ledger.start_run("delta", {}, "bench")
        for one in jobs:
            lease = ledger.claim(one.id, run)
            assert lease is not None
            for n in range(20):
                ledger.put_folder(lease, Folder(f"f{n}", (f"Folder {n}",)), Folder(f"t{n}", (f"Folder {n}",)))
            ledger.release(lease, "done")
        ledger.flush()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA synchronous=OFF")
        known = {columns[1] for columns in database.execute("PRAGMA table_info(entry)")}
        names = [name.strip() for name in COLUMNS.split(",")]
        missing = set(names) - known
        assert not missing, f"the ledger's columns have changed: {missing}"
        marks = ", ".join("?" * len(names))
        per = items // mailboxes
        for number, (job_no,) in enumerate(database.execute("SELECT no FROM job ORDER BY no").fetchall()):
            folders = [no for (no,) in database.execute("SELECT no FROM folder WHERE job = ?", (job_no,))]
            ordered = sorted(rows(job_no, folders, number * per, per), key=lambda row: row[1])  # type: ignore[arg-type,return-value]
            database.executemany(f"INSERT INTO entry ({COLUMNS}) VALUES ({marks})", ordered)


def peak() -> float:
    """MiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1024 if sys.platform != "darwin" else most / 1024 / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--items", type=int, default=5_000_000)
    parser.add_argument("--mailboxes", type=int, default=600)
    parser.add_argument("--ledger", type=Path, help="made once, used again")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = given.ledger or Path(folder) / "ledger.sqlite"
        if not path.exists():
            start = time.perf_counter()
            fill(path, given.items, given.mailboxes)
            print(
                f"ledger filled in {time.perf_counter() - start:.0f} s, {path.stat().st_size / 1e9:.2f} GB",
                flush=True,
            )
        pem, word = keys.make()
        before = peak()
        for name in ("proof.jsonl.gz", "proof.jsonl"):
            with Ledger.open(path, clock=SystemClock(), read_only=True) as ledger:
                start = time.perf_counter()
                done = write_signed(
                    ledger, Path(folder) / name, keys.private_key(pem), made=NOW, title="bench"
                )
                took = time.perf_counter() - start
            print(
                f"{name}: {done.items:,} items written in {took:.0f} s ({done.items / took:,.0f}/s), "
                f"{done.octets / 1e6:.0f} MB, peak {peak():.0f} MiB (before: {before:.0f})",
                flush=True,
            )
            start = time.perf_counter()
            verdict = check_file(Path(folder) / name, keys.public_octets(word))
            took = time.perf_counter() - start
            assert verdict.ok, verdict.problems[:3]
            print(
                f"{name}: checked in {took:.0f} s ({verdict.items / took:,.0f}/s), peak {peak():.0f} MiB",
                flush=True,
            )
        mark = hashlib.blake2b(b"%d" % (given.items // 2), digest_size=64).hexdigest()[:40]
        start = time.perf_counter()
        verdict = check_file(
            Path(folder) / "proof.jsonl.gz",
            keys.public_octets(word),
            by_message_id(f"{mark}@mail.old.example"),
        )
        assert len(verdict.hits) == 1
        assert verdict.proof is not None
        print(
            f"one item found, with its proof, in {time.perf_counter() - start:.0f} s, peak {peak():.0f} MiB"
        )


if __name__ == "__main__":
    main()
