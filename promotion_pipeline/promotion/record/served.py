"""An experiment's traffic as every door tells it: decided, served, observed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from promotion_pipeline.promotion.record.result import Measured, Result
from promotion_pipeline.traffic.splits import TrafficSplit


class ServedTraffic(Result):
    """The three splits of one experiment, in percent by variant name, and what is wrong where they differ."""

    experiment_name: str
    target: str
    """`table`, `unleash`, `flagd`, `ofrep` or `webhook`; `unknown` where `traffic_target` is none."""
    state: str | None
    """Of the newest delivery; None: nothing was delivered yet."""
    decided: dict[str, float]
    """What our tables say."""
    served: dict[str, float] | None
    """What the target said when it was read last; None: it was never read."""
    observed: dict[str, float] | None
    """What the log shows since the split is served, at most of a day; None: nobody came yet, or it was not asked."""
    observed_unit: str | None = None
    """What is counted: `users`, or `requests` where most of them name no user."""
    observed_total: int | None = None
    observed_since: datetime | None = None
    p_value: Measured = None
    """Chi-square of what arrived against the decided split."""
    problem: str | None = None
    """What is wrong: served, decided and observed differ; None: they do not, as far as was measured."""
    error: str | None = None
    """What the newest delivery met."""
    attempts: int = 0
    decided_at: datetime | None = None
    verified_at: datetime | None = None
    read_at: datetime | None = None
    """When the target was read last; None: never, or the application reads our own table."""
    unread: str | None = None
    """Why the target cannot be read; None: it can."""
    unobserved: str | None = None
    """Why the log could not be asked; None: it was."""

    @classmethod
    def of(cls, split: TrafficSplit) -> ServedTraffic:
        """The splits of a row."""
        return cls(
            experiment_name=split.experiment_name,
            target=split.target,
            state=None if split.state is None else split.state.value,
            decided=_numbers(split.decided),
            served=None if split.served is None else _numbers(split.served),
            observed=None if split.observed is None else _numbers(split.observed),
            observed_unit=split.observed_unit,
            observed_total=split.observed_total,
            observed_since=split.observed_since,
            p_value=split.p_value,
            problem=split.problem,
            error=split.error,
            attempts=split.attempts,
            decided_at=split.decided_at,
            verified_at=split.verified_at,
            read_at=split.read_at,
            unread=split.unread,
            unobserved=split.unobserved,
        )


def _numbers(split: Mapping[str, Decimal]) -> dict[str, float]:
    return {name: float(share) for name, share in split.items()}
