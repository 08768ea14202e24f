"""What a second process adds: small items through one and through two processes of the product.

    python -m bench.processes [--rounds 3] [--mailboxes 16] [--items 1000] [--lab] [--latency 0.0]

The servers are stand-ins (`bench.standin`) that answer exports and imports from prepared octets: on two cores a lab takes as
much of them as the product does, and what it leaves is all that a second process could use. --lab measures with the labs all
the same. Prints items a second by the wall clock from the first run's start to the last one's end in the ledger, and the
seconds of processor time of product and servers.
"""

from __future__ import annotations

import argparse
import os
import resource
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bench.pair import Pair, copied, pair
from bench.standin import StandIn
from migrator.lab.options import Seeding


def span(project: Path) -> float:
    with closing(sqlite3.connect(project / "ledger.sqlite")) as ledger:
        first, last = ledger.execute("select min(started), max(finished) from run").fetchone()
    return float(last - first)


def used_by(pid: int) -> float:
    """Seconds of processor time of a process so far."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def busy() -> tuple[float, float]:
    """(seconds of all cores used since the machine started, now)."""
    with open("/proc/stat", encoding="ascii") as stat:
        fields = [int(one) for one in stat.readline().split()[1:]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK"), time.monotonic()


@contextmanager
def servers(seeding: Seeding, lab: bool, latency: float) -> Iterator[tuple[Pair, list[int]]]:
    """What the product talks to, and whose processor time is not its own."""
    if lab:
        knobs: dict[str, Any] = {"latency_s": latency} if latency else {}
        with pair(seeding, **knobs) as labs:
            yield labs, [labs.exchange.pid, labs.m365.pid]
        return
    with StandIn(seeding) as one, tempfile.TemporaryDirectory(prefix="migrator-bench-") as folder:
        yield Pair(one, one, Path(folder)), [one.pid]  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mailboxes", type=int, default=16)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--octets", type=int, default=3_000)
    parser.add_argument("--lab", action="store_true")
    parser.add_argument("--latency", type=float, default=0.0, help="of the labs, with --lab")
    given = parser.parse_args()
    seeding = Seeding(
        mailboxes=given.mailboxes, items=0, bulk=given.items, bulk_octets=given.octets, hard_names=False
    )
    rates: dict[int, list[float]] = {1: [], 2: []}
    costs: list[float] = []  # seconds of processor time an item, with two processes
    for turn in range(given.rounds):
        for processes in rates:
            with servers(seeding, given.lab, given.latency) as (pair_, pids):
                project = pair_.project("bench", mailboxes=given.mailboxes)
                used = resource.getrusage(resource.RUSAGE_CHILDREN)
                theirs = sum(map(used_by, pids))
                cores, began = busy()
                done = pair_.migrate(
                    project, "run", "--quiet", "--force", "no_canary", "--processes", str(processes)
                )
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                theirs = sum(map(used_by, pids)) - theirs
                cores_now, now = busy()
                assert done.exit_code == 0, done.output
                assert copied(project) == given.mailboxes * given.items
                seconds = span(project)
                rates[processes].append(given.mailboxes * given.items / seconds)
                cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
                if processes == 2:
                    costs.append((cpu + theirs) / (given.mailboxes * given.items))
                print(
                    f"round {turn + 1}, {processes} process(es): {rates[processes][-1]:,.0f} items/s in {seconds:.1f} s; "
                    f"processor time: product {cpu:.1f} s, servers {theirs:.1f} s; "
                    f"{(cores_now - cores) / (now - began):.2f} of {os.cpu_count()} cores busy on the machine",
                    flush=True,
                )
    one = statistics.median(rates[1])
    ratio = statistics.median(rates[2]) / one
    ceiling = (os.cpu_count() or 1) / statistics.median(costs) / one
    print(
        f"an item costs {1000 * statistics.median(costs):.2f} ms of processor time with two processes, servers included: "
        f"{os.cpu_count()} cores allow {ceiling:.2f} x the rate of one process"
    )
    verdict = "reached" if ratio >= 1.7 else "MISSED"
    print(f"two processes carry {ratio:.2f} x the items of one (to reach 1.7): {verdict}")


if __name__ == "__main__":
    main()
