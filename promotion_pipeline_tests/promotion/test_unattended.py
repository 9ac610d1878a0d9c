"""The sensor and the act give one answer to whether something may go unattended."""

from __future__ import annotations

import pytest

from promotion_pipeline.config import Mode
from promotion_pipeline.errors import WithheldError
from promotion_pipeline.promotion.act.promote import promote_winner
from promotion_pipeline.promotion.record.models import Outcome
from promotion_pipeline.promotion.unattended.pending import pending_promotions
from promotion_pipeline.promotion.unattended.sweep import settle
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.promotion.deciding import decide, names
from promotion_pipeline_tests.seeding import WINNER, Seeded, seed_experiment

QUIET = (
    "DELETE FROM ai_requests WHERE experiment_id = %(id)s AND created_at BETWEEN %(end)s - interval '1 hour'"
    " AND %(end)s - interval '5 minutes'"
)
SILENT = "DELETE FROM ai_requests WHERE experiment_id = %(id)s AND created_at > %(end)s - interval '3 hours'"
ENDED = "UPDATE ab_experiments SET end_date = now() - interval '1 second' WHERE id = %(id)s"
ENDS_LATER = "UPDATE ab_experiments SET end_date = now() + interval '1 hour' WHERE id = %(id)s"
NEVER_ENDS = "UPDATE ab_experiments SET end_date = 'infinity' WHERE id = %(id)s"
ENDED_BEFORE_TIME = "UPDATE ab_experiments SET end_date = '-infinity' WHERE id = %(id)s"
MANUAL = "UPDATE ab_experiments SET promotion_config = '{\"requireManualApproval\": true}' WHERE id = %(id)s"
STATEMENTS = {
    "nothing": ("SELECT 1", Outcome.PROMOTED),
    "the newest hour is quiet": (QUIET, Outcome.AWAITING_APPROVAL),
    "no request for three hours": (SILENT, Outcome.AWAITING_APPROVAL),
    "its end has passed": (ENDED, Outcome.AWAITING_APPROVAL),
    "its end lies ahead": (ENDS_LATER, Outcome.PROMOTED),
    "it never ends": (NEVER_ENDS, Outcome.PROMOTED),
    "it ended before all time": (ENDED_BEFORE_TIME, Outcome.AWAITING_APPROVAL),
    "a person is asked for": (MANUAL, Outcome.AWAITING_APPROVAL),
}


def change(store: Store, seeded: Seeded, statement: str) -> None:
    with store.connect() as connection:
        connection.execute(statement, {"id": seeded.id, "end": seeded.end})


@pytest.mark.parametrize("case", STATEMENTS)
def test_the_sensor_sees_what_the_act_sees(store: Store, case: str) -> None:
    statement, outcome = STATEMENTS[case]
    seeded = seed_experiment(store, "x", WINNER)
    change(store, seeded, statement)
    shadow = Store(store.url, store.settings.model_copy(update={"mode": Mode.SHADOW}))
    decide(store)
    decide(shadow)
    assert names(pending_promotions(store)) == [("decision", "x", 1)]
    goes = outcome is Outcome.PROMOTED
    assert bool(pending_promotions(shadow)) is goes, "a shadow records only what would have been promoted"
    assert settle(store, seeded.id, "sensor").outcome is outcome
    assert pending_promotions(store) == (), "nothing is left to do: promoted, or the person is asked"


def test_guests_of_every_variant_are_told_with_what_to_log_instead(store: Store) -> None:
    seeded = seed_experiment(store, "x", WINNER, users=1_000_000)
    change(store, seeded, "UPDATE ai_requests SET user_id = 'guest' WHERE user_id ~ '(1|[0-4]3)$'")
    said = r"served made 1[56] % of the requests: .* log no user_id where nobody is known; a person may promote it"
    with pytest.raises(WithheldError, match=said):
        promote_winner("x", "auto", "sensor", store=store)
    change(store, seeded, "UPDATE ai_requests SET user_id = NULL WHERE user_id = 'guest'")
    assert promote_winner("x", "auto", "sensor", store=store).promotion_type == "auto"
