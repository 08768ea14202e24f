"""Alembic's entry: runs the revisions on the connection that `upgrade` gives it."""

from alembic import context

from migrator.ledger.schema import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True
)
context.run_migrations()
