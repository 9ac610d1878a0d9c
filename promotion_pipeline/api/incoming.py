"""Requests and events in: batches of JSON or of lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request

from promotion_pipeline.api.access import Access, needs
from promotion_pipeline.api.bodies import Answer, Given
from promotion_pipeline.api.guard import GuardedRequest, GuardedRoute, context_of
from promotion_pipeline.api.problems import Problem
from promotion_pipeline.errors import InputError
from promotion_pipeline.traffic import rows
from promotion_pipeline.traffic.arrival import take_events, take_outcomes, take_requests
from promotion_pipeline.traffic.incoming import (
    MOST_ROWS,
    IncomingBatch,
    IncomingEvent,
    IncomingOutcome,
    IncomingRequest,
    Taken,
    read_batch,
)
from promotion_pipeline.traffic.rows import Row, WholeBatches

REQUESTS, EVENTS = "/api/monitoring/requests", "/api/monitoring/events"
BATCH_BYTES = 8 * 1024 * 1024
LARGER_BODIES = {REQUESTS: BATCH_BYTES, EVENTS: BATCH_BYTES}


class RejectedRow(Given):
    """A row that was not taken."""

    row: int
    """Its place in the batch, from 0; in lines of JSON, blank lines are not counted."""
    id: str | None
    reason: str


class Arrived(Given):
    """What became of a batch."""

    accepted: int
    """Rows that were written."""
    repeated: int
    """Rows that changed nothing, for they were there already."""
    rejected: int
    reasons: list[RejectedRow]
    """Of every row that was rejected."""


class IncomingRoute(GuardedRoute):
    """A route whose rows are their own record: none is written about each batch."""

    is_recorded = False


async def _body(request: Request) -> bytes:
    """The body as it came.

    Raises:
        Problem: it is compressed: how large it would be is not known before it is read.
    """
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        sentence = f"bodies are not taken compressed ({encoding[:20]}): send them as they are"
        raise Problem(415, "unsupported-media-type", sentence)
    return await request.body()


Context = Annotated[GuardedRequest, Depends(context_of)]
Body = Annotated[bytes, Depends(_body)]

router = APIRouter(route_class=IncomingRoute, tags=["requests in"])


def _described(name: str, *kinds: type[IncomingRequest | IncomingEvent | IncomingOutcome]) -> dict[str, Any]:
    """The body for OpenAPI: the route reads it by itself."""
    schemas = [kind.model_json_schema() for kind in kinds]
    other = {"description": "Anything else is rejected by itself, with its reason; the rest is taken."}
    many = {"type": "array", "maxItems": MOST_ROWS, "items": {"anyOf": [*schemas, other]}}
    wrapped = {"type": "object", "required": [name], "properties": {name: many}, "additionalProperties": False}
    body = {"anyOf": [wrapped, many]}
    content = {"application/json": {"schema": body}, "application/x-ndjson": {"schema": {"type": "string"}}}
    return {"requestBody": {"required": True, "content": content}}


@router.post(REQUESTS, operation_id="sendRequests", openapi_extra=_described("requests", IncomingRequest))
@needs(Access.INGEST)
def requests(request: Request, context: Context, body: Body) -> Answer[Arrived]:
    """Log requests that an application served: `{"requests": [...]}`, or a line of JSON each (application/x-ndjson)."""
    batch = _whole(request, body, rows.REQUESTS)
    if batch is None:
        batch = read_batch(_rows(request, body, "requests"), lambda _: IncomingRequest).as_rows(rows.request_row)
    return Answer(data=_answer(take_requests(context.store, batch)))


@router.post(
    EVENTS,
    operation_id="sendEvents",
    openapi_extra=_described("events", IncomingEvent, IncomingOutcome),
    status_code=200,
)
@needs(Access.INGEST)
def events(request: Request, context: Context, body: Body) -> Answer[Arrived]:
    """Log outcomes: events by themselves, or, with `requestId`, what became of a request that was sent before."""
    whole = _whole(request, body, rows.EVENTS)
    if whole is not None:
        return Answer(data=_answer(take_events(context.store, whole)))
    batch = read_batch(_rows(request, body, "events"), _kind_of)
    of_events: IncomingBatch[IncomingEvent] = IncomingBatch(rejections=batch.rejections)
    of_outcomes: IncomingBatch[IncomingOutcome] = IncomingBatch()
    for place, row in batch.rows.items():
        if isinstance(row, IncomingEvent):
            of_events.rows[place] = row
        else:
            of_outcomes.rows[place] = row
    taken = [take_events(context.store, of_events.as_rows(rows.event_row))]
    if of_outcomes.rows:
        taken.append(take_outcomes(context.store, of_outcomes))
    return Answer(data=_answer(*taken))


def _kind_of(row: Mapping[str, Any]) -> type[IncomingEvent | IncomingOutcome]:
    return IncomingOutcome if "requestId" in row else IncomingEvent


def _answer(*taken: Taken) -> Arrived:
    rejections = sorted((one for part in taken for one in part.rejections), key=lambda one: one.row)
    return Arrived(
        accepted=sum(part.accepted for part in taken),
        repeated=sum(part.repeated for part in taken),
        rejected=len(rejections),
        reasons=[RejectedRow(row=one.row, id=one.id, reason=one.reason) for one in rejections],
    )


def _whole(request: Request, body: bytes, batches: WholeBatches[Row]) -> IncomingBatch[Row] | None:
    """The rows of a body that is right as a whole; None: it is not, or not known to be."""
    if not _is_lines(request):
        return batches.read(body)
    lines = [line for line in body.splitlines() if line.strip()]
    return batches.read_lines(lines) if len(lines) <= MOST_ROWS else None


def _is_lines(request: Request) -> bool:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return media_type in ("application/x-ndjson", "application/ndjson", "application/jsonl")


def _rows(request: Request, body: bytes, name: str) -> Sequence[object]:
    """The rows of a body.

    Raises:
        Problem: it is no JSON.
        InputError: it holds no rows, or too many.
    """
    if _is_lines(request):
        found: object = [_line(line) for line in body.splitlines() if line.strip()]
    else:
        found = _parsed(body)
        if isinstance(found, dict) and found.keys() == {name}:
            found = found[name]
    if not isinstance(found, list):
        raise InputError(f'the body must be {{"{name}": [...]}}, or a line of JSON a row as application/x-ndjson')
    if len(found) > MOST_ROWS:
        raise InputError(f"{len(found):,} rows are more than {MOST_ROWS:,}: send them in parts")
    return found


def _parsed(body: bytes) -> object:
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError):
        raise Problem(400, "malformed-request", "the body is no JSON") from None
    return parsed


def _line(line: bytes) -> object:
    """A row, or the error that stands for it."""
    try:
        parsed: object = json.loads(line)
    except RecursionError:
        return ValueError("nested too deeply")
    except ValueError as error:
        return ValueError(getattr(error, "msg", "malformed"))
    return parsed
