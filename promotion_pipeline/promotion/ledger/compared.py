"""Winner against control in the stretches of many promotions, by the engine that decides; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from promotion_pipeline.config import parse_config
from promotion_pipeline.decisions.past_lifts import BROKEN_SPLIT_P
from promotion_pipeline.evaluation.ended import lifts_at
from promotion_pipeline.promotion.ledger.stretches import MeasuredStretch, first_hour
from promotion_pipeline.rollups.rollup_columns import MOMENTS
from promotion_pipeline.statistics import critical_z
from promotion_pipeline.store.windows import HOUR

OF_ENGINE = ("attribution_window_hours", "primary_metric", "direction", "min_confidence_level")
"""Thresholds that say what is measured."""
OF_USERS = ("user_requests", "user_conversions", *MOMENTS)


def compared(rollups: pd.DataFrame, stretches: Sequence[MeasuredStretch], as_of: datetime) -> dict[str, dict[Any, Any]]:
    """A row of `lifts_at` for each stretch that has sums, by its key; all in one pass, each judged for itself.

    Args:
        rollups: of the phases of the stretches, as `read_rollups` has them.
        as_of: what is not mature then does not count.
    """
    if not stretches or rollups.empty:
        return {}
    plain = rollups.astype({"phase_id": object, "variant_id": object})
    hours = pd.to_datetime(plain["hour"], utc=True)
    sums = pd.concat([_sums(plain, hours, stretch) for stretch in stretches], ignore_index=True)
    if sums.empty:
        return {}
    arms = pd.concat([_arms(stretch) for stretch in stretches], ignore_index=True)
    found = lifts_at(sums, arms, pd.Timestamp(as_of - HOUR))
    return {str(row["experiment_id"]): row for row in found.to_dict("records")}


def _sums(rollups: pd.DataFrame, hours: pd.Series[pd.Timestamp], stretch: MeasuredStretch) -> pd.DataFrame:
    """The hours of one stretch as an experiment of its own, winner and control alone."""
    promotion = stretch.promotion
    arms = [str(promotion.control_variant_id), str(promotion.promoted_variant_id)]
    counts = (rollups["phase_id"] == stretch.phase_id) & rollups["variant_id"].isin(arms)
    counts &= hours >= first_hour(stretch)
    if stretch.until is not None:
        counts &= hours < stretch.until
    own = rollups[counts].drop(columns=["phase_id"]).assign(experiment_id=stretch.key)
    # Sums over users are increments since the phase began: of a part of it they are no users' sums.
    return own if stretch.is_whole else own.assign(**dict.fromkeys(OF_USERS, 0))


def _arms(stretch: MeasuredStretch) -> pd.DataFrame:
    promotion = stretch.promotion
    config = parse_config(promotion.config, source="recorded config")
    arms = [
        (str(promotion.control_variant_id), promotion.control_variant_name, True, 100.0 - stretch.winner_percent),
        (str(promotion.promoted_variant_id), promotion.promoted_variant_name, False, stretch.winner_percent),
    ]
    frame = pd.DataFrame(arms, columns=["variant_id", "variant_name", "is_control", "traffic_percentage"])
    thresholds = {name: pd.Series([getattr(config, name)] * len(arms), dtype=object) for name in OF_ENGINE}
    start = pd.Timestamp(first_hour(stretch))
    key = stretch.key
    return frame.assign(experiment_id=key, name=key, started_at=start, allows_corrections=True, **thresholds)


def has_broken_split(rows: Sequence[Mapping[Any, Any]]) -> bool:
    """Whether some stretch's arms did not get the shares of the traffic that were decided."""
    return any(row["srm_p_value"] < BROKEN_SPLIT_P for row in rows)


def combined(rows: Sequence[Mapping[Any, Any]], level: float) -> dict[str, Any]:
    """The lift of several stretches of one promotion, weighted by 1 / variance; the one interval of `level` percent.

    The counts are of all stretches; lift, interval and error are None where no stretch has any.
    """
    counts = {name: int(sum(row[name] for row in rows)) for name in ("requests", "control_requests")}
    found: dict[str, Any] = {"winner_requests": counts["requests"], "control_requests": counts["control_requests"]}
    known = [row for row in rows if math.isfinite(row["lift"]) and row["standard_error"] > 0]
    if not known:
        return found
    lifts, errors = (np.array([float(row[name]) for row in known]) for name in ("lift", "standard_error"))
    weights = errors**-2.0
    lift, error = float((weights * lifts).sum() / weights.sum()), float(weights.sum() ** -0.5)
    half = float(critical_z(1.0 - level / 100.0)) * error
    one = known[0] if len(known) == 1 else {"lift_lower": lift - half, "lift_upper": lift + half}
    by_user = all(row["analysis_unit"] == "user" for row in known)
    return found | {
        "lift": lift,
        "lift_lower": float(one["lift_lower"]),
        "lift_upper": float(one["lift_upper"]),
        "standard_error": error,
        "analysis_unit": "user" if by_user else "request",
    }
