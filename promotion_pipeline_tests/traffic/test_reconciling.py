"""What a person does about a conflict: take theirs, put ours back, try again; by the functions and by what is typed."""

from __future__ import annotations

from decimal import Decimal

import pytest

from promotion_pipeline import promote_winner, rollback_promotion
from promotion_pipeline.errors import ConflictError, NothingToRollBackError
from promotion_pipeline.promotion.act.reconciling import adopt_traffic, overwrite_traffic, retry_traffic
from promotion_pipeline.promotion.record.served import ServedTraffic
from promotion_pipeline.store.database import Store
from promotion_pipeline.traffic.deliveries import TrafficState
from promotion_pipeline.traffic.splits import traffic_splits
from promotion_pipeline_tests.seeding import Seeded, count, split_of
from promotion_pipeline_tests.traffic.delivering import newest, once_more, seed
from promotion_pipeline_tests.traffic.provider import Answer, Provider


def in_conflict(store: Store, provider: Provider) -> Seeded:
    seeded = seed(store)
    promote_winner("x", "manual", "anna", store=store)
    provider.edit(300, 700)
    assert once_more(store, seeded).state is TrafficState.CONFLICTED
    return seeded


def test_theirs_is_taken_over_as_a_new_phase(served: Store, provider: Provider) -> None:
    seeded = in_conflict(served, provider)
    phases = count(served, "SELECT count(*) FROM ab_experiment_phases")
    adopted = adopt_traffic("x", "anna", reason="agreed", store=served)
    assert adopted.state is TrafficState.VERIFIED
    assert split_of(served, seeded) == {"control": Decimal(30), "treatment": Decimal(70)}
    assert count(served, "SELECT count(*) FROM ab_experiment_phases") == phases + 1
    assert provider.writes == []
    with pytest.raises(ConflictError, match="no edit of somebody else's"):
        adopt_traffic("x", "anna", store=served)


def test_a_variant_that_is_none_of_ours_cannot_be_taken_over(served: Store, provider: Provider) -> None:
    seeded = seed(served)
    promote_winner("x", "manual", "anna", store=served)
    provider.strategies[0]["variants"][0]["name"] = "renamed"
    assert once_more(served, seeded).state is TrafficState.CONFLICTED
    with pytest.raises(ConflictError, match="'renamed', which is no variant"):
        adopt_traffic("x", "anna", store=served)


def test_ours_is_put_back_over_the_edit_that_was_seen(served: Store, provider: Provider) -> None:
    seeded = in_conflict(served, provider)
    overwrite_traffic("x", "a mistake", "anna", store=served)
    assert once_more(served, seeded).state is TrafficState.VERIFIED
    assert provider.weights == {"control": 0, "treatment": 1000}


def test_an_edit_after_the_one_that_was_seen_is_another_conflict(served: Store, provider: Provider) -> None:
    seeded = in_conflict(served, provider)
    provider.edit(100, 900)
    overwrite_traffic("x", "a mistake", "anna", store=served)
    assert once_more(served, seeded).state is TrafficState.CONFLICTED
    assert provider.weights == {"control": 100, "treatment": 900}


def test_rolling_back_again_what_was_never_served_names_the_way(served: Store, provider: Provider) -> None:
    seeded = in_conflict(served, provider)
    rollback_promotion("x", "worse", "anna", store=served)
    provider.edit(200, 800)
    assert once_more(served, seeded).state is TrafficState.CONFLICTED
    with pytest.raises(NothingToRollBackError, match=r"not served .*conflicted.*traffic overwrite 'x' --reason"):
        rollback_promotion("x", "worse", "anna", to="control", store=served)
    overwrite_traffic("x", "the rollback", "anna", store=served)
    assert once_more(served, seeded).state is TrafficState.VERIFIED
    assert provider.weights == {"control": 500, "treatment": 500}


def test_a_failed_delivery_is_tried_again(served: Store, provider: Provider) -> None:
    seeded = seed(served)
    promote_winner("x", "manual", "anna", store=served)
    with served.connect() as connection:
        connection.execute("UPDATE traffic_deliveries SET attempts = 19")
    provider.read_answers = [Answer(503)]
    assert once_more(served, seeded).state is TrafficState.FAILED
    assert retry_traffic("x", "anna", store=served).attempts == 0
    assert once_more(served, seeded).state is TrafficState.VERIFIED
    with pytest.raises(ConflictError, match="is served"):
        retry_traffic("x", "anna", store=served)


def test_the_list_has_both_splits_and_what_is_wrong(served: Store, provider: Provider) -> None:
    in_conflict(served, provider)
    with served.connect() as connection:
        (found,) = traffic_splits(connection)
    assert not found.is_well
    shown = ServedTraffic.of(found).to_json()
    assert (shown["target"], shown["state"]) == ("unleash", "conflicted")
    assert shown["decided"] == {"control": 0.0, "treatment": 100.0}
    assert shown["served"] == {"control": 30.0, "treatment": 70.0}
    assert "mallory" in shown["error"]
    assert newest(served, found.experiment_id).attempts == 1
