"""Nothing to do: a second run over a finished job writes nothing, asks little, and is soon done.

    python -m bench.nothing_to_do [--folders 1000] [--items 100000]

Counted in the journals of both labs, source and target together: no call that writes, at most one that reads per folder and
three more per mailbox (sign-in at the token service is told beside). The time is that of the whole process, start of Python included.
"""

from __future__ import annotations

import argparse
import sqlite3

from bench.pair import Pair, copied, forget, journal, pair
from migrator.lab.options import Seeding

GOAL_S = 20.0
MORE_PER_MAILBOX = 3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folders", type=int, default=1000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--octets", type=int, default=2_000, help="per item")
    parser.add_argument("--mailboxes", type=int, default=1, help="to which the figures above apply each")
    arguments = parser.parse_args()
    seeding = Seeding(
        mailboxes=arguments.mailboxes,
        items=0,
        bulk=arguments.items,
        bulk_folders=arguments.folders,
        bulk_octets=arguments.octets,
        hard_names=False,
    )
    with pair(seeding) as labs:
        measure(labs, arguments.mailboxes, arguments.items)


def measure(labs: Pair, mailboxes: int, items: int) -> None:
    project = labs.project("again", mailboxes=mailboxes)
    first = labs.migrate(project, "run", "--quiet", "--force", "no_canary")
    assert first.exit_code == 0, first.output
    assert copied(project) == mailboxes * items
    print(f"first run: {mailboxes * items:,} items in {first.seconds:.0f} s", flush=True)
    forget(labs.exchange)
    forget(labs.m365)
    second = labs.migrate(project, "run", "--quiet", "--force", "no_canary")
    assert second.exit_code == 0, second.output
    calls: dict[tuple[str, str], int] = {}
    writes = reads = 0
    for lab in (labs.exchange, labs.m365):
        seen = journal(lab)
        for entry in seen.entries:
            key = (entry.service, entry.operation)
            calls[key] = calls.get(key, 0) + 1
            writes += entry.write
            reads += not entry.write and entry.service != "token"
    with sqlite3.connect(project / "ledger.sqlite") as ledger:
        folders = int(ledger.execute("SELECT count(*) FROM folder WHERE skipped IS NULL").fetchone()[0])
    told = ", ".join(
        f"{service} {operation} {count}" for (service, operation), count in sorted(calls.items())
    )
    print(f"second run: {folders:,} folders; calls: {told}")
    allowed = folders + MORE_PER_MAILBOX * mailboxes
    print(f"nothing to do: {writes} writing calls (to reach 0) {'reached' if not writes else 'MISSED'}")
    print(
        f"nothing to do: {reads:,} reading calls for {folders:,} folders and {mailboxes} mailboxes "
        f"(at most {allowed:,}) {'reached' if reads <= allowed else 'MISSED'}"
    )
    print(
        f"nothing to do: {second.seconds:.1f} s (to stay below {GOAL_S:.0f} s) "
        f"{'reached' if second.seconds < GOAL_S else 'MISSED'}"
    )


if __name__ == "__main__":
    main()
