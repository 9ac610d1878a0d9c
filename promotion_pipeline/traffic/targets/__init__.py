"""What serves a split: one file a kind of target, each able to read, to write weights, and to say what it is.

Not here: when a target is written to (`traffic.delivery`), and which buckets a split is made of (`traffic.allocation`).
"""

from promotion_pipeline.traffic.targets.configured import (
    FlagdTarget,
    OfrepTarget,
    TableTarget,
    TargetKind,
    TrafficTarget,
    UnleashTarget,
    WebhookTarget,
    target_of,
)

__all__ = [
    "FlagdTarget",
    "OfrepTarget",
    "TableTarget",
    "TargetKind",
    "TrafficTarget",
    "UnleashTarget",
    "WebhookTarget",
    "target_of",
]
