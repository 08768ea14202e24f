"""The uploaders of one mailbox: threads that take parcels from the belt and store them, each with a handle of its own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from migrator import lull, several
from migrator.engine import pool
from migrator.engine.belt import Belt
from migrator.engine.parcels import PageState, Parcel, Work
from migrator.engine.tools import Tools
from migrator.engine.unanswered import FOLDER_GONE, GIVE_UPS, Unanswered, outage
from migrator.errors import InDoubt, JobError, RunError, Transient, UserError
from migrator.interfaces import Target
from migrator.model import Folder, Item, Outcome, State

log = logging.getLogger(__name__)


class Uploaders:
    """Started as there is work for them, at most `most` of them."""

    def __init__(self, belt: Belt, unanswered: Unanswered, tools: Tools, most: int) -> None:
        self._belt = belt
        self._unanswered = unanswered
        self._tools = tools
        self._ledger = tools.ledger
        self._most = most
        self._workers: list[pool.Worker] = []

    def wanted(self) -> None:
        """Parcels wait. Called by the reader alone."""
        wanted = min(self._belt.requests(), self._most)
        while len(self._workers) < wanted:
            number = len(self._workers) + 1
            self._workers.append(pool.start(f"upload-{self._belt.job.id}-{number}", self._upload))

    def join(self) -> bool:
        """Wait until all have ended, which they do when the belt is closed. False: left after a second request to stop."""
        for worker in self._workers:
            while not worker.join(0.5):
                if self._tools.stop.now:
                    return False
            if worker.error is not None:
                self._belt.fail(worker.error)
        return True

    def _upload(self) -> None:
        """One uploader: a handle of its own, parcels until there are no more."""
        try:
            target = self._tools.open_target(self._belt.job)
            try:
                while runs := self._next(wait=False) or self._next():
                    self._store(target, runs)
            finally:
                lull.now()
                target.close()
        except BaseException as error:  # noqa: BLE001 - an uploader's error is the mailbox's
            self._belt.fail(error)

    def _next(self, *, wait: bool = True) -> list[list[Parcel]]:
        """The next parcels, by folder, or none when there will be no more. Not waiting: none when there are none now."""
        if wait:
            lull.now()
        with self._belt.lock:
            while True:
                if self._belt.halting():
                    return []
                if self._belt.queue and self._belt.queue[0].target_id not in self._belt.barred:
                    break
                if not wait:
                    return []
                if self._belt.closed and not self._belt.queue and not self._belt.busy:
                    self._belt.filled.notify_all()
                    return []
                self._belt.filled.wait()
            runs = self._belt.take()
            for parcels in runs:
                self._belt.inflight[parcels[0].target_id] += 1
            self._belt.busy += len(runs)
            return runs

    def _store(self, target: Target, runs: list[list[Parcel]]) -> None:
        try:
            for parcels in runs:
                self._await_intent(parcels)
            answers = self._ask(target, runs)
        except BaseException:
            for parcels in runs:
                self._belt.release(*parcels)
                with self._belt.lock:
                    self._leave(parcels[0].work, _folder(parcels), [], [])
            raise
        smooth: list[tuple[list[Parcel], list[Outcome]]] = []
        rough: list[tuple[list[Parcel], list[Outcome]]] = []
        for parcels, outcomes in zip(runs, answers, strict=True):
            copied = all(outcome.state is State.COPIED for outcome in outcomes)
            (smooth if copied else rough).append((parcels, outcomes))
        if smooth:
            # Book-keeping waits until the next request has left: until then a connection stands idle. Content does not.
            self._belt.release(*(parcel for parcels, _ in smooth for parcel in parcels))
            lull.later(lambda: self._note(smooth))
        if rough:
            lull.now()
            self._settle_rough(target, rough)

    def _settle_rough(self, target: Target, answered: Sequence[tuple[list[Parcel], list[Outcome]]]) -> None:
        """Not all of it was copied: settle what is told, then look for what is in doubt."""
        error: BaseException | None = None
        looking: list[Folder] = []
        for (
            parcels,
            outcomes,
        ) in answered:  # all of them, whatever befalls one: others may wait for these folders
            try:
                if self._told(parcels[0].work, _folder(parcels), parcels, outcomes):
                    looking.append(_folder(parcels))
            except BaseException as raised:  # noqa: BLE001 - raised below
                error = error or raised
        for folder in looking:
            try:
                if error is None:
                    self._unanswered.settle(target, folder)
            except BaseException as raised:  # noqa: BLE001 - raised below
                error = raised
            finally:
                with self._belt.lock:
                    self._belt.barred.discard(folder.id)
                    self._belt.busy -= 1
                    self._belt.filled.notify_all()
        if error is not None:
            raise error

    @staticmethod
    def _await_intent(parcels: Sequence[Parcel]) -> None:
        """Before the first octet leaves, the folder's mark and the intents are durable."""
        for ticket in dict.fromkeys((parcels[0].work.mark_noted, *(parcel.ticket for parcel in parcels))):
            if ticket is None:
                continue
            if not ticket.done():
                lull.now()
            ticket.wait()

    def _note(self, stored: Sequence[tuple[list[Parcel], list[Outcome]]]) -> None:
        for parcels, outcomes in stored:
            try:
                self._told(parcels[0].work, _folder(parcels), parcels, outcomes)
            except BaseException as error:  # noqa: BLE001 - nobody else is there to take it
                self._belt.fail(error)

    def _told(
        self, work: Work, folder: Folder, parcels: Sequence[Parcel], answers: Sequence[Outcome]
    ) -> bool:
        """The target has answered: settle that. Returns whether this thread is to look for what is in doubt."""
        settled: list[Parcel] = []
        doubtful: list[Parcel] = []
        try:
            self._sort_out(work, parcels, answers, settled, doubtful)
        except BaseException:
            self._belt.release(*parcels)
            settled.clear()  # whatever the ledger has not taken is "sending" there: the next start looks
            doubtful.clear()
            raise
        finally:
            with self._belt.lock:
                looking = self._leave(work, folder, settled, doubtful)
        return looking

    def _sort_out(
        self,
        work: Work,
        parcels: Sequence[Parcel],
        answers: Sequence[Outcome],
        settled: list[Parcel],
        doubtful: list[Parcel],
    ) -> None:
        """Settle what has an outcome, note what is in doubt, make due again what surely did not leave."""
        outcomes: list[Outcome] = []
        unsent: list[Parcel] = []
        for parcel, outcome in zip(parcels, answers, strict=True):
            error = outcome.error
            if outcome.state is not State.FAILED:
                self._unanswered.give_ups = 0
            elif isinstance(error, InDoubt):
                doubtful.append(parcel)
                continue
            elif isinstance(error, JobError | RunError | UserError):
                unsent.append(parcel)
                self._belt.fail(error)
                continue
            elif isinstance(error, Transient):
                if self._belt.halting():
                    unsent.append(parcel)
                    continue
                self._unanswered.give_ups += 1
                if self._unanswered.give_ups >= GIVE_UPS:
                    self._belt.fail(outage("target", error))
            settled.append(parcel)
            if parcel.item.notes and outcome.state is State.COPIED:
                outcome = replace(outcome, notes=(*parcel.item.notes, *outcome.notes))
            outcomes.append(outcome)
        self._belt.release(*settled)
        if outcomes:
            self._belt.settle(work, outcomes)
        if unsent:
            self._belt.release(*unsent)
            self._belt.incomplete = True
            self._belt.unsent(unsent)
            if isinstance(self._belt.error, JobError) and self._belt.error.code == FOLDER_GONE:
                self._ledger.set_target(self._belt.lease, work.folder.id, None)  # made anew by the next run

    def _leave(
        self, work: Work, folder: Folder, settled: Sequence[Parcel], doubtful: Sequence[Parcel]
    ) -> bool:
        """Count off what is settled; returns whether this thread is to look for what is in doubt. Under the lock."""
        self._belt.inflight[folder.id] -= 1
        looking = False
        if doubtful:
            self._belt.doubtful[folder.id].extend(doubtful)
            if folder.id not in self._belt.barred:
                self._belt.barred.add(folder.id)
                looking = True
        if not looking:
            self._belt.busy -= 1
        if self._belt.barred or (self._belt.closed and not self._belt.queue):
            self._belt.filled.notify_all()
        by_page: dict[int, tuple[PageState, list[str]]] = {}
        for parcel in settled:
            by_page.setdefault(id(parcel.page), (parcel.page, []))[1].append(parcel.item.ref.id)
        for page, ids in by_page.values():
            self._belt.count_off(work, page, ids)
        return looking

    def _ask(self, target: Target, runs: Sequence[Sequence[Parcel]]) -> list[list[Outcome]]:
        """Store; every way in which the call itself can fail becomes an outcome of each item."""
        if len(runs) > 1:
            batches = [(_folder(parcels), [parcel.item for parcel in parcels]) for parcels in runs]
            return several.all_told(target.store_all, batches)
        (parcels,) = runs
        replaces = [parcel.replaces for parcel in parcels] if any(p.replaces for p in parcels) else None

        def store(folder: Folder, items: Sequence[Item]) -> list[Outcome]:
            return target.store(folder, items, replaces) if replaces else target.store(folder, items)

        return [several.told(store, _folder(parcels), [parcel.item for parcel in parcels])]


def _folder(parcels: Sequence[Parcel]) -> Folder:
    """Where they go."""
    folder = parcels[0].work.target
    assert folder is not None
    return folder
