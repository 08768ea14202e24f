"""Events added up: what a view shows of a run. No drawing here, no clock of its own."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from migrator.events import (
    BatchSettled,
    Event,
    FoldersListed,
    FolderStarted,
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

RATE_SPAN_S = 30.0
NOTICES_KEPT = 50


@dataclass(slots=True)
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
    error: str = ""
    code: str = ""
    remedy: str = ""

    @property
    def settled(self) -> int:
        return self.copied + self.present + self.skipped + self.failed


@dataclass(slots=True)
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
    _recent: deque[tuple[float, int, int]] = field(default_factory=deque)

    def take(self, event: Event) -> None:
        self.now = max(self.now, getattr(event, "at", 0.0))
        match event:
            case RunStarted():
                self.jobs, self.passname, self.dry, self.started = (
                    len(event.jobs), event.passname, event.dry, event.at,
                )  # fmt: skip
            case JobStarted():
                self.rows[event.job] = Row(event.job, event.source, event.target)
            case FoldersListed():
                self._row(event.job).total = event.items
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
            case RunFinished():
                self.exit_code = event.exit_code
            case Notice():
                self.notices.append(event.text)

    def _row(self, job: str) -> Row:
        return self.rows.setdefault(job, Row(job, job, ""))

    def _settled(self, event: BatchSettled) -> None:
        row = self._row(event.job)
        row.waiting = ""
        octets = 0
        for outcome in event.outcomes:
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
        row.octets += octets
        self._recent.append((event.at, len(event.outcomes), octets))
        while self._recent and self._recent[0][0] < event.at - RATE_SPAN_S:
            self._recent.popleft()

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
        recent = [one for one in self._recent if one[0] >= now - RATE_SPAN_S]
        if not recent:
            return 0.0, 0.0
        span = max(1.0, min(RATE_SPAN_S, now - min(self.started or recent[0][0], now)))
        return sum(one[1] for one in recent) / span, sum(one[2] for one in recent) / span
