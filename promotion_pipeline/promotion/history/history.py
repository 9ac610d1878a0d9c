"""What happened: the promotions of an experiment, newest first."""

from __future__ import annotations

from promotion_pipeline.promotion.record.experiments import experiments_named
from promotion_pipeline.promotion.record.inputs import experiment_name_of
from promotion_pipeline.promotion.record.models import Promotion
from promotion_pipeline.promotion.record.queries import promotions_where
from promotion_pipeline.promotion.record.transaction import database_errors, store_or_current
from promotion_pipeline.store.database import Store


def get_promotion_history(experiment_name: str, *, shadow: bool = False, store: Store | None = None) -> list[Promotion]:
    """Every promotion of an experiment, newest first, each with its snapshot; nothing is ever removed.

    Args:
        experiment_name: exactly as in `ab_experiments`.
        shadow: give what would have been promoted in shadow mode instead, kept apart since no traffic changed.
        store: the database; default that of the environment.

    Raises:
        NotFoundError: no experiment has this name.
        DependencyError: the database is down.

    >>> [promotion.promoted_variant_name for promotion in get_promotion_history("reality-lens-v2")]
    ['variant-a']
    """
    name = experiment_name_of(experiment_name)
    with store_or_current(store).connect() as connection, database_errors():
        experiment = experiments_named(connection, [name])[0]
        condition = f"experiment_id = %s AND state {'=' if shadow else '<>'} 'shadow'"
        return promotions_where(connection, condition, [experiment.id])
