"""One line a rule."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd
from pydantic.alias_generators import to_camel

from promotion_pipeline.backtest.acts import ReplayOutcome


@dataclass(frozen=True)
class RuleRecord:
    """How a rule would have fared on past experiments."""

    rule: str
    experiments: int
    promoted: int
    median_hours: float | None
    """Age of the experiment at the promotion, median over the promoted."""
    kept: int
    """Promoted and still ahead at the last look."""
    faded: int
    """Promoted, and level or behind at the last look, not significantly."""
    reversed: int
    """Promoted, and significantly worse at the last look."""
    withheld: int
    """Eligible by the contract at some look and never promoted: a person would have been asked."""
    withheld_by_srm: int
    """Of these, with a sample ratio mismatch at the last eligible look."""
    srm: int
    """Experiments with a sample ratio mismatch (p < 0.001) at the last look."""
    promoted_with_srm: int
    """Of these, promoted."""

    def to_json(self) -> dict[str, Any]:
        """All figures, names in camelCase."""
        return {to_camel(name): value for name, value in asdict(self).items()}


def summarise(acts: pd.DataFrame) -> list[RuleRecord]:
    """One record a rule of `replay`'s frame, in its order."""
    return [_record(str(rule), own) for rule, own in acts.groupby("rule", sort=False)]


def _record(rule: str, own: pd.DataFrame) -> RuleRecord:
    promoted = own[own["is_promoted"]]
    outcomes = promoted["outcome"].value_counts()
    return RuleRecord(
        rule=rule,
        experiments=len(own),
        promoted=len(promoted),
        median_hours=float(promoted["hours"].median()) if len(promoted) else None,
        kept=int(outcomes.get(ReplayOutcome.KEPT.value, 0)),
        faded=int(outcomes.get(ReplayOutcome.FADED.value, 0)),
        reversed=int(outcomes.get(ReplayOutcome.REVERSED.value, 0)),
        withheld=int((own["was_eligible"] & ~own["is_promoted"]).sum()),
        withheld_by_srm=int(own["withheld_by_srm"].sum()),
        srm=int(own["has_srm"].sum()),
        promoted_with_srm=int((own["has_srm"] & own["is_promoted"]).sum()),
    )
