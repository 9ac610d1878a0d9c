"""The specification's own database: adopted, and everything about it by command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from promotion_pipeline.store import migrate
from promotion_pipeline.store.connection import connect
from promotion_pipeline.store.database import Connection, close_current_stores
from promotion_pipeline_tests.adoption import specified
from promotion_pipeline_tests.cli.conftest import Run

_COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
    WHERE table_name = ANY(ARRAY['ab_experiments', 'ab_variants', 'ai_requests', 'experiment_promotions', 'users'])
"""


@pytest.fixture
def brought(new_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of the specification's database, which the environment names."""
    with connect(new_database) as connection:
        specified.bring(connection)
    for name in ("AUTO_PROMOTION_DAGSTER_DATABASE_URL", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AUTO_PROMOTION_DATABASE_URL", new_database)
    monkeypatch.setenv("AUTO_PROMOTION_HOME", str(tmp_path))
    yield new_database
    close_current_stores()


def test_it_is_adopted_promoted_watched_and_rolled_back_by_command(brought: str, run_anywhere: Run) -> None:
    run = run_anywhere
    with connect(brought) as connection:
        before = _columns(connection)
        rows = connection.execute("SELECT * FROM experiment_promotions ORDER BY id").fetchall()
    adopted, created, revision = run("db", "upgrade").out.splitlines()
    assert adopted == (
        "adopted: public.ab_experiments, public.ab_variants, public.ai_requests, public.experiment_promotions"
    )
    assert created.startswith("created in the schema public: ")
    assert revision == f"the schema is at revision {migrate.head_revision()}"
    with connect(brought) as connection:
        assert before <= _columns(connection)
        kept = connection.execute("SELECT * FROM experiment_promotions ORDER BY id").fetchall()
        assert [{name: row[name] for name in rows[0]} for row in kept] == rows

    assert run("history", "was-promoted", "--json").data["latestPromotion"]["state"] == "promoted"
    gone = run("history", "was-rolled-back", "--json").data["latestPromotion"]
    assert (gone["state"], gone["rollbackReason"], gone["metadata"]) == (
        "rolled_back",
        "errors",
        {"jiraTicket": "PROJ-123"},
    )
    shown = run("history", "was-rolled-back").out
    assert ("errors" in shown, "None" in shown, "not recorded" in shown) == (True, False, False)
    assert "cannot be recomputed" in run("history", "was-promoted", "--verify").out
    assert run("check", "runs", "--json").data["isPromotable"] is True

    assert run("auto-check", "--by", "cron", "--json").data["promoted"] == 1
    latest = run("history", "runs", "--json").data["latestPromotion"]
    assert (latest["promotedBy"], latest["state"]) == ("cron", "promoted")
    watched = run("watch", "--json").data
    assert [(one["experimentName"], one["requests"]) for one in watched] == [("runs", 0)]
    for name, said in (("runs", "control 50 %, treatment 50 %"), ("was-promoted", "was not recorded")):
        undone = run("rollback", name, "--reason", "errors", "--by", "maria", "--yes")
        assert (undone.code, said in undone.out) == (0, True), (name, undone.out, undone.err)
    assert run("doctor", "--json").code in {0, 1}


def test_its_application_goes_on_promoting_and_rolling_back(brought: str, run_anywhere: Run) -> None:
    run_anywhere("db", "upgrade")
    with connect(brought) as connection:
        connection.execute("UPDATE experiment_promotions SET metadata = '{}', rollback_at = rollback_at")
        connection.execute(
            "UPDATE experiment_promotions SET rollback_at = now(), rollback_reason = 'theirs' WHERE rollback_at IS NULL"
        )
        connection.execute(
            """
            INSERT INTO experiment_promotions (id, experiment_id, experiment_name, promoted_variant_id,
                promoted_variant_name, control_variant_id, control_variant_name, confidence, improvement, sample_size,
                promotion_type, promoted_by, promoted_at)
            SELECT gen_random_uuid(), experiment_id, experiment_name, promoted_variant_id, promoted_variant_name,
                control_variant_id, control_variant_name, 99, 10, 2000, 'manual', gen_random_uuid(),
                now() AT TIME ZONE 'UTC' FROM experiment_promotions WHERE experiment_name = 'was-promoted'
            """
        )
    history = run_anywhere("history", "was-promoted", "--json").data["history"]
    assert [(one["state"], one["rollbackReason"]) for one in history] == [("promoted", None), ("rolled_back", "theirs")]


def test_what_we_recorded_in_their_table_stays_as_it_was(brought: str, run_anywhere: Run) -> None:
    run_anywhere("db", "upgrade")
    run_anywhere("promote", "runs", "--by", "user-123")
    with connect(brought) as connection:
        for statement in (
            "UPDATE experiment_promotions SET confidence = 1 WHERE experiment_name = 'runs'",
            "DELETE FROM experiment_promotions WHERE experiment_name = 'runs'",
        ):
            with pytest.raises(Exception, match=r"what was recorded|no way from"):
                connection.execute(statement.encode())
        row = connection.execute(
            "SELECT promoted_by, promoted_by_name FROM experiment_promotions WHERE experiment_name = 'runs'"
        ).fetchone()
    assert row == {"promoted_by": None, "promoted_by_name": "user-123"}


def test_a_ramp_that_whole_percents_cannot_express_is_refused_and_a_third_is_shared_out(
    brought: str, run_anywhere: Run
) -> None:
    run_anywhere("db", "upgrade")
    refused = run_anywhere("promote", "runs", "--by", "maria", "--set", "ramp_steps=66.6,100")
    assert (refused.code, "cannot hold 66.60 %" in refused.err) == (4, True)
    assert run_anywhere("promote", "runs", "--by", "maria", "--set", "ramp_steps=75,100").code == 0
    with connect(brought) as connection:
        shares = connection.execute(
            "SELECT v.name, traffic_percentage AS share FROM ab_variants v"
            " JOIN ab_experiments e ON e.id = experiment_id WHERE e.name = 'runs' ORDER BY 1"
        ).fetchall()
    assert [row["share"] for row in shares] == [25, 75]


def _columns(connection: Connection) -> set[tuple[object, ...]]:
    return {tuple(row.values()) for row in connection.execute(_COLUMNS.encode())}


def test_a_check_of_theirs_is_one_line_at_the_command(brought: str, run_anywhere: Run) -> None:
    run_anywhere("db", "upgrade")
    with connect(brought) as connection:
        connection.execute("ALTER TABLE ab_variants ADD CONSTRAINT at_most CHECK (traffic_percentage <= 90) NOT VALID")
    refused = run_anywhere("promote", "runs", "--by", "maria", "--yes")
    assert (refused.code, refused.err.count("error: "), "Traceback" in refused.err) == (4, 1, False)
    assert "constraint at_most of the table ab_variants" in refused.err
