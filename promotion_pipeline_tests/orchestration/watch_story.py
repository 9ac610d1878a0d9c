"""`python -m promotion_pipeline_tests.orchestration.watch_story [--log duckdb] [--alert-only]`: the watch, for real.

One experiment, promoted; nothing else runs. `promotion-pipeline dev` is started as a person does. Then the winner
begins to fail 30 % of its requests, in `ai_requests` or in Parquet files that DuckDB reads. It prints after how many
seconds people are told and, unless `--alert-only`, the promotion is rolled back; exit code 1 if that takes longer than
ten minutes. It starts a PostgreSQL of its own in a temporary folder, and ends it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from promotion_pipeline import get_promotion_history, promote_winner
from promotion_pipeline.cli.processes import process_group
from promotion_pipeline.config import Settings
from promotion_pipeline.store import migrate
from promotion_pipeline.store.clock import database_now
from promotion_pipeline.store.connection import create_database
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline_tests.rollups.places import Place, place
from promotion_pipeline_tests.seeding import (
    WINNER,
    Seeded,
    VariantSpec,
    add_requests,
    let_time_pass,
    seed_experiment,
    split_of,
)

EXPERIMENT = "checkout"
PLACES = {"table": "own table", "duckdb": "DuckDB"}
LIMIT_SECONDS = 600.0
QUIET_HOURS = 12
QUIET = VariantSpec("treatment", requests=6_000, conversions=780, errors=60)
FAILING = VariantSpec("treatment", requests=20, conversions=2, errors=6)
"""Of ten seconds."""
SERVE_SECONDS = 10.0


def serve(where: Place, seeded: Seeded, variant: VariantSpec, seconds: float) -> None:
    """These requests in the newest seconds, wherever the log is."""
    with where.store.connect() as connection:
        end = database_now(connection)
    add_requests(where.store, seeded, variant, start=end - timedelta(seconds=seconds), end=end)
    where.move_requests()


def events(store: Store) -> list[str]:
    """What people are to be told, oldest first."""
    with store.connect() as connection:
        return [row["event"] for row in connection.execute("SELECT event FROM notification_outbox ORDER BY id")]


def tell(where: Place, *, rolls_back: bool) -> bool:
    """The story; whether it ended in time."""
    store = where.store
    config = {"watchHours": 100, "autoRollback": rolls_back}
    seeded = seed_experiment(store, EXPERIMENT, WINNER, promotion_config=config)
    promote_winner(EXPERIMENT, "auto", "sensor", store=replace(store, settings=_without_source(store)))
    let_time_pass(store, seeded, QUIET_HOURS)
    serve(where, seeded, QUIET, QUIET_HOURS * 3600)
    _say(f"promoted, watched for {QUIET_HOURS} h, log: {where.shown}; traffic {split_of(store, seeded)}")
    environment = os.environ | {
        "AUTO_PROMOTION_DATABASE_URL": store.url,
        "AUTO_PROMOTION_DAGSTER_DATABASE_URL": str(store.settings.dagster_database_url.get_secret_value()).replace(  # type: ignore[union-attr]
            "postgresql://", "postgresql+psycopg2://"
        ),
        "AUTO_PROMOTION_HOME": str(store.settings.home),
        **({"AUTO_PROMOTION_SOURCE": str(store.settings.source)} if store.settings.source else {}),
    }
    command = [sys.executable, "-m", "promotion_pipeline.cli", "dev", "--port", str(free_port())]
    with process_group(command, environment, store.settings.home, store.settings.home / "dev-story.log") as dev:
        _wait_for_a_tick(store, dev)
        _say("the first tick of the sensor found nothing to do; the winner begins to fail")
        return _until_done(where, seeded, dev, rolls_back=rolls_back)


def _until_done(where: Place, seeded: Seeded, dev: subprocess.Popen[bytes], *, rolls_back: bool) -> bool:
    begun, told_after = time.monotonic(), None
    while (passed := time.monotonic() - begun) < LIMIT_SECONDS:
        assert dev.poll() is None, "promotion-pipeline dev ended"
        serve(where, seeded, FAILING, SERVE_SECONDS)
        record = get_promotion_history(EXPERIMENT, store=where.store)[0]
        if told_after is None and "watch_breach" in events(where.store):
            told_after = passed
            _say(f"people are told after {passed:.0f} s")
        if told_after is not None and (record.state.value == "rolled_back") == rolls_back:
            _say(f"after {passed:.0f} s: {record.state.value}, traffic {split_of(where.store, seeded)}")
            _say(f"because: {record.rollback_reason or (record.watch and record.watch.message)}")
            _say(f"told: {', '.join(events(where.store))}")
            return True
        time.sleep(SERVE_SECONDS)
    _say(f"nothing happened within {LIMIT_SECONDS:g} s")
    return False


def _wait_for_a_tick(store: Store, dev: subprocess.Popen[bytes]) -> None:
    """Until the sensor has looked once, so that the failures begin right after a look: the worst case."""
    from promotion_pipeline_tests.orchestration.watch_ticks import ticks_of_watch

    deadline = time.monotonic() + 240
    while ticks_of_watch(store) == 0:
        assert dev.poll() is None, "promotion-pipeline dev ended"
        assert time.monotonic() < deadline, "the sensor did not tick"
        time.sleep(1)


def free_port() -> int:
    """A port that nobody uses."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _without_source(store: Store) -> Settings:
    return store.settings.model_copy(update={"source": None})


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Tell the story."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", choices=PLACES, default="table")
    parser.add_argument("--alert-only", action="store_true", help="auto_rollback is off")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder)) as server:
        for name in ("story", "story_dagster"):
            create_database(server.url("postgres"), name)
        url = server.url("story")
        migrate.upgrade(url)
        settings: dict[str, Any] = {"home": Path(folder), "database_url": SecretStr(url)}
        settings["dagster_database_url"] = SecretStr(server.url("story_dagster"))
        where = place(PLACES[given.log], Store(url, Settings(**settings)), Path(folder), "")
        return 0 if tell(where, rolls_back=not given.alert_only) else 1


if __name__ == "__main__":
    sys.exit(main())
