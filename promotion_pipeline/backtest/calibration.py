"""The promise at each promotion of past experiments, held against what came later; pure."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from promotion_pipeline.backtest.acts import replay
from promotion_pipeline.backtest.rules import ReplayRule
from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.evaluation.ended import lifts_at
from promotion_pipeline.statistics import shrunken_lift

TESTS = ["lift", "lift_lower", "lift_upper", "standard_error", "requests", "control_requests"]


def promised_and_later(
    rollups: pd.DataFrame,
    experiments: pd.DataFrame,
    rules: Sequence[ReplayRule],
    *,
    config: PromotionConfig | None = None,
) -> pd.DataFrame:
    """What each rule would have promoted, what the data had promised then, and what the data after it shows.

    The later data shares no request with the promise; of experiments with sums over users it counts requests. Each
    experiment has one phase.

    Args:
        rollups, experiments, config: as `replay` takes them.

    Returns:
        A row per promotion: rule, experiment_id, name, variant_id, promoted_at; promised_* and later_* of lift,
        lift_lower, lift_upper, standard_error, requests, control_requests (later: NaN where nothing came later);
        shrunken, shrunken_error (by the fixed prior); prior_sd.
    """
    acts = replay(rollups, experiments, rules, config=config)
    acts = acts[acts["is_promoted"]].reset_index(drop=True)
    found = [_one_rule(acts[acts["rule"] == rule.name], rollups, rule.laid_over(experiments), config) for rule in rules]
    return pd.concat(found, ignore_index=True)


def _one_rule(
    acts: pd.DataFrame, rollups: pd.DataFrame, experiments: pd.DataFrame, config: PromotionConfig | None
) -> pd.DataFrame:
    hour, until = pd.to_datetime(rollups["hour"], utc=True), acts.set_index("experiment_id")["promoted_at"]
    decided = rollups["experiment_id"].map(until)
    arms = experiments.drop(columns=["governs_from", "governs_until"], errors="ignore")
    columns = [name for name in rollups.columns if not name.startswith(("user_", "new_users"))]
    named = ["experiment_id", "variant_name"]
    table = acts.merge(experiments.drop_duplicates(named)[[*named, "variant_id"]], on=named)
    for prefix, part in (("promised", rollups[hour < decided]), ("later", rollups.loc[hour >= decided, columns])):
        seen = lifts_at(part, arms, hour.max(), config=config)[["experiment_id", "variant_id", *TESTS]]
        renamed = seen.rename(columns={name: f"{prefix}_{name}" for name in TESTS})
        table = table.merge(renamed, on=["experiment_id", "variant_id"], how="left")
    sd = (config or PromotionConfig()).lift_prior_sd_percent / 100.0
    expected = shrunken_lift(table["promised_lift"], table["promised_standard_error"], prior_sd=sd)
    return table.assign(shrunken=expected.mean, shrunken_error=expected.standard_deviation, prior_sd=sd)
