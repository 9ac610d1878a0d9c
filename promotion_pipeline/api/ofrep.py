"""The OpenFeature Remote Evaluation Protocol (open-feature/protocol, 0.3) and flagd's definition of the same flags.

Bodies, codes and statuses are the protocol's, not those of our own API; its published OpenAPI describes them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from promotion_pipeline.api.access import Access, access_of, needs
from promotion_pipeline.api.evaluation import EvaluationDoor
from promotion_pipeline.api.guard import GuardedRoute, Handler
from promotion_pipeline.api.problems import RETRY_AFTER_SECONDS, problem_of, response_of
from promotion_pipeline.traffic.kept import Looked
from promotion_pipeline.traffic.serving import LONGEST_TARGETING_KEY, FlagAnswer, ServedFlags

BASE = "/ofrep/v1/evaluate/flags"
PATHS = (BASE, "/flagd/")

logger = logging.getLogger(__name__)


class EvaluationError(Exception):
    """A request that cannot be evaluated: the protocol's status and code."""

    def __init__(self, status: int, code: str, details: str) -> None:
        super().__init__(details)
        self.status = status
        self.code = code
        self.details = details


class EvaluationRoute(GuardedRoute):
    """A route that asks no database: tokens and flags are in memory, nothing is written about a request."""

    def get_route_handler(self) -> Handler:
        """The endpoint itself behind the token and the limit: FastAPI's own reading of requests costs as much."""
        endpoint = self.endpoint
        assert access_of(endpoint) is Access.EVALUATE

        async def handler(request: Request) -> Response:
            door: EvaluationDoor = request.app.state.door.evaluation
            try:
                request.state.principal = principal = await door.identify(request)
                assert principal.token_id is not None
                wait = door.limit.wait_seconds(principal.token_id)
                if wait > 0:
                    return Response(status_code=429, headers={"Retry-After": str(math.ceil(wait))})
                response: Response = await endpoint(request)
            except EvaluationError as error:
                return _failed(error, request.path_params.get("key"))
            except Exception as error:
                return _refused(request, error)
            return response

        return handler


router = APIRouter(route_class=EvaluationRoute, include_in_schema=False)


@router.post(BASE + "/{key:path}")
@needs(Access.EVALUATE)
async def evaluate(request: Request) -> Response:
    """One flag for one user."""
    targeting_key = _targeting_key(await _context(request))
    looked = await _flags(request)
    key = request.path_params["key"]
    return _json(200, _evaluated(looked, key, targeting_key), looked)


@router.post(BASE)
@needs(Access.EVALUATE)
async def evaluate_all(request: Request) -> Response:
    """Every flag for one user; 304 where nothing has changed for that user since the ETag that is sent."""
    context = await _context(request)
    targeting_key = _targeting_key(context)
    looked = await _flags(request)
    etag = _etag(looked, json.dumps(context, sort_keys=True))
    if _has(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    served = looked.value
    flags: list[dict[str, Any]] = []
    for key in sorted({*served.flags.experiments, *served.flags.refused}):
        try:
            flags.append(_evaluated(looked, key, targeting_key))
        except EvaluationError as error:
            flags.append(_failure(error, key))
    body = {"flags": flags, "metadata": {"version": served.version, **_staleness(looked)}}
    return _json(200, body, looked, {"ETag": etag})


@router.get("/flagd/flags.json")
@needs(Access.EVALUATE)
async def flagd_flags(request: Request) -> Response:
    """Every flag as flagd reads it."""
    looked = await _flags(request)
    etag = f'"{looked.value.version}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache", **_stale_header(looked)}
    if _has(request, etag):
        return Response(status_code=304, headers=headers)
    return Response(looked.value.document, 200, headers, "application/json")


async def _flags(request: Request) -> Looked[ServedFlags]:
    door: EvaluationDoor = request.app.state.door.evaluation
    return await door.flags()


async def _context(request: Request) -> Mapping[str, Any]:
    """The evaluation context of a body.

    Raises:
        EvaluationError: it has none.
    """
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        raise EvaluationError(400, "PARSE_ERROR", "the body is no JSON") from None
    context = body.get("context") if isinstance(body, dict) else None
    if not isinstance(context, dict):
        raise EvaluationError(400, "INVALID_CONTEXT", 'the body must be {"context": {"targetingKey": "..."}}')
    return context


def _targeting_key(context: Mapping[str, Any]) -> str:
    """Who is asked for.

    It is asked for even where everybody gets the same: an application that lacks it should learn so at once, not when
    its next experiment begins.

    Raises:
        EvaluationError: nobody, or what is no key.
    """
    key = context.get("targetingKey")
    if key is None or key == "":
        raise EvaluationError(400, "TARGETING_KEY_MISSING", "the context has no targetingKey: send the user's id")
    if not isinstance(key, str) or len(key) > LONGEST_TARGETING_KEY or any("\ud800" <= c <= "\udfff" for c in key):
        raise EvaluationError(
            400, "INVALID_CONTEXT", f"targetingKey must be text of at most {LONGEST_TARGETING_KEY} characters"
        )
    return key


def _evaluated(looked: Looked[ServedFlags], key: str, targeting_key: str) -> dict[str, Any]:
    served = looked.value
    if key in served.flags.refused:
        raise EvaluationError(400, "GENERAL", served.flags.refused[key])
    if key not in served.flags.experiments:
        raise EvaluationError(
            404,
            "FLAG_NOT_FOUND",
            f'no experiment names the flag {key!r}: set its traffic_target to {{"kind": "ofrep", "flag": "..."}}',
        )
    return _success(served.answer(key, targeting_key), looked)


def _success(answer: FlagAnswer, looked: Looked[ServedFlags]) -> dict[str, Any]:
    """A success; clients read `variant` and `reason` of every one. Without `value` the application's default counts."""
    value = {} if answer.value is None else {"value": answer.value}
    return {
        "key": answer.key,
        **value,
        "reason": answer.reason,
        "variant": answer.variant,
        "metadata": {**answer.metadata, **_staleness(looked)},
    }


def _staleness(looked: Looked[ServedFlags]) -> dict[str, Any]:
    if not looked.is_stale:
        return {}
    return {"stale": True, "asOf": datetime.fromtimestamp(looked.wall_clock, UTC).isoformat(timespec="seconds")}


def _stale_header(looked: Looked[ServedFlags]) -> dict[str, str]:
    return {"Warning": '110 promotion-pipeline "Response is Stale"'} if looked.is_stale else {}


def _etag(looked: Looked[ServedFlags], context: str) -> str:
    content = f"{looked.value.version} {looked.value.hash} {looked.is_stale} {context}"
    return f'"{hashlib.sha256(content.encode()).hexdigest()[:32]}"'


def _has(request: Request, etag: str) -> bool:
    """Whether the client says that it has this already."""
    tags = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    # A client that leaves the quotes out still means this one.
    return etag in tags or etag.strip('"') in tags


def _json(
    status: int, body: Mapping[str, Any], looked: Looked[ServedFlags] | None = None, headers: Mapping[str, str] = {}
) -> Response:
    stale = {} if looked is None else _stale_header(looked)
    return Response(json.dumps(body), status, {**headers, **stale}, "application/json")


def _failure(error: EvaluationError, key: str | None) -> dict[str, Any]:
    named = {} if key is None else {"key": key}
    return {**named, "errorCode": error.code, "errorDetails": error.details}


def _failed(error: EvaluationError, key: str | None) -> Response:
    return _json(error.status, _failure(error, key))


def _refused(request: Request, error: Exception) -> Response:
    """What is no matter of a flag: no credential (our own problem, the protocol asks for none), or nothing to say yet.

    The protocol knows no 503: what lacks a database that it never saw is its 500.
    """
    problem = problem_of(error)
    if problem.status < 500:
        return response_of(request, problem)
    details = {"errorDetails": problem.detail}
    return _json(500, details, None, {"Retry-After": str(RETRY_AFTER_SECONDS)} if problem.status == 503 else {})
