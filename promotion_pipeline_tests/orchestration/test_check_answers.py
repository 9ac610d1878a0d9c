"""What a failing check says: the experiments by name, as text, not behind a click on JSON."""

from __future__ import annotations

from datetime import datetime, timedelta

import dagster as dg
import pytest

from promotion_pipeline.decisions.sums import bring_sums_up_to_date
from promotion_pipeline.decisions.window import evaluate_window
from promotion_pipeline.orchestration.act_events import experiment_tags
from promotion_pipeline.orchestration.assets.watch import CHECKS
from promotion_pipeline.orchestration.checks import EVALUATION_CHECKS, ROLLUP_CHECKS, SHOWN, DataCheck, Window, listed
from promotion_pipeline.promotion.record.watched import AlarmKind
from promotion_pipeline.store.clock import newest_complete_hour
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, seed_experiment

HOUR = timedelta(hours=1)


def answer(check: DataCheck, store: Store, end: datetime, hours: int = 3) -> dg.AssetCheckResult:
    found = check.ask(store, Window(end - hours * HOUR, end))
    assert not found.passed
    return found


def decided(store: Store) -> datetime:
    """Two experiments, decided in the newest three hours."""
    with store.connect() as connection:
        end = newest_complete_hour(connection)
    for name in ("checkout", "search"):
        seed_experiment(store, name, NO_DIFFERENCE, end=end)
    bring_sums_up_to_date(store, end - 3 * HOUR, end)
    evaluate_window(store, end - 3 * HOUR, end)
    return end


@pytest.mark.parametrize(
    ("check", "breaks"),
    [
        ("metrics_are_possible", "UPDATE variant_metrics SET conversions = requests + 1 WHERE experiment_id = {one}"),
        ("probabilities_are_possible", "UPDATE significance_results SET p_value = 2 WHERE experiment_id = {one}"),
        ("every_experiment_is_decided", "DELETE FROM eligibility_decisions WHERE experiment_id = {one}"),
    ],
)
def test_a_check_that_fails_names_the_experiment_in_its_sentence_and_as_text(
    store: Store, check: str, breaks: str
) -> None:
    end = decided(store)
    with store.connect() as connection:
        one = "(SELECT id FROM ab_experiments WHERE name = 'search')"
        connection.execute(breaks.format(one=one).encode())
    found = answer(EVALUATION_CHECKS[check], store, end)
    assert found.severity is dg.AssetCheckSeverity.ERROR
    assert found.description is not None and found.description.endswith(": search.")
    assert found.metadata["experiments"] == dg.MetadataValue.text("search")


def test_requests_that_came_late_are_said_to_be_whose(store: Store) -> None:
    end = decided(store)
    with store.connect() as connection:
        row = connection.execute("SELECT id FROM ab_experiments WHERE name = 'search'").fetchone()
    assert row is not None
    with store.connect() as connection:
        connection.execute(
            "INSERT INTO ai_requests (experiment_id, variant_id, created_at, latency_ms, is_error, converted)"
            " SELECT experiment_id, id, %s, 10, false, false FROM ab_variants, generate_series(1, 120)"
            " WHERE experiment_id = %s AND name = 'treatment'",
            (end - 2 * HOUR, row["id"]),
        )
    found = answer(ROLLUP_CHECKS["requests_are_conserved"], store, end)
    assert found.description is not None and found.description.endswith("settles it. search: 120 not summed.")
    assert found.metadata["experiments"] == dg.MetadataValue.text("search: 120 not summed")
    assert all(not isinstance(value, dg.JsonMetadataValue) for value in found.metadata.values())


def test_a_breach_and_a_split_that_is_not_the_decided_one_are_errors() -> None:
    severities = {kind: severity for kind, severity, _ in CHECKS.values()}
    assert severities[AlarmKind.BREACH] is severities[AlarmKind.DRIFT] is dg.AssetCheckSeverity.ERROR


def test_what_is_too_long_to_name_is_counted() -> None:
    assert listed(["a", "b"]) == "a; b"
    assert listed([str(number) for number in range(SHOWN + 5)]).endswith("; 19; and 5 more")


def test_a_run_has_two_tags_for_its_experiments_however_many_they_are() -> None:
    assert experiment_tags([]) == {}
    assert experiment_tags(["checkout"]) == {
        "promotion_pipeline/experiments": "1",
        "promotion_pipeline/experiment_names": "checkout",
    }
    many = experiment_tags(f"{'x' * 500} {number:03}" for number in range(300))
    assert len(many) == 2
    assert many["promotion_pipeline/experiments"] == "300"
    assert many["promotion_pipeline/experiment_names"].endswith(" and 297 more")
    assert len(many["promotion_pipeline/experiment_names"]) < 300
