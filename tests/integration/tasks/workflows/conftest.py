"""A worker of workflows that the tests of a module share; what begins runs, and a workflow to begin."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tasks.db.pool import Database
from tasks.queue.app import create_celery
from tasks.settings import Settings, load_settings
from tests.integration.conftest import CeleryProcesses
from tests.integration.tasks.workflows.engine import Engine
from tests.integration.tasks.workflows.submitting import Runs
from tests.integration.tasks.workflows.workbench import Workbench
from webapp.stack.process import ServerProcess

TASKS = "tests.integration.tasks.workflows.engine_tasks"


@pytest.fixture(scope="module")
def engine(
    module_database_url: str, valkey_server: ServerProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """An engine with a worker of four processes and a clock."""
    client = redis.Redis.from_url(valkey_server.server.url, socket_timeout=5)
    client.flushall()
    client.close()
    settings = load_settings(
        {
            "DATABASE_URL": module_database_url,
            "REDIS_URL": valkey_server.server.url,
            "ENVIRONMENT": "test",
            "OMNINODE_IMPORTS": TASKS,
        }
    )
    folder: Path = tmp_path_factory.mktemp("engine")
    processes = CeleryProcesses(dataclasses.replace(settings, workflow_lease_s=2.0), folder)
    environ = {"OMNINODE_IMPORTS": TASKS, "WORKFLOW_LEASE_S": "2"}
    worker = processes.worker("workflows", concurrency=4, wait=False, **environ)
    clock = processes.worker("bridges", concurrency=2, wait=False, **environ)
    made = Engine(settings)
    made.pids = (worker.pid, clock.pid)
    clock.wait_for(" ready.")
    made.app.send_task("workflows.clock", queue="bridges")
    yield made
    made.close()
    processes.close()


@pytest.fixture
def runs(db: Database, settings: Settings) -> Runs:
    """Begins runs; there are the workflows ``nap``, and ``fussy``, which takes no input."""
    made = Runs(db, settings)
    made.define("nap")
    made.define("fussy", {"maxProperties": 0})
    return made


@pytest.fixture
def bench(settings: Settings) -> Iterator[Workbench]:
    """A service and a worker's parts, on a database of the test's own."""
    app = create_celery(dataclasses.replace(settings, db_pool_size=12), role="test")
    yield Workbench(app)
    app.bridge.close()
