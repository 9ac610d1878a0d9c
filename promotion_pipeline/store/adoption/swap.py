"""Taking a team's tables over: the schema is made whole in a schema of its own, then theirs take the place of ours.

So the migrations never meet a type, a row or a trigger that is not ours, and what cannot be moved in is found out
before anything of the team's is touched. All of it is one transaction of the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from promotion_pipeline.errors import AdoptionError
from promotion_pipeline.store.adoption.catalog import ADOPTED_TABLES, Relation
from promotion_pipeline.store.adoption.promotions import LOOSENED, take_over_promotions
from promotion_pipeline.store.adoption.rules import KEEP_YOURS

SCRATCH = "promotion_pipeline_setup"
LOCK_WAIT = "15s"
"""Their tables are locked for a moment; whoever holds one for longer would have everybody else wait behind us."""


@dataclass(frozen=True)
class Additions:
    """What the migrations put on one of the adopted tables."""

    columns: tuple[tuple[str, str], ...]
    """Name and definition of every column that may be missing on theirs."""
    statements: tuple[str, ...]
    """Triggers and indexes, as the statements that make them."""


def take_over(
    connection: psycopg.Connection[Any], found: dict[str, Relation], schema: str, migrate: Callable[[], None]
) -> None:
    """Make the schema around the tables `found`, in the open transaction; `migrate` runs every migration.

    Raises:
        AdoptionError: a name of ours is taken, or the role may not make a schema.
    """
    with connection.cursor(row_factory=tuple_row) as cursor:
        path = str(_one(cursor, "SELECT current_setting('search_path')"))
        cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
        _make_scratch(cursor)
        cursor.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(SCRATCH)))
        migrate()
        parts = {name: _part_of(cursor, name) for name in found if found[name].is_table}
        keys = list(_keys_to(cursor, "experiment_promotions"))
        for name in reversed(ADOPTED_TABLES):
            if name in found:
                cursor.execute(
                    sql.SQL("DROP TABLE {}.{} CASCADE").format(sql.Identifier(SCRATCH), sql.Identifier(name))
                )
        _require_free_names(cursor, schema)
        _move_in(cursor, schema)
        cursor.execute("SELECT set_config('search_path', %s, true)", [path])
        _dress(connection, cursor, found, parts)
        if "experiment_promotions" in found:
            for table, statement in keys:
                cursor.execute(f"ALTER TABLE {table} {statement}".encode())
        if "ab_experiments" in found and "ab_variants" not in found:
            cursor.execute("ALTER TABLE ab_variants ADD FOREIGN KEY (experiment_id) REFERENCES ab_experiments (id)")
        _begin_history(cursor)


def _make_scratch(cursor: psycopg.Cursor[Any]) -> None:
    if not _one(cursor, "SELECT has_database_privilege(current_database(), 'CREATE')"):
        database = _one(cursor, "SELECT quote_ident(current_database())")
        raise AdoptionError(
            [
                f"the role may make no schema: expected CREATE on the database, until the tables are adopted;"
                f" GRANT CREATE ON DATABASE {database} TO the role that upgrades"
            ]
        )
    cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SCRATCH)))


def _part_of(cursor: psycopg.Cursor[Any], name: str) -> Additions:
    columns = cursor.execute(
        """
        SELECT attname, concat_ws(' ', format_type(atttypid, atttypmod),
            'DEFAULT ' || pg_get_expr(adbin, adrelid), CASE WHEN attnotnull AND adbin IS NOT NULL THEN 'NOT NULL' END)
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
        """,
        [name],
    ).fetchall()
    triggers = cursor.execute(
        "SELECT pg_get_triggerdef(oid, true) FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND NOT tgisinternal"
        " AND %s <> 'experiment_promotions'",
        [name, name],
    ).fetchall()
    indexes = cursor.execute(
        """
        SELECT pg_get_indexdef(indexrelid, 0, true) FROM pg_index
        WHERE indrelid = to_regclass(%s) AND %s <> 'ai_requests'
            AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid)
        """,
        [name, name],
    ).fetchall()
    checks = cursor.execute(
        "SELECT 'ALTER TABLE experiment_promotions ADD CONSTRAINT ' || conname || ' ' || pg_get_constraintdef(oid)"
        " FROM pg_constraint WHERE conrelid = to_regclass(%s) AND conname = 'experiment_promotions_state_check'",
        [name],
    ).fetchall()
    return Additions(tuple(columns), tuple(row[0] for row in (*triggers, *indexes, *checks)))


def _keys_to(cursor: psycopg.Cursor[Any], name: str) -> Iterator[tuple[str, str]]:
    """The foreign keys of our tables to `name`, to be made again on theirs."""
    yield from cursor.execute(
        """
        SELECT conrelid::regclass::text,
            concat_ws(' ', 'ADD CONSTRAINT', quote_ident(conname), pg_get_constraintdef(oid, true))
        FROM pg_constraint WHERE contype = 'f' AND confrelid = to_regclass(%s) AND conparentid = 0
        """,
        [name],
    ).fetchall()


_MOVABLE = """
    SELECT relname::text, CASE relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END,
        quote_ident(relname)
    FROM pg_class WHERE relnamespace = to_regnamespace(%(scratch)s) AND relkind IN ('r', 'p', 'v', 'S')
        AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE objid = pg_class.oid AND deptype IN ('a', 'i')
            AND relkind = 'S' AND refclassid = 'pg_class'::regclass)
    UNION ALL
    SELECT proname::text, 'FUNCTION',
        quote_ident(proname) || '(' || pg_get_function_identity_arguments(pg_proc.oid) || ')'
    FROM pg_proc WHERE pronamespace = to_regnamespace(%(scratch)s)
    ORDER BY 2, 1
"""


def _require_free_names(cursor: psycopg.Cursor[Any], schema: str) -> None:
    taken = cursor.execute(
        """
        SELECT ours.relname::text FROM pg_class AS ours JOIN pg_class AS theirs ON theirs.relname = ours.relname
        WHERE ours.relnamespace = to_regnamespace(%(scratch)s) AND theirs.relnamespace = to_regnamespace(%(schema)s)
            AND ours.relkind IN ('r', 'p', 'v', 'S', 'i')
        UNION
        SELECT ours.proname || '()' FROM pg_proc AS ours JOIN pg_proc AS theirs
            ON theirs.proname = ours.proname AND theirs.proargtypes = ours.proargtypes
        WHERE ours.pronamespace = to_regnamespace(%(scratch)s) AND theirs.pronamespace = to_regnamespace(%(schema)s)
        ORDER BY 1
        """,
        {"scratch": SCRATCH, "schema": schema},
    ).fetchall()
    if taken:
        raise AdoptionError(
            [
                f"{name} is there already: expected the name to be free; rename yours, or {KEEP_YOURS}"
                for (name,) in taken
            ]
        )


def _move_in(cursor: psycopg.Cursor[Any], schema: str) -> None:
    rows = cursor.execute(_MOVABLE, {"scratch": SCRATCH}).fetchall()
    for _, kind, name in rows:
        cursor.execute(
            sql.SQL("ALTER {} {}.{} SET SCHEMA {}").format(
                sql.SQL(kind), sql.Identifier(SCRATCH), sql.SQL(name), sql.Identifier(schema)
            )
        )
    cursor.execute(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(SCRATCH)))


def _dress(
    connection: psycopg.Connection[Any],
    cursor: psycopg.Cursor[Any],
    found: dict[str, Relation],
    parts: dict[str, Additions],
) -> None:
    """Put on their tables what the migrations had put on ours."""
    for name, relation in found.items():
        cursor.execute("INSERT INTO adopted_tables (name) VALUES (%s)", [name])
        if name not in parts:
            continue
        missing = [(column, definition) for column, definition in parts[name].columns if column not in relation.columns]
        if name == "experiment_promotions":
            missing = [(column, LOOSENED.get(column, definition)) for column, definition in missing]
        for column, definition in missing:
            cursor.execute(
                sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(
                    relation.identifier, sql.Identifier(column), sql.SQL(definition)
                )
            )
        if name == "experiment_promotions":
            take_over_promotions(connection, relation)
        for statement in parts[name].statements:
            cursor.execute(statement.encode())


def _begin_history(cursor: psycopg.Cursor[Any]) -> None:
    """Phases and history of the experiments that are there."""
    cursor.execute("SELECT ab_sync_phase(id), ab_note_history(id) FROM ab_experiments")
    # An experiment that has begun was known by then.
    cursor.execute(
        """
        UPDATE ab_experiment_history AS known SET noted_at = least(experiment.start_date, known.noted_at)
        FROM ab_experiments AS experiment WHERE experiment.id = known.experiment_id
            AND experiment.start_date < known.noted_at
        """
    )


def _one(cursor: psycopg.Cursor[Any], query: str) -> Any:
    row = cursor.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]
