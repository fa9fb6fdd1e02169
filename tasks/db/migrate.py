"""Brings a database to the schema that this code expects: numbered, forward-only SQL files, each once.

Any number of processes may call it at once: an advisory lock lets one work and the others wait.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files

import psycopg2
import psycopg2.extensions

from tasks.errors import Conflict, DatabaseUnavailable

_LOCK_KEY = 7300
_LOCK_TIMEOUT_MS = 5_000
_STATEMENT_TIMEOUT_MS = 600_000
_NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    text        PRIMARY KEY,
    digest     text        NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True)
class Migration:
    """One file: its four-digit version, its name, its SQL, and when it was applied (None: not yet)."""

    version: str
    name: str
    sql: str
    applied_at: datetime | None = None

    @property
    def digest(self) -> str:
        """The SHA-256 of the SQL, so that a file that was changed after it ran is noticed."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrate(database_url: str) -> list[str]:
    """Applies what is missing, in order, each file in a transaction of its own; returns their names.

    Raises:
        DatabaseUnavailable: the database can't be reached.
        Conflict: a file that was applied has been changed since.
    """
    applied: list[str] = []
    with _connected(database_url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (_LOCK_KEY,))
        cursor.execute(_TABLE)
        cursor.execute("SELECT version, digest FROM schema_migrations")
        known = dict(cursor.fetchall())
        for migration in available():
            digest = known.get(migration.version)
            if digest is not None:
                if digest != migration.digest:
                    raise Conflict(f"Migration {migration.name} was changed after it was applied.")
                continue
            cursor.execute("BEGIN")
            cursor.execute(f"SET LOCAL lock_timeout = {_LOCK_TIMEOUT_MS}")
            cursor.execute(f"SET LOCAL statement_timeout = {_STATEMENT_TIMEOUT_MS}")
            cursor.execute(migration.sql)
            cursor.execute(
                "INSERT INTO schema_migrations (version, digest) VALUES (%s, %s)",
                (migration.version, migration.digest),
            )
            cursor.execute("COMMIT")
            applied.append(migration.name)
    return applied


def status(database_url: str) -> list[Migration]:
    """Every migration with the time it was applied, in order; changes nothing."""
    with _connected(database_url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('schema_migrations') IS NOT NULL")
        row = cursor.fetchone()
        times: dict[str, datetime] = {}
        if row is not None and row[0]:
            cursor.execute("SELECT version, applied_at FROM schema_migrations")
            times = dict(cursor.fetchall())
    return [Migration(m.version, m.name, m.sql, times.get(m.version)) for m in available()]


def available() -> list[Migration]:
    """The migrations that this code brings, in order."""
    folder = files("tasks.db").joinpath("migrations")
    found = []
    for entry in folder.iterdir():
        match = _NAME.match(entry.name)
        if match:
            found.append(Migration(match[1], entry.name, entry.read_text(encoding="utf-8")))
    return sorted(found, key=lambda migration: migration.version)


@contextmanager
def _connected(database_url: str) -> Iterator[psycopg2.extensions.connection]:
    try:
        connection = psycopg2.connect(
            database_url, connect_timeout=5, application_name="omninode-migrate", options="-c timezone=UTC"
        )
    except psycopg2.OperationalError as problem:
        raise DatabaseUnavailable("PostgreSQL does not accept connections now.") from problem
    try:
        connection.autocommit = True
        yield connection
    finally:
        connection.close()
