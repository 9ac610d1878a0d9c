"""Simulated experiments through the real `evaluate()`: how often the rule is wrong, how often and how soon right.

Not here: a rule of its own: it calls the `evaluate()` of production.
"""

from promotion_pipeline.simulation.campaign import Campaign, simulate
from promotion_pipeline.simulation.like import FalsePromotions, LikeCampaign, PromiseKept, simulate_like
from promotion_pipeline.simulation.metric_scenario import SimulatedMetrics
from promotion_pipeline.simulation.rerandomised import UserLog
from promotion_pipeline.simulation.scenario import Scenario
from promotion_pipeline.simulation.summary import Estimate, RuleSummary

__all__ = [
    "Campaign",
    "Estimate",
    "FalsePromotions",
    "LikeCampaign",
    "PromiseKept",
    "RuleSummary",
    "Scenario",
    "SimulatedMetrics",
    "UserLog",
    "simulate",
    "simulate_like",
]
