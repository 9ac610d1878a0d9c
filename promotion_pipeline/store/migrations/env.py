"""Alembic's entry point: `migrate.upgrade` hands over its open connection."""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.get_main_option("version_table"),
    transaction_per_migration=True,
)
context.run_migrations()
