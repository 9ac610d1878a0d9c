"""Templates, their filters, and the headers that every page has."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from promotion_pipeline.api.guard import GuardedRequest
from promotion_pipeline.api.pages import charts
from promotion_pipeline.promotion.judge.carried import outcome_text
from promotion_pipeline.text import numbers
from promotion_pipeline.text.forest import READING

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
    context: GuardedRequest, template: str, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
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
        percent=partial(numbers.percent_text, unknown=UNKNOWN),
        rate=partial(numbers.rate_text, unknown=UNKNOWN),
        number=partial(numbers.count_text, unknown=UNKNOWN),
        measure=partial(numbers.measure_text, unknown=UNKNOWN),
        milliseconds=partial(numbers.milliseconds_text, unknown=UNKNOWN),
        share=partial(numbers.share_text, unknown=UNKNOWN),
        instant=instant,
        path=path_of,
        hours=partial(numbers.hours_text, unknown=UNKNOWN),
        p_value=partial(numbers.p_value_text, unknown=UNKNOWN),
        confidence=partial(numbers.confidence_text, unknown=UNKNOWN),
        outcome=outcome_text,
        interval=partial(numbers.interval_text, unknown=UNKNOWN),
    )
    made.globals["area"] = charts
    made.globals["forest_reading"] = READING
    return made


def instant(value: datetime | None) -> Markup | str:
    """A time in UTC, to the minute."""
    if value is None:
        return UNKNOWN
    at = value.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(), numbers.instant_text(at))


def path_of(name: str) -> str:
    """An experiment's name as part of an address."""
    return quote(name, safe="")
