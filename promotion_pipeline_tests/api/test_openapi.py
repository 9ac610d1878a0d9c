"""The description of the API against the API: requests made from it, right and wrong ones."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from promotion_pipeline.api import create_app
from promotion_pipeline.api.bodies import THRESHOLDS
from promotion_pipeline.api.openapi import api_routes
from promotion_pipeline.config import PromotionConfig, Settings
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.api.conftest import Api
from promotion_pipeline_tests.seeding import VariantSpec, seed_experiment

NAMES = ("checkout", "cart", "no such")
FEW = (
    VariantSpec("control", is_control=True, requests=1_000, conversions=100),
    VariantSpec("treatment", requests=1_000, conversions=200),
)


schema = schemathesis.openapi.from_dict(create_app(Store("postgresql:///described", Settings())).openapi())


@pytest.fixture
def populated(api: Api) -> Api:
    """A server with experiments."""
    for name in NAMES[:2]:
        seed_experiment(api.store, name, FEW)
    return api


@schema.parametrize()
@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_request_causes_a_server_error_or_an_undocumented_answer(case: Any, populated: Api) -> None:
    name = (case.path_parameters or {}).get("name")
    if isinstance(name, str) and len(name) % 4:
        case.path_parameters["name"] = NAMES[len(name) % len(NAMES)]
    if "Idempotency-Key" in (case.headers or {}):
        # Reusing a key for another body is refused, which is no fault of the body.
        case.headers["Idempotency-Key"] = str(uuid4())

    body = case.body if isinstance(case.body, dict) else {}
    config = body.get("config")
    has_ramp = isinstance(config, dict) and "rampSteps" in config
    has_nul = "\\u0000" in json.dumps(body.get("metadata"))
    # That steps rise and end at 100, an instant is not in the future, and no key is NUL, is more than a schema can say.
    says_more = has_ramp or has_nul or "asOf" in (case.query or {})

    case.call_and_validate(
        base_url=populated.url,
        headers={"Authorization": f"Bearer {populated.secrets['admin']}"},
        excluded_checks=[positive_data_acceptance] if says_more else [],
    )


def test_every_route_is_described_with_its_refusals(api: Api) -> None:
    paths = api.viewer.get("/openapi.json").json()["paths"]

    for route in api_routes(api.app):
        for method in route.methods or ():
            if route.include_in_schema:
                operation = paths[route.path_format][method.lower()]
                assert {"200", "503"} <= operation["responses"].keys()
                assert bool(operation["security"]) == ({"401", "403"} <= operation["responses"].keys())
                assert operation["operationId"]
                assert operation["summary"]


def test_the_thresholds_of_the_api_are_those_of_the_config() -> None:
    assert {field.alias for field in PromotionConfig.model_fields.values()} == THRESHOLDS.keys()
    assert THRESHOLDS["maxErrorRate"]["maximum"] == 1.0
    assert "$ref" not in str(THRESHOLDS)


def test_a_wrong_method_is_told_every_right_one(api: Api) -> None:
    answer = api.viewer.put("/api/monitoring/experiments/checkout/promote")

    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, POST")
