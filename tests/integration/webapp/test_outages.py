"""Servers that are gone, and worse, servers that hang: what is promised still holds, in time."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tasks.db.migrate import migrate
from tasks.settings import Settings
from tests.integration.webapp.support import (
    HOOK,
    client_with,
    closed_port,
    hanging_server,
    problem_of,
    running,
)
from webapp.services import of
from webapp.stack import servers
from webapp.stack.process import ServerProcess


@pytest.fixture(params=["closed", "hanging"])
def dead_port(request: pytest.FixtureRequest) -> Iterator[int]:
    if request.param == "closed":
        yield closed_port()
    else:
        with hanging_server() as port:
            yield port


def timed(client: FlaskClient, method: str, path: str, **kwargs: Any) -> tuple[Any, float]:
    started = time.perf_counter()
    response = client.open(path, method=method, **kwargs)
    return response, time.perf_counter() - started


class TestWithoutRedis:
    @pytest.fixture
    def app(self, settings: Settings, dead_port: int) -> Iterator[Flask]:
        with running(replace(settings, redis_url=f"redis://127.0.0.1:{dead_port}/0")) as made:
            yield made

    def test_hooks_are_accepted_within_a_second_each(self, client: FlaskClient, rows: Any) -> None:
        for _ in range(5):
            response, took_s = timed(client, "POST", "/hooks", json=HOOK)
            assert response.status_code == 202
            assert took_s < 1.0
        assert rows("SELECT count(*) AS count FROM inbox") == [{"count": 5}]

    def test_so_are_simultaneous_ones(self, app: Flask, client: FlaskClient) -> None:
        headers = {"Authorization": client.environ_base["HTTP_AUTHORIZATION"]}

        def post(_: int) -> tuple[int, float]:
            response, took_s = timed(app.test_client(), "POST", "/hooks", json=HOOK, headers=headers)
            return response.status_code, took_s

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(post, range(16)))
        assert {status for status, _ in answers} == {202}
        assert max(took_s for _, took_s in answers) < 1.0

    def test_health_is_degraded(self, anonymous: FlaskClient) -> None:
        response, took_s = timed(anonymous, "GET", "/health")
        assert response.status_code == 200
        assert took_s < 2.0
        body = response.get_json()
        assert body["status"] == "degraded"
        assert body["checks"]["redis"]["status"] == "unhealthy"
        assert body["checks"]["postgresql"]["status"] == "healthy"
        assert anonymous.get("/health/ready").status_code == 200


class TestWithoutPostgresql:
    @pytest.fixture
    def app(self, settings: Settings, dead_port: int) -> Iterator[Flask]:
        with running(replace(settings, database_url=f"postgresql://x:y@127.0.0.1:{dead_port}/z")) as made:
            yield made

    @pytest.mark.parametrize(
        ("method", "path"),
        [("POST", "/hooks"), ("GET", "/tasks")],
    )
    def test_the_answer_is_503_within_two_seconds(self, app: Flask, method: str, path: str) -> None:
        headers = {"X-API-Key": "omni_any"}
        response, took_s = timed(app.test_client(), method, path, json=HOOK, headers=headers)
        problem = problem_of(response, 503)
        assert problem["code"] == "DATABASE_1"
        assert int(response.headers["Retry-After"]) >= 1
        assert took_s < 2.0

    def test_without_a_key_too(self, anonymous: FlaskClient) -> None:
        response, took_s = timed(anonymous, "POST", "/hooks", json=HOOK)
        problem_of(response, 503)
        assert took_s < 2.0

    def test_health_says_so(self, anonymous: FlaskClient) -> None:
        response, took_s = timed(anonymous, "GET", "/health")
        assert response.status_code == 503
        assert response.headers["Retry-After"]
        assert took_s < 2.0
        body = response.get_json()
        assert body["status"] == "unhealthy"
        assert body["checks"]["postgresql"]["status"] == "unhealthy"
        assert body["checks"]["redis"]["status"] == "healthy"
        assert anonymous.get("/health/ready").status_code == 503
        assert anonymous.get("/health/live").status_code == 200

    def test_metrics_go_on(self, anonymous: FlaskClient) -> None:
        response, took_s = timed(anonymous, "GET", "/metrics")
        assert response.status_code == 200
        assert "omninode_postgresql_up 0.0" in response.get_data(as_text=True)
        assert took_s < 3.0


class TestAServerThatStopsUnderWay:
    """Connections are open and warm when it happens."""

    def test_frozen_valkey(self, client: FlaskClient, app: Flask, valkey_server: ServerProcess) -> None:
        headers = {"Authorization": client.environ_base["HTTP_AUTHORIZATION"]}

        def post(_: int) -> tuple[int, float]:
            response, took_s = timed(app.test_client(), "POST", "/hooks", json=HOOK, headers=headers)
            return response.status_code, took_s

        with ThreadPoolExecutor(8) as pool:
            assert {status for status, _ in pool.map(post, range(16))} == {202}
            valkey_server.pause()
            try:
                answers = list(pool.map(post, range(40)))
            finally:
                valkey_server.resume()
        assert {status for status, _ in answers} == {202}
        assert max(took_s for _, took_s in answers) < 1.0

    def test_killed_postgresql(self, settings: Settings, server_folder: Path) -> None:
        folder = server_folder / uuid.uuid4().hex
        server = ServerProcess(servers.postgres(folder, servers.free_port()), server_folder / "killed.log")
        try:
            migrate(server.server.url)
            with running(replace(settings, database_url=server.server.url)) as app:
                client = client_with(app, "hooks:write", "hooks:read")
                first = client.post("/hooks", json=HOOK, headers={"Idempotency-Key": "k"})
                assert first.status_code == 202
                server.kill()
                for _ in range(3):
                    response, took_s = timed(client, "POST", "/hooks", json=HOOK)
                    problem_of(response, 503)
                    assert response.headers["Retry-After"]
                    assert took_s < 2.0
                server.restart()
                again = client.post("/hooks", json=HOOK, headers={"Idempotency-Key": "k"})
                assert again.status_code == 202, again.get_data(as_text=True)
                assert again.get_json()["event_id"] == first.get_json()["event_id"]
                assert len(client.get("/hooks").get_json()["items"]) == 1
        finally:
            server.stop()

    def test_frozen_postgresql(self, settings: Settings, server_folder: Path) -> None:
        folder = server_folder / uuid.uuid4().hex
        server = ServerProcess(servers.postgres(folder, servers.free_port()), server_folder / "frozen.log")
        try:
            migrate(server.server.url)
            with running(replace(settings, database_url=server.server.url)) as app:
                client = client_with(app, "hooks:write", "hooks:read")
                assert client.post("/hooks", json=HOOK).status_code == 202
                server.pause()
                try:
                    for _ in range(3):
                        response, took_s = timed(client, "POST", "/hooks", json=HOOK)
                        problem_of(response, 503)
                        assert response.headers["Retry-After"]
                        assert took_s < 2.0
                finally:
                    server.resume()
                assert client.post("/hooks", json=HOOK).status_code == 202
        finally:
            server.stop()


def test_a_known_key_does_not_open_a_way_round_a_dead_database(settings: Settings, app: Flask) -> None:
    """The key is cached, the row can't be written: 503, not 202."""
    client = client_with(app, "hooks:write")
    assert client.post("/hooks", json=HOOK).status_code == 202
    of(app).runtime.db._settings = replace(settings, database_url=f"postgresql://127.0.0.1:{closed_port()}/x")
    of(app).runtime.db.close()
    response, took_s = timed(client, "POST", "/hooks", json=HOOK)
    problem_of(response, 503)
    assert took_s < 2.0
