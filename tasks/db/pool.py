"""Connections to PostgreSQL: SQLAlchemy's pool over psycopg2, hand-written SQL, errors in our own words.

The pool is SQLAlchemy's because it is the maintained one that notices a fork and a dead connection; its query
builder is not used. Every session has a lock, a statement and an idle-in-transaction timeout.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
import psycopg2
import psycopg2.extensions
import psycopg2.extras
from sqlalchemy import exc
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from tasks.db import connection
from tasks.db.connection import Connection
from tasks.db.plans import Plans
from tasks.db.queries import Prepared
from tasks.errors import BridgeError, DatabaseBusy, DatabaseUnavailable, RowsHeld
from tasks.settings import Settings

log = logging.getLogger(__name__)

Params = Mapping[str, Any]
_POOL_WAIT_S = 1.5
_HELD = (
    psycopg2.errors.LockNotAvailable,
    psycopg2.errors.DeadlockDetected,
    psycopg2.errors.SerializationFailure,
)


class Transaction:
    """Runs SQL on one connection. Parameters are pyformat: ``%(name)s``; rows come back as dicts."""

    def __init__(self, raw: Connection) -> None:
        self.raw = raw
        self._savepoints = 0
        self._after_commit: list[tuple[Callable[[list[Any]], object], Any]] = []

    def _run(self, cursor: psycopg2.extensions.cursor, sql: str | Prepared, params: Params | None) -> None:
        if isinstance(sql, str):
            cursor.execute(sql, params)
            return
        plans = self.raw.plans
        if plans is None:
            cursor.execute(sql.text, params)
            return
        preparing = plans.preparing(sql)
        if preparing is not None:
            cursor.execute(preparing)
            plans.prepared(sql)
        cursor.execute(sql.execute, params)

    def execute(self, sql: str | Prepared, params: Params | None = None) -> int:
        """Runs a statement and returns the number of rows it touched."""
        with self.raw.cursor() as cursor:
            self._run(cursor, sql, params)
            return int(cursor.rowcount)

    def all(self, sql: str | Prepared, params: Params | None = None) -> list[dict[str, Any]]:
        """Runs a query and returns all of its rows."""
        with self.raw.cursor() as cursor:
            self._run(cursor, sql, params)
            names = _names(cursor)
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def each(self, sql: str | Prepared, params: Params | None = None) -> Iterator[dict[str, Any]]:
        """Runs a query and gives its rows one by one: of many rows only one at a time is turned into values. To be
        gone through before the connection runs anything else."""
        with self.raw.cursor() as cursor:
            self._run(cursor, sql, params)
            names = _names(cursor)
            for row in cursor:
                yield dict(zip(names, row, strict=True))

    def one(self, sql: str | Prepared, params: Params | None = None) -> dict[str, Any] | None:
        """Runs a query and returns its first row, or None."""
        with self.raw.cursor() as cursor:
            self._run(cursor, sql, params)
            row = cursor.fetchone()
            return None if row is None else dict(zip(_names(cursor), row, strict=True))

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undoes what the block did where it raises, and lets the error pass; the transaction goes on."""
        self._savepoints += 1
        name = f"bridge_{self._savepoints}"
        self.execute(f"SAVEPOINT {name}")
        kept = len(self._after_commit)
        try:
            yield
        except BaseException:
            del self._after_commit[kept:]
            if not self.raw.closed:
                self.execute(f"ROLLBACK TO SAVEPOINT {name}")
            raise
        self.execute(f"RELEASE SAVEPOINT {name}")

    def after_commit(self, act: Callable[[list[Any]], object], item: Any) -> None:
        """Has ``act`` called with all the items that were given for it, once ``Database.transaction`` has committed.

        For hints: a crash between commit and call loses it, as does a rollback, also of the savepoint around.
        """
        self._after_commit.append((act, item))

    def committed(self) -> None:
        """Calls what was left for after the commit; an error in it is logged, since the commit stands."""
        items: dict[Callable[[list[Any]], object], list[Any]] = {}
        for act, item in self._after_commit:
            items.setdefault(act, []).append(item)
        self._after_commit.clear()
        for act, given in items.items():
            try:
                act(given)
            except Exception:
                log.exception("after-commit-failed")


def _names(cursor: psycopg2.extensions.cursor) -> list[str]:
    return [column[0] for column in cursor.description or ()]


class Session(Transaction):
    """One connection kept for a while, in autocommit: for advisory locks, with transactions inside it."""

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """A transaction on this very connection: committed at the end, rolled back on an error."""
        self.execute("BEGIN")
        try:
            yield Transaction(self.raw)
        except BaseException:
            if not self.raw.closed:
                self.execute("ROLLBACK")
            raise
        self.execute("COMMIT")


class Database:
    """A pool of connections to one database, safe over a fork: a child makes its own.

    ``role`` shows in ``pg_stat_activity.application_name``.
    """

    def __init__(self, settings: Settings, role: str = "bridge") -> None:
        self._settings = settings
        self._role = role
        self._pool: QueuePool | None = None
        self._pid = 0

    @contextmanager
    def transaction(self, *, statement_timeout_ms: int | None = None) -> Iterator[Transaction]:
        """A READ COMMITTED transaction: committed when the block ends, rolled back when it raises.

        Raises:
            DatabaseUnavailable: no connection, or it broke; whether a commit took place is then unknown.
            DatabaseBusy: a connection, lock or statement took longer than its limit; nothing was done.
        """
        with self._connection() as fairy, _translated(fairy):
            raw = _raw(fairy)
            tx = Transaction(raw)
            try:
                if statement_timeout_ms is not None:
                    tx.execute(f"SET LOCAL statement_timeout = {int(statement_timeout_ms)}")
                yield tx
                raw.commit()
            except BaseException:
                if not raw.closed:
                    raw.rollback()
                raise
        tx.committed()

    @contextmanager
    def autocommit(self) -> Iterator[Transaction]:
        """A connection on which each statement is a transaction of its own: one round trip, and durable on return.

        Raises: as ``transaction``.
        """
        with self._connection() as fairy, _translated(fairy):
            raw = _raw(fairy)
            raw.autocommit = True
            try:
                yield Transaction(raw)
            finally:
                if not raw.closed:
                    raw.autocommit = False

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One connection in autocommit. Its advisory locks are free when the block has ended; then it is closed.

        Closing alone would free them when the server has heard of it, and who follows might still find them taken.
        Raises: as ``transaction``.
        """
        with self._connection() as fairy, _translated(fairy):
            raw = _raw(fairy)
            fairy.detach()
            raw.autocommit = True
            try:
                session = Session(raw)
                yield session
                session.execute("SELECT pg_advisory_unlock_all()")
            finally:
                raw.close()

    def close(self) -> None:
        """Closes the pooled connections of this process; the next use opens new ones."""
        if self._pool is not None and self._pid == os.getpid():
            self._pool.dispose()
        self._pool = None

    @contextmanager
    def _connection(self) -> Iterator[PoolProxiedConnection]:
        try:
            fairy = self._pool_of_process().connect()
        except exc.TimeoutError as problem:
            raise DatabaseBusy("No database connection became free in time.") from problem
        except psycopg2.OperationalError as problem:
            raise DatabaseUnavailable("PostgreSQL does not accept connections now.") from problem
        try:
            yield fairy
        finally:
            fairy.close()

    def _pool_of_process(self) -> QueuePool:
        if self._pool is None or self._pid != os.getpid():
            self._pid = os.getpid()
            self._pool = QueuePool(
                self._connect,  # type: ignore[arg-type] # psycopg2's stubs do not match the DBAPI protocol
                pool_size=self._settings.db_pool_size,
                max_overflow=0,
                timeout=_POOL_WAIT_S,
                use_lifo=True,
                reset_on_return=None,
            )
            connection.watch_idleness(self._pool)
        return self._pool

    def _connect(self) -> Connection:
        settings = self._settings
        raw = psycopg2.connect(
            settings.database_url,
            connection_factory=Connection,
            application_name=f"omninode-{self._role}",
            connect_timeout=settings.db_connect_timeout_s,
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=settings.db_statement_timeout_ms + 5_000,
            options=(
                f"-c statement_timeout={settings.db_statement_timeout_ms}"
                f" -c lock_timeout={settings.db_lock_timeout_ms}"
                " -c idle_in_transaction_session_timeout=60000 -c timezone=UTC"
            ),
        )
        psycopg2.extras.register_uuid(conn_or_curs=raw)  # type: ignore[no-untyped-call]
        psycopg2.extras.register_default_jsonb(conn_or_curs=raw, loads=orjson.loads)
        raw.plans = Plans() if settings.db_prepared_statements else None
        raw.idle_since = time.monotonic()
        return raw


def _raw(fairy: PoolProxiedConnection) -> Connection:
    raw = fairy.dbapi_connection
    if not isinstance(raw, Connection):
        raise DatabaseUnavailable("The database connection was closed.")
    return raw


@contextmanager
def _translated(fairy: PoolProxiedConnection) -> Iterator[None]:
    try:
        yield
    except BridgeError:
        raise
    except _HELD as problem:
        raise RowsHeld("A database lock took longer than its limit.") from problem
    except psycopg2.errors.QueryCanceled as problem:
        raise DatabaseBusy("A database statement took longer than its limit.") from problem
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as problem:
        # One dead connection means that its idle sisters are dead too: the pool renews all that are older.
        fairy.invalidate()
        log.warning("database-connection-lost", extra={"error": type(problem).__name__})
        raise DatabaseUnavailable("The connection to PostgreSQL was lost.") from problem
