"""Real data beside the repository. Tests read it in place, and skip with a reason where it is absent."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parents[1] / ".." / "shared" / "data"


def shared(path: str) -> Path:
    """A file or folder of the shared data, e.g. shared("msg/recurring.msg"); skips the test when it is not there."""
    found = SHARED / path
    if not found.exists():
        pytest.skip(f"no shared data here: {path}")
    return found
