"""A store that keeps its connections: who asks for one opens none where an idle one is left."""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import adbc_driver_manager.dbapi
import adbc_driver_postgresql.dbapi
import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import DictRow

from promotion_pipeline.config import Settings
from promotion_pipeline.store.connection import connect, is_pooled
from promotion_pipeline.store.database import Connection, Store, current_store
from promotion_pipeline.store.session_settings import CLIENT_ENCODING

MOST_IDLE = 20


class IdleConnections:
    """Connections that nobody uses at the moment, the latest used on top."""

    def __init__(self) -> None:
        self._idle: deque[ReturningConnection] = deque()
        self._lock = threading.Lock()
        self._is_open = True

    def take(self) -> ReturningConnection | None:
        """An idle connection that still answers, if there is one."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            if connection.revive():
                return connection

    def put(self, connection: ReturningConnection) -> bool:
        """Keep a connection; False: there are enough."""
        with self._lock:
            if not self._is_open or len(self._idle) >= MOST_IDLE:
                return False
            self._idle.append(connection)
            return True

    def close(self) -> None:
        """Close what is idle, and from now on everything that is given back."""
        with self._lock:
            self._is_open = False
            idle, self._idle = self._idle, deque()
        for connection in idle:
            connection.close_for_good()


class ReturningConnection(psycopg.Connection[DictRow]):
    """A connection whose `close` gives it back."""

    home: IdleConnections | None = None
    is_lent = True

    def close(self) -> None:
        """Give the connection back if it is fit for the next one, else close it."""
        if not self.is_lent:
            return
        fit = not self.closed and self.info.transaction_status == TransactionStatus.IDLE
        if self.home is None or not fit:
            self.close_for_good()
            return
        self.is_lent = False
        if not self.home.put(self):
            self.close_for_good()

    def close_for_good(self) -> None:
        """Really close."""
        self.is_lent = True
        super().close()

    def revive(self) -> bool:
        """Lend it again, if the server still answers."""
        self.is_lent = True
        try:
            self.execute("SELECT 1")
        except psycopg.Error:
            self.close_for_good()
            return False
        return True


@dataclass(frozen=True)
class PooledStore(Store):
    """The store of a process with many short requests."""

    idle: IdleConnections = field(default_factory=IdleConnections, repr=False, compare=False)
    idle_arrow: deque[adbc_driver_manager.dbapi.Connection] = field(default_factory=deque, repr=False, compare=False)

    def open_connection(self) -> Connection:
        """An idle connection, else a new one."""
        kept = self.idle.take()
        if kept is not None:
            return kept
        opened = connect(self.url, ReturningConnection, self.settings.user_id_keys)
        assert isinstance(opened, ReturningConnection)
        opened.home = self.idle
        return opened

    def close(self) -> None:
        """Close every idle connection."""
        with contextlib.suppress(psycopg.Error):
            self.idle.close()
        while self.idle_arrow:
            with contextlib.suppress(adbc_driver_manager.Error):
                self.idle_arrow.pop().close()


def pooled(store: Store) -> PooledStore:
    """The same database, with connections that are kept."""
    if isinstance(store, PooledStore):
        return store
    return PooledStore(store.url, store.settings, store.server)


@contextlib.contextmanager
def arrow_connection(store: Store) -> Iterator[adbc_driver_manager.dbapi.Connection]:
    """A connection that reads Arrow tables; opening one costs as much as reading 100,000 numbers.

    Raises:
        adbc_driver_manager.Error: the database cannot be reached, or refuses the statement.
    """
    kept = _idle_arrow(store) if isinstance(store, PooledStore) else None
    connection = kept or _opened_arrow(store)
    try:
        yield connection
    except BaseException:
        connection.close()
        raise
    if is_pooled(store.url):
        connection.rollback()
    if isinstance(store, PooledStore) and not store.idle_arrow:
        store.idle_arrow.append(connection)
    else:
        connection.close()


def _opened_arrow(store: Store) -> adbc_driver_manager.dbapi.Connection:
    # A pooler may give each statement another connection to the server: within a transaction it keeps to one.
    is_one_of_many = is_pooled(store.url)
    connection = adbc_driver_postgresql.dbapi.connect(store.url, autocommit=not is_one_of_many)
    keys = store.settings.user_id_keys
    with connection.cursor() as cursor:
        cursor.execute(f"SET client_encoding = '{CLIENT_ENCODING}'")
        # A time without a zone that is compared with one that has a zone is taken as of the session's: UTC.
        cursor.execute("SET TIME ZONE 'UTC'")
        if keys is not None:
            cursor.execute("SELECT set_config('promotion_pipeline.user_id_keys', $1, false)", (keys,))
            cursor.fetchall()
    if is_one_of_many:
        connection.commit()
    return connection


def _idle_arrow(store: PooledStore) -> adbc_driver_manager.dbapi.Connection | None:
    """An idle connection that still answers, if there is one."""
    try:
        connection = store.idle_arrow.pop()
    except IndexError:
        return None
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchall()
    except adbc_driver_manager.Error:
        with contextlib.suppress(adbc_driver_manager.Error):
            connection.close()
        return None
    return connection


_kept: dict[tuple[int, Settings], PooledStore] = {}
_kept_lock = threading.Lock()


def current_pooled_store(settings: Settings | None = None) -> PooledStore:
    """`current_store`, with connections that are kept until the process exits.

    Raises:
        ConfigError: a setting is wrong.
        DependencyError: the database cannot be reached, or its schema is behind or ahead.
    """
    store = current_store(settings)
    key = (os.getpid(), store.settings)
    with _kept_lock:
        if key not in _kept or _kept[key].server is not store.server:
            _kept[key] = pooled(store)
            atexit.register(_kept[key].close)
        return _kept[key]
