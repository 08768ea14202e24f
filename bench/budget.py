"""How much of the published limits is used: 4 requests at once, 10,000 in 10 minutes, 150 MiB up in 5 minutes per mailbox.

    python -m bench.budget                 half an hour, simulated exactly: one mailbox bound by octets, one by requests,
                                           64 mailboxes at once (`bench.simulation`)
    python -m bench.budget --wire          the same half hour with the real engine, adapters, sockets and threads, the
                                           lab's published throttling on, on a clock 30 times as fast (`bench.town`)

used: share of what the binding window grants in the time. 429: share of requests that were refused. sent in vain: octets
of requests that were refused.
"""

from __future__ import annotations

import argparse
import time

from bench.simulation import Mailbox, Simulation, mail_sizes, same_size
from migrator.lab.knobs import GraphLimits
from migrator.settings import Limits

SECONDS = 1800.0
SERVER = GraphLimits()
BYTES = SERVER.upload_octets * SECONDS / SERVER.upload_window_s
REQUESTS = SERVER.requests * SECONDS / SERVER.requests_window_s


def simulated() -> None:
    cases = {
        "one mailbox, mail (median 60 kB)": ([mail_sizes(1)], 0.15),
        "one mailbox, 1 MiB items": ([same_size(1 << 20)], 0.4),
        "one mailbox, 3 kB items": ([same_size(3_000)], 0.05),
        "64 mailboxes, half mail, half 3 kB items": (
            [mail_sizes(n) if n % 2 else same_size(3_000) for n in range(64)],
            0.05,
        ),
    }
    for name, (sizes, latency_s) in cases.items():
        begun = time.perf_counter()
        boxes = [Mailbox(f"box{n}", each) for n, each in enumerate(sizes)]
        Simulation(Limits(), SERVER, latency_s=latency_s).run(boxes, SECONDS)
        used = [max(box.tally.octets / BYTES, box.tally.requests / REQUESTS) for box in boxes]
        requests = sum(box.tally.requests for box in boxes)
        print(
            f"{name}: used {min(used):.1%} to {max(used):.1%} (to reach 97 %), "
            f"429 {sum(box.tally.refused for box in boxes) / requests:.2%} of {requests:,} requests, "
            f"{sum(box.tally.wasted for box in boxes)} octets sent in vain, {time.perf_counter() - begun:.1f} s",
            flush=True,
        )


def wired(speed: float, minutes: float) -> None:
    from bench.town import Town
    from migrator.lab.options import Seeding

    seconds = minutes * 60
    for name, octets, items in (
        ("by octets: 1 MiB items", 1 << 20, int(seconds / 300 + 2) * 150),
        ("by requests: 2 kB items", 2_000, int(seconds / 600 + 2) * 10_000),
    ):
        seeding = Seeding(mailboxes=1, items=0, bulk=items, bulk_octets=octets, hard_names=False)
        with Town(
            seeding,
            speed=speed,
            knobs={"graph_throttling": "published"},
            limits=Limits(timeout_s=600.0, give_up_s=1e6),
            keep_streams=False,
        ) as town:
            begun = time.perf_counter()
            town.run(stop_after_s=seconds + 60)
            entries = [
                e
                for e in town.world.journal.entries
                if e.service in ("graph", "batch", "import") and e.mailbox
            ]
            first = min(e.started for e in entries if e.operation == "importItem")
            inside = [e for e in entries if first <= e.started < first + seconds]
            taken = sum(e.octets_in for e in inside if e.operation == "importItem" and e.status == 200)
            refused = [e for e in inside if e.status == 429]
            used = max(
                taken / (SERVER.upload_octets * seconds / 300),
                len(inside) / (SERVER.requests * seconds / 600),
            )
            print(
                f"{name}: used {used:.1%}, 429 {len(refused) / len(inside):.2%} of {len(inside):,} requests, "
                f"{sum(e.octets_in for e in refused)} octets sent in vain, "
                f"{time.perf_counter() - begun:.0f} s for {minutes:.0f} min",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wire", action="store_true")
    parser.add_argument("--speed", type=float, default=30.0)
    parser.add_argument("--minutes", type=float, default=30.0)
    arguments = parser.parse_args()
    if arguments.wire:
        wired(arguments.speed, arguments.minutes)
    else:
        simulated()


if __name__ == "__main__":
    main()
