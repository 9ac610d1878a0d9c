"""What `check` and the page say besides the verdict: of which metric, by which evidence, and what stands now."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.store.database import Store
from promotion_pipeline.text.numbers import measure_text
from promotion_pipeline_tests.cli.conftest import Run
from promotion_pipeline_tests.seeding import WINNER, VariantSpec, seed_experiment

FROM = (datetime.now(UTC) - timedelta(hours=100)).strftime("%Y-%m-%dT%H:00Z")

CARTS = (
    VariantSpec("control", is_control=True, requests=4_000, conversions=680, value=20),
    VariantSpec("carousel", requests=4_000, conversions=671, value=24),
)
"""More value a request by fewer conversions."""


def test_a_value_is_named_and_has_a_column_of_its_own(store: Store, run: Run) -> None:
    seeded = seed_experiment(store, "recs", CARTS, users=1_000, promotion_config={"primary_metric": "value_mean"})
    with store.connect() as connection:
        connection.execute(
            "UPDATE ai_requests SET value = value + 5 * (hashtext(user_id) %% 2) WHERE experiment_id = %s", [seeded.id]
        )
    said = run("check", "recs")
    assert "primary metric: value_mean, value a request" in said.out
    assert "value a request   conversion" in said.out
    data = run("check", "recs", "--json").data
    assert (data["primaryMetric"], data["primaryUnit"], data["primaryDirection"]) == (
        "value_mean",
        "value a request",
        "increase",
    )
    by_request = {row["name"]: row["primaryEstimate"] for row in data["variants"]}
    assert by_request == {row["name"]: row["meanValue"] for row in data["variants"]}
    assert measure_text(by_request["carousel"]) in said.out
    per_user = run("check", "recs", "--json", "--set", "primary_metric=value_per_user").data
    control = next(row for row in per_user["variants"] if row["isControl"])
    assert control["primaryEstimate"] == pytest.approx(4_000 * by_request["control"] / control["users"])


def test_conversion_is_named_too_and_needs_no_second_column(store: Store, run: Run) -> None:
    seed_experiment(store, "checkout")
    said = run("check", "checkout").out
    assert "primary metric: conversion, conversions a request" in said
    assert "value a request" not in said


def test_a_config_that_is_wrong_is_the_headline_and_no_failed_check_hides_it(store: Store, run: Run) -> None:
    seed_experiment(
        store, "typo", promotion_config={"metrics": [{"name": "views", "kind": "user_counts", "event": "v"}]}
    )
    said = run("check", "typo").out.splitlines()
    assert said[0] == "typo: error"
    assert said[1].startswith("could not be evaluated: ")
    assert "user_count" in said[1]
    assert not any("smaller arm" in line for line in said)
    data = run("check", "typo", "--json").data
    assert (data["isEligible"], len(data["checks"])) == (False, len(data["safetyChecks"]))


def test_a_promotion_that_harms_a_guardrail_is_not_what_is_offered_next(store: Store, run: Run) -> None:
    arms = (replace(WINNER[0], latency_ms=100.0), replace(WINNER[1], latency_ms=114.0))
    latency = {"name": "speed", "kind": "request_mean", "column": "latency_ms", "role": "guardrail"}
    config = {"metrics": [{**latency, "direction": "decrease", "margin_percent": 5}]}
    seed_experiment(store, "carousel", arms, promotion_config=config)
    run("evaluate", "--roll-up", "--experiment", "carousel", "--from", FROM)
    said = run("check", "carousel")
    assert "carousel: eligible" in said.out
    assert "Shown to be worse: 'speed'" in said.err
    assert "hold carousel --reason TEXT" in said.err
    assert "promote carousel" not in said.err


def test_after_a_promotion_check_shows_what_stands_and_the_numbers_it_was_promoted_with(store: Store, run: Run) -> None:
    seed_experiment(store, "express", promotion_config={"holdback_percent": 10, "holdback_days": 5})
    promote_winner("express", "auto", "cron", store=store)
    done = run("check", "express")
    assert done.code == 3
    assert "inconclusive" not in done.out
    assert "not promoted unattended" not in done.out
    flat = " ".join(done.out.split())
    assert "express: ramping" in flat
    assert "traffic now: control 10 %, treatment 90 %" in flat
    assert "improvement over control 30.00 % >= 5.00 %" in flat
    data = run("check", "express", "--json").data
    assert (data["verdict"], data["isEligible"], data["promotion"]["winner"]) == ("inconclusive", False, "treatment")
    assert data["promotion"]["was"]["improvement"] == pytest.approx(30.0)
    assert data["promotion"]["was"]["safetyChecks"]["minConfidence"] is True
    assert "express: ramping" in run("promote", "express", "--dry-run").out
