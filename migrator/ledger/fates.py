"""All of a job's entries as of one instant, for the signed report; and where a message went."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from migrator.ledger.prepared import Statement
from migrator.ledger.reading import BY_MESSAGE_ID, FOLDERS, Reading, _folder_row
from migrator.ledger.records import Entry, FolderRow
from migrator.record import record

FATES = Statement("fates")
FATES_OF_FOLDERS = Statement("fates_of_folders")


@record
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
    number = ledger._job_number(job_id)
    with ledger._database.reading() as connection:
        counts: dict[int, dict[tuple[str, str], int]] = {}
        for folder, state, why, items in FATES_OF_FOLDERS.run(connection, job_no=number):
            counts.setdefault(folder, {})[state, why] = items
        folders = [
            FolderFates(row["no"], _folder_row(job_id, row), counts.get(row["no"], {}))
            for row in FOLDERS.run(connection, job_no=number)
        ]
        yield folders, map(tuple, FATES.run(connection, job_no=number))


def find_messages(ledger: Reading, forms: Iterable[str]) -> list[Entry]:
    """Every entry with one of these Message-IDs, in any mailbox; one walk through all entries."""
    return list(ledger._stream(BY_MESSAGE_ID, forms=sorted(set(forms))))
