"""Names that several modules of the Dagster layer use: they refer to each other by name, not by import."""

from __future__ import annotations

ROLLUPS = "hourly_variant_rollups"
METRICS = "variant_metrics"
SIGNIFICANCE = "significance_results"
DECISIONS = "eligibility_decisions"
PROMOTIONS = "experiment_promotions"
WATCH = "promotion_watch"
SERVED = "served_traffic"
REALISED = "realised_lift"
REQUESTS = "ai_requests"
EXPERIMENTS = "ab_experiments"

EVALUATION_OP = "evaluation"
"""The one step that writes metrics, significance and decisions: where run config for it goes."""

HOURLY_JOB = "hourly_promotion_job"
APPLY_JOB = "apply_promotion_job"
EVALUATE_JOB = "evaluate_job"
PROMOTE_JOB = "promote_job"
APPROVE_JOB = "approve_job"
ROLLBACK_JOB = "rollback_job"
HOLD_JOB = "hold_job"
RELEASE_HOLD_JOB = "release_hold_job"
WATCH_JOB = "promotion_watch_job"
SERVED_JOB = "served_traffic_job"
ADVANCE_JOB = "advance_job"
ACKNOWLEDGE_JOB = "acknowledge_job"
OVERWRITE_SPLIT_JOB = "overwrite_split_job"
ADOPT_SPLIT_JOB = "adopt_split_job"
RETRY_DELIVERY_JOB = "retry_delivery_job"
REALISED_JOB = "realised_lift_job"
DELIVERY_JOB = "deliver_notifications_job"

SCHEDULE = "hourly_promotion_schedule"
SERVED_SCHEDULE = "served_traffic_schedule"
REALISED_SCHEDULE = "realised_lift_schedule"
SENSOR = "promotion_sensor"
ACTS_SENSOR = "promotion_acts_sensor"
UPSTREAM_SENSOR = "upstream_automation"
WATCH_SENSOR = "watch_sensor"
DELIVERY_SENSOR = "notification_sensor"
FAILURE_SENSOR = "run_failure_alarm"
RECOVERY_SENSOR = "run_recovery_notice"

OPEN_ALARMS = "open_alarms"
"""Metadata of the watch: which alarms were open when it had looked, so that the sensor sees when that changed."""

OWNERS = ["team:experimentation"]

LANE_TAG = "promotion_pipeline/lane"
"""What a run does; `dagster.yaml` lets one run a lane go at a time."""
EVALUATION_LANE = {LANE_TAG: "evaluation"}
APPLY_LANE = {LANE_TAG: "apply"}
BACKFILL_LANE = {LANE_TAG: "backfill"}
WATCH_LANE = {LANE_TAG: "watch", "dagster/priority": "10"}
SERVED_LANE = {LANE_TAG: "served"}
LEDGER_LANE = {LANE_TAG: "ledger"}
DELIVERY_LANE = {LANE_TAG: "delivery"}
EVALUATION_POOL = "evaluation"
"""Steps that read the request log or evaluate; `dagster.yaml` says how many runs with such steps go at a time."""
PENDING_TAG = "promotion_pipeline/pending"
"""What a run of the apply job was launched for, without the attempt number."""
EXPERIMENTS_TAG = "promotion_pipeline/experiments"
"""How many experiments a run acts upon."""
EXPERIMENT_NAMES_TAG = "promotion_pipeline/experiment_names"
"""The first of their names; that of a run about one experiment is its name, so that runs can be filtered by it."""
