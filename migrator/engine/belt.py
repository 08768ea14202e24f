"""What the reader and the uploaders of one mailbox share: the queue between them, what is under way, and how far each page is.

One lock guards queue, pages and folders; reader and uploaders wait on conditions of their own. Methods that say so are called under
it. The rules that hold at every instant stand in `engine.copy`.
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict, deque
from collections.abc import Sequence

from migrator.engine.parcels import PageState, Parcel, Work
from migrator.engine.routes import Routes
from migrator.engine.tools import Tools, error_of
from migrator.errors import JobError, MigratorError, RunError, Transient, UserError
from migrator.events import FolderFinished
from migrator.interfaces import TargetTraits
from migrator.ledger import Lease
from migrator.model import Job, Kind, Outcome, Path
from migrator.model import Page as Listed

log = logging.getLogger(__name__)

QUEUE_ITEMS = 400
"""Most items waiting to be stored, per mailbox: bounds what is in doubt after a crash, and how long a look takes."""
LOW = 0.75
"""The reader goes on when the queue is filled to this share."""


class Halt(Exception):
    """The reader leaves: a stop was requested, or another thread has the error. No error itself."""


class Belt:
    """Between one reader and some uploaders."""

    def __init__(self, job: Job, lease: Lease, tools: Tools, routes: Routes, traits: TargetTraits) -> None:
        """traits: of the target, which say how much goes in one request."""
        self.job = job
        self.lease = lease
        self.routes = routes
        self.error: JobError | RunError | UserError | None = None
        self.incomplete = False
        self._tools = tools
        self._ledger = tools.ledger
        self.account = tools.budget.account(
            max(
                2 * tools.settings.batch_octets,
                tools.settings.inflight_octets // max(2, tools.settings.mailboxes),
            )
        )
        self.lock = threading.Lock()
        self.room = threading.Condition(self.lock)  # the queue got shorter
        self.filled = threading.Condition(self.lock)  # there may be something to store
        self.queue: deque[Parcel] = deque()
        self.octets = 0  # of content in the queue
        self._traits = traits
        # Where a request takes several items, one that waits beside the one under way is enough; items that go one by one are
        # bounded by the budget.
        several = self._traits.store_items > 1
        self._octets_most = self._traits.request_octets if several else 1 << 62
        self.closed = False
        self.busy = 0  # uploaders between taking a parcel and giving its outcome
        self.inflight: dict[str, int] = defaultdict(int)  # by target folder id
        self.barred: set[str] = set()  # target folders that are being looked into
        self.doubtful: dict[str, list[Parcel]] = defaultdict(list)
        self.underway: set[str] = set()  # source ids begun without an outcome
        self.detours: dict[str, Path] = {}  # source id → path, where it is not that of its kind
        self.reader_waits = False
        self._usual: dict[Kind, str] = {}  # the path of items of a kind, in the ledger's word

    def fail(self, error: BaseException) -> None:
        """Stop this mailbox. Called from any thread; the first error counts."""
        if isinstance(error, Halt) or (isinstance(error, Transient) and self._tools.stop.requested):
            return  # a wait that a stop has cut short: what was under way stays open
        if not isinstance(error, MigratorError):
            log.error("job %s: %s", self.job.id, type(error).__name__, exc_info=error)
        with self.lock:
            if self.error is None:
                self.error = error if isinstance(error, UserError) else error_of(error)
        self.wake()

    def wake(self) -> None:
        """Let everybody who waits look whether to go on."""
        with self.lock:
            self.room.notify_all()
            self.filled.notify_all()
        self._tools.budget.wake()

    def halting(self) -> bool:
        return self.error is not None or self._tools.stop.requested

    def check(self) -> None:
        if self.halting():
            raise Halt

    def put(self, parcels: Sequence[Parcel]) -> None:
        """At the end of the queue. They count as under way from now on."""
        ids = [parcel.item.ref.id for parcel in parcels]
        octets = sum(parcel.octets for parcel in parcels)
        with self.lock:
            self.underway.update(ids)
            self.queue.extend(parcels)
            self.octets += octets
            self.filled.notify(len(parcels) if self._traits.store_items == 1 else self.requests())

    def put_back(self, parcels: Sequence[Parcel]) -> None:
        """At the front of the queue, in their order: they come next. Under the lock."""
        self.queue.extendleft(reversed(parcels))
        self.octets += sum(parcel.octets for parcel in parcels)

    def take(self) -> list[list[Parcel]]:
        """What goes in one request, by folder, from the front of the queue, which is not empty. Under the lock.

        More than one folder only where the target takes that, and then new items only.
        """
        queue, traits = self.queue, self._traits
        first = queue.popleft()
        runs = [[first]]
        octets, items = first.octets, 1
        several = traits.several_folders and first.replaces is None
        while items < traits.store_items and queue:
            one = queue[0]
            same = one.work is runs[-1][0].work
            if octets + one.octets > traits.request_octets or not (same or several):
                break
            if several and (one.replaces is not None or one.target_id in self.barred):
                break
            octets += one.octets
            items += 1
            if same:
                runs[-1].append(queue.popleft())
            else:
                runs.append([queue.popleft()])
        self.octets -= octets
        if self.reader_waits and self._room(LOW):
            self.room.notify_all()
        return runs

    def requests(self) -> int:
        """How many requests what waits would come to."""
        by_items = -(-len(self.queue) // self._traits.store_items)
        return max(by_items, self.octets // self._traits.request_octets) if self.queue else 0

    def _room(self, share: float) -> bool:
        return len(self.queue) < QUEUE_ITEMS * share and self.octets < self._octets_most * share

    def wait_for_room(self) -> None:
        """Returns at once while the queue is not full, else when there is room again."""
        with self.lock:
            if self._room(1.0):
                return
            self.reader_waits = True
            while not self._room(LOW) and not self.halting():
                self.room.wait(0.5)
            self.reader_waits = False

    def close(self) -> None:
        """Nothing more will be put."""
        with self.lock:
            self.closed = True
            self.filled.notify_all()

    def clear(self) -> None:
        """After the last uploader: what nobody took is due again, what is in doubt stays so, and no octet is held any more."""
        left, self.queue, self.octets = list(self.queue), deque(), 0
        self.incomplete = self.incomplete or bool(left) or any(self.doubtful.values())
        self.release(*left)
        for parcels in self.doubtful.values():
            self.release(*parcels)  # still "sending" in the ledger: the next start looks
        if left:
            self.unsent(left)

    def open_page(self, work: Work, items: int, page: Listed | None = None) -> PageState:
        if page is None:
            state = PageState(0, None, False, items)
        else:
            work.number += 1
            state = PageState(work.number, page.checkpoint, page.last, items)
        with self.lock:
            work.pages.append(state)
        return state

    def close_page(self, work: Work, page: PageState) -> None:
        with self.lock:
            page.read = True
            self._advance(work)

    def _advance(self, work: Work) -> None:
        """Move the checkpoint past every page at the front whose items all have outcomes. Under the lock."""
        passed: PageState | None = None
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

    def settle(self, work: Work, outcomes: Sequence[Outcome]) -> None:
        ticket = self._ledger.settle(self.lease, work.folder.id, outcomes, path_taken=self._path_of)
        self._tools.announcer.outcomes(ticket, self.job.id, work.folder.path, outcomes, self.fail)

    def _path_of(self, outcome: Outcome) -> str:
        """The path that an item took: noted when it was another than its kind's."""
        detour = self.detours.pop(outcome.ref.id, None) if self.detours else None
        if detour is not None:
            return detour.value
        usual = self._usual.get(outcome.ref.kind)
        if usual is None:
            path = self.routes.of(outcome.ref.kind).path
            usual = self._usual[outcome.ref.kind] = path.value if path is not None else ""
        return usual

    def done(self, work: Work, page: PageState, outcomes: Sequence[Outcome]) -> None:
        """Settle outcomes of a page's items and count them off."""
        self.settle(work, outcomes)
        with self.lock:
            self.count_off(work, page, [outcome.ref.id for outcome in outcomes])

    def count_off(self, work: Work, page: PageState, ids: Sequence[str]) -> None:
        self.underway.difference_update(ids)
        page.open -= len(ids)
        if page.open == 0:
            self._advance(work)
            self.room.notify_all()

    def unsent(self, parcels: Sequence[Parcel]) -> None:
        """Parcels that surely did not leave: due again, and no longer in doubt."""
        by_folder: dict[str, list[str]] = defaultdict(list)
        for parcel in parcels:
            by_folder[parcel.work.folder.id].append(parcel.item.ref.id)
        for folder_id, ids in by_folder.items():
            self._ledger.revive(self.lease, folder_id, ids)

    def release(self, *parcels: Parcel) -> None:
        """Give their content back, and its octets to the budget. Safe to repeat."""
        octets = 0
        for parcel in parcels:
            parcel.item.content.release()
            octets += parcel.octets
            parcel.octets = 0
        if octets:
            self.account.release(octets)

    def claimed(self, target_folder_id: str) -> set[str]:
        """Target ids that the ledger accounts for in a target folder, whichever source folders go there."""
        claimed: set[str] = set()
        for row in self._ledger.folders(self.job.id):
            if row.target_id == target_folder_id:
                claimed |= self._ledger.claimed_targets(self.job.id, row.source_id)
        return claimed
