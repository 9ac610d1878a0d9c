"""What a rule would have brought, by requests that it did not see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from promotion_pipeline.backtest import parse_rule, promised_and_later, replay, rule_returns
from promotion_pipeline.backtest.comparisons import as_comparisons
from promotion_pipeline.backtest.folds import split_into_folds, together
from promotion_pipeline.backtest.returns import measured_lifts
from promotion_pipeline.backtest.sources import from_asos_file
from promotion_pipeline.errors import InputError
from promotion_pipeline_tests.backtest.campaign import weak_experiments
from promotion_pipeline_tests.backtest.test_published_experiments import FILE
from promotion_pipeline_tests.backtest.test_replay import ALL
from promotion_pipeline_tests.evaluation.builders import experiment

RULE = parse_rule("unattended,min_improvement_percent=0")
SIX = (pd.concat(ALL.values()), pd.concat([experiment(name) for name in ALL]))


def test_the_folds_of_a_split_add_up_and_are_equal_in_expectation() -> None:
    rollups, _ = SIX
    parts = split_into_folds(rollups, 4, np.random.default_rng(3))
    whole = together(parts)
    for name in ("requests", "conversions", "errors"):
        assert (whole[name].to_numpy() == rollups[name].to_numpy()).all()
    requests, conversions = (np.array([part[name].sum() for part in parts]) for name in ("requests", "conversions"))
    assert np.abs(requests / requests.sum() - 0.25).max() < 0.01
    assert np.abs(conversions / conversions.sum() - 0.25).max() < 0.02
    assert all((part["conversions"] <= part["requests"]).all() for part in parts)


def test_a_correction_downwards_is_split_with_its_sign() -> None:
    frame = pd.DataFrame({"experiment_id": "x", "variant_id": "v", "hour": 0, "requests": [-8, 0, 5], "errors": 0})
    frame["conversions"] = [-3, 2, 5]
    parts = split_into_folds(frame, 3, np.random.default_rng(0))
    assert together(parts)[["requests", "conversions"]].to_numpy().tolist() == [[-8, -3], [0, 2], [5, 5]]
    assert all((part["requests"].iloc[0] <= 0) and (part["conversions"].iloc[1] >= 0) for part in parts)


@pytest.mark.parametrize("folds", [1, 51])
def test_too_few_or_too_many_folds_are_refused(folds: int) -> None:
    with pytest.raises(InputError, match=f"folds is {folds}"):
        rule_returns(*SIX, [RULE], folds=folds)


def test_what_is_decided_on_values_is_refused() -> None:
    with pytest.raises(InputError, match="for conversions only, not for value_mean"):
        rule_returns(*SIX, [parse_rule("primary_metric=value_mean")], folds=2)


def test_the_lift_in_other_data_is_that_of_its_own_sums() -> None:
    acts = replay(*SIX, [RULE])
    other = SIX[0].assign(conversions=lambda frame: frame["requests"] // 10)
    other.loc[other["variant_id"].str.endswith("variant-a"), "conversions"] = 480
    measured = dict(zip(acts["name"], measured_lifts(acts, other, SIX[1]), strict=True))
    assert measured["kept"] == pytest.approx(0.2)
    assert measured["level"] == 0.0


def test_the_same_seed_gives_the_same_estimate() -> None:
    past = weak_experiments(20, true_sd=0.05, seed=2)[:2]
    once, again = (rule_returns(*past, [RULE], folds=2, seed=5) for _ in range(2))
    assert once == again
    assert once[0].cross_validated != 0


def test_where_nothing_works_the_plug_in_promises_and_the_cross_validated_estimate_does_not() -> None:
    rollups, experiments, _ = weak_experiments(400, true_sd=0.0, seed=1)
    (found,) = rule_returns(rollups, experiments, [parse_rule("contract,min_improvement_percent=0")], folds=5)
    assert found.promoted >= 10
    assert found.promised > found.plug_in > 0.2
    assert abs(found.cross_validated) < 3 * found.cross_validated_error
    assert found.cross_validated + 3 * found.cross_validated_error < found.promised


def test_what_came_later_shares_no_request_with_the_promise() -> None:
    comparisons = as_comparisons(*from_asos_file(Path(FILE)))
    found = promised_and_later(*comparisons, [RULE]).set_index("name")
    assert len(found) == 10
    sums = comparisons[0].groupby("experiment_id")["requests"].sum()
    of_control = found["promised_control_requests"] + found["later_control_requests"].fillna(0)
    whole = found["promised_requests"] + found["later_requests"].fillna(0) + of_control
    assert (whole.to_numpy() == sums.reindex(found["experiment_id"]).to_numpy()).all()
    assert found.loc["asos-2c8a04", "promised_lift"] == pytest.approx(0.035813, abs=1e-6)
    assert found["later_lift"].mean() < found["promised_lift"].mean()
