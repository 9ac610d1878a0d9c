"""How much worse is a breach: the margins of the watch, from every layer of the thresholds."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

import pytest

from promotion_pipeline import ConfigError, PromotionConfig, promote_winner
from promotion_pipeline.config import Settings, parse_config
from promotion_pipeline.promotion.unattended.watch import WatchAction, watch_promotions
from promotion_pipeline.promotion.watch.rules import Sums, WatchStatus, judge_window
from promotion_pipeline.store.clock import database_now
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.seeding import WINNER, VariantSpec, add_requests, let_time_pass, seed_experiment

BEFORE = Sums(10_000, 100, 10_000, 1_300, 10_000, 1_000_000.0, 101_000_000.0)
SAME = Sums(5_000, 50, 5_000, 650, 5_000, 500_000.0, 50_500_000.0)
SLOW = replace(SAME, latency_ms_sum=625_000.0, latency_ms_sum_squares=80_000_000.0)
NOTHING = Sums()


@pytest.mark.parametrize(
    ("after", "control", "metric", "margin", "limit"),
    [
        (replace(SAME, errors=150), NOTHING, "error_rate", {"watch_error_rate_margin": 0.021}, 0.031),
        (SLOW, NOTHING, "latency", {"watch_latency_margin_percent": 26.0}, 126.0),
        (replace(SAME, conversions=450), NOTHING, "conversion", {"watch_primary_margin_percent": 40.0}, 0.078),
        (
            replace(SAME, conversions=450),
            replace(SAME, conversions=600),
            "conversion",
            {"watch_primary_margin_to_control_percent": 30.0},
            0.084,
        ),
    ],
)
def test_a_wider_margin_lets_pass_what_the_default_calls_a_breach(
    after: Sums, control: Sums, metric: str, margin: dict[str, float], limit: float
) -> None:
    by_default, wider = (
        next(check for check in judge_window("step", BEFORE, after, control, config) if check.metric == metric)
        for config in (PromotionConfig(), PromotionConfig(**margin))
    )
    assert (by_default.status, wider.status) == (WatchStatus.BREACH, WatchStatus.CLEAN)
    assert wider.limit == pytest.approx(limit)


def test_a_narrower_margin_still_needs_more_than_chance() -> None:
    config = PromotionConfig(watch_error_rate_margin=0.0)
    a_little, more = (
        judge_window("step", BEFORE, replace(SAME, errors=errors), NOTHING, config)[0] for errors in (60, 90)
    )
    assert (a_little.status, more.status) == (WatchStatus.CLEAN, WatchStatus.BREACH)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("watch_error_rate_margin", 0.5, "0.5 % is written 0.005"),
        ("watchErrorRateMargin", -0.1, "greater than or equal to 0"),
        ("watch_latency_margin_percent", -1, "greater than or equal to 0"),
        ("watch_primary_margin_percent", 101, "less than or equal to 100"),
        ("watch_primary_margin_to_controll_percent", 3, "did you mean 'watch_primary_margin_to_control_percent'"),
    ],
)
def test_a_margin_out_of_bounds_is_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_config({name: value})


def watched(store: Store, own: dict[str, Any], request: dict[str, Any] | None) -> WatchAction:
    """What the watch does about 2 % errors, where 1 % failed before."""
    seeded = seed_experiment(store, "x", WINNER, promotion_config=own)
    promote_winner("x", "manual", "anna", request, store=store)
    let_time_pass(store, seeded, 2)
    with store.connect() as connection:
        end = database_now(connection).astimezone(UTC)
    worse = VariantSpec("treatment", requests=5_000, conversions=650, errors=100)
    add_requests(store, seeded, worse, start=end - timedelta(hours=2), end=end)
    return watch_promotions(store)[0].action


@pytest.mark.parametrize(
    ("environment", "own", "request_", "action"),
    [
        ({}, {}, None, WatchAction.ALERTED),
        ({"AUTO_PROMOTION_WATCH_ERROR_RATE_MARGIN": "0.02"}, {}, None, WatchAction.NONE),
        (
            {"AUTO_PROMOTION_WATCH_ERROR_RATE_MARGIN": "0.02"},
            {"watchErrorRateMargin": 0.005},
            None,
            WatchAction.ALERTED,
        ),
        ({}, {"watchErrorRateMargin": 0.005}, {"watch_error_rate_margin": 0.02}, WatchAction.NONE),
    ],
    ids=["default", "environment", "experiment", "request"],
)
def test_a_margin_is_read_from_each_layer(
    store: Store,
    environment: dict[str, str],
    own: dict[str, Any],
    request_: dict[str, Any] | None,
    action: WatchAction,
) -> None:
    thresholds = Settings.from_environment(environment).thresholds
    layered = replace(store, settings=store.settings.model_copy(update={"thresholds": thresholds}))
    assert watched(layered, own, request_) is action


def test_a_breach_records_its_limit(store: Store) -> None:
    assert watched(store, {"watchErrorRateMargin": 0.008}, None) is WatchAction.ALERTED
    with store.connect() as connection:
        audit = connection.execute("SELECT details FROM promotion_audit WHERE action = 'watch_breach'").fetchone()
        alert = connection.execute("SELECT payload FROM notification_outbox WHERE event = 'watch_breach'").fetchone()
        promotion = connection.execute("SELECT config FROM experiment_promotions").fetchone()
    assert audit is not None and alert is not None and promotion is not None
    assert audit["details"]["checks"][0]["limit"] == pytest.approx(0.018)
    assert alert["payload"]["checks"][0]["limit"] == pytest.approx(0.018)
    assert audit["details"]["message"].endswith("(limit 1.80 %)")
    assert promotion["config"]["watch_error_rate_margin"] == 0.008
