"""Timing in one process: medians of interleaved runs, and the peak memory of a call in a process of its own."""

from __future__ import annotations

import gc
import multiprocessing
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from promotion_pipeline.errors import DependencyError


@dataclass(frozen=True)
class Timing:
    """Seconds of the runs of one call."""

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median of the runs, seconds."""
        return statistics.median(self.seconds)


def interleaved(calls: Mapping[str, Callable[[], object]], *, runs: int, warm_up: int = 1) -> dict[str, Timing]:
    """Time the calls in turn (A B A B ...), so that a drift of the machine's speed meets all of them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for run in range(warm_up + runs):
        for name, call in calls.items():
            gc.collect()
            begin = time.perf_counter()
            call()
            if run >= warm_up:
                seconds[name].append(time.perf_counter() - begin)
    return {name: Timing(name, tuple(values)) for name, values in seconds.items()}


def peak_memory_mb(call: Callable[[], object]) -> float:
    """Peak resident memory of a fresh process that runs `call` (a picklable function), in MB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (call,))


def _measured(call: Callable[[], object]) -> float:
    call()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@dataclass(frozen=True)
class Run:
    """One process: seconds from its start to its end, those of a processor, and its peak resident memory."""

    seconds: float
    peak_mb: float
    processor_seconds: float = 0.0


def dagster_process(arguments: Sequence[str], environment: Mapping[str, str]) -> Run:
    """Run `dagster` with these arguments in a process of its own.

    Raises:
        DependencyError: it failed; the message has the end of its output.
    """
    return measured_process(["-m", "dagster", *arguments], environment)


def measured_process(arguments: Sequence[str], environment: Mapping[str, str], folder: Path | None = None) -> Run:
    """Run Python with these arguments in a process of its own.

    Args:
        folder: where it is started: Dagster looks there for code first.

    Raises:
        DependencyError: it failed; the message has the end of its output.
    """
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, *arguments]
        process = subprocess.Popen(command, env=dict(environment), cwd=folder, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - begin
        if process.returncode:
            log.seek(0)
            raise DependencyError(f"{' '.join(arguments[:4])} failed: {log.read().decode(errors='replace')[-2000:]}")
    # Linux counts kilobytes, macOS bytes.
    peak_mb = usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    return Run(seconds, peak_mb, usage.ru_utime + usage.ru_stime)


def machine() -> str:
    """One line on the machine that the figures are from."""
    return f"{os.cpu_count()} processors, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
