"""Rate limits: per key, shared by processes through Redis, announced in headers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask

from tasks.settings import Settings
from tests.integration.webapp.support import HOOK, client_with, closed_port, problem_of, running


@pytest.fixture
def limited(settings: Settings) -> Settings:
    return replace(settings, rate_limit_hooks="4 per minute", rate_limit_default="2 per minute")


@pytest.fixture
def app(limited: Settings) -> Iterator[Flask]:
    with running(limited) as made:
        yield made


def test_each_key_has_its_own_buckets(app: Flask) -> None:
    first, second = client_with(app, "hooks:write", "hooks:read"), client_with(app, "hooks:write")
    for left in (3, 2, 1, 0):
        response = first.post("/hooks", json=HOOK)
        assert response.status_code == 202
        assert response.headers["RateLimit-Policy"] == '"hooks";q=4;w=60'
        assert re.fullmatch(rf'"hooks";r={left};t=([1-9]|[1-5][0-9]|60)', response.headers["RateLimit"])
    refused = first.post("/hooks", json=HOOK)
    assert problem_of(refused, 429)["code"] == "LIMIT_1"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["RateLimit"].startswith('"hooks";r=0;t=')
    problem_of(first.post("/hooks/batch", json=[HOOK]), 429)
    assert first.get("/hooks").status_code == 200
    assert second.post("/hooks", json=HOOK).status_code == 202


def test_processes_share_the_count(app: Flask, limited: Settings) -> None:
    client = client_with(app, "hooks:read")
    assert client.get("/hooks").status_code == 200
    assert client.get("/hooks").status_code == 200
    with running(limited) as other:
        again = other.test_client().get(
            "/hooks", headers={"Authorization": client.environ_base["HTTP_AUTHORIZATION"]}
        )
        problem_of(again, 429)


def test_probes_and_scrapers_are_not_counted(app: Flask) -> None:
    client = app.test_client()
    for path in ("/health", "/health/live", "/health/ready", "/metrics") * 3:
        response = client.get(path)
        assert response.status_code == 200
        assert "RateLimit" not in response.headers


def test_guessing_is_limited_by_address(app: Flask) -> None:
    client = app.test_client()
    answers = [client.get("/hooks", headers={"X-API-Key": f"omni_{n}"}).status_code for n in range(4)]
    assert answers == [401, 401, 429, 429]


def test_limits_can_be_switched_off(settings: Settings) -> None:
    with running(replace(settings, rate_limit_enabled=False, rate_limit_hooks="1 per minute")) as app:
        client = client_with(app, "hooks:write")
        for _ in range(3):
            response = client.post("/hooks", json=HOOK)
            assert response.status_code == 202
            assert "RateLimit" not in response.headers
        assert app.test_client().get("/hooks").status_code == 401


def test_counting_goes_on_in_memory_without_redis(limited: Settings, app: Flask, closed: Any) -> None:
    with running(replace(limited, redis_url=closed)) as alone:
        client = client_with(alone, "hooks:write")
        assert [client.post("/hooks", json=HOOK).status_code for _ in range(5)] == [202] * 4 + [429]


@pytest.fixture
def closed() -> str:
    return f"redis://127.0.0.1:{closed_port()}/0"
