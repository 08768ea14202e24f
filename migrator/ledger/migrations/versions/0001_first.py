"""The first schema: runs, jobs, folders, entries, tallies, verdicts, samples, incidents."""

from alembic import op

from migrator.ledger.schema import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    # While this is the only revision it may name the living schema; the next one freezes these tables here.
    metadata.create_all(op.get_bind())


def downgrade() -> None:
    metadata.drop_all(op.get_bind())
