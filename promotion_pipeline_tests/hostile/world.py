"""A database with sound experiments in it, and hostile ones written beside them as an application writes: plain SQL."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import psycopg
from pydantic import SecretStr

from promotion_pipeline.config import Settings
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.store.clock import database_now, newest_complete_hour
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline_tests.databases import copied_database, copy_database, drop_database
from promotion_pipeline_tests.hostile.drawing import HostileExperiment, HostileRequest, Whose
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, UNPROVEN, WINNER, VariantSpec, add_requests, seed_experiment

SCHEMA, WORLD = "hostile_schema", "hostile_world"
SOUND = ("sound winner", "sound no difference", "sound unproven")
WATCHED = "sound promoted"
REQUESTS_EACH = 2_400


@dataclass(frozen=True)
class World:
    """A server with the sound world as a template, as it was at an hour."""

    server: EmbeddedServer
    home_settings: Settings
    newest: datetime

    @contextlib.contextmanager
    def copy(self) -> Iterator[Store]:
        """A database of its own with the sound experiments."""
        with copied_database(self.server, WORLD, "hostile") as url:
            yield Store(url, self.home_settings.model_copy(update={"database_url": SecretStr(url)}))


def make_world(server: EmbeddedServer, settings: Settings, schema_template: str) -> World:
    """Write the sound experiments into the template WORLD, afresh; one of them is promoted and watched."""
    drop_database(server, WORLD)
    url = copy_database(server, WORLD, schema_template)
    store = Store(url, settings.model_copy(update={"database_url": SecretStr(url)}))
    for name, arms in zip(SOUND, (WINNER, NO_DIFFERENCE, UNPROVEN), strict=True):
        seed_experiment(store, name, [_exact(arm) for arm in arms], users=300)
    promoted = seed_experiment(store, WATCHED, [_exact(arm) for arm in WINNER])
    promote_winner(WATCHED, "manual", "maria", {"evidence": "fixed_horizon"}, store=store)
    with store.connect() as connection:
        newest, now = newest_complete_hour(connection), database_now(connection)
        _round_numbers(connection)
    after = VariantSpec("treatment", requests=300, conversions=40, errors=3)
    add_requests(store, promoted, after, start=now, end=now)
    return World(server, settings, newest)


def _exact(arm: VariantSpec) -> VariantSpec:
    share = REQUESTS_EACH / arm.requests
    return VariantSpec(
        arm.name,
        arm.is_control,
        arm.traffic,
        requests=REQUESTS_EACH,
        conversions=round(arm.conversions * share),
        errors=round(arm.errors * share),
        value=0.25,
    )


def _round_numbers(connection: Connection) -> None:
    """Whole latencies: their sums are the same in whatever order a plan adds them up."""
    connection.execute("UPDATE ai_requests SET latency_ms = round(latency_ms)")
    connection.execute("ANALYZE")


def write_hostile(store: Store, newest: datetime, experiments: Sequence[HostileExperiment]) -> list[str]:
    """Write them, each row by itself; what the database does not take is left out. Returns the names written."""
    written = []
    with store.connect() as connection:
        other = connection.execute(
            "SELECT e.id, v.id AS variant FROM ab_experiments e JOIN ab_variants v ON v.experiment_id = e.id"
            " WHERE e.name = %s ORDER BY v.name LIMIT 1",
            [SOUND[0]],
        ).fetchone()
        assert other is not None
        for experiment in experiments:
            key = _write_experiment(connection, newest, experiment)
            if key is not None:
                written.append(experiment.name)
            variants = _variants(connection, key, experiment.controls)
            for request in experiment.requests:
                _write_request(connection, newest, request, key or uuid4(), variants, other["variant"])
    return written


def _write_experiment(connection: Connection, newest: datetime, experiment: HostileExperiment) -> UUID | None:
    starts = {"soon": str(newest + timedelta(hours=3)), "lately": str(newest - timedelta(hours=20))}
    with contextlib.suppress(psycopg.Error):
        row = connection.execute(
            "INSERT INTO ab_experiments (name, is_active, start_date, end_date, promotion_config)"
            " VALUES (%s, %s, %s::timestamptz, %s::timestamptz, %s::jsonb) RETURNING id",
            [
                experiment.name,
                experiment.is_active,
                starts.get(experiment.start_date, experiment.start_date),
                experiment.end_date,
                experiment.config,
            ],
        ).fetchone()
        assert row is not None
        return UUID(str(row["id"]))
    return None


def _variants(connection: Connection, key: UUID | None, controls: Sequence[bool]) -> list[UUID]:
    if key is None or not controls:
        return []
    rows: list[UUID] = []
    with connection.transaction():
        for number, is_control in enumerate(controls):
            row = connection.execute(
                "INSERT INTO ab_variants (experiment_id, name, is_control, traffic_percentage)"
                " VALUES (%s, %s, %s, round(100.0 / %s, 2)) RETURNING id",
                [key, f"arm {number}", is_control, len(controls)],
            ).fetchone()
            assert row is not None
            rows.append(row["id"])
    return rows


def _write_request(
    connection: Connection,
    newest: datetime,
    request: HostileRequest,
    own: UUID,
    variants: Sequence[UUID],
    others_variant: UUID,
) -> None:
    variant = {
        Whose.OWN: variants[len(request.user_id or "") % len(variants)] if variants else uuid4(),
        Whose.UNKNOWN: uuid4(),
        Whose.OTHER: others_variant,
    }[request.variant]
    experiment = own if request.experiment is Whose.OWN else uuid4()
    at = str(newest + timedelta(minutes=request.at)) if isinstance(request.at, int) else request.at
    with contextlib.suppress(psycopg.Error):
        connection.execute(
            "INSERT INTO ai_requests"
            " (experiment_id, variant_id, user_id, created_at, latency_ms, is_error, converted, value)"
            " VALUES (%s, %s, %s, %s::timestamptz, %s::float8, %s, %s, %s::numeric)",
            [
                experiment,
                variant,
                request.user_id,
                at,
                request.latency_ms,
                request.is_error,
                request.converted,
                request.value,
            ],
        )
