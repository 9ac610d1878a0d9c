"""What the metrics' sums lack: what the log and the events say now, less what was counted, of the users that changed.

With a user's value y0 and denominator d0 before an hour, and y, d after it, the hour adds y - y0 to the sums of values,
y^2 - y0^2 to their squares, y d - y0 d0 to the products and (y - y0) x to those with the user's past x. A cap is put on
the user's running total, so y^2 - y0^2 is what the hour adds under it too. A late row or event changes later hours of
the same user as well: of a user for whom anything changed all hours since then are taken out and put in again. All sums
are of `numeric`: they are the same bits in whatever order rows came.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from promotion_pipeline.rollups.metrics.columns import METRIC_COUNTS, METRIC_SUMS
from promotion_pipeline.rollups.metrics.definitions import PhaseMetrics, metric_rows, slots_of
from promotion_pipeline.rollups.metrics.reading import MetricReader
from promotion_pipeline.rollups.phases import read_phases
from promotion_pipeline.rollups.sql.metric_query import Slot
from promotion_pipeline.store.bulk import time_literal
from promotion_pipeline.store.statements import statements
from promotion_pipeline.store.usable import amount, latency
from promotion_pipeline.store.windows import HOUR

_SQL = statements(__file__)

NOBODYS = sql.SQL("'00000000-0000-0000-0000-000000000000'::uuid")
"""The variant of what counts for the variant that a user met first."""
_AMOUNT = amount(sql.SQL("event.value"), "numeric")


def find_difference(
    connection: psycopg.Connection[Any],
    phases: Sequence[PhaseMetrics],
    reader: MetricReader,
    until: datetime,
    *,
    takes_events: bool | None,
) -> None:
    """Make the temporary table `metric_difference`, and `metric_fresh`, `metric_stale`, `metric_new_users` beside it.

    The temporary table `metric_hours` (hour, phase_id) says which hours of the log are to be looked at again; all hours
    of phases with a metric whose sums were never made are added. Nothing else is written, except that changes of events
    are forgotten where they are taken.

    Args:
        until: end of the newest hour that is summed up.
        takes_events: None leaves changed events to another run; False looks at them without forgetting them.
    """
    known = tuple(slot for slot in slots_of(phases) if reader.has_column(slot.column))
    list_metrics(connection, phases, known)
    connection.execute(_SQL["hours_of_new"], {"until": until})
    connection.execute("ANALYZE metric_list, metric_hours")
    connection.execute(_SQL["find_lost"])
    connection.execute(_SQL["read_where_they_are_met_now"])
    read_log_of_hours(connection, reader, known)
    connection.execute(_SQL["find_later_in_their_hour"])
    connection.execute(_SQL["find_new_users"])
    connection.execute(_SQL["end_pasts_at_earlier_phases"])
    connection.execute(_SQL["add_users_of_later_phases"])
    connection.execute("ANALYZE metric_new_users")
    connection.execute(_SQL["make_event_hours"])
    if takes_events is not None:
        connection.execute(_SQL["take_event_changes"] if takes_events else _SQL["see_event_changes"], {"until": until})
    connection.execute(_SQL["find_touched_events"], {"until": until})
    connection.execute(_SQL["find_touched_pasts"])
    connection.execute("ANALYZE metric_event_hours, metric_touched, metric_touched_pasts")
    _sum_up(connection, reader, known)
    connection.execute(_SQL["find_stale"].format(reads_past=sql.Literal(reader.reads_pasts)))
    connection.execute("ANALYZE metric_fresh, metric_stale")
    connection.execute(_SQL["find_changed"])
    connection.execute("ANALYZE metric_changed")
    for name, statement in (
        ("metric_was", _SQL["make_was"]),
        ("metric_is_now", _SQL["make_is_now"]),
        ("metric_before", _SQL["make_before"]),
        ("metric_people_were", _SQL["make_people_were"]),
        ("metric_people_are", _SQL["make_people_are"]),
    ):
        connection.execute(statement)
        connection.execute(f"ANALYZE {name}")
    # Of tables that were made just now, without an index, and of which the planner expects one row: it would read one
    # of them anew for each row of another.
    connection.execute("SET LOCAL enable_nestloop = off")
    connection.execute(_difference())
    connection.execute("SET LOCAL enable_nestloop = on")


def list_metrics(connection: psycopg.Connection[Any], phases: Sequence[PhaseMetrics], slots: Sequence[Slot]) -> None:
    """Make the temporary table `metric_list`: what the metrics of the phases are made of; `slots` are the log's."""
    connection.execute(_SQL["list_metrics"], {"metrics": Jsonb(metric_rows(phases, slots))})


def read_log_of_hours(connection: psycopg.Connection[Any], reader: MetricReader, slots: Sequence[Slot]) -> None:
    """Make the temporary table `metric_read`: what users did in the hours of `metric_hours`."""
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        spans = cursor.execute(_SQL["spans"]).fetchall()
        ids = {str(row[0]) for row in cursor.execute("SELECT DISTINCT phase_id FROM metric_hours").fetchall()}
    # Without an hour to read, an empty one: what follows needs the columns.
    nothing = datetime.fromisoformat("2000-01-01T00:00:00+00:00")
    spans = spans or [(nothing, nothing)]
    phases = read_phases(connection, spans[0][0], max(spans[-1][1], spans[0][0] + HOUR))
    wanted = phases[phases["phase_id"].astype(str).isin(ids)]
    reader.load(connection, wanted.sort_values(["phase_id", "variant_id"], ignore_index=True), spans, slots)
    connection.execute(_SQL["name_users"])
    connection.execute("ANALYZE metric_read")


def _sum_up(connection: psycopg.Connection[Any], reader: MetricReader, slots: Sequence[Slot]) -> None:
    """Make `metric_fresh`: each user's sums of what was looked at again."""
    connection.execute(_SQL["make_fresh"])
    connection.execute(_SQL["fresh_events"].format(nobodys=NOBODYS, amount=_AMOUNT))
    for number in range(len(slots)):
        parts = {name: sql.Identifier(f"c{number}_{name}") for name in ("positive", "number", "squares")}
        connection.execute(
            _SQL["fresh_columns"].format(
                slot=sql.Literal(number), total=sql.Identifier(f"c{number}_sum"), nobodys=NOBODYS, **parts
            )
        )
        connection.execute(_SQL["fresh_numbers"].format(slot=sql.Literal(number), **parts))
    if not reader.reads_pasts:
        return
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        bounds = cursor.execute(_SQL["bounds_of_pasts"]).fetchone()
    if bounds is not None and bounds[0] is not None:
        connection.execute(
            _SQL["fresh_pasts_of_columns"].format(
                nobodys=NOBODYS,
                amount=amount(sql.SQL("request.value"), "numeric"),
                latency=latency(sql.SQL("request.latency_ms")),
                first=time_literal(bounds[0]),
                last=time_literal(bounds[1]),
            )
        )


def _difference() -> sql.Composed:
    names = (*METRIC_COUNTS, *METRIC_SUMS)
    sums = [
        sql.SQL("sum(sign * signed.{0})::{1} AS {0}").format(
            sql.Identifier(name), sql.SQL("bigint" if name in METRIC_COUNTS else "numeric")
        )
        for name in names
    ]
    return _SQL["find_difference"].format(
        sums=sql.SQL(", ").join(sums),
        moved=sql.SQL(" OR ").join(
            sql.SQL("sum(sign * signed.{}) <> 0").format(sql.Identifier(name)) for name in names
        ),
        after=_contributions("metric_is_now", "metric_people_are", sql.SQL("true")),
        before=_contributions("metric_before", "metric_people_were", sql.SQL("NOT metric.is_new")),
    )


def _contributions(cells: str, people: str, which: sql.Composable) -> sql.Composed:
    above, below = ("value_total", "number_total"), ("below_value_total", "below_number_total")
    share = {"value_total": "value", "number_total": "number"}
    share |= {f"below_{name}": f"below_{part}" for name, part in share.items()}

    def level(side: str, names: tuple[str, str], *, before: bool) -> sql.Composed:
        value, number = (f"totals.{name} - totals.{share[name]}" if before else f"totals.{name}" for name in names)
        return _level(side, sql.SQL(f"({value})"), sql.SQL(f"({number})"))

    def denominator(*, before: bool) -> sql.Composed:
        number = sql.SQL("(totals.number_total - totals.number)" if before else "totals.number_total")
        return sql.SQL("CASE metric.kind WHEN 'request_mean' THEN {} WHEN 'ratio' THEN {} ELSE 0 END").format(
            number, level("below", below, before=before)
        )

    past = _level("above", sql.SQL("did.value"), sql.SQL("did.number"))
    named = sql.Identifier(cells)
    return _SQL["contributions"].format(
        cells=named,
        people=sql.Identifier(people),
        which=which,
        nobodys=NOBODYS,
        y=level("above", above, before=False),
        y0=level("above", above, before=True),
        d=denominator(before=False),
        d0=denominator(before=True),
        pasts=_SQL["pasts"].format(cells=named, x=past),
    )


def _level(side: str, value: sql.Composable, number: sql.Composable) -> sql.Composed:
    """SQL of a user's value, of the totals of what the user did."""
    return sql.SQL(
        "CASE {kind} WHEN 'user_proportion' THEN ({number} > 0)::integer::numeric"
        " WHEN 'user_count' THEN least({number}::numeric, {cap}) WHEN 'user_mean' THEN least({value}, {cap})"
        " ELSE {value} END"
    ).format(
        kind=sql.Identifier("metric", f"{side}_kind"),
        cap=sql.Identifier("metric", f"{side}_cap"),
        value=value,
        number=number,
    )
