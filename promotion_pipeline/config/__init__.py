"""The thresholds (`PromotionConfig`), the environment (`Settings`), and the words that they may be.

Not here: what a threshold does: that belongs to the room that reads it.

Precedence, weakest first: default < environment < the experiment's `promotion_config` < the request.
"""

from promotion_pipeline.config.choices import (
    Direction,
    Evidence,
    GroupSequentialSpending,
    Guardrail,
    Mode,
    PrimaryMetric,
)
from promotion_pipeline.config.settings import (
    ENVIRONMENT_PREFIX,
    MINIMUM_SECRET_LENGTH,
    PASSED_THROUGH,
    THRESHOLD_NAMES,
    Settings,
    known_variables,
)
from promotion_pipeline.config.thresholds import ACTING_FIELDS, PromotionConfig, parse_config

__all__ = [
    "ACTING_FIELDS",
    "ENVIRONMENT_PREFIX",
    "MINIMUM_SECRET_LENGTH",
    "PASSED_THROUGH",
    "THRESHOLD_NAMES",
    "Direction",
    "Evidence",
    "GroupSequentialSpending",
    "Guardrail",
    "Mode",
    "PrimaryMetric",
    "PromotionConfig",
    "Settings",
    "known_variables",
    "parse_config",
]
