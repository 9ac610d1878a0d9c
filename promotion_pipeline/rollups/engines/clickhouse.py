"""Requests in ClickHouse: a server over HTTP, or Parquet files read by chdb in this process."""

from __future__ import annotations

import io
import json
from abc import abstractmethod
from typing import Any

import pyarrow as pa
import pyarrow.ipc

from promotion_pipeline.errors import ConfigError, DependencyError, InputError
from promotion_pipeline.rollups.engines.base import Engine, RequestSource, needed, one_line
from promotion_pipeline.rollups.log_files import brace_pattern
from promotion_pipeline.rollups.source_config import SourceConfig, TimeKind
from promotion_pipeline.rollups.sql.dialect import BACKSLASH_ESCAPES, Cell, Dialect, TimeForm
from promotion_pipeline.rollups.sql.kinds import Kind

# ClickHouse counts from 1970 in UTC whatever the column's zone; a time without one in a file is counted so too.
_TIME = TimeForm(
    "toDateTime64('{text}', 6, 'UTC')",
    "toInt64(intDiv(toUnixTimestamp({time}), 3600))",
    "{bucket}",
    "toUnixTimestamp64Micro(toDateTime64({time}, 6, 'UTC'))",
)
DIALECT = Dialect(
    integer="Int64",
    double="Nullable(Float64)",
    text="Nullable(String)",
    times={
        TimeKind.INSTANT: _TIME,
        TimeKind.UTC: _TIME,
    },
    quote="`",
    escapes=BACKSLASH_ESCAPES,
    unquotable="\0\\",
    rows="values({structure},\n        {rows}) AS {name}",
    # Nullable, so that a request without an arm has none instead of arm 0.
    declared={
        Cell.WHOLE: "Nullable(Int64)",
        Cell.TEXT: "String",
        Cell.UUID: "UUID",
        Cell.TIME: "DateTime64(6, 'UTC')",
    },
    kinds={
        r"u?int\d+": Kind.INTEGER,
        r"bfloat\d+": Kind.NUMBER,
        r"fixedstring\b.*": Kind.TEXT,
        r"datetime(64)?\b.*": Kind.INSTANT,
    },
    wrapped=r"(?:nullable|lowcardinality)\((.*)\)",
    counts_naive_times=True,
)


SECONDS = 3600.0
"""How long a query may take."""
CONNECT_SECONDS = 10.0
MISSING = ("UNKNOWN_TABLE", "UNKNOWN_DATABASE", "CANNOT_EXTRACT_TABLE_STRUCTURE", "FILE_DOESNT_EXIST", "CANNOT_STAT")
"""Errors of ClickHouse that mean that the log is not there."""
NAIVE = "timestamp without time zone"


class _ClickhouseSource(RequestSource):
    """What the server and the library have in common."""

    dialect = DIALECT

    @abstractmethod
    def _answer(self, query: str, output: str) -> bytes:
        """The bytes of a query's answer in a format of ClickHouse."""

    def columns(self) -> dict[str, str]:
        """The columns of the log; raises InputError if there is no such table or file."""
        lines = self._answer(f"DESCRIBE TABLE {self.rowset}", "JSONEachRow").splitlines()
        rows = [json.loads(line) for line in lines if line]
        return {row["name"]: row["type"] for row in rows}

    def run(self, query: str) -> pa.Table:
        """The rows of a query."""
        answer = self._answer(query, "ArrowStream")
        ipc: Any = pyarrow.ipc
        return ipc.open_stream(io.BytesIO(answer)).read_all()

    def _refused(self, message: str) -> Exception:
        if any(f"({name})" in message for name in MISSING):
            return InputError(f"ClickHouse finds no {self.rowset}: check table or files in AUTO_PROMOTION_SOURCE")
        return DependencyError(f"ClickHouse refuses the query for {self.rowset}: {message}")


class ClickhouseServer(_ClickhouseSource):
    """A server at `url`: http(s)://user:password@host:8123/database."""

    def __init__(self, config: SourceConfig) -> None:
        import httpx2

        super().__init__(config)
        try:
            url = httpx2.URL(config.url.get_secret_value() if config.url else "")
        except httpx2.InvalidURL:
            url = httpx2.URL("")
        if url.scheme not in {"http", "https"} or not url.host:
            raise ConfigError("the url of a ClickHouse source is http(s)://user:password@host:8123/database")
        self._shown = f"{url.scheme}://{url.host}:{url.port or ''}".rstrip(":")
        headers = {"X-ClickHouse-User": url.username, "X-ClickHouse-Key": url.password}
        database = url.path.strip("/")
        self._client = httpx2.Client(
            base_url=self._shown,
            headers={name: value for name, value in headers.items() if value},
            params={"database": database} if database else {},
            timeout=httpx2.Timeout(SECONDS, connect=CONNECT_SECONDS),
        )

    def _answer(self, query: str, output: str) -> bytes:
        import httpx2

        # Wait for the end: a failure after the first rows would otherwise come with the status of success.
        params = {"default_format": output, "wait_end_of_query": "1", "max_query_size": str(2 * len(query) + 1024)}
        try:
            answer = self._client.post("/", content=query.encode(), params=params)
        except httpx2.TransportError as error:
            raise DependencyError(f"ClickHouse at {self._shown} cannot be reached: {one_line(error)}") from None
        if answer.status_code != httpx2.codes.OK:
            raise self._refused(one_line(Exception(answer.text)))
        return answer.content

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


class ChdbSource(_ClickhouseSource):
    """Parquet files, or a table of a chdb session of the caller."""

    def __init__(self, config: SourceConfig, session: Any = None) -> None:
        super().__init__(config)
        self._chdb = needed("chdb", "clickhouse")
        self._session = session

    @property
    def rowset(self) -> str:
        """The files, or the table of the session."""
        files = self.config.files
        if not files:
            return super().rowset
        paths = self.files.paths_to_read() if self.files is not None else None
        named = self.dialect.string(files if paths is None else brace_pattern(paths))
        return f"{'s3' if files.startswith('s3://') else 'file'}({named}, 'Parquet')"

    def columns(self) -> dict[str, str]:
        """The columns of the log; a time without a zone in a file is called so, as every other engine does."""
        found = super().columns()
        created = self.config.columns.created_at
        if created in found and self.files is not None and self.files.is_naive(created):
            found[created] = NAIVE
        return found

    def _answer(self, query: str, output: str) -> bytes:
        if self.files is not None and not self.files.alike:
            # Without it ClickHouse takes the columns of one file for those of all.
            query += " SETTINGS schema_inference_mode = 'union'"
        ask = self._chdb.query if self._session is None else self._session.query
        try:
            answer = ask(query, output)
        except (RuntimeError, self._chdb.ChdbError) as error:
            raise self._refused(one_line(error)) from None
        return bytes(answer.bytes())


def _open(config: SourceConfig, _: str) -> RequestSource:
    return ClickhouseServer(config) if config.url else ChdbSource(config)


def _refusal(config: SourceConfig) -> str | None:
    if (config.files is None) == (config.url is None):
        return "clickhouse needs either url (a server, http://host:8123) or files (Parquet)"
    return None


ENGINE = Engine(name="clickhouse", dialect=DIALECT, open=_open, reads_files=True, takes_url=True, refusal=_refusal)
