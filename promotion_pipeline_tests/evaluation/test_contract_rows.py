"""A contract check is a row: a sixth one is found everywhere, and what a row lacks is said."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from promotion_pipeline.config import CONTRACT_THRESHOLDS
from promotion_pipeline.evaluation.codes import Verdict
from promotion_pipeline.evaluation.contract import CHECKS, CONTRACT
from promotion_pipeline.store.database import Connection
from promotion_pipeline_tests.evaluation.contract_gaps import gaps_in_code, gaps_in_database
from promotion_pipeline_tests.evaluation.sixth_check import COLUMN, NAME, THRESHOLD


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Where a process that has a sixth check finds it."""
    script = "promotion_pipeline_tests.evaluation.sixth_check"
    command = [sys.executable, "-m", script, str(tmp_path_factory.mktemp("changed"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("codes", NAME),
        ("outlook", NAME),
        ("options", "--max-anonymous-share"),
        ("query", "maxAnonymousShare"),
        ("body", "maxAnonymousShare"),
        ("launchpad", THRESHOLD),
        ("safety checks", "anonymousShareAcceptable"),
        ("variables", "AUTO_PROMOTION_MAX_ANONYMOUS_SHARE"),
        ("columns", NAME),
        ("columns", COLUMN),
        ("lineage", NAME),
        ("verified", NAME),
        ("late rows", COLUMN),
    ],
)
def test_a_sixth_check_is_found(found: dict[str, Any], place: str, name: str) -> None:
    assert name in found[place]


def test_a_sixth_check_decides_and_is_explained(found: dict[str, Any]) -> None:
    assert found["passing"] == [True, True, 1.0]
    assert found["failing"] == [False, "rejected", [NAME], 1.0]
    assert found["explained"] == found["reasons"] == ["share of requests without a user 100.00 % > 50.00 %"]
    assert "all six checks pass" in found["summary"]
    assert found["page"] == "Known users"


def test_the_threshold_of_a_sixth_check_is_read_and_tightened(found: dict[str, Any]) -> None:
    assert found["environment"] == 0.2
    assert found["stricter"] == 0.1


def test_a_record_from_before_a_sixth_check_is_explained_without_it(found: dict[str, Any]) -> None:
    assert found["explained of an older record"] == list(CHECKS)


@pytest.mark.parametrize("check", CONTRACT, ids=lambda check: check.name)
def test_no_row_lacks_anything(check: Any, connection: Connection) -> None:
    assert [*gaps_in_code(check), *gaps_in_database(check, connection)] == []


def test_every_marked_threshold_has_a_row() -> None:
    assert sorted(CONTRACT_THRESHOLDS) == sorted(check.threshold for check in CONTRACT)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"threshold": "max_share"}, "no field 'max_share'; add it in config/thresholds.py"),
        ({"threshold": "watch_hours"}, "mark the field 'watch_hours' of PromotionConfig with OfContract"),
        ({"title": " "}, "title is empty"),
        ({"subject": ""}, "subject is empty"),
        ({"fails_as": Verdict.ERROR}, "fails_as is 'error'; a check that fails is not_yet or rejected"),
    ],
)
def test_what_a_row_lacks_is_said(change: dict[str, Any], said: str) -> None:
    (sentence,) = gaps_in_code(replace(CONTRACT[0], **change))
    assert sentence.startswith("the row of 'min_sample_size': ")
    assert said in sentence


def test_what_the_database_lacks_is_said_with_the_migration_to_add(connection: Connection) -> None:
    columns = ("made_up", "made_up_threshold", "made_up_number")
    added = replace(CONTRACT[0], name=columns[0], threshold_column=columns[1], observed=columns[2])
    said = list(gaps_in_database(added, connection))
    assert len(said) == 4
    for column, sentence in zip(columns, said[:3], strict=True):
        assert f"ADD COLUMN {column} " in sentence
    assert all("migration 00" in sentence for sentence in said)
    assert f"lets a row be eligible without {columns[0]!r}" in said[-1]
