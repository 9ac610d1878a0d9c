"""The shape of the house: rooms that say what belongs in them, arrows without circles, one name a thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp

import promotion_pipeline

PACKAGE = Path(promotion_pipeline.__file__).parent
MOST_AT_THE_ROOT = 25
"""Rooms and modules that a newcomer meets first."""


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = grimp.build_graph("promotion_pipeline", cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert _circle(imports) == [], "move what both need to a module of its own"


def _circle(imports: dict[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_a_circle_is_found() -> None:
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) != []


def test_every_room_says_what_belongs_in_it_and_what_does_not() -> None:
    unsaid = []
    for path in sorted(PACKAGE.rglob("__init__.py")):
        said = ast.get_docstring(ast.parse(path.read_text())) or ""
        if path.parent != PACKAGE and "\n\nNot here: " not in said:
            unsaid.append(str(path.parent.relative_to(PACKAGE)))
    assert unsaid == []


def test_no_two_classes_share_a_name() -> None:
    places = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef):
                places[node.name].append(str(path.relative_to(PACKAGE)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_the_root_stays_small() -> None:
    names = {path.name for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert len(names) <= MOST_AT_THE_ROOT, sorted(names)
