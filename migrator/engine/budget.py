"""How many octets of content may be in memory at once, over all mailboxes.

Half of the budget is divided evenly: every mailbox has a share of its own that nobody else can take, so a mailbox that
waits (throttled, slow) with its hands full never starves the others. The other half is common: first come, first served.
An item that is larger than all of it passes alone, when nothing else of the common half is held.

No deadlock: only readers wait here, holding nothing that an uploader needs; what uploaders hold comes back when they are
done, whatever the outcome.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

_LOOK_UP_S = 0.5
"""How often a waiter looks whether it is still wanted (a stop was requested, its mailbox has failed)."""


class _Waiter:
    __slots__ = ("account", "granted", "octets")

    def __init__(self, account: Account, octets: int) -> None:
        self.account = account
        self.octets = octets
        self.granted = False


class Account:
    """One mailbox's part in the budget."""

    def __init__(self, budget: Budget, most: int) -> None:
        self._budget = budget
        self.most = most
        self.own = 0
        self.common = 0

    @property
    def held(self) -> int:
        return self.own + self.common

    def acquire(self, octets: int, cancelled: Callable[[], bool]) -> bool:
        """Wait until so many octets may be held. False when it is no longer wanted."""
        return self._budget._acquire(self, octets, cancelled)

    def adjust(self, octets: int) -> None:
        """An estimate turned out to be so much too small (or, negative, too large). Never waits."""
        if octets > 0:
            self._budget._force(self, octets)
        elif octets < 0:
            self.release(-octets)

    def release(self, octets: int) -> None:
        self._budget._release(self, octets)


class Budget:
    def __init__(self, octets: int, mailboxes: int) -> None:
        self.octets = octets
        self.share = octets // 2 // max(1, mailboxes)
        self.common = octets - self.share * max(1, mailboxes)
        self.common_used = 0
        self.peak = 0
        self._held = 0
        self._waiting: deque[_Waiter] = deque()
        self._changed = threading.Condition()

    def account(self, most: int | None = None) -> Account:
        """most: octets that this mailbox may hold at all, unless it is one item."""
        return Account(self, self.octets if most is None else most)

    def wake(self) -> None:
        """Let waiters look whether they are still wanted."""
        with self._changed:
            self._changed.notify_all()

    @property
    def held(self) -> int:
        return self._held

    def _acquire(self, account: Account, octets: int, cancelled: Callable[[], bool]) -> bool:
        waiter = _Waiter(account, octets)
        with self._changed:
            self._waiting.append(waiter)
            self._grant()
            while not waiter.granted:
                if cancelled():
                    self._waiting.remove(waiter)
                    self._grant()
                    return False
                self._changed.wait(_LOOK_UP_S)
        return True

    def _grant(self) -> None:
        """Give what there is, in order. One that only its own limit holds back does not hold back those behind it."""
        common_is_due = False  # somebody earlier waits for the common half: nobody overtakes him there
        granted = False
        for waiter in list(self._waiting):
            account, octets = waiter.account, waiter.octets
            if account.own + octets <= self.share:
                account.own += octets
            elif account.held and account.held + octets > account.most:
                continue
            elif not common_is_due and (self.common_used + octets <= self.common or self.common_used == 0):
                account.common += octets
                self.common_used += octets
            else:
                common_is_due = True
                continue
            waiter.granted = granted = True
            self._held += octets
            self._waiting.remove(waiter)
        self.peak = max(self.peak, self._held)
        if granted:
            self._changed.notify_all()

    def _force(self, account: Account, octets: int) -> None:
        with self._changed:
            free = max(0, self.share - account.own)
            account.own += min(free, octets)
            rest = octets - min(free, octets)
            account.common += rest
            self.common_used += rest
            self._held += octets
            self.peak = max(self.peak, self._held)

    def _release(self, account: Account, octets: int) -> None:
        with self._changed:
            shared = min(account.common, octets)
            account.common -= shared
            self.common_used -= shared
            own = octets - shared
            if own > account.own:
                raise AssertionError("more octets were given back than were taken")
            account.own -= own
            self._held -= octets
            if self._waiting:
                self._grant()
