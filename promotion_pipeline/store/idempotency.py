"""One act an Idempotency-Key: the lock while it runs, the answer afterwards."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import psycopg

from promotion_pipeline.errors import InputError
from promotion_pipeline.store.database import Connection, Store

RETENTION = "7 days"


class KeyReusedError(InputError):
    """The key was used for another request."""

    code = "idempotency-key-reused"


@dataclass(frozen=True)
class StoredAnswer:
    """What was answered the first time."""

    status: int
    body: str
    media_type: str


@dataclass(frozen=True)
class Claim:
    """The right to act under a key, held by an open transaction: it ends with the process or the connection.

    `stored` is the earlier answer; None: act, then `finish`. Call `release` in any case.
    """

    stored: StoredAnswer | None
    principal: str
    key: str
    fingerprint: bytes
    _connection: Connection = field(repr=False)
    _open: contextlib.ExitStack = field(repr=False)

    def finish(self, answer: StoredAnswer) -> None:
        """Keep the answer for whoever asks again.

        Raises:
            psycopg.Error: the connection was lost; the act stands, its answer is not kept.
        """
        self._connection.execute(
            "INSERT INTO api_idempotency_keys (principal, key, fingerprint, status, body, media_type)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            [self.principal, self.key, self.fingerprint, answer.status, answer.body, answer.media_type],
        )
        self._connection.execute(
            "DELETE FROM api_idempotency_keys WHERE stored_at < now() - %s::interval", [RETENTION]
        )

    def release(self) -> None:
        """End the transaction: the answer is kept, the next one with this key may go on."""
        with contextlib.suppress(psycopg.OperationalError):
            self._open.close()


def try_claim(store: Store, principal: str, key: str, fingerprint: bytes) -> Claim | None:
    """Claim a key; None: a request with this key is at work right now.

    Raises:
        KeyReusedError: the key belongs to a request with another method, path or body.
        DependencyError: the database is down.
    """
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(store.connect())
        stack.enter_context(connection.transaction())
        locked = connection.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, hashtextextended(%s, 0))) AS granted",
            [key, principal],
        ).fetchone()
        if locked is None or not locked["granted"]:
            return None
        stored = _stored(connection, principal, key, fingerprint)
        return Claim(stored, principal, key, fingerprint, connection, stack.pop_all())


def _stored(connection: Connection, principal: str, key: str, fingerprint: bytes) -> StoredAnswer | None:
    row = connection.execute(
        "SELECT fingerprint, status, body, media_type FROM api_idempotency_keys"
        " WHERE principal = %s AND key = %s AND stored_at >= now() - %s::interval",
        [principal, key, RETENTION],
    ).fetchone()
    if row is None:
        # An answer past its time must not stand in the way of the new one.
        connection.execute("DELETE FROM api_idempotency_keys WHERE principal = %s AND key = %s", [principal, key])
        return None
    if bytes(row["fingerprint"]) != fingerprint:
        raise KeyReusedError(
            f"Idempotency-Key {key!r} was used for another request: send the same body, or choose a new key"
        )
    return StoredAnswer(row["status"], row["body"], row["media_type"])
