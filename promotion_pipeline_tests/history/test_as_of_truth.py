"""What was in force at an hour decides it, whenever it is decided: thresholds, variants, splits, environment."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.decisions.experiments import read_experiments, read_present_experiments
from promotion_pipeline.decisions.window import evaluate_window
from promotion_pipeline.decisions.write import Table
from promotion_pipeline.promotion.act.holds import release_hold
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.act.rollback import rollback_promotion
from promotion_pipeline.promotion.history.evidence import holds_of
from promotion_pipeline.promotion.judge.assess import assess
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.store.clock import database_now
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.history.quarter import differences, happened_at, live_through
from promotion_pipeline_tests.seeding import Seeded, VariantSpec, count, seed_experiment

HOUR = timedelta(hours=1)
STRICT = """UPDATE ab_experiments SET promotion_config = '{"min_improvement_percent": 50}'"""


def decided(store: Store, seeded: Seeded, hours: int) -> None:
    """Decisions of record about the last hours."""
    rollup_window(store, seeded.start, seeded.end)
    evaluate_window(store, seeded.end - hours * HOUR, seeded.end)


def changed(connection: Connection, seeded: Seeded, hours_ago: float, statement: str) -> None:
    """A change as if it had been made before the newest hour's end."""
    began = database_now(connection)
    connection.execute(statement)
    happened_at(connection, began, seeded.end - timedelta(hours=hours_ago))


def verdicts(connection: Connection, label: str = "record") -> list[str]:
    rows = connection.execute("SELECT verdict FROM eligibility_decisions WHERE label = %s ORDER BY hour", [label])
    return [row["verdict"] for row in rows]


def states(connection: Connection) -> list[dict[str, Any]]:
    return connection.execute(
        "SELECT promotion_config, nullif(valid_from, '-infinity') AS valid_from FROM ab_experiment_history"
        " ORDER BY ab_experiment_history.valid_from"
    ).fetchall()


def test_a_quarter_that_changed_all_the_time_is_decided_again_bit_for_bit(store: Store) -> None:
    """Twelve days; `python -m promotion_pipeline_tests.history.quarter` is the whole quarter, an hour a run."""
    hours = 12 * 24
    ended = live_through(store, hours, longest=48, changes_an_hour=0.4)
    assert count(store, "SELECT count(*) FROM eligibility_decisions WHERE label = 'record'") > 3 * hours
    assert count(store, "SELECT count(DISTINCT verdict) FROM eligibility_decisions") >= 4
    assert count(store, "SELECT count(*) FROM ab_experiment_history") > 40
    assert {table: len(rows) for table, rows in differences(ended, hours).items()} == dict.fromkeys(Table, 0)


def test_thresholds_count_from_the_next_as_of_on(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "checkout")
    rollup_window(store, seeded.start, seeded.end)
    evaluate_window(store, seeded.end - 6 * HOUR, seeded.end - 5 * HOUR)
    changed(connection, seeded, 3.5, STRICT)
    changed(connection, seeded, 1, "UPDATE ab_experiments SET promotion_config = NULL")
    evaluate_window(store, seeded.end - 5 * HOUR, seeded.end)
    # The change back is made at the very end of the fifth hour, and so counts from the sixth on.
    assert verdicts(connection) == ["eligible"] * 2 + ["rejected"] * 3 + ["eligible"]
    evaluate_window(store, seeded.end - 6 * HOUR, seeded.end)
    assert verdicts(connection, "latest") == verdicts(connection)


def test_what_was_never_decided_upon_is_still_being_set_up(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "checkout")
    connection.execute(STRICT)
    assert [state["promotion_config"] for state in states(connection)] == [{"min_improvement_percent": 50}]
    decided(store, seeded, 1)
    connection.execute("UPDATE ab_experiments SET promotion_config = '{}'")
    assert [state["promotion_config"] for state in states(connection)] == [{"min_improvement_percent": 50}, {}]


def test_a_variant_that_came_or_changed_later_is_not_there_before(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "checkout")
    decided(store, seeded, 2)
    with connection.transaction():
        connection.execute("UPDATE ab_variants SET name = 'renamed', traffic_percentage = 20 WHERE NOT is_control")
        connection.execute(
            "INSERT INTO ab_variants (experiment_id, name, traffic_percentage) VALUES (%s, 'third', 30)", [seeded.id]
        )
    then = read_experiments(store, seeded.end - HOUR, seeded.end)
    assert dict(zip(then["variant_name"], then["traffic_percentage"], strict=True)) == {"control": 50, "treatment": 50}
    assert set(read_present_experiments(store)["variant_name"]) == {"control", "renamed", "third"}


def test_a_change_of_split_and_its_phase_are_one_instant(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "checkout")
    decided(store, seeded, 1)
    with connection.transaction():
        connection.execute("UPDATE ab_variants SET traffic_percentage = CASE WHEN is_control THEN 10 ELSE 90 END")
        connection.execute(STRICT)
    newest = connection.execute("SELECT max(started_at) AS at FROM ab_experiment_phases").fetchone()
    assert newest is not None
    assert [state["valid_from"] for state in states(connection)[1:]] == [newest["at"]]


def test_an_update_that_changes_nothing_adds_nothing(store: Store, connection: Connection) -> None:
    decided(store, seed_experiment(store, "checkout"), 1)
    connection.execute("UPDATE ab_experiments SET promotion_config = promotion_config, owner_channel = '#x'")
    assert len(states(connection)) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ab_experiment_history SET promotion_config = '{\"min_sample_size\": 1}'",
        "DELETE FROM ab_experiment_history",
        "TRUNCATE ab_experiment_history",
        "UPDATE evaluation_hours SET hour = hour + interval '1 hour'",
        "UPDATE evaluation_environments SET config = '{}'",
        "DELETE FROM ab_hold_history",
    ],
)
def test_history_is_not_rewritten(store: Store, connection: Connection, statement: str) -> None:
    seed_experiment(store, "checkout")
    connection.execute("UPDATE ab_experiments SET auto_promotion_hold = 'wait'")
    decided(store, seed_experiment(store, "other"), 1)
    with pytest.raises(psycopg.errors.CheckViolation, match="append-only"):
        connection.execute(statement)


def test_the_environment_of_an_hour_is_that_of_its_first_decision(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "checkout")
    rollup_window(store, seeded.start, seeded.end)
    strict = replace(
        store, settings=store.settings.model_copy(update={"thresholds": PromotionConfig(min_improvement_percent=50)})
    )
    evaluate_window(strict, seeded.end - 4 * HOUR, seeded.end - 2 * HOUR)
    evaluate_window(store, seeded.end - 4 * HOUR, seeded.end)
    assert verdicts(connection) == ["rejected"] * 2 + ["eligible"] * 2
    assert verdicts(connection, "latest") == ["rejected"] * 2
    # A question about other thresholds is asked of what was in force otherwise, and leaves nothing behind.
    evaluate_window(store, seeded.end - 4 * HOUR, seeded.end, config=PromotionConfig(min_sample_size=500), label="500")
    assert verdicts(connection, "500") == ["rejected"] * 2 + ["eligible"] * 2
    assert count(store, "SELECT count(*) FROM evaluation_environments") == 2


def test_a_check_of_the_past_uses_what_was_in_force_and_one_of_now_what_is(
    store: Store, connection: Connection
) -> None:
    seeded = seed_experiment(store, "checkout")
    decided(store, seeded, 3)
    changed(connection, seeded, -0.01, STRICT)
    past, now = (assess(store, ["checkout"], as_of=at)[0] for at in (seeded.end - HOUR, None))
    assert (past.verdict.value, now.verdict.value) == ("eligible", "rejected")
    assert [check.threshold for check in past.checks if check.name == "min_improvement"] == [5.0]


def test_a_promotion_after_a_change_does_not_become_the_record_of_before(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "checkout")
    decided(store, seeded, 3)
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("DELETE FROM eligibility_decisions WHERE as_of = %s", [seeded.end])
    connection.execute("UPDATE ab_experiments SET promotion_config = '{\"min_improvement_percent\": 1}'")
    promote_winner("checkout", "manual", "anna", store=store)
    assert len(verdicts(connection)) == 2


def test_holds_are_told_as_they_were(store: Store) -> None:
    seeded = seed_experiment(store, "checkout")
    promote_winner("checkout", "manual", "anna", store=store)
    rollback_promotion("checkout", "errors", "bert", store=store)
    assert [(hold.valid_until, "errors" in hold.reason) for hold in holds_of(store, seeded.id)] == [(None, True)]
    release_hold("checkout", "anna", store=store)
    (hold,) = holds_of(store, seeded.id)
    assert hold.valid_until is not None and hold.valid_until > hold.valid_from


def test_hours_in_which_every_experiment_was_stopped_have_no_decision(store: Store, connection: Connection) -> None:
    seeded = seed_experiment(store, "checkout")
    rollup_window(store, seeded.start, seeded.end)
    changed(connection, seeded, 1.5, "UPDATE ab_experiments SET is_active = false")
    evaluate_window(store, seeded.end - 2 * HOUR, seeded.end - HOUR)
    evaluate_window(store, seeded.end - HOUR, seeded.end)
    evaluate_window(store, seeded.end - 3 * HOUR, seeded.end)
    assert len(verdicts(connection)) == 1


def test_an_experiment_that_is_announced_is_not_started_until_it_starts(store: Store, connection: Connection) -> None:
    end = seed_experiment(store, "now").end
    seed_experiment(store, "later", [VariantSpec("control", True), VariantSpec("b")], start=end + 5 * HOUR)
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("UPDATE ab_experiment_history SET noted_at = %s", [end - 3 * HOUR])
    frame = read_experiments(store, end - 10 * HOUR, end)
    assert set(frame["name"]) == {"now", "later"}
    assert read_experiments(store, end - 10 * HOUR, end - 5 * HOUR)["name"].unique().tolist() == ["now"]
