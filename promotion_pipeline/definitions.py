"""The code location: what workspace.yaml names.

Importing it opens no connection. Where Dagster loads it, the database is asked once where the partitions begin.
"""

from promotion_pipeline.orchestration.build import build_definitions

__all__ = ["build_definitions", "defs"]

defs = build_definitions()
