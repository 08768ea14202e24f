"""The hot statements, built by SQLAlchemy once and then run as prepared text.

SQLAlchemy processes every row of an executemany anew (20 µs for 22 columns, measured); the compiled text with tuples in
its own order costs a third and is still SQLAlchemy's SQL for the dialect at hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, bindparam, case, select, tuple_
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert as upsert

from migrator.ledger import schema as s


class Prepared:
    """A statement with named parameters, run for many rows at once."""

    def __init__(self, statement: Any) -> None:
        self._statement = statement

    @cached_property
    def _compiled(self) -> tuple[str, tuple[str, ...]]:
        compiled = self._statement.compile(dialect=sqlite.dialect())
        constants = {name: value for name, value in compiled.params.items() if value is not None}
        self._constants = constants
        return str(compiled), tuple(compiled.positiontup)

    def run(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        sql, order = self._compiled
        constants = self._constants
        connection.exec_driver_sql(
            sql,
            [tuple([row[name] if name in row else constants[name] for name in order]) for row in rows],
        )


KNOWN = select(
    s.entry.c.job, s.entry.c.key, s.entry.c.folder, s.entry.c.state, s.entry.c.why, s.entry.c.size
).where(tuple_(s.entry.c.job, s.entry.c.key).in_(bindparam("places", expanding=True)))


def _begin_statement() -> Any:
    statement = upsert(s.entry).values(
        {name: bindparam(name) for name in ("job", "folder", "state", "updated")}
        | {name: bindparam(name) for name in _REF_COLUMNS}
        | {"why": "", "error": "", "target_id": "", "target_version": ""}
        | {"attempts": 1, "octets": 0, "path_taken": "", "notes": ""}
    )
    renewed = ["folder", "state", "updated", "version", "kind", "item_class", "size", "received"]
    renewed += ["message_id", "seen", "fingerprint", "page"]
    return statement.on_conflict_do_update(
        index_elements=["job", "key"],
        # target_id stays: of an update in doubt the ledger still knows which target item it was about.
        set_={name: statement.excluded[name] for name in renewed}
        | {"why": "", "error": "", "attempts": s.entry.c.attempts + 1},
    )


def _settle_statement() -> Any:
    outcome = ("state", "why", "error", "target_id", "target_version", "octets", "path_taken", "notes")
    statement = upsert(s.entry).values(
        {name: bindparam(name) for name in ("job", "folder", "updated", *outcome)}
        | {name: bindparam(name) for name in _REF_COLUMNS}
        | {"attempts": 0}
    )
    # A failed update leaves the older copy where it is, so its target id is not forgotten.
    kept = {
        name: case((statement.excluded[name] == "", s.entry.c[name]), else_=statement.excluded[name])
        for name in ("target_id", "target_version")
    }
    renewed = [name for name in outcome if name not in kept]
    renewed += ["folder", "updated", "version", "seen", "fingerprint", "size", "item_class", "received"]
    return statement.on_conflict_do_update(
        index_elements=["job", "key"],
        set_={name: statement.excluded[name] for name in renewed} | kept,
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
BEGIN = Prepared(_begin_statement())
SETTLE = Prepared(_settle_statement())
TALLY = Prepared(_sum_statement(s.tally, ("folder", "state", "why"), ("items", "octets")))
SAMPLE = Prepared(_sum_statement(s.sample, ("run", "at"), ("items", "octets")))
