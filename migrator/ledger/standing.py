"""Where everything stands: the balance, added up from the tally, so that no question here reads all entries.

What is on its way or in doubt is not in the tally; a small index (`entry_open`) finds it.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Engine, Select, and_, case, func, select, text

from migrator.ledger import schema as s
from migrator.ledger.records import BalanceRow, JobBalance
from migrator.model import Kind, SkipReason, State

NOT_SENT = "not_sent"
"""Code of an item whose request surely did not leave, because the run was cut off: due, and no failure."""
INDEXED = frozenset({State.SENDING, State.FAILED, State.SKIPPED})
IN_INDEX = text("entry.state IN ('sending', 'failed', 'skipped')")
"""The condition of the index `entry_open`, word for word: without it SQLite does not see that the index will do."""
_SUMMED = (
    "source", "copied", "present", "skipped", "failed", "sending", "octets", "octets_copied",
)  # fmt: skip


class Standing:
    """Part of `Reading`."""

    _reader: Engine

    def balance(self) -> list[BalanceRow]:
        """Per job and folder what became of its items; read from the tally, so it is quick at any size."""
        t, f = s.tally.c, s.folder.c
        folders = (
            select(
                s.job.c.id.label("job_id"), f.no, f.source_id, f.path, f.target_path, f.kind, f.skipped, f.total, f.listed
            )
            .join(s.job, s.job.c.no == f.job)
            .order_by(s.job.c.line, s.job.c.no, f.no)
        )  # fmt: skip
        counts: dict[int, dict[str, int]] = {}
        with self._reader.connect() as connection:
            for number, state, why, items, octets in connection.execute(
                select(t.folder, t.state, t.why, t["items"], t.octets)
            ):
                count = counts.setdefault(number, {})
                # Cut off before it left: the next run sends it, so to a person it is open, not failed.
                fate = State.SENDING.value if why == NOT_SENT else state
                count[fate] = count.get(fate, 0) + items
                count["octets"] = count.get("octets", 0) + octets
                if state == State.COPIED.value:
                    count["octets_copied"] = count.get("octets_copied", 0) + octets
            for number, items, octets in connection.execute(_sending_by_folder()):
                count = counts.setdefault(number, {})
                count[State.SENDING.value] = count.get(State.SENDING.value, 0) + items
                count["octets"] = count.get("octets", 0) + octets
            rows = connection.execute(folders).all()
        return [_balance_row(row, counts.get(row.no, {})) for row in rows]

    def balance_by_job(self) -> list[JobBalance]:
        """The balance of whole jobs, of those that have folders; added up by the database, so it costs next to nothing."""
        t, f = s.tally.c, s.folder.c
        not_sent = t.why == NOT_SENT

        def items_where(condition: Any) -> Any:
            return func.sum(case((condition, t["items"]), else_=0))

        tally = (
            select(
                t.folder,
                func.sum(t["items"]).label("seen"),
                items_where(t.state == State.COPIED.value).label("copied"),
                items_where(t.state == State.PRESENT.value).label("present"),
                items_where(t.state == State.SKIPPED.value).label("skipped"),
                items_where(and_(t.state == State.FAILED.value, ~not_sent)).label("failed"),
                items_where(not_sent).label("due"),
                func.sum(t.octets).label("octets"),
                func.sum(case((t.state == State.COPIED.value, t.octets), else_=0)).label("octets_copied"),
            )
            .group_by(t.folder)
            .subquery("tallied")
        )
        opened = _sending_by_folder().subquery("opened")

        def of(column: Any) -> Any:
            return func.coalesce(column, 0)

        seen = of(tally.c.seen) + of(opened.c["items"])
        # A search folder is a view: its items count where they lie.
        source = case(
            (f.skipped == SkipReason.SEARCH_FOLDER.value, seen), (f.total > seen, f.total), else_=seen
        )
        query = (
            select(
                s.job.c.id,
                f.skipped.label("folder_skipped"),
                func.sum(source).label("source"),
                func.sum(source - seen).label("unseen"),
                *(
                    func.sum(of(tally.c[name])).label(name)
                    for name in ("copied", "present", "skipped", "failed", "octets_copied")
                ),
                func.sum(of(tally.c.due) + of(opened.c["items"])).label("sending"),
                func.sum(of(tally.c.octets) + of(opened.c.octets)).label("octets"),
            )
            .select_from(s.folder)
            .join(s.job, s.job.c.no == f.job)
            .join(tally, tally.c.folder == f.no, isouter=True)
            .join(opened, opened.c.folder == f.no, isouter=True)
            .group_by(s.job.c.no, s.job.c.id, s.job.c.line, f.skipped)
            .order_by(s.job.c.line, s.job.c.no)
        )
        sums: dict[str, dict[str, int]] = {}
        unlisted: dict[str, dict[str, int]] = {}
        with self._reader.connect() as connection:
            for row in connection.execute(query):
                total = sums.setdefault(row.id, dict.fromkeys(_SUMMED, 0))
                for name in _SUMMED:
                    total[name] += getattr(row, name)
                reasons = unlisted.setdefault(row.id, {})
                if row.folder_skipped not in (None, SkipReason.SEARCH_FOLDER.value):
                    total["skipped"] += row.unseen
                    reasons[row.folder_skipped] = row.unseen
        return [JobBalance(job, unlisted=unlisted[job], **total) for job, total in sums.items()]


def _sending_by_folder() -> Select[Any]:
    """Items that are on their way or in doubt: the only ones that the tally does not count."""
    e = s.entry.c
    # Folder by folder: the index holds all that was skipped as well, and that may be most of a ledger.
    return (
        select(
            s.folder.c.no.label("folder"),
            func.count().label("items"),
            func.coalesce(func.sum(e.size), 0).label("octets"),
        )
        .join(s.entry, and_(e.job == s.folder.c.job, e.folder == s.folder.c.no))
        .where(IN_INDEX, e.state == State.SENDING.value)
        .group_by(s.folder.c.no)
    )


def _balance_row(row: Any, count: dict[str, int]) -> BalanceRow:
    states = {state: count.get(state.value, 0) for state in State}
    return BalanceRow(
        job_id=row.job_id,
        folder_id=row.source_id,
        path=tuple(json.loads(row.path)),
        target_path=tuple(json.loads(row.target_path)),
        kind=Kind(row.kind),
        folder_skipped=SkipReason(row.skipped) if row.skipped else None,
        source_total=row.total,
        seen=sum(states.values()),
        copied=states[State.COPIED],
        present=states[State.PRESENT],
        skipped=states[State.SKIPPED],
        failed=states[State.FAILED],
        sending=states[State.SENDING],
        octets=count.get("octets", 0),
        octets_copied=count.get("octets_copied", 0),
        listed=bool(row.listed),
    )
