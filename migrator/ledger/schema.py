"""The tables of the ledger: one SQLite file a project, plain names, readable with any SQL tool.

Sizes are octets, `at`, `updated` and the like are seconds since the epoch (UTC), `path` is a JSON list of folder names.
`tally` repeats what `entry` says, counted in the same transaction, so that status and reports never scan ten million rows.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    event,
    text,
)

HEAD = "0004"
"""The schema revision that this program writes; migrations/versions holds one script for each."""

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

run = Table(
    "run",
    metadata,
    Column("no", Integer, primary_key=True),
    Column("started", Float, nullable=False),
    Column("finished", Float),
    Column("exit_code", Integer),
    Column("passname", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("settings", Text, nullable=False),  # JSON object, references instead of secrets
)

job = Table(
    "job",
    metadata,
    Column("no", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("line", Integer, nullable=False),
    Column("batch", Text, nullable=False, server_default=""),
    Column("source", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("source_endpoint", Text, nullable=False),
    Column("target_endpoint", Text, nullable=False),
    Column("extra", Text, nullable=False, server_default="{}"),
    Column("source_identity", Text, nullable=False, server_default=""),
    Column("target_identity", Text, nullable=False, server_default=""),
    Column("state", Text, nullable=False, server_default="waiting"),
    Column("code", Text, nullable=False, server_default=""),
    Column("error", Text, nullable=False, server_default=""),
    Column("remedy", Text, nullable=False, server_default=""),
    Column("waiting_reason", Text, nullable=False, server_default=""),
    Column("waiting_words", Text, nullable=False, server_default=""),
    Column("waiting_until", Float, nullable=False, server_default="0"),
    Column("owner", Text, nullable=False, server_default=""),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("lease_until", Float, nullable=False, server_default="0"),
    Column("started", Float),
    Column("finished", Float),
)

folder = Table(
    "folder",
    metadata,
    Column("no", Integer, primary_key=True),
    Column("job", Integer, ForeignKey("job.no"), nullable=False),
    Column("source_id", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("folder_class", Text, nullable=False),
    Column("role", Text),
    Column("total", Integer),
    Column("size", Integer),
    Column("target_id", Text, nullable=False, server_default=""),
    Column("target_path", Text, nullable=False, server_default="[]"),
    Column("skipped", Text),
    Column("listed", Integer, nullable=False, server_default="0"),
    Column("checkpoint_scheme", Text),
    Column("checkpoint_token", Text),
    Column("mark_scheme", Text),
    Column("mark_token", Text),
    Index("folder_of_job", "job", "source_id", unique=True),
)

entry = Table(
    "entry",
    metadata,
    Column("job", Integer, primary_key=True),
    Column("key", LargeBinary, primary_key=True),  # 16-byte digest of source_id
    Column("folder", Integer, nullable=False),
    Column("source_id", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("item_class", Text, nullable=False),
    Column("size", Integer),
    Column("received", Integer),
    Column("message_id", Text, nullable=False),
    Column("seen", Integer),
    Column("state", Text, nullable=False),
    Column("why", Text, nullable=False),  # skip reason or error code
    Column("error", Text, nullable=False),
    Column("target_id", Text, nullable=False),
    Column("target_version", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("octets", Integer, nullable=False),
    Column("path_taken", Text, nullable=False),
    Column("notes", Text, nullable=False),  # what the path could not carry, "; " between
    Column("page", Integer, nullable=False),
    Column("updated", Float, nullable=False),
    # In the order of arrival, with the keys in an index: rows clustered by a digest would touch all pages of a mailbox with
    # every transaction.
)
Index(
    "entry_open",
    entry.c.job,
    entry.c.folder,
    entry.c.state,
    sqlite_where=text("state IN ('sending', 'failed', 'skipped')"),
    postgresql_where=text("state IN ('sending', 'failed', 'skipped')"),
)
Index("entry_of_folder", entry.c.job, entry.c.folder)

tally = Table(
    "tally",
    metadata,
    Column("folder", Integer, primary_key=True),
    Column("state", Text, primary_key=True),
    Column("why", Text, primary_key=True),
    Column("job", Integer, nullable=False),
    Column("items", Integer, nullable=False),
    Column("octets", Integer, nullable=False),  # by size at the source
)

route = Table(
    "route",
    metadata,
    Column("job", Integer, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("notes", Text, primary_key=True),
    Column("items", Integer, nullable=False),  # that are copied
    sqlite_with_rowid=False,
)
_LESS = "UPDATE route SET items = items - 1 WHERE job = old.job AND kind = old.kind AND path = old.path_taken AND notes = old.notes;"
_MORE = (
    "INSERT INTO route (job, kind, path, notes, items) VALUES (new.job, new.kind, new.path_taken, new.notes, 1) "
    "ON CONFLICT (job, kind, path, notes) DO UPDATE SET items = items + 1;"
)
TRIGGERS = (
    f"CREATE TRIGGER route_new AFTER INSERT ON entry WHEN new.state = 'copied' BEGIN {_MORE} END",
    "CREATE TRIGGER route_more AFTER UPDATE ON entry "
    f"WHEN new.state = 'copied' AND old.state != 'copied' BEGIN {_MORE} END",
    "CREATE TRIGGER route_less AFTER UPDATE ON entry "
    f"WHEN old.state = 'copied' AND new.state != 'copied' BEGIN {_LESS} END",
    "CREATE TRIGGER route_other AFTER UPDATE ON entry WHEN old.state = 'copied' AND new.state = 'copied' AND "
    "(old.kind != new.kind OR old.path_taken != new.path_taken OR old.notes != new.notes) "
    f"BEGIN {_LESS} {_MORE} END",
    f"CREATE TRIGGER route_gone AFTER DELETE ON entry WHEN old.state = 'copied' BEGIN {_LESS} END",
)
"""The database itself keeps `route` in step with `entry`, whoever writes."""

STATISTICS = (
    ("entry", "sqlite_autoindex_entry_1", "10000000 10000 1"),
    ("entry", "entry_of_folder", "10000000 10000 1000 1"),
    ("entry", "entry_open", "100000 100 10 5 1"),
    ("folder", "folder_of_job", "10000 10 1"),
)
"""What SQLite's planner is told of the tables: without it a question about one folder goes through the whole mailbox.
Fixed, not measured, so that a ledger of one item is asked in the same way as one of ten million
(sqlite.org/optoverview.html, "Manual Control Of Query Plans Using SQLITE_STAT Tables")."""
_TELL = (
    "ANALYZE sqlite_schema",  # makes the table sqlite_stat1
    "DELETE FROM sqlite_stat1",
    *(f"INSERT INTO sqlite_stat1 VALUES ('{one[0]}', '{one[1]}', '{one[2]}')" for one in STATISTICS),
)
for _statement in (*TRIGGERS, *_TELL):
    _ddl = DDL(_statement).execute_if(dialect="sqlite")  # type: ignore[no-untyped-call]
    event.listen(metadata, "after_create", _ddl)

verdict = Table(
    "verdict",
    metadata,
    Column("endpoint", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("origin", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("accepted", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", Float, nullable=False),
)

sample = Table(
    "sample",
    metadata,
    Column("run", Integer, primary_key=True),
    Column("at", Integer, primary_key=True),  # start of a ten-second span
    Column("items", Integer, nullable=False),
    Column("octets", Integer, nullable=False),
)

incident = Table(
    "incident",
    metadata,
    Column("no", Integer, primary_key=True),
    Column("run", Integer, nullable=False),
    Column("job", Integer),
    Column("at", Float, nullable=False),
    Column("until", Float),
    Column("kind", Text, nullable=False),
    Column("words", Text, nullable=False),
)

fidelity = Table(
    "fidelity",
    metadata,
    Column("job", Integer, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("path", Text, primary_key=True),
    Column("at", Float, nullable=False),
    Column("confidence", Float, nullable=False),  # shares; 0 where every item was to be compared
    Column("margin", Float, nullable=False),
    Column("population", Integer, nullable=False),
    Column("compared", Integer, nullable=False),
    Column("identical", Integer, nullable=False),
    Column("volatile", Integer, nullable=False),
    Column("normalised", Integer, nullable=False),
    Column("differing", Integer, nullable=False),
    Column("unreadable", Integer, nullable=False),
    Column("properties", Text, nullable=False),  # JSON: class of difference → property → items
)
