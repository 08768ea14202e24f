from __future__ import annotations

from dataclasses import replace

import pytest

from migrator.adapters.memory import MemoryMailbox, open_box
from migrator.errors import ItemError
from migrator.formats.content import MemoryContent
from migrator.model import Format, Item, ItemRef, Kind, Outcome, State
from migrator.wrappers.convert import Convert, ConvertingSource

PAIRS = [(Format.FTS, Format.ICS), (Format.FTS, Format.MIME)]


def upper(item: Item) -> Item:
    raw = b"".join(item.content.pieces())
    if raw == b"bad":
        raise ItemError("cannot", code="format_malformed")
    return replace(item, format=Format.ICS, content=MemoryContent([raw.upper()]))


class Loader:
    def __init__(self) -> None:
        self.asked: list[tuple[Format, Format]] = []

    def __call__(self, of: Format, to: Format) -> Convert:
        self.asked.append((of, to))
        return upper


@pytest.fixture
def loader() -> Loader:
    return Loader()


@pytest.fixture
def source(loader: Loader) -> ConvertingSource:
    mailbox = MemoryMailbox("ada@old.example")
    for text in (b"one", b"bad", b"three"):
        mailbox.put(("Inbox",), ItemRef("", ("Inbox",), Kind.MAIL, ""), text)
    return ConvertingSource(open_box(mailbox), PAIRS, loader)


def refs_of(source: ConvertingSource) -> list[ItemRef]:
    folder = next(folder for folder in source.folders() if folder.path == ("Inbox",))
    return list(source.page(folder, None).refs)


def test_own_formats_come_first(source: ConvertingSource) -> None:
    assert source.traits.formats == (Format.FTS, Format.MIME, Format.ICS)


def test_its_own_format_is_handed_on_untouched(source: ConvertingSource, loader: Loader) -> None:
    results = source.export(refs_of(source), Format.FTS)
    assert [b"".join(r.content.pieces()) for r in results if isinstance(r, Item)] == [
        b"one",
        b"bad",
        b"three",
    ]
    assert loader.asked == []


def test_another_is_made_and_a_bad_item_harms_no_neighbour(source: ConvertingSource, loader: Loader) -> None:
    first, second, third = source.export(refs_of(source), Format.ICS)
    assert isinstance(first, Item)
    assert isinstance(third, Item)
    assert b"".join(first.content.pieces()) == b"ONE"
    assert isinstance(second, Outcome)
    assert second.state is State.FAILED
    assert getattr(second.error, "code", "") == "format_malformed"
    assert loader.asked == [(Format.FTS, Format.ICS)]


def test_what_nothing_can_make_is_not_promised(loader: Loader) -> None:
    inner = open_box(MemoryMailbox("ada@old.example"))
    assert ConvertingSource(inner, [(Format.MSG, Format.FTS)], loader).traits == inner.traits
