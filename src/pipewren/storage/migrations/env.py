"""Alembic's entry: runs the versions on the connection that `storage.store` passes in."""

from alembic import context

from pipewren.storage.schema import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
