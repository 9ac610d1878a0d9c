"""Unmodified clients of OpenFeature and flagd: the same variant for every user, whoever is asked, at every stage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from promotion_pipeline.api import create_app
from promotion_pipeline.config import FlagHash, Settings
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline_tests.api.conftest import running_api, serving
from promotion_pipeline_tests.conftest import TEMPLATE
from promotion_pipeline_tests.databases import copied_database
from promotion_pipeline_tests.traffic.clients import (
    FLAG,
    STANDARD_ERRORS,
    WINNER,
    Ask,
    Door,
    Found,
    ask_all,
    by_flagd_of_javascript,
    by_flagd_of_python,
    by_javascript,
    by_python,
    seed,
    users_of,
)
from promotion_pipeline_tests.traffic.outside import NODE, NotHereError, ask_node, flagd_packages, node_packages

USERS = users_of(2_000)
MOVING = 500


@pytest.fixture(scope="module")
def seeded(server: EmbeddedServer, server_home: Path) -> Iterator[Store]:
    """A database with the experiment; skips where the clients cannot be had."""
    try:
        node_packages(NODE)
        flagd_packages()
    except NotHereError as error:
        pytest.skip(f"clients of other languages are not run: {error}")
    with copied_database(server, TEMPLATE, "clients") as url:
        store = Store(url, Settings(home=server_home, database_url=SecretStr(url)))
        seed(store)
        yield store


@pytest.fixture(scope="module")
def door(seeded: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A door on it with the hash of flagd's specification."""
    with running_api(seeded) as api:
        yield Door(api.url, api.secrets["evaluate"], tmp_path_factory.mktemp("flagd") / "flags.json")


@pytest.fixture(scope="module")
def found(seeded: Store, door: Door) -> Found:
    """What all clients say of all users there."""
    asked: dict[str, Ask] = {"python": by_python, "javascript": by_javascript, "flagd": by_flagd_of_python}
    return ask_all(seeded, door, USERS, asked, MOVING)


def test_clients_of_both_languages_and_flagds_provider_agree_on_every_user(found: Found) -> None:
    assert [len(said) for said in found.before.values()] == [len(USERS)] * 3
    assert found.differing == 0


def test_every_client_sees_the_split_that_was_decided(found: Found) -> None:
    assert found.furthest < STANDARD_ERRORS


def test_a_step_moves_users_to_the_winner_only_and_the_rollback_puts_everybody_back(found: Found) -> None:
    assert {to for _, to in found.moved} == {WINNER}
    assert len(found.moved) == 2
    assert found.misplaced == 0


def test_the_older_hash_is_that_of_flagds_javascript_provider_and_not_of_its_python_one(
    seeded: Store, door: Door, found: Found
) -> None:
    users = USERS[:MOVING]
    settings = seeded.settings.model_copy(update={"flag_hash": FlagHash.TEXT})
    with serving(create_app(Store(seeded.url, settings), settings)) as url:
        by_ofrep = by_javascript(replace(door, url=url), users)

    assert by_ofrep == by_flagd_of_javascript(door, users)
    others = sum(one != other for one, other in zip(by_ofrep, by_flagd_of_python(door, users), strict=True))
    # Of three equal arms two thirds of the users differ where two hashes are independent.
    assert 0.5 < others / len(users) < 0.8


def test_the_client_of_pages_is_answered_304_while_nothing_changes(door: Door, found: Found) -> None:
    options = {"url": door.url, "token": door.token, "flag": FLAG, "answers": 3}

    (said,) = ask_node("web", options, USERS[:1])

    assert said == f"{found.back['python'][0]} 200 304 304"
