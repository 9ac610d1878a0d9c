"""What was decided about one experiment, and what it was decided on: plain values, wherever they were read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.decisions.past_lifts import Expected
from promotion_pipeline.evaluation import Outlook, outlook
from promotion_pipeline.evaluation.unattended import MadeBy, UnattendedFacts, WithheldReason, is_fresh, withheld_reasons
from promotion_pipeline.promotion.record.experiments import ExperimentFacts
from promotion_pipeline.rollups import Completeness
from promotion_pipeline.rollups.usual_traffic import HourTraffic


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One experiment as seen from one as-of: the decision as it stands, and what it was made from.

    `decision` is None where the experiment was not evaluated; `problem` then says why. `config` is None where
    the experiment's own thresholds are not valid.
    """

    experiment: ExperimentFacts
    as_of: datetime
    config: PromotionConfig | None
    decision: dict[str, Any] | None = None
    metrics: tuple[dict[str, Any], ...] = ()
    """A row a variant, as `evaluate` gave them."""
    metric_results: tuple[dict[str, Any], ...] = ()
    """A row a treatment and stated metric, as `evaluate` gave them."""
    watermark: datetime | None = None
    """The newest request; None: none is known."""
    newest_hour: HourTraffic | None = None
    """Requests of the newest hour, and how many are usual."""
    problem: str | None = None
    is_enabled: bool = True
    """AUTO_PROMOTION_ENABLED."""
    now: datetime | None = None
    """When this was asked; None: at the as-of."""
    completeness: Completeness | None = None
    """The phase's requests in the log and in its sums; None: not compared."""
    log: str = "ai_requests"
    """What the log of the requests is called."""
    made_by: MadeBy = MadeBy.AUTOMATION
    """What made the decision that would be acted upon."""
    is_phase_current: bool = True
    """The experiment's tables say what its open phase says."""
    learned: Expected | None = None
    """The candidate's lift by the prior that the team's own ended experiments teach; None: too few of them."""
    traffic: Mapping[str, float] = field(default_factory=dict)
    """Requests an hour at present, by variant id; empty: not known."""

    @cached_property
    def outlook(self) -> Outlook | None:
        """What is missing and, at the present traffic, when it could be there; None where nothing can be judged."""
        if self.decision is None:
            return None
        arms = [self.decision[f"{arm}_variant_id"] for arm in ("candidate", "control")]
        known = [self.traffic[arm] for arm in arms if arm in self.traffic]
        return outlook(self.decision, requests_per_hour=min(known) if len(known) == len(arms) else None)

    @property
    def is_fresh(self) -> bool:
        """Whether the newest request is recent enough at the as-of for an unattended promotion."""
        if self.watermark is None or self.config is None:
            return False
        return is_fresh(self.watermark, self.as_of, self.config.max_staleness_hours)

    @property
    def is_quiet(self) -> bool:
        """Whether the newest hour has far fewer requests than usual."""
        return self.newest_hour is not None and self.newest_hour.is_quiet

    @property
    def is_complete(self) -> bool:
        """Whether nothing is known to be missing in the sums."""
        return self.completeness is None or self.completeness.is_complete

    @property
    def facts(self) -> UnattendedFacts | None:
        """What decides whether this may go unattended; None where nothing was judged."""
        if self.decision is None or self.config is None:
            return None
        return UnattendedFacts(
            is_eligible=bool(self.decision["is_eligible"]),
            is_promotable=bool(self.decision["is_promotable"]),
            as_of=self.as_of,
            now=self.now or self.as_of,
            newest_request_at=self.watermark,
            max_staleness_hours=self.config.max_staleness_hours,
            require_manual_approval=self.config.require_manual_approval,
            end_date=self.experiment.end_date,
            warnings=tuple(self.decision["warnings"]),
            is_quiet=self.is_quiet,
            is_complete=self.is_complete,
            is_phase_current=self.is_phase_current,
            made_by=self.made_by,
            is_held=self.experiment.hold is not None,
            is_enabled=self.is_enabled,
        )

    @property
    def withheld(self) -> tuple[WithheldReason, ...]:
        """Everything that keeps this experiment from an unattended promotion beyond the contract; empty: nothing."""
        return () if self.facts is None else withheld_reasons(self.facts)
