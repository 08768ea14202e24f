"""What travels: pages of a listing, the folders they belong to, and parcels (an item in memory, its intent handed in)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import field

from migrator.engine.decide import Likeness
from migrator.engine.doubt import Evidence
from migrator.errors import ItemError
from migrator.ledger import FolderRow, Ticket
from migrator.model import Checkpoint, Folder, Item, ItemRef, Outcome
from migrator.model import Page as Listed
from migrator.record import record

UNKNOWN_SIZE = 64 << 10


@record(frozen=False)
class PageState:
    """A page on its way. Number 0 holds what earlier runs left open."""

    number: int
    checkpoint: Checkpoint | None
    last: bool
    open: int = 0  # items without an outcome
    read: bool = False  # the reader has put all of it on its way


@record(frozen=False)
class Work:
    """A source folder on its way. target None with a refusal: the target will not have this folder."""

    folder: Folder
    target: Folder | None
    row: FolderRow | None
    refusal: ItemError | None = None
    pages: deque[PageState] = field(default_factory=deque)
    number: int = 0
    mark: Checkpoint | None = None
    marked: bool = False
    mark_noted: Ticket | None = None  # durable when it is done
    present: dict[str, Evidence] | None = None  # target items that nobody accounts for, on the first pass
    nameless: int = 0  # those among them that nothing tells apart without reading them
    checkpoint: Checkpoint | None = None  # as the ledger has it
    listed: bool = False
    seen: set[Likeness] | None = (
        None  # of the items that go from this folder, for those who want no duplicates
    )
    ahead: deque[Listed] = field(default_factory=deque)  # pages that were read before the folder's turn


@record(frozen=False)
class Parcel:
    """An item in memory, its intent handed to the ledger."""

    work: Work
    page: PageState
    item: Item
    replaces: tuple[str, str] | None
    ticket: Ticket
    octets: int
    target_id: str  # of the folder
    doubts: int = 0


def size_of(ref: ItemRef) -> int:
    """In octets, as listed; a guess where the listing does not say."""
    return ref.size if ref.size is not None else UNKNOWN_SIZE


def expected_octets(ref: ItemRef) -> int:
    """Content in memory is base64 (four octets for three) and a little larger than listing says for small items."""
    return size_of(ref) * 4 // 3 + 2048


def release_all(results: Iterable[Item | Outcome]) -> None:
    for result in results:
        if isinstance(result, Item):
            result.content.release()
