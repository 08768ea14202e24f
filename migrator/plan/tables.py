"""Tables of a TOML file, checked: every fault with its key path. The readers here repeat no value: it may be a secret.

A reader takes a value and gives what it means, or raises ValueError with words for the person who wrote it. A `Table` says
which keys there may be, the reader of each, and what it is when it is not there. Numbers are not taken from text, nor truth
values from numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any

NEEDED: Any = object()
"""The default of a key that must be there."""


class Reading:
    """One reading of one file. now: for dates such as "90d". faults: "key.path: what is wrong"."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.faults: list[str] = []

    def fault(self, where: str, words: str) -> None:
        self.faults.append(f"{where}: {words}")


Reader = Callable[[Any, Reading], Any]


class Values(SimpleNamespace):
    """What a table says, an attribute a key. given: the keys that stood there."""

    given: frozenset[str]


class Table:
    """fields: key → (reader, default)."""

    def __init__(
        self, fields: Mapping[str, tuple[Any, Any]], below: Mapping[str, Table | Named] = {}
    ) -> None:
        """below: key → what is under it; read as empty where it is not there."""
        self.fields = fields
        self.below = below

    def read(self, raw: Any, where: str, reading: Reading) -> Values | None:
        """None after a fault. Keys that are not known are faults too."""
        if not isinstance(raw, dict):
            reading.fault(where, "a table is wanted")
            return None
        before = len(reading.faults)
        found: dict[str, Any] = {}
        for key, (kind, default) in self.fields.items():
            path = f"{where}.{key}" if where else key
            if key in raw:
                found[key] = _read(kind, raw[key], path, reading)
            elif default is NEEDED:
                reading.fault(path, "is missing")
            else:
                found[key] = default
        for key, table in self.below.items():
            found[key] = table.read(raw.get(key, {}), f"{where}.{key}" if where else key, reading)
        for key in raw.keys() - self.fields.keys() - self.below.keys():
            names = sorted((*self.fields, *self.below))
            reading.fault(
                f"{where}.{key}" if where else key,
                f"there is no such key{did_you_mean(key, names)} ({', '.join(names)})",
            )
        return Values(**found, given=frozenset(raw)) if len(reading.faults) == before else None


class Named:
    """Tables by name: [endpoints.NAME]. names: those that there may be; none for any."""

    def __init__(self, table: Any, names: Collection[str] = (), least: str = "") -> None:
        self.table = table
        self.names = names
        self.least = least
        """What is said where there is none, and one is needed."""

    def read(self, raw: Any, where: str, reading: Reading) -> dict[str, Any]:
        if not isinstance(raw, dict):
            reading.fault(where, "a table is wanted")
            return {}
        if not raw and self.least:
            reading.fault(where, self.least)
        found = {}
        for name, value in raw.items():
            if self.names and name not in self.names:
                reading.fault(f"{where}.{name}", _choose(name, self.names))
            found[name] = _read(self.table, value, f"{where}.{name}", reading)
        return found


class ListOf:
    def __init__(self, kind: Any) -> None:
        self.kind = kind

    def read(self, raw: Any, where: str, reading: Reading) -> list[Any]:
        if not isinstance(raw, list):
            reading.fault(where, 'a list such as ["a", "b"] is wanted')
            return []
        return [_read(self.kind, value, f"{where}.{number}", reading) for number, value in enumerate(raw)]


def _read(kind: Any, value: Any, where: str, reading: Reading) -> Any:
    if isinstance(kind, (Table, Named, ListOf)):
        return kind.read(value, where, reading)
    try:
        return kind(value, reading)
    except ValueError as error:
        reading.fault(where, str(error))
        return None


def did_you_mean(word: str, known: Any) -> str:
    """ ", did you mean X?" when something known is near, else ""."""
    import difflib

    near = difflib.get_close_matches(word.casefold(), [str(one) for one in known], n=1, cutoff=0.6)
    return f", did you mean {near[0]!r}?" if near else ""


def _choose(word: Any, options: Iterable[str]) -> str:
    near = did_you_mean(word, options) if isinstance(word, str) else ""
    return f"one of {', '.join(options)} is wanted{near}"


# --- readers


def anything(value: Any, reading: Reading) -> str:
    """Text, whatever is in it."""
    if not isinstance(value, str):
        raise ValueError("text in quotes is wanted")
    return value


def text(value: Any, reading: Reading) -> str:
    """Text of one line."""
    if any(ord(char) < 32 or ord(char) == 127 for char in anything(value, reading)):
        raise ValueError("holds a control character")
    return str(value)


def some_text(value: Any, reading: Reading) -> str:
    if not text(value, reading):
        raise ValueError("is empty")
    return str(value)


def word(pattern: str) -> Reader:
    shape = re.compile(pattern)

    def read(value: Any, reading: Reading) -> str:
        if not shape.fullmatch(text(value, reading)):
            raise ValueError("a word of small letters, digits, - and _ is wanted")
        return str(value)

    return read


def flag(value: Any, reading: Reading) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false is wanted")
    return value


def one_of(options: Sequence[str]) -> Reader:
    def read(value: Any, reading: Reading) -> str:
        if not isinstance(value, str) or value not in options:
            raise ValueError(_choose(value, options))
        return value

    return read


def whole(*, least: int, most: int | None = None, said: Callable[[str], int] | None = None) -> Reader:
    """A whole number. said: reads one that is written as text ("16 MiB")."""

    def read(value: Any, reading: Reading) -> int:
        number = said(value) if said is not None and isinstance(value, str) else value
        if not isinstance(number, int) or isinstance(number, bool):
            raise ValueError("a whole number is wanted")
        _within(number, least, most)
        return number

    return read


def number(
    *,
    least: float = 0,
    most: float | None = None,
    above: float | None = None,
    said: Callable[[str], float] | None = None,
) -> Reader:
    """A number. above: it is greater than this. said: reads one that is written as text ("10m")."""

    def read(value: Any, reading: Reading) -> float:
        found = said(value) if said is not None and isinstance(value, str) else value
        if not isinstance(found, (int, float)) or isinstance(found, bool):
            raise ValueError("a number is wanted")
        if above is not None and not found > above:
            raise ValueError(f"input should be greater than {above:g}")
        _within(found, least, most)
        return float(found)

    return read


def _within(value: float, least: float, most: float | None) -> None:
    if not value >= least:
        raise ValueError(f"input should be greater than or equal to {least}")
    if most is not None and not value <= most:
        raise ValueError(f"input should be less than or equal to {most}")


def checked(check: Callable[[str], Any]) -> Reader:
    """Text that a function takes without raising ValueError."""

    def read(value: Any, reading: Reading) -> str:
        check(anything(value, reading))
        return str(value)

    return read
