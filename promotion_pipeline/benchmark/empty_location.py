"""The empty job in the product's own code location: a run of it imports what every run of the product imports."""

from __future__ import annotations

import dagster as dg

from promotion_pipeline.benchmark.empty_run import empty_run
from promotion_pipeline.definitions import defs as product

defs = dg.Definitions.merge(product, dg.Definitions(jobs=[empty_run]))
