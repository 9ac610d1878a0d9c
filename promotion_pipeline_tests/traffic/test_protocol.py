"""The door of evaluations against the protocol's description: requests made from it, right and wrong ones.

    OFREP_OPENAPI=openapi.yaml OFREP_CASES=500 python -m pytest -n 0 promotion_pipeline_tests/traffic/test_protocol.py

takes the document that is published, and asks more.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, settings
from psycopg.types.json import Jsonb
from pydantic import SecretStr
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance

from promotion_pipeline import promote_winner
from promotion_pipeline.config import Settings
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline_tests.api.conftest import Api, running_api
from promotion_pipeline_tests.conftest import TEMPLATE
from promotion_pipeline_tests.databases import copied_database
from promotion_pipeline_tests.seeding import WINNER, VariantSpec, seed_experiment

DESCRIPTION = Path(os.environ.get("OFREP_OPENAPI") or Path(__file__).with_name("ofrep.yaml"))
CASES = int(os.environ.get("OFREP_CASES", "20"))
FEW = (VariantSpec("control", is_control=True), VariantSpec("treatment"))
FLAGS = ("split", "promoted", "stopped", "twice", "no such flag")


def described() -> dict[str, Any]:
    """The description.

    In the one that is published a value satisfies none of the alternatives: each is an object that may have more
    members, and the one without a value takes every object, so that two match where exactly one may.
    """
    document: dict[str, Any] = yaml.safe_load(DESCRIPTION.read_text())
    for part in document["components"]["schemas"].get("evaluationSuccess", {}).get("allOf", ()):
        if "oneOf" in part:
            part["anyOf"] = part.pop("oneOf")
    return document


schema = schemathesis.openapi.from_dict(described())


@pytest.fixture(scope="module")
def flagged(server: EmbeddedServer, server_home: Path) -> Iterator[Api]:
    """A server with a flag of each kind of answer."""
    with (
        copied_database(server, TEMPLATE, "protocol") as url,
        running_api(Store(url, Settings(home=server_home, database_url=SecretStr(url)))) as api,
    ):
        for name, flag, variants in (
            ("split", "split", FEW),
            ("promoted", "promoted", WINNER),
            ("stopped", "stopped", FEW),
            ("one", "twice", FEW),
            ("another", "twice", FEW),
        ):
            seeded = seed_experiment(api.store, name, variants)
            with api.store.connect() as connection, connection.transaction():
                if name == "another":
                    # As from before one flag was one experiment's: the database refuses the second one now.
                    connection.execute("SET LOCAL session_replication_role = replica")
                connection.execute(
                    "UPDATE ab_experiments SET traffic_target = %s WHERE id = %s",
                    [Jsonb({"kind": "ofrep", "flag": flag}), seeded.id],
                )
        api.rows("UPDATE ab_experiments SET is_active = false WHERE name = 'stopped' RETURNING id")
        promote_winner("promoted", "manual", "maria", store=api.store)
        yield api


@schema.parametrize()
@settings(max_examples=CASES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_protocol_has(case: Any, flagged: Api) -> None:
    key = (case.path_parameters or {}).get("key")
    if isinstance(key, str) and len(key) % 6:
        case.path_parameters["key"] = FLAGS[len(key) % len(FLAGS)]
    context = case.body.get("context") if isinstance(case.body, dict) else None
    user = context.get("targetingKey") if isinstance(context, dict) else None
    # That it is not empty, and no flag is served twice, is more than the description says.
    says_more = user == "" or "twice" in (case.path_parameters or {}).values()
    # A hint which need not be followed.
    is_hint = "flagConfigLastModified" in (case.query or {})
    # An empty key is none: the other credential, which is sent with every case, counts.
    has_empty_key = (case.headers or {}).get("X-API-Key") == ""

    case.call_and_validate(
        base_url=flagged.url,
        headers={"Authorization": f"Bearer {flagged.secrets['evaluate']}"},
        excluded_checks=[
            *[positive_data_acceptance] * says_more,
            *[negative_data_rejection] * is_hint,
            *[ignored_auth] * has_empty_key,
        ],
    )
