"""Which column comes from which: metadata of the newest event, which Dagster+ draws; a test compares the names."""

from __future__ import annotations

from collections.abc import Iterable

import dagster as dg

from promotion_pipeline.evaluation.contract import CONTRACT, ContractCheck
from promotion_pipeline.orchestration import names


def _lineage(source: str, text: str) -> dg.TableColumnLineage:
    """One line a column: its name, then the columns that it is made of; those of `source` unless a table is named."""
    made_of = {}
    for line in filter(str.strip, text.splitlines()):
        column, _, origins = line.strip().partition(": ")
        made_of[column] = [_origin(source, origin) for origin in origins.split()]
    return dg.TableColumnLineage(deps_by_column=made_of)


def _origin(source: str, origin: str) -> dg.TableColumnDep:
    table, dot, column = origin.partition(".")
    return dg.TableColumnDep(dg.AssetKey(table if dot else source), column if dot else origin)


def _made_of(checks: Iterable[ContractCheck]) -> str:
    """Every column that one of the checks is made of, once."""
    return " ".join(dict.fromkeys(column for check in checks for column in check.made_of.split()))


USER_SUMS = " ".join(
    f"{names.ROLLUPS}.{column}"
    for column in (
        "user_conversions_sum_squares",
        "user_requests_sum_squares",
        "user_conversions_requests_sum_products",
        "user_requests_sum_sixteenth_powers",
    )
)
LINEAGE: dict[str, dg.TableColumnLineage] = {
    names.ROLLUPS: _lineage(
        names.REQUESTS,
        """
        hour: created_at
        experiment_id: experiment_id
        variant_id: variant_id
        requests: id
        conversions: converted
        errors: is_error
        latency_samples: latency_ms
        latency_ms_sum: latency_ms
        latency_ms_sum_squares: latency_ms
        value_sum: value
        value_sum_squares: value
        new_users: user_id
        user_requests: user_id
        user_conversions: user_id converted
        user_conversions_sum_squares: user_id converted
        user_requests_sum_squares: user_id
        user_conversions_requests_sum_products: user_id converted
        user_value_sum_squares: user_id value
        user_value_requests_sum_products: user_id value
        crossed_users: user_id variant_id
        crossed_requests: user_id variant_id
        user_requests_sum_sixteenth_powers: user_id
        newest_request_at: created_at
        """,
    ),
    names.METRICS: _lineage(
        names.ROLLUPS,
        """
        hour: hour
        experiment_id: experiment_id
        phase_id: phase_id
        variant_id: variant_id
        requests: requests
        conversions: conversions
        errors: errors
        users: new_users
        conversion_rate: conversions requests
        error_rate: errors requests
        mean_latency_ms: latency_ms_sum latency_samples
        mean_value: value_sum requests
        """,
    ),
    names.SIGNIFICANCE: _lineage(
        names.METRICS,
        f"""
        hour: hour
        experiment_id: experiment_id
        phase_id: phase_id
        variant_id: variant_id
        control_variant_id: variant_id is_control
        z: conversions requests
        p_value: conversions requests
        confidence: conversions requests
        improvement: conversion_rate
        lift: conversion_rate
        lift_lower: conversion_rate {USER_SUMS}
        lift_upper: conversion_rate {USER_SUMS}
        always_valid_p_value: conversion_rate requests {USER_SUMS}
        always_valid_lower: conversion_rate requests {USER_SUMS}
        always_valid_upper: conversion_rate requests {USER_SUMS}
        adjusted_p_value: conversions requests
        """,
    ),
    names.DECISIONS: _lineage(
        names.SIGNIFICANCE,
        f"""
        hour: hour
        experiment_id: experiment_id
        phase_id: phase_id
        candidate_variant_id: variant_id
        candidate_variant_name: {names.METRICS}.variant_name
        control_variant_id: control_variant_id
        control_variant_name: {names.METRICS}.variant_name
        confidence: confidence
        improvement: improvement
        z: z
        p_value: p_value
        always_valid_p_value: always_valid_p_value
        lift_lower: always_valid_lower
        lift_upper: always_valid_upper
        sample_size: {names.METRICS}.requests
        error_rate: {names.METRICS}.error_rate
        conversion_rate: {names.METRICS}.conversion_rate
        control_conversion_rate: {names.METRICS}.conversion_rate
        srm_p_value: {names.METRICS}.users {names.METRICS}.requests {names.METRICS}.traffic_percentage
        runtime_hours: as_of phase_id {names.METRICS}.requests
        measured_since: phase_id {names.METRICS}.requests
        multiple_exposure_requests: {names.ROLLUPS}.crossed_requests {names.ROLLUPS}.user_requests
        largest_user_share: {names.ROLLUPS}.user_requests_sum_sixteenth_powers {names.METRICS}.requests
        is_eligible: {_made_of(CONTRACT)}
        guardrails_not_kept: variant_id
        guardrails_not_measured: variant_id
        is_promotable: always_valid_lower {names.METRICS}.users {names.METRICS}.traffic_percentage
        verdict: {_made_of(CONTRACT)}
        """
        + "\n".join(f"{check.name}: {check.made_of}" for check in CONTRACT),
    ),
}
"""Table -> its columns and what they are made of."""
