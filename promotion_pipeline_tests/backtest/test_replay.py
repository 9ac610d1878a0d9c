"""What a rule would have done, on small histories made by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from promotion_pipeline.backtest import ReplayRule, parse_rule, replay, summarise
from promotion_pipeline.backtest.comparisons import as_comparisons
from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.errors import ConfigError, InputError
from promotion_pipeline_tests.evaluation.builders import START, experiment

DAY = 24
REQUESTS = 4000
BASE = 0.1


def _history(name: str, rates: Sequence[float], *, arm: str = "variant-a", requests: int = REQUESTS) -> pd.DataFrame:
    """A row an arm and day: control at 10 %, the treatment at the given rate of that day, exactly.

    The first day's requests all come in its first hour, since runtime counts from then; later ones in a day's last.
    """
    rows = []
    for variant, daily, n in (("control", [BASE] * len(rates), REQUESTS), (arm, rates, requests)):
        for day, rate in enumerate(daily):
            rows.append(
                {
                    "experiment_id": name,
                    "variant_id": f"{name}/{variant}",
                    "hour": START + pd.Timedelta(hours=DAY * (day + 1) - 1 if day else 0),
                    "requests": n,
                    "conversions": round(n * rate),
                    "errors": 0,
                }
            )
    return pd.DataFrame(rows)


KEPT = _history("kept", [0.13] * 10)
FADED = _history("faded", [0.13, 0.13] + [0.09] * 6)
REVERSED = _history("reversed", [0.13, 0.13] + [0.07] * 10)
LEVEL = _history("level", [0.1] * 10)
LOPSIDED = _history("lopsided", [0.13] * 10, requests=4400)
ALL = {"kept": KEPT, "faded": FADED, "reversed": REVERSED, "level": LEVEL, "lopsided": LOPSIDED}


def _replay(*rules: ReplayRule, **histories: pd.DataFrame) -> pd.DataFrame:
    chosen = histories or ALL
    return replay(pd.concat(chosen.values()), pd.concat([experiment(name) for name in chosen]), rules)


def _row(acts: pd.DataFrame, name: str) -> pd.Series:
    (row,) = (own for _, own in acts[acts["name"] == name].iterrows())
    return row


def test_a_rule_promotes_at_the_first_look_that_allows_it_and_the_rest_is_its_judge() -> None:
    acts = _replay(parse_rule("contract"))
    for name, outcome in (("kept", "kept"), ("faded", "faded"), ("reversed", "reversed")):
        row = _row(acts, name)
        assert (row["is_promoted"], row["hours"], row["outcome"]) == (True, 48, outcome)
        assert row["promoted_at"] == START + pd.Timedelta(hours=48)
        assert row["lift"] == pytest.approx(0.3)
        assert row["variant_name"] == "variant-a"
    assert _row(acts, "reversed")["final_lift"] == pytest.approx(-0.2)
    assert _row(acts, "reversed")["final_z"] < -1.96
    assert -1.96 < _row(acts, "faded")["final_z"] <= 0
    assert not _row(acts, "level")["is_promoted"]
    assert pd.isna(_row(acts, "level")["outcome"])


def test_a_sample_ratio_mismatch_withholds_the_unattended_promotion_only() -> None:
    acts = _replay(parse_rule("contract"), parse_rule("unattended"))
    contract, unattended = summarise(acts)
    assert (contract.promoted, contract.promoted_with_srm, contract.withheld) == (4, 1, 0)
    assert (unattended.promoted, unattended.promoted_with_srm) == (3, 0)
    assert (unattended.withheld, unattended.withheld_by_srm, unattended.srm) == (1, 1, 1)
    assert (contract.kept, contract.faded, contract.reversed) == (2, 1, 1)
    assert contract.median_hours == 48


def test_the_rule_wins_over_the_experiment_which_wins_over_the_default() -> None:
    strict = experiment("kept", min_improvement_percent=40.0)
    assert not replay(KEPT, strict, [parse_rule("contract")])["is_promoted"].any()
    assert replay(KEPT, strict, [parse_rule("contract,min_improvement_percent=20")])["is_promoted"].all()
    default = PromotionConfig(min_improvement_percent=40)
    assert not replay(KEPT, experiment("kept"), [parse_rule("contract")], config=default)["is_promoted"].any()
    given = PromotionConfig(min_runtime_hours=200, min_improvement_percent=20)
    weaker = parse_rule("min-runtime-hours=72").on_top_of(given)
    assert replay(KEPT, strict, [weaker])["hours"].tolist() == [72]


def test_hours_are_those_since_the_start_also_with_an_attribution_window() -> None:
    acts = _replay(parse_rule("contract,attribution_window_hours=24"), kept=KEPT)
    assert acts["hours"].tolist() == [72]


def test_decisions_count_only_at_hours_in_which_the_experiment_has_data() -> None:
    other = _history("other", [0.1] * 10)
    other["hour"] -= pd.Timedelta(hours=11)
    acts = _replay(parse_rule("contract,min_runtime_hours=50"), kept=KEPT, other=other)
    assert _row(acts, "kept")["hours"] == 72
    assert _row(acts, "kept")["looks"] == 10


def test_phases_are_replayed_apart_and_the_first_promotion_counts() -> None:
    first, second = _history("kept", [0.1] * 3), _history("kept", [0.13] * 3)
    second["hour"] += pd.Timedelta(days=3)
    rollups = pd.concat([first.assign(phase_id="one"), second.assign(phase_id="two")])
    middle, end = START + pd.Timedelta(days=3), START + pd.Timedelta(days=6)
    frame = pd.concat(
        [
            experiment("kept").assign(phase_id="one", ended_at=middle),
            experiment("kept", started_at=middle).assign(phase_id="two", ended_at=end),
        ]
    )
    acts = replay(rollups, frame, [parse_rule("contract")])
    assert len(acts) == 1
    assert acts["promoted_at"].tolist() == [START + pd.Timedelta(days=5)]
    assert acts["hours"].tolist() == [48]
    assert acts["final_lift"].tolist() == [pytest.approx(0.3)]
    assert acts["looks"].tolist() == [6]


def test_an_experiment_without_data_is_in_the_table_and_not_promoted() -> None:
    acts = replay(KEPT, pd.concat([experiment("kept"), experiment("silent")]), [parse_rule("contract")])
    assert _row(acts, "silent")["looks"] == 0
    assert not _row(acts, "silent")["is_promoted"]


def test_many_experiments_in_groups_are_replayed_as_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = parse_rule("contract"), parse_rule("unattended")
    rollups, frame = pd.concat(ALL.values()), pd.concat([experiment(name) for name in (*ALL, "silent", "mute")])
    together = replay(rollups, frame, rules)
    monkeypatch.setattr("promotion_pipeline.backtest.acts.DECISIONS_AT_ONCE", 20)
    pd.testing.assert_frame_equal(replay(rollups, frame, rules), together, check_dtype=False)


def test_each_treatment_against_control_can_be_an_experiment_of_its_own() -> None:
    arms = ("control", "variant-a", "variant-b")
    rollups = pd.concat([_history("button", [0.1] * 5), _history("button", [0.13] * 5, arm="variant-b").iloc[5:]])
    sums, frame = as_comparisons(rollups, experiment("button", arms, split=(50, 25, 25)))
    assert sorted(frame["name"].unique()) == ["button/variant-a", "button/variant-b"]
    assert len(sums) == 20
    np.testing.assert_allclose(frame["traffic_percentage"], np.where(frame["is_control"], 200 / 3, 100 / 3))
    acts = replay(sums, frame, [parse_rule("contract")])
    assert acts.set_index("name")["is_promoted"].to_dict() == {"button/variant-a": False, "button/variant-b": True}
    alone, kept = as_comparisons(KEPT, experiment("kept"))
    assert kept["name"].tolist() == ["kept", "kept"]
    assert len(alone) == len(KEPT)


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("contrakt", InputError, "'contrakt' is neither contract nor unattended"),
        ("contract,,", InputError, "neither"),
        ("min_improvment_percent=1", ConfigError, "min_improvement_percent"),
        ("max_error_rate=5", ConfigError, "fraction"),
    ],
)
def test_a_rule_that_cannot_be_read_is_refused_with_the_way_to_write_it(
    text: str, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        parse_rule(text)


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="twice"):
        _replay(parse_rule("contract"), parse_rule("contract"))
