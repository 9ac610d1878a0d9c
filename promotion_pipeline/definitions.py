"""The code location: what workspace.yaml names.

Importing it opens no connection. Where Dagster loads it, the database is asked once where the partitions begin.
"""

import dagster as dg

from promotion_pipeline.orchestration.build import build_definitions
from promotion_pipeline.orchestration.resources import executor_from_environment

__all__ = ["build_definitions", "defs"]

# The location is ours alone: what somebody materializes by hand, or backfills, is executed as our jobs are.
defs = dg.Definitions.merge(build_definitions(), dg.Definitions(executor=executor_from_environment()))
