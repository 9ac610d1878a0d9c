"""Constraints, types and triggers of the application on tables that we write: one line, one experiment alone."""

from __future__ import annotations

import pytest

from promotion_pipeline import ConflictError, promote_winner
from promotion_pipeline.cron import run_sweep
from promotion_pipeline.promotion.record.transaction import database_errors
from promotion_pipeline.promotion.unattended.watch import WatchAction, watch_promotions
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.promotion.test_ramp_and_watch import FAILING, served_since
from promotion_pipeline_tests.seeding import WINNER, count, seed_experiment

TRIGGER = """
CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the split is frozen until monday' {code}; END $$;
CREATE {kind} TRIGGER theirs AFTER UPDATE ON ab_variants {when} FOR EACH ROW EXECUTE FUNCTION theirs();
"""
REFUSALS = {
    "a check": ("ALTER TABLE ab_variants ADD CONSTRAINT at_most CHECK (traffic_percentage <= 90)", "at_most"),
    "a trigger": (TRIGGER.format(kind="", when="", code=""), "frozen until monday"),
    "a trigger with a code of its own": (
        TRIGGER.format(kind="", when="", code="USING ERRCODE = 'U0001'"),
        "frozen until monday",
    ),
    "a trigger at the end": (
        TRIGGER.format(kind="CONSTRAINT", when="DEFERRABLE INITIALLY DEFERRED", code=""),
        "frozen until monday",
    ),
    "a short column": ("ALTER TABLE experiment_promotions ALTER promoted_by TYPE varchar(3)", "too long"),
}


def _change(store: Store, statement: str) -> None:
    with store.connect() as connection:
        connection.execute(statement.encode())


@pytest.mark.parametrize(("change", "said"), REFUSALS.values(), ids=REFUSALS)
def test_what_the_applications_tables_do_not_allow_is_a_conflict_in_one_line(
    store: Store, change: str, said: str
) -> None:
    seed_experiment(store, "x", WINNER)
    _change(store, change)
    with pytest.raises(ConflictError, match=said) as refused:
        promote_winner("x", "manual", "maria", store=store)
    assert "nothing was changed" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert count(store, "SELECT count(*) FROM experiment_promotions") == 0


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE experiment_promotions ADD CHECK (experiment_name <> 'a' OR rollback_reason IS NULL)",
        "CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'frozen'; END $$;"
        " CREATE CONSTRAINT TRIGGER theirs AFTER UPDATE ON experiment_promotions DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW WHEN (NEW.experiment_name = 'a' AND NEW.rollback_at IS NOT NULL) EXECUTE FUNCTION theirs()",
    ],
    ids=["at once", "at the end"],
)
def test_a_rollback_that_is_refused_stops_no_other_experiment_and_is_told(store: Store, change: str) -> None:
    for name in ("a", "b"):
        seeded = seed_experiment(store, name, WINNER, promotion_config={"autoRollback": True})
        promotion = promote_winner(name, "auto", "sensor", store=store)
        served_since(store, seeded, promotion, 2, FAILING)
    seed_experiment(store, "c", WINNER)
    _change(store, change)
    swept = run_sweep("cron", store=store)
    assert [(one.experiment_name, one.action) for one in swept.watched] == [
        ("a", WatchAction.ALERTED),
        ("b", WatchAction.ROLLED_BACK),
    ]
    assert swept.promoted == 1
    stuck = "SELECT count(*) FROM notification_outbox WHERE event = 'watch_breach' AND payload->>'rollback' LIKE %s"
    (again,) = (one for one in watch_promotions(store) if one.experiment_name == "a")
    assert again.is_harmed
    assert count(store, stuck, "it could not be rolled back by itself: the database refuses it%") == 1


@pytest.mark.parametrize(
    ("statement", "remedy"),
    [
        ("SELECT E'\\xff'", "none in its encoding"),
        ("SELECT 100000::smallint", "widen the column"),
        ("SELECT 'x'::int", "change that, or the act"),
    ],
)
def test_a_refusal_ends_with_what_helps_against_it(connection: Connection, statement: str, remedy: str) -> None:
    with pytest.raises(ConflictError, match=remedy), database_errors():
        connection.execute(statement.encode())
