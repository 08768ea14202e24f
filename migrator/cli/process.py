"""What this process asks of its runtime before it does anything: how often cycles are looked for, how memory is handed out."""

from __future__ import annotations

import contextlib
import gc
import sys

_M_ARENA_MAX = -8  # malloc.h of the GNU C library
_ARENAS = 2


def settle_in() -> None:
    """Once, at the start, before there are threads."""
    # What dies here dies by its reference count; looking for cycles at the usual pace costs a tenth of a run (measured).
    gc.set_threshold(50_000, 20, 50)
    if sys.platform == "linux":
        # The GNU C library gives every thread a heap of its own, up to eight times the processors, and what large buffers
        # leave free in one is lost to all others: with 160 threads half of the memory of a run (measured).
        import ctypes

        with contextlib.suppress(OSError, AttributeError):  # another C library, which has no such thing
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)
