"""A yes or no of the log is shown as it was mapped."""

from __future__ import annotations

import pytest

from promotion_pipeline.rollups.sql.flags import flag_of
from promotion_pipeline.rollups.sql.kinds import Kind

KNOWN = {
    "failed": (Kind.BOOLEAN, "boolean"),
    "ok": (Kind.BOOLEAN, "boolean"),
    "http": (Kind.INTEGER, "integer"),
    "outcome": (Kind.TEXT, "text"),
}


@pytest.mark.parametrize("given", ["failed", "not ok", "http >= 500", "outcome = 'fail'"])
def test_a_flag_is_shown_as_it_was_written(given: str) -> None:
    assert flag_of(given, KNOWN, "is_error", "requests").as_written == given
