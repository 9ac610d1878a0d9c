"""The sweep: what a cron job calls every hour."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from promotion_pipeline.api.access import Access, needs
from promotion_pipeline.api.bodies import Answer, SweepBody, Text
from promotion_pipeline.api.guard import GuardedRequest, GuardedRoute, context_of
from promotion_pipeline.config import parse_config
from promotion_pipeline.cron import run_sweep
from promotion_pipeline.promotion.record.models import AutoCheckResult

router = APIRouter(prefix="/api/monitoring/auto-promotion", route_class=GuardedRoute, tags=["sweep"])


@router.post("/check", operation_id="runAutoCheck")
@needs(Access.SWEEP)
def run(
    context: Annotated[GuardedRequest, Depends(context_of)], body: SweepBody | None = None
) -> Answer[AutoCheckResult]:
    """Watch, take ramp steps, check every running experiment, promote or ask, and tell people."""
    asked = body or SweepBody()
    context.claim(userId=asked.user_id)
    config = None if asked.config is None else parse_config(asked.config)
    return Answer(data=run_sweep(context.actor, config, store=context.store))


@router.get("/check", operation_id="runAutoCheckByGet")
@needs(Access.SWEEP)
def run_by_get(
    context: Annotated[GuardedRequest, Depends(context_of)],
    user_id: Annotated[Text | None, Query(alias="userId", description="As in the body of a POST.")] = None,
) -> Answer[AutoCheckResult]:
    """The same for schedulers that can only send a GET, with the secret in a header."""
    context.claim(userId=user_id)
    return Answer(data=run_sweep(context.actor, store=context.store))
