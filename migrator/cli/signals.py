"""Ctrl-C once: settle what is in flight. Twice: now. Works from the main thread on every system."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Stoppable(Protocol):
    def request(self) -> None: ...

    @property
    def now(self) -> bool: ...


def numbers() -> list[signal.Signals]:
    """Signals that ask for an end: Ctrl-C, `kill`, a closed terminal, Ctrl-Break."""
    names = ("SIGINT", "SIGTERM", "SIGBREAK", "SIGHUP")
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


@contextmanager
def stops(stop: Stoppable) -> Iterator[None]:
    """Requests of the user go to `stop` for as long as this lasts. The third one ends the process on the spot."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals come to the main thread alone
        return

    def ask(number: int, frame: object) -> None:
        if stop.now:
            os._exit(130)  # the ledger stands every death
        stop.request()

    before = {}
    for one in numbers():
        if signal.getsignal(one) is signal.SIG_IGN:
            continue  # nohup: a closed terminal shall not end it
        before[one] = signal.signal(one, ask)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def leave_now(code: int) -> None:
    """End without waiting for threads that hang in a socket: after the second Ctrl-C."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
