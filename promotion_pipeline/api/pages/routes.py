"""The pages: login, list, one experiment, and what its forms do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from promotion_pipeline.api.access import Access, needs
from promotion_pipeline.api.guard import GuardedRequest, context_of
from promotion_pipeline.api.pages.charts import sparkline
from promotion_pipeline.api.pages.guard import COOKIE, HOME, LOGIN, PageRoute, own_address, set_session
from promotion_pipeline.api.pages.rendering import STYLE, render
from promotion_pipeline.api.pages.view import CHECK_TITLES, experiment_view, table_points
from promotion_pipeline.api.sessions import close_session, open_session
from promotion_pipeline.api.tokens import Role, token_of
from promotion_pipeline.promotion.act import offered
from promotion_pipeline.promotion.act.offered import Asked, OfferedAct
from promotion_pipeline.promotion.act.rollback import RollbackTarget
from promotion_pipeline.promotion.history.evidence import sparklines
from promotion_pipeline.promotion.history.glance import newest_forest
from promotion_pipeline.promotion.history.overview import experiment_overviews
from promotion_pipeline.promotion.history.standing import traffic_by_experiment
from promotion_pipeline.promotion.ledger.ledger import read_ledger
from promotion_pipeline.promotion.record.inputs import required_text
from promotion_pipeline.promotion.watch.alarms import open_alarms

PAGE_SIZE = 100
DONE = {
    "promoted": "Promoted: the traffic goes to the winner.",
    "advanced": "The ramp went one step on.",
    "acknowledged": "The breach is acknowledged: the promotion stays.",
    "overwritten": "Our split is put back.",
    "adopted": "What is served is the decided split now.",
    "retried": "The decided split is tried again.",
    "closed": "Closed: the promotion is over, and the traffic stays as it stood.",
    "approved": "Approved and promoted.",
    "declined": "Declined: automatic promotion is on hold.",
    "rolled-back": "Rolled back: the experiment runs again, on hold for automatic promotion.",
    "held": "On hold: it is not promoted unattended.",
    "released": "The hold is lifted.",
}

Context = Annotated[GuardedRequest, Depends(context_of)]

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/")
@needs(Access.PUBLIC)
def home() -> Response:
    """To the list."""
    return RedirectResponse(HOME, status_code=303)


@router.get("/static/page.css")
@needs(Access.PUBLIC)
def style() -> Response:
    """The one style sheet; its address changes with its content."""
    return FileResponse(STYLE, media_type="text/css", headers={"Cache-Control": "public, max-age=31536000, immutable"})


@router.get(LOGIN)
@needs(Access.PUBLIC)
def login_form(context: Context, request: Request) -> Response:
    """Ask for a token."""
    return render(context, "login.html", to=own_address(request.query_params.get("next")), wrong=False)


@router.post(LOGIN)
@needs(Access.PUBLIC)
def login(context: Context, request: Request) -> Response:
    """Exchange a token for a session."""
    to = own_address(context.form.get("next"))
    token = token_of(context.store, context.form.get("token", "").strip())
    if token is None or not token.role.includes(Role.VIEWER):
        return render(context, "login.html", 401, to=to, wrong=True)
    response = RedirectResponse(to, status_code=303)
    set_session(response, request, open_session(context.store, token))
    return response


@router.post("/logout")
@needs(Access.PUBLIC)
def logout(context: Context, request: Request) -> Response:
    """End the session."""
    close_session(context.store, request.cookies.get(COOKIE, ""))
    response = RedirectResponse(LOGIN, status_code=303)
    response.delete_cookie(COOKIE, path="/")
    return response


@router.get(HOME)
@needs(Access.VIEWER)
def experiments(context: Context, request: Request) -> Response:
    """Every experiment, a hundred a page."""
    search = request.query_params.get("q", "")[:200]
    number = request.query_params.get("page", "1")
    page = int(number) if number.isdecimal() and 0 < int(number) < 10_000 else 1
    found = experiment_overviews(context.store, search=search, limit=PAGE_SIZE + 1, offset=(page - 1) * PAGE_SIZE)
    lines = sparklines(context.store, [entry.id for entry in found[:PAGE_SIZE]])
    rows = [(entry, sparkline(lines.get(entry.id, []))) for entry in found[:PAGE_SIZE]]
    has_more = len(found) > PAGE_SIZE
    # The whole at a glance stands before the list, not before a part of it.
    glance = None if search or page > 1 else newest_forest(context.store)
    alarms, traffic = open_alarms(context.store), traffic_by_experiment(context.store)
    return render(
        context,
        "experiments.html",
        rows=rows,
        search=search,
        page=page,
        has_more=has_more,
        glance=glance,
        alarms=alarms,
        traffic=traffic,
    )


@router.get("/ledger")
@needs(Access.VIEWER)
def ledger(context: Context) -> Response:
    """Every promotion: what it promised and what came of it."""
    return render(context, "ledger.html", ledger=read_ledger(store=context.store))


@router.get(HOME + "/{name:path}")
@needs(Access.VIEWER)
def experiment(name: str, context: Context, request: Request) -> Response:
    """One experiment: verdict, checks, lift over time, variants, timeline, and what can be done."""
    if not name:
        return RedirectResponse(HOME, status_code=303)
    view = experiment_view(context.store, name)
    return render(
        context,
        "experiment.html",
        view=view,
        e=view.eligibility,
        points=table_points(view.drawn.points),
        check_titles=CHECK_TITLES,
        may_act=Role(context.principal.role).includes(Role.OPERATOR),
        done=DONE.get(request.query_params.get("done", "")),
    )


def _endpoint(act: OfferedAct[Any], title: str, done: str) -> Callable[[str, Context], Response]:
    """The route of one form: it acts, and shows the page again."""

    @needs(Access.OPERATOR)
    def endpoint(name: str, context: Context) -> Response:
        form = context.form
        reason = form.get("reason", "").strip() or None
        asked = Asked(
            experiment_name=name,
            by=context.actor,
            # The page asks for a reason to promote, as no other door does.
            reason=required_text(reason or "", "reason") if act is offered.PROMOTE else reason,
            metadata=context.mark(),
            despite=[form["despite"]] if form.get("despite") else [],
            to=form.get("to", RollbackTarget.PREVIOUS),
            confirm_drift=form.get("confirm_drift") == "yes",
        )
        act.perform(asked, context.store)
        said = "closed" if act is offered.ROLL_BACK and asked.to == RollbackTarget.CLOSE else done
        # A redirect, so that reloading the page does not send the form again.
        return RedirectResponse(f"{HOME}/{quote(name, safe='')}?done={said}", status_code=303)

    endpoint.__doc__ = title
    return endpoint


for _form, _act, _title, _done in (
    ("promote", offered.PROMOTE, "Promote by hand.", "promoted"),
    ("approve", offered.APPROVE, "Say yes to what waits.", "approved"),
    ("decline", offered.DECLINE, "Say no to what waits.", "declined"),
    ("rollback", offered.ROLL_BACK, "Undo the live promotion.", "rolled-back"),
    ("advance", offered.ADVANCE, "Take the next step of the ramp.", "advanced"),
    ("acknowledge", offered.ACKNOWLEDGE, "Keep it although it got worse.", "acknowledged"),
    ("overwrite", offered.OVERWRITE_SPLIT, "Put our split back.", "overwritten"),
    ("adopt", offered.ADOPT_SPLIT, "Take somebody else's split over.", "adopted"),
    ("retry", offered.RETRY_DELIVERY, "Try the delivery again.", "retried"),
    ("hold", offered.HOLD, "Keep it from being promoted unattended.", "held"),
    ("release", offered.RELEASE, "Lift the hold.", "released"),
):
    router.post(f"{HOME}/{{name:path}}/{_form}")(_endpoint(_act, _title, _done))
