"""What the layer promises as a whole: pure, light to import, fast on a month of a thousand experiments."""

from __future__ import annotations

import inspect
import subprocess
import sys
import time

import numpy as np

from promotion_pipeline import statistics as st
from promotion_pipeline.errors import PromotionError

HEAVY = ("dagster", "pandas", "sqlalchemy", "psycopg", "scipy.stats", "scipy.optimize")


def test_importing_it_loads_no_framework_and_no_slow_part_of_scipy() -> None:
    code = f"import promotion_pipeline.statistics, sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_and_documented() -> None:
    public = {name: getattr(st, name) for name in st.__all__}
    code = {name: value for name, value in public.items() if inspect.isfunction(value) or inspect.isclass(value)}
    assert [name for name, value in code.items() if not value.__doc__] == []


def test_a_parameter_error_is_a_value_error_of_the_product() -> None:
    assert issubclass(st.StatisticsError, ValueError)
    assert issubclass(st.StatisticsError, PromotionError)


def test_a_month_of_a_thousand_experiments_is_judged_in_well_under_a_second() -> None:
    """720 hours x 1,000 experiments x 2 treatments; 0.04 s on a laptop, so that only a blunder fails this."""
    shape = (2, 1000, 720)
    n = np.random.default_rng(1).integers(1000, 100_000, shape).astype(np.float64)
    lift, error = np.full(shape, 0.05), 1.0 / np.sqrt(n)
    started = time.perf_counter()
    st.always_valid_interval(lift, error, n, 5000.0, 0.025)
    st.always_valid_p_value(lift, error, n, 5000.0, 0.025)
    assert time.perf_counter() - started < 1.0
