"""A few rounds of the campaign that kills workers, loses answers and edits by hand meanwhile."""

from __future__ import annotations

from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.traffic import campaign
from promotion_pipeline_tests.traffic.provider import Provider


def test_nothing_is_verified_that_is_not_served_and_no_edit_is_lost(store: Store, provider: Provider) -> None:
    tally = campaign.run(store, provider, kills=6, answers=3, edits=8)
    assert sum(tally.ended.values()) == 17
    assert (tally.untrue, tally.lost) == ([], [])
