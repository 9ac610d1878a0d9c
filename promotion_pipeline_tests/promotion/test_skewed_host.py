"""A host whose clock is wrong by hours: the database's clock decides, and dates what happens."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from promotion_pipeline.store.clock import database_now, newest_complete_hour
from promotion_pipeline.store.database import Store
from promotion_pipeline_tests.cli.conftest import spawn
from promotion_pipeline_tests.seeding import WINNER, seed_experiment, split_of

SKEW = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long skew(void) { const char *given = getenv("SKEW_SECONDS"); return given ? atol(given) : 0; }

int clock_gettime(clockid_t clock, struct timespec *at) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int answer = real(clock, at);
    if (!answer && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec += skew();
    return answer;
}

int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}
"""
CLOCK = "import datetime; print(datetime.datetime.now().timestamp())"
NEARLY_OLD_ENOUGH = timedelta(hours=47)


@pytest.fixture(scope="module")
def skewed_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that a process loads to have a wrong clock."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs Linux and a C compiler")
    folder = tmp_path_factory.mktemp("skew")
    (folder / "skew.c").write_text(SKEW)
    command = [compiler, "-shared", "-fPIC", "-o", str(folder / "skew.so"), str(folder / "skew.c"), "-ldl"]
    subprocess.run(command, check=True)
    return folder / "skew.so"


@pytest.mark.parametrize("hours", [-5, 5], ids=["behind", "ahead"])
def test_a_host_hours_off_decides_and_dates_by_the_database(
    store: Store, store_environment: dict[str, str], skewed_clock: Path, hours: int
) -> None:
    environment = store_environment | {"LD_PRELOAD": str(skewed_clock), "SKEW_SECONDS": str(hours * 3600)}
    told = subprocess.run([sys.executable, "-c", CLOCK], env=environment, capture_output=True, text=True, check=True)
    off = datetime.fromtimestamp(float(told.stdout), UTC) - datetime.now(UTC)
    assert abs(off - timedelta(hours=hours)) < timedelta(minutes=1), "the process has no wrong clock"
    with store.connect() as connection:
        newest, before = newest_complete_hour(connection), database_now(connection)
    old = seed_experiment(store, "old", WINNER)
    young = seed_experiment(store, "young", WINNER, start=newest - NEARLY_OLD_ENOUGH)
    stale = seed_experiment(store, "stale", WINNER, start=newest - timedelta(hours=96), end=newest - timedelta(hours=4))

    swept = spawn("auto-check", "--by", "cron", "--json", environment=environment)

    assert swept.code == 0, swept.err
    outcomes = {entry["experimentName"]: entry["outcome"] for entry in swept.data["results"]}
    assert outcomes == {"old": "promoted", "young": "not_eligible", "stale": "awaiting_approval"}
    assert datetime.fromisoformat(swept.data["asOf"]) >= newest
    assert [split_of(store, seeded)["treatment"] for seeded in (old, young, stale)] == [100, 50, 50]
    with store.connect() as connection:
        row = connection.execute("SELECT promoted_at, step_started_at FROM experiment_promotions").fetchone()
        after = database_now(connection)
    assert row is not None
    assert before <= row["promoted_at"] <= after
    assert row["step_started_at"] == row["promoted_at"]
