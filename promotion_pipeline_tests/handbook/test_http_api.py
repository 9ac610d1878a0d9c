"""The page of the HTTP API has a curl line for every route, and none for a route that does not exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from starlette.routing import Route

from promotion_pipeline.api.app import create_app
from promotion_pipeline.store.database import Store

PAGE = Path(__file__).parents[2] / "docs" / "http-api.md"
SHELL = re.compile(r"```bash\n(.*?)```", re.DOTALL)
OF_THE_PAGES = ("/ledger", "/", "/static/page.css", "/login", "/logout", "/experiments")


def curls(text: str) -> Iterator[tuple[str, str]]:
    """Method and address of every curl line; variables stand for the base addresses."""
    for block in SHELL.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line)
            if words[:1] != ["curl"]:
                continue
            method = words[words.index("-X") + 1] if "-X" in words else "GET"
            (address,) = (word for word in words if word.startswith(("$API", "$URL")))
            yield method, address.replace("$API", "/api/monitoring").replace("$URL", "").partition("?")[0]


def test_every_route_has_a_curl_line_and_every_curl_line_a_route(store: Store) -> None:
    routes = [
        (method, route)
        for route in create_app(store=store).routes
        if isinstance(route, Route) and not _is_of_the_pages(route.path)
        for method in (route.methods or set()) - {"HEAD"}
    ]
    told = list(curls(PAGE.read_text(encoding="utf-8")))
    asked = {
        (method, route.path) for method, route in routes for verb, path in told if _fits(route, method, verb, path)
    }
    assert {(method, route.path) for method, route in routes} - asked == set()
    assert [line for line in told if not any(_fits(route, method, *line) for method, route in routes)] == []


def _is_of_the_pages(path: str) -> bool:
    return path in OF_THE_PAGES or path.startswith("/experiments/")


def _fits(route: Route, method: str, verb: str, path: str) -> bool:
    return method == verb and route.path_regex.match(path) is not None
