"""A log engine is one file: what is particular to one stands in it, and nowhere else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from promotion_pipeline import rollups
from promotion_pipeline.errors import ConfigError
from promotion_pipeline.rollups.configuration import parse_source
from promotion_pipeline.rollups.engines.base import Engine
from promotion_pipeline.rollups.engines.registry import ENGINES
from promotion_pipeline.rollups.pushdown import compiled_log
from promotion_pipeline.rollups.sql.dialect import UNIT_MICROS

FOLDER = Path(rollups.__file__).parent
SHARED = {"__init__", "base", "registry"}


def test_every_file_of_the_folder_is_an_engine_that_is_registered() -> None:
    files = {path.stem for path in (FOLDER / "engines").glob("*.py")} - SHARED
    assert files == set(ENGINES)


def test_no_other_module_of_the_rollups_asks_which_engine_it_is() -> None:
    others = [path for path in FOLDER.rglob("*.py") if path.parent.name != "engines" or path.stem in SHARED]
    named = {
        path.name: node.value
        for path in others
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in ENGINES
    }
    assert named == {}


@pytest.mark.parametrize("engine", ENGINES.values(), ids=lambda engine: str(engine.name))
def test_every_engine_counts_the_hours_of_its_times_and_of_whole_numbers(engine: Engine) -> None:
    for kind in {*engine.dialect.times, *UNIT_MICROS}:
        form = engine.dialect.form(kind)
        assert "{time}" in form.bucket
        assert "{bucket}" in form.hour


def test_an_engine_that_is_added_is_configured_and_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    added = Engine(name="vertica", dialect=ENGINES["trino"].dialect, takes_url=True)
    monkeypatch.setitem(ENGINES, added.name, added)
    config = parse_source({"engine": "vertica", "url": "vertica://logs"})
    assert config.place == "ai_requests (vertica)"
    assert compiled_log(config).dialect is added.dialect
    with pytest.raises(ConfigError, match="vertica reads a table"):
        parse_source({"engine": "vertica", "files": "x"})


def test_an_unknown_engine_gets_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"engine='postgres': did you mean 'postgresql'\?"):
        parse_source({"engine": "postgres"})
    with pytest.raises(ConfigError, match="known are " + ", ".join(ENGINES)):
        parse_source({"engine": "x"})


def test_the_handbook_names_every_engine() -> None:
    page = (Path(__file__).parents[3] / "docs" / "connecting-a-log.md").read_text()
    assert [name for name in ENGINES if name not in page.lower()] == []
