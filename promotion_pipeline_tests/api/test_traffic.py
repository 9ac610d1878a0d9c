"""Traffic over HTTP and on the page: the three splits, and what is done where they differ."""

from __future__ import annotations

from uuid import UUID

from pydantic import SecretStr

from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.act.serving import wait_until_served
from promotion_pipeline.promotion.unattended.comparing import compare_traffic
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.api.conftest import Api, Browser
from promotion_pipeline_tests.seeding import count
from promotion_pipeline_tests.traffic.delivering import seed
from promotion_pipeline_tests.traffic.provider import TOKEN, Provider, provider_at_work

HERE = "/api/monitoring/experiments/x"
THEIRS = {"control": 25.0, "treatment": 75.0}
OURS = {"control": 0.0, "treatment": 100.0}


def in_conflict(api: Api, provider: Provider) -> Store:
    """A promotion that is served, and somebody's edit hours later."""
    known = {"unleash_url": provider.url, "unleash_token": SecretStr(TOKEN)}
    store = Store(api.store.url, api.store.settings.model_copy(update=known))
    seeded = seed(store)
    promote_winner("x", "manual", "anna", store=store)
    wait_until_served(store, seeded.id)
    edited(store, provider)
    return store


def edited(store: Store, provider: Provider) -> None:
    with store.connect() as connection:
        connection.execute("UPDATE traffic_deliveries SET verified_at = verified_at - interval '3 hours'")
    provider.edit(250, 750)
    compare_traffic(store)


def test_the_check_and_the_list_tell_the_three_splits_and_what_is_wrong(api: Api) -> None:
    with provider_at_work() as provider:
        in_conflict(api, provider)
    traffic = api.viewer.get(f"{HERE}/promote").json()["data"]["traffic"]
    assert (traffic["target"], traffic["state"]) == ("unleash", "conflicted")
    assert (traffic["decided"], traffic["served"]) == (OURS, THEIRS)
    assert "mallory" in traffic["problem"]
    assert {"observed", "readAt", "verifiedAt", "unread"} <= traffic.keys()
    (listed,) = api.viewer.get("/api/monitoring/experiments").json()["data"]
    assert listed["traffic"] == traffic


def test_an_edit_is_adopted_once_however_often_it_is_asked_for(api: Api) -> None:
    with provider_at_work() as provider:
        in_conflict(api, provider)
    assert api.viewer.post(f"{HERE}/traffic/adopt").status_code == 403
    key = {"Idempotency-Key": "one"}
    body = {"reason": "agreed"}
    first, again = (api.operator.post(f"{HERE}/traffic/adopt", json=body, headers=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200), first.text
    assert first.json() == again.json()
    data = first.json()["data"]
    assert data["traffic"] == data["served"]["decided"] == data["served"]["served"] == THEIRS
    assert data["served"]["state"] == "verified"
    assert count(api.store, "SELECT count(*) FROM promotion_audit WHERE action = 'adopt_split'") == 1
    assert api.operator.post(f"{HERE}/traffic/adopt", json=body).status_code == 409


def test_ours_is_put_back_and_tried_again(api: Api) -> None:
    with provider_at_work() as provider:
        store = in_conflict(api, provider)
    assert api.operator.post(f"{HERE}/traffic/overwrite").status_code == 422
    done = api.operator.post(f"{HERE}/traffic/overwrite", json={"reason": "a mistake"})
    # The server of this test knows no Unleash: it leaves the delivery to a process that does.
    assert (done.status_code, done.json()["data"]["served"]["state"]) == (200, "pending"), done.text
    assert api.operator.post(f"{HERE}/traffic/retry").json()["data"]["served"]["state"] == "pending"
    with provider_at_work() as provider:
        provider.edit(250, 750)
        known = Store(store.url, store.settings.model_copy(update={"unleash_url": provider.url}))
        delivered = wait_until_served(known, seeded_id(store))
        assert delivered is not None
        assert delivered.state == "verified"
        assert provider.weights == {"control": 0, "treatment": 1000}
    assert api.operator.post(f"{HERE}/traffic/retry").status_code == 409


def seeded_id(store: Store) -> UUID:
    with store.connect() as connection:
        row = connection.execute("SELECT id FROM ab_experiments").fetchone()
    assert row is not None
    return UUID(str(row["id"]))


def test_the_page_shows_the_splits_and_offers_both_ways(api: Api) -> None:
    with provider_at_work() as provider:
        in_conflict(api, provider)
    browser = Browser(api.url)
    browser.log_in(api.secrets["operator"])
    assert "traffic differs" in browser.client.get("/experiments").text
    page = browser.client.get("/experiments/x").text
    assert page.index("Served, decided and observed traffic differ") < page.index("<h1>")
    for said in ("Keep theirs", "Put ours back", "Decided</th>", "Served</th>", "Observed</th>", "mallory", "25 %"):
        assert said in page, said
    form = {"csrf": browser.csrf("/experiments/x"), "reason": "agreed"}
    after = browser.client.post("/experiments/x/adopt", data=form).text
    assert "What is served is the decided split now." in after
    assert "Keep theirs" not in after
    browser.client.close()
