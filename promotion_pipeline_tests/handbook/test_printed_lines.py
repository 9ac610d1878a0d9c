"""What the handbook prints to be typed or pasted exists: commands with their options, variables, files of a log."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from promotion_pipeline.cli.main import app
from promotion_pipeline.config import known_variables
from promotion_pipeline.rollups.source_config import SourceConfig
from promotion_pipeline_tests.handbook.test_links import ROOT, pages

COMMAND = re.compile(r"(?:^|[\s`(/])promotion-pipeline (?!promotion-pipeline)((?:[^`\n|;&)#]|'[^'\n]*')*)")
VARIABLE = re.compile(r"AUTO_PROMOTION_[A-Z0-9_]*[A-Z0-9]\b(?!_?\*|`?\.\.\.)")
TOML = re.compile(r"```toml\n(.*?)```", re.DOTALL)
FAMILIES = {"AUTO_PROMOTION_WATCH"}
"""Beginnings of names that a page stands for the whole family with."""
WRITTEN = [page for page in pages() if "reference" not in page.parts]


def printed_commands(text: str) -> Iterator[list[str]]:
    """The words after `promotion-pipeline` wherever a command stands in code."""
    blocks = re.findall(r"```(?:bash|text)?\n(.*?)```", text, re.DOTALL)
    for code in [*blocks, *re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))]:
        for found in COMMAND.finditer(code):
            words = _words(found[1])
            if words:
                yield words


def wrong_with(words: list[str]) -> str | None:
    """What of a command does not exist; None: all of it does."""
    command: Any = typer.main.get_command(app)
    path: list[str] = []
    while hasattr(command, "commands") and words:
        name, *words = words
        if name.startswith("-") or name in {"...", "NAME"}:
            return None
        if name not in command.commands:
            return f"no command {' '.join([*path, name])!r}"
        path.append(name)
        command = command.commands[name]
    context = command.make_context("", [], resilient_parsing=True)
    known = {option for part in command.get_params(context) for option in (*part.opts, *part.secondary_opts)}
    unknown = [word for word in words if word.startswith("--") and word.partition("=")[0] not in known]
    return f"{' '.join(path)} has no {unknown[0]}" if unknown else None


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_option_exists(page: Path) -> None:
    commands = printed_commands(page.read_text(encoding="utf-8"))
    assert [wrong for words in commands if (wrong := wrong_with(words))] == []


def test_what_does_not_exist_is_found() -> None:
    text = "`promotion-pipeline promote NAME --yess` and\n```bash\npromotion-pipeline undo NAME\n```\n"
    assert [wrong_with(words) for words in printed_commands(text)] == ["no command 'undo'", "promote has no --yess"]


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_variable_exists(page: Path) -> None:
    named = set(VARIABLE.findall(page.read_text(encoding="utf-8")))
    assert sorted(named - set(known_variables()) - FAMILIES) == []


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_module_that_is_run_exists(page: Path) -> None:
    modules = re.findall(r"python -m (promotion_pipeline[\w.]*)", page.read_text(encoding="utf-8"))
    modules = [module for module in modules if not module.endswith(".")]
    files = {module: ROOT / module.replace(".", "/") for module in modules}
    there = {
        module for module, file in files.items() if file.with_suffix(".py").exists() or (file / "__main__.py").exists()
    }
    assert sorted(set(modules) - there) == []


def test_every_file_of_a_log_is_one_that_can_be_read() -> None:
    texts = (page.read_text(encoding="utf-8") for page in WRITTEN)
    files = [tomllib.loads(toml) for text in texts for toml in TOML.findall(text)]
    assert {SourceConfig(**file).engine for file in files} >= {"postgresql", "duckdb", "spark", "clickhouse"}


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()
