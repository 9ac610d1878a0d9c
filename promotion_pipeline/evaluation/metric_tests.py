"""Every stated metric of every treatment against control: estimates, tests and intervals, before any verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from promotion_pipeline.config import MetricRole
from promotion_pipeline.evaluation.arms import Arms
from promotion_pipeline.evaluation.codes import GuardrailVerdict, MetricOutcome, MetricReason
from promotion_pipeline.evaluation.lanes import KINDS, Lanes
from promotion_pipeline.evaluation.layout import Bools, Floats, Ints
from promotion_pipeline.evaluation.metric_sums import SAMPLES, UNMATCHED, UNREADABLE, MetricRows
from promotion_pipeline.evaluation.metrics.stated import (
    OfTwoSums,
    StatedEstimate,
    StatedMetricKind,
    Sums,
    stated_kind_of,
)
from promotion_pipeline.evaluation.sums import CELLS_PER_BLOCK, Block
from promotion_pipeline.statistics import (
    Contrast,
    UserSums,
    always_valid_critical_z,
    always_valid_lift,
    always_valid_one_sided_p_value,
    careful_margin_contrast,
    cuped_arms,
    independent,
    lift_of,
    margin_contrast,
    student_critical,
    student_inflation,
    student_two_sided_p_value,
)

Codes = NDArray[np.int8]
COVARIATE_SUMS = ("covariate_sum", "covariate_sum_squares", "user_value_covariate_sum_products")
REASONS = tuple(MetricReason)
TESTED = (
    "control_estimate",
    "estimate",
    "difference",
    "standard_error",
    "lift",
    "lift_lower",
    "lift_upper",
    "p_value",
    "always_valid_p_value",
    "always_valid_lower",
    "always_valid_upper",
    "control_sample",
    "sample",
)
"""Of every metric."""
OF_SOME = ("theta", "variance_reduction", "noninferiority_p_value", "guardrail_p_value")
"""Of metrics with a covariate, of guardrails with a margin, of guardrails; else NaN."""
ADJUSTED = "adjusted_p_value"
OUTCOMES = tuple(MetricOutcome)
GUARDRAIL_VERDICTS = tuple(GuardrailVerdict)


@dataclass(frozen=True)
class MetricTable:
    """What is found, arrays (lanes, hours, treatments): the order of the rows that they become.

    Made once for all lanes and filled part by part, so that nothing so large is copied.
    """

    values: dict[str, Floats]
    """By the names in `TESTED`, `OF_SOME` and `ADJUSTED`."""
    reason: Codes
    """Position in `REASONS`."""
    outcome: Codes
    """Position in `OUTCOMES`."""
    guardrail: Codes
    """Position in `GUARDRAIL_VERDICTS`; -1 for what is no guardrail."""

    @classmethod
    def blank(cls, shape: tuple[int, int, int]) -> MetricTable:
        """One to fill."""
        values = {name: np.empty(shape) for name in (*TESTED, ADJUSTED)}
        values |= {name: np.full(shape, np.nan) for name in OF_SOME}
        codes = (np.full(shape, code, dtype=np.int8) for code in (0, 0, -1))
        return cls(values, *codes)

    def of(self, lanes: slice) -> MetricTable:
        """That of some lanes, without a copy."""
        values = {name: part[lanes] for name, part in self.values.items()}
        return MetricTable(values, self.reason[lanes], self.outcome[lanes], self.guardrail[lanes])


@dataclass(frozen=True)
class _Traffic:
    """What all metrics of a unit share, arrays (treatments, units, hours) or broadcastable to it."""

    n: Floats
    tuned_for: Floats
    alpha: Floats
    shared_alpha: Floats
    reach: Floats
    """Standard errors that the always-valid interval extends to each side."""
    knows_no_user: Bools

    def of(self, unit: Ints) -> _Traffic:
        """The same for lanes of these units."""
        return _Traffic(**{name: values[:, unit] for name, values in vars(self).items()})


def fill_tests(table: MetricTable, block: Block, own: Arms, rows: MetricRows, lanes: Lanes, tuned_for: Floats) -> None:
    """Test the lanes of a block, of which `rows` are the sums and `table` the results; O(cells of the lanes).

    Args:
        tuned_for: N* of each treatment's always-valid interval, (treatments, units, hours).
    """
    slots, _, hours = own.requests.shape
    traffic = _traffic(block, own, tuned_for)
    for kind, part in _parts(lanes, slots * hours):
        tested = _LanesOfAKind(kind, lanes.at(part), traffic.of(lanes.unit[part]))
        found, why = tested.found(rows, part, (slots, len(lanes), hours))
        for name, cells in found.items():
            table.values[name][part] = np.moveaxis(np.broadcast_to(cells, (slots - 1, len(part), hours)), 0, -1)
        table.reason[part] = np.moveaxis(why, 0, -1)


def _traffic(block: Block, own: Arms, tuned_for: Floats) -> _Traffic:
    alpha = (1.0 - block.limits.min_confidence_level / 100.0)[None]
    shared = alpha / np.maximum(block.layout.treatments, 1)[None, :, None]
    n = own.requests[:1] + own.requests[1:]
    reach = always_valid_critical_z(n, tuned_for, shared)
    nobody = (own.requests.sum(axis=0) > 0) & (own.users.sum(axis=0) == 0)
    return _Traffic(n, np.broadcast_to(tuned_for, n.shape), alpha, shared, reach, nobody[None])


def _parts(lanes: Lanes, cells_per_lane: int) -> Iterator[tuple[StatedMetricKind, Ints]]:
    """Lanes of one kind at a time, in parts that stay near the processor's cache."""
    step = max(1, CELLS_PER_BLOCK // max(1, cells_per_lane))
    for position, kind in enumerate(KINDS):
        for adjusted in (False, True):
            found = np.flatnonzero((lanes.kind == position) & (lanes.with_covariate == adjusted))
            for start in range(0, len(found), step):
                yield stated_kind_of(kind), found[start : start + step]


@dataclass(frozen=True)
class _LanesOfAKind:
    """Some lanes of one kind; arrays (treatments, lanes, hours)."""

    kind: StatedMetricKind
    lanes: Lanes
    traffic: _Traffic

    def found(self, rows: MetricRows, part: Ints, shape: tuple[int, int, int]) -> tuple[dict[str, Floats], Codes]:
        """Every column that these lanes have, and why something is missing."""
        wanted = [*self.kind.sums, *(COVARIATE_SUMS if self.lanes.with_covariate.any() else ())]
        wanted += [name for name in (SAMPLES, UNMATCHED, UNREADABLE) if name in rows.sums]
        sums = rows.cumulative(wanted, part, shape)
        estimate = self.kind.estimate(sums)
        plain = independent(estimate.mean, estimate.variance, estimate.inverse_freedom)
        contrast, found, ratio = plain, dict[str, Floats](), None
        careful = plain
        if estimate.careful_variance is not estimate.variance:
            careful = independent(estimate.mean, estimate.careful_variance, estimate.careful_inverse_freedom)
        if self.lanes.with_covariate.any():
            contrast, found, ratio = _adjusted(sums)
            careful = contrast
        spread = contrast.variance_at(1.0)
        error, freedom = np.sqrt(_positive(spread)), contrast.inverse_freedom_of(spread)
        careful_error, careful_freedom = error, freedom
        if careful is not contrast:
            spread = careful.variance_at(1.0)
            careful_error, careful_freedom = np.sqrt(_positive(spread)), careful.inverse_freedom_of(spread)
        unsure = student_inflation(self.traffic.reach, careful_freedom)
        careful_error = careful_error * unsure
        found |= {
            "control_estimate": contrast.control,
            "estimate": contrast.treatment,
            "difference": contrast.difference,
            "standard_error": error,
            "control_sample": estimate.sample[:1],
            "sample": estimate.sample[1:],
        }
        found |= self._fixed(contrast, error, freedom, ratio) | self._always_valid(careful, careful_freedom)
        found |= self._guarded(contrast, careful, careful_error, unsure)
        return found, self._reasons(sums, estimate, found, careful_error)

    def _fixed(self, contrast: Contrast, error: Floats, freedom: Floats, ratio: Floats | None) -> dict[str, Floats]:
        """Welch's test of the difference, and the delta method's interval of the lift: of one look."""
        lift, lift_error = lift_of(contrast, ratio)
        half = student_critical(self.traffic.alpha, freedom) * lift_error
        with np.errstate(all="ignore"):
            p_value = student_two_sided_p_value(contrast.difference / error, freedom)
            return {"p_value": p_value, "lift": lift, "lift_lower": lift - half, "lift_upper": lift + half}

    def _always_valid(self, careful: Contrast, freedom: Floats) -> dict[str, Floats]:
        """The same for every look at once; one sequence gives test and interval, so they agree."""
        seen = self.traffic
        found = always_valid_lift(
            careful.control,
            careful.control_variance,
            careful.treatment,
            careful.treatment_variance,
            seen.n,
            seen.tuned_for,
            seen.shared_alpha,
            inverse_freedom=freedom,
            covariance=careful.covariance,
        )
        return {
            "always_valid_p_value": found.p_value,
            "always_valid_lower": found.lower,
            "always_valid_upper": found.upper,
        }

    def _guarded(self, contrast: Contrast, careful: Contrast, error: Floats, unsure: Floats) -> dict[str, Floats]:
        """Of guardrails: p-values of "worse than the margin allows", and without one of "not worse than control"."""
        lanes, seen = self.lanes, self.traffic
        guards = lanes.has_role(MetricRole.GUARDRAIL)
        if not guards.any():
            return {}
        sign, margin = lanes.sign[:, None], lanes.margin[:, None]
        with_margin = np.isfinite(lanes.margin)
        harm = -sign * careful.difference
        p_value = always_valid_one_sided_p_value(harm, error, seen.n, seen.tuned_for, seen.alpha)
        found = {"guardrail_p_value": np.where(guards[:, None], p_value, np.nan)}
        if with_margin.any():
            ahead, ahead_error = careful_margin_contrast(careful, margin, sign > 0)
            shown = always_valid_one_sided_p_value(
                ahead, ahead_error * unsure, seen.n, seen.tuned_for, seen.shared_alpha
            )
            found["guardrail_p_value"] = np.where(with_margin[:, None], shown, found["guardrail_p_value"])
            found["noninferiority_p_value"] = noninferiority_p_value(contrast, margin, sign > 0)
        return found

    def _reasons(self, sums: Sums, estimate: StatedEstimate, found: dict[str, Floats], error: Floats) -> Codes:
        """The first thing that keeps a treatment's metric from being measured."""
        n = estimate.sample
        known = np.logical_and.reduce([np.isfinite(sums[name]) for name in self.kind.needed]) & ~estimate.is_impossible
        nobody = self.traffic.knows_no_user & (n == 0).all(axis=0)[None] & self.kind.needs_users
        with np.errstate(invalid="ignore"):
            conditions = (
                (MetricReason.NEEDS_USERS, nobody),
                (MetricReason.EVENTS_UNREADABLE, _unreadable(sums)[None]),
                (MetricReason.UNMATCHED, _unmatched(sums)[None]),
                (MetricReason.UNMATCHED, _is_of_nothing(self.kind, sums, n)[None]),
                (MetricReason.NOT_A_NUMBER, ~(known[:1] & known[1:])),
                (MetricReason.NO_ROWS, (n[:1] == 0) | (n[1:] == 0)),
                (MetricReason.TOO_FEW, (n[:1] <= 1) | (n[1:] <= 1)),
                (MetricReason.NOT_A_NUMBER, ~np.isfinite(found["difference"])),
                (MetricReason.NO_VARIATION, np.isnan(found["standard_error"])),
                # One user or request that is nearly the whole arm leaves nothing of the variance.
                (MetricReason.TOO_FEW, np.isnan(error)),
                (MetricReason.NO_BASE, np.isnan(found["lift"])),
            )
        reason: Codes = np.full(error.shape, REASONS.index(MetricReason.MEASURED), dtype=np.int8)
        for why, holds in reversed(conditions):
            np.copyto(reason, np.int8(REASONS.index(why)), where=holds)
        return reason


def noninferiority_p_value(contrast: Contrast, margin: Floats, higher_is_better: Bools) -> Floats:
    """Of "worse than control by the margin or more", at one look: Welch's one-sided test of the contrast."""
    ahead, error = margin_contrast(contrast, margin, higher_is_better)
    freedom = contrast.inverse_freedom_of(error * error)
    with np.errstate(all="ignore"):
        t = ahead / error
        tail = student_two_sided_p_value(t, freedom) / 2.0
        return np.where(t > 0, tail, 1.0 - tail)


def _adjusted(sums: Sums) -> tuple[Contrast, dict[str, Floats], Floats]:
    """The contrast with the users' past taken out, and the plain one where no past is known of an arm."""
    x, xx, yx = (sums[name] for name in COVARIATE_SUMS)
    known = np.logical_and.reduce([np.isfinite(part).all(axis=0) for part in (x, xx, yx)])
    x, xx, yx = (np.where(known, part, 0.0) for part in (x, xx, yx))
    post = (sums["new_users"], sums["value_sum"], sums["user_value_sum_squares"])
    found = cuped_arms(UserSums(*post, x, xx, yx))
    done = found.theta != 0
    ratio = np.asarray(found.plain_ratio)
    columns = {
        "theta": np.where(done, found.theta, np.nan)[None],
        "variance_reduction": np.where(done, found.variance_reduction, np.nan),
    }
    return found.contrast, columns, ratio


def _unreadable(sums: Sums) -> Bools:
    """Where rows say that the metric's events cannot be read, (lanes, hours)."""
    if UNREADABLE in sums:
        return np.asarray((sums[UNREADABLE] > 0).any(axis=0))
    return np.zeros(sums["value_sum"].shape[1:], dtype=bool)


def _unmatched(sums: Sums) -> Bools:
    """Where rows say that nothing has matched the metric in any arm so far, (lanes, hours)."""
    with np.errstate(invalid="ignore"):
        silent = ((sums["value_sum"] == 0) | np.isnan(sums["value_sum"])).all(axis=0)
        if SAMPLES in sums:
            return np.asarray(silent & ~(sums[SAMPLES] > 0).any(axis=0))
        if UNMATCHED in sums:
            return np.asarray(silent & (sums[UNMATCHED] > 0).any(axis=0))
    return np.zeros(silent.shape, dtype=bool)


def _is_of_nothing(kind: StatedMetricKind, sums: Sums, n: Floats) -> Bools:
    """Where a ratio's users have nothing to divide by in any arm so far, (lanes, hours)."""
    if not isinstance(kind, OfTwoSums):
        return np.zeros(n.shape[1:], dtype=bool)
    return np.asarray((sums["denominator_sum"] == 0).all(axis=0) & (n > 0).any(axis=0))


def _positive(values: Floats) -> Floats:
    return np.where(values > 0, values, np.nan)
