"""Content made in memory by a conversion."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import IO


class MemoryContent:
    """Buffers that together are an item's content (`model.Content`)."""

    __slots__ = ("_pieces",)

    def __init__(self, pieces: Sequence[bytes | memoryview]) -> None:
        self._pieces = list(pieces)

    @property
    def size(self) -> int:
        return sum(len(piece) for piece in self._pieces)

    def open(self) -> IO[bytes]:
        return io.BytesIO(b"".join(self._pieces))

    def pieces(self) -> list[bytes | memoryview]:
        return self._pieces

    def release(self) -> None:
        self._pieces = []
