"""User-level second moments of the rollups, as increments that sum to the exact moment at any hour.

With a user's totals y, d before an hour and its share dy, dd of the hour, the increments of the sums over users are
inc(y^2) = 2 y dy + dy^2, inc(d^2) = 2 d dd + dd^2, inc(y d) = y dd + d dy + dy dd. A late row changes not only its
own hour's increments but those of every later hour of the same user. So a rollup recomputes the users whose hours
changed, from the first hour that changed on, and adds the difference: whole numbers, hence exact however often it is
done. What lies before that hour is one row of `user_totals`, less the hours since.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeAlias

import psycopg
from psycopg import sql

from promotion_pipeline.evaluation.clusters import POWER_SUM
from promotion_pipeline.rollups.postgresql.arms import KNOWN_USER, REQUEST_HOUR, WITH_ARMS, arms
from promotion_pipeline.rollups.rollup_columns import MOMENTS
from promotion_pipeline.store.bulk import identifiers, rendered, time_literal
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.usable import amount

_SQL = statements(__file__)
_AMOUNT = rendered(amount(sql.SQL("request.value"), "numeric"))

USER_HOUR = rendered(identifiers(("hour", "phase_id", "user_id", "variant_id", "requests", "conversions", "value")))
"""Columns of a row of user hours: what a user did in an hour, by variant."""

_MOVES = rendered(
    sql.SQL(", ").join(
        sql.SQL("sum(sign * {0})::{1} AS {0}").format(sql.Identifier(name), sql.SQL(MOMENTS[name])) for name in MOMENTS
    )
)
# The sum of powers is not looked at: a float differs in its last bits without a change. Where it changes, so do the
# sums of squares, which are exact.
_IS_MOVED = rendered(
    sql.SQL(" OR ").join(
        sql.SQL("sum(sign * {}) <> 0").format(sql.Identifier(name)) for name in MOMENTS if name != POWER_SUM
    )
)

# A user whose one row is what lies before the cutoff adds to no hour that is stored: without it there is less to sort.
_WITH_LATER_HOURS = sql.SQL(
    """
    SELECT * FROM user_hours_before WHERE (phase_id, user_id) IN (
        SELECT phase_id, user_id FROM user_hours_before WHERE hour > '-infinity')
    """
)


def user_hours(start: datetime, end: datetime, condition: sql.Composable) -> sql.Composed:
    """SQL of the users' requests in [start, end) by hour, phase and variant, columns USER_HOUR.

    `condition` restricts `request` to these times or less; name them as literals, which choose the days to read. One
    scan of them.
    """
    return _SQL["user_hours"].format(
        arms=arms(start, end),
        hour=REQUEST_HOUR,
        requests=WITH_ARMS,
        known_user=KNOWN_USER,
        condition=condition,
        amount=_AMOUNT,
    )


def known_user_hours(users: sql.Composable, cutoff: datetime) -> sql.Composed:
    """SQL of the stored hours of `users`, a rowset of (phase_id, user_id), columns USER_HOUR.

    All hours before `cutoff` of a user and variant are one row at -infinity: the moments from `cutoff` on need no
    more. O(users + rows since `cutoff`), however long the phase.
    """
    return _SQL["known_user_hours"].format(columns=USER_HOUR, users=users, cutoff=time_literal(cutoff))


def difference(before: sql.Composable, after: sql.Composable) -> sql.Composed:
    """SQL of the moments of `after` less those of `before`, two rowsets of user hours; rows that differ only.

    Columns hour, phase_id, variant_id and MOMENTS.
    """
    return _SQL["difference"].format(
        sums=_MOVES,
        after=_SQL["contributions"].format(user_hours=after),
        before=_SQL["contributions"].format(user_hours=before),
        moved=_IS_MOVED,
    )


LoadUsers: TypeAlias = Callable[[psycopg.Connection[Any], Sequence[tuple[datetime, datetime]]], None]
"""Makes the temporary table `fresh_user_hours`, columns USER_HOUR: what the log has of the hours in `moved_hours`."""


def load_user_hours(connection: psycopg.Connection[Any], spans: Sequence[tuple[datetime, datetime]]) -> None:
    """The user hours of the requests in `ai_requests`."""
    connection.execute(
        sql.SQL(
            "CREATE TEMPORARY TABLE fresh_user_hours ON COMMIT DROP AS"
            " SELECT {} FROM ({}) AS found WHERE (hour, phase_id) IN (SELECT hour, phase_id FROM moved_hours)"
        ).format(USER_HOUR, user_hours(spans[0][0], spans[-1][1], _within(spans, sql.SQL("request.created_at"))))
    )


def update_moments(connection: psycopg.Connection[Any], load: LoadUsers) -> None:
    """Bring users and moments in line with the requests of the hours in the temporary table `moved_hours`.

    Call it in the transaction that has written the counts of those hours. `moved_hours` has the columns hour and
    phase_id. O(requests of these hours + hours since the first of them, of the users whose requests changed).
    """
    spans = _moved_spans(connection)
    if not spans:
        return
    moved = sql.SQL("SELECT hour, phase_id FROM moved_hours")
    load(connection, spans)
    stored = sql.SQL("SELECT {} FROM hourly_user_rollups WHERE {} AND (hour, phase_id) IN ({})").format(
        USER_HOUR, _within(spans, sql.SQL("hour")), moved
    )
    connection.execute(_SQL["find_changed_users"].format(columns=USER_HOUR, stored=stored))
    connection.execute("ANALYZE fresh_user_hours")
    connection.execute("ANALYZE changed_users")
    _apply(connection, spans)


def _moved_spans(connection: psycopg.Connection[Any]) -> Sequence[tuple[datetime, datetime]]:
    """The moved hours as [start, end) without gaps, the earliest first."""
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        return cursor.execute(_SQL["moved_spans"]).fetchall()


def _within(spans: Sequence[tuple[datetime, datetime]], column: sql.Composable) -> sql.Composed:
    """SQL: a time lies in one of the spans; literals, so that only these days and pages are read."""
    each = [
        sql.SQL("{0} >= {1} AND {0} < {2}").format(column, time_literal(start), time_literal(end))
        for start, end in spans
    ]
    return sql.SQL("({})").format(sql.SQL(" OR ").join(each))


def _apply(connection: psycopg.Connection[Any], spans: Sequence[tuple[datetime, datetime]]) -> None:
    """Replace the changed users' hours, and add what that changes in the moments of every later hour."""
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE user_hours_before ON COMMIT DROP AS {}").format(
            known_user_hours(sql.SQL("changed_users"), spans[0][0])
        )
    )
    connection.execute(_SQL["delete_changed_hours"].format(_within(spans, sql.SQL("stored.hour"))))
    fresh = sql.SQL("SELECT {} FROM fresh_user_hours JOIN changed_users USING (phase_id, user_id)").format(USER_HOUR)
    # Sorted like the index, which takes rows in this order faster.
    connection.execute(sql.SQL("INSERT INTO hourly_user_rollups ({}) {} ORDER BY 1, 2, 3, 4").format(USER_HOUR, fresh))
    after = sql.SQL(
        "SELECT {} FROM user_hours_before WHERE (hour, phase_id) NOT IN (SELECT hour, phase_id FROM moved_hours)"
        " UNION ALL {}"
    ).format(USER_HOUR, fresh)
    assignments = sql.SQL(", ").join(
        sql.SQL("{0} = stored.{0} + moments.{0}").format(sql.Identifier(name)) for name in MOMENTS
    )
    connection.execute("ANALYZE user_hours_before")
    connection.execute(
        _SQL["add_moments"].format(assignments=assignments, moments=difference(_WITH_LATER_HOURS, after))
    )
