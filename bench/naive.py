"""Beside the loop that one would write in an afternoon, over a line of 40 ms.

    python -m bench.naive [--sample 60]

The loop: stock exchangelib, one mailbox after the other, `account.export(items)` in batches of 20, then one POST at a time with requests
(a session, so that the connection stays open), nothing written down. Being sequential, it is as fast over 32 mailboxes as over a few: a sample of
items in some of the mailboxes is timed, sign-in and listing included, and its rate taken for the whole. The product
moves everything; its time is that of the whole process, start of Python included.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import Any

import requests
from exchangelib import IMPERSONATION, Account, Configuration, Credentials

from bench.pair import Pair, copied, pair
from migrator.lab.options import Seeding

LATENCY_S = 0.04
MAILBOXES = 32
NAIVE_MAILBOXES = 3
GOAL = 20.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=300, help="per mailbox")
    parser.add_argument("--octets", type=int, default=20_000, help="per item")
    parser.add_argument("--sample", type=int, default=60, help="items per mailbox that the loop moves")
    arguments = parser.parse_args()
    seeding = Seeding(
        mailboxes=MAILBOXES,
        items=0,
        bulk=arguments.items,
        bulk_octets=arguments.octets,
        hard_names=False,
    )
    with pair(seeding, latency_s=LATENCY_S) as labs:
        naive = loop(labs, arguments.sample)
    print(
        f"naive: {naive:,.1f} items/s ({arguments.sample} items of each of {NAIVE_MAILBOXES} mailboxes)",
        flush=True,
    )
    with pair(seeding, latency_s=LATENCY_S) as labs:
        project = labs.project("naive", mailboxes=MAILBOXES)
        done = labs.migrate(project, "run", "--quiet", "--force", "no_canary")
        assert done.exit_code == 0, done.output
        moved = copied(project)
        assert moved == MAILBOXES * arguments.items
        product = moved / done.seconds
    print(f"product: {product:,.0f} items/s ({moved:,} items of {MAILBOXES} mailboxes)")
    ratio = product / naive
    print(
        f"naive: {ratio:.0f} times as fast (to reach {GOAL:.0f}) {'reached' if ratio >= GOAL else 'MISSED'}"
    )


def loop(labs: Pair, sample: int) -> float:
    """Items a second."""
    account = labs.exchange.info["exchange"]["service_account"]
    items = 0
    begun = time.perf_counter()
    for mailbox in labs.exchange.info["exchange"]["mailboxes"][:NAIVE_MAILBOXES]:
        address = mailbox["address"]
        source = Account(
            address,
            config=Configuration(
                service_endpoint=labs.exchange.info["urls"]["ews"],
                credentials=Credentials(account["login"], account["password"]),
                auth_type="basic",
            ),
            autodiscover=False,
            access_type=IMPERSONATION,
        )
        mbx = labs.graph("GET", f"/users/{address}/settings/exchange")["primaryMailboxId"]
        box = f"/admin/exchange/mailboxes/{mbx}"
        folder = labs.graph(
            "POST", f"{box}/folders/MsgFolderRoot/childFolders", {"displayName": "Copied", "type": "IPF.Note"}
        )
        url = labs.graph("POST", f"{box}/createImportSession")["importUrl"]
        listed = list(source.inbox.all().only("id", "changekey")[:sample])
        with requests.Session() as session:
            for batch in _batches(listed, 20):
                for data in source.export(batch):
                    answer = session.post(
                        url,
                        json={"FolderId": folder["id"], "Mode": "create", "Data": data},
                        verify=labs.m365.info["ca_file"],  # here: the environment overrules a session's
                    )
                    answer.raise_for_status()
                    items += 1
    assert items == sample * NAIVE_MAILBOXES, items
    return items / (time.perf_counter() - begun)


def _batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


if __name__ == "__main__":
    main()
