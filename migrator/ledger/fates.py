"""All of a job's entries as of one instant, for the signed report; and where a message went."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from migrator.ledger import schema as s
from migrator.ledger.reading import _STREAM, Reading, _folder_row
from migrator.ledger.records import Entry, FolderRow


@dataclass(frozen=True, slots=True)
class FolderFates:
    """items: (state, skip reason or error code) → how many of the folder's entries. number: of the folder in the ledger."""

    number: int
    row: FolderRow
    items: dict[tuple[str, str], int]


@contextmanager
def fates(ledger: Reading, job_id: str) -> Iterator[tuple[list[FolderFates], Iterator[tuple[Any, ...]]]]:
    """A job's folders with the counts of their entries, and its entries in the order of their keys.

    An entry: key, folder number, kind, class, size, received, Message-ID, fingerprint, state, why, target id, path taken,
    when it was last written about. Streamed, and of the same instant as the folders, whatever another process writes.
    """
    e = s.entry.c
    number = ledger._job_number(job_id)
    with ledger._reader.connect() as connection:
        counts: dict[int, dict[tuple[str, str], int]] = {}
        told = (
            select(e.folder, e.state, e.why, func.count().label("items"))
            .where(e.job == number)
            .group_by(e.folder, e.state, e.why)
        )
        for row in connection.execute(told):
            counts.setdefault(row.folder, {})[row.state, row.why] = row.items
        rows = connection.execute(
            select(s.folder).where(s.folder.c.job == number).order_by(s.folder.c.no)
        ).all()
        folders = [FolderFates(row.no, _folder_row(job_id, row), counts.get(row.no, {})) for row in rows]
        wanted = (
            e.key, e.folder, e.kind, e.item_class, e.size, e.received, e.message_id, e.fingerprint, e.state, e.why,
            e.target_id, e.path_taken, e.updated,
        )  # fmt: skip
        query = select(*wanted).where(e.job == number).order_by(e.key)
        streamed = connection.execution_options(yield_per=_STREAM).execute(query)
        yield folders, (tuple(row) for row in streamed)


def find_messages(ledger: Reading, forms: Iterable[str]) -> list[Entry]:
    """Every entry with one of these Message-IDs, in any mailbox; one walk through all entries."""
    query = ledger._select_entries().where(s.entry.c.message_id.in_(sorted(set(forms))))
    return list(ledger._stream(query))
