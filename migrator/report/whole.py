"""Files that are there whole or not at all, also for somebody who reads them at that moment."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

TRIES = 20
PAUSE_S = 0.1
PUBLIC, PRIVATE = 0o644, 0o600  # less the umask


def write_whole(
    path: Path, text: str, *, mode: int = PRIVATE, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Write beside the file, then put it in its place in one step. Raises OSError; then the old file is as it was.

    On Windows a file that somebody has open cannot be replaced for that moment (a web server that hands it out, a virus
    scanner): it is tried again for two seconds.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the new name with no content
        for left in range(TRIES - 1, -1, -1):
            try:
                os.replace(fresh, path)
                return
            except PermissionError:
                if not left:
                    raise
                sleep(PAUSE_S)
    finally:
        fresh.unlink(missing_ok=True)
