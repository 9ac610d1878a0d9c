"""SQL that stands in files of its own: the statements of `users.py` are in `users.sql` beside it.

    -- name: old_days
    -- Days whose requests may be dropped.
    SELECT ...

A name and a line of purpose come before each statement. A brace that is no placeholder is doubled in a statement that
is formatted, as in Python.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from psycopg import sql

_HEAD = re.compile(r"^-- name: (\w+)\n((?:--.*\n)+)", re.MULTILINE)


def statements(module_file: str) -> Mapping[str, sql.SQL]:
    """The statements beside a module, by name; pass `__file__`."""
    # A file of the package is as trustworthy as its code.
    return {name: sql.SQL(text) for name, text in texts(module_file).items()}


def texts(module_file: str) -> Mapping[str, str]:
    """The same as plain text, for an engine that is not spoken to through psycopg."""
    parts = _HEAD.split(Path(module_file).with_suffix(".sql").read_text())
    return {name: text.strip("\n") for name, text in zip(parts[1::3], parts[3::3], strict=True)}
