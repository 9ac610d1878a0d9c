"""The sweep: what a cron job calls every hour."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from promotion_pipeline.api.access import Access, needs
from promotion_pipeline.api.bodies import Answer, SweepBody
from promotion_pipeline.api.guard import GuardedRoute, Visit, visit_of
from promotion_pipeline.config import parse_config
from promotion_pipeline.promotion.models import AutoCheckResult
from promotion_pipeline.promotion.sweep import auto_check_promotions

router = APIRouter(prefix="/api/monitoring/auto-promotion", route_class=GuardedRoute, tags=["sweep"])


@router.post("/check", operation_id="runAutoCheck")
@needs(Access.SWEEP)
def run(here: Annotated[Visit, Depends(visit_of)], body: SweepBody | None = None) -> Answer[AutoCheckResult]:
    """Check every running experiment; promote what may be promoted unattended, ask about the rest eligible."""
    asked = body or SweepBody()
    here.claim(userId=asked.user_id)
    config = None if asked.config is None else parse_config(asked.config)
    return Answer(data=auto_check_promotions(here.actor, config, store=here.store))
