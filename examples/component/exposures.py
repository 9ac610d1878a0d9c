"""What a team has already: an asset that fills the log, an hour at a time, started by a schedule of its own."""

import os

import dagster as dg
import psycopg

HOURS = dg.HourlyPartitionsDefinition(start_date="2026-01-01-00:00", timezone="UTC")


@dg.asset(key=["analytics", "fct_exposures"], partitions_def=HOURS, group_name="analytics", kinds={"postgres"})
def fct_exposures(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """The requests of one hour, from where the application leaves them to where the experiments are read."""
    window = context.partition_time_window
    with psycopg.connect(os.environ["EXPERIMENTS_DATABASE_URL"]) as connection:
        moved = connection.execute(
            "WITH arrived AS (DELETE FROM raw_exposures WHERE created_at >= %s AND created_at < %s"
            " RETURNING experiment_id, variant_id, user_id, created_at, latency_ms, is_error, converted)"
            " INSERT INTO ai_requests (experiment_id, variant_id, user_id, created_at, latency_ms, is_error, converted)"
            " SELECT * FROM arrived",
            (window.start, window.end),
        )
    return dg.MaterializeResult(metadata={"dagster/partition_row_count": moved.rowcount})


@dg.job
def promote_job() -> None:
    """A job of the team that has the name of one of ours."""


exposures_job = dg.define_asset_job("exposures_job", selection=[fct_exposures])
exposures_schedule = dg.build_schedule_from_partitioned_job(
    exposures_job,
    minute_of_hour=int(os.environ.get("LANDS_AT_MINUTE", "20")),
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

definitions = dg.Definitions(
    assets=[fct_exposures],
    jobs=[exposures_job, promote_job],
    schedules=[exposures_schedule],
    resources={"store": "the team's own"},
)
