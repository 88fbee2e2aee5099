"""What alembic runs; the connection and its transaction are the caller's."""

from alembic import context

from xiqa.service.records.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=False,
)
with context.begin_transaction():
    context.run_migrations()
