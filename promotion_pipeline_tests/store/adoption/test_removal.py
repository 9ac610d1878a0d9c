"""What the handbook says to drop leaves a team's tables as they were."""

from __future__ import annotations

from pathlib import Path

import promotion_pipeline
from promotion_pipeline.store import migrate
from promotion_pipeline.store.connection import connect
from promotion_pipeline.store.database import Connection
from promotion_pipeline_tests.adoption import specified

HANDBOOK = Path(promotion_pipeline.__file__).parents[1] / "docs" / "adopting.md"
_EVERYTHING = """
    SELECT 'column' AS kind, attrelid::regclass::text AS a, attname::text AS b, format_type(atttypid, atttypmod) AS c,
        attnotnull::text AS d
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped
    UNION ALL SELECT 'relation', relname::text, relkind::text, '', '' FROM pg_class
    WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT 'function', proname::text, '', '', '' FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname::text, '', '' FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'constraint', conrelid::regclass::text, pg_get_constraintdef(oid), '', '' FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
"""


def test_the_statements_of_the_handbook_leave_the_tables_as_they_were(empty_database: str) -> None:
    statements = HANDBOOK.read_text(encoding="utf-8").partition("## Remove it again")[2].split("```")[1]
    with connect(empty_database) as connection:
        connection.execute(specified.TABLES.encode())
        before = _everything(connection)
        migrate.upgrade(empty_database)
        assert _everything(connection) != before
        connection.execute(statements.removeprefix("sql").encode())
        assert _everything(connection) == before


def _everything(connection: Connection) -> set[tuple[object, ...]]:
    with connection.cursor() as cursor:
        return {tuple(row.values()) for row in cursor.execute(_EVERYTHING.encode())}
