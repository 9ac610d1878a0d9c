"""Rollups that do not depend on the hourly run having happened."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import pandas as pd
from psycopg import sql

from promotion_pipeline.store.arms import REQUEST_HOUR, hour_of
from promotion_pipeline.store.bulk import (
    HOUR,
    Source,
    identifiers,
    ids_filter,
    read_frame,
    require_hours,
    time_literal,
)
from promotion_pipeline.store.frames import phase_overlaps, stored_columns
from promotion_pipeline.store.rollup import COUNTS, IDS, SUMS, aggregation, as_columns
from promotion_pipeline.store.users import MOMENTS, USER_HOUR, difference, known_user_hours, user_hours


def rollups_as_of(source: Source, as_of: datetime, experiment_ids: Sequence[str] | None = None) -> pd.DataFrame:
    """The rollups before `as_of` of every phase of its last hour, back to the phase's start.

    Hours that were rolled up are read, the others are aggregated from the requests, in one statement and so from one
    snapshot. Columns as `hourly_variant_rollups`. Nothing is written.

    Raises:
        InputError: `as_of` is naive or not a whole hour, or an id is no UUID.
        DependencyError: the database cannot be reached.
    """
    require_hours(None, as_of)
    start = _first_hour_to_aggregate(source, as_of, experiment_ids)
    overlaps = phase_overlaps(as_of - HOUR, as_of)
    unrolled = sql.SQL("{} AND NOT EXISTS (SELECT 1 FROM rollup_hours AS rolled WHERE rolled.hour = {})").format(
        ids_filter(sql.SQL("request.experiment_id"), experiment_ids), REQUEST_HOUR
    )
    stored = sql.SQL(
        """
        SELECT {columns} FROM hourly_variant_rollups AS rollup
        JOIN ab_experiment_phases AS phase ON phase.id = rollup.phase_id
        JOIN ab_experiments AS experiment ON experiment.id = rollup.experiment_id
        LEFT JOIN rollup_hours AS rolled ON rolled.hour = rollup.hour
        WHERE rollup.hour < {as_of} AND {overlaps} AND {wanted}
            AND (rolled.hour IS NOT NULL OR experiment.rollup_source = 'imported')
        """
    ).format(
        columns=stored_columns("rollup"),
        as_of=time_literal(as_of),
        overlaps=overlaps,
        wanted=ids_filter(sql.SQL("rollup.experiment_id"), experiment_ids),
    )
    if start is None:
        return read_frame(source, stored, IDS)
    aggregated = sql.SQL(
        """
        SELECT {columns} FROM ({aggregation} OFFSET 0) AS rollup
        JOIN ab_experiment_phases AS phase ON phase.id = rollup.phase_id
        WHERE {overlaps}
        """
    ).format(columns=as_columns("rollup"), aggregation=aggregation(start, as_of, unrolled), overlaps=overlaps)
    moments = _moments_of_unrolled(start, as_of, unrolled, overlaps)
    return read_frame(source, sql.SQL("{} UNION ALL {} UNION ALL {}").format(stored, aggregated, moments), IDS)


def _moments_of_unrolled(
    start: datetime, as_of: datetime, unrolled: sql.Composable, overlaps: sql.Composable
) -> sql.Composed:
    """What the unrolled hours add to the user-level moments, of later hours too: rows that only have these sums."""
    window = sql.SQL("request.created_at >= {} AND request.created_at < {} AND {}").format(
        time_literal(start), time_literal(as_of), unrolled
    )
    met = sql.SQL("(SELECT DISTINCT phase_id, user_id FROM unseen)")
    known = known_user_hours(met, start)
    both = sql.SQL("SELECT {} FROM ({}) AS known UNION ALL SELECT {} FROM unseen").format(USER_HOUR, known, USER_HOUR)
    counts = sql.SQL(", ").join(
        [
            *(sql.SQL("0::bigint AS {}").format(sql.Identifier(name)) for name in COUNTS),
            *(sql.SQL("0::float8 AS {}").format(sql.Identifier(name)) for name in SUMS),
        ]
    )
    return sql.SQL(
        """
        (WITH unseen AS MATERIALIZED ({unseen})
        SELECT moments.hour, phase.experiment_id::text, moments.phase_id::text, moments.variant_id::text,
            {counts}, {moments}, NULL::timestamptz AS newest_request_at
        FROM ({difference}) AS moments
        JOIN ab_experiment_phases AS phase ON phase.id = moments.phase_id
        WHERE moments.hour < {as_of} AND {overlaps})
        """
    ).format(
        unseen=user_hours(window),
        counts=counts,
        moments=identifiers(tuple(MOMENTS), "moments"),
        difference=difference(known, both),
        as_of=time_literal(as_of),
        overlaps=overlaps,
    )


def _first_hour_to_aggregate(source: Source, as_of: datetime, experiment_ids: Sequence[str] | None) -> datetime | None:
    """The first hour of the wanted phases that was not rolled up; None if all were."""
    found = read_frame(
        source,
        sql.SQL(
            """
            SELECT min(passed.hour) AS hour
            FROM (SELECT {first} AS first FROM ab_experiment_phases AS phase
                JOIN ab_experiments AS experiment ON experiment.id = phase.experiment_id
                WHERE experiment.rollup_source = 'requests' AND {overlaps} AND {wanted}
                    AND usable_start(experiment.start_date) = experiment.start_date) AS oldest
            CROSS JOIN LATERAL generate_series(oldest.first, {as_of} - interval '1 hour', '1 hour') AS passed(hour)
            WHERE NOT EXISTS (SELECT 1 FROM rollup_hours AS rolled WHERE rolled.hour = passed.hour)
            """
        ).format(
            first=hour_of(sql.SQL("min(phase.started_at)")),
            overlaps=phase_overlaps(as_of - HOUR, as_of),
            wanted=ids_filter(sql.SQL("phase.experiment_id"), experiment_ids),
            as_of=time_literal(as_of),
        ),
    )["hour"]
    return None if found.isna().all() else found.iloc[0].to_pydatetime()
