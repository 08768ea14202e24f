"""Repeats what is safe to repeat.

`Transient` is repeated, with growing waits, full jitter and the server's own wish where it has one; of a batch only the
items that it befell. `InDoubt` and everything else is handed up. Bounds: `Limits.tries` calls and `Limits.give_up_s`
seconds; throttling counts for neither, because waiting for a server that asks for time is no failure. An endpoint that
cannot be reached (`SourceDown`) is repeated once it has answered before; at the first contact it is told at once.

Stands outside the governor's slot: who sleeps here holds none.
See: aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from migrator import several
from migrator.errors import MigratorError, SourceDown, Throttled, Transient
from migrator.events import Waiting
from migrator.interfaces import Clock, Emit, Probe, Reader, Standing, Target, Wanted
from migrator.model import (
    Checkpoint,
    Folder,
    FolderPath,
    Format,
    Item,
    ItemRef,
    Kind,
    Outcome,
    Page,
    Role,
    State,
)
from migrator.settings import Limits
from migrator.wrappers.governor import safe_words
from migrator.wrappers.handed import HandedSource, HandedTarget

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")
R = TypeVar("R", bound=Item | Outcome)

FIRST_S = 2.0
MOST_S = 60.0
THROTTLED_MOST_S = 12 * 3600.0
"""How long one call may be throttled all in all: nobody waits forever for a server that has forgotten us."""
_TELL_S = 1.0


class Patience:
    """How often and how long one mailbox's calls are repeated. Shared by all its handles of one side."""

    def __init__(
        self,
        limits: Limits,
        clock: Clock,
        *,
        emit: Emit = lambda event: None,
        endpoint: str = "",
        job: str = "",
        stopped: Callable[[], bool] = lambda: False,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._emit = emit
        self._endpoint = endpoint
        self._job = job
        self._stopped = stopped
        self._chance = chance
        self._answered = False

    def call(self, attempt: Callable[[], T]) -> T:
        """Call, and repeat while that is right. Raises what the last attempt raised."""
        try:
            try:
                result = attempt()
            except (Transient, SourceDown) as error:
                if not self._repeatable(error):
                    raise
                return self._repeat(attempt, error)
        except MigratorError as error:
            error.endpoint = error.endpoint or self._endpoint
            raise
        self._answered = True
        return result

    def _repeatable(self, error: BaseException) -> bool:
        return isinstance(error, Transient) or (isinstance(error, SourceDown) and self._answered)

    def _repeat(self, attempt: Callable[[], T], first: MigratorError) -> T:
        # A run in which nothing fails does without; it loads asyncio, too.
        from tenacity import Retrying, retry_if_exception

        course = _Course(self, first)
        retrying = Retrying(
            sleep=course.sleep,
            stop=course.stop,
            wait=course.wait,
            retry=retry_if_exception(self._repeatable),
            before_sleep=course.tell,
            reraise=True,
        )
        result: T = retrying(course.replay, attempt)
        self._answered = True
        return result


class _Course:
    """One call's repetitions. The first failure has happened already: it is replayed, so that tenacity counts it."""

    def __init__(self, patience: Patience, first: MigratorError) -> None:
        self._p = patience
        self._first: MigratorError | None = first
        self._started = patience._clock.monotonic()
        self._throttled_s = 0.0
        self._failures = 0

    def replay(self, attempt: Callable[[], T]) -> T:
        first, self._first = self._first, None
        try:
            if first is not None:
                raise first
            return attempt()
        except Throttled:
            raise
        except MigratorError:
            self._failures += 1
            raise

    def stop(self, state: RetryCallState) -> bool:
        error = _error(state)
        if self._p._stopped():
            return True
        if isinstance(error, Throttled):
            return self._throttled_s > THROTTLED_MOST_S
        elapsed = self._p._clock.monotonic() - self._started - self._throttled_s
        limits = self._p._limits
        return self._failures >= limits.tries or elapsed + self._wish(error) > limits.give_up_s

    def wait(self, state: RetryCallState) -> float:
        error = _error(state)
        wish = self._wish(error)
        if wish:
            return wish + min(3.0, 0.1 * wish) * self._p._chance()
        doublings = min(max(self._failures, 1) - 1, 10)
        return min(MOST_S, FIRST_S * float(2**doublings)) * self._p._chance()

    @staticmethod
    def _wish(error: BaseException | None) -> float:
        wish = error.retry_after_s if isinstance(error, Transient) else None
        return max(0.0, wish or 0.0)

    def tell(self, state: RetryCallState) -> None:
        error = _error(state)
        wait = state.next_action.sleep if state.next_action is not None else 0.0
        if isinstance(error, Throttled):
            self._throttled_s += wait
            return  # the governor has told it
        if wait < _TELL_S or not isinstance(error, MigratorError):
            return
        p = self._p
        now = p._clock.now()
        reason = "source_down" if isinstance(error, SourceDown) else "retry"
        p._emit(Waiting(p._job, p._endpoint, reason, safe_words(error.message), now + wait, now))

    def sleep(self, seconds: float) -> None:
        self._p._clock.sleep(seconds)
        if self._p._stopped():
            raise Transient("the run was asked to stop while this call waited", code="stopped")


def _error(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()


class RetryingSource(HandedSource):
    def __init__(self, inner: Reader, patience: Patience) -> None:
        super().__init__(inner)
        self._patience = patience

    def probe(self) -> Probe:
        return self._patience.call(self._inner.probe)

    def folders(self) -> list[Folder]:
        return self._patience.call(self._inner.folders)

    def page(self, folder: Folder, after: Checkpoint | None) -> Page:
        return self._patience.call(lambda: self._inner.page(folder, after))

    def export(self, refs: Sequence[ItemRef], fmt: Format) -> list[Item | Outcome]:
        batch: _Batch[Item | Outcome] = _Batch(
            refs, lambda numbers: self._inner.export([refs[n] for n in numbers], fmt)
        )
        return batch.run(self._patience)


class RetryingTarget(RetryingSource, HandedTarget):
    def __init__(self, inner: Target, patience: Patience) -> None:
        HandedTarget.__init__(self, inner)
        self._patience = patience

    def standing(self) -> Standing:
        return self._patience.call(self._target.standing)

    def prepare_folders(self, wanted: Sequence[Wanted]) -> None:
        self._patience.call(lambda: self._target.prepare_folders(wanted))

    def ensure_folder(
        self, path: FolderPath, kind: Kind, *, folder_class: str = "", role: Role | None = None
    ) -> Folder:
        return self._patience.call(
            lambda: self._target.ensure_folder(path, kind, folder_class=folder_class, role=role)
        )

    def subscribe(self, wanted: Mapping[str, bool]) -> None:
        self._patience.call(lambda: self._target.subscribe(wanted))

    def mark(self, folder: Folder) -> Checkpoint:
        return self._patience.call(lambda: self._target.mark(folder))

    def store(
        self, folder: Folder, items: Sequence[Item], replaces: Sequence[tuple[str, str] | None] | None = None
    ) -> list[Outcome]:
        def send(numbers: Sequence[int]) -> list[Outcome]:
            some = None if replaces is None else [replaces[n] for n in numbers]
            return self._target.store(folder, [items[n] for n in numbers], some)

        batch: _Batch[Outcome] = _Batch([item.ref for item in items], send)
        return batch.run(self._patience)

    def store_all(self, batches: Sequence[tuple[Folder, Sequence[Item]]]) -> list[list[Outcome]]:
        """Those that a Transient befell are stored again folder by folder."""
        results = self._patience.call(lambda: self._target.store_all(batches))
        for (folder, items), outcomes in zip(batches, results, strict=True):
            again = [n for n, outcome in enumerate(outcomes) if isinstance(outcome.error, Transient)]
            if again:
                repeated = several.told(self.store, folder, [items[n] for n in again])
                for n, outcome in zip(again, repeated, strict=True):
                    outcomes[n] = outcome
        return results

    def versions(self, folder: Folder, ids: Sequence[str]) -> dict[str, str]:
        return self._patience.call(lambda: self._target.versions(folder, ids))

    def remove(self, folder: Folder, ids: Sequence[str]) -> list[str]:
        return self._patience.call(lambda: self._target.remove(folder, ids))

    def remove_folder(self, folder: Folder) -> None:
        self._patience.call(lambda: self._target.remove_folder(folder))


class _Batch(Generic[R]):
    """A call about several items: repeated for those that a Transient befell, the others keep what they have."""

    def __init__(self, refs: Sequence[ItemRef], send: Callable[[Sequence[int]], list[R]]) -> None:
        self._refs = refs
        self._send = send
        self._results: list[R | None] = [None] * len(refs)
        self._open = list(range(len(refs)))

    def run(self, patience: Patience) -> list[R]:
        try:
            patience.call(self._attempt)
        except MigratorError as error:
            if all(result is None for result in self._results):
                raise  # nothing was done at all: the call's own failure
            for number, result in enumerate(self._results):
                if result is None or (number in self._open and not isinstance(error, Transient)):
                    failed: Any = Outcome(self._refs[number], State.FAILED, error=error)
                    self._results[number] = failed
        return [result for result in self._results if result is not None]

    def _attempt(self) -> None:
        results = self._send(self._open)
        again: list[int] = []
        worst: Transient | None = None
        for number, result in zip(self._open, results, strict=True):
            self._results[number] = result
            error = result.error if isinstance(result, Outcome) else None
            if isinstance(error, Transient):
                again.append(number)
                if worst is None or (error.retry_after_s or 0.0) > (worst.retry_after_s or 0.0):
                    worst = error
        self._open = again
        if worst is not None:
            raise worst
