"""The look before the leap: what `db upgrade` asks of a database that is not ours yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from promotion_pipeline.errors import AdoptionError
from promotion_pipeline.store.adoption.catalog import (
    Relation,
    creation_schema,
    differently_spelled,
    find_adoptable,
    find_relation,
    found_elsewhere,
)
from promotion_pipeline.store.adoption.ours import tables_made_after
from promotion_pipeline.store.adoption.rules import FLAGS, KEEP_YOURS, refusals

_DEFAULT_SCHEMA = "public"


def require_adoptable(connection: psycopg.Connection[Any]) -> dict[str, Relation]:
    """The team's tables that are to be adopted, all of them such as work; nothing is changed.

    Raises:
        AdoptionError: something is not as it must be; one line for each.
    """
    schema = creation_schema(connection)
    if schema is None:
        raise AdoptionError(
            [
                "the search_path of this role names no schema that exists: expected one to put the tables in;"
                f" {_set_path(connection, _DEFAULT_SCHEMA)}"
            ]
        )
    found = find_adoptable(connection)
    lines = [
        *_of_encoding(connection),
        *_of_place(connection, schema),
        *_of_rights(connection, schema),
        *_of_spelling(connection),
        *_of_names(connection, None),
        *refusals(found),
    ]
    if not lines:
        lines = list(_of_rows(connection, found))
    if lines:
        raise AdoptionError(lines)
    return found


def require_free_names(connection: psycopg.Connection[Any], revision: str | None) -> None:
    """Nothing in the search_path has a name that the migrations after a revision give to a table of ours.

    Raises:
        AdoptionError: something has; one line for each, and nothing was changed.
    """
    if lines := list(_of_names(connection, revision)):
        raise AdoptionError(lines)


def _of_names(connection: psycopg.Connection[Any], revision: str | None) -> Iterator[str]:
    """Tables and views of a team's own that are called as one of ours.

    Also in a later schema of the search_path: ours would come before it, and the team's application would see an empty
    table in place of its own.
    """
    for name in sorted(tables_made_after(revision)):
        relation = find_relation(connection, name)
        if relation is not None:
            kind = "table" if relation.is_table else "view"
            where = f"{relation.schema}.{name}"
            yield (
                f"{where} is there already, a {kind} that is not the product's: expected the name to be free;"
                f" ALTER {kind.upper()} {relation.identifier.as_string(connection)} RENAME TO your_{name}, or"
                f" {KEEP_YOURS}"
            )


def _of_encoding(connection: psycopg.Connection[Any]) -> Iterator[str]:
    """A database that takes any bytes for text: one name that is no text would stop the hour of every experiment."""
    if connection.info.parameter_status("server_encoding") != "SQL_ASCII":
        return
    line = sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0").format(
        sql.Identifier(f"{connection.info.dbname}_utf8")
    )
    yield (
        f"the database {connection.info.dbname} has the encoding SQL_ASCII, which takes bytes that are no text:"
        f" expected UTF8, or another that says what a byte means; {line.as_string(connection)}, and restore a dump into"
        " it"
    )


def _of_place(connection: psycopg.Connection[Any], schema: str) -> Iterator[str]:
    """Tables that nobody told us where to look for: a second, empty set of them would be made, and nobody would see.

    Whoever names a schema of its own for the product (docs/adopting.md#keep-your-tables) means it.
    """
    if schema != _DEFAULT_SCHEMA:
        return
    for other, names in found_elsewhere(connection).items():
        yield (
            f"{', '.join(names)}: there in the schema {other}, which the search_path of this role leaves out, and empty"
            f" ones would be made in {schema}: expected to see them; {_set_path(connection, other)}"
        )


def _set_path(connection: psycopg.Connection[Any], schema: str) -> str:
    """What makes a schema the one that this role works in; in this database alone, for Dagster's is another."""
    line = sql.SQL("ALTER ROLE {} IN DATABASE {} SET search_path = {}").format(
        sql.Identifier(_first(connection, sql.SQL("SELECT session_user::text"))),
        sql.Identifier(connection.info.dbname),
        sql.Identifier(schema),
    )
    option = f"?options=-csearch_path%3D{quote(schema, safe='')}"
    return f"{line.as_string(connection)}, or add {option} to AUTO_PROMOTION_DATABASE_URL"


def _of_rights(connection: psycopg.Connection[Any], schema: str) -> Iterator[str]:
    if not _holds(connection, sql.SQL("has_schema_privilege({}, 'CREATE')").format(sql.Literal(schema))):
        yield (
            f"the role may create nothing in the schema {schema}: expected CREATE on it;"
            f" GRANT CREATE, USAGE ON SCHEMA {schema} TO the role that upgrades"
        )


def _of_spelling(connection: psycopg.Connection[Any]) -> Iterator[str]:
    for ours, theirs in differently_spelled(connection).items():
        remedy = (
            f"CREATE VIEW ai_requests AS SELECT ... FROM {theirs}, with our names for its columns"
            if ours == "ai_requests"
            else KEEP_YOURS
        )
        yield f"{theirs} is there, and no {ours}: expected {ours}, spelled like this; {remedy}"


def _of_rows(connection: psycopg.Connection[Any], found: dict[str, Relation]) -> Iterator[str]:
    """What the types allow and the rows do not keep."""
    if (experiments := found.get("ab_experiments")) is not None:
        double = _first(
            connection,
            sql.SQL("SELECT name::text FROM {} GROUP BY 1 HAVING count(*) > 1 LIMIT 1").format(experiments.identifier),
        )
        if double is not None:
            yield (
                f"ab_experiments.name: two experiments are called {double!r}: expected a name each, every command goes"
                f" by it; UPDATE ab_experiments SET name = name || ' ' || id WHERE name = {_quoted(double)}"
            )
    if (variants := found.get("ab_variants")) is not None:
        shares = _first(
            connection,
            sql.SQL(
                "SELECT max(total) FROM (SELECT sum(traffic_percentage)::float8 AS total FROM {}"
                " GROUP BY experiment_id) AS split WHERE total > 0"
            ).format(variants.identifier),
        )
        if shares is not None and shares <= 1.0001:
            yield (
                "ab_variants.traffic_percentage holds fractions that sum to 1: expected percent that sums to 100;"
                " UPDATE ab_variants SET traffic_percentage = 100 * traffic_percentage"
            )
    if (requests := found.get("ai_requests")) is not None and requests.is_table:
        yield from _of_flags(connection, requests)


def _of_flags(connection: psycopg.Connection[Any], requests: Relation) -> Iterator[str]:
    for name in ("converted", "is_error"):
        column = requests.columns.get(name)
        if column is None or column.base_type == "boolean" or column.base_type not in FLAGS:
            continue
        other = _first(
            connection,
            # The newest ones of a big log: all of them would be a scan of it.
            sql.SQL(
                "SELECT {0} FROM (SELECT {0} FROM {1} LIMIT 100000) AS looked WHERE {0} NOT IN (0, 1) LIMIT 1"
            ).format(sql.Identifier(name), requests.identifier),
        )
        if other is not None:
            yield (
                f"ai_requests.{name} holds {other}: expected 0 or 1, for requests are counted by it;"
                f" ALTER TABLE ai_requests ALTER {name} TYPE boolean USING {name} > 0"
            )


def _holds(connection: psycopg.Connection[Any], condition: sql.Composed) -> bool:
    return bool(_first(connection, sql.SQL("SELECT {}").format(condition)))


def _first(connection: psycopg.Connection[Any], query: sql.SQL | sql.Composed) -> Any:
    with connection.cursor(row_factory=tuple_row) as cursor:
        row = cursor.execute(query).fetchone()
    return None if row is None else row[0]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
