"""Canaries in every setting that holds a secret, through runs that succeed and runs that fail."""

from __future__ import annotations

import dataclasses
import logging
import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.tags import WILL_RETRY_TAG
from psycopg import sql
from pydantic import SecretStr

from promotion_pipeline.config import Settings
from promotion_pipeline.orchestration import delivery, failures, names
from promotion_pipeline.orchestration.build import build_definitions
from promotion_pipeline.orchestration.in_process import InProcess
from promotion_pipeline.orchestration.partitions import range_tags
from promotion_pipeline.orchestration.resources import StoreResource
from promotion_pipeline.store.connection import connect
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.seeding import UNPROVEN, WINNER, seed_experiment

SLOTS = sorted(name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation))
NOWHERE = {"slack_base_url": "http://127.0.0.1:1/", "pagerduty_base_url": "http://127.0.0.1:1", "smtp_port": 1}
MAIL = {"smtp_host": "127.0.0.1", "smtp_user": "sender", "email_to": ("ann@example.com",)}


def canary(slot: str) -> str:
    """A text that is in no other place."""
    return f"CANARY-{slot.replace('_', '-')}-0123456789"


def with_password(url: str, slot: str) -> str:
    """The same database; its server trusts whoever comes, so that a password is sent and not needed."""
    return re.sub(r"//([^/@]+)@", rf"//\1:{canary(slot)}@", url, count=1)


def with_canaries(stage: Stage) -> Stage:
    """Every secret is a canary; the databases are the real ones, the channels are down."""
    settings = stage.store.settings
    assert settings.dagster_database_url is not None
    urls = {
        "database_url": with_password(stage.store.url, "database_url"),
        "dagster_database_url": with_password(settings.dagster_database_url.get_secret_value(), "dagster_database_url"),
    }
    secrets = {slot: SecretStr(urls.get(slot, canary(slot))) for slot in SLOTS if slot != "source_url"}
    store = Store(urls["database_url"], settings.model_copy(update={**secrets, **NOWHERE, **MAIL}))
    return dataclasses.replace(stage, store=store, graph=InProcess(stage.instance, store))


def elsewhere(store: Store, folder: Path) -> Store:
    """The same store; its requests are in another database, which is down."""
    file = folder / "log.toml"
    file.write_text('engine = "postgresql"\ntable = "requests"\n')
    url = SecretStr(f"postgresql://reader:{canary('source_url')}@127.0.0.1:1/logs")
    return dataclasses.replace(store, settings=store.settings.model_copy(update={"source": file, "source_url": url}))


def fail(stage: Stage, store: Store) -> None:
    """An hourly run on a store that it cannot read, and the alarm about it."""
    job = build_definitions(resource_overrides={"store": StoreResource(store)}).resolve_job_def(names.HOURLY_JOB)
    tags = {**range_tags(stage.hours_ago(1), stage.newest), WILL_RETRY_TAG: "false"}
    failed = job.execute_in_process(instance=stage.instance, tags=tags, raise_on_error=False)
    assert not failed.success
    with dg.build_run_status_sensor_context(
        sensor_name=names.FAILURE_SENSOR,
        dagster_event=failed.get_run_failure_event(),
        dagster_instance=stage.instance,
        dagster_run=failed.dagster_run,
        resources={"store": StoreResource(stage.store)},
    ) as context:
        delivery.run_failure_alarm(context.for_run_failure())


def rows_of(url: str) -> str:
    """Every row of every table."""
    with connect(url) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        queries = [sql.SQL("SELECT t::text AS line FROM {} t").format(sql.Identifier(t["tablename"])) for t in tables]
        return "\n".join(row["line"] for query in queries for row in connection.execute(query))


def files_below(folder: Path) -> str:
    return "\n".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


def test_no_secret_comes_out_of_a_run_its_events_or_its_messages(
    stage: Stage,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(failures, "FIRST_WAIT_SECONDS", 0)
    caplog.set_level(logging.DEBUG)
    told = with_canaries(stage)
    for name, variants in (("clear", WINNER), ("unproven", UNPROVEN)):
        seed_experiment(told.store, name, variants)
    told.graph.run_hours(told.hours_ago(1), told.newest)
    assert told.graph.tick_sensor() is not None
    fail(told, elsewhere(told.store, tmp_path))
    down = f"postgresql://someone:{canary('database_url')}@127.0.0.1:1/x"
    fail(told, Store(down, told.store.settings))
    told.graph.run_job(names.DELIVERY_JOB)

    dagster_url = told.store.settings.dagster_database_url
    assert dagster_url is not None
    product, events = rows_of(told.store.url), rows_of(dagster_url.get_secret_value())
    assert "Connection refused" in events and '"clear"' in events
    assert "run_failure" in product and "refused" in product
    printed = capfd.readouterr()
    places: dict[str, Any] = {
        "database": product,
        "events": events,
        "files": files_below(tmp_path),
        "log": caplog.text + "\n".join(str(vars(record)) for record in caplog.records),
        "output": printed.out + printed.err,
        "representations": f"{told.store} {told.store.settings} {StoreResource(told.store)}",
    }
    assert [place for place, text in places.items() if "CANARY" in text] == []
    assert len(SLOTS) >= 7
