"""Simulated users who are not like the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from promotion_pipeline.errors import InputError
from promotion_pipeline.simulation.populations import crossings, requests_of_members
from promotion_pipeline.simulation.rollups import rollups_of
from promotion_pipeline.simulation.scenario import Scenario

BASE: dict[str, Any] = {"requests_per_hour": 200.0, "days": 3.0, "requests_per_user": 10.0}


def _rollups(**columns: Any) -> pd.DataFrame:
    return rollups_of(Scenario(**(BASE | columns)), 3, np.random.default_rng(1))


def test_a_power_law_has_the_mean_that_was_asked_for_and_a_few_with_thousands() -> None:
    counts = requests_of_members(Scenario(**BASE, power_law=1.2), 10.0, 400_000, np.random.default_rng(2))
    assert counts.mean() == pytest.approx(10, rel=0.1)
    assert counts.min() >= 1
    assert 5 < (counts > 2_000).sum() < 1_000


def test_guests_make_their_share_of_each_arm_and_cross_all_arms() -> None:
    rollups = _rollups(guest_share=0.8, arms=3)
    arms = rollups.groupby("variant_id", observed=True)[["requests", "crossed_users"]].sum()
    whole = rollups.groupby("experiment_id", observed=True)[["requests", "crossed_requests"]].sum()
    powers = rollups.groupby("variant_id", observed=True)["user_requests_sum_sixteenth_powers"].sum()
    assert arms["crossed_users"].sum() == 3 * 2
    assert (whole["crossed_requests"] / whole["requests"]).to_numpy() == pytest.approx(0.8, abs=0.02)
    assert (powers ** (1 / 16) / arms["requests"]).to_numpy() == pytest.approx(0.8, abs=0.02)


def test_bots_apart_cross_nothing() -> None:
    rollups = _rollups(bot_share=0.3, bots_apart=True)
    assert rollups[["crossed_users", "crossed_requests"]].to_numpy().sum() == 0


def test_requests_of_before_the_second_arm_become_crossed_with_it() -> None:
    requests = np.array([[[2, 0, 1, 0], [0, 0, 3, 4]]])
    users, of_them = crossings(requests)
    assert users.tolist() == [[[0, 0, 0, 0], [0, 0, 1, 0]]]
    assert of_them.sum(axis=1).tolist() == [[0, 0, 6, 4]]


def test_in_one_hour_the_first_arm_is_met_first() -> None:
    users, of_them = crossings(np.array([[[1], [2], [4]]]))
    assert users.tolist() == [[[0], [1], [1]]]
    assert of_them.sum() == 7


def test_giants_need_users_and_leave_some_to_the_others() -> None:
    with pytest.raises(InputError, match="guest_share needs users"):
        Scenario(guest_share=0.5)
    with pytest.raises(InputError, match="together they may be"):
        Scenario(requests_per_user=1, guest_share=0.6, bot_share=0.6)
