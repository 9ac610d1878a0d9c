"""Sessions of the evidence page: each rests on a token, and ends with it."""

from __future__ import annotations

import secrets

from promotion_pipeline.api.tokens import COLUMNS, Token, hash_secret, token_from
from promotion_pipeline.store.database import Store

LIFETIME_HOURS = 12


def open_session(store: Store, token: Token) -> str:
    """Log in; returns the secret of the session.

    Raises:
        DependencyError: the database is down.
    """
    secret = secrets.token_urlsafe(32)
    with store.connect() as connection, connection.transaction():
        connection.execute("DELETE FROM page_sessions WHERE expires_at < now()")
        connection.execute(
            "INSERT INTO page_sessions (secret_hash, token_id, expires_at)"
            " VALUES (%s, %s, now() + make_interval(hours => %s))",
            [hash_secret(secret), token.id, LIFETIME_HOURS],
        )
    return secret


def token_of_session(store: Store, secret: str) -> Token | None:
    """The live token behind a session; None: it is unknown or over, or its token revoked or expired.

    Raises:
        DependencyError: the database is down.
    """
    with store.connect() as connection:
        row = connection.execute(
            f"SELECT {COLUMNS} FROM page_sessions s JOIN api_tokens t ON t.id = s.token_id"
            " WHERE s.secret_hash = %s AND s.expires_at > now() AND t.revoked_at IS NULL"
            " AND (t.expires_at IS NULL OR t.expires_at > now())",
            [hash_secret(secret)],
        ).fetchone()
    return None if row is None else token_from(row)


def close_session(store: Store, secret: str) -> None:
    """Log out.

    Raises:
        DependencyError: the database is down.
    """
    with store.connect() as connection:
        connection.execute("DELETE FROM page_sessions WHERE secret_hash = %s", [hash_secret(secret)])
