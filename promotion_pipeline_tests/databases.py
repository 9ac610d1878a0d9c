"""Where the tests' server keeps its files, and the databases that tests get: copies of a template."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from psycopg import sql

from promotion_pipeline.store.connection import connect
from promotion_pipeline.store.embedded.server import EmbeddedServer

MEMORY = Path("/dev/shm")
MEMORY_BYTES = 4 * 1024**3
"""A run that finds less than this free there writes to the disk."""
_PREFIX = "promotion-tests-"
_numbers = itertools.count()


@contextlib.contextmanager
def memory_folder(otherwise: Path) -> Iterator[Path]:
    """A folder in memory, gone afterwards; `otherwise` where there is none or too little.

    A database is 300 files: copying them in memory takes a tenth of the processor time that a disk's file system takes.
    """
    if not os.access(MEMORY, os.W_OK | os.X_OK) or shutil.disk_usage(MEMORY).free < MEMORY_BYTES:
        yield otherwise
        return
    _remove_left_behind()
    with tempfile.TemporaryDirectory(prefix=f"{_PREFIX}{os.getpid()}-", dir=MEMORY, ignore_cleanup_errors=True) as made:
        yield Path(made)


def _remove_left_behind() -> None:
    """Folders of runs that were killed would keep their memory until the machine is restarted."""
    for folder in MEMORY.glob(f"{_PREFIX}*"):
        process = folder.name.removeprefix(_PREFIX).partition("-")[0]
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if process.isdigit():
                os.kill(int(process), 0)
                continue
        shutil.rmtree(folder, ignore_errors=True)


def copy_database(server: EmbeddedServer, name: str, template: str) -> str:
    """Make the database `name` as a copy of `template`, to which nobody is connected; returns its URL.

    The files are copied: writing a template of this size to the write-ahead log, as is usual, takes twice as long.
    """
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    with connect(server.url("postgres")) as admin:
        admin.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
    return server.url(name)


def drop_database(server: EmbeddedServer, name: str) -> None:
    """Drop it whoever is connected, if it exists."""
    with connect(server.url("postgres")) as admin:
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@contextlib.contextmanager
def copied_database(server: EmbeddedServer, template: str, prefix: str = "test") -> Iterator[str]:
    """URL of a copy of `template` with a name that no other has; dropped afterwards."""
    name = f"{prefix}_{os.getpid()}_{next(_numbers)}"
    try:
        yield copy_database(server, name, template)
    finally:
        drop_database(server, name)
