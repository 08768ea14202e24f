"""What the ledger hands out: frozen rows, with the words of the vocabulary instead of column names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b

from migrator.model import (
    Checkpoint,
    Fingerprint,
    FolderPath,
    ItemRef,
    Kind,
    Role,
    SkipReason,
    State,
)
from migrator.record import record


@record
class Lease:
    """The right of one process to write about one job, until another claims it with a higher fence."""

    job_id: str
    run: int
    owner: str
    fence: int
    job_no: int


@record
class Entry:
    """The fate of one source item."""

    job_id: str
    folder_id: str  # of the source folder
    source_id: str
    version: str
    kind: Kind
    item_class: str
    size: int | None
    received: datetime | None
    message_id: str
    seen: bool | None
    state: State
    reason: SkipReason | None
    code: str
    error: str
    target_id: str
    target_version: str
    fingerprint: Fingerprint
    attempts: int
    octets: int
    path_taken: str
    notes: tuple[str, ...]
    updated: float
    departed: str = ""  # of a copied or present one: "gone" or "moved" at the source since
    moved_to: str = ""  # its id at the source now

    def ref(self, path: FolderPath) -> ItemRef:
        """The item as listing once told it, so that it can be exported again without listing."""
        return ItemRef(
            id=self.source_id,
            folder=path,
            kind=self.kind,
            version=self.version,
            size=self.size,
            item_class=self.item_class,
            received=self.received,
            message_id=self.message_id,
            seen=self.seen,
            fingerprint=self.fingerprint,
        )


@record
class FolderRow:
    """A source folder and what it became."""

    job_id: str
    source_id: str
    path: FolderPath
    kind: Kind
    folder_class: str
    role: Role | None
    total: int | None
    size: int | None
    target_id: str
    target_path: FolderPath
    skipped: SkipReason | None
    checkpoint: Checkpoint | None
    mark: Checkpoint | None
    listed: bool  # its last page was reached once


@record
class JobRow:
    id: str
    line: int
    batch: str
    source: str
    target: str
    source_endpoint: str
    target_endpoint: str
    extra: Mapping[str, str]
    source_identity: str
    target_identity: str
    state: str  # waiting, running, done, partial, stopped, error
    code: str
    error: str
    remedy: str
    waiting_reason: str
    waiting_words: str
    waiting_until: float
    owner: str
    lease_until: float
    started: float | None
    finished: float | None


@record
class BalanceRow:
    """source = copied + present + skipped + failed (+ sending, while a run goes on or after it was cut off)."""

    job_id: str
    folder_id: str
    path: FolderPath
    target_path: FolderPath
    kind: Kind
    folder_skipped: SkipReason | None
    source_total: int | None  # as the source last told
    seen: int
    copied: int
    present: int
    skipped: int
    failed: int
    sending: int
    octets: int  # of all entries, by size at the source
    octets_copied: int
    listed: bool


@record
class JobBalance:
    """What `BalanceRow` tells of folders, added up for one job. Items without a fate yet are what `source` has more.

    source: per folder the larger of what the source told and what was seen. unlisted: reason → items of folders that were
    left out as a whole, where nothing was listed; they count as skipped.
    """

    job_id: str
    source: int
    copied: int
    present: int
    skipped: int
    failed: int
    sending: int
    octets: int
    octets_copied: int
    unlisted: Mapping[str, int]


@record
class Verdict:
    """Whether a target took an item of this kind and origin, proven by an item of our own."""

    endpoint: str
    tenant: str
    origin: str
    kind: Kind
    accepted: bool
    detail: str
    at: float


@record
class Fidelity:
    """What a deep verification found of the items of one kind that took one path. Counts are items.

    compared = identical + volatile + normalised + differing + unreadable; each item counts for the worst that it has.
    """

    kind: Kind
    path: str  # `model.Path` as text, or "present" for what was in the target before
    population: int  # that could be compared
    compared: int
    identical: int  # octet for octet, or without any difference
    volatile: int  # differ as is expected of any copy
    normalised: int  # written differently, the same meaning
    differing: int  # something is lost, added or changed
    unreadable: int  # one side could not be exported or parsed
    properties: Mapping[str, Mapping[str, int]]  # lost, added, changed … → property → items
    confidence: float = 0.0  # shares; 0 where every item was to be compared
    margin: float = 0.0
    job_id: str = ""
    at: float = 0.0


@record
class PathTaken:
    """Copied items of a job of one kind that took one path and got the same remarks."""

    job_id: str
    kind: Kind
    path: str  # `model.Path` as text
    notes: tuple[str, ...]
    items: int


@record
class RunRow:
    id: int
    started: float
    finished: float | None
    exit_code: int | None
    passname: str
    host: str
    pid: int
    version: str
    settings: Mapping[str, str]


@record
class Sample:
    """Throughput of one ten-second span."""

    run: int
    at: int
    items: int
    octets: int


@record
class Incident:
    run: int
    job_id: str
    at: float
    until: float | None
    kind: str
    words: str


@lru_cache(4096)  # an item is asked for, begun and settled within a moment
def key_of(source_id: str) -> bytes:
    """The short key of an entry: 16 bytes instead of an id of 150 characters in every index."""
    return blake2b(source_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def to_epoch(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def from_epoch(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
