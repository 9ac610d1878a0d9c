"""Decides A/B experiments every hour and promotes the winner, with evidence, history and rollback.

    from promotion_pipeline import check_promotion_eligibility, promote_winner, rollback_promotion

Everything is synchronous and raises subclasses of `PromotionError` on purpose. The database is the one of the
environment (`AUTO_PROMOTION_DATABASE_URL`, else the embedded server); each function also takes `store=`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promotion_pipeline.component import PromotionPipelineComponent
    from promotion_pipeline.config import PromotionConfig
    from promotion_pipeline.cron import run_sweep
    from promotion_pipeline.errors import (
        AlreadyPromotedError,
        ConfigError,
        ConflictError,
        DependencyError,
        ForbiddenError,
        HeldError,
        InputError,
        NotEligibleError,
        NotFoundError,
        NothingToRollBackError,
        PromotionError,
        SplitDriftError,
        UntrustedError,
        WithheldError,
    )
    from promotion_pipeline.promotion.act.approvals import (
        approval_history,
        approve_promotion,
        decline_promotion,
        open_approvals,
    )
    from promotion_pipeline.promotion.act.holds import hold_promotion, release_hold
    from promotion_pipeline.promotion.act.keeping import acknowledge_breach, overwrite_split
    from promotion_pipeline.promotion.act.promote import promote_winner
    from promotion_pipeline.promotion.act.ramp import advance_ramp
    from promotion_pipeline.promotion.act.rollback import plan_rollback, rollback_promotion
    from promotion_pipeline.promotion.history.history import get_promotion_history
    from promotion_pipeline.promotion.judge.check import check_promotion_eligibility
    from promotion_pipeline.promotion.ledger.ledger import Ledger, read_ledger
    from promotion_pipeline.promotion.record.models import (
        Approval,
        AutoCheckResult,
        Hold,
        Promotion,
        PromotionEligibility,
    )
    from promotion_pipeline.promotion.unattended.sweep import auto_check_promotions

__all__ = [
    "AlreadyPromotedError",
    "Approval",
    "AutoCheckResult",
    "ConfigError",
    "ConflictError",
    "DependencyError",
    "ForbiddenError",
    "HeldError",
    "Hold",
    "InputError",
    "Ledger",
    "NotEligibleError",
    "NotFoundError",
    "NothingToRollBackError",
    "Promotion",
    "PromotionConfig",
    "PromotionEligibility",
    "PromotionError",
    "PromotionPipelineComponent",
    "SplitDriftError",
    "UntrustedError",
    "WithheldError",
    "acknowledge_breach",
    "advance_ramp",
    "approval_history",
    "approve_promotion",
    "auto_check_promotions",
    "check_promotion_eligibility",
    "decline_promotion",
    "get_promotion_history",
    "hold_promotion",
    "open_approvals",
    "overwrite_split",
    "plan_rollback",
    "promote_winner",
    "read_ledger",
    "release_hold",
    "rollback_promotion",
    "run_sweep",
]

_MODULES = {
    "PromotionConfig": "config",
    "Approval": "promotion.record.models",
    "AutoCheckResult": "promotion.record.models",
    "Hold": "promotion.record.models",
    "Ledger": "promotion.ledger.ledger",
    "Promotion": "promotion.record.models",
    "PromotionEligibility": "promotion.record.models",
    "PromotionPipelineComponent": "component",
    "acknowledge_breach": "promotion.act.keeping",
    "advance_ramp": "promotion.act.ramp",
    "approval_history": "promotion.act.approvals",
    "approve_promotion": "promotion.act.approvals",
    "auto_check_promotions": "promotion.unattended.sweep",
    "check_promotion_eligibility": "promotion.judge.check",
    "decline_promotion": "promotion.act.approvals",
    "get_promotion_history": "promotion.history.history",
    "hold_promotion": "promotion.act.holds",
    "open_approvals": "promotion.act.approvals",
    "overwrite_split": "promotion.act.keeping",
    "plan_rollback": "promotion.act.rollback",
    "promote_winner": "promotion.act.promote",
    "read_ledger": "promotion.ledger.ledger",
    "release_hold": "promotion.act.holds",
    "rollback_promotion": "promotion.act.rollback",
    "run_sweep": "cron",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: `promotion-pipeline --help` need not wait for pandas.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
