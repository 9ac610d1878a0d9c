"""The description of the API: what FastAPI knows, and the credentials, headers and refusals that the guard adds."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from promotion_pipeline.api.access import CRON_SECRET_HEADER, Access, access_of
from promotion_pipeline.api.guard import IDEMPOTENCY_HEADER, WRITES, GuardedRoute
from promotion_pipeline.api.middleware import REQUEST_ID_HEADER
from promotion_pipeline.api.problems import MEDIA_TYPE

SUMMARY = """Check, promote, roll back and look up A/B experiments.

Every answer is `{"success": true, "data": ...}`; every error is `application/problem+json` with `"success": false`
and a `code` to branch on. Rates are fractions; `confidence`, `improvement` and names with `Percent` are percent;
times are UTC. Tokens are made with `promotion-pipeline tokens create NAME --role viewer|operator|admin`, those of
applications with `--role ingest` (requests and events in) and `--role evaluate` (flags: by the OpenFeature Remote
Evaluation Protocol at `/ofrep/v1/evaluate/flags`, whose own description is published, and at `/flagd/flags.json`)."""

BEARER, CRON = "token", "cronSecret"

PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["success", "type", "title", "status", "detail", "instance", "code", "requestId"],
    "properties": {
        "success": {"const": False},
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong and what to do next."},
        "instance": {"type": "string"},
        "code": {"type": "string", "description": "Stable; to branch on."},
        "requestId": {"type": "string"},
        "checks": {"type": "array", "description": "Of a promotion that is refused: what each check saw and asked."},
        "eligibility": {"type": "object", "description": "Of a promotion that is refused: the whole check."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["in", "name", "message"],
                "properties": {
                    "in": {"type": "string"},
                    "name": {"type": "string"},
                    "message": {"type": "string"},
                },
            },
        },
    },
}

_REFUSALS = {
    400: "The request is malformed.",
    401: "No credential, or a wrong one.",
    403: "The token's role is not enough.",
    404: "There is no such experiment.",
    409: "The state does not allow it; `code` says which: not-eligible, withheld, already-promoted, held,"
    " split-drift, nothing-to-roll-back, conflict, request-in-progress.",
    413: "The body is larger than 64 KiB; of requests and events, than 8 MiB.",
    415: "The body is compressed.",
    422: "A value, a name or the Idempotency-Key cannot be used.",
    503: "The database is down; see Retry-After.",
}


def describe(app: FastAPI, routes: list[GuardedRoute]) -> None:
    """Give the application its `openapi()`."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app, routes)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def api_routes(app: FastAPI) -> list[GuardedRoute]:
    """Every route of the application.

    Raises:
        RuntimeError: one is there that the guard does not stand before.
    """
    guarded = [route for route in app.routes if isinstance(route, GuardedRoute)]
    if len(guarded) < len(app.routes):
        raise RuntimeError(f"not every route is guarded: {[route for route in app.routes if route not in guarded]}")
    return guarded


def _described(app: FastAPI, routes: list[GuardedRoute]) -> dict[str, Any]:
    schema = get_openapi(title=app.title, version=app.version, description=SUMMARY, routes=routes)
    components = schema.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = PROBLEM_SCHEMA
    components["securitySchemes"] = {
        BEARER: {"type": "http", "scheme": "bearer"},
        CRON: {"type": "apiKey", "in": "header", "name": CRON_SECRET_HEADER},
    }
    components["headers"] = {"RequestId": {"schema": {"type": "string"}, "description": "Also in the server's log."}}
    for route in routes:
        if route.include_in_schema:
            for method in route.methods or ():
                _complete(schema["paths"][route.path_format][method.lower()], method, access_of(route.endpoint))
    return schema


def _complete(operation: dict[str, Any], method: str, access: Access) -> None:
    """Credentials, headers and refusals of one operation."""
    is_write = method in WRITES
    has_input = bool(operation.get("parameters")) or is_write
    refused = {503: True, 401: access is not Access.PUBLIC, 403: access is not Access.PUBLIC, 422: True}
    refused |= {400: access is not Access.PUBLIC, 404: has_input, 409: is_write, 413: is_write}
    refused[415] = access is Access.INGEST
    for status in sorted(status for status, applies in refused.items() if applies):
        operation["responses"][str(status)] = {
            "description": _REFUSALS[status],
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    for response in operation["responses"].values():
        response["headers"] = {REQUEST_ID_HEADER: {"$ref": "#/components/headers/RequestId"}}
    operation["security"] = _security(access)
    if is_write:
        operation.setdefault("parameters", []).append(_IDEMPOTENCY)


def _security(access: Access) -> list[dict[str, list[str]]]:
    if access is Access.PUBLIC:
        return []
    return [{BEARER: []}, {CRON: []}] if access is Access.SWEEP else [{BEARER: []}]


_IDEMPOTENCY = {
    "name": IDEMPOTENCY_HEADER,
    "in": "header",
    "required": False,
    "description": "The same key and body within 7 days give the stored answer; another body is refused.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 200, "pattern": r"^[\x21-\x7e]+$"},
}
