"""How the services say "slow down": Graph's windows per app and mailbox, Exchange's budget per owner.

Both only decide; the protocol rooms word the answer. Facts:
- Graph: learn.microsoft.com/graph/throttling-limits (Outlook service); requests refused count as well
- Exchange 2013+: balance starts at MaxBurst, server time is subtracted, RechargeRate is added, below -CutoffBalance
  requests are refused with ErrorServerBusy and BackOffMilliseconds (learn.microsoft.com/exchange/…/ews-throttling-in-exchange)
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from email.utils import formatdate

from migrator.lab.knobs import EwsLimits, GraphLimits


@dataclass(frozen=True, slots=True)
class Refusal:
    """For Graph. retry_after: the header's value, "" when it is to be left out."""

    status: int
    code: str
    message: str
    retry_after: str


@dataclass(slots=True)
class _Bucket:
    open: int = 0
    starts: deque[float] = field(default_factory=deque)
    uploads: deque[tuple[float, int]] = field(default_factory=deque)
    uploaded: int = 0


class GraphThrottle:
    """Call `admit` for every request before work, and `release` once for every admit that returned None."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def admit(
        self, limits: GraphLimits | None, app_id: str, mailbox: str, octets: int, now: float, *, write: bool
    ) -> Refusal | None:
        """octets: of the raw request body, counted only for writes. None: go on."""
        if limits is None:
            return None
        bucket = self._buckets.setdefault((app_id, mailbox.lower()), _Bucket())
        starts, uploads = bucket.starts, bucket.uploads
        while starts and starts[0] <= now - limits.requests_window_s:
            starts.popleft()
        while uploads and uploads[0][0] <= now - limits.upload_window_s:
            bucket.uploaded -= uploads.popleft()[1]
        starts.append(now)
        if limits.requests and len(starts) > limits.requests:
            # Free again when enough of the window has passed to take one more.
            spot = len(starts) - limits.requests
            wait = starts[min(spot, len(starts) - 1)] + limits.requests_window_s - now
            return self._refuse(limits, "Application is over its MailboxRequests limit.", wait, now)
        if write and limits.upload_octets and bucket.uploaded + octets > limits.upload_octets and uploads:
            needed = bucket.uploaded + octets - limits.upload_octets
            freed, wait = 0, limits.upload_window_s
            for at, size in uploads:
                freed += size
                if freed >= needed:
                    wait = at + limits.upload_window_s - now
                    break
            return self._refuse(limits, "Application is over its IncomingBytes limit.", wait, now)
        if limits.concurrent and bucket.open >= limits.concurrent:
            return self._refuse(
                limits, "Application is over its MailboxConcurrency limit.", limits.retry_after_s, now
            )
        if write:
            uploads.append((now, octets))
            bucket.uploaded += octets
        bucket.open += 1
        return None

    def release(self, limits: GraphLimits | None, app_id: str, mailbox: str) -> None:
        bucket = self._buckets.get((app_id, mailbox.lower()))
        if bucket is not None and bucket.open:  # limits may have been turned on meanwhile
            bucket.open -= 1

    def reset(self) -> None:
        self._buckets.clear()

    @staticmethod
    def _refuse(limits: GraphLimits, message: str, wait: float, now: float) -> Refusal:
        wait = max(wait, 0.001)
        told = {
            "seconds": str(math.ceil(wait)),
            "fraction": f"{wait:.3f}",
            "date": formatdate(now + math.ceil(wait), usegmt=True),
            "absent": "",
        }[limits.retry_after]
        return Refusal(429, limits.code, message, told)


@dataclass(frozen=True, slots=True)
class Busy:
    """For EWS. code: ErrorServerBusy (with back_off_ms) or ErrorExceededConnectionCount."""

    code: str
    message: str
    back_off_ms: int | None
    shape: str  # fault, message, inner


@dataclass(slots=True)
class _Budget:
    balance_ms: float
    at: float
    open: int = 0


class EwsThrottle:
    """Call `admit` before work; `release` once for every admit that returned no Busy."""

    def __init__(self) -> None:
        self._budgets: dict[str, _Budget] = {}

    def admit(self, limits: EwsLimits | None, owner: str, now: float) -> tuple[Busy | None, float]:
        """(refusal or None, seconds by which to delay the answer: the "micro-delay" of an owner in debt)."""
        if limits is None:
            return None, 0.0
        budget = self._budget(limits, owner, now)
        if limits.concurrency and budget.open >= limits.concurrency:
            return Busy(
                "ErrorExceededConnectionCount",
                "You have exceeded the available concurrent connections for your account. Try again once your other "
                "requests have completed.",
                None,
                limits.back_off_as,
            ), 0.0
        if budget.balance_ms < -limits.cutoff_ms - 0.01:  # who waited exactly as long as told is let in
            debt = -limits.cutoff_ms - budget.balance_ms
            rate = limits.recharge_ms_per_hour / 3_600_000 or 1.0  # ms of budget per ms
            told = limits.back_off_ms or max(1, math.ceil(debt / rate))
            return Busy(
                "ErrorServerBusy",
                "The server cannot service this request right now. Try again later.",
                told,
                limits.back_off_as,
            ), 0.0
        budget.open += 1
        return None, (limits.micro_delay_ms / 1000 if budget.balance_ms < 0 else 0.0)

    def release(self, limits: EwsLimits | None, owner: str, now: float, took_s: float, octets: int) -> None:
        budget = self._budgets.get(owner.lower())
        if budget is None:
            return
        budget.open = max(0, budget.open - 1)
        if limits is not None:
            budget = self._budget(limits, owner, now)
            cost = took_s * 1000 + limits.cost_ms + limits.cost_ms_per_mib * octets / (1 << 20)
            budget.balance_ms -= cost

    def balance_ms(self, owner: str) -> float | None:
        budget = self._budgets.get(owner.lower())
        return None if budget is None else budget.balance_ms

    def reset(self) -> None:
        self._budgets.clear()

    def _budget(self, limits: EwsLimits, owner: str, now: float) -> _Budget:
        key = owner.lower()
        budget = self._budgets.get(key)
        if budget is None:
            budget = self._budgets[key] = _Budget(limits.max_burst_ms, now)
        gained = (now - budget.at) * limits.recharge_ms_per_hour / 3600
        budget.balance_ms = min(limits.max_burst_ms, budget.balance_ms + max(0.0, gained))
        budget.at = now
        return budget
