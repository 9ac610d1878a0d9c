"""A split on its way to what serves it: read, compared, written, read back; and everything that comes in between."""

from __future__ import annotations

import copy
import threading
from decimal import Decimal
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from promotion_pipeline import promote_winner, rollback_promotion
from promotion_pipeline.config import Mode
from promotion_pipeline.errors import ConfigError
from promotion_pipeline.promotion.act import offered
from promotion_pipeline.promotion.act.offered import Asked
from promotion_pipeline.promotion.act.ramp import advance_ramps
from promotion_pipeline.promotion.act.serving import deliver_due, start_clocks, wait_until_served
from promotion_pipeline.promotion.unattended.watch import watch_promotions
from promotion_pipeline.store.database import Store
from promotion_pipeline.traffic.allocation import shares
from promotion_pipeline.traffic.allocations import current_allocation
from promotion_pipeline.traffic.deliveries import TrafficDelivery, TrafficState
from promotion_pipeline.traffic.delivery import ATTEMPTS, attempt
from promotion_pipeline_tests.seeding import WINNER, count, seed_experiment
from promotion_pipeline_tests.traffic.delivering import newest, once_more, seed, told
from promotion_pipeline_tests.traffic.provider import TARGET, TOKEN, Answer, Provider, strategy


def test_a_promotion_is_served_and_then_told(served: Store, provider: Provider) -> None:
    seeded = seed(served)
    before = copy.deepcopy(provider.strategies)
    promote_winner("x", "manual", "anna", store=served)
    assert newest(served, seeded.id).state is TrafficState.PENDING
    assert told(served, "promotion") == 0
    delivery = wait_until_served(served, seeded.id)
    assert delivery is not None
    assert delivery.state is TrafficState.VERIFIED
    assert provider.weights == {"control": 0, "treatment": 1000}
    assert delivery.served == delivery.wanted
    assert delivery.before == before[0]
    assert told(served, "promotion") == 1
    with served.connect() as connection:
        now_served = current_allocation(connection, seeded.id)
    assert now_served is not None
    assert now_served.generation == delivery.generation
    assert shares(now_served.allocation) == {str(seeded.variant_ids["treatment"]): 10_000}


def test_only_weights_are_written(served: Store, provider: Provider) -> None:
    second = strategy(id="s2", title="the other")
    provider.strategies.append(second)
    before = copy.deepcopy(provider.strategies)
    seeded = seed(served, {**TARGET, "strategy_id": "s1"})
    promote_winner("x", "manual", "anna", store=served)
    wait_until_served(served, seeded.id)
    assert provider.strategies[1] == before[1]
    first = {**provider.strategies[0], "variants": None}
    assert first == {**before[0], "variants": None}
    assert [variant["stickiness"] for variant in provider.strategies[0]["variants"]] == ["userId", "userId"]


def test_a_rollback_puts_the_exact_object_of_before_back(served: Store, provider: Provider) -> None:
    seeded = seed(served)
    before = copy.deepcopy(provider.strategies)
    promote_winner("x", "manual", "anna", store=served)
    wait_until_served(served, seeded.id)
    rollback_promotion("x", "worse", "anna", store=served)
    delivery = wait_until_served(served, seeded.id)
    assert delivery is not None
    assert delivery.state is TrafficState.VERIFIED
    assert provider.strategies == before


def test_the_way_back_gives_every_user_the_bucket_of_before(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, promotion_config={"rampSteps": [75, 100]})
    with store.connect() as connection:
        before = current_allocation(connection, seeded.id)
        promote_winner("x", "manual", "anna", store=store)
        during = current_allocation(connection, seeded.id)
        rollback_promotion("x", "worse", "anna", store=store)
        after = current_allocation(connection, seeded.id)
    assert before is not None
    assert during is not None
    assert after is not None
    assert during.allocation != before.allocation
    assert after.allocation == before.allocation


def test_a_split_in_our_table_is_served_by_the_act(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    promote_winner("x", "manual", "anna", store=store)
    delivery = newest(store, seeded.id)
    assert (delivery.target, delivery.state) == ("table", TrafficState.VERIFIED)
    assert delivery.wanted[str(seeded.variant_ids["treatment"])] == Decimal(100)
    assert told(store, "promotion") == 1


def test_nothing_is_promoted_to_a_target_that_is_none(store: Store) -> None:
    seed(store, {"kind": "unlesh"})
    with pytest.raises(ConfigError, match="kind is 'unlesh', it must be one of table, unleash"):
        promote_winner("x", "manual", "anna", store=store)
    assert count(store, "SELECT count(*) FROM traffic_deliveries") == 0


def test_a_target_that_became_none_keeps_nobody_from_rolling_back(store: Store) -> None:
    seeded = seed(store, {"kind": "table"})
    promote_winner("x", "manual", "anna", store=store)
    with store.connect() as connection:
        connection.execute("UPDATE ab_experiments SET traffic_target = %s", [Jsonb({"kind": "unlesh"})])
    rollback_promotion("x", "worse", "anna", store=store)
    delivery = newest(store, seeded.id)
    assert delivery.state is TrafficState.FAILED
    assert "unlesh" in (delivery.error or "")


@pytest.mark.parametrize("side", ["hours before", "between read and write", "between write and read-back"])
def test_a_foreign_edit_is_found_and_never_overwritten(served: Store, provider: Provider, side: str) -> None:
    seeded = seed(served)
    promote_winner("x", "manual", "anna", store=served)
    match side:
        case "hours before":
            provider.edit(300, 700)
        case "between read and write":
            provider.before_write = lambda: provider.edit(300, 700)
        case _:
            provider.after_write = lambda: provider.edit(300, 700)
    once_more(served, seeded)
    delivery = once_more(served, seeded)
    assert delivery.state is TrafficState.CONFLICTED
    assert provider.weights == {"control": 300, "treatment": 700}
    assert "mallory" in (delivery.error or "")
    assert "70 %" in (delivery.error or "")
    assert (told(served, "traffic_conflict"), told(served, "promotion")) == (1, 0)


def test_all_to_control_works_while_the_target_is_in_conflict(served: Store, provider: Provider) -> None:
    seeded = seed(served)
    promote_winner("x", "manual", "anna", store=served)
    provider.edit(300, 700)
    assert once_more(served, seeded).state is TrafficState.CONFLICTED
    rollback_promotion("x", "outage", "anna", to="control", store=served)
    delivery = wait_until_served(served, seeded.id)
    assert delivery is not None
    assert delivery.state is TrafficState.VERIFIED
    assert provider.weights == {"control": 1000, "treatment": 0}


def test_a_write_whose_answer_was_lost_is_found_to_be_served(served: Store, provider: Provider) -> None:
    seeded = seed(served)
    promote_winner("x", "manual", "anna", store=served)
    provider.answers = [Answer(arrives=True, cuts=True)]
    assert once_more(served, seeded).state is TrafficState.PENDING
    assert once_more(served, seeded).state is TrafficState.VERIFIED
    assert len(provider.writes) == 1


def test_a_read_back_that_lags_is_waited_for(served: Store, provider: Provider) -> None:
    seeded = seed(served)
    promote_winner("x", "manual", "anna", store=served)
    old = copy.deepcopy(provider.strategies)
    provider.lags = [old, old, old]
    assert once_more(served, seeded).state is TrafficState.APPLIED
    assert once_more(served, seeded).state is TrafficState.APPLIED
    assert once_more(served, seeded).state is TrafficState.VERIFIED
    assert len(provider.writes) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_that_waiting_does_not_change_is_told_once(served: Store, provider: Provider, status: int) -> None:
    seeded = seed(served)
    promote_winner("x", "manual", "anna", store=served)
    refused = Answer(status, b'{"message": "change requests are on"}')
    provider.answers = [refused, refused]
    for _ in range(2):
        delivery = once_more(served, seeded)
    assert delivery.state is TrafficState.PENDING
    assert f"HTTP {status}: " in (delivery.error or "")
    assert told(served, "traffic_refused") == 1
    assert once_more(served, seeded).state is TrafficState.VERIFIED


@pytest.mark.parametrize("edited", [False, True])
def test_a_target_that_says_conflict_is_read_again(served: Store, provider: Provider, edited: bool) -> None:
    seeded = seed(served)
    promote_winner("x", "manual", "anna", store=served)
    provider.answers = [Answer(409)]
    assert once_more(served, seeded).state is TrafficState.PENDING
    if edited:
        provider.edit(300, 700)
    delivery = once_more(served, seeded)
    assert delivery.state is (TrafficState.CONFLICTED if edited else TrafficState.VERIFIED)
    assert provider.weights == ({"control": 300, "treatment": 700} if edited else {"control": 0, "treatment": 1000})


def test_retry_after_is_waited_for(served: Store, provider: Provider) -> None:
    seeded = seed(served)
    promote_winner("x", "manual", "anna", store=served)
    provider.answers = [Answer(429, headers={"Retry-After": "3600"})]
    delivery = once_more(served, seeded)
    assert (delivery.next_attempt_at - delivery.created_at).total_seconds() > 3500


def test_after_the_last_attempt_a_person_is_told(served: Store, provider: Provider) -> None:
    seeded = seed(served)
    promote_winner("x", "manual", "anna", store=served)
    provider.read_answers = [Answer(503)] * ATTEMPTS
    for _ in range(ATTEMPTS):
        delivery = once_more(served, seeded)
    assert (delivery.state, delivery.attempts) == (TrafficState.FAILED, ATTEMPTS)
    assert told(served, "traffic_failed") == 1


def test_what_takes_long_is_told_once(served: Store, provider: Provider) -> None:
    seed(served)
    promote_winner("x", "manual", "anna", store=served)
    with served.connect() as connection:
        connection.execute("UPDATE traffic_deliveries SET created_at = created_at - interval '11 minutes'")
    provider.read_answers = [Answer(503)] * 2
    for _ in range(2):
        deliver_due(served)
    assert told(served, "traffic_late") == 1


def test_a_newer_split_supersedes_the_older_one(served: Store, provider: Provider) -> None:
    seeded = seed(served)
    promote_winner("x", "manual", "anna", store=served)
    provider.read_answers = [Answer(503)]
    once_more(served, seeded)
    rollback_promotion("x", "worse", "anna", store=served)
    with served.connect() as connection:
        rows = connection.execute("SELECT state FROM traffic_deliveries ORDER BY generation").fetchall()
    assert [row["state"] for row in rows] == ["superseded", "pending"]
    assert once_more(served, seeded).state is TrafficState.VERIFIED
    assert provider.writes == []


def test_a_rollback_while_the_promotion_is_being_written_is_what_is_served(served: Store, provider: Provider) -> None:
    seeded = seed(served)
    promote_winner("x", "manual", "anna", store=served)

    def meanwhile() -> None:
        provider.before_write = lambda: None
        rollback_promotion("x", "worse", "anna", store=served)

    provider.before_write = meanwhile
    once_more(served, seeded)
    assert provider.weights == {"control": 0, "treatment": 1000}
    assert once_more(served, seeded).state is TrafficState.VERIFIED
    assert provider.weights == {"control": 500, "treatment": 500}


def test_one_worker_at_a_time_delivers_for_an_experiment(served: Store, provider: Provider) -> None:
    seeded = seed(served)
    promote_winner("x", "manual", "anna", store=served)
    others: list[TrafficDelivery | None] = []

    def other() -> None:
        others.append(attempt(served, seeded.id, start_clocks))

    def meanwhile() -> None:
        with served.connect() as connection:
            connection.execute("UPDATE traffic_deliveries SET next_attempt_at = clock_timestamp()")
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    provider.before_write = meanwhile
    assert once_more(served, seeded).state is TrafficState.VERIFIED
    assert others == [None]
    assert len(provider.writes) == 1


def test_a_ramp_waits_until_its_step_is_served_and_counts_from_there(served: Store, provider: Provider) -> None:
    seeded = seed(served, promotion_config={"rampSteps": [75, 100], "rampHoldHours": 24})
    promotion = promote_winner("x", "auto", "sensor", store=served)
    with served.connect() as connection:
        connection.execute("UPDATE experiment_promotions SET step_started_at = step_started_at - interval '25 hours'")
    assert "not served yet" in advance_ramps(served)[0].message
    assert once_more(served, seeded).state is TrafficState.VERIFIED
    assert provider.weights == {"control": 250, "treatment": 750}
    assert "the next step is due" in advance_ramps(served)[0].message
    assert promotion.ramp_step == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p.strategies.append(strategy(id="s2")), "has several strategies"),
        (lambda p: p.strategies.clear(), "has no strategy"),
        (lambda p: p.strategies[0].update(variants=[]), "has no variants"),
        (lambda p: p.strategies[0]["variants"].pop(), "has no variant 'treatment'"),
    ],
)
def test_a_flag_that_cannot_take_the_split_is_named(served: Store, provider: Provider, change: Any, said: str) -> None:
    seeded = seed(served)
    promote_winner("x", "manual", "anna", store=served)
    change(provider)
    with served.connect() as connection:
        connection.execute("UPDATE traffic_deliveries SET expected = NULL")
    delivery = once_more(served, seeded)
    assert said in (delivery.error or "")
    assert provider.writes == []


def test_no_token_is_in_an_error_an_event_or_a_row(served: Store, provider: Provider) -> None:
    seeded = seed(served)
    promote_winner("x", "manual", "anna", store=served)
    provider.answers = [Answer(401, f"the token {TOKEN} is not known".encode())]
    once_more(served, seeded)
    for table in ("traffic_deliveries", "notification_outbox", "promotion_audit"):
        assert count(served, f"SELECT count(*) FROM {table} r WHERE strpos(r::text, '{TOKEN}') > 0") == 0


def test_a_deleted_experiment_is_delivered_nowhere(served: Store, provider: Provider) -> None:
    seeded = seed(served)
    promote_winner("x", "manual", "anna", store=served)
    with served.connect() as connection:
        connection.execute("DELETE FROM ai_requests")
        connection.execute("DELETE FROM ab_variants")
        connection.execute("DELETE FROM ab_experiments")
    assert deliver_due(served) == ()
    assert newest(served, seeded.id).state is TrafficState.SUPERSEDED
    assert provider.asked == []
    assert count(served, "SELECT count(*) FROM traffic_allocations") == 0


def test_the_offered_acts_wait_until_what_they_decided_is_served(served: Store, provider: Provider) -> None:
    seeded = seed(served)
    offered.PROMOTE.perform(Asked(experiment_name="x", by="anna"), served)
    assert newest(served, seeded.id).state is TrafficState.VERIFIED
    offered.ROLL_BACK.perform(Asked(experiment_name="x", by="anna", reason="worse"), served)
    assert provider.weights == {"control": 500, "treatment": 500}


def test_the_hourly_look_at_promotions_delivers_what_is_due(served: Store, provider: Provider) -> None:
    seeded = seed(served)
    promote_winner("x", "manual", "anna", store=served)
    watch_promotions(served)
    assert newest(served, seeded.id).state is TrafficState.VERIFIED
    assert provider.weights == {"control": 0, "treatment": 1000}


@pytest.mark.parametrize("lacks", [{"unleash_token": None}, {"mode": Mode.SHADOW}])
def test_a_process_that_may_not_or_cannot_deliver_leaves_it_to_one_that_can(
    served: Store, provider: Provider, lacks: dict[str, Any]
) -> None:
    seeded = seed(served)
    promote_winner("x", "manual", "anna", store=served)
    without = Store(served.url, served.settings.model_copy(update=lacks))
    assert deliver_due(without) == ()
    waited = wait_until_served(without, seeded.id)
    assert waited is not None
    assert (waited.state, waited.attempts) == (TrafficState.PENDING, 0)
    assert provider.asked == []
    assert once_more(served, seeded).state is TrafficState.VERIFIED
