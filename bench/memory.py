"""Memory: what a run needs at its peak, and that twice as many items need the same.

    python -m bench.memory

32 mailboxes at once, each with mails of 20 kB and attachments of 25 MiB; settings as they are by default. Already the first
run moves several times the octets that may be in flight: with less, more items simply fill the room that there is.
Resident memory of the product's process, spool files that are mapped included, read while it works (Linux).
"""

from __future__ import annotations

import argparse

from bench.pair import copied, pair
from migrator.lab.options import Seeding

MAILBOXES = 32
GOAL = 500_000_000
ALIKE = 1.1
"""Twice the items may need so much more: what is left of it is noise of the allocator."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=500, help="small items per mailbox in the first run")
    parser.add_argument("--big", type=int, default=1, help="items of 25 MiB per mailbox in the first run")
    arguments = parser.parse_args()
    once = measure(arguments.items, arguments.big)
    twice = measure(2 * arguments.items, 2 * arguments.big)
    worst = max(once, twice)
    print(
        f"memory: peak {worst / 1e6:.0f} MB (to stay below {GOAL / 1e6:.0f} MB) {'reached' if worst < GOAL else 'MISSED'}"
    )
    growth = twice / once
    print(
        f"memory: twice the items need {growth:.2f} times (to stay below {ALIKE}) {'reached' if growth < ALIKE else 'MISSED'}"
    )


def measure(items: int, big: int) -> int:
    seeding = Seeding(mailboxes=MAILBOXES, items=0, bulk=items, big_items=big, hard_names=False)
    with pair(seeding) as labs:
        project = labs.project("memory", mailboxes=MAILBOXES)
        done = labs.migrate(project, "run", "--quiet", "--force", "no_canary")
        assert done.exit_code == 0, done.output
        moved = copied(project)
        assert moved >= MAILBOXES * (items + big), moved
        print(
            f"{MAILBOXES} mailboxes, {moved:,} items, {MAILBOXES * big} of them of 25 MiB: "
            f"peak {done.peak_octets / 1e6:.0f} MB in {done.seconds:.1f} s",
            flush=True,
        )
        return done.peak_octets


if __name__ == "__main__":
    main()
