"""The empty job in the product's own code location: a run of it imports what every run of the product imports."""

from __future__ import annotations

import dagster as dg

from promotion_pipeline import definitions
from promotion_pipeline.benchmark.empty_run import empty_run

defs = dg.Definitions.merge(definitions.defs, dg.Definitions(jobs=[empty_run]))
