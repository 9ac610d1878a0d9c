"""Decided, served and observed: every experiment's split in our tables, as its target says it, as the log shows it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from promotion_pipeline.errors import ConfigError
from promotion_pipeline.store.database import Connection
from promotion_pipeline.store.statements import statements
from promotion_pipeline.text.numbers import instant_text, split_text
from promotion_pipeline.traffic.deliveries import UNDER_WAY, UNKNOWN_TARGET, TrafficState
from promotion_pipeline.traffic.targets.configured import kind_of, target_of
from promotion_pipeline.traffic.targets.registry import SERVED_FROM_OUR_DATABASE

_SQL = statements(__file__)


@dataclass(frozen=True, kw_only=True)
class TrafficSplit:
    """One experiment's traffic; splits are percent by variant name."""

    experiment_id: UUID
    experiment_name: str
    target: str
    """The kind, or `unknown` where `traffic_target` is none."""
    state: TrafficState | None
    """Of the newest delivery; None: nothing was delivered yet."""
    decided: dict[str, Decimal]
    served: dict[str, Decimal] | None
    """None: it was never read."""
    observed: dict[str, Decimal] | None
    """None: nobody came, or the log was not asked."""
    observed_unit: str | None
    """`users` or `requests`."""
    observed_total: int | None
    """Units that arrived."""
    observed_since: datetime | None
    p_value: float | None
    """Chi-square of what arrived against the decided split."""
    attempts: int
    error: str | None
    decided_at: datetime | None
    """When the newest delivery was written; None: nothing was delivered yet."""
    verified_at: datetime | None
    read_at: datetime | None
    """When the target said what it serves; None: it was never read, or the application reads our own table."""
    read_age_seconds: float | None
    unread: str | None
    """Why it cannot be read; None: it can."""
    unobserved: str | None
    """Why the log could not be asked; None: it was."""
    differs: str | None
    """What is wrong beyond the delivery: users get something else; None: nothing."""
    is_late: bool
    """Decided more than ten minutes ago, and not served yet."""
    is_compared: bool
    """It runs, or its promotion stands."""

    @property
    def names(self) -> list[str]:
        """Every variant that one of the splits names, those of the experiment first."""
        others = {**(self.served or {}), **(self.observed or {})}
        return [*self.decided, *sorted(name for name in others if name not in self.decided)]

    @property
    def problem(self) -> str | None:
        """What is wrong, in words; None: served = decided = observed, as far as was measured."""
        if self.target == UNKNOWN_TARGET:
            return self.error or "traffic_target is none"
        if self.state is TrafficState.CONFLICTED:
            return self.error or "somebody else changed what is served"
        if self.state is TrafficState.FAILED or self.is_late:
            served = "nobody knows what" if self.served is None else split_text(self.served)
            return f"{self.error or 'not tried yet'}; decided is {split_text(self.decided)}, served is {served}"
        return self.differs

    @property
    def is_well(self) -> bool:
        """Whether nobody has to do anything."""
        return self.problem is None and self.unread is None and self.state in (None, TrafficState.VERIFIED)

    @property
    def sentence(self) -> str | None:
        """What is wrong or not known, for people; None: nothing."""
        if self.problem is not None:
            return self.problem
        if self.unread is not None:
            last = "never read before" if self.read_at is None else f"read last {instant_text(self.read_at)}"
            return f"what is served cannot be read ({last}): {self.unread}"
        return self.error if self.state in UNDER_WAY else None

    @property
    def commands(self) -> tuple[str, ...]:
        """What to type about it."""
        name, verb = shlex.quote(self.experiment_name), "promotion-pipeline traffic"
        if self.can_be_adopted:
            return f"{verb} adopt {name}", f"{verb} overwrite {name} --reason '...'"
        return (f"{verb} retry {name}",) if self.can_be_tried_again else (f"{verb} --read",)

    @property
    def can_be_adopted(self) -> bool:
        """Whether somebody else's edit waits for a person: adopt it, or overwrite it."""
        return self.state is TrafficState.CONFLICTED

    @property
    def can_be_tried_again(self) -> bool:
        """Whether a delivery is stuck, or under way and slow."""
        return self.state not in (None, TrafficState.VERIFIED, TrafficState.SUPERSEDED)


def traffic_splits(connection: Connection, experiment_ids: Sequence[UUID] | None = None) -> list[TrafficSplit]:
    """Every experiment that runs, or whose traffic was ever set by an act; by name.

    Args:
        experiment_ids: of these only, and of each that has a variant.
    """
    ids = None if experiment_ids is None else list(experiment_ids)
    return [_split(row) for row in connection.execute(_SQL["splits"], {"ids": ids})]


def _split(row: dict[str, Any]) -> TrafficSplit:
    decided = {name: Decimal(str(share)) for name, share in row["split"].items()}
    error, is_ours = row["error"], False
    try:
        kind = kind_of(target_of(row["traffic_target"], row["name"]))
        target, is_ours = kind.value, kind in SERVED_FROM_OUR_DATABASE
    except ConfigError as wrong:
        target, error = UNKNOWN_TARGET, str(wrong)
    stored = row["read_split"] or row["served"]
    served = decided if is_ours else None if stored is None else _named(row, stored)
    counts = {key: Decimal(count) for key, count in (row["observed"] or {}).items()}
    total = sum(counts.values(), Decimal(0))
    shares = {key: round(100 * count / total, 2) for key, count in counts.items()} if total else None
    return TrafficSplit(
        experiment_id=row["id"],
        experiment_name=row["name"],
        target=target,
        state=None if row["state"] is None else TrafficState(row["state"]),
        decided=decided,
        served=served,
        observed=None if shares is None else _named(row, shares),
        observed_unit=row["observed_unit"],
        observed_total=int(total) if row["observed"] is not None else None,
        observed_since=row["observed_since"],
        p_value=row["p_value"],
        attempts=row["attempts"] or 0,
        error=error,
        decided_at=row["created_at"],
        verified_at=row["verified_at"],
        read_at=None if is_ours else row["read_at"],
        read_age_seconds=None if is_ours or row["read_at"] is None else max(float(row["read_age_seconds"]), 0.0),
        unread=None if is_ours else row["unread"],
        unobserved=row["unobserved"],
        differs=row["differs"],
        is_late=row["is_late"],
        is_compared=row["is_compared"],
    )


def _named(row: dict[str, Any], split: dict[str, Any]) -> dict[str, Decimal]:
    """By variant name; a key that is no variant of the experiment stays."""
    return {row["names"].get(key, key): Decimal(share) for key, share in split.items()}
