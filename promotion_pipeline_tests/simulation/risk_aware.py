"""`python -m promotion_pipeline_tests.simulation.risk_aware`: one decision out of several tests, simulated.

The claims of Schultzberg, Ankargren & Franberg 2024 (arXiv 2402.11609), for docs/measured.md: a product ships if at
least one of S success metrics is significantly better and all of G guardrails are significantly non-inferior, all tests
one-sided. The set-up is that of the authors' sample size code: an effect, and a margin, of half a standard deviation;
alpha / S for a success metric and alpha for a guardrail; beta / (G + 1) for each test; equal arms.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from promotion_pipeline.statistics import bonferroni, noninferiority_means, power_of_each_test

Floats: TypeAlias = NDArray[np.float64]

ALPHA, POWER = 0.05, 0.8
MEAN, EFFECT = 10.0, 0.5
"""Of each metric, whose standard deviation is 1; the margin is as large as the effect."""


@dataclass(frozen=True)
class Rates:
    """How often the decision is to ship, by simulation."""

    false_positive: float
    """No success metric moves, no guardrail moves."""
    false_positive_at_the_margin: float
    """Every success metric rises far, one guardrail falls by the whole margin."""
    power: float
    """One success metric rises by the effect, no guardrail moves."""
    users_per_arm: int


def rates(
    success: int,
    guardrails: int,
    correlation: float,
    *,
    corrects_power: bool,
    shares_alpha_with_guardrails: bool = False,
    runs: int = 20_000,
    seed: int = 0,
) -> Rates:
    """Simulate the decision.

    Args:
        correlation: of any two metrics of a user.
        corrects_power: plan each test for beta / (G + 1); else for beta.
        shares_alpha_with_guardrails: test each metric at alpha / (S + G), which is not needed.
    """
    each = float(power_of_each_test(POWER, guardrails if corrects_power else 0))
    tests = success + guardrails if shares_alpha_with_guardrails else success
    n = int(np.ceil(2.0 * ((ndtri(1.0 - ALPHA / tests) + ndtri(each)) / EFFECT) ** 2))
    rng = np.random.default_rng(seed)
    levels = (tests, tests if shares_alpha_with_guardrails else 1)
    nothing, far = np.zeros(success + guardrails), np.repeat([5.0, 0.0], [success, guardrails])
    one = np.zeros(success + guardrails)
    one[0] = EFFECT
    harmed = far.copy()
    if guardrails:
        harmed[-1] = -EFFECT

    def share(moved: Floats) -> float:
        return float(_ships(moved, success, n, correlation, levels, runs, rng).mean())

    return Rates(
        false_positive=share(nothing),
        false_positive_at_the_margin=share(harmed) if guardrails else float("nan"),
        power=share(one),
        users_per_arm=n,
    )


def _ships(
    moved: Floats,
    success: int,
    n: int,
    correlation: float,
    levels: tuple[int, int],
    runs: int,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Whether each run ships; means and variances of normal users, drawn as sums.

    Args:
        moved: what the treatment adds to each metric, success metrics first.
        levels: between how many tests alpha is shared, for a success metric and for a guardrail.
    """
    arms = [_sums(np.full(len(moved), MEAN) + shift, n, correlation, runs, rng) for shift in (0.0 * moved, moved)]
    margin = np.where(np.arange(len(moved)) < success, 0.0, EFFECT / MEAN)
    p = noninferiority_means(n, *arms[0], n, *arms[1], margin, ALPHA).p_value
    better = (bonferroni(p[:, :success], axis=1) * levels[0] / success <= ALPHA).any(axis=1)
    return np.asarray(better & (p[:, success:] <= ALPHA / levels[1]).all(axis=1))


def _sums(mean: Floats, n: int, correlation: float, runs: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Sum and sum of squares of each metric in an arm of n normal users, (runs, metrics)."""
    shared, own = rng.standard_normal((runs, 1)), rng.standard_normal((runs, len(mean)))
    found = mean + (np.sqrt(correlation) * shared + np.sqrt(1.0 - correlation) * own) / np.sqrt(n)
    return n * found, rng.chisquare(n - 1, found.shape) + n * found * found


CASES = ((1, 0), (1, 1), (1, 3), (1, 10), (3, 0), (3, 3), (5, 5))
"""Success metrics and guardrails."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(
        "| S, G | correlation | false positives | at the margin | power, uncorrected | corrected | n | alpha shared |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for success, guardrails in CASES:
        for correlation in (0.0, 0.5):
            plain, right = (
                rates(success, guardrails, correlation, corrects_power=corrects, runs=asked.runs, seed=asked.seed)
                for corrects in (False, True)
            )
            shared = rates(
                success,
                guardrails,
                correlation,
                corrects_power=True,
                shares_alpha_with_guardrails=True,
                runs=asked.runs,
                seed=asked.seed,
            )
            margin = "-" if guardrails == 0 else f"{100 * right.false_positive_at_the_margin:.2f} %"
            print(
                f"| {success}, {guardrails} | {correlation:g} | {100 * right.false_positive:.2f} % | {margin}"
                f" | {100 * plain.power:.1f} % (n = {plain.users_per_arm}) | {100 * right.power:.1f} %"
                f" | {right.users_per_arm} | {100 * shared.false_positive:.2f} %, n = {shared.users_per_arm} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
