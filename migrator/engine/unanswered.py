"""Items whose answer never came: settled by looking into the target, never by hope."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from migrator.engine.belt import Belt, Halt
from migrator.engine.doubt import Found, Wanted, look, of_entry, of_ref
from migrator.engine.parcels import Parcel, Work
from migrator.engine.tools import Tools
from migrator.errors import ItemError, JobError, MigratorError
from migrator.events import Settled
from migrator.interfaces import Source, Target
from migrator.ledger import Entry, FolderRow
from migrator.model import Folder, Format, Item, ItemRef, Outcome, State

GIVE_UPS = 5
"""Calls in a row that were given up before the mailbox stops: one poisonous item is not an outage, five in a row are."""
DOUBTS = 3
"""How often an item is sent again after it was in doubt and not found, before it counts as failed."""
DOUBT_PAUSES_S = (10.0, 60.0)
"""Before an item that was in doubt and not found is sent again: an outage is not met with every item at full speed."""
FOLDER_GONE = "folder_gone"
"""Code of the JobError with which a side says that a folder which it had is there no more."""


class Unanswered:
    """Of one mailbox. `give_ups`: stores in a row that came to nothing; shared with the uploaders, who count too."""

    def __init__(self, belt: Belt, source: Source, target: Target, tools: Tools) -> None:
        """target: the reader's handle. Uploaders bring their own."""
        self.give_ups = 0
        self._belt = belt
        self._source = source
        self._target = target
        self._tools = tools
        self._ledger = tools.ledger
        self._other_source: Source | None = None
        self._alike_lock = threading.Lock()

    def settle(self, target: Target, folder: Folder) -> None:
        """Settle every parcel in doubt in a target folder: wait until nothing is under way there, then look."""
        with self._belt.lock:
            while self._belt.inflight[folder.id] > 0:
                self._belt.filled.wait(0.5)
            parcels = self._belt.doubtful.pop(folder.id, [])
        if self._belt.halting():
            with self._belt.lock:
                self._belt.doubtful[folder.id].extend(parcels)  # in doubt they stay; the next start looks
            return
        try:
            self._look_for(target, folder, parcels)
        except BaseException:
            with self._belt.lock:
                self._belt.doubtful[folder.id].extend(p for p in parcels if p.octets)
            raise

    def _look_for(self, target: Target, folder: Folder, parcels: Sequence[Parcel]) -> None:
        # Several source folders may go to this one: the earliest mark lists the arrivals of all of them.
        works: dict[str, Work] = {parcel.work.folder.id: parcel.work for parcel in parcels}
        by_work = {key: [p for p in parcels if p.work is work] for key, work in works.items()}
        claimed = self._belt.claimed(folder.id)
        for key, work in works.items():
            found = look(
                [Wanted(of_ref(p.item.ref), p.replaces) for p in by_work[key]],
                target,
                folder,
                work.mark,
                claimed,
                self._tools.clock,
                grace_s=self._tools.grace_s,
                alike=self._alike(target, folder, [p.item.ref for p in by_work[key]]),
            )
            claimed |= {target_id for target_id, _ in found.found.values()}
            self._apply_look(work, by_work[key], found)

    def _apply_look(self, work: Work, parcels: Sequence[Parcel], found: Found) -> None:
        again: list[Parcel] = []
        for parcel in parcels:
            there = found.found.get(parcel.item.ref.id)
            if there is not None:
                outcome = Outcome(
                    parcel.item.ref,
                    State.COPIED,
                    *there,
                    octets=parcel.item.content.size,
                    notes=parcel.item.notes,
                )
                self.give_ups = 0
            elif self._belt.halting():
                # The grace time may have been cut short: still in doubt, the next start looks.
                with self._belt.lock:
                    self._belt.doubtful[parcel.target_id].append(parcel)
                continue
            elif parcel.doubts + 1 >= DOUBTS:
                error = ItemError(
                    "the target never answered for this item and does not hold it", code="in_doubt"
                )
                outcome = Outcome(parcel.item.ref, State.FAILED, error=error)
                self.give_ups += 1
                if self.give_ups >= GIVE_UPS:
                    self._belt.fail(outage("target", error))
            else:
                parcel.doubts += 1
                again.append(parcel)
                continue
            self._belt.release(parcel)
            self._belt.done(work, parcel.page, [outcome])
        if found.mark is not None and found.mark != work.mark:
            # Behind the settles in the ledger's queue: what this look has seen is accounted for when the mark moves.
            self._ledger.set_mark(self._belt.lease, work.folder.id, found.mark).wait()
            work.mark = found.mark
        if again and not found.found and not self._belt.halting():
            worst = max(parcel.doubts for parcel in again)
            self._tools.clock.sleep(DOUBT_PAUSES_S[min(worst, len(DOUBT_PAUSES_S)) - 1])
        with self._belt.lock:
            self._belt.put_back(again)
        self._tools.emit(Settled(self._belt.job.id, work.folder.path, len(parcels) - len(again), len(again)))

    def leftovers(self, row: FolderRow, entries: Sequence[Entry]) -> None:
        """Items that an earlier process began and never settled."""
        work = Work(Folder(row.source_id, row.path, row.kind, row.folder_class), None, row)
        found = Found({}, None, False)
        if row.target_id:  # else nothing can have been sent
            folder = Folder(row.target_id, row.target_path, row.kind, row.folder_class)
            wanted = [
                Wanted(of_entry(e), (e.target_id, e.target_version) if e.target_id else None) for e in entries
            ]
            try:
                found = look(
                    wanted,
                    self._target,
                    folder,
                    row.mark,
                    self._belt.claimed(row.target_id),
                    self._tools.clock,
                    grace_s=self._tools.grace_s,
                    alike=self._alike(self._target, folder, [e.ref(row.path) for e in entries]),
                )
            except JobError as error:
                if error.code != FOLDER_GONE:
                    raise
                self._ledger.set_target(
                    self._belt.lease, row.source_id, None
                )  # and what was in it is gone too
        outcomes = [
            Outcome(e.ref(row.path), State.COPIED, *found.found[e.source_id], octets=e.size or 0)
            for e in entries
            if e.source_id in found.found
        ]
        lost = [e.source_id for e in entries if e.source_id not in found.found]
        if outcomes:
            self._belt.settle(work, outcomes)
        if self._belt.halting():
            raise Halt  # the grace time may have been cut short: what was not found stays in doubt
        if lost:
            self._ledger.revive(self._belt.lease, row.source_id, lost)
        if found.mark is not None and found.mark != row.mark:
            self._ledger.set_mark(self._belt.lease, row.source_id, found.mark).wait()
        self._tools.emit(Settled(self._belt.job.id, row.path, len(outcomes), len(lost)))

    def _alike(
        self, target: Target, folder: Folder, refs: Sequence[ItemRef]
    ) -> Callable[[str, str], bool | None] | None:
        """Compare content by exporting both sides, where both can give the item's own stream."""
        compare = self._tools.same_content
        ours, theirs = self._source.traits.formats, target.traits.formats
        if compare is None or Format.FTS not in ours or Format.FTS not in theirs:
            return None
        by_id = {ref.id: ref for ref in refs}

        def alike(source_id: str, target_id: str) -> bool | None:
            ref = by_id[source_id]
            with self._alike_lock:  # the reader has its own handle; this one is for whoever looks
                if self._other_source is None:
                    self._other_source = self._tools.open_source(self._belt.job)
                one = _bytes_of(self._other_source.export([ref], Format.FTS))
            there = ItemRef(target_id, folder.path, ref.kind, "")
            other = _bytes_of(target.export([there], Format.FTS))
            if one is None or other is None:
                return None
            return True if one == other else compare(one, other)

        return alike

    def close(self) -> None:
        if self._other_source is not None:
            self._other_source.close()


def outage(side: str, error: MigratorError) -> JobError:
    outage = JobError(
        f"the {side} failed {GIVE_UPS} times in a row: {error.message}",
        code=error.code,
        remedy=error.remedy or f"Run the same command again when the {side} answers.",
    )
    outage.endpoint = error.endpoint
    return outage


def _bytes_of(results: Sequence[Item | Outcome]) -> bytes | None:
    if len(results) != 1 or not isinstance(results[0], Item):
        return None
    content = results[0].content
    data = b"".join(content.pieces())
    content.release()
    return data
