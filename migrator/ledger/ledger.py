"""The ledger: the fate of every item, and the order in which it is written down.

Commit order, for every item: `begin` (intent, durable) → the target is asked → `settle` (outcome) → `advance` (checkpoint,
refused while an item of its page has no outcome). Whatever instant the power fails, the ledger then says of each item
either its outcome or "sending", which means: look in the target before sending again.

All writes go through one writer thread (`writer.py`) and carry a lease; a lease that another process has taken over is
refused inside the transaction, so a process that only slept cannot write any more. Times come from the clock given to
`open` (SQLite runs in this process, so its clock is the machine's).
"""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, TypeVar

from migrator.errors import InDoubt, JobError, MigratorError
from migrator.interfaces import Clock
from migrator.ledger.database import open_database
from migrator.ledger.departing import Departing
from migrator.ledger.prepared import Insert, Ready, Statement, execute, fetch, parts
from migrator.ledger.reading import Reading
from migrator.ledger.records import Entry, Fidelity, FolderRow, Lease, Verdict, key_of, to_epoch
from migrator.ledger.standing import NOT_SENT
from migrator.ledger.writer import Apply, Ticket, Writer, translate
from migrator.model import Checkpoint, Folder, ItemRef, Job, Kind, Outcome, SkipReason, State
from migrator.record import record

LEASE_S = 10.0
"""How long a silent owner keeps its jobs. A dead one's are taken over within this and one heartbeat."""
HEARTBEAT_S = 3.0
SAMPLE_S = 10
Of = TypeVar("Of", bound="_Begin | _Settle")
_SENDING, _COPIED = State.SENDING.value, State.COPIED.value
_STATES = {state: state.value for state in State}
_KINDS = {kind: kind.value for kind in Kind}
MAX_TEXT = 500
"""Longest error text kept: an answer of a server is not a place to store mail."""

START_RUN = Statement("start_run")
FINISH_RUN = Statement("finish_run")
REGISTER = Insert("register")
CLAIM = Statement("claim")
HEARTBEAT = Statement("heartbeat")
RELEASE = Statement("release")
IDENTITIES = Statement("identities")
BIND = Statement("bind")
WAITING = Statement("waiting")
JOB_NUMBER = Statement("job_number")
HELD = Statement("held")
PUT_FOLDER = Insert("put_folder")
SET_TARGET = Statement("set_target")
FORGET_TARGET = Statement("forget_target")
SET_MARK = Statement("set_mark")
FORGET_CHECKPOINT = Statement("forget_checkpoint")
ADVANCE = Statement("advance")
FOLDER_NUMBER = Statement("folder_number")
_REF = ("source_id", "version", "kind", "item_class", "size", "received", "message_id", "seen")
_BEGIN = ("job", "key", "folder", *_REF, "state", "fingerprint", "page", "updated")
BEGIN_NEW = Insert("begin_new", _BEGIN)
BEGIN = Insert("begin", _BEGIN)
_SETTLE = (
    *("job", "key", "folder", *_REF, "state", "why", "error", "target_id", "target_version"),
    *("fingerprint", "octets", "path_taken", "notes", "page", "updated"),
)
_FOLDER, _SIZE, _STATE, _WHY, _OCTETS, _UPDATED = map(
    _SETTLE.index, ("folder", "size", "state", "why", "octets", "updated")
)
SETTLE_BEGUN = Insert("settle_begun", _SETTLE)
SETTLE = Insert("settle", _SETTLE)
KNOWN = Statement("known")
UNSETTLED = Statement("unsettled")
TALLY = Insert("add_tally")
SAMPLE = Insert("add_sample")
SIZES_OF_SENDING = Statement("sizes_of_sending")
REVIVE = Statement("revive")
PUT_VERDICT = Insert("put_verdict")
DROP_VERDICTS = Statement("drop_verdicts")
DROP_FIDELITY = Statement("drop_fidelity")
PUT_FIDELITY = Insert("put_fidelity")
ADD_INCIDENT = Insert("add_incident")
NOTE = Statement("note")
PUT_NOTE = Insert("put_note")


@record(frozen=False)
class _Call:
    """Any change that is applied by itself: `act` gets the connection and gives the ticket its result."""

    act: Any
    lease: Lease | None = None
    ticket: Ticket = field(default_factory=Ticket)

    def apply(self, connection: sqlite3.Connection) -> None:
        self.ticket.result = self.act(connection)


@record(frozen=False)
class _Begin:
    """rows: the parameters of `BEGIN` after job, key and folder, by key."""

    lease: Lease
    folder_id: str
    rows: dict[bytes, tuple[Any, ...]]
    ticket: Ticket = field(default_factory=Ticket)


@record(frozen=False)
class _Settle:
    """rows: the parameters of `SETTLE` after job, key and folder, by key."""

    lease: Lease
    folder_id: str
    rows: dict[bytes, tuple[Any, ...]]
    ticket: Ticket = field(default_factory=Ticket)


class Ledger(Departing, Reading):
    """One project's ledger. Thread-safe. See the module's docstring for the commit order."""

    def __init__(self, path: Path, clock: Clock, *, read_only: bool) -> None:
        self._clock = clock
        self._path = path
        self._database = open_database(path, read_only=read_only)
        super().__init__(self._database)
        self._owner = f"{platform.node() or 'host'}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._folder_numbers: dict[tuple[int, str], int] = {}
        self._last: dict[str, Ticket] = {}
        self._unwritten: dict[str, deque[_Begin | _Settle]] = {}  # by job, in the order of the writer's queue
        self._handing_in = threading.Lock()
        self._held: dict[
            str, tuple[Lease, float]
        ] = {}  # by job: our leases, and until when they hold for sure
        self._run = 0
        self._writer = None if read_only else Writer(self._database, self._prepare)

    @classmethod
    def open(cls, path: Path, *, clock: Clock, read_only: bool = False) -> Ledger:
        """Open, create or migrate the ledger at `path`.

        Raises UserError(code="ledger_newer") for a file of a newer program, UserError(code="ledger_missing") when it is
        to be read only and is not there, RunError for a file that cannot be used.
        """
        try:
            return cls(path, clock, read_only=read_only)
        except sqlite3.Error as error:
            raise translate(error) from None

    def close(self) -> None:
        """Write what is queued and close the file. Safe to repeat."""
        if self._writer is not None:
            self._writer.close()
        self._database.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def flush(self) -> None:
        """Return when everything handed in before is durable."""
        self._call(lambda connection: None)

    @property
    def owner(self) -> str:
        """Who this process is in the ledger: host:pid:random."""
        return self._owner

    # ------------------------------------------------------------------ runs

    def start_run(self, passname: str, settings: Mapping[str, str], version: str) -> int:
        """Note that a run starts; returns its number."""

        def act(connection: sqlite3.Connection) -> int:
            values = {
                "started": self._clock.now(),
                "passname": passname,
                "host": platform.node(),
                "pid": os.getpid(),
                "version": version,
                "settings": json.dumps(dict(settings), ensure_ascii=False, sort_keys=True),
            }
            return int(START_RUN.value(connection, **values))

        self._run = int(self._call(act))
        return self._run

    def finish_run(self, run: int, exit_code: int) -> None:
        self._call(
            lambda connection: FINISH_RUN.run(connection, run=run, at=self._clock.now(), code=exit_code)
        )

    # ------------------------------------------------------------------ jobs

    def register(self, jobs: Sequence[Job]) -> None:
        """Make the jobs known; of known ones the manifest's side is renewed, their fate is kept."""

        rows = [
            {
                "id": job.id,
                "line": job.line,
                "batch": job.batch,
                "source": job.source.address,
                "target": job.target.address,
                "source_endpoint": job.source.endpoint,
                "target_endpoint": job.target.endpoint,
                "extra": json.dumps(dict(job.extra), ensure_ascii=False),
            }
            for job in jobs
        ]
        self._call(lambda connection: REGISTER.run(connection, rows))

    def claim(self, job_id: str, run: int) -> Lease | None:
        """Take a job for this process, or None while another live process holds it."""
        now = self._clock.now()

        def act(connection: sqlite3.Connection) -> Lease | None:
            row = CLAIM.run(
                connection, job_id=job_id, me=self._owner, now=now, until=now + LEASE_S
            ).fetchone()
            return None if row is None else Lease(job_id, run, self._owner, row["fence"], row["no"])

        result: Lease | None = self._call(act)
        if result is not None:
            self._held[job_id] = (result, now + LEASE_S)
        return result

    def assure(self, job_id: str) -> None:
        """Before something is changed in a target: see that this process may still do that.

        Nothing is asked as long as our lease holds by the clock. A process that was suspended finds it run out, renews it,
        or learns that another has the mailbox now: JobError(code="lease_lost").
        """
        held = self._held.get(job_id)
        if held is not None and held[1] <= self._clock.now():
            self.heartbeat(held[0])

    def heartbeat(self, lease: Lease) -> None:
        """Say that the owner lives. Raises JobError(code="lease_lost") when another process has taken over."""
        until = self._clock.now() + LEASE_S
        self._call(
            lambda connection: HEARTBEAT.run(connection, job_no=lease.job_no, until=until),
            lease,
        )
        self._held[lease.job_id] = (lease, until)

    def release(self, lease: Lease, state: str, *, code: str = "", error: str = "", remedy: str = "") -> None:
        """Give the job back with the state it reached: done, partial, stopped or error."""
        values = {
            "new_state": state,
            "new_code": code,
            "new_error": error[:MAX_TEXT],
            "new_remedy": remedy[:MAX_TEXT],
            "new_finished": self._clock.now(),
        }
        self._held.pop(lease.job_id, None)
        self._call(lambda connection: RELEASE.run(connection, job_no=lease.job_no, **values), lease)

    def bind(self, lease: Lease, *, source_identity: str, target_identity: str, force: bool = False) -> None:
        """Remember which mailboxes these are; the same addresses with other mailboxes behind them stop the job."""

        def act(connection: sqlite3.Connection) -> None:
            row = IDENTITIES.run(connection, job_no=lease.job_no).fetchone()
            for side, known, now in (
                ("source", row["source_identity"], source_identity),
                ("target", row["target_identity"], target_identity),
            ):
                if known and now and known != now and not force:
                    raise JobError(
                        f"behind the {side} address there is another mailbox than before",
                        code="identity_changed",
                        remedy=f"If the {side} mailbox was replaced on purpose, run again with --force identity_changed.",
                    )
            BIND.run(connection, job_no=lease.job_no, old=source_identity, new=target_identity)

        self._call(act, lease)

    def waiting(self, job_id: str, *, reason: str, words: str, until: float) -> None:
        """Show what a job waits for; an empty reason clears it. Returns at once."""
        self._put(
            _Call(
                lambda connection: WAITING.run(
                    connection, job_id=job_id, reason=reason, words=words[:MAX_TEXT], until=until
                )
            )
        )

    # --------------------------------------------------------------- folders

    def put_folder(
        self, lease: Lease, folder: Folder, target: Folder | None, *, skipped: SkipReason | None = None
    ) -> None:
        """Note a source folder as it is listed now, and where it goes. A target once known is kept when None is given."""
        row = {
            "job": lease.job_no,
            "source_id": folder.id,
            "path": json.dumps(folder.path, ensure_ascii=False),
            "kind": folder.kind.value,
            "folder_class": folder.folder_class,
            "role": folder.role.value if folder.role else None,
            "total": folder.total,
            "size": folder.size,
            "skipped": skipped.value if skipped else None,
            "target_id": target.id if target else "",
            "target_path": json.dumps(target.path, ensure_ascii=False) if target else "[]",
        }
        self._put(_Call(lambda connection: PUT_FOLDER.run(connection, [row]), lease))

    def set_target(self, lease: Lease, folder_id: str, target: Folder | None) -> None:
        """Where a source folder goes now; None forgets it (it went away). A mark belongs to a target and goes with it."""
        if target is None:
            self._update_folder(lease, folder_id, FORGET_TARGET).wait()
        else:
            path = json.dumps(target.path, ensure_ascii=False)
            self._update_folder(lease, folder_id, SET_TARGET, new_id=target.id, new_path=path).wait()

    def set_mark(self, lease: Lease, folder_id: str, mark: Checkpoint) -> Ticket:
        """The target-side checkpoint taken before the first write to a folder: its ticket is waited for before that."""
        return self._update_folder(lease, folder_id, SET_MARK, scheme=mark.scheme, token=mark.token)

    def forget_checkpoint(self, lease: Lease, folder_id: str) -> None:
        """List the folder anew next time; entries stay and prevent doubles."""
        self._update_folder(lease, folder_id, FORGET_CHECKPOINT).wait()

    def _update_folder(self, lease: Lease, folder_id: str, change: Statement, **values: Any) -> Ticket:
        def act(connection: sqlite3.Connection) -> None:
            number = self._folder_number(connection, lease.job_no, folder_id)
            change.run(connection, folder_no=number, **values)

        return self._put(_Call(act, lease))

    # ----------------------------------------------------------------- items

    def begin(self, lease: Lease, folder_id: str, refs: Sequence[ItemRef], *, page: int = 0) -> Ticket:
        """Record the intent to send these items. Wait for the ticket before the first octet leaves."""
        now = self._clock.now()
        rows = {key_of(ref.id): (*_described(ref), _SENDING, ref.fingerprint, page, now) for ref in refs}
        return self._put(_Begin(lease, folder_id, rows))

    def settle(
        self,
        lease: Lease,
        folder_id: str,
        outcomes: Sequence[Outcome],
        *,
        path_taken: str | Callable[[Outcome], str] = "",
    ) -> Ticket:
        """Record what became of items, begun or not. All of one call are in one transaction."""
        now = self._clock.now()
        rows: dict[bytes, tuple[Any, ...]] = {}
        for outcome in outcomes:
            ref = outcome.ref
            rows[key_of(ref.id)] = (
                *_described(ref),
                _STATES[outcome.state],
                *_why(outcome),
                outcome.target_id,
                outcome.target_version,
                ref.fingerprint,
                outcome.octets,
                path_taken if isinstance(path_taken, str) else path_taken(outcome),
                "; ".join(outcome.notes)[:MAX_TEXT] if outcome.notes else "",
                0,
                now,
            )
        return self._put(_Settle(lease, folder_id, rows))

    def revive(self, lease: Lease, folder_id: str, ids: Sequence[str]) -> None:
        """In-doubt items that the target surely does not hold: no longer in doubt, to be sent again."""
        keys = [key_of(item) for item in ids]

        def act(connection: sqlite3.Connection) -> None:
            number = self._folder_number(connection, lease.job_no, folder_id)
            for part in parts(keys):
                known = SIZES_OF_SENDING.rows(connection, job_no=lease.job_no, keys=part)
                REVIVE.run(
                    connection,
                    job_no=lease.job_no,
                    keys=[row["key"] for row in known],
                    new_why=NOT_SENT,
                    new_error="the run was cut off before this item reached the target",
                    at=self._clock.now(),
                )
                self._count(
                    connection,
                    lease.job_no,
                    [(number, State.FAILED.value, NOT_SENT, 1, row["size"] or 0) for row in known],
                )

        self._call(act, lease)

    def advance(
        self, lease: Lease, folder_id: str, checkpoint: Checkpoint, *, last: bool, page: int = 0
    ) -> Ticket:
        """Move a folder's checkpoint past a page, after all settles handed in before.

        Refused (JobError "unsettled") while an item begun for this page or an earlier one has no outcome.
        """

        def act(connection: sqlite3.Connection) -> None:
            number = self._folder_number(connection, lease.job_no, folder_id)
            open_items = UNSETTLED.value(connection, job_no=lease.job_no, folder_no=number, page_no=page)
            if open_items:
                raise JobError(
                    f"{open_items} items of this page have no outcome yet: the checkpoint stays",
                    code="unsettled",
                    remedy="Run the same command again; if it returns, report it as a defect.",
                )
            ADVANCE.run(
                connection,
                folder_no=number,
                scheme=checkpoint.scheme,
                token=checkpoint.token,
                last_page=int(last),
            )

        return self._put(_Call(act, lease))

    # -------------------------------------------------------- verdicts, notes

    def put_verdict(
        self, endpoint: str, tenant: str, origin: str, kind: Kind, accepted: bool, detail: str
    ) -> None:
        """Remember whether this target takes items of this kind and origin."""
        values = {
            "endpoint": endpoint,
            "tenant": tenant,
            "origin": origin,
            "kind": kind.value,
            "accepted": int(accepted),
            "detail": detail[:MAX_TEXT],
            "at": self._clock.now(),
        }

        self._call(lambda connection: PUT_VERDICT.run(connection, [values]))

    def drop_verdicts(self, endpoint: str) -> None:
        """Forget what was proven of an endpoint, before it is proven anew."""
        self._call(lambda connection: DROP_VERDICTS.run(connection, endpoint=endpoint))

    def put_fidelity(self, job_id: str, found: Sequence[Fidelity]) -> None:
        """Keep what a deep verification of a job found, in place of what an earlier one did."""
        now = self._clock.now()

        def act(connection: sqlite3.Connection) -> None:
            number = JOB_NUMBER.value(connection, job_id=job_id)
            if number is None:
                return
            DROP_FIDELITY.run(connection, job_no=number)
            for one in found:
                values = {
                    name: getattr(one, name)
                    for name in Fidelity.__dataclass_fields__
                    if name not in ("job_id", "at", "properties")
                }
                values |= {"kind": one.kind.value, "properties": json.dumps(one.properties)}
                PUT_FIDELITY.run(connection, [{"job": number, "at": now} | values])

        self._call(act)

    def note(self, name: str) -> str:
        """What `put_note` kept under this name, or nothing."""
        with self._database.reading() as connection:
            return NOTE.value(connection, name=name) or ""

    def put_note(self, lease: Lease, name: str, value: str) -> None:
        self._call(lambda connection: PUT_NOTE.run(connection, [{"name": name, "value": value}]), lease)

    def add_incident(self, job_id: str, kind: str, words: str, until: float | None = None) -> None:
        """Note for the report's timeline: throttled, outage, interrupted … job_id may be empty. Returns at once."""
        now = self._clock.now()
        run = self._run

        def act(connection: sqlite3.Connection) -> None:
            values = {"run": run, "at": now, "until": until, "kind": kind, "words": words[:MAX_TEXT]}
            values["job"] = JOB_NUMBER.value(connection, job_id=job_id) if job_id else None
            ADD_INCIDENT.run(connection, [values])

        self._put(_Call(act))

    # --------------------------------------- reading that waits for own writes

    def entries(self, job_id: str, refs: Sequence[ItemRef]) -> dict[str, Entry]:
        """What is known of these items, by their id; writes of this process handed in before are included."""
        keys = {key_of(ref.id) for ref in refs}
        with self._handing_in:
            unwritten = list(self._still_unwritten(job_id))
        for operation in reversed(unwritten):
            if not keys.isdisjoint(operation.rows):
                operation.ticket.wait()  # and so are those before it
                break
        return self._entries(job_id, keys)

    def sending(self, job_id: str, folder_id: str | None = None) -> list[Entry]:
        self._settle_own(job_id)
        return super().sending(job_id, folder_id)

    def failed(self, job_id: str, folder_id: str | None = None) -> list[Entry]:
        self._settle_own(job_id)
        return super().failed(job_id, folder_id)

    def skipped(
        self, job_id: str, folder_id: str | None = None, reasons: Iterable[SkipReason] = ()
    ) -> Iterator[Entry]:
        self._settle_own(job_id)
        return super().skipped(job_id, folder_id, reasons)

    def claimed_targets(self, job_id: str, folder_id: str) -> set[str]:
        self._settle_own(job_id)
        return super().claimed_targets(job_id, folder_id)

    def folders(self, job_id: str) -> list[FolderRow]:
        self._settle_own(job_id)
        return super().folders(job_id)

    def verdicts(self, endpoint: str = "") -> list[Verdict]:
        return super().verdicts(endpoint)

    def _settle_own(self, job_id: str) -> None:
        ticket = self._last.get(job_id)
        if ticket is not None and not ticket.done():
            ticket.wait()

    # ------------------------------------------------- inside the writer's thread

    def _put(self, operation: Any) -> Ticket:
        if self._writer is None:
            raise MigratorError("this ledger was opened for reading only", code="ledger_read_only")
        if operation.lease is None:
            return self._writer.put(operation)
        job_id = operation.lease.job_id
        with self._handing_in:  # in one order here and in the writer's queue
            ticket = self._writer.put(operation)
            self._last[job_id] = ticket
            if isinstance(operation, _Begin | _Settle):
                self._still_unwritten(job_id).append(operation)
        return ticket

    def _still_unwritten(self, job_id: str) -> deque[_Begin | _Settle]:
        """Under the lock."""
        unwritten = self._unwritten.setdefault(job_id, deque())
        while unwritten and unwritten[0].ticket.done():
            unwritten.popleft()
        return unwritten

    def _call(self, act: Any, lease: Lease | None = None) -> Any:
        return self._put(_Call(act, lease)).wait()

    def _prepare(self, group: Sequence[Any]) -> Apply:
        """What a group comes to, in as few steps inside the transaction as can be (see `writer.Prepare`)."""
        steps: list[Apply] = [self._fences(group)]
        begins: list[_Begin] = []
        settles: list[_Settle] = []
        settled: set[bytes] = set()  # also of other jobs: a group in two parts is no fault

        def pour() -> None:
            if begins:
                steps.append(self._when_numbered(tuple(begins), self._begins))
                begins.clear()
            if settles:
                steps.append(self._when_numbered(tuple(settles), self._settles))
                settles.clear()
                settled.clear()

        for operation in group:
            if isinstance(operation, _Begin):
                if not settled.isdisjoint(operation.rows):
                    pour()  # failed and begun again within one group: keep the order
                begins.append(operation)
            elif isinstance(operation, _Settle):
                if not settled.isdisjoint(operation.rows):
                    pour()
                settled.update(operation.rows)
                settles.append(operation)
            else:
                pour()
                steps.append(operation.apply)
        pour()

        def apply(connection: sqlite3.Connection) -> None:
            for step in steps:
                step(connection)

        return apply

    @staticmethod
    def _fences(group: Sequence[Any]) -> Apply:
        leases = {operation.lease for operation in group if operation.lease is not None}
        wanted = {(lease.job_no, lease.fence) for lease in leases}
        ready = [HELD.ready(places=part) for part in parts(wanted)]

        def check(connection: sqlite3.Connection) -> None:
            held = sum(row[0] for row in fetch(connection, ready))
            if held != len(wanted):
                raise JobError(
                    "another process has taken over this mailbox",
                    code="lease_lost",
                    remedy="Let the other process finish, or stop it and run the same command again.",
                )

        return check

    def _when_numbered(self, operations: Sequence[Of], make: Callable[[Sequence[Of]], Apply]) -> Apply:
        """Ready now where the numbers of all folders are known; else they are looked up in the transaction first."""
        places = {(operation.lease.job_no, operation.folder_id) for operation in operations}
        if all(place in self._folder_numbers for place in places):
            return make(operations)

        def later(connection: sqlite3.Connection) -> None:
            for job_no, folder_id in places:
                self._folder_number(connection, job_no, folder_id)
            make(operations)(connection)

        return later

    def _begins(self, begins: Sequence[_Begin]) -> Apply:
        rows, jobs = self._placed(begins)
        every = list(rows.values())
        first = BEGIN_NEW.ready_tuples(every)

        def again(connection: sqlite3.Connection) -> None:
            before = fetch(connection, _known(rows))
            execute(connection, BEGIN.ready_tuples(every))
            self._count(connection, jobs, map(_no_more, before))

        return _or_else(first, len(every), [], again)

    def _settles(self, settles: Sequence[_Settle]) -> Apply:
        rows, jobs = self._placed(settles)
        every = list(rows.values())
        counts: dict[tuple[int, str, str], list[int]] = {}
        samples: dict[int, list[int]] = {}
        for row in every:
            count = counts.setdefault((row[_FOLDER], row[_STATE], row[_WHY]), [0, 0])
            count[0] += 1
            count[1] += row[_SIZE] or 0
            if row[_STATE] == _COPIED:
                sample = samples.setdefault(int(row[_UPDATED]) // SAMPLE_S * SAMPLE_S, [0, 0])
                sample[0] += 1
                sample[1] += row[_OCTETS]
        run = settles[0].lease.run
        sampled = SAMPLE.ready(
            [
                {"run": run, "at": at, "items": items, "octets": octets}
                for at, (items, octets) in samples.items()
            ]
        )
        fresh = [
            (folder, state, why, items, octets) for (folder, state, why), (items, octets) in counts.items()
        ]
        sums = TALLY.ready(_sums(jobs, fresh))

        def again(connection: sqlite3.Connection) -> None:
            before = fetch(connection, _known(rows))
            execute(connection, SETTLE.ready_tuples(every))
            execute(connection, sampled)
            self._count(connection, jobs, [*fresh, *map(_no_more, before)])

        return _or_else(SETTLE_BEGUN.ready_tuples(every), len(every), [*sampled, *sums], again)

    def _placed(
        self, operations: Sequence[_Begin] | Sequence[_Settle]
    ) -> tuple[dict[tuple[int, bytes], tuple[Any, ...]], dict[int, int]]:
        """Whole rows by job and key, of two for one item the later; and the job of each folder."""
        rows: dict[tuple[int, bytes], tuple[Any, ...]] = {}
        jobs: dict[int, int] = {}
        for operation in operations:
            job = operation.lease.job_no
            number = self._folder_numbers[job, operation.folder_id]
            jobs[number] = job
            for key, row in operation.rows.items():
                rows[job, key] = (job, key, number, *row)
        return rows, jobs

    @staticmethod
    def _count(
        connection: sqlite3.Connection,
        job: int | Mapping[int, int],
        changes: Iterable[tuple[int, str, str, int, int]],
    ) -> None:
        """changes: (folder number, state, why, items, octets) to be added to the tally."""
        rows = _sums(job, changes)
        if rows:
            TALLY.run(connection, rows)

    def _folder_number(self, connection: sqlite3.Connection, job_no: int, folder_id: str) -> int:
        number = self._folder_numbers.get((job_no, folder_id))
        if number is None:
            number = FOLDER_NUMBER.value(connection, job_no=job_no, folder_id=folder_id)
            if number is None:
                raise JobError(
                    "a folder was written about before it was put into the ledger", code="no_folder"
                )
            self._folder_numbers[(job_no, folder_id)] = number
        return number


def _sums(
    job: int | Mapping[int, int], changes: Iterable[tuple[int, str, str, int, int]]
) -> list[dict[str, Any]]:
    """Rows to be added to the tally; see `Ledger._count`."""
    sums: dict[tuple[int, str, str], list[int]] = {}
    for folder, state, why, items, octets in changes:
        total = sums.setdefault((folder, state, why), [0, 0])
        total[0] += items
        total[1] += octets
    return [
        {
            "job": job if isinstance(job, int) else job.get(key[0], 0),
            "folder": key[0],
            "state": key[1],
            "why": key[2],
            "items": value[0],
            "octets": value[1],
        }
        for key, value in sums.items()
        if value != [0, 0]
    ]


def _no_more(old: Any) -> tuple[int, str, str, int, int]:
    """An entry that the tally counts and will count elsewhere."""
    _, _, folder, state, why, size = old
    return (folder, state, why, -1, -(size or 0))


def _known(places: Iterable[tuple[int, bytes]]) -> list[Ready]:
    return [KNOWN.ready(places=part) for part in parts(places)]


def _or_else(
    first: list[Ready], rows: int, then: list[Ready], again: Callable[[sqlite3.Connection], None]
) -> Apply:
    """What holds for nearly every item, in one statement; where it held for fewer rows than given, all of them the long way."""

    def apply(connection: sqlite3.Connection) -> None:
        connection.execute("SAVEPOINT first")
        if execute(connection, first) == rows:
            execute(connection, then)
        else:
            connection.execute("ROLLBACK TO first")
            again(connection)
        connection.execute("RELEASE first")

    return apply


def _described(ref: ItemRef) -> tuple[Any, ...]:
    """As `_REF`."""
    received, seen = ref.received, ref.seen
    return (
        ref.id,
        ref.version,
        _KINDS[ref.kind],
        ref.item_class,
        ref.size,
        None if received is None else to_epoch(received),
        ref.message_id[:MAX_TEXT],
        None if seen is None else int(seen),
    )


def _why(outcome: Outcome) -> tuple[str, str]:
    if outcome.state is State.SKIPPED:
        return (outcome.reason.value if outcome.reason else "", "")
    if outcome.state is not State.FAILED:
        return ("", "")
    error = outcome.error
    if isinstance(error, InDoubt):
        raise ValueError("an item in doubt has no outcome: resolve it before settling")
    if isinstance(error, MigratorError):
        return (error.code, error.message[:MAX_TEXT])
    return ("error", type(error).__name__ if error is not None else "")
