"""Tests lie in the room whose code they test, campaigns beside them, and each test can fail."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "promotion_pipeline_tests"
CAMPAIGNS = {"adoption", "faults", "hostile"}
"""Packages with a command; their short versions are in campaigns/."""
OF_NO_ROOM = {"architecture", "campaigns", "data", "handbook", "history"}
JUDGES = {
    "raises": "pytest's",
    "warns": "pytest's",
    "call_and_validate": "Schemathesis'",
    "run_tool": "a tool that must end well",
    "run_rounds": "the campaign of hostile experiments",
    "_is_sound": "a page that is read with axe-core",
    "ask": "a question of the table of logs",
}
"""What a test may call instead of asserting itself, beside functions that are called assert_...: it fails by itself."""


def test_a_folder_of_tests_is_a_room_of_the_product() -> None:
    rooms = {path.name for path in (ROOT / "promotion_pipeline").iterdir() if path.is_dir()}
    folders = {path.relative_to(TESTS).parts[0] for path in TESTS.glob("*/**/*.py")}
    assert folders - rooms - OF_NO_ROOM == CAMPAIGNS


def test_a_campaign_is_no_test() -> None:
    tests = [str(path) for name in sorted(CAMPAIGNS) for path in (TESTS / name).rglob("test_*.py")]
    assert tests == []
    assert all((TESTS / name / "__main__.py").exists() for name in CAMPAIGNS)


def test_every_test_can_fail() -> None:
    tests = {
        f"{path.relative_to(ROOT)}:{node.name}": node
        for path in sorted(TESTS.rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    assert len(tests) > 1_000
    assert [name for name, test in tests.items() if not can_fail(test)] == []


@pytest.mark.parametrize("body", ["promote('x')", "assert True", "assert (a, 'b')"])
def test_a_test_that_asserts_nothing_is_found(body: str) -> None:
    (test,) = ast.parse(f"def test_x(): {body}").body
    assert not can_fail(test)


def can_fail(test: ast.AST) -> bool:
    """Whether it asserts something that is no constant, or calls what does."""
    for node in ast.walk(test):
        if isinstance(node, ast.Assert) and not isinstance(node.test, ast.Constant | ast.Tuple):
            return True
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if name in JUDGES or name.lstrip("_").startswith("assert_"):
                return True
    return False
