"""Takes back what this project wrote into one target mailbox: by the ids in the ledger, and only what nobody changed since.

Not touched: what was in the target before (present), what was changed there after we wrote it, what is in doubt, and folders.
Source items are forgotten by the ledger as their copies go, so a later run copies them again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from migrator.engine import pool
from migrator.engine.decide import WAS_THERE
from migrator.errors import JobError, MigratorError
from migrator.interfaces import Target
from migrator.ledger import HEARTBEAT_S, Entry, FolderRow, Lease, Ledger
from migrator.model import Folder, FolderPath, Job, State
from migrator.record import record

T = TypeVar("T")

PART = 200
CHANGED_MOST = 1000
"""Changed items named one by one, per mailbox."""


@record
class Kept:
    """A copy that stays."""

    path: FolderPath  # in the target
    message_id: str
    target_id: str
    why: str  # "changed" since we wrote it, "was_there" before us, "held" by the server


@record(frozen=False)
class Undone:
    """removed: gone now, or would be in a dry run. absent: were not there any more."""

    job: Job
    removed: int = 0
    absent: int = 0
    present: int = 0  # were in the target before us: never touched
    in_doubt: int = 0  # a run settles them first
    kept_items: int = 0
    kept: list[Kept] | None = None
    error: str = ""
    code: str = ""
    remedy: str = ""


def undo_mailbox(
    job: Job,
    target: Target,
    ledger: Ledger,
    lease: Lease | None,
    stopped: Callable[[], bool] = lambda: False,
) -> Undone:
    """lease None: nothing is removed, only counted. Raises what the target raises; everything removed till then is written down."""
    done = Undone(job, kept=[])
    for row in ledger.balance():
        if row.job_id == job.id:
            done.present += row.present
            done.in_doubt += row.sending
    for folder in ledger.folders(job.id):
        if stopped() or not folder.target_id:
            continue
        part: list[Entry] = []
        taken = False
        # The list is made before anything is dropped: the ledger is not read while it is being changed.
        for entry in [e for e in ledger.iter_entries(job.id, folder.source_id, State.COPIED) if e.target_id]:
            part.append(entry)
            if len(part) >= PART:
                taken |= _part(done, folder, part, target, ledger, lease)
                part = []
            if stopped():
                break
        if part and not stopped():
            taken |= _part(done, folder, part, target, ledger, lease)
        if taken and lease is not None:
            ledger.forget_checkpoint(lease, folder.source_id)
    return done


def _part(
    done: Undone,
    row: FolderRow,
    entries: Sequence[Entry],
    target: Target,
    ledger: Ledger,
    lease: Lease | None,
) -> bool:
    """Returns whether the ledger has forgotten anything."""
    folder = Folder(row.target_id, row.target_path, row.kind, row.folder_class)
    ours = [entry for entry in entries if WAS_THERE not in entry.notes]
    versions: dict[str, str] = {}
    try:
        versions = target.versions(folder, [entry.target_id for entry in ours])
    except JobError as error:
        if error.code != "folder_gone":
            raise
    for entry in entries:
        if entry not in ours:
            _keep(done, row, entry, WAS_THERE)
    absent = [entry for entry in ours if entry.target_id not in versions]
    changed = [
        entry for entry in ours if versions.get(entry.target_id, entry.target_version) != entry.target_version
    ]
    wanted = [entry for entry in ours if entry not in absent and entry not in changed]
    for entry in changed:
        _keep(done, row, entry, "changed")
    done.absent += len(absent)
    if lease is None:
        done.removed += len(wanted)
        return False
    ledger.heartbeat(lease)  # still ours? Nothing is removed on behalf of somebody else.
    gone = set(target.remove(folder, [entry.target_id for entry in wanted])) if wanted else set()
    for entry in wanted:
        if entry.target_id in gone:
            done.removed += 1
        else:
            _keep(done, row, entry, "held")
    forgotten = [e.source_id for e in (*absent, *wanted) if e in absent or e.target_id in gone]
    ledger.drop(lease, forgotten)
    return bool(forgotten)


def _keep(done: Undone, row: FolderRow, entry: Entry, why: str) -> None:
    done.kept_items += 1
    assert done.kept is not None
    if len(done.kept) < CHANGED_MOST:
        done.kept.append(Kept(row.target_path, entry.message_id, entry.target_id, why))


def under_lease(
    job: Job,
    ledger: Ledger,
    run: int,
    work: Callable[[Lease], T],
    *,
    code: str = "undone",
    words: str = "taken back by `migrator undo`",
) -> T:
    """Claim the mailbox, keep the claim alive while `work` lasts, give it back as stopped, with this code and words.

    Raises JobError where another process has it.
    """
    lease = ledger.claim(job.id, run)
    if lease is None:
        raise JobError(
            "another process is copying this mailbox",
            code="owned_elsewhere",
            remedy="Stop it, or let it finish, then run the same command again.",
        )
    over = threading.Event()

    def beat() -> None:
        while not over.wait(HEARTBEAT_S):
            ledger.heartbeat(lease)

    heart = pool.start("heartbeat", beat)
    state = "stopped"
    try:
        return work(lease)
    except MigratorError as error:
        state, code, words = "error", error.code, error.message
        raise
    finally:
        over.set()
        heart.join()
        ledger.release(lease, state, code=code, error=words)
