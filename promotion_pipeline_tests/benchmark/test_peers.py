"""The peers do the same arithmetic that they are timed against."""

from __future__ import annotations

import pytest

from promotion_pipeline.benchmark.evaluation import workload
from promotion_pipeline.benchmark.peers import report, sample_of_looks
from promotion_pipeline.statistics import (
    always_valid_p_value,
    proportion_variance_of_mean,
    relative_lift,
    two_proportion_z,
)

LOOKS = sample_of_looks(workload(5, 60, 2), 20)


def test_statsmodels_finds_the_same_z() -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    for look in LOOKS:
        z, _ = proportion.proportions_ztest([look.x1, look.x0], [look.n1, look.n0])
        assert two_proportion_z(look.x0, look.n0, look.x1, look.n1).z == pytest.approx(z)


def test_gbstats_finds_the_same_always_valid_p_value() -> None:
    tests = pytest.importorskip("gbstats.frequentist.tests")
    from gbstats.models.statistics import ProportionStatistic

    for look in LOOKS:
        arms = ProportionStatistic(n=look.n0, sum=look.x0), ProportionStatistic(n=look.n1, sum=look.x1)
        config = tests.SequentialConfig(alpha=0.05, sequential_tuning_parameter=look.n_star)
        variances = [proportion_variance_of_mean(arm.sum, arm.n) for arm in arms]
        lift = relative_lift(arms[0].mean, variances[0], arms[1].mean, variances[1])
        own = always_valid_p_value(lift.lift, lift.standard_error, look.n0 + look.n1, look.n_star, 0.05)
        assert own == pytest.approx(tests.SequentialTwoSidedTTest(*arms, config).p_value)


def test_the_report_names_every_peer_installed_or_not() -> None:
    lines = report(experiments=5, hours=48, runs=1)
    for name in ("evaluate()", "statsmodels", "gbstats"):
        assert name in lines
