"""The glossary has every word once, and every word that the pages show."""

from __future__ import annotations

import re
from collections import Counter
from enum import StrEnum
from pathlib import Path

import pytest

from promotion_pipeline.api import pages
from promotion_pipeline.evaluation import Verdict
from promotion_pipeline.promotion.record.states import PromotionState

GLOSSARY = Path(__file__).parents[2] / "docs" / "glossary.md"
TEMPLATES = Path(pages.__file__).parent / "templates"
LABEL = re.compile(r"<(th|dt|h2|h3)\b[^>]*>([A-Z][^<{]*)")
OF_THE_DESIGN = [
    "experiment",
    "variant",
    "control",
    "treatment",
    "candidate",
    "phase",
    "as of",
    "rollup",
    "decision",
    "contract checks",
    "evidence",
    "unattended",
    "promotion",
    "traffic target",
    "decided split",
    "served split",
    "observed split",
    "goal",
    "guardrail",
    "secondary metric",
]


def words() -> list[str]:
    """Every word of the first column, in small letters; those in quotation marks are what the page says."""
    rows = GLOSSARY.read_text(encoding="utf-8").partition("| --- | --- |\n")[2].splitlines()
    cells = [row.split(" | ")[0].removeprefix("| ") for row in rows]
    return [word.strip('" ').lower() for cell in cells for word in cell.split(" / ")]


def labels() -> set[str]:
    """Headings and names of numbers on the pages."""
    texts = (file.read_text(encoding="utf-8") for file in TEMPLATES.glob("*.html"))
    return {label.strip() for text in texts for _, label in LABEL.findall(text)}


def test_every_word_is_there_once_and_in_order() -> None:
    assert [word for word, count in Counter(words()).items() if count > 1] == []
    first = [
        row.replace('"', "").lower() for row in GLOSSARY.read_text(encoding="utf-8").splitlines() if row[:2] == "| "
    ]
    assert first[2:] == sorted(first[2:])


@pytest.mark.parametrize("kind", [Verdict, PromotionState])
def test_every_verdict_and_state_is_explained(kind: type[StrEnum]) -> None:
    assert [state.value for state in kind if state.value.replace("_", " ") not in words()] == []


def test_every_word_of_the_design_is_explained() -> None:
    assert [word for word in OF_THE_DESIGN if word not in words()] == []


def test_every_label_of_the_pages_is_explained() -> None:
    told = GLOSSARY.read_text(encoding="utf-8").lower()
    found = labels()
    assert len(found) > 20
    assert [label for label in sorted(found) if label.lower() not in told] == []
