"""The product's own table as a log that is asked in SQL."""

from __future__ import annotations

from promotion_pipeline.rollups.engines import postgresql
from promotion_pipeline.rollups.source_config import TimeKind
from promotion_pipeline.rollups.sql.flags import Flag
from promotion_pipeline.rollups.sql.kinds import Kind, LogColumn
from promotion_pipeline.rollups.sql.log_columns import LogColumns
from promotion_pipeline.rollups.sql.rollup_query import Log

OWN_LOG = Log(
    dialect=postgresql.DIALECT,
    table="promotion_pipeline_requests",
    columns=LogColumns(
        created_at=LogColumn("created_at", Kind.INSTANT),
        time=TimeKind.INSTANT,
        experiment=LogColumn("experiment_id", Kind.UUID),
        variant=LogColumn("variant_id", Kind.UUID),
        converted=Flag(LogColumn("converted", Kind.BOOLEAN)),
        is_error=Flag(LogColumn("is_error", Kind.BOOLEAN)),
        latency_ms=LogColumn("latency_ms", Kind.NUMBER),
        user_id=LogColumn("user_id", Kind.TEXT),
        value=LogColumn("value", Kind.NUMBER),
    ),
    users=True,
)
