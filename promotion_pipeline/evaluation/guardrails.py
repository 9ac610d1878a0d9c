"""What may not get worse: tests that withhold an unattended promotion where an experiment names a guardrail.

The error rate is watched for harm at every look, so its test is always-valid; latency has to be shown acceptable.
"""

from __future__ import annotations

import numpy as np

from promotion_pipeline.config import Guardrail
from promotion_pipeline.evaluation.arms import Arms
from promotion_pipeline.evaluation.goals import GuardrailBits, guardrail_bit
from promotion_pipeline.evaluation.layout import Bools, Floats
from promotion_pipeline.evaluation.sums import Block
from promotion_pipeline.statistics import always_valid_harm_p_value, noninferiority_means, proportion_variance_of_mean

LATENCY_MARGIN = 0.2
"""A treatment may be this much slower than control, as a fraction of control's mean latency."""


def guarded(block: Block, own: Arms, tuned_for: Floats) -> GuardrailBits:
    """Which of the guardrails that its experiment names each treatment does not keep.

    A guardrail that cannot be measured is not kept. O(cells of the units that name one).

    Args:
        tuned_for: N* of the always-valid test, broadcastable to (treatments, units, hours).
    """
    limits = block.layout.thresholds
    shape = (len(own.requests) - 1, *own.requests.shape[1:])
    found = GuardrailBits.none(shape)
    alpha = 1.0 - block.limits.min_confidence_level / 100.0
    if limits.guards_errors.any():
        tested = _harm_by_errors(own, tuned_for, alpha)
        found = found.joined(_as_bits(Guardrail.ERROR_RATE, limits.guards_errors, *tested))
    if limits.guards_latency.any():
        tested = _latency_acceptable(block, own, alpha)
        found = found.joined(_as_bits(Guardrail.LATENCY, limits.guards_latency, *tested))
    return found


def _as_bits(guardrail: Guardrail, names_it: Bools, kept: Bools, measured: Bools) -> GuardrailBits:
    code = np.where(names_it, guardrail_bit(guardrail), np.int32(0))[None, :, None]
    return GuardrailBits(np.where(kept, np.int32(0), code), np.where(measured, np.int32(0), code))


def _harm_by_errors(own: Arms, tuned_for: Floats, alpha: Floats) -> tuple[Bools, Bools]:
    """Whether there is no sign of harm, and whether errors were measured."""
    n, e = own.requests, own.errors
    variance = proportion_variance_of_mean(e[:1], n[:1]) + proportion_variance_of_mean(e[1:], n[1:])
    with np.errstate(all="ignore"):
        difference = own.error_rate[1:] - own.error_rate[:1]
        harm = always_valid_harm_p_value(difference, np.sqrt(variance), n[:1] + n[1:], tuned_for, alpha)
        # No error in either arm is no variance, and no harm either.
        kept = (harm > alpha) | ((e[:1] == 0) & (e[1:] == 0))
        return np.asarray(kept), np.isfinite(difference)


def _latency_acceptable(block: Block, own: Arms, alpha: Floats) -> tuple[Bools, Bools]:
    """Whether latency is shown acceptable, and whether it was measured."""
    sums = block.sums
    if "latency_ms_sum_squares" not in sums:
        nothing = np.zeros((len(own.requests) - 1, *own.requests.shape[1:]), dtype=bool)
        return nothing, nothing
    samples = sums.get("latency_samples", own.requests)
    total, squares = sums["latency_ms_sum"], sums["latency_ms_sum_squares"]
    test = noninferiority_means(
        samples[:1],
        total[:1],
        squares[:1],
        samples[1:],
        total[1:],
        squares[1:],
        LATENCY_MARGIN,
        alpha,
        higher_is_better=False,
    )
    with np.errstate(invalid="ignore"):
        return np.asarray(test.p_value < alpha), np.isfinite(test.p_value)
