"""A folder listed to its end, and what comes one by one taken in portions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from migrator.errors import JobError
from migrator.interfaces import Reader
from migrator.model import Checkpoint, Folder, ItemRef

T = TypeVar("T")


def listed(box: Reader, folder: Folder, *, what: str = "the listing") -> Iterator[ItemRef]:
    """What a folder holds now, page by page; nothing that is gone. what: how an error calls it.

    Raises JobError "no_progress" for a listing that never ends.
    """
    after: Checkpoint | None = None
    while True:
        page = box.page(folder, after)
        yield from (ref for ref in page.refs if not ref.gone)
        if page.last:
            return
        if not page.refs and page.checkpoint == after:
            raise JobError(f"{what} of a folder does not go on", code="no_progress")
        after = page.checkpoint


def parts(things: Iterable[T], most: int) -> Iterator[list[T]]:
    """In order, at most so many each."""
    part: list[T] = []
    for thing in things:
        part.append(thing)
        if len(part) >= most:
            yield part
            part = []
    if part:
        yield part


def batches(
    things: Iterable[T], size_of: Callable[[T], int], *, items: int, octets: int
) -> Iterator[list[T]]:
    """In order, at most so many things and octets each; a larger one is a batch of its own."""
    batch: list[T] = []
    held = 0
    for thing in things:
        size = size_of(thing)
        if batch and (len(batch) >= items or held + size > octets):
            yield batch
            batch, held = [], 0
        batch.append(thing)
        held += size
    if batch:
        yield batch
