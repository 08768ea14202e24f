"""How the items of one mailbox travel. One reader, up to four uploaders, a queue between them.

    reader (one thread)                                              uploaders (`RunSettings.uploaders` threads)
    ───────────────────                                              ──────────────────────────────────────────
    for every folder:
      settle what an earlier run left open, resend what failed
      for every page of the source's listing:
        entries of the ledger → decide → skipped ones are settled
        for every batch (bounded in items and octets):
          take octets from the budget
          export                                                     take the next parcel
          ledger.begin: intent to send ──────── queue ─────────────→ wait until its intent is durable
                                                                     target.store
                                                                     give the content and its octets back
                                                                     ledger.settle: outcome
                                                                     all items of a page have one: ledger.advance

The reader never waits for a page or a folder to be uploaded: it is held back by the byte budget and by the length of the
queue alone, so the uploaders always find work. Durability is waited for where it matters only: intent before the first octet
leaves, outcomes before they are told.

Invariants, true at every instant, also after a power cut:

- "copied" in the ledger means that the target acknowledged the item;
- before the first octet of an item leaves, the ledger says "sending"; an item found so at the start is in doubt, and looking
  (`doubt.look`) decides, not hope;
- before the first write to a folder its mark is durable, so looking can tell arrivals from what was there;
- a checkpoint never passes an item without an outcome, and pages are passed in their order;
- a checkpoint passes a failed item only because the ledger alone can bring it back;
- while a folder is looked into, nothing is under way to it.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from migrator import lull
from migrator.engine import pool
from migrator.engine.decide import (
    BY_SETTINGS,
    WAS_THERE,
    Chosen,
    Likeness,
    Rules,
    Send,
    completed,
    decide,
    is_due,
    likeness,
    skip_reason,
    was_there,
    without_duplicates,
)
from migrator.engine.departed import Departed
from migrator.engine.doubt import Evidence, Found, Wanted, look, match, of_entry, of_ref
from migrator.engine.routes import Routes
from migrator.engine.tools import Tools, error_of
from migrator.errors import (
    CheckpointLost,
    InDoubt,
    ItemError,
    JobError,
    MigratorError,
    RunError,
    Transient,
    UserError,
)
from migrator.events import FolderFinished, FolderStarted, Settled
from migrator.formats.fingerprint import fingerprint
from migrator.interfaces import Source, Target
from migrator.ledger import Entry, FolderRow, Lease, Ticket
from migrator.model import (
    Checkpoint,
    Folder,
    Format,
    Item,
    ItemRef,
    Job,
    Outcome,
    Page,
    Path,
    SkipReason,
    State,
)

log = logging.getLogger(__name__)

QUEUE_ITEMS = 400
"""Most items waiting to be stored, per mailbox: bounds what is in doubt after a crash, and how long a look takes."""
GIVE_UPS = 5
"""Calls in a row that were given up before the mailbox stops: one poisonous item is not an outage, five in a row are."""
DOUBTS = 3
"""How often an item is sent again after it was in doubt and not found, before it counts as failed."""
DOUBT_PAUSES_S = (10.0, 60.0)
"""Before an item that was in doubt and not found is sent again: an outage is not met with every item at full speed."""
UNKNOWN_SIZE = 64 << 10
FOLDER_GONE = "folder_gone"
"""Code of the JobError with which a side says that a folder which it had is there no more."""


class Halt(Exception):
    """The reader leaves: a stop was requested, or another thread has the error. No error itself."""


@dataclass(slots=True)
class _Page:
    """A page on its way. Number 0 holds what earlier runs left open."""

    number: int
    checkpoint: Checkpoint | None
    last: bool
    open: int = 0  # items without an outcome
    read: bool = False  # the reader has put all of it on its way


@dataclass(slots=True)
class Work:
    """A source folder on its way. target None with a refusal: the target will not have this folder."""

    folder: Folder
    target: Folder | None
    row: FolderRow | None
    refusal: ItemError | None = None
    pages: deque[_Page] = field(default_factory=deque)
    number: int = 0
    mark: Checkpoint | None = None
    marked: bool = False
    present: dict[str, Evidence] | None = None  # target items that nobody accounts for, on the first pass
    checkpoint: Checkpoint | None = None  # as the ledger has it
    listed: bool = False
    seen: set[Likeness] | None = (
        None  # of the items that go from this folder, for those who want no duplicates
    )
    ahead: deque[Page] = field(default_factory=deque)  # pages that were read before the folder's turn


@dataclass(slots=True)
class _Parcel:
    """An item in memory, its intent handed to the ledger."""

    work: Work
    page: _Page
    item: Item
    replaces: tuple[str, str] | None
    ticket: Ticket
    octets: int
    target_id: str  # of the folder
    doubts: int = 0


class MailboxCopy:
    """The data path of one job. `copy_folder` is called by one thread (the reader); `finish` ends it."""

    def __init__(
        self,
        job: Job,
        lease: Lease,
        source: Source,
        target: Target,
        tools: Tools,
        rules: Rules,
        fmt: Format,
        routes: Routes,
    ) -> None:
        """fmt: in which items are exported. routes: how they then get into the target."""
        self.job = job
        self.lease = lease
        self.error: JobError | RunError | UserError | None = None
        self.target = target
        self._source = source
        self._target = target
        self._tools = tools
        self._ledger = tools.ledger
        self._settings = tools.settings
        self._rules = rules
        self._format = fmt
        self._routes = routes
        self._account = tools.budget.account(
            max(
                2 * tools.settings.batch_octets,
                tools.settings.inflight_octets // max(2, tools.settings.mailboxes),
            )
        )
        # One lock for queue, pages and folders. Reader and uploaders wait on conditions of their own.
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)  # the queue got shorter
        self._filled = threading.Condition(self._lock)  # there may be something to store
        self._queue: deque[_Parcel] = deque()
        self._closed = False
        self._busy = 0  # uploaders between taking a parcel and giving its outcome
        self._inflight: dict[str, int] = defaultdict(int)  # by target folder id
        self._barred: set[str] = set()  # target folders that are being looked into
        self._doubtful: dict[str, list[_Parcel]] = defaultdict(list)
        self._underway: set[str] = set()  # source ids begun without an outcome
        self._detours: dict[str, Path] = {}  # source id → path, where it is not that of its kind
        self._reader_waits = False
        self._export_give_ups = 0
        self._store_give_ups = 0
        self._tried: dict[
            str, str
        ] = {}  # source id → version of what earlier runs left open and this one tried
        self._workers: list[pool.Worker] = []
        self._other_source: Source | None = None
        self._alike_lock = threading.Lock()
        self.incomplete = False
        self.departed: Departed | None = None  # on a later pass: what left its place at the source
        self._due: dict[str, list[Entry]] = {}
        self._by_settings = False

    # ------------------------------------------------------------- the reader

    def prepare(self, rows: dict[str, FolderRow]) -> None:
        """Settle what an earlier run left in doubt, and find what is to be tried again. Before the first folder."""
        doubtful: dict[str, list[Entry]] = defaultdict(list)
        for entry in self._ledger.sending(self.job.id):
            doubtful[entry.folder_id].append(entry)
        for folder_id, entries in doubtful.items():
            self._check()
            self._settle_leftovers(rows[folder_id], entries, rows.values())
        for entry in self._ledger.failed(self.job.id):
            if is_due(entry, self._settings):
                self._due.setdefault(entry.folder_id, []).append(entry)
        reasons = {reason.value for reason in BY_SETTINGS}
        self._by_settings = any(
            job_id == self.job.id and reason in reasons
            for job_id, reason, _ in self._ledger.skipped_by_reason()
        )

    def copy_folder(self, work: Work) -> bool:
        """Read one folder to its present end and put on its way what is new. Returns before all of it is stored.

        False when the source says that this folder is not there any more.
        """
        self._check()
        self._tools.emit(FolderStarted(self.job.id, work.folder.path))
        self._leftovers(work)
        after = work.checkpoint
        lost = False
        while True:
            self._check()
            try:
                page = work.ahead.popleft() if work.ahead else self._source.page(work.folder, after)
            except CheckpointLost:
                if lost or after is None:
                    raise JobError(
                        "the source does not honour the checkpoint that it has just given",
                        code="checkpoint_lost",
                        remedy="Run the same command again.",
                    ) from None
                lost = True
                after = work.checkpoint = None
                self._ledger.forget_checkpoint(self.lease, work.folder.id)
                continue
            except JobError as error:
                if error.code != FOLDER_GONE:
                    raise
                work.present = None
                return False
            if not page.last and not page.refs and page.checkpoint == after:
                raise JobError("the source's listing of a folder does not go on", code="no_progress")
            self._take(work, page)
            after = page.checkpoint
            if page.last:
                break
        work.present = None
        return True

    def abandoned(self, folder_ids: Iterable[str]) -> dict[str, list[Entry]]:
        """Due entries of folders that the source lists no more: their items are asked for once more and then vanish."""
        known = set(folder_ids)
        return {folder_id: due for folder_id, due in self._due.items() if folder_id not in known}

    def resend(self, work: Work) -> None:
        """Only what earlier runs left open in a folder, without listing it."""
        self._leftovers(work)

    def finish(self) -> None:
        """Wait until everything that was read has its outcome, or, when stopping, until nothing is under way any more."""
        with self._lock:
            self._closed = True
            self._filled.notify_all()
        for worker in self._workers:
            while not worker.join(0.5):
                if self._tools.stop.now:
                    return
            if worker.error is not None:
                self.fail(worker.error)
        left, self._queue = list(self._queue), deque()
        self.incomplete = self.incomplete or bool(left) or any(self._doubtful.values())
        for parcel in left:
            self._release(parcel)
        for parcels in self._doubtful.values():
            for parcel in parcels:
                self._release(parcel)  # still "sending" in the ledger: the next start looks
        if left:
            self._unsent(left)
        if self._other_source is not None:
            self._other_source.close()
        self._ledger.flush()
        self._tools.announcer.drain()

    def fail(self, error: BaseException) -> None:
        """Stop this mailbox. Called from any thread; the first error counts."""
        if isinstance(error, Halt) or (isinstance(error, Transient) and self._tools.stop.requested):
            return  # a wait that a stop has cut short: what was under way stays open
        if not isinstance(error, MigratorError):
            log.error("job %s: %s", self.job.id, type(error).__name__, exc_info=error)
        with self._lock:
            if self.error is None:
                self.error = error if isinstance(error, UserError) else error_of(error)
        self.wake()

    def wake(self) -> None:
        """Let everybody who waits look whether to go on."""
        with self._lock:
            self._room.notify_all()
            self._filled.notify_all()
        self._tools.budget.wake()

    def _halting(self) -> bool:
        return self.error is not None or self._tools.stop.requested

    def _check(self) -> None:
        if self._halting():
            raise Halt

    # ------------------------------------------------------- pages and batches

    def _leftovers(self, work: Work) -> None:
        due = [entry for entry in self._due.pop(work.folder.id, []) if entry.source_id not in self._underway]
        sends = [
            Send(
                entry.ref(work.folder.path),
                (entry.target_id, entry.target_version)
                if entry.target_id and self._rules.can_update
                else None,
                was_there(entry),
            )
            for entry in due
        ]
        if work.target is not None and any(entry.code == "conflict" for entry in due):
            self._without_lost(work.target, due, sends)
        page: _Page | None = None
        if sends:
            self._tried |= {send.ref.id: send.ref.version for send in sends}
            page = self._open_page(work, len(sends))
            self._send(work, page, sends)
        if self._by_settings and work.listed:
            for part in _parts(self._revived(work), QUEUE_ITEMS):
                if page is None:
                    page = self._open_page(work, 0)
                with self._lock:
                    page.open += len(part)
                self._send(work, page, part)
        if page is not None:
            self._close_page(work, page)

    def _without_lost(self, folder: Folder, due: Sequence[Entry], sends: Sequence[Send]) -> None:
        """A conflict that is tried again on request: where the target's copy is gone, there is nothing to overwrite."""
        asked = [entry.target_id for entry in due if entry.code == "conflict" and entry.target_id]
        there = self._target.versions(folder, asked) if asked else {}
        for send in sends:
            if send.replaces is not None and send.replaces[0] in asked and send.replaces[0] not in there:
                send.replaces = None

    def _revived(self, work: Work) -> Iterator[Send]:
        """Skipped by the settings of an earlier run, and no longer by those of this one."""
        for entry in self._ledger.skipped(self.job.id, work.folder.id, BY_SETTINGS):
            ref = entry.ref(work.folder.path)
            if entry.reason is SkipReason.DUPLICATE and self._settings.dedupe:
                continue
            if skip_reason(ref, self._rules) is None:
                yield Send(ref)

    def _take(self, work: Work, page: Page) -> None:
        """Decide about a page and put on its way what is to be sent."""
        refs = page.refs
        if not refs:
            if page.last and work.listed and page.checkpoint == work.checkpoint and not work.pages:
                self._tools.emit(FolderFinished(self.job.id, work.folder.path))
                return
            state = self._open_page(work, 0, page)
            self._close_page(work, state)
            return
        self._await_underway(refs)
        entries = self._ledger.entries(self.job.id, refs)
        refs = completed(refs, entries)
        chosen = decide(refs, entries, self._rules)
        for send in chosen.send:
            send.ref = _printed(send.ref)
        if self._settings.dedupe:
            self._dedupe(work, chosen, entries)
        if self._tried:  # what has failed a moment ago is not tried again by the same run
            chosen.send = [s for s in chosen.send if self._tried.get(s.ref.id) != s.ref.version]
        if self.departed is not None:
            self.departed.claim(s.ref for s in chosen.send if s.ref.id not in entries)
            self.departed.went(chosen.gone)
            self.departed.came_back(entries[ref.id] for ref in refs if not ref.gone and ref.id in entries)
        state = self._open_page(work, len(chosen.send), page)
        if chosen.skipped:
            self._settle(work, [replace(o, ref=_printed(o.ref)) for o in chosen.skipped])
        sends = chosen.send
        if sends and not work.listed and self._settings.find_present:
            sends = self._without_present(work, state, sends)
        if sends:
            self._send(work, state, sends)
        self._close_page(work, state)

    def _dedupe(self, work: Work, chosen: Chosen, entries: Mapping[str, Entry]) -> None:
        if work.seen is None:
            work.seen = set()
            for entry in self._ledger.iter_entries(self.job.id, work.folder.id):
                alike = likeness(entry)
                if alike is not None and entry.state is not State.SKIPPED and not entry.departed:
                    work.seen.add(alike)
        # One that was begun before is not its own duplicate.
        known = [
            send
            for send in chosen.send
            if send.ref.id in entries and entries[send.ref.id].state is State.FAILED
        ]
        fresh = [send for send in chosen.send if send not in known]
        fresh, skipped = without_duplicates(fresh, work.seen)
        chosen.send = known + fresh
        chosen.skipped += [
            one
            for one in skipped
            if one.ref.id not in entries or entries[one.ref.id].reason is not SkipReason.DUPLICATE
        ]

    def _await_underway(self, refs: Sequence[ItemRef]) -> None:
        """An item that is listed again while its first version is still on its way waits for that outcome."""
        if not self._underway:
            return
        ids = {ref.id for ref in refs}
        with self._lock:
            while not self._underway.isdisjoint(ids):
                if self._halting():
                    raise Halt
                self._room.wait(0.5)

    def _open_page(self, work: Work, items: int, page: Page | None = None) -> _Page:
        if page is None:
            state = _Page(0, None, False, items)
        else:
            work.number += 1
            state = _Page(work.number, page.checkpoint, page.last, items)
        with self._lock:
            work.pages.append(state)
        return state

    def _close_page(self, work: Work, page: _Page) -> None:
        with self._lock:
            page.read = True
            self._advance(work)

    def _advance(self, work: Work) -> None:
        """Move the checkpoint past every page at the front whose items all have outcomes. Under the lock."""
        passed: _Page | None = None
        finished = False
        while work.pages and work.pages[0].read and work.pages[0].open == 0:
            page = work.pages.popleft()
            if page.checkpoint is not None:
                passed = page
                finished = finished or page.last
        if passed is None or passed.checkpoint is None:
            return
        if passed.checkpoint != work.checkpoint or (finished and not work.listed):
            ticket = self._ledger.advance(
                self.lease, work.folder.id, passed.checkpoint, last=finished, page=passed.number
            )
            work.checkpoint = passed.checkpoint
            event = FolderFinished(self.job.id, work.folder.path) if finished else None
            self._tools.announcer.after(ticket, self.fail, event)
        elif finished:
            self._tools.emit(FolderFinished(self.job.id, work.folder.path))

    def _send(self, work: Work, page: _Page, sends: Sequence[Send]) -> None:
        if work.target is None:
            error = work.refusal or ItemError("the target will not have this folder", code="folder_refused")
            self._done(work, page, [Outcome(send.ref, State.FAILED, error=error) for send in sends])
            return
        self._ready(work)
        traits = self._source.traits
        for batch in batches(
            sends,
            min(self._settings.batch_items, traits.export_items),
            min(self._settings.batch_octets, traits.export_octets),
        ):
            self._check()
            self._export(work, page, batch)

    def _ready(self, work: Work) -> None:
        """Before the first write to a folder: a durable mark, from which arrivals can be listed."""
        assert work.target is not None
        if work.marked:
            return
        if work.mark is None:
            work.mark = self._target.mark(work.target)
            self._ledger.set_mark(self.lease, work.folder.id, work.mark)
        work.marked = True

    def _export(self, work: Work, page: _Page, batch: Sequence[Send]) -> None:
        expected = sum(_expected_octets(send.ref) for send in batch)
        if not self._account.acquire(expected, self._halting):
            raise Halt
        held = expected
        try:
            results = self._read([send.ref for send in batch])
            parcels: list[tuple[Send, Item]] = []
            outcomes: list[Outcome] = []
            for send, result in zip(batch, results, strict=True):
                if isinstance(result, Outcome):
                    outcomes.append(replace(result, ref=send.ref))
                elif result.content.size == 0:
                    result.content.release()
                    error = ItemError("the source gave no content for this item", code="empty_content")
                    outcomes.append(Outcome(send.ref, State.FAILED, error=error))
                elif result.spoilt is not None and result.format not in self._target.traits.accepts:
                    result.content.release()
                    outcomes.append(_unwanted(send.ref, result))
                else:
                    item = self._routes.prepare(result)
                    if isinstance(item, Outcome):
                        outcomes.append(replace(item, ref=send.ref))
                    else:
                        parcels.append((send, item))
            actual = sum(item.content.size for _, item in parcels)
            self._account.adjust(actual - held)
            held = actual
            if outcomes:
                self._done(work, page, outcomes)
            if parcels:
                self._enqueue(work, page, parcels)
                held = 0
        finally:
            self._account.release(held)

    def _enqueue(self, work: Work, page: _Page, parcels: Sequence[tuple[Send, Item]]) -> None:
        assert work.target is not None
        refs = [send.ref for send, _ in parcels]
        ticket = self._ledger.begin(self.lease, work.folder.id, refs, page=page.number)
        with self._lock:
            self._underway.update(ref.id for ref in refs)
            for send, item in parcels:
                taken = item.path or self._plain_path(item)
                if taken is not self._routes.of(send.ref.kind).path:
                    self._detours[send.ref.id] = taken
                if item.ref is not send.ref:
                    item = replace(item, ref=send.ref)
                if send.was_there:
                    item = replace(item, notes=(*item.notes, WAS_THERE))
                size = item.content.size
                self._queue.append(_Parcel(work, page, item, send.replaces, ticket, size, work.target.id))
            self._filled.notify(len(parcels))
            wanted = min(len(self._queue), self._uploaders())
            full = len(self._queue) >= QUEUE_ITEMS
        while len(self._workers) < wanted:
            number = len(self._workers) + 1
            self._workers.append(pool.start(f"upload-{self.job.id}-{number}", self._upload))
        if full:
            self._wait_for_room()

    @staticmethod
    def _plain_path(item: Item) -> Path:
        return Path.STREAM if item.format is Format.FTS else Path.MIME

    def _wait_for_room(self) -> None:
        with self._lock:
            self._reader_waits = True
            while len(self._queue) >= QUEUE_ITEMS * 3 // 4 and not self._halting():
                self._room.wait(0.5)
            self._reader_waits = False

    def _uploaders(self) -> int:
        return max(1, min(self._settings.uploaders, self._target.traits.connections))

    def _read(self, refs: Sequence[ItemRef]) -> list[Item | Outcome]:
        """Export; what fails as a whole is halved until the item that it is about stands alone."""
        try:
            results = self._source.export(refs, self._format)
            if [result.ref.id for result in results] != [ref.id for ref in refs]:
                _release_all(results)
                raise ItemError("the source answered for other items than asked", code="export_mismatch")
        except (JobError, RunError, UserError):
            raise
        except Exception as error:
            if self._halting():
                raise Halt from None
            if len(refs) > 1:
                middle = len(refs) // 2
                first = self._read(refs[:middle])
                try:
                    return first + self._read(refs[middle:])
                except BaseException:
                    _release_all(first)
                    raise
            if not isinstance(error, MigratorError):
                log.exception("job %s: export of an item failed", self.job.id)
                error = ItemError(f"unexpected {type(error).__name__} on export", code="unexpected")
            if isinstance(error, Transient):
                self._export_give_ups += 1
                if self._export_give_ups >= GIVE_UPS:
                    raise _outage("source", error) from None
            return [Outcome(refs[0], State.FAILED, error=error)]
        self._export_give_ups = 0
        return results

    # --------------------------------------------------- what is there already

    def _without_present(self, work: Work, page: _Page, sends: list[Send]) -> list[Send]:
        """First pass over a folder that is not empty in the target: what is there already is not sent again."""
        if work.target is None:
            return sends
        if work.present is None:
            work.present = self._list_present(work, work.target) if work.target.total != 0 else {}
        if not work.present:
            return sends
        ours = [of_ref(send.ref) for send in sends if send.replaces is None and send.ref.fingerprint]
        prints = {one.fingerprint for one in ours}
        theirs = [one for one in work.present.values() if one.fingerprint in prints]
        pairs = match(ours, theirs) if theirs else {}
        if not pairs:
            return sends
        outcomes: list[Outcome] = []
        rest: list[Send] = []
        for send in sends:
            there = pairs.get(send.ref.id)
            if there is None:
                rest.append(send)
            else:
                del work.present[there.id]
                outcomes.append(Outcome(send.ref, State.PRESENT, there.id, there.version))
        self._done(work, page, outcomes)
        return rest

    def _list_present(self, work: Work, target: Folder) -> dict[str, Evidence]:
        """Target items that the ledger does not account for and that a fingerprint can tell.

        Nothing of ours may be under way to the folder meanwhile: it would be taken for something that was there.
        """
        self._ready(work)
        with self._lock:
            while (
                self._inflight[target.id]
                or target.id in self._barred
                or any(parcel.target_id == target.id for parcel in self._queue)
            ):
                if self._halting():
                    raise Halt
                self._room.wait(0.05)
        claimed = self._claimed(target.id)
        there = (
            of_ref(ref) for ref in _all_refs(self._target, target) if ref.id not in claimed and not ref.gone
        )
        return {one.id: one for one in there if one.fingerprint}

    def _claimed(self, target_folder_id: str) -> set[str]:
        """Target ids that the ledger accounts for in a target folder, whichever source folders go there."""
        claimed: set[str] = set()
        for row in self._ledger.folders(self.job.id):
            if row.target_id == target_folder_id:
                claimed |= self._ledger.claimed_targets(self.job.id, row.source_id)
        return claimed

    # --------------------------------------------------------------- outcomes

    def _settle(self, work: Work, outcomes: Sequence[Outcome]) -> None:
        ticket = self._ledger.settle(self.lease, work.folder.id, outcomes, path_taken=self._path_of)
        self._tools.announcer.outcomes(ticket, self.job.id, work.folder.path, outcomes, self.fail)

    def _path_of(self, outcome: Outcome) -> str:
        """The path that an item took: noted when it was another than its kind's."""
        path = self._detours.pop(outcome.ref.id, None) or self._routes.of(outcome.ref.kind).path
        return path.value if path is not None else ""

    def _done(self, work: Work, page: _Page, outcomes: Sequence[Outcome]) -> None:
        """Settle outcomes of a page's items and count them off."""
        self._settle(work, outcomes)
        with self._lock:
            self._count_off(work, page, [outcome.ref.id for outcome in outcomes])

    def _count_off(self, work: Work, page: _Page, ids: Sequence[str]) -> None:
        self._underway.difference_update(ids)
        page.open -= len(ids)
        if page.open == 0:
            self._advance(work)
            self._room.notify_all()

    def _unsent(self, parcels: Sequence[_Parcel]) -> None:
        """Parcels that surely did not leave: due again, and no longer in doubt."""
        by_folder: dict[str, list[str]] = defaultdict(list)
        for parcel in parcels:
            by_folder[parcel.work.folder.id].append(parcel.item.ref.id)
        for folder_id, ids in by_folder.items():
            self._ledger.revive(self.lease, folder_id, ids)

    def _release(self, parcel: _Parcel) -> None:
        parcel.item.content.release()
        self._account.release(parcel.octets)
        parcel.octets = 0

    # -------------------------------------------------------------- uploaders

    def _upload(self) -> None:
        """One uploader: a handle of its own, parcels until there are no more."""
        try:
            target = self._tools.open_target(self.job)
            try:
                most = target.traits.store_items
                while parcels := self._next(most, wait=False) or self._next(most):
                    self._store(target, parcels)
            finally:
                lull.now()
                target.close()
        except BaseException as error:  # noqa: BLE001 - an uploader's error is the mailbox's
            self.fail(error)

    def _next(self, most: int, *, wait: bool = True) -> list[_Parcel]:
        """The next parcels of one folder, or none when there will be no more. Not waiting: none when there are none now."""
        if wait:
            lull.now()
        with self._lock:
            while True:
                if self._halting():
                    return []
                if self._queue and self._queue[0].target_id not in self._barred:
                    break
                if not wait:
                    return []
                if self._closed and not self._queue and not self._busy:
                    self._filled.notify_all()
                    return []
                self._filled.wait()
            first = self._queue.popleft()
            parcels = [first]
            octets = first.octets
            while len(parcels) < most and self._queue and self._queue[0].work is first.work:
                octets += self._queue[0].octets
                if octets > self._settings.batch_octets:
                    break
                parcels.append(self._queue.popleft())
            self._inflight[first.target_id] += 1
            self._busy += 1
            if self._reader_waits and len(self._queue) < QUEUE_ITEMS * 3 // 4:
                self._room.notify_all()
            return parcels

    def _store(self, target: Target, parcels: list[_Parcel]) -> None:
        work = parcels[0].work
        folder = work.target
        assert folder is not None
        try:
            for parcel in parcels:
                if not parcel.ticket.done():
                    lull.now()
                parcel.ticket.wait()
            answers = self._ask(target, folder, parcels)
        except BaseException:
            for parcel in parcels:
                self._release(parcel)
            with self._lock:
                self._leave(work, folder, [], [])
            raise
        if all(answer.state is State.COPIED for answer in answers):
            # Book-keeping waits until the next request has left: until then a connection stands idle.
            lull.later(lambda: self._note(work, folder, parcels, answers))
            return
        lull.now()
        if self._told(work, folder, parcels, answers):
            try:
                self._look(target, folder)
            finally:
                with self._lock:
                    self._barred.discard(folder.id)
                    self._busy -= 1
                    self._filled.notify_all()

    def _note(
        self, work: Work, folder: Folder, parcels: Sequence[_Parcel], answers: Sequence[Outcome]
    ) -> None:
        try:
            self._told(work, folder, parcels, answers)
        except BaseException as error:  # noqa: BLE001 - nobody else is there to take it
            self.fail(error)

    def _told(
        self, work: Work, folder: Folder, parcels: Sequence[_Parcel], answers: Sequence[Outcome]
    ) -> bool:
        """The target has answered: settle that. Returns whether this thread is to look for what is in doubt."""
        settled: list[_Parcel] = []
        doubtful: list[_Parcel] = []
        try:
            self._sort_out(work, parcels, answers, settled, doubtful)
        except BaseException:
            for parcel in parcels:
                self._release(parcel)
            settled.clear()  # whatever the ledger has not taken is "sending" there: the next start looks
            doubtful.clear()
            raise
        finally:
            with self._lock:
                looking = self._leave(work, folder, settled, doubtful)
        return looking

    def _sort_out(
        self,
        work: Work,
        parcels: Sequence[_Parcel],
        answers: Sequence[Outcome],
        settled: list[_Parcel],
        doubtful: list[_Parcel],
    ) -> None:
        """Settle what has an outcome, note what is in doubt, make due again what surely did not leave."""
        outcomes: list[Outcome] = []
        unsent: list[_Parcel] = []
        for parcel, outcome in zip(parcels, answers, strict=True):
            error = outcome.error
            if outcome.state is not State.FAILED:
                self._store_give_ups = 0
            elif isinstance(error, InDoubt):
                doubtful.append(parcel)
                continue
            elif isinstance(error, JobError | RunError | UserError):
                unsent.append(parcel)
                self.fail(error)
                continue
            elif isinstance(error, Transient):
                if self._halting():
                    unsent.append(parcel)
                    continue
                self._store_give_ups += 1
                if self._store_give_ups >= GIVE_UPS:
                    self.fail(_outage("target", error))
            settled.append(parcel)
            if parcel.item.notes and outcome.state is State.COPIED:
                outcome = replace(outcome, notes=(*parcel.item.notes, *outcome.notes))
            outcomes.append(outcome)
        for parcel in settled:
            self._release(parcel)
        if outcomes:
            self._settle(work, outcomes)
        if unsent:
            for parcel in unsent:
                self._release(parcel)
            self.incomplete = True
            self._unsent(unsent)
            if isinstance(self.error, JobError) and self.error.code == FOLDER_GONE:
                self._ledger.set_target(self.lease, work.folder.id, None)  # made anew by the next run

    def _leave(
        self, work: Work, folder: Folder, settled: Sequence[_Parcel], doubtful: Sequence[_Parcel]
    ) -> bool:
        """Count off what is settled; returns whether this thread is to look for what is in doubt. Under the lock."""
        self._inflight[folder.id] -= 1
        looking = False
        if doubtful:
            self._doubtful[folder.id].extend(doubtful)
            if folder.id not in self._barred:
                self._barred.add(folder.id)
                looking = True
        if not looking:
            self._busy -= 1
        if self._barred or (self._closed and not self._queue):
            self._filled.notify_all()
        by_page: dict[int, tuple[_Page, list[str]]] = {}
        for parcel in settled:
            by_page.setdefault(id(parcel.page), (parcel.page, []))[1].append(parcel.item.ref.id)
        for page, ids in by_page.values():
            self._count_off(work, page, ids)
        return looking

    def _ask(self, target: Target, folder: Folder, parcels: Sequence[_Parcel]) -> list[Outcome]:
        """Store; every way in which the call itself can fail becomes an outcome of each item."""
        items = [parcel.item for parcel in parcels]
        error: Exception
        try:
            if any(parcel.replaces for parcel in parcels):
                outcomes = target.store(folder, items, [parcel.replaces for parcel in parcels])
            else:
                outcomes = target.store(folder, items)
            if len(outcomes) == len(items):
                return outcomes
            error = InDoubt("the target answered for another number of items than sent")
        except MigratorError as raised:
            error = raised
        except Exception as raised:  # a defect must not lose an item that may be stored
            log.exception("job %s: store failed", self.job.id)
            error = InDoubt(f"unexpected {type(raised).__name__}", code="unexpected")
        return [Outcome(item.ref, State.FAILED, error=error) for item in items]

    # --------------------------------------------------------------- in doubt

    def _look(self, target: Target, folder: Folder) -> None:
        """Settle every parcel in doubt in a target folder: wait until nothing is under way there, then look."""
        with self._lock:
            while self._inflight[folder.id] > 0:
                self._filled.wait(0.5)
            parcels = self._doubtful.pop(folder.id, [])
        if self._halting():
            with self._lock:
                self._doubtful[folder.id].extend(parcels)  # in doubt they stay; the next start looks
            return
        try:
            self._look_for(target, folder, parcels)
        except BaseException:
            with self._lock:
                self._doubtful[folder.id].extend(p for p in parcels if p.octets)
            raise

    def _look_for(self, target: Target, folder: Folder, parcels: Sequence[_Parcel]) -> None:
        # Several source folders may go to this one: the earliest mark lists the arrivals of all of them.
        works: dict[str, Work] = {parcel.work.folder.id: parcel.work for parcel in parcels}
        by_work = {key: [p for p in parcels if p.work is work] for key, work in works.items()}
        claimed = self._claimed(folder.id)
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

    def _apply_look(self, work: Work, parcels: Sequence[_Parcel], found: Found) -> None:
        again: list[_Parcel] = []
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
                self._store_give_ups = 0
            elif self._halting():
                # The grace time may have been cut short: still in doubt, the next start looks.
                with self._lock:
                    self._doubtful[parcel.target_id].append(parcel)
                continue
            elif parcel.doubts + 1 >= DOUBTS:
                error = ItemError(
                    "the target never answered for this item and does not hold it", code="in_doubt"
                )
                outcome = Outcome(parcel.item.ref, State.FAILED, error=error)
                self._store_give_ups += 1
                if self._store_give_ups >= GIVE_UPS:
                    self.fail(_outage("target", error))
            else:
                parcel.doubts += 1
                again.append(parcel)
                continue
            self._release(parcel)
            self._done(work, parcel.page, [outcome])
        if found.mark is not None and found.mark != work.mark:
            # Behind the settles in the ledger's queue: what this look has seen is accounted for when the mark moves.
            self._ledger.set_mark(self.lease, work.folder.id, found.mark)
            work.mark = found.mark
        if again and not found.found and not self._halting():
            worst = max(parcel.doubts for parcel in again)
            self._tools.clock.sleep(DOUBT_PAUSES_S[min(worst, len(DOUBT_PAUSES_S)) - 1])
        with self._lock:
            self._queue.extendleft(reversed(again))
        self._tools.emit(Settled(self.job.id, work.folder.path, len(parcels) - len(again), len(again)))

    def _settle_leftovers(self, row: FolderRow, entries: Sequence[Entry], rows: Iterable[FolderRow]) -> None:
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
                    self._claimed(row.target_id),
                    self._tools.clock,
                    grace_s=self._tools.grace_s,
                    alike=self._alike(self._target, folder, [e.ref(row.path) for e in entries]),
                )
            except JobError as error:
                if error.code != FOLDER_GONE:
                    raise
                self._ledger.set_target(self.lease, row.source_id, None)  # and what was in it is gone too
        outcomes = [
            Outcome(e.ref(row.path), State.COPIED, *found.found[e.source_id], octets=e.size or 0)
            for e in entries
            if e.source_id in found.found
        ]
        lost = [e.source_id for e in entries if e.source_id not in found.found]
        if outcomes:
            self._settle(work, outcomes)
        if self._halting():
            raise Halt  # the grace time may have been cut short: what was not found stays in doubt
        if lost:
            self._ledger.revive(self.lease, row.source_id, lost)
        if found.mark is not None and found.mark != row.mark:
            self._ledger.set_mark(self.lease, row.source_id, found.mark)
        self._tools.emit(Settled(self.job.id, row.path, len(outcomes), len(lost)))

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
                    self._other_source = self._tools.open_source(self.job)
                one = _bytes_of(self._other_source.export([ref], Format.FTS))
            there = ItemRef(target_id, folder.path, ref.kind, "")
            other = _bytes_of(target.export([there], Format.FTS))
            if one is None or other is None:
                return None
            return True if one == other else compare(one, other)

        return alike


def batches(sends: Sequence[Send], items: int, octets: int) -> Iterator[list[Send]]:
    """In order, at most so many items and octets (by the size listed) each; a larger item is a batch of its own."""
    batch: list[Send] = []
    size = 0
    for send in sends:
        more = send.ref.size if send.ref.size is not None else UNKNOWN_SIZE
        if batch and (len(batch) >= items or size + more > octets):
            yield batch
            batch, size = [], 0
        batch.append(send)
        size += more
    if batch:
        yield batch


def _parts(sends: Iterable[Send], most: int) -> Iterator[list[Send]]:
    part: list[Send] = []
    for send in sends:
        part.append(send)
        if len(part) >= most:
            yield part
            part = []
    if part:
        yield part


def _expected_octets(ref: ItemRef) -> int:
    """Content in memory is base64 (four octets for three) and a little larger than listing says for small items."""
    size = ref.size if ref.size is not None else UNKNOWN_SIZE
    return size * 4 // 3 + 2048


def _outage(side: str, error: MigratorError) -> JobError:
    outage = JobError(
        f"the {side} failed {GIVE_UPS} times in a row: {error.message}",
        code=error.code,
        remedy=error.remedy or f"Run the same command again when the {side} answers.",
    )
    outage.endpoint = error.endpoint
    return outage


def _unwanted(ref: ItemRef, item: Item) -> Outcome:
    """Read in a form that the target does not take, because the right one could not be had: what counts is why not."""
    if isinstance(item.spoilt, SkipReason):
        return Outcome(ref, State.SKIPPED, reason=item.spoilt, notes=item.notes)
    error = item.spoilt or ItemError(
        f"the source gave this item as {item.format.value}, which the target does not take", code="format"
    )
    return Outcome(ref, State.FAILED, error=error, notes=item.notes)


def _printed(ref: ItemRef) -> ItemRef:
    return ref if ref.fingerprint else replace(ref, fingerprint=fingerprint(ref))


def _release_all(results: Iterable[Item | Outcome]) -> None:
    for result in results:
        if isinstance(result, Item):
            result.content.release()


def _bytes_of(results: Sequence[Item | Outcome]) -> bytes | None:
    if len(results) != 1 or not isinstance(results[0], Item):
        return None
    content = results[0].content
    data = b"".join(content.pieces())
    content.release()
    return data


def _all_refs(target: Target, folder: Folder) -> Iterator[ItemRef]:
    after: Checkpoint | None = None
    while True:
        page = target.page(folder, after)
        yield from page.refs
        if page.last:
            return
        if not page.refs and page.checkpoint == after:
            raise JobError("the target's listing of a folder does not go on", code="no_progress")
        after = page.checkpoint
