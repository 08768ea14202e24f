"""What conversions between the item tree and foreign formats give back.

Notes are short and stable, so that reports can count them: a word such as `recurrence_expanded`, where needed with a
detail behind a colon that is never text of the item (`dropped:GEO`).
"""

from __future__ import annotations

from dataclasses import dataclass

from migrator.mapi.item import Message


@dataclass(frozen=True, slots=True)
class Converted:
    """A foreign format as an item tree. notes: what the tree does not hold or holds otherwise."""

    message: Message
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """An item tree, or several, in a foreign format. notes: what the format does not hold."""

    octets: bytes
    notes: tuple[str, ...] = ()


class Notes:
    """Notes in the order they were made, each once."""

    __slots__ = ("_notes",)

    def __init__(self) -> None:
        self._notes: dict[str, None] = {}

    def add(self, note: str) -> None:
        if len(self._notes) < 100:  # hostile input makes no endless report
            self._notes[note] = None

    def all(self) -> tuple[str, ...]:
        return tuple(self._notes)
