"""The schema must be made by the oldest PostgreSQL that is promised, which is 15."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import promotion_pipeline.store

SCRIPTS = sorted(Path(promotion_pipeline.store.__file__).parent.rglob("*.sql"))

# PostgreSQL 16 was the first to take 0x1f, 0o17, 0b11 and 1_000.
NUMBERS_OF_16 = re.compile(r"\b0[xob][0-9a-f_]+\b|\b[0-9]+_[0-9_]+\b", re.IGNORECASE)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_no_number_is_written_as_only_postgresql_16_takes_it(script: Path) -> None:
    code = re.sub(r"--[^\n]*", "", script.read_text(encoding="utf-8"))

    assert NUMBERS_OF_16.findall(code) == []
