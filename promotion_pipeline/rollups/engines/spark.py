"""Requests in Apache Spark: a table of its catalog, or Parquet files; a session of its own or Spark Connect."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pyarrow as pa

from promotion_pipeline.errors import DependencyError, InputError
from promotion_pipeline.rollups.engines.base import Engine, RequestSource, needed, one_line
from promotion_pipeline.rollups.source_config import SourceConfig, TimeKind
from promotion_pipeline.rollups.sql.dialect import BACKSLASH_ESCAPES, Dialect, TimeForm
from promotion_pipeline.rollups.sql.kinds import Kind

# The interval since 1970, taken apart: timestampdiff would convert both times by the session's time zone.
_SINCE = "({time} - TIMESTAMP_NTZ '1970-01-01 00:00:00')"
DIALECT = Dialect(
    integer="BIGINT",
    double="DOUBLE",
    text="STRING",
    times={
        TimeKind.INSTANT: TimeForm(
            "timestamp_micros({micros})", "unix_micros({time}) div 3600000000", "{bucket}", "unix_micros({time})"
        ),
        TimeKind.UTC: TimeForm(
            "TIMESTAMP_NTZ '{text}'",
            f"CAST(EXTRACT(DAY FROM {_SINCE}) AS BIGINT) * 24 + EXTRACT(HOUR FROM {_SINCE})",
            "{bucket}",
            f"(CAST(EXTRACT(DAY FROM {_SINCE}) AS BIGINT) * 1440 + EXTRACT(HOUR FROM {_SINCE}) * 60"
            f" + EXTRACT(MINUTE FROM {_SINCE})) * 60000000"
            f" + CAST(EXTRACT(SECOND FROM {_SINCE}) * 1000000 AS BIGINT)",
        ),
    },
    quote="`",
    escapes=BACKSLASH_ESCAPES,
    kinds={
        r"long|short|byte": Kind.INTEGER,
        r"timestamp|timestamp_ltz": Kind.INSTANT,
        r"timestamp_ntz": Kind.NAIVE,
    },
)


APPLICATION = "promotion-pipeline"


class SparkSource(RequestSource):
    """A session of the caller, or one made from `url`: a master (local[2], spark://host:7077) or sc://host:15002.

    Nothing of the session is changed but a view of its own, dropped at the end; its time zone does not matter.
    """

    dialect = DIALECT

    def __init__(self, config: SourceConfig, session: Any = None) -> None:
        super().__init__(config)
        self._session, self._own = (session, False) if session is not None else _session(config)
        self._view: str | None = None

    @property
    def rowset(self) -> str:
        """The table, or the files; a view of them where they differ or some cannot be read."""
        if not self.config.files:
            return super().rowset
        paths = self.files.paths_to_read() if self.files is not None else None
        if self.files is None or (paths is None and self.files.alike):
            return f"parquet.{self.dialect.identifier(self.config.files)}"
        if self._view is None:
            self._view = f"promotion_pipeline_{uuid4().hex}"
            files = self._session.read.option("mergeSchema", "true").parquet(*(paths or [self.config.files]))
            files.createOrReplaceTempView(self._view)
        return self.dialect.identifier(self._view)

    @property
    def reads_local_files(self) -> bool:
        """Not where the session is elsewhere."""
        url = self.config.url.get_secret_value() if self.config.url else ""
        return url.startswith("local") or not url

    @property
    def _shown(self) -> str:
        return self.config.files or ".".join(self.config.table)

    def columns(self) -> dict[str, str]:
        """The columns of the log; raises InputError if there is no such table or file."""
        try:
            schema = self._session.sql(f"SELECT * FROM {self.rowset} LIMIT 0").schema
        except Exception as error:
            if _condition(error) in {"TABLE_OR_VIEW_NOT_FOUND", "PATH_NOT_FOUND", "UNABLE_TO_INFER_SCHEMA"}:
                raise InputError(
                    f"Spark finds no {self._shown}: check table or files in AUTO_PROMOTION_SOURCE"
                ) from None
            raise self._refused(error) from None
        return {field.name: field.dataType.simpleString() for field in schema.fields}

    def run(self, query: str) -> pa.Table:
        """The rows of a query."""
        try:
            return self._session.sql(query).toArrow()
        except Exception as error:
            raise self._refused(error) from None

    def _refused(self, error: Exception) -> Exception:
        """Spark's own errors, those of its connection and Java's become one line; what is ours stays."""
        if type(error).__module__.partition(".")[0] in {"pyspark", "py4j", "grpc"}:
            return DependencyError(f"Spark refuses the query for {self._shown}: {one_line(error)}")
        return error

    def close(self) -> None:
        """Stop the session if it was made here."""
        if self._view is not None:
            self._session.catalog.dropTempView(self._view)
        if self._own:
            self._session.stop()


def _session(config: SourceConfig) -> tuple[Any, bool]:
    """A session, and whether it was made here: one that this process has already is not ours to stop."""
    sessions = needed("pyspark.sql", "spark").SparkSession
    builder = sessions.builder.appName(APPLICATION)
    url = config.url.get_secret_value() if config.url else None
    try:
        if url is not None and url.startswith("sc://"):
            needed("grpc", "spark")
            return builder.remote(url).getOrCreate(), True
        if (running := sessions.getActiveSession()) is not None:
            return running, False
        builder = builder.config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
        return (builder.master(url) if url else builder).getOrCreate(), True
    except DependencyError:
        raise
    except Exception as error:
        raise DependencyError(f"no Spark session at {url or 'the default master'}: {one_line(error)}") from None


def _condition(error: Exception) -> str:
    named = getattr(error, "getCondition", None) or getattr(error, "getErrorClass", None)
    return str(named() or "").partition(".")[0] if named is not None else ""


ENGINE = Engine(
    name="spark",
    dialect=DIALECT,
    open=lambda config, _: SparkSource(config),
    reads_files=True,
    takes_url=True,
    is_slow_to_open=True,
)
