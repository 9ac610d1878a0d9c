"""How users' ids are kept: as they came, or only as hashes by the key in AUTO_PROMOTION_USER_ID_KEY.

`kept_user_id` of the database says what is kept of an id; a long one is kept as its digest in either case, since no
index takes it. Which key the stored ids were hashed with is noted by a check value, so that another key is noticed.
"""

from __future__ import annotations

from typing import Any

import psycopg

from promotion_pipeline.errors import ConfigError

_CHECK = "promotion_pipeline key check"


def settle_user_ids(connection: psycopg.Connection[Any], keys: str | None) -> None:
    """Make this transaction keep ids as the stored ones are; with the key for the first time, hash what is stored.

    Call it inside a transaction. O(1), but O(rows of users) that first time.

    Args:
        keys: `Settings.user_id_keys`; None: ids are kept as they come.

    Raises:
        ConfigError: the stored ids were hashed with another key, or with one where none is given.
    """
    stored = _key_check(connection)
    if keys is None:
        if stored is not None:
            raise ConfigError(
                "user ids are kept as keyed hashes here: set AUTO_PROMOTION_USER_ID_KEY to the key that they were made"
                " with, everywhere; without it every user would be counted as a new one"
            )
        return
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        # Set again for this transaction: behind a pooler it may run in a session that nobody has set up.
        cursor.execute("SELECT set_config('promotion_pipeline.user_id_keys', %s, true)", (keys,))
        row = cursor.execute("SELECT kept_user_id(%s)", (_CHECK,)).fetchone()
    assert row is not None
    if stored is None:
        stored = _hash_what_is_stored(connection, row[0])
    if stored != row[0]:
        raise ConfigError(
            "AUTO_PROMOTION_USER_ID_KEY is not the key that the stored user ids were hashed with: set that one again;"
            " with another every user would be counted as a new one"
        )


def _key_check(connection: psycopg.Connection[Any]) -> str | None:
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        row = cursor.execute("SELECT key_check FROM user_id_keys").fetchone()
    return None if row is None else str(row[0])


def _hash_what_is_stored(connection: psycopg.Connection[Any], check: str) -> str:
    """Hash all stored ids unless somebody else did meanwhile; returns the check value that is in force."""
    connection.execute("LOCK TABLE hourly_user_rollups IN EXCLUSIVE MODE")
    known = _key_check(connection)
    if known is not None:
        return known
    # Triggers change the totals with it.
    connection.execute("UPDATE hourly_user_rollups SET user_id = kept_user_id(user_id)")
    connection.execute("UPDATE metric_users SET user_id = kept_user_id(user_id)")
    connection.execute("UPDATE hourly_user_metrics SET user_id = kept_user_id(user_id) WHERE user_id <> ''")
    connection.execute("INSERT INTO user_id_keys (key_check) VALUES (%s)", (check,))
    return check
