"""From comparisons to one decision a unit and hour: candidate, contract checks, verdict, reasons, warnings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from promotion_pipeline.evaluation.arms import Arms, known_by_user
from promotion_pipeline.evaluation.clusters import POWER_SUM
from promotion_pipeline.evaluation.codes import ERROR_REASONS, INCONCLUSIVE_REASONS, Reason, Verdict, Warn, bit, bits
from promotion_pipeline.evaluation.compare import Comparisons, TreatmentTests
from promotion_pipeline.evaluation.contract import CODE_BITS, CONTRACT, ContractCheck, TreatmentNumbers
from promotion_pipeline.evaluation.gates import gated
from promotion_pipeline.evaluation.goals import GoalsAndGuardrails
from promotion_pipeline.evaluation.guardrails import LATENCY_MARGIN
from promotion_pipeline.evaluation.hours import FAR_FUTURE_US, HOUR_US
from promotion_pipeline.evaluation.layout import Bools, Floats, Ints, Thresholds
from promotion_pipeline.evaluation.metrics import are_proportions
from promotion_pipeline.evaluation.split import SRM_ALPHA
from promotion_pipeline.evaluation.sums import Block

SLOWER = (1.0 + LATENCY_MARGIN) * (1 - 1e-9)
"""Times control's latency, and a difference of exactly that much in spite of how floats round."""
SMALL_SAMPLE = 1000
EXPOSURE_WARNING = 0.01
EXPOSURE_LIMIT = 0.1
"""Above this share of known users in several variants nothing is promoted unattended."""
VERDICTS = tuple(Verdict)

Bits = NDArray[np.int32]


@dataclass(frozen=True)
class Decisions:
    """One decision a unit and hour, arrays (units, hours); `candidate` is a treatment's number, -1 for none."""

    candidate: Ints
    verdict: NDArray[np.int8]
    """Position in `VERDICTS`."""
    is_promotable: Bools
    checks: dict[str, Bools]
    """Whether each contract check passes, by its name."""
    observed: dict[str, Floats]
    """What each check observed, by its column. The runtime is that since `measured_since_us`, less the attribution
    window: the stretch of time that was judged."""
    measured_since_us: Ints
    """The first hour in which control and candidate had both had requests, where it began later than the phase; else
    far in the future."""
    srm_p_value: Floats
    sequential_srm_p_value: Floats
    exposure: Floats
    """Share of the known users that more than one variant served; NaN where no user is known."""
    exposed_requests: Floats
    """Share of the known users' requests that these users made; NaN where no user is known."""
    largest_user_share: Floats
    """At most this is the largest user's share of an arm; NaN unless one has more than 1 percent."""
    crossed: Floats
    """1: the candidate's z reaches the group-sequential boundary; 0: not; NaN: no plan, or past it."""
    by_user: Bools
    guardrails_not_kept: Bits
    """Of the candidate, as in `GuardrailBits`: those that are not kept, and of these the ones not measured."""
    guardrails_not_measured: Bits
    reasons: Bits
    warnings: Bits


def decide(block: Block, own: Arms, compared: Comparisons) -> Decisions:
    """Apply the contract of the design's section 6 to every unit and hour; O(cells)."""
    tests, limits, hours_us = compared.treatments, block.limits, block.hours_us
    since_us = measured_since_us(block)
    problems = _problems(block, own, tests)
    judged = problems == 0
    seen = TreatmentNumbers(own, tests, _runtimes(since_us, limits, hours_us))
    measured = {check.name: check.measure(seen) for check in CONTRACT}
    passed = {
        check.name: check.passes(seen, measured[check.name], limits.contract[check.threshold]) for check in CONTRACT
    }
    candidate = np.where(judged, _candidate(own, tests, np.logical_and.reduce(list(passed.values())), limits.sign), -1)
    observed = {check.observed: _observed(check, measured[check.name], candidate) for check in CONTRACT}
    checks = {check.name: _passes(check, passed[check.name], observed, limits, candidate) for check in CONTRACT}
    eligible = judged & np.logical_and.reduce(list(checks.values()))
    srm_p_value, sequential_srm = compared.split.srm_p_value, compared.split.sequential_srm_p_value
    lower = pick(tests.always_valid_lower, candidate, np.nan)
    goals = _goals_of(compared.metrics, candidate)
    crossed = _crossed(tests, candidate)
    with np.errstate(invalid="ignore"):
        sound = (srm_p_value >= SRM_ALPHA) & (sequential_srm >= SRM_ALPHA)
    evidence = limits.fixed_horizon | (_shown(limits, lower > 0, crossed == 1, goals) & sound)
    exposure, exposed_requests = multiple_exposure(block)
    exposed = np.maximum(exposure, exposed_requests)
    with_users = (own.users > 0).any(axis=0)
    not_kept = pick(compared.guardrails.not_kept, candidate, 0)
    kept = (candidate >= 0) & (not_kept == 0)
    by_user = known_by_user(own)
    largest = np.fmax.reduce(own.largest_user_share, axis=0)
    return Decisions(
        candidate=candidate,
        verdict=_verdicts(problems, eligible, checks, observed, _settled(seen, measured, limits, candidate)),
        is_promotable=eligible & evidence & kept & (limits.fixed_horizon | (exposed <= EXPOSURE_LIMIT)),
        checks=checks,
        observed=observed,
        measured_since_us=_since(since_us, candidate, block.layout.started_us[:, None], hours_us),
        srm_p_value=srm_p_value,
        sequential_srm_p_value=sequential_srm,
        exposure=np.where(with_users, exposure, np.nan),
        exposed_requests=np.where(with_users, exposed_requests, np.nan),
        largest_user_share=largest,
        crossed=crossed,
        by_user=by_user,
        guardrails_not_kept=not_kept,
        guardrails_not_measured=pick(compared.guardrails.not_measured, candidate, 0),
        reasons=_reasons(problems, eligible, checks),
        warnings=_warnings(block, own, candidate, srm_p_value, by_user)
        | _flags(Warn.NOT_ALWAYS_VALID, eligible & ~(lower > 0) & ~goals.stated & ~limits.group_sequential)
        | _unproven_plan(limits, eligible, (crossed == 1) | goals.stated)
        | gated(block, own, candidate, eligible)
        | _flags(Warn.GOALS_NOT_SHOWN, eligible & goals.stated & ~goals.any_better)
        | _flags(Warn.GOAL_WORSE, (candidate >= 0) & goals.any_worse)
        | _flags(Warn.PRE_PERIOD_DIFFERENCE, (candidate >= 0) & goals.past_differs)
        | _flags(Warn.SEQUENTIAL_SAMPLE_RATIO_MISMATCH, sequential_srm < SRM_ALPHA)
        | _flags(Warn.GUARDRAIL, (candidate >= 0) & ~kept)
        | _flags(Warn.MULTIPLE_EXPOSURE, exposed > EXPOSURE_WARNING)
        | _flags(Warn.LARGE_USER, ~np.isnan(largest)),
    )


def _shown(limits: Thresholds, valid: Bools, crossed: Bools, goals: _Goals) -> Bools:
    """Whether the candidate is shown better: by its goals where some are stated, else by the primary metric's test."""
    by_primary = np.where(limits.group_sequential, crossed, valid)
    shown: Bools = np.where(goals.stated, goals.any_better & ~goals.any_worse, by_primary)
    return shown


Scalar = TypeVar("Scalar", bound=np.generic)


def pick(values: NDArray[Scalar], candidate: Ints, default: float) -> NDArray[Scalar]:
    """The candidate's entry of an array (treatments, units, hours), `default` where there is no candidate."""
    if math.isnan(default) and values.size > 0 and not any(values.strides) and np.isnan(values.flat[0]):
        # Broadcast from one NaN: a test that no experiment of the block has.
        return np.broadcast_to(values.flat[0], candidate.shape)
    cells = candidate.size
    at = np.maximum(candidate, 0).ravel() * cells + np.arange(cells)
    if values.shape[1:] != candidate.shape:
        values = np.broadcast_to(values, (len(values), *candidate.shape))
    chosen = values.reshape(-1).take(at).reshape(candidate.shape)
    return np.where(candidate >= 0, chosen, values.dtype.type(default))


@dataclass(frozen=True)
class _Goals:
    """What the stated goals say of the candidate, broadcastable to (units, hours)."""

    stated: Bools
    any_better: Bools
    any_worse: Bools
    past_differs: Bools


def _goals_of(found: GoalsAndGuardrails | None, candidate: Ints) -> _Goals:
    """The goals of each candidate; where none is stated, none is better or worse."""
    if found is None:
        return _Goals(*(np.zeros((1, 1), dtype=bool),) * 4)
    parts = (found.any_better, found.any_worse, found.past_differs)
    return _Goals(found.states_goals, *(pick(part, candidate, False) for part in parts))


def measured_since_us(block: Block) -> Ints:
    """The later of the phase's start and the first hours with requests of control and treatment, (treatments, units).

    Rollups are by the hour, so a first request counts from the start of its hour; far in the future without one.
    """
    first = np.maximum(block.first_hour_us[:1], block.first_hour_us[1:])
    return np.asarray(np.maximum(first, block.layout.started_us))


def _runtimes(since_us: Ints, limits: Thresholds, hours_us: Ints) -> Floats:
    """Hours that were judged of each treatment, (treatments, units, hours); 0 less the window before they begin."""
    measured_us = np.maximum(hours_us + HOUR_US - since_us[:, :, None], 0)
    # With an attribution window the end of the judged stretch lies that far back.
    return np.asarray(measured_us / HOUR_US - np.ceil(limits.attribution_window_hours))


def _since(since_us: Ints, candidate: Ints, started_us: Ints, hours_us: Ints) -> Ints:
    """The candidate's; without a candidate that of the treatment that began first."""
    of_candidate = pick(np.broadcast_to(since_us[:, :, None], (*since_us.shape, candidate.shape[1])), candidate, 0)
    found = np.where(candidate >= 0, of_candidate, since_us.min(axis=0)[:, None])
    return np.where((found > started_us) & (found < hours_us + HOUR_US), found, FAR_FUTURE_US)


def multiple_exposure(block: Block) -> tuple[Floats, Floats]:
    """Shares of the known users that more than one variant served, and of their requests, (units, hours).

    0 where no user is known. A user of three variants counts twice: with more than two variants the share of users errs
    upwards, to 1 at most.
    """
    sums = block.sums
    nobody = np.zeros(sums["requests"].shape[1:])
    if "crossed_users" not in sums or "new_users" not in sums:
        return nobody, nobody
    crossed = sums["crossed_users"].sum(axis=0)
    distinct = sums["new_users"].sum(axis=0) - crossed
    with np.errstate(all="ignore"):
        users = np.where(distinct > 0, np.minimum(crossed / distinct, 1.0), 0.0)
        if "crossed_requests" not in sums:
            return users, nobody
        known = sums["user_requests" if "user_requests" in sums else "requests"].sum(axis=0)
        requests = sums["crossed_requests"].sum(axis=0) / known
        return users, np.where(known > 0, np.clip(requests, 0.0, 1.0), 0.0)


def _crossed(tests: TreatmentTests, candidate: Ints) -> Floats:
    z = pick(tests.group_sequential_z, candidate, np.nan)
    boundary = pick(tests.group_sequential_boundary_z, candidate, np.nan)
    with np.errstate(invalid="ignore"):
        return np.where(np.isnan(z) | np.isnan(boundary), np.nan, z >= boundary)


def _unproven_plan(limits: Thresholds, eligible: Bools, proven: Bools) -> Bits:
    """Why the group-sequential evidence is not there."""
    asked, planned = eligible & limits.group_sequential, ~np.isnan(limits.planned_sample_size)
    return _flags(Warn.NO_PLAN, asked & ~planned) | _flags(Warn.BOUNDARY_NOT_CROSSED, asked & planned & ~proven)


def _flags(code: Warn, where: Bools) -> Bits:
    return np.where(where, bit(code), 0).astype(np.int32)


def _observed(check: ContractCheck, measured: Floats, candidate: Ints) -> Floats:
    """What a check observed of the candidate, (units, hours)."""
    observed = pick(measured, candidate, check.without_candidate)
    return np.where(candidate >= 0, observed, measured.max(axis=0)) if check.is_of_phase else observed


def _passes(
    check: ContractCheck, passed: Bools, observed: dict[str, Floats], limits: Thresholds, candidate: Ints
) -> Bools:
    """Whether the candidate passes a check, (units, hours); without a candidate only what speaks of the phase can."""
    if check.is_of_phase:
        return check.reaches(observed[check.observed], limits.contract[check.threshold])
    return pick(passed, candidate, False)


def _candidate(own: Arms, tests: TreatmentTests, passed: Bools, sign: Floats) -> Ints:
    """Of the treatments that pass all checks the one with the highest rate, else the one with the highest z.

    Treatments come in the order of their names, so at a tie of score and sample the smaller name stays.
    """
    any_passed = passed.any(axis=0)
    best = np.full(any_passed.shape, -1, dtype=np.int64)
    best_score = np.full(any_passed.shape, -np.inf)
    best_sample = np.zeros(any_passed.shape)
    with np.errstate(invalid="ignore"):
        for treatment in range(len(passed)):
            score = np.where(any_passed, sign * own.primary.mean[1 + treatment], tests.z[treatment])
            sample = own.requests[1 + treatment]
            better = (score > best_score) | ((score == best_score) & (sample > best_sample))
            better &= (passed[treatment] | ~any_passed) & np.isfinite(tests.improvement[treatment])
            best[better] = treatment
            best_score = np.where(better, score, best_score)
            best_sample = np.where(better, sample, best_sample)
    return best


def _problems(block: Block, own: Arms, tests: TreatmentTests) -> Bits:
    """Why a unit cannot be judged at an hour, as bits; 0 where it can."""
    n, x, errors = own.requests, own.conversions, own.errors
    problems = np.repeat(block.layout.problems[:, None], n.shape[2], axis=1)
    # NaN errors are errors that nobody measured: the check of them fails, the rest can be judged. A power sum of rows
    # from before it was kept is not known, and needed for nothing.
    finite = np.logical_and.reduce(
        [
            (np.isfinite(sums) | (np.isnan(sums) & (name == "errors"))).all(axis=0)
            for name, sums in block.sums.items()
            if name != POWER_SUM
        ]
    )
    with np.errstate(invalid="ignore"):
        impossible = ((x > n) | (errors > n) | (n < 0) | (x < 0) | (errors < 0)).any(axis=0)
        impossible |= block.shrunk & ~block.layout.allows_corrections[:, None]
        comparable = (np.isfinite(tests.z) & np.isfinite(tests.improvement)).any(axis=0)
        no_traffic = (n[0] == 0) | (n[1:] == 0).all(axis=0)
        no_base = (x[0] == 0) & (x[1:] > 0).any(axis=0)
    problems[~finite] |= bit(Reason.NOT_A_NUMBER)
    problems[impossible] |= bit(Reason.COUNTS_IMPOSSIBLE)
    # Only from its first row on: the hours before say nothing about it, and may be decided together with later ones.
    problems[block.unknown_since_us[:, None] <= block.hours_us] |= bit(Reason.UNKNOWN_VARIANT)
    problems[block.hours_us + HOUR_US <= block.layout.started_us[:, None]] |= bit(Reason.NOT_STARTED)
    open_question = problems == 0
    no_rows = (n == 0).all(axis=0)
    problems[open_question & no_rows] |= bit(Reason.NO_ROWS)
    problems[open_question & ~no_rows & no_traffic] |= bit(Reason.ZERO_REQUESTS)
    rest = open_question & ~no_traffic & ~comparable
    by_value = ~are_proportions(block.limits.metric)
    problems[rest & by_value] |= bit(Reason.METRIC_MISSING)
    problems[rest & no_base & ~by_value] |= bit(Reason.CONTROL_RATE_ZERO)
    problems[rest & ~no_base & ~by_value] |= bit(Reason.NO_VARIATION)
    return problems


def _settled(
    seen: TreatmentNumbers, measured: dict[str, Floats], limits: Thresholds, candidate: Ints
) -> dict[str, Bools]:
    """By check, where more data would not settle what fails: even the nearest treatment is behind beyond chance."""
    with np.errstate(invalid="ignore"):
        return {
            check.name: pick(
                check.reaches(measured[check.name], limits.contract[check.threshold]) & check.is_settled(seen),
                candidate,
                False,
            )
            for check in CONTRACT
            if check.is_settled is not None
        }


def _verdicts(
    problems: Bits, eligible: Bools, checks: dict[str, Bools], observed: dict[str, Floats], settled: dict[str, Bools]
) -> NDArray[np.int8]:
    enough, rest_passes, all_measured = (np.ones(eligible.shape, dtype=bool) for _ in range(3))
    for check in CONTRACT:
        passes = checks[check.name]
        if check.fails_as is Verdict.NOT_YET:
            enough &= passes | settled.get(check.name, False)
        else:
            measured = np.isfinite(observed[check.observed])
            rest_passes &= passes | ~measured
            all_measured &= measured
    verdict = np.where(enough, VERDICTS.index(Verdict.REJECTED), VERDICTS.index(Verdict.NOT_YET))
    # What nobody looked at (whether requests fail, say) rejects nothing.
    verdict = np.where(enough & rest_passes & ~all_measured, VERDICTS.index(Verdict.INCONCLUSIVE), verdict)
    verdict = np.where(eligible, VERDICTS.index(Verdict.ELIGIBLE), verdict)
    verdict = np.where(problems & bits(INCONCLUSIVE_REASONS), VERDICTS.index(Verdict.INCONCLUSIVE), verdict)
    return np.where(problems & bits(ERROR_REASONS), VERDICTS.index(Verdict.ERROR), verdict).astype(np.int8)


def _reasons(problems: Bits, eligible: Bools, checks: dict[str, Bools]) -> Bits:
    """What stands in the way; without a candidate the checks have nothing to say."""
    failed = np.zeros_like(problems)
    for name, passed in checks.items():
        failed |= np.where(passed, 0, CODE_BITS[name]).astype(np.int32)
    reasons = np.where(problems != 0, problems, failed)
    return np.where(eligible, bit(Reason.ALL_CHECKS_PASSED), reasons).astype(np.int32)


def _warnings(block: Block, own: Arms, candidate: Ints, srm_p_value: Floats, by_user: Bools) -> Bits:
    has = candidate >= 0
    smaller = np.minimum(own.requests[:1], own.requests[1:])
    declared = ((block.layout.traffic_percent > 0) & block.layout.exists)[:, :, None]
    silent = (declared & (own.requests == 0)).any(axis=0) & (own.requests > 0).any(axis=0)
    with np.errstate(invalid="ignore"):
        found = {
            Warn.HIGHER_ERROR_RATE: has & (pick(own.error_rate[1:], candidate, np.nan) > own.error_rate[0]),
            Warn.HIGHER_LATENCY: has
            & (pick(own.mean_latency_ms[1:], candidate, np.nan) >= SLOWER * own.mean_latency_ms[0]),
            Warn.SMALL_SAMPLE: has & (pick(smaller, candidate, 0) < SMALL_SAMPLE),
            Warn.SAMPLE_RATIO_MISMATCH: srm_p_value < SRM_ALPHA,
            Warn.REQUEST_LEVEL: has & ~by_user,
            Warn.VARIANT_WITHOUT_REQUESTS: silent,
            Warn.CORRECTED_COUNTS: block.shrunk & block.layout.allows_corrections[:, None],
        }
    warnings = np.zeros(candidate.shape, dtype=np.int32)
    for name, seen in found.items():
        warnings[seen] |= bit(name)
    return warnings
