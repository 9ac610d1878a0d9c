"""What a message about a promotion needs of it."""

from __future__ import annotations

from typing import Any

from promotion_pipeline.promotion.record.models import Promotion


def promotion_payload(promotion: Promotion) -> dict[str, Any]:
    """The numbers that a message about a promotion needs."""
    ramp = promotion.snapshot["ramp"]
    return {
        "winner": promotion.promoted_variant_name,
        "control": promotion.control_variant_name,
        "confidence": promotion.confidence,
        "improvement": promotion.improvement,
        "sample_size": promotion.sample_size,
        "shrunken_lift": promotion.snapshot["decision"].get("shrunken_lift"),
        "promotion_type": promotion.promotion_type.value,
        "promoted_by": promotion.promoted_by,
        "state": promotion.state.value,
        "traffic_percent": ramp[promotion.ramp_step]["percent"],
        "as_of": promotion.evaluated_as_of.isoformat(),
        "warnings": list(promotion.warnings),
        "distrust": promotion.snapshot.get("distrust"),
        "metadata": promotion.metadata,
    }
