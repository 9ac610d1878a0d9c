"""Experiments for the tests: rows made inside PostgreSQL, spread evenly over whole hours.

    seeded = seed_experiment(store, "checkout", WINNER)
    promote_winner("checkout", "manual", "user-123", store=store)

`WINNER`, `NO_DIFFERENCE` and `UNPROVEN` are the usual variants. Counts are exact:
`VariantSpec(conversions=600)` is 600 converted requests, whatever their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from psycopg.types.json import Jsonb

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


def let_time_pass(store: Store, seeded: Seeded, hours: int) -> None:
    """Move everything about an experiment into the past, as if `hours` whole hours went by.

    The database's clock is the only clock that the product reads, so the tests move the rows instead.
    Rules that keep history are off meanwhile. Not for experiments whose requests were rolled up.
    """
    step = timedelta(hours=hours)
    statements = (
        "UPDATE ab_experiments SET start_date = start_date - %(step)s WHERE id = %(id)s",
        "UPDATE ab_experiment_phases SET started_at = started_at - %(step)s, ended_at = ended_at - %(step)s"
        " WHERE experiment_id = %(id)s",
        "UPDATE ab_experiment_history SET valid_from = valid_from - %(step)s, valid_until = valid_until - %(step)s,"
        " noted_at = noted_at - %(step)s, start_date = start_date - %(step)s WHERE experiment_id = %(id)s",
        "UPDATE ab_hold_history SET valid_from = valid_from - %(step)s, valid_until = valid_until - %(step)s"
        " WHERE experiment_id = %(id)s",
        "UPDATE ai_requests SET created_at = created_at - %(step)s WHERE experiment_id = %(id)s",
        "UPDATE experiment_promotions SET promoted_at = promoted_at - %(step)s, rollback_at = rollback_at - %(step)s,"
        " step_started_at = step_started_at - %(step)s, evaluated_as_of = evaluated_as_of - %(step)s"
        " WHERE experiment_id = %(id)s",
        "UPDATE promotion_watch w SET looked_at = looked_at - %(step)s, breached_at = breached_at - %(step)s,"
        " blind_since = blind_since - %(step)s, blind_told_at = blind_told_at - %(step)s,"
        " drifted_at = drifted_at - %(step)s FROM experiment_promotions p"
        " WHERE p.id = w.promotion_id AND p.experiment_id = %(id)s",
        "UPDATE promotion_approvals SET requested_at = requested_at - %(step)s, expires_at = expires_at - %(step)s,"
        " answered_at = answered_at - %(step)s, as_of = as_of - %(step)s WHERE experiment_id = %(id)s",
        # In two moves, since neighbouring hours would meet on the way.
        "UPDATE hourly_variant_rollups SET hour = hour + interval '9000000 hours' WHERE experiment_id = %(id)s",
        "UPDATE hourly_variant_rollups SET hour = hour - interval '9000000 hours' - %(step)s"
        " WHERE experiment_id = %(id)s",
        "UPDATE phase_rollups AS known SET covered = (SELECT range_agg(tstzrange(lower(part) - %(step)s,"
        " upper(part) - %(step)s)) FROM unnest(known.covered) AS part) FROM ab_experiment_phases AS phase"
        " WHERE phase.id = known.phase_id AND phase.experiment_id = %(id)s",
        "DELETE FROM eligibility_decisions WHERE experiment_id = %(id)s",
    )
    with store.connect() as connection, connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        for statement in statements:
            connection.execute(statement, {"step": step, "id": seeded.id})


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
