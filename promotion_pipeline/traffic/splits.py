"""Decided beside served: every experiment's split in our tables, and what its target said when it was read last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from promotion_pipeline.errors import ConfigError
from promotion_pipeline.store.database import Connection
from promotion_pipeline.traffic.deliveries import UNKNOWN_TARGET, TrafficState
from promotion_pipeline.traffic.targets.configured import kind_of, target_of
from promotion_pipeline.traffic.targets.registry import SERVED_FROM_OUR_DATABASE

_SPLITS = """
    SELECT e.id, e.name::text, e.traffic_target, d.state, d.served, d.error, d.attempts, d.created_at, d.verified_at,
        d.next_attempt_at, v.split, v.names
    FROM ab_experiments e
    CROSS JOIN LATERAL (SELECT jsonb_object_agg(name::text, traffic_percentage::numeric ORDER BY name) AS split,
            jsonb_object_agg(id::text, name::text) AS names
        FROM ab_variants WHERE experiment_id = e.id) AS v
    LEFT JOIN LATERAL (SELECT * FROM traffic_deliveries WHERE experiment_id = e.id
        ORDER BY generation DESC LIMIT 1) AS d ON true
    WHERE v.split IS NOT NULL AND (e.is_active OR d.id IS NOT NULL)
    ORDER BY e.name
"""


@dataclass(frozen=True)
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
    attempts: int
    error: str | None
    decided_at: datetime | None
    """When the newest delivery was written; None: nothing was delivered yet."""
    verified_at: datetime | None

    @property
    def is_well(self) -> bool:
        """Whether nobody has to do anything."""
        return self.target != UNKNOWN_TARGET and self.state in (None, TrafficState.VERIFIED)

    def to_json(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "experimentName": self.experiment_name,
            "target": self.target,
            "state": self.state,
            "decided": _numbers(self.decided),
            "served": None if self.served is None else _numbers(self.served),
            "attempts": self.attempts,
            "error": self.error,
            "decidedAt": None if self.decided_at is None else self.decided_at.isoformat(),
            "verifiedAt": None if self.verified_at is None else self.verified_at.isoformat(),
        }


def traffic_splits(connection: Connection) -> list[TrafficSplit]:
    """Every experiment that runs, or whose traffic was ever set by an act; by name."""
    return [_split(row) for row in connection.execute(_SPLITS)]


def _split(row: dict[str, Any]) -> TrafficSplit:
    decided = {name: Decimal(str(share)) for name, share in row["split"].items()}
    error = row["error"]
    try:
        kind = kind_of(target_of(row["traffic_target"], row["name"]))
        target = kind.value
    except ConfigError as wrong:
        kind, target, error = None, UNKNOWN_TARGET, str(wrong)
    if kind in SERVED_FROM_OUR_DATABASE:
        served: dict[str, Decimal] | None = decided
    elif row["served"] is None:
        served = None
    else:
        served = {row["names"].get(key, key): Decimal(share) for key, share in row["served"].items()}
    return TrafficSplit(
        experiment_id=row["id"],
        experiment_name=row["name"],
        target=target,
        state=None if row["state"] is None else TrafficState(row["state"]),
        decided=decided,
        served=served,
        attempts=row["attempts"] or 0,
        error=error,
        decided_at=row["created_at"],
        verified_at=row["verified_at"],
    )


def _numbers(split: dict[str, Decimal]) -> dict[str, float]:
    return {name: float(share) for name, share in split.items()}
