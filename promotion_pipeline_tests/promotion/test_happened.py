"""The history says everything that happened, not only what was promoted."""

from __future__ import annotations

from promotion_pipeline import hold_promotion, promote_winner, release_hold, rollback_promotion
from promotion_pipeline.api.pages.view import experiment_view
from promotion_pipeline.promotion.act.approvals import approve_promotion, decline_promotion
from promotion_pipeline.promotion.act.keeping import acknowledge_breach
from promotion_pipeline.promotion.act.ramp import advance_ramp
from promotion_pipeline.promotion.history import happened
from promotion_pipeline.promotion.history.happened import PAST_THE_ACTS, events_of
from promotion_pipeline.promotion.unattended.sweep import auto_check_promotions
from promotion_pipeline.promotion.unattended.watch import watch_promotions
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.promotion.test_alarms import BROKEN, execute, promoted
from promotion_pipeline_tests.seeding import UNPROVEN, WINNER, seed_experiment


def actions(store: Store) -> list[str]:
    """What happened to `x`, the oldest first."""
    return [event.action for event in reversed(events_of("x", store=store))]


def test_what_a_person_was_asked_and_answered_is_told_without_any_promotion(store: Store) -> None:
    seed_experiment(store, "x", UNPROVEN)
    auto_check_promotions("cron", store=store)
    decline_promotion("x", "anna", "legal has to look first", store=store)
    release_hold("x", "bob", reason="legal looked", store=store)
    hold_promotion("x", "the campaign is not over", "anna", store=store)
    assert actions(store) == ["request_approval", "decline", "release_hold", "hold"]
    hold, release, decline, asked = events_of("x", store=store)
    assert (decline.actor, decline.reason) == ("anna", "legal has to look first")
    assert "said no to 'treatment'" in decline.details
    assert (release.actor, release.reason) == ("bob", "legal looked")
    assert (hold.actor, hold.reason) == ("anna", "the campaign is not over")
    assert asked.details.startswith("a person is asked about 'treatment'; ")


def test_a_ramp_step_by_hand_says_who_and_why_and_a_close_says_that_it_is_one(store: Store) -> None:
    seed_experiment(store, "x", WINNER, promotion_config={"rampSteps": [75, 100], "rampHoldHours": 24})
    promote_winner("x", "auto", "sensor", store=store)
    advance_ramp("x", "anna", reason="looked at it", store=store)
    rollback_promotion("x", "variants were made anew", "bob", to="close", store=store)
    closed, stepped, first = events_of("x", store=store)
    assert (stepped.actor, stepped.reason) == ("anna", "looked at it")
    assert stepped.details == "step 2 of the ramp: 100 % of the traffic"
    assert closed.details.startswith("closed: the traffic stays as it stood")
    assert first.details == "'treatment' promoted (auto), the first step of its ramp"


def test_an_alarm_and_who_kept_the_promotion_are_told(store: Store) -> None:
    promoted(store, 2, BROKEN)
    watch_promotions(store)
    acknowledge_breach("x", "known, a fix is on its way", "anna", store=store)
    assert actions(store) == ["promote", "watch_breach", "acknowledge_breach"]
    assert events_of("x", store=store)[0].reason == "known, a fix is on its way"


def test_the_page_tells_the_same_events_as_the_history(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    execute(store, "UPDATE ab_experiments SET auto_promotion_hold = 'freeze'")
    promote_winner("x", "manual", "anna", store=store)
    shown = [entry for entry in experiment_view(store, "x").events if entry.kind != "phase"]
    assert [entry.kind for entry in shown] == [event.action for event in events_of("x", store=store)]
    assert "Put on hold by somebody in the database" in [entry.title for entry in shown]
    assert [entry.kind for entry in shown if entry.promotion is not None] == ["promote"]


def test_a_hold_that_somebody_set_in_the_table_is_told_once(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    execute(store, "UPDATE ab_experiments SET auto_promotion_hold = 'freeze'")
    execute(store, "UPDATE ab_experiments SET auto_promotion_hold = NULL")
    hold_promotion("x", "still", "anna", store=store)
    assert [(event.actor, event.action) for event in reversed(events_of("x", store=store))] == [
        (PAST_THE_ACTS, "hold"),
        (PAST_THE_ACTS, "release_hold"),
        ("anna", "hold"),
    ]


def test_the_newest_are_given_where_there_are_many(store: Store) -> None:
    seeded = seed_experiment(store, "x", ())
    with store.connect() as connection:
        connection.execute(
            "INSERT INTO promotion_audit (actor, action, experiment_id, details) SELECT 'actor ' || n, 'hold', %s, '{}'"
            " FROM generate_series(1, 250) AS n",
            [seeded.id],
        )
    found = events_of("x", store=store)
    assert (len(found), found[0].actor, found[-1].actor) == (happened.NEWEST, "actor 250", "actor 51")


def test_the_approval_of_a_question_is_told(store: Store) -> None:
    seed_experiment(store, "x", UNPROVEN)
    auto_check_promotions("cron", store=store)
    approve_promotion("x", "anna", reason="numbers are sound", store=store)
    assert actions(store) == ["request_approval", "approve", "promote"]
    assert events_of("x", store=store)[1].reason == "numbers are sound"


def test_a_promotion_in_spite_of_a_hold_says_so_in_its_record(store: Store) -> None:
    seed_experiment(store, "x", WINNER)
    hold_promotion("x", "campaign", "bob", store=store)
    promotion = promote_winner("x", "manual", "anna", metadata={"ticket": "P-1"}, store=store)
    assert promotion.metadata == {"ticket": "P-1", "on_hold": "held by bob: campaign"}
    assert events_of("x", store=store)[0].details == (
        "'treatment' promoted (manual), although automatic promotion was on hold (held by bob: campaign)"
    )


def test_an_approval_in_spite_of_a_hold_says_so_too(store: Store) -> None:
    seed_experiment(store, "x", UNPROVEN)
    auto_check_promotions("cron", store=store)
    hold_promotion("x", "campaign", "bob", store=store)
    assert approve_promotion("x", "anna", store=store).metadata["on_hold"] == "held by bob: campaign"
    promote, approve, *_ = events_of("x", store=store)
    assert "on hold (held by bob: campaign)" in promote.details
    assert "on hold (held by bob: campaign)" in approve.details
