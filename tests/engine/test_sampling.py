"""The size of a sample, held against the definition that it comes from."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.engine.sampling import Confidence


def missed(population: int, differing: int, drawn: int) -> Fraction:
    """The probability that none of the differing ones is drawn, without rounding."""
    return Fraction(comb(population - differing, drawn), comb(population, drawn))


@given(
    st.integers(1, 400),
    st.sampled_from([(50, 10), (80, 5), (90, 10), (95, 1), (95, 5), (99, 1)]),
)
def test_no_smaller_sample_would_do(population: int, figures: tuple[int, int]) -> None:
    sure, share = figures
    sample = Confidence(sure / 100, share / 100).needed(population)
    differing = max(1, ceil(Fraction(share * population, 100)))
    bound = 1 - Fraction(sure, 100)
    assert 1 <= sample <= population
    assert missed(population, differing, sample) <= bound
    assert sample == 1 or missed(population, differing, sample - 1) > bound


@pytest.mark.parametrize(
    ("population", "sample"), [(0, 0), (1, 1), (100, 95), (1000, 258), (10_000, 294), (10_000_000, 299)]
)
def test_the_figures_of_the_manual(population: int, sample: int) -> None:
    chosen = Confidence(0.95, 0.01)
    assert chosen.needed(population) == sample
    assert sample <= chosen.most() == 299


@given(st.integers(1, 10**7))
def test_no_group_needs_more_than_an_endless_one(population: int) -> None:
    for chosen in (Confidence(0.95, 0.01), Confidence(0.99, 0.1), Confidence(0.5, 0.001)):
        assert chosen.needed(population) <= chosen.most()


@pytest.mark.parametrize(("confidence", "margin"), [(0, 0.1), (1, 0.1), (0.9, 0), (0.9, 1), (95, 1)])
def test_figures_that_are_no_shares_are_refused(confidence: float, margin: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Confidence(confidence, margin)
