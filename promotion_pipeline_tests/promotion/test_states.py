"""The transition tables of the code and the triggers of the database say the same, over every pair."""

from __future__ import annotations

import itertools
from uuid import UUID

import psycopg
import pytest

from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.record.states import (
    APPROVAL_TRANSITIONS,
    LIVE_STATES,
    PROMOTION_STARTS,
    PROMOTION_TRANSITIONS,
    ApprovalState,
    PromotionState,
)
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.seeding import seed_experiment

TEMPLATE_COLUMNS = (
    "experiment_id, experiment_name, promoted_variant_id, promoted_variant_name, control_variant_id,"
    " control_variant_name, confidence, improvement, sample_size, promotion_type, promoted_by, evidence, p_value, z,"
    " evaluated_as_of, config, snapshot"
)


def insert_promotion(connection: Connection, state: PromotionState) -> UUID:
    """A copy of the one recorded promotion, for another experiment, in the given state."""
    row = connection.execute(
        "WITH made AS (INSERT INTO ab_experiments (name) VALUES (gen_random_uuid()::text) RETURNING id)"
        f" INSERT INTO experiment_promotions ({TEMPLATE_COLUMNS}, state)"
        f" SELECT made.id, {TEMPLATE_COLUMNS.split(', ', 1)[1]}, %s FROM experiment_promotions, made LIMIT 1"
        " RETURNING id",
        [state],
    ).fetchone()
    assert row is not None
    return UUID(str(row["id"]))


def moves(connection: Connection, statement: str, parameters: list[object]) -> bool:
    """Whether the database allows a change; it is undone either way."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement, parameters)
    except psycopg.errors.CheckViolation:
        return False
    return True


def test_promotions_move_as_their_table_says(store: Store) -> None:
    seed_experiment(store, "x")
    promote_winner("x", "manual", "anna", store=store)
    with store.connect() as connection:
        for start, end in itertools.product(PromotionState, PromotionState):
            if start is PromotionState.ROLLED_BACK:
                made = insert_promotion(connection, PromotionState.PROMOTED)
                connection.execute(
                    "UPDATE experiment_promotions SET state = 'rolled_back', rollback_at = now(),"
                    " rollback_reason = 'r', rolled_back_by = 'b' WHERE id = %s",
                    [made],
                )
            elif start is PromotionState.ENDED:
                # Only setting up over an older table writes it, before the table is guarded.
                with connection.transaction():
                    connection.execute("SET LOCAL session_replication_role = replica")
                    made = insert_promotion(connection, start)
            else:
                made = insert_promotion(connection, start)
            rolled = "now(), rollback_reason = 'r', rolled_back_by = 'b'"
            rest = "rollback_at = " + (
                rolled if end is PromotionState.ROLLED_BACK else "NULL, rollback_reason = NULL, rolled_back_by = NULL"
            )
            allowed = moves(
                connection, f"UPDATE experiment_promotions SET state = %s, {rest} WHERE id = %s", [end, made]
            )
            assert allowed == (end in PROMOTION_TRANSITIONS[start]), (start, end)


def test_records_begin_only_in_a_starting_state(store: Store) -> None:
    seed_experiment(store, "x")
    promote_winner("x", "manual", "anna", store=store)
    with store.connect() as connection:
        for state in PromotionState:
            try:
                with connection.transaction(force_rollback=True):
                    insert_promotion(connection, state)
                begins = True
            except psycopg.errors.CheckViolation:
                begins = False
            assert begins == (state in PROMOTION_STARTS), state


def test_the_unique_index_counts_exactly_the_live_states(store: Store) -> None:
    with store.connect() as connection:
        row = connection.execute(
            "SELECT pg_get_expr(indpred, indrelid) AS condition FROM pg_index"
            " WHERE indexrelid = 'experiment_promotions_one_live'::regclass"
        ).fetchone()
    assert row is not None
    assert {state for state in PromotionState if f"'{state.value}'" in row["condition"]} == LIVE_STATES


def test_approvals_move_as_their_table_says(store: Store) -> None:
    seeded = seed_experiment(store, "x")
    with store.connect() as connection:
        for start, end in itertools.product(ApprovalState, ApprovalState):
            connection.execute("UPDATE promotion_approvals SET state = 'expired' WHERE state = 'approved'")
            row = connection.execute(
                "INSERT INTO promotion_approvals (experiment_id, candidate_variant_id, candidate_variant_name, as_of,"
                " decision, expires_at) VALUES (%s, %s, 't', now(), '{}', now() + interval '1 day') RETURNING id",
                [seeded.id, seeded.variant_ids["treatment"]],
            ).fetchone()
            assert row is not None
            change = (
                "UPDATE promotion_approvals SET state = %s, answered_at = CASE WHEN %s THEN now() END WHERE id = %s"
            )
            if start is not ApprovalState.AWAITING_APPROVAL:
                connection.execute(change, [start, True, row["id"]])
            allowed = moves(connection, change, [end, end is not ApprovalState.AWAITING_APPROVAL, row["id"]])
            assert allowed == (end in APPROVAL_TRANSITIONS[start]), (start, end)
            if start is ApprovalState.AWAITING_APPROVAL:
                connection.execute(change, [ApprovalState.EXPIRED, True, row["id"]])


REWRITES = (
    "DELETE FROM experiment_promotions",
    "TRUNCATE experiment_promotions CASCADE",
    "UPDATE experiment_promotions SET promoted_by = 'someone else', state = 'rolled_back', rollback_at = now(),"
    " rollback_reason = 'r', rolled_back_by = 'b'",
    "UPDATE experiment_promotions SET snapshot = '{}'",
    "DELETE FROM promotion_audit",
    "UPDATE promotion_audit SET actor = 'someone else'",
    "TRUNCATE promotion_audit",
    "DELETE FROM promotion_approvals",
    "TRUNCATE promotion_approvals",
)


def test_history_only_grows(store: Store) -> None:
    seed_experiment(store, "x")
    promote_winner("x", "manual", "anna", store=store)
    with store.connect() as connection:
        connection.execute(
            "INSERT INTO promotion_approvals (experiment_id, candidate_variant_id, candidate_variant_name, as_of,"
            " decision, expires_at) SELECT id, id, 't', now(), '{}', now() FROM ab_experiments"
        )
        for statement in REWRITES:
            with pytest.raises(psycopg.DatabaseError, match=r"append-only|does not change|no way"):
                connection.execute(statement)
