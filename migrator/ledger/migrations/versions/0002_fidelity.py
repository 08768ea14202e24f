"""What the last deep verification of a mailbox found, by kind and path."""

from alembic import op
from sqlalchemy import Column, Float, Integer, Text

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "fidelity",
        Column("job", Integer, primary_key=True),
        Column("kind", Text, primary_key=True),
        Column("path", Text, primary_key=True),
        Column("at", Float, nullable=False),
        Column("confidence", Float, nullable=False),
        Column("margin", Float, nullable=False),
        Column("population", Integer, nullable=False),
        Column("compared", Integer, nullable=False),
        Column("identical", Integer, nullable=False),
        Column("volatile", Integer, nullable=False),
        Column("normalised", Integer, nullable=False),
        Column("differing", Integer, nullable=False),
        Column("unreadable", Integer, nullable=False),
        Column("properties", Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("fidelity")
