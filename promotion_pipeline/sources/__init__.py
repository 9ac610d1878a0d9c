"""Request logs elsewhere: the rollup is pushed down to the engine that holds the rows, and only sums come back.

`roll_up` does what the configuration says. Its parts: `load_source` reads the configuration, `open_source` connects,
`rollup_from_source` writes the rollups of a window.
"""

from promotion_pipeline.sources.arms import PHASE_COLUMNS, read_phases
from promotion_pipeline.sources.configuration import (
    Columns,
    Engine,
    SourceConfig,
    TimeKind,
    load_source,
    parse_source,
)
from promotion_pipeline.sources.connect import open_source
from promotion_pipeline.sources.dispatch import roll_up, roll_up_missing, unbalanced_hours, unbalanced_old_hours
from promotion_pipeline.sources.engines.base import RequestSource
from promotion_pipeline.sources.rollup import compiled_log, read_source_rollups
from promotion_pipeline.sources.settle import rollup_from_source
from promotion_pipeline.sources.template import Log, rollup_sql

__all__ = [
    "PHASE_COLUMNS",
    "Columns",
    "Engine",
    "Log",
    "RequestSource",
    "SourceConfig",
    "TimeKind",
    "compiled_log",
    "load_source",
    "open_source",
    "parse_source",
    "read_phases",
    "read_source_rollups",
    "roll_up",
    "roll_up_missing",
    "rollup_from_source",
    "rollup_sql",
    "unbalanced_hours",
    "unbalanced_old_hours",
]
