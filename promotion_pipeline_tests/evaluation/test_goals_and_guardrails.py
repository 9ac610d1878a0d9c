"""The ship rule: goals take the primary metric's place in the evidence, and every guardrail has to be kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

from promotion_pipeline.evaluation import Evaluation, evaluate
from promotion_pipeline.evaluation.explain import explain
from promotion_pipeline_tests.evaluation.builders import START, experiment, last, sums
from promotion_pipeline_tests.evaluation.stated import (
    AHEAD,
    LATENCY,
    LEVEL,
    REFUNDS,
    REVENUE,
    SIGN_UP,
    judged,
    metric_rows,
    of_requests,
    of_users,
    result,
    users_known,
)

BETTER = {"control": of_users(20_000, 10.0, 5.0), "variant-a": of_users(20_000, 10.6, 5.0)}
ALIKE = {"control": of_users(20_000, 10.0, 5.0), "variant-a": of_users(20_000, 10.01, 5.0)}
WORSE = {"control": of_users(20_000, 10.0, 5.0), "variant-a": of_users(20_000, 9.4, 5.0)}
SECOND = REVENUE | {"name": "second"}
THIRD = REVENUE | {"name": "third"}


def _decided(stated: list[dict[str, Any]], *frames: pd.DataFrame, **columns: Any) -> pd.Series:
    metrics = pd.concat(frames, ignore_index=True) if frames else None
    return last(judged(stated, metrics, **columns).decisions)


def test_without_metrics_the_primary_metric_carries_the_evidence() -> None:
    row = _decided([])
    assert row["is_promotable"]
    assert row["guardrails_not_kept"] == ()
    assert judged([], None).metric_results.empty


def test_a_goal_that_is_shown_better_carries_it() -> None:
    assert _decided([REVENUE], metric_rows("revenue", BETTER))["is_promotable"]


def test_a_goal_that_is_not_shown_withholds_what_the_primary_metric_would_carry() -> None:
    row = _decided([REVENUE], metric_rows("revenue", ALIKE))
    assert row["is_eligible"]
    assert not row["is_promotable"]
    assert "goals_not_shown" in row["warnings"]
    assert "not_always_valid" not in row["warnings"]


def test_one_of_several_goals_is_enough_and_none_may_be_worse() -> None:
    better, alike, worse = metric_rows("revenue", BETTER), metric_rows("second", ALIKE), metric_rows("second", WORSE)
    assert _decided([REVENUE, SECOND], better, alike)["is_promotable"]
    row = _decided([REVENUE, SECOND], better, worse)
    assert not row["is_promotable"]
    assert "goal_worse" in row["warnings"]


def test_less_is_better_where_a_goal_says_so() -> None:
    falling = REVENUE | {"direction": "decrease"}
    assert _decided([falling], metric_rows("revenue", WORSE))["is_promotable"]
    assert not _decided([falling], metric_rows("revenue", BETTER))["is_promotable"]


def test_goals_share_alpha_also_with_one_that_cannot_be_measured() -> None:
    alone = result(judged([REVENUE], metric_rows("revenue", BETTER)), "revenue")
    shared = result(judged([REVENUE, SECOND, THIRD], metric_rows("revenue", BETTER)), "revenue")
    assert alone["adjusted_p_value"] == alone["always_valid_p_value"]
    assert shared["adjusted_p_value"] == pytest.approx(3 * alone["always_valid_p_value"])


def test_a_guardrail_without_a_margin_is_kept_until_harm_is_shown() -> None:
    fewer = {"control": of_users(20_000, 0.2, 0.5), "variant-a": of_users(20_000, 0.21, 0.5)}
    more = {"control": of_users(20_000, 0.2, 0.5), "variant-a": of_users(20_000, 0.26, 0.5)}
    assert _decided([REFUNDS], metric_rows("refunds", fewer))["is_promotable"]
    row = _decided([REFUNDS], metric_rows("refunds", more))
    assert not row["is_promotable"]
    assert row["guardrails_not_kept"] == ("refunds",)
    assert row["guardrails_not_measured"] == ()


def test_a_guardrail_with_a_margin_has_to_be_shown_within_it() -> None:
    sure = {"control": of_requests(20_000, 100.0, 20.0), "variant-a": of_requests(20_000, 101.0, 20.0)}
    unsure = {"control": of_requests(20_000, 100.0, 400.0), "variant-a": of_requests(20_000, 101.0, 400.0)}
    assert _decided([LATENCY], metric_rows("latency", sure))["is_promotable"]
    row = _decided([LATENCY], metric_rows("latency", unsure))
    assert row["guardrails_not_kept"] == ("latency",)
    assert row["guardrails_not_measured"] == ()


def test_guardrails_are_named_in_the_sentence_that_people_read() -> None:
    found = judged([LATENCY, REFUNDS], None, guardrails=[("latency",)] * 2)
    row = last(found.decisions)
    assert row["guardrails_not_kept"] == ("latency", "refunds", "latency")
    assert row["guardrails_not_measured"] == ("latency", "refunds", "latency")
    assert any("'refunds'" in sentence for sentence in explain(row).warnings)


@pytest.mark.parametrize(
    ("stated", "arms", "reason"),
    [
        (REFUNDS, None, "no_rows"),
        (REFUNDS, {"control": of_users(20_000, 0.1), "variant-a": of_users(1, 1.0, 0.0)}, "too_few"),
        (REFUNDS, {"control": of_users(20_000, 0.1), "variant-a": of_users(20_000, 1e200, 1e200)}, "not_a_number"),
        (REFUNDS, {"control": of_users(20_000, 0.1), "variant-a": of_users(-5, 1.0)}, "not_a_number"),
        (REFUNDS, {"control": of_users(20_000, 0.1), "variant-a": {"new_users": 5.0}}, "not_a_number"),
        (
            SIGN_UP | {"role": "guardrail"},
            {"control": of_users(20_000, 0.1), "variant-a": of_users(20_000, 1.5)},
            "not_a_number",
        ),
        (
            REFUNDS,
            {"control": of_users(9, 0.0, 0.0, samples=0), "variant-a": of_users(9, 0.0, 0.0, samples=0)},
            "unmatched",
        ),
        (
            REFUNDS,
            {"control": {"unmatched": 1.0}, "variant-a": {"unmatched": 1.0}},
            "unmatched",
        ),
        (
            REFUNDS | {"margin_percent": 2.0},
            {"control": of_users(20_000, 0.0, 0.1), "variant-a": of_users(20_000, 0.0, 0.1)},
            "no_base",
        ),
    ],
)
def test_a_guardrail_that_cannot_be_measured_is_not_kept_and_says_why(
    stated: dict[str, Any], arms: dict[str, dict[str, float]] | None, reason: str
) -> None:
    frame = None if arms is None else metric_rows(stated["name"], arms)
    found = judged([stated], frame)
    row, decision = result(found, stated["name"]), last(found.decisions)
    assert (row["reason"], row["guardrail"]) == (reason, "not_measured")
    assert decision["is_eligible"]
    assert not decision["is_promotable"]
    assert decision["guardrails_not_measured"] == (stated["name"],)


def test_a_metric_of_users_is_named_where_no_user_is_known() -> None:
    arms = {"control": LEVEL, "variant-a": AHEAD}
    found = evaluate(sums(arms), experiment(metrics=[[REVENUE]] * 2))
    assert result(found, "revenue")["reason"] == "needs_users"


def test_nobody_with_a_refund_in_either_arm_is_no_harm() -> None:
    nobody = {"control": of_users(500, 0.0, 0.0, samples=3), "variant-a": of_users(500, 0.0, 0.0, samples=3)}
    found = judged([REFUNDS], metric_rows("refunds", nobody))
    assert (result(found, "refunds")["reason"], result(found, "refunds")["guardrail"]) == ("no_variation", "kept")


def test_each_treatment_is_judged_by_its_own_metrics() -> None:
    arms = {"control": of_users(20_000, 10.0, 5.0), "a": of_users(20_000, 9.0, 5.0), "b": of_users(20_000, 10.7, 5.0)}
    counts = {"control": LEVEL, "a": AHEAD, "b": (20_000, 1_190)}
    found = judged([REVENUE], metric_rows("revenue", arms), counts=counts)
    assert result(found, "revenue", "a")["outcome"] == "worse"
    assert result(found, "revenue", "b")["outcome"] == "better"


def test_bad_metrics_of_one_experiment_are_its_own_error() -> None:
    frames = [
        experiment("bad", metrics=[[REVENUE, REVENUE]] * 2),
        experiment("good", metrics=[[REVENUE]] * 2),
    ]
    rollups = pd.concat([sums({"control": LEVEL, "variant-a": AHEAD}, name=name) for name in ("bad", "good")])
    decisions = evaluate(rollups, pd.concat(frames)).decisions
    assert last(decisions, "bad")["reasons"] == ("invalid_config",)
    assert last(decisions, "good")["is_eligible"]


def test_a_bad_metric_spoils_no_other_metric() -> None:
    frame = pd.concat([metric_rows("revenue", BETTER), metric_rows("refunds", {"control": {"new_users": np.inf}})])
    found = judged([REVENUE, REFUNDS | {"role": "secondary"}], frame)
    assert last(found.decisions)["is_promotable"]
    assert result(found, "refunds")["outcome"] == "not_measured"


def _many(rng: np.random.Generator) -> Iterator[tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]]:
    """Experiments with different lists of metrics, over several hours."""
    lists: list[list[dict[str, Any]]] = [
        [REVENUE | {"covariate": "same_metric_before"}, REFUNDS, LATENCY],
        [],
        [SIGN_UP, REVENUE],
        [LATENCY],
    ]
    for number, stated in enumerate(lists):
        name, arms = f"e{number}", ("control", "a", "b")[: 2 + number % 2]
        rollups = pd.concat(
            [
                users_known(sums(dict.fromkeys(arms, (3000, 300 + 9 * hour)), name=name, hours=1)).assign(
                    hour=START + pd.Timedelta(hours=hour)
                )
                for hour in range(30)
            ]
        )
        rows = []
        for metric in stated:
            for arm in arms:
                for hour in range(30):
                    y = rng.gamma(2.0, 3.0, 60)
                    own = of_users(60, y.mean(), y.std())
                    own |= {"requests": 60, "value_sum_squares": float((y * y).sum())}
                    x = y * rng.uniform(0.5, 1.5, 60)
                    past = {"covariate_sum": x.sum(), "covariate_sum_squares": (x * x).sum()}
                    own |= past | {"user_value_covariate_sum_products": (x * y).sum()}
                    keys = {"experiment_id": name, "variant_id": f"{name}/{arm}", "metric": metric["name"]}
                    rows.append(keys | {"hour": START + pd.Timedelta(hours=hour)} | own)
        yield rollups, experiment(name, arms, metrics=[stated] * len(arms)), pd.DataFrame(rows)


def test_an_experiments_numbers_do_not_depend_on_the_others_or_on_other_hours() -> None:
    parts = list(_many(np.random.default_rng(5)))
    rollups, experiments, metrics = (pd.concat(frames, ignore_index=True) for frames in zip(*parts, strict=True))
    shuffled = metrics.sample(frac=1.0, random_state=1)
    together = evaluate(rollups.sample(frac=1.0, random_state=2), experiments, metrics=shuffled)
    late = [START + pd.Timedelta(hours=hour) for hour in (7, 29)]
    for own_rollups, own_experiment, own_metrics in parts:
        if own_metrics.empty:
            continue
        name = own_experiment["experiment_id"].iloc[0]
        alone = evaluate(own_rollups, own_experiment, metrics=own_metrics, hours=pd.DatetimeIndex(late))
        assert_same(of(together, name, late), of(alone, name, late))


def of(found: Evaluation, name: str, hours: list[pd.Timestamp]) -> pd.DataFrame:
    rows = found.metric_results
    rows = rows[(rows["experiment_id"] == name) & rows["hour"].isin(hours)]
    keys = ["metric", "variant_name", "hour"]
    return rows.astype(dict.fromkeys(keys[:2], str)).sort_values(keys, ignore_index=True)


def assert_same(left: pd.DataFrame, right: pd.DataFrame) -> None:
    numbers = left.select_dtypes("number").columns
    assert len(left) == len(right) > 0
    pd.testing.assert_frame_equal(left[numbers], right[numbers], check_exact=False, rtol=1e-12)
    for name in ("reason", "outcome", "guardrail", "metric"):
        assert left[name].astype(object).fillna("").tolist() == right[name].astype(object).fillna("").tolist()


def test_test_and_interval_agree_at_every_look() -> None:
    parts = list(_many(np.random.default_rng(6)))
    rollups, experiments, metrics = (pd.concat(frames, ignore_index=True) for frames in zip(*parts, strict=True))
    # Sums as they are, with means that move: some looks show something.
    metrics["value_sum"] *= np.where(metrics["variant_id"].str.endswith("/a"), 1.4, 1.0)
    metrics["user_value_sum_squares"] *= np.where(metrics["variant_id"].str.endswith("/a"), 1.96, 1.0)
    metrics["value_sum_squares"] *= np.where(metrics["variant_id"].str.endswith("/a"), 1.96, 1.0)
    rows = evaluate(rollups, experiments, metrics=metrics).metric_results
    known = rows[rows["always_valid_lower"].notna()]
    alpha = 0.05 / np.where(known["experiment_id"].isin(["e1", "e3"]), 2, 1)
    leaves_out_0 = (known["always_valid_lower"] > 0) | (known["always_valid_upper"] < 0)
    assert 0 < leaves_out_0.sum() < len(known)
    assert ((known["always_valid_p_value"] <= alpha) == leaves_out_0).all()
