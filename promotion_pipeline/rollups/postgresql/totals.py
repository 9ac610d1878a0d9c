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
from promotion_pipeline.rollups.rollup_columns import COUNTS, IDS, MOMENTS, SUMS
from promotion_pipeline.store.bulk import identifiers, time_literal
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.statements import statements

_SQL = statements(__file__)

KEPT_DAYS = 35
_SUM = {"float8": sql.SQL("sum({0} ORDER BY hour)"), "bigint": sql.SQL("sum({0})::bigint")}
# Null means that errors were not measured: one such hour, and they are not known of the whole phase.
_SUM_OF = {"errors": sql.SQL("CASE WHEN count({0}) = count(*) THEN sum({0})::bigint END")}
_TYPES = dict.fromkeys(COUNTS, "bigint") | dict.fromkeys(SUMS, "float8") | MOMENTS


def refresh_totals(store: Store, end: datetime) -> int:
    """Add up the phases that run, up to the newest midnight (UTC) at or before `end`; returns the rows written.

    Once a day that is a day of rollups; in between, only the phases whose earlier hours have changed.

    Raises:
        DependencyError: the database cannot be reached.
    """
    midnight = end.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    # In the order of the hours: floats that are added in another order differ in the last bits.
    sums = [_SUM_OF.get(name, _SUM[kind]).format(sql.Identifier(name)) for name, kind in _TYPES.items()]
    query = _SQL["refresh"].format(
        midnight=time_literal(midnight),
        first_traffic=sql.SQL("interval '{} hours'").format(sql.Literal(FIRST_TRAFFIC_HOURS)),
        first_hour=hour_of(sql.SQL("wanted.started_at")),
        of_total=identifiers(_TYPES, "total"),
        of_rollup=identifiers(_TYPES, "rollup"),
        names=identifiers(_TYPES),
        sums=sql.SQL(", ").join(sums),
    )
    with store.connect() as connection, connection.transaction():
        # Until these totals are committed no trigger could forget them: nobody may change an hour meanwhile.
        connection.execute("LOCK TABLE hourly_variant_rollups IN SHARE MODE")
        connection.execute("SET LOCAL work_mem = '128MB'")
        rows = connection.execute(query).rowcount
        connection.execute("DELETE FROM phase_totals WHERE before < %s", (midnight - timedelta(days=KEPT_DAYS),))
    return rows


def rows_since_totals(
    phases: sql.Composable, shown: sql.Composable, end: datetime, settled_before: datetime
) -> sql.Composed:
    """SQL of the rollups before `end`; up to three rows a variant stand for all hours before its phase's newest total.

    The evaluation adds rows up. Of single hours it only asks when a variant had its first request, how many requests
    it had in the phase's first 48 hours, and whether a count ever fell. So a total becomes these rows:

    - early: the requests of the first 48 hours, at the first hour with requests; only where there are any.
    - rest: all else, at the hour before the total; where nothing is early, at the first hour with requests.
    - fallen: minus one request, only where some hour had a count below zero; `rest` has one request more for it.

    Args:
        phases: a condition on `phase`.
        shown: columns of a rowset `rollup` that has those of `hourly_variant_rollups`.
        settled_before: only totals that end by then are used: no as-of that is asked for may lie within a total.
    """
    carried: dict[str, sql.Composable] = {name: sql.SQL("total.{}").format(sql.Identifier(name)) for name in _TYPES}
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
    return _SQL["rows_since_totals"].format(
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
    return _SQL["rows_of_total"].format(
        shown=shown, hour=hour, keys=identifiers(IDS, "total"), named=named, condition=condition
    )
