"""Templates, their filters, and the headers that every page has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from promotion_pipeline.api.guard import RequestContext
from promotion_pipeline.api.pages import charts

HERE = Path(__file__).parent
STYLE = HERE / "static" / "page.css"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
"""No script runs, nothing is loaded from elsewhere, nobody frames a page with buttons on it."""

UNKNOWN = "–"


def render(
    context: RequestContext, template: str, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
) -> HTMLResponse:
    """A template as a response."""
    page = environment().get_template(template)
    text = page.render(context=context, style_version=style_version(), **values)
    return HTMLResponse(text, status, {**HEADERS, **(headers or {})})


@cache
def style_version() -> str:
    """Changes with the style sheet, so that it can be cached for good."""
    return hashlib.sha256(STYLE.read_bytes()).hexdigest()[:12]


@cache
def environment() -> Environment:
    """The templates."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        percent=percent,
        rate=rate,
        number=number,
        instant=instant,
        path=path_of,
        hours=hours,
        p_value=p_value,
        confidence=confidence,
        interval=interval,
    )
    made.globals["area"] = charts
    return made


def percent(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """A number that is percent already."""
    if value is None:
        return UNKNOWN
    return f"{value:+,.{digits}f} %" if signed else f"{value:,.{digits}f} %"


def confidence(value: float | None) -> str:
    """Percent; what is short of certainty never reads as certain."""
    return "> 99.99 %" if value is not None and value >= 99.995 else percent(value)


def rate(value: float | None, digits: int = 2, *, signed: bool = False) -> str:
    """A fraction as percent."""
    return percent(None if value is None else value * 100, digits, signed=signed)


def interval(lower: float | None, upper: float | None) -> str:
    """An interval of fractions as percent; one without an end is none."""
    return UNKNOWN if lower is None or upper is None else f"{lower * 100:+,.1f} to {upper * 100:+,.1f} %"


def number(value: float | None, digits: int = 0) -> str:
    """A count or a measure."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def hours(value: float | None) -> str:
    """A duration in hours, in days where it is long."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f} h" if value < 72 else f"{value / 24:,.1f} days"


def p_value(value: float | None) -> str:
    """A probability, small ones in powers of ten."""
    if value is None:
        return UNKNOWN
    return "< 1e-15" if value < 1e-15 else f"{value:.3g}"


def instant(value: datetime | None) -> Markup | str:
    """A time in UTC, to the minute."""
    if value is None:
        return UNKNOWN
    at = value.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), at.strftime("%Y-%m-%d %H:%M UTC"))


def path_of(name: str) -> str:
    """An experiment's name as part of an address."""
    return quote(name, safe="")
