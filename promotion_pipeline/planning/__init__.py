"""Before an experiment: how much traffic a decision needs, and whether the rule keeps its promise on a team's own log.

Not here: formulas (they are in `statistics`), and a rule of its own: a log is judged by the `evaluate()` of production.
"""

from promotion_pipeline.planning.answer import EvidencePlan, ExperimentPlan, plan
from promotion_pipeline.planning.question import Aim, Traffic

__all__ = ["Aim", "EvidencePlan", "ExperimentPlan", "Traffic", "plan"]
