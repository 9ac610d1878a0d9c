"""When a guardrail that the treatment does not change is shown to be within its margin."""

from __future__ import annotations

import numpy as np

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.evaluation.layout import Floats
from promotion_pipeline.planning.question import Aim, Traffic
from promotion_pipeline.planning.walk import LONGEST_HOURS, Walk
from promotion_pipeline.statistics import sample_size_noninferiority


def guardrail_course(traffic: Traffic, aim: Aim, config: PromotionConfig, walk: Walk, power: float) -> float | None:
    """Hours after which each guardrail is kept with `power`, at the one-sided level alpha/2 of a single look.

    None: not within three years. 0 without guardrails.
    """
    if aim.guardrails == 0:
        return 0.0
    rate = aim.guardrail_rate
    relative = traffic.relative_variance_at(traffic.mean) if rate is None else _of_rate(rate, traffic.design_effect)
    alpha = 1.0 - config.min_confidence_level / 100.0
    wanted = sample_size_noninferiority(relative, relative, aim.margin, power, alpha, share1=traffic.treatment_share)
    hours: Floats = np.maximum(np.ceil(wanted / walk.requests_per_hour), walk.first_hour)
    return None if not float(hours) <= LONGEST_HOURS else float(hours)


def _of_rate(rate: float, design_effect: float) -> float:
    return (1.0 - rate) / rate * design_effect
