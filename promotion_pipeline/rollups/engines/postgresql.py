"""Requests in PostgreSQL: the product's own database or another."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import adbc_driver_manager
import adbc_driver_postgresql.dbapi
import pyarrow as pa

from promotion_pipeline.errors import DependencyError, InputError
from promotion_pipeline.rollups.engines.base import Engine, RequestSource, one_line
from promotion_pipeline.rollups.source_config import SourceConfig, TimeKind
from promotion_pipeline.rollups.sql.dialect import Dialect, TimeForm
from promotion_pipeline.rollups.sql.kinds import Kind
from promotion_pipeline.store.connection import checked_url, connect
from promotion_pipeline.store.session_settings import CLIENT_ENCODING

_HOUR = "CAST(EXTRACT(EPOCH FROM {bucket}) AS bigint) / 3600"
_MICROS = "CAST(EXTRACT(EPOCH FROM {time}) * 1000000 AS bigint)"
DIALECT = Dialect(
    integer="bigint",
    double="double precision",
    text="text",
    times={
        # date_bin is many times faster than extract, which makes a numeric of every row.
        TimeKind.INSTANT: TimeForm(
            "TIMESTAMPTZ '{text}+00'",
            "date_bin('1 hour', {time}, TIMESTAMPTZ '2000-01-01 00:00:00+00')",
            _HOUR,
            _MICROS,
        ),
        TimeKind.UTC: TimeForm(
            "TIMESTAMP '{text}'",
            "date_bin('1 hour', {time}, TIMESTAMP '2000-01-01 00:00:00')",
            _HOUR,
            _MICROS,
        ),
    },
    uuid="UUID {}",
    # A numeric may be larger than any double: it is compared before it is cast.
    bound="{}",
    exact="numeric",
    user_key='{} COLLATE "C"',
    fence="\n    OFFSET 0",
    kinds={
        r"(character varying|character|bpchar)\b.*": Kind.TEXT,
    },
)


class PostgresqlSource(RequestSource):
    """A table or view of PostgreSQL 14 or newer, at `url` or in the product's own database."""

    dialect = DIALECT

    def __init__(self, config: SourceConfig, url: str) -> None:
        super().__init__(config)
        self._url = checked_url(config.url.get_secret_value() if config.url else url)

    def columns(self) -> dict[str, str]:
        """The columns of the table; raises InputError if there is no such table."""
        with connect(self._url) as connection:
            found = connection.execute("SELECT to_regclass(%s)::oid AS oid", (self.rowset,)).fetchone()
            if found is None or found["oid"] is None:
                raise InputError(f"the request log has no table {self.rowset}: set table in AUTO_PROMOTION_SOURCE")
            rows = connection.execute(
                """
                SELECT attname, format_type(coalesce(nullif(typbasetype, 0), pg_type.oid), NULL) AS type
                FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid
                WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum
                """,
                (found["oid"],),
            ).fetchall()
        return {row["attname"]: row["type"] for row in rows}

    def run(self, query: str) -> pa.Table:
        """The rows of a query, over ADBC."""
        with self._cursor() as cursor:
            cursor.execute(query)
            return cursor.fetch_arrow_table()

    @contextlib.contextmanager
    def _cursor(self) -> Iterator[adbc_driver_postgresql.dbapi.Cursor]:
        try:
            with adbc_driver_postgresql.dbapi.connect(self._url) as connection, connection.cursor() as cursor:
                # Unasked it would send and expect the database's own encoding, and the driver knows UTF-8 only.
                cursor.execute(f"SET client_encoding = '{CLIENT_ENCODING}'")
                # A server may still read backslashes in strings as escapes.
                cursor.execute("SET standard_conforming_strings = on")
                yield cursor
        except adbc_driver_manager.Error as error:
            # Asks again through psycopg, which says clearly what is wrong with a connection.
            with connect(self._url):
                pass
            raise DependencyError(f"PostgreSQL refuses the query for the request log: {one_line(error)}") from None


ENGINE = Engine(name="postgresql", dialect=DIALECT, open=PostgresqlSource, takes_url=True)
