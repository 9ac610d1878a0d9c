"""The fault campaign in short; `python -m promotion_pipeline_tests.faults` is the long one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline_tests.conftest import TEMPLATE
from promotion_pipeline_tests.faults.acts import ACTS
from promotion_pipeline_tests.faults.kills import kill_at_some_points
from promotion_pipeline_tests.faults.lost_answers import lose_answers
from promotion_pipeline_tests.faults.outages import stop_the_server
from promotion_pipeline_tests.faults.races import race_rounds
from promotion_pipeline_tests.faults.subjects import CampaignServer
from promotion_pipeline_tests.faults.tally import Tally, table
from promotion_pipeline_tests.faults.ticks import tick_twice

SEED = 1


@pytest.fixture(scope="module")
def host(server: EmbeddedServer) -> CampaignServer:
    """The session's server."""
    return CampaignServer(server, TEMPLATE)


@pytest.fixture
def rng() -> random.Random:
    """The same choices in every run."""
    return random.Random(SEED)


def assert_clean(tally: Tally, done: int) -> None:
    assert tally.is_clean, "\n".join([table([tally], SEED), *tally.lines()])
    assert tally.done >= done


def test_a_kill_anywhere_leaves_all_or_nothing_and_the_next_tick_finishes(
    host: CampaignServer, rng: random.Random
) -> None:
    assert_clean(kill_at_some_points(host, rng, each=1), done=len(ACTS))


def test_an_act_whose_acknowledgement_was_lost_is_not_done_twice(host: CampaignServer, rng: random.Random) -> None:
    assert_clean(lose_answers(host, rng, losses=12, never_arrived=4), done=12)


def test_32_at_once_do_everything_once_and_each_is_told_the_truth(host: CampaignServer, rng: random.Random) -> None:
    assert_clean(race_rounds(host, rng, rounds=3), done=3)


def test_a_server_that_is_stopped_at_once_under_load_loses_nothing(tmp_path: Path, rng: random.Random) -> None:
    assert_clean(stop_the_server(tmp_path, rng, stops=1), done=1)


def test_two_daemons_in_the_same_tick_do_it_once(host: CampaignServer, rng: random.Random) -> None:
    assert_clean(tick_twice(host, rng, ticks=2), done=2)
