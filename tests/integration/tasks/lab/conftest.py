"""A lab on the test's own servers, and servers of models that do what a test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tasks.db.pool import Database
from tasks.lab.administration import new_endpoint
from tasks.lab.model import Endpoint
from tasks.lab.service import LabService, lab_of
from tasks.runtime import Runtime
from tests.lab_server import LabServer

Add = Callable[..., Endpoint]


@pytest.fixture
def other_server() -> Iterator[LabServer]:
    """A second one."""
    server = LabServer().start()
    yield server
    server.stop()


@pytest.fixture
def db(runtime: Runtime) -> Database:
    return runtime.db


@pytest.fixture
def lab(runtime: Runtime) -> LabService:
    return lab_of(runtime)


@pytest.fixture
def add(lab: LabService) -> Add:
    """Adds an endpoint on a server."""

    def make(
        server: LabServer | str, name: str, tier: str = "small", kind: str = "openai", **values: Any
    ) -> Endpoint:
        url = server if isinstance(server, str) else server.url
        endpoint = new_endpoint({"name": name, "kind": kind, "url": url, "tier": tier, **values})
        lab.endpoints.add(endpoint)
        return endpoint

    return make


@pytest.fixture
def executions(db: Database) -> Callable[[], list[dict[str, Any]]]:
    """The recorded executions, in their order."""

    def read() -> list[dict[str, Any]]:
        with db.transaction() as tx:
            return tx.all("SELECT * FROM model_executions ORDER BY id")

    return read
