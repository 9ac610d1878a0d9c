"""What is done with every cell: the schema, a tick, a promotion, the watch, a rollback, the application between."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import SecretStr

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import AdoptionError
from promotion_pipeline.orchestration.in_process import InProcess
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.act.rollback import rollback_promotion
from promotion_pipeline.promotion.history.history import get_promotion_history
from promotion_pipeline.promotion.judge.check import check_promotion_eligibility
from promotion_pipeline.promotion.unattended.watch import watch_promotions
from promotion_pipeline.store import migrate
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.connection import connect
from promotion_pipeline.store.database import Connection, Store
from promotion_pipeline_tests.adoption.cells import Cell
from promotion_pipeline_tests.adoption.team import APPLICATION, Application, Team

_SHAPE = """
    SELECT n.nspname, c.relname, c.relkind::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        (SELECT count(*) FROM pg_trigger WHERE tgrelid = c.oid) AS triggers
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1, 2, 4
"""


@dataclass(frozen=True)
class Ending:
    """How a cell went."""

    cell: str
    refusal: tuple[str, ...] = ()
    """The lines of the refusal; empty: everything worked."""

    def __str__(self) -> str:
        return "refused: " + "; ".join(self.refusal) if self.refusal else "works"


def play(cell: Cell, url: str, home: Path, *, direct: str | None = None, through_dagster: bool = False) -> Ending:
    """Take a cell from the team's empty database to a rollback.

    Args:
        direct: where the team's application connects to, if the product goes through a pooler.

    Raises:
        AssertionError: a step did not do what it should.
    """
    with connect(direct or url) as connection:
        Team(cell, connection).bring()
        connection.execute(
            f"ALTER ROLE CURRENT_USER IN DATABASE {_name(connection)} SET search_path = {cell.path}".encode()
        )
        before = connection.execute(_SHAPE.encode()).fetchall()
    try:
        migrate.upgrade(url)
    except AdoptionError as error:
        with connect(url) as connection:
            assert connection.execute(_SHAPE.encode()).fetchall() == before, "refused, and something was changed"
        return Ending(cell.name, error.lines)
    migrate.upgrade(url)
    store = Store(url, Settings(home=home, database_url=SecretStr(url)))
    _live_through(cell, store, direct or url, through_dagster=through_dagster)
    return Ending(cell.name)


def _live_through(cell: Cell, store: Store, direct: str, *, through_dagster: bool) -> None:
    with _application(cell, direct) as application:
        application.write_as_ever()
    with store.connect() as connection:
        split = _split(connection)
        phases = connection.execute(
            "SELECT e.name::text, count(*) AS phases FROM ab_experiment_phases p JOIN ab_experiments e"
            " ON e.id = p.experiment_id GROUP BY 1 ORDER BY 1"
        ).fetchall()
        newest = newest_complete_hour(connection)
    known = {row["name"]: row["phases"] for row in phases}
    assert known == {"mine": 3, "mine-too": 1, "runs": 1}, known
    _tick(store, newest, through_dagster=through_dagster)
    eligibility = check_promotion_eligibility("runs", store=store)
    assert eligibility.is_eligible, eligibility.reasons
    assert eligibility.runtime_hours == 96, eligibility.runtime_hours
    promoted = promote_winner("runs", "manual", "user-123", store=store)
    assert promoted.promoted_by == "user-123"
    with store.connect() as connection:
        assert _split(connection) == {"control": 0, "treatment": 100}
    with _application(cell, direct) as application:
        application.serve("runs", "now()", "now() + interval '1 millisecond'", 20)
    watched = watch_promotions(store)
    assert [result.requests for result in watched] == [20], watched
    rolled_back = rollback_promotion("runs", "errors", "maria", store=store)
    assert rolled_back.state == "rolled_back"
    with store.connect() as connection:
        assert _split(connection) == split
    assert [one.rollback_reason for one in get_promotion_history("runs", store=store)] == ["errors"]


def _tick(store: Store, newest: Any, *, through_dagster: bool) -> None:
    start = newest - timedelta(hours=2)
    if through_dagster:
        with dg.DagsterInstance.ephemeral() as instance:
            InProcess(instance, store, log_level="CRITICAL").run_hours(start, newest)
    else:
        from promotion_pipeline.rollups.catching_up import roll_up_missing

        assert roll_up_missing(store, newest).requests > 0
    with store.connect() as connection:
        rolled = connection.execute(
            "SELECT sum(r.requests)::int AS n, sum(r.conversions)::int AS c, sum(r.errors)::int AS e,"
            " sum(r.latency_samples)::int AS l, sum(r.user_requests)::int AS u FROM hourly_variant_rollups r"
            " JOIN ab_experiments x ON x.id = r.experiment_id WHERE x.name::text = 'runs'"
        ).fetchone()
    assert rolled is not None
    assert rolled["c"] == rolled["n"] * 13 // 100, rolled
    assert rolled["e"] == rolled["n"] // 100, rolled
    assert rolled["l"] == rolled["u"] == rolled["n"], rolled


def _split(connection: Connection) -> dict[str, Any]:
    rows = connection.execute(
        "SELECT v.name::text, traffic_percentage::float8 AS share FROM ab_variants v JOIN ab_experiments e"
        " ON e.id = v.experiment_id WHERE e.name::text = 'runs' ORDER BY 1"
    )
    return {row["name"]: row["share"] for row in rows}


@contextlib.contextmanager
def _application(cell: Cell, url: str) -> Iterator[Application]:
    """A session of the application's own role."""
    with connect(url) as connection:
        connection.execute(f"SET SESSION AUTHORIZATION {APPLICATION}".encode())
        yield Application(cell, connection)


def _name(connection: Connection) -> str:
    row = connection.execute("SELECT quote_ident(current_database()) AS name").fetchone()
    assert row is not None
    return str(row["name"])
