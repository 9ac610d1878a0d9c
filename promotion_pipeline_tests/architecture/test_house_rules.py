"""The rules that a machine can check: types, style, layers, sizes, and nothing of one machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from promotion_pipeline.cli.data import NAMES as HELP_OF_IMPORT
from promotion_pipeline.rollups.imports.sums import IMPORT_COLUMNS

ROOT = Path(__file__).parents[2]
PACKAGES = ("promotion_pipeline", "promotion_pipeline_tests")
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
MACHINE_PATH = re.compile(r"(?<![\w.{}/])/(?:work|farm|root|home/[a-z]+|Users/[A-Za-z]+)/")
TEXT_SUFFIXES = {
    ".py",
    ".toml",
    ".md",
    ".yaml",
    ".yml",
    ".lock",
    ".sql",
    ".txt",
    ".html",
    ".css",
    ".js",
    ".json",
    ".sh",
    "",
}


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def published() -> Iterator[Path]:
    """Every file of the project that a reader gets, without caches and environments."""
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        hidden = any(part.startswith(".") and part != ".ci" for part in parts[:-1])
        if (
            path.is_file()
            and path.name != ".git"
            and not hidden
            and "__pycache__" not in parts
            and parts[0] not in {"build", "dist"}
        ):
            yield path


def run_tool(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_strict_typing_holds() -> None:
    run_tool(sys.executable, "-m", "mypy", "--no-error-summary")


def test_ruff_finds_nothing() -> None:
    run_tool(sys.executable, "-m", "ruff", "check", ".")


def test_layers_are_imported_one_way_only() -> None:
    run_tool(str(Path(sys.executable).with_name("lint-imports")), "--no-cache")


def test_files_are_short_enough_to_read() -> None:
    sizes = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources()}
    assert {path: size for path, size in sizes.items() if size > LONGEST_FILE} == {}


def test_functions_are_short_enough_to_read() -> None:
    long = {}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > LONGEST_FUNCTION:
                    long[f"{path.relative_to(ROOT)}:{node.name}"] = length
    assert long == {}


def test_every_public_function_and_class_says_what_it_is() -> None:
    silent = []
    for path in sorted((ROOT / "promotion_pipeline").rglob("*.py")):
        tree = ast.parse(path.read_text())
        documented = [tree, *(node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))]
        for node in documented:
            name = getattr(node, "name", path.stem)
            if not name.startswith("_") and ast.get_docstring(node) is None and path.read_text().strip():
                silent.append(f"{path.relative_to(ROOT)}:{name}")
    assert silent == []


def test_no_file_names_a_path_of_one_machine() -> None:
    found = []
    for path in published():
        if path.suffix in TEXT_SUFFIXES and path != Path(__file__):
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                if MACHINE_PATH.search(line):
                    found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert found == []


@pytest.mark.parametrize("line", ["see /" + "work/main/x", "'/" + "root/.cache'", "/" + "home/maria/x"])
def test_the_search_for_paths_finds_one(line: str) -> None:
    assert MACHINE_PATH.search(line)


@pytest.mark.parametrize(
    ("lock", "extras"),
    [("requirements.lock", ("embedded", "spark", "celery", "docker")), ("requirements-test.lock", ("test",))],
)
def test_a_lock_pins_every_dependency_and_names_no_place(lock: str, extras: tuple[str, ...]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(name for extra in extras for name in project["optional-dependencies"][extra])]
    names = {_normal(re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0]) for requirement in wanted}
    assert names - _pinned(lock).keys() == set()


def test_a_running_installation_gets_the_versions_that_were_tested() -> None:
    running, tested = _pinned("requirements.lock"), _pinned("requirements-test.lock")
    assert {name for name in running.keys() & tested.keys() if running[name] != tested[name]} == set()
    assert len(running.keys() & tested.keys()) > 100


def _pinned(lock: str) -> dict[str, str]:
    lines = [line for line in (ROOT / lock).read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!-]+", line) for line in lines), lines
    return {_normal(name): version for name, _, version in (line.partition("==") for line in lines)}


def test_what_is_private_to_dagster_is_used_in_one_file() -> None:
    elsewhere = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "promotion_pipeline").rglob("*.py")
        if path.name != "dagster_private.py" and re.search(r"\bdagster\w*\._", path.read_text())
    ]
    assert elsewhere == []


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_handbook_documents_every_column_of_an_import() -> None:
    page = (ROOT / "docs" / "import.md").read_text()
    assert [name for name in IMPORT_COLUMNS if f"`{name}`" not in page] == []
    assert [name for name in IMPORT_COLUMNS if name not in HELP_OF_IMPORT] == []


def test_ci_runs_the_test_command_of_the_readme() -> None:
    last = (ROOT / ".ci" / "run").read_text().strip().splitlines()[-1]
    assert "pytest" in last
    assert last in (ROOT / "README.md").read_text().splitlines()
