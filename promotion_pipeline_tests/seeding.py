"""Experiments for the tests: rows made inside PostgreSQL, spread evenly over whole hours.

    seeded = seed_experiment(store, "checkout", WINNER)
    promote_winner("checkout", "manual", "user-123", store=store)

`WINNER`, `NO_DIFFERENCE` and `UNPROVEN` are the usual variants. Counts are exact:
`VariantSpec(conversions=600)` is 600 converted requests, whatever their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

from promotion_pipeline.store.connection import Connection
from promotion_pipeline.store.database import Store

DEFAULT_RUNTIME = timedelta(hours=96)


@dataclass(frozen=True)
class VariantSpec:
    """One variant and the sums that its requests shall have."""

    name: str
    is_control: bool = False
    traffic: float | str | Decimal = 50
    """Percent of traffic."""
    requests: int = 0
    conversions: int = 0
    errors: int = 0
    latency_ms: float | None = 100.0
    """Mean latency; single requests lie up to 20 percent around it."""
    value: float | None = None


@dataclass(frozen=True)
class Seeded:
    """What was made: the keys that a test needs."""

    id: UUID
    name: str
    variant_ids: dict[str, UUID]
    start: datetime
    end: datetime


WINNER = (
    VariantSpec("control", is_control=True, requests=10_000, conversions=1_000, errors=100),
    VariantSpec("treatment", requests=10_000, conversions=1_300, errors=100),
)
"""Passes the contract and the always-valid test."""

NO_DIFFERENCE = (
    VariantSpec("control", is_control=True, requests=10_000, conversions=1_000, errors=100),
    VariantSpec("treatment", requests=10_000, conversions=1_005, errors=100),
)
"""Enough data, nothing in it."""

UNPROVEN = (
    VariantSpec("control", is_control=True, requests=10_000, conversions=1_000, errors=100),
    VariantSpec("treatment", requests=10_000, conversions=1_095, errors=100),
)
"""Passes the contract (z = 2.2) but not the always-valid test."""


def seed_experiment(
    store: Store,
    name: str,
    variants: tuple[VariantSpec, ...] | list[VariantSpec] = WINNER,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    users: int | None = None,
    is_active: bool = True,
    promotion_config: dict[str, Any] | None = None,
) -> Seeded:
    """Write one experiment, its variants and their requests, spread evenly over [start, end).

    `end` defaults to the newest full hour of the database's clock, `start` to 96 hours before it. `users`
    is the number of distinct users of each variant; none means that requests name no user.
    """
    with store.connect() as connection, connection.transaction():
        newest = connection.execute("SELECT date_trunc('hour', now(), 'UTC') AS at").fetchone()
        assert newest is not None
        end = end or newest["at"].astimezone(UTC)
        start = start or end - DEFAULT_RUNTIME
        row = connection.execute(
            "INSERT INTO ab_experiments (name, is_active, start_date, promotion_config)"
            " VALUES (%s, %s, %s, %s) RETURNING id",
            [name, is_active, start, Jsonb(promotion_config or {})],
        ).fetchone()
        assert row is not None
        ids: dict[str, UUID] = {}
        for variant in variants:
            made = connection.execute(
                "INSERT INTO ab_variants (experiment_id, name, is_control, traffic_percentage)"
                " VALUES (%s, %s, %s, %s) RETURNING id",
                [row["id"], variant.name, variant.is_control, Decimal(str(variant.traffic))],
            ).fetchone()
            assert made is not None
            ids[variant.name] = made["id"]
    seeded = Seeded(id=row["id"], name=name, variant_ids=ids, start=start, end=end)
    for variant in variants:
        add_requests(store, seeded, variant, start=start, end=end, users=users)
    return seeded


def add_requests(
    store: Store, seeded: Seeded, variant: VariantSpec, *, start: datetime, end: datetime, users: int | None = None
) -> None:
    """Write `variant.requests` more requests of an existing variant, spread evenly over [start, end)."""
    if variant.requests == 0:
        return
    with store.connect() as connection:
        connection.execute(
            """
            INSERT INTO ai_requests
                (experiment_id, variant_id, user_id, created_at, latency_ms, is_error, converted, value)
            SELECT %(experiment)s, %(variant)s,
                %(prefix)s || '-' || abs(hashint8(i)::bigint) %% %(users)s::bigint,
                %(start)s::timestamptz + (%(end)s::timestamptz - %(start)s::timestamptz) * ((i + 0.5) / %(n)s),
                %(latency)s::float8 * (0.8 + 0.4 * (i * 37 %% 100) / 99.0),
                (i + 1) * %(errors)s / %(n)s > i * %(errors)s / %(n)s,
                (i + 1) * %(conversions)s / %(n)s > i * %(conversions)s / %(n)s,
                %(value)s::numeric
            FROM generate_series(0::bigint, %(n)s::bigint - 1) AS i
            """,
            {
                "experiment": seeded.id,
                "variant": seeded.variant_ids[variant.name],
                "prefix": variant.name,
                "users": users,
                "start": start,
                "end": end,
                "n": variant.requests,
                "errors": variant.errors,
                "conversions": variant.conversions,
                "latency": variant.latency_ms,
                "value": variant.value,
            },
        )


TIMES = """
SELECT owner.relname AS name,
    coalesce(array_agg(part.attname) FILTER (WHERE part.atttypid = 'timestamptz'::regtype), '{}') AS instants,
    coalesce(array_agg(part.attname) FILTER (WHERE part.atttypid = 'tstzmultirange'::regtype), '{}') AS spans,
    array_agg(part.attname) AS columns,
    bool_or(part.atttypid = 'timestamptz'::regtype AND EXISTS (
        SELECT 1 FROM pg_index AS key
        WHERE key.indrelid = owner.oid AND (key.indisunique OR key.indisexclusion) AND part.attnum = ANY (key.indkey)
    )) AS is_key
FROM pg_class AS owner JOIN pg_attribute AS part ON part.attrelid = owner.oid AND part.attnum > 0
WHERE owner.relnamespace = 'public'::regnamespace AND owner.relkind IN ('r', 'p') AND NOT owner.relispartition
    AND NOT part.attisdropped
GROUP BY owner.oid
HAVING bool_or(part.atttypid IN ('timestamptz'::regtype, 'tstzmultirange'::regtype))
ORDER BY owner.relname
"""
"""Every table with a column of time, as the catalog has them."""
ROWS_OF_AN_EXPERIMENT = {
    "experiment_id": "experiment_id = %(id)s",
    "phase_id": "phase_id IN (SELECT id FROM ab_experiment_phases WHERE experiment_id = %(id)s)",
    "promotion_id": "promotion_id IN (SELECT id FROM experiment_promotions WHERE experiment_id = %(id)s)",
    "outbox_id": "outbox_id IN (SELECT id FROM notification_outbox WHERE experiment_id = %(id)s)",
}
"""How a table says whose its rows are: the first of these columns that it has."""
FAR = timedelta(hours=9_000_000)


@dataclass(frozen=True)
class TimedTable:
    """A table, its columns of time, and which of its rows are an experiment's; None: they are nobody's."""

    name: str
    instants: list[str]
    spans: list[str]
    of_experiment: str | None
    is_key: bool
    """A time is part of a unique key: neighbouring hours would meet on the way, so that they go in two moves."""

    def moves(self, step: timedelta) -> Iterator[tuple[str, timedelta]]:
        """The statements that move an experiment's rows by `step`, with the `by` of each."""
        instants = ", ".join(f"{column} = {column} + %(by)s" for column in self.instants)
        spans = ", ".join(
            f"{column} = coalesce((SELECT range_agg(tstzrange(lower(span) + %(by)s, upper(span) + %(by)s))"
            f" FROM unnest({column}) AS span), '{{}}')"
            for column in self.spans
        )
        changes = ", ".join(part for part in (instants, spans) if part)
        for by in (FAR, step - FAR) if self.is_key else (step,):
            yield f"UPDATE {self.name} SET {changes} WHERE {self.of_experiment}", by


def timed_tables(connection: Connection) -> list[TimedTable]:
    """Every table that has a column of time."""
    found = []
    for row in connection.execute(TIMES).fetchall():
        ways = [way for column, way in ROWS_OF_AN_EXPERIMENT.items() if column in row["columns"]]
        if row["name"] == "ab_experiments":
            ways = ["id = %(id)s"]
        whose = ways[0] if ways else None
        found.append(TimedTable(row["name"], row["instants"], row["spans"], whose, row["is_key"]))
    return found


def let_time_pass(store: Store, seeded: Seeded, hours: int) -> None:
    """Move everything about an experiment into the past, as if `hours` whole hours went by.

    The database's clock is the only clock that the product reads, so the tests move the rows instead.
    Rules that keep history are off meanwhile. Times within JSON, and what belongs to no experiment, stay.
    """
    with store.connect() as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        for table in timed_tables(connection):
            for statement, by in table.moves(timedelta(hours=-hours)) if table.of_experiment else ():
                connection.execute(statement, {"id": seeded.id, "by": by})


def split_of(store: Store, seeded: Seeded) -> dict[str, Decimal]:
    """Percent of traffic by variant name, as stored."""
    with store.connect() as connection:
        rows = connection.execute(
            "SELECT name, traffic_percentage FROM ab_variants WHERE experiment_id = %s ORDER BY name", [seeded.id]
        ).fetchall()
    return {row["name"]: row["traffic_percentage"] for row in rows}


def count(store: Store, query: str, *parameters: object) -> int:
    """The single number that a query gives."""
    with store.connect() as connection:
        row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return int(next(iter(row.values())))
