"""Health, the description of the API, what waits for a person, and tokens."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import JSONResponse
from starlette.requests import Request

from promotion_pipeline.api.access import Access, needs
from promotion_pipeline.api.bodies import Answer, Health, Listed, TokenInfo
from promotion_pipeline.api.guard import GuardedRequest, GuardedRoute, context_of
from promotion_pipeline.api.tokens import Token, list_tokens, revoke_token
from promotion_pipeline.promotion.act.approvals import open_approvals
from promotion_pipeline.promotion.history.overview import experiment_overviews
from promotion_pipeline.promotion.history.standing import traffic_by_experiment
from promotion_pipeline.promotion.ledger.ledger import Ledger, read_ledger
from promotion_pipeline.promotion.record.models import Approval
from promotion_pipeline.promotion.watch.alarms import open_alarms

Context = Annotated[GuardedRequest, Depends(context_of)]

router = APIRouter(route_class=GuardedRoute)


@router.get("/health", operation_id="health", tags=["system"])
@needs(Access.PUBLIC)
async def health(request: Request) -> Answer[Health]:
    """Whether requests can be served, within two seconds; 503 while the database is down, stalls, or is locked."""
    await request.app.state.door.health.look()
    return Answer(data=Health())


@router.get("/openapi.json", operation_id="describe", tags=["system"], include_in_schema=False)
@needs(Access.VIEWER)
def describe(request: Request) -> JSONResponse:
    """This API as OpenAPI."""
    described: dict[str, Any] = request.app.openapi()
    return JSONResponse(described)


@router.get("/api/monitoring/experiments", operation_id="listExperiments", tags=["experiments"])
@needs(Access.VIEWER)
def experiments(context: Context) -> Answer[list[Listed]]:
    """Every experiment with its alarms, its traffic, its newest decision of record, and what it waits for."""
    alarms = open_alarms(context.store)
    found = experiment_overviews(context.store)
    traffic = traffic_by_experiment(context.store)
    return Answer(
        data=[Listed(**dict(one), alarms=alarms.get(one.id, ()), traffic=traffic.get(one.id)) for one in found]
    )


@router.get("/api/monitoring/approvals", operation_id="listOpenApprovals", tags=["experiments"])
@needs(Access.VIEWER)
def waiting(context: Context) -> Answer[list[Approval]]:
    """Every request that waits for an answer or to be applied, newest first."""
    return Answer(data=open_approvals(context.store))


@router.get("/api/monitoring/ledger", operation_id="getLedger", tags=["experiments"])
@needs(Access.VIEWER)
def ledger(
    context: Context,
    experiment: Annotated[str | None, Query(description="Only this experiment's promotions.")] = None,
) -> Answer[Ledger]:
    """What each promotion promised and what came of it, and how the promises held altogether."""
    return Answer(data=read_ledger(experiment, store=context.store))


@router.get("/api/monitoring/tokens", operation_id="listTokens", tags=["tokens"])
@needs(Access.ADMIN)
def tokens(context: Context) -> Answer[list[TokenInfo]]:
    """Every token without its secret, revoked ones too; new ones are made on the command line."""
    return Answer(data=[_info(token) for token in list_tokens(context.store)])


@router.delete("/api/monitoring/tokens/{token_id}", operation_id="revokeToken", tags=["tokens"])
@needs(Access.ADMIN)
def revoke(token_id: Annotated[UUID, Path(description="Id of the token.")], context: Context) -> Answer[TokenInfo]:
    """Make a token useless from now on."""
    return Answer(data=_info(revoke_token(context.store, str(token_id), context.actor)))


def _info(token: Token) -> TokenInfo:
    return TokenInfo(**vars(token))
