"""The connections of a Dagster instance to its storage, kept between events; it needs no storage of any kind."""

from __future__ import annotations

import weakref

import dagster as dg

STATEMENT_TIMEOUT_MS = 60_000
POOL_RECYCLE_SECONDS = 3600
MAX_CONNECTIONS = 20
_KEEPING: weakref.WeakSet[dg.DagsterInstance] = weakref.WeakSet()


def keep_connections(instance: dg.DagsterInstance) -> None:
    """Let an instance keep its connections, as Dagster's web server does.

    Otherwise each of the hundred events of a run connects anew, which costs more than most of what it does.
    """
    if instance in _KEEPING or instance.is_ephemeral:
        return
    _KEEPING.add(instance)
    instance.optimize_for_webserver(
        statement_timeout=STATEMENT_TIMEOUT_MS, pool_recycle=POOL_RECYCLE_SECONDS, max_overflow=MAX_CONNECTIONS
    )
