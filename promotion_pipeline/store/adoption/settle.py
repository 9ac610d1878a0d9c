"""After every upgrade: the view that reads the log in our types, and functions that work whoever sets them off."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row, tuple_row

from promotion_pipeline.errors import AdoptionError
from promotion_pipeline.store.adoption.catalog import FoundColumn, Relation, find_relation
from promotion_pipeline.store.adoption.ours import our_functions
from promotion_pipeline.store.adoption.rules import WHOLE_NUMBERS, refusals

REQUESTS_VIEW = "promotion_pipeline_requests"
"""The log in our names and types: what every statement of ours reads."""
_NOTHING = {
    "user_id": "NULL::text",
    "latency_ms": "NULL::double precision",
    "is_error": "false",
    "value": "NULL::numeric",
}
"""What stands for a column that the log does not have."""
_COLUMNS = ("experiment_id", "variant_id", "user_id", "created_at", "latency_ms", "is_error", "converted", "value")
_KEPT_INSIDE = ("ensure_request_days", "drop_request_days")
"""Functions that make and drop tables with the rights of their owner: not for everybody."""

logger = logging.getLogger(__name__)


def settle(connection: psycopg.Connection[Any]) -> None:
    """Bring view and functions in line with the tables as they are now; in the open transaction.

    Raises:
        AdoptionError: `ai_requests` has become something that cannot be read.
    """
    requests = find_relation(connection, "ai_requests")
    assert requests is not None
    lines = [line for line in refusals({"ai_requests": requests}) if "belongs to the role" not in line]
    if lines:
        raise AdoptionError(lines)
    _renew_view(connection, requests)
    _secure_functions(connection)


def is_view_current(connection: psycopg.Connection[Any]) -> bool:
    """Whether the view is there and reads the log as its columns are now; `db upgrade` makes it so."""
    requests = find_relation(connection, "ai_requests")
    if requests is None:
        return False
    with connection.cursor(row_factory=tuple_row) as cursor:
        found = cursor.execute("SELECT obj_description(to_regclass(%s), 'pg_class')", [REQUESTS_VIEW]).fetchone()
    return found == (requests_view(requests).as_string(connection),)


def requests_view(requests: Relation) -> sql.Composed:
    """The statement that the view is: every column of the log that we read, in our type."""
    columns = [
        sql.SQL("{} AS {}").format(_expression(requests.columns, name), sql.Identifier(name)) for name in _COLUMNS
    ]
    return sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(columns), requests.identifier)


def _expression(columns: Mapping[str, FoundColumn], name: str) -> sql.Composable:
    """One column in our type: as it is where it can be, so that its indexes are used."""
    column = columns.get(name)
    if column is None:
        return sql.SQL(_NOTHING[name])
    given = sql.Identifier(name)
    match name, column.base_type:
        case "created_at", "timestamp without time zone":
            return utc(given)
        case (("converted" | "is_error"), whole) if whole in WHOLE_NUMBERS:
            return sql.SQL("coalesce({} <> 0, false)").format(given)
        case (("converted" | "is_error"), _) if column.is_nullable:
            return sql.SQL("coalesce({}, false)").format(given)
        case "user_id", other if other != "text" or column.kind == "d":
            return sql.SQL("{}::text").format(given)
        case "latency_ms", "numeric":
            # A numeric may be out of a double's range: beyond or below what counts it is no measurement, or 0.
            return sql.SQL(
                "CASE WHEN {0} >= 1e100 THEN 'Infinity' WHEN {0} <= -1e100 THEN '-Infinity'"
                " WHEN {0} > -1e-100 AND {0} < 1e-100 THEN 0 ELSE {0}::double precision END"
            ).format(given)
        case "latency_ms", other if other != "double precision" or column.kind == "d":
            return sql.SQL("{}::double precision").format(given)
        case "value", other if other != "numeric" or column.kind == "d":
            return sql.SQL("{}::numeric").format(given)
    if column.kind == "d":
        return sql.SQL("{}::{}").format(given, sql.SQL(column.base_type))
    return given


def utc(column: sql.Composable) -> sql.Composed:
    """A time without a zone as the instant that it is in UTC."""
    return sql.SQL("({} AT TIME ZONE 'UTC')").format(column)


def _renew_view(connection: psycopg.Connection[Any], requests: Relation) -> None:
    """Make the view where it is not there or another one.

    Who was granted it keeps it. Where it was dropped, to change a column under it, whoever may write our sums gets it.
    """
    statement = requests_view(requests).as_string(connection)
    with connection.cursor(row_factory=tuple_row) as cursor:
        found = cursor.execute(
            "SELECT obj_description(to_regclass(%(name)s), 'pg_class'), to_regclass(%(name)s) IS NOT NULL",
            {"name": REQUESTS_VIEW},
        ).fetchone()
        assert found is not None
        if found[0] == statement:
            return
        granted = cursor.execute(
            "SELECT grantee::regrole::text FROM pg_class, aclexplode(relacl)"
            " WHERE oid = to_regclass(%s) AND privilege_type = %s AND grantee NOT IN (0, relowner)",
            [REQUESTS_VIEW, "SELECT"] if found[1] else ["hourly_variant_rollups", "INSERT"],
        ).fetchall()
        cursor.execute(f"DROP VIEW IF EXISTS {REQUESTS_VIEW}".encode())
        cursor.execute(f"CREATE VIEW {REQUESTS_VIEW} AS {statement}".encode())
        cursor.execute(
            sql.SQL("COMMENT ON VIEW {} IS {}").format(sql.Identifier(REQUESTS_VIEW), sql.Literal(statement))
        )
        for (role,) in granted:
            cursor.execute(f"GRANT SELECT ON {REQUESTS_VIEW} TO {role}".encode())


def _secure_functions(connection: psycopg.Connection[Any]) -> None:
    """Every function of ours runs with its owner's rights, our tables in sight and in UTC, whoever's write called."""
    with connection.cursor(row_factory=dict_row) as cursor:
        path = cursor.execute(
            "SELECT array_to_string(ARRAY(SELECT quote_ident(name) FROM unnest(current_schemas(false)) AS name), ', ')"
            " AS names"
        ).fetchone()
        assert path is not None
        functions = cursor.execute(
            """
            SELECT oid::regprocedure::text AS signature, proname::text AS name FROM pg_proc
            WHERE proname = ANY(%s) AND pronamespace = current_schema()::regnamespace
                AND pg_has_role(proowner, 'USAGE')
            """,
            [sorted(our_functions())],
        ).fetchall()
        for function in functions:
            cursor.execute(
                f"ALTER FUNCTION {function['signature']} SECURITY DEFINER"
                f" SET search_path = {path['names']}, pg_temp SET timezone = 'UTC'".encode()
            )
            if function["name"] in _KEPT_INSIDE:
                cursor.execute(f"REVOKE EXECUTE ON FUNCTION {function['signature']} FROM PUBLIC".encode())


def index_log(connection: psycopg.Connection[Any]) -> None:
    """The indexes that an adopted log is read by, made without keeping anybody from writing; outside a transaction."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        adopted = cursor.execute("SELECT 1 FROM adopted_tables WHERE name = 'ai_requests'").fetchone()
    requests = find_relation(connection, "ai_requests")
    if adopted is None or requests is None or not requests.is_table or not requests.is_owner:
        return
    created_at = _expression(requests.columns, "created_at")
    # An index on the column as it is would not serve a time that is read as UTC.
    suffix = "_utc" if requests.columns["created_at"].base_type == "timestamp without time zone" else ""
    wanted = {
        f"ai_requests_experiment_created_at{suffix}": sql.SQL("(experiment_id, {})").format(created_at),
        f"ai_requests_created_at_brin{suffix}": sql.SQL("USING brin ({}) WITH (autosummarize = on)").format(created_at),
    }
    how = sql.SQL("" if requests.kind == "p" else "CONCURRENTLY")
    for name, definition in wanted.items():
        with connection.cursor(row_factory=tuple_row) as cursor:
            known = cursor.execute(
                "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)",
                [f"{_quoted(requests.schema)}.{name}"],
            ).fetchone()
            if known is not None and known[0]:
                continue
            if known is not None:
                cursor.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(requests.schema, name)))
            cursor.execute(
                sql.SQL("CREATE INDEX {} {} ON {} {}").format(
                    how, sql.Identifier(name), requests.identifier, definition
                )
            )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
