"""The rollup against SQL written by hand for the same engine, on one month of requests.

`python -m promotion_pipeline.benchmark.rollup --requests 10000000` is the full size.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from promotion_pipeline.benchmark import rollup_by_hand as by_hand
from promotion_pipeline.benchmark.measure import Timing, interleaved, machine
from promotion_pipeline.config import Settings
from promotion_pipeline.rollups.configuration import parse_source
from promotion_pipeline.rollups.engines.base import RequestSource, needed
from promotion_pipeline.rollups.engines.duckdb import DuckdbSource
from promotion_pipeline.rollups.engines.postgresql import PostgresqlSource
from promotion_pipeline.rollups.phases import read_phases
from promotion_pipeline.rollups.postgresql.days import ensure_days
from promotion_pipeline.rollups.postgresql.rollup import aggregate_requests, rollup_window
from promotion_pipeline.rollups.pushdown import read_source_rollups
from promotion_pipeline.store.database import Store, open_store

START = datetime(2026, 3, 1, tzinfo=UTC)
END = datetime(2026, 3, 31, tzinfo=UTC)
EXPERIMENTS = 50
ARMS = 3
REQUESTS_PER_USER = 10
COLUMNS = "experiment_id, variant_id, user_id, created_at, latency_ms, is_error, converted, value"


@dataclass(frozen=True)
class HandComparison:
    """The same sums by the product and by hand."""

    what: str
    product: Timing
    hand: Timing

    def __str__(self) -> str:
        ratio = self.product.median / self.hand.median
        return f"  {self.what:<44} {ratio:5.2f}   {self.product.median:7.2f} s   {self.hand.median:7.2f} s"


def report(requests: int = 1_000_000, runs: int = 3) -> str:
    """Print-ready lines: the ratio of the rollup to SQL by hand on PostgreSQL and DuckDB, and medians.

    Raises:
        DependencyError: DuckDB is not installed.
    """
    with _month(requests) as (store, files):
        phases = read_phases(store, START, END)
        lines = [
            f"rollup of {requests:,} requests, {EXPERIMENTS} experiments x {ARMS} arms x 720 hours,"
            f" medians of {runs} interleaved runs",
            f"  {'':<44} ratio   product     by hand",
            *(str(found) for found in _postgresql(store, phases, runs)),
            *(str(found) for found in _duckdb(files, phases, runs)),
            _whole_rollup(store),
        ]
    return "\n".join(lines)


@contextlib.contextmanager
def _month(requests: int) -> Iterator[tuple[Store, Path]]:
    """The same requests in PostgreSQL and in a Parquet file."""
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "requests.parquet"
        with open_store(Settings(home=Path(folder) / "home")) as store:
            with store.connect() as connection, connection.transaction():
                for statement in by_hand.SEED:
                    connection.execute(statement, {"experiments": EXPERIMENTS, "arms": ARMS, "start": START})
            ensure_days(store, START.date(), END.date())
            _write_parquet(files, requests)
            _load(store, files)
            yield store, files


def _write_parquet(files: Path, requests: int) -> None:
    connection = needed("duckdb", "duckdb").connect()
    connection.execute("SET TimeZone = 'UTC'")
    made = by_hand.REQUESTS.format(
        requests=requests, users=max(1, requests // REQUESTS_PER_USER), experiments=EXPERIMENTS, arms=ARMS, start=START
    )
    connection.execute(f"COPY ({made}) TO '{files}' (FORMAT parquet)")
    connection.close()


def _load(store: Store, files: Path) -> None:
    duckdb = needed("duckdb", "duckdb").connect()
    duckdb.execute("SET TimeZone = 'UTC'")
    columns = COLUMNS.replace("experiment_id, variant_id", "experiment_id::VARCHAR, variant_id::VARCHAR")
    reader = duckdb.sql(f"SELECT {columns} FROM '{files}'").to_arrow_reader(100_000)
    options = pyarrow.csv.WriteOptions(include_header=False)
    with store.connect() as connection:
        with (
            connection.cursor() as cursor,
            cursor.copy(f"COPY ai_requests ({COLUMNS}) FROM STDIN (FORMAT csv)") as copy,
        ):
            for batch in reader:
                buffer = io.BytesIO()
                pyarrow.csv.write_csv(batch, buffer, options)
                copy.write(buffer.getbuffer())
        connection.execute("VACUUM (ANALYZE) ai_requests")


def _postgresql(store: Store, phases: pd.DataFrame, runs: int) -> Iterator[HandComparison]:
    def source(*, users: bool) -> PostgresqlSource:
        return PostgresqlSource(parse_source({"engine": "postgresql", "users": users}), store.url)

    yield _compare("PostgreSQL, sums pushed down", source(users=False), phases, by_hand.POSTGRESQL_SUMS, runs)
    yield _compare("PostgreSQL, with user-level sums", source(users=True), phases, by_hand.POSTGRESQL_USERS, runs)
    plain = source(users=False)
    times = interleaved(
        {
            "product": lambda: aggregate_requests(store, START, END),
            "hand": lambda: plain.run(_bound(by_hand.POSTGRESQL_SUMS)).to_pandas(),
        },
        runs=runs,
    )
    yield HandComparison("PostgreSQL, sums of the product's own table", times["product"], times["hand"])


def _duckdb(files: Path, phases: pd.DataFrame, runs: int) -> Iterator[HandComparison]:
    for what, users, query in (
        ("DuckDB over Parquet, sums pushed down", False, by_hand.DUCKDB_SUMS),
        ("DuckDB over Parquet, with user-level sums", True, by_hand.DUCKDB_USERS),
    ):
        source = DuckdbSource(parse_source({"engine": "duckdb", "files": str(files), "users": users}))
        yield _compare(what, source, phases, query.replace("FILES", f"'{files}'"), runs)
        source.close()


def _compare(what: str, source: RequestSource, phases: pd.DataFrame, query: str, runs: int) -> HandComparison:
    times = interleaved(
        {
            "product": lambda: read_source_rollups(source, phases, START, END),
            "hand": lambda: source.run(_bound(query)).to_pandas(),
        },
        runs=runs,
    )
    _require_equal(read_source_rollups(source, phases, START, END), source.run(_bound(query)))
    return HandComparison(what, times["product"], times["hand"])


def _bound(query: str) -> str:
    return query.replace("START", f"TIMESTAMPTZ '{START}'").replace("END_", f"TIMESTAMPTZ '{END}'")


def _require_equal(product: pd.DataFrame, hand: pa.Table) -> None:
    """A fast wrong answer is no benchmark."""
    other = hand.to_pandas()
    assert len(product) == len(other), (len(product), len(other))
    for name in set(product.select_dtypes("number").columns) & set(other.columns):
        mine, theirs = float(product[name].sum()), float(other[name].sum())
        assert abs(mine - theirs) <= 1e-9 * abs(theirs), (name, mine, theirs)


def _whole_rollup(store: Store) -> str:
    """The window as the hourly run does it: sums, users and their history written to the tables; once."""
    times: dict[str, Timing] = {}
    steps: dict[str, Callable[[], object]] = {
        "first": lambda: rollup_window(store, START, END),
        "again": lambda: rollup_window(store, START, END),
    }
    for name, step in steps.items():
        times |= interleaved({name: step}, runs=1, warm_up=0)
    return (
        f"  PostgreSQL, whole month written to the tables {times['first'].median:10.2f} s,"
        f" again with nothing changed {times['again'].median:.2f} s"
    )


def main(arguments: list[str] | None = None) -> int:
    """Print the figures of a month of `--requests`."""
    parser = argparse.ArgumentParser(prog="python -m promotion_pipeline.benchmark.rollup", description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    chosen = parser.parse_args(arguments)
    sys.stdout.write(f"{machine()}\n{report(chosen.requests, chosen.runs)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
