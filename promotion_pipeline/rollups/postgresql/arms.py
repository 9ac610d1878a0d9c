"""The arms whose requests are rolled up, as SQL that names each by a small number."""

from __future__ import annotations

from psycopg import sql

ARMS = sql.SQL(
    """
    arms AS MATERIALIZED (
        SELECT row_number() OVER ()::integer AS arm, variant.experiment_id, variant.id AS variant_id,
            phase.id AS phase_id, phase.started_at, coalesce(phase.ended_at, 'infinity') AS ended_at,
            coalesce(known.covered, '{}') AS covered
        FROM ab_variants AS variant
        JOIN ab_experiments AS experiment
            ON experiment.id = variant.experiment_id AND experiment.rollup_source = 'requests'
        JOIN ab_experiment_phases AS phase ON phase.experiment_id = variant.experiment_id
        LEFT JOIN phase_rollups AS known ON known.phase_id = phase.id
    )
    """
)
"""For a WITH: a row for every variant and phase. Grouping by one number is faster than by three ids."""

WITH_ARMS = sql.SQL(
    """
    promotion_pipeline_requests AS request
    LEFT JOIN arms ON arms.experiment_id = request.experiment_id AND arms.variant_id = request.variant_id
        AND request.created_at >= arms.started_at AND request.created_at < arms.ended_at
    """
)
"""For a FROM: the requests with their arms; none for what belongs nowhere.

A LEFT JOIN: the requests are read by their time, never once for every arm.
"""


def hour_of(column: sql.Composable) -> sql.Composed:
    """The UTC start of the hour of a timestamptz; faster than date_trunc and the same in every time zone."""
    return sql.SQL("date_bin('1 hour', {}, '2000-01-01 00:00:00+00'::timestamptz)").format(column)


REQUEST_HOUR = hour_of(sql.SQL("request.created_at"))

KNOWN_USER = sql.SQL("btrim(request.user_id::text, E' \\t\\n\\v\\f\\r') <> ''")
"""Whether `request` says whose it is: an id of nothing but white space is nobody's."""
