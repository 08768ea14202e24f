"""What a second process adds: small items through one and through two processes, labs in processes of their own.

    python -m bench.processes [--rounds 3] [--mailboxes 8] [--items 150] [--latency 0.0]

Prints items a second by the wall clock from the first run's start to the last one's end in the ledger, and the seconds of
processor time that the product used. With the labs on the same machine the cores are shared: where one process with its
labs keeps all of them busy, a second cannot add anything, and the figures say so (cores busy).
"""

from __future__ import annotations

import argparse
import os
import resource
import sqlite3
import statistics
import time
from contextlib import closing
from pathlib import Path

from bench.pair import copied, pair
from migrator.lab.options import Seeding


def span(project: Path) -> float:
    with closing(sqlite3.connect(project / "ledger.sqlite")) as ledger:
        first, last = ledger.execute("select min(started), max(finished) from run").fetchone()
    return float(last - first)


def busy() -> tuple[float, float]:
    """(seconds of all cores used since the machine started, now)."""
    with open("/proc/stat", encoding="ascii") as stat:
        fields = [int(one) for one in stat.readline().split()[1:]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK"), time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mailboxes", type=int, default=8)
    parser.add_argument("--items", type=int, default=150)
    parser.add_argument("--octets", type=int, default=3_000)
    parser.add_argument("--latency", type=float, default=0.0)
    given = parser.parse_args()
    seeding = Seeding(
        mailboxes=given.mailboxes, items=0, bulk=given.items, bulk_octets=given.octets, hard_names=False
    )
    rates: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(given.rounds):
        for processes in rates:
            with pair(seeding, **({"latency_s": given.latency} if given.latency else {})) as labs:
                project = labs.project("bench", mailboxes=given.mailboxes)
                used = resource.getrusage(resource.RUSAGE_CHILDREN)
                cores, began = busy()
                done = labs.migrate(
                    project, "run", "--quiet", "--force", "no_canary", "--processes", str(processes)
                )
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                cores_now, now = busy()
                assert done.exit_code == 0, done.output
                assert copied(project) == given.mailboxes * given.items
                seconds = span(project)
                rates[processes].append(given.mailboxes * given.items / seconds)
                cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
                print(
                    f"round {turn + 1}, {processes} process(es): {rates[processes][-1]:,.0f} items/s in {seconds:.1f} s; "
                    f"product {cpu:.1f} s of processor time; "
                    f"{(cores_now - cores) / (now - began):.2f} of {os.cpu_count()} cores busy on the machine",
                    flush=True,
                )
    ratio = statistics.median(rates[2]) / statistics.median(rates[1])
    print(f"two processes carry {ratio:.2f} x the items of one (to reach 1.7)")


if __name__ == "__main__":
    main()
