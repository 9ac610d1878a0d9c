"""The HTTP door and the page begin with what is wrong with a live promotion, and end it."""

from __future__ import annotations

from promotion_pipeline import promote_winner
from promotion_pipeline.promotion.unattended.watch import watch_promotions
from promotion_pipeline_tests.api.conftest import Api, Browser
from promotion_pipeline_tests.promotion.test_alarms import BROKEN, SAVED_BACK, execute, promoted
from promotion_pipeline_tests.seeding import WINNER, seed_experiment

HERE = "/api/monitoring/experiments/x"


def test_every_answer_about_a_breached_promotion_names_the_alarm(api: Api) -> None:
    promoted(api.store, 2, BROKEN)
    watch_promotions(api.store)
    check = api.viewer.get(f"{HERE}/promote").json()["data"]
    history = api.viewer.get(f"{HERE}/history").json()["data"]
    (listed,) = api.viewer.get("/api/monitoring/experiments").json()["data"]
    for said in (check, history, listed):
        assert [alarm["kind"] for alarm in said["alarms"]] == ["breach"]
        assert said["alarms"][0]["commands"][0].startswith("promotion-pipeline rollback x --to control")
    assert history["latestPromotion"]["watch"]["breachedAt"] is not None
    answer = api.operator.post(f"{HERE}/rollback", json={"reason": "errors", "to": "control"}).json()
    assert answer["data"]["traffic"] == {"control": 100.0, "treatment": 0.0}
    assert api.viewer.get(f"{HERE}/history").json()["data"]["alarms"] == []


def test_a_breach_is_acknowledged_and_a_split_put_back(api: Api) -> None:
    promoted(api.store, 2, BROKEN)
    watch_promotions(api.store)
    assert api.operator.post(f"{HERE}/acknowledge", json={"reason": "known"}).status_code == 200
    assert api.operator.post(f"{HERE}/acknowledge", json={"reason": "known"}).status_code == 409
    execute(api.store, *SAVED_BACK)
    answer = api.operator.post(f"{HERE}/traffic/overwrite", json={"reason": "ours"}).json()
    assert answer["data"]["traffic"] == {"control": 0.0, "treatment": 100.0}


def test_the_next_step_of_a_ramp_is_taken(api: Api) -> None:
    seed_experiment(api.store, "x", WINNER, promotion_config={"rampSteps": [75, 100], "rampHoldHours": 24})
    promote_winner("x", "auto", "sensor", store=api.store)
    assert api.operator.post(f"{HERE}/advance", json={"toPercent": 50}).status_code == 409
    answer = api.operator.post(f"{HERE}/advance", json={"toPercent": 100, "reason": "looked"}).json()
    assert answer["data"]["traffic"] == {"control": 0.0, "treatment": 100.0}


def test_the_page_begins_with_the_breach_its_hours_and_the_button(api: Api) -> None:
    promoted(api.store, 2, BROKEN)
    watch_promotions(api.store)
    browser = Browser(api.url)
    browser.log_in(api.secrets["operator"])
    page = browser.client.get("/experiments/x").text
    assert page.index('role="alert"') < page.index("<h1>")
    assert "The winner hour by hour" in page and "30.00 %" in page
    assert "Send all traffic to control" in page and "control 100 %, treatment 0 %" in page
    assert "worse than when it was promoted" in browser.client.get("/experiments").text
    form = {"csrf": browser.csrf("/experiments/x"), "to": "control", "reason": "errors"}
    after = browser.client.post("/experiments/x/rollback", data=form).text
    assert "Traffic now: control 100 %, treatment 0 %." in after
    assert 'role="alert"' not in after
    browser.client.close()


def test_the_page_offers_both_decisions_about_a_changed_split(api: Api) -> None:
    promoted(api.store)
    execute(api.store, *SAVED_BACK)
    browser = Browser(api.url)
    browser.log_in(api.secrets["operator"])
    page = browser.client.get("/experiments/x").text
    assert "the promotion set 0.00 %" in page and "Keep what stands" in page
    form = {"csrf": browser.csrf("/experiments/x"), "reason": "ours"}
    after = browser.client.post("/experiments/x/overwrite", data=form).text
    assert "Traffic now: control 0 %, treatment 100 %." in after
    browser.client.close()
