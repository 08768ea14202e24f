"""A mailbox that counts what is asked of it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import IO, Any

from migrator.interfaces import Expected, Probe, TargetTraits
from migrator.model import Checkpoint, Folder, Format, Item, ItemRef, Kind, Outcome, Page


class Counting:
    """Both a source and a target; every verb that writes raises."""

    traits = TargetTraits(formats=(Format.FTS,))

    def __init__(self, items: int) -> None:
        self.open = 0
        self.writes = 0
        self._items = items

    def probe(self) -> Probe:
        return Probe("id", "memory")

    def folders(self) -> list[Folder]:
        return [Folder("small", ("b",), total=1), Folder("full", ("a",), total=self._items)]

    def expect(self, wanted: Sequence[Expected]) -> None: ...

    def page(self, folder: Folder, after: Checkpoint | None) -> Page:
        assert folder.id == "full", "the fullest one"
        refs = tuple(ItemRef(str(n), ("a",), Kind.MAIL, "1", size=1000 * (n + 1)) for n in range(self._items))
        return Page(refs, Checkpoint("x", "y"), True)

    def export(self, refs: Sequence[ItemRef], fmt: Format) -> list[Item | Outcome]:
        self.open += len(refs)
        return [Item(ref, fmt, _Content(self, (ref.size or 0) * 4 // 3)) for ref in refs]

    def close(self) -> None: ...

    def _write(self, *_: Any, **__: Any) -> Any:
        self.writes += 1
        raise AssertionError("a probe writes nothing")

    prepare_folders = ensure_folder = mark = store = versions = remove = remove_folder = _write


class _Content:
    def __init__(self, box: Counting, size: int) -> None:
        self._box = box
        self.size = size

    def open(self) -> IO[bytes]:
        return io.BytesIO(bytes(self.size))

    def pieces(self) -> list[bytes | memoryview]:
        return [bytes(self.size)]

    def release(self) -> None:
        self._box.open -= 1
