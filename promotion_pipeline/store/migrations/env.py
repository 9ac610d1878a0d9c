"""Alembic's entry point: `migrate.upgrade` hands over its open connection."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transaction_per_migration=True)
context.run_migrations()
