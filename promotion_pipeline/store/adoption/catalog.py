"""What the database has under our names: relations, columns and their types, read from its catalog."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

ADOPTED_TABLES = ("ab_experiments", "ab_variants", "ai_requests", "experiment_promotions")
"""The tables of an application that may be there before us."""


@dataclass(frozen=True)
class FoundColumn:
    """One column of a table that was found."""

    name: str
    type_name: str
    """As declared, with its length or precision: `numeric(5,2)`."""
    base_type: str
    """Without length, and of a domain the type under it: `numeric`."""
    kind: str
    """`pg_type.typtype` of the declared type: b base, d domain, e enum."""
    is_nullable: bool
    has_default: bool
    max_length: int | None = None
    """Characters that a text may have at most; None: any number."""


@dataclass(frozen=True)
class Relation:
    """A table or view that was found under one of our names."""

    name: str
    schema: str
    kind: str
    """`pg_class.relkind`: r table, p partitioned, v view, m materialized view, f foreign table."""
    owner: str
    is_owner: bool
    """Whether the role that asks may alter it."""
    unique_columns: frozenset[str]
    """Columns that are unique by themselves."""
    columns: dict[str, FoundColumn]

    @property
    def is_table(self) -> bool:
        """Whether it can have triggers and keys."""
        return self.kind in {"r", "p"}

    @property
    def identifier(self) -> sql.Identifier:
        """Its name with its schema."""
        return sql.Identifier(self.schema, self.name)


_RELATION = """
    SELECT class.oid, class.relname AS name, namespace.nspname AS schema, class.relkind AS kind, role.rolname AS owner,
        pg_has_role(class.relowner, 'USAGE') AS is_owner,
        ARRAY(SELECT attname::text FROM pg_index AS index
            JOIN pg_attribute AS attribute ON attrelid = indrelid AND attnum = indkey[0]
            WHERE indrelid = class.oid AND indisunique AND indnkeyatts = 1 AND indpred IS NULL AND indkey[0] > 0
        ) AS unique_columns
    FROM pg_class AS class JOIN pg_namespace AS namespace ON namespace.oid = relnamespace
    JOIN pg_roles AS role ON role.oid = relowner
    WHERE class.oid = to_regclass(%s)
"""
_COLUMNS = """
    WITH RECURSIVE found AS (
        SELECT attname, attnum, NOT attnotnull AS is_nullable,
            atthasdef OR attidentity <> '' AS has_default, atttypid, atttypmod, type.typtype,
            CASE typtype WHEN 'd' THEN typbasetype ELSE atttypid END AS base,
            CASE typtype WHEN 'd' THEN typtypmod ELSE atttypmod END AS modifier
        FROM pg_attribute JOIN pg_type AS type ON type.oid = atttypid
        WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped
    ), resolved AS (
        SELECT attname, base, modifier FROM found
        UNION ALL
        SELECT attname, typbasetype, greatest(modifier, typtypmod)
        FROM resolved JOIN pg_type ON oid = base AND typtype = 'd'
    )
    SELECT attname AS name, format_type(atttypid, atttypmod) AS type_name, typtype AS kind, is_nullable, has_default,
        (SELECT format_type(resolved.base, NULL) FROM resolved JOIN pg_type ON oid = resolved.base
            WHERE resolved.attname = found.attname AND pg_type.typtype <> 'd') AS base_type,
        (SELECT CASE WHEN resolved.base = 'name'::regtype THEN 63
                WHEN resolved.base IN ('varchar'::regtype, 'bpchar'::regtype) AND modifier > 4 THEN modifier - 4 END
            FROM resolved JOIN pg_type ON oid = resolved.base
            WHERE resolved.attname = found.attname AND pg_type.typtype <> 'd') AS max_length
    FROM found ORDER BY attnum
"""


def find_relation(connection: psycopg.Connection[Any], name: str) -> Relation | None:
    """The relation that `name` means to this session; None: there is none."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(_RELATION, [str(name)]).fetchone()
        if row is None:
            return None
        columns = cursor.execute(_COLUMNS, [row.pop("oid")]).fetchall()
    row["unique_columns"] = frozenset(row["unique_columns"])
    return Relation(**row, columns={column["name"]: FoundColumn(**column) for column in columns})


def find_adoptable(connection: psycopg.Connection[Any]) -> dict[str, Relation]:
    """What is there under the names of ADOPTED_TABLES."""
    found = {name: find_relation(connection, name) for name in ADOPTED_TABLES}
    return {name: relation for name, relation in found.items() if relation is not None}


def found_elsewhere(connection: psycopg.Connection[Any]) -> dict[str, list[str]]:
    """Schemas outside the search_path -> which tables of an application they have that this session does not see."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            """
            SELECT nspname::text AS schema, array_agg(relname::text ORDER BY relname) AS names
            FROM pg_class JOIN pg_namespace AS namespace ON namespace.oid = relnamespace
            WHERE relname = ANY(%s) AND relkind IN ('r', 'p', 'v', 'm', 'f') AND to_regclass(relname::text) IS NULL
                AND nspname !~ '^pg_' AND nspname <> 'information_schema'
            GROUP BY 1 ORDER BY count(*) DESC, 1
            """,
            [[name for name in ADOPTED_TABLES if name != "experiment_promotions"]],
        ).fetchall()
    return {row["schema"]: row["names"] for row in rows}


def creation_schema(connection: psycopg.Connection[Any]) -> str | None:
    """The schema that new tables of this session go to; None: its search_path names none that exists."""
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute("SELECT current_schema() AS name").fetchone()
    return None if row is None else row["name"]


def differently_spelled(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """Our names -> relations in the search_path that are called so but for capitals and underscores."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            """
            SELECT ours, quote_ident(nspname) || '.' || quote_ident(relname) AS theirs
            FROM pg_class JOIN pg_namespace AS namespace ON namespace.oid = relnamespace
            JOIN unnest(%s::text[]) AS ours ON replace(lower(relname), '_', '') = replace(ours, '_', '')
            WHERE relkind IN ('r', 'p', 'v', 'm', 'f') AND relname <> ours AND nspname = ANY(current_schemas(false))
                AND to_regclass(ours) IS NULL
            ORDER BY 1, 2
            """,
            [list(ADOPTED_TABLES)],
        ).fetchall()
    return {row["ours"]: row["theirs"] for row in rows}
