"""The map of rooms in CONTRIBUTING.md: the first line of every package's docstring."""

from __future__ import annotations

import ast
from pathlib import Path

import promotion_pipeline

PACKAGE = Path(promotion_pipeline.__file__).parent
CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"
BEGIN = "<!-- rooms: made by `python -m promotion_pipeline_tests.handbook.reference` -->\n"
END = "<!-- end of rooms -->\n"


def rooms() -> dict[str, str]:
    """Folder below `promotion_pipeline/` -> the first sentence of its `__init__`, and what does not belong there."""
    found = {}
    for file in sorted(PACKAGE.rglob("__init__.py")):
        said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        folder = str(file.parent.relative_to(PACKAGE))
        if folder != ".":
            found[folder] = " ".join(said.partition("\n\n")[0].split())
    return found


def map_of_rooms() -> str:
    """The lines between the two marks."""
    return BEGIN + "".join(f"- `{folder}/`: {said}\n" for folder, said in rooms().items()) + END


def with_map(page: str) -> str:
    """The page with the map as the code has it."""
    before, _, rest = page.partition(BEGIN)
    return before + map_of_rooms() + rest.partition(END)[2]
