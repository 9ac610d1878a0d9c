"""The team's side of a cell: its tables, its rows, and an application that knows nothing of us.

Its role may write its own tables and nothing else; its session has an empty search_path and another time zone.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg
from psycopg import sql

from promotion_pipeline.store.database import Connection
from promotion_pipeline_tests.adoption.cells import Cell

APPLICATION = "shop_app"
ROWS = 1500
"""Requests of each variant before us."""

_DEFAULTS = {"uuid": " DEFAULT gen_random_uuid()", "public.key": " DEFAULT gen_random_uuid()", "text": ""}
_TABLES = """
CREATE TABLE ab_experiments (
    id {ab_experiments.id} PRIMARY KEY, name {ab_experiments.name} NOT NULL UNIQUE, note text,
    is_active {ab_experiments.is_active}, start_date {ab_experiments.start_date}, updated_at timestamptz DEFAULT now());
CREATE TABLE ab_variants (
    id {ab_variants.id} PRIMARY KEY,
    experiment_id {experiment_reference} NOT NULL REFERENCES ab_experiments (id) ON DELETE CASCADE,
    name text NOT NULL, is_control boolean NOT NULL, traffic_percentage {ab_variants.traffic_percentage});
CREATE TABLE ai_requests (
    id {ai_requests.id}, experiment_id {experiment_reference} NOT NULL, variant_id {variant_reference} NOT NULL,
    user_id {ai_requests.user_id}, created_at {ai_requests.created_at}, latency_ms {ai_requests.latency_ms},
    is_error {ai_requests.is_error}, converted {ai_requests.converted});
"""


@dataclass(frozen=True)
class Team:
    """One team's tables on one connection of their owner."""

    cell: Cell
    connection: Connection

    @property
    def has_rows(self) -> bool:
        """Whether rows as the matrix wants them fit the tables at all."""
        return self._has_ids and self.cell.columns["ab_experiments.is_active"] == "boolean"

    @property
    def _has_ids(self) -> bool:
        return all(
            self.cell.columns[f"{table}.id"] in {"uuid", "public.key"} for table in ("ab_experiments", "ab_variants")
        )

    def bring(self) -> None:
        """Make the tables, and an experiment with a winner in them."""
        columns = self.cell.columns
        values = {name: kind + self._default(name, kind) for name, kind in columns.items()}
        values |= {
            "experiment_reference": _referred(columns["ab_experiments.id"]),
            "variant_reference": _referred(columns["ab_variants.id"]),
        }
        text = _TABLES
        for name, value in values.items():
            text = text.replace("{" + name + "}", value)
        for statement in (self.cell.before, f"SET search_path = {self.cell.path}", text):
            self.connection.execute(statement.encode())
        self._grant()
        if self.has_rows:
            self.start("runs", "date_trunc('hour', now()) - interval '96 hours'")
            self.start("mine", "now() - interval '9 days'")
            if "NOT NULL" not in columns["ab_experiments.start_date"]:
                self.draft("draft")
        self.connection.execute(self.cell.after.encode())

    @staticmethod
    def _default(name: str, kind: str) -> str:
        return _DEFAULTS.get(kind, "") if name in {"ab_experiments.id", "ab_variants.id"} else ""

    def _grant(self) -> None:
        schema = self.cell.path.split(",")[0]
        for statement in (
            f"GRANT USAGE ON SCHEMA {schema} TO {APPLICATION}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {APPLICATION}",
            f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {APPLICATION}",
        ):
            self.connection.execute(statement.encode())

    def start(self, name: str, since: str, rows: int = ROWS) -> None:
        """An experiment in which treatment converts half as much again, with requests up to the last full hour."""
        types = self.cell.columns
        schema = self.cell.path.split(",")[0]
        start = _time(types["ab_experiments.start_date"], since)
        self.connection.execute(
            f"INSERT INTO {schema}.ab_experiments (name, is_active, start_date)"
            f" VALUES ('{name}', true, {start})".encode()
        )
        self.connection.execute(
            f"INSERT INTO {schema}.ab_variants (experiment_id, name, is_control, traffic_percentage)"
            f" SELECT id, arm, arm = 'control', '50'::{_bare(types['ab_variants.traffic_percentage'])}"
            f" FROM {schema}.ab_experiments, unnest(ARRAY['control', 'treatment']) AS arm"
            f" WHERE {schema}.ab_experiments.name::text = '{name}'".encode()
        )
        self.serve(name, since, "date_trunc('hour', now())", rows)

    def draft(self, name: str) -> None:
        """An experiment without a start, with its variants."""
        schema = self.cell.path.split(",")[0]
        self.connection.execute(
            f"INSERT INTO {schema}.ab_experiments (name, is_active) VALUES ('{name}', true)".encode()
        )
        self.connection.execute(
            f"INSERT INTO {schema}.ab_variants (experiment_id, name, is_control, traffic_percentage)"
            f" SELECT id, 'control', true, 100 FROM {schema}.ab_experiments WHERE name::text = '{name}'".encode()
        )

    def serve(self, name: str, since: str, until: str, rows: int) -> None:
        """Requests of an experiment, spread over a stretch of time."""
        types = self.cell.columns
        schema = self.cell.path.split(",")[0]
        at = _time(types["ai_requests.created_at"], f"{since} + ({until} - ({since})) * (i + 0.5) / {rows}")
        values = {
            "experiment_id": "v.experiment_id",
            "variant_id": "v.id",
            "user_id": self._user(types["ai_requests.user_id"]),
            "created_at": at,
            "latency_ms": "make_interval(secs => 1)"
            if types["ai_requests.latency_ms"] == "interval"
            else f"(90 + i % 20)::{_bare(types['ai_requests.latency_ms'])}",
            "is_error": f"(i % 100 = 0)::int::text::{_bare(types['ai_requests.is_error'])}",
            "converted": "(i % 100 < CASE WHEN v.is_control THEN 10 ELSE 16 END)::int::text::"
            + _bare(types["ai_requests.converted"]),
        }
        if types["ai_requests.id"] in {"uuid", "text"}:
            values["id"] = f"gen_random_uuid()::{types['ai_requests.id']}"
        self.connection.execute(
            f"INSERT INTO {schema}.ai_requests ({', '.join(values)}) SELECT {', '.join(values.values())}"
            f" FROM {schema}.ab_variants v JOIN {schema}.ab_experiments e ON e.id = v.experiment_id,"
            f" generate_series(0, {rows} - 1) AS i WHERE e.name::text = '{name}'".encode()
        )

    @staticmethod
    def _user(kind: str) -> str:
        return {"uuid": "gen_random_uuid()", "bigint": "i"}.get(kind, "'u' || i")


class Application(Team):
    """The same writes through a session of the application's own role."""

    def write_as_ever(self) -> None:
        """Inserts, whole rows, a change of split, a bulk load, deletes: as on any day."""
        schema = self.cell.path.split(",")[0]
        self.connection.execute("SET search_path = ''; SET TIME ZONE 'America/New_York'")
        self.start("mine-too", "now() - interval '3 hours'", 30)
        self.start("gone", "now() - interval '3 hours'", 30)
        if "NOT NULL" not in self.cell.columns["ab_experiments.start_date"]:
            self.draft("draft-too")
        for statement in (
            f"UPDATE {schema}.ab_experiments SET id = id, name = name, note = 'x', is_active = is_active,"
            " start_date = start_date, updated_at = now() WHERE name::text IN ('mine', 'mine-too')",
            f"UPDATE {schema}.ab_variants SET traffic_percentage = '40' WHERE name = 'control' AND experiment_id ="
            f" (SELECT id FROM {schema}.ab_experiments WHERE name::text = 'mine')",
            f"UPDATE {schema}.ab_variants SET traffic_percentage = '60' WHERE name = 'treatment' AND experiment_id ="
            f" (SELECT id FROM {schema}.ab_experiments WHERE name::text = 'mine')",
        ):
            with self.connection.transaction():
                self.connection.execute(statement.encode())
        self._load_in_bulk(schema)
        self.connection.execute(f"DELETE FROM {schema}.ab_experiments WHERE name::text = 'gone'".encode())

    def _load_in_bulk(self, schema: str) -> None:
        """COPY out and in again, as a dump and its restore do."""
        columns = "experiment_id, variant_id, user_id, created_at, latency_ms, is_error, converted"
        given = columns
        if (kind := self.cell.columns["ai_requests.id"]) in {"uuid", "text"}:
            columns, given = f"id, {columns}", f"gen_random_uuid()::{kind}, {columns}"
        log = sql.Identifier(self.cell.loaded or schema, "ai_requests")
        taken = sql.SQL(
            "COPY (SELECT {} FROM {} WHERE experiment_id = (SELECT id FROM {} WHERE name::text = 'mine') LIMIT 50)"
            " TO STDOUT"
        ).format(sql.SQL(given), log, sql.Identifier(schema, "ab_experiments"))
        with self.connection.cursor() as cursor:
            with cursor.copy(taken) as out:
                rows = b"".join(bytes(block) for block in out)
            with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(log, sql.SQL(columns))) as into:
                into.write(rows)


def _bare(kind: str) -> str:
    return kind.replace(" NOT NULL", "")


def _referred(kind: str) -> str:
    return {"serial": "integer", "bigserial": "bigint"}.get(kind, kind)


def _time(kind: str, expression: str) -> str:
    """An instant in the column's type; a team's times without a zone are UTC."""
    bare = _bare(kind)
    if bare == "bigint":
        return f"extract(epoch FROM {expression})::bigint"
    if bare in {"timestamp", "public.instant"}:
        return f"(({expression}) AT TIME ZONE 'UTC')"
    return f"({expression})::{bare}"


def make_role(connection: psycopg.Connection[object]) -> None:
    """The application's role, if the server does not have it."""
    connection.execute(
        f"DO $$ BEGIN CREATE ROLE {APPLICATION} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL;"
        f" WHEN unique_violation THEN NULL; END $$".encode()
    )
