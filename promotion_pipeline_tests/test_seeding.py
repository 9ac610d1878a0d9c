"""What the tests do to make time pass leaves no table behind."""

from __future__ import annotations

from datetime import timedelta

from promotion_pipeline import promote_winner
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.promotion.deciding import decide
from promotion_pipeline_tests.seeding import let_time_pass, seed_experiment, timed_tables

OF_NO_EXPERIMENT = {
    "adopted_tables",
    "api_audit",
    "api_idempotency_keys",
    "api_tokens",
    "dropped_requests",
    "evaluation_blocks",
    "evaluation_environments",
    "evaluation_hours",
    "live_deployments",
    "notification_channels",
    "page_sessions",
    "rollup_hours",
    "run_signs_of_life",
    "sent_requests",
    "user_id_keys",
}
"""Tables with times that are about an installation, not about one experiment."""


def test_a_table_with_times_is_of_an_experiment_or_known_to_be_of_none(store: Store) -> None:
    with store.connect() as connection:
        found = {table.name for table in timed_tables(connection) if table.of_experiment is None}
    assert found == OF_NO_EXPERIMENT


def test_every_time_of_an_experiment_goes_back_and_those_of_another_stay(store: Store) -> None:
    seeded = seed_experiment(store, "x", promotion_config={"rampSteps": [75, 100]})
    other = seed_experiment(store, "other")
    decide(store)
    promote_winner("x", "auto", "sensor", store=store)
    before, others = times_of(store, seeded.id), times_of(store, other.id)
    assert {"hourly_variant_rollups", "eligibility_decisions", "notification_outbox", "phase_rollups"} <= before.keys()
    let_time_pass(store, seeded, 5)
    after = times_of(store, seeded.id)
    assert after == {name: [value - 5 * 3600 for value in values] for name, values in before.items()}
    assert times_of(store, other.id) == others


def test_a_table_that_is_new_goes_back_too(store: Store) -> None:
    seeded = seed_experiment(store, "x")
    with store.connect() as connection:
        connection.execute("CREATE TABLE looks (experiment_id uuid, hour timestamptz, UNIQUE (experiment_id, hour))")
        connection.execute(
            "INSERT INTO looks SELECT %s, %s - make_interval(hours => n) FROM generate_series(0, 9) AS n",
            [seeded.id, seeded.end],
        )
        let_time_pass(store, seeded, 1)
        newest = connection.execute("SELECT max(hour) AS hour, count(*) AS hours FROM looks").fetchone()
    assert newest == {"hour": seeded.end - timedelta(hours=1), "hours": 10}


def times_of(store: Store, experiment_id: object) -> dict[str, list[float]]:
    """Seconds since 1970 of every time of an experiment that has passed, by table, sorted."""
    found: dict[str, list[float]] = {}
    with store.connect() as connection:
        for table in timed_tables(connection):
            columns = [*table.instants, *(f"{sides}({span})" for span in table.spans for sides in ("lower", "upper"))]
            for column in columns if table.of_experiment else ():
                rows = connection.execute(
                    f"SELECT extract(epoch FROM {column})::float8 AS at FROM {table.name}"
                    f" WHERE {table.of_experiment} AND isfinite({column})",
                    {"id": experiment_id},
                ).fetchall()
                found.setdefault(table.name, []).extend(row["at"] for row in rows)
    return {name: sorted(times) for name, times in found.items() if times}
