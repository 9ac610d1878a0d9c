"""Totals of a phase's earlier days: an hour is decided on a day of rollups and one row for all before.

`phase_totals` is a cache. Triggers of the database forget a total when an hour before it changes, in the transaction of
the change; whoever reads uses what totals there are and the hours since. Sums are added in the order of the hours, as
the evaluation adds them, so that totals change no decision, not in the last bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from psycopg import sql

from promotion_pipeline.evaluation.sums import FIRST_TRAFFIC_HOURS
from promotion_pipeline.rollups.postgresql.arms import hour_of
from promotion_pipeline.rollups.postgresql.rollup import COUNTS, SUMS
from promotion_pipeline.rollups.postgresql.users import KEYS, MOMENTS
from promotion_pipeline.store.bulk import identifiers, time_literal
from promotion_pipeline.store.database import Store

KEPT_DAYS = 35
_SUM = {"float8": sql.SQL("sum({0} ORDER BY hour)"), "bigint": sql.SQL("sum({0})::bigint")}
# What one hour did not measure, the phase did not.
_SUM_OF = {"errors": sql.SQL("CASE WHEN count({0}) = count(*) THEN sum({0})::bigint END")}
_TYPES = dict.fromkeys(COUNTS, "bigint") | dict.fromkeys(SUMS, "float8") | MOMENTS

_REFRESH = sql.SQL(
    """
    WITH wanted AS MATERIALIZED (
        SELECT phase.id, phase.experiment_id, phase.started_at,
            (SELECT max(total.before) FROM phase_totals AS total WHERE total.phase_id = phase.id
                AND total.before < {midnight}) AS known
        FROM ab_experiment_phases AS phase
        WHERE phase.is_running AND phase.started_at < {midnight} AND coalesce(phase.ended_at, 'infinity') > {midnight}
            AND NOT EXISTS (SELECT 1 FROM phase_totals AS total
                WHERE total.phase_id = phase.id AND total.before = {midnight})
    ), rows AS (
        SELECT total.phase_id, total.variant_id, total.experiment_id, total.before - interval '1 hour' AS hour,
            total.first_requests, total.first_request_hour, total.has_fallen, {of_total}, total.newest_request_at
        FROM wanted JOIN phase_totals AS total ON total.phase_id = wanted.id AND total.before = wanted.known
        UNION ALL
        SELECT rollup.phase_id, rollup.variant_id, rollup.experiment_id, rollup.hour,
            CASE WHEN rollup.hour + interval '1 hour' <= wanted.started_at + {first_traffic}
                THEN rollup.requests ELSE 0 END,
            CASE WHEN rollup.requests > 0 THEN rollup.hour END,
            rollup.requests < 0 OR rollup.conversions < 0 OR coalesce(rollup.errors, 0) < 0,
            {of_rollup}, rollup.newest_request_at
        FROM wanted JOIN hourly_variant_rollups AS rollup
            ON rollup.experiment_id = wanted.experiment_id AND rollup.phase_id = wanted.id
            AND rollup.hour < {midnight} AND rollup.hour >= coalesce(wanted.known, {first_hour})
    )
    INSERT INTO phase_totals (phase_id, variant_id, experiment_id, before, first_requests, first_request_hour,
        has_fallen, {names}, newest_request_at)
    SELECT phase_id, variant_id, experiment_id, {midnight}, sum(first_requests)::bigint, min(first_request_hour),
        bool_or(has_fallen), {sums}, max(newest_request_at)
    FROM rows GROUP BY phase_id, variant_id, experiment_id
    ON CONFLICT (phase_id, before, variant_id) DO NOTHING
    """
)


def refresh_totals(store: Store, end: datetime) -> int:
    """Add up the phases that run, up to the newest midnight (UTC) at or before `end`; returns the rows written.

    Once a day that is a day of rollups; in between, only the phases whose earlier hours have changed.

    Raises:
        DependencyError: the database cannot be reached.
    """
    midnight = end.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    # In the order of the hours: floats that are added in another order differ in the last bits.
    sums = [_SUM_OF.get(name, _SUM[kind]).format(sql.Identifier(name)) for name, kind in _TYPES.items()]
    query = _REFRESH.format(
        midnight=time_literal(midnight),
        first_traffic=sql.SQL("interval '{} hours'").format(sql.Literal(FIRST_TRAFFIC_HOURS)),
        first_hour=hour_of(sql.SQL("wanted.started_at")),
        of_total=identifiers(_TYPES, "total"),
        of_rollup=identifiers(_TYPES, "rollup"),
        names=identifiers(_TYPES),
        sums=sql.SQL(", ").join(sums),
    )
    with store.connect() as connection, connection.transaction():
        # Whoever changes an hour meanwhile would forget a total that is not there yet.
        connection.execute("LOCK TABLE hourly_variant_rollups IN SHARE MODE")
        connection.execute("SET LOCAL work_mem = '128MB'")
        rows = connection.execute(query).rowcount
        connection.execute("DELETE FROM phase_totals WHERE before < %s", (midnight - timedelta(days=KEPT_DAYS),))
    return rows


def rows_since_totals(
    phases: sql.Composable, shown: sql.Composable, end: datetime, settled_before: datetime
) -> sql.Composed:
    """SQL of the rollups before `end`, with those before each phase's newest total as one or two rows a variant.

    The first row of a total carries the variant's first hour with requests, and the requests of the phase's first 48
    hours if there are any; the rest carries the hour before the total.

    Args:
        phases: a condition on `phase`.
        shown: columns of a rowset `rollup` that has those of `hourly_variant_rollups`.
        settled_before: hours before it are of one piece: no decision that is asked for sees only some of them.
    """
    carried: dict[str, sql.Composable] = {name: sql.SQL("total.{}").format(sql.Identifier(name)) for name in _TYPES}
    # A count that fell once stays known: its one request less is given back by the row beside it.
    rest = carried | {"requests": sql.SQL("total.requests - total.first_requests + total.has_fallen::integer")}
    nothing: dict[str, sql.Composable] = {name: sql.SQL("0::{}").format(sql.SQL(kind)) for name, kind in _TYPES.items()}
    early = nothing | {"requests": sql.SQL("total.first_requests")}
    fallen = nothing | {"requests": sql.SQL("-1::bigint")}
    last_hour = sql.SQL("total.before - interval '1 hour'")
    first_hour = sql.SQL("coalesce(total.first_request_hour, {})").format(last_hour)
    later = sql.SQL("CASE WHEN total.first_requests <> 0 THEN {} ELSE {} END").format(last_hour, first_hour)
    parts = [
        _from_total(shown, early, first_hour, sql.SQL("total.first_requests <> 0")),
        _from_total(shown, rest, later, sql.SQL("true")),
        _from_total(shown, fallen, last_hour, sql.SQL("total.has_fallen")),
    ]
    return sql.SQL(
        """
        WITH wanted AS MATERIALIZED (
            SELECT phase.id, {first_hour} AS first_hour,
                (SELECT max(total.before) FROM phase_totals AS total
                    WHERE total.phase_id = phase.id AND total.before <= {settled}) AS known
            FROM ab_experiment_phases AS phase WHERE {phases}
        )
        SELECT {shown} FROM hourly_variant_rollups AS rollup JOIN wanted ON wanted.id = rollup.phase_id
        WHERE rollup.hour < {end} AND rollup.hour >= (SELECT min(coalesce(known, first_hour)) FROM wanted)
            AND rollup.hour >= coalesce(wanted.known, '-infinity')
        UNION ALL {totals}
        """
    ).format(
        first_hour=hour_of(sql.SQL("phase.started_at")),
        settled=time_literal(settled_before),
        phases=phases,
        shown=shown,
        end=time_literal(end),
        totals=sql.SQL(" UNION ALL ").join(parts),
    )


def _from_total(
    shown: sql.Composable, sums: Mapping[str, sql.Composable], hour: sql.Composable, condition: sql.Composable
) -> sql.Composed:
    """SQL of rows of `shown` out of the totals that `wanted` names."""
    named = sql.SQL(", ").join(sql.SQL("{} AS {}").format(value, sql.Identifier(name)) for name, value in sums.items())
    return sql.SQL(
        """
        SELECT {shown} FROM (
            SELECT {hour} AS hour, {keys}, {named}, total.newest_request_at
            FROM wanted JOIN phase_totals AS total ON total.phase_id = wanted.id AND total.before = wanted.known
            WHERE {condition}
        ) AS rollup
        """
    ).format(shown=shown, hour=hour, keys=identifiers(KEYS[1:], "total"), named=named, condition=condition)
