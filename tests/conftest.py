"""The real servers that tests run on: started once a session, on free ports, gone with the session."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest
import redis

from tasks.db.migrate import migrate
from tasks.settings import Settings, load_settings
from webapp.stack import servers
from webapp.stack.process import ServerProcess


def _started(make: Callable[[], ServerProcess]) -> Iterator[ServerProcess]:
    """A server for the session: one that can't be had fails in CI, and skips elsewhere."""
    try:
        process = make()
    except (servers.ServerError, OSError, ImportError) as problem:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"server not to be had: {problem}")
    yield process
    process.stop()


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """Where the session's servers keep their data, gone with the session.

    Not one of pytest's own folders: each session that starts makes what is above them private again, and as root
    PostgreSQL is another user, who must pass through.
    """
    folder = Path(tempfile.mkdtemp(prefix="omninode-tests-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server(server_folder: Path) -> Iterator[ServerProcess]:
    """The session's PostgreSQL."""

    def make() -> ServerProcess:
        server = servers.postgres(server_folder / "postgres", servers.free_port(), durable=False)
        return ServerProcess(server, server_folder / "postgres.log")

    yield from _started(make)


@pytest.fixture(scope="session")
def valkey_server(server_folder: Path) -> Iterator[ServerProcess]:
    """The session's Valkey."""

    def make() -> ServerProcess:
        server = servers.valkey(server_folder / "valkey", servers.free_port())
        return ServerProcess(server, server_folder / "valkey.log")

    yield from _started(make)


@pytest.fixture(scope="session")
def kafka_server(server_folder: Path) -> Iterator[ServerProcess]:
    """The session's broker."""
    yield from _started(lambda: ServerProcess(servers.kafka(servers.free_port()), server_folder / "kafka.log"))


@pytest.fixture
def fresh_kafka(tmp_path: Path) -> Iterator[ServerProcess]:
    """A broker of the test's own, with no topics, which it may kill."""
    yield from _started(lambda: ServerProcess(servers.kafka(servers.free_port()), tmp_path / "kafka.log"))


@pytest.fixture
def kafka_bootstrap(kafka_server: ServerProcess) -> str:
    """The address of the session's broker. Its topics stay from test to test."""
    return kafka_server.server.url


@pytest.fixture(scope="session")
def postgres_url(postgres_server: ServerProcess) -> str:
    """The URL of the session's PostgreSQL, of a database that is in nobody's way."""
    return postgres_server.server.url


def _administer(url: str, statement: str) -> None:
    connection = psycopg2.connect(url, connect_timeout=5)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


def _database(url: str, name: str) -> str:
    return url.rsplit("/", 1)[0] + "/" + name


@pytest.fixture(scope="session")
def template_database(postgres_url: str) -> str:
    """The name of a migrated database that others are cloned from."""
    name = f"template_{uuid.uuid4().hex[:8]}"
    _administer(postgres_url, f"CREATE DATABASE {name}")
    migrate(_database(postgres_url, name))
    return name


@contextmanager
def _cloned(url: str, template: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:8]}"
    _administer(url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    yield _database(url, name)
    _administer(url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database_url(postgres_url: str, template_database: str) -> Iterator[str]:
    """A migrated database of the test's own."""
    with _cloned(postgres_url, template_database) as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(postgres_url: str, template_database: str) -> Iterator[str]:
    """A migrated database that the tests of one module share."""
    with _cloned(postgres_url, template_database) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """A database without any schema."""
    name = f"empty_{uuid.uuid4().hex[:8]}"
    _administer(postgres_url, f"CREATE DATABASE {name}")
    yield _database(postgres_url, name)
    _administer(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def redis_url(valkey_server: ServerProcess) -> str:
    """The session's Valkey, emptied."""
    client = redis.Redis.from_url(valkey_server.server.url, socket_timeout=5)
    client.flushall()
    client.close()
    return valkey_server.server.url


@pytest.fixture
def settings(database_url: str, redis_url: str, request: pytest.FixtureRequest) -> Settings:
    """Settings on the test's own database and an empty Redis; with the broker where the test asks for it."""
    made = load_settings({"DATABASE_URL": database_url, "REDIS_URL": redis_url, "ENVIRONMENT": "test"})
    broker = "127.0.0.1:1"
    for fixture in ("fresh_kafka", "kafka_bootstrap"):
        if fixture in request.fixturenames:
            value = request.getfixturevalue(fixture)
            broker = value if isinstance(value, str) else value.server.url
            break
    return dataclasses.replace(made, kafka_bootstrap_servers=broker, kafka_ephemeral=True)
