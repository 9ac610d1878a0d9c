"""The five routes and their JSON, over a real server."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from promotion_pipeline_tests.api.conftest import CRON_SECRET, Api, StartApi
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, UNPROVEN, WINNER, VariantSpec, seed_experiment, split_of

EXPERIMENT = "/api/monitoring/experiments/checkout"
CHECK_FIELDS = {
    "experimentName",
    "isEligible",
    "winner",
    "winnerVariantId",
    "confidence",
    "improvement",
    "reasons",
    "warnings",
    "safetyChecks",
    "verdict",
    "asOf",
    "evidence",
    "checks",
}
SAFETY_CHECKS = {"minSampleSize", "minConfidence", "minImprovement", "minRuntime", "errorRateAcceptable"}
PROMOTION_FIELDS = {
    "id",
    "experimentName",
    "promotedVariantName",
    "confidence",
    "improvement",
    "promotionType",
    "promotedAt",
    "rollbackAt",
    "rollbackReason",
}


def test_the_check_has_the_documented_shape(api: Api) -> None:
    seeded = seed_experiment(api.store, "checkout", WINNER)

    answer = api.viewer.get(f"{EXPERIMENT}/promote")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"success", "data"}
    assert answer.json()["success"] is True
    data = answer.json()["data"]
    assert data.keys() >= CHECK_FIELDS
    assert data["experimentName"] == "checkout"
    assert data["isEligible"] is True
    assert data["winner"] == "treatment"
    assert data["winnerVariantId"] == str(seeded.variant_ids["treatment"])
    assert data["confidence"] > 99.99
    assert data["improvement"] == pytest.approx(30.0)
    assert data["safetyChecks"].keys() >= SAFETY_CHECKS
    assert all(data["safetyChecks"].values())
    assert {check["observed"] is not None and check["threshold"] is not None for check in data["checks"]} == {True}


def test_a_check_of_an_experiment_without_a_winner_says_why(api: Api) -> None:
    seed_experiment(api.store, "checkout", NO_DIFFERENCE)

    data = api.viewer.get(f"{EXPERIMENT}/promote").json()["data"]

    assert (data["isEligible"], data["winner"], data["winnerVariantId"]) == (False, None, None)
    assert data["reasons"]


@pytest.mark.parametrize(
    ("parameter", "value", "failed"),
    [
        ("minSampleSize", "10001", "minSampleSize"),
        ("minConfidenceLevel", "99.99999999999", "minConfidence"),
        ("minImprovementPercent", "30.1", "minImprovement"),
        ("minRuntimeHours", "97", "minRuntime"),
        ("maxErrorRate", "0.0099", "errorRateAcceptable"),
    ],
)
def test_each_threshold_can_be_overridden_in_the_query(api: Api, parameter: str, value: str, failed: str) -> None:
    seed_experiment(api.store, "checkout", WINNER)

    data = api.viewer.get(f"{EXPERIMENT}/promote", params={parameter: value}).json()["data"]

    assert [name for name, passed in data["safetyChecks"].items() if not passed] == [failed]


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"maxErrorRate": "5"}, "5 % is written 0.05"),
        ({"minConfidenceLevel": "0.95"}, "write 95"),
        ({"minSampleSize": "many"}, "minSampleSize='many'"),
        ({"minSampleSize": "0"}, "greater than or equal to 1"),
        ({"minRuntimeHours": "NaN"}, "minRuntimeHours"),
        ({"minRuntimeHours": ""}, "minRuntimeHours"),
        ({"minSampelSize": "5"}, "did you mean 'minSampleSize'"),
        ({"asOf": "2026-01-01T00:00:00"}, "asOf"),
        ({"asOf": "2999-01-01T00:00:00Z"}, "future"),
    ],
)
def test_a_wrong_query_is_refused_and_explained(api: Api, parameters: dict[str, str], said: str) -> None:
    seed_experiment(api.store, "checkout", WINNER)

    answer = api.viewer.get(f"{EXPERIMENT}/promote", params=parameters)

    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_a_query_parameter_given_twice_is_refused(api: Api) -> None:
    answer = api.viewer.get(f"{EXPERIMENT}/promote?minSampleSize=1&minSampleSize=2000")

    assert (answer.status_code, "2 times" in answer.json()["detail"]) == (422, True)


def test_a_check_can_look_from_the_past(api: Api) -> None:
    seeded = seed_experiment(api.store, "checkout", WINNER)
    as_of = seeded.start.replace(microsecond=0).isoformat().replace("+00:00", "Z")

    data = api.viewer.get(f"{EXPERIMENT}/promote", params={"asOf": as_of}).json()["data"]

    assert datetime.fromisoformat(data["asOf"]) == seeded.start.astimezone(UTC)
    assert data["isEligible"] is False


def test_promoting_has_the_documented_shape_and_moves_the_traffic(api: Api) -> None:
    seeded = seed_experiment(api.store, "checkout", WINNER)
    body = {
        "promotionType": "manual",
        "promotedBy": "user-123",
        "userId": "user-123",
        "config": {"minSampleSize": 2000, "minConfidenceLevel": 99.0},
        "metadata": {"ticket": "PROJ-123"},
    }

    answer = api.operator.post(f"{EXPERIMENT}/promote", json=body)

    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"success", "data", "message"}
    assert answer.json()["message"] == "Successfully promoted variant treatment to production"
    assert answer.json()["data"].keys() == {"promotion", "eligibility", "traffic"}
    promotion, eligibility = answer.json()["data"]["promotion"], answer.json()["data"]["eligibility"]
    assert promotion.keys() >= PROMOTION_FIELDS
    assert promotion["promotionType"] == "manual"
    assert promotion["metadata"]["ticket"] == "PROJ-123"
    assert eligibility.keys() >= CHECK_FIELDS
    assert eligibility["safetyChecks"].keys() >= SAFETY_CHECKS
    assert all(eligibility["safetyChecks"].values())
    assert {name: float(share) for name, share in split_of(api.store, seeded).items()} == {
        "control": 0.0,
        "treatment": 100.0,
    }


def test_the_eligibility_of_a_promotion_is_the_one_that_was_checked_before(api: Api) -> None:
    seed_experiment(api.store, "checkout", WINNER)
    before = api.viewer.get(f"{EXPERIMENT}/promote").json()["data"]

    after = api.operator.post(f"{EXPERIMENT}/promote").json()["data"]["eligibility"]

    # What is served changes with the act: the answer says what was decided upon.
    assert after == before | {"traffic": None}


@pytest.mark.parametrize("door", ["DELETE", "POST"])
def test_rolling_back_restores_the_split(api: Api, door: str) -> None:
    seeded = seed_experiment(api.store, "checkout", WINNER)
    before = split_of(api.store, seeded)
    api.operator.post(f"{EXPERIMENT}/promote").raise_for_status()
    route = f"{EXPERIMENT}/promote" if door == "DELETE" else f"{EXPERIMENT}/rollback"

    answer = api.operator.request(door, route, json={"reason": "errors", "rolledBackBy": "user-123"})

    assert answer.status_code == 200
    assert answer.json().keys() == {"success", "data"}
    promotion = answer.json()["data"]["promotion"]
    assert (promotion["state"], promotion["rollbackReason"]) == ("rolled_back", "errors")
    assert promotion["rollbackAt"] is not None
    assert split_of(api.store, seeded) == before


def test_an_emergency_rollback_sends_everybody_to_control(api: Api) -> None:
    seeded = seed_experiment(api.store, "checkout", WINNER)
    api.operator.post(f"{EXPERIMENT}/promote").raise_for_status()

    api.operator.post(f"{EXPERIMENT}/rollback", json={"reason": "outage", "to": "control"}).raise_for_status()

    assert split_of(api.store, seeded)["control"] == 100


def test_the_history_has_the_documented_shape(api: Api) -> None:
    seed_experiment(api.store, "checkout", WINNER)
    assert api.viewer.get(f"{EXPERIMENT}/history").json() == {
        "success": True,
        "data": {
            "experimentName": "checkout",
            "history": [],
            "count": 0,
            "latestPromotion": None,
            "alarms": [],
            "events": [],
        },
    }
    api.operator.post(f"{EXPERIMENT}/promote").raise_for_status()
    api.operator.request("DELETE", f"{EXPERIMENT}/promote", json={"reason": "errors"}).raise_for_status()

    data = api.viewer.get(f"{EXPERIMENT}/history").json()["data"]

    assert data.keys() == {"experimentName", "history", "count", "latestPromotion", "alarms", "events"}
    assert [event["action"] for event in data["events"]] == ["roll_back", "promote"]
    assert data["count"] == len(data["history"]) == 1
    assert data["latestPromotion"] == data["history"][0]
    assert data["history"][0].keys() >= PROMOTION_FIELDS
    assert data["history"][0]["rollbackReason"] == "errors"


def test_the_sweep_promotes_what_may_be_promoted_and_reports_the_rest(api: Api) -> None:
    seed_experiment(api.store, "clear", WINNER)
    seed_experiment(api.store, "nothing", NO_DIFFERENCE)
    seed_experiment(api.store, "unproven", UNPROVEN)

    answer = api.nobody.post(
        "/api/monitoring/auto-promotion/check",
        json={"userId": "admin-user-123", "cronSecret": CRON_SECRET, "config": {"requireManualApproval": False}},
    )

    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    assert (data["checked"], data["promoted"], data["awaitingApproval"], data["failed"]) == (3, 1, 1, 0)
    assert {entry["experimentName"]: entry["outcome"] for entry in data["results"]} == {
        "clear": "promoted",
        "nothing": "not_eligible",
        "unproven": "awaiting_approval",
    }


def test_the_shadow_history_is_apart(start_api: StartApi) -> None:
    api = start_api(mode="shadow")
    seed_experiment(api.store, "checkout", WINNER)
    api.operator.post("/api/monitoring/auto-promotion/check").raise_for_status()

    assert api.viewer.get(f"{EXPERIMENT}/history").json()["data"]["count"] == 0
    shadow = api.viewer.get(f"{EXPERIMENT}/history", params={"shadow": "true"}).json()["data"]
    assert [promotion["state"] for promotion in shadow["history"]] == ["shadow"]


@pytest.mark.parametrize(
    "name", ['it\'s "quoted"', "größe 漢字 🎉", "a/b/c", "100% ?&#+;", "promote", "x/promote", "..", " padded "]
)
def test_any_name_can_be_in_the_path(api: Api, name: str) -> None:
    seed_experiment(api.store, name, WINNER)
    route = f"/api/monitoring/experiments/{quote(name, safe='').replace('.', '%2E')}"

    assert api.viewer.get(f"{route}/promote").json()["data"]["experimentName"] == name
    api.operator.post(f"{route}/promote").raise_for_status()
    api.operator.request("DELETE", f"{route}/promote", json={"reason": "a test"}).raise_for_status()
    assert api.viewer.get(f"{route}/history").json()["data"]["count"] == 1


def test_an_approval_is_given_over_http(api: Api) -> None:
    seeded = seed_experiment(api.store, "checkout", UNPROVEN)
    api.operator.post("/api/monitoring/auto-promotion/check").raise_for_status()
    assert [a["experimentName"] for a in api.viewer.get("/api/monitoring/approvals").json()["data"]] == ["checkout"]

    answer = api.operator.post(f"{EXPERIMENT}/approve", json={"reason": "sound"})

    assert answer.json()["data"]["promotion"]["promotionType"] == "manual"
    assert answer.json()["data"]["promotion"]["promotedBy"] == "operator-token"
    assert split_of(api.store, seeded)["treatment"] == 100
    assert [a["state"] for a in api.viewer.get(f"{EXPERIMENT}/approvals").json()["data"]] == ["approved"]


def test_a_declined_request_holds_the_experiment_until_it_is_released(api: Api) -> None:
    seed_experiment(api.store, "checkout", UNPROVEN)
    api.operator.post("/api/monitoring/auto-promotion/check").raise_for_status()

    declined = api.operator.post(f"{EXPERIMENT}/decline", json={"reason": "redesign first"})
    assert declined.json()["data"]["approval"]["state"] == "declined"
    assert "redesign first" in api.viewer.get(f"{EXPERIMENT}/promote").json()["data"]["hold"]
    assert api.operator.post(f"{EXPERIMENT}/release").json()["data"]["hold"] is None
    held = api.operator.post(f"{EXPERIMENT}/hold", json={"reason": "holidays"})
    assert held.json()["data"]["hold"] == "held by operator-token: holidays"


def test_the_list_shows_every_experiment(api: Api) -> None:
    seed_experiment(api.store, "b-running", WINNER)
    seed_experiment(api.store, "a-promoted", WINNER)
    api.operator.post("/api/monitoring/experiments/a-promoted/promote").raise_for_status()

    listed = api.viewer.get("/api/monitoring/experiments").json()["data"]

    assert [(entry["name"], entry["promotedVariant"]) for entry in listed] == [
        ("b-running", None),
        ("a-promoted", "treatment"),
    ]
    assert listed[1]["verdict"] == "eligible"
    assert sum(share["trafficPercentage"] for share in listed[0]["variants"]) == 100


def test_health_needs_no_credential_and_says_nothing_else(api: Api) -> None:
    assert api.nobody.get("/health").json() == {"success": True, "data": {"status": "ok"}}


def test_the_specifications_body_promotes_a_broken_split_and_one_that_acknowledges_says_so(api: Api) -> None:
    broken = (
        VariantSpec("control", is_control=True, requests=12_000, conversions=1_200),
        VariantSpec("treatment", requests=8_000, conversions=1_100),
    )
    for name in ("first", "second"):
        seed_experiment(api.store, name, broken)
    body = {"promotionType": "manual", "promotedBy": "user-123", "userId": "user-123"}
    data = api.viewer.get("/api/monitoring/experiments/first/promote").json()["data"]
    assert data["summary"].startswith("the numbers cannot be trusted") and data["distrust"]
    promoted = api.operator.post("/api/monitoring/experiments/first/promote", json=body)
    assert promoted.json()["data"]["promotion"]["metadata"]["unacknowledged"] == ["sample_ratio_mismatch"]

    path = "/api/monitoring/experiments/second/promote"
    refused = api.operator.post(path, json={**body, "despite": []})
    assert (refused.status_code, refused.json()["code"]) == (409, "untrusted")
    asked = {**body, "despite": ["sample_ratio_mismatch"]}
    assert api.operator.post(path, json=asked).status_code == 422
    done = api.operator.post(path, json={**asked, "metadata": {"reason": "the bot is known"}})
    assert done.json()["data"]["promotion"]["metadata"]["despite"] == ["sample_ratio_mismatch"]


def test_promoting_what_is_on_hold_is_said(api: Api) -> None:
    seed_experiment(api.store, "checkout", WINNER)
    api.operator.post(f"{EXPERIMENT}/hold", json={"reason": "campaign"}).raise_for_status()
    answer = api.operator.post(f"{EXPERIMENT}/promote").json()
    assert "although automatic promotion is on hold" in answer["message"]
    assert answer["data"]["promotion"]["metadata"]["on_hold"].endswith(": campaign")
