"""Everything that is taken from private modules of Dagster, because it has no public way there; checked on 1.13.27.

A new release of Dagster is tried by running the tests of `orchestration`; what has moved is repaired here alone.
"""

from dagster._config import ConfigScalar, ConfigScalarKind, PostProcessingError, process_config, resolve_to_config_type
from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluationTargetMaterializationData
from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext, DefinitionsLoadType
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.instance.ref import InstanceRef
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.scheduler.instigation import InstigatorState, TickStatus
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    AUTOMATION_CONDITION_TAG,
    BACKFILL_ID_TAG,
    PARENT_RUN_ID_TAG,
    PARTITION_NAME_TAG,
    RETRY_NUMBER_TAG,
    RUN_KEY_TAG,
    SCHEDULE_NAME_TAG,
)
from dagster._serdes import ConfigurableClassData

__all__ = [
    "ASSET_PARTITION_RANGE_END_TAG",
    "ASSET_PARTITION_RANGE_START_TAG",
    "AUTOMATION_CONDITION_TAG",
    "BACKFILL_ID_TAG",
    "NO_COMPUTE_LOGS_MODULE",
    "PARENT_RUN_ID_TAG",
    "PARTITION_NAME_TAG",
    "RETRY_NUMBER_TAG",
    "RUN_KEY_TAG",
    "SCHEDULE_NAME_TAG",
    "AssetCheckEvaluationTargetMaterializationData",
    "AssetCheckExecutionRecordStatus",
    "CheckRunHealthResult",
    "ConfigScalar",
    "ConfigScalarKind",
    "ConfigurableClassData",
    "DefinitionsLoadContext",
    "DefinitionsLoadType",
    "InstanceRef",
    "InstigatorState",
    "PartitionKeyFilter",
    "PostProcessingError",
    "TickStatus",
    "WorkerStatus",
    "process_config",
    "resolve_to_config_type",
]

NO_COMPUTE_LOGS_MODULE = "dagster._core.storage.noop_compute_log_manager"
"""Where `NoOpComputeLogManager` is, as the configuration of an instance names it."""
