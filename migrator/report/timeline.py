"""What went through, and who waited for what, over time: from the ledger's samples and incidents, in few spans.

Only the hours in which a run was at work count; between two runs there is a gap. A span's waits are the time in which at
least one mailbox waited, so a hundred mailboxes that wait for the same server do not wait a hundred times as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field, replace

from migrator.ledger import Incident, RunRow, Sample
from migrator.record import record

SPANS_MOST = 96
SPANS_S = (
    10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_592_000,
)  # fmt: skip
_SAMPLE_S = 10
WAITS = {
    "throttled": "throttled",
    "paced": "paced",
    "retry": "no_answer",
    "source_down": "no_answer",
    "hours": "closed",
}
"""Kind of incident → what it counts as: throttled (the server's demand), paced (our own limits), no_answer, closed (hours)."""
TITLES = {
    "throttled": "Throttled by the server",
    "paced": "Paced by the limits set",
    "no_answer": "No answer from a server",
    "closed": "Outside the hours to work in",
}


@record
class Span:
    """at: epoch seconds. waits: of `TITLES` → seconds in which at least one mailbox waited; those without are left out."""

    at: float
    items: int = 0  # copied
    octets: int = 0  # that went to the target
    waits: dict[str, float] = field(default_factory=dict)


@record
class Outage:
    """Waits of one kind that follow each other, of all mailboxes. words: the server's, of the first."""

    kind: str
    at: float
    until: float
    mailboxes: int
    words: str


@record
class Timeline:
    """spans: in order, each span_s long, only those in which a run was at work."""

    span_s: int = 0
    spans: tuple[Span, ...] = ()
    waits: dict[str, float] = field(default_factory=dict)  # over all
    outages: tuple[Outage, ...] = ()  # the longest

    @property
    def peak(self) -> float:
        """Octets per second of the busiest span."""
        return max((span.octets for span in self.spans), default=0) / self.span_s if self.span_s else 0.0


OUTAGES_KEPT = 20


def timeline(
    runs: Sequence[RunRow], samples: Sequence[Sample], incidents: Iterable[Incident], *, now: float
) -> Timeline:
    waits = [
        (WAITS[one.kind], one.at, min(one.until or one.at, now), one.job_id, one.words)
        for one in incidents
        if one.kind in WAITS
    ]
    active = _active(runs, samples, now)
    if not active:
        return Timeline()
    # A wait is announced with its end; a run that ended before did not wait until then.
    waits = [
        (kind, at, min(until, end), job, words)
        for kind, at, until, job, words in waits
        for start, end in active
        if start <= at <= end
    ]
    span_s = next((size for size in SPANS_S if _count(active, size) <= SPANS_MOST), SPANS_S[-1])
    numbers = sorted(
        {n for start, end in active for n in range(int(start // span_s), int(end // span_s) + 1)}
    )
    items, octets = dict.fromkeys(numbers, 0), dict.fromkeys(numbers, 0)
    for sample in samples:
        number = sample.at // span_s
        if number in items:
            items[number] += sample.items
            octets[number] += sample.octets
    shares: dict[int, dict[str, float]] = {number: {} for number in numbers}
    outages: list[Outage] = []
    totals: dict[str, float] = {}
    for kind in TITLES:
        joined = _joined([wait for wait in waits if wait[0] == kind])
        outages += joined
        for one in joined:
            totals[kind] = totals.get(kind, 0.0) + one.until - one.at
            for number in range(int(one.at // span_s), int(one.until // span_s) + 1):
                part = min(one.until, (number + 1) * span_s) - max(one.at, number * span_s)
                if number in shares and part > 0:
                    shares[number][kind] = shares[number].get(kind, 0.0) + part
    longest = sorted(outages, key=lambda one: one.at - one.until)[:OUTAGES_KEPT]
    return Timeline(
        span_s,
        tuple(Span(float(n * span_s), items[n], octets[n], shares[n]) for n in numbers),
        totals,
        tuple(sorted(longest, key=lambda one: one.at)),
    )


def _active(runs: Sequence[RunRow], samples: Sequence[Sample], now: float) -> list[tuple[float, float]]:
    """When a run was at work, overlapping ones (several processes) as one. A run that died ends with its last sample."""
    last: dict[int, float] = {}
    first: dict[int, float] = {}
    for sample in samples:
        last[sample.run] = max(last.get(sample.run, 0.0), float(sample.at + _SAMPLE_S))
        first[sample.run] = min(first.get(sample.run, now), float(sample.at))
    spans = sorted(
        (
            min(run.started, first.get(run.id, run.started)),
            max(run.started, run.finished or 0.0, last.get(run.id, 0.0)),
        )
        for run in runs
    )
    joined: list[tuple[float, float]] = []
    for start, end in spans:
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return joined


def _count(active: Sequence[tuple[float, float]], size: int) -> int:
    return sum(int(end // size) - int(start // size) + 1 for start, end in active)


def _joined(waits: Sequence[tuple[str, float, float, str, str]]) -> list[Outage]:
    """Waits that overlap or follow within a second, as one."""
    found: list[Outage] = []
    jobs: set[str] = set()
    for kind, at, until, job, words in sorted(waits, key=lambda one: one[1]):
        if found and at <= found[-1].until + 1:
            jobs.add(job)
            found[-1] = replace(found[-1], until=max(found[-1].until, until), mailboxes=len(jobs))
        else:
            jobs = {job}
            found.append(Outage(kind, at, until, 1, words))
    return [one for one in found if one.until > one.at]
