"""Failed logins slow their address down: by half, then to a quarter, in every process, and nobody else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import jwt
import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient

from tasks.settings import Settings
from tests.integration.webapp.support import HOOK, client_with, closed_port, problem_of, running
from webapp import penalties

SECRET = "s" * 32


@pytest.fixture
def limits(settings: Settings) -> Settings:
    return replace(
        settings, rate_limit_hooks="400 per minute", rate_limit_default="200 per minute", trusted_proxies=1
    )


@pytest.fixture
def app(limits: Settings) -> Iterator[Flask]:
    with running(limits) as made:
        yield made


@pytest.fixture
def valkey(limits: Settings) -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(limits.redis_url, socket_timeout=5)
    yield client
    client.close()


def fail(app: Flask, address: str, times: int) -> None:
    for number in range(times):
        headers = {"X-Forwarded-For": address, "X-API-Key": f"omni_wrong{number}"}
        assert app.test_client().get("/hooks", headers=headers).status_code == 401


def policies(client: FlaskClient, address: str) -> list[str]:
    """The limits that hold for a good key from an address: to write a hook by the lane, by Flask, and to read."""
    origin = {"X-Forwarded-For": address}
    answers = [
        client.post("/hooks", json=HOOK, headers=origin),
        client.post("/hooks/batch", json=[HOOK], headers=origin),
        client.get("/hooks", headers=origin),
    ]
    assert [answer.status_code for answer in answers] == [202, 207, 200]
    return [answer.headers["RateLimit-Policy"] for answer in answers]


WHOLE = ['"hooks";q=400;w=60', '"hooks";q=400;w=60', '"default";q=200;w=60']
HALF = ['"hooks";q=200;w=60', '"hooks";q=200;w=60', '"default";q=100;w=60']
QUARTER = ['"hooks";q=100;w=60', '"hooks";q=100;w=60', '"default";q=50;w=60']


def test_three_failures_leave_a_half_and_five_a_quarter(app: Flask, limits: Settings, valkey: redis.Redis) -> None:
    client = client_with(app, "hooks:write", "hooks:read")
    fail(app, "10.0.0.1", 2)
    assert policies(client, "10.0.0.1") == WHOLE
    fail(app, "10.0.0.1", 1)
    assert policies(client, "10.0.0.1") == HALF
    fail(app, "10.0.0.1", 2)
    assert policies(client, "10.0.0.1") == QUARTER
    assert policies(client, "10.0.0.2") == WHOLE
    assert 86_000 < valkey.zrange(penalties.PENALTIES, 0, -1, withscores=True)[-1][1] - time.time() <= 86_400
    with running(limits) as other:
        assert policies(client_with(other, "hooks:write", "hooks:read"), "10.0.0.1") == QUARTER
    assert penalties.read(valkey) == {"10.0.0.1": 4}
    assert penalties.lift(valkey, "10.0.0.1")
    assert not penalties.lift(valkey, "10.0.0.1")
    with running(limits) as third:
        assert policies(client_with(third, "hooks:write", "hooks:read"), "10.0.0.1") == WHOLE


def test_old_failures_do_not_count(app: Flask, valkey: redis.Redis) -> None:
    fail(app, "10.0.0.1", 4)
    [key] = valkey.keys("omninode:logins:failures:*")
    valkey.delete(penalties.PENALTIES)
    for member, at in valkey.zrange(key, 0, -1, withscores=True):
        valkey.zadd(key, {member: at - 901})
    fail(app, "10.0.0.1", 2)
    assert penalties.read(valkey) == {}
    fail(app, "10.0.0.1", 1)
    assert penalties.read(valkey) == {"10.0.0.1": 2}


def test_the_limit_of_the_address_holds_for_all_its_keys(settings: Settings) -> None:
    strict = replace(settings, rate_limit_hooks="8 per minute")
    with running(strict) as app:
        for number in range(5):
            assert app.test_client().get("/hooks", headers={"X-API-Key": f"omni_{number}"}).status_code == 401
        first, second = client_with(app, "hooks:write"), client_with(app, "hooks:write")
        assert [client.post("/hooks", json=HOOK).status_code for client in (first, second)] == [202, 202]
        problem_of(first.post("/hooks", json=HOOK), 429)
        problem_of(second.post("/hooks", json=HOOK), 429)


def test_asking_without_a_key_is_no_failed_login(app: Flask, valkey: redis.Redis) -> None:
    for _ in range(6):
        assert app.test_client().get("/hooks").status_code == 401
    assert penalties.read(valkey) == {}


def test_a_process_without_redis_counts_for_itself(limits: Settings) -> None:
    with running(replace(limits, redis_url=f"redis://127.0.0.1:{closed_port()}/0")) as app:
        client = client_with(app, "hooks:write", "hooks:read")
        fail(app, "10.0.0.1", 3)
        assert policies(client, "10.0.0.1") == HALF
        assert policies(client, "10.0.0.2") == WHOLE


def test_tokens_open_doors_as_keys_do_and_bad_ones_are_failed_logins(limits: Settings, valkey: redis.Redis) -> None:
    with running(replace(limits, jwt_secret=SECRET)) as app:
        client = app.test_client()

        def ask(method: str, path: str, secret: str = SECRET, **claims: object) -> int:
            made = {"aud": "omninode-bridge", "sub": "ci", "exp": time.time() + 60, "scope": "hooks:write", **claims}
            headers = {"Authorization": f"Bearer {jwt.encode(made, secret, 'HS256')}"}
            body = HOOK if method == "POST" else None
            return client.open(path, method=method, json=body, headers=headers).status_code

        assert ask("POST", "/hooks") == 202
        assert ask("GET", "/hooks") == 403
        assert ask("GET", "/hooks", scope="hooks:read") == 200
        assert ask("POST", "/hooks", exp=time.time() - 60) == 401
        assert [ask("POST", "/hooks", secret="t" * 32) for _ in range(2)] == [401, 401]
        assert list(penalties.read(valkey).values()) == [2]
