"""The traffic as it stands, by variant name: what every door says before and after an act."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from promotion_pipeline.promotion.acts import chosen, database_errors
from promotion_pipeline.promotion.experiments import experiments_named, variants_of
from promotion_pipeline.store.database import Store


def traffic_now(experiment_name: str, *, store: Store | None = None) -> dict[str, float]:
    """Percent of traffic by variant name, control first.

    Raises:
        NotFoundError: no experiment has this name.
        DependencyError: the database is down.
    """
    with chosen(store).connect() as connection, database_errors():
        experiment = experiments_named(connection, [experiment_name])[0]
        return {variant.name: float(variant.traffic) for variant in variants_of(connection, experiment.id)}


def split_text(split: Mapping[str, Decimal | float]) -> str:
    """A split in one line."""
    return ", ".join(f"{name} {float(share):g} %" for name, share in split.items()) or "no variant is left"
