"""How much happens to promotions: the counts that are shown hour by hour."""

from __future__ import annotations

from promotion_pipeline.store.database import Store


def act_counts(store: Store) -> dict[str, int]:
    """How many promotions and rollbacks the last hour saw (`promoted_last_hour`, `rolled_back_last_hour`), and how many
    experiments wait for a person now (`waiting_for_approval`); shadow promotions are left out."""
    return store.rows(
        """
        SELECT count(*) FILTER (WHERE promoted_at > now() - interval '1 hour') AS promoted_last_hour,
            count(*) FILTER (WHERE rollback_at > now() - interval '1 hour') AS rolled_back_last_hour,
            (SELECT count(*) FROM promotion_approvals WHERE state = 'awaiting_approval') AS waiting_for_approval
        FROM experiment_promotions WHERE state <> 'shadow'
        """,
        {},
    )[0]
