"""The example application, as its own documented command runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from promotion_pipeline.store.database import Store

EXAMPLE = Path(__file__).parents[2] / "examples" / "shop" / "run.py"


def test_the_shop_goes_from_nothing_to_a_promotion_that_its_own_visitors_see(
    store: Store, store_environment: dict[str, str]
) -> None:
    command = [sys.executable, str(EXAMPLE), "--visitors", "2400"]

    done = subprocess.run(command, env=store_environment, capture_output=True, text=True, check=False, timeout=240)

    assert done.returncode == 0, done.stderr
    assert '"promoted": 1' in done.stdout
    assert "visitors afterwards: green=300" in done.stdout
    logged = store.rows("SELECT count(*) AS n, count(DISTINCT user_id) AS users FROM ai_requests", {})
    assert logged[0]["n"] >= 2_400 + 300
    assert logged[0]["users"] == 2_400
