"""The only maker of threads in the engine.

Threads are daemons: after a second request to stop, the process ends although an answer is still awaited; what was under
way then is in doubt and is looked for at the next start. Nobody waits here for another thread of the same pool to finish
its turn: a thread that waits has its own reason (a queue, a ticket) and its own way to be woken.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)


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
