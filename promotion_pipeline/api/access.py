"""Who may do what: credentials, roles, and the mark without which a route cannot exist."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar, assert_never
from uuid import UUID

from starlette.requests import Request

from promotion_pipeline.api.problems import Problem, unauthenticated
from promotion_pipeline.api.tokens import Role, Token, token_of
from promotion_pipeline.config import Settings
from promotion_pipeline.errors import ForbiddenError
from promotion_pipeline.store.database import Store

CRON_ACTOR = "cron"
CRON_SECRET_HEADER = "X-Cron-Secret"
_MARK = "__door_access__"

_Endpoint = TypeVar("_Endpoint", bound=Callable[..., Any])


class Access(StrEnum):
    """What a route asks for."""

    PUBLIC = "public"
    """Nothing."""
    VIEWER = "viewer"
    """A token of a viewer, an operator or an admin."""
    OPERATOR = "operator"
    """A token of an operator or an admin."""
    ADMIN = "admin"
    """A token of an admin."""
    SWEEP = "sweep"
    """A token of an operator or an admin, or the cron secret."""
    INGEST = "ingest"
    """A token for requests and events, or an admin's."""
    EVALUATE = "evaluate"
    """A token for flags, or one of a viewer, an operator or an admin."""

    @property
    def role(self) -> Role | None:
        """The least role that a token must have; None: no token is asked for."""
        match self:
            case Access.PUBLIC:
                return None
            case Access.VIEWER:
                return Role.VIEWER
            case Access.OPERATOR | Access.SWEEP:
                return Role.OPERATOR
            case Access.ADMIN:
                return Role.ADMIN
            case Access.INGEST:
                return Role.INGEST
            case Access.EVALUATE:
                return Role.EVALUATE
            case _ as never:
                assert_never(never)


@dataclass(frozen=True)
class Principal:
    """Whom the credential names."""

    actor: str
    """Who the history says acted."""
    role: str
    token_id: UUID | None = None
    """None: the cron secret."""
    on_behalf: bool = False
    """It may name the person who acts."""

    @property
    def key(self) -> str:
        """What tells this principal's idempotency keys from everybody else's."""
        return CRON_ACTOR if self.token_id is None else f"token:{self.token_id}"


NOBODY = Principal("-", "none")


def needs(access: Access) -> Callable[[_Endpoint], _Endpoint]:
    """Say what a route asks for; a route without this mark is refused when the application is built."""

    def mark(endpoint: _Endpoint) -> _Endpoint:
        setattr(endpoint, _MARK, access)
        return endpoint

    return mark


def access_of(endpoint: Callable[..., Any]) -> Access:
    """What `needs` said.

    Raises:
        RuntimeError: nothing was said.
    """
    access = getattr(endpoint, _MARK, None)
    if not isinstance(access, Access):
        raise RuntimeError(f"route {endpoint.__qualname__} does not say who may call it: add @needs(Access....)")
    return access


def identify(store: Store, settings: Settings, access: Access, request: Request, body: bytes) -> Principal:
    """Whom the request comes from, if that is enough for the route.

    Raises:
        Problem: 401, no credential or a wrong one.
        ForbiddenError: the token's role is not enough.
        DependencyError: the database is down.
    """
    role = access.role
    if role is None:
        return NOBODY
    if access is Access.SWEEP and _has_cron_secret(settings, request, body):
        return Principal(CRON_ACTOR, CRON_ACTOR)
    secret = bearer(request)
    if secret is None:
        raise unauthenticated(_how(access))
    token = token_of(store, secret)
    if token is None:
        raise unauthenticated(
            "this token is unknown, expired or revoked: make one with `promotion-pipeline tokens create`"
        )
    require_role(token, role)
    return Principal(token.name, token.role.value, token.id, token.on_behalf)


def require_role(token: Token, role: Role) -> None:
    """Refuse a token that does not allow what `role` does.

    Raises:
        ForbiddenError: it does not.
    """
    if not token.role.includes(role):
        raise ForbiddenError(
            f"token {token.name!r} has the role {token.role.value}, this needs {role.value}:"
            f" use another token, or make one with `promotion-pipeline tokens create NAME --role {role.value}`"
        )


def equal_secrets(given: bytes, expected: bytes) -> bool:
    """Compare without telling by the time taken where they differ, or how long the expected one is."""
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(expected).digest())


def _how(access: Access) -> str:
    also = f", or the cron secret as {CRON_SECRET_HEADER} or `cronSecret`" if access is Access.SWEEP else ""
    return f"a credential is needed: send Authorization: Bearer with a token{also}"


def bearer(request: Request) -> str | None:
    """The secret of the Authorization header; None: there is no such header.

    Raises:
        Problem: it is none of ours, or there are two.
    """
    headers = request.headers.getlist("authorization")
    if not headers:
        return None
    if len(headers) > 1:
        raise Problem(400, "malformed-request", "there is more than one Authorization header")
    scheme, _, secret = headers[0].partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise unauthenticated("Authorization must be: Bearer, a blank, and the token")
    return secret.strip()


def _has_cron_secret(settings: Settings, request: Request, body: bytes) -> bool:
    if settings.cron_secret is None:
        return False
    expected = settings.cron_secret.get_secret_value().encode("utf-8", "surrogateescape")
    return any(equal_secrets(given, expected) for given in _offered(request, body))


def _offered(request: Request, body: bytes) -> list[bytes]:
    """Every form in which schedulers send the secret, as bytes."""
    raw = {name.lower(): value for name, value in request.scope["headers"]}
    offered = [raw[name] for name in (CRON_SECRET_HEADER.lower().encode(),) if name in raw]
    scheme, _, credential = raw.get(b"authorization", b"").partition(b" ")
    if scheme.lower() == b"bearer":
        offered.append(credential.strip())
    secret = json_object(body).get("cronSecret")
    if isinstance(secret, str):
        offered.append(secret.encode("utf-8", "surrogatepass"))
    return offered


def json_object(body: bytes) -> Mapping[str, Any]:
    """The JSON object of a body; empty for anything else, which is for the route to refuse."""
    try:
        value = json.loads(body) if body else None
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
