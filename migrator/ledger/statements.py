"""The hot statements, built by SQLAlchemy once and then run as prepared text.

SQLAlchemy processes every row of an executemany anew (20 µs for 22 columns, measured) and builds a statement of the
Core in 200 µs; the compiled text with values in its own order costs a fraction and is still SQLAlchemy's SQL for the
dialect at hand. Rows go in many to a statement: each step of SQLite gives up the interpreter's lock, and among two
hundred busy threads getting it back costs milliseconds, so what counts is how often that happens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from itertools import chain
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, column, func, literal_column, select, table, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert as upsert

from migrator.ledger import schema as s
from migrator.model import State

_MOST_ROWS = 256
"""Rows in one statement: 23 columns of them are far below the parameters that SQLite takes (32,766)."""
Ready = list[tuple[str, tuple[Any, ...]]]
"""Statements with their values, made outside of a transaction: whoever holds the file's lock keeps all others waiting."""
_VALUES = re.compile(r"VALUES (\([^()]+\))")
_EMPTY: Any = literal_column("''")
_SENDING: Any = literal_column(f"'{State.SENDING.value}'")


def execute(connection: Connection, ready: Ready) -> None:
    for sql, values in ready:
        connection.exec_driver_sql(sql, values)


def fetch(connection: Connection, ready: Ready) -> list[Row[Any]]:
    return [row for sql, values in ready for row in connection.exec_driver_sql(sql, values).all()]


def _text(statement: Any, **options: Any) -> tuple[str, tuple[str, ...]]:
    """The SQL of a statement and the names of its parameters in their order."""
    compiled = statement.compile(dialect=sqlite.dialect(), compile_kwargs=options)
    return str(compiled), tuple(compiled.positiontup)


class Prepared:
    """A statement whose parameters are all named by `bindparam`."""

    def __init__(self, statement: Any) -> None:
        self._statement = statement

    @cached_property
    def _compiled(self) -> tuple[str, tuple[str, ...]]:
        return _text(self._statement)

    def run(self, connection: Connection, **values: Any) -> Any:
        sql, order = self._compiled
        return connection.exec_driver_sql(sql, tuple([values[name] for name in order]))


class Insert:
    """An INSERT, or upsert, of any number of rows: mappings that hold every parameter."""

    def __init__(self, statement: Any) -> None:
        self._statement = statement
        self._texts: dict[int, str] = {}

    @cached_property
    def _parts(self) -> tuple[str, str, str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]:
        sql, order = _text(self._statement)
        head, group, tail = _VALUES.split(sql)
        if "?" in head + tail:
            raise AssertionError("all parameters of an INSERT must stand among its values")
        return head, group, tail, itemgetter(*order)

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        execute(connection, self.ready(rows))

    def ready(self, rows: Sequence[Mapping[str, Any]]) -> Ready:
        get = self._parts[3]
        at, left = 0, len(rows)
        found: Ready = []
        while left:
            # Sixteens and a rest: few different texts, so that SQLite's cache of prepared statements holds all of them.
            count = left if left < 16 else min(_MOST_ROWS, left - left % 16)
            values = tuple(chain.from_iterable(map(get, rows[at : at + count])))
            found.append((self._text(count), values))
            at += count
            left -= count
        return found

    def _text(self, count: int) -> str:
        text = self._texts.get(count)
        if text is None:
            head, group, tail, _ = self._parts
            text = self._texts[count] = f"{head}VALUES {', '.join([group] * count)}{tail}"
        return text


class Lookup:
    """A SELECT about places, pairs of values, which stand in it as the table `place` with the columns column1 and column2.

    place is joined from the left: `(a, b) IN (VALUES …)` reads well and makes SQLite go through all of the table.
    """

    def __init__(self, statement: Any) -> None:
        self._statement = statement
        self._of_size = cache(self._compile)

    def _compile(self, count: int) -> str:
        pairs = ", ".join(["(?, ?)"] * count)
        return f"WITH place AS (VALUES {pairs}) {self._sql}"

    @cached_property
    def _sql(self) -> str:
        sql, order = _text(self._statement)
        if order:
            raise AssertionError("the places are the only parameters of a lookup")
        return sql.replace("JOIN", "CROSS JOIN")

    def rows(self, connection: Connection, places: Sequence[tuple[Any, Any]]) -> list[Row[Any]]:
        return fetch(connection, self.ready(places))

    def ready(self, places: Sequence[tuple[Any, Any]]) -> Ready:
        """Places that differ."""
        found: Ready = []
        for start in range(0, len(places), _MOST_ROWS):
            part = list(places[start : start + _MOST_ROWS])
            size = 1 << (len(part) - 1).bit_length()
            part += [(None, None)] * (size - len(part))  # few different texts; nothing is at such a place
            found.append((self._of_size(size), tuple(chain.from_iterable(part))))
        return found


_place = table("place", column("column1"), column("column2"))

KNOWN = Lookup(
    select(s.entry.c.job, s.entry.c.key, s.entry.c.folder, s.entry.c.state, s.entry.c.why, s.entry.c.size)
    .select_from(
        _place.join(s.entry, (s.entry.c.job == _place.c.column1) & (s.entry.c.key == _place.c.column2))
    )
    .where(s.entry.c.state != _SENDING)
)
"""Entries by (job, key) that are counted in the tally: all that have an outcome."""

HELD = Lookup(
    select(func.count()).select_from(
        _place.join(s.job, (s.job.c.no == _place.c.column1) & (s.job.c.fence == _place.c.column2))
    )
)
"""How many of these leases, (job, fence), are still ours. One value: every row that is fetched costs as much as a statement."""


def _begin_statement() -> Any:
    statement = upsert(s.entry).values(
        {name: bindparam(name) for name in ("job", "folder", "state", "updated")}
        | {name: bindparam(name) for name in _REF_COLUMNS}
        | dict.fromkeys(("why", "error", "target_id", "target_version", "path_taken", "notes"), _EMPTY)
        | {"attempts": literal_column("1"), "octets": literal_column("0")}
    )
    renewed = ["folder", "state", "updated", "version", "kind", "item_class", "size", "received"]
    renewed += ["message_id", "seen", "fingerprint", "page"]
    return statement.on_conflict_do_update(
        index_elements=["job", "key"],
        # target_id stays: of an update in doubt the ledger still knows which target item it was about.
        set_={name: statement.excluded[name] for name in renewed}
        | {"why": _EMPTY, "error": _EMPTY, "attempts": s.entry.c.attempts + literal_column("1")},
    )


def _kept(statement: Any, table: Any, names: Sequence[str], nothing: Any = _EMPTY) -> dict[str, Any]:
    """In an upsert: columns that keep what they hold where the new row has nothing."""
    return {
        name: case((statement.excluded[name] == nothing, table.c[name]), else_=statement.excluded[name])
        for name in names
    }


def _settle_statement() -> Any:
    outcome = ("state", "why", "error", "target_id", "target_version", "octets", "path_taken", "notes")
    statement = upsert(s.entry).values(
        {name: bindparam(name) for name in ("job", "folder", "updated", *outcome)}
        | {name: bindparam(name) for name in _REF_COLUMNS}
        | {"attempts": literal_column("0")}
    )
    # A failed update leaves the older copy where it is, so its target id is not forgotten.
    kept = _kept(statement, s.entry, ("target_id", "target_version"))
    renewed = [name for name in outcome if name not in kept]
    renewed += ["folder", "updated", "version", "seen", "fingerprint", "size", "item_class", "received"]
    return statement.on_conflict_do_update(
        index_elements=["job", "key"],
        set_={name: statement.excluded[name] for name in renewed} | kept,
    )


def _folder_statement() -> Any:
    told = ("path", "kind", "folder_class", "role", "total", "size", "skipped")
    statement = upsert(s.folder).values(
        {name: bindparam(name) for name in ("job", "source_id", *told, "target_id", "target_path")}
    )
    return statement.on_conflict_do_update(
        index_elements=["job", "source_id"],
        set_={name: statement.excluded[name] for name in told}
        | _kept(statement, s.folder, ("target_id",))
        | _kept(statement, s.folder, ("target_path",), literal_column("'[]'")),
    )


def _sum_statement(table: Any, keys: Sequence[str], sums: Sequence[str]) -> Any:
    statement = upsert(table).values({column.name: bindparam(column.name) for column in table.columns})
    return statement.on_conflict_do_update(
        index_elements=list(keys),
        set_={name: table.c[name] + statement.excluded[name] for name in sums},
    )


_REF_COLUMNS = (
    "key",
    "source_id",
    "version",
    "kind",
    "item_class",
    "size",
    "received",
    "message_id",
    "seen",
    "fingerprint",
    "page",
)
BEGIN = Insert(_begin_statement())
SETTLE = Insert(_settle_statement())
FOLDER = Insert(_folder_statement())
TALLY = Insert(_sum_statement(s.tally, ("folder", "state", "why"), ("items", "octets")))
SAMPLE = Insert(_sum_statement(s.sample, ("run", "at"), ("items", "octets")))

UNSETTLED = Prepared(
    select(func.count())
    .select_from(s.entry)
    .where(
        s.entry.c.job == bindparam("job_no"),
        s.entry.c.folder == bindparam("folder_no"),
        s.entry.c.state == _SENDING,
        s.entry.c.page <= bindparam("page_no"),
    )
)
"""Items of a folder, up to a page, that were begun and have no outcome."""

ADVANCE = Prepared(
    update(s.folder)
    .where(s.folder.c.no == bindparam("folder_no"))
    .values(
        checkpoint_scheme=bindparam("scheme"),
        checkpoint_token=bindparam("token"),
        listed=case(
            (bindparam("last_page") == literal_column("1"), literal_column("1")), else_=s.folder.c.listed
        ),
    )
)
MARK = Prepared(
    update(s.folder)
    .where(s.folder.c.no == bindparam("folder_no"))
    .values(mark_scheme=bindparam("scheme"), mark_token=bindparam("token"))
)
FOLDER_NUMBER = Prepared(
    select(s.folder.c.no).where(
        s.folder.c.job == bindparam("job_no"), s.folder.c.source_id == bindparam("id")
    )
)
