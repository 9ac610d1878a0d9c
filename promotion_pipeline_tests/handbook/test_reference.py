"""The reference pages say what the code says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from promotion_pipeline.cli.main import app
from promotion_pipeline.config import PromotionConfig, known_variables
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.handbook.door_codes import DOOR_CODES, codes_in_the_source, product_errors
from promotion_pipeline_tests.handbook.reference import FOLDER, MADE, PAGES
from promotion_pipeline_tests.handbook.tables import tables


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_what_the_code_says(name: str) -> None:
    again = "make it anew: python -m promotion_pipeline_tests.handbook.reference"
    assert (FOLDER / name).read_text(encoding="utf-8") == MADE + PAGES[name](), again


def test_every_variable_that_the_product_reads_is_in_the_reference() -> None:
    told = "".join((FOLDER / name).read_text(encoding="utf-8") for name in ("settings.md", "thresholds.md"))
    assert [variable for variable in known_variables() if f"`{variable}`" not in told] == []


def test_every_threshold_is_in_the_reference() -> None:
    told = _page("thresholds.md")
    assert [name for name in PromotionConfig.model_fields if f"| `{name}` |" not in told] == []


def test_every_command_is_in_the_reference() -> None:
    told = _page("commands.md")
    assert [path for path in _commands(typer.main.get_command(app)) if f"\n## {path}\n" not in told] == []


def test_every_error_code_is_in_the_reference() -> None:
    told = _page("errors.md")
    codes = {kind.code for kind in product_errors()} | codes_in_the_source()
    assert len(codes) > 20
    assert sorted(code for code in codes if f"| `{code}` |" not in told) == []
    assert set(DOOR_CODES) <= codes_in_the_source()


def test_every_table_and_column_of_the_database_is_in_the_reference(store: Store) -> None:
    with store.connect() as connection:
        rows = connection.execute(
            "SELECT relname AS name, array_agg(attname ORDER BY attnum) AS columns FROM pg_class"
            " JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
            " GROUP BY relname ORDER BY relname"
        ).fetchall()
    there = {row["name"]: sorted(map(str, row["columns"])) for row in rows}
    assert {name: sorted(column.name for column in columns) for name, columns in tables().items()} == there


def _page(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _commands(command: Any, path: str = "promotion-pipeline") -> Iterator[str]:
    if not hasattr(command, "commands"):
        yield path
        return
    for name, part in command.commands.items():
        yield from _commands(part, f"{path} {name}")
