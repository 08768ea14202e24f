"""One mailbox alone: the closed form."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migrator.forecast.solo import BYTES, ENVELOPE, REQUESTS, SOURCE, TRIPS, alone, work_of
from migrator.forecast.speeds import Speeds
from migrator.settings import Limits, RunSettings
from tests.forecast.making import load

QUICK = Speeds(
    source_call_s=0.001, source_item_s=0.0, source_octets_s=1e12, target_call_s=0.001, store_call_s=0.001,
    target_octets_s=1e12, expansion=4 / 3, item_octets=0.0,
)  # fmt: skip
NONE = Limits(requests=0, upload_octets=0)


def moving(items: int, octets: int, speeds: Speeds, limits: Limits, folders: int = 1) -> tuple[float, str]:
    work = work_of(load(items=items, octets=octets, folders=folders), RunSettings(), limits, speeds)
    found = alone(work, speeds, limits)
    return found.moving_s, found.binds


def test_full_byte_windows_and_a_rest() -> None:
    window = 150 << 20
    wire = 3.5 * window
    octets = int((wire - 1000 * ENVELOPE) * 3 / 4)
    seconds, binds = moving(1000, octets, QUICK, replace(NONE, upload_octets=window))
    # What fits into the first window goes at once; then one window every five minutes.
    assert (round(seconds), binds) == (900, BYTES)
    seconds, _ = moving(1000, octets // 4, QUICK, replace(NONE, upload_octets=window))
    assert seconds < 2, "less than a window waits for none"


def test_full_request_windows_and_a_rest() -> None:
    seconds, binds = moving(25_000, 25_000 * 2000, QUICK, replace(NONE, requests=10_000))
    assert binds == REQUESTS
    assert seconds == pytest.approx(1200, rel=0.01)


def test_the_source_reads_one_batch_after_the_other() -> None:
    slow = replace(QUICK, source_call_s=2.0)
    seconds, binds = moving(1000, 10**6, slow, NONE)
    # 1,000 items are 50 batches of 20; and two pages of the listing, the first of which counts as opening.
    assert (binds, round(seconds)) == (SOURCE, 50 * 2 + 2)


def test_four_connections_share_the_round_trips() -> None:
    seconds, binds = moving(1000, 10**6, replace(QUICK, store_call_s=1.0), NONE)
    assert (binds, round(seconds)) == (TRIPS, 251)


def test_octets_bound_batches_of_large_items() -> None:
    work = work_of(load(items=100, octets=100 * (8 << 20)), RunSettings(), Limits(), QUICK)
    assert work.batches == 50


def test_folders_that_differ_take_longer_than_their_sum() -> None:
    """10,000 tiny items are bound by requests, 1 GB of large ones by octets: neither helps the other."""
    from migrator.forecast.loads import FolderLoad

    limits = Limits()
    tiny, large = FolderLoad(("a",), 30_000, 30_000 * 100), FolderLoad(("b",), 1000, 10**9)
    both = replace(load(), folders=(tiny, large))
    work = work_of(both, RunSettings(), limits, QUICK)
    apart = [
        alone(work_of(replace(both, folders=(one,)), RunSettings(), limits, QUICK), QUICK, limits).moving_s
        for one in (tiny, large)
    ]
    together = alone(work, QUICK, limits).moving_s
    assert max(apart) < together <= sum(apart) * 1.35
    assert work.uneven > 1.2


def test_a_folder_costs_its_calls_also_when_it_is_empty() -> None:
    speeds = replace(QUICK, target_call_s=1.0)
    one = work_of(load(folders=1, items=100), RunSettings(), NONE, speeds)
    many = work_of(load(folders=50, items=100), RunSettings(), NONE, speeds)
    assert many.target_calls - one.target_calls == 49 * (speeds.ensure_calls + speeds.mark_calls)
    begun = work_of(load(folders=50, items=100, begun=True), RunSettings(), NONE, speeds)
    assert begun.target_calls == 0


def test_nothing_to_copy_takes_the_opening_only() -> None:
    found = alone(work_of(load(items=0, octets=0), RunSettings(), Limits(), QUICK), QUICK, Limits())
    assert found.moving_s == 0
    assert found.fixed_s > 0


def test_the_dice_make_it_slower_and_larger() -> None:
    limits = NONE
    work = work_of(load(), RunSettings(), limits, Speeds())
    base = alone(work, Speeds(), limits).moving_s
    assert alone(work, Speeds(), limits, source=2.0, target=2.0).moving_s == pytest.approx(2 * base, rel=0.02)
    assert alone(work, Speeds(), limits, size=1.5).moving_s > base
