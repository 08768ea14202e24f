"""Entries whose item left its place at the source: what is remembered of them, and how they leave the ledger.

An entry that was copied (or was there) stays so; its `why` says what became of the item since: "gone" (the source does not
have it any more) or "moved" (it is there under another id, which stands in `error`). The tally is kept in step, so that
the few of them are found without a look at all entries.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from migrator.ledger.database import Database
from migrator.ledger.prepared import Statement, parts
from migrator.ledger.records import Entry, Lease, key_of
from migrator.model import State

GONE, MOVED = "gone", "moved"
_THERE = (State.COPIED.value, State.PRESENT.value)
_LEFT = (GONE, MOVED)
DEPARTED_FOLDERS = Statement("departed_folders")
DEPARTED = Statement("departed")
PLACES = Statement("places")
MARK = Statement("mark")
DROP = Statement("drop")


class Departing:
    """Part of `Ledger`: writes go through its writer, under the lease."""

    _database: Database
    _call: Callable[..., Any]
    _count: Callable[..., None]
    _stream: Callable[..., Iterator[Entry]]
    _settle_own: Callable[[str], None]
    _job_number: Callable[[str], int]

    def departed(self, job_id: str) -> list[Entry]:
        """Entries of items that are gone or moved at the source, while their copies are still in the target."""
        self._settle_own(job_id)
        number = self._job_number(job_id)
        with self._database.reading() as connection:
            folders = DEPARTED_FOLDERS.column(connection, job_no=number, reasons=_LEFT)
        found: list[Entry] = []
        for folder in folders:
            found += self._stream(DEPARTED, job_no=number, folder_no=folder, reasons=_LEFT)
        return found

    def mark_gone(self, lease: Lease, ids: Sequence[str]) -> None:
        """The source does not have these any more. Of those without a copy nothing is noted."""
        self._mark(lease, dict.fromkeys(ids, (GONE, "")))

    def mark_moved(self, lease: Lease, pairs: Mapping[str, str]) -> None:
        """Former id → the id under which the source has the item now."""
        self._mark(lease, {former: (MOVED, now) for former, now in pairs.items()})

    def mark_back(self, lease: Lease, ids: Sequence[str]) -> None:
        """These are listed again."""
        self._mark(lease, dict.fromkeys(ids, ("", "")))

    def drop(self, lease: Lease, ids: Sequence[str]) -> None:
        """Forget these: neither side has them any more."""

        def act(connection: sqlite3.Connection) -> None:
            for rows in self._rows(connection, lease, ids):
                self._count(
                    connection,
                    lease.job_no,
                    [(row["folder"], row["state"], row["why"], -1, -(row["size"] or 0)) for row in rows],
                )
                DROP.run(connection, job_no=lease.job_no, keys=[row["key"] for row in rows])

        self._call(act, lease)

    def _mark(self, lease: Lease, marks: Mapping[str, tuple[str, str]]) -> None:
        if not marks:
            return

        def act(connection: sqlite3.Connection) -> None:
            for rows in self._rows(connection, lease, list(marks)):
                for key, source_id, folder, state, was, said, octets in rows:
                    why, error = marks[source_id]
                    if state not in _THERE or (was, said) == (why, error):
                        continue
                    MARK.run(connection, job_no=lease.job_no, this_key=key, new_why=why, new_error=error)
                    size = octets or 0
                    self._count(
                        connection,
                        lease.job_no,
                        [(folder, state, was, -1, -size), (folder, state, why, 1, size)],
                    )

        self._call(act, lease)

    @staticmethod
    def _rows(connection: sqlite3.Connection, lease: Lease, ids: Sequence[str]) -> Iterator[Sequence[Any]]:
        for part in parts(ids):
            yield PLACES.rows(connection, job_no=lease.job_no, keys=[key_of(one) for one in part])
