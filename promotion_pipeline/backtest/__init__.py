"""A rule held against past experiments: what it would have promoted, when, and what became of it.

Not here: made-up data (that is `simulation`) and a second copy of a rule.
"""

from promotion_pipeline.backtest.acts import ReplayOutcome, replay
from promotion_pipeline.backtest.calibration import promised_and_later
from promotion_pipeline.backtest.returns import RuleReturn, rule_returns
from promotion_pipeline.backtest.rules import ReplayRule, parse_rule
from promotion_pipeline.backtest.summary import RuleRecord, summarise

__all__ = [
    "ReplayOutcome",
    "ReplayRule",
    "RuleRecord",
    "RuleReturn",
    "parse_rule",
    "promised_and_later",
    "replay",
    "rule_returns",
    "summarise",
]
