"""Requests in Parquet files, read by DuckDB in this process."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from promotion_pipeline.errors import DependencyError, InputError
from promotion_pipeline.rollups.engines.base import Engine, RequestSource, needed, one_line
from promotion_pipeline.rollups.source_config import SourceConfig, TimeKind
from promotion_pipeline.rollups.sql.dialect import Dialect, TimeForm
from promotion_pipeline.rollups.sql.kinds import Kind

DIALECT = Dialect(
    integer="BIGINT",
    double="DOUBLE",
    text="VARCHAR",
    times={
        TimeKind.INSTANT: TimeForm(
            "TIMESTAMPTZ '{text}+00'", "epoch_us({time}) // 3600000000", "{bucket}", "epoch_us({time})"
        ),
        TimeKind.UTC: TimeForm(
            "TIMESTAMP '{text}'",
            "epoch_us(CAST({time} AS TIMESTAMP)) // 3600000000",
            "{bucket}",
            "epoch_us(CAST({time} AS TIMESTAMP))",
        ),
    },
    uuid="UUID {}",
    kinds={
        r"u?(tiny|small|big|huge)?int(eger)?": Kind.INTEGER,
        r"timestamp_(s|ms|ns|us)": Kind.NAIVE,
    },
)


class DuckdbSource(RequestSource):
    """Parquet files of a path or glob, local or in S3, through a connection of the caller or one of its own.

    S3 takes its credentials from where the AWS tools take them, and DuckDB downloads its extension `httpfs` once.
    """

    dialect = DIALECT

    def __init__(self, config: SourceConfig, connection: Any = None) -> None:
        super().__init__(config)
        self._duckdb = needed("duckdb", "duckdb")
        self._own = connection is None
        self._connection: Any = self._duckdb.connect() if connection is None else connection
        if self._own:
            self._connection.execute("SET enable_progress_bar = false")
        if self._own and self._files.startswith("s3://"):
            self._execute("INSTALL httpfs; LOAD httpfs; INSTALL aws; LOAD aws")
            self._execute("CREATE SECRET request_log (TYPE s3, PROVIDER credential_chain)")

    @property
    def rowset(self) -> str:
        """The files that can be read; columns are matched by name, so that newer files may have more."""
        paths = self.files.paths_to_read() if self.files is not None else None
        files = self.dialect.string(self._files)
        if paths is not None:
            files = f"[{', '.join(self.dialect.string(path) for path in paths)}]"
        return f"read_parquet({files}, union_by_name = true)"

    @property
    def _files(self) -> str:
        return self.config.files or ""

    def columns(self) -> dict[str, str]:
        """The columns of the files; raises InputError if there is none."""
        rows = self._execute(f"DESCRIBE SELECT * FROM {self.rowset}").fetchall()
        return {row[0]: row[1] for row in rows}

    def run(self, query: str) -> pa.Table:
        """The rows of a query."""
        try:
            return self._connection.sql(query).to_arrow_table()
        except self._duckdb.Error as error:
            raise DependencyError(f"DuckDB refuses the query for {self._files}: {one_line(error)}") from None

    def _execute(self, statement: str) -> Any:
        try:
            return self._connection.execute(statement)
        except self._duckdb.IOException as error:
            if "No files found" in str(error):
                raise InputError(
                    f"no Parquet file matches {self._files}: check files in AUTO_PROMOTION_SOURCE"
                ) from None
            raise DependencyError(f"DuckDB cannot read {self._files}: {one_line(error)}") from None
        except self._duckdb.Error as error:
            raise InputError(f"DuckDB cannot read {self._files} as Parquet: {one_line(error)}") from None

    def close(self) -> None:
        """Close the connection if it was made here."""
        if self._own:
            self._connection.close()


def _refusal(config: SourceConfig) -> str | None:
    return None if config.files else "duckdb reads Parquet files: set files to a path or glob"


ENGINE = Engine(
    name="duckdb",
    dialect=DIALECT,
    open=lambda config, _: DuckdbSource(config),
    reads_files=True,
    refusal=_refusal,
)
