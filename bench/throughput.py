"""Relay ratio: the product's throughput as a share of a bare relay of the same octets between the same two labs.

    python -m bench.throughput [--rounds 3]

Two loads over 32 mailboxes, no latency, client and servers in processes of their own: 20 kB items read in batches of
20, and 1 MiB items. Relay and product take turns; the ratio is that of the medians. The product's time is that of its
run by the ledger: it lists, makes folders, asks for import sessions and keeps its ledger within it, which the relay has
done before its clock starts.
"""

from __future__ import annotations

import argparse
import statistics

from bench.pair import copied, pair, run_seconds
from bench.relay import relay
from migrator.lab.options import Seeding

CASES = (
    # name, mailboxes, items per mailbox, octets, items per ExportItems, the share to reach
    ("20 kB", 32, 600, 20_000, 20, 0.6),
    ("1 MiB", 32, 25, 1 << 20, 10, 0.7),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", choices=[case[0] for case in CASES])
    arguments = parser.parse_args()
    for name, mailboxes, items, octets, batch, goal in CASES:
        if arguments.case in (None, name):
            measure(name, mailboxes, items, octets, batch, goal, arguments.rounds)


def measure(name: str, mailboxes: int, items: int, octets: int, batch: int, goal: float, rounds: int) -> None:
    seeding = Seeding(mailboxes=mailboxes, items=0, bulk=items, bulk_octets=octets, hard_names=False)
    relayed, migrated, peaks = [], [], []
    for turn in range(rounds):
        # A pair anew each turn: a target that has the items already would be another test.
        with pair(seeding) as labs:
            info = labs.exchange.info
            account = info["exchange"]["service_account"]
            result = relay(
                info["urls"]["ews"],
                account["login"],
                account["password"],
                labs.loads(),
                batch=batch,
                ca_file=labs.m365.info["ca_file"],
            )
            assert result.items == mailboxes * items, result
        with pair(seeding) as labs:
            project = labs.project("bench", mailboxes=mailboxes, batch_items=batch, inflight_octets=256 << 20)
            done = labs.migrate(project, "run", "--quiet", "--force", "no_canary")
            assert done.exit_code == 0, done.output
            assert copied(project) == mailboxes * items
            relayed.append(result.items / result.seconds)
            migrated.append(mailboxes * items / run_seconds(project))
            peaks.append(done.peak_octets)
        print(
            f"{name} round {turn + 1}: relay {relayed[-1]:,.0f} items/s"
            f" ({result.octets / result.seconds / 1e6:,.0f} MB/s of base64),"
            f" product {migrated[-1]:,.0f} items/s, peak {peaks[-1] >> 20} MiB",
            flush=True,
        )
    ratio = statistics.median(migrated) / statistics.median(relayed)
    print(f"{name}: ratio {ratio:.2f} (to reach {goal}) {'reached' if ratio >= goal else 'MISSED'}")


if __name__ == "__main__":
    main()
