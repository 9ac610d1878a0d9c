"""Who needs which rights: statements for a role that runs the product, and may make, alter and drop nothing."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from promotion_pipeline.store.adoption.catalog import ADOPTED_TABLES
from promotion_pipeline.store.adoption.ours import our_functions, our_tables
from promotion_pipeline.store.adoption.settle import REQUESTS_VIEW

READ = ("ai_requests", REQUESTS_VIEW)
READ_AND_UPDATED = ("ab_experiments", "ab_variants")
NEVER_DELETED = ("experiment_promotions", "promotion_approvals", "promotion_audit")


def runtime_grants(connection: psycopg.Connection[Any], role: str) -> list[str]:
    """The statements that let `role` run everything but `db upgrade`, each a line, for the owner of the tables to run.

    An application that writes its own tables needs none: what its writes set off runs with the rights of our owner.
    """
    named = sql.Identifier(role)
    with connection.cursor(row_factory=tuple_row) as cursor:
        schemas = cursor.execute(
            """
            SELECT DISTINCT nspname FROM pg_class JOIN pg_namespace AS namespace ON namespace.oid = relnamespace
            WHERE pg_class.oid IN (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name) ORDER BY 1
            """,
            [[*ADOPTED_TABLES, *our_tables(), REQUESTS_VIEW]],
        ).fetchall()
        known = [
            row[0]
            for row in cursor.execute(
                "SELECT name FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NOT NULL ORDER BY 1",
                [sorted({*our_tables(), *NEVER_DELETED})],
            ).fetchall()
        ]
        database = cursor.execute("SELECT current_database()").fetchone()
        functions = cursor.execute(
            "SELECT oid::regprocedure::text FROM pg_proc WHERE proname = ANY(%s)"
            " AND pronamespace = current_schema()::regnamespace AND prorettype <> 'trigger'::regtype ORDER BY 1",
            [sorted(our_functions())],
        ).fetchall()
    assert database is not None
    kept = [name for name in known if name in NEVER_DELETED]
    free = [name for name in known if name not in NEVER_DELETED]
    statements = [
        _grant("CONNECT, TEMPORARY", sql.SQL("DATABASE {}").format(sql.Identifier(database[0])), named),
        *(_grant("USAGE", sql.SQL("SCHEMA {}").format(sql.Identifier(name)), named) for (name,) in schemas),
        _grant("SELECT", _names(READ), named),
        _grant("SELECT, UPDATE", _names(READ_AND_UPDATED), named),
        _grant("SELECT, INSERT, UPDATE", _names(kept), named),
        _grant("SELECT, INSERT, UPDATE, DELETE", _names(free), named),
        *(_grant("EXECUTE", sql.SQL("FUNCTION {}").format(sql.SQL(name)), named) for (name,) in functions),
    ]
    return [statement.as_string(connection) + ";" for statement in statements]


def _names(names: tuple[str, ...] | list[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))


def _grant(rights: str, what: sql.Composable, role: sql.Identifier) -> sql.Composed:
    return sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(rights), what, role)
