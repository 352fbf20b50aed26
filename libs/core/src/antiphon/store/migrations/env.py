"""Run by Alembic, always on a connection that `schema.migrate` hands over."""

from alembic import context

from antiphon.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a column by copying its table
)
context.run_migrations()
