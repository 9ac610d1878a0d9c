"""User-level second moments of the rollups, as increments that sum to the exact moment at any hour.

With a user's totals y, d before an hour and its share dy, dd of the hour, the increments of the sums over users are
inc(y^2) = 2 y dy + dy^2, inc(d^2) = 2 d dd + dd^2, inc(y d) = y dd + d dy + dy dd. A late row changes not only its
own hour's increments but those of every later hour of the same user. So a rollup recomputes the users whose hours
changed, over all their hours, and adds the difference: whole numbers, hence exact however often it is done.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from promotion_pipeline.store.bulk import identifiers

KEYS = ("hour", "experiment_id", "phase_id", "variant_id")
MOMENTS = {
    "new_users": "bigint",
    "user_conversions_sum_squares": "bigint",
    "user_requests_sum_squares": "bigint",
    "user_conversions_requests_sum_products": "bigint",
    "user_value_sum_squares": "float8",
    "user_value_requests_sum_products": "float8",
    "crossed_users": "bigint",
}
"""Columns of `hourly_variant_rollups` that are made here, with their types."""

_USER_HOURS = sql.SQL(
    """
    SELECT {hour} AS hour, phase.id AS phase_id, known.id AS variant_id, request.user_id,
        count(*)::integer AS requests,
        (count(*) FILTER (WHERE request.converted))::integer AS conversions,
        coalesce(sum(request.value) FILTER (WHERE abs(request.value::float8) < 'Infinity'), 0)::numeric AS value
    FROM {requests}
    JOIN ab_variants AS known ON known.id = request.variant_id AND known.experiment_id = request.experiment_id
    JOIN ab_experiments AS experiment
        ON experiment.id = known.experiment_id AND experiment.rollup_source = 'requests'
    JOIN ab_experiment_phases AS phase ON phase.experiment_id = known.experiment_id
        AND request.created_at >= phase.started_at AND request.created_at < coalesce(phase.ended_at, 'infinity')
    WHERE request.user_id IS NOT NULL AND {condition}
    GROUP BY 1, 2, 3, 4
    """
)

# Totals up to and including the hour are d, y, v; before it, they are less the hour's own share.
_CONTRIBUTIONS = sql.SQL(
    """
    SELECT hour, phase_id, variant_id,
        count(*) FILTER (WHERE is_first)::bigint AS new_users,
        sum(y * y - (y - dy) * (y - dy))::bigint AS user_conversions_sum_squares,
        sum(d * d - (d - dd) * (d - dd))::bigint AS user_requests_sum_squares,
        sum(y * d - (y - dy) * (d - dd))::bigint AS user_conversions_requests_sum_products,
        sum(v * v - (v - dv) * (v - dv)) AS user_value_sum_squares,
        sum(v * d - (v - dv) * (d - dd)) AS user_value_requests_sum_products,
        count(*) FILTER (WHERE is_first AND rank_of_first > 1)::bigint AS crossed_users
    FROM (
        SELECT *, row_number() OVER (
            PARTITION BY phase_id, user_id, is_first ORDER BY hour, variant_id) AS rank_of_first
        FROM (
            SELECT hour, phase_id, variant_id, user_id,
                requests::bigint AS dd, conversions::bigint AS dy, value AS dv,
                (sum(requests) OVER totals)::bigint AS d,
                (sum(conversions) OVER totals)::bigint AS y,
                sum(value) OVER totals AS v,
                row_number() OVER totals = 1 AS is_first
            FROM ({user_hours}) AS own
            WINDOW totals AS (PARTITION BY phase_id, user_id, variant_id ORDER BY hour ROWS UNBOUNDED PRECEDING)
        ) AS running
    ) AS ranked
    GROUP BY hour, phase_id, variant_id
    """
)


# What lies before the moved hours is summed up at -infinity, and adds to no hour that is stored: a user with nothing
# since then has had nothing that could change.
_WITH_LATER_HOURS = sql.SQL(
    """
    SELECT * FROM user_hours_before WHERE (phase_id, user_id) IN (
        SELECT phase_id, user_id FROM user_hours_before WHERE hour > '-infinity')
    """
)


def user_hours(hour: sql.Composable, requests: sql.Composable, condition: sql.Composable) -> sql.Composed:
    """SQL of the users' requests by hour, phase and variant.

    Args:
        hour: the UTC start of the hour of `request`.
        requests: a rowset called `request`.
        condition: which of its rows.
    """
    return _USER_HOURS.format(hour=hour, requests=requests, condition=condition)


def difference(before: sql.Composable, after: sql.Composable) -> sql.Composed:
    """SQL of the moments of `after` less those of `before`, two rowsets of user hours; rows that differ only.

    Columns hour, phase_id, variant_id and MOMENTS.
    """
    sums = sql.SQL(", ").join(
        sql.SQL("sum(sign * {0})::{1} AS {0}").format(sql.Identifier(name), sql.SQL(MOMENTS[name])) for name in MOMENTS
    )
    return sql.SQL(
        """
        SELECT hour, phase_id, variant_id, {sums}
        FROM (SELECT 1 AS sign, gained.* FROM ({after}) AS gained
            UNION ALL SELECT -1, lost.* FROM ({before}) AS lost) AS signed
        GROUP BY hour, phase_id, variant_id
        HAVING {moved}
        """
    ).format(
        sums=sums,
        after=_CONTRIBUTIONS.format(user_hours=after),
        before=_CONTRIBUTIONS.format(user_hours=before),
        moved=sql.SQL(" OR ").join(sql.SQL("sum(sign * {}) <> 0").format(sql.Identifier(name)) for name in MOMENTS),
    )


def update_moments(connection: psycopg.Connection[Any], hour: sql.Composable) -> None:
    """Bring users and moments in line with the requests of the hours in the temporary table `moved_hours`.

    Call it in the transaction that has written the counts of those hours. `moved_hours` has the columns hour and
    phase_id. O(requests of these hours + all hours of the users whose requests changed).
    """
    requests = sql.SQL(
        """(SELECT DISTINCT hour FROM moved_hours) AS moved
        JOIN ai_requests AS request
            ON request.created_at >= moved.hour AND request.created_at < moved.hour + interval '1 hour'"""
    )
    of_moved = sql.SQL("(moved.hour, phase.id) IN (SELECT hour, phase_id FROM moved_hours)")
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE fresh_user_hours ON COMMIT DROP AS {}").format(
            user_hours(hour, requests, of_moved)
        )
    )
    columns = identifiers(("phase_id", "user_id", "variant_id", "hour", "requests", "conversions", "value"))
    stored = sql.SQL(
        "SELECT {} FROM hourly_user_rollups WHERE (hour, phase_id) IN (SELECT hour, phase_id FROM moved_hours)"
    ).format(columns)
    connection.execute(
        sql.SQL(
            """
            CREATE TEMPORARY TABLE changed_users ON COMMIT DROP AS
            SELECT DISTINCT phase_id, user_id FROM (
                (SELECT {columns} FROM fresh_user_hours EXCEPT {stored})
                UNION ALL ({stored} EXCEPT SELECT {columns} FROM fresh_user_hours)) AS different
            """
        ).format(columns=columns, stored=stored)
    )
    connection.execute("ANALYZE fresh_user_hours")
    connection.execute("ANALYZE changed_users")
    _apply(connection, columns)


def since(user_hours: sql.Composable, cutoff: sql.Composable) -> sql.Composed:
    """SQL of the user hours with all those before `cutoff` of a user and variant as one row at -infinity.

    The moments of hours from `cutoff` on need only the totals before it.
    """
    return sql.SQL(
        """
        SELECT phase_id, user_id, variant_id, CASE WHEN hour < {cutoff} THEN '-infinity' ELSE hour END AS hour,
            sum(requests)::bigint AS requests, sum(conversions)::bigint AS conversions, sum(value) AS value
        FROM ({user_hours}) AS own
        GROUP BY 1, 2, 3, 4
        """
    ).format(cutoff=cutoff, user_hours=user_hours)


def _apply(connection: psycopg.Connection[Any], columns: sql.Composable) -> None:
    """Replace the changed users' hours, and add what that changes in the moments of every later hour."""
    history = sql.SQL("SELECT {} FROM hourly_user_rollups JOIN changed_users USING (phase_id, user_id)").format(columns)
    first_moved = sql.SQL("(SELECT min(hour) FROM moved_hours)")
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE user_hours_before ON COMMIT DROP AS {}").format(since(history, first_moved))
    )
    connection.execute(
        """
        DELETE FROM hourly_user_rollups AS stored USING changed_users
        WHERE (stored.phase_id, stored.user_id) = (changed_users.phase_id, changed_users.user_id)
            AND (stored.hour, stored.phase_id) IN (SELECT hour, phase_id FROM moved_hours)
        """
    )
    fresh = sql.SQL("SELECT {} FROM fresh_user_hours JOIN changed_users USING (phase_id, user_id)").format(columns)
    connection.execute(sql.SQL("INSERT INTO hourly_user_rollups ({}) {}").format(columns, fresh))
    after = sql.SQL(
        "SELECT {} FROM user_hours_before WHERE (hour, phase_id) NOT IN (SELECT hour, phase_id FROM moved_hours)"
        " UNION ALL {}"
    ).format(columns, fresh)
    assignments = sql.SQL(", ").join(
        sql.SQL("{0} = stored.{0} + moments.{0}").format(sql.Identifier(name)) for name in MOMENTS
    )
    connection.execute("ANALYZE user_hours_before")
    connection.execute(
        sql.SQL(
            """
            UPDATE hourly_variant_rollups AS stored SET {assignments}
            FROM ({moments}) AS moments
            WHERE (stored.hour, stored.phase_id, stored.variant_id)
                = (moments.hour, moments.phase_id, moments.variant_id)
            """
        ).format(assignments=assignments, moments=difference(_WITH_LATER_HOURS, after))
    )
