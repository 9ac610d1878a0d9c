"""The node of the request log: called as the team calls its log, with the kinds of the engine that it is in.

Where no log is mapped it is `ai_requests`, the product's own table. Nothing is asked of the log here.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import dagster as dg

from promotion_pipeline.config import Settings
from promotion_pipeline.errors import ConfigError
from promotion_pipeline.orchestration import names
from promotion_pipeline.orchestration.assets.columns import SCHEMAS
from promotion_pipeline.rollups.configuration import load_source
from promotion_pipeline.rollups.source_config import OPTIONAL, Columns, SourceConfig
from promotion_pipeline.rollups.sql.flags import NEVER

DESCRIPTION = """\
Every request of every experiment, written by the application: which variant served it, whether it converted or failed,
how long it took. Late rows are fine: the last AUTO_PROMOTION_LOOKBACK_HOURS are read again every hour.

Nothing is materialized here; every hourly run notes what it saw of it: the hour's requests and the newest row.
"""
KINDS = {"postgresql": "postgres"}
"""Dagster's word for an engine, where it is another than ours."""
FILE_SUFFIXES = re.compile(r"(\.(parquet|parq|pq))?(\.(gz|zst|snappy))?$")
UNFIT = re.compile(r"""[/\\"'\[\]]""")
"""What would end a part of a key in a URL or a selection."""
OURS = frozenset({*SCHEMAS, names.WATCH, names.SERVED})


@dataclass(frozen=True)
class LogNode:
    """The request log in the graph; without a source the product's own table."""

    source: SourceConfig | None = None
    upstream: dg.AssetKey | None = None
    """The asset that fills it, where one is named."""

    @property
    def key(self) -> dg.AssetKey:
        """`schema/table` of a mapped log, or its folder of files; a name that one of our tables has is not taken."""
        if self.upstream is not None:
            return self.upstream
        if self.source is None:
            return dg.AssetKey(names.REQUESTS)
        parts = list(self.source.table) if self.source.files is None else _of_files(self.source.files)
        named = [UNFIT.sub("_", part) for part in parts]
        return dg.AssetKey(names.REQUESTS if not named or named[-1] in OURS else named)

    @property
    def kinds(self) -> set[str]:
        """The engine, and what holds the rows."""
        if self.source is None:
            return {"postgres", "table"}
        engine = KINDS.get(self.source.engine, self.source.engine)
        return {engine, "table" if self.source.files is None else "parquet"}

    @property
    def spec(self) -> dg.AssetSpec:
        """The node."""
        return dg.AssetSpec(
            self.key,
            group_name="source",
            kinds=self.kinds,
            owners=names.OWNERS,
            metadata={"dagster/column_schema": self._schema(), **self._place()},
            description=DESCRIPTION,
        )

    def read_by(self, asset: dg.AssetsDefinition, called: dg.AssetKey) -> dg.AssetsDefinition:
        """An asset that has `called` among what it is made of, with this log in its place."""
        if self.source is None:
            return asset
        moved = asset if called == self.key else asset.with_attributes(asset_key_replacements={called: self.key})
        return moved.map_asset_specs(lambda spec: self._with_lineage(spec, called))

    def _with_lineage(self, spec: dg.AssetSpec, called: dg.AssetKey) -> dg.AssetSpec:
        lineage = spec.metadata.get("dagster/column_lineage")
        kinds = {*spec.kinds, *(self.kinds - {"table", "parquet"} if lineage else ())}
        if lineage is None:
            return spec
        return spec.replace_attributes(
            kinds=kinds, metadata={**spec.metadata, "dagster/column_lineage": self._translated(lineage, called)}
        )

    def _translated(self, lineage: dg.TableColumnLineage, called: dg.AssetKey) -> dg.TableColumnLineage:
        """The same with the log's own columns; what is made of columns that it lacks is made of nothing."""
        made_of: dict[str, list[dg.TableColumnDep]] = {}
        for column, origins in lineage.deps_by_column.items():
            translated = []
            for origin in origins:
                if origin.asset_key != called:
                    translated.append(origin)
                elif (theirs := self._column("created_at" if origin.column_name == "id" else origin.column_name)) != "":
                    translated.append(dg.TableColumnDep(self.key, theirs))
            if translated:
                made_of[column] = translated
        return dg.TableColumnLineage(made_of)

    def _schema(self) -> dg.TableSchema:
        schema = SCHEMAS[names.REQUESTS]
        if self.source is None:
            return schema
        ours = {column.name: column for column in schema.columns}
        theirs = {name: self._column(name) for name in ours if name != "id"}
        return dg.TableSchema(
            [
                dg.TableColumn(column, ours[name].type, description=f"{name}: {ours[name].description}")
                for name, column in theirs.items()
                if column
            ]
        )

    def _column(self, ours: str) -> str:
        """What the log calls a column of ours; empty: it has none, or nothing says that it has."""
        assert self.source is not None
        columns: Columns = self.source.columns
        by_name = getattr(columns, ours.removesuffix("_id") + "_name", None)
        given = getattr(columns, ours) if getattr(columns, ours) is not None else by_name
        if given is None:
            return "" if ours in OPTIONAL else ours
        return "" if given == NEVER else str(given)

    def _place(self) -> Mapping[str, Any]:
        if self.source is None:
            return {"dagster/table_name": names.REQUESTS}
        if self.source.files is None:
            return {"dagster/table_name": ".".join(self.source.table)}
        # A URL may carry a password.
        return {} if "@" in self.source.files else {"dagster/uri": self.source.files}


def log_node(settings: Settings | None = None) -> LogNode:
    """The log of these settings, or of the environment.

    A mapping that is wrong leaves `ai_requests`: the graph loads all the same, and the run says what is wrong.
    """
    try:
        if settings is None:
            told = ("AUTO_PROMOTION_SOURCE", "AUTO_PROMOTION_SOURCE_URL")
            settings = Settings.from_environment({name: os.environ[name] for name in told if name in os.environ})
        return LogNode(load_source(settings))
    except ConfigError:
        return LogNode()


def _of_files(files: str) -> list[str]:
    """`logs/requests` of `s3://logs/requests/*/*.parquet`: the last two names before the first wildcard."""
    path = files.split("://", 1)[-1].rsplit("@", 1)[-1]
    fixed = itertools.takewhile(lambda part: not set(part) & set("*?[{"), PurePosixPath(path).parts)
    named = [FILE_SUFFIXES.sub("", part) for part in fixed if part != "/"]
    return named[-2:]
