"""Times and numbers that no machine counts with are refused with a 4xx, never a 500."""

from __future__ import annotations

import pytest

from promotion_pipeline_tests.api.conftest import Api

CHECK = "/api/monitoring/experiments/checkout/promote"
LONG = "9" * 400


@pytest.mark.parametrize(
    "as_of",
    ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", LONG],
)
def test_an_as_of_out_of_bounds_is_refused(shared_api: Api, as_of: str) -> None:
    answer = shared_api.viewer.get(CHECK, params={"asOf": as_of})
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize("name", ["minSampleSize", "minConfidenceLevel", "minImprovementPercent", "maxErrorRate"])
@pytest.mark.parametrize("number", [LONG, "9" * 5_000, f"1e{'9' * 30}", "-" + LONG])
def test_a_threshold_of_hundreds_of_digits_is_refused(shared_api: Api, name: str, number: str) -> None:
    asked = shared_api.viewer.get(CHECK, params={name: number})
    assert asked.status_code == 422, asked.text[:300]
    assert len(asked.text) < 2_000
    if not number.startswith("1e"):
        body = f'{{"promotedBy": "maria", "config": {{"{name}": {number}}}}}'
        headers = {"Content-Type": "application/json"}
        sent = shared_api.operator.post(CHECK, content=body, headers=headers)
        assert 400 <= sent.status_code < 500, sent.text[:300]
        assert len(sent.text) < 2_000


@pytest.mark.parametrize("query", [f"page={LONG}", "page=99999999999999999999", "page=-1", "page=0"])
def test_a_page_number_of_hundreds_of_digits_is_no_failure(shared_api: Api, query: str) -> None:
    assert shared_api.viewer.get(f"/?{query}").status_code < 500
