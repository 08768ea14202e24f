"""Copied items by path and remarks, counted by the database; what SQLite's planner is told of the tables."""

from alembic import op
from sqlalchemy import Column, Integer, Text

revision = "0003"
down_revision = "0002"

_LESS = "UPDATE route SET items = items - 1 WHERE job = old.job AND kind = old.kind AND path = old.path_taken AND notes = old.notes;"
_MORE = (
    "INSERT INTO route (job, kind, path, notes, items) VALUES (new.job, new.kind, new.path_taken, new.notes, 1) "
    "ON CONFLICT (job, kind, path, notes) DO UPDATE SET items = items + 1;"
)
_TRIGGERS = (
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
_STATISTICS = (
    ("entry", "entry", "10000000 10000 1"),
    ("entry", "entry_of_folder", "10000000 10000 1000 1"),
    ("entry", "entry_open", "100000 100 10 5 1"),
    ("folder", "folder_of_job", "10000 10 1"),
)


def upgrade() -> None:
    op.create_table(
        "route",
        Column("job", Integer, primary_key=True),
        Column("kind", Text, primary_key=True),
        Column("path", Text, primary_key=True),
        Column("notes", Text, primary_key=True),
        Column("items", Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.execute(
        "INSERT INTO route (job, kind, path, notes, items) SELECT job, kind, path_taken, notes, count(*) "
        "FROM entry WHERE state = 'copied' GROUP BY job, kind, path_taken, notes"
    )
    for statement in _TRIGGERS:
        op.execute(statement)
    op.execute("ANALYZE sqlite_schema")
    op.execute("DELETE FROM sqlite_stat1")
    for table, index, figures in _STATISTICS:
        op.execute(f"INSERT INTO sqlite_stat1 VALUES ('{table}', '{index}', '{figures}')")


def downgrade() -> None:
    for name in ("route_new", "route_more", "route_less", "route_other", "route_gone"):
        op.execute(f"DROP TRIGGER {name}")
    op.execute("DELETE FROM sqlite_stat1")
    op.drop_table("route")
