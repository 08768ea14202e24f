"""Scripted trouble. A script is a list of rules; a rule names a fault of the catalogue and when it strikes.

    {"fault": "lost_answer", "operation": "importItem", "nth": 3}
    {"fault": "server_busy", "service": "ews", "every": 10, "back_off_ms": 2500, "times": 2}
    {"fault": "item_error", "item_class": "IPM.Task", "code": "ErrorCorruptData"}

Stages: "connect" (before the request is read), "before" (before any effect), "after" (the effect is stored, the answer
suffers), "item" (one item of a request). Handlers ask `before`, `after` and `item`; the harness asks `connect`.
"""

from __future__ import annotations

import dataclasses
import random
from dataclasses import dataclass, field
from typing import Any

STAGES = ("connect", "before", "after", "item")


@dataclass(frozen=True, slots=True)
class Action:
    """What happens when a rule strikes. Fields that are empty do nothing."""

    fault: str
    stage: str
    status: int = 0  # answer with this HTTP status, `headers` and `body` instead of the handler's answer
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    code: str = ""  # EWS response code or Graph error code: the protocol room words the answer
    message: str = ""
    back_off_ms: int = 0
    shape: str = "fault"  # of an EWS code: fault, message, inner
    retry_after: str = ""
    abort: str = ""  # reset, midway
    delay_s: float = 0.0
    drip_octets_s: float = 0.0
    keep_share: float = 1.0  # of the answer's body; the rest is cut
    tail: bytes = b""
    effect: str = (
        ""  # expire_tokens, expire_sessions, revoke_secret, quota_full, invalidate_delta, advance_clock
    )
    amount: float = 0.0  # for effects that take a number


@dataclass(frozen=True, slots=True)
class Fault:
    """A named fault. `basis`: where the behaviour is written down, or that it is known from the field."""

    name: str
    about: str
    basis: str
    action: Action


def _fault(name: str, stage: str, about: str, basis: str, **action: Any) -> Fault:
    return Fault(name, about, basis, Action(fault=name, stage=stage, **action))


CATALOGUE: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        _fault("reset", "connect", "connection reset before the request is read", "TCP", abort="reset"),
        _fault(
            "reset_before", "before", "request read, connection reset, nothing done", "TCP", abort="reset"
        ),
        _fault(
            "lost_answer",
            "after",
            "the effect is stored, the connection is reset instead of an answer",
            "TCP; a create is not idempotent (Graph mailbox import, EWS UploadItems)",
            abort="reset",
        ),
        _fault("midway", "after", "half of the answer's body, then a reset", "TCP", abort="midway"),
        _fault(
            "truncated_body", "after", "the answer ends early but looks complete", "proxies", keep_share=0.5
        ),
        _fault(
            "truncated_data",
            "item",
            "the item's data ends with === Truncated Data ===",
            "learn.microsoft.com/exchange/client-developer ExportItems (2026)",
            tail=b"=== Truncated Data ===",
        ),
        _fault("drip", "after", "the answer's body comes slowly", "field", drip_octets_s=2000.0),
        _fault("slow", "before", "the work takes longer", "field", delay_s=2.0),
        _fault("empty_503", "before", "503 with an empty body", "Graph error handling, field", status=503),
        _fault(
            "retry_503",
            "before",
            "503 with Retry-After",
            "Graph error handling",
            status=503,
            retry_after="5",
        ),
        _fault(
            "unknown_504",
            "before",
            "504 UnknownError",
            "Graph, field",
            status=504,
            headers=(("Content-Type", "application/json"),),
            body=b'{"error":{"code":"UnknownError","message":"","innerError":{}}}',
        ),
        _fault(
            "late_504",
            "after",
            "504 UnknownError although the effect is stored",
            "Graph, field",
            status=504,
            headers=(("Content-Type", "application/json"),),
            body=b'{"error":{"code":"UnknownError","message":"","innerError":{}}}',
        ),
        _fault(
            "throttled_429",
            "before",
            "429 with Retry-After, out of the blue",
            "learn.microsoft.com/graph/throttling",
            status=429,
            code="ApplicationThrottled",
            message="Application is over its MailboxConcurrency limit.",
            retry_after="2",
        ),
        _fault("unauthorized", "before", "401 in mid-run", "Graph, EWS", status=401),
        _fault("forbidden", "before", "403, EWS or the app is shut", "EWS access control", status=403),
        _fault("not_found", "before", "404 as IIS answers it", "IIS 404.13", status=404),
        _fault("too_large", "before", "413 with an empty body", "IIS", status=413),
        _fault(
            "error_page",
            "before",
            "302 to /ews/genericerrorpage.htm",
            "EWS front ends, field",
            status=302,
            headers=(("Location", "/ews/genericerrorpage.htm"),),
        ),
        _fault(
            "iis_500",
            "before",
            "500 with an HTML page",
            "ASP.NET",
            status=500,
            headers=(("Content-Type", "text/html; charset=utf-8"),),
            body=b"<!DOCTYPE html><html><head><title>Server Error in '/EWS' Application.</title></head>"
            b"<body><h1>Server Error in '/EWS' Application.</h1></body></html>",
        ),
        _fault(
            "server_busy",
            "before",
            "ErrorServerBusy with BackOffMilliseconds",
            "learn.microsoft.com ews-throttling-in-exchange",
            code="ErrorServerBusy",
            message="The server cannot service this request right now. Try again later.",
            back_off_ms=2000,
        ),
        _fault(
            "connection_count",
            "before",
            "ErrorExceededConnectionCount",
            "learn.microsoft.com ews-throttling-in-exchange",
            code="ErrorExceededConnectionCount",
            message="You have exceeded the available concurrent connections for your account.",
        ),
        _fault(
            "mailbox_move",
            "before",
            "ErrorMailboxMoveInProgress",
            "EWS ResponseCode",
            code="ErrorMailboxMoveInProgress",
            message="The mailbox is being moved to a new database.",
        ),
        _fault(
            "store_unavailable",
            "before",
            "ErrorMailboxStoreUnavailable",
            "EWS ResponseCode",
            code="ErrorMailboxStoreUnavailable",
            message="The mailbox database is temporarily unavailable.",
        ),
        _fault(
            "timeout_expired",
            "before",
            "ErrorTimeoutExpired",
            "EWS ResponseCode",
            code="ErrorTimeoutExpired",
            message="The request timed out.",
        ),
        _fault(
            "batch_stopped",
            "item",
            "ErrorBatchProcessingStopped from this item on",
            "EWS ResponseCode",
            code="ErrorBatchProcessingStopped",
            message="The batch was stopped.",
        ),
        _fault(
            "item_error",
            "item",
            "one item answers with an error code",
            "EWS ResponseCode, Graph mailTipsError",
            code="ErrorCorruptData",
            message="The data is corrupt.",
        ),
        _fault(
            "item_busy",
            "item",
            "one item answers ErrorServerBusy with BackOffMilliseconds in its response message",
            "learn.microsoft.com ews-throttling-in-exchange",
            code="ErrorServerBusy",
            message="The server cannot service this request right now. Try again later.",
            back_off_ms=1000,
            shape="message",
        ),
        _fault("expire_tokens", "before", "all access tokens end now", "OAuth 2.0", effect="expire_tokens"),
        _fault(
            "expire_sessions",
            "before",
            "all import sessions end now",
            "Graph createImportSession",
            effect="expire_sessions",
        ),
        _fault(
            "revoke_secret",
            "before",
            "the client secret is taken back",
            "AADSTS7000215",
            effect="revoke_secret",
        ),
        _fault(
            "quota_full",
            "before",
            "the mailbox is full from now on",
            "ErrorQuotaExceeded",
            effect="quota_full",
        ),
        _fault(
            "invalidate_delta",
            "before",
            "all delta tokens and sync states given so far are void",
            "Graph 410, EWS ErrorInvalidSyncStateData",
            effect="invalidate_delta",
        ),
        _fault(
            "advance_clock",
            "before",
            "the lab's clock jumps by `amount` seconds",
            "lab",
            effect="advance_clock",
        ),
    )
}


@dataclass(slots=True)
class Context:
    """What a rule can match on."""

    service: str
    operation: str = ""
    mailbox: str = ""
    path: str = ""
    app_id: str = ""
    item_class: str = ""
    subject: str = ""
    size: int = 0


@dataclass(slots=True)
class Rule:
    """When an action strikes. Empty match fields match everything; text is compared without regard to case.

    nth: the n-th match (1-based), alone; every: each n-th match; first: matches 1 to n; chance: 0 to 1 by the rule's own
    seeded dice; none of them: every match. times: at most so often, 0 is without end.
    """

    action: Action
    service: str = ""
    operation: str = ""
    mailbox: str = ""
    path: str = ""  # prefix
    app_id: str = ""
    item_class: str = ""  # prefix
    subject: str = ""  # part of it
    larger_than: int = 0  # octets of the item
    nth: int = 0
    every: int = 0
    first: int = 0
    chance: float = 0.0
    times: int = 0
    seed: int = 0
    matched: int = 0
    struck: int = 0
    dice: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    def fits(self, context: Context) -> bool:
        return (
            _same(self.service, context.service)
            and _same(self.operation, context.operation)
            and _same(self.mailbox, context.mailbox)
            and _same(self.app_id, context.app_id)
            and context.path.lower().startswith(self.path.lower())
            and context.item_class.lower().startswith(self.item_class.lower())
            and self.subject.lower() in context.subject.lower()
            and (not self.larger_than or context.size > self.larger_than)
        )

    def strikes(self) -> bool:
        """Counts a match and says whether the action happens."""
        self.matched += 1
        if self.times and self.struck >= self.times:
            return False
        hit = (
            (self.nth == self.matched if self.nth else True)
            and (self.matched % self.every == 0 if self.every else True)
            and (self.matched <= self.first if self.first else True)
            and (self.dice.random() < self.chance if self.chance else True)
        )
        self.struck += hit
        return hit


def _same(wanted: str, value: str) -> bool:
    return not wanted or wanted.lower() == value.lower()


class Faults:
    """The script in force."""

    def __init__(self, script: list[dict[str, Any]] | None = None) -> None:
        self.rules: list[Rule] = []
        self.struck: list[tuple[str, Context]] = []
        for line in script or []:
            self.add(**line)

    def add(self, fault: str, **rule: Any) -> Rule:
        """A rule from a script line. Unknown names raise ValueError."""
        known = CATALOGUE.get(fault)
        if known is None:
            raise ValueError(f"unknown fault {fault!r}; known: {', '.join(CATALOGUE)}")
        for_action = {f.name for f in dataclasses.fields(Action)} - {"fault"}
        for_rule = {f.name for f in dataclasses.fields(Rule) if f.init} - {"action", "matched", "struck"}
        unknown = rule.keys() - for_action - for_rule
        if unknown:
            raise ValueError(f"fault {fault!r}: unknown {', '.join(sorted(unknown))}")
        changes = {key: _plain(key, value) for key, value in rule.items() if key in for_action}
        if changes.get("stage", known.action.stage) not in STAGES:
            raise ValueError(f"fault {fault!r}: stage is one of {', '.join(STAGES)}")
        made = Rule(
            dataclasses.replace(known.action, **changes),
            **{key: value for key, value in rule.items() if key in for_rule},
        )
        self.rules.append(made)
        return made

    def clear(self) -> None:
        self.rules.clear()
        self.struck.clear()

    def connect(self, context: Context) -> Action | None:
        return self._strike("connect", context)

    def before(self, context: Context) -> Action | None:
        return self._strike("before", context)

    def after(self, context: Context) -> Action | None:
        return self._strike("after", context)

    def item(self, context: Context) -> Action | None:
        """For one item of a request; fill item_class, subject and size."""
        return self._strike("item", context)

    def _strike(self, stage: str, context: Context) -> Action | None:
        struck: Action | None = None
        for rule in self.rules:
            # Every fitting rule counts the match, the first that strikes wins: rules do not shift each other's counts.
            if rule.action.stage == stage and rule.fits(context) and rule.strikes() and struck is None:
                struck = rule.action
                self.struck.append((struck.fault, context))
        return struck


def _plain(key: str, value: Any) -> Any:
    if key in ("body", "tail") and isinstance(value, str):
        return value.encode()
    if key == "headers":
        pairs = value.items() if isinstance(value, dict) else value
        return tuple((str(name), str(text)) for name, text in pairs)
    return value
