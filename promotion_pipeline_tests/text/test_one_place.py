"""Percent, p-values and instants are written in `text/` alone."""

from __future__ import annotations

import re
from pathlib import Path

import promotion_pipeline

ROOT = Path(promotion_pipeline.__file__).parent
ELSEWHERE = {
    "config",  # refuses a value, and repeats it as it was given
    "benchmark",  # prints for those who measure
}
WRITTEN_BY_HAND = re.compile(r":[+,]*(?:\.\d+)?[fg]?\} %|:\.\d%|%Y-%m-%d %H:%M(?!:)|\bp = \{")


def test_no_other_room_formats_percent_p_values_or_instants() -> None:
    files = [path for path in ROOT.rglob("*.py") if path.relative_to(ROOT).parts[0] not in {"text", *ELSEWHERE}]
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if WRITTEN_BY_HAND.search(line)
    ]
    assert found == []
