"""Decides A/B experiments every hour and promotes the winner, with evidence, history and rollback.

    from promotion_pipeline import check_promotion_eligibility, promote_winner, rollback_promotion

Everything is synchronous and raises subclasses of `PromotionError` on purpose. The database is the one of the
environment (`AUTO_PROMOTION_DATABASE_URL`, else the embedded server); each function also takes `store=`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from promotion_pipeline.promotion.approvals import (
        approval_history,
        approve_promotion,
        decline_promotion,
        open_approvals,
    )
    from promotion_pipeline.promotion.check import check_promotion_eligibility
    from promotion_pipeline.promotion.history import get_promotion_history
    from promotion_pipeline.promotion.holds import hold_promotion, release_hold
    from promotion_pipeline.promotion.keeping import acknowledge_breach, overwrite_split
    from promotion_pipeline.promotion.models import Approval, AutoCheckResult, Hold, Promotion, PromotionEligibility
    from promotion_pipeline.promotion.promote import promote_winner
    from promotion_pipeline.promotion.ramp import advance_ramp
    from promotion_pipeline.promotion.rollback import plan_rollback, rollback_promotion
    from promotion_pipeline.promotion.sweep import auto_check_promotions

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
    "NotEligibleError",
    "NotFoundError",
    "NothingToRollBackError",
    "Promotion",
    "PromotionConfig",
    "PromotionEligibility",
    "PromotionError",
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
    "release_hold",
    "rollback_promotion",
    "run_sweep",
]

_MODULES = {
    "PromotionConfig": "config",
    "Approval": "promotion.models",
    "AutoCheckResult": "promotion.models",
    "Hold": "promotion.models",
    "Promotion": "promotion.models",
    "PromotionEligibility": "promotion.models",
    "acknowledge_breach": "promotion.keeping",
    "advance_ramp": "promotion.ramp",
    "approval_history": "promotion.approvals",
    "approve_promotion": "promotion.approvals",
    "auto_check_promotions": "promotion.sweep",
    "check_promotion_eligibility": "promotion.eligibility",
    "decline_promotion": "promotion.approvals",
    "get_promotion_history": "promotion.history",
    "hold_promotion": "promotion.holds",
    "open_approvals": "promotion.approvals",
    "overwrite_split": "promotion.keeping",
    "plan_rollback": "promotion.rollback",
    "promote_winner": "promotion.promote",
    "release_hold": "promotion.holds",
    "rollback_promotion": "promotion.rollback",
    "run_sweep": "cron",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: `promotion-pipeline --help` need not wait for pandas.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
