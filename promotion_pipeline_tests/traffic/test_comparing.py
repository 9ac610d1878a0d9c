"""Decided, served and observed, every hour: what somebody changed by hand is found, named, told once."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from promotion_pipeline import promote_winner, rollback_promotion
from promotion_pipeline.promotion.act.reconciling import adopt_traffic, overwrite_traffic
from promotion_pipeline.promotion.act.serving import start_clocks, wait_until_served
from promotion_pipeline.promotion.judge.check import check_promotion_eligibility
from promotion_pipeline.promotion.unattended.comparing import compare_traffic, compare_traffic_when_due
from promotion_pipeline.store.clock import database_now
from promotion_pipeline.store.database import Store
from promotion_pipeline.traffic import reading
from promotion_pipeline.traffic.deliveries import TrafficState
from promotion_pipeline.traffic.delivery import attempt
from promotion_pipeline.traffic.splits import TrafficSplit
from promotion_pipeline_tests.seeding import Seeded, VariantSpec, add_requests, count, seed_experiment
from promotion_pipeline_tests.traffic.delivering import newest, once_more, told
from promotion_pipeline_tests.traffic.provider import TARGET, TOKEN, Answer, Provider

SMALL_WINNER = (
    VariantSpec("control", is_control=True, requests=1_000, conversions=100),
    VariantSpec("treatment", requests=1_000, conversions=180),
)


def promoted(
    served: Store, hours: float = 3, target: dict[str, Any] | None = TARGET, config: dict[str, Any] | None = None
) -> Seeded:
    """An experiment whose winner is served since some hours, and whose log begins then."""
    seeded = seed_experiment(served, "x", SMALL_WINNER, promotion_config=config)
    with served.connect() as connection:
        connection.execute("UPDATE ab_experiments SET traffic_target = %s", [target and Jsonb(target)])
        promote_winner("x", "manual", "anna", store=served)
        wait_until_served(served, seeded.id)
        connection.execute("DELETE FROM ai_requests")
    verified_before(served, hours)
    return seeded


def verified_before(served: Store, hours: float) -> None:
    """Let what is verified be so since some hours."""
    ago = timedelta(hours=hours)
    with served.connect() as connection:
        connection.execute("UPDATE traffic_deliveries SET verified_at = verified_at - %s", [ago])
        connection.execute("DELETE FROM ab_experiment_phases WHERE ended_at IS NOT NULL")
        connection.execute("UPDATE ab_experiment_phases SET started_at = started_at - %s", [ago])


def compared(served: Store) -> TrafficSplit:
    """The one experiment, compared now."""
    (found,) = compare_traffic(served)
    return found


def arrive(served: Store, seeded: Seeded, variant: str, requests: int, users: int | None = None) -> None:
    """Requests of the last two hours."""
    with served.connect() as connection:
        now = database_now(connection)
    spec = VariantSpec(variant, requests=requests)
    add_requests(served, seeded, spec, start=now - timedelta(hours=2), end=now, users=users)


def test_what_is_served_decided_and_observed_is_said_to_be_so(served: Store, provider: Provider) -> None:
    seeded = promoted(served)
    arrive(served, seeded, "treatment", 1_000, users=500)
    found = compared(served)
    assert (found.problem, found.is_well, found.unread) == (None, True, None)
    assert found.served == found.decided
    assert {name: float(share) for name, share in (found.observed or {}).items()} == {"control": 0, "treatment": 100}
    assert (found.observed_unit, found.p_value) == ("users", 1.0)
    assert found.observed_total == count(served, "SELECT count(DISTINCT user_id) FROM ai_requests WHERE user_id <> ''")
    assert found.read_age_seconds is not None
    assert found.read_age_seconds < 60
    assert told(served, "traffic_differs") == told(served, "traffic_conflict") == 0
    said = check_promotion_eligibility("x", store=served).to_json()["traffic"]
    assert (said["target"], said["state"]) == ("unleash", "verified")
    assert said["decided"] == said["served"] == said["observed"] == {"control": 0.0, "treatment": 100.0}


def test_an_edit_hours_after_it_was_served_is_found_and_named_within_one_tick(
    served: Store, provider: Provider
) -> None:
    seeded = promoted(served)
    provider.edit(250, 750)
    found = compared(served)
    assert newest(served, seeded.id).state is TrafficState.CONFLICTED
    assert provider.weights == {"control": 250, "treatment": 750}
    for said in ("control 25 %, treatment 75 %", "mallory", "control 0 %, treatment 100 %"):
        assert said in (found.problem or "")
    assert told(served, "traffic_conflict") == 1
    compared(served)
    assert told(served, "traffic_conflict") == 1


def test_an_edit_that_is_found_later_is_adopted_or_overwritten(served: Store, provider: Provider) -> None:
    seeded = promoted(served)
    provider.edit(250, 750)
    compared(served)
    overwrite_traffic("x", "a mistake", "anna", store=served)
    assert once_more(served, seeded).state is TrafficState.VERIFIED
    assert provider.weights == {"control": 0, "treatment": 1000}
    verified_before(served, 1)
    provider.edit(300, 700)
    compared(served)
    assert told(served, "traffic_conflict") == 2
    adopt_traffic("x", "anna", store=served)
    assert compared(served).problem is None
    assert provider.weights == {"control": 300, "treatment": 700}


def test_who_takes_the_edit_back_by_hand_ends_the_conflict_and_the_next_edit_is_told_again(
    served: Store, provider: Provider
) -> None:
    seeded = promoted(served)
    provider.edit(250, 750)
    compared(served)
    provider.edit(0, 1000)
    assert compared(served).is_well
    assert newest(served, seeded.id).state is TrafficState.VERIFIED
    verified_before(served, 1)
    provider.edit(250, 750)
    compared(served)
    assert told(served, "traffic_conflict") == 2


def test_a_copy_that_lags_right_after_it_was_served_is_no_edit(served: Store, provider: Provider) -> None:
    seeded = promoted(served, hours=0)
    provider.edit(500, 500)
    assert compared(served).problem is None
    assert newest(served, seeded.id).state is TrafficState.VERIFIED
    verified_before(served, 1)
    assert "control 50 %" in (compared(served).problem or "")


def test_our_own_table_changed_by_hand_is_another_split_than_the_one_served(served: Store, provider: Provider) -> None:
    seeded = promoted(served)
    with served.connect() as connection, connection.transaction():
        connection.execute("UPDATE ab_variants SET traffic_percentage = 50")
    assert compared(served).problem is None, "whoever changes both needs a moment"
    verified_before(served, 1)
    assert "decided control 50 %, treatment 50 %" in (compared(served).problem or "")
    overwrite_traffic("x", "the table is right", "anna", store=served)
    assert once_more(served, seeded).state is TrafficState.VERIFIED
    assert provider.weights == {"control": 500, "treatment": 500}


def test_an_experiment_that_was_never_delivered_is_compared_as_well(served: Store, provider: Provider) -> None:
    seeded = seed_experiment(served, "x", [VariantSpec("control", is_control=True), VariantSpec("treatment")])
    with served.connect() as connection:
        connection.execute("UPDATE ab_experiments SET traffic_target = %s", [Jsonb(TARGET)])
    provider.edit(900, 100)
    assert "control 90 %" in (compared(served).problem or "")
    assert newest(served, seeded.id).state is TrafficState.CONFLICTED
    adopt_traffic("x", "anna", store=served)
    assert compared(served).problem is None


def test_users_who_get_something_else_are_told_once_an_incident(served: Store, provider: Provider) -> None:
    seeded = promoted(served)
    arrive(served, seeded, "treatment", 3_000, users=1_500)
    arrive(served, seeded, "control", 300, users=150)
    found = compared(served)
    assert "the log shows control 9.08 %, treatment 90.92 % of 1,453 users" in (found.problem or "")
    assert told(served, "traffic_differs") == 1
    compared(served)
    assert told(served, "traffic_differs") == 1
    with served.connect() as connection:
        connection.execute("DELETE FROM ai_requests WHERE variant_id = %s", [seeded.variant_ids["control"]])
    assert compared(served).is_well
    arrive(served, seeded, "control", 300, users=150)
    compared(served)
    assert told(served, "traffic_differs") == 2


@pytest.mark.parametrize("change", ["few", "requests under way", "chance"])
def test_what_chance_or_a_moment_explains_is_no_difference(served: Store, provider: Provider, change: str) -> None:
    seeded = promoted(served)
    if change == "few":
        arrive(served, seeded, "control", 40)
    elif change == "requests under way":
        arrive(served, seeded, "treatment", 3_000)
        arrive(served, seeded, "control", 29)
    else:
        rollback_promotion("x", "worse", "anna", store=served)
        once_more(served, seeded)
        verified_before(served, 3)
        arrive(served, seeded, "treatment", 1_000)
        arrive(served, seeded, "control", 1_060)
    assert compared(served).problem is None


def test_the_application_that_reads_our_table_is_observed_too(store: Store) -> None:
    seeded = promoted(store, target=None)
    arrive(store, seeded, "control", 500, users=500)
    assert "the log shows control 100 %" in (compared(store).problem or "")


def test_a_target_that_is_gone_is_told_once_and_one_that_is_down_after_an_hour(
    served: Store, provider: Provider
) -> None:
    promoted(served)
    provider.read_answers = [Answer(404)]
    found = compared(served)
    assert (found.problem, found.is_well) == (None, False)
    assert "HTTP 404" in (found.unread or "")
    assert told(served, "traffic_unread") == 1
    compared(served)
    provider.read_answers = [Answer(503)]
    compared(served)
    assert told(served, "traffic_unread") == 1
    with served.connect() as connection:
        connection.execute("UPDATE served_traffic SET unread_since = unread_since - interval '1 hour'")
    provider.read_answers = [Answer(503)]
    compared(served)
    assert told(served, "traffic_unread") == 2
    assert compared(served).unread is None


def test_a_provider_that_hangs_is_left_alone_and_delays_no_other(
    served: Store, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promotion_pipeline.traffic.targets.exchange.ANSWER_SECONDS", 0.3)
    monkeypatch.setattr(reading, "READ_SECONDS", 20.0)
    hangs = threading.Event()
    with served.connect() as connection:
        for number in range(30):
            seed_experiment(served, f"e{number:02}", [VariantSpec("control", True), VariantSpec("treatment")])
        target = {**TARGET, "strategy_id": "s1"}
        connection.execute(
            "UPDATE ab_experiments SET traffic_target = %s::jsonb || jsonb_build_object('feature', name)",
            [Jsonb(target)],
        )
        webhook = {"kind": "webhook", "url": f"{provider.url}/split", "read_url": f"{provider.url}/split"}
        connection.execute("UPDATE ab_experiments SET traffic_target = %s WHERE name = 'e29'", [Jsonb(webhook)])
    provider.before_read = lambda: hangs.wait(5) if "admin" in provider.asked[-1].path else None  # type: ignore[assignment]
    found = {split.experiment_name: split for split in compare_traffic(served)}
    hangs.set()
    assert found["e29"].is_well
    assert sum("admin" in asked.path for asked in provider.asked) <= 12
    assert all(found[f"e{number:02}"].unread for number in range(29))
    assert told(served, "traffic_unread") == 0
    with served.connect() as connection:
        connection.execute("UPDATE served_traffic SET unread_since = unread_since - interval '1 hour'")
    hangs.clear()
    compare_traffic(served)
    hangs.set()
    assert told(served, "traffic_unread") == 1, "one message of a system that is down"


def test_two_that_compare_at_once_find_an_edit_once(served: Store, provider: Provider) -> None:
    seeded = promoted(served)
    arrive(served, seeded, "control", 500, users=500)
    provider.edit(250, 750)
    both = [threading.Thread(target=compare_traffic, args=(served,)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert told(served, "traffic_conflict") == 1
    assert count(served, "SELECT count(*) FROM traffic_deliveries WHERE state = 'conflicted'") == 1


def test_an_act_while_a_target_is_read_back_counts_and_not_what_was_read(served: Store, provider: Provider) -> None:
    seeded = promoted(served)
    provider.edit(250, 750)

    def meanwhile() -> None:
        provider.before_read = lambda: None
        rollback_promotion("x", "worse", "anna", to="control", store=served)

    provider.before_read = meanwhile
    compared(served)
    assert newest(served, seeded.id).state is TrafficState.PENDING
    assert once_more(served, seeded).state is TrafficState.VERIFIED
    assert provider.weights == {"control": 1000, "treatment": 0}


def test_after_all_went_to_control_a_later_edit_is_a_conflict_and_no_failure(served: Store, provider: Provider) -> None:
    seeded = promoted(served)
    provider.edit(250, 750)
    compared(served)
    rollback_promotion("x", "outage", "anna", to="control", store=served)
    provider.after_write = lambda: provider.edit(400, 600)
    attempt(served, seeded.id, start_clocks)
    provider.after_write = lambda: None
    assert once_more(served, seeded).state is TrafficState.CONFLICTED
    assert provider.weights == {"control": 400, "treatment": 600}


def test_a_holdback_is_compared_in_both_of_its_arms_though_the_experiment_is_stopped(
    served: Store, provider: Provider
) -> None:
    seeded = promoted(served, config={"holdbackPercent": 10, "holdbackDays": 14})
    assert count(served, "SELECT count(*) FROM ab_experiments WHERE NOT is_active") == 1
    arrive(served, seeded, "treatment", 1_800, users=900)
    arrive(served, seeded, "control", 200, users=100)
    found = compared(served)
    assert found.problem is None
    assert found.decided == found.served
    assert {name: float(share) for name, share in found.decided.items()} == {"control": 10, "treatment": 90}
    assert (found.observed or {})["control"] == pytest.approx(10, abs=2)
    arrive(served, seeded, "control", 1_600, users=800)
    said = compared(served).problem or ""
    assert "the log shows control " in said
    assert told(served, "traffic_differs") == 1
    provider.edit(0, 1000)
    compared(served)
    assert newest(served, seeded.id).state is TrafficState.CONFLICTED
    assert told(served, "traffic_conflict") == 1


def test_a_holdback_that_our_own_table_serves_is_observed_by_its_log(store: Store) -> None:
    seeded = promoted(store, target=None, config={"holdbackPercent": 10, "holdbackDays": 14})
    arrive(store, seeded, "treatment", 2_000, users=1_000)
    assert "the log shows control 0 %, treatment 100 %" in (compared(store).problem or "")


def test_a_promotion_of_before_splits_were_delivered_is_listed_as_well(served: Store, provider: Provider) -> None:
    promoted(served, config={"holdbackPercent": 10, "holdbackDays": 14})
    with served.connect() as connection:
        connection.execute("DELETE FROM traffic_deliveries")
    found = compared(served)
    assert (found.problem, found.served) == (None, found.decided)


def test_the_sweep_compares_once_an_hour(served: Store, provider: Provider) -> None:
    promoted(served)
    assert len(compare_traffic_when_due(served)) == 1
    assert compare_traffic_when_due(served) == ()


def test_no_secret_is_in_what_is_kept_or_told(served: Store, provider: Provider) -> None:
    promoted(served)
    provider.read_answers = [Answer(403, f"no: {TOKEN}".encode())]
    compared(served)
    tables = ("served_traffic", "traffic_deliveries", "notification_outbox")
    assert sum(count(served, f"SELECT count(*) FROM {one} t WHERE t::text LIKE '%%{TOKEN}%%'") for one in tables) == 0


def test_a_renamed_variant_is_found_and_mended_by_its_mapping(served: Store, provider: Provider) -> None:
    seeded = promoted(served)
    with served.connect() as connection:
        connection.execute("UPDATE ab_experiments SET name = 'y'")
        assert compared(served).is_well, "the experiment's name is no business of the flag"
        connection.execute("UPDATE ab_variants SET name = 'new' WHERE name = 'treatment'")
        found = compared(served)
        assert found.experiment_name == "y"
        for said in ("serves control 0 %, treatment 100 %", "decided control 0 %, new 100 %"):
            assert said in (found.problem or "")
        mapped = Jsonb({**TARGET, "variants": {"new": "treatment"}})
        connection.execute("UPDATE ab_experiments SET traffic_target = %s", [mapped])
    assert compared(served).is_well
    assert newest(served, seeded.id).state is TrafficState.VERIFIED


def test_an_answer_that_comes_drop_by_drop_ends(
    served: Store, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    promoted(served)
    monkeypatch.setattr("promotion_pipeline.traffic.targets.exchange.WHOLE_ANSWER_SECONDS", -1.0)
    assert "did not answer within" in (compared(served).unread or "")


def test_a_flag_that_our_own_doors_refuse_is_a_difference(store: Store) -> None:
    for name in ("x", "y"):
        seed_experiment(store, name, [VariantSpec("control", is_control=True), VariantSpec("treatment")])
    with store.connect() as connection, connection.transaction():
        # As it was before two experiments on one flag were refused.
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("UPDATE ab_experiments SET traffic_target = %s", [Jsonb({"kind": "ofrep", "flag": "f"})])
    assert all("both name this flag" in (split.problem or "") for split in compare_traffic(store))
    assert told(store, "traffic_differs") == 2
