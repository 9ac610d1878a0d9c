"""A short version of the table of arXiv 2402.11609 in docs/measured.md; tolerances are four standard errors."""

from __future__ import annotations

import numpy as np
import pytest

from promotion_pipeline_tests.simulation.risk_aware import ALPHA, POWER, rates

RUNS = 4_000


def _error(share: float) -> float:
    return 4 * float(np.sqrt(share * (1 - share) / RUNS))


@pytest.mark.parametrize("correlation", [0.0, 0.5])
@pytest.mark.parametrize(("success", "guardrails"), [(1, 3), (3, 3)])
def test_guardrails_need_no_share_of_alpha(success: int, guardrails: int, correlation: float) -> None:
    found = rates(success, guardrails, correlation, corrects_power=True, runs=RUNS)
    assert found.false_positive <= ALPHA + _error(ALPHA)
    assert found.false_positive_at_the_margin <= ALPHA + _error(ALPHA)
    assert found.false_positive > 0.02


@pytest.mark.parametrize("guardrails", [1, 3, 10])
def test_the_power_of_independent_tests_is_the_product_and_the_correction_gives_it_back(guardrails: int) -> None:
    plain = rates(1, guardrails, 0.0, corrects_power=False, runs=RUNS)
    assert plain.power == pytest.approx(POWER ** (guardrails + 1), abs=_error(0.5) + 0.01)
    corrected = rates(1, guardrails, 0.0, corrects_power=True, runs=RUNS)
    expected = (1 - (1 - POWER) / (guardrails + 1)) ** (guardrails + 1)
    assert corrected.power == pytest.approx(expected, abs=_error(0.5) + 0.01)
    assert corrected.power >= POWER - _error(POWER)
    assert corrected.users_per_arm > plain.users_per_arm


def test_correlated_metrics_lose_less_power_and_keep_what_is_promised() -> None:
    alone, together = (rates(1, 3, rho, corrects_power=False, runs=RUNS) for rho in (0.0, 0.5))
    assert together.power > alone.power + 0.05
    assert rates(1, 3, 0.5, corrects_power=True, runs=RUNS).power >= POWER - _error(POWER)


def test_sharing_alpha_with_guardrails_only_costs_users() -> None:
    right, shared = (
        rates(1, 3, 0.0, corrects_power=True, shares_alpha_with_guardrails=shares, runs=RUNS)
        for shares in (False, True)
    )
    assert shared.false_positive < 0.6 * right.false_positive
    assert shared.users_per_arm > 1.2 * right.users_per_arm
