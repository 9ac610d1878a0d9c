"""Every experiment at a glance, from what is stored: no evaluation."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any
from uuid import UUID

from promotion_pipeline.decisions.labels import record_label
from promotion_pipeline.promotion.record.result import Result
from promotion_pipeline.store.database import Store


class VariantShare(Result):
    """One variant and its traffic."""

    name: str
    is_control: bool
    traffic_percentage: float


class ExperimentOverview(Result):
    """One experiment; the numbers are those of its newest decision of record (None: none was made yet).

    Where a person is asked about an hour that is not older, they are those of the question: it was put after the
    decision of record, on all that had come until then, and it is what the experiment's own page shows.
    """

    id: UUID
    name: str
    is_active: bool
    start_date: datetime | None
    """None: a draft."""
    hold: str | None
    """Why automatic promotion is on hold; None: it is not."""
    variants: tuple[VariantShare, ...]
    as_of: datetime | None
    verdict: str | None
    is_eligible: bool | None
    candidate: str | None
    confidence: float | None
    """Percent."""
    improvement: float | None
    """Percent."""
    sample_size: int | None
    is_split_broken: bool
    """The traffic was not split as declared, so the numbers cannot be trusted."""
    promoted_variant: str | None
    """The winner of the live promotion; None: there is none."""
    promotion_state: str | None
    waits_for_approval: bool
    asked_as_of: datetime | None = None
    """End of the hour that the open question is about; None: nobody is asked."""


OF_QUESTION = {
    "verdict": "verdict",
    "is_eligible": "isEligible",
    "candidate": "candidate",
    "confidence": "confidence",
    "improvement": "improvement",
    "sample_size": "sampleSize",
}
"""What an open question says, by the name that it has in the request's record."""
_OVERVIEW = """
    SELECT e.id, e.name::text, e.is_active, e.start_date::timestamptz, e.auto_promotion_hold AS hold,
        coalesce(v.variants, '[]') AS variants,
        d.as_of, coalesce(d.verdict, CASE WHEN is_new_phase THEN 'inconclusive' END) AS verdict,
        coalesce(d.is_eligible, CASE WHEN is_new_phase THEN false END) AS is_eligible,
        d.candidate_variant_name AS candidate, d.confidence, d.improvement, d.sample_size,
        coalesce(d.warnings && ARRAY['sample_ratio_mismatch', 'sequential_sample_ratio_mismatch'], false)
            AS is_split_broken,
        p.promoted_variant_name AS promoted_variant, p.state AS promotion_state,
        a.id IS NOT NULL AS waits_for_approval, a.as_of AS asked_as_of, a.decision AS asked
    FROM ab_experiments e
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_object('name', name, 'is_control', is_control,
            'traffic_percentage', traffic_percentage) ORDER BY is_control DESC, name) AS variants
        FROM ab_variants WHERE experiment_id = e.id
    ) v ON true
    LEFT JOIN ab_experiment_phases o ON o.experiment_id = e.id AND o.ended_at IS NULL AND o.is_running
    -- What a running experiment was before its split changed, by a rollback too, says nothing of what it is now.
    LEFT JOIN LATERAL (
        SELECT * FROM eligibility_decisions WHERE experiment_id = e.id AND label = %(label)s
            AND (o.id IS NULL OR phase_id = o.id) ORDER BY hour DESC LIMIT 1
    ) d ON true
    CROSS JOIN LATERAL (SELECT d.hour IS NULL AND o.started_at >= date_trunc('hour', now(), 'UTC')) n (is_new_phase)
    LEFT JOIN experiment_promotions p ON p.experiment_id = e.id AND p.state IN ('ramping', 'promoted')
    LEFT JOIN promotion_approvals a ON a.experiment_id = e.id AND a.expires_at > now()
        AND (a.state = 'awaiting_approval' OR (a.state = 'approved' AND a.promotion_id IS NULL))
"""


def experiment_overviews(
    store: Store, *, search: str = "", limit: int | None = None, offset: int = 0
) -> list[ExperimentOverview]:
    """Experiments whose name contains `search`: the running ones first, then by name.

    Raises:
        DependencyError: the database is down.
    """
    query = (
        _OVERVIEW + " WHERE strpos(lower(e.name), lower(%(search)s)) > 0"
        " ORDER BY e.is_active DESC, e.name LIMIT %(limit)s OFFSET %(offset)s"
    )
    values = {"search": search.replace("\x00", ""), "limit": limit, "offset": offset}
    with store.connect() as connection:
        rows = connection.execute(query, {**values, "label": record_label(store.settings)}).fetchall()
    return [_overview(row) for row in rows]


def experiment_overview(store: Store, name: str) -> ExperimentOverview | None:
    """The experiment of a name; None: there is none.

    Raises:
        DependencyError: the database is down.
    """
    with store.connect() as connection:
        values = {"name": name, "label": record_label(store.settings)}
        row = connection.execute(_OVERVIEW + " WHERE e.name = %(name)s", values).fetchone()
    return None if row is None else _overview(row)


def _overview(row: dict[str, Any]) -> ExperimentOverview:
    asked = row.pop("asked")
    if asked is not None and (row["as_of"] is None or row["asked_as_of"] >= row["as_of"]):
        row |= {name: asked.get(key) for name, key in OF_QUESTION.items()} | {"as_of": row["asked_as_of"]}
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()
    }
    return ExperimentOverview(**finite)
