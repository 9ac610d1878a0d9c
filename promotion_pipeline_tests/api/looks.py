"""Looks at an experiment, for pages that draw them."""

from __future__ import annotations

from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.seeding import Seeded


def write_looks(store: Store, seeded: Seeded, looks: int = 400) -> None:
    """Hours of a lift that settles at 30 percent, as the hourly run would have written them."""
    with store.connect() as connection:
        connection.execute(
            """
            INSERT INTO significance_results (hour, as_of, experiment_id, phase_id, variant_id, lift, improvement,
                always_valid_lower, always_valid_upper)
            SELECT at - interval '1 hour', at, p.experiment_id, p.id, %(variant)s, 0.3, 30, 0.3 - 5.0 / n, 0.3 + 5.0 / n
            FROM ab_experiment_phases p, generate_series(1, %(looks)s) AS n,
                LATERAL (SELECT %(end)s::timestamptz - (%(looks)s - n) * interval '1 hour' AS at) hours
            WHERE p.experiment_id = %(experiment)s AND p.ended_at IS NULL
            """,
            {
                "variant": seeded.variant_ids["treatment"],
                "looks": looks,
                "end": seeded.end,
                "experiment": seeded.id,
            },
        )
