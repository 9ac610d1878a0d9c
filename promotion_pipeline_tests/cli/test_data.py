"""`import` and `tokens`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd

from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.cli.conftest import Run


def sums(hours: int = 72) -> pd.DataFrame:
    """A warehouse's sums of one experiment, up to the newest complete hour, under names of its own."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    rows = [
        {
            "experiment": "größe",
            "variant": arm,
            "hour": (end - timedelta(hours=back)).isoformat(),
            "shown": 100,
            "bought": n,
        }
        for back in range(hours, 0, -1)
        for arm, n in (("control", 10), ("large", 15))
    ]
    return pd.DataFrame(rows)


def test_imported_sums_are_judged_like_requests(store: Store, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "sums it's.csv"
    sums().to_csv(file, index=False)
    done = run("import", "rollups", str(file), "--map", "requests=shown", "--map", "conversions=bought", "--json")
    assert done.code == 0
    assert (done.data["experiments"], done.data["rows"]) == (["größe"], 144)
    checked = run("check", "größe", "--json")
    assert checked.code == 0
    assert checked.data["winner"] == "large"
    assert checked.data["sampleSize"] == 7200


def test_a_file_that_cannot_be_used_exits_2_in_one_line(store: Store, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "sums.parquet"
    sums().to_parquet(file)
    for arguments in (
        ["rollups", str(file)],
        ["rollups", str(file), "--map", "requests"],
        ["rollups", str(file), "--map", "requests=nothing"],
        ["rollups", str(tmp_path / "none.csv")],
        ["asos", str(file)],
        ["asos", str(file), "--start", "2026-01-01T00:00"],
    ):
        done = run("import", *arguments)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), arguments


def test_a_token_is_shown_once_and_can_be_revoked(store: Store, run: Run) -> None:
    made = run("tokens", "create", "maria", "--role", "operator", "--by", "root", "--json").data
    assert made["role"] == "operator"
    listed = run("tokens", "list")
    assert "maria" in listed.out
    assert made["token"] not in listed.out
    assert run("tokens", "create", "maria", "--by", "root").code == 4
    assert run("tokens", "revoke", "maria", "--by", "root").code == 0
    assert run("tokens", "list", "--json").data[0]["revokedBy"] == "root"
    assert run("tokens", "revoke", "maria", "--by", "root").code == 1
    assert run("tokens", "create", "x", "--role", "king", "--by", "root").code == 2
