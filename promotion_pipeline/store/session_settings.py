"""A session as the product needs it, whatever the server, the role or the database have for defaults."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader

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
    if info.parameter_status("server_encoding") == "SQL_ASCII":
        # Such a database keeps whatever bytes it was given.
        for kind in ("text", "varchar", "name"):
            connection.adapters.register_loader(kind, _AnyText)


class _AnyText(Loader):
    """Text of an unknown encoding: what is no UTF-8 is shown as a replacement character."""

    def load(self, data: Buffer) -> str:
        """The text."""
        return bytes(data).decode(errors="replace")
