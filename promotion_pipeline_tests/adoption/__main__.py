"""The adoption matrix as a table: `python -m promotion_pipeline_tests.adoption [--quick] [WORD]`.

WORD: cells whose name has it. `--quick`: roll up without Dagster; three minutes instead of ten.

Every cell is taken through the schema, a run of the real graph, a promotion, the watch and a rollback, on PostgreSQL 15
(where Debian's package is installed) and on the embedded one, or is refused before anything is changed.
"""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from promotion_pipeline.store.connection import connect, create_database
from promotion_pipeline.store.embedded.server import EmbeddedServer
from promotion_pipeline_tests.adoption.cells import CELLS, Cell
from promotion_pipeline_tests.adoption.servers import binaries_of, running
from promotion_pipeline_tests.adoption.story import play
from promotion_pipeline_tests.adoption.team import make_role


def main() -> int:
    """Print the table; 1 if a cell went otherwise than it should."""
    word = next((given for given in sys.argv[1:] if given != "--quick"), "")
    cells = [cell for cell in CELLS if word in cell.name]
    columns: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        if (binaries := binaries_of(15)) is not None:
            with running(binaries) as url:
                columns["PostgreSQL 15"] = _column(cells, url.format, Path(folder))
        with EmbeddedServer(Path(folder) / "home", server_settings={"fsync": "off"}) as server:
            columns["PostgreSQL 18"] = _column(cells, server.url, Path(folder))
    print(f"| a team's own tables | {' | '.join(columns)} |\n| --- |{' --- |' * len(columns)}")
    for cell in cells:
        print(f"| {cell.name} | {' | '.join(column[cell.name] for column in columns.values())} |")
    return any("failed" in said for column in columns.values() for said in column.values())


def _column(cells: list[Cell], url: Callable[[str], str], home: Path) -> dict[str, str]:
    with connect(url("postgres")) as connection:
        make_role(connection)
    said = {}
    for number, cell in enumerate(cells):
        create_database(url("postgres"), f"cell_{number}")
        try:
            ending = play(cell, url(f"cell_{number}"), home, through_dagster="--quick" not in sys.argv)
            wrong = bool(ending.refusal) != cell.is_refused
            said[cell.name] = f"failed, {ending}" if wrong else str(ending)
        except Exception as error:
            traceback.print_exc()
            said[cell.name] = f"failed: {type(error).__name__} {' '.join(str(error).split())[:200]}"
        print(f"{cell.name}: {said[cell.name][:100]}", file=sys.stderr)
    return said


if __name__ == "__main__":
    sys.exit(main())
