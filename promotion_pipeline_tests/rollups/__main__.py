"""`python -m promotion_pipeline_tests.rollups [PAGE]`: ask every log every question, and write the docs' table."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    page = sys.argv[1] if len(sys.argv) > 1 else "docs/connecting-a-log.md"
    os.environ["PROMOTION_PIPELINE_ENGINE_TABLE"] = str(Path(page).absolute())
    here = Path(__file__).parent
    sys.exit(pytest.main(["-n", "0", "-q", str(here / "test_engine_table.py")]))
