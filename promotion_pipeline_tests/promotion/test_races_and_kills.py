"""Many at once, and processes that die in the middle: exactly once in effect."""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from promotion_pipeline import auto_check_promotions, get_promotion_history, promote_winner, rollback_promotion
from promotion_pipeline.errors import ConflictError, DependencyError
from promotion_pipeline.promotion.act.recorded import write_decision_of_record
from promotion_pipeline.promotion.judge.assess import judge
from promotion_pipeline.promotion.record.faults import FaultPoint
from promotion_pipeline.promotion.unattended.pending import apply_pending, pending_promotions
from promotion_pipeline.rollups.catching_up import roll_up_missing
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.promotion.racers import act_and_die, promote_once
from promotion_pipeline_tests.seeding import UNPROVEN, WINNER, count, let_time_pass, seed_experiment, split_of

# Real processes, forked from one that has done the imports: they cost seconds each otherwise.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["promotion_pipeline_tests.promotion.racers"])
RACERS = 16


def consistent(store: Store) -> None:
    """What must hold whatever happened."""
    with store.connect() as connection:
        rows = connection.execute(
            """
            SELECT e.name, e.is_active,
                (SELECT sum(traffic_percentage) FROM ab_variants v WHERE v.experiment_id = e.id) AS total,
                (SELECT count(*) FROM experiment_promotions p
                    WHERE p.experiment_id = e.id AND p.state IN ('ramping', 'promoted')) AS live,
                (SELECT count(*) FROM experiment_promotions p WHERE p.experiment_id = e.id) AS recorded,
                (SELECT count(*) FROM promotion_audit a
                    WHERE a.experiment_id = e.id AND a.action = 'promote') AS audited,
                (SELECT count(*) FROM notification_outbox o WHERE o.experiment_id = e.id
                    AND o.event LIKE 'promotion%%') AS told,
                o.is_running, o.traffic = (SELECT jsonb_object_agg(id::text, traffic_percentage) FROM ab_variants v
                    WHERE v.experiment_id = e.id) AS is_in_step
            FROM ab_experiments e JOIN ab_experiment_phases o ON o.experiment_id = e.id AND o.ended_at IS NULL
            """
        ).fetchall()
    for row in rows:
        assert row["total"] == 100, row
        assert row["live"] == (0 if row["is_active"] else 1), row
        assert row["recorded"] == row["audited"] == row["told"], row
        assert (row["is_running"], row["is_in_step"]) == (row["is_active"], True), row


def test_16_processes_at_once_promote_once(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    barrier, answers = PROCESSES.Barrier(RACERS), PROCESSES.Queue()
    racers = [PROCESSES.Process(target=promote_once, args=(store.url, n, barrier, answers)) for n in range(RACERS)]
    for racer in racers:
        racer.start()
    said = Counter(answers.get(timeout=150) for _ in racers)
    for racer in racers:
        racer.join(timeout=30)
    assert said == {"promoted": 1, "AlreadyPromotedError": RACERS - 1}
    assert split_of(store, seeded) == {"control": Decimal(0), "treatment": Decimal(100)}
    assert len(get_promotion_history("x", store=store)) == 1
    assert count(store, "SELECT count(*) FROM ab_experiment_phases") == 2
    consistent(store)


def test_sensor_person_sweep_and_rollback_racing_leave_one_consistent_state(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    decide(store)

    def act(number: int) -> str:
        acts: list[Any] = [
            lambda: promote_winner("x", "manual", f"p{number}", store=store),
            lambda: rollback_promotion("x", "race", f"r{number}", store=store),
            lambda: auto_check_promotions(f"s{number}", store=store),
            lambda: apply_pending(store, seeded.id, f"a{number}"),
        ]
        try:
            acts[number % 4]()
            return "done"
        except ConflictError as error:
            return type(error).__name__
        except Exception as error:
            # After a rollback measurement begins anew: not eligible is a clear answer, too.
            return type(error).__name__

    with ThreadPoolExecutor(16) as pool:
        said = Counter(pool.map(act, range(32)))
    assert said.keys() <= {"done", "AlreadyPromotedError", "NothingToRollBackError", "NotEligibleError"}, said
    consistent(store)


def decide(store: Store) -> None:
    judged = judge(store, None)
    roll_up_missing(store, judged.as_of)
    with store.connect() as connection:
        for assessment in judged.assessments:
            write_decision_of_record(connection, assessment)


def killed(store: Store, act: str, point: FaultPoint) -> bool:
    process = PROCESSES.Process(target=act_and_die, args=(store.url, act, point.value))
    process.start()
    process.join(timeout=60)
    return process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    "point", [FaultPoint.ATTEMPT_BEGUN, FaultPoint.TRAFFIC_SET, FaultPoint.BEFORE_COMMIT, FaultPoint.ATTEMPT_UNFINISHED]
)
def test_a_killed_apply_is_finished_by_the_next_tick(store: Store, point: FaultPoint) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    decide(store)
    assert killed(store, "apply", point)
    consistent(store)
    for waiting in pending_promotions(store, claim_seconds=0):
        assert waiting.attempt == 2
        apply_pending(store, waiting.experiment_id, "sensor")
    consistent(store)
    assert split_of(store, seeded)["treatment"] == 100
    assert len(get_promotion_history("x", store=store)) == 1


@pytest.mark.parametrize("point", [FaultPoint.RECORD_WRITTEN, FaultPoint.AFTER_COMMIT])
def test_a_killed_rollback_happened_or_did_not(store: Store, point: FaultPoint) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    promote_winner("x", "auto", "sensor", store=store)
    assert killed(store, "rollback", point)
    consistent(store)
    rolled_back = point is FaultPoint.AFTER_COMMIT
    assert get_promotion_history("x", store=store)[0].is_live != rolled_back
    assert split_of(store, seeded)["treatment"] == (50 if rolled_back else 100)


def test_a_killed_approval_leaves_the_request_open(store: Store) -> None:
    seed_experiment(store, "x", UNPROVEN)
    auto_check_promotions("cron", store=store)
    assert killed(store, "approve", FaultPoint.TRAFFIC_SET)
    consistent(store)
    assert count(store, "SELECT count(*) FROM promotion_approvals WHERE state = 'awaiting_approval'") == 1


def test_a_killed_ramp_step_is_taken_later(store: Store) -> None:
    from promotion_pipeline_tests.promotion.test_ramp_and_watch import HEALTHY, RAMP, served_since

    seeded = seed_experiment(store, "x", WINNER, promotion_config=RAMP)
    promotion = promote_winner("x", "auto", "sensor", store=store)
    served_since(store, seeded, promotion, 25, HEALTHY)
    assert killed(store, "apply", FaultPoint.TRAFFIC_SET)
    assert split_of(store, seeded)["treatment"] == 75
    for waiting in pending_promotions(store, claim_seconds=0):
        apply_pending(store, waiting.experiment_id, "sensor")
    assert split_of(store, seeded)["treatment"] == 100
    consistent(store)


@pytest.mark.parametrize("table", ["experiment_promotions", "promotion_audit", "notification_outbox"])
def test_a_database_that_goes_away_in_the_middle_is_one_clear_error_and_no_half_promotion(
    store: Store, table: str
) -> None:
    seeded = seed_experiment(store, "x", WINNER)
    with store.connect() as connection:
        connection.execute(
            "CREATE FUNCTION hang_up() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$"
        )
        connection.execute(f"CREATE TRIGGER hang_up BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION hang_up()")
    with pytest.raises(DependencyError, match="the database went away"):
        promote_winner("x", "auto", "sensor", store=store)
    consistent(store)
    assert split_of(store, seeded)["treatment"] == 50
    with store.connect() as connection:
        connection.execute(f"DROP TRIGGER hang_up ON {table}")
    promote_winner("x", "auto", "sensor", store=store)
    consistent(store)


def test_an_application_that_changes_the_split_meanwhile_does_not_deadlock(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER)

    def change(number: int) -> str:
        with store.connect() as connection, connection.transaction():
            connection.execute(
                "UPDATE ab_variants SET traffic_percentage = CASE WHEN is_control THEN %s ELSE 100 - %s END"
                " WHERE experiment_id = %s",
                [40 + number, 40 + number, seeded.id],
            )
        return "changed"

    def promote(number: int) -> str:
        try:
            promote_winner("x", "manual", f"p{number}", {"min_runtime_hours": 0}, store=store)
        except Exception as error:
            return type(error).__name__
        return "promoted"

    with ThreadPoolExecutor(8) as pool:
        said = Counter(pool.map(lambda n: (change if n % 2 else promote)(n), range(16)))
    assert said["changed"] == 8
    assert said.keys() <= {"changed", "promoted", "AlreadyPromotedError", "NotEligibleError"}, said
    assert count(store, "SELECT count(*) FROM ab_experiment_phases WHERE ended_at IS NULL") == 1
    let_time_pass(store, seeded, 1)
