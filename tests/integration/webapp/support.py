"""What the tests of the web application share: an event, outages to order, and what every problem must look like."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tasks.settings import Settings
from webapp import create_app
from webapp.services import of

_MEMBERS = {"type", "title", "status", "detail", "instance", "code", "errors"}
HOOK = {"source": "billing-api", "action": "startup", "resource": "service", "resource_id": "billing-api-1"}


@contextmanager
def running(settings: Settings) -> Iterator[Flask]:
    """An application whose connections are closed in the end, so that its database can be dropped."""
    app = create_app(settings)
    try:
        yield app
    finally:
        of(app).runtime.close()


@contextmanager
def hanging_server() -> Iterator[int]:
    """A port that takes connections and never says a word, as a server that was sent SIGSTOP."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()[1]


def closed_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def client_with(app: Flask, *scopes: str) -> FlaskClient:
    """A client that sends a fresh key with ``scopes``."""
    _, secret = of(app).access.create(f"tester of {' '.join(scopes)}", scopes)
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    return client


def problem_of(response: TestResponse, status: int) -> dict[str, Any]:
    """The body of ``response``, after checking that it is a well-formed problem of ``status``."""
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.content_type == "application/problem+json"
    assert response.headers["X-Correlation-ID"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "no-store"
    body: dict[str, Any] = response.get_json(force=True)
    assert set(body) == _MEMBERS
    assert body["status"] == status
    assert re.fullmatch(r"[A-Z][A-Z0-9_]*_\d{1,4}", body["code"])
    assert body["type"].startswith("urn:omninode-bridge:problem:")
    for error in body["errors"]:
        assert set(error) == {"pointer", "detail"}
        assert error["pointer"] == "" or error["pointer"].startswith("/")
    return body


def pointers(body: dict[str, Any]) -> list[str]:
    """Where the mistakes are."""
    return [error["pointer"] for error in body["errors"]]
