"""An outbox row with what its message needs of the experiment and the promotion."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from promotion_pipeline.store.outbox import Level
from promotion_pipeline.text.numbers import UNKNOWN


@dataclass(frozen=True)
class Notification:
    """Reads a payload without trusting it: what is missing or of another kind is unknown, never an error."""

    event: str
    level: Level
    created_at: datetime
    dedup_key: str
    payload: Mapping[str, Any]
    experiment_name: str | None = None
    variant_names: Mapping[str, str] = field(default_factory=dict)
    """Variant id -> name."""
    promotion: Mapping[str, Any] = field(default_factory=dict)
    """confidence, improvement, promoted_at, rollback_at of the promotion that it is about."""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """The notification of a claimed delivery."""
        payload = row["payload"] or {}
        return cls(
            event=row["event"],
            level=row["level"],
            created_at=row["created_at"],
            dedup_key=row["dedup_key"],
            payload=payload,
            experiment_name=row["experiment_name"] or payload.get("experiment_name"),
            variant_names=row["variant_names"] or {},
            promotion={name: row[name] for name in ("confidence", "improvement", "promoted_at", "rollback_at")},
        )

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.experiment_name or UNKNOWN

    @property
    def at(self) -> datetime:
        """When it happened."""
        return self.instant("at") or self.created_at

    @property
    def improvement(self) -> float | None:
        """Percent over control: the payload's, else the promotion's."""
        return self._either("improvement")

    @property
    def confidence(self) -> float | None:
        """Percent: the payload's, else the promotion's."""
        return self._either("confidence")

    @property
    def run_id(self) -> str | None:
        """The Dagster run that did it."""
        metadata = self.payload.get("metadata")
        places = (self.payload, metadata if isinstance(metadata, Mapping) else {})
        found = (place.get(key) for place in places for key in ("run_id", "dagster_run_id"))
        return next((str(value) for value in found if value), None)

    def text(self, key: str, default: str = UNKNOWN) -> str:
        """A text of the payload."""
        value = self.payload.get(key)
        return default if value is None or str(value).strip() == "" else str(value)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts of the payload; a single text is a list of one."""
        value = self.payload.get(key)
        members = value if isinstance(value, list) else [value]
        return tuple(str(member) for member in members if member not in (None, ""))

    def number(self, key: str) -> float | None:
        """A number of the payload."""
        return number_of(self.payload.get(key))

    def instant(self, key: str) -> datetime | None:
        """An instant of the payload, or of the promotion; with its time zone."""
        value = self.payload.get(key) or self.promotion.get(key)
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                return None
        return value if isinstance(value, datetime) and value.tzinfo is not None else None

    def rows(self, key: str) -> list[Mapping[str, Any]]:
        """A list of objects of the payload."""
        value = self.payload.get(key)
        return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []

    def split(self) -> list[tuple[str, float | None]]:
        """The payload's traffic split by variant name, the largest share first."""
        value = self.payload.get("split")
        shares = value if isinstance(value, Mapping) else {}
        named = [(self.variant_names.get(str(key), str(key)), number_of(share)) for key, share in shares.items()]
        return sorted(named, key=lambda pair: (-(pair[1] or 0.0), pair[0]))

    def _either(self, key: str) -> float | None:
        own = self.number(key)
        return own if own is not None else number_of(self.promotion.get(key))


def number_of(value: object) -> float | None:
    """A finite number, whether written as text or not; None for anything else."""
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
