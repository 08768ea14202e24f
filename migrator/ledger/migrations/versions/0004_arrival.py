"""Entries in the order of their arrival, their keys in an index: writes touch a few pages instead of all of a mailbox."""

from alembic import op

revision = "0004"
down_revision = "0003"

_TRIGGERS = ("route_new", "route_more", "route_less", "route_other", "route_gone")
_INDEXES = ("entry_open", "entry_of_folder")
_STATISTICS = "sqlite_autoindex_entry_1"


def _rebuild(before: str, after: str) -> None:
    """The table anew with another end of its definition; everything that hangs on it as it was."""
    connection = op.get_bind()
    found = connection.exec_driver_sql(
        "SELECT name, sql FROM sqlite_master WHERE tbl_name = 'entry'"
    ).fetchall()
    texts = {name: text for name, text in found if text}
    for name in _TRIGGERS:
        op.execute(f"DROP TRIGGER {name}")
    for name in _INDEXES:
        op.execute(f"DROP INDEX {name}")
    op.execute("ALTER TABLE entry RENAME TO entry_before")
    table = texts["entry"].rstrip()
    if not table.endswith(before):
        raise RuntimeError("the table of entries is not as this program made it")
    connection.exec_driver_sql(table[: len(table) - len(before)] + after)
    op.execute("INSERT INTO entry SELECT * FROM entry_before ORDER BY job, folder")
    op.execute("DROP TABLE entry_before")
    for name in (*_INDEXES, *_TRIGGERS):
        connection.exec_driver_sql(texts[name])


def upgrade() -> None:
    _rebuild("WITHOUT ROWID", "")
    op.execute(f"UPDATE sqlite_stat1 SET idx = '{_STATISTICS}' WHERE tbl = 'entry' AND idx = 'entry'")


def downgrade() -> None:
    _rebuild("", "WITHOUT ROWID")
    op.execute(f"UPDATE sqlite_stat1 SET idx = 'entry' WHERE tbl = 'entry' AND idx = '{_STATISTICS}'")
