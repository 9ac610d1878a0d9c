"""Drift: somebody else changed the split since a promotion set it, or started the experiment again."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from promotion_pipeline.promotion.record.experiments import Variant, experiment_of, split_of, variants_of
from promotion_pipeline.promotion.record.models import Promotion
from promotion_pipeline.promotion.record.splits import split_of_step
from promotion_pipeline.promotion.record.transaction import ActContext
from promotion_pipeline.store.database import Connection
from promotion_pipeline.text.numbers import percent_text

DRIFTED = """
    EXISTS (SELECT 1 FROM ab_experiments e
        WHERE e.id = experiment_promotions.experiment_id
            AND jsonb_typeof(snapshot #> ARRAY['ramp', ramp_step::text, 'split']) = 'object'
            AND (e.is_active OR EXISTS (SELECT 1
                FROM jsonb_each_text(snapshot #> ARRAY['ramp', ramp_step::text, 'split']) AS wanted (id, share)
                FULL JOIN (SELECT id::text, traffic_percentage::numeric AS share FROM ab_variants
                    WHERE ab_variants.experiment_id = e.id) AS stands USING (id)
                WHERE coalesce(stands.share, 0) <> coalesce(wanted.share::numeric, 0))))
"""
"""Whether a live row of `experiment_promotions` has drifted: the same rule as `drift_of`, for all of them at once."""


def drift_in(context: ActContext, promotion: Promotion) -> str | None:
    """`drift_of` an experiment under its lock."""
    return drift_of(promotion, context.variants, is_active=context.experiment.is_active)


def drift_now(connection: Connection, promotion: Promotion) -> str | None:
    """`drift_of` an experiment as it stands."""
    experiment = experiment_of(connection, promotion.experiment_id)
    variants = variants_of(connection, promotion.experiment_id)
    return drift_of(promotion, variants, is_active=experiment.is_active)


def drift_of(promotion: Promotion, variants: Sequence[Variant], *, is_active: bool) -> str | None:
    """What somebody else changed since the promotion set the traffic; None: nothing.

    A variant that had no traffic and was deleted changes nothing.
    """
    expected, split = split_of_step(promotion.snapshot, promotion.ramp_step), split_of(variants)
    names = recorded_names(promotion) | {str(variant.id): variant.name for variant in variants}
    nothing = Decimal(0)
    changes = [
        f"{names.get(key, key)!r} has {_percent(split.get(key))}, the promotion set {_percent(expected.get(key))}"
        for key in sorted(split.keys() | expected.keys(), key=lambda key: names.get(key, key))
        if split.get(key, nothing) != expected.get(key, nothing)
    ]
    if is_active:
        changes.append("the experiment was started again")
    return "somebody else changed the traffic since the promotion: " + ", ".join(changes) if changes else None


def recorded_names(promotion: Promotion) -> dict[str, str]:
    """Variant id -> name at the promotion."""
    return {row["variant_id"]: row["variant_name"] for row in promotion.snapshot.get("variants", ())}


def _percent(share: Decimal | None) -> str:
    return percent_text(None if share is None else float(share), unknown="no entry")
