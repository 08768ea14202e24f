"""In flight: a single mailbox of small items over a line of 40 ms keeps four imports open.

    python -m bench.inflight [--items 1500]

No throttling; four at once is what Microsoft 365 allows an application and mailbox. Counted by the lab's journal: the share of
the time between the first import's start and the last one's end in which four of them were open at once. The bare relay
goes first, so that what the machine itself allows is seen beside.
"""

from __future__ import annotations

import argparse

from bench.pair import copied, forget, journal, pair
from bench.relay import relay
from migrator.lab.options import Seeding

LATENCY_S = 0.04
AT_ONCE = 4
GOAL = 0.95


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=1500)
    parser.add_argument("--octets", type=int, default=4_000, help="per item")
    arguments = parser.parse_args()
    seeding = Seeding(
        mailboxes=1, items=0, bulk=arguments.items, bulk_octets=arguments.octets, hard_names=False
    )
    with pair(seeding) as labs:
        loads = labs.loads()
        for lab in (labs.exchange, labs.m365):
            lab.control("POST", "knobs", {"latency_s": LATENCY_S})
            forget(lab)
        account = labs.exchange.info["exchange"]["service_account"]
        relay(
            labs.exchange.info["urls"]["ews"],
            account["login"],
            account["password"],
            loads,
            batch=20,
            ca_file=labs.m365.info["ca_file"],
            uploaders=AT_ONCE,
        )
        bare = journal(labs.m365, service="import").busy_share(AT_ONCE)
        forget(labs.m365)
        project = labs.project("inflight")
        done = labs.migrate(project, "run", "--quiet", "--force", "no_canary")
        assert done.exit_code == 0, done.output
        assert copied(project) == arguments.items
        seen = journal(labs.m365, service="import")
    spans = [(entry.started, entry.finished) for entry in seen.entries]
    most = max(seen.high_water().values())
    share = seen.busy_share(AT_ONCE)
    seconds = max(end for _, end in spans) - min(start for start, _ in spans)
    print(
        f"{arguments.items:,} items in {seconds:.1f} s ({arguments.items / seconds:,.0f} items/s of "
        f"{AT_ONCE / LATENCY_S:,.0f} that the line allows), at most {most} at once"
    )
    for count in range(1, AT_ONCE):
        print(f"  at least {count} open: {seen.busy_share(count):.1%} of the time")
    print(f"  bare relay: {AT_ONCE} open {bare:.1%} of the time")
    print(
        f"inflight: {AT_ONCE} open {share:.1%} of the time (to reach {GOAL:.0%}) "
        f"{'reached' if share >= GOAL and most <= AT_ONCE else 'MISSED'}"
    )


if __name__ == "__main__":
    main()
