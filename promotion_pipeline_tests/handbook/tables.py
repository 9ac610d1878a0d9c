"""The tables and their columns as `store/schema.sql` has them: the page `docs/reference/tables.md`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from promotion_pipeline_tests.handbook.column_words import COLUMN_WORDS
from promotion_pipeline_tests.handbook.schema import FILE

OF_THE_APPLICATION = {
    "ab_experiments": "The experiments. The application writes it; a promotion sets `is_active`.",
    "ab_variants": "The variants and the split. The application writes it; a promotion sets `traffic_percentage`.",
    "ai_requests": "The log: one row a request. Kept by the day, dropped after `AUTO_PROMOTION_KEEP_REQUESTS_DAYS`.",
    "experiment_promotions": "One row a promotion, with what was seen and the split before and after. Kept for good.",
    "promotion_pipeline_version": "The revision of this schema. One row.",
}
"""What the tables without a comment in the database are for: an application may have had them before."""
_PARTITION = "ai_requests_default"
_TABLE = re.compile(r"^CREATE TABLE public\.(?P<name>\w+) \((?P<body>.*?)^\)", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"^COMMENT ON (?P<kind>TABLE|COLUMN) public\.(?P<name>[\w.]+) IS '(?P<text>.*?)';$", re.MULTILINE)
_COLUMN = re.compile(r"^    (?P<name>[a-z]\w*) (?P<rest>.*?),?$", re.MULTILINE)
_TYPE = re.compile(r"^(?P<type>.*?)(?= DEFAULT | NOT NULL| CONSTRAINT | GENERATED |$)")
_SHORT = {"timestamp with time zone": "timestamptz"}


@dataclass(frozen=True)
class TableColumn:
    """One column, as the schema says it."""

    name: str
    type: str
    may_be_null: bool
    meaning: str


def tables() -> dict[str, tuple[TableColumn, ...]]:
    """The columns of every table, by the table's name."""
    text = FILE.read_text(encoding="utf-8")
    said = comments(text)
    return {
        found["name"]: tuple(_columns(found["name"], found["body"], said))
        for found in _TABLE.finditer(text)
        if found["name"] != _PARTITION
    }


def comments(text: str) -> dict[str, str]:
    """What the database says of each table and `table.column`."""
    return {found["name"]: found["text"].replace("''", "'") for found in _COMMENT.finditer(text)}


def tables_page() -> str:
    """Every table with what it is for and what bounds its growth; every column with its type."""
    said = comments(FILE.read_text(encoding="utf-8"))
    parts = [
        f"\n## {name}\n\n{_purpose(name, said)}\n\n" + "".join(_lines(columns))
        for name, columns in sorted(tables().items())
    ]
    return (
        "# Tables\n\nEvery table of the product, what bounds its growth, and its columns. Written by the product alone,"
        " but for `ab_experiments`, `ab_variants` and `ai_requests`. To read the log, ask the view"
        " `promotion_pipeline_requests`: it has the columns of `ai_requests` whatever your table calls them.\n"
        + "".join(parts)
    )


def _purpose(name: str, said: dict[str, str]) -> str:
    purpose = said.get(name) or OF_THE_APPLICATION[name]
    return re.sub(r"\b([a-z]+(?:_[a-z]+)+)\b", r"`\1`", purpose) if name in said else purpose


def _lines(columns: tuple[TableColumn, ...]) -> Iterator[str]:
    yield "| column | type | meaning |\n| --- | --- | --- |\n"
    for column in columns:
        null = " null" if column.may_be_null else ""
        meaning = column.meaning.replace("|", "\\|")
        yield f"| `{column.name}` | {column.type}{null} | {meaning} |\n"


def _columns(table: str, body: str, said: dict[str, str]) -> Iterator[TableColumn]:
    for found in _COLUMN.finditer(body):
        kind = _TYPE.match(found["rest"])
        assert kind is not None
        name, type_ = found["name"], kind["type"].strip()
        meaning = said.get(f"{table}.{name}") or COLUMN_WORDS[name]
        yield TableColumn(name, _SHORT.get(type_, type_), "NOT NULL" not in found["rest"], meaning)
