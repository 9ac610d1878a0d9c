"""The names of what the migrations make: tables and functions that are ours, read off the SQL itself."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import tuple_row

from promotion_pipeline.store.adoption.catalog import ADOPTED_TABLES

VERSIONS = Path(__file__).parents[1] / "migrations" / "versions"
VERSION_TABLE = "promotion_pipeline_version"
"""Where Alembic keeps our revision: a team's own `alembic_version` may stand beside it."""
_TABLE = re.compile(r"^\s*CREATE TABLE (?:IF NOT EXISTS )?(\w+)", re.MULTILINE)
_NEW_TABLE = re.compile(r"^\s*CREATE TABLE (?!IF\b)(\w+)", re.MULTILINE)
_FUNCTION = re.compile(
    r"^\s*(?:CREATE (?:OR REPLACE )?FUNCTION (\w+)|ALTER FUNCTION \w+\(.*\) RENAME TO (\w+))", re.MULTILINE
)


@functools.cache
def our_tables() -> frozenset[str]:
    """Every table of the migrations, those of the application left out."""
    made = {name for text in _texts() for name in _TABLE.findall(text)}
    return frozenset(made - {*ADOPTED_TABLES, "ai_requests_default"} | {VERSION_TABLE})


def tables_made_after(revision: str | None) -> frozenset[str]:
    """The tables of ours that the migrations after a revision make, those of the application left out."""
    made: dict[bool, set[str]] = {True: set(), False: set()}
    for path in _files():
        is_after = revision is None or path.name.partition("_")[0] > revision
        made[is_after] |= set(_NEW_TABLE.findall(path.read_text(encoding="utf-8")))
    return frozenset(made[True] - made[False] - {*ADOPTED_TABLES, "ai_requests_default"})


@functools.cache
def our_functions() -> frozenset[str]:
    """Every function of the migrations."""
    return frozenset(name for text in _texts() for pair in _FUNCTION.findall(text) for name in pair if name)


def adopted_tables(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """The tables of the application that were there before us -> the schema that each is in."""
    with connection.cursor(row_factory=tuple_row) as cursor:
        rows = cursor.execute(
            "SELECT name, relnamespace::regnamespace::text FROM adopted_tables"
            " JOIN pg_class ON pg_class.oid = to_regclass(name) ORDER BY 1"
        ).fetchall()
    return dict(rows)


def _texts() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in _files()]


def _files() -> list[Path]:
    return sorted(VERSIONS.glob("*.sql"))
