"""Pages of other origins: they may ask for flags where it is configured, and for nothing else."""

from __future__ import annotations

import pytest

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import ConfigError
from promotion_pipeline_tests.api.conftest import Api, StartApi

FLAGS = "/ofrep/v1/evaluate/flags"
USER = {"context": {"targetingKey": "user-1"}}
SHOP = "https://shop.example.com"
ASKING = {"Origin": SHOP, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


def test_a_page_of_a_configured_origin_may_ask_for_flags_and_for_nothing_else(start_api: StartApi) -> None:
    api = start_api(evaluation_origins=(SHOP,))
    elsewhere = "/api/monitoring/experiments/checkout/promote"

    asked = api.nobody.options(f"{FLAGS}/any", headers=ASKING)
    answered = api.as_role("evaluate").post(FLAGS, json=USER, headers={"Origin": SHOP})
    stranger = api.as_role("evaluate").post(FLAGS, json=USER, headers={"Origin": "https://evil.example.com"})

    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (200, SHOP)
    assert (answered.status_code, answered.headers["access-control-allow-origin"]) == (200, SHOP)
    assert "etag" in answered.headers["access-control-expose-headers"].lower()
    assert "access-control-allow-origin" not in stranger.headers
    assert "access-control-allow-origin" not in api.viewer.get(elsewhere, headers={"Origin": SHOP}).headers
    assert "access-control-allow-origin" not in api.nobody.options(elsewhere, headers=ASKING).headers


def test_no_page_of_another_origin_may_ask_unless_it_is_configured(shared_api: Api) -> None:
    answer = shared_api.as_role("evaluate").post(FLAGS, json=USER, headers={"Origin": SHOP})

    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("wrong", ["shop.example.com", "https://shop.example.com/path", "ftp://x", "https://u@x"])
def test_what_is_no_origin_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match="EVALUATION_ORIGINS"):
        Settings.from_environment({"AUTO_PROMOTION_EVALUATION_ORIGINS": f"{SHOP}, {wrong}"})
