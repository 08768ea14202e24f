"""Events added up: what a view shows of a run. No drawing here, no clock of its own."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import field

from migrator.events import (
    BatchSettled,
    Event,
    FoldersListed,
    FolderStarted,
    ForecastSlipping,
    ForecastUpdated,
    JobFinished,
    JobStarted,
    Notice,
    RunFinished,
    RunStarted,
    Settled,
    Waiting,
)
from migrator.model import State
from migrator.plan.folders import path_text
from migrator.record import record

RATE_SPAN_S = 30.0
NOTICES_KEPT = 50


@record(frozen=False)
class Row:
    """One mailbox. total: items as the source tells, None until it did."""

    job: str
    source: str
    target: str
    state: str = "running"
    folder: str = ""
    total: int | None = None
    copied: int = 0
    present: int = 0
    skipped: int = 0
    failed: int = 0
    octets: int = 0
    waiting: str = ""
    until: float = 0.0
    began: float = 0.0
    error: str = ""
    code: str = ""
    remedy: str = ""
    octets_total: int | None = None
    octets_settled: int = 0  # at the source, of items with a fate
    recent: deque[tuple[float, int, int]] = field(default_factory=deque)
    before: tuple[int, int] = (0, 0)  # items and octets that earlier runs settled

    @property
    def reached(self) -> int:
        """Items with a fate, those of earlier runs included; a later pass may meet some of them again."""
        reached = self.before[0] + self.settled
        if self.total is None:
            return reached
        return max(self.total, self.settled) if self._through else min(reached, max(self.total, self.settled))

    @property
    def octets_reached(self) -> int:
        reached = self.before[1] + self.octets_settled
        if self.octets_total is None:
            return reached
        most = max(self.octets_total, self.octets_settled)
        return most if self._through else min(reached, most)

    @property
    def _through(self) -> bool:
        return self.state in ("done", "partial")

    @property
    def settled(self) -> int:
        return self.copied + self.present + self.skipped + self.failed

    def rate(self, now: float) -> tuple[float, float]:
        """(items, octets) a second over the last RATE_SPAN_S."""
        return _rate(self.recent, now, self.began)


@record(frozen=False)
class Board:
    """All mailboxes of a run. Not thread-safe: views hold a lock around `take` and around drawing."""

    jobs: int = 0
    passname: str = ""
    dry: bool = False
    started: float = 0.0
    now: float = 0.0
    rows: dict[str, Row] = field(default_factory=dict)
    waiting: str = ""  # of a whole endpoint
    until: float = 0.0
    notices: deque[str] = field(default_factory=lambda: deque(maxlen=NOTICES_KEPT))
    exit_code: int | None = None
    waits: int = 0
    codes: Counter[str] = field(default_factory=Counter)  # of failed items
    ends: tuple[float, float] | None = None  # by the forecast: epoch seconds, p50 and p90
    before: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # job → items, octets of earlier runs
    _recent: deque[tuple[float, int, int]] = field(default_factory=deque)

    def take(self, event: Event) -> None:
        self.now = max(self.now, getattr(event, "at", 0.0))
        match event:
            case RunStarted():
                self.jobs, self.passname, self.dry, self.started = (
                    len(event.jobs), event.passname, event.dry, event.at,
                )  # fmt: skip
            case JobStarted():
                self.rows[event.job] = Row(
                    event.job, event.source, event.target, began=event.at, before=self.before.get(event.job, (0, 0))
                )  # fmt: skip
            case FoldersListed():
                row = self._row(event.job)
                row.total, row.octets_total = event.items, event.octets
            case FolderStarted():
                self._row(event.job).folder = path_text(event.path)
            case BatchSettled():
                self._settled(event)
            case Waiting():
                self._waiting(event)
            case Settled() if event.found or event.resent:
                self.notices.append(
                    f"{self._row(event.job).source}: {event.found + event.resent} in doubt: {event.found} found in the target, "
                    f"{event.resent} sent again"
                )
            case JobFinished():
                row = self._row(event.job)
                row.state, row.error, row.code, row.remedy = (
                    event.state,
                    event.error,
                    event.code,
                    event.remedy,
                )
                row.folder = row.waiting = ""
            case ForecastUpdated():
                known = event.p50 is not None and event.p90 is not None
                self.ends = (event.p50 or 0.0, event.p90 or 0.0) if known else None
            case RunFinished():
                self.exit_code = event.exit_code
            case ForecastSlipping():
                self.notices.append(event.words)
            case Notice():
                self.notices.append(event.text)

    def _row(self, job: str) -> Row:
        return self.rows.setdefault(job, Row(job, job, ""))

    def _settled(self, event: BatchSettled) -> None:
        row = self._row(event.job)
        row.waiting = ""
        octets = 0
        for outcome in event.outcomes:
            row.octets_settled += outcome.ref.size or 0
            match outcome.state:
                case State.COPIED:
                    row.copied += 1
                    octets += outcome.ref.size or outcome.octets
                case State.PRESENT:
                    row.present += 1
                case State.SKIPPED:
                    row.skipped += 1
                case State.FAILED:
                    row.failed += 1
                    self.codes[getattr(outcome.error, "code", "") or type(outcome.error).__name__] += 1
        row.octets += octets
        for recent in (row.recent, self._recent):
            _add(recent, event.at, len(event.outcomes), octets)

    def _waiting(self, event: Waiting) -> None:
        words = {
            "throttled": "server asked to wait",
            "retry": "trying again",
            "source_down": "no answer",
            "paced": "keeping the limits",
            "hours": "by its hours",
        }.get(event.reason, event.reason)
        if event.words:
            words = f"{words}: {event.words}"
        self.waits += 1
        if event.job:
            row = self._row(event.job)
            row.waiting, row.until = words, event.until
        else:
            self.waiting, self.until = f"{event.endpoint}: {words}", event.until

    # --- totals

    @property
    def settled(self) -> int:
        return sum(row.settled for row in self.rows.values())

    @property
    def total(self) -> int:
        """Items known of so far, of mailboxes that were begun."""
        return sum(max(row.total or 0, row.settled) for row in self.rows.values())

    def count(self, name: str) -> int:
        return sum(getattr(row, name) for row in self.rows.values())

    def finished(self) -> int:
        return sum(row.state != "running" for row in self.rows.values())

    def rate(self, now: float) -> tuple[float, float]:
        """(items, octets) a second over the last RATE_SPAN_S."""
        return _rate(self._recent, now, self.started)

    @property
    def reached(self) -> int:
        return sum(row.reached for row in self.rows.values())

    @property
    def octets_reached(self) -> int:
        return sum(row.octets_reached for row in self.rows.values())

    @property
    def octets_total(self) -> int:
        """Of mailboxes that were begun; 0 where one of them does not tell."""
        rows = self.rows.values()
        if any(row.octets_total is None for row in rows):
            return 0
        return sum(max(row.octets_total or 0, row.octets_settled) for row in rows)


def _add(recent: deque[tuple[float, int, int]], at: float, items: int, octets: int) -> None:
    """What happened within a second is one entry: six hundred mailboxes are drawn twice a second."""
    if recent and int(recent[-1][0]) == int(at):
        last = recent[-1]
        recent[-1] = (last[0], last[1] + items, last[2] + octets)
    else:
        recent.append((at, items, octets))
    while recent and recent[0][0] < at - RATE_SPAN_S:
        recent.popleft()


def _rate(recent: deque[tuple[float, int, int]], now: float, began: float) -> tuple[float, float]:
    found = [one for one in recent if one[0] >= now - RATE_SPAN_S]
    if not found:
        return 0.0, 0.0
    span = max(1.0, min(RATE_SPAN_S, now - min(began or found[0][0], now)))
    return sum(one[1] for one in found) / span, sum(one[2] for one in found) / span
