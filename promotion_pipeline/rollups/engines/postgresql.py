"""Requests in PostgreSQL: the product's own database or another."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import adbc_driver_manager
import adbc_driver_postgresql.dbapi
import pyarrow as pa

from promotion_pipeline.errors import DependencyError, InputError
from promotion_pipeline.rollups.configuration import SourceConfig
from promotion_pipeline.rollups.engines.base import RequestSource, one_line
from promotion_pipeline.store.connection import checked_url, connect
from promotion_pipeline.store.session_settings import CLIENT_ENCODING


class PostgresqlSource(RequestSource):
    """A table or view of PostgreSQL 14 or newer."""

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
