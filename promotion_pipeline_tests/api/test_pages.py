"""The evidence page, as a browser without scripts uses it."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote

import pytest

from promotion_pipeline import auto_check_promotions
from promotion_pipeline.api.access import access_of
from promotion_pipeline.api.openapi import api_routes
from promotion_pipeline.api.pages.guard import COOKIE, PageRoute, own_address
from promotion_pipeline.api.tokens import revoke_token
from promotion_pipeline.notifications.links import evidence_url
from promotion_pipeline.rollups import catch_up
from promotion_pipeline_tests.api.conftest import PAGE, Api, Browser
from promotion_pipeline_tests.api.looks import write_looks
from promotion_pipeline_tests.promotion.deciding import decide
from promotion_pipeline_tests.seeding import (
    NO_DIFFERENCE,
    UNPROVEN,
    WINNER,
    VariantSpec,
    add_requests,
    seed_experiment,
    split_of,
)

SWEEP = "/api/monitoring/auto-promotion/check"
LEAST_ROLE = {
    ("GET", "/"): None,
    ("GET", "/static/page.css"): None,
    ("GET", "/login"): None,
    ("POST", "/login"): None,
    ("POST", "/logout"): None,
    ("GET", "/experiments"): "viewer",
    ("GET", "/ledger"): "viewer",
    ("GET", "/experiments/{name}"): "viewer",
    ("POST", "/experiments/{name}/promote"): "operator",
    ("POST", "/experiments/{name}/approve"): "operator",
    ("POST", "/experiments/{name}/decline"): "operator",
    ("POST", "/experiments/{name}/rollback"): "operator",
    ("POST", "/experiments/{name}/advance"): "operator",
    ("POST", "/experiments/{name}/acknowledge"): "operator",
    ("POST", "/experiments/{name}/overwrite"): "operator",
    ("POST", "/experiments/{name}/adopt"): "operator",
    ("POST", "/experiments/{name}/retry"): "operator",
    ("POST", "/experiments/{name}/hold"): "operator",
    ("POST", "/experiments/{name}/release"): "operator",
}


def test_every_page_answers_every_role_as_the_table_says(api: Api) -> None:
    routes = {
        (method, route.path_format)
        for route in api_routes(api.app)
        for method in route.methods or ()
        if isinstance(route, PageRoute)
    }
    assert routes == LEAST_ROLE.keys()
    assert {access_of(route.endpoint) for route in api_routes(api.app)}

    for (method, path), least in LEAST_ROLE.items():
        for role in (None, "viewer", "operator"):
            answer = api.as_role(role).request(method, path.format(name="none"), data={"reason": "x"})
            where = answer.headers.get("location", "")
            if least is None or (role, least) in {
                ("viewer", "viewer"),
                ("operator", "viewer"),
                ("operator", "operator"),
            }:
                refused = path != "/logout" and path != "/" and where.startswith("/login")
                assert answer.status_code != 403, (method, path, role)
                assert not refused, (method, path, role)
            elif role is None:
                assert (answer.status_code, where.startswith("/login?next=")) == (303, True), (method, path)
            else:
                assert answer.status_code == 403, (method, path, role)


def test_a_link_leads_through_the_login_to_the_page(api: Api, browser: Browser) -> None:
    seed_experiment(api.store, "a/b c", WINNER)
    link = f"/experiments/{quote('a/b c', safe='')}"

    asked = browser.client.get(link)
    assert (asked.status_code, asked.url.path) == (200, "/login")
    to = re.search(r'name="next" value="([^"]*)"', asked.text)
    assert to is not None
    answer = browser.log_in(api.secrets["viewer"], html.unescape(to.group(1)))

    assert answer.status_code == 200
    assert "<h1>a/b c</h1>" in answer.text


def test_a_wrong_token_opens_no_session(api: Api, browser: Browser) -> None:
    answer = browser.log_in("pp_wrong")

    assert answer.status_code == 401
    assert "unknown, expired or revoked" in answer.text
    assert COOKIE not in browser.client.cookies


def test_the_browser_gets_a_secret_of_the_session_and_never_the_token(api: Api) -> None:
    answer = api.nobody.post("/login", data={"token": api.secrets["operator"]})

    cookie = answer.headers["set-cookie"]
    assert api.secrets["operator"] not in cookie
    assert {"HttpOnly", "SameSite=lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    stored = api.rows("SELECT secret_hash::text FROM page_sessions")[0]["secret_hash"]
    assert cookie.split("=", 1)[1].split(";")[0] not in stored


def test_over_tls_the_cookie_is_for_tls_only(api: Api) -> None:
    door = api.app.state.door
    api.app.state.door = replace(door, settings=door.settings.model_copy(update={"public_url": "https://ab.example"}))

    assert "Secure" in api.nobody.post("/login", data={"token": api.secrets["viewer"]}).headers["set-cookie"]


def test_a_session_ends_with_its_token_and_with_the_logout(api: Api, operator: Browser) -> None:
    assert operator.client.get("/experiments").url.path == "/experiments"
    csrf = operator.csrf("/experiments")
    cookie = operator.client.cookies[COOKIE]
    operator.client.post("/logout", data={"csrf": csrf})
    again = api.nobody.get("/experiments", headers={"Cookie": f"{COOKIE}={cookie}"})
    assert again.status_code == 303

    operator.log_in(api.secrets["operator"])
    assert operator.client.get("/experiments").url.path == "/experiments"
    revoke_token(api.store, "operator-token", "tests")
    assert operator.client.get("/experiments").url.path == "/login"


@pytest.mark.parametrize(
    "address",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/experiments\\x",
        "/logout",
        "",
        None,
        "/experimentsx",
    ],
)
def test_the_login_leads_nowhere_else(address: str | None) -> None:
    assert own_address(address) == "/experiments"


@pytest.mark.parametrize("fields", [{}, {"csrf": ""}, {"csrf": "0" * 64}, {"csrf": "ü"}])
def test_a_form_without_the_sessions_mark_does_nothing(api: Api, operator: Browser, fields: dict[str, str]) -> None:
    seed_experiment(api.store, "checkout", WINNER)

    answer = operator.client.post(f"{PAGE}/promote", data={"reason": "x", **fields})

    assert answer.status_code == 403
    assert api.rows("SELECT 1 FROM experiment_promotions") == []


def test_a_form_that_another_site_sends_does_nothing(api: Api, operator: Browser) -> None:
    seed_experiment(api.store, "checkout", WINNER)
    csrf = operator.csrf(PAGE)

    for site in ("cross-site", "same-site"):
        answer = operator.client.post(
            f"{PAGE}/promote", data={"csrf": csrf, "reason": "x"}, headers={"Sec-Fetch-Site": site}
        )
        assert answer.status_code == 403
    assert api.rows("SELECT 1 FROM experiment_promotions") == []


def test_a_person_approves_and_rolls_back_on_the_page(api: Api, operator: Browser) -> None:
    seeded = seed_experiment(api.store, "checkout", UNPROVEN)
    before = split_of(api.store, seeded)
    api.operator.post(SWEEP).raise_for_status()
    assert "waits for approval" in operator.client.get(PAGE).text

    approved = operator.submit("approve", reason="numbers are sound")
    assert "Approved and promoted." in approved.text
    assert split_of(api.store, seeded)["treatment"] == 100
    assert "treatment was promoted (manual) by operator-token" in approved.text

    rolled_back = operator.submit("rollback", reason="errors in <production>", to="previous")
    assert "Rolled back: the experiment runs again" in rolled_back.text
    assert "errors in &lt;production&gt;" in rolled_back.text
    assert split_of(api.store, seeded) == before

    released = operator.submit("release", reason="fixed")
    assert "The hold is lifted." in released.text


def test_a_person_promotes_and_sends_everybody_back_to_control(api: Api, operator: Browser) -> None:
    seeded = seed_experiment(api.store, "checkout", WINNER)

    assert operator.submit("promote", reason="").status_code == 422
    promoted = operator.submit("promote", reason="agreed in the review")
    assert "Promoted: the traffic goes to the winner." in promoted.text
    operator.submit("rollback", reason="outage", to="control")

    assert split_of(api.store, seeded)["control"] == 100
    (record,) = api.rows("SELECT promoted_by, metadata FROM experiment_promotions")
    assert (record["promoted_by"], record["metadata"]["reason"]) == ("operator-token", "agreed in the review")
    assert len(api.rows("SELECT 1 FROM api_audit WHERE route LIKE '/experiments/%%' AND status = 303")) == 2


def test_what_cannot_be_done_is_said_on_a_page(api: Api, operator: Browser) -> None:
    seed_experiment(api.store, "checkout", NO_DIFFERENCE)

    answer = operator.submit("rollback", reason="x")

    assert answer.status_code == 409
    assert answer.headers["content-type"].startswith("text/html")
    assert "was never promoted" in answer.text
    assert f'href="{PAGE}"' in answer.text


def test_a_viewer_sees_the_evidence_and_no_buttons(api: Api, browser: Browser) -> None:
    seed_experiment(api.store, "checkout", WINNER)
    browser.log_in(api.secrets["viewer"])

    text = browser.client.get(PAGE).text

    assert "won: all five checks pass" in text
    assert re.findall(r'<form[^>]*action="([^"]*)"', text) == ["/logout"]


def test_the_page_shows_the_checks_the_chart_and_the_variants(api: Api, operator: Browser) -> None:
    seeded = seed_experiment(api.store, "checkout", WINNER, users=4_000)
    write_looks(api.store, seeded)

    text = operator.client.get(PAGE).text

    assert text.count('<li class="pass">') == 5
    assert "30.00 % &gt;= 5.00 %" in text
    assert '<svg class="chart"' in text
    assert "threshold 5 %" in text
    assert "10,000" in text
    assert "13.00 %" in text
    assert "nan" not in text.lower().replace("analysis", "")
    assert "Experiment started" in text


def test_after_a_promotion_the_page_shows_what_was_seen_then(api: Api, operator: Browser) -> None:
    seeded = seed_experiment(api.store, "checkout", WINNER)
    write_looks(api.store, seeded)

    text = operator.submit("promote", reason="agreed").text

    assert "As it stood then" in text
    assert text.count('<li class="pass">') == 5
    assert "before the promotion of treatment" in text
    assert '<svg class="chart"' in text
    assert "reason: agreed" in text


@pytest.mark.parametrize(
    "variants",
    [
        (),
        (VariantSpec("control", is_control=True, traffic=100),),
        (VariantSpec("control", is_control=True), VariantSpec("treatment")),
        (VariantSpec("a"), VariantSpec("b", requests=10)),
        (VariantSpec("control", is_control=True, requests=10, latency_ms=None), VariantSpec("t", requests=10)),
    ],
    ids=["none", "only control", "no requests", "no control", "no conversions"],
)
def test_an_odd_experiment_has_a_page_too(api: Api, operator: Browser, variants: tuple[VariantSpec, ...]) -> None:
    seed_experiment(api.store, "checkout", variants)

    answer = operator.client.get(PAGE)

    assert answer.status_code == 200, answer.text
    assert "<h1>checkout</h1>" in answer.text
    assert operator.client.get("/experiments").status_code == 200


def test_names_and_reasons_cannot_carry_markup(api: Api, operator: Browser) -> None:
    evil = "<script>alert('x')</script>\"'&"
    variants = (
        VariantSpec(evil + "c", is_control=True, requests=10_000, conversions=1_000),
        VariantSpec(evil, requests=10_000, conversions=1_300),
    )
    seed_experiment(api.store, evil, variants)
    address = f"/experiments/{quote(evil, safe='')}"
    form = {"csrf": operator.csrf(address), "reason": evil}

    pages = [
        operator.client.post(f"{address}/promote", data=form),
        operator.client.post(f"{address}/rollback", data=form),
        operator.client.get(address),
        operator.client.get("/experiments", params={"q": evil}),
        operator.client.get(f"/experiments/{quote(evil + 'none', safe='')}"),
    ]

    for page in pages:
        assert page.status_code in (200, 404)
        assert "<script" not in page.text.lower()
        assert html.escape("<script>alert", quote=False) in page.text


def test_pages_run_no_script_and_load_nothing_from_elsewhere(api: Api, operator: Browser) -> None:
    seeded = seed_experiment(api.store, "checkout", WINNER)
    write_looks(api.store, seeded)

    for address in (PAGE, "/experiments", "/login", "/experiments/none"):
        answer = operator.client.get(address)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-frame-options"] == "DENY"
        assert not re.search(r"<script|javascript:|\son\w+=|\sstyle=|https?://(?!www\.w3\.org)", answer.text)
    style = operator.client.get("/static/page.css")
    assert "immutable" in style.headers["cache-control"]
    assert "url(" not in style.text


def test_the_list_can_be_searched_and_turned(api: Api, operator: Browser) -> None:
    api.rows(
        "INSERT INTO ab_experiments (name) SELECT 'exp-' || lpad(n::text, 3, '0') FROM generate_series(1, 130) n"
        " RETURNING 1"
    )

    first, second = operator.client.get("/experiments"), operator.client.get("/experiments?page=2")
    found = operator.client.get("/experiments", params={"q": "EXP-12"})

    assert len(re.findall(r'href="/experiments/exp-', first.text)) == 100
    assert len(re.findall(r'href="/experiments/exp-', second.text)) == 30
    assert len(re.findall(r'href="/experiments/exp-', found.text)) == 10
    for odd in ("page=0", "page=x", "page=99999999", "q=%00", "q=%25"):
        assert operator.client.get(f"/experiments?{odd}").status_code == 200


def test_the_addresses_of_messages_are_addresses_of_pages(api: Api, operator: Browser) -> None:
    seed_experiment(api.store, "größe 1/2", WINNER)
    link = evidence_url(api.store.settings.model_copy(update={"public_url": api.url}), "größe 1/2")

    assert "<h1>größe 1/2</h1>" in operator.client.get(link).text


def test_a_broken_split_comes_first_and_asks_for_a_tick_and_a_reason(api: Api, operator: Browser) -> None:
    broken = (
        VariantSpec("control", is_control=True, requests=12_000, conversions=1_200),
        VariantSpec("treatment", requests=8_000, conversions=1_100),
    )
    seeded = seed_experiment(api.store, "checkout", broken)
    page = operator.client.get(PAGE).text
    lead = page[page.index('aria-label="Verdict"') :]
    assert lead.index("The numbers cannot be trusted") < lead.index("passes all five checks")
    assert "control has 12,000 of 20,000 requests" in lead
    assert 'name="despite" value="sample_ratio_mismatch" required' in page

    refused = operator.submit("promote", reason="I like it")
    assert refused.status_code == 409
    assert split_of(api.store, seeded)["treatment"] == 50
    operator.submit("promote", reason="the bot is known", despite="sample_ratio_mismatch").raise_for_status()
    assert split_of(api.store, seeded)["treatment"] == 100
    (promotion,) = api.viewer.get("/api/monitoring/experiments/checkout/history").json()["data"]["history"]
    assert promotion["metadata"]["despite"] == ["sample_ratio_mismatch"]
    assert promotion["metadata"]["reason"] == "the bot is known"


def test_the_list_and_the_page_do_not_disagree_about_an_hour_without_saying_so(api: Api, operator: Browser) -> None:
    seeded = seed_experiment(api.store, "checkout", UNPROVEN)
    decide(api.store)
    before = operator.client.get("/experiments").text
    assert "+9.50 %" in before
    assert "The list says of this hour" not in operator.client.get(PAGE).text
    more = VariantSpec("treatment", requests=10, conversions=10)
    add_requests(api.store, seeded, more, start=seeded.end - timedelta(hours=1), end=seeded.end)
    catch_up(api.store, seeded.end)
    page = operator.client.get(PAGE).text
    assert "The list says of this hour: eligible, treatment +9.50 %" in page
    improvement = re.search(r"Improvement[^<]*</dt><dd>([^<]+)<", page)
    assert improvement is not None
    auto_check_promotions("cron", store=api.store)
    listed = operator.client.get("/experiments").text
    assert "asked as of" not in listed
    assert f'waits for an answer, as of <time datetime="{seeded.end.isoformat()}">' in listed
    assert improvement.group(1) in listed
    assert "+9.50 %" not in listed
    assert "The list says of this hour" not in operator.client.get(PAGE).text
    (row,) = api.viewer.get("/api/monitoring/experiments").json()["data"]
    assert row["asOf"] == row["askedAsOf"]
