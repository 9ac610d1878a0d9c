"""How promises held on published experiments, and how biased the estimate of a rule's return is.

    python -m promotion_pipeline_tests.backtest.campaign promises     # the table and the figure of docs/ledger.md
    python -m promotion_pipeline_tests.backtest.campaign returns      # the table of docs/ledger.md about --returns
    python -m promotion_pipeline_tests.backtest.campaign learned      # the prior that is learned, simulated

Figures are deterministic: each part has its seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from promotion_pipeline.backtest import ReplayRule, parse_rule, promised_and_later, replay, rule_returns
from promotion_pipeline.backtest.comparisons import as_comparisons
from promotion_pipeline.backtest.folds import split_into_folds
from promotion_pipeline.backtest.returns import measured_lifts
from promotion_pipeline.backtest.sources import from_asos_file
from promotion_pipeline.evaluation.ended import lifts_at
from promotion_pipeline.statistics import calibration, learned_prior_sd, shrunken_lift
from promotion_pipeline_tests.backtest.drawing import calibration_figure

FILE = Path(__file__).parents[1] / "data" / "asos_digital_experiments.parquet"
FIGURE = Path(__file__).parents[2] / "docs" / "ledger-asos.svg"
START = pd.Timestamp("2026-01-01T00:00:00Z")
RULES = [parse_rule(f"{rule},min_improvement_percent=0") for rule in ("contract", "unattended")]
Frames = tuple[pd.DataFrame, pd.DataFrame]


def weak_experiments(
    number: int, *, true_sd: float, seed: int, days: int = 14, daily: int = 4_000, rate: float = 0.1
) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series[float]]:
    """Experiments of two arms with a look a day, and their true lifts: normal around 0.

    The first day's requests all come in its first hour, since runtime counts from then.
    """
    random = np.random.default_rng(seed)
    lifts = random.normal(0.0, true_sd, number) if true_sd else np.zeros(number)
    hours = pd.DatetimeIndex([START, *(START + pd.Timedelta(hours=24 * day + 23) for day in range(1, days))])
    rates = np.stack([np.full(number, rate), rate * (1 + lifts)])
    requests = np.full((2, number, days), daily // 2)
    conversions = random.binomial(requests, rates[:, :, None])
    names = [f"weak-{n:05}" for n in range(number)]
    arms = ("control", "treatment")
    index = pd.MultiIndex.from_product([arms, names, hours], names=["arm", "experiment_id", "hour"])
    counts = {"requests": requests.ravel(), "conversions": conversions.ravel()}
    rollups = pd.DataFrame(counts, index=index).reset_index()
    rollups["variant_id"] = rollups["experiment_id"] + "/" + rollups.pop("arm")
    rollups["errors"] = 0
    experiments = pd.concat(
        [
            pd.DataFrame({"experiment_id": names, "name": names, "variant_name": arm, "is_control": arm == "control"})
            for arm in arms
        ],
        ignore_index=True,
    )
    experiments["variant_id"] = experiments["experiment_id"] + "/" + experiments["variant_name"]
    experiments = experiments.assign(traffic_percentage=50.0, started_at=START)
    return rollups, experiments, pd.Series(lifts, index=names)


def promises() -> Iterator[str]:
    """Promise at the promotion against the later increments, of the 99 comparisons of the ASOS data."""
    rollups, experiments = as_comparisons(*from_asos_file(FILE))
    table = promised_and_later(rollups, experiments, RULES)
    last = pd.to_datetime(rollups["hour"], utc=True).max()
    ended = lifts_at(rollups, experiments, last).set_index("experiment_id")
    ended = ended[ended["srm_p_value"] >= 0.001]
    table["learned_sd"] = [
        learned_prior_sd(others["lift"], others["standard_error"])
        for others in (ended.drop(index=name, errors="ignore") for name in table["experiment_id"])
    ]
    learned = shrunken_lift(
        table["promised_lift"], table["promised_standard_error"], prior_sd=table["learned_sd"].clip(lower=1e-9)
    )
    table["learned"], table["learned_error"] = learned.mean, learned.standard_deviation
    yield f"prior learned from the others: {table['learned_sd'].min():.4f} to {table['learned_sd'].max():.4f}"
    yield "| rule | promise | with later data | held (95 % interval) | promised in sum | came | came true |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    kinds = {
        "as it won": ("promised_lift", "promised_standard_error"),
        "shrunken, 10 % prior": ("shrunken", "shrunken_error"),
        "shrunken, learned prior": ("learned", "learned_error"),
    }
    for rule in RULES:
        own = table[table["rule"] == rule.name]
        for kind, (lift, error) in kinds.items():
            found = calibration(own[lift], own[error], own["later_lift"], own["later_standard_error"])
            yield (
                f"| {rule.name.partition(',')[0]} | {kind} | {found.promises} of {len(own)} | {found.held}"
                f" ({found.held_lower:.0%} to {found.held_upper:.0%}) | {found.promised_sum:+.1%} |"
                f" {found.realised_sum:+.1%} | {found.came_true:.0%} ± {found.came_true_error:.0%} |"
            )
    FIGURE.write_text(calibration_figure(table), encoding="utf-8")
    yield f"written: {FIGURE.name}"


def returns(repeats: int, number: int) -> Iterator[str]:
    """How far plug-in and cross-validated estimates are from what the rule brings."""
    yield "| data | rule | brings | promised | plug-in | cross-validated (2 folds) | (5 folds) | (10 folds) |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for label, rows in (
        ("ASOS, halves", _on_halves(repeats)),
        ("simulated, true lifts ± 1 %", _simulated(repeats, number, 0.01)),
        ("simulated, true lifts ± 5 %", _simulated(repeats, number, 0.05)),
    ):
        found = pd.DataFrame(list(rows))
        for rule, own in found.groupby("rule", sort=False):
            values = own.drop(columns="rule")
            cells = [
                f"{values[name].mean():+.1%} ± {values[name].std(ddof=1) / np.sqrt(len(values)):.1%}" for name in values
            ]
            yield f"| {label} | {str(rule).partition(',')[0]} | {' | '.join(cells)} |"


FOLDS = (2, 5, 10)


def _estimates(frames: Frames, rules: Sequence[ReplayRule], seed: int) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for folds in FOLDS:
        for one in rule_returns(*frames, rules, folds=folds, seed=seed):
            own = found.setdefault(one.rule, {"promised": one.promised, "plug_in": one.plug_in})
            own[f"cross_validated_{folds}"] = one.cross_validated
    return found


def _on_halves(repeats: int) -> Iterator[dict[str, object]]:
    """A random half of the users of every comparison is the past; the other half says what the rule brings."""
    rollups, experiments = as_comparisons(*from_asos_file(FILE))
    for seed in range(repeats):
        past, other = split_into_folds(rollups, 2, np.random.default_rng(1_000 + seed))
        acts = replay(past, experiments, RULES)
        brings = acts.assign(measured=measured_lifts(acts, other, experiments)).groupby("rule")["measured"].sum()
        for rule, estimates in _estimates((past, experiments), RULES, seed).items():
            yield {"rule": rule, "brings": brings[rule], **estimates}


def _simulated(repeats: int, number: int, true_sd: float) -> Iterator[dict[str, object]]:
    """Experiments with known true lifts."""
    for seed in range(repeats):
        rollups, experiments, truth = weak_experiments(number, true_sd=true_sd, seed=seed)
        acts = replay(rollups, experiments, RULES)
        promoted = acts[acts["is_promoted"]]
        for rule, estimates in _estimates((rollups, experiments), RULES, seed).items():
            brings = truth[promoted.loc[promoted["rule"] == rule, "experiment_id"]].sum()
            yield {"rule": rule, "brings": brings, **estimates}


def learned(number: int) -> Iterator[str]:
    """The learned prior where experiments run on, and where they stop at their promotion."""
    yield "| true lifts | experiments | learned, run to the end | learned, stopped at their promotion |"
    yield "| --- | --- | --- | --- |"
    for true_sd in (0.01, 0.05, 0.1):
        rollups, experiments, _ = weak_experiments(number, true_sd=true_sd, seed=77)
        hour = pd.to_datetime(rollups["hour"], utc=True)
        acts = replay(rollups, experiments, RULES[1:]).set_index("experiment_id")["promoted_at"]
        until = rollups["experiment_id"].map(acts)
        stopped = rollups[until.isna() | (hour < until)]
        found = [
            learned_prior_sd(ended["lift"], ended["standard_error"])
            for ended in (lifts_at(sums, experiments, hour.max()) for sums in (rollups, stopped))
        ]
        yield f"| ± {true_sd:.0%} | {number} | ± {found[0]:.2%} | ± {found[1]:.2%} |"


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["promises", "returns", "learned"])
    parser.add_argument("--repeats", type=int, default=20, help="of returns")
    parser.add_argument("--experiments", type=int, default=400, help="of a simulated past")
    asked = parser.parse_args()
    match asked.part:
        case "promises":
            lines = promises()
        case "returns":
            lines = returns(asked.repeats, asked.experiments)
        case _:
            lines = learned(asked.experiments)
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    main()
