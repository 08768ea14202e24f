"""The byte budget: bounded, fair, without deadlock."""

from __future__ import annotations

import random
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.engine.budget import Account, Budget


def never() -> bool:
    return False


def in_background(account: Account, octets: int) -> threading.Thread:
    thread = threading.Thread(target=lambda: account.acquire(octets, never), daemon=True)
    thread.start()
    return thread


def waiting(budget: Budget, count: int) -> None:
    """Until so many wait: they have reached their place in the line."""
    while len(budget._waiting) != count:
        threading.Event().wait(0.001)


def test_a_mailbox_that_holds_all_it_may_starves_no_other() -> None:
    budget = Budget(1000, mailboxes=5)
    slow, other = budget.account(), budget.account()
    assert slow.acquire(100, never)
    assert slow.acquire(500, never)  # its share, and the whole common half
    thread = in_background(slow, 50)
    waiting(budget, 1)
    assert other.acquire(60, never)
    assert other.acquire(40, never)
    slow.release(500)
    thread.join(5)
    assert budget.held == 250


def test_an_item_larger_than_the_budget_passes_alone() -> None:
    budget = Budget(1000, mailboxes=2)
    one, two = budget.account(), budget.account()
    assert one.acquire(5000, never)
    thread = in_background(two, 400)  # needs the common half
    waiting(budget, 1)
    assert two.acquire(200, never)  # its own share is free
    one.release(5000)
    thread.join(5)
    assert budget.held == 600


def test_nobody_overtakes_in_the_common_half() -> None:
    budget = Budget(1000, mailboxes=5)
    hog, large, small = budget.account(), budget.account(), budget.account()
    assert hog.acquire(300, never)
    first = in_background(large, 450)
    waiting(budget, 1)
    second = in_background(small, 150)
    waiting(budget, 2)
    assert not budget._waiting[1].granted  # 150 would fit, and large came first
    hog.release(300)
    first.join(5)
    assert large.held == 450
    large.release(450)
    second.join(5)
    assert small.held == 150


def test_who_is_at_his_own_limit_does_not_hold_up_those_behind() -> None:
    budget = Budget(1000, mailboxes=5)
    capped, other = budget.account(most=250), budget.account()
    assert capped.acquire(200, never)
    in_background(capped, 150)
    waiting(budget, 1)
    assert other.acquire(200, never)


def test_who_is_not_wanted_any_more_leaves() -> None:
    budget = Budget(100, mailboxes=1)
    one, two = budget.account(), budget.account()
    assert one.acquire(100, never)
    left = threading.Event()
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(two.acquire(80, left.is_set)))
    thread.start()
    waiting(budget, 1)
    left.set()
    budget.wake()
    thread.join(5)
    assert results == [False]
    assert not budget._waiting


def test_estimates_are_corrected_without_waiting() -> None:
    budget = Budget(1000, mailboxes=2)
    account = budget.account()
    assert account.acquire(300, never)
    account.adjust(900)
    assert budget.held == account.held == 1200
    account.adjust(-200)
    account.release(1000)
    assert (budget.held, budget.common_used, account.held) == (0, 0, 0)


def test_more_cannot_be_given_back_than_was_taken() -> None:
    account = Budget(100, 1).account()
    assert account.acquire(10, never)
    with pytest.raises(AssertionError):
        account.release(11)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.lists(st.integers(1, 400), min_size=1, max_size=40), st.integers(0, 2**32))
def test_everybody_gets_through_and_all_comes_back(mailboxes: int, sizes: list[int], seed: int) -> None:
    """Readers take and hand over, uploaders give back, in any order: nobody waits for ever, the bound holds."""
    budget = Budget(1000, mailboxes)
    chance = random.Random(seed)
    accounts = [budget.account() for _ in range(mailboxes)]

    def mailbox(account: Account, mine: list[int]) -> None:
        held: list[int] = []
        for octets in mine:
            while held and (len(held) > 3 or not account.acquire(octets, lambda: bool(held))):
                account.release(held.pop(chance.randrange(len(held))))
            if not held:
                assert account.acquire(octets, never)
            held.append(octets)
        for octets in held:
            account.release(octets)

    threads = [
        threading.Thread(target=mailbox, args=(account, sizes[n::mailboxes]), daemon=True)
        for n, account in enumerate(accounts)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert (budget.held, budget.common_used) == (0, 0)
    assert budget.peak <= 1000
