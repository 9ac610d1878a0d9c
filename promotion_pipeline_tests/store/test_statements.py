"""SQL in files: every statement has a name, a purpose and a user."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import promotion_pipeline
from promotion_pipeline.store.statements import statements, texts

ROOT = Path(promotion_pipeline.__file__).parent
USED = re.compile(r"""_SQL\[["'](\w+)["']\]""")
MODULES = sorted(
    path for path in ROOT.rglob("*.py") if re.search(r"^_SQL = (statements|texts)\(", path.read_text(), re.M)
)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_statements_of_a_file_are_those_that_its_module_uses(module: Path) -> None:
    assert set(texts(str(module))) == set(USED.findall(module.read_text()))


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_statement_has_one_name_and_says_what_it_is_for(module: Path) -> None:
    text = module.with_suffix(".sql").read_text()
    names = re.findall(r"^-- name:(.*)\n(.*)\n", text, re.M)
    assert [name for name, purpose in names if not re.fullmatch(r"-- [A-Z].*", purpose)] == []
    assert sorted(texts(str(module))) == sorted(name.strip() for name, _ in names)


def test_a_name_leads_to_its_statement_without_the_purpose(tmp_path: Path) -> None:
    (tmp_path / "some.sql").write_text(
        "-- name: one\n-- The first.\n-- It has two lines.\nSELECT 1\n    -- as it is\n\n"
        "-- name: two\n-- The second.\nSELECT {}\n"
    )
    found = statements(str(tmp_path / "some.py"))
    assert {name: statement.as_string() for name, statement in found.items()} == {
        "one": "SELECT 1\n    -- as it is",
        "two": "SELECT {}",
    }
