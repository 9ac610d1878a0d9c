"""Old runs leave Dagster's event log; what they decided stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from promotion_pipeline.cli.main import app
from promotion_pipeline.errors import ConfigError, InputError
from promotion_pipeline.orchestration import run_retention
from promotion_pipeline.orchestration.names import DECISIONS
from promotion_pipeline.orchestration.partitions import hour_key
from promotion_pipeline.orchestration.run_retention import PrunedRuns, prune_runs
from promotion_pipeline.store.connection import connect
from promotion_pipeline.store.database import close_current_stores
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.seeding import count, seed_experiment

NOW = datetime.now(UTC)
BOUND = NOW - timedelta(days=90)


@pytest.fixture
def runs(stage: Stage) -> list[str]:
    """Three hourly runs, oldest first; the first two, and the only run of another job, ended 100 days ago."""
    seed_experiment(stage.store, "checkout", start=stage.hours_ago(3))
    hourly = [stage.graph.run_hours(stage.hours_ago(n), stage.hours_ago(n - 1)).run_id for n in (3, 2, 1)]
    apply = stage.graph.run_job("apply_promotion_job").run_id
    assert stage.store.settings.dagster_database_url is not None
    with connect(stage.store.settings.dagster_database_url.get_secret_value()) as connection:
        connection.execute(
            "UPDATE runs SET update_timestamp = update_timestamp - interval '100 days' WHERE run_id = ANY(%s)",
            ([*hourly[:2], apply],),
        )
    return [*hourly, apply]


def kept(stage: Stage) -> set[str]:
    return {run.run_id for run in stage.instance.get_runs()}


def test_old_runs_go_with_their_events_and_what_they_decided_stays(
    stage: Stage, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_retention, "PAGE", 1)
    asset = dg.AssetKey(DECISIONS)
    newest = stage.instance.get_latest_materialization_event(asset)
    assert len(stage.instance.get_materialized_partitions(asset)) == 3
    seen: list[tuple[int, int]] = []
    found = prune_runs(stage.instance, BOUND, NOW, progress=lambda done, total: seen.append((done, total)))
    assert found == PrunedRuns(removed=2, kept=1)
    assert seen == [(1, 2), (2, 2)]
    assert kept(stage) == set(runs[2:])
    assert [len(stage.instance.all_logs(run_id)) > 0 for run_id in runs] == [False, False, True, True]
    assert stage.instance.get_materialized_partitions(asset) == {hour_key(stage.hours_ago(1))}
    assert stage.instance.get_latest_materialization_event(asset) == newest
    assert count(stage.store, "SELECT count(DISTINCT hour) FROM eligibility_decisions") == 3
    assert prune_runs(stage.instance, BOUND, NOW) == PrunedRuns(removed=0, kept=1)


def test_a_run_that_goes_on_is_never_removed(stage: Stage) -> None:
    run = stage.instance.create_run_for_job(stage.graph._definitions.resolve_job_def("apply_promotion_job"))
    stage.graph.run_job("apply_promotion_job")
    assert prune_runs(stage.instance, NOW + timedelta(days=1), NOW + timedelta(days=3)) == PrunedRuns(0, 1)
    assert stage.instance.has_run(run.run_id)


def test_runs_of_the_last_day_are_not_removed(stage: Stage) -> None:
    with pytest.raises(InputError, match="ask for an earlier time"):
        prune_runs(stage.instance, NOW - timedelta(hours=23), NOW)


@pytest.fixture
def environment(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Leads the command to the stage."""
    assert stage.store.settings.dagster_database_url is not None
    monkeypatch.setenv("AUTO_PROMOTION_DATABASE_URL", stage.store.url)
    monkeypatch.setenv("AUTO_PROMOTION_HOME", str(stage.store.settings.home))
    monkeypatch.setenv("AUTO_PROMOTION_DAGSTER_DATABASE_URL", stage.store.dagster_url)
    yield monkeypatch
    close_current_stores()


def test_the_command_removes_runs_and_their_output_of_the_instance_that_dagster_home_names(
    stage: Stage, runs: list[str], environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "production"
    output = [home / "storage" / run_id / "compute_logs" / "evaluation.out" for run_id in runs]
    for file in output:
        file.parent.mkdir(parents=True)
        file.touch()
    text = (stage.store.settings.home / "dagster" / "dagster.yaml").read_text(encoding="utf-8")
    (home / "dagster.yaml").write_text(text, encoding="utf-8")
    environment.setenv("DAGSTER_HOME", str(home))
    command = ["db", "prune-runs", "--older-than-days", "90"]
    said = CliRunner().invoke(app, [*command, "--dry-run", "--json"], catch_exceptions=False)
    assert json.loads(said.stdout) | {"endedBefore": ""} == {
        "removed": 2,
        "kept": 1,
        "endedBefore": "",
        "dryRun": True,
    }
    assert kept(stage) == set(runs)
    said = CliRunner().invoke(app, command, catch_exceptions=False)
    assert said.stdout.startswith("2 runs that ended before ")
    assert kept(stage) == set(runs[2:])
    assert [file.exists() for file in output] == [False, False, True, True]


def test_a_dagster_home_without_a_configuration_is_refused(
    stage: Stage, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.setenv("DAGSTER_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match=r"has no dagster\.yaml"):
        CliRunner().invoke(app, ["db", "prune-runs", "--older-than-days", "90"], catch_exceptions=False)
