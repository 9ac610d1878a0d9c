"""Programs of other people that the tests run as they are: installed once a machine and lock, apart."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).parent
NODE, UNLEASH, FLAGD = HERE / "node", HERE / "unleash", HERE / "flagd"


class NotHereError(Exception):
    """What would be run cannot be: there is no Node, or no registry."""


def node_packages(package: Path) -> Path:
    """The `node_modules` of a folder with `package.json` and its lock.

    Raises:
        NotHereError: there is no Node, or the registry does not give them.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise NotHereError("there is no node and npm on the PATH")
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    return _installed(package, ("package.json", "package-lock.json"), command) / "node_modules"


def flagd_packages() -> Path:
    """The packages of flagd's own provider for Python, for `python -S`.

    Raises:
        NotHereError: the index does not give them.
    """
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", "packages"]
    return _installed(FLAGD, ("requirements.lock",), [*command, "-r", "requirements.lock"]) / "packages"


def ask(command: Sequence[str], environment: Mapping[str, str], options: object, users: Sequence[str]) -> list[str]:
    """What a program answers for every user: options as JSON behind the command, users and answers one a line."""
    done = subprocess.run(
        [*command, json.dumps(options)],
        input="\n".join(users),
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    answers = done.stdout.split("\n")
    assert len(answers) == len(users), f"{len(answers)} answers to {len(users)} users: {done.stderr[-2_000:]}"
    return answers


def ask_node(which: str, options: object, users: Sequence[str]) -> list[str]:
    """What a client of `node/clients.cjs` answers."""
    path = {"PATH": str(Path(shutil.which("node") or "node").parent), "NODE_PATH": str(node_packages(NODE))}
    return ask(["node", str(NODE / "clients.cjs"), which], path, options, users)


def ask_flagd(options: object, users: Sequence[str]) -> list[str]:
    """What flagd's provider for Python answers from a file."""
    path = {"PYTHONPATH": str(flagd_packages())}
    return ask([sys.executable, "-S", str(FLAGD / "file_mode.py")], path, options, users)


def _installed(source: Path, names: Sequence[str], command: Sequence[str]) -> Path:
    content = b"".join((source / name).read_bytes() for name in names)
    place = Path(tempfile.gettempdir()) / f"promotion-tests-{source.name}-{hashlib.sha256(content).hexdigest()[:12]}"
    if place.exists():
        return place
    with tempfile.TemporaryDirectory(prefix=f"{place.name}-") as folder:
        for name in names:
            shutil.copy(source / name, folder)
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotHereError(f"{command[0]} cannot install {source.name}: {done.stderr.strip()[-300:]}")
        made = Path(folder) / "made"
        made.mkdir()
        for found in [one for one in Path(folder).iterdir() if one != made]:
            found.rename(made / found.name)
        try:
            # Two workers may install at once: the first one counts.
            made.rename(place)
        except OSError:
            if not place.exists():
                raise
    return place
