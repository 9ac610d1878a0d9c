"""Canaries in every slot that holds a secret: none of them comes out anywhere."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import httpx2
import pytest
from psycopg import sql
from pydantic import SecretStr

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import DependencyError
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.api.conftest import Api, StartApi
from promotion_pipeline_tests.seeding import UNPROVEN, WINNER, seed_experiment

SLOTS = sorted(name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation))


def _canary(slot: str) -> str:
    return f"CANARY-{slot.replace('_', '-')}-0123456789"


def _settings() -> dict[str, Any]:
    plain = {slot: SecretStr(_canary(slot)) for slot in SLOTS if not slot.endswith("url")}
    urls = {
        slot: SecretStr(f"postgresql://someone:{_canary(slot)}@127.0.0.1:1/x") for slot in SLOTS if slot.endswith("url")
    }
    return plain | urls


def _database_text(api: Api) -> str:
    """Every row of every table."""
    tables = api.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    found = []
    with api.store.connect() as connection:
        for table in tables:
            query = sql.SQL("SELECT t::text AS line FROM {} t").format(sql.Identifier(table["tablename"]))
            found += [row["line"] for row in connection.execute(query)]
    return "\n".join(found)


def _visit_everything(api: Api) -> list[httpx2.Response]:
    secret, wrong = _canary("cron_secret"), "CANARY-wrong-token-0123456789"
    sweep, promote = "/api/monitoring/auto-promotion/check", "/api/monitoring/experiments/clear/promote"
    answers = [
        api.nobody.post(sweep, json={"cronSecret": secret}, headers={"Idempotency-Key": "k-1"}),
        api.nobody.post(sweep, json={"cronSecret": secret, "config": {"nonsense": 1}}),
        api.nobody.post(sweep, json={"cronSecret": secret, "unknown": 1}),
        api.nobody.post(sweep, json={"cronSecret": [secret]}),
        api.nobody.post(sweep, content=b'{"cronSecret": "' + secret.encode() + b'"'),
        api.nobody.post(sweep, headers={"X-Cron-Secret": secret}),
        api.nobody.post(sweep, headers={"Authorization": f"Bearer {wrong}"}),
        api.nobody.get(promote, headers={"Authorization": f"Bearer {wrong}"}),
        api.operator.post(sweep, json={"cronSecret": secret}),
        api.operator.post("/api/monitoring/experiments/unproven/approve", headers={"Idempotency-Key": "k-2"}),
        api.operator.request("DELETE", promote, json={"reason": "a test"}),
        api.operator.request("DELETE", promote, json={"reason": "a test"}),
        api.operator.post("/api/monitoring/experiments/clear/release"),
        api.as_role("admin").get("/api/monitoring/tokens"),
        api.viewer.get("/openapi.json"),
    ]
    paths = ("/api/monitoring/experiments", "/api/monitoring/approvals", f"{promote}?x=1", promote, "/health", "/no")
    return answers + [api.viewer.get(path) for path in paths]


def test_no_secret_comes_out_of_an_answer_the_log_or_the_database(
    start_api: StartApi, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    api = start_api(**_settings())
    seed_experiment(api.store, "clear", WINNER)
    seed_experiment(api.store, "unproven", UNPROVEN)

    answers = _visit_everything(api)
    with contextlib.suppress(DependencyError):
        Store(_settings()["database_url"].get_secret_value(), api.store.settings).connect()

    assert {200, 401, 404, 409, 422} <= {answer.status_code for answer in answers}
    printed = capfd.readouterr()
    places = {
        "answers": "\n".join(f"{answer.headers} {answer.text}" for answer in answers),
        "log": caplog.text + "\n".join(str(vars(record)) for record in caplog.records),
        "output": printed.out + printed.err,
        "database": _database_text(api),
        "representations": f"{api.store} {api.app.state.door} {api.store.settings}",
    }
    canaries = ["CANARY", *api.secrets.values()]
    found = [(place, canary) for place, text in places.items() for canary in canaries if canary in text]
    assert found == []
