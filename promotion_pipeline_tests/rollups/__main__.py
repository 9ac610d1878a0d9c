"""`python -m promotion_pipeline_tests.rollups [PAGE]`: ask every log every question, and write the docs' table."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m promotion_pipeline_tests.rollups", description=__doc__)
    parser.add_argument(
        "page", nargs="?", type=Path, default=Path("docs/connecting-a-log.md"), help="where the table is"
    )
    os.environ["PROMOTION_PIPELINE_ENGINE_TABLE"] = str(parser.parse_args().page.absolute())
    here = Path(__file__).parent
    sys.exit(pytest.main(["-n", "0", "-q", str(here / "test_engine_table.py")]))
