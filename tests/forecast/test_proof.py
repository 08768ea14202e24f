"""Forecasts held against the truth: the product's governor and the lab's throttle on a simulated clock.

`python -m bench.forecast` is the same with 20 larger batches, and over the wire.
"""

from __future__ import annotations

from bench.forecast import one_batch, told


def test_twenty_small_batches_end_as_forecast() -> None:
    results = [one_batch(seed, scale=0.3) for seed in range(1, 21)]
    offs = sorted(abs(one.off) for one in results)
    assert (offs[9] + offs[10]) / 2 <= 0.15, told(results)
    assert sum(one.below_p90 for one in results) >= 18, told(results)
    assert {one.binds for one in results} >= {"byte_window", "round_trips"}, "no one-sided proof"
    # And a p90 that is far off would prove nothing.
    assert sorted(one.p90 / one.true for one in results)[10] < 1.4, told(results)
