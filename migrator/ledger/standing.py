"""Where everything stands: the balance, added up from the tally, so that no question here reads all entries.

What is on its way or in doubt is not in the tally; a small index (`entry_open`) finds it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from migrator.ledger.database import Database
from migrator.ledger.prepared import Statement
from migrator.ledger.records import BalanceRow, JobBalance
from migrator.model import FolderPath, Kind, SkipReason, State

NOT_SENT = "not_sent"
"""Code of an item whose request surely did not leave, because the run was cut off: due, and no failure."""
INDEXED = frozenset({State.SENDING, State.FAILED, State.SKIPPED})
TALLY = Statement("tally")
SENDING_BY_FOLDER = Statement("sending_by_folder")
FOLDERS_OF_ALL = Statement("folders_of_all")
BALANCE_BY_JOB = Statement("balance_by_job")
ITEM_ROWS = {
    None: Statement("item_rows"),
    State.FAILED: Statement("item_rows_failed"),
    State.SKIPPED: Statement("item_rows_skipped"),
}
FOLDER_PATHS = Statement("folder_paths")
_SUMMED = (
    "source", "copied", "present", "skipped", "failed", "sending", "octets", "octets_copied",
)  # fmt: skip


class ItemRow(NamedTuple):
    """An entry as it lies in the table, for lists of millions. folder: its number in the ledger; received: epoch seconds."""

    job_id: str
    folder: int
    received: int | None
    size: int | None
    kind: str
    item_class: str
    message_id: str
    state: str
    why: str
    error: str
    attempts: int
    path: str


class Standing:
    """Part of `Reading`."""

    _database: Database
    _job_number: Callable[[str], int]

    def item_rows(self, state: State | None = None, *, without: Collection[str] = ()) -> Iterator[ItemRow]:
        """Entries of all jobs, job by job: all, or the failed or the skipped ones without those of some codes or reasons."""
        values: dict[str, Any] = {}
        if state is not None:
            reasons = sorted(without) or [""]
            # A list is filled up with NULL, and nothing at all is surely not in a list that holds one.
            values["reasons"] = reasons + reasons[-1:] * (
                (1 << (len(reasons) - 1).bit_length()) - len(reasons)
            )
        with self._database.reading() as connection:
            yield from map(ItemRow._make, ITEM_ROWS[state].run(connection, **values))

    def folder_paths(self, job_id: str) -> dict[int, FolderPath]:
        """Number of a folder in the ledger → its path at the source."""
        number = self._job_number(job_id)
        with self._database.reading() as connection:
            return {no: tuple(json.loads(path)) for no, path in FOLDER_PATHS.run(connection, job_no=number)}

    def balance(self) -> list[BalanceRow]:
        """Per job and folder what became of its items; read from the tally, so it is quick at any size."""
        counts: dict[int, dict[str, int]] = {}
        with self._database.reading() as connection:
            for number, state, why, items, octets in TALLY.run(connection):
                count = counts.setdefault(number, {})
                # Cut off before it left: the next run sends it, so to a person it is open, not failed.
                fate = State.SENDING.value if why == NOT_SENT else state
                count[fate] = count.get(fate, 0) + items
                count["octets"] = count.get("octets", 0) + octets
                if state == State.COPIED.value:
                    count["octets_copied"] = count.get("octets_copied", 0) + octets
            for number, items, octets in SENDING_BY_FOLDER.run(connection):
                count = counts.setdefault(number, {})
                count[State.SENDING.value] = count.get(State.SENDING.value, 0) + items
                count["octets"] = count.get("octets", 0) + octets
            rows = FOLDERS_OF_ALL.rows(connection)
        return [_balance_row(row, counts.get(row["no"], {})) for row in rows]

    def balance_by_job(self) -> list[JobBalance]:
        """The balance of whole jobs, of those that have folders; added up by the database, so it costs next to nothing."""
        sums: dict[str, dict[str, int]] = {}
        unlisted: dict[str, dict[str, int]] = {}
        with self._database.reading() as connection:
            for row in BALANCE_BY_JOB.run(connection):
                job, skipped = row["id"], row["folder_skipped"]
                total = sums.setdefault(job, dict.fromkeys(_SUMMED, 0))
                for name in _SUMMED:
                    total[name] += row[name]
                reasons = unlisted.setdefault(job, {})
                if skipped not in (None, SkipReason.SEARCH_FOLDER.value):
                    total["skipped"] += row["unseen"]
                    reasons[skipped] = row["unseen"]
        return [JobBalance(job, unlisted=unlisted[job], **total) for job, total in sums.items()]


def _balance_row(row: Any, count: dict[str, int]) -> BalanceRow:
    states = {state: count.get(state.value, 0) for state in State}
    return BalanceRow(
        job_id=row["job_id"],
        folder_id=row["source_id"],
        path=tuple(json.loads(row["path"])),
        target_path=tuple(json.loads(row["target_path"])),
        kind=Kind(row["kind"]),
        folder_skipped=SkipReason(row["skipped"]) if row["skipped"] else None,
        source_total=row["total"],
        seen=sum(states.values()),
        copied=states[State.COPIED],
        present=states[State.PRESENT],
        skipped=states[State.SKIPPED],
        failed=states[State.FAILED],
        sending=states[State.SENDING],
        octets=count.get("octets", 0),
        octets_copied=count.get("octets_copied", 0),
        listed=bool(row["listed"]),
    )
