"""`traffic export` on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from psycopg.types.json import Jsonb

from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.seeding import VariantSpec, seed_experiment

EMPTY = (VariantSpec("control", is_control=True), VariantSpec("treatment"))


def export(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "promotion_pipeline.cli", "traffic", "export", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_flags_are_written_once_and_a_place_that_cannot_be_written_is_told(
    store: Store, store_environment: dict[str, str], tmp_path: Path
) -> None:
    seeded = seed_experiment(store, "checkout", EMPTY)
    with store.connect() as connection:
        target = Jsonb({"kind": "flagd", "flag": "button"})
        connection.execute("UPDATE ab_experiments SET traffic_target = %s WHERE id = %s", [target, seeded.id])
    file = tmp_path / "flags.json"

    first, again = export(store_environment, str(file)), export(store_environment, str(file), "--json")
    nowhere = export(store_environment, str(tmp_path / "no" / "such" / "folder.json"))

    assert first.stdout == f"1 flag written to {file}\n"
    assert json.loads(again.stdout) | {"version": "any"} == {
        "file": str(file),
        "written": False,
        "version": "any",
        "flags": ["button"],
        "refused": {},
    }
    assert json.loads(file.read_text())["flags"]["button"]["state"] == "ENABLED"
    assert (nowhere.returncode, "cannot be written" in nowhere.stderr) == (2, True)
