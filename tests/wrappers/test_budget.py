"""The published limits over a simulated half hour: used to the last per cent, and never refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.simulation import Mailbox, Simulation, mail_sizes, same_size
from migrator.lab.knobs import GraphLimits
from migrator.settings import Limits

HALF_HOUR_S = 1800.0
BYTES = GraphLimits().upload_octets * HALF_HOUR_S / GraphLimits().upload_window_s
REQUESTS = GraphLimits().requests * HALF_HOUR_S / GraphLimits().requests_window_s


def half_hour(sizes: list[Iterator[int]], **more: float) -> list[Mailbox]:
    boxes = [Mailbox(f"box{n}@new.example", each) for n, each in enumerate(sizes)]
    Simulation(Limits(), GraphLimits(), **more).run(boxes, HALF_HOUR_S)  # type: ignore[arg-type]
    return boxes


@pytest.mark.parametrize(
    ("sizes", "latency_s"),
    [(mail_sizes(1), 0.15), (same_size(1 << 20), 0.4), (mail_sizes(7, median=400_000), 0.15)],
    ids=["mail", "1 MiB", "large mail"],
)
def test_a_mailbox_that_octets_bind_uses_its_window(sizes: Iterator[int], latency_s: float) -> None:
    (box,) = half_hour([sizes], latency_s=latency_s)
    assert box.tally.octets >= 0.97 * BYTES
    assert box.tally.refused <= 0.01 * box.tally.requests
    assert box.tally.wasted == 0


def test_a_mailbox_that_requests_bind_uses_its_window() -> None:
    (box,) = half_hour([same_size(3_000)], latency_s=0.05)
    assert box.tally.requests >= 0.97 * REQUESTS
    assert box.tally.refused == 0
    assert box.tally.most_at_once == 4


def test_mailboxes_do_not_share_a_budget() -> None:
    boxes = half_hour([same_size(600_000) for _ in range(8)])
    assert min(box.tally.octets for box in boxes) >= 0.97 * BYTES
    assert sum(box.tally.refused for box in boxes) == 0


def test_a_server_that_grants_less_than_published_slows_us_and_no_more() -> None:
    """The governor goes by its own figures, so a stricter server refuses; its words are then kept to."""
    stricter = GraphLimits(requests=5_000)
    box = Mailbox("box@new.example", same_size(3_000))
    Simulation(Limits(), stricter, latency_s=0.05).run([box], HALF_HOUR_S)
    assert box.tally.requests - box.tally.refused >= 0.9 * 5_000 * 3
    assert box.tally.refused <= 0.01 * box.tally.requests


def test_the_same_half_hour_twice_is_the_same() -> None:
    one, two = (half_hour([mail_sizes(3)])[0].tally for _ in range(2))
    assert one == two
