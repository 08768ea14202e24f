"""What this process asks of its runtime before it does anything: how often cycles are looked for, how memory is handed out,
that no plugins are loaded."""

from __future__ import annotations

import contextlib
import gc
import os
import sys

_M_ARENA_MAX = -8  # malloc.h of the GNU C library
_ARENAS = 2
SWITCH_S = 0.001


def settle_in() -> None:
    """Once, at the start, before there are threads."""
    # What dies here dies by its reference count; looking for cycles at the usual pace costs a tenth of a run (measured).
    gc.set_threshold(50_000, 20, 50)
    # The ledger's writer gives up the interpreter's lock with every statement and holds the file's lock meanwhile; at the usual
    # 5 ms until it gets the first one back, two processes wait for each other most of the time (measured).
    sys.setswitchinterval(SWITCH_S)
    # Pydantic asks every installed package for plugins, and a plugin sees what is checked: neither is wanted.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    if sys.platform == "linux":
        # The GNU C library gives every thread a heap of its own, up to eight times the processors, and what large buffers
        # leave free in one is lost to all others: with 160 threads half of the memory of a run (measured).
        import ctypes

        with contextlib.suppress(OSError, AttributeError):  # another C library, which has no such thing
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
