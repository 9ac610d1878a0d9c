"""Bearer tokens of the HTTP API: made once, kept as a hash, revoked but never deleted."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

import psycopg

from promotion_pipeline.errors import ConflictError, InputError, NotFoundError
from promotion_pipeline.store.database import Store

PREFIX = "pp_"
"""Lets secret scanners recognise a token."""
RANDOM_BYTES = 32
LONGEST_NAME = 200
RESERVED_NAMES = ("auto", "cron", "dagster", "promotion-pipeline", "promotion_watch", "system")
"""Actors of the system's own, with whatever follows a blank or a hyphen: no person may pass for them."""


class Role(StrEnum):
    """What a credential allows: viewer, operator and admin each include the ones before; the others only themselves."""

    VIEWER = "viewer"
    """Reads, flags too."""
    OPERATOR = "operator"
    """Promotes, approves, declines, rolls back, holds and releases, runs the sweep."""
    ADMIN = "admin"
    """Also lists and revokes tokens, and sends requests and events."""
    INGEST = "ingest"
    """Sends requests and events, and can do nothing else: for an application that reports what it served."""
    EVALUATE = "evaluate"
    """Evaluates flags, and can do nothing else: for an application that asks which variant to serve."""

    def includes(self, other: Role) -> bool:
        """Whether this role may do what `other` may."""
        return other in _INCLUDED[self]


_INCLUDED: dict[Role, frozenset[Role]] = {
    Role.VIEWER: frozenset({Role.VIEWER, Role.EVALUATE}),
    Role.OPERATOR: frozenset({Role.VIEWER, Role.EVALUATE, Role.OPERATOR}),
    Role.ADMIN: frozenset(Role),
    Role.INGEST: frozenset({Role.INGEST}),
    Role.EVALUATE: frozenset({Role.EVALUATE}),
}


@dataclass(frozen=True)
class Token:
    """A token without its secret."""

    id: UUID
    name: str
    role: Role
    on_behalf: bool
    """Who a request names is the actor, and the token stands beside it."""
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None


COLUMNS = ", ".join(
    f"t.{name}"
    for name in (
        "id",
        "name",
        "role",
        "on_behalf",
        "created_at",
        "created_by",
        "expires_at",
        "last_used_at",
        "revoked_at",
        "revoked_by",
    )
)
"""Of `api_tokens t`, as `token_from` reads them."""


def create_token(
    store: Store,
    name: str,
    role: Role | str,
    created_by: str,
    *,
    lifetime_days: float | None = None,
    on_behalf: bool = False,
) -> tuple[str, Token]:
    """Make a token; the secret is returned here and can never be read again.

    Args:
        store: the database.
        name: who the history will name as the actor.
        role: what it allows.
        created_by: who makes it.
        lifetime_days: days until it expires; None: it does not.
        on_behalf: for a service that knows its users: who its requests name is the actor.

    Raises:
        InputError: a value cannot be used.
        ConflictError: a token of this name is not revoked yet.
        DependencyError: the database is down.
    """
    actor, kind, lifetime = checked_name(name), _checked_role(role), _checked_lifetime(lifetime_days)
    if on_behalf and not kind.includes(Role.OPERATOR):
        raise InputError(f"a token that acts on behalf of people needs the role operator or admin, not {kind.value}")
    secret = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    with store.connect() as connection:
        try:
            row = connection.execute(
                "INSERT INTO api_tokens AS t (name, role, token_hash, created_by, expires_at, on_behalf)"
                f" VALUES (%s, %s, %s, %s, now() + %s, %s) RETURNING {COLUMNS}",
                [actor, kind.value, hash_secret(secret), created_by, lifetime, on_behalf],
            ).fetchone()
        except psycopg.errors.UniqueViolation:
            raise ConflictError(
                f"a token named {actor!r} exists: revoke it first (`promotion-pipeline tokens revoke {actor}`)"
                " or choose another name"
            ) from None
    assert row is not None
    return secret, token_from(row)


def token_of(store: Store, secret: str) -> Token | None:
    """The live token of a secret; None: unknown, revoked or expired. Notes, to the minute, that it was used.

    Raises:
        DependencyError: the database is down.
    """
    with store.connect() as connection:
        row = connection.execute(
            f"SELECT {COLUMNS}, last_used_at IS NULL OR last_used_at < now() - interval '1 minute' AS is_noted_late"
            " FROM api_tokens t WHERE token_hash = %s AND revoked_at IS NULL"
            " AND (expires_at IS NULL OR expires_at > now())",
            [hash_secret(secret)],
        ).fetchone()
        if row is None:
            return None
        if row.pop("is_noted_late"):
            connection.execute("UPDATE api_tokens SET last_used_at = now() WHERE id = %s", [row["id"]])
    return token_from(row)


def list_tokens(store: Store) -> list[Token]:
    """Every token, revoked ones too, newest first.

    Raises:
        DependencyError: the database is down.
    """
    with store.connect() as connection:
        rows = connection.execute(f"SELECT {COLUMNS} FROM api_tokens t ORDER BY created_at DESC, id").fetchall()
    return [token_from(row) for row in rows]


def live_tokens(store: Store, role: Role) -> list[Token]:
    """The tokens that are neither revoked nor expired and allow what `role` does, by name.

    Raises:
        DependencyError: the database is down.
    """
    with store.connect() as connection:
        rows = connection.execute(
            f"SELECT {COLUMNS} FROM api_tokens t WHERE revoked_at IS NULL"
            " AND (expires_at IS NULL OR expires_at > now()) ORDER BY name"
        ).fetchall()
    return [token for token in map(token_from, rows) if token.role.includes(role)]


def tokens_by_hash(store: Store, role: Role) -> dict[bytes, Token]:
    """The tokens that are not revoked and allow what `role` does, by the hash of their secret.

    Raises:
        DependencyError: the database is down.
    """
    with store.connect() as connection:
        rows = connection.execute(
            f"SELECT {COLUMNS}, token_hash FROM api_tokens t WHERE revoked_at IS NULL"
            " AND (expires_at IS NULL OR expires_at > now())"
        ).fetchall()
    found = {bytes(row.pop("token_hash")): token_from(row) for row in rows}
    return {secret_hash: token for secret_hash, token in found.items() if token.role.includes(role)}


def note_use(store: Store, token_ids: Collection[UUID]) -> None:
    """Note that tokens were used just now.

    Raises:
        DependencyError: the database is down.
    """
    with store.connect() as connection:
        connection.execute("UPDATE api_tokens SET last_used_at = now() WHERE id = ANY(%s)", [list(token_ids)])


def revoke_token(store: Store, name_or_id: str, revoked_by: str) -> Token:
    """Make a token useless from now on.

    Raises:
        NotFoundError: no token of this name or id is live.
        DependencyError: the database is down.
    """
    with store.connect() as connection:
        row = connection.execute(
            "UPDATE api_tokens t SET revoked_at = now(), revoked_by = %s"
            f" WHERE (name = %s OR id::text = %s) AND revoked_at IS NULL RETURNING {COLUMNS}",
            [revoked_by, name_or_id, name_or_id],
        ).fetchone()
    if row is None:
        raise NotFoundError(f"no live token has the name or id {name_or_id!r}: see `promotion-pipeline tokens list`")
    return token_from(row)


def hash_secret(secret: str) -> bytes:
    """What is stored of a secret of 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def token_from(row: dict[str, Any]) -> Token:
    """A row of `COLUMNS`."""
    return Token(**{**row, "role": Role(row["role"])})


def checked_name(name: str, what: str = "token name") -> str:
    """The name of an actor without surrounding blanks.

    Raises:
        InputError: it is empty, too long, not printable, or that of an actor of the system's own.
    """
    text = name.strip()
    if not text or len(text) > LONGEST_NAME or not text.isprintable():
        raise InputError(f"{what} {name!r} must be 1 to {LONGEST_NAME} printable characters")
    if re.match(rf"({'|'.join(RESERVED_NAMES)})([ -]|$)", text.casefold()):
        raise InputError(f"{what} {name!r} is an actor of the system's own: name the person or the service")
    return text


def _checked_role(role: Role | str) -> Role:
    try:
        return Role(role)
    except ValueError:
        raise InputError(f"role {role!r} must be {' or '.join(repr(member.value) for member in Role)}") from None


def _checked_lifetime(days: float | None) -> timedelta | None:
    if days is None:
        return None
    if not 0 < days <= 3660:
        raise InputError(f"lifetime of {days} days must be above 0 and at most 3660")
    return timedelta(days=days)
