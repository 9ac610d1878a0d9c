"""What other libraries say of the same users: makes `golden_metrics.json`, a library at a time.

Each runs in an environment of its own, since they do not go together with each other or with the product:

    python -m venv /tmp/gb && /tmp/gb/bin/pip install gbstats==0.8.0 spotify-confidence==4.1.0
    python -m venv /tmp/tea && /tmp/tea/bin/pip install tea-tasting==1.14.0
    /tmp/gb/bin/python promotion_pipeline_tests/evaluation/golden_metrics.py gbstats
    /tmp/gb/bin/python promotion_pipeline_tests/evaluation/golden_metrics.py spotify-confidence
    /tmp/tea/bin/python promotion_pipeline_tests/evaluation/golden_metrics.py tea-tasting
"""

from __future__ import annotations

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILE = Path(__file__).with_suffix(".json")
MARGIN = 0.02
"""Of the non-inferiority rows, a fraction of control's mean."""
CASES = {"few": (40, 37, 11), "some": (900, 1_100, 12), "many": (20_000, 20_700, 13)}
"""Name -> users of control and treatment, and the seed."""

Arm = dict[str, NDArray[np.float64]]


def users(case: str) -> tuple[Arm, Arm]:
    """Users of control and treatment: `y` in whole cents, `x` the same before, `d` requests, `p` yes or no."""
    n0, n1, seed = CASES[case]
    rng = np.random.default_rng(seed)

    def arm(n: int, lift: float) -> Arm:
        d = (1 + rng.poisson(3.0, n)).astype(np.float64)
        taste = rng.gamma(2.0, 1.0, n)
        x = np.round(1000.0 * taste * rng.uniform(0.2, 1.8, n))
        y = np.round(1000.0 * taste * (1 + lift) * rng.uniform(0.2, 1.8, n))
        return {"y": y, "x": x, "d": d, "p": (rng.uniform(size=n) < 0.2 * (1 + lift)).astype(np.float64)}

    return arm(n0, 0.0), arm(n1, 0.03)


def sums_of(arm: Arm) -> dict[str, float]:
    """The sums that the product keeps of these users."""
    y, x, d, p = arm["y"], arm["x"], arm["d"], arm["p"]
    pairs = {"y": y, "x": x, "d": d, "p": p, "yy": y * y, "xx": x * x, "dd": d * d, "yx": y * x, "yd": y * d}
    return {"n": float(len(y))} | {name: float(values.sum()) for name, values in pairs.items()}


def gbstats(control: Arm, treatment: Arm) -> dict[str, Any]:
    """GrowthBook's two-sided t-tests; relative intervals by the delta method."""
    from gbstats.frequentist.tests import FrequentistConfig, TwoSidedTTest
    from gbstats.models.statistics import (
        RatioStatistic,
        RegressionAdjustedStatistic,
        SampleMeanStatistic,
        compute_theta,
    )

    def mean(values: NDArray[np.float64]) -> Any:
        return SampleMeanStatistic(n=len(values), sum=values.sum(), sum_squares=(values * values).sum())

    def ratio(arm: Arm) -> Any:
        return RatioStatistic(
            n=len(arm["y"]),
            m_statistic=mean(arm["y"]),
            d_statistic=mean(arm["d"]),
            m_d_sum_of_products=(arm["y"] * arm["d"]).sum(),
        )

    def adjusted(arm: Arm, theta: float) -> Any:
        return RegressionAdjustedStatistic(
            n=len(arm["y"]),
            post_statistic=mean(arm["y"]),
            pre_statistic=mean(arm["x"]),
            post_pre_sum_of_products=(arm["y"] * arm["x"]).sum(),
            theta=theta,
        )

    def tests(a: Any, b: Any) -> dict[str, float]:
        found: dict[str, Any] = {}
        for name, relative in (("absolute", False), ("relative", True)):
            config = FrequentistConfig(difference_type=name, alpha=0.05)
            result = TwoSidedTTest(a, b, config).compute_result()
            if relative:
                found |= {"lift": result.expected, "lift_lower": result.ci[0], "lift_upper": result.ci[1]}
            else:
                found |= {"p_value": result.p_value, "difference": result.expected}
                found["standard_error"] = result.uplift.stddev
        return {key: float(value) for key, value in found.items()}

    theta = compute_theta(adjusted(control, 0.0), adjusted(treatment, 0.0))
    return {
        "mean": tests(mean(control["y"]), mean(treatment["y"])),
        "proportion": tests(mean(control["p"]), mean(treatment["p"])),
        "ratio": tests(ratio(control), ratio(treatment)),
        "cuped": tests(adjusted(control, theta), adjusted(treatment, theta)) | {"theta": float(theta)},
    }


def tea_tasting(control: Arm, treatment: Arm) -> dict[str, Any]:
    """tea-tasting's Mean and RatioOfMeans; its relative intervals are on the log scale, and left out."""
    import pyarrow as pa
    import tea_tasting as tt

    both = {name: np.concatenate([control[name], treatment[name]]) for name in control}
    variant = np.repeat([0, 1], [len(control["y"]), len(treatment["y"])])
    data = pa.table({"variant": variant, **both})
    experiment = tt.Experiment(
        mean=tt.Mean("y", equal_var=False, use_t=True),
        proportion=tt.Mean("p", equal_var=False, use_t=True),
        ratio=tt.RatioOfMeans("y", "d", equal_var=False, use_t=True),
        cuped=tt.Mean("y", "x", equal_var=False, use_t=True),
    )
    found = experiment.analyze(data)
    return {
        name: {
            "p_value": float(result.pvalue),
            "difference": float(result.effect_size),
            "standard_error": float(result.effect_size / result.statistic),
        }
        for name, result in ((name, found[name]) for name in ("mean", "proportion", "ratio", "cuped"))
    }


def spotify_confidence(control: Arm, treatment: Arm) -> dict[str, Any]:
    """Spotify's t-test, and its non-inferiority test: the margin is a share of control's mean, taken for known."""
    import pandas as pd
    from spotify_confidence import StudentsTTest

    def test(name: str, **more: Any) -> Any:
        frame = pd.DataFrame(
            {
                "variant": ["control", "treatment"],
                "total": [control[name].sum(), treatment[name].sum()],
                "squares": [(control[name] ** 2).sum(), (treatment[name] ** 2).sum()],
                "users": [len(control[name]), len(treatment[name])],
            }
        )
        computed = StudentsTTest(frame, "total", "squares", "users", categorical_group_columns="variant")
        return computed.difference("control", "treatment", **more).iloc[0]

    plain = {name: test(name) for name in ("y", "p")}
    rows = {
        shown: {"p_value": float(plain[name]["p-value"]), "difference": float(plain[name]["difference"])}
        for shown, name in (("mean", "y"), ("proportion", "p"))
    }
    rows["noninferiority"] = {
        way: float(test("y", non_inferiority_margins=(MARGIN, way))["p-value"]) for way in ("increase", "decrease")
    }
    return rows


LIBRARIES = {
    "gbstats": (gbstats, ("gbstats",)),
    "tea-tasting": (tea_tasting, ("tea-tasting",)),
    "spotify-confidence": (spotify_confidence, ("spotify-confidence", "pandas")),
}


def main(library: str) -> None:
    """Run one library on every case, and keep what it says."""
    run, packages = LIBRARIES[library]
    kept: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {"runs": {}, "cases": {}}
    kept["runs"][library] = {name: version(name) for name in (*packages, "numpy", "scipy")}
    kept["runs"][library]["python"] = platform.python_version()
    for case in CASES:
        control, treatment = users(case)
        sums = {"control": sums_of(control), "treatment": sums_of(treatment)}
        own = kept["cases"].setdefault(case, {"sums": sums, "says": {}})
        if own["sums"] != sums:
            raise SystemExit(f"{case}: this numpy draws other users than those of the other libraries")
        own["says"][library] = run(control, treatment)
    FILE.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
