"""The ASOS Digital Experiments Dataset as cumulative sums of users.

C. H. Bryan Liu, Angelo Cardoso, Paul Couturier, Emma J. McCoy: "Datasets for Online Controlled Experiments",
NeurIPS 2021 Datasets and Benchmarks, arXiv 2111.10198; CC BY 4.0.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from promotion_pipeline.errors import InputError

COLUMNS = (
    "experiment_id",
    "variant_id",
    "metric_id",
    "time_since_start",
    "count_c",
    "count_t",
    "mean_c",
    "mean_t",
    "variance_c",
    "variance_t",
)
CONVERSION_METRIC = 1
VALUE_METRIC = 4
LOOK = ["experiment_id", "variant_id", "time_since_start"]


def asos_sums(data: pd.DataFrame, source: str) -> tuple[pd.DataFrame, list[str]]:
    """Cumulative sums by experiment, variant and `days` since the start, with the names of IMPORT_COLUMNS.

    Also what was left out, as sentences. A user is one request that converted or not, so its second moments are the
    counts themselves.

    Raises:
        InputError: columns are missing, there is no metric 1, or one of its looks is incomplete.
    """
    _require_columns(data, source)
    looks = data[data["metric_id"] == CONVERSION_METRIC]
    if looks.empty:
        raise InputError(f"{source} has no rows of metric {CONVERSION_METRIC}, the conversion")
    if looks[["count_c", "count_t", "mean_c", "mean_t", "time_since_start"]].isna().any(axis=None):
        raise InputError(f"{source} has looks of metric {CONVERSION_METRIC} without a count, a mean or a time")
    values, notes = _value_looks(data, looks)
    both = looks.merge(values, on=LOOK, how="left", suffixes=("", "_value"))
    control = _arm(both.drop_duplicates(["experiment_id", "time_since_start"]), "c").assign(variant="control")
    treatments = _arm(both, "t").assign(variant="variant-" + both["variant_id"].astype("str"))
    return pd.concat([control, treatments], ignore_index=True), notes


def asos_metric_sums(data: pd.DataFrame, source: str) -> pd.DataFrame:
    """What each look adds to the sums over users of each metric, by experiment, variant, `days` and metric.

    Metric m is called `metric-m`. Looks without a variance are left out: what they added comes with the next one. A sum
    of squares is (n - 1) variance + n mean^2, and of the yes or no of metric 1 the sum itself.

    Raises:
        InputError: columns are missing.
    """
    _require_columns(data, source)
    known = data.dropna(subset=[name for name in COLUMNS if name not in LOOK]).sort_values("time_since_start")
    arms = [_metric_arm(known.drop_duplicates(["experiment_id", "metric_id", "time_since_start"]), "c", "control")]
    arms += [_metric_arm(known, "t", "variant-" + known["variant_id"].astype("str"))]
    frame = pd.concat(arms, ignore_index=True)
    sums = ["new_users", "value_sum", "user_value_sum_squares"]
    steps = frame.groupby(["experiment", "variant", "metric"], sort=False)[sums].diff()
    return frame.assign(**{name: steps[name].fillna(frame[name]) for name in sums})


def _metric_arm(looks: pd.DataFrame, arm: str, variant: str | pd.Series[str]) -> pd.DataFrame:
    n, mean = looks[f"count_{arm}"], looks[f"mean_{arm}"]
    squares = (n - 1) * looks[f"variance_{arm}"] + n * mean**2
    return pd.DataFrame(
        {
            "experiment": "asos-" + looks["experiment_id"].astype("str"),
            "days": looks["time_since_start"],
            "metric": "metric-" + looks["metric_id"].astype("str"),
            "new_users": n,
            "value_sum": n * mean,
            "user_value_sum_squares": squares.where(looks["metric_id"] != CONVERSION_METRIC, n * mean),
        }
    ).assign(variant=variant)


def _require_columns(data: pd.DataFrame, source: str) -> None:
    missing = [name for name in COLUMNS if name not in data.columns]
    if missing:
        raise InputError(f"{source} is not the ASOS file: it lacks the columns {missing}")


def _value_looks(data: pd.DataFrame, looks: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Looks of the value metric, for experiments in which no look of it is missing a variance."""
    values = data[data["metric_id"] == VALUE_METRIC]
    whole = looks[LOOK].merge(values, on=LOOK, how="left")
    gaps = whole[["count_c", "count_t", "mean_c", "mean_t", "variance_c", "variance_t"]].isna().any(axis=1)
    without = set(whole.loc[gaps, "experiment_id"])
    kept = values[~values["experiment_id"].isin(without)]
    notes = []
    if without:
        notes.append(
            f"the value metric of {len(without)} experiments is left out: some of its looks have no variance"
            f" ({', '.join(sorted(str(name) for name in without)[:5])})"
        )
    return kept, notes


def _arm(looks: pd.DataFrame, arm: str) -> pd.DataFrame:
    users = looks[f"count_{arm}"].round().astype("int64")
    conversions = (looks[f"count_{arm}"] * looks[f"mean_{arm}"]).round().astype("int64")
    n, mean = looks[f"count_{arm}_value"], looks[f"mean_{arm}_value"]
    squares = (n - 1) * looks[f"variance_{arm}_value"] + n * mean**2
    counted = dict.fromkeys(("requests", "new_users", "user_requests", "user_requests_sum_squares"), users)
    converted = dict.fromkeys(
        (
            "conversions",
            "user_conversions",
            "user_conversions_sum_squares",
            "user_conversions_requests_sum_products",
        ),
        conversions,
    )
    return pd.DataFrame(
        {
            "experiment": "asos-" + looks["experiment_id"].astype("str"),
            "days": looks["time_since_start"],
            "is_control": np.full(len(looks), arm == "c"),
            **counted,
            **converted,
            "value_sum": (n * mean).fillna(0.0),
            "value_sum_squares": squares.fillna(0.0),
        }
    )
