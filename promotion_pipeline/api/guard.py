"""The way into every route: identify, check the query, act once an Idempotency-Key, record who asked."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import anyio
import psycopg
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from promotion_pipeline.api import door_audit, problems
from promotion_pipeline.api.access import NOBODY, Access, Principal, access_of, identify, json_object
from promotion_pipeline.api.batching import CheckBatcher
from promotion_pipeline.api.evaluation import EvaluationDoor
from promotion_pipeline.api.health import HealthProbe
from promotion_pipeline.api.idempotency import KeyClaim, StoredAnswer, try_claim
from promotion_pipeline.api.problems import Problem, suggestion
from promotion_pipeline.api.tokens import checked_name
from promotion_pipeline.config import Settings
from promotion_pipeline.errors import PromotionError
from promotion_pipeline.promotion.record.transaction import asked_through
from promotion_pipeline.store.database import Store

IDEMPOTENCY_HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotent-Replayed"
WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
LONGEST_WAIT_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 0.02
_LONGEST_PAUSE_SECONDS = 0.5
_KEY = re.compile(r"[\x21-\x7e]{1,200}")
_STORED = frozenset({404, 409})
"""Refusals that the state gave: kept like a success. A 4xx of form or credential is not, no act was tried."""

logger = logging.getLogger(__name__)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


@dataclass(frozen=True)
class Door:
    """What the routes of one application share."""

    store: Store
    settings: Settings
    checks: CheckBatcher

    @cached_property
    def health(self) -> HealthProbe:
        """What /health asks."""
        return HealthProbe(self.store)

    @cached_property
    def evaluation(self) -> EvaluationDoor:
        """What answers evaluations of flags."""
        return EvaluationDoor(self.store, self.settings)


@dataclass
class GuardedRequest:
    """One request: who came, and what the body said about who is acting."""

    door: Door
    request_id: str
    principal: Principal = NOBODY
    idempotency_key: str | None = None
    fingerprint: bytes = b""
    """Of a request with an Idempotency-Key: what must be the same when it is sent again."""
    claims: dict[str, str] = field(default_factory=dict)
    """Who the body says is acting, by the member that says so."""
    person: str | None = None
    """On whose behalf the credential acts, if it may."""
    code: str | None = None
    """The problem's code, if one was answered."""
    csrf: str | None = None
    """What the forms of this visitor's session must send back; None: there is no session."""
    form: dict[str, str] = field(default_factory=dict)
    """The fields of a form."""

    @property
    def store(self) -> Store:
        """The database."""
        return self.door.store

    @property
    def actor(self) -> str:
        """Who the history says acted: the credential's name, or the person that it may speak for."""
        return self.person or self.principal.actor

    def claim(self, **named: str | None) -> None:
        """Note who the body says is acting, where that is somebody else; the first one named counts.

        Raises:
            InputError: the credential may speak for people, and this is no person's name.
        """
        own = self.principal.actor
        said = {name: text for name, text in named.items() if text is not None and text != own}
        self.claims.update(said)
        if self.principal.on_behalf and said:
            name, text = next(iter(said.items()))
            self.person = checked_name(text, name)

    def mark(self) -> dict[str, Any]:
        """What is kept with the record of the act, to find the request that caused it."""
        marks = {
            "requestId": self.request_id,
            "idempotencyKey": self.idempotency_key,
            "claimed": self.claims or None,
        }
        return {"http": {name: value for name, value in marks.items() if value is not None}}

    def audit_mark(self) -> dict[str, Any]:
        """The same for the audit, where an act is looked for if its answer was lost."""
        fingerprint = {"fingerprint": self.fingerprint.hex()} if self.fingerprint else {}
        return {"http": {**self.mark()["http"], "through": self.principal.actor, **fingerprint}}


class GuardedRoute(APIRoute):
    """A route that nothing reaches without a credential, unless it is marked as public."""

    is_recorded = True
    """Whether each write that is asked for leaves a row in `api_audit`."""

    def get_route_handler(self) -> Handler:
        """FastAPI's handler behind the guard."""
        original, access = super().get_route_handler(), access_of(self.endpoint)

        async def handler(request: Request) -> Response:
            context = GuardedRequest(request.app.state.door, request.scope["request_id"])
            request.scope["context"] = context
            try:
                response = await self.let_in(context, access, request, original)
            except Exception as error:
                problem = problems.problem_of(error)
                context.code = problem.code
                response = self.refuse(context, request, problem)
            is_act = request.method in WRITES or access is Access.SWEEP
            if self.is_recorded and is_act and context.principal is not NOBODY:
                await _record(context, request, response.status_code)
            return response

        return handler

    async def let_in(self, context: GuardedRequest, access: Access, request: Request, act: Handler) -> Response:
        """Identify, check the query, act.

        Raises:
            Problem, PromotionError: the request is refused.
        """
        is_write = request.method in WRITES
        body = await request.body() if is_write else b""
        if access is not Access.PUBLIC:
            # In a thread, as it asks the database. Public routes need none, so they answer though all threads are busy.
            context.principal = await run_in_threadpool(
                identify, context.store, context.door.settings, access, request, body
            )
        request.state.principal = context.principal
        _check_query(request, sorted(parameter.alias for parameter in self.dependant.query_params))
        if is_write and access is not Access.PUBLIC:
            context.idempotency_key = _key_of(request)
        with asked_through(context.audit_mark):
            if context.idempotency_key is None:
                return await act(request)
            context.fingerprint = _fingerprint(request, body)
            return await _once(context, context.idempotency_key, request, act)

    def refuse(self, context: GuardedRequest, request: Request, problem: Problem) -> Response:  # noqa: ARG002
        """The answer to a request that was not let in, or whose act was refused."""
        return problems.response_of(request, problem)


def context_of(request: Request) -> GuardedRequest:
    """Dependency: the context that the guard let in."""
    context = request.scope["context"]
    assert isinstance(context, GuardedRequest)
    return context


def _check_query(request: Request, known: list[str]) -> None:
    """Refuse query parameters that the route does not have, and those that are given twice.

    Raises:
        Problem: there is one; says which, and what it could have meant.
    """
    given = [name for name, _ in request.query_params.multi_items()]
    for name in given:
        if name not in known:
            sentence = f"unknown query parameter {name!r}{suggestion(name, known)}"
            raise Problem(422, "invalid-input", sentence, errors=[{"in": "query", "name": name, "message": sentence}])
        if given.count(name) > 1:
            sentence = f"query parameter {name!r} is given {given.count(name)} times: give it once"
            raise Problem(422, "invalid-input", sentence, errors=[{"in": "query", "name": name, "message": sentence}])


def _key_of(request: Request) -> str | None:
    keys = request.headers.getlist(IDEMPOTENCY_HEADER)
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise Problem(
            422,
            "invalid-input",
            f"{IDEMPOTENCY_HEADER} must be one header of 1 to 200 visible ASCII characters, for example a UUID",
        )
    return keys[0]


def _fingerprint(request: Request, body: bytes) -> bytes:
    """Method, path and body; a JSON object is the same whatever the order of its members, and without its secret."""
    members = json_object(body)
    public = {name: value for name, value in members.items() if name != "cronSecret" or not isinstance(value, str)}
    content = json.dumps(public, sort_keys=True).encode() if members else body
    address = f"{request.method} {request.url.path}?{request.url.query}\n".encode("utf-8", "surrogatepass")
    return hashlib.sha256(address + content).digest()


async def _once(context: GuardedRequest, key: str, request: Request, act: Handler) -> Response:
    """Act unless this key has an answer already; a second request with the key waits for the first."""
    claim = await _claimed(context, key, context.fingerprint)
    try:
        if claim.stored is not None:
            return Response(
                claim.stored.body,
                claim.stored.status,
                {REPLAYED_HEADER: "true"},
                claim.stored.media_type,
            )
        response = await _answered(context, request, act)
        await _keep(claim, response)
        return response
    finally:
        await _even_if_cancelled(claim.release)


async def _claimed(context: GuardedRequest, key: str, fingerprint: bytes) -> KeyClaim:
    """Wait for the key without holding a thread: those who wait must not starve the one that acts."""
    pause = _FIRST_PAUSE_SECONDS
    with anyio.move_on_after(LONGEST_WAIT_SECONDS):
        while True:
            claim = await run_in_threadpool(try_claim, context.store, context.principal.key, key, fingerprint)
            if claim is not None:
                return claim
            await anyio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
    raise Problem(
        409,
        "request-in-progress",
        f"another request with this {IDEMPOTENCY_HEADER} is still at work: try again in a moment",
        headers={"Retry-After": str(problems.RETRY_AFTER_SECONDS)},
    )


async def _answered(context: GuardedRequest, request: Request, act: Handler) -> Response:
    """The answer, refusals included."""
    try:
        return await act(request)
    except PromotionError as error:
        problem = problems.problem_of(error)
        context.code = problem.code
        return problems.response_of(request, problem)


async def _keep(claim: KeyClaim, response: Response) -> None:
    if not (response.status_code < 300 or response.status_code in _STORED):
        return
    media_type = response.headers.get("content-type", "application/json")
    answer = StoredAnswer(response.status_code, bytes(response.body).decode(), media_type)
    try:
        await run_in_threadpool(claim.finish, answer)
    except psycopg.Error:
        logger.exception("the act is done, but its answer could not be kept for its Idempotency-Key")


async def _even_if_cancelled(work: Callable[[], None]) -> None:
    with anyio.CancelScope(shield=True):
        await run_in_threadpool(work)


async def _record(context: GuardedRequest, request: Request, status: int) -> None:
    name = request.path_params.get("name")
    route = getattr(request.scope.get("route"), "path", request.url.path)
    record = door_audit.DoorRecord(
        request_id=context.request_id,
        actor=context.principal.actor,
        role=context.principal.role,
        token_id=context.principal.token_id,
        method=request.method,
        route=route,
        experiment_name=None if name is None else str(name).replace("\x00", "\ufffd"),
        claims=context.claims,
        status=status,
        code=context.code,
    )
    try:
        await run_in_threadpool(door_audit.append, context.store, record)
    except (PromotionError, psycopg.Error):
        # Nothing is lost: the act's own transaction wrote it to promotion_audit.
        logger.exception("the request could not be written to api_audit")
