"""What the Dagster layer gets from outside: the store, and how steps are executed."""

from __future__ import annotations

import os
from dataclasses import dataclass

import dagster as dg

from promotion_pipeline.errors import ConfigError
from promotion_pipeline.store.database import Store, current_store

EXECUTOR_VARIABLE = "AUTO_PROMOTION_EXECUTOR"


@dataclass(frozen=True)
class StoreResource:
    """The product's database: that of AUTO_PROMOTION_*, opened when it is first asked for and once a process.

    Tests and commands that hold a store already pass it on. Not a configurable resource: there is nothing to set in
    the Launchpad, and Dagster would rebuild it without the store that it was given.
    """

    given: Store | None = None

    def get(self) -> Store:
        """The store.

        Raises:
            DependencyError: the database cannot be reached, or its schema is behind.
        """
        return self.given if self.given is not None else current_store()


def executor_from_environment() -> dg.ExecutorDefinition:
    """The executor that AUTO_PROMOTION_EXECUTOR names: in_process (default), multiprocess, k8s, celery, celery_k8s.

    In process is the default because a process of its own costs a step three seconds of imports.

    Raises:
        ConfigError: the name is unknown, or its package is not installed.
    """
    name = os.environ.get(EXECUTOR_VARIABLE, "").strip() or "in_process"
    match name:
        case "in_process":
            return dg.in_process_executor
        case "multiprocess":
            return dg.multiprocess_executor
        case "k8s":
            return _imported("dagster_k8s", "k8s_job_executor")
        case "celery":
            return _imported("dagster_celery", "celery_executor")
        case "celery_k8s":
            return _imported("dagster_celery_k8s", "celery_k8s_job_executor")
    raise ConfigError(
        f"{EXECUTOR_VARIABLE}={name!r} is unknown; known are in_process, multiprocess, k8s, celery, celery_k8s"
    )


def _imported(module: str, attribute: str) -> dg.ExecutorDefinition:
    try:
        found = getattr(__import__(module), attribute)
    except ImportError:
        raise ConfigError(
            f"{EXECUTOR_VARIABLE} needs the package {module.replace('_', '-')}: install it beside promotion-pipeline"
        ) from None
    assert isinstance(found, dg.ExecutorDefinition)
    return found
