"""A session as the product needs it, whatever the server, the role or the database have for defaults."""

from __future__ import annotations

from typing import Any

import psycopg

from promotion_pipeline.store.usable import accept_everything

NEEDED = {"TimeZone": "UTC", "DateStyle": "ISO, MDY", "IntervalStyle": "postgres"}
"""What drivers and statements count on; the server tells what is in force, so that a good session costs nothing."""
CLIENT_ENCODING = "UTF8"
READ_ONLY = (
    "the database takes no writes: the session is read-only (default_transaction_read_only is on for this role or"
    " database, or the server is a standby). Name the primary, or allow it:"
    " ALTER ROLE ... SET default_transaction_read_only = off"
)


def settle_session(connection: psycopg.Connection[Any], user_id_keys: str | None = None) -> None:
    """Make a new session independent of its defaults; returns at once where they are good.

    Args:
        user_id_keys: what `kept_user_id` of the database hashes user ids with.
    """
    info = connection.info
    for name, value in NEEDED.items():
        if info.parameter_status(name) != value:
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
    if user_id_keys is not None:
        connection.execute("SELECT set_config('promotion_pipeline.user_id_keys', %s, false)", (user_id_keys,))
    accept_everything(connection)
