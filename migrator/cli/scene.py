"""How far a run is, as something to be drawn: from events (`of_board`) or from the ledger (`Looks`), drawn by `drawing`."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING

from migrator.record import record

if TYPE_CHECKING:
    from migrator.cli.progress import Board
    from migrator.report.summary import Summary

ORDER = {"running": 0, "error": 1, "partial": 2, "stopped": 3, "done": 4, "waiting": 5}
RATE_SPAN_S = 30.0


@record
class SceneRow:
    """One mailbox. total, octets_total: None where the source did not tell. Rates are a second; left_s None: not known."""

    name: str
    state: str
    items: int = 0  # with a fate, those of earlier runs included
    total: int | None = None
    octets: int = 0
    octets_total: int | None = None
    items_rate: float = 0.0
    octets_rate: float = 0.0
    left_s: float | None = None
    failed: int = 0
    in_flight: int = 0
    waiting: str = ""
    waiting_s: float = 0.0
    doing: str = ""  # the folder, or what went wrong


@record
class Scene:
    """All of it. outlook: a better word on the end than left_s, from the forecast. flying: what is on its way, in words."""

    title: str = ""
    jobs: int = 0
    finished: int = 0
    begun: int = 0
    items: int = 0
    total: int = 0
    octets: int = 0
    octets_total: int = 0
    items_rate: float = 0.0
    octets_rate: float = 0.0
    elapsed_s: float = 0.0
    left_s: float | None = None
    outlook: str = ""
    flying: str = ""
    waiting: str = ""  # of a whole endpoint
    waiting_s: float = 0.0
    errors: tuple[tuple[str, int], ...] = ()  # code, items; the most frequent first
    rows: tuple[SceneRow, ...] = ()  # those at work first
    foot: str = ""


def left_of(items_left: int, octets_left: int | None, items_rate: float, octets_rate: float) -> float | None:
    """Seconds, by the pace of now: of items and of octets whichever takes longer. None where nothing moves."""
    by_items = items_left / items_rate if items_rate > 0 else None
    by_octets = octets_left / octets_rate if octets_left is not None and octets_rate > 0 else None
    if items_left and by_items is None:
        return None
    known = [one for one in (by_items, by_octets) if one is not None]
    return max(known) if known and items_left else 0.0 if not items_left else None


def flying_words(items: int, octets: int, reading: int) -> str:
    """ "4 items (1.2 MiB) on their way, 2 being read"."""
    from migrator.report.words import octets as sized

    words = []
    if items:
        words.append(f"{items:,} on the way" + (f" ({sized(octets)})" if octets else ""))
    if reading:
        words.append(f"{reading:,} being read")
    return ", ".join(words)


def of_board(board: Board, now: float, flights: Mapping[str, tuple[int, int, int]] | None = None) -> Scene:
    """flights: job → (items being sent, their octets, items being read), see `meter.flights`."""
    flights = flights or {}
    rows = []
    for row in board.rows.values():
        items_rate, octets_rate = row.rate(now)
        sending = flights.get(row.job, (0, 0, 0))
        running = row.state == "running"
        total = None if row.total is None else max(row.total, row.settled)
        left = None
        if running and total is not None:
            octets_left = None if row.octets_total is None else max(0, row.octets_total - row.octets_reached)
            left = left_of(total - row.reached, octets_left, items_rate, octets_rate)
        waits = running and row.until > now and bool(row.waiting)
        rows.append(
            SceneRow(
                name=row.source,
                state=row.state,
                items=row.reached,
                total=total,
                octets=row.octets_reached,
                octets_total=row.octets_total,
                items_rate=items_rate if running else 0.0,
                octets_rate=octets_rate if running else 0.0,
                left_s=left,
                failed=row.failed,
                in_flight=sending[0] if running else 0,
                waiting=row.waiting if waits else "",
                waiting_s=row.until - now if waits else 0.0,
                doing=row.folder if running else row.error,
            )
        )
    rows.sort(key=lambda one: (ORDER.get(one.state, 9), -(one.total or 0), one.name))
    items_rate, octets_rate = board.rate(now)
    items, total = board.reached, board.total
    octets, octets_total = board.octets_reached, board.octets_total
    begun = len(board.rows)
    # Of mailboxes that are not begun nothing is known yet: a time would be a promise.
    left = (
        left_of(total - items, max(0, octets_total - octets), items_rate, octets_rate)
        if begun >= board.jobs
        else None
    )
    flying = [sum(one[at] for one in flights.values()) for at in range(3)]
    return Scene(
        title=board.passname,
        jobs=board.jobs,
        finished=board.finished(),
        begun=begun,
        items=items,
        total=total,
        octets=octets,
        octets_total=octets_total,
        items_rate=items_rate,
        octets_rate=octets_rate,
        elapsed_s=now - board.started if board.started else 0.0,
        left_s=left,
        outlook=_outlook(board.ends, now),
        flying=flying_words(flying[0], flying[1], flying[2]),
        waiting=board.waiting if board.until > now else "",
        waiting_s=max(0.0, board.until - now),
        errors=tuple(board.codes.most_common()),
        rows=tuple(rows),
    )


def _outlook(ends: tuple[float, float] | None, now: float) -> str:
    from migrator.report.words import span

    if ends is None or ends[0] <= now:
        return ""
    return f"about {span(ends[0] - now)} left, 9 in 10 times at most {span(ends[1] - now)}"


@record(frozen=False)
class Looks:
    """Scenes from one look at the ledger after another; rates are what came between."""

    _seen: dict[str, deque[tuple[float, int, int]]] = field(default_factory=dict)

    def scene(self, summary: Summary, ends: tuple[float, float] | None = None) -> Scene:
        """ends: p50 and p90 by the forecast of the run that goes on."""
        now = summary.made
        rows = []
        sending = 0
        for box in summary.mailboxes:
            counts = box.counts
            settled = counts.source - counts.open
            items_rate, octets_rate = self._rate(box.id, now, settled, counts.octets_copied)
            running = box.state == "running"
            sending += counts.in_doubt if running else 0
            left = left_of(counts.open, None, items_rate, 0.0) if running else None
            rows.append(
                SceneRow(
                    name=box.source,
                    state=box.state,
                    items=settled,
                    total=counts.source,
                    octets=counts.octets_copied,
                    octets_total=None,
                    items_rate=items_rate if running else 0.0,
                    octets_rate=octets_rate if running else 0.0,
                    left_s=left,
                    failed=counts.failed,
                    in_flight=counts.in_doubt if running else 0,
                    waiting=box.waiting if running else "",
                    waiting_s=max(0.0, box.waiting_until - now) if running and box.waiting else 0.0,
                    doing=box.error if box.code not in ("items_failed", "interrupted") else "",
                )
            )
        rows.sort(key=lambda one: (ORDER.get(one.state, 9), -(one.total or 0), one.name))
        totals = summary.totals
        settled = totals.source - totals.open
        items_rate, octets_rate = self._rate("", now, settled, totals.octets_copied)
        begun = sum(row.state != "waiting" for row in rows)
        run = summary.runs[-1] if summary.runs else None
        going = run is not None and run.finished is None
        left = left_of(totals.open, None, items_rate, 0.0) if begun == len(rows) and going else None
        return Scene(
            title=summary.title,
            jobs=len(rows),
            finished=sum(row.state not in ("running", "waiting") for row in rows),
            begun=begun,
            items=settled,
            total=totals.source,
            octets=totals.octets_copied,
            octets_total=0,
            items_rate=items_rate,
            octets_rate=octets_rate,
            elapsed_s=now - run.started if run is not None and going else 0.0,
            left_s=left,
            outlook=_outlook(ends, now),
            flying=flying_words(sending, 0, 0),
            errors=tuple((group.code, group.count) for group in summary.failures),
            rows=tuple(rows),
        )

    def _rate(self, key: str, now: float, items: int, octets: int) -> tuple[float, float]:
        seen = self._seen.setdefault(key, deque())
        while seen and seen[0][0] < now - RATE_SPAN_S:
            seen.popleft()
        found = (0.0, 0.0)
        if seen and now > seen[0][0]:
            at, first, weighed = seen[0]
            found = max(0.0, (items - first) / (now - at)), max(0.0, (octets - weighed) / (now - at))
        seen.append((now, items, octets))
        return found
