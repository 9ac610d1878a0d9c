"""How runs are started: `dagster.yaml` names the class here, and the environment says which launcher it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg
import psycopg

from promotion_pipeline.errors import ConfigError, PromotionError
from promotion_pipeline.orchestration.dagster_private import CheckRunHealthResult, WorkerStatus
from promotion_pipeline.orchestration.parts import Part, chosen_part, config_of_part

if TYPE_CHECKING:
    from promotion_pipeline.orchestration.dagster_private import ConfigurableClassData
    from promotion_pipeline.orchestration.signs_of_life import Sign

LAUNCHER_VARIABLE = "AUTO_PROMOTION_RUN_LAUNCHER"
DEFAULT = "default"
LAUNCHERS = {
    # A process beside the code location.
    DEFAULT: Part("promotion_pipeline.run_launcher", "WatchfulRunLauncher"),
    # A Kubernetes job for each run.
    "k8s": Part("dagster_k8s", "K8sRunLauncher", "kubernetes"),
    # The same, for runs whose steps the executor celery_k8s hands on to Celery.
    "celery_k8s": Part("dagster_celery_k8s", "CeleryK8sRunLauncher", "celery"),
    # A container for each run.
    "docker": Part("dagster_docker", "DockerRunLauncher", "docker"),
}

SILENT_SECONDS = 120.0
"""A run that works says so every 15 s; after this long without a word it is asked once more."""


class WatchfulRunLauncher(dg.DefaultRunLauncher):
    """The default launcher, which also finds out that a run died together with its code server or its host.

    The code server notices a run that dies alone; once it is gone too, nobody would, and the run would keep its lane
    until its longest runtime is over.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        self._silent: set[str] = set()
        """Runs that had been silent when they were last looked at."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring asks about every run that was started."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the run's process lives; what cannot be found out counts as living."""
        from promotion_pipeline.orchestration.signs_of_life import last_sign
        from promotion_pipeline.store.pool import current_pooled_store

        try:
            sign = last_sign(current_pooled_store(), run.run_id)
        except (PromotionError, psycopg.Error):
            return CheckRunHealthResult(WorkerStatus.RUNNING, "the database cannot say whether it lives")
        trouble = None if sign is None else self._trouble(run.run_id, sign)
        if trouble is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, trouble)

    def _trouble(self, run_id: str, sign: Sign) -> str | None:
        worker = sign.worker
        if worker.is_alive is False:
            return f"its process {worker.process_id} on {worker.host} is gone"
        was_silent, is_silent = run_id in self._silent, worker.is_alive is None and sign.age_seconds > SILENT_SECONDS
        (self._silent.add if is_silent else self._silent.discard)(run_id)
        # Asked twice: after an outage of the database nobody had a chance to say anything.
        if not (was_silent and is_silent):
            return None
        return f"its process {worker.process_id} on {worker.host} gave no sign of life for {sign.age_seconds:.0f} s"


class EnvironmentRunLauncher(dg.DefaultRunLauncher):
    """Stands for the launcher that AUTO_PROMOTION_RUN_LAUNCHER names; no object of this class is ever made.

    `config` of `dagster.yaml` is passed on to any launcher but the default one, which takes none; what
    AUTO_PROMOTION_RUN_LAUNCHER_CONFIG says goes before it.
    """

    @classmethod
    def config_type(cls) -> Any:
        """Anything: the launcher itself checks it."""
        return dict

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Any:
        """The launcher.

        Raises:
            ConfigError: the name is unknown, its package is not installed, or its configuration is refused.
        """
        launcher = chosen_part(LAUNCHER_VARIABLE, LAUNCHERS, DEFAULT)
        if launcher is WatchfulRunLauncher:
            return launcher(inst_data=inst_data)
        config = config_of_part(LAUNCHER_VARIABLE, launcher.config_type(), config_value)
        try:
            return launcher.from_config_value(inst_data, config)
        except TypeError as error:
            # The schema of celery_k8s allows more than its constructor takes, and asks for less than it needs.
            raise ConfigError(f"the configuration of {LAUNCHER_VARIABLE} is refused: {error}") from None
