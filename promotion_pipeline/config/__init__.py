"""The thresholds (`PromotionConfig`), the environment (`Settings`), and the words that they may be.

Not here: what a threshold does: that belongs to the room that reads it.

Precedence, weakest first: default < environment < the experiment's `promotion_config` < the request.
"""

from promotion_pipeline.config.aliases import ENVIRONMENT_PREFIX
from promotion_pipeline.config.choices import (
    Covariate,
    Direction,
    Evidence,
    GroupSequentialSpending,
    Guardrail,
    MetricKind,
    MetricRole,
    Mode,
    PrimaryMetric,
)
from promotion_pipeline.config.metrics import MetricConfig, parse_metrics
from promotion_pipeline.config.precedence import layered, thresholds_in_force
from promotion_pipeline.config.settings import MINIMUM_SECRET_LENGTH, PASSED_THROUGH, Settings, known_variables
from promotion_pipeline.config.thresholds import (
    ACTING_FIELDS,
    CONTRACT_THRESHOLDS,
    DOOR_THRESHOLDS,
    PromotionConfig,
    meaning_of,
    parse_config,
    parse_texts,
)

__all__ = [
    "ACTING_FIELDS",
    "CONTRACT_THRESHOLDS",
    "DOOR_THRESHOLDS",
    "ENVIRONMENT_PREFIX",
    "MINIMUM_SECRET_LENGTH",
    "PASSED_THROUGH",
    "Covariate",
    "Direction",
    "Evidence",
    "GroupSequentialSpending",
    "Guardrail",
    "MetricConfig",
    "MetricKind",
    "MetricRole",
    "Mode",
    "PrimaryMetric",
    "PromotionConfig",
    "Settings",
    "known_variables",
    "layered",
    "meaning_of",
    "parse_config",
    "parse_metrics",
    "parse_texts",
    "thresholds_in_force",
]
