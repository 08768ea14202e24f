"""Content in memory and on disk: opens again and again, and leaves nothing behind."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from migrator.adapters.spool import BufferContent, SpoolContent


def spooled(*pieces: bytes, directory: Path | None = None) -> SpoolContent:
    content = SpoolContent(str(directory) if directory else None)
    for piece in pieces:
        content.write(piece)
    content.close_writing()
    return content


def test_buffers_are_handed_on_as_they_are() -> None:
    big = bytearray(b"abcdef")
    view = memoryview(big)[1:4]
    content = BufferContent([b"<", view])
    assert content.size == 4
    assert content.pieces()[1] is view
    assert content.open().read() == content.open().read() == b"<bcd"
    content.release()
    content.release()
    assert content.pieces() == []


def test_a_spool_file_reads_like_memory(tmp_path: Path) -> None:
    content = spooled(b"one ", b"two ", memoryview(b"three").tobytes(), directory=tmp_path)
    assert content.size == 13
    assert b"".join(content.pieces()) == b"one two three"
    with content.open() as first, content.open() as second:
        assert first.read(4) == b"one "
        assert second.read() == b"one two three"
        assert first.read() == b"two three"
        first.seek(-5, os.SEEK_END)
        assert first.read() == b"three"
    content.release()
    content.release()
    with pytest.raises(ValueError, match="released"):
        content.pieces()
    with pytest.raises(ValueError, match="released"):
        content.write(b"x")


def test_views_outlive_a_release() -> None:
    content = spooled(b"x" * 10_000)
    (view,) = content.pieces()
    content.release()
    assert bytes(view[:3]) == b"xxx"


def test_an_empty_spool_file() -> None:
    content = spooled()
    assert content.pieces() == []
    assert content.open().read() == b""
    content.release()


@pytest.mark.skipif(os.name != "posix", reason="on Windows the file has a name while it is open")
def test_a_spool_file_has_no_name(tmp_path: Path) -> None:
    content = spooled(b"private", directory=tmp_path)
    assert list(tmp_path.iterdir()) == []
    content.release()


def test_many_readers_at_once() -> None:
    data = bytes(range(256)) * 4000
    content = spooled(data)
    wrong: list[int] = []

    def work(n: int) -> None:
        with content.open() as stream:
            if stream.read() != data:
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    content.release()
