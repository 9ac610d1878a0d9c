"""Questions about the data's health that are answered by one query each; nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from promotion_pipeline.decisions.labels import record_label
from promotion_pipeline.evaluation.split import SRM_ALPHA
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.windows import require_hours

METRIC_RULES: dict[str, LiteralString] = {
    "more conversions or errors than requests": "conversions > requests OR errors > requests",
    "a negative count": "requests < 0 OR conversions < 0 OR errors < 0 OR users < 0",
    "a rate outside 0 to 1": "NOT conversion_rate BETWEEN 0 AND 1 OR NOT error_rate BETWEEN 0 AND 1",
}
SIGNIFICANCE_RULES: dict[str, LiteralString] = {
    "a probability outside 0 to 1": "NOT p_value BETWEEN 0 AND 1 OR NOT always_valid_p_value BETWEEN 0 AND 1"
    " OR NOT adjusted_p_value BETWEEN 0 AND 1",
    "an interval that ends before it begins": "lift_lower > lift_upper OR always_valid_lower > always_valid_upper",
    "a Holm-adjusted p-value below the plain one": "adjusted_p_value < p_value - 1e-12",
}
METRIC_RESULT_RULES: dict[str, LiteralString] = {
    "a probability of a metric outside 0 to 1": "NOT p_value BETWEEN 0 AND 1"
    " OR NOT always_valid_p_value BETWEEN 0 AND 1 OR NOT adjusted_p_value BETWEEN 0 AND 1"
    " OR NOT guardrail_p_value BETWEEN 0 AND 1",
    "an interval of a metric that ends before it begins": "lift_lower > lift_upper"
    " OR always_valid_lower > always_valid_upper",
}


@dataclass(frozen=True)
class Impossible:
    """Rows that cannot be."""

    rows: dict[str, int]
    """By the rule that they break; 0 where none does."""
    experiments: tuple[str, ...]
    """Whose they are, by name."""


def impossible_metrics(store: Store, start: datetime, end: datetime) -> Impossible:
    """Rows of `variant_metrics` in [start, end) that cannot be.

    Counts of an experiment that was found in error are its verdict's matter and are left out.
    """
    return _broken(store, "variant_metrics", METRIC_RULES, start, end)


def impossible_significance(store: Store, start: datetime, end: datetime) -> Impossible:
    """Rows of `significance_results` and `metric_results` in [start, end) that cannot be."""
    found = _broken(store, "significance_results", SIGNIFICANCE_RULES, start, end)
    of_metrics = _broken(store, "metric_results", METRIC_RESULT_RULES, start, end)
    whose = tuple(dict.fromkeys((*found.experiments, *of_metrics.experiments)))
    return Impossible(found.rows | of_metrics.rows, whose)


def _broken(
    store: Store, table: LiteralString, rules: dict[str, LiteralString], start: datetime, end: datetime
) -> Impossible:
    require_hours(start, end)
    conditions: LiteralString = ", ".join(
        f"count(*) FILTER (WHERE {condition}) AS rule_{number}" for number, condition in enumerate(rules.values())
    )
    broken: LiteralString = " OR ".join(f"({condition})" for condition in rules.values())
    rows = store.rows(
        f"""
        SELECT {conditions}, array_agg(DISTINCT experiment_id) FILTER (WHERE {broken}) AS experiments
        FROM {table} AS found
        WHERE hour >= %(start)s AND hour < %(end)s AND NOT EXISTS (
            SELECT 1 FROM eligibility_decisions AS decided
            WHERE decided.hour = found.hour AND decided.experiment_id = found.experiment_id
                AND decided.verdict = 'error')
        """,
        {"start": start, "end": end},
    )
    counts = {rule: rows[0][f"rule_{number}"] for number, rule in enumerate(rules)}
    whose = rows[0]["experiments"]
    return Impossible(counts, () if whose is None else experiment_names(store, whose))


def experiment_names(store: Store, ids: Sequence[UUID]) -> tuple[str, ...]:
    """The names of experiments, in order; of one that is gone its id."""
    rows = store.rows(
        "SELECT coalesce(experiment.name, gone.id::text) AS name FROM unnest(%(ids)s::uuid[]) AS gone(id)"
        " LEFT JOIN ab_experiments AS experiment ON experiment.id = gone.id ORDER BY 1",
        {"ids": list(ids)},
    )
    return tuple(row["name"] for row in rows)


def sample_ratio_mismatches(store: Store, hour: datetime) -> dict[str, float]:
    """The experiments whose split at this hour is not the declared one, with the p-value, the worst first."""
    rows = store.rows(
        """
        SELECT experiment.name, decided.srm_p_value
        FROM eligibility_decisions AS decided JOIN ab_experiments AS experiment ON experiment.id = decided.experiment_id
        WHERE decided.hour = %(hour)s AND decided.label = %(label)s AND decided.srm_p_value < %(threshold)s
        ORDER BY 2, 1
        """,
        {"hour": hour, "threshold": SRM_ALPHA, "label": record_label(store.settings)},
    )
    return {row["name"]: row["srm_p_value"] for row in rows}
