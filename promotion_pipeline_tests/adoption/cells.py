"""The kinds of tables that a team may bring: one cell a way in which they differ from ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

COLUMNS = {
    "ab_experiments.id": "uuid",
    "ab_experiments.name": "text",
    "ab_experiments.is_active": "boolean",
    "ab_experiments.start_date": "timestamptz NOT NULL",
    "ab_variants.id": "uuid",
    "ab_variants.traffic_percentage": "numeric(5,2)",
    "ai_requests.id": "uuid",
    "ai_requests.user_id": "text",
    "ai_requests.created_at": "timestamptz",
    "ai_requests.latency_ms": "double precision",
    "ai_requests.is_error": "boolean NOT NULL",
    "ai_requests.converted": "boolean NOT NULL",
}
"""What a cell changes one of."""


@dataclass(frozen=True)
class Cell:
    """One way to be different."""

    name: str
    types: Mapping[str, str] = field(default_factory=dict)
    """Columns of another type."""
    before: str = ""
    """SQL that runs first: types and schemas."""
    after: str = ""
    """SQL that runs once the tables and rows are there."""
    path: str = "public"
    """The search_path of whoever runs the product; tables are made in its first schema."""
    loaded: str = ""
    """The table that a bulk load goes to, where `ai_requests` is a view."""
    is_refused: bool = False

    @property
    def columns(self) -> dict[str, str]:
        """All columns with their types."""
        return {**COLUMNS, **self.types}


def _each(column: str, *types: str, refused: bool = False) -> list[Cell]:
    return [Cell(f"{column} {kind}", {column: kind}, is_refused=refused) for kind in types]


_DOMAINS = """
CREATE DOMAIN percent AS numeric(5,2) CHECK (VALUE BETWEEN 0 AND 100);
CREATE DOMAIN flag AS boolean;
CREATE DOMAIN label AS varchar(100);
CREATE DOMAIN key AS uuid;
CREATE DOMAIN instant AS timestamp;
CREATE TYPE verdict AS ENUM ('0', '1');
CREATE TYPE colour AS ENUM ('mine', 'runs', 'mine-too', 'gone');
"""
CELLS = (
    Cell("as ours, but plain tables"),
    *_each("ab_variants.traffic_percentage", "numeric", "integer", "real", "double precision", "smallint"),
    *_each("ab_variants.traffic_percentage", "text", refused=True),
    *_each("ai_requests.latency_ms", "integer", "bigint", "numeric(10,3)", "real"),
    *_each("ai_requests.latency_ms", "interval", refused=True),
    *_each("ai_requests.converted", "boolean", "smallint", "integer NOT NULL"),
    *_each("ai_requests.is_error", "boolean", "smallint NOT NULL", "integer"),
    *_each("ai_requests.converted", "text", refused=True),
    *_each("ai_requests.created_at", "timestamp"),
    *_each("ai_requests.created_at", "bigint", refused=True),
    *_each("ab_experiments.start_date", "timestamp NOT NULL", "timestamptz", "timestamp"),
    *_each("ab_experiments.start_date", "date", refused=True),
    *_each("ai_requests.user_id", "uuid", "bigint", "varchar(40)"),
    *_each("ai_requests.id", "bigserial", "serial", "text"),
    *_each("ab_experiments.id", "bigint", "serial", "text", refused=True),
    *_each("ab_variants.id", "bigserial", refused=True),
    *_each("ab_experiments.is_active", "smallint", refused=True),
    *_each("ab_experiments.name", "varchar(80)"),
    Cell("ab_experiments.name of an enum", {"ab_experiments.name": "public.colour"}, _DOMAINS, is_refused=True),
    Cell("ai_requests.converted of an enum", {"ai_requests.converted": "public.verdict"}, _DOMAINS, is_refused=True),
    Cell(
        "domains everywhere",
        {
            "ab_variants.traffic_percentage": "public.percent",
            "ai_requests.converted": "public.flag",
            "ai_requests.is_error": "public.flag",
            "ab_experiments.name": "public.label",
            "ab_experiments.id": "public.key",
            "ai_requests.created_at": "public.instant",
        },
        _DOMAINS,
    ),
    Cell("tables in another schema", before="CREATE SCHEMA shop", path="shop"),
    Cell("tables in a schema after ours", before="CREATE SCHEMA shop; CREATE SCHEMA ours", path="shop, ours"),
    Cell(
        "the log in another schema, seen through a view",
        before="CREATE SCHEMA logs",
        loaded="logs",
        after="ALTER TABLE ai_requests SET SCHEMA logs; CREATE VIEW ai_requests AS SELECT * FROM logs.ai_requests;"
        "GRANT SELECT, INSERT ON logs.ai_requests, ai_requests TO shop_app; GRANT USAGE ON SCHEMA logs TO shop_app",
    ),
    Cell("a log of mixed case", after='ALTER TABLE ai_requests RENAME TO "AI_Requests"', is_refused=True),
    Cell("experiments of mixed case", after='ALTER TABLE ab_experiments RENAME TO "AbExperiments"', is_refused=True),
    Cell(
        "a column of mixed case",
        after='ALTER TABLE ai_requests RENAME created_at TO "createdAt"',
        is_refused=True,
    ),
    Cell(
        "a view as ab_experiments",
        after="ALTER TABLE ab_experiments RENAME TO campaigns; CREATE VIEW ab_experiments AS SELECT * FROM campaigns",
        is_refused=True,
    ),
    Cell("a table of theirs called api_tokens", after="CREATE TABLE api_tokens (id int)", is_refused=True),
    Cell(
        "an alembic_version of theirs",
        after="CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);"
        "INSERT INTO alembic_version VALUES ('0003')",
    ),
    Cell(
        "a log of their own partitions",
        after="ALTER TABLE ai_requests RENAME TO ai_requests_20240101;"
        "CREATE TABLE ai_requests (LIKE ai_requests_20240101) PARTITION BY RANGE (created_at);"
        "ALTER TABLE ai_requests ATTACH PARTITION ai_requests_20240101 FOR VALUES FROM (MINVALUE) TO (MAXVALUE);"
        "GRANT SELECT, INSERT ON ai_requests TO shop_app",
    ),
    Cell("fractions as traffic_percentage", after="UPDATE ab_variants SET traffic_percentage = 0.5", is_refused=True),
)
