"""Connections to the databases that ``sql`` steps may ask: a small pool for each name, in each process.

Each session begins read-only, and is made as new before another step has it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import psycopg2.extensions
from sqlalchemy import exc
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from tasks.runtime import Runtime
from tasks.secrets import SecretMissing, secret
from tasks.settings import Settings
from tasks.workflows.attempt import Refused, StepError

log = logging.getLogger(__name__)

Connection = psycopg2.extensions.connection
_CONNECT_TIMEOUT_S = 5
_POOL_WAIT_S = 10.0
_SCHEMES = ("postgresql://", "postgres://")


class Connections:
    """The pools of one process; make it with ``connections_of``."""

    def __init__(self, settings: Settings) -> None:
        self._secrets = dict(settings.workflow_sql_connections)
        self._size = settings.workflow_sql_pool_size
        self._pools: dict[str, QueuePool] = {}

    @contextmanager
    def borrowed(self, name: str) -> Iterator[Connection]:
        """A connection of this name, in autocommit, alone for the block. Its session's state ends with the block.

        Raises:
            Refused: there is no such connection, or its role is a superuser's.
            StepError: none became free in time, or the database can't be reached.
        """
        fairy = self._taken(name)
        try:
            raw = fairy.dbapi_connection
            if not isinstance(raw, Connection):
                raise StepError(f"The connection {name!r} was closed.", error_type="ConnectionFailed")
            try:
                yield raw
            finally:
                _make_new(fairy, raw)
        finally:
            fairy.close()

    def close(self) -> None:
        """Closes what is idle."""
        for pool in self._pools.values():
            pool.dispose()
        self._pools = {}

    def _taken(self, name: str) -> PoolProxiedConnection:
        if name not in self._secrets:
            raise Refused(f"There is no connection {name!r:.100} here.", error_type="UnknownConnection")
        try:
            return self._pool(name).connect()
        except exc.TimeoutError:
            raise StepError(f"No connection {name!r} became free.", error_type="ConnectionBusy") from None
        except psycopg2.Error as problem:
            # The driver's text tells hosts and roles.
            raise StepError(
                f"The connection {name!r} can't be made ({type(problem).__name__}).", error_type="ConnectionFailed"
            ) from None

    def _pool(self, name: str) -> QueuePool:
        if name not in self._pools:
            self._pools[name] = QueuePool(
                lambda: _connect(name, self._secrets[name]),  # type: ignore[arg-type] # psycopg2's stubs
                pool_size=self._size,
                max_overflow=0,
                timeout=_POOL_WAIT_S,
                use_lifo=True,
                reset_on_return=None,
            )
        return self._pools[name]


def _connect(name: str, secret_name: str) -> Connection:
    try:
        url = secret(secret_name)
    except SecretMissing as problem:
        raise Refused(problem.detail, error_type="SecretMissing") from None
    if not url.startswith(_SCHEMES):
        raise Refused(f"The secret {secret_name} is not a URL of PostgreSQL.", error_type="SecretInvalid")
    raw = psycopg2.connect(
        url,
        application_name="omninode-workflow-sql",
        client_encoding="utf8",
        connect_timeout=_CONNECT_TIMEOUT_S,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=30_000,
        options=(
            "-c default_transaction_read_only=on -c idle_in_transaction_session_timeout=60000 -c lock_timeout=5000"
            " -c statement_timeout=60000 -c timezone=UTC -c intervalstyle=iso_8601 -c standard_conforming_strings=on"
        ),
    )
    raw.autocommit = True
    if raw.get_parameter_status("is_superuser") == "on":
        raw.close()
        raise Refused(
            f"The role of the connection {name!r} is a superuser, who can write files and end others' sessions from a"
            " transaction that only reads; give it a role that may read and no more.",
            error_type="RoleRefused",
        )
    return raw


def _make_new(fairy: PoolProxiedConnection, raw: Connection) -> None:
    """Ends the transaction and all that a session may keep: settings, advisory locks, temporary tables."""
    try:
        if raw.closed:
            raise psycopg2.InterfaceError("closed")
        with raw.cursor() as cursor:
            cursor.execute("ROLLBACK")
            cursor.execute("DISCARD ALL")
    except psycopg2.Error as problem:
        log.info("workflow-sql-connection-dropped", extra={"error": type(problem).__name__})
        fairy.invalidate()
    except BaseException:
        # The attempt's time ended here: what the session holds is not known.
        fairy.invalidate()
        raise


def connections_of(runtime: Runtime) -> Connections:
    """The connections of this process."""
    return runtime.kept(_connections)


def _connections(runtime: Runtime) -> Connections:
    return Connections(runtime.settings)
