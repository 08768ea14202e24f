"""Items that left their place at the source: moved to another folder, or deleted. What becomes of their copies.

A source tells a move as two things: the item is gone here, and a new one, with another id, is there. Which new item is a
gone one is told by the fingerprint (and the date, where several have it). Since the two stand in the listings of two folders,
changes of all folders are read before anything is copied (`read_ahead`), and what is gone is marked in the ledger first.

The target cannot move by import, so a move is: the item is stored at its new place; when that is settled, our copy at the old
place is removed. Deletions follow only with `propagate_deletes`. Either way a copy is removed only if this project wrote it
and nobody changed it since: its version is still the one that the target told when it was stored. A copy that was changed
is left where it is and told as a conflict.

Whatever instant the process dies: a copy is removed only after the new one has its outcome, and the marks in the ledger
bring the rest back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import field

from migrator.engine.decide import was_there
from migrator.engine.tools import Tools
from migrator.errors import CheckpointLost, ItemError, JobError
from migrator.events import BatchSettled, Notice
from migrator.formats.fingerprint import fingerprint
from migrator.interfaces import Source, Target
from migrator.ledger import Entry, FolderRow, Lease
from migrator.ledger.departing import GONE, MOVED
from migrator.model import Checkpoint, Folder, ItemRef, Job, Outcome, Page, SkipReason, State
from migrator.record import record

AHEAD_MOST = 20_000
"""Change records held in memory; of a longer list of changes the rest is read later, and moves in it are told as copies."""
DELETES_FREE, DELETES_SHARE = 100, 0.25
"""More deletions in one pass than both of these look like an accident at the source."""
_PART = 200


@record(frozen=False)
class Ahead:
    """Pages of one folder that were read before their turn. anew: the checkpoint was lost, they begin at the start."""

    pages: list[Page] = field(default_factory=list)
    anew: bool = False


class Departed:
    """What is gone from the source and has a copy in the target, by fingerprint."""

    def __init__(self, job: Job, lease: Lease, tools: Tools) -> None:
        self._job = job
        self._lease = lease
        self._tools = tools
        self._ledger = tools.ledger
        self._pool: dict[bytes, list[Entry]] = defaultdict(list)
        self._records = 0
        left = self._ledger.departed(job.id)
        known = self._known(left)
        for entry in left:
            if entry.departed == GONE or entry.moved_to not in known:
                self._add(entry)

    def _known(self, entries: Iterable[Entry]) -> dict[str, Entry]:
        refs = [ItemRef(entry.moved_to, (), entry.kind, "") for entry in entries if entry.departed == MOVED]
        return self._ledger.entries(self._job.id, refs) if refs else {}

    def _add(self, entry: Entry) -> None:
        if entry.fingerprint and entry.target_id:
            self._pool[entry.fingerprint].append(entry)

    def read_ahead(self, source: Source, folder: Folder, row: FolderRow) -> Ahead:
        """Read what changed in a folder since it was read before, and note what is gone from it."""
        ahead = Ahead()
        after: Checkpoint | None = row.checkpoint
        while self._records < AHEAD_MOST:
            try:
                page = source.page(folder, after)
            except CheckpointLost:
                if ahead.anew or after is None:
                    raise
                # Nothing tells any more what went: a whole list does.
                ahead = Ahead(anew=True)
                after = None
                self._ledger.forget_checkpoint(self._lease, folder.id)
                continue
            except JobError as error:
                if error.code != "folder_gone":
                    raise
                return Ahead()  # told when it is this folder's turn
            ahead.pages.append(page)
            self._records += len(page.refs)
            if page.last or (not page.refs and page.checkpoint == after):
                break
            after = page.checkpoint
        whole = bool(ahead.pages) and ahead.pages[-1].last
        if ahead.anew or row.checkpoint is None:
            if whole:
                there = {ref.id for page in ahead.pages for ref in page.refs if not ref.gone}
                self._went_but(folder.id, there)
            return ahead
        latest = {ref.id: ref for page in ahead.pages for ref in page.refs}
        self._went([ref for ref in latest.values() if ref.gone])
        return ahead

    def folder_went(self, folder_id: str) -> None:
        """A folder that is not listed any more took its items along."""
        self._went_but(folder_id, frozenset())

    def _went_but(self, folder_id: str, there: frozenset[str] | set[str]) -> None:
        gone: list[Entry] = []
        for state in (State.COPIED, State.PRESENT):
            gone.extend(
                entry
                for entry in self._ledger.iter_entries(self._job.id, folder_id, state)
                if not entry.departed and entry.source_id not in there
            )
        self._note(gone)

    def _went(self, refs: Sequence[ItemRef]) -> None:
        if not refs:
            return
        known = self._ledger.entries(self._job.id, refs)
        self._note([e for e in known.values() if e.state in (State.COPIED, State.PRESENT) and not e.departed])

    def went(self, entries: Sequence[Entry]) -> None:
        """Told gone in its folder's turn, beyond what was read ahead."""
        self._note([entry for entry in entries if not entry.departed])

    def _note(self, gone: Sequence[Entry]) -> None:
        if gone:
            self._ledger.mark_gone(self._lease, [entry.source_id for entry in gone])
            for entry in gone:
                self._add(entry)

    def claim(self, refs: Iterable[ItemRef]) -> None:
        """New items: those that are gone ones at another place are noted as moved, before they are sent."""
        if not self._pool:
            return
        moved: dict[str, str] = {}
        for ref in refs:
            mark = ref.fingerprint or fingerprint(ref)
            choice = self._pool.get(mark) if mark else None
            if not choice:
                continue
            one = min(choice, key=lambda entry: (entry.kind is not ref.kind, not _same_time(entry, ref)))
            if one.kind is not ref.kind:
                continue
            choice.remove(one)
            moved[one.source_id] = ref.id
        if moved:
            self._ledger.mark_moved(self._lease, moved)

    def came_back(self, entries: Iterable[Entry]) -> None:
        """Items that are listed as they were: whatever said that they went was wrong or is over."""
        back = [entry for entry in entries if entry.departed]
        if back:
            self._ledger.mark_back(self._lease, [entry.source_id for entry in back])
            for entry in back:
                self._pool[entry.fingerprint] = [
                    one for one in self._pool.get(entry.fingerprint, []) if one.source_id != entry.source_id
                ]


def _same_time(entry: Entry, ref: ItemRef) -> bool:
    if entry.received is None or ref.received is None:
        return entry.received is ref.received
    return int(entry.received.timestamp()) == int(ref.received.timestamp())


def follow(job: Job, lease: Lease, target: Target, tools: Tools) -> None:
    """Remove our unchanged copies of what moved, and with `propagate_deletes` of what was deleted. After all is stored.

    Raises JobError(code="mass_delete") when so much is gone from the source that it looks like an accident.
    """
    ledger = tools.ledger
    left = ledger.departed(job.id)
    if not left:
        return
    refs = [ItemRef(entry.moved_to, (), entry.kind, "") for entry in left if entry.departed == MOVED]
    now = ledger.entries(job.id, refs) if refs else {}
    moved = [
        entry
        for entry in left
        if entry.departed == MOVED
        and (new := now.get(entry.moved_to)) is not None
        and new.state in (State.COPIED, State.PRESENT)
    ]
    # The source may still have a twin that was left out as a duplicate: then this copy stands for it.
    twins = {entry.fingerprint for entry in ledger.skipped(job.id, None, (SkipReason.DUPLICATE,))}
    moved = [entry for entry in moved if entry.fingerprint not in twins]
    deleted: list[Entry] = []
    if tools.settings.propagate_deletes:
        deleted = [
            entry
            for entry in left
            if entry.departed == GONE and not was_there(entry) and entry.fingerprint not in twins
        ]
        _refuse_many(job, deleted, tools)
    # What was in the target before us is not ours to remove, wherever its like went at the source.
    strangers = [entry for entry in moved if was_there(entry) or not entry.target_id]
    same = [e for e in moved if e not in strangers and now[e.moved_to].target_id == e.target_id]
    ledger.drop(lease, [entry.source_id for entry in (*strangers, *same)])
    rows = {row.source_id: row for row in ledger.folders(job.id)}
    counts: dict[str, int] = defaultdict(int)
    for word, entries in (("moved", moved), ("deleted", deleted)):
        by_folder: dict[str, list[Entry]] = defaultdict(list)
        for entry in entries:
            if entry not in strangers and entry not in same:
                by_folder[entry.folder_id].append(entry)
        for folder_id, some in by_folder.items():
            for start in range(0, len(some), _PART):
                gone, kept = _remove(
                    job, lease, rows[folder_id], some[start : start + _PART], target, tools, word
                )
                counts[word] += gone
                counts["conflict"] += kept
    words = [
        f"{counts[word]} items {what}"
        for word, what in (
            ("moved", "that moved at the source left their former place"),
            ("deleted", "that were deleted at the source were removed"),
            ("conflict", "that went at the source were changed in the target since: they stay, as conflicts"),
        )
        if counts[word]
    ]
    if strangers:
        words.append(f"{len(strangers)} items that moved were in the target before and stay at their place")
    for text in words:
        tools.emit(Notice("info", text, job.id))
        ledger.add_incident(job.id, "departed", text)


def _refuse_many(job: Job, deleted: Sequence[Entry], tools: Tools) -> None:
    copied = sum(row.copied for row in tools.ledger.balance() if row.job_id == job.id)
    if len(deleted) <= max(DELETES_FREE, DELETES_SHARE * copied) or "mass_delete" in tools.settings.force:
        return
    raise JobError(
        f"{len(deleted)} of {copied} copied items are gone from the source: nothing was deleted in the target",
        code="mass_delete",
        remedy="Check the source mailbox. If they were deleted on purpose: --force mass_delete.",
    )


def _remove(
    job: Job, lease: Lease, row: FolderRow, entries: Sequence[Entry], target: Target, tools: Tools, word: str
) -> tuple[int, int]:
    """Returns how many are gone from the target now, and how many stay because somebody changed them."""
    ledger = tools.ledger
    folder = Folder(row.target_id, row.target_path, row.kind, row.folder_class)
    versions: dict[str, str] = {}
    if row.target_id:
        try:
            versions = target.versions(folder, [entry.target_id for entry in entries])
        except JobError as error:
            if error.code != "folder_gone":
                raise
    changed = [e for e in entries if versions.get(e.target_id, e.target_version) != e.target_version]
    wanted = [e.target_id for e in entries if e.target_id in versions and e not in changed]
    removed = set(target.remove(folder, wanted)) if wanted else set()
    gone = [e.source_id for e in entries if e.target_id not in versions or e.target_id in removed]
    ledger.drop(lease, gone)
    if changed:
        conflict = ItemError(
            f"{word} at the source, and changed in the target since: the copy stays as it is", code="conflict"
        )
        outcomes = [Outcome(entry.ref(row.path), State.FAILED, error=conflict) for entry in changed]
        ledger.settle(lease, row.source_id, outcomes).wait()
        tools.emit(BatchSettled(job.id, row.path, tuple(outcomes), tools.clock.now()))
    return len(gone), len(changed)
