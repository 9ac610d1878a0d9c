"""The ledger over HTTP and as a page."""

from __future__ import annotations

from urllib.parse import quote

from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.ledger.measure import measure_realised
from promotion_pipeline_tests.api.conftest import Api, Browser
from promotion_pipeline_tests.promotion.test_realised import AFTER, HELD, later
from promotion_pipeline_tests.seeding import WINNER, seed_experiment


def test_the_ledger_shows_promises_and_what_came(api: Api) -> None:
    seeded = seed_experiment(api.store, "<b>check</b>out", WINNER, promotion_config=HELD)
    promote_winner(seeded.name, "auto", "sensor", store=api.store)
    later(api.store, seeded, 48, *AFTER)
    measure_realised(api.store)
    browser = Browser(api.url)
    shown = browser.log_in(api.secrets["viewer"], "/ledger").text
    of_one = browser.client.get("/experiments/" + quote(seeded.name, safe="")).text
    browser.client.close()
    assert "Promised +30.0 %, expected +23.7 %; came so far +" in of_one
    assert "holdback, so far" in shown
    assert "+30.0 %" in shown
    assert "<b>" not in shown
    data = api.viewer.get("/api/monitoring/ledger").json()["data"]
    assert [(one["experimentName"], one["state"]) for one in data["entries"]] == [(seeded.name, "measuring")]
    assert api.viewer.get("/api/monitoring/ledger?experiment=nobody").json()["data"]["entries"] == []
    assert api.nobody.get("/api/monitoring/ledger").status_code == 401
