"""What the engine tells while it works: frozen records. `cli/console.py` draws them, `cli/jsonl.py` prints them as JSON lines.

Counting happens where the thing happens, once; both faces only add up. `job` is Job.id; times are seconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass

from migrator.model import FolderPath, Outcome


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    run: int
    jobs: tuple[str, ...]
    passname: str
    dry: bool
    at: float


@dataclass(frozen=True, slots=True)
class JobStarted(Event):
    job: str
    source: str  # address
    target: str
    at: float
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class FoldersListed(Event):
    """items and octets are what the source says it holds (None where it does not tell)."""

    job: str
    folders: int
    items: int | None
    octets: int | None


@dataclass(frozen=True, slots=True)
class FolderStarted(Event):
    job: str
    path: FolderPath


@dataclass(frozen=True, slots=True)
class FolderFinished(Event):
    job: str
    path: FolderPath


@dataclass(frozen=True, slots=True)
class BatchSettled(Event):
    """Outcomes that are durable in the ledger. Also for items found present, and for skipped ones."""

    job: str
    path: FolderPath
    outcomes: tuple[Outcome, ...]
    at: float


@dataclass(frozen=True, slots=True)
class Waiting(Event):
    """A mailbox waits because the server said so (throttling) or does not answer (retry). until: epoch seconds."""

    job: str  # "" when a whole endpoint waits
    endpoint: str
    reason: str  # "throttled", "retry", "source_down", "paced" (our own limits), "hours" (quiet hours, not before)
    words: str  # the server's own words, made safe for a terminal
    until: float
    at: float


@dataclass(frozen=True, slots=True)
class EndpointDown(Event):
    """An endpoint is taken for down: its mailboxes wait, or are not tried for now."""

    endpoint: str
    words: str
    at: float


@dataclass(frozen=True, slots=True)
class EndpointBack(Event):
    """One that was taken for down answers again."""

    endpoint: str
    at: float


@dataclass(frozen=True, slots=True)
class Settled(Event):
    """In-doubt items were looked for in the target."""

    job: str
    path: FolderPath
    found: int
    resent: int


@dataclass(frozen=True, slots=True)
class JobFinished(Event):
    """state: "done", "partial" (some items failed), "stopped" (interrupted, resumes) or "error".

    user: credentials or settings are wrong, and every other mailbox that uses them would end the same way.
    """

    job: str
    state: str
    at: float
    error: str = ""
    code: str = ""
    remedy: str = ""
    user: bool = False


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    run: int
    exit_code: int
    at: float


@dataclass(frozen=True, slots=True)
class ForecastUpdated(Event):
    """When all will be done, by what was measured so far. Epoch seconds; None: not within the hours of this run.

    deadline: None where none was given. late: mailboxes that more likely than not miss it. binds: see `forecast.outlook`.
    """

    p50: float | None
    p90: float | None
    deadline: float | None
    late: int
    binds: str
    at: float


@dataclass(frozen=True, slots=True)
class ForecastSlipping(Event):
    """The deadline will more likely than not be missed. Told once, and again only after it was in reach in between."""

    p50: float | None
    p90: float | None
    deadline: float
    late: int
    words: str
    at: float


@dataclass(frozen=True, slots=True)
class Notice(Event):
    """level: "info", "warning", "error"."""

    level: str
    text: str
    job: str = ""
