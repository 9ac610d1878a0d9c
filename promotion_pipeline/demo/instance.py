"""The Dagster instance beside the product's data: its home, and what its processes need to find it."""

from __future__ import annotations

import os
from pathlib import Path

from promotion_pipeline.errors import DependencyError
from promotion_pipeline.store.database import Store

STORAGE_VARIABLE = "AUTO_PROMOTION_DAGSTER_DATABASE_URL"
"""What `dagster.yaml` reads the storage's URL from."""


def dagster_environment(store: Store) -> dict[str, str]:
    """The variables that lead Dagster to the instance of this store; writes its home if it is not there.

    An existing DAGSTER_HOME is respected.
    """
    home = Path(os.environ.get("DAGSTER_HOME") or store.settings.home / "dagster").expanduser().resolve()
    home.mkdir(parents=True, exist_ok=True)
    configuration = home / "dagster.yaml"
    if "DAGSTER_HOME" not in os.environ or not configuration.exists():
        configuration.write_text(_template().read_text())
    return {"DAGSTER_HOME": str(home), STORAGE_VARIABLE: store.dagster_url}


def _template() -> Path:
    """`dagster.yaml`: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).parents[1]
    for candidate in (package / "dagster.yaml", package.parent / "dagster.yaml"):
        if candidate.exists():
            return candidate
    raise DependencyError("dagster.yaml is missing from the installation: install promotion-pipeline again")
