"""What the layer promises as a whole: pure, light to import, and the same for one number as for many."""

from __future__ import annotations

import inspect
import subprocess
import sys

import numpy as np
import pytest

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


def test_many_experiments_and_hours_are_judged_in_one_call_each_as_if_alone() -> None:
    n = np.random.default_rng(1).integers(1000, 100_000, (2, 10, 24)).astype(np.float64)
    interval = st.always_valid_interval(0.05, 1.0 / np.sqrt(n), n, 5000.0, 0.025)
    p_value = st.always_valid_p_value(0.05, 1.0 / np.sqrt(n), n, 5000.0, 0.025)
    for cell in ((0, 0, 0), (1, 3, 7), (1, 9, 23)):
        alone = (0.05, 1.0 / np.sqrt(n[cell]), n[cell], 5000.0, 0.025)
        assert interval.lower[cell] == pytest.approx(st.always_valid_interval(*alone).lower, rel=1e-12)
        assert p_value[cell] == pytest.approx(st.always_valid_p_value(*alone), rel=1e-12)
