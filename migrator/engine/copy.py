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
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from migrator.engine.belt import QUEUE_ITEMS, Belt, Halt
from migrator.engine.decide import (
    BY_SETTINGS,
    WAS_THERE,
    Chosen,
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
from migrator.engine.doubt import Evidence, match, of_ref
from migrator.engine.parcels import PageState, Parcel, Work, expected_octets, release_all, size_of
from migrator.engine.portions import batches, listed, parts
from migrator.engine.routes import PLAIN, Routes
from migrator.engine.tools import Tools
from migrator.engine.unanswered import FOLDER_GONE, GIVE_UPS, Unanswered, outage
from migrator.engine.uploaders import Uploaders
from migrator.errors import (
    CheckpointLost,
    ItemError,
    JobError,
    MigratorError,
    RunError,
    Transient,
    UserError,
)
from migrator.events import FolderFinished, FolderStarted, Notice
from migrator.formats.fingerprint import fingerprint
from migrator.interfaces import Source, Target
from migrator.ledger import Entry, FolderRow, Lease
from migrator.model import (
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
        self.target = target
        self.departed: Departed | None = None  # on a later pass: what left its place at the source
        self._source = source
        self._target = target
        self._tools = tools
        self._ledger = tools.ledger
        self._settings = tools.settings
        self._rules = rules
        self._format = fmt
        self._routes = routes
        self._belt = Belt(job, lease, tools, routes, target.traits)
        self._unanswered = Unanswered(self._belt, source, target, tools)
        most = max(1, min(tools.settings.uploaders, target.traits.connections))
        self._uploaders = Uploaders(self._belt, self._unanswered, tools, most)
        self._export_give_ups = 0
        self._tried: dict[
            str, str
        ] = {}  # source id → version of what earlier runs left open and this one tried
        self._due: dict[str, list[Entry]] = {}
        self._by_settings = False

    @property
    def error(self) -> JobError | RunError | UserError | None:
        return self._belt.error

    @property
    def incomplete(self) -> bool:
        """Something that was read has no outcome yet: the next run goes on with it."""
        return self._belt.incomplete

    def fail(self, error: BaseException) -> None:
        """Stop this mailbox. Called from any thread; the first error counts."""
        self._belt.fail(error)

    def wake(self) -> None:
        """Let everybody who waits look whether to go on."""
        self._belt.wake()

    def prepare(self, rows: dict[str, FolderRow]) -> None:
        """Settle what an earlier run left in doubt, and find what is to be tried again. Before the first folder."""
        doubtful: dict[str, list[Entry]] = defaultdict(list)
        for entry in self._ledger.sending(self.job.id):
            doubtful[entry.folder_id].append(entry)
        for folder_id, entries in doubtful.items():
            self._belt.check()
            self._unanswered.leftovers(rows[folder_id], entries)
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
        self._belt.check()
        self._tools.emit(FolderStarted(self.job.id, work.folder.path))
        self._leftovers(work)
        after = work.checkpoint
        lost = False
        while True:
            self._belt.check()
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
        self._belt.close()
        if not self._uploaders.join():
            return
        self._belt.clear()
        self._unanswered.close()
        self._ledger.flush()
        self._tools.announcer.drain()

    def _leftovers(self, work: Work) -> None:
        due = [
            entry for entry in self._due.pop(work.folder.id, []) if entry.source_id not in self._belt.underway
        ]
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
        page: PageState | None = None
        if sends:
            self._tried |= {send.ref.id: send.ref.version for send in sends}
            page = self._belt.open_page(work, len(sends))
            self._send(work, page, sends)
        if self._by_settings and work.listed:
            for part in parts(self._revived(work), QUEUE_ITEMS):
                if page is None:
                    page = self._belt.open_page(work, 0)
                with self._belt.lock:
                    page.open += len(part)
                self._send(work, page, part)
        if page is not None:
            self._belt.close_page(work, page)

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
            state = self._belt.open_page(work, 0, page)
            self._belt.close_page(work, state)
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
        state = self._belt.open_page(work, len(chosen.send), page)
        if chosen.skipped:
            self._belt.settle(work, [replace(o, ref=_printed(o.ref)) for o in chosen.skipped])
        sends = chosen.send
        if sends and not work.listed and self._settings.find_present:
            sends = self._without_present(work, state, sends)
        if sends:
            self._send(work, state, sends)
        self._belt.close_page(work, state)

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
        if not self._belt.underway:
            return
        ids = {ref.id for ref in refs}
        with self._belt.lock:
            while not self._belt.underway.isdisjoint(ids):
                if self._belt.halting():
                    raise Halt
                self._belt.room.wait(0.5)

    def _send(self, work: Work, page: PageState, sends: Sequence[Send]) -> None:
        if work.target is None:
            error = work.refusal or ItemError("the target will not have this folder", code="folder_refused")
            self._belt.done(work, page, [Outcome(send.ref, State.FAILED, error=error) for send in sends])
            return
        self._ready(work)
        traits = self._source.traits
        for batch in batches(
            sends,
            lambda send: size_of(send.ref),
            items=min(self._settings.batch_items or traits.usual_items, traits.export_items),
            octets=min(self._settings.batch_octets, traits.export_octets),
        ):
            self._belt.check()
            self._export(work, page, batch)

    def _ready(self, work: Work) -> None:
        """Before the first write to a folder: a mark, from which arrivals can be listed. The uploaders wait until it is durable."""
        assert work.target is not None
        if work.marked:
            return
        if work.mark is None:
            work.mark = self._target.mark(work.target)
            work.mark_noted = self._ledger.set_mark(self.lease, work.folder.id, work.mark)
        work.marked = True

    def _export(self, work: Work, page: PageState, batch: Sequence[Send]) -> None:
        expected = sum(expected_octets(send.ref) for send in batch)
        if not self._belt.account.acquire(expected, self._belt.halting):
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
            self._belt.account.adjust(actual - held)
            held = actual
            if outcomes:
                self._belt.done(work, page, outcomes)
            if parcels:
                self._enqueue(work, page, parcels)
                held = 0
        finally:
            self._belt.account.release(held)

    def _enqueue(self, work: Work, page: PageState, sendable: Sequence[tuple[Send, Item]]) -> None:
        assert work.target is not None
        refs = [send.ref for send, _ in sendable]
        ticket = self._ledger.begin(self.lease, work.folder.id, refs, page=page.number)
        parcels = []
        for send, item in sendable:
            taken = item.path or PLAIN.get(item.format, Path.MIME)
            if taken is not self._routes.of(send.ref.kind).path:
                self._belt.detours[send.ref.id] = taken
            if item.ref is not send.ref:
                item = replace(item, ref=send.ref)
            if send.was_there:
                item = replace(item, notes=(*item.notes, WAS_THERE))
            parcels.append(Parcel(work, page, item, send.replaces, ticket, item.content.size, work.target.id))
        self._belt.put(parcels)
        self._uploaders.wanted()
        self._belt.wait_for_room()

    def _read(self, refs: Sequence[ItemRef]) -> list[Item | Outcome]:
        """Export; what fails as a whole is halved until the item that it is about stands alone."""
        try:
            results = self._source.export(refs, self._format)
            if [result.ref.id for result in results] != [ref.id for ref in refs]:
                release_all(results)
                raise ItemError("the source answered for other items than asked", code="export_mismatch")
        except (JobError, RunError, UserError):
            raise
        except Exception as error:
            if self._belt.halting():
                raise Halt from None
            if len(refs) > 1:
                middle = len(refs) // 2
                first = self._read(refs[:middle])
                try:
                    return first + self._read(refs[middle:])
                except BaseException:
                    release_all(first)
                    raise
            if not isinstance(error, MigratorError):
                log.exception("job %s: export of an item failed", self.job.id)
                error = ItemError(f"unexpected {type(error).__name__} on export", code="unexpected")
            if isinstance(error, Transient):
                self._export_give_ups += 1
                if self._export_give_ups >= GIVE_UPS:
                    raise outage("source", error) from None
            return [Outcome(refs[0], State.FAILED, error=error)]
        self._export_give_ups = 0
        return results

    def _without_present(self, work: Work, page: PageState, sends: list[Send]) -> list[Send]:
        """First pass over a folder that is not empty in the target: what is there already is not sent again."""
        if work.target is None:
            return sends
        if work.present is None:
            work.present = self._list_present(work, work.target) if work.target.total != 0 else {}
        if work.nameless:
            self._warn_of_nameless(work, sends)
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
        self._belt.done(work, page, outcomes)
        return rest

    def _warn_of_nameless(self, work: Work, sends: Sequence[Send]) -> None:
        """Only content could tell such items apart, and a run does not read the target's: `rebuild` does."""
        ours = sum(1 for send in sends if send.replaces is None and not send.ref.fingerprint)
        if not ours:
            return
        there, work.nameless = work.nameless, 0  # told once a folder
        self._tools.emit(
            Notice(
                "warning",
                f"{'/'.join(work.folder.path)}: items with neither Message-ID nor subject and date are copied although the target's folder holds"
                f" such items ({there}) that this ledger does not know; if a ledger was lost, stop and run migrator rebuild",
                self.job.id,
            )
        )

    def _list_present(self, work: Work, target: Folder) -> dict[str, Evidence]:
        """Target items that the ledger does not account for and that a fingerprint can tell.

        Nothing of ours may be under way to the folder meanwhile: it would be taken for something that was there.
        """
        self._ready(work)
        with self._belt.lock:
            while (
                self._belt.inflight[target.id]
                or target.id in self._belt.barred
                or any(parcel.target_id == target.id for parcel in self._belt.queue)
            ):
                if self._belt.halting():
                    raise Halt
                self._belt.room.wait(0.05)
        claimed = self._belt.claimed(target.id)
        there = [
            of_ref(ref)
            for ref in listed(self._target, target, what="the target's listing")
            if ref.id not in claimed
        ]
        work.nameless = sum(1 for one in there if not one.fingerprint)
        return {one.id: one for one in there if one.fingerprint}


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
