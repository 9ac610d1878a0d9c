"""The contract: what must hold before a treatment may be promoted, a row a check.

Codes, decisions, explanations, outlook, the doors and the columns of the tables follow from the rows. To add a check:
a field of `PromotionConfig` marked with `OfContract`, a row here, and a migration for its columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from promotion_pipeline.config import CONTRACT_THRESHOLDS
from promotion_pipeline.config.thresholds import Unit
from promotion_pipeline.evaluation import needs
from promotion_pipeline.evaluation.arms import Arms
from promotion_pipeline.evaluation.codes import REASON_BITS, Verdict
from promotion_pipeline.evaluation.compare import TreatmentTests
from promotion_pipeline.evaluation.layout import Bools, Floats
from promotion_pipeline.text.numbers import confidence_text, instant_text


@dataclass(frozen=True)
class TreatmentNumbers:
    """What a check can look at: arrays of every treatment, shape (treatments, units, hours); NaN where not known."""

    arms: Arms
    """Of every variant, control first: (1 + treatments, units, hours)."""
    tests: TreatmentTests
    runtime_hours: Floats


@dataclass(frozen=True)
class ContractCheck:
    """One contract check."""

    name: str
    """Its code, and its column in `eligibility_decisions`: whether it passes."""
    threshold: str
    """Field of `PromotionConfig`; says at least or at most, and the unit."""
    threshold_column: str
    """Column of the threshold that was in force."""
    observed: str
    """Column of what was observed of the candidate."""
    measure: Callable[[TreatmentNumbers], Floats]
    """What is observed of every treatment."""
    fails_as: Verdict
    """`not_yet` where more data may settle it, `rejected` where it would not."""
    title: str
    """Heading on the page."""
    subject: str
    """What the sentences call the number."""
    made_of: str
    """Columns that it is computed from, for the lineage: those of `significance_results` unless a table is named."""
    also: Callable[[TreatmentNumbers], Bools] | None = None
    """What must hold besides."""
    also_words: str = ""
    """The same in words, for the column."""
    also_failed: str = ""
    """What is said where only that does not hold."""
    is_settled: Callable[[TreatmentNumbers], Bools] | None = None
    """Where it fails, and more data would not settle it: treatments (times units, hours) that reach the threshold."""
    without_candidate: float = np.nan
    """What is observed where there is no candidate."""
    is_of_phase: bool = False
    """Without a candidate, the largest of the treatments is observed: it speaks of the phase."""
    said: Callable[[float], str] | None = None
    """How its numbers are written, where not as those of its unit."""
    unmeasured: str | None = None
    """What to do where there are requests and it could still not be measured."""
    remark: Callable[[Mapping[str, Any]], str] | None = None
    """What is said behind the numbers, of a row of the decisions."""
    need: Callable[[needs.Shortfall], needs.Need] = needs.no_wait_helps
    """What it takes to pass."""
    place_in_outlook: int = 9

    @property
    def unit(self) -> Unit:
        """What its numbers count in."""
        return CONTRACT_THRESHOLDS[self.threshold].unit

    @property
    def sign(self) -> str:
        """How what is observed must stand to the threshold."""
        return "<=" if CONTRACT_THRESHOLDS[self.threshold].is_most else ">="

    @property
    def meaning(self) -> str:
        """When it passes, in the words of its column."""
        return f"check: {self.observed} {self.sign} threshold{self.also_words and ' and ' + self.also_words}"

    def reaches(self, observed: Floats, limit: Floats) -> Bools:
        """Whether the numbers are on the right side of the threshold; a NaN is not."""
        with np.errstate(invalid="ignore"):
            return np.asarray(observed <= limit if self.sign == "<=" else observed >= limit)

    def passes(self, seen: TreatmentNumbers, observed: Floats, limit: Floats) -> Bools:
        """Whether each treatment passes; `observed` is what `measure` gave, `limit` the threshold of each unit."""
        reached = self.reaches(observed, limit)
        return reached if self.also is None else reached & self.also(seen)


def _ahead(seen: TreatmentNumbers) -> Bools:
    return np.asarray(seen.tests.z > 0)


def _behind(seen: TreatmentNumbers) -> Bools:
    return np.asarray(seen.tests.z < 0)


def _smaller_arm(seen: TreatmentNumbers) -> Floats:
    return np.asarray(np.minimum(seen.arms.requests[:1], seen.arms.requests[1:]))


def _measured_since(row: Mapping[str, Any]) -> str:
    """Said where the phase is older than its requests: age in which nothing was measured is no runtime."""
    since = row.get("measured_since")
    if since is None or pd.isna(since):
        return ""
    begun = pd.Timestamp(since).tz_convert("UTC")
    return f", counted from {instant_text(begun)}: both arms had requests from then on"


CONTRACT: tuple[ContractCheck, ...] = (
    ContractCheck(
        name="min_sample_size",
        threshold="min_sample_size",
        threshold_column="min_sample_size_threshold",
        observed="sample_size",
        measure=_smaller_arm,
        without_candidate=0,
        fails_as=Verdict.NOT_YET,
        title="Enough requests",
        subject="smaller arm",
        made_of="variant_metrics.requests",
        need=needs.of_sample,
        place_in_outlook=2,
    ),
    ContractCheck(
        name="min_confidence",
        threshold="min_confidence_level",
        threshold_column="min_confidence_threshold",
        observed="confidence",
        measure=lambda seen: seen.tests.confidence,
        also=_ahead,
        also_words="the candidate is ahead",
        also_failed="the candidate is behind control",
        is_settled=_behind,
        fails_as=Verdict.NOT_YET,
        title="Confidence",
        subject="confidence",
        said=confidence_text,
        made_of="confidence z",
        need=needs.of_confidence,
        place_in_outlook=3,
    ),
    ContractCheck(
        name="min_improvement",
        threshold="min_improvement_percent",
        threshold_column="min_improvement_threshold",
        observed="improvement",
        measure=lambda seen: seen.tests.improvement,
        fails_as=Verdict.REJECTED,
        title="Improvement",
        subject="improvement over control",
        made_of="improvement",
        need=needs.of_improvement,
        place_in_outlook=5,
    ),
    ContractCheck(
        name="min_runtime",
        threshold="min_runtime_hours",
        threshold_column="min_runtime_threshold",
        observed="runtime_hours",
        measure=lambda seen: seen.runtime_hours,
        is_of_phase=True,
        fails_as=Verdict.NOT_YET,
        title="Runtime",
        subject="runtime",
        remark=_measured_since,
        made_of="as_of phase_id variant_metrics.requests",
        need=needs.of_runtime,
        place_in_outlook=1,
    ),
    ContractCheck(
        name="error_rate_acceptable",
        threshold="max_error_rate",
        threshold_column="error_rate_threshold",
        observed="error_rate",
        measure=lambda seen: seen.arms.error_rate[1:],
        fails_as=Verdict.REJECTED,
        title="Error rate",
        subject="error rate of the candidate",
        unmeasured="the log does not say which requests failed; map is_error, or map it to 'never' where nothing can"
        " fail",
        made_of="variant_metrics.error_rate",
        need=needs.of_errors,
        place_in_outlook=4,
    ),
)
"""Every one must pass for `is_eligible`."""

CHECKS: dict[str, ContractCheck] = {check.name: check for check in CONTRACT}
"""By name."""
CODE_BITS: dict[str, np.int32] = {
    check.name: np.int32(1 << (len(REASON_BITS) + number)) for number, check in enumerate(CONTRACT)
} | REASON_BITS
"""Bit of every code that `reasons` of a decision can hold, the checks first."""
CHECKS_IN_WORDS = f"{ {5: 'five', 6: 'six', 7: 'seven'}.get(len(CONTRACT), len(CONTRACT)) } checks"
