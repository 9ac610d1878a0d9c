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
from promotion_pipeline.evaluation.metric_tests import ADJUSTED, GUARDRAIL_VERDICTS, OUTCOMES, REASONS, MetricTable
from promotion_pipeline.evaluation.sums import Block
from promotion_pipeline.statistics import holm

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
class GoalsAndGuardrails:
    """What follows for each treatment, (treatments, units, hours)."""

    states_goals: Bools
    """Whether the unit states a goal, (units, 1)."""
    any_better: Bools
    any_worse: Bools
    past_differs: Bools
    """Whether the treatment's users differed from control's before their first exposure."""
    guardrails: GuardrailBits


def fill_verdicts(table: MetricTable, block: Block, lanes: Lanes) -> None:
    """Judge every metric of a block; O(cells of the lanes)."""
    alpha = (1.0 - block.layout.thresholds.min_confidence_level / 100.0)[lanes.unit, None, None]
    shared = alpha / np.maximum(block.layout.treatments, 1)[lanes.unit, None, None]
    p_value, adjusted, testable = table.values["always_valid_p_value"], table.values[ADJUSTED], TESTABLE[table.reason]
    adjusted[...] = p_value
    _share_over_goals(adjusted, lanes, testable)
    better_side = lanes.sign[:, None, None] * table.values["difference"] > 0
    codes = {name: np.int8(OUTCOMES.index(name)) for name in MetricOutcome}
    table.outcome[...] = codes[MetricOutcome.NO_SIGN]
    with np.errstate(invalid="ignore"):
        np.copyto(table.outcome, codes[MetricOutcome.BETTER], where=(adjusted <= shared) & better_side)
        np.copyto(table.outcome, codes[MetricOutcome.WORSE], where=(p_value <= shared) & ~better_side)
    np.copyto(table.outcome, codes[MetricOutcome.NOT_MEASURED], where=~testable)
    _fill_guardrails(table, lanes, testable, alpha, shared)


def _share_over_goals(p_value: Floats, lanes: Lanes, testable: Bools) -> None:
    """Holm's correction, in place, over the goals of each unit; a goal that could not be tested counts as one more."""
    goals = np.flatnonzero(lanes.has_role(MetricRole.GOAL))
    of_unit = pd.Series(goals).groupby(lanes.unit[goals])
    place, count = of_unit.cumcount().to_numpy(), of_unit.transform("size").to_numpy()
    several = count > 1
    if not several.any():
        return
    goals, place = goals[several], place[several]
    units, row = np.unique(lanes.unit[goals], return_inverse=True)
    together = np.full((place.max() + 1, len(units), *p_value.shape[1:]), np.nan)
    together[place, row] = np.where(testable[goals], p_value[goals], 1.0)
    p_value[goals] = holm(together, axis=0)[place, row]


def _fill_guardrails(table: MetricTable, lanes: Lanes, testable: Bools, alpha: Floats, shared: Floats) -> None:
    guards = np.flatnonzero(lanes.has_role(MetricRole.GUARDRAIL))
    if not len(guards):
        return
    reason, p_value = table.reason[guards], table.values["guardrail_p_value"][guards]
    with_margin = np.isfinite(lanes.margin[guards])[:, None, None]
    measured = testable[guards] & np.isfinite(p_value)
    # Where everybody has the same value in both arms there is no variance, and no harm either.
    alike = (reason == REASONS.index(MetricReason.NO_VARIATION)) & (table.values["difference"][guards] == 0)
    with np.errstate(invalid="ignore"):
        kept = measured & np.where(with_margin, p_value <= shared[guards], p_value > alpha[guards])
    codes = {name: np.int8(GUARDRAIL_VERDICTS.index(name)) for name in GuardrailVerdict}
    found = np.where(measured, codes[GuardrailVerdict.NOT_KEPT], codes[GuardrailVerdict.NOT_MEASURED])
    table.guardrail[guards] = np.where(kept | (alike & ~with_margin), codes[GuardrailVerdict.KEPT], found)


def goals_and_guardrails(table: MetricTable, block: Block, lanes: Lanes, past_differs: Bools) -> GoalsAndGuardrails:
    """From metrics to treatments; O(cells of the lanes)."""
    hours, treatments = table.outcome.shape[1:]
    shape = (treatments, len(block.layout.metrics), hours)
    better, worse = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    not_kept, not_measured = np.zeros(shape, dtype=np.int32), np.zeros(shape, dtype=np.int32)
    is_goal, is_guard = lanes.has_role(MetricRole.GOAL), lanes.has_role(MetricRole.GUARDRAIL)
    states_goals = np.zeros(shape[1], dtype=bool)
    states_goals[lanes.unit[is_goal]] = True
    kept, lacking = (GUARDRAIL_VERDICTS.index(name) for name in (GuardrailVerdict.KEPT, GuardrailVerdict.NOT_MEASURED))
    for number, own in lanes.by_number():
        goals, guards = own[is_goal[own]], own[is_guard[own]]
        outcome, verdict = (np.moveaxis(part, -1, 0) for part in (table.outcome[goals], table.guardrail[guards]))
        better[:, lanes.unit[goals]] |= outcome == OUTCOMES.index(MetricOutcome.BETTER)
        worse[:, lanes.unit[goals]] |= outcome == OUTCOMES.index(MetricOutcome.WORSE)
        bit = np.int32(1 << number)
        not_kept[:, lanes.unit[guards]] |= np.where(verdict == kept, np.int32(0), bit)
        not_measured[:, lanes.unit[guards]] |= np.where(verdict == lacking, bit, np.int32(0))
    return GoalsAndGuardrails(states_goals[:, None], better, worse, past_differs, GuardrailBits(not_kept, not_measured))


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
