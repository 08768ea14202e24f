"""Work that can wait until the calling thread has nothing to do: while an answer is on its way.

Between an answer and the next request every moment counts, because meanwhile a connection stands idle; after the request has
left there is time for the book-keeping of the one before. Whoever has such work hands it to `later`; whoever has the wire
calls `now` when a request has left, and whoever is about to block for another reason (a budget, a lock, an empty queue) calls
it first. Kept per thread. The work must neither block nor raise.
"""

from __future__ import annotations

import threading
from collections.abc import Callable


class _Held(threading.local):
    work: Callable[[], None] | None = None


_held = _Held()


def later(work: Callable[[], None]) -> None:
    """Do this at the next lull of this thread. What was held before is done at once: one thing is held at most."""
    now()
    _held.work = work


def held() -> bool:
    """Whether `now` would do something."""
    return _held.work is not None


def now() -> None:
    """This thread is about to wait."""
    work = _held.work
    if work is not None:
        _held.work = None
        work()
