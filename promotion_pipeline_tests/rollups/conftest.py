"""A log at each place that the port can ask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest

from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.rollups.places import Place, place

MakePlace: TypeAlias = Callable[..., Place]


@pytest.fixture
def make_place(request: pytest.FixtureRequest, store: Store, log_url: str, tmp_path: Path) -> MakePlace:
    """`make_place(name, **mapping)`: an empty log at a place of PLACES."""

    def make(name: str, **more: object) -> Place:
        if name == "Spark":
            request.getfixturevalue("spark")
        elif name in {"DuckDB", "chdb"}:
            pytest.importorskip(name.lower())
        return place(name, store, tmp_path, log_url, **more)

    return make
