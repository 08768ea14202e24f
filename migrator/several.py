"""Storing into several folders: one after the other, for targets that have no better way, and what became of each item."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from migrator.errors import InDoubt, MigratorError
from migrator.model import Folder, Item, Outcome, State

log = logging.getLogger(__name__)

Store = Callable[[Folder, Sequence[Item]], list[Outcome]]


Batches = Sequence[tuple[Folder, Sequence[Item]]]


def one_after_another(store: Store, batches: Batches) -> list[list[Outcome]]:
    return [told(store, folder, items) for folder, items in batches]


def told(store: Store, folder: Folder, items: Sequence[Item]) -> list[Outcome]:
    """What became of each item, also where the call itself failed."""
    return _told(lambda: [store(folder, items)], [items])[0]


def all_told(store_all: Callable[[Batches], list[list[Outcome]]], batches: Batches) -> list[list[Outcome]]:
    """What became of each item, by batch, also where the call itself failed."""
    return _told(lambda: store_all(batches), [items for _, items in batches])


def _told(call: Callable[[], list[list[Outcome]]], asked: Sequence[Sequence[Item]]) -> list[list[Outcome]]:
    error: Exception
    try:
        results = call()
        if list(map(len, results)) == list(map(len, asked)):
            return results
        error = InDoubt("the target answered for another number of items than sent")
    except MigratorError as raised:
        error = raised
    except Exception as raised:  # a defect must not lose an item that may be stored
        log.exception("store failed")
        error = InDoubt(f"unexpected {type(raised).__name__}", code="unexpected")
    return [[Outcome(item.ref, State.FAILED, error=error) for item in items] for items in asked]
