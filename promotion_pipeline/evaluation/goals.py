"""What the stated metrics say of each treatment: which goals are better, which guardrails are kept, by name.

Goals share alpha by Holm's method, over all that the experiment states, whether they could be measured or not. That is
of the treatment; alpha is first divided by the number of treatments. Guardrails need no share: a treatment goes only
where all are kept (Schultzberg, Ankargren & Franberg, arXiv 2402.11609).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from promotion_pipeline.config import Guardrail, MetricRole
from promotion_pipeline.config.metrics import MOST_METRICS
from promotion_pipeline.evaluation.codes import GuardrailVerdict, MetricOutcome, MetricReason
from promotion_pipeline.evaluation.lanes import Lanes
from promotion_pipeline.evaluation.layout import Bools, Floats
from promotion_pipeline.evaluation.metric_tests import REASONS, MetricTests
from promotion_pipeline.evaluation.sums import Block
from promotion_pipeline.statistics import holm

OUTCOMES = tuple(MetricOutcome)
GUARDRAIL_VERDICTS = tuple(GuardrailVerdict)
TESTABLE = np.array([reason in (MetricReason.MEASURED, MetricReason.NO_BASE) for reason in REASONS])
"""By reason, whether the difference could be tested."""

Bits = NDArray[np.int32]


@dataclass(frozen=True)
class GuardrailBits:
    """Which guardrails are not kept, and which of these could not be measured, (treatments, units, hours).

    Bit i is metric i of the experiment's list; `Guardrail` number i is bit `MOST_METRICS` + i.
    """

    not_kept: Bits
    not_measured: Bits

    def joined(self, other: GuardrailBits) -> GuardrailBits:
        """Those of both."""
        return GuardrailBits(self.not_kept | other.not_kept, self.not_measured | other.not_measured)

    @classmethod
    def none(cls, shape: tuple[int, ...]) -> GuardrailBits:
        """Every guardrail is kept."""
        nothing = np.broadcast_to(np.int32(0), shape)
        return cls(nothing, nothing)


@dataclass(frozen=True)
class MetricVerdicts:
    """What follows from `MetricTests`, arrays (lanes, hours, treatments)."""

    adjusted_p_value: Floats
    outcome: NDArray[np.int8]
    """Position in `OUTCOMES`."""
    guardrail: NDArray[np.int8]
    """Position in `GUARDRAIL_VERDICTS`; -1 for what is no guardrail."""


@dataclass(frozen=True)
class GoalsAndGuardrails:
    """What follows for each treatment, (treatments, units, hours)."""

    states_goals: Bools
    """Whether the unit states a goal, (units, 1)."""
    any_better: Bools
    any_worse: Bools
    guardrails: GuardrailBits


def verdicts_of(block: Block, lanes: Lanes, tests: MetricTests) -> MetricVerdicts:
    """Judge every metric; O(cells of the lanes)."""
    alpha = (1.0 - block.layout.thresholds.min_confidence_level / 100.0)[lanes.unit, None, None]
    shared = alpha / np.maximum(block.layout.treatments, 1)[lanes.unit, None, None]
    p_value, testable = tests.values["always_valid_p_value"], TESTABLE[tests.reason]
    adjusted = _over_goals(lanes, np.where(testable, p_value, 1.0), p_value)
    better_side = lanes.sign[:, None, None] * tests.values["difference"] > 0
    outcome = np.full(p_value.shape, OUTCOMES.index(MetricOutcome.NO_SIGN), dtype=np.int8)
    with np.errstate(invalid="ignore"):
        np.copyto(outcome, np.int8(OUTCOMES.index(MetricOutcome.BETTER)), where=(adjusted <= shared) & better_side)
        np.copyto(outcome, np.int8(OUTCOMES.index(MetricOutcome.WORSE)), where=(p_value <= shared) & ~better_side)
    np.copyto(outcome, np.int8(OUTCOMES.index(MetricOutcome.NOT_MEASURED)), where=~testable)
    return MetricVerdicts(adjusted, outcome, _guardrail_verdicts(lanes, tests, alpha, shared))


def _over_goals(lanes: Lanes, counted: Floats, p_value: Floats) -> Floats:
    """Holm's correction over the goals of each unit; what is no goal, or the only one, stands as it is."""
    goals = np.flatnonzero(lanes.has_role(MetricRole.GOAL))
    of_unit = pd.Series(goals).groupby(lanes.unit[goals])
    place, count = of_unit.cumcount().to_numpy(), of_unit.transform("size").to_numpy()
    several = count > 1
    if not several.any():
        return p_value
    goals, place = goals[several], place[several]
    units, row = np.unique(lanes.unit[goals], return_inverse=True)
    together = np.full((place.max() + 1, len(units), *p_value.shape[1:]), np.nan)
    together[place, row] = counted[goals]
    adjusted = p_value.copy()
    adjusted[goals] = holm(together, axis=0)[place, row]
    return adjusted


def _guardrail_verdicts(lanes: Lanes, tests: MetricTests, alpha: Floats, shared: Floats) -> NDArray[np.int8]:
    guards = np.flatnonzero(lanes.has_role(MetricRole.GUARDRAIL))
    verdict = np.full(tests.reason.shape, -1, dtype=np.int8)
    if not len(guards):
        return verdict
    reason, p_value = tests.reason[guards], tests.values["guardrail_p_value"][guards]
    with_margin = np.isfinite(lanes.margin[guards])[:, None, None]
    measured = TESTABLE[reason] & np.isfinite(p_value)
    # Where everybody has the same value in both arms there is no variance, and no harm either.
    alike = (reason == REASONS.index(MetricReason.NO_VARIATION)) & (tests.values["difference"][guards] == 0)
    with np.errstate(invalid="ignore"):
        kept = measured & np.where(with_margin, p_value <= shared[guards], p_value > alpha[guards])
    codes = {name: GUARDRAIL_VERDICTS.index(name) for name in GuardrailVerdict}
    found = np.where(measured, codes[GuardrailVerdict.NOT_KEPT], codes[GuardrailVerdict.NOT_MEASURED])
    verdict[guards] = np.where(kept | (alike & ~with_margin), codes[GuardrailVerdict.KEPT], found)
    return verdict


def goals_and_guardrails(block: Block, lanes: Lanes, verdicts: MetricVerdicts) -> GoalsAndGuardrails:
    """From metrics to treatments; O(cells of the lanes)."""
    hours, treatments = verdicts.outcome.shape[1:]
    shape = (treatments, len(block.layout.metrics), hours)
    better, worse = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    not_kept, not_measured = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    is_goal, is_guard = lanes.has_role(MetricRole.GOAL), lanes.has_role(MetricRole.GUARDRAIL)
    states_goals = np.zeros(shape[1], dtype=bool)
    states_goals[lanes.unit[is_goal]] = True
    kept, lacking = (GUARDRAIL_VERDICTS.index(name) for name in (GuardrailVerdict.KEPT, GuardrailVerdict.NOT_MEASURED))
    for number, own in lanes.by_number():
        goals, guards = own[is_goal[own]], own[is_guard[own]]
        outcome, verdict = (np.moveaxis(part, -1, 0) for part in (verdicts.outcome[goals], verdicts.guardrail[guards]))
        better[:, lanes.unit[goals]] |= outcome == OUTCOMES.index(MetricOutcome.BETTER)
        worse[:, lanes.unit[goals]] |= outcome == OUTCOMES.index(MetricOutcome.WORSE)
        bit = np.int32(1 << number)
        not_kept[:, lanes.unit[guards]] |= np.where(verdict == kept, np.int32(0), bit)
        not_measured[:, lanes.unit[guards]] |= np.where(verdict == lacking, bit, np.int32(0))
    return GoalsAndGuardrails(states_goals[:, None], better, worse, GuardrailBits(not_kept, not_measured))


def guardrail_bit(guardrail: Guardrail) -> np.int32:
    """The bit of a guardrail that is named in `guardrails`."""
    return np.int32(1 << (MOST_METRICS + list(Guardrail).index(guardrail)))


def names_of(stated: NDArray[Any], unit: NDArray[Any], bits: Bits) -> NDArray[Any]:
    """Bits, (n,), as tuples of names, given which unit each is of; equal ones share one tuple.

    Args:
        stated: of each unit the metrics that it states.
    """
    found = np.empty(len(bits), dtype=object)
    found[:] = [()] * len(bits)
    some = np.flatnonzero(bits)
    if not len(some):
        return found
    keys, row = np.unique(unit[some].astype(np.int64) << 32 | bits[some], return_inverse=True)
    tuples = np.empty(len(keys), dtype=object)
    for at, key in enumerate(keys.tolist()):
        names = [one.name for one in stated[key >> 32]]
        known = dict(enumerate(names)) | {MOST_METRICS + i: name.value for i, name in enumerate(Guardrail)}
        tuples[at] = tuple(name for i, name in known.items() if key >> i & 1)
    found[some] = tuples[row]
    return found
