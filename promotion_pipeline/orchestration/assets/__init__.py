"""The assets: tables that a run fills, and tables that others fill and that the graph shows.

Not here: SQL, statistics, rules about promotion.

Modules with decorated functions do without postponed annotations: Dagster reads the annotations as they are.
"""

from promotion_pipeline.orchestration.assets.evaluation import evaluation
from promotion_pipeline.orchestration.assets.external import ab_experiments, experiment_promotions
from promotion_pipeline.orchestration.assets.log_node import LogNode, log_node
from promotion_pipeline.orchestration.assets.realised import realised_lift
from promotion_pipeline.orchestration.assets.rollups import hourly_variant_rollups
from promotion_pipeline.orchestration.assets.served import served_traffic
from promotion_pipeline.orchestration.assets.watch import promotion_watch

__all__ = [
    "LogNode",
    "ab_experiments",
    "evaluation",
    "experiment_promotions",
    "hourly_variant_rollups",
    "log_node",
    "promotion_watch",
    "realised_lift",
    "served_traffic",
]
