"""The reference pages say what the code says."""

from __future__ import annotations

import pytest

from promotion_pipeline.config import known_variables
from promotion_pipeline_tests.handbook.reference import FOLDER, MADE, PAGES


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_what_the_code_says(name: str) -> None:
    again = "make it anew: python -m promotion_pipeline_tests.handbook.reference"
    assert (FOLDER / name).read_text(encoding="utf-8") == MADE + PAGES[name](), again


def test_every_variable_that_the_product_reads_is_in_the_reference() -> None:
    told = "".join((FOLDER / name).read_text(encoding="utf-8") for name in ("settings.md", "thresholds.md"))
    assert [variable for variable in known_variables() if f"`{variable}`" not in told] == []
