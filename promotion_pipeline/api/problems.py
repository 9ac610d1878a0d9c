"""Errors as `application/problem+json` (RFC 9457), always with `"success": false`."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import BaseRoute, Match, Route

from promotion_pipeline.errors import NotEligibleError, PromotionError

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 5
TYPE_PREFIX = "urn:promotion-pipeline:problem:"

logger = logging.getLogger(__name__)

_CODES = {
    400: "malformed-request",
    404: "not-found",
    405: "method-not-allowed",
    413: "body-too-large",
    500: "internal-error",
}


class Problem(Exception):  # noqa: N818 - it is what RFC 9457 calls it
    """An answer that is an error of the door itself; the lifecycle's errors are `PromotionError`."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
        eligibility: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.errors = list(errors)
        self.eligibility = eligibility


def unauthenticated(detail: str) -> Problem:
    """401, with the scheme that would be accepted."""
    return Problem(401, "unauthenticated", detail, headers={"WWW-Authenticate": 'Bearer realm="promotion-pipeline"'})


def problem_of(error: Exception) -> Problem:
    """What to answer to an error; the unexpected is logged and becomes a 500 that says nothing of its cause."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, PromotionError):
        return _from_product(error)
    if isinstance(error, RequestValidationError):
        return _from_validation(error)
    if isinstance(error, HTTPException):
        code = _CODES.get(error.status_code, "error")
        return Problem(error.status_code, code, _sentence(error), headers=error.headers)
    if _is_database_fault(error):
        logger.error("the database went away: %s", " ".join(str(error).split()))
        return _unavailable("dependency-down")
    logger.error("unexpected error", exc_info=error)
    return Problem(500, "internal-error", "something went wrong here; the log has more under this requestId")


def response_of(request: Request, problem: Problem) -> JSONResponse:
    """The problem as a response."""
    raw = request.scope.get("raw_path")
    body: dict[str, Any] = {
        "success": False,
        "type": TYPE_PREFIX + problem.code,
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": raw.decode("ascii", "replace") if raw else request.url.path,
        "code": problem.code,
        "requestId": request.scope.get("request_id", ""),
    }
    if problem.errors:
        body["errors"] = problem.errors
    if problem.eligibility is not None:
        # So that the answer tells which check failed, and by how much.
        body["checks"] = problem.eligibility["checks"]
        body["eligibility"] = problem.eligibility
    return JSONResponse(body, problem.status, problem.headers, MEDIA_TYPE)


async def answer_error(request: Request, error: Exception) -> JSONResponse:
    """Exception handler of the application."""
    return response_of(request, problem_of(error))


async def answer_wrong_method(routes: Sequence[BaseRoute], request: Request, _: Exception) -> JSONResponse:
    """405, with the methods of every route at this address: the router knows only those of the first."""
    methods = {
        method
        for route in routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }
    allowed = ", ".join(sorted(methods))
    sentence = f"this address does not take {request.method}; it takes {allowed}"
    return response_of(request, Problem(405, _CODES[405], sentence, headers={"Allow": allowed}))


def suggestion(name: str, known: Sequence[str]) -> str:
    """The end of a sentence about an unknown name."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are {', '.join(known)}" if known else "; none is known here"


def _from_product(error: PromotionError) -> Problem:
    if error.http_status == HTTPStatus.SERVICE_UNAVAILABLE:
        logger.error("%s", error)
        return _unavailable(error.code)
    if error.http_status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("failed: %s", error)
    eligibility = error.eligibility if isinstance(error, NotEligibleError) else None
    return Problem(error.http_status, error.code, str(error), eligibility=eligibility)


def _unavailable(code: str) -> Problem:
    # The error's own sentence names the database server, and this may answer somebody without a credential.
    detail = (
        "the database cannot be reached at the moment, the log has more under this requestId; try again:"
        " if this was a write, the history tells whether it was recorded"
    )
    return Problem(503, code, detail, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def _from_validation(error: RequestValidationError) -> Problem:
    errors = [_validation_item(item) for item in error.errors()]
    detail = "; ".join(f"{item['in']} {item['name']}: {item['message']}".replace(" :", ":") for item in errors)
    return Problem(422, "invalid-input", detail, errors=errors)


def _validation_item(item: Mapping[str, Any]) -> dict[str, str]:
    """One entry of `errors`; what was sent is not repeated, since it may be a secret."""
    where, *path = item["loc"]
    is_position = item["type"] == "json_invalid"
    message = str(item["msg"]).removeprefix("Value error, ")
    if (where, path, item["type"]) == ("body", [], "missing"):
        message = "a JSON body is needed; where something on the way drops the body of a DELETE, use POST .../rollback"
    if (where, path, item["type"]) == ("body", [], "model_attributes_type"):
        message = "must be a JSON object, sent with Content-Type: application/json"
    if is_position:
        message = f"is no JSON: {item.get('ctx', {}).get('error', 'malformed')} at character {path[0] if path else 0}"
    return {"in": str(where), "name": "" if is_position else ".".join(map(str, path)), "message": message}


def _sentence(error: HTTPException) -> str:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return "there is nothing at this address: see /openapi.json for the routes"
    return str(error.detail)


def _is_database_fault(error: BaseException) -> bool:
    """Whether a driver lost its server; ADBC's errors are told by name, since not every route loads it."""
    kinds = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.ReadOnlySqlTransaction)
    if isinstance(error, kinds):
        return True
    return any(
        kind.__name__ in {"OperationalError", "InterfaceError"} and kind.__module__.startswith("adbc_driver_manager")
        for kind in type(error).__mro__
    )
