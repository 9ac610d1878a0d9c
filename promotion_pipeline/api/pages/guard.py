"""The guard of the pages: a session instead of a header, forms that prove where they come from, errors as pages."""

from __future__ import annotations

import hashlib
import hmac
import re
from urllib.parse import parse_qsl, quote

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from promotion_pipeline.api.access import NOBODY, Access, Principal, equal_secrets, identify
from promotion_pipeline.api.guard import WRITES, GuardedRequest, GuardedRoute, Handler
from promotion_pipeline.api.pages.rendering import render
from promotion_pipeline.api.problems import Problem
from promotion_pipeline.api.sessions import LIFETIME_HOURS, token_of_session
from promotion_pipeline.api.tokens import Role
from promotion_pipeline.errors import ForbiddenError

COOKIE = "promotion_session"
LOGIN, HOME = "/login", "/experiments"
CSRF_FIELD = "csrf"
_OWN_ADDRESS = re.compile(r"/ledger|/experiments(?:[/?][^\\\x00-\x1f]*)?")


class PageRoute(GuardedRoute):
    """A page, or what a form on one sends to."""

    async def let_in(self, context: GuardedRequest, access: Access, request: Request, act: Handler) -> Response:
        """Identify by the session (or a bearer token), check that a form is one of ours, act."""
        is_form = request.method in WRITES
        if is_form:
            _refuse_other_sites(request)
            context.form = _fields(await request.body())
        context.principal, context.csrf = await run_in_threadpool(_identify, context, access, request)
        request.state.principal = context.principal
        if is_form and context.csrf is not None and not _is_same(context.form.get(CSRF_FIELD, ""), context.csrf):
            raise Problem(403, "forbidden", "this form is not from this session: load the page again and repeat")
        return await act(request)

    def refuse(self, context: GuardedRequest, request: Request, problem: Problem) -> Response:
        """A page that says why; the login page where only that is missing."""
        if problem.status == 401:
            return RedirectResponse(f"{LOGIN}?next={quote(_address(request), safe='')}", status_code=303)
        return render(context, "error.html", problem.status, problem.headers, problem=problem, back=_back(request))


def own_address(given: str | None) -> str:
    """Where to go after the login: an address of ours, never one of somebody else's."""
    return given if given is not None and _OWN_ADDRESS.fullmatch(given) else HOME


def csrf_of(session: str) -> str:
    """What the forms of a session carry: derived from the session's secret, which only the cookie has."""
    return hmac.new(session.encode("utf-8", "surrogatepass"), b"csrf", hashlib.sha256).hexdigest()


def set_session(response: Response, request: Request, secret: str) -> None:
    """Hand the session to the browser: no script reads it, no form of another site sends it."""
    response.set_cookie(
        COOKIE,
        secret,
        max_age=LIFETIME_HOURS * 3600,
        httponly=True,
        samesite="lax",
        secure=_is_tls(request),
        path="/",
    )


def _identify(context: GuardedRequest, access: Access, request: Request) -> tuple[Principal, str | None]:
    if access is Access.PUBLIC and request.method not in WRITES:
        return NOBODY, None
    session = request.cookies.get(COOKIE)
    token = token_of_session(context.store, session) if session else None
    if access is Access.PUBLIC and token is None:
        return NOBODY, None
    if token is None or session is None:
        return identify(context.store, context.door.settings, access, request, b""), None
    least = access.role or Role.VIEWER
    if not token.role.includes(least):
        raise ForbiddenError(f"{token.name!r} is a {token.role.value}, this needs an {least.value}")
    return Principal(token.name, token.role.value, token.id), csrf_of(session)


def _refuse_other_sites(request: Request) -> None:
    """Refuse a form that the browser says is another site's.

    Raises:
        Problem: it is.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Problem(403, "forbidden", "this form was sent by another site")


def _fields(body: bytes) -> dict[str, str]:
    """The fields of a form, by name.

    Raises:
        Problem: the body is no form.
    """
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=50, errors="strict"))
    except ValueError:
        raise Problem(400, "malformed-request", "the body is no form") from None


def _is_same(given: str, expected: str) -> bool:
    return equal_secrets(given.encode("utf-8", "surrogatepass"), expected.encode())


def _is_tls(request: Request) -> bool:
    public: str = request.app.state.door.settings.public_url
    return request.url.scheme == "https" or URL(public).scheme == "https"


def _address(request: Request) -> str:
    """What to come back to after the login: a page, since a form's content is lost."""
    path = quote(request.url.path)
    return path if request.method not in WRITES else path.rpartition("/")[0] or HOME


def _back(request: Request) -> str:
    return own_address(_address(request)) if request.method in WRITES else HOME
