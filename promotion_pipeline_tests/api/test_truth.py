"""What HTTP says is what is so, and what other doors can do it can."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from promotion_pipeline_tests.api.conftest import Api, StartApi
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, WINNER, seed_experiment

SWEEP = "/api/monitoring/auto-promotion/check"
PROMOTE = "/api/monitoring/experiments/checkout/promote"
SECRET = "a-plain-cron-secret-0123"


@pytest.mark.parametrize("header", [{"X-Cron-Secret": SECRET}, {"Authorization": f"Bearer {SECRET}"}])
def test_a_scheduler_that_can_only_get_runs_the_sweep_with_the_secret_in_a_header(
    start_api: StartApi, header: dict[str, str]
) -> None:
    api = start_api(cron_secret=SecretStr(SECRET))
    seed_experiment(api.store, "checkout", WINNER)
    seed_experiment(api.store, "flat", NO_DIFFERENCE)
    assert api.nobody.get(SWEEP).status_code == 401
    assert api.nobody.get(SWEEP, params={"cronSecret": SECRET}).status_code == 401
    assert api.rows("SELECT 1 FROM experiment_promotions") == []
    done = api.nobody.get(SWEEP, headers=header, params={"userId": "nightly"})
    assert (done.status_code, done.json()["data"]["promoted"], done.json()["data"]["recorded"]) == (200, 1, 2)
    audited = api.rows("SELECT actor, method, claims, status FROM api_audit ORDER BY id")
    assert audited[-1] == {"actor": "cron", "method": "GET", "claims": {"userId": "nightly"}, "status": 200}
    history = api.viewer.get("/api/monitoring/experiments/checkout/history").json()["data"]["latestPromotion"]
    assert (history["promotedBy"], history["claimedBy"]) == ("cron", "nightly")


def test_who_is_refused_for_not_being_eligible_is_told_which_check_failed(api: Api) -> None:
    seed_experiment(api.store, "checkout", NO_DIFFERENCE)
    refused = api.operator.post(PROMOTE).json()
    assert (refused["status"], refused["code"]) == (409, "not-eligible")
    failed = {check["name"] for check in refused["checks"] if not check["passed"]}
    assert failed == {"min_confidence", "min_improvement"}
    assert refused["eligibility"]["verdict"] == "not_yet"


def test_a_check_takes_the_unattended_rules_too(api: Api) -> None:
    seed_experiment(api.store, "checkout", WINNER)

    def evidence(**query: str) -> Any:
        return api.viewer.get(PROMOTE, params=query).json()["data"]["evidence"]

    assert evidence()["withheld"] == []
    assert evidence(requireManualApproval="true")["withheld"] == ["manual_approval"]
    assert evidence(evidence="fixed_horizon")["required"] == "fixed_horizon"
    assert api.viewer.get(PROMOTE, params={"evidence": "always"}).status_code == 422


def test_list_and_detail_agree_after_a_rollback(api: Api) -> None:
    seed_experiment(api.store, "checkout", WINNER)
    api.operator.post(PROMOTE).raise_for_status()
    api.operator.request("DELETE", PROMOTE, json={"reason": "errors"}).raise_for_status()
    detail = api.viewer.get(PROMOTE).json()["data"]
    (listed,) = api.viewer.get("/api/monitoring/experiments").json()["data"]
    assert listed["isActive"]
    assert (listed["verdict"], listed["isEligible"]) == (detail["verdict"], detail["isEligible"])
    assert (listed["verdict"], listed["confidence"], listed["asOf"]) == ("inconclusive", None, None)


def test_a_date_alone_is_midnight_utc(api: Api) -> None:
    seed_experiment(api.store, "checkout", WINNER)
    data = api.viewer.get(PROMOTE, params={"asOf": "2026-01-01"}).json()["data"]
    assert data["asOf"] == "2026-01-01T00:00:00Z"
