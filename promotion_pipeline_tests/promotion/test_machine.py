"""Every act in every order, by a state machine: the rules hold after each, and nothing gets stuck."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from promotion_pipeline import (
    PromotionError,
    approve_promotion,
    auto_check_promotions,
    decline_promotion,
    get_promotion_history,
    promote_winner,
    release_hold,
    rollback_promotion,
)
from promotion_pipeline.errors import SplitDriftError
from promotion_pipeline.promotion.act.holds import hold_promotion
from promotion_pipeline.promotion.act.keeping import acknowledge_breach, overwrite_split
from promotion_pipeline.promotion.act.ramp import advance_ramp, advance_ramps
from promotion_pipeline.promotion.record.models import Promotion
from promotion_pipeline.promotion.record.splits import split_of_step
from promotion_pipeline.promotion.unattended.pending import apply_pending
from promotion_pipeline.promotion.unattended.watch import watch_promotions
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.seeding import VariantSpec, add_requests, count, let_time_pass, seed_experiment

WINNING = (
    VariantSpec("control", is_control=True, traffic="33.33", requests=3_000, conversions=300),
    VariantSpec("b", traffic="33.33", requests=3_000, conversions=310),
    VariantSpec("c", traffic="33.34", requests=3_000, conversions=450),
)
FAILING = VariantSpec("c", requests=2_000, conversions=300, errors=400)
SPLITS = [("33.33", "33.33", "33.34"), ("50", "25", "25"), ("90", "10", "0"), ("0", "0", "100")]
CONFIGS: list[dict[str, Any]] = [
    {},
    {"rampSteps": [60, 80.05, 100], "rampHoldHours": 2},
    {"rampSteps": [75, 100], "rampHoldHours": 1, "autoRollback": True},
    {"requireManualApproval": True},
    {"holdbackPercent": 5, "holdbackDays": 2},
    {"rampSteps": [60, 100], "rampHoldHours": 1, "holdbackPercent": 20, "holdbackDays": 1, "autoRollback": True},
]
RECORDED = ("id", "promoted_variant_id", "promoted_by", "promoted_at", "p_value", "snapshot", "config", "metadata")


EXPERIMENT_TABLES = (
    "promotion_watch",
    "notification_deliveries",
    "notification_outbox",
    "promotion_approvals",
    "promotion_attempts",
    "experiment_promotions",
    "eligibility_decisions",
    "ab_experiment_phases",
    "ai_requests",
    "ab_variants",
    "ab_experiments",
)


class Lifecycle(RuleBasedStateMachine):
    """One experiment in the hands of people, the system and an application that changes things by itself."""

    store: Store
    number = 0

    def __init__(self) -> None:
        super().__init__()
        self.before: list[dict[str, Any]] | None = None
        self.remembered: dict[Any, tuple[Any, ...]] = {}

    @initialize(config=st.sampled_from(CONFIGS))
    def begin(self, config: dict[str, Any]) -> None:
        Lifecycle.number += 1
        self.connection = self.store.connect()
        self.seeded = seed_experiment(self.store, f"machine-{self.number}", WINNING, promotion_config=config)

    # What the database says.

    def rows(self, query: str) -> list[dict[str, Any]]:
        return self.connection.execute(query, {"id": self.seeded.id}).fetchall()

    def application_rows(self) -> list[dict[str, Any]]:
        return self.rows("SELECT id, name, is_active, end_date FROM ab_experiments WHERE id = %(id)s") + self.rows(
            "SELECT * FROM ab_variants WHERE experiment_id = %(id)s ORDER BY id"
        )

    def history(self) -> list[Promotion]:
        return get_promotion_history(self.seeded.name, store=self.store)

    def live(self) -> Any:
        """The id of the live promotion."""
        rows = self.rows(
            "SELECT id FROM experiment_promotions WHERE experiment_id = %(id)s AND state IN ('ramping', 'promoted')"
        )
        return rows[0]["id"] if rows else None

    def attempt(self, act: Any, *arguments: Any, **options: Any) -> Any:
        """An act, or the clear error that it answers with; a promotion remembers the rows that it found."""
        before, was_live = self.application_rows(), self.live()
        try:
            return act(*arguments, store=self.store, **options)
        except PromotionError as error:
            assert str(error)
            return None
        finally:
            live = self.live()
            if live is not None and live != was_live:
                self.before = before

    # What people and the system do.

    @rule(kind=st.sampled_from(["manual", "auto"]), ramps=st.booleans())
    def promote(self, kind: str, ramps: bool) -> None:
        config = {"ramp_steps": (55.55, 100)} if ramps else None
        self.attempt(promote_winner, self.seeded.name, kind, "anna", config)

    @rule()
    def sweep(self) -> None:
        self.attempt(auto_check_promotions, "cron")

    @rule()
    def apply(self) -> None:
        self.attempt(lambda store: apply_pending(store, self.seeded.id, "sensor"))

    @rule()
    def approve(self) -> None:
        self.attempt(approve_promotion, self.seeded.name, "anna")

    @rule()
    def decline(self) -> None:
        self.attempt(decline_promotion, self.seeded.name, "anna", "no")

    @rule(to=st.sampled_from(["previous", "control", "close"]), confirm=st.booleans())
    def roll_back(self, to: str, confirm: bool) -> None:
        standing = self.application_rows()
        if self.attempt(rollback_promotion, self.seeded.name, "why", "bob", to=to, confirm_drift=confirm) is None:
            return
        after = self.application_rows()
        if to == "close":
            assert after == standing, "closing changes no traffic"
        elif to == "previous":
            # Times may have been moved by `time_passes`; these rows hold none.
            assert after == self.before, "promote then roll back is the identity"
        else:
            shares = {row["name"]: row["traffic_percentage"] for row in after[1:]}
            assert (shares["control"], after[0]["is_active"]) == (Decimal(100), True)
        assert self.rows("SELECT auto_promotion_hold AS hold FROM ab_experiments WHERE id = %(id)s")[0]["hold"]

    @rule()
    def hold(self) -> None:
        self.attempt(hold_promotion, self.seeded.name, "wait", "anna")

    @rule()
    def release(self) -> None:
        self.attempt(release_hold, self.seeded.name, "anna")

    @rule(by_hand=st.booleans())
    def ramp(self, by_hand: bool) -> None:
        if by_hand:
            self.attempt(advance_ramp, self.seeded.name, "anna")
        else:
            advance_ramps(self.store)

    @rule()
    def watch(self) -> None:
        watch_promotions(self.store)

    @rule()
    def acknowledge(self) -> None:
        self.attempt(acknowledge_breach, self.seeded.name, "known", "anna")

    @rule()
    def put_the_split_back(self) -> None:
        if self.attempt(overwrite_split, self.seeded.name, "ours", "anna") is None:
            return
        live = self.history()[0]
        rows = self.application_rows()
        shares = {str(row["id"]): row["traffic_percentage"] for row in rows[1:]}
        assert (shares, rows[0]["is_active"]) == (split_of_step(live.snapshot, live.ramp_step), False)

    # What the world does.

    @rule(hours=st.sampled_from([1, 3, 30, 200]))
    def time_passes(self, hours: int) -> None:
        let_time_pass(self.store, self.seeded, hours)
        self.remembered.clear()

    @rule(failing=st.booleans())
    def requests_arrive(self, failing: bool) -> None:
        """As many requests as it takes to decide, evenly since the current phase began."""
        phase = self.rows(
            "SELECT started_at, date_trunc('hour', now()) AS until FROM ab_experiment_phases"
            " WHERE experiment_id = %(id)s AND ended_at IS NULL"
        )[0]
        if phase["started_at"] < phase["until"]:
            for variant in (FAILING,) if failing else WINNING:
                add_requests(self.store, self.seeded, variant, start=phase["started_at"], end=phase["until"])

    @rule(failing=st.sampled_from([False, False, True]))
    def days_go_by(self, failing: bool) -> None:
        self.time_passes(60)
        self.requests_arrive(failing)
        watch_promotions(self.store)
        advance_ramps(self.store)

    @rule(split=st.sampled_from(SPLITS))
    def the_application_changes_the_split(self, split: tuple[str, str, str]) -> None:
        with self.store.connect() as connection, connection.transaction():
            for name, share in zip(("control", "b", "c"), split, strict=True):
                connection.execute(
                    "UPDATE ab_variants SET traffic_percentage = %s WHERE id = %s",
                    [Decimal(share), self.seeded.variant_ids[name]],
                )

    @rule(running=st.booleans())
    def the_application_starts_or_stops_it(self, running: bool) -> None:
        with self.store.connect() as connection:
            connection.execute("UPDATE ab_experiments SET is_active = %s WHERE id = %s", [running, self.seeded.id])

    # What always holds.

    @precondition(lambda self: hasattr(self, "seeded"))
    @invariant()
    def splits_phases_and_history_are_sound(self) -> None:
        rows = self.application_rows()
        assert sum(row["traffic_percentage"] for row in rows[1:]) == 100
        phases = self.rows(
            "SELECT started_at, ended_at, is_running, traffic FROM ab_experiment_phases"
            " WHERE experiment_id = %(id)s ORDER BY started_at"
        )
        assert [phase["ended_at"] for phase in phases[:-1]] == [phase["started_at"] for phase in phases[1:]]
        assert phases[-1]["ended_at"] is None
        assert phases[-1]["is_running"] == rows[0]["is_active"]
        assert phases[-1]["traffic"] == {str(row["id"]): float(row["traffic_percentage"]) for row in rows[1:]}
        history = self.history()
        assert sum(promotion.is_live for promotion in history) <= 1
        now = {promotion.id: tuple(getattr(promotion, name) for name in RECORDED) for promotion in history}
        assert self.remembered.items() <= now.items(), "history only grows and what was recorded does not change"
        self.remembered = now

    @precondition(lambda self: hasattr(self, "seeded"))
    @invariant()
    def a_holdback_is_the_winners_and_controls(self) -> None:
        for promotion in self.history():
            for step, next_step in zip(promotion.snapshot["ramp"], promotion.snapshot["ramp"][1:], strict=False):
                assert step["percent"] < next_step["percent"], "the winner's traffic only rises"
                if step.get("is_holdback"):
                    has_traffic = {name for name, share in step["split"].items() if Decimal(share) > 0}
                    assert has_traffic == {str(promotion.promoted_variant_id), str(promotion.control_variant_id)}
                    assert next_step is promotion.snapshot["ramp"][-1]

    def teardown(self) -> None:
        """From wherever it ended there is a way back to a running experiment that can be promoted."""
        if not hasattr(self, "seeded"):
            return
        name, store = self.seeded.name, self.store
        if self.live() is not None:
            try:
                rollback_promotion(name, "end", "anna", store=store)
            except SplitDriftError:
                rollback_promotion(name, "end", "anna", confirm_drift=True, store=store)
        self.the_application_starts_or_stops_it(True)
        self.the_application_changes_the_split(SPLITS[0])
        let_time_pass(store, self.seeded, 60)
        self.rows("DELETE FROM ai_requests WHERE experiment_id = %(id)s RETURNING 1")
        self.requests_arrive(failing=False)
        assert promote_winner(name, "manual", "anna", store=store).is_live
        with self.connection.transaction():
            self.connection.execute("SET LOCAL session_replication_role = replica")
            for table in EXPERIMENT_TABLES:
                self.connection.execute(f"DELETE FROM {table}")
        self.connection.close()


def test_no_order_of_acts_breaks_a_rule_or_gets_stuck(store: Store) -> None:
    machine = type("Machine", (Lifecycle,), {"store": store})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=10,
            stateful_step_count=22,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            # Shrinking would replay minutes of acts; the failing steps are printed as they are.
            phases=[Phase.generate],
        ),
    )
    assert count(store, "SELECT count(*) FROM promotion_audit WHERE action = 'promote'") > 0
