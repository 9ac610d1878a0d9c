"""An outbox row with what its message needs of the experiment and the promotion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from promotion_pipeline.notifications.events import RESOLVES
from promotion_pipeline.notifications.message import Fact, Message, MessageTable
from promotion_pipeline.store.outbox import RUN_ID, Level
from promotion_pipeline.store.payload import Instant, Number, Payload, Text, number_of
from promotion_pipeline.text.numbers import UNKNOWN


class CommonPayload(Payload):
    """What the payload of any event may have."""

    experiment_name: Text | None = None
    at: Instant = None
    improvement: Number = None
    """Percent."""
    confidence: Number = None
    """Percent."""


@dataclass(frozen=True)
class Notification:
    """What is to be said, before it is put into words."""

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
            experiment_name=row["experiment_name"] or CommonPayload.read(payload).experiment_name,
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
        return CommonPayload.read(self.payload).at or self.created_at

    @property
    def improvement(self) -> float | None:
        """Percent over control: the payload's, else the promotion's."""
        own = CommonPayload.read(self.payload).improvement
        return own if own is not None else number_of(self.promotion.get("improvement"))

    @property
    def confidence(self) -> float | None:
        """Percent: the payload's, else the promotion's."""
        own = CommonPayload.read(self.payload).confidence
        return own if own is not None else number_of(self.promotion.get("confidence"))

    @property
    def run_id(self) -> str | None:
        """The Dagster run that did it."""
        metadata = self.payload.get("metadata")
        places = (self.payload, metadata if isinstance(metadata, Mapping) else {})
        found = (place.get(key) for place in places for key in ("run_id", RUN_ID))
        return next((str(value) for value in found if value), None)

    def split(self, shares: Mapping[str, object]) -> list[tuple[str, float | None]]:
        """A traffic split by variant name instead of id, the largest share first."""
        named = [(self.variant_names.get(key, key), number_of(share)) for key, share in shares.items()]
        return sorted(named, key=lambda pair: (-(pair[1] or 0.0), pair[0]))

    def message(
        self,
        title: str,
        *sentences: str,
        facts: tuple[Fact | None, ...] = (),
        next_step: str = "Nothing.",
        table: MessageTable | None = None,
    ) -> Message:
        """The message with these words; empty sentences and facts without a number are left out."""
        return Message(
            event=self.event,
            level=self.level,
            title=title,
            at=self.at,
            what_happened=tuple(sentence for sentence in sentences if sentence),
            facts=tuple(each for each in facts if each is not None),
            next_step=next_step,
            experiment_name=self.experiment_name,
            resolves=self.event in RESOLVES,
            table=table,
        )
