"""One act an Idempotency-Key: the lock while it runs, the answer afterwards."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

import psycopg

from promotion_pipeline.errors import InputError
from promotion_pipeline.promotion.record.events import AuditEntry
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
class KeyClaim:
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
        self._connection.execute("DELETE FROM api_idempotency_keys WHERE stored_at < now() - %s::interval", [RETENTION])

    def release(self) -> None:
        """End the transaction: the answer is kept, the next one with this key may go on."""
        with contextlib.suppress(psycopg.OperationalError):
            self._open.close()


def try_claim(store: Store, principal: str, key: str, fingerprint: bytes) -> KeyClaim | None:
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
        return KeyClaim(stored, principal, key, fingerprint, connection, stack.pop_all())


def act_under_key(
    store: Store, experiment_name: str, action: str, actor: str, key: str, fingerprint: bytes
) -> AuditEntry | None:
    """The act that was done under a key, whether or not its answer was kept: the audit is written with the act.

    Raises:
        KeyReusedError: it was asked for by a request with another body.
        DependencyError: the database is down.
    """
    with store.connect() as connection:
        row = connection.execute(
            "SELECT a.at, a.actor, a.action, e.name AS experiment_name, a.promotion_id, a.details"
            " FROM promotion_audit a JOIN ab_experiments e"
            " ON e.id = a.experiment_id WHERE e.name = %s AND a.action = %s AND a.actor = %s"
            " AND a.details #>> '{http,idempotencyKey}' = %s AND a.at >= now() - %s::interval ORDER BY a.id LIMIT 1",
            [experiment_name, action, actor, key, RETENTION],
        ).fetchone()
    if row is None:
        return None
    if row["details"]["http"].get("fingerprint") != fingerprint.hex():
        raise _reused(key)
    return AuditEntry(**row)


def _stored(connection: Connection, principal: str, key: str, fingerprint: bytes) -> StoredAnswer | None:
    row = connection.execute(
        "SELECT fingerprint, status, body, media_type FROM api_idempotency_keys"
        " WHERE principal = %s AND key = %s AND stored_at >= now() - %s::interval",
        [principal, key, RETENTION],
    ).fetchone()
    if row is None:
        # There may be an answer past its time: it goes, because the new one takes its key.
        connection.execute("DELETE FROM api_idempotency_keys WHERE principal = %s AND key = %s", [principal, key])
        return None
    if bytes(row["fingerprint"]) != fingerprint:
        raise _reused(key)
    return StoredAnswer(row["status"], row["body"], row["media_type"])


def _reused(key: str) -> KeyReusedError:
    return KeyReusedError(
        f"Idempotency-Key {key!r} was used for another request: send the same body, or choose a new key"
    )
