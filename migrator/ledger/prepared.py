"""Statements that are ready to run: the texts of `statements.sql`, which `statements.py` makes, on the driver of the standard library."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any

MOST = 256
"""Rows, or values of a list, in one statement: 23 columns of them are far below the parameters that SQLite takes (32,766)."""
Ready = tuple[str, list[Any]]
"""A statement with its values, made outside of a transaction: whoever holds the file's lock keeps all others waiting."""
_NAME = re.compile(r":(\w+)")
_ANY = re.compile(r":(?:(\w+)|\[(\w+)\])")
_VALUES = re.compile(r"VALUES (\([^()]+\))")


class _Texts:
    """The file, read when the first statement is wanted."""

    @cached_property
    def parts(self) -> dict[str, str]:
        file = Path(__file__).with_name("statements.sql").read_text("utf-8")
        pairs = (part.partition("\n") for part in file.removeprefix("-- ").split("\n-- "))
        return {name: text.strip() for name, _, text in pairs}

    def __getitem__(self, name: str) -> str:
        return self.parts[name]

    @property
    def head(self) -> str:
        """The schema revision that this program writes."""
        return self["revision"]

    def creates(self) -> list[str]:
        """What makes an empty ledger, in order."""
        return [text for name, text in self.parts.items() if name.startswith("create ")]


TEXTS = _Texts()


class Statement:
    """Parameters are given by name; for a list (`:[name]` in the text) any number of values, or of tuples."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._sizes: dict[tuple[tuple[int, int], ...], str] = {}

    @cached_property
    def _text(self) -> str:
        return TEXTS[self._name]

    @cached_property
    def _order(self) -> list[tuple[str, bool]]:
        """Of a text with lists: its parameters as they come, and whether each is a list."""
        return [(one or many, bool(many)) for one, many in _ANY.findall(self._text)]

    def ready(self, **values: Any) -> Ready:
        """The statement with these values; lists of at most `MOST`."""
        flat: list[Any] = []
        sizes: list[tuple[int, int]] = []
        for name, many in self._order:
            if not many:
                flat.append(values[name])
                continue
            items = list(values[name]) or [None]
            width = len(items[0]) if isinstance(items[0], tuple) else 0
            # Powers of two: few different texts, so that SQLite's cache of prepared statements holds all of them. NULL is
            # equal to nothing.
            items += [(None,) * width if width else None] * (
                (1 << (len(items) - 1).bit_length()) - len(items)
            )
            flat += chain.from_iterable(items) if width else items
            sizes.append((len(items), width))
        key = tuple(sizes)
        text = self._sizes.get(key)
        if text is None:
            text = self._sizes[key] = self._spread(sizes)
        return text, flat

    def run(self, connection: sqlite3.Connection, **values: Any) -> sqlite3.Cursor:
        """A cursor over rows that are read by name or position (sqlite3.Row)."""
        text = self._text
        return _do(connection, *((text, values) if ":[" not in text else self.ready(**values)))

    def rows(self, connection: sqlite3.Connection, **values: Any) -> list[Any]:
        return self.run(connection, **values).fetchall()

    def value(self, connection: sqlite3.Connection, **values: Any) -> Any:
        """The first column of the first row, None where there is no row."""
        row = self.run(connection, **values).fetchone()
        return None if row is None else row[0]

    def column(self, connection: sqlite3.Connection, **values: Any) -> list[Any]:
        return [row[0] for row in self.run(connection, **values)]

    def _spread(self, sizes: list[tuple[int, int]]) -> str:
        left = iter(sizes)

        def places(match: re.Match[str]) -> str:
            if not match[2]:
                return "?"
            count, width = next(left)
            return ", ".join([f"({', '.join('?' * width)})" if width else "?"] * count)

        return _ANY.sub(places, self._text)


class Insert:
    """An INSERT, or upsert, of any number of rows: mappings that hold every parameter."""

    def __init__(self, name: str, order: Sequence[str] = ()) -> None:
        """order: of the parameters, for rows that are tuples."""
        self._name = name
        self._of_tuples = tuple(order)

    @cached_property
    def _parts(self) -> tuple[str, str, str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]:
        head, group, tail = _VALUES.split(TEXTS[self._name])
        if _NAME.search(head + tail):
            raise AssertionError("all parameters of an INSERT must stand among its values")
        names = _NAME.findall(group)
        if self._of_tuples and self._of_tuples != tuple(names):
            raise AssertionError(f"{self._name} takes {names}")
        return head, _NAME.sub("?", group), tail, itemgetter(*names)

    def run(self, connection: sqlite3.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        execute(connection, self.ready(rows))

    def ready(self, rows: Sequence[Mapping[str, Any]]) -> list[Ready]:
        """The statements for these rows."""
        return self.ready_tuples(list(map(self._parts[3], rows)))

    def ready_tuples(self, rows: Sequence[tuple[Any, ...]]) -> list[Ready]:
        """Rows go in many to a statement: each step of SQLite gives up the interpreter's lock, and among two hundred busy
        threads getting it back costs milliseconds, so what counts is how often that happens."""
        at, left = 0, len(rows)
        found: list[Ready] = []
        while left:
            # Sixteens and a rest: few different texts, so that SQLite's cache of prepared statements holds all of them.
            count = left if left < 16 else min(MOST, left - left % 16)
            values = list(chain.from_iterable(rows[at : at + count]))
            found.append((self._text(count), values))
            at += count
            left -= count
        return found

    @cache  # noqa: B019 - there are a handful of these, and they live as long as the program
    def _text(self, count: int) -> str:
        head, group, tail, _ = self._parts
        return f"{head}VALUES {', '.join([group] * count)}{tail}"


def execute(connection: sqlite3.Connection, ready: Iterable[Ready]) -> int:
    """Returns how many rows were changed."""
    return sum(_do(connection, text, values).rowcount for text, values in ready)


def fetch(connection: sqlite3.Connection, ready: Iterable[Ready]) -> list[Any]:
    return [row for text, values in ready for row in _do(connection, text, values)]


def _do(
    connection: sqlite3.Connection, text: str, values: Sequence[Any] | Mapping[str, Any]
) -> sqlite3.Cursor:
    try:
        return connection.execute(text, values)
    except UnicodeEncodeError:
        # JSON can hold half a character ("\\ud800" alone, RFC 8259 8.2), and so can a folder's name or a server's words. SQLite
        # cannot: it is kept written out, which inside of JSON is what it was.
        if isinstance(values, Mapping):
            return connection.execute(text, {name: _storable(one) for name, one in values.items()})
        return connection.execute(text, [_storable(one) for one in values])


def _storable(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def parts(values: Iterable[Any], size: int = MOST) -> Iterator[list[Any]]:
    """Lists that are short enough for one statement."""
    whole = values if isinstance(values, list) else list(values)
    for start in range(0, len(whole), size):
        yield whole[start : start + size]
