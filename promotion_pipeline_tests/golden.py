"""One door to every statistic that the golden file states: `compute(kind, inputs)`.

Calls public functions of `promotion_pipeline.statistics` only, so that a golden row checks what callers get.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from promotion_pipeline import statistics as st

Inputs = Mapping[str, Any]
Outputs = dict[str, Any]

DEFAULT_ALPHA = 0.05
ROWS_FILE = Path(__file__).with_name("golden_statistics.json")


def rows() -> list[dict[str, Any]]:
    """The golden rows: id, kind, inputs, expected, tolerance, source."""
    loaded: list[dict[str, Any]] = json.loads(ROWS_FILE.read_text(encoding="utf-8"))
    return loaded


def compute(kind: str, inputs: Inputs) -> Outputs:
    """Everything that a golden row of this kind may expect; what is not computable is None."""
    if kind not in KINDS:
        raise KeyError(f"No statistic of kind {kind!r}; the kinds are {', '.join(sorted(KINDS))}.")
    return {key: _plain(value) for key, value in KINDS[kind](inputs).items()}


def _plain(value: Any) -> Any:
    """Python numbers and lists, NaN as None: what JSON can hold."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    array = np.asarray(value, dtype=np.float64)
    if array.ndim:
        return [_plain(item) for item in array]
    return None if np.isnan(array) else float(array)


def _alpha(inputs: Inputs) -> float:
    return float(inputs.get("alpha", DEFAULT_ALPHA))


def _arms(inputs: Inputs) -> tuple[Inputs, Inputs]:
    return inputs["control"], inputs["treatment"]


def _counts(inputs: Inputs) -> tuple[float, float, float, float]:
    control, treatment = _arms(inputs)
    return control["conversions"], control["n"], treatment["conversions"], treatment["n"]


def _sums(inputs: Inputs) -> tuple[float, float, float, float, float, float]:
    c, t = _arms(inputs)
    return c["n"], c["sum"], c["sum_squares"], t["n"], t["sum"], t["sum_squares"]


def _interval(interval: Any) -> list[Any]:
    return [interval.lower, interval.upper]


def _mean(arm: Inputs) -> tuple[float, Any, Any]:
    """n, mean and variance of that mean of an arm given as counts, as sums or as the sums of a ratio."""
    if "conversions" in arm:
        x, n = arm["conversions"], arm["n"]
        return n, st.proportion(x, n), st.proportion_variance_of_mean(x, n)
    if "den_sum" in arm:
        names = ("n", "num_sum", "num_sum_squares", "den_sum", "den_sum_squares", "num_den_sum_products")
        ratio = st.ratio_of_sums(*(arm[name] for name in names))
        return arm["n"], ratio.ratio, ratio.variance_of_ratio
    return arm["n"], *st.mean_variance_of_mean(arm["n"], arm["sum"], arm["sum_squares"])


def _effect_name(scale: str) -> str:
    return "lift" if scale == "relative" else "difference"


def _t_outputs(test: st.WelchTest, scale: str) -> Outputs:
    return {
        _effect_name(scale): test.estimate,
        "stderr": test.standard_error,
        "ci": _interval(test),
        "p_value": test.p_value,
        "t": test.t,
        "degrees_of_freedom": test.degrees_of_freedom,
    }


def _t_test(inputs: Inputs, scale: st.Scale) -> st.WelchTest:
    control, treatment = _arms(inputs)
    return st.welch_from_means(*_mean(control), *_mean(treatment), scale, _alpha(inputs))


def _two_prop_z(inputs: Inputs) -> Outputs:
    x0, n0, x1, n1 = _counts(inputs)
    test = st.two_proportion_z(x0, n0, x1, n1, method=inputs.get("method", "pooled"))
    return {
        "z": test.z,
        "p_value": test.p_value,
        "difference": st.proportion(x1, n1) - st.proportion(x0, n0),
        "ci": _interval(st.wald_difference_interval(x0, n0, x1, n1, _alpha(inputs))),
    }


def _abs_diff_ci(inputs: Inputs) -> Outputs:
    methods = {
        "newcombe_hybrid_score": st.newcombe_interval,
        "wald": st.wald_difference_interval,
        "miettinen_nurminen": st.miettinen_nurminen_interval,
    }
    x0, n0, x1, n1 = _counts(inputs)
    return {
        "difference": st.proportion(x1, n1) - st.proportion(x0, n0),
        "ci": _interval(methods[inputs["method"]](x0, n0, x1, n1, _alpha(inputs))),
    }


def _rel_lift_ci(inputs: Inputs) -> Outputs:
    outputs = _t_outputs(_t_test(inputs, "relative"), "relative")
    if inputs["method"] == "katz_log":
        return {"lift": outputs["lift"], "ci": _interval(st.katz_interval(*_counts(inputs), _alpha(inputs)))}
    return outputs


def _acs(inputs: Inputs) -> Outputs:
    (n0, mean0, variance0), (n1, mean1, variance1) = (_mean(arm) for arm in _arms(inputs))
    test = st.welch_from_means(n0, mean0, variance0, n1, mean1, variance1, inputs["scale"], _alpha(inputs))
    return _always_valid(test, n0 + n1, inputs)


def _always_valid(test: st.WelchTest, n: float, inputs: Inputs) -> Outputs:
    """An estimate and its standard error, judged by the confidence sequence and not by t."""
    arguments = (test.estimate, test.standard_error, n, inputs["N_star"], _alpha(inputs))
    sides = inputs.get("sides", 2)
    if sides == 2:
        interval, p_value = st.always_valid_interval(*arguments), st.always_valid_p_value(*arguments)
    else:
        interval = st.always_valid_one_sided_interval(*arguments, alternative=sides)
        p_value = st.always_valid_one_sided_p_value(*arguments, alternative=sides)
    reach = test.estimate - interval.lower if sides != "less" else interval.upper - test.estimate
    return {
        "lift": test.estimate,
        "difference": test.estimate,
        "stderr": test.standard_error,
        "rho": st.mixture_rho(inputs["N_star"], _alpha(inputs), sides=2 if sides == 2 else 1),
        "halfwidth": reach,
        "ci": _interval(interval),
        "ci_lower": interval.lower,
        "ci_upper": interval.upper,
        "p_value": p_value,
    }


def _srm(inputs: Inputs) -> Outputs:
    test = st.srm_chi_square(inputs["observed"], inputs["weights"])
    return {"chi2": test.chi_square, "p_value": test.p_value}


def _srm_sequential(inputs: Inputs) -> Outputs:
    options = {
        name: inputs[key]
        for name, key in (("concentration", "dirichlet_concentration"), ("dirichlet_alpha", "dirichlet_alpha"))
        if key in inputs
    }
    test = st.sequential_srm(inputs["counts_per_look"], inputs["null_probabilities"], **options)
    return {
        "p_value_final": test.p_value[-1],
        "p_values_every_look": test.p_value,
        "log_bayes_factor_final": test.log_bayes_factor[-1],
        "log_bayes_factors": test.log_bayes_factor,
        "log_marginal_M1": test.log_marginal_mixture,
        "log_marginal_M0": test.log_marginal_null,
    }


def _adjusted(adjust: Callable[..., Any]) -> Callable[[Inputs], Outputs]:
    def outputs(inputs: Inputs) -> Outputs:
        if "p_values" in inputs:
            return {"adjusted": adjust(inputs["p_values"])}
        control, treatments = inputs["control"], inputs["treatments"]
        x1, n1 = np.array(list(treatments.values()), dtype=np.float64).T
        raw = st.two_proportion_z(control["conversions"], control["n"], x1, n1, method=inputs.get("z", "pooled"))
        return {"adjusted": dict(zip(treatments, adjust(raw.p_value), strict=True))}

    return outputs


def _group_sequential(inputs: Inputs) -> Outputs:
    wording = inputs["spending"].lower()
    spending = next(name for name in ("brien", "pocock", "power") if name in wording)
    exponent = re.search(r"t\^(\d+(?:\.\d+)?)", wording)
    sides = int(inputs.get("sides", 2 if "alpha_two_sided" in inputs else 1))
    alpha = inputs["alpha_two_sided"] if "alpha_two_sided" in inputs else inputs["alpha_one_sided"]
    bounds = st.group_sequential_boundaries(
        inputs["information_rates"],
        alpha,
        spending="obrien_fleming" if spending == "brien" else spending,  # type: ignore[arg-type]
        power=float(exponent[1]) if exponent else 2.0,
        sides=sides,
    )
    return {
        "critical_z": bounds.critical_z,
        "alpha_spent": bounds.alpha_spent,
        "adjusted_alpha": bounds.nominal_alpha,
    }


def _ratio_delta(inputs: Inputs) -> Outputs:
    return _t_outputs(_t_test(inputs, inputs["scale"]), inputs["scale"])


def _welch(inputs: Inputs) -> Outputs:
    return _t_outputs(st.welch(*_sums(inputs), scale=inputs["scale"], alpha=_alpha(inputs)), inputs["scale"])


def _cuped(inputs: Inputs) -> Outputs:
    names = ("n", "num_sum", "num_sum_squares", "pre_sum", "pre_sum_squares", "post_pre_sum_products")
    control, treatment = (st.UserSums(*(arm[name] for name in names)) for arm in _arms(inputs))
    result = st.cuped(control, treatment, inputs["scale"], _alpha(inputs))
    if inputs.get("interval") == "acs":
        outputs = _always_valid(result.test, inputs["control"]["n"] + inputs["treatment"]["n"], inputs)
    else:
        outputs = _t_outputs(result.test, inputs["scale"])
    return outputs | {"theta": result.theta, "stderr_without_cuped": result.standard_error_unadjusted}


def _bayes_shrinkage(inputs: Inputs) -> Outputs:
    test = _t_test(inputs, inputs["scale"])
    prior = inputs.get("prior") or {"mean": 0.0, "sd": np.inf}
    posterior = st.shrunken_lift(
        test.estimate, test.standard_error, prior_mean=prior["mean"], prior_sd=prior["sd"], alpha=_alpha(inputs)
    )
    return {
        "chance_to_win": posterior.chance_to_win,
        "posterior_mean_lift": posterior.mean,
        "posterior_sd": posterior.standard_deviation,
        "ci": _interval(posterior),
        "risk": [posterior.risk_of_keeping, posterior.risk_of_switching],
    }


def _noninferiority(inputs: Inputs) -> Outputs:
    if "nim_relative" in inputs:
        higher = inputs["preferred"] == "increase"
        test = st.noninferiority_means(
            *_sums(inputs), inputs["nim_relative"], 1.0 - inputs["confidence"], higher_is_better=higher
        )
        return {
            "difference": test.difference,
            "stderr": test.standard_error,
            "ci_lower" if higher else "ci_upper": test.bound,
            "p_value": test.p_value,
        }
    higher = ">" in inputs.get("alternative", "<")
    z = st.noninferiority_z(
        *_counts(inputs),
        abs(inputs["margin_absolute"]),
        higher_is_better=higher,
        method=inputs.get("method", "wald"),
    )
    return {"z": z.z, "p_value": z.p_value}


def _power(inputs: Inputs) -> Outputs:
    p0, alpha = inputs["p1"], _alpha(inputs)
    if "p2" not in inputs:
        lift = st.minimum_detectable_lift(p0, inputs["n"], inputs["power"], alpha)
        return {"lift": lift, "p2": p0 * (1.0 + lift)}
    if "n" in inputs:
        return {"power": st.power_two_proportions(p0, inputs["p2"], inputs["n"], alpha)}
    return {"n_per_arm": st.sample_size_two_proportions(p0, inputs["p2"], inputs["power"], alpha)}


def _msprt(inputs: Inputs) -> Outputs:
    ratio = st.msprt_likelihood_ratio(
        inputs["conversions_x"], inputs["conversions_y"], inputs["n_per_arm"], inputs["tau"]
    )
    return {"lambda_n": ratio}


def _dunnett(inputs: Inputs) -> Outputs:
    z = st.dunnett_critical_z(
        inputs["comparisons"], inputs["alpha"], tail=inputs["tail"], correlation=inputs["correlation"]
    )
    return {"critical_z": z}


KINDS: Mapping[str, Callable[[Inputs], Outputs]] = {
    "abs_diff_ci": _abs_diff_ci,
    "acs": _acs,
    "bayes_shrinkage": _bayes_shrinkage,
    "bh": _adjusted(st.benjamini_hochberg),
    "bonferroni": _adjusted(st.bonferroni),
    "cuped": _cuped,
    "dunnett": _dunnett,
    "group_sequential": _group_sequential,
    "holm": _adjusted(st.holm),
    "msprt": _msprt,
    "noninferiority": _noninferiority,
    "power": _power,
    "ratio_delta": _ratio_delta,
    "rel_lift_ci": _rel_lift_ci,
    "srm": _srm,
    "srm_sequential": _srm_sequential,
    "two_prop_z": _two_prop_z,
    "welch": _welch,
}


def mismatches(actual: Any, expected: Any, tolerance: Mapping[str, float], where: str = "") -> Sequence[str]:
    """Every number that is further from the expected one than max(abs, rel * |expected|), as sentences."""
    if isinstance(expected, Mapping):
        pairs = [(f"{where}.{key}", actual.get(key), value) for key, value in expected.items()]
    elif isinstance(expected, list):
        if len(actual) != len(expected):
            return [f"{where}: {len(actual)} values, expected {len(expected)}"]
        pairs = [(f"{where}[{i}]", a, e) for i, (a, e) in enumerate(zip(actual, expected, strict=True))]
    elif expected is None or actual is None:
        return [] if actual is expected else [f"{where}: {actual}, expected {expected}"]
    else:
        allowed = max(tolerance.get("abs", 0.0), tolerance.get("rel", 0.0) * abs(expected))
        return (
            [] if abs(actual - expected) <= allowed else [f"{where}: {actual!r}, expected {expected!r} -+ {allowed:g}"]
        )
    return [line for name, a, e in pairs for line in mismatches(a, e, tolerance, name)]
