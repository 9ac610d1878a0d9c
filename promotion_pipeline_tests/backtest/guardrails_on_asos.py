"""Goals and guardrails on the 99 published comparisons: which promotions each rule keeps, and what came of them.

`python -m promotion_pipeline_tests.backtest.guardrails_on_asos`
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from promotion_pipeline.backtest import ReplayRule, parse_rule, replay, summarise
from promotion_pipeline.backtest.comparisons import as_comparisons, metrics_as_comparisons
from promotion_pipeline.backtest.sources import from_asos_file, metrics_from_asos_file
from promotion_pipeline.evaluation import evaluate

FILE = Path(__file__).parents[1] / "data" / "asos_digital_experiments.parquet"
METRICS = ("metric-1", "metric-2", "metric-3", "metric-4")
ALPHA = 0.05


def stated(role: str, margin_percent: float | None = None, goal: str = "secondary") -> list[dict[str, Any]]:
    """The four metrics: the first in the role `goal`, the others in `role`."""
    first = {"name": METRICS[0], "kind": "user_proportion", "event": "conversion", "role": goal}
    rest = [
        {"name": name, "kind": "user_mean", "event": name, "role": role, "margin_percent": margin_percent}
        for name in METRICS[1:]
    ]
    return [first, *rest]


def rules(minimum: float = 0.0) -> list[ReplayRule]:
    """The contract, the unattended rule, and that with the other three metrics as guardrails."""
    base = f"min_improvement_percent={minimum:g}"
    unattended = parse_rule(f"unattended,{base}")
    guarded = {
        "and no harm to the other three": stated("guardrail"),
        **{f"and each less than {margin:g} % worse": stated("guardrail", margin) for margin in (5.0, 2.0, 1.0)},
        "the four metrics as goals instead": stated("goal", goal="goal"),
    }
    named = [ReplayRule("contract", parse_rule(f"contract,{base}").given), ReplayRule("unattended", unattended.given)]
    return named + [unattended.with_values({"metrics": metrics}, name) for name, metrics in guarded.items()]


def frames() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Rollups, experiments and sums of metrics of the comparisons."""
    rollups, experiments = from_asos_file(FILE)
    metrics = metrics_as_comparisons(metrics_from_asos_file(FILE), experiments)
    return *as_comparisons(rollups, experiments), metrics


def telling(experiments: pd.DataFrame, metrics: list[dict[str, Any]]) -> pd.DataFrame:
    """The experiments with these metrics stated."""
    return experiments.assign(metrics=pd.Series([metrics] * len(experiments), index=experiments.index, dtype=object))


def finally_worse(rollups: pd.DataFrame, experiments: pd.DataFrame, metrics: pd.DataFrame) -> set[str]:
    """The comparisons in which one of the other three metrics is worse at the last look (p < 0.05, one look)."""
    told = telling(experiments, stated("secondary"))
    found = evaluate(rollups, told, hours=[rollups["hour"].max()], metrics=metrics).metric_results
    is_worse = (found["metric"] != METRICS[0]) & (found["p_value"] < ALPHA) & (found["difference"] < 0)
    return set(found.loc[is_worse, "experiment_id"].astype(str))


def table(minimum: float = 0.0) -> pd.DataFrame:
    """A row a rule: what it promotes, what came of it, and how often another metric was worse in the end."""
    rollups, experiments, metrics = frames()
    acts = replay(rollups, experiments, rules(minimum), metrics=metrics)
    worse = finally_worse(rollups, experiments, metrics)
    rows = []
    for record in summarise(acts):
        own = acts[(acts["rule"] == record.rule) & acts["is_promoted"]]
        rows.append(
            {
                "rule": record.rule,
                "promoted": record.promoted,
                "median hour": record.median_hours,
                "kept": record.kept,
                "faded": record.faded,
                "reversed": record.reversed,
                "with another metric worse in the end": int(own["experiment_id"].astype(str).isin(worse).sum()),
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    """Print the table."""
    sys.stdout.write(f"99 comparisons, at least +0 %:\n{table().to_string(index=False)}\n")


if __name__ == "__main__":
    main()
