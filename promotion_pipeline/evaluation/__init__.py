"""Rollups to decisions: pure frames in, frames out; no clock, no input or output.

Not here: SQL, Dagster, the clock, and a loop over experiments or hours.

Within, everything is arrays (`tables`): frames become these in `from_frames`, and what is `found` becomes `frames`
again. `look` takes and gives arrays, for those who judge a few experiments.
"""

from promotion_pipeline.evaluation.codes import AnalysisUnit, Reason, Verdict, Warn
from promotion_pipeline.evaluation.engine import evaluate
from promotion_pipeline.evaluation.explain import Check, Explanation, explain
from promotion_pipeline.evaluation.frames import Evaluation
from promotion_pipeline.evaluation.needs import Need
from promotion_pipeline.evaluation.outlook import Outlook, outlook

__all__ = [
    "AnalysisUnit",
    "Check",
    "Evaluation",
    "Explanation",
    "Need",
    "Outlook",
    "Reason",
    "Verdict",
    "Warn",
    "evaluate",
    "explain",
    "outlook",
]
