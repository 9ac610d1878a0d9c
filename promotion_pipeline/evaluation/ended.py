"""The lift of every treatment at one hour, for those who look back: no rule, no verdict."""

from __future__ import annotations

import numpy as np
import pandas as pd

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.evaluation.engine import evaluate
from promotion_pipeline.statistics import critical_z

UNIT = ["experiment_id", "phase_id"]


def lifts_at(
    rollups: pd.DataFrame, experiments: pd.DataFrame, hour: pd.Timestamp, *, config: PromotionConfig | None = None
) -> pd.DataFrame:
    """What each treatment's lift over control is at the end of `hour`, by the engine that decides.

    Args:
        rollups, experiments, config: as `evaluate` takes them.
        hour: UTC start of the hour.

    Returns:
        A row per (experiment, phase, treatment): experiment_id, phase_id, variant_id, lift, lift_lower, lift_upper
        (fractions, the fixed-horizon interval; positive where the treatment is better), standard_error (that interval's
        half-width in units of its z), requests, control_requests, analysis_unit, srm_p_value, level (percent).

    Raises:
        InputError: as `evaluate`.
    """
    found = evaluate(rollups, experiments, hours=[hour], config=config)
    kept = ["variant_id", "control_variant_id", "lift", "lift_lower", "lift_upper"]
    tests = found.significance[[*UNIT, *kept]].astype(dict.fromkeys([*UNIT, *kept[:2]], object))
    decided = ["analysis_unit", "srm_p_value", "min_confidence_threshold"]
    decisions = found.decisions[[*UNIT, *decided]].astype({**dict.fromkeys(UNIT, object), "analysis_unit": object})
    counts = found.metrics[["variant_id", *UNIT, "requests"]].astype(dict.fromkeys(["variant_id", *UNIT], object))
    of_control = counts.rename(columns={"variant_id": "control_variant_id", "requests": "control_requests"})
    whole = tests.merge(decisions, on=UNIT, how="left").merge(counts, on=[*UNIT, "variant_id"], how="left")
    whole = whole.merge(of_control, on=[*UNIT, "control_variant_id"], how="left")
    whole = whole.rename(columns={"min_confidence_threshold": "level"})
    z = critical_z(1.0 - whole["level"].to_numpy(dtype=float) / 100.0)
    with np.errstate(all="ignore"):
        whole["standard_error"] = (whole["lift_upper"] - whole["lift_lower"]).to_numpy(dtype=float) / (2.0 * z)
    return whole
