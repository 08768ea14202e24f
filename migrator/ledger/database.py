"""Opening the ledger's file: settings of SQLite, schema revision, rights; connections for those who read."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from migrator.errors import RunError, UserError
from migrator.ledger.prepared import TEXTS

BUSY_S = 30.0
POLL_S, POLL_MOST_S = 0.002, 0.02
"""SQLite itself waits for another writer in steps of up to 100 ms; two processes that take turns lose most of theirs so."""
_IDLE = 4
"""Connections of readers that are kept."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection that begins no transaction by itself, and may change hands between threads."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=BUSY_S
    )
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode=WAL")
    # FULL: an acknowledged commit survives a power cut; group commit makes the fsyncs few.
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    return connection


class Database:
    """One file. Thread-safe; a connection is used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False

    def writer(self) -> sqlite3.Connection:
        """A connection of its own, for whoever writes by `transaction`; he closes it."""
        connection = connect(self.path)
        connection.execute("PRAGMA busy_timeout=0")  # `transaction` waits, in smaller steps
        return connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection whose queries all see the file as it is at the first of them."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = connect(self.path)
        try:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("ROLLBACK")
        except BaseException:
            connection.close()
            raise
        with self._lock:
            keep = not self._closed and len(self._idle) < _IDLE
            if keep:
                self._idle.append(connection)
        if not keep:
            connection.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All that is written inside, or nothing. Another process that writes is waited for at the beginning."""
    patience = time.monotonic() + BUSY_S
    pause = POLL_S
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > patience:
                raise
        time.sleep(pause)
        pause = min(POLL_MOST_S, pause * 1.2)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk, for one, has ended it already
            connection.execute("ROLLBACK")
        raise


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
    database = Database(path)
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


def _bring_to_head(database: Database, path: Path, *, read_only: bool) -> None:
    with database.reading() as connection:
        tables = _tables(connection)
        revision = None
        if "alembic_version" in tables:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            revision = row and row[0]
    if revision == TEXTS.head:
        return
    if revision is None and not tables and not read_only:
        _create(database)
        return
    if revision is None:
        raise RunError(
            f"{path} is no ledger of this program",
            code="ledger_corrupt",
            remedy="Name the right file in migration.toml.",
        )
    from migrator.ledger.migrations import engine_of, knows, upgrade

    if not knows(revision):
        raise UserError(
            f"the ledger {path} was written by a newer version of migrator (schema {revision}, this one knows {TEXTS.head})",
            code="ledger_newer",
            remedy="Install that version or a later one; nothing was changed.",
        )
    if read_only:
        raise UserError(
            f"the ledger {path} is of an older version (schema {revision})",
            code="ledger_older",
            remedy="Run `migrator run` once with this version to bring it up to date.",
        )
    shutil.copy2(path, path.with_name(f"{path.name}.before-{TEXTS.head}"))
    engine = engine_of(path)
    try:
        upgrade(engine)
    finally:
        engine.dispose()


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _create(database: Database) -> None:
    connection = database.writer()
    try:
        with transaction(connection):
            # Another process may have been first between our look and our lock.
            if "alembic_version" in _tables(connection):
                return
            for text in TEXTS.creates():
                connection.execute(text)
            connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
            connection.execute("INSERT INTO alembic_version VALUES (?)", (TEXTS.head,))
    finally:
        connection.close()
