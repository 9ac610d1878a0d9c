"""The thresholds (`PromotionConfig`), the environment (`Settings`), and the words that they may be.

Precedence, weakest first: default < environment < the experiment's `promotion_config` < the request. What a threshold
does belongs to the room that reads it.
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
from promotion_pipeline.config.thresholds import (
    ACTING_FIELDS,
    CONTRACT_THRESHOLDS,
    DOOR_THRESHOLDS,
    PromotionConfig,
    parse_config,
)

__all__ = [
    "ACTING_FIELDS",
    "CONTRACT_THRESHOLDS",
    "DOOR_THRESHOLDS",
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
