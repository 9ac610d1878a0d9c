"""Which failure of a step is tried again.

Three retries are at work, each for its own kind of failure: a step retries when a dependency is down (here); Dagster
starts a run again whose process died (`run_retries` in dagster.yaml); the next tick of schedule or sensor finds what
is still not done. Wrong data or a refused act fail at once: trying again would not change the answer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import dagster as dg
import psycopg

from promotion_pipeline.errors import DependencyError, PromotionError
from promotion_pipeline.store.session_settings import READ_ONLY

MAX_RETRIES = 3
FIRST_WAIT_SECONDS = 5


@contextlib.contextmanager
def step_failures(
    context: dg.OpExecutionContext | dg.AssetExecutionContext | dg.AssetCheckExecutionContext,
) -> Iterator[None]:
    """Turn the product's errors into Dagster's: retry what a dependency caused, fail with the message otherwise."""
    try:
        yield
    except (DependencyError, psycopg.OperationalError) as error:
        context.log.warning(f"A dependency is down, the step is tried again: {_one_line(error)}")
        raise dg.RetryRequested(
            max_retries=MAX_RETRIES, seconds_to_wait=FIRST_WAIT_SECONDS * 2**context.retry_number
        ) from error
    except psycopg.errors.ReadOnlySqlTransaction as error:
        raise dg.Failure(description=READ_ONLY, allow_retries=False) from error
    except PromotionError as error:
        raise dg.Failure(description=_one_line(error), metadata={"code": error.code}, allow_retries=False) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
