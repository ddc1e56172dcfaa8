"""Runs migrations on the database of the current app, one transaction each."""

from __future__ import annotations

from alembic import context
from flask import current_app
from sqlalchemy import text
from sqlalchemy.engine import Connection

LOCK_TIMEOUT = "4s"  # a migration waits for a busy table no longer than this, then gives up unharmed
STATEMENT_TIMEOUT = "60s"

migrate = current_app.extensions["migrate"]
target_metadata = migrate.db.metadata


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=target_metadata,
        transaction_per_migration=True,
        **migrate.configure_args,
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
            connection.execute(text(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT}'"))
        context.run_migrations()


options = {"vlog_write": True}  # SQLite: take the write lock at once, see vlog_app.extensions
with migrate.db.engine.connect().execution_options(**options) as connection:
    run(connection)
