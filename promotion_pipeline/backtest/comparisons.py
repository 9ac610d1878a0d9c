"""Each treatment against control as an experiment of its own."""

from __future__ import annotations

import pandas as pd

PAIR = ["experiment_id", "phase_id"]


def as_comparisons(rollups: pd.DataFrame, experiments: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every experiment with several treatments as several with one, each with the same control.

    The declared split becomes the two arms' shares of their own traffic. Names and ids become
    `<experiment>/<treatment>`; an experiment with one treatment keeps its own. Published collections of experiments
    count such comparisons.
    """
    split = _arms(experiments)
    return _with_own_arms(rollups, split), split.assign(experiment_id=split["comparison_id"]).drop(
        columns=["comparison_id", "treatment_id", "suffix"]
    )


def metrics_as_comparisons(metrics: pd.DataFrame, experiments: pd.DataFrame) -> pd.DataFrame:
    """The sums of metrics of the same comparisons."""
    return _with_own_arms(metrics, _arms(experiments))


def _arms(experiments: pd.DataFrame) -> pd.DataFrame:
    """The two arms of each comparison, with its id."""
    keys = [name for name in PAIR if name in experiments.columns]
    treatments = experiments[~experiments["is_control"].astype(bool)]
    several = treatments.groupby(keys, dropna=False)["variant_id"].transform("size") > 1
    pairs = treatments[keys].assign(
        treatment_id=treatments["variant_id"],
        suffix=("/" + treatments["variant_name"].astype("str")).where(several, ""),
    )
    arms = experiments.merge(pairs, on=keys)
    arms = arms[arms["is_control"].astype(bool) | (arms["variant_id"] == arms["treatment_id"])]
    id_of = arms["experiment_id"].astype("str") + arms["suffix"]
    percent = arms["traffic_percentage"].astype(float)
    own = [id_of] + ([arms["phase_id"]] if "phase_id" in keys else [])
    return arms.assign(
        name=arms["name"].astype("str") + arms["suffix"],
        traffic_percentage=100.0 * percent / percent.groupby(own, dropna=False).transform("sum"),
        comparison_id=id_of,
    )


def _with_own_arms(sums: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    keys = [name for name in PAIR if name in split.columns]
    found = sums.merge(split[[*keys, "variant_id", "comparison_id"]], on=[*keys, "variant_id"])
    return found.assign(experiment_id=found.pop("comparison_id"))
