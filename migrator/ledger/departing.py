"""Entries whose item left its place at the source: what is remembered of them, and how they leave the ledger.

An entry that was copied (or was there) stays so; its `why` says what became of the item since: "gone" (the source does not
have it any more) or "moved" (it is there under another id, which stands in `error`). The tally is kept in step, so that
the few of them are found without a look at all entries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, delete, select, update

from migrator.ledger import schema as s
from migrator.ledger.records import Entry, Lease, key_of
from migrator.model import State

GONE, MOVED = "gone", "moved"
_THERE = (State.COPIED.value, State.PRESENT.value)
_PART = 400


class Departing:
    """Part of `Ledger`: writes go through its writer, under the lease."""

    _reader: Engine
    _call: Callable[..., Any]
    _count: Callable[..., None]
    _entries: Callable[[str], Any]
    _stream: Callable[[Any], Iterator[Entry]]
    _settle_own: Callable[[str], None]
    _job_number: Callable[[str], int]

    def departed(self, job_id: str) -> list[Entry]:
        """Entries of items that are gone or moved at the source, while their copies are still in the target."""
        self._settle_own(job_id)
        query = (
            select(s.tally.c.folder)
            .where(
                s.tally.c.job == self._job_number(job_id),
                s.tally.c.why.in_((GONE, MOVED)),
                s.tally.c["items"] > 0,
            )
            .distinct()
        )
        with self._reader.connect() as connection:
            folders = list(connection.execute(query).scalars())
        found: list[Entry] = []
        for folder in folders:
            of_folder = self._entries(job_id).where(
                s.entry.c.folder == folder,
                s.entry.c.state.in_(_THERE),
                s.entry.c.why.in_((GONE, MOVED)),
            )
            found += self._stream(of_folder)
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

        def act(connection: Connection) -> None:
            for rows in self._rows(connection, lease, ids):
                self._count(
                    connection,
                    lease.job_no,
                    [(row.folder, row.state, row.why, -1, -(row.size or 0)) for row in rows],
                )
                connection.execute(
                    delete(s.entry).where(
                        s.entry.c.job == lease.job_no, s.entry.c.key.in_([row.key for row in rows])
                    )
                )

        self._call(act, lease)

    def _mark(self, lease: Lease, marks: Mapping[str, tuple[str, str]]) -> None:
        if not marks:
            return

        def act(connection: Connection) -> None:
            for rows in self._rows(connection, lease, list(marks)):
                for row in rows:
                    why, error = marks[row.source_id]
                    if row.state not in _THERE or (row.why, row.error) == (why, error):
                        continue
                    connection.execute(
                        update(s.entry)
                        .where(s.entry.c.job == lease.job_no, s.entry.c.key == row.key)
                        .values(why=why, error=error)
                    )
                    size = row.size or 0
                    self._count(
                        connection,
                        lease.job_no,
                        [(row.folder, row.state, row.why, -1, -size), (row.folder, row.state, why, 1, size)],
                    )

        self._call(act, lease)

    @staticmethod
    def _rows(connection: Connection, lease: Lease, ids: Sequence[str]) -> Iterator[Sequence[Any]]:
        c = s.entry.c
        for start in range(0, len(ids), _PART):
            keys = [key_of(source_id) for source_id in ids[start : start + _PART]]
            yield connection.execute(
                select(c.key, c.source_id, c.folder, c.state, c.why, c.error, c.size).where(
                    c.job == lease.job_no, c.key.in_(keys)
                )
            ).all()
