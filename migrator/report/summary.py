"""Ledger → one frozen summary, from which every form of report and the table at the end of a run are drawn.

The balance: source = copied + already there + skipped + failed. What is missing from it is `open`: items that wait for
the next run, or whose fate is in doubt. A finished mailbox has none.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import field

from migrator.ledger import BalanceRow, Entry, Incident, JobBalance, JobRow, Ledger, RunRow
from migrator.ledger.standing import NOT_SENT
from migrator.model import FolderPath, Kind, SkipReason, State
from migrator.plan.folders import path_text
from migrator.plan.paths import loses
from migrator.plan.remedies import remedy_of, skip_of
from migrator.record import record
from migrator.report.fidelity import FidelityLine, fidelity_lines, sample_words
from migrator.report.timeline import Timeline, timeline

LOSSES_KEPT = 200
"""Different remarks about losses that a summary holds, the most frequent first."""
FAILURES_KEPT = 1000
"""Failed items that a summary holds one by one, of each code a share; counts are always of all."""
INCIDENTS_KEPT = 500
"""The last incidents one by one; the timeline is of all."""


@record
class Counts:
    """Items and octets. octets: at the source; octets_copied: of the copied ones."""

    source: int = 0
    copied: int = 0
    present: int = 0
    skipped: int = 0
    failed: int = 0
    in_doubt: int = 0
    octets: int = 0
    octets_copied: int = 0

    @property
    def open(self) -> int:
        """Without a fate yet; the next run takes them."""
        return self.source - self.copied - self.present - self.skipped - self.failed

    @property
    def closes(self) -> bool:
        return self.open == 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.source + other.source,
            self.copied + other.copied,
            self.present + other.present,
            self.skipped + other.skipped,
            self.failed + other.failed,
            self.in_doubt + other.in_doubt,
            self.octets + other.octets,
            self.octets_copied + other.octets_copied,
        )


@record
class FolderLine:
    path: str  # as a person reads it
    target: str
    kind: Kind
    counts: Counts
    left_out: str = ""  # why the whole folder was, or ""


@record
class SkipLine:
    reason: str
    count: int
    title: str
    todo: str


@record
class FailedItem:
    """A failed item as far as it may be told: no subject, no content."""

    mailbox: str
    folder: str
    received: str  # ISO date, or ""
    size: int | None
    kind: str
    item_class: str
    message_id: str
    code: str
    error: str
    attempts: int


@record
class FailureGroup:
    code: str
    count: int
    mailboxes: int
    title: str
    todo: str
    again: bool
    items: tuple[FailedItem, ...] = ()


@record
class PathLine:
    """Copied items of one kind by the path that they took. loses: what that path does not carry, or ""."""

    kind: str
    path: str
    items: int
    loses: str


@record
class LossLine:
    """A remark that items got on their way, and how many did."""

    path: str
    note: str
    items: int


@record
class MailboxLine:
    id: str
    line: int
    batch: str
    source: str
    target: str
    source_endpoint: str
    target_endpoint: str
    state: str
    code: str
    error: str
    remedy: str
    waiting: str  # why it waits just now, or ""
    waiting_until: float
    started: float | None
    finished: float | None
    counts: Counts
    folders: tuple[FolderLine, ...]
    skips: tuple[SkipLine, ...]
    extra: Mapping[str, str]

    @property
    def complete(self) -> bool:
        return self.state in ("done", "partial") and self.counts.closes


@record
class Summary:
    """made: epoch seconds. failures: the largest group first; each holds some of its items, all groups together at most
    FAILURES_KEPT. runs, incidents and timeline are of the whole project."""

    made: float
    title: str
    mailboxes: tuple[MailboxLine, ...]
    totals: Counts
    skips: tuple[SkipLine, ...]
    failures: tuple[FailureGroup, ...]
    runs: tuple[RunRow, ...] = ()
    incidents: tuple[Incident, ...] = ()  # the last ones
    timeline: Timeline = field(default_factory=Timeline)
    states: Mapping[str, int] = field(default_factory=dict)
    fidelity: tuple[FidelityLine, ...] = ()  # of the last deep verification of each mailbox
    sample: str = ""  # what its sample says about all items, or ""
    paths: tuple[PathLine, ...] = ()  # only where asked for
    losses: tuple[LossLine, ...] = ()  # likewise

    @property
    def closes(self) -> bool:
        """Every item of every mailbox has a fate, and every mailbox was finished."""
        return all(mailbox.complete for mailbox in self.mailboxes)


def summarise(
    ledger: Ledger,
    *,
    now: float,
    title: str = "",
    jobs: Iterable[str] | None = None,
    paths: bool = False,
    brief: bool = False,
) -> Summary:
    """jobs: ids of the mailboxes wanted, None is all. paths: paths and losses too.

    brief: no folders, no single items, no incidents, no fidelity: what a view needs that is drawn every other second. All
    sums are the same.
    """
    wanted = None if jobs is None else set(jobs)
    rows = [row for row in ledger.jobs() if wanted is None or row.id in wanted]
    folders: dict[str, list[BalanceRow]] = defaultdict(list)
    wholes: dict[str, JobBalance] = {}
    if brief:
        wholes = {whole.job_id: whole for whole in ledger.balance_by_job()}
    else:
        for balance in ledger.balance():
            folders[balance.job_id].append(balance)
    reasons: dict[str, dict[str, int]] = defaultdict(dict)
    for job_id, reason, count in ledger.skipped_by_reason():
        reasons[job_id][reason] = reasons[job_id].get(reason, 0) + count
    codes: dict[str, dict[str, int]] = defaultdict(dict)
    known = {row.id for row in rows}
    for job_id, code, count in ledger.failed_by_code():
        if job_id in known:
            codes[code][job_id] = codes[code].get(job_id, 0) + count
    mailboxes = tuple(
        _whole(row, wholes.get(row.id), reasons[row.id], now)
        if brief
        else _mailbox(row, folders[row.id], reasons[row.id], now)
        for row in rows
    )
    totals = Counts()
    skips: dict[str, int] = defaultdict(int)
    states: dict[str, int] = defaultdict(int)
    for mailbox in mailboxes:
        totals = totals + mailbox.counts
        states[mailbox.state] += 1
        for skip in mailbox.skips:
            skips[skip.reason] += skip.count
    deep = [] if brief else [one for one in ledger.fidelity() if one.job_id in known]
    taken, losses = _paths(ledger, known) if paths else ((), ())
    runs = tuple(ledger.runs())
    incidents = () if brief else tuple(ledger.incidents())
    return Summary(
        made=now,
        title=title,
        mailboxes=mailboxes,
        totals=totals,
        skips=_skips(skips),
        failures=_failures(ledger, [] if brief else rows, codes),
        runs=runs,
        incidents=incidents[-INCIDENTS_KEPT:],
        timeline=Timeline() if brief else timeline(runs, ledger.throughput(), incidents, now=now),
        states=dict(states),
        fidelity=fidelity_lines(deep),
        sample=sample_words(deep),
        paths=taken,
        losses=losses,
    )


def _paths(ledger: Ledger, known: Collection[str]) -> tuple[tuple[PathLine, ...], tuple[LossLine, ...]]:
    taken: Counter[tuple[Kind, str]] = Counter()
    losses: Counter[tuple[str, str]] = Counter()
    for one in ledger.paths_taken():
        if one.job_id in known:
            taken[one.kind, one.path] += one.items
            losses.update({(one.path, note): one.items for note in one.notes})
    return (
        tuple(
            PathLine(kind.value, path, items, loses(path, kind))
            for (kind, path), items in sorted(taken.items())
        ),
        tuple(LossLine(path, note, items) for (path, note), items in losses.most_common(LOSSES_KEPT)),
    )


def failed_items(ledger: Ledger, rows: Sequence[JobRow]) -> Iterable[FailedItem]:
    """Every failed item of these mailboxes, streamed; without what was only cut off before it left."""
    names = {row.id: row.source for row in rows}
    paths: dict[str, dict[str, FolderPath]] = {}
    for entry in ledger.all_in(State.FAILED):
        job = entry.job_id
        if job not in names or entry.code == NOT_SENT:
            continue
        if job not in paths:
            paths = {job: {folder.source_id: folder.path for folder in ledger.folders(job)}}
        yield failed_item(names[job], paths[job].get(entry.folder_id, ()), entry)


def failed_item(mailbox: str, path: FolderPath, entry: Entry) -> FailedItem:
    return FailedItem(
        mailbox=mailbox,
        folder=path_text(path),
        received=entry.received.isoformat() if entry.received else "",
        size=entry.size,
        kind=entry.kind.value,
        item_class=entry.item_class,
        message_id=entry.message_id,
        code=entry.code,
        error=entry.error,
        attempts=entry.attempts,
    )


def _mailbox(
    row: JobRow, folders: Sequence[BalanceRow], reasons: Mapping[str, int], now: float
) -> MailboxLine:
    lines = tuple(_folder(one) for one in folders)
    counts = Counts()
    left_out = dict(reasons)
    for one, line in zip(folders, lines, strict=True):
        counts = counts + line.counts
        if one.folder_skipped is not None and one.folder_skipped is not SkipReason.SEARCH_FOLDER:
            unseen = line.counts.skipped - one.skipped
            if unseen:
                left_out[one.folder_skipped.value] = left_out.get(one.folder_skipped.value, 0) + unseen
    return _line(row, counts, lines, left_out, now)


def _whole(row: JobRow, whole: JobBalance | None, reasons: Mapping[str, int], now: float) -> MailboxLine:
    """The same from sums that the database made."""
    if whole is None:
        return _line(row, Counts(), (), reasons, now)
    counts = Counts(
        whole.source, whole.copied, whole.present, whole.skipped, whole.failed, whole.sending, whole.octets,
        whole.octets_copied,
    )  # fmt: skip
    return _line(row, counts, (), Counter(reasons) + Counter(whole.unlisted), now)


def _line(
    row: JobRow, counts: Counts, lines: tuple[FolderLine, ...], left_out: Mapping[str, int], now: float
) -> MailboxLine:
    waiting = row.state == "running" and row.waiting_until > now
    state, error = row.state, row.error
    if state == "running" and row.lease_until < now:
        # Its process died without a word: what it had settled is kept, and the next run goes on.
        state, error = "stopped", "its process is gone; the next run goes on here"
    return MailboxLine(
        id=row.id,
        line=row.line,
        batch=row.batch,
        source=row.source,
        target=row.target,
        source_endpoint=row.source_endpoint,
        target_endpoint=row.target_endpoint,
        state=state,
        code=row.code,
        error=error,
        remedy=row.remedy or (remedy_of(row.code).todo if row.code else ""),
        waiting=(row.waiting_words or row.waiting_reason) if waiting else "",
        waiting_until=row.waiting_until if waiting else 0.0,
        started=row.started,
        finished=row.finished,
        counts=counts,
        folders=lines,
        skips=_skips(left_out),
        extra=dict(row.extra),
    )


def _folder(row: BalanceRow) -> FolderLine:
    skipped = row.skipped
    source = max(row.seen, row.source_total or 0)
    if row.folder_skipped is SkipReason.SEARCH_FOLDER:
        source = row.seen  # a view: its items are counted in the folders where they lie
    elif row.folder_skipped is not None:
        # Nothing in it was listed: all that the source tells of goes by the folder's own reason.
        skipped += source - row.seen
    return FolderLine(
        path=path_text(row.path),
        target=path_text(row.target_path),
        kind=row.kind,
        counts=Counts(
            source=source,
            copied=row.copied,
            present=row.present,
            skipped=skipped,
            failed=row.failed,
            in_doubt=row.sending,
            octets=row.octets,
            octets_copied=row.octets_copied,
        ),
        left_out=_left_out(row),
    )


def _left_out(row: BalanceRow) -> str:
    if row.folder_skipped is not None:
        return skip_of(row.folder_skipped).title
    if row.listed and not row.target_path:
        return remedy_of("folder_refused").title
    return ""


def _skips(reasons: Mapping[str, int]) -> tuple[SkipLine, ...]:
    return tuple(
        SkipLine(reason, count, skip_of(reason).title, skip_of(reason).todo)
        for reason, count in sorted(reasons.items(), key=lambda one: (-one[1], one[0]))
        if count
    )


def _failures(
    ledger: Ledger, rows: Sequence[JobRow], codes: Mapping[str, Mapping[str, int]]
) -> tuple[FailureGroup, ...]:
    items: dict[str, list[FailedItem]] = defaultdict(list)
    share = FAILURES_KEPT // max(1, len(codes))
    wanted = {code: min(share, sum(jobs.values())) for code, jobs in codes.items()}
    for item in failed_items(ledger, rows) if codes and rows else ():
        if len(items[item.code]) < wanted.get(item.code, 0):
            items[item.code].append(item)
            if len(items[item.code]) == wanted[item.code]:
                del wanted[item.code]
                if not wanted:
                    break
    groups = []
    for code, jobs in codes.items():
        remedy = remedy_of(code)
        groups.append(
            FailureGroup(
                code=code,
                count=sum(jobs.values()),
                mailboxes=len(jobs),
                title=remedy.title,
                todo=remedy.todo,
                again=remedy.again,
                items=tuple(items[code]),
            )
        )
    return tuple(sorted(groups, key=lambda one: (-one.count, one.code)))
