"""Microseconds per (experiment, look) of the whole evaluation against statsmodels and gbstats, in one run.

    pip install "promotion-pipeline[bench]"
    pip install --no-deps gbstats        # its metadata asks for numpy < 2; what is used here runs on later ones
    python -m promotion_pipeline.benchmark.peers

The peers get cumulative counts for nothing and do, in their own loop, the tests they have of what one look at a
two-arm experiment needs. `evaluate` starts from hourly rollups and ends with decisions: five checks, verdict, reasons,
warnings. A peer that is not installed is left out.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from promotion_pipeline.benchmark.evaluation import Workload, workload
from promotion_pipeline.benchmark.measure import interleaved, machine
from promotion_pipeline.evaluation import evaluate

ALPHA = 0.05
LOOKS_OF_PEERS = 1000


@dataclass(frozen=True)
class PeerLook:
    """Cumulative requests and conversions of control and treatment, and the tuning of the always-valid interval."""

    n0: int
    x0: int
    n1: int
    x1: int
    n_star: float


def sample_of_looks(load: Workload, count: int, seed: int = 0) -> list[PeerLook]:
    """Some looks of a two-arm workload, after the first day."""
    experiments, hours, variants = load.shape
    assert variants == 2
    n, x = (
        load.rollups[name].to_numpy().reshape(experiments, hours, variants).cumsum(axis=1)
        for name in ("requests", "conversions")
    )
    rng = np.random.default_rng(seed)
    chosen = zip(rng.integers(0, experiments, count), rng.integers(24, hours, count), strict=True)
    return [
        PeerLook(int(n[e, h, 0]), int(x[e, h, 0]), int(n[e, h, 1]), int(x[e, h, 1]), n_star=20_000.0) for e, h in chosen
    ]


def with_statsmodels(looks: list[PeerLook]) -> float:
    """Pooled z-test, interval of the ratio, chi-square of the split (it has no always-valid test); a checksum."""
    from scipy.stats import chisquare
    from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

    total = 0.0
    for look in looks:
        z, p_value = proportions_ztest([look.x1, look.x0], [look.n1, look.n0])
        lower, upper = confint_proportions_2indep(
            look.x1, look.n1, look.x0, look.n0, compare="ratio", method="log", alpha=ALPHA
        )
        total += z + p_value + lower + upper + chisquare([look.n0, look.n1]).pvalue
    return float(total)


def with_gbstats(looks: list[PeerLook]) -> float:
    """Welch's test and the always-valid test of the lift, with intervals, chi-square of the split; a checksum."""
    from gbstats.frequentist.tests import FrequentistConfig, SequentialConfig, SequentialTwoSidedTTest, TwoSidedTTest
    from gbstats.models.statistics import ProportionStatistic
    from gbstats.utils import check_srm

    total = 0.0
    for look in looks:
        arms = ProportionStatistic(n=look.n0, sum=look.x0), ProportionStatistic(n=look.n1, sum=look.x1)
        fixed = TwoSidedTTest(*arms, FrequentistConfig(alpha=ALPHA)).compute_result()
        tuned = SequentialConfig(alpha=ALPHA, sequential_tuning_parameter=look.n_star)
        sequential = SequentialTwoSidedTTest(*arms, tuned).compute_result()
        total += fixed.p_value + sequential.p_value + sequential.ci[0] + check_srm([look.n0, look.n1], [0.5, 0.5])
    return float(total)


PEERS: dict[str, tuple[Callable[[list[PeerLook]], float], str]] = {
    "statsmodels": (with_statsmodels, "z-test, interval of the ratio, SRM"),
    "gbstats": (with_gbstats, "Welch's test, always-valid test, SRM"),
}


def report(experiments: int = 500, hours: int = 336, runs: int = 5) -> str:
    """Print-ready lines: ratios first, then microseconds."""
    load = workload(experiments, hours, 2)
    looks = sample_of_looks(load, LOOKS_OF_PEERS)
    present = {name: peer for name, peer in PEERS.items() if importlib.util.find_spec(name) is not None}
    calls: dict[str, Callable[[], object]] = {"evaluate": lambda: evaluate(load.rollups, load.experiments)}
    calls |= {name: partial(call, looks) for name, (call, _) in present.items()}
    times = interleaved(calls, runs=runs)
    own = times["evaluate"].median / (experiments * hours) * 1e6
    lines = [
        f"microseconds per (experiment, look), two arms, medians of {runs} runs",
        f"  {'evaluate()':<13}{own:>9.2f}          rollups to decisions, {experiments:,} experiments x {hours} looks",
    ]
    for name, (_, work) in PEERS.items():
        if name not in present:
            lines.append(f"  {name:<13}        -          not installed")
            continue
        each = times[name].median / len(looks) * 1e6
        lines.append(f"  {name:<13}{each:>9.2f} {each / own:>6,.0f} x   {work}, {len(looks):,} looks")
    return "\n".join(lines)


def main() -> int:
    """Print the comparison."""
    sys.stdout.write(f"{machine()}\n{report()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
