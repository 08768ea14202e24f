"""Opening the ledger's file: settings of SQLite, schema revision, rights."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, inspect, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool, QueuePool

from migrator.errors import RunError, UserError
from migrator.ledger import schema

BUSY_MS = 30_000
POLL_S, POLL_MOST_S = 0.002, 0.02
"""SQLite itself waits for another writer in steps of up to 100 ms; two processes that take turns lose most of theirs so."""


@dataclass(frozen=True, slots=True)
class Database:
    writer: Engine
    reader: Engine

    def close(self) -> None:
        self.writer.dispose()
        self.reader.dispose()


def open_database(path: Path, *, read_only: bool) -> Database:
    """Open the file, creating it (private to its user) or bringing it to this program's revision."""
    if read_only and not path.exists():
        raise UserError(
            f"there is no ledger at {path}",
            code="ledger_missing",
            remedy="Run `migrator run` first, or name the project folder with --project.",
        )
    if not read_only:
        _make_private(path)
    database = Database(_engine(path, "IMMEDIATE"), _engine(path, "DEFERRED"))
    try:
        _bring_to_head(database, path, read_only=read_only)
    except BaseException:
        database.close()
        raise
    return database


def _make_private(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Created by us first, so that it is never readable by others, not even for a moment; SQLite gives its
        # -wal and -shm files the same rights.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise RunError(
            f"the ledger {path} cannot be written ({error.strerror})",
            code="ledger_unwritable",
            remedy="Check the rights on that folder, or name another ledger in migration.toml.",
        ) from None


def _engine(path: Path, begin: str) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=QueuePool if begin == "DEFERRED" else NullPool,
        connect_args={"check_same_thread": False, "isolation_level": None},
        **({"pool_size": 4, "max_overflow": 64} if begin == "DEFERRED" else {}),
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        # FULL: an acknowledged commit survives a power cut; group commit makes the fsyncs few.
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.execute("PRAGMA foreign_keys=ON")
        if begin == "IMMEDIATE":
            cursor.execute("PRAGMA busy_timeout=0")  # `start` waits, in smaller steps
        cursor.close()

    @event.listens_for(engine, "begin")
    def start(connection: Any) -> None:
        patience = time.monotonic() + BUSY_MS / 1000
        pause = POLL_S
        while True:
            try:
                connection.exec_driver_sql(f"BEGIN {begin}")
            except OperationalError as error:
                if "locked" not in str(error.orig) or time.monotonic() > patience:
                    raise
                time.sleep(pause)
                pause = min(POLL_MOST_S, pause * 1.2)
            else:
                return

    return engine


def _bring_to_head(database: Database, path: Path, *, read_only: bool) -> None:
    with database.reader.connect() as connection:
        tables = inspect(connection).get_table_names()
        revision = None
        if "alembic_version" in tables:
            revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    if revision == schema.HEAD:
        return
    if revision is None and not tables and not read_only:
        _create(database.writer)
        return
    if revision is None:
        raise RunError(
            f"{path} is no ledger of this program",
            code="ledger_corrupt",
            remedy="Name the right file in migration.toml.",
        )
    from migrator.ledger.migrations import knows, upgrade

    if not knows(revision):
        raise UserError(
            f"the ledger {path} was written by a newer version of migrator (schema {revision}, this one knows {schema.HEAD})",
            code="ledger_newer",
            remedy="Install that version or a later one; nothing was changed.",
        )
    if read_only:
        raise UserError(
            f"the ledger {path} is of an older version (schema {revision})",
            code="ledger_older",
            remedy="Run `migrator run` once with this version to bring it up to date.",
        )
    shutil.copy2(path, path.with_name(f"{path.name}.before-{schema.HEAD}"))
    upgrade(database.writer)


def _create(engine: Engine) -> None:
    with engine.begin() as connection:
        # Another process may have been first between our look and our lock.
        if inspect(connection).has_table("alembic_version"):
            return
        schema.metadata.create_all(connection)
        connection.execute(
            text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        )
        connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": schema.HEAD})
