"""The reading side of the ledger: status, errors, reports, and what the engine asks before it decides.

Works on a file that another process is writing (WAL gives each query one consistent picture).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Engine, Select, func, select

from migrator.ledger import schema as s
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
from migrator.ledger.standing import IN_INDEX, INDEXED, NOT_SENT, Standing
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

_PART = 400
_STREAM = 2_000


class Reading(Standing):
    """Queries on one ledger file. Thread-safe; every call uses a connection of its own from the pool."""

    def __init__(self, reader: Engine) -> None:
        self._reader = reader
        self._numbers: dict[str, int] = {}

    # ---------------------------------------------------------- for the engine

    def entries(self, job_id: str, refs: Sequence[ItemRef]) -> dict[str, Entry]:
        """What is known of these items, by their id."""
        keys = [key_of(ref.id) for ref in refs]
        found: dict[str, Entry] = {}
        for start in range(0, len(keys), _PART):
            query = self._entries(job_id).where(s.entry.c.key.in_(keys[start : start + _PART]))
            found |= {entry.source_id: entry for entry in self._stream(query)}
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
        query = self._in_folder(self._entries(job_id), folder_id).where(
            s.entry.c.state == State.SKIPPED.value, IN_INDEX
        )
        return self._stream(query.where(s.entry.c.why.in_(names)) if names else query)

    def claimed_targets(self, job_id: str, folder_id: str) -> set[str]:
        """Target ids that the ledger accounts for in a folder: an arrival with another id came from elsewhere."""
        number = self._job_number(job_id)
        folder = select(s.folder.c.no).where(s.folder.c.job == number, s.folder.c.source_id == folder_id)
        query = select(s.entry.c.target_id).where(
            s.entry.c.job == number,
            s.entry.c.folder == folder.scalar_subquery(),
            s.entry.c.target_id != "",
        )
        with self._reader.connect() as connection:
            return set(connection.execute(query).scalars())

    def folders(self, job_id: str) -> list[FolderRow]:
        """The job's source folders in the order in which they were first listed."""
        query = select(s.folder).where(s.folder.c.job == self._job_number(job_id)).order_by(s.folder.c.no)
        with self._reader.connect() as connection:
            return [_folder_row(job_id, row) for row in connection.execute(query)]

    # ------------------------------------------------------------ for a person

    def jobs(self) -> list[JobRow]:
        """All jobs in manifest order."""
        with self._reader.connect() as connection:
            rows = connection.execute(select(s.job).order_by(s.job.c.line, s.job.c.no)).mappings().all()
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
        query = self._select_entries().where(s.entry.c.state == state.value, IN_INDEX)
        return self._stream(query.order_by(s.entry.c.job, s.entry.c.folder))

    def iter_entries(
        self, job_id: str, folder_id: str | None = None, state: State | None = None
    ) -> Iterator[Entry]:
        """All entries of a job or folder, streamed: ten million do not fit into memory."""
        if state in INDEXED:
            return self._open(job_id, folder_id, state)
        query = self._in_folder(self._entries(job_id), folder_id)
        return self._stream(query.where(s.entry.c.state == state.value) if state else query)

    def find_message(self, message_id: str) -> list[Entry]:
        """Every entry with this Message-ID, in any mailbox."""
        query = self._select_entries().where(s.entry.c.message_id == message_id)
        return list(self._stream(query))

    def runs(self) -> list[RunRow]:
        with self._reader.connect() as connection:
            return [
                RunRow(
                    row.no,
                    row.started,
                    row.finished,
                    row.exit_code,
                    row.passname,
                    row.host,
                    row.pid,
                    row.version,
                    json.loads(row.settings),
                )
                for row in connection.execute(select(s.run).order_by(s.run.c.no))
            ]

    def throughput(self, run: int | None = None) -> list[Sample]:
        query = select(s.sample).order_by(s.sample.c.run, s.sample.c.at)
        if run is not None:
            query = query.where(s.sample.c.run == run)
        with self._reader.connect() as connection:
            return [Sample(row.run, row.at, row.items, row.octets) for row in connection.execute(query)]

    def incidents(self, run: int | None = None) -> list[Incident]:
        query = (
            select(s.incident, s.job.c.id.label("job_id"))
            .join(s.job, s.job.c.no == s.incident.c.job, isouter=True)
            .order_by(s.incident.c.no)
        )
        if run is not None:
            query = query.where(s.incident.c.run == run)
        with self._reader.connect() as connection:
            return [
                Incident(row.run, row.job_id or "", row.at, row.until, row.kind, row.words)
                for row in connection.execute(query)
            ]

    def verdicts(self, endpoint: str = "") -> list[Verdict]:
        """What was proven of a target endpoint, or of all."""
        query = select(s.verdict)
        if endpoint:
            query = query.where(s.verdict.c.endpoint == endpoint)
        with self._reader.connect() as connection:
            return [
                Verdict(
                    row.endpoint,
                    row.tenant,
                    row.origin,
                    Kind(row.kind),
                    bool(row.accepted),
                    row.detail,
                    row.at,
                )
                for row in connection.execute(query)
            ]

    def paths_taken(self) -> Iterator[PathTaken]:
        """Copied items by job, kind, path and remarks; counted as they are written, so it is quick at any size."""
        r = s.route.c
        query = (
            select(s.job.c.id, r.kind, r.path, r.notes, r["items"])
            .join(s.job, s.job.c.no == r.job)
            .where(r["items"] > 0)
            .order_by(s.job.c.line, s.job.c.no, r.kind, r.path, r.notes)
        )
        with self._reader.connect() as connection:
            for row in connection.execution_options(yield_per=_STREAM).execute(query):
                yield PathTaken(row.id, Kind(row.kind), path_of(row.path), _notes(row.notes), row.items)

    def fidelity(self, job_id: str | None = None) -> list[Fidelity]:
        """What the last deep verification of one job, or of each, found; in manifest order."""
        query = (
            select(s.fidelity, s.job.c.id.label("job_id"))
            .join(s.job, s.job.c.no == s.fidelity.c.job)
            .order_by(s.job.c.line, s.job.c.no, s.fidelity.c.kind, s.fidelity.c.path)
        )
        if job_id is not None:
            query = query.where(s.job.c.id == job_id)
        with self._reader.connect() as connection:
            return [
                Fidelity(
                    **{
                        name: getattr(row, name)
                        for name in Fidelity.__dataclass_fields__
                        if name not in ("kind", "properties")
                    },
                    kind=Kind(row.kind),
                    properties=json.loads(row.properties),
                )
                for row in connection.execute(query)
            ]

    # ---------------------------------------------------------------- the parts

    def _job_number(self, job_id: str) -> int:
        number = self._numbers.get(job_id)
        if number is None:
            with self._reader.connect() as connection:
                number = connection.execute(select(s.job.c.no).where(s.job.c.id == job_id)).scalar()
            if number is None:
                return -1
            self._numbers[job_id] = number
        return number

    @staticmethod
    def _select_entries() -> Select[Any]:
        return (
            select(s.entry, s.folder.c.source_id.label("folder_id"), s.job.c.id.label("job_id"))
            .join(s.folder, s.folder.c.no == s.entry.c.folder)
            .join(s.job, s.job.c.no == s.entry.c.job)
        )

    def _entries(self, job_id: str) -> Select[Any]:
        return self._select_entries().where(s.entry.c.job == self._job_number(job_id))

    @staticmethod
    def _in_folder(query: Select[Any], folder_id: str | None) -> Select[Any]:
        return query if folder_id is None else query.where(s.folder.c.source_id == folder_id)

    def _open(self, job_id: str, folder_id: str | None, state: State) -> Iterator[Entry]:
        query = self._in_folder(self._entries(job_id), folder_id).where(s.entry.c.state == state.value)
        return self._stream(query.where(IN_INDEX))

    def _stream(self, query: Select[Any]) -> Iterator[Entry]:
        with self._reader.connect() as connection:
            for row in connection.execution_options(yield_per=_STREAM).execute(query):
                yield _entry(row)

    def _by_why(self, state: State) -> list[tuple[str, str, int]]:
        query = (
            select(s.job.c.id, s.tally.c.why, func.sum(s.tally.c["items"]).label("items"))
            .join(s.folder, s.folder.c.no == s.tally.c.folder)
            .join(s.job, s.job.c.no == s.folder.c.job)
            .where(s.tally.c.state == state.value)
            .group_by(s.job.c.id, s.job.c.line, s.tally.c.why)
            .having(func.sum(s.tally.c["items"]) > 0)
            .order_by(s.job.c.line, s.tally.c.why)
        )
        with self._reader.connect() as connection:
            return [(row.id, row.why, row.items) for row in connection.execute(query)]


def path_of(word: str) -> str:
    """A path as noted; the first version of the program noted the format, which for streams comes to the same."""
    return Path.STREAM.value if word == Format.FTS.value else word


def _notes(word: str) -> tuple[str, ...]:
    return tuple(word.split("; ")) if word else ()


def _entry(row: Any) -> Entry:
    state = State(row.state)
    return Entry(
        job_id=row.job_id,
        folder_id=row.folder_id,
        source_id=row.source_id,
        version=row.version,
        kind=Kind(row.kind),
        item_class=row.item_class,
        size=row.size,
        received=from_epoch(row.received),
        message_id=row.message_id,
        seen=None if row.seen is None else bool(row.seen),
        state=state,
        reason=SkipReason(row.why) if state is State.SKIPPED and row.why else None,
        code=row.why if state is State.FAILED else "",
        error=row.error if state is not State.COPIED and state is not State.PRESENT else "",
        departed=row.why if state is State.COPIED or state is State.PRESENT else "",
        moved_to=row.error if row.why == "moved" else "",
        target_id=row.target_id,
        target_version=row.target_version,
        fingerprint=Fingerprint(row.fingerprint),
        attempts=row.attempts,
        octets=row.octets,
        path_taken=path_of(row.path_taken),
        notes=_notes(row.notes),
        updated=row.updated,
    )


def _folder_row(job_id: str, row: Any) -> FolderRow:
    return FolderRow(
        job_id=job_id,
        source_id=row.source_id,
        path=tuple(json.loads(row.path)),
        kind=Kind(row.kind),
        folder_class=row.folder_class,
        role=Role(row.role) if row.role else None,
        total=row.total,
        size=row.size,
        target_id=row.target_id,
        target_path=tuple(json.loads(row.target_path)),
        skipped=SkipReason(row.skipped) if row.skipped else None,
        checkpoint=_checkpoint(row.checkpoint_scheme, row.checkpoint_token),
        mark=_checkpoint(row.mark_scheme, row.mark_token),
        listed=bool(row.listed),
    )


def _checkpoint(scheme: str | None, token: str | None) -> Checkpoint | None:
    return None if scheme is None else Checkpoint(scheme, token or "")
