"""The reading side of the ledger: status, errors, reports, and what the engine asks before it decides.

Works on a file that another process is writing (WAL gives each query one consistent picture).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from migrator.ledger.database import Database
from migrator.ledger.prepared import Statement, parts
from migrator.ledger.records import (
    Entry,
    Fidelity,
    FolderRow,
    Incident,
    JobRow,
    PathTaken,
    RunRow,
    Sample,
    Verdict,
    from_epoch,
    key_of,
)
from migrator.ledger.standing import INDEXED, NOT_SENT, Standing
from migrator.model import (
    Checkpoint,
    Fingerprint,
    Format,
    ItemRef,
    Kind,
    Path,
    Role,
    SkipReason,
    State,
)

_OF_JOB = {None: Statement("entries")} | {one: Statement(f"entries_{one.value}") for one in State}
_IN_FOLDER = {None: Statement("entries_in_folder")} | {
    one: Statement(f"entries_in_folder_{one.value}") for one in State
}
_OF_ALL = {one: Statement(f"entries_of_all_{one.value}") for one in INDEXED}
SKIPPED_BECAUSE = Statement("entries_skipped_because")
SKIPPED_BECAUSE_IN_FOLDER = Statement("entries_in_folder_skipped_because")
BY_KEY = Statement("entries_by_key")
CLAIMED_TARGETS = Statement("claimed_targets")
BY_MESSAGE_ID = Statement("entries_by_message_id")
JOB_NUMBER = Statement("job_number")
FOLDERS = Statement("folders")
JOBS = Statement("jobs")
RUNS = Statement("runs")
THROUGHPUT = Statement("throughput")
INCIDENTS = Statement("incidents")
VERDICTS = Statement("verdicts")
PATHS_TAKEN = Statement("paths_taken")
FIDELITY = Statement("fidelity")
BY_WHY = Statement("by_why")
_RUN = ("started", "finished", "exit_code", "passname", "host", "pid", "version")


class Reading(Standing):
    """Queries on one ledger file. Thread-safe; every call uses a connection of its own from the pool."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._numbers: dict[str, int] = {}

    # ---------------------------------------------------------- for the engine

    def entries(self, job_id: str, refs: Sequence[ItemRef]) -> dict[str, Entry]:
        """What is known of these items, by their id."""
        return self._entries(job_id, [key_of(ref.id) for ref in refs])

    def _entries(self, job_id: str, keys: Iterable[bytes]) -> dict[str, Entry]:
        number = self._job_number(job_id)
        found: dict[str, Entry] = {}
        for part in parts(keys):
            found |= {entry.source_id: entry for entry in self._stream(BY_KEY, job_no=number, keys=part)}
        return found

    def sending(self, job_id: str, folder_id: str | None = None) -> list[Entry]:
        """Items begun and not settled. At the start of a run these are in doubt."""
        return list(self._open(job_id, folder_id, State.SENDING))

    def failed(self, job_id: str, folder_id: str | None = None) -> list[Entry]:
        return list(self._open(job_id, folder_id, State.FAILED))

    def skipped(
        self, job_id: str, folder_id: str | None = None, reasons: Iterable[SkipReason] = ()
    ) -> Iterator[Entry]:
        """Skipped items, of these reasons only where any are named: a later pass may have other filters."""
        names = [reason.value for reason in reasons]
        if not names:
            return self._open(job_id, folder_id, State.SKIPPED)
        number = self._job_number(job_id)
        if folder_id is None:
            return self._stream(SKIPPED_BECAUSE, job_no=number, reasons=names)
        return self._stream(SKIPPED_BECAUSE_IN_FOLDER, job_no=number, folder_id=folder_id, reasons=names)

    def claimed_targets(self, job_id: str, folder_id: str) -> set[str]:
        """Target ids that the ledger accounts for in a folder: an arrival with another id came from elsewhere."""
        number = self._job_number(job_id)
        with self._database.reading() as connection:
            return set(CLAIMED_TARGETS.column(connection, job_no=number, folder_id=folder_id))

    def folders(self, job_id: str) -> list[FolderRow]:
        """The job's source folders in the order in which they were first listed."""
        number = self._job_number(job_id)
        with self._database.reading() as connection:
            return [_folder_row(job_id, row) for row in FOLDERS.run(connection, job_no=number)]

    # ------------------------------------------------------------ for a person

    def jobs(self) -> list[JobRow]:
        """All jobs in manifest order."""
        with self._database.reading() as connection:
            rows = JOBS.rows(connection)
        return [
            JobRow(
                **{
                    name: json.loads(row["extra"]) if name == "extra" else row[name]
                    for name in JobRow.__dataclass_fields__
                }
            )
            for row in rows
        ]

    def skipped_by_reason(self) -> list[tuple[str, str, int]]:
        """(job id, reason, items)."""
        return self._by_why(State.SKIPPED)

    def failed_by_code(self) -> list[tuple[str, str, int]]:
        """(job id, error code, items), without what was only cut off before it left."""
        return [row for row in self._by_why(State.FAILED) if row[1] != NOT_SENT]

    def failures(self, job_id: str | None = None) -> list[Entry]:
        """Every failed item of one job or of all, without what was only cut off before it left."""
        found = self._open(job_id, None, State.FAILED) if job_id else self.all_in(State.FAILED)
        return [entry for entry in found if entry.code != NOT_SENT]

    def all_in(self, state: State) -> Iterator[Entry]:
        """Every entry of all jobs that is sending, failed or skipped, streamed, job by job. Other states have no index."""
        return self._stream(_OF_ALL[state])

    def iter_entries(
        self, job_id: str, folder_id: str | None = None, state: State | None = None
    ) -> Iterator[Entry]:
        """All entries of a job or folder, streamed: ten million do not fit into memory."""
        return self._open(job_id, folder_id, state)

    def find_message(self, message_id: str) -> list[Entry]:
        """Every entry with this Message-ID, in any mailbox."""
        return list(self._stream(BY_MESSAGE_ID, forms=[message_id]))

    def runs(self) -> list[RunRow]:
        with self._database.reading() as connection:
            return [
                RunRow(row["no"], settings=json.loads(row["settings"]), **{name: row[name] for name in _RUN})
                for row in RUNS.run(connection)
            ]

    def throughput(self, run: int | None = None) -> list[Sample]:
        with self._database.reading() as connection:
            samples = [Sample(*row) for row in THROUGHPUT.run(connection)]
        return samples if run is None else [sample for sample in samples if sample.run == run]

    def incidents(self, run: int | None = None) -> list[Incident]:
        with self._database.reading() as connection:
            found = [
                Incident(
                    row["run"], row["job_id"] or "", *(row[name] for name in ("at", "until", "kind", "words"))
                )
                for row in INCIDENTS.run(connection)
            ]
        return found if run is None else [incident for incident in found if incident.run == run]

    def verdicts(self, endpoint: str = "") -> list[Verdict]:
        """What was proven of a target endpoint, or of all."""
        with self._database.reading() as connection:
            return [
                Verdict(at_endpoint, tenant, origin, Kind(kind), bool(accepted), detail, at)
                for at_endpoint, tenant, origin, kind, accepted, detail, at in VERDICTS.run(connection)
                if not endpoint or at_endpoint == endpoint
            ]

    def paths_taken(self) -> Iterator[PathTaken]:
        """Copied items by job, kind, path and remarks; counted as they are written, so it is quick at any size."""
        with self._database.reading() as connection:
            for job_id, kind, path, notes, items in PATHS_TAKEN.run(connection):
                yield PathTaken(job_id, Kind(kind), path_of(path), _notes(notes), items)

    def fidelity(self, job_id: str | None = None) -> list[Fidelity]:
        """What the last deep verification of one job, or of each, found; in manifest order."""
        names = [name for name in Fidelity.__dataclass_fields__ if name not in ("kind", "properties")]
        with self._database.reading() as connection:
            return [
                Fidelity(
                    **{name: row[name] for name in names},
                    kind=Kind(row["kind"]),
                    properties=json.loads(row["properties"]),
                )
                for row in FIDELITY.run(connection)
                if job_id is None or row["job_id"] == job_id
            ]

    # ---------------------------------------------------------------- the parts

    def _job_number(self, job_id: str) -> int:
        number: int | None = self._numbers.get(job_id)
        if number is None:
            with self._database.reading() as connection:
                number = JOB_NUMBER.value(connection, job_id=job_id)
            if number is None:
                return -1
            self._numbers[job_id] = number
        return number

    def _open(self, job_id: str, folder_id: str | None, state: State | None) -> Iterator[Entry]:
        number = self._job_number(job_id)
        if folder_id is None:
            return self._stream(_OF_JOB[state], job_no=number)
        return self._stream(_IN_FOLDER[state], job_no=number, folder_id=folder_id)

    def _stream(self, statement: Statement, **values: Any) -> Iterator[Entry]:
        with self._database.reading() as connection:
            yield from map(_entry, statement.run(connection, **values))

    def _by_why(self, state: State) -> list[tuple[str, str, int]]:
        with self._database.reading() as connection:
            return [
                (job_id, why, items) for job_id, why, items in BY_WHY.run(connection, of_state=state.value)
            ]


def path_of(word: str) -> str:
    """A path as noted; the first version of the program noted the format, which for streams comes to the same."""
    return Path.STREAM.value if word == Format.FTS.value else word


def _notes(word: str) -> tuple[str, ...]:
    return tuple(word.split("; ")) if word else ()


def _entry(row: Any) -> Entry:
    state = State(row["state"])
    return Entry(
        job_id=row["job_id"],
        folder_id=row["folder_id"],
        source_id=row["source_id"],
        version=row["version"],
        kind=Kind(row["kind"]),
        item_class=row["item_class"],
        size=row["size"],
        received=from_epoch(row["received"]),
        message_id=row["message_id"],
        seen=None if row["seen"] is None else bool(row["seen"]),
        state=state,
        reason=SkipReason(row["why"]) if state is State.SKIPPED and row["why"] else None,
        code=row["why"] if state is State.FAILED else "",
        error=row["error"] if state is not State.COPIED and state is not State.PRESENT else "",
        departed=row["why"] if state is State.COPIED or state is State.PRESENT else "",
        moved_to=row["error"] if row["why"] == "moved" else "",
        target_id=row["target_id"],
        target_version=row["target_version"],
        fingerprint=Fingerprint(row["fingerprint"]),
        attempts=row["attempts"],
        octets=row["octets"],
        path_taken=path_of(row["path_taken"]),
        notes=_notes(row["notes"]),
        updated=row["updated"],
    )


def _folder_row(job_id: str, row: Any) -> FolderRow:
    return FolderRow(
        job_id=job_id,
        source_id=row["source_id"],
        path=tuple(json.loads(row["path"])),
        kind=Kind(row["kind"]),
        folder_class=row["folder_class"],
        role=Role(row["role"]) if row["role"] else None,
        total=row["total"],
        size=row["size"],
        target_id=row["target_id"],
        target_path=tuple(json.loads(row["target_path"])),
        skipped=SkipReason(row["skipped"]) if row["skipped"] else None,
        checkpoint=_checkpoint(row["checkpoint_scheme"], row["checkpoint_token"]),
        mark=_checkpoint(row["mark_scheme"], row["mark_token"]),
        listed=bool(row["listed"]),
    )


def _checkpoint(scheme: str | None, token: str | None) -> Checkpoint | None:
    return None if scheme is None else Checkpoint(scheme, token or "")
