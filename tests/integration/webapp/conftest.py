"""A web application on real servers, and clients with and without a key."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server

from tasks.settings import Settings
from tests.integration.webapp.support import client_with, running
from webapp.services import of


@pytest.fixture
def web_settings(settings: Settings) -> Settings:
    """Settings whose limits no test meets by chance."""
    return replace(settings, rate_limit_hooks="100000 per second", rate_limit_default="100000 per second")


@pytest.fixture
def app(web_settings: Settings) -> Iterator[Flask]:
    with running(web_settings) as made:
        yield made


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client that may read and write hooks."""
    return client_with(app, "hooks:write", "hooks:read")


@pytest.fixture
def anonymous(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def server_url(app: Flask) -> Iterator[str]:
    """The application on a port."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def rows(app: Flask) -> Callable[..., list[dict[str, Any]]]:
    """Runs a query on the application's database."""

    def run(sql: str, **params: Any) -> list[dict[str, Any]]:
        with of(app).runtime.db.transaction() as tx:
            return tx.all(sql, params)

    return run
