"""Is there a winner? Asks, records nothing."""

from __future__ import annotations

from datetime import datetime

from promotion_pipeline.promotion.judge.assess import assess
from promotion_pipeline.promotion.record.inputs import ConfigLike, experiment_name_of, request_config
from promotion_pipeline.promotion.record.models import PromotionEligibility
from promotion_pipeline.promotion.record.transaction import store_or_current
from promotion_pipeline.store.database import Store


def check_promotion_eligibility(
    experiment_name: str,
    config: ConfigLike = None,
    *,
    as_of: datetime | None = None,
    store: Store | None = None,
) -> PromotionEligibility:
    """Whether an experiment passes the contract checks, with every number behind the answer.

    Args:
        experiment_name: exactly as in `ab_experiments`.
        config: thresholds that override the environment's and the experiment's own.
        as_of: the hour to look from, with a time zone, floored to its full hour; default the newest complete
            hour of the database's clock.
        store: the database; default that of the environment.

    Returns:
        The eligibility. An experiment that is not running is not eligible, and the reason says so.

    Raises:
        NotFoundError: no experiment has this name.
        InputError: `as_of` is naive or in the future.
        ConfigError: a threshold is unknown or out of bounds.
        DependencyError: the database is down.

    >>> eligibility = check_promotion_eligibility("reality-lens-v2")
    >>> if eligibility.is_eligible:
    ...     print(f"Winner: {eligibility.winner}")
    ... else:
    ...     print("Not eligible:", eligibility.reasons)
    Winner: variant-a
    """
    name = experiment_name_of(experiment_name)
    return assess(store_or_current(store), [name], request_config(config), as_of)[0]
