"""What the engine tells while it works: frozen records. `cli/console.py` draws them, `cli/jsonl.py` prints them as JSON lines.

Counting happens where the thing happens, once; both faces only add up. `job` is Job.id; times are seconds since the epoch.
"""

from __future__ import annotations

from migrator.model import FolderPath, Outcome
from migrator.record import record


@record
class Event:
    """Base of all events."""


@record
class RunStarted(Event):
    run: int
    jobs: tuple[str, ...]
    passname: str
    dry: bool
    at: float


@record
class JobStarted(Event):
    job: str
    source: str  # address
    target: str
    at: float
    resumed: bool = False


@record
class FoldersListed(Event):
    """items and octets are what the source says it holds (None where it does not tell)."""

    job: str
    folders: int
    items: int | None
    octets: int | None


@record
class FolderStarted(Event):
    job: str
    path: FolderPath


@record
class FolderFinished(Event):
    job: str
    path: FolderPath


@record
class BatchSettled(Event):
    """Outcomes that are durable in the ledger. Also for items found present, and for skipped ones."""

    job: str
    path: FolderPath
    outcomes: tuple[Outcome, ...]
    at: float


@record
class Waiting(Event):
    """A mailbox waits because the server said so (throttling) or does not answer (retry). until: epoch seconds."""

    job: str  # "" when a whole endpoint waits
    endpoint: str
    reason: str  # "throttled", "retry", "source_down", "paced" (our own limits), "hours" (quiet hours, not before)
    words: str  # the server's own words, made safe for a terminal
    until: float
    at: float


@record
class EndpointDown(Event):
    """An endpoint is taken for down: its mailboxes wait, or are not tried for now."""

    endpoint: str
    words: str
    at: float


@record
class EndpointBack(Event):
    """One that was taken for down answers again."""

    endpoint: str
    at: float


@record
class Settled(Event):
    """In-doubt items were looked for in the target."""

    job: str
    path: FolderPath
    found: int
    resent: int


@record
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


@record
class RunFinished(Event):
    run: int
    exit_code: int
    at: float


@record
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


@record
class ForecastSlipping(Event):
    """The deadline will more likely than not be missed. Told once, and again only after it was in reach in between."""

    p50: float | None
    p90: float | None
    deadline: float
    late: int
    words: str
    at: float


@record
class Notice(Event):
    """level: "info", "warning", "error"."""

    level: str
    text: str
    job: str = ""
