"""The pages: login, list, one experiment, and what its forms do."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response

from promotion_pipeline.api.access import Access, needs
from promotion_pipeline.api.guard import Visit, visit_of
from promotion_pipeline.api.pages.charts import sparkline
from promotion_pipeline.api.pages.guard import COOKIE, HOME, LOGIN, PageRoute, own_address, set_session
from promotion_pipeline.api.pages.rendering import STYLE, render
from promotion_pipeline.api.pages.view import CHECK_TITLES, experiment_view, table_points
from promotion_pipeline.api.sessions import close_session, open_session
from promotion_pipeline.api.tokens import Role, token_of
from promotion_pipeline.promotion.act.approvals import approve_promotion, decline_promotion
from promotion_pipeline.promotion.act.holds import hold_promotion, release_hold
from promotion_pipeline.promotion.act.keeping import acknowledge_breach, overwrite_split
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.act.ramp import advance_ramp
from promotion_pipeline.promotion.act.rollback import rollback_promotion
from promotion_pipeline.promotion.history.evidence import sparklines
from promotion_pipeline.promotion.history.overview import experiment_overviews
from promotion_pipeline.promotion.record.inputs import required_text
from promotion_pipeline.promotion.watch.alarms import open_alarms

PAGE_SIZE = 100
DONE = {
    "promoted": "Promoted: the traffic goes to the winner.",
    "advanced": "The ramp went one step on.",
    "acknowledged": "The breach is acknowledged: the promotion stays.",
    "overwritten": "The split of the promotion is back.",
    "closed": "Closed: the promotion is over, and the traffic stays as it stood.",
    "approved": "Approved and promoted.",
    "declined": "Declined: automatic promotion is on hold.",
    "rolled-back": "Rolled back: the experiment runs again, on hold for automatic promotion.",
    "held": "On hold: it is not promoted unattended.",
    "released": "The hold is lifted.",
}

Here = Annotated[Visit, Depends(visit_of)]

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
def login_form(here: Here, request: Request) -> Response:
    """Ask for a token."""
    return render(here, "login.html", to=own_address(request.query_params.get("next")), wrong=False)


@router.post(LOGIN)
@needs(Access.PUBLIC)
def login(here: Here, request: Request) -> Response:
    """Exchange a token for a session."""
    to = own_address(here.form.get("next"))
    token = token_of(here.store, here.form.get("token", "").strip())
    if token is None:
        return render(here, "login.html", 401, to=to, wrong=True)
    response = RedirectResponse(to, status_code=303)
    set_session(response, request, open_session(here.store, token))
    return response


@router.post("/logout")
@needs(Access.PUBLIC)
def logout(here: Here, request: Request) -> Response:
    """End the session."""
    close_session(here.store, request.cookies.get(COOKIE, ""))
    response = RedirectResponse(LOGIN, status_code=303)
    response.delete_cookie(COOKIE, path="/")
    return response


@router.get(HOME)
@needs(Access.VIEWER)
def experiments(here: Here, request: Request) -> Response:
    """Every experiment, a hundred a page."""
    search = request.query_params.get("q", "")[:200]
    number = request.query_params.get("page", "1")
    page = int(number) if number.isdecimal() and 0 < int(number) < 10_000 else 1
    found = experiment_overviews(here.store, search=search, limit=PAGE_SIZE + 1, offset=(page - 1) * PAGE_SIZE)
    lines = sparklines(here.store, [entry.id for entry in found[:PAGE_SIZE]])
    rows = [(entry, sparkline(lines.get(entry.id, []))) for entry in found[:PAGE_SIZE]]
    has_more = len(found) > PAGE_SIZE
    alarms = open_alarms(here.store)
    return render(here, "experiments.html", rows=rows, search=search, page=page, has_more=has_more, alarms=alarms)


@router.get(HOME + "/{name:path}")
@needs(Access.VIEWER)
def experiment(name: str, here: Here, request: Request) -> Response:
    """One experiment: verdict, checks, lift over time, variants, timeline, and what can be done."""
    if not name:
        return RedirectResponse(HOME, status_code=303)
    view = experiment_view(here.store, name)
    return render(
        here,
        "experiment.html",
        view=view,
        e=view.eligibility,
        points=table_points(view.drawn.points),
        check_titles=CHECK_TITLES,
        may_act=Role(here.principal.role).includes(Role.OPERATOR),
        done=DONE.get(request.query_params.get("done", "")),
    )


@router.post(HOME + "/{name:path}/promote")
@needs(Access.OPERATOR)
def promote(name: str, here: Here) -> Response:
    """Promote by hand."""
    metadata = {"reason": required_text(here.form.get("reason"), "reason"), **here.mark()}
    promote_winner(name, "manual", here.actor, metadata=metadata, despite=_despite(here), store=here.store)
    return _back_to(name, "promoted")


@router.post(HOME + "/{name:path}/approve")
@needs(Access.OPERATOR)
def approve(name: str, here: Here) -> Response:
    """Say yes to what waits."""
    approve_promotion(
        name, here.actor, reason=_reason(here), metadata=here.mark(), despite=_despite(here), store=here.store
    )
    return _back_to(name, "approved")


@router.post(HOME + "/{name:path}/decline")
@needs(Access.OPERATOR)
def decline(name: str, here: Here) -> Response:
    """Say no to what waits."""
    decline_promotion(name, here.actor, here.form.get("reason", ""), store=here.store)
    return _back_to(name, "declined")


@router.post(HOME + "/{name:path}/rollback")
@needs(Access.OPERATOR)
def roll_back(name: str, here: Here) -> Response:
    """Undo the live promotion."""
    rollback_promotion(
        name,
        here.form.get("reason", ""),
        here.actor,
        to=here.form.get("to", "previous"),
        confirm_drift=here.form.get("confirm_drift") == "yes",
        store=here.store,
    )
    return _back_to(name, "closed" if here.form.get("to") == "close" else "rolled-back")


@router.post(HOME + "/{name:path}/advance")
@needs(Access.OPERATOR)
def advance(name: str, here: Here) -> Response:
    """Take the next step of the ramp."""
    advance_ramp(name, here.actor, reason=_reason(here), store=here.store)
    return _back_to(name, "advanced")


@router.post(HOME + "/{name:path}/acknowledge")
@needs(Access.OPERATOR)
def acknowledge(name: str, here: Here) -> Response:
    """Keep it although it got worse."""
    acknowledge_breach(name, here.form.get("reason", ""), here.actor, store=here.store)
    return _back_to(name, "acknowledged")


@router.post(HOME + "/{name:path}/overwrite")
@needs(Access.OPERATOR)
def overwrite(name: str, here: Here) -> Response:
    """Put the promotion's split back."""
    overwrite_split(name, here.form.get("reason", ""), here.actor, store=here.store)
    return _back_to(name, "overwritten")


@router.post(HOME + "/{name:path}/hold")
@needs(Access.OPERATOR)
def hold(name: str, here: Here) -> Response:
    """Keep it from being promoted unattended."""
    hold_promotion(name, here.form.get("reason", ""), here.actor, store=here.store)
    return _back_to(name, "held")


@router.post(HOME + "/{name:path}/release")
@needs(Access.OPERATOR)
def release(name: str, here: Here) -> Response:
    """Lift the hold."""
    release_hold(name, here.actor, reason=_reason(here), store=here.store)
    return _back_to(name, "released")


def _reason(here: Visit) -> str | None:
    return here.form.get("reason", "").strip() or None


def _back_to(name: str, done: str) -> Response:
    """Post, redirect, get: reloading the page does not send the form again."""
    return RedirectResponse(f"{HOME}/{quote(name, safe='')}?done={done}", status_code=303)


def _despite(here: Visit) -> list[str]:
    """What was ticked as seen."""
    ticked = here.form.get("despite", "")
    return [ticked] if ticked else []
