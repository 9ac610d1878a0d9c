"""SQL for engines that are not run here, kept as files: a change of it is seen in review.

`python -m promotion_pipeline_tests.rollups.engines.test_compiled` writes the files anew.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from promotion_pipeline.errors import InputError
from promotion_pipeline.rollups.configuration import parse_source
from promotion_pipeline.rollups.engines.registry import ENGINES
from promotion_pipeline.rollups.pushdown import compiled_log, read_source_rollups
from promotion_pipeline.rollups.sql.rollup_query import rollup_sql
from promotion_pipeline_tests.rollups.engines.logs import SPRING, experiment_phases

FOLDER = Path(__file__).with_name("golden")
HEADER = "-- compiled, not run here\n"
START = datetime(2026, 3, 8, 4, tzinfo=UTC)
END = START + timedelta(hours=3)
FORMS: dict[str, dict[str, object]] = {
    "with_users": {"table": ["team's", "events"]},
    "without_users_and_zone": {
        "time": "utc",
        "users": False,
        "columns": {"experiment_name": 'exp "x"', "variant_name": "arm", "latency_ms": ""},
    },
}
CASES = [
    (engine, form) for engine in sorted(name for name, about in ENGINES.items() if about.open is None) for form in FORMS
]


def phases() -> pd.DataFrame:
    """Small enough to read; the name with quotes and a backslash is left to `test_strings`."""
    return experiment_phases(SPRING).replace(
        {"experiment_name": {experiment_phases(SPRING)["experiment_name"].iloc[-1]: "it's"}}
    )


def compiled(engine: str, form: str) -> str:
    config = parse_source({"engine": engine, **FORMS[form]})
    return HEADER + rollup_sql(compiled_log(config), phases(), START, END)


def golden(engine: str, form: str) -> Path:
    return FOLDER / f"{engine}_{form}.sql"


@pytest.mark.parametrize(("engine", "form"), CASES)
def test_the_sql_is_the_golden_one(engine: str, form: str) -> None:
    # As bytes: reading text would make a line feed of the carriage return that is white space in a name.
    assert compiled(engine, form) == golden(engine, form).read_bytes().decode()


def test_no_golden_file_is_left_over() -> None:
    assert sorted(FOLDER.iterdir()) == sorted(golden(*case) for case in CASES)


@pytest.mark.parametrize(
    ("engine", "literal"),
    [
        ("bigquery", r"'a\'b\\c\nd'"),
        ("snowflake", "'a\\'b\\\\c\nd'"),
        ("trino", "'a''b\\c\nd'"),
        ("postgresql", "'a''b\\c\nd'"),
        ("spark", "'a\\'b\\\\c\nd'"),
    ],
)
def test_strings_cannot_end_early(engine: str, literal: str) -> None:
    dialect = compiled_log(parse_source({"engine": engine})).dialect
    assert dialect.string("a'b\\c\nd") == literal


def test_what_cannot_be_written_safely_is_refused() -> None:
    redshift = compiled_log(parse_source({"engine": "redshift"})).dialect
    with pytest.raises(InputError, match="cannot be sent to this engine"):
        redshift.string("a\\")
    with pytest.raises(InputError, match="cannot be sent to this engine"):
        redshift.string("a\0")


def test_a_query_longer_than_the_engine_takes_is_refused() -> None:
    many = pd.concat([phases()] * 2000, ignore_index=True)
    with pytest.raises(InputError, match=r"characters for 16,000 arms, the engine takes 1,000,000"):
        rollup_sql(compiled_log(parse_source({"engine": "trino"})), many, START, END)


def test_a_client_of_one_s_own_brings_the_rows() -> None:
    log = compiled_log(parse_source({"engine": "snowflake"}))
    with pytest.raises(InputError, match="pass run"):
        read_source_rollups(log, phases(), START, END)
    asked = []

    def run(query: str) -> pd.DataFrame:
        asked.append(query)
        row = {name: [7, 9] for name in ("REQUESTS", "CONVERSIONS", "ERRORS", "LATENCY_SAMPLES", "USER_REQUESTS")}
        sums = {
            name: [1.5, 2.5] for name in ("LATENCY_MS_SUM", "LATENCY_MS_SUM_SQUARES", "VALUE_SUM", "VALUE_SUM_SQUARES")
        }
        hour = int(START.timestamp()) // 3600
        return pd.DataFrame(
            {"HOUR_NUMBER": [hour, hour], "ARM": [1, None], "USER_CONVERSIONS": [1, 1], **row, **sums}
            | {"NEWEST_REQUEST_MICROS": [int(START.timestamp() * 1_000_000)] * 2}
        )

    rollups = read_source_rollups(log, phases(), START, END, run)
    assert asked == [rollup_sql(log, phases().sort_values(["phase_id", "variant_id"], ignore_index=True), START, END)]
    assert rollups[["hour", "requests", "latency_ms_sum"]].values.tolist() == [[pd.Timestamp(START), 7, 1.5]]


def main() -> int:
    """Write the golden files."""
    FOLDER.mkdir(exist_ok=True)
    for case in CASES:
        golden(*case).write_bytes(compiled(*case).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
