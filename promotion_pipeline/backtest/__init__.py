"""A rule held against past experiments: what it would have promoted, when, and what became of it."""

from promotion_pipeline.backtest.acts import ReplayOutcome, replay
from promotion_pipeline.backtest.rules import ReplayRule, parse_rule
from promotion_pipeline.backtest.summary import RuleRecord, summarise

__all__ = ["ReplayOutcome", "ReplayRule", "RuleRecord", "parse_rule", "replay", "summarise"]
