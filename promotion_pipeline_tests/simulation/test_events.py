"""The simulated rollups hold exactly what a rollup of the same requests would."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from promotion_pipeline.simulation.events import Events, user_events
from promotion_pipeline.simulation.rollups import USER_COLUMNS, request_sums, rollups_of, user_sums
from promotion_pipeline.simulation.scenario import Scenario

RETURNING = Scenario(requests_per_hour=20, days=3, requests_per_user=6, base_rate=0.3)


def _direct_sums(events: Events, hours: int) -> pd.DataFrame:
    """The sums over users of (1, d, y, y^2, d^2, y d) at the end of each hour, user by user."""
    frame = pd.DataFrame(
        {
            "arm": events.arm[events.user],
            "user": events.user,
            "hour": events.hour,
            "d": events.is_request,
            "y": events.is_conversion,
        }
    )
    rows = []
    for hour in range(hours):
        totals = frame[frame["hour"] <= hour].groupby(["arm", "user"])[["d", "y"]].sum()
        moments = pd.DataFrame(
            {
                "new_users": 1,
                "user_requests": totals["d"],
                "user_conversions": totals["y"],
                "user_conversions_sum_squares": totals["y"] ** 2,
                "user_requests_sum_squares": totals["d"] ** 2,
                "user_conversions_requests_sum_products": totals["y"] * totals["d"],
            }
        )
        rows.append(moments.groupby("arm").sum().assign(hour=hour))
    return pd.concat(rows).reset_index()


@pytest.mark.parametrize(
    "scenario",
    [
        RETURNING,
        replace(RETURNING, visit_days=0.5, daily_swing=1.0),
        replace(RETURNING, delays_hours=(10.0, 2.0)),
        replace(RETURNING, arms=3, delays_hours=(30.0,), visit_days=1.0),
    ],
    ids=["coming back all the time", "for half a day each", "late conversions", "three arms"],
)
def test_increments_of_the_user_sums_add_up_to_the_sums_over_users_at_every_hour(scenario: Scenario) -> None:
    events = user_events(scenario, 2, 12, np.random.default_rng(1))
    own = user_sums(events, 2 * scenario.arms, scenario.hours)
    direct = _direct_sums(events, scenario.hours)
    assert set(USER_COLUMNS) < set(direct.columns)
    for name in USER_COLUMNS:
        expected = direct.pivot(index="arm", columns="hour", values=name).to_numpy()
        np.testing.assert_array_equal(own[name].cumsum(axis=1), expected, err_msg=name)


def test_returning_users_have_the_declared_mean_visits_rate_and_correlation() -> None:
    scenario = Scenario(requests_per_hour=1000, days=14, requests_per_user=10, user_correlation=0.25, base_rate=0.2)
    events = user_events(scenario, 1, 0, np.random.default_rng(2))
    requests = np.bincount(events.user, weights=events.is_request)
    conversions = np.bincount(events.user, weights=events.is_conversion)
    assert requests.sum() == pytest.approx(2 * 1000 * 336, rel=0.01)
    assert requests.mean() == pytest.approx(10, rel=0.01)
    assert conversions.sum() / requests.sum() == pytest.approx(0.2, rel=0.02)
    pairs = (requests * (requests - 1)).sum()
    both = (conversions * (conversions - 1)).sum() / pairs
    assert (both - 0.2**2) / (0.2 * 0.8) == pytest.approx(0.25, abs=0.01)


def test_visits_within_a_window_of_days_lie_in_it_and_keep_the_traffic_even() -> None:
    scenario = Scenario(requests_per_hour=500, days=10, requests_per_user=8, visit_days=2)
    events = user_events(scenario, 1, 0, np.random.default_rng(3))
    by_user = pd.Series(events.hour).groupby(events.user)
    assert (by_user.max() - by_user.min()).max() <= 48
    by_day = np.bincount(events.hour // 24)
    np.testing.assert_allclose(by_day, 2 * 500 * 24, rtol=0.05)


@pytest.mark.parametrize("per_user", [None, 3.0])
def test_traffic_swings_over_the_day_and_keeps_its_mean(per_user: float | None) -> None:
    scenario = Scenario(requests_per_hour=2000, days=4, daily_swing=0.5, requests_per_user=per_user)
    frame = rollups_of(scenario, 2, np.random.default_rng(4))
    by_hour = frame.groupby(frame["hour"].dt.hour)["requests"].mean()
    assert by_hour.max() / by_hour.min() == pytest.approx(3, rel=0.05)
    assert by_hour.mean() == pytest.approx(2000, rel=0.02)


@pytest.mark.parametrize("window", [0, 30])
def test_a_late_conversion_counts_when_it_is_seen_and_its_request_is_mature(window: int) -> None:
    """Without users: of the requests that are w hours old, the share seen follows from the exponential delay."""
    scenario = Scenario(requests_per_hour=3000, base_rate=0.5, days=5, delays_hours=(24.0, 6.0))
    sums = request_sums(scenario, 1, window, np.random.default_rng(5))
    seen = sums["conversions"].cumsum(axis=1)
    hours = scenario.hours
    for arm, mean in enumerate((24.0, 6.0)):
        for age in (40, hours - window):
            # At the as-of `age + window` hours in, the judged requests are those of the first `age` hours.
            waited = age + window - (np.arange(0, age, 0.01) + 0.005)
            expected = 3000 * age * 0.5 * (1 - np.exp(-waited / mean)).mean()
            assert seen[arm, age - 1] == pytest.approx(expected, abs=5 * np.sqrt(expected))


def test_conversions_never_outnumber_their_requests() -> None:
    scenario = Scenario(requests_per_hour=5, base_rate=0.9, days=3, delays_hours=(5.0,))
    sums = request_sums(scenario, 20, 0, np.random.default_rng(6))
    assert (sums["conversions"].cumsum(axis=1) <= sums["requests"].cumsum(axis=1)).all()
