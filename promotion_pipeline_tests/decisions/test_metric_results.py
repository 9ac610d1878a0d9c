"""The results of stated metrics: stored with the significance of the same hours, and answered by a check."""

from __future__ import annotations

import numpy as np
import pytest

from promotion_pipeline.cli.check import print_eligibility
from promotion_pipeline.decisions.window import evaluate_window
from promotion_pipeline.evaluation.codes import GuardrailVerdict, MetricOutcome, MetricReason
from promotion_pipeline.promotion.judge.assess import assess
from promotion_pipeline.rollups.postgresql.rollup import rollup_window
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.rollups.metric_sums import END, HOURS, METRICS, START, add_events, add_requests, seed
from promotion_pipeline_tests.seeding import Seeded

AWKWARD = {"name": 'a, "b" {c}\\', "kind": "user_count", "event": "nobody sends it", "role": "guardrail"}
STATED = [*METRICS, AWKWARD]


@pytest.fixture
def measured(store: Store) -> Seeded:
    """An experiment of two phases with requests, events and decisions."""
    seeded, rng = seed(store, "measured", STATED), np.random.default_rng(1)
    with store.connect() as connection:
        add_requests(connection, seeded, rng, 1_500, 80)
        add_events(connection, [seeded.id, seeded.id], rng, 0, 800, 90)
    rollup_window(store, START, END)
    return seeded


def test_results_are_replaced_with_the_window_and_say_the_same_again(store: Store, measured: Seeded) -> None:
    query = "SELECT * FROM metric_results WHERE experiment_id = %s ORDER BY hour, metric, variant_id"
    first = evaluate_window(store, START, END)
    with store.connect() as connection:
        before = connection.execute(query, [measured.id]).fetchall()
    again = evaluate_window(store, START, END)
    with store.connect() as connection:
        after = connection.execute(query, [measured.id]).fetchall()
    assert len(before) == first.metric_results == again.metric_results == HOURS * len(STATED)
    assert before == after
    last = {row["metric"]: row for row in after if row["hour"] == max(found["hour"] for found in after)}
    assert last["revenue"]["reason"] == MetricReason.MEASURED
    assert last["revenue"]["is_adjusted"]
    assert last[AWKWARD["name"]]["reason"] == MetricReason.UNMATCHED


def test_a_decision_names_its_guardrails_whatever_they_are_called(store: Store, measured: Seeded) -> None:
    evaluate_window(store, START, END)
    with store.connect() as connection:
        rows = connection.execute(
            "SELECT guardrails_not_measured FROM eligibility_decisions WHERE experiment_id = %s"
            " AND candidate_variant_id IS NOT NULL ORDER BY hour",
            [measured.id],
        ).fetchall()
    assert AWKWARD["name"] in rows[-1]["guardrails_not_measured"]


def test_a_check_answers_the_metrics(store: Store, measured: Seeded, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = assess(store, ["measured"], as_of=END)
    by_name = {result.metric: result for result in found.metrics}
    assert list(by_name) == [metric["name"] for metric in STATED]
    assert by_name["latency"].guardrail in (GuardrailVerdict.KEPT, GuardrailVerdict.NOT_KEPT)
    assert by_name[AWKWARD["name"]].outcome is MetricOutcome.NOT_MEASURED
    assert "no event or value matches it" in by_name[AWKWARD["name"]].message
    answered = found.model_dump(mode="json", by_alias=True)["metrics"]
    assert answered[0]["controlEstimate"] is not None
    print_eligibility(found)
    said = " ".join(capsys.readouterr().out.split())
    assert f"guardrail {AWKWARD['name']!r} of treatment: not measured: no event or value matches it" in said
