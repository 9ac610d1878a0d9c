"""An hour lands in an asset of a team, and the winner is promoted: nobody starts anything.

In an environment with Dagster and this package:

    pip install create-dagster dagster dagster-dg-cli dagster-webserver 'promotion-pipeline[embedded]'
    python examples/component/try_it.py /tmp/growth        # --keep leaves the UI open at the end

It makes a project with `create-dagster`, puts the two files beside this one into it (ten lines of YAML, and the team's
own asset), a database and an experiment beside it, and starts `dg dev`: Dagster's own daemon and storage. The newest
hour is in `raw_exposures` only, until the team's schedule moves it, three minutes later. Start it before minute
50 of an hour; it takes some six minutes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg import sql

from promotion_pipeline.store import migrate
from promotion_pipeline.store.connection import create_database
from promotion_pipeline.store.embedded.server import EmbeddedServer

HERE = Path(__file__).parent
PORT = "3123"
PATIENCE_SECONDS = 900
EXPERIMENT = """
WITH experiment AS (
    INSERT INTO ab_experiments (name, is_active, start_date)
    VALUES ('checkout', true, date_trunc('hour', now(), 'UTC') - interval '96 hours') RETURNING id
), variant AS (
    INSERT INTO ab_variants (experiment_id, name, is_control, traffic_percentage)
    SELECT id, name, name = 'control', 50 FROM experiment, (VALUES ('control'), ('treatment')) AS arm(name)
    RETURNING id, experiment_id, name
)
SELECT experiment_id, id, name FROM variant
"""
REQUESTS = sql.SQL("""
INSERT INTO {table} (experiment_id, variant_id, user_id, created_at, latency_ms, is_error, converted)
SELECT %(experiment)s, %(variant)s, %(name)s || i, %(start)s::timestamptz + (i + 0.5) / %(rows)s * %(length)s::interval,
    100, i %% 100 = 0, i %% 1000 < %(converted)s
FROM generate_series(0, %(rows)s - 1) AS i
""")


def main() -> None:
    """Make it, start it, wait, say what happened."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keep", action="store_true", help="leave the UI open until Ctrl-C")
    given = parser.parse_args()
    project = make_project(given.folder)
    with EmbeddedServer(given.folder / "database") as server:
        create_database(server.url("postgres"), "experiments")
        url = server.url("experiments")
        migrate.upgrade(url)
        newest = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
        seed(url, newest)
        home = given.folder / "dagster_home"
        home.mkdir()
        (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
        environment = os.environ | {
            "EXPERIMENTS_DATABASE_URL": url,
            "DAGSTER_HOME": str(home),
        }
        for command in (["check", "yaml"], ["check", "defs"]):
            say(f"dg {' '.join(command)}")
            subprocess.run([tool("dg"), *command], cwd=project, env=environment, check=True)
        # The hour before the newest is in the log already; the asset says so.
        hour_before = newest - timedelta(hours=1)
        launch = ["launch", "--assets", "analytics/fct_exposures", "--partition", f"{hour_before:%Y-%m-%d-%H:00}"]
        subprocess.run([tool("dg"), *launch], cwd=project, env=environment, check=True)
        lands_at = datetime.now(UTC) + timedelta(minutes=3)
        environment["LANDS_AT_MINUTE"] = str(lands_at.minute)
        say(f"dg dev, http://127.0.0.1:{PORT}; the newest hour lands at {lands_at:%H:%M} UTC")
        with (given.folder / "dg-dev.log").open("w", encoding="utf-8") as log:
            running = subprocess.Popen(
                [tool("dg"), "dev", "--port", PORT], cwd=project, env=environment, stdout=log, stderr=log
            )
            try:
                wait_for_promotion(url)
                while given.keep:
                    time.sleep(1)
            except KeyboardInterrupt:
                pass
            finally:
                running.terminate()
                running.wait(60)


def make_project(folder: Path) -> Path:
    """A project as `create-dagster` makes it, with our component and the team's asset in it."""
    folder.mkdir(parents=True)
    subprocess.run([tool("create-dagster"), "project", "growth", "--no-uv-sync"], cwd=folder, check=True)
    definitions = folder / "growth" / "src" / "growth" / "defs"
    for name, file in (("experiments", "defs.yaml"), ("analytics", "exposures.py")):
        (definitions / name).mkdir()
        shutil.copy(HERE / file, definitions / name / file)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "-e", folder / "growth"], check=True)
    return folder / "growth"


def seed(url: str, newest: datetime) -> None:
    """An experiment of four days with a clear winner; its newest hour has not landed."""
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE raw_exposures (LIKE ai_requests INCLUDING DEFAULTS)")
        for experiment, variant, name in connection.execute(EXPERIMENT).fetchall():
            asked = {"experiment": experiment, "variant": variant, "converted": 130 if name == "treatment" else 100}
            past = {"name": f"{name}-", "start": newest - timedelta(hours=95), "length": "95 hours", "rows": 19_000}
            last = {"name": f"{name}-last-", "start": newest, "length": "1 hour", "rows": 200}
            for table, when in (("ai_requests", past), ("raw_exposures", last)):
                connection.execute(REQUESTS.format(table=sql.Identifier(table)), asked | when)


def wait_for_promotion(url: str) -> None:
    """Until the winner has the traffic; says when what happened."""
    told: set[str] = set()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        with psycopg.connect(url) as connection:
            landed = connection.execute("SELECT count(*) = 0 FROM raw_exposures").fetchone()
            decided = connection.execute(
                "SELECT max(hour)::text, count(*) FROM eligibility_decisions WHERE label = 'record'"
            ).fetchone()
            promoted = connection.execute(
                "SELECT promoted_variant_name, promoted_by, evaluated_as_of::text FROM experiment_promotions"
            ).fetchone()
        facts = [
            "the newest hour has landed in analytics/fct_exposures" if landed and landed[0] else "",
            f"decided up to the hour of {decided[0]}, {decided[1]} decisions" if decided and decided[0] else "",
            f"promoted: {promoted[0]!r} by {promoted[1]}, as of {promoted[2]}" if promoted else "",
        ]
        for fact in facts:
            if fact and fact not in told:
                told.add(fact)
                say(fact)
        if promoted:
            return
        time.sleep(2)
    raise SystemExit(f"nothing was promoted within {PATIENCE_SECONDS} seconds: see dg-dev.log")


def tool(name: str) -> str:
    """A command of this environment."""
    return str(Path(sys.executable).parent / name)


def say(text: str) -> None:
    """One line with the time."""
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)


if __name__ == "__main__":
    main()
