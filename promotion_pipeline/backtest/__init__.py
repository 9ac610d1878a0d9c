"""A rule held against past experiments: what it would have promoted, when, and what became of it.

Not here: made-up data (that is `simulation`) and a second copy of a rule.
"""

from promotion_pipeline.backtest.acts import Outcome, replay
from promotion_pipeline.backtest.rules import Rule, parse_rule
from promotion_pipeline.backtest.summary import RuleRecord, summarise

__all__ = ["Outcome", "Rule", "RuleRecord", "parse_rule", "replay", "summarise"]
