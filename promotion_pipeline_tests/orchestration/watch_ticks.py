"""How often the real daemon's `watch_sensor` has ticked, read from Dagster's own tables."""

from __future__ import annotations

from promotion_pipeline.store.connection import connect
from promotion_pipeline.store.database import Store


def ticks_of_watch(store: Store) -> int:
    """Finished ticks; 0 while Dagster has no tables yet."""
    assert store.settings.dagster_database_url is not None
    with connect(store.settings.dagster_database_url.get_secret_value()) as connection:
        made = connection.execute("SELECT to_regclass('job_ticks') IS NOT NULL AS made").fetchone()
        if made is None or not made["made"]:
            return 0
        row = connection.execute(
            "SELECT count(*) AS n FROM job_ticks WHERE status <> 'STARTED' AND tick_body LIKE '%watch_sensor%'"
        ).fetchone()
    assert row is not None
    return int(row["n"])
