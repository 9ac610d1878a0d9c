"""What evaluations share: flags and tokens in memory, and how many requests a token may send."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from uuid import UUID

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from promotion_pipeline.api.access import Principal, bearer, require_role
from promotion_pipeline.api.problems import unauthenticated
from promotion_pipeline.api.tokens import Role, Token, hash_secret, note_use, token_of, tokens_by_hash
from promotion_pipeline.config import Settings
from promotion_pipeline.store.database import Store
from promotion_pipeline.traffic.kept import Kept, Looked
from promotion_pipeline.traffic.serving import FlagServer, ServedFlags

API_KEY_HEADER = "X-API-Key"
"""The protocol's other way to send a token."""
NOTE_SECONDS = 60.0
"""Between two notes of which tokens were used."""
MOST_LIMITED = 10_000
"""Tokens whose requests are counted; beyond it the counts begin anew."""


class RateLimit:
    """So many requests a second for each token, and as many at once after a pause."""

    def __init__(self, a_second: int | None) -> None:
        self._a_second = a_second
        self._left: dict[UUID, tuple[float, float]] = {}

    def wait_seconds(self, token_id: UUID) -> float:
        """0: go on, and the request is counted; else the seconds until there is room for one."""
        if self._a_second is None:
            return 0.0
        now = time.monotonic()
        if len(self._left) > MOST_LIMITED:
            self._left.clear()
        left, at = self._left.get(token_id, (float(self._a_second), now))
        left = min(left + (now - at) * self._a_second, float(self._a_second))
        if left < 1:
            self._left[token_id] = left, now
            return (1 - left) / self._a_second
        self._left[token_id] = left - 1, now
        return 0.0


class EvaluationDoor:
    """Answers without the database, so that applications are served while it is down."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._flags = FlagServer(store, settings.flag_hash)
        self._tokens: Kept[dict[bytes, Token]] = Kept(self._read_tokens, "tokens of evaluations")
        self._used: set[UUID] = set()
        self._noted_at = time.monotonic()
        self.limit = RateLimit(settings.evaluations_a_second)

    async def flags(self) -> Looked[ServedFlags]:
        """The flags as they are at most a second later; older while the database is down.

        Raises:
            DependencyError: they were never read, and the database is down.
        """
        seen = self._flags.kept.seen
        return seen if seen is not None else await run_in_threadpool(self._flags.look)

    async def identify(self, request: Request) -> Principal:
        """Whom the request comes from, if that is enough to evaluate.

        A token that is revoked is refused a second later; one that is new is looked up at once.

        Raises:
            Problem: 401, no token or a wrong one.
            ForbiddenError: the token's role is not enough.
            DependencyError: the token is not in memory, and the database is down.
        """
        secret = request.headers.get(API_KEY_HEADER) or bearer(request)
        if secret is None:
            raise unauthenticated(f"a token is needed: send it as Authorization: Bearer, or as {API_KEY_HEADER}")
        known = self._tokens.seen
        if known is None:
            known = await run_in_threadpool(self._tokens.look)
        token = known.value.get(hash_secret(secret))
        if token is None:
            token = await run_in_threadpool(token_of, self._store, secret)
        elif token.expires_at is not None and token.expires_at <= datetime.now(UTC):
            token = None
        if token is None:
            raise unauthenticated(
                "this token is unknown, expired or revoked: make one with `promotion-pipeline tokens create NAME --role"
                " evaluate`"
            )
        require_role(token, Role.EVALUATE)
        self._used.add(token.id)
        return Principal(token.name, token.role.value, token.id)

    def close(self) -> None:
        """Look no more."""
        self._flags.kept.close()
        self._tokens.close()

    def _read_tokens(self, _before: dict[bytes, Token] | None) -> dict[bytes, Token]:
        found = tokens_by_hash(self._store, Role.EVALUATE)
        if self._used and time.monotonic() - self._noted_at > NOTE_SECONDS:
            used, self._used, self._noted_at = self._used, set(), time.monotonic()
            note_use(self._store, used)
        return found
