"""`run`: the command line in this process; `spawn`: in a process of its own, as a shell starts it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from promotion_pipeline.cli.main import main


@dataclass(frozen=True)
class Ran:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """Its JSON."""
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def run(store_environment: dict[str, str], run_anywhere: Run) -> Run:
    """Run `promotion-pipeline` with these arguments on the test's store."""
    return run_anywhere


@pytest.fixture
def run_anywhere(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The same for commands that need no database."""

    def command(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["promotion-pipeline", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        written = capsys.readouterr()
        return Ran(int(ended.value.code or 0), written.out, written.err)

    return command


def spawn(*arguments: str, environment: Mapping[str, str]) -> Ran:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "promotion_pipeline.cli", *arguments]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False, timeout=280)
    return Ran(done.returncode, done.stdout, done.stderr)
