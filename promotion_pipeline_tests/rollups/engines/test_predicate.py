"""Requests that a mapping excludes are in no sum of any engine, and a predicate can be nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as hs

from promotion_pipeline.errors import ConfigError, InputError
from promotion_pipeline.rollups.configuration import parse_source
from promotion_pipeline.rollups.engines.duckdb import ENGINE
from promotion_pipeline.rollups.pushdown import compiled_log, read_source_rollups, requests_by_hour
from promotion_pipeline.rollups.sql.kinds import Kind
from promotion_pipeline.rollups.sql.predicate import predicate_sql
from promotion_pipeline.store.connection import connect
from promotion_pipeline_tests.rollups.engines.conftest import ENGINES, Open
from promotion_pipeline_tests.rollups.engines.logs import (
    HOUR,
    HOURS,
    SPRING,
    as_table,
    experiment_phases,
    requests,
    write_parquet,
    write_postgresql,
)
from promotion_pipeline_tests.rollups.engines.reference import assert_same, expected

END = SPRING + HOURS * HOUR
BOTS = "user_id = 'guest' OR (user_id LIKE 'ü-1%' AND NOT is_error) OR user_id IN ('ü-22', 'it''s')"
COLUMNS = {"agent": Kind.TEXT, "is_bot": Kind.BOOLEAN, "hits": Kind.INTEGER, "at": Kind.INSTANT, 'a "b"': Kind.NUMBER}


def _sql(given: str) -> str:
    return predicate_sql(given, COLUMNS, ENGINE.dialect, "logged")


@pytest.mark.parametrize(
    "engine", [pytest.param(name, marks=pytest.mark.every_engine) if name == "spark" else name for name in ENGINES]
)
def test_every_engine_leaves_the_same_requests_out(
    tmp_path: Path, log_url: str, open_engine: Open, engine: str
) -> None:
    log = requests(SPRING, 5, count=1500)
    if engine == "postgresql":
        with connect(log_url) as connection:
            write_postgresql(connection, log, "with_bots")
    source = open_engine(engine, files=write_parquet(log, tmp_path), table="with_bots", exclude=BOTS)
    phases = experiment_phases(SPRING)
    user = log["user_id"].fillna("")
    is_bot = (user == "guest") | (user.str.startswith("ü-1") & ~log["is_error"]) | (user == "ü-22")
    assert 100 < is_bot.sum() < 1_000
    known = as_table(log).to_pandas()
    kept = known[~is_bot.to_numpy()]
    assert_same(read_source_rollups(source, phases, SPRING, END), expected(kept, phases, SPRING, END))
    inside = (kept["created_at"] >= SPRING) & (kept["created_at"] < END)
    assert requests_by_hour(source, SPRING, END).sum() == inside.sum()


@pytest.mark.parametrize(
    ("given", "sql"),
    [
        ("is_bot", 'logged."is_bot"'),
        ("not hits", '(NOT (logged."hits" <> 0))'),
        ('"a ""b""" is null', None),
        ("agent != 'it''s'", "(logged.\"agent\" <> 'it''s')"),
        ("hits >= -3 and is_bot", '((logged."hits" >= -3) AND logged."is_bot")'),
        ("at is not null or hits not in (1, 2)", '((logged."at" IS NOT NULL) OR (logged."hits" NOT IN (1, 2)))'),
    ],
)
def test_what_is_written_is_put_together_anew(given: str, sql: str | None) -> None:
    if sql is None:
        with pytest.raises(ConfigError):
            _sql(given)
    else:
        assert _sql(given) == sql


@pytest.mark.parametrize(
    "given",
    [
        "",
        "is_bot; DROP TABLE x",
        "1 = 1",
        "is_bot = (SELECT true)",
        "agent = hits",
        "agent = 5",
        "hits = 'five'",
        "nobody",
        "agent",
        "at > '2026-01-01'",
        "agent LIKE '%\\%'",
        "hits LIKE '1%'",
        "agent = 'open",
        "is_bot) OR (is_bot",
        "is_bot is_bot",
        "hits IN ()",
        "agent IS 5",
        "pg_sleep(9)",
        "is_bot -- all",
        "/* all */ is_bot",
        "hits = 1e5",
        "NOT " * 60 + "is_bot",
        "(" * 60 + "is_bot" + ")" * 60,
        "is_bot OR " * 600 + "is_bot",
    ],
)
def test_whatever_is_no_predicate_on_the_columns_is_refused_with_what_would_be(given: str) -> None:
    with pytest.raises(ConfigError, match=r"exclude.*(COLUMN|characters)"):
        _sql(given)


@given(hs.text(max_size=40).map(lambda text: "agent = '" + text.replace("'", "''") + "'"))
def test_any_text_stays_a_text(given: str) -> None:
    try:
        found = _sql(given)
    except (ConfigError, InputError):
        return
    inside = found.removeprefix('(logged."agent" = \'').removesuffix("')")
    assert "'" not in inside.replace("''", "")


def test_a_log_that_is_not_looked_at_takes_no_predicate() -> None:
    with pytest.raises(ConfigError, match="name a view"):
        compiled_log(parse_source({"engine": "snowflake", "table": "log", "exclude": "is_bot"}))
