"""What the UI is told of partitions and checks, and what it refuses to launch: through GraphQL, from a code server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster_graphql.test.utils import execute_dagster_graphql

from promotion_pipeline.orchestration.checks import EVALUATION_CHECKS, ROLLUP_CHECKS
from promotion_pipeline.orchestration.partitions import hour_key, range_tags
from promotion_pipeline_tests.orchestration.conftest import Stage
from promotion_pipeline_tests.orchestration.test_code_server import code_server
from promotion_pipeline_tests.orchestration.test_definitions import ACTS, LAUNCHPAD
from promotion_pipeline_tests.orchestration.test_hourly_run import TABLES
from promotion_pipeline_tests.seeding import NO_DIFFERENCE, VariantSpec, seed_experiment

LOCATION = "promotion_pipeline"
SELECTOR = {"repositoryName": "__repository__", "repositoryLocationName": LOCATION}
LOPSIDED = (
    VariantSpec("control", is_control=True, requests=4_000, conversions=400),
    VariantSpec("treatment", requests=3_000, conversions=300),
)
ASSET = """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) { ... on AssetNode {
    partitionStats { numPartitions numMaterialized } partitionKeysByDimension { partitionKeys }
    assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization {
        status runId evaluation { partition success severity description metadataEntries { label __typename
            ... on TextMetadataEntry { text } } } } } } } } } }"""
VALID = """query($job: PipelineSelector!, $config: RunConfigData) {
    isPipelineConfigValid(pipeline: $job, runConfigData: $config, mode: "default") {
        __typename ... on RunConfigValidationInvalid { errors { message } } } }"""
LAUNCH = """mutation($run: ExecutionParams!) { launchPipelineExecution(executionParams: $run) {
    __typename ... on PythonError { message } ... on RunConfigValidationInvalid { errors { message } } } }"""
DEFAULTS = """query($job: PipelineSelector!) { runConfigSchemaOrError(selector: $job) {
    ... on RunConfigSchema { rootDefaultYaml } } }"""


@contextmanager
def ui(stage: Stage, tmp_path: Path) -> Iterator[WorkspaceRequestContext]:
    """The workspace of a web server over a code server that loads the stage as it is now."""
    with code_server(stage, tmp_path) as port:
        target = GrpcServerTarget(host="127.0.0.1", port=port, socket=None, location_name=LOCATION)
        with WorkspaceProcessContext(stage.instance, target) as process:
            yield process.create_request_context()


def asked(context: WorkspaceRequestContext, query: str, **variables: Any) -> Any:
    """The one answer to a query."""
    result = execute_dagster_graphql(context, query, variables=variables)
    assert not result.errors, result.errors
    (answer,) = result.data.values()
    return answer


def asset(context: WorkspaceRequestContext, name: str) -> Any:
    # A new request, as the page makes one: what is known of records is kept for one request.
    return asked(context.process_context.create_request_context(), ASSET, key={"path": [name]})


def badges(context: WorkspaceRequestContext) -> dict[str, tuple[Any, ...]]:
    """What the UI shows of every check of the four tables: state, hour, sentence."""
    found = {}
    for table in TABLES:
        for check in asset(context, table)["assetChecksOrError"]["checks"]:
            shown = check["executionForLatestMaterialization"]
            answer = shown["evaluation"]
            found[check["name"]] = (shown["status"], answer["partition"], answer["description"])
    return found


def test_partitions_begin_at_the_first_experiment_and_a_backfill_of_the_past_leaves_the_badges_of_today(
    stage: Stage, tmp_path: Path
) -> None:
    seed_experiment(stage.store, "plain", NO_DIFFERENCE, start=stage.hours_ago(40))
    seed_experiment(stage.store, "lopsided", LOPSIDED, start=stage.hours_ago(6))
    stage.graph.run_assets(TABLES, tags=range_tags(stage.hours_ago(40), stage.newest))
    with ui(stage, tmp_path) as context:
        for table in TABLES:
            told = asset(context, table)
            assert told["partitionKeysByDimension"][0]["partitionKeys"][0] == hour_key(stage.hours_ago(40))
            assert told["partitionStats"]["numPartitions"] - told["partitionStats"]["numMaterialized"] <= 1
        today = badges(context)
        assert today.keys() == ROLLUP_CHECKS.keys() | EVALUATION_CHECKS.keys()
        assert {hour for _, hour, _ in today.values()} == {hour_key(stage.hours_ago(1))}
        assert today["sample_ratio_is_sound"][0] == "FAILED"
        assert "lopsided: p < 1e-15" in today["sample_ratio_is_sound"][2]

        past = dg.AssetCheckKey(dg.AssetKey("eligibility_decisions"), "sample_ratio_is_sound")
        run = stage.graph.run_assets(TABLES, tags=range_tags(stage.hours_ago(30), stage.hours_ago(20)))
        answers = [one for one in run.get_asset_check_evaluations() if one.asset_check_key == past]
        assert [(one.partition, one.passed) for one in answers] == [
            (hour_key(stage.hours_ago(21)), True),
            (hour_key(stage.hours_ago(1)), False),
        ]
        assert badges(context) == today
        assert first_hour_in_plan(context, stage) == stage.hours_ago(40).isoformat()


def first_hour_in_plan(context: WorkspaceRequestContext, stage: Stage) -> str:
    """The first hour that the process of a run is told, so that it knows those that the UI shows."""
    location = context.get_code_location(LOCATION)
    (repository,) = location.get_repositories().values()
    plan = location.get_execution_plan(repository.get_full_job("evaluate_job"), {}, None, None, stage.instance)
    load_data = plan.execution_plan_snapshot.repository_load_data
    assert load_data is not None
    return str(load_data.reconstruction_metadata["promotion_pipeline/first_hour"])


WRONG_WORDS = [
    ("promote_job", "promote", {"experiment": "a", "evidence": "hunch"}, "Evidence"),
    ("promote_job", "promote", {"experiment": "a", "despite": ["everything"]}, "Despite"),
    ("approve_job", "approve", {"experiment": "a", "guardrails": ["mood"]}, "Guardrail"),
    ("rollback_job", "roll_back", {"experiment": "a", "reason": "b", "to": "moon"}, "previous"),
    ("evaluate_job", "evaluate_hours", {"primary_metric": "clicks"}, "PrimaryMetric"),
    ("hourly_promotion_job", "evaluation", {"direction": "sideways"}, "Direction"),
]
"""Job, op, its config, and what the Launchpad says while it is written."""
WRONG_VALUES = [
    ("promote_job", "promote", {"experiment": "a", "min_confidence_level": 500}, "min_confidence_level"),
    ("evaluate_job", "evaluate_hours", {"max_error_rate": 5}, "0.05"),
    ("evaluate_job", "evaluate_hours", {"start": "yesterday"}, "2026-03-01T12:00Z"),
    ("evaluate_job", "evaluate_hours", {"end": "2026-03-01T12:00"}, "no time zone"),
    ("hourly_promotion_job", "evaluation", {"min_sample_size": -1}, "min_sample_size"),
    *((job, op, {"experiment": "  ", **needed}, "is empty") for job, (op, needed) in ACTS.items()),
]
"""The same for what is said when it is launched, before there is a run."""


def test_the_launchpad_fills_every_field_it_can_and_launches_nothing_that_cannot_be_done(
    stage: Stage, tmp_path: Path
) -> None:
    with ui(stage, tmp_path) as context:
        for job in [*LAUNCHPAD, "hourly_promotion_job"]:
            selector = {**SELECTOR, "pipelineName": job}
            op, needed = ACTS.get(job, ("", {}))
            config = {"ops": {op: {"config": {"experiment": "a", **needed}}}} if op else {}
            checked = asked(context, VALID, job=selector, config=config)
            assert checked["__typename"] == "PipelineConfigValidationValid", (job, checked)
            if op:
                refused = asked(context, VALID, job=selector, config={})
                assert refused["__typename"] == "RunConfigValidationInvalid", job
                assert "experiment:" not in asked(context, DEFAULTS, job=selector)["rootDefaultYaml"]
        for job, op, given, said in WRONG_WORDS:
            selector = {**SELECTOR, "pipelineName": job}
            refused = asked(context, VALID, job=selector, config={"ops": {op: {"config": given}}})
            assert said in refused["errors"][0]["message"], (job, given)
        for job, op, given, said in WRONG_VALUES:
            run = {
                "selector": {**SELECTOR, "pipelineName": job},
                "runConfigData": {"ops": {op: {"config": given}}},
                "mode": "default",
            }
            refused = asked(context, LAUNCH, run=run)
            assert refused["__typename"] == "PythonError", (job, given)
            assert said in refused["message"], (job, given, refused["message"][:400])
        assert stage.instance.get_runs_count() == 0
