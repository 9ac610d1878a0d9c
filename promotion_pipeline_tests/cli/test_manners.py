"""What every command has in common: help, suggestions, errors in one line, no colour where none is wanted."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from promotion_pipeline.cli.main import app
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.cli.conftest import Run, spawn
from promotion_pipeline_tests.seeding import seed_experiment, split_of


def _commands(group: typer.core.TyperGroup, *path: str) -> list[list[str]]:
    """The words of every command, groups included."""
    found = []
    for name, command in group.commands.items():
        found.append([*path, name])
        if isinstance(command, typer.core.TyperGroup):
            found += _commands(command, *path, name)
    return found


ROOT = typer.main.get_command(app)
assert isinstance(ROOT, typer.core.TyperGroup)
COMMANDS = _commands(ROOT)
COLOUR = r"\x1b\[[0-9;]*m"


@pytest.mark.parametrize("command", [[], *COMMANDS], ids=" ".join)
def test_help_begins_with_examples(run_anywhere: Run, command: list[str]) -> None:
    done = run_anywhere(*command, "--help")
    assert done.code == 0
    lines = [line.strip() for line in done.out.splitlines() if line.strip()]
    assert lines[0].startswith("Usage:")
    assert lines[1] == "Examples:"
    assert " ".join(["promotion-pipeline", *command]) in lines[2]


def test_help_loads_nothing_heavy() -> None:
    heavy = "{'dagster', 'pandas', 'numpy', 'scipy', 'psycopg', 'sqlalchemy', 'fastapi', 'rich', 'pydantic'}"
    code = f"import sys, promotion_pipeline.cli.main; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_mistyped_command_is_suggested(run_anywhere: Run) -> None:
    done = run_anywhere("chekc", "x")
    assert (done.code, "Did you mean 'check'?" in done.err) == (2, True)


def test_a_database_that_is_down_is_one_line_and_exit_code_5(tmp_path: Path) -> None:
    environment = {**os.environ, "AUTO_PROMOTION_DATABASE_URL": "postgresql://me:hunter22@127.0.0.1:9/app"}
    for arguments in (["check", "x"], ["promote", "x", "--by", "me"], ["db", "upgrade"]):
        done = spawn(*arguments, environment=environment | {"AUTO_PROMOTION_HOME": str(tmp_path)})
        assert (done.code, done.out) == (5, "")
        assert done.err.startswith("error: the database")
        assert done.err.count("\n") == 1
        assert "hunter22" not in done.err


def test_a_schema_that_is_missing_names_the_command_that_makes_it(
    empty_database: str, run_anywhere: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTO_PROMOTION_DATABASE_URL", empty_database)
    done = run_anywhere("check", "x")
    assert (done.code, "promotion-pipeline db upgrade" in done.err) == (5, True)
    assert run_anywhere("db", "upgrade").code == 0
    assert run_anywhere("check").code == 0


def test_an_unknown_setting_exits_2_with_a_suggestion(run_anywhere: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTO_PROMOTION_MIN_SAMPLE_SIZ", "5")
    done = run_anywhere("check")
    assert (done.code, "AUTO_PROMOTION_MIN_SAMPLE_SIZE" in done.err) == (2, True)


def test_a_terminal_without_unicode_gets_escapes(store: Store, store_environment: dict[str, str]) -> None:
    seed_experiment(store, "größe")
    done = spawn("check", "größe", environment=store_environment | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert (done.code, "gr\\xf6\\xdfe: eligible" in done.out) == (0, True)


def test_no_color_is_honoured_on_a_terminal(store: Store, store_environment: dict[str, str]) -> None:
    seed_experiment(store, "checkout")
    plain = _on_a_terminal(store_environment | {"NO_COLOR": "1"}, "check", "checkout")
    assert "checkout: eligible" in plain
    assert not re.search(COLOUR, plain)
    assert re.search(COLOUR, _on_a_terminal(store_environment | {"TERM": "xterm-256color"}, "check", "checkout"))


def test_what_takes_long_shows_a_bar_on_a_terminal_and_none_in_a_pipe() -> None:
    """It takes as long as it takes to see the bar."""
    code = "from promotion_pipeline.cli import output\nwith output.progress('Simulating'):\n    input()"
    command = [sys.executable, "-c", code]
    shown = _conversation(command, {**os.environ, "TERM": "xterm-256color"}, typed="\n", after="Simulating")
    assert "Simulating" in shown
    piped = subprocess.run(command, input="\n", capture_output=True, text=True, check=True)
    assert piped.stderr == ""


def test_what_is_quick_shows_no_bar() -> None:
    code = "from promotion_pipeline.cli import output\nwith output.progress('Simulating'):\n    pass"
    assert _conversation([sys.executable, "-c", code], {**os.environ, "TERM": "xterm-256color"}) == ""


def test_an_act_asks_on_a_terminal_unless_told_yes(store: Store, store_environment: dict[str, str]) -> None:
    seeded = seed_experiment(store, "checkout", users=2000)
    asked = _on_a_terminal(store_environment, "promote", "checkout", typed="n\n")
    assert "Move the traffic of 'checkout' to 'treatment'?" in asked
    assert split_of(store, seeded)["treatment"] == 50
    assert "?" not in _on_a_terminal(store_environment, "promote", "checkout", "--yes")
    assert split_of(store, seeded)["treatment"] == 100
    assert "Set the" in _on_a_terminal(store_environment, "rollback", "checkout", "--reason", "x", typed="n\n")
    assert split_of(store, seeded)["treatment"] == 100
    _on_a_terminal(store_environment, "rollback", "checkout", "--reason", "x", "-y")
    assert split_of(store, seeded)["treatment"] == 50


def test_the_shell_completes_commands() -> None:
    words = {"_PROMOTION_PIPELINE_COMPLETE": "complete_bash", "COMP_WORDS": "promotion-pipeline ro", "COMP_CWORD": "1"}
    assert spawn(environment={**os.environ, **words}).out.split() == ["rollback"]


def _on_a_terminal(environment: dict[str, str], *arguments: str, typed: str = "") -> str:
    """What a command writes to a terminal on which this is typed."""
    return _conversation([sys.executable, "-m", "promotion_pipeline.cli", *arguments], environment, typed=typed)


def _conversation(command: list[str], environment: dict[str, str], *, typed: str = "", after: str = "") -> str:
    """What a program writes to a terminal on which something is typed after something was seen."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        written, to_type = b"", typed.encode()
        try:
            while True:
                if to_type and after.encode() in written:
                    os.write(ours, to_type)
                    to_type = b""
                part = os.read(ours, 65536)
                if not part:
                    break
                written += part
        except OSError:
            pass
        process.wait(60)
    os.close(ours)
    return written.decode()
