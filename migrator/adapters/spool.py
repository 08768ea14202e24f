"""Where the bytes of items wait: in memory, or for large ones in a private temporary file.

Both are `model.Content`. A spool file has no name (POSIX) or dies with its handle (Windows), so that no mail is left behind
when the process is killed. Its octets come as memory-mapped pages, which the system can drop again at any time: memory does
not grow with the size of an item.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import tempfile
import threading
from collections.abc import Sequence
from typing import IO

Buffer = bytes | memoryview

THRESHOLD = 32 << 20
"""Octets of content above which an item goes to a spool file instead of memory."""


class BufferContent:
    """Buffers that together are an item's content. They may be views on one large answer, which lives as long as they do."""

    __slots__ = ("_pieces", "_size")

    def __init__(self, pieces: Sequence[Buffer], size: int | None = None) -> None:
        """size: octets of all pieces together, where the caller knows."""
        self._pieces = list(pieces)
        self._size = sum(memoryview(piece).nbytes for piece in self._pieces) if size is None else size

    @property
    def size(self) -> int:
        return self._size

    def open(self) -> IO[bytes]:
        return io.BytesIO(b"".join(self._pieces))

    def pieces(self) -> list[Buffer]:
        return list(self._pieces)

    def release(self) -> None:
        self._pieces = []


class SpoolContent:
    """Content in a temporary file of its own: `write` until all is there, then `close_writing`, then read at will."""

    def __init__(self, directory: str | None = None) -> None:
        """directory: where spool files are made; default is the system's place for temporary files."""
        self._file: IO[bytes] | None = tempfile.TemporaryFile(prefix="migrator-", dir=directory)  # noqa: SIM115
        self._size = 0
        self._map: mmap.mmap | None = None
        self._lock = threading.Lock()

    def write(self, piece: Buffer) -> None:
        if self._file is None:
            raise ValueError("the spool file was released")
        self._file.write(piece)
        self._size += memoryview(piece).nbytes

    def close_writing(self) -> None:
        """From here on the octets can be read. Raises OSError when the disk is full."""
        if self._file is not None:
            self._file.flush()

    @property
    def size(self) -> int:
        return self._size

    def open(self) -> IO[bytes]:
        """A reader with a position of its own."""
        return io.BufferedReader(_Reader(self), 256 << 10)

    def pieces(self) -> list[Buffer]:
        with self._lock:
            if self._file is None:
                raise ValueError("the spool file was released")
            if not self._size:
                return []
            if self._map is None:
                self._map = mmap.mmap(self._file.fileno(), self._size, access=mmap.ACCESS_READ)
            return [memoryview(self._map)]

    def read_at(self, size: int, offset: int) -> bytes:
        with self._lock:
            if self._file is None:
                raise ValueError("the spool file was released")
            if hasattr(os, "pread"):
                return os.pread(self._file.fileno(), size, offset)
            self._file.seek(offset)
            return self._file.read(size)

    def release(self) -> None:
        with self._lock:
            if self._map is not None:
                with contextlib.suppress(
                    BufferError
                ):  # somebody still holds a view: the pages go with the last one
                    self._map.close()
                self._map = None
            if self._file is not None:
                self._file.close()
                self._file = None


class _Reader(io.RawIOBase):
    def __init__(self, content: SpoolContent) -> None:
        self._content = content
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._content.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        data = self._content.read_at(len(buffer), self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
