"""The code location: what workspace.yaml names. Importing it opens no connection."""

from promotion_pipeline.orchestration.build import build_definitions

__all__ = ["build_definitions", "defs"]

defs = build_definitions()
