"""Questions about the data's health that are answered by one query each; nothing is written."""

from __future__ import annotations

from datetime import datetime
from typing import LiteralString

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


def impossible_metrics(store: Store, start: datetime, end: datetime) -> dict[str, int]:
    """Rows of `variant_metrics` in [start, end) that cannot be, counted by the rule that they break.

    Counts of an experiment that was found in error are its verdict's matter and are left out.
    """
    return _broken(store, "variant_metrics", METRIC_RULES, start, end)


def impossible_significance(store: Store, start: datetime, end: datetime) -> dict[str, int]:
    """Rows of `significance_results` and `metric_results` in [start, end) that cannot be, by the rule they break."""
    of_metrics = _broken(store, "metric_results", METRIC_RESULT_RULES, start, end)
    return _broken(store, "significance_results", SIGNIFICANCE_RULES, start, end) | of_metrics


def _broken(
    store: Store, table: LiteralString, rules: dict[str, LiteralString], start: datetime, end: datetime
) -> dict[str, int]:
    require_hours(start, end)
    conditions: LiteralString = ", ".join(
        f"count(*) FILTER (WHERE {condition}) AS rule_{number}" for number, condition in enumerate(rules.values())
    )
    rows = store.rows(
        f"""
        SELECT {conditions} FROM {table} AS found
        WHERE hour >= %(start)s AND hour < %(end)s AND NOT EXISTS (
            SELECT 1 FROM eligibility_decisions AS decided
            WHERE decided.hour = found.hour AND decided.experiment_id = found.experiment_id
                AND decided.verdict = 'error')
        """,
        {"start": start, "end": end},
    )
    return {rule: rows[0][f"rule_{number}"] for number, rule in enumerate(rules)}


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
