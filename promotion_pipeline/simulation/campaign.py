"""Many simulated experiments, in batches over several processes; the answer depends on the seed alone."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from pydantic.alias_generators import to_camel

from promotion_pipeline.config import PromotionConfig
from promotion_pipeline.errors import InputError
from promotion_pipeline.simulation.outcomes import Batch, joined, run_batch
from promotion_pipeline.simulation.scenario import Scenario
from promotion_pipeline.simulation.summary import RuleSummary, SrmSummary, summarise, summarise_alarms

EXPERIMENTS_PER_BATCH = 100
"""Part of what a seed means: another size draws other experiments."""
MAX_EXPERIMENTS = 10_000_000


@dataclass(frozen=True)
class Campaign:
    """A scenario's figures."""

    scenario: Scenario
    config: PromotionConfig
    experiments: int
    seed: int
    rules: tuple[RuleSummary, ...]
    srm: tuple[SrmSummary, ...]

    def to_json(self) -> dict[str, Any]:
        """Scenario, thresholds and figures."""
        return {
            "experiments": self.experiments,
            "seed": self.seed,
            "scenario": {to_camel(name): value for name, value in asdict(self.scenario).items()},
            "config": self.config.model_dump(mode="json", by_alias=True),
            "rules": [summary.to_json() for summary in self.rules],
            "srm": [summary.to_json() for summary in self.srm],
        }


def simulate(
    scenario: Scenario,
    *,
    experiments: int = 1000,
    config: PromotionConfig | None = None,
    seed: int = 0,
    jobs: int = 1,
    advance: Callable[[float], None] | None = None,
) -> Campaign:
    """Run `experiments` independent experiments of one kind through `evaluate` at every look.

    Args:
        jobs: processes to spread the batches over; the figures are the same for any number. They are spawned, so a
            script that asks for more than one calls this under `if __name__ == "__main__"`.
        advance: called with the fraction done.

    Raises:
        InputError: `experiments`, `jobs` or `seed` is out of bounds.

    Cost: about 1 ms an experiment of 336 looks and two arms; returning users add about 50 ns a request.
    """
    if not 1 <= experiments <= MAX_EXPERIMENTS or not 1 <= jobs <= 256 or seed < 0:
        raise InputError(
            f"experiments={experiments}, jobs={jobs}, seed={seed}: experiments must be from 1 to {MAX_EXPERIMENTS},"
            " jobs from 1 to 256, the seed 0 or more"
        )
    rule = config or PromotionConfig()
    sizes = [min(EXPERIMENTS_PER_BATCH, experiments - n) for n in range(0, experiments, EXPERIMENTS_PER_BATCH)]
    work = list(zip(sizes, np.random.SeedSequence(seed).spawn(len(sizes)), strict=True))
    batches: dict[int, Batch] = {}
    with _batches(scenario, rule, work, min(jobs, len(work))) as finished:
        for number, batch in finished:
            batches[number] = batch
            if advance is not None:
                advance(len(batches) / len(work))
    whole = joined([batches[number] for number in range(len(work))])
    return Campaign(
        scenario=scenario,
        config=rule,
        experiments=experiments,
        seed=seed,
        rules=tuple(summarise(name, outcomes, scenario) for name, outcomes in whole.outcomes.items()),
        srm=tuple(summarise_alarms(unit, alarms) for unit, alarms in whole.alarms.items()),
    )


Work = list[tuple[int, np.random.SeedSequence]]


@contextmanager
def _batches(
    scenario: Scenario, config: PromotionConfig, work: Work, jobs: int
) -> Iterator[Iterator[tuple[int, Batch]]]:
    """Batches with their numbers as they get done; leaving early drops what has not begun."""
    if jobs == 1:
        yield ((number, run_batch(scenario, config, size, seed)) for number, (size, seed) in enumerate(work))
        return
    # Spawned, not forked: the caller may have threads. Ctrl-C is for the caller, who then ends the workers.
    pool = ProcessPoolExecutor(
        jobs, multiprocessing.get_context("spawn"), initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
    )
    try:
        futures = {
            pool.submit(run_batch, scenario, config, size, seed): number for number, (size, seed) in enumerate(work)
        }
        yield ((futures[done], done.result()) for done in as_completed(futures))
    finally:
        pool.shutdown(cancel_futures=True)
