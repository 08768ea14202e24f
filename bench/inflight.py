"""In flight: a single mailbox of small items over a line of 40 ms round trip keeps four imports open.

    python -m bench.inflight [--items 1500] [--folders 1]

No throttling; four at once is what Microsoft 365 allows an application and mailbox. The referee is the line (`bench.line`),
a process between client and server that stands at the client's end: a request is in flight from its first octet until the last octet
of its answer has come back. Counted is the share of the time between the first import's start and the last one's end in which four
were. The bare relay goes over the same line first, so that what the machine itself allows is seen beside. That never
more than four were open is asked of the server's journal too.
"""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from urllib.parse import urlsplit

from bench.line import Flight, Line
from bench.pair import copied, forget, journal, pair
from bench.relay import relay
from migrator.lab.journal import Entry, Journal
from migrator.lab.options import Seeding

ROUND_TRIP_S = 0.04
AT_ONCE = 4
GOAL = 0.95


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=1500)
    parser.add_argument("--octets", type=int, default=4_000, help="per item")
    parser.add_argument("--folders", type=int, default=1, help="over which the items are spread")
    arguments = parser.parse_args()
    seeding = Seeding(
        mailboxes=1,
        items=0,
        bulk=arguments.items,
        bulk_octets=arguments.octets,
        bulk_folders=arguments.folders,
        hard_names=False,
    )
    with pair(seeding) as labs, ExitStack() as lines:
        labs.exchange.control("POST", "knobs", {"latency_s": ROUND_TRIP_S})
        urls = labs.m365.info["urls"]
        line = lines.enter_context(Line(_port(urls["import"]), ROUND_TRIP_S))
        graph = lines.enter_context(Line(_port(urls["graph"]), ROUND_TRIP_S))
        labs.m365.control("POST", "urls", {"imports": f"https://127.0.0.1:{line.port}"})
        loads = labs.loads()
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
        bare = _judge(line.flights())
        forget(labs.m365)
        urls["graph"] = f"https://127.0.0.1:{graph.port}"
        project = labs.project("inflight")
        done = labs.migrate(project, "run", "--quiet", "--force", "no_canary")
        assert done.exit_code == 0, done.output
        assert copied(project) == arguments.items
        seen = _judge(line.flights())
        most = max(journal(labs.m365, service="import").high_water().values())
    spans = [(entry.started, entry.finished) for entry in seen.entries]
    share = seen.busy_share(AT_ONCE)
    seconds = max(end for _, end in spans) - min(start for start, _ in spans)
    print(
        f"{arguments.items:,} items in {arguments.folders} folders in {seconds:.1f} s ({arguments.items / seconds:,.0f} items/s of "
        f"{AT_ONCE / ROUND_TRIP_S:,.0f} that the line allows), at most {most} at once"
    )
    for count in range(1, AT_ONCE):
        print(f"  at least {count} in flight: {seen.busy_share(count):.1%} of the time")
    print(f"  bare relay: {AT_ONCE} in flight {bare.busy_share(AT_ONCE):.1%} of the time")
    print(
        f"inflight: {AT_ONCE} in flight {share:.1%} of the time (to reach {GOAL:.0%}) "
        f"{'reached' if share >= GOAL and most <= AT_ONCE else 'MISSED'}"
    )


def _port(url: str) -> int:
    return urlsplit(url).port or 0


def _judge(flights: list[Flight]) -> Journal:
    judge = Journal()
    judge.entries += [Entry("import", "flight", started=start, finished=end) for start, end in flights]
    return judge


if __name__ == "__main__":
    main()
