"""`python -m promotion_pipeline_tests.handbook.reference` writes `docs/reference/`, and the map in CONTRIBUTING.md,
anew from the code.

A test says when a page is not what the code says.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from promotion_pipeline.cli.main import app
from promotion_pipeline.config import (
    ENVIRONMENT_PREFIX,
    PASSED_THROUGH,
    MetricConfig,
    PromotionConfig,
    Settings,
    choices,
    meaning_of,
)
from promotion_pipeline.config.aliases import aliases_of, variable_of
from promotion_pipeline.evaluation.contract import CONTRACT
from promotion_pipeline_tests.handbook.door_codes import DOOR_CODES, product_errors
from promotion_pipeline_tests.handbook.fields import meanings
from promotion_pipeline_tests.handbook.rooms import CONTRIBUTING, with_map
from promotion_pipeline_tests.handbook.tables import tables_page

FOLDER = Path(__file__).parents[2] / "docs" / "reference"
MADE = "<!-- Made from the code by `python -m promotion_pipeline_tests.handbook.reference`: do not edit. -->\n\n"


def settings_page() -> str:
    """Every environment variable that is no threshold, with its default and meaning."""
    said = meanings(Settings)
    rows = [
        (f"`{ENVIRONMENT_PREFIX}{name.upper()}`", _default(Settings, name, field), said.get(name, _plain(name)))
        for name, field in Settings.model_fields.items()
        if name != "thresholds"
    ]
    rows += [(f"`{ENVIRONMENT_PREFIX}{name}`", "none", meaning) for name, meaning in PASSED_THROUGH.items()]
    return (
        "# Settings\n\nRead from the environment at the start of every process; an unknown name or a value out of"
        " bounds is refused with a suggestion. An empty value counts as not set.\n\n"
        + _table(("variable", "default", "meaning"), rows)
        + "\nThe thresholds of an evaluation have [a page of their own](thresholds.md).\n"
    )


def thresholds_page() -> str:
    """Every threshold with its names at the doors, its default and meaning; then the words that some can be."""
    rows = [
        (
            f"`{name}`",
            f"`{field.alias}`",
            f"`{variable_of(name)}`",
            _also(name),
            _default(PromotionConfig, name, field),
            meaning_of(name),
        )
        for name, field in PromotionConfig.model_fields.items()
    ]
    return (
        "# Thresholds\n\nWeakest first: default, environment, the experiment's `promotion_config`, the request. In an"
        " unattended act a request may tighten what the experiment's own say, and never loosen it.\n\nA threshold has"
        " one name, written as each place writes names. The command line takes `--set name=value` for each; those of"
        " the contract, `--require-manual-approval` and `--evidence` also have an option and a query parameter of"
        " their own. The names under *also* are those of the first specification: they mean the same wherever a name"
        " is written, but in the Launchpad. Two names of one threshold with two values are refused.\n\n"
        + _table(("Python, `promotion_config`", "HTTP", "environment", "also", "default", "meaning"), rows)
        + _checks()
        + _metric_fields()
        + "".join(_words(kind) for kind in _kinds())
    )


def commands_page() -> str:
    """What `--help` says of every command."""
    command = typer.main.get_command(app)
    parts = [f"## {path}\n\n```text\n{text.rstrip()}\n```\n" for path, text in _helps(command, "promotion-pipeline")]
    return "# Commands\n\nWhat `--help` says of each.\n\n" + "\n".join(parts)


def errors_page() -> str:
    """Every error with its code, exit code and HTTP status."""
    rows = [
        (f"`{kind.code}`", f"`{kind.__name__}`", str(kind.exit_code), str(kind.http_status), _first_line(kind))
        for kind in sorted(product_errors(), key=lambda kind: kind.code)
    ]
    of_the_door = [(f"`{code}`", str(status), meaning) for code, (status, meaning) in sorted(DOOR_CODES.items())]
    return (
        "# Errors\n\nPython raises them, the HTTP API answers them as `application/problem+json` with this `code`,"
        " and the command line ends with the exit code.\n\n"
        + _table(("code", "Python", "exit code", "HTTP status", "meaning"), rows)
        + "\n## Of the HTTP door alone\n\n"
        + _table(("code", "HTTP status", "meaning"), of_the_door)
    )


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "thresholds.md": thresholds_page,
    "commands.md": commands_page,
    "errors.md": errors_page,
    "tables.md": tables_page,
}


def _kinds() -> Iterator[type[StrEnum]]:
    for _, kind in inspect.getmembers(choices, inspect.isclass):
        if issubclass(kind, StrEnum) and kind is not StrEnum:
            yield kind


def _also(field: str) -> str:
    names = [name for alias in aliases_of(field) for name in (alias, to_camel(alias), variable_of(alias))]
    return ", ".join(f"`{name}`" for name in names)


def _checks() -> str:
    rows = [
        (
            f"`{check.name}`",
            f"`{to_camel(check.name)}`",
            f"`{check.observed}` {check.sign} `{check.threshold}`{check.also_words and f' and {check.also_words}'}",
            f"`{check.fails_as.value}`",
        )
        for check in CONTRACT
    ]
    return "\n## Contract checks\n\nAll must pass for `is_eligible`.\n\n" + _table(
        ("check", "in `safetyChecks`", "passes when", "else the verdict is"), rows
    )


def _metric_fields() -> str:
    rows = [
        (
            f"`{name}`",
            f"`{field.alias}`",
            "needed" if field.is_required() else _default(MetricConfig, name, field),
            " ".join((field.description or "").split()),
        )
        for name, field in MetricConfig.model_fields.items()
    ]
    return "\n## A metric\n\nOf the list `metrics`.\n\n" + _table(
        ("Python, `promotion_config`", "HTTP", "default", "meaning"), rows
    )


def _words(kind: type[StrEnum]) -> str:
    said = meanings(kind)
    rows = [(f"`{member.value}`", said[member.name]) for member in kind]
    return f"\n## {kind.__name__}\n\n{inspect.getdoc(kind)}\n\n" + _table(("word", "meaning"), rows)


def _helps(command: Any, path: str) -> Iterator[tuple[str, str]]:
    # A fixed width: the page must not depend on the terminal of whoever makes it.
    context = command.make_context(path, [], resilient_parsing=True, terminal_width=100, max_content_width=100)
    if not hasattr(command, "commands"):
        yield path, command.get_help(context)
        return
    for name in sorted(command.commands):
        yield from _helps(command.commands[name], f"{path} {name}")


def _default(owner: type[BaseModel], name: str, field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "the user's data folder"
    match field.default:
        case None | ():
            return "none"
        case bool(value):
            return str(value).lower()
        case StrEnum() as value:
            return f"`{value.value}`"
        case tuple(value):
            return ", ".join(f"{item:g}" if isinstance(item, float) else str(item) for item in value)
        case float(value):
            return f"{value:g}"
        case value:
            return f"`{value}`" if isinstance(value, str) else str(value)


def _first_line(kind: type) -> str:
    return " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split())


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def main() -> None:
    """Write every page, and the map of rooms."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(MADE + page(), encoding="utf-8")
    CONTRIBUTING.write_text(with_map(CONTRIBUTING.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
