"""The only maker of threads in the engine.

Threads are daemons: after a second request to stop, the process ends although an answer is still awaited; what was under
way then is in doubt and is looked for at the next start. Nobody waits here for another thread of the same pool to finish
its turn: a thread that waits has its own reason (a queue, a ticket) and its own way to be woken.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")


class Worker:
    """A thread at work. `error` is what ended it, if anything did."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        self._work = work
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # kept for whoever joins
            self.error = error
            log.debug("%s ended with %s", self._thread.name, type(error).__name__, exc_info=True)

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the end; returns whether it has come."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()


def start(name: str, work: Callable[[], None]) -> Worker:
    worker = Worker(name, work)
    worker.start()
    return worker


def each(
    name: str,
    things: Sequence[T],
    work: Callable[[T], R],
    *,
    at_once: int,
    stopped: Callable[[], bool] = lambda: False,
) -> list[R | None]:
    """Do the same with every thing, some at once; results in the order of the things, None for those left out by a stop.

    Raises the first error that `work` let out, when all threads have ended.
    """
    results: list[R | None] = [None] * len(things)
    numbers = iter(range(len(things)))
    lock = threading.Lock()

    def some() -> None:
        while not stopped():
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            results[number] = work(things[number])

    workers = [start(f"{name}-{n + 1}", some) for n in range(max(1, min(at_once, len(things))))]
    for worker in workers:
        while not worker.join(0.2):  # short, so that a signal is seen
            pass
    for worker in workers:
        if worker.error is not None:
            raise worker.error
    return results
