"""Many mailboxes: at once, in order, sharing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.forecast.queue import Entrant, pass_through


def test_so_many_at_once_in_their_order() -> None:
    found = pass_through([Entrant(1, 9), Entrant(0, 4), Entrant(0, 5), Entrant(2, 0)], 2)
    assert found.starts == [0, 0, 4, 9]
    assert found.ends == [10, 4, 9, 11]
    assert found.end == 11


def test_what_is_shared_slows_everybody_alike() -> None:
    # Two that need 3 of 4 each: together 6 of 4, so both go at two thirds until the shorter one has ended.
    found = pass_through([Entrant(0, 10, (3.0,)), Entrant(0, 20, (3.0,))], 2, (4.0,))
    assert found.ends == pytest.approx([15, 25])
    assert found.tight_s == pytest.approx([15])


def test_an_opening_shares_nothing() -> None:
    found = pass_through([Entrant(0, 10, (8.0,)), Entrant(5, 0, (0.0,))], 2, (4.0,))
    assert found.ends == pytest.approx([20, 5])


def test_nobody_is_nothing() -> None:
    assert pass_through([], 4).end == 0
    assert pass_through([], 4, (1.0,)).end == 0


ENTRANTS = st.lists(
    st.builds(
        Entrant,
        st.floats(0, 50),
        st.floats(0.1, 500),
        st.tuples(st.floats(0, 3)),
    ),
    min_size=1,
    max_size=25,
)


@given(ENTRANTS, st.integers(1, 8))
def test_enough_of_everything_is_as_if_nothing_were_shared(entrants: list[Entrant], at_once: int) -> None:
    alone = pass_through(entrants, at_once)
    shared = pass_through(entrants, at_once, (1000.0,))
    assert shared.ends == pytest.approx(alone.ends)
    assert shared.starts == pytest.approx(alone.starts)
    assert shared.tight_s == [0]


@given(ENTRANTS, st.integers(1, 8), st.floats(0.5, 3))
def test_no_more_is_used_than_there_is_and_nobody_is_lost(
    entrants: list[Entrant], at_once: int, capacity: float
) -> None:
    found = pass_through(entrants, at_once, (capacity,))
    work = sum(one.moving_s * one.uses[0] for one in entrants)
    assert found.end >= work / capacity * (1 - 1e-6)
    assert found.end >= pass_through(entrants, at_once).end * (1 - 1e-6)
    for place, one in enumerate(entrants):
        assert found.ends[place] - found.starts[place] >= one.moving_s * (1 - 1e-6)
    for place in range(len(entrants)):
        at = found.starts[place]
        running = sum(b <= at < e for b, e in zip(found.starts, found.ends, strict=True))
        assert running <= at_once
