"""Dagster's own home and storage, for commands and tests: a folder below `Settings.home`, tables in PostgreSQL."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import dagster as dg

from promotion_pipeline.errors import ConfigError
from promotion_pipeline.orchestration.connections import keep_connections
from promotion_pipeline.orchestration.dagster_private import NO_COMPUTE_LOGS_MODULE, InstanceRef
from promotion_pipeline.orchestration.process_environment import STORAGE_URL_VARIABLE, variables
from promotion_pipeline.store.database import Store

EVENTS_AT_ONCE = "500"
"""Materialization events that a run over many hours writes in one statement."""

NO_CAPTURE = {
    "module": NO_COMPUTE_LOGS_MODULE,
    "class": "NoOpComputeLogManager",
    "config": {},
}
"""Runs in this process leave its output alone: capturing it redirects the file descriptors of the whole process."""


def prepare_home(store: Store) -> Path:
    """The folder for DAGSTER_HOME of this store, holding `dagster.yaml`; a file that somebody edited is kept."""
    home = store.settings.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    config = home / "dagster.yaml"
    if not config.exists():
        config.write_text(default_config(), encoding="utf-8")
    return home


def default_config() -> str:
    """The text of `dagster.yaml`, the same as the one at the top of the repository."""
    return resources.files("promotion_pipeline").joinpath("dagster.yaml").read_text(encoding="utf-8")


def instance_environment(store: Store) -> dict[str, str]:
    """What a process that shall use this store's Dagster instance needs in its environment.

    The daemon, the web server and every run inherit it. It may hold the database's password: do not print it.

    Raises:
        DependencyError: the database of Dagster's storage cannot be reached or created.
    """
    return {
        "DAGSTER_HOME": str(prepare_home(store)),
        STORAGE_URL_VARIABLE: store.dagster_url,
        "DAGSTER_EVENT_BATCH_SIZE": os.environ.get("DAGSTER_EVENT_BATCH_SIZE", EVENTS_AT_ONCE),
    }


@contextlib.contextmanager
def open_instance(store: Store) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of this store; its tables are made when first used.

    The environment of this process names the instance while the context lasts, for the runs that it starts.

    Raises:
        DependencyError: the database of Dagster's storage cannot be reached or created.
    """
    added = instance_environment(store)
    reference = InstanceRef.from_dir(added["DAGSTER_HOME"], overrides={"compute_logs": NO_CAPTURE})
    with variables(added), dg.DagsterInstance.from_ref(reference) as instance:
        keep_connections(instance)
        yield instance


@contextlib.contextmanager
def open_configured_instance(store: Store) -> Iterator[dg.DagsterInstance]:
    """The instance of the daemon and the web server: that of DAGSTER_HOME, else that of this store, as configured.

    Raises:
        ConfigError: DAGSTER_HOME has no `dagster.yaml`: Dagster would open an instance of its own in files there.
        DependencyError: the database of Dagster's storage cannot be reached or created.
    """
    added = instance_environment(store)
    home = os.environ.get("DAGSTER_HOME", "").strip() or added["DAGSTER_HOME"]
    if not (Path(home) / "dagster.yaml").exists():
        raise ConfigError(f"DAGSTER_HOME={home} has no dagster.yaml: name the folder that the daemon is started with")
    with variables(added | {"DAGSTER_HOME": home}), dg.DagsterInstance.from_config(home) as instance:
        keep_connections(instance)
        yield instance
