"""A handful of events is tested exactly."""

from __future__ import annotations

import numpy as np
from scipy import stats

from promotion_pipeline.statistics import more_often_z, two_proportion_z


def test_few_events_need_more_than_a_z_of_them_says() -> None:
    exact = stats.norm.isf(stats.binom.sf(4, 6, 0.5))
    assert two_proportion_z(1, 1000, 5, 1000).z > exact
    np.testing.assert_allclose(more_often_z(1, 1000, 5, 1000), exact)


def test_of_many_events_the_smaller_of_both_counts() -> None:
    events, later = np.array([100.0, 900.0, 0.0]), np.array([150.0, 800.0, 40.0])
    exact = stats.norm.isf(stats.binom.sf(later - 1, events + later, 0.5))
    np.testing.assert_allclose(
        more_often_z(events, 1000, later, 1000), np.minimum(two_proportion_z(events, 1000, later, 1000).z, exact)
    )


def test_no_later_event_is_no_rise_and_no_request_is_no_answer() -> None:
    assert more_often_z(5, 1000, 0, 1000) == -np.inf
    assert np.isnan(more_often_z(0, 0, 0, 1000))
