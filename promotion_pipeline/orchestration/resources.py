"""What the Dagster layer gets from outside: the store, and how steps are executed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg

from promotion_pipeline.orchestration.parts import CONFIG_SUFFIX, Part, chosen_part, config_of_part, has_config
from promotion_pipeline.orchestration.place import BARE, VARIABLE_PREFIX, Placement
from promotion_pipeline.store.database import Store
from promotion_pipeline.store.pool import current_pooled_store

EXECUTOR_VARIABLE = "AUTO_PROMOTION_EXECUTOR"
EXECUTORS = {
    "in_process": Part("dagster", "in_process_executor"),
    "multiprocess": Part("dagster", "multiprocess_executor"),
    "k8s": Part("dagster_k8s", "k8s_job_executor", "kubernetes"),
    "celery": Part("dagster_celery", "celery_executor", "celery"),
    "celery_k8s": Part("dagster_celery_k8s", "celery_k8s_job_executor", "celery"),
}


@dataclass(frozen=True)
class StoreResource:
    """The product's database: that of AUTO_PROMOTION_*, opened when it is first asked for and once a process.

    Tests and commands that hold a store already pass it on. Not a configurable resource: there is nothing to set in
    the Launchpad, and Dagster would rebuild it without the store that it was given.
    """

    given: Store | None = None
    place: Placement = BARE
    """Where it is: what things are called there, and the settings that it is opened with."""

    def get(self) -> Store:
        """The store.

        Raises:
            DependencyError: the database cannot be reached, or its schema is behind.
        """
        return self.given if self.given is not None else current_pooled_store(self.place.settings)


def executor_from_environment() -> dg.ExecutorDefinition:
    """That of the environment, for a location that is ours alone.

    Raises:
        ConfigError: the name is unknown, its package is not installed, or its configuration is refused.
    """
    return executor_of(BARE)


def executor_of(place: Placement) -> dg.ExecutorDefinition:
    """The executor that AUTO_PROMOTION_EXECUTOR names: in_process (default), multiprocess, k8s, celery, celery_k8s.

    In process is the default because a process of its own costs a step three seconds of imports. Its configuration,
    what `execution: config:` of a run would say, is AUTO_PROMOTION_EXECUTOR_CONFIG.

    Raises:
        ConfigError: the name is unknown, its package is not installed, or its configuration is refused.
    """
    environment = _environment(place)
    executor = chosen_part(EXECUTOR_VARIABLE, EXECUTORS, "in_process", environment)
    assert isinstance(executor, dg.ExecutorDefinition)
    if not has_config(EXECUTOR_VARIABLE, environment):
        return executor
    kind = executor.config_schema.config_type
    return executor.configured(config_of_part(EXECUTOR_VARIABLE, kind, environment=environment))


def _environment(place: Placement) -> Mapping[str, str]:
    names = (EXECUTOR_VARIABLE, EXECUTOR_VARIABLE + CONFIG_SUFFIX)
    given = {name: place.passed_through(name.removeprefix(VARIABLE_PREFIX).lower()) for name in names}
    return {name: os.environ.get(name, "") if value is None else value for name, value in given.items()}
