"""The traffic as it stands, by variant name: what every door says before and after an act."""

from __future__ import annotations

from uuid import UUID

from promotion_pipeline.errors import ConflictError
from promotion_pipeline.promotion.record.experiments import experiments_named, variants_of
from promotion_pipeline.promotion.record.models import Promotion
from promotion_pipeline.promotion.record.served import ServedTraffic
from promotion_pipeline.promotion.record.states import PromotionState
from promotion_pipeline.promotion.record.transaction import database_errors, store_or_current
from promotion_pipeline.store.database import Store
from promotion_pipeline.traffic.splits import traffic_splits


def traffic_now(experiment_name: str, *, store: Store | None = None) -> dict[str, float]:
    """Percent of traffic by variant name, control first.

    Raises:
        NotFoundError: no experiment has this name.
        DependencyError: the database is down.
    """
    with store_or_current(store).connect() as connection, database_errors():
        experiment = experiments_named(connection, [experiment_name])[0]
        return {variant.name: float(variant.traffic) for variant in variants_of(connection, experiment.id)}


def traffic_of(experiment_name: str, *, store: Store | None = None) -> ServedTraffic:
    """Decided, served and observed of one experiment.

    Raises:
        NotFoundError: no experiment has this name.
        ConflictError: it has no variants.
        DependencyError: the database is down.
    """
    with store_or_current(store).connect() as connection, database_errors():
        experiment = experiments_named(connection, [experiment_name])[0]
        found = traffic_splits(connection, [experiment.id])
    if not found:
        raise ConflictError(f"{experiment_name!r} has no variants: there is no traffic to split")
    return ServedTraffic.of(found[0])


def traffic_by_experiment(store: Store) -> dict[UUID, ServedTraffic]:
    """The same of every experiment that runs, or whose traffic was ever set by an act.

    Raises:
        DependencyError: the database is down.
    """
    with store.connect() as connection, database_errors():
        return {split.experiment_id: ServedTraffic.of(split) for split in traffic_splits(connection)}


def in_spite_of_hold(promotion: Promotion) -> str | None:
    """The hold that a person promoted in spite of, and what it does to the ramp, in words; None: there was none."""
    hold = promotion.snapshot.get("hold")
    if hold is None:
        return None
    goes_on = "; it does not pause this ramp" if promotion.state is PromotionState.RAMPING else ""
    return f"promoted although automatic promotion is on hold ({hold}); the hold stays{goes_on}"
